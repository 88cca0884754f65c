"""Profiles: what is seen of memory, the formats, the command, metrics."""
