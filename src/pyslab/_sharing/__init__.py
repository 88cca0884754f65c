"""Arrays that travel between processes without being copied: docs/sharing-arrays.md."""
