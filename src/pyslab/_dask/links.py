"""Which peers are sent handles, and what becomes of handles whose connection ended.

Both sides of a connection say in Dask's handshake on which host they are, and which pyslab they
have (announcement()). If both are the same the connection gets a Link. A heap can be opened by
the version that made it alone, so of two versions on one host both are told, once.
A host is a kernel that booted, a namespace of processes and a user: who shares these can open the
heap of another by /proc. PYSLAB_DASK_HOST names it otherwise (to try out several hosts on one).

A Link remembers the senders of its messages. Handles that were not opened when the connection
ended are taken back a while later: their receiver may have died. A handle that was opened is not
touched by that. Lock: _lock for the list of ended links.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from functools import cache
from typing import Any

import pyslab
from pyslab._core import ArraySender

__all__ = ["Link", "agree", "announcement", "stop_receiving", "take_back"]

logger = logging.getLogger("distributed.pyslab")

_REMEMBERED = 4096  # senders of a link; older ones are left to the heap's own rules for age
_GRACE_S = 30.0  # a receiver may still read what has come before the connection ended

_lock = threading.Lock()
_ended: list[tuple[float, deque[ArraySender]]] = []
_receives = True


@cache
def _host() -> str:
    named = os.environ.get("PYSLAB_DASK_HOST")
    if named:
        return named
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""  # without /proc no heap of another process can be found
    return f"{boot}/{namespace}/{os.getuid()}"


def announcement() -> dict[str, Any]:
    """Return what the handshake says of this process."""
    return {"version": pyslab.__version__, "host": _host(), "receives": _receives}


def agree(local: Any, remote: Any) -> Link | None:
    """Return the Link of a connection whose sides announced these; None: bytes only."""
    if not isinstance(local, dict) or not isinstance(remote, dict):
        return None
    if not local.get("host") or local["host"] != remote.get("host"):
        return None
    if local["version"] != remote.get("version"):
        _tell_of_version(local["version"], remote.get("version"))
        return None
    return Link() if remote.get("receives") else None


@cache
def _tell_of_version(mine: str, other: str | None) -> None:
    logger.warning(
        "pyslab: arrays go as copies to and from a process of this host that has pyslab %s, where "
        "this one has %s. Install the same version for all workers and clients.",
        other or "of an unknown version",
        mine,
    )


class Link:
    """A connection on which frames go as handles."""

    def __init__(self) -> None:
        self._sent: deque[ArraySender] = deque(maxlen=_REMEMBERED)

    def remember(self, sender: ArraySender) -> None:
        """Have the sender's handles taken back once the connection has ended."""
        self._sent.append(sender)

    def __del__(self) -> None:
        if self._sent:
            with _lock:
                _ended.append((time.monotonic() + _GRACE_S, self._sent))


def take_back(now: float | None = None) -> None:
    """End the handles of connections that ended a while ago (or before now, a monotonic time)."""
    now = time.monotonic() if now is None else now
    with _lock:
        due = [sent for at, sent in _ended if at <= now]
        _ended[:] = [(at, sent) for at, sent in _ended if at > now]
    for sent in due:
        for sender in sent:
            sender.revoke()


def stop_receiving(why: str) -> None:
    """Announce from now on that this process takes bytes only."""
    global _receives
    if _receives:
        _receives = False
        logger.warning(
            "pyslab: arrays come as copies from now on, because this process cannot open the "
            "heaps of others: %s. Run `pyslab doctor` for what is in the way.",
            why,
        )
