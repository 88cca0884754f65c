"""What an Arena shows of itself: repr(), and a table with a bar for notebooks.

Each function is a method of Arena. The figures are those of reports.py; the HTML is made in
_figures/notebook.py.
"""

from __future__ import annotations

from pyslab import _hints as hints
from pyslab.errors import ArenaClosedError


def text(self: hints.Arena) -> str:
    """Return what repr() shows: size, address, and the bytes that Python and C have in use."""
    from pyslab.sizes import format_bytes

    state = "closed" if self.closed else f"{self.stats().used_bytes} bytes in use"
    return f"<pyslab.Arena size={format_bytes(self.size)} base={self.base:#x} {state}>"


def html(self: hints.Arena) -> str:
    """Return a table, and a bar of frames by use, for notebooks."""
    from pyslab._figures.notebook import arena_html, closed_html

    try:
        return arena_html(repr(self), self.stats(), self.zone_stats(), self.vm_stats())
    except ArenaClosedError:
        return closed_html(repr(self))
