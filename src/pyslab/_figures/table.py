"""str() of a record of figures: a line per figure, for print()."""

from __future__ import annotations

import dataclasses

from pyslab.sizes import format_bytes
from pyslab.watermarks import PAGE_SIZE

__all__ = ["Table"]

# Figures that count frames, beside those whose names say so.
_FRAMES = frozenset(
    {"batch", "high_min", "high_max", "watermark_min", "watermark_low", "watermark_high"}
    | {"watermark_promo", "lazy_pages", "pgsteal_direct", "pgsteal_kswapd"}
)
_BYTES = frozenset({"stride", "align", "object_size", "nbytes"})
_ADDRESSES = frozenset({"address"})


class Table:
    """The base of a dataclass of figures: str() is a table, and repr() stays one line."""

    def __str__(self) -> str:
        assert dataclasses.is_dataclass(self)
        rows = [(f.name, *_cells(f.name, getattr(self, f.name))) for f in dataclasses.fields(self)]
        names = max(len(name) for name, _, _ in rows)
        values = max(len(value) for _, value, _ in rows)
        lines = [
            f"  {name:<{names}}  {value:>{values}}  {size}".rstrip() for name, value, size in rows
        ]
        return "\n".join([type(self).__name__, *lines])


def _cells(name: str, value: object) -> tuple[str, str]:
    """Return a figure as text, and the bytes that it stands for if it is one of memory."""
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value), ""
    if name in _ADDRESSES:
        return f"{value:#x}", ""
    if name in _BYTES or name.endswith("_bytes"):
        return f"{value:,}", format_bytes(value)
    if name in _FRAMES or name.endswith("_pages") or name.startswith("pages_"):
        return f"{value:,}", format_bytes(value * PAGE_SIZE)
    return f"{value:,}", ""
