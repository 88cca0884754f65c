"""Arena(track="leaks"): from its beginning to the report at close() or at the program's end.

Not here: what a report looks like (leaks.py). The environment variable ``PYSLAB_TRACK=leaks``
tracks every arena that Python knows; ``PYSLAB_TRACK=leaks:FILE`` also appends each report to the
file, as a line of JSON, instead of warning. That is what ``pyslab leaks`` sets. The file first gets
a line when an arena begins to be tracked, so that a report that is missing is noticed; and a
program that does not handle SIGTERM reports before that ends it.

A tracked arena lives until it is closed, or until the program ends: the last reference may go,
and what C has of it is still reported. A forked child reports the arenas that it made itself.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from types import FrameType

from pyslab import _hints as hints
from pyslab._arena.reports import CoreArena
from pyslab._core import ffi, lib

_WORD = "leaks"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

_tracked: dict[int, hints.Arena] = {}  # by id; open ones
_told: set[str] = set()  # wrong values of the variable that were told


def check(track: str | None) -> None:
    """Raise ValueError for a value of track that is none."""
    if track not in (None, _WORD):
        raise ValueError(f"track is 'leaks' or None, not {track!r}")


def begin(arena: hints.Arena, track: str | None) -> None:
    """Have a new arena tracked, if it or the environment says so."""
    if track is None and not _environment()[0] and not _keeps_stacks(arena):
        return
    arena._track()
    _tracked[id(arena)] = arena
    path = _environment()[1]
    if path:
        _append(path, arena, "begin")
        _report_at_sigterm()


def _keeps_stacks(arena: hints.Arena) -> bool:
    """Tell whether the arena was made with the flag U of debug= for all that is in it."""
    figures = ffi.new("pyslab_debug_stats *")
    with CoreArena(arena) as handle:
        lib.pyslab_arena_debug_stats(handle, figures)
    return bool(figures.flags & lib.PYSLAB_DEBUG_USER)


def _environment() -> tuple[bool, str]:
    """Return whether PYSLAB_TRACK asks for tracking, and the file it names or ""."""
    value = os.environ.get("PYSLAB_TRACK", "")
    word, _, path = value.partition(":")
    if word not in ("", _WORD) and value not in _told:
        _told.add(value)
        print(f"pyslab: PYSLAB_TRACK is 'leaks' or 'leaks:FILE', not {value!r}", file=sys.stderr)
    return word == _WORD, path if word == _WORD else ""


def leaks(self: hints.Arena) -> list[hints.Leak]:
    """Return the live allocations of a tracked arena, by the place where each was made.

    Those of Python and C, the most bytes first; allocations from before it was tracked are not
    among them. Raises ValueError for an arena without track="leaks", ArenaClosedError once
    its memory is unmapped.

    >>> arena = pyslab.Arena("1MiB", track="leaks")
    >>> buf = arena.kmalloc(100)
    >>> [(leak.bytes, leak.count) for leak in arena.leaks()]
    [(112, 1)]
    """
    return _leaks(self)[0]


def _leaks(arena: hints.Arena) -> tuple[list[hints.Leak], int]:
    from pyslab.leaks import leaks_of

    raw = arena._leaks()
    if raw is None:
        raise ValueError('the arena is not tracked: make it with Arena(..., track="leaks")')
    return leaks_of(raw[0]), raw[1]


def forget(arena: hints.Arena) -> None:
    """Report nothing of a tracked arena at its end: somebody has done so."""
    _tracked.pop(id(arena), None)


# --- reports -------------------------------------------------------------------


def end(arena: hints.Arena) -> None:
    """Report what a tracked arena still has in use, for it is about to be closed."""
    if _tracked.pop(id(arena), None) is not None:
        _collect()
        _report(arena, "close")


def _collect() -> None:
    """Free what only garbage refers to: that is nobody's leak."""
    import gc

    gc.collect()


def _report(arena: hints.Arena, when: str) -> None:
    found, lost = _leaks(arena)
    path = _environment()[1]
    if path:
        _append(path, arena, when, found, lost)
    elif found or lost:
        import warnings

        from pyslab.leaks import report

        title = f"{arena!r} " + ("is closed" if when == "close" else "is left at the end")
        warnings.warn(report(title, found, lost), ResourceWarning, stacklevel=_user_level())


def _append(
    path: str, arena: hints.Arena, when: str, found: Sequence[hints.Leak] = (), lost: int = 0
) -> None:
    from pyslab.leaks import to_json

    program = getattr(sys, "argv", [""])  # which an embedded interpreter may not have
    facts = {"process": os.getpid(), "program": program, "arena": repr(arena), "when": when}
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(to_json(found, **facts, lost=lost) + "\n")


def _user_level() -> int:
    """Return the stacklevel of the innermost frame outside this package, for the caller.

    Without one, as at the end of the program, it is beyond the last: warnings then says "sys:1".
    """
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level


def _at_exit() -> None:
    if _tracked:
        _collect()
    while _tracked:
        arena = _tracked.popitem()[1]
        try:
            _report(arena, "exit")
        except Exception as error:  # the other arenas report all the same
            print(f"pyslab: no report of {arena!r}: {error!r}", file=sys.stderr)


def _report_at_sigterm() -> None:
    """Have SIGTERM report before it ends the program, unless that does something else with it."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    import signal

    signal.signal(number, signal.SIG_DFL)
    _at_exit()
    sys.stdout.flush()
    os.kill(os.getpid(), number)


# Registered when pyslab is imported, so that it runs after what the program registers later.
atexit.register(_at_exit)
if _environment()[1]:
    _report_at_sigterm()  # now, for a program whose arenas are made in other threads
os.register_at_fork(after_in_child=_tracked.clear)
