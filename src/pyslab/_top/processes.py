"""Processes and the figures that they publish, found through their descriptors in /proc.

Nothing is sent to the process, and it is not stopped: only its descriptors are looked at, which
the system allows its own user. Where there are no figures, UnseenError says why.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyslab._seeing.terminal import printable
from pyslab._top.figures import NAME, DamagedError, Figures, read_figures
from pyslab._top.holders import TABLE_NAME, Heap, read_heap
from pyslab._top.names import with_names
from pyslab.errors import PyslabError

__all__ = ["Seen", "UnseenError", "command_of", "look", "publishers"]

_LIBRARIES = ("libpyslab", "/pyslab/_core.")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class UnseenError(PyslabError):
    """A process whose figures cannot be had; the text says why."""


class Seen(NamedTuple):
    """What was seen of a process at one moment."""

    pid: int
    command: str
    files: dict[int, Figures]
    """By the inode of the file: a process may have several copies of the library."""
    heaps: list[Heap]


def _text(pid: int, name: str) -> str:
    """Return a file of a process in /proc; "" if it may not be read, or is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _status(pid: int) -> dict[str, str]:
    lines = _text(pid, "status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def command_of(pid: int) -> str:
    """Return the command line of a process, in one line that is safe to print."""
    text = _text(pid, "cmdline").rstrip("\0").replace("\0", " ") or _text(pid, "comm").strip()
    return printable(text) or "?"


def _descriptors(pid: int, name: str) -> Iterator[int]:
    """Open each file in memory of this name that the process has a descriptor of."""
    wanted = f"/memfd:{name} (deleted)"
    for entry in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{entry}"
        try:
            fd = os.open(path, _READ) if os.readlink(path) == wanted else -1
        except OSError:
            continue
        if fd >= 0:
            try:
                yield fd
            finally:
                os.close(fd)


# --- why there are no figures --------------------------------------------------------------


def _user(status: dict[str, str]) -> int:
    words = status.get("Uid", "").split()
    return int(words[1]) if len(words) > 1 else -1


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _why_closed(pid: int, status: dict[str, str]) -> str:
    """Say why the descriptors of a process cannot be listed."""
    if not status:
        return f"there is no process {pid}"
    if status.get("State", "").startswith(("Z", "X")):
        return f"process {pid} has ended, and its parent has not looked yet"
    uid = _user(status)
    if uid != os.geteuid():
        return (
            f"process {pid} is of the user {_name_of_user(uid)}, and only that user and root see "
            "its figures"
        )
    return (
        f"process {pid} does not show its descriptors: it is not dumpable (set-user-id, "
        "capabilities, prctl PR_SET_DUMPABLE), or lives in a user namespace of its own"
    )


def _asks(pid: int) -> bool:
    return "PYSLAB_TOP=1" in _text(pid, "environ").split("\0")


def _why_silent(pid: int, status: dict[str, str]) -> str:
    """Say why a process whose descriptors can be seen publishes nothing."""
    maps = _text(pid, "maps")
    if f"/memfd:{NAME}" in maps:
        return f"process {pid} has closed its descriptors, so that its figures cannot be reached"
    if not any(library in maps for library in _LIBRARIES):
        return f"process {pid} does not use pyslab; hint: start it with pyslab run -- COMMAND"
    if "PYSLAB_TOP=0" in _text(pid, "environ").split("\0"):
        return f"process {pid} has PYSLAB_TOP=0 in its environment, and publishes nothing"
    if "libpyslab_malloc" in maps and "/pyslab/_core." not in maps and not _asks(pid):
        return (
            f"process {pid} is on the malloc library without PYSLAB_TOP=1 in its environment, and "
            "publishes nothing; hint: start it with pyslab run -- COMMAND"
        )
    if status.get("Seccomp", "0") != "0":
        return (
            f"process {pid} is in a sandbox (seccomp), which may forbid memfd_create; or it has "
            "no arena yet"
        )
    return (
        f"process {pid} publishes nothing: it has no arena yet, or its pyslab is older than "
        "1.0, or the system refused memfd_create"
    )


def _ids(status: dict[str, str], pid: int) -> set[int]:
    """Return the ids that the process has, in its own and all outer pid namespaces."""
    return {pid, *(int(word) for word in status.get("NSpid", "").split() if word.isdigit())}


# --- looking -------------------------------------------------------------------------------


def _read_all(pid: int, ids: set[int]) -> tuple[dict[int, Figures], list[str]]:
    """Return the figures by inode, and what is wrong with those that are none."""
    files: dict[int, Figures] = {}
    wrong = []
    for fd in _descriptors(pid, NAME):
        inode = os.fstat(fd).st_ino
        if inode in files:
            continue
        try:
            figures = read_figures(fd)
        except DamagedError as error:
            wrong.append(f"process {pid}: {error}")
            continue
        if figures.process in ids:
            files[inode] = with_names(figures, pid)
        else:
            wrong.append(
                f"process {pid} has the descriptor of process {figures.process}, whose copy it "
                "is: it was forked around the C library's fork(), and publishes nothing itself"
            )
    return files, wrong


def _heaps(pid: int) -> list[Heap]:
    heaps = [read_heap(fd) for fd in _descriptors(pid, TABLE_NAME)]
    return [heap for heap in heaps if heap is not None]


def look(pid: int) -> Seen:
    """Read all that a process publishes now. UnseenError: there is nothing; it says why."""
    status = _status(pid)
    try:
        files, wrong = _read_all(pid, _ids(status, pid))
        heaps = _heaps(pid) if files else []
    except OSError:
        raise UnseenError(_why_closed(pid, _status(pid))) from None
    if files:
        return Seen(pid, command_of(pid), files, heaps)
    if not (status := _status(pid)) or status.get("State", "").startswith(("Z", "X")):
        raise UnseenError(_why_closed(pid, status))
    raise UnseenError(wrong[0] if wrong else _why_silent(pid, status))


def publishers() -> list[Seen]:
    """Return all processes that publish figures which this user may see."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                if any(True for _ in _descriptors(int(entry), NAME)):
                    found.append(look(int(entry)))
            except (OSError, UnseenError):
                continue
    return sorted(found, key=lambda seen: seen.pid)
