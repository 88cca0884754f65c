"""Writes the drawings of the documentation: `make docs-pictures`.

tests/meta/test_drawings.py sees that the committed ones are what this makes.
"""

from __future__ import annotations

from drawings import pictures

if __name__ == "__main__":
    for path, text in pictures().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
