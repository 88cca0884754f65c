"""Clients of the C API, compiled while testing and run in processes of their own."""
