"""The live view in a terminal, by curses: draws lines, and hears keys. Not here: what they say."""

from __future__ import annotations

import curses
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from pyslab._seeing.uses import BY_NAME
from pyslab._top.processes import Seen, UnseenError
from pyslab._top.table import SORTS
from pyslab._top.view import BAR, Line, View

__all__ = ["show"]

_STEPS = {curses.KEY_DOWN: 1, curses.KEY_UP: -1, curses.KEY_NPAGE: 10, curses.KEY_PPAGE: -10}
_HELP: list[Line] = [
    [("Keys", "strong")],
    [("q quit   h this page   space refresh   arrows and page keys move the table", "plain")],
    [("t call sites of tracked arenas, and again: caches", "plain")],
    [("Caches are sorted by", "plain")],
    *([(f"  {letter}  {sort.text}", "plain")] for letter, sort in SORTS.items()),
]


def _styles() -> dict[str, int]:
    """Return the attributes of each style; bars have the colours that page maps have."""
    styles = {
        "plain": curses.A_NORMAL,
        "strong": curses.A_BOLD,
        "head": curses.A_BOLD,
        "title": curses.A_REVERSE,
        "notice": curses.A_BOLD | curses.A_REVERSE,
        **dict.fromkeys(BAR, curses.A_NORMAL),
    }
    if curses.has_colors():
        curses.use_default_colors()
        for pair, name in enumerate(BAR, 1):
            code = BY_NAME[name].code
            if code < curses.COLORS:
                curses.init_pair(pair, code, -1)
                styles[name] = curses.color_pair(pair)
    return styles


class _Screen:
    """The terminal, and what the person at it has chosen."""

    def __init__(self, window: curses.window, view: View, look: Callable[[], Seen]) -> None:
        self._window = window
        self._view = view
        self._look = look
        self._styles = _styles()
        self._notice = ""
        self._helps = False

    def _refresh(self) -> None:
        """Look at the process once more; if it cannot be seen, the last picture stays."""
        try:
            self._view.add(self._look())
            self._notice = ""
        except UnseenError as error:
            self._notice = str(error)

    def _draw(self) -> None:
        height, width = self._window.getmaxyx()
        self._window.erase()
        lines = _HELP if self._helps else self._view.lines(width, height, self._notice)
        for y, line in enumerate(lines[:height]):
            x = 0
            for text, style in line:
                # The last cell of the screen cannot be written without scrolling it.
                room = width - x - (y == height - 1)
                if room > 0 and text:
                    self._window.addnstr(y, x, text, room, self._styles[style])
                x += len(text)
        self._window.refresh()

    def _hear(self, until: float) -> bool:
        """Wait for keys; False: q."""
        while (left := until - time.monotonic()) > 0:
            self._window.timeout(max(1, int(left * 1000)))
            key = self._window.getch()
            if key < 0:
                return True
            letter = chr(key) if key < 128 else ""
            if letter.lower() == "q":
                return False
            if letter == " ":
                return True
            if letter.lower() == "h" or letter == "?":
                self._helps = not self._helps
            elif letter.lower() == "t":
                self._view.shows_sites = not self._view.shows_sites
            elif letter.lower() in SORTS:
                self._view.sort = letter.lower()
            elif key in _STEPS:
                self._view.first = max(0, self._view.first + _STEPS[key])
            elif key == curses.KEY_RESIZE:
                curses.update_lines_cols()
            self._draw()
        return True

    def run(self) -> None:
        """Show the process until q is pressed."""
        while True:
            self._refresh()
            self._draw()
            if not self._hear(time.monotonic() + self._view.delay):
                return


def show(view: View, look: Callable[[], Seen]) -> None:
    """Show a process until q is pressed, or Ctrl-C. Raises curses.error without a terminal."""

    def run(window: curses.window) -> None:
        with suppress(curses.error):  # this terminal has no other cursor
            curses.curs_set(0)
        _Screen(window, view, look).run()

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            curses.wrapper(run)  # the terminal is as it was in any case
    finally:
        signal.signal(signal.SIGTERM, before)
