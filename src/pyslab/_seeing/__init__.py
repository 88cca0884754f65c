"""Pictures of memory: frames of an arena, objects of a cache; as text, SVG and data."""
