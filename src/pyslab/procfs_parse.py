"""The way back: texts of the kernel's /proc files, or of an arena's, to records.

The inverse of procfs.py, for the formats of Linux 6.18: writing what was parsed gives
the same bytes. Every function raises ValueError, with the line, for any other format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyslab.procfs import (
    PAGESET_COUNTS,
    SLABINFO_HEADER,
    ZONE_COUNTS,
    BuddyInfo,
    PageSetInfo,
    SlabInfo,
    ZoneInfo,
)

__all__ = ["parse_buddyinfo", "parse_slabinfo", "parse_vmstat", "parse_zoneinfo"]

_ZONE = r"Node (\d+), zone +(\S+)"
_NUMBER = r" +(\d+)"
_BUDDYINFO = _ZONE + r"((?: +\d+)+) "
_SLABINFO = rf"(\S+){_NUMBER * 5} : tunables{_NUMBER * 3} : slabdata{_NUMBER * 3}"
_VMSTAT = r"(\S+) (\d+)"


def parse_buddyinfo(text: str) -> tuple[BuddyInfo, ...]:
    """Return the records of /proc/buddyinfo, a line each.

    >>> from pyslab import procfs_parse
    >>> procfs_parse.parse_buddyinfo(arena.buddyinfo())[0].zone
    'NORMAL'
    """

    def record(line: str) -> BuddyInfo:
        node, zone, columns = _match(_BUDDYINFO, line)
        return BuddyInfo(int(node), zone, tuple(map(int, columns.split())))

    return tuple(map(record, _lines(text)))


def parse_vmstat(text: str) -> dict[str, int]:
    """Return the counters of /proc/vmstat, in its order.

    >>> from pyslab import procfs_parse
    >>> procfs_parse.parse_vmstat(arena.vmstat())["nr_free_pages"]
    16384
    """
    return {name: int(value) for name, value in (_match(_VMSTAT, ln) for ln in _lines(text))}


def parse_slabinfo(text: str) -> tuple[SlabInfo, ...]:
    """Return the rows of /proc/slabinfo, version 2.1.

    >>> from pyslab import procfs_parse
    >>> procfs_parse.parse_slabinfo(arena.slabinfo())[0].name
    'kmalloc-16'
    """
    if not text.startswith(SLABINFO_HEADER):
        raise ValueError(f"not slabinfo version 2.1: {text[:60]!r}")

    def record(line: str) -> SlabInfo:
        name, *numbers = _match(_SLABINFO, line)
        return SlabInfo(name, *map(int, numbers))

    return tuple(map(record, _lines(text.removeprefix(SLABINFO_HEADER))))


def parse_zoneinfo(text: str) -> tuple[ZoneInfo, ...]:
    """Return the records of /proc/zoneinfo, one per zone, those without frames included.

    >>> from pyslab import procfs_parse
    >>> procfs_parse.parse_zoneinfo(arena.zoneinfo())[0].zone
    'NORMAL'
    """
    reader = _Reader(_lines(text))
    records = []
    while reader:
        records.append(_zone(reader))
    return tuple(records)


# --- reading -------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    if text and not text.endswith("\n"):
        raise ValueError(f"the last line has no end: {text[-60:]!r}")
    return text.split("\n")[:-1]


def _match(pattern: str, line: str) -> tuple[str, ...]:
    return _Reader([line]).take(pattern)


class _Reader:
    """Lines of a text with a position; false at the end."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._lines)

    def maybe(self, pattern: str) -> tuple[str, ...] | None:
        """Step over the next line if it matches; return its groups."""
        match = re.fullmatch(pattern, self._lines[self._at]) if self else None
        if match is None:
            return None
        self._at += 1
        return match.groups()

    def take(self, pattern: str) -> tuple[str, ...]:
        """Step over the next line, which must match; return its groups."""
        groups = self.maybe(pattern)
        if groups is None:
            line = self._lines[self._at] if self else "the end"
            raise ValueError(f"not the format of Linux 6.18: {line!r} for {pattern!r}")
        return groups

    def number(self, label: str) -> int:
        """Return the number after label, which the next line must be."""
        return int(self.take(re.escape(label) + _NUMBER)[0])

    def stats(self) -> dict[str, int]:
        """Return the names and values of the statistics that follow."""
        found = {}
        while groups := self.maybe(r"      (\w+)" + _NUMBER):
            found[groups[0]] = int(groups[1])
        return found


def _zone(reader: _Reader) -> ZoneInfo:
    node, zone = reader.take(_ZONE)
    node_stats = reader.stats() if reader.maybe("  per-node stats") is not None else None
    free = reader.number("  pages free")
    counts = {name: reader.number(f"        {name}") for name in ZONE_COUNTS}
    (protection,) = reader.take(r"        protection: \((\d+(?:, \d+)*)\)")
    stats = reader.stats() or None
    if stats is not None:
        reader.take("  pagesets")
    pagesets, threshold = _pagesets(reader)
    return ZoneInfo(
        node=int(node),
        zone=zone,
        node_stats=node_stats,
        free=free,
        **counts,
        protection=tuple(map(int, protection.split(", "))),
        stats=stats,
        pagesets=pagesets,
        vm_stats_threshold=threshold,
        node_unreclaimable=reader.number("  node_unreclaimable:") if stats else None,
        start_pfn=reader.number("  start_pfn:") if stats else None,
    )


def _pagesets(reader: _Reader) -> tuple[tuple[PageSetInfo, ...], int | None]:
    pagesets = []
    thresholds = set()
    while cpu := reader.maybe(r"    cpu: (\d+)"):
        values = {name: reader.number(f"              {name}:") for name in PAGESET_COUNTS}
        pagesets.append(PageSetInfo(int(cpu[0]), **values))
        thresholds.add(reader.maybe(r"  vm stats threshold: (\d+)"))
    if len(thresholds) > 1:
        raise ValueError(f"CPUs of one zone differ in their threshold: {thresholds}")
    threshold = thresholds.pop() if thresholds else None
    return tuple(pagesets), int(threshold[0]) if threshold else None
