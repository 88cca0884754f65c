"""``pyslab.profile``: a profile of this process, as a block of code or between two calls.

While it is on, the core keeps it in a file of its own beside the one that is asked for, named
``FILE.part-PROCESS``: a process that is killed leaves that, and ``pyslab profile --convert`` makes
a profile of it. At the end the file that was asked for is made of it, and it goes.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

from pyslab._core import _profile_start, _profile_stop
from pyslab._profile import formats, raw
from pyslab._profile.records import ALL, MemoryProfile
from pyslab.sizes import parse_bytes

__all__ = ["profile"]

EVERY = "512KiB"

_lock = threading.Lock()
_current: profile | None = None


def parse_every(every: int | str) -> int:
    """Return the bytes between samples; ALL for "all". Raises ValueError, TypeError."""
    if every == "all":
        return ALL
    nbytes = every if isinstance(every, int) else parse_bytes(every)
    if not ALL <= nbytes < 1 << 62:
        raise ValueError(f'every is "all" or bytes, 1 or more, not {every!r}')
    return nbytes


class profile:  # used as a function is
    """Find out where memory comes from: what this process allocates, by call sites.

    ``with pyslab.profile("run.pb.gz"):``, or start() and stop(). It sees memory of arenas that
    Python asks for, data of NumPy's arrays in arenas among it, in every thread. ``pyslab profile
    -- COMMAND`` sees malloc. Of allocations one in 512 KiB is looked at, with the calls that led
    to it; sums are what these samples stand for.

    file: where it is written at the end, in the format of its name: .pb.gz (pprof), .collapsed
      or .txt (collapsed stacks), .table; None: nowhere, then ``result`` is all.
    every: bytes between samples, on average, or "all": each allocation, at some cost.
    format: "pprof", "collapsed" or "table", whatever the name.
    seed: of the choice of samples, for one thread the same again; 0: another each time.

    One profile can be on at a time. A forked child has none.

    >>> with pyslab.profile(None, every="all") as found:
    ...     kept = arena.kmalloc(1 << 20)
    >>> found.result.live_bytes
    1048576.0

    Raises OSError if the file cannot be written, ValueError for a wrong rate or format,
    RuntimeError if a profile is on.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | None = None,
        *,
        every: int | str = EVERY,
        format: str | None = None,
        seed: int = 0,
    ) -> None:
        self._path = None if file is None else os.path.abspath(os.fsdecode(file))
        self._format = "" if self._path is None else formats.format_of(self._path, format)
        self._every = parse_every(every)
        self._seed = seed
        self._raw = ""
        self._process = 0
        self.result: MemoryProfile | None = None
        """What was found, once it has ended."""

    def start(self) -> None:
        """Begin. RuntimeError if this or another profile is on, or it has been stopped.

        >>> profile = pyslab.profile(every="all")
        >>> profile.start()
        >>> buf = arena.kmalloc(100)
        >>> profile.stop().allocated_objects
        1.0
        """
        global _current
        with _lock:
            if self.result is not None:
                raise RuntimeError("the profile has ended; make another one")
            if _current is not None:
                raise RuntimeError("a profile is on already; a process has one at a time")
            self._raw = self._raw_path()
            _profile_start(self._raw, self._every, self._seed)
            self._process = os.getpid()
            _current = self

    def _raw_path(self) -> str:
        """Return the name of the core's own file; make sure that ours can be written."""
        if self._path is not None:
            formats.check_writable(self._path)
            path = f"{self._path}.part-{os.getpid()}"
            if os.path.exists(path):  # of an earlier process with this number, which was killed
                os.replace(path, f"{path}-{os.urandom(4).hex()}")
            return path
        import tempfile

        return os.path.join(tempfile.mkdtemp(prefix="pyslab-profile-"), "part")

    def stop(self) -> MemoryProfile | None:
        """End, write the file, and return what was found; in a forked child None.

        Raises RuntimeError if it is not on, OSError if the file cannot be written: then the
        core's own file stays, and the message names it.

        >>> profile = pyslab.profile(every="all")
        >>> profile.start()
        >>> profile.stop().sites
        []
        """
        global _current
        with _lock:
            if self._process != os.getpid() and self._process:
                return None
            if _current is not self:
                raise RuntimeError("the profile is not on: it was not started, or has ended")
            _current = None
            _profile_stop()
            self.result = raw.read(self._raw)
        self._write(self.result)
        return self.result

    def _write(self, result: MemoryProfile) -> None:
        if self._path is None:
            os.unlink(self._raw)
            os.rmdir(os.path.dirname(self._raw))
            return
        try:
            formats.write(result, self._path, self._format)
        except OSError as error:
            hint = f"the profile is in {self._raw}: pyslab profile --convert makes a file of it"
            raise OSError(error.errno, f"{error.strerror}; {hint}", self._path) from error
        os.unlink(self._raw)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _after_fork() -> None:
    """Forget the parent's profile, which goes on there."""
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        _current = None
        _profile_stop()


os.register_at_fork(after_in_child=_after_fork)
