"""The drawings of the documentation, each made by a module of this folder; pen.py draws."""

from __future__ import annotations

from pathlib import Path

from drawings import allocation, buddy, buffer_life, layers, memory_layout, sharing

_DOCS = Path(__file__).resolve().parents[2] / "docs"


def pictures() -> dict[Path, str]:
    """Return the text of each drawing by the file that it belongs in."""
    folder = _DOCS / "drawings"
    return {
        _DOCS / "layers.svg": layers.drawing(),
        folder / "memory-layout.svg": memory_layout.drawing(),
        folder / "allocation.svg": allocation.drawing(),
        folder / "buffer-life.svg": buffer_life.drawing(),
        folder / "sharing.svg": sharing.drawing(),
        folder / "split-and-merge.svg": buddy.drawing(),
    }
