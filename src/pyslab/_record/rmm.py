"""Logs of RMM, the RAPIDS Memory Manager, as record files.

Its logging adaptor writes rows of Thread,Time,Action,Pointer,Size,Stream. Rows are in the order in
which the allocations happened; the time of a row is that of a day, and only told, never relied on.
"""

from __future__ import annotations

import csv
import re

from pyslab._record.writer import FREE, MEMALIGN, RecordWriter

__all__ = ["is_rmm_log", "write_record"]

_TIME = re.compile(r"(\d+):(\d+):(\d+)[:.](\d+)")
_ALIGN = 8  # log2 of 256: what RMM aligns to
_FREES = ("free", "deallocate")


def is_rmm_log(path: str) -> bool:
    """Tell whether a file begins with the names of RMM's columns."""
    with open(path, "rb") as file:
        first = file.readline(256)
    return first.startswith(b"Thread,Time,Action,Pointer,Size")


def _nanoseconds(text: str) -> int:
    """Return the time of the day; 0 for a text that is none."""
    match = _TIME.search(text)
    if match is None:
        return 0
    hours, minutes, seconds, fraction = match.groups()
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * 10**9 + int(fraction.ljust(9, "0")[:9])


def write_record(log: str, path: str) -> None:
    """Write the record file. Raises ValueError for a row that is no row of a log."""
    with open(log, encoding="utf-8", newline="") as rows, open(path, "wb") as file:
        reader = csv.DictReader(rows)
        writer = RecordWriter(file, f"RMM log {log}")
        last = 0
        for row in reader:
            try:
                action = row["Action"].strip()
                address, size = int(row["Pointer"], 16), int(row["Size"])
                now = _nanoseconds(row["Time"])
                if min(address, size) < 0 or max(address, size) >= 1 << 56:
                    raise ValueError("out of range")
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{log}: line {reader.line_num} is no row of RMM: {error}"
                ) from None
            last = max(last + 1, now)  # rows of one microsecond stay in their order
            if action == "allocate" and address:
                writer.event(row["Thread"], MEMALIGN, last, address, size << 6 | _ALIGN)
            elif action in _FREES and address:
                writer.event(row["Thread"], FREE, last, address)
        writer.close()
