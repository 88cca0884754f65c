"""Progress on stderr: a bar where rich is installed, else a line per section.

Nothing here writes to stdout, which belongs to the report, and nothing runs in a
thread of its own: the bar is drawn between timed rounds, never during one.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import rich.progress

_REDRAW_S = 0.2


class Progress(Protocol):
    """What a section tells the user while it works."""

    def start(self, title: str, steps: int) -> None:
        """A section of so many steps begins."""

    def advance(self) -> None:
        """One step is done."""

    def close(self) -> None:
        """All sections are done."""


class PlainProgress:
    """Names the section that runs; no bar."""

    def start(self, title: str, steps: int) -> None:
        """A section of so many steps begins."""
        print(f"{title} ({steps} steps)", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Steps are not shown."""

    def close(self) -> None:
        """Nothing to clear."""


class RichProgress:
    """One bar per section."""

    def __init__(self, bars: rich.progress.Progress) -> None:
        self._bars = bars
        self._task: rich.progress.TaskID | None = None
        self._drawn = 0.0
        bars.start()

    def start(self, title: str, steps: int) -> None:
        """A section of so many steps begins."""
        self._task = self._bars.add_task(title, total=steps)
        self._bars.refresh()

    def advance(self) -> None:
        """One step is done."""
        if self._task is None:
            return
        self._bars.advance(self._task)
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_S:
            self._drawn = now
            self._bars.refresh()

    def close(self) -> None:
        """All sections are done."""
        self._bars.stop()


def make_progress() -> Progress:
    """The best progress display that is installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars
    except ImportError:
        return PlainProgress()
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    return RichProgress(Bars(*columns, console=Console(stderr=True), auto_refresh=False))
