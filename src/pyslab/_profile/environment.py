"""What the environment asks of a Python program: a profile from ``import pyslab`` to its end.

``PYSLAB_PROFILE=FILE`` or ``FILE,every=64KiB``: the program's own. It is not for programs that this
one starts, which would write the same file. ``PYSLAB_PROFILE_PARTS=BYTES:FOLDER`` is set by
``pyslab profile`` for it and all that it starts: the arenas' profile goes to a file of its own in
the folder, beside malloc's, which csrc/profiler/ writes and which learns here how to see Python.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from contextlib import suppress

from pyslab._core import _profile_join, _profile_start, _profile_stop
from pyslab._profile.block import EVERY, profile

__all__ = ["begin"]


def _is_command() -> bool:
    """Return whether this process is the command `pyslab`: what that starts is to be profiled."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return name == "pyslab" or (name == "-m" and "pyslab" in sys.orig_argv)


def begin() -> None:
    """Do what the environment asks for; what is wrong with it is told, and the program goes on."""
    value = "" if _is_command() else os.environ.pop("PYSLAB_PROFILE", "")
    parts = os.environ.get("PYSLAB_PROFILE_PARTS", "")
    try:
        if parts:
            _begin_part(parts)
        elif value:
            _begin_own(value)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"pyslab: no profile: {error}", file=sys.stderr)


def _begin_own(value: str) -> None:
    file, *options = value.split(",")
    every = EVERY
    for option in options:
        name, _, text = option.partition("=")
        if name != "every":
            raise ValueError(f"PYSLAB_PROFILE is FILE or FILE,every=BYTES, not {value!r}")
        every = text
    mine = profile(file, every=every)
    mine.start()
    atexit.register(_end, mine)


def _end(mine: profile) -> None:
    try:
        mine.stop()
    except (OSError, RuntimeError) as error:  # as where the program has stopped it
        print(f"pyslab: no profile: {error}", file=sys.stderr)


def _begin_part(value: str) -> None:
    _profile_join()
    _start_part(value)
    atexit.register(_profile_stop)
    os.register_at_fork(after_in_child=lambda: _in_child(value))


def _start_part(value: str) -> None:
    every, _, folder = value.partition(":")
    path = os.path.join(folder, f"{os.getpid()}-{time.monotonic_ns():x}.arenas")
    _profile_start(path, int(every), 0)


def _in_child(value: str) -> None:
    """Begin a file of the child's own, unless the folder is gone, as when `pyslab profile` is."""
    _profile_stop()
    with suppress(OSError):
        _start_part(value)
