"""One file per part of the public API."""
