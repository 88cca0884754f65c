"""What a tracked arena has in callers' hands, and where each piece of it was allocated.

``Arena.leaks()`` returns a list of Leak. Not here: when an arena is tracked, and when it reports
(_arena/tracking.py); the command ``pyslab leaks`` (leaks_command.py).

>>> import pyslab
>>> with pyslab.Arena("1MiB", track="leaks") as arena:
...     kept = arena.kmalloc(100)
...     [(leak.bytes, leak.count) for leak in arena.leaks()]
...     arena.kfree(kept)
[(112, 1)]
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["Frame", "Leak", "from_json", "leaks_of", "report", "table", "to_json"]

_MOST_PLACES = 10  # in the text of a warning


class Frame(NamedTuple):
    """A function on the way to an allocation, as traceback.FrameSummary has it.

    file: Path of the Python file, or of the program or library of a C function.
    line: Of the file, from 1; 0: a C function.
    function: Its name; for C ``symbol+0x1f``, or the place in the file if no symbol is exported.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        if self.line:
            return f"{self.file}:{self.line} in {self.function}"
        return f"{self.function} ({os.path.basename(self.file)})"


@dataclasses.dataclass(frozen=True)
class Leak:
    """Live allocations that were made at one place.

    bytes: Of all of them, usable ones: an object's size in its cache, else whole frames.
    count: How many; a vmalloc area or a region counts as the blocks of frames it is made of.
    allocated_at: The calls that led to the allocation, the innermost first.
    """

    bytes: int
    count: int
    allocated_at: tuple[Frame, ...]

    def __str__(self) -> str:
        head = f"{self.bytes} bytes in {_plural(self.count, 'allocation')}"
        return "\n".join([head, *(f"    {frame}" for frame in self.allocated_at)])


_Raw = Iterable[tuple[int, int, Iterable[Sequence[Any]]]]


def leaks_of(raw: _Raw) -> list[Leak]:
    """Return the places of (bytes, count, frames), the most bytes first; equal ones are one."""
    sums: dict[tuple[Frame, ...], tuple[int, int]] = {}
    for nbytes, count, frames in raw:
        place = tuple(Frame(*frame) for frame in frames)
        old_bytes, old_count = sums.get(place, (0, 0))
        sums[place] = (old_bytes + nbytes, old_count + count)
    found = [Leak(nbytes, count, place) for place, (nbytes, count) in sums.items()]
    return sorted(found, key=lambda leak: (-leak.bytes, leak.allocated_at))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _summary(leaks: Sequence[Leak]) -> str:
    nbytes, count = sum(leak.bytes for leak in leaks), sum(leak.count for leak in leaks)
    places = _plural(len(leaks), "place")
    return f"{nbytes} bytes in {_plural(count, 'allocation')} from {places}"


def _lost_line(lost: int) -> str:
    return f"{_plural(lost, 'allocation')} found no memory to be recorded in"


def report(title: str, leaks: Sequence[Leak], lost: int = 0) -> str:
    """Return the text of a warning: the title, the sums, and the ten largest places.

    >>> print(pyslab.leaks.report("mine", []))
    mine with 0 bytes in 0 allocations from 0 places still in use:...
    """
    lines = [f"{title} with {_summary(leaks)} still in use:"]
    lines += [f"  {leak}".replace("\n", "\n  ") for leak in leaks[:_MOST_PLACES]]
    if len(leaks) > _MOST_PLACES:
        lines.append(f"  and {_plural(len(leaks) - _MOST_PLACES, 'other place')}")
    if lost:
        lines.append(f"  and {_lost_line(lost)}")
    return "\n".join(lines)


def table(leaks: Sequence[Leak], lost: int = 0) -> str:
    """Return a row for each place, its calls below one another.

    >>> print(pyslab.leaks.table([]))
    0 bytes in 0 allocations from 0 places...
    """
    rows = [("bytes", "count", "allocated at")]
    for leak in leaks:
        calls = [str(frame) for frame in leak.allocated_at] or ["?"]
        rows.append((str(leak.bytes), str(leak.count), calls[0]))
        rows += [("", "", call) for call in calls[1:]]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{row[0]:>{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}" for row in rows]
    if lost:
        lines.append(_lost_line(lost))
    return "\n".join([_summary(leaks), *lines])


def to_json(leaks: Sequence[Leak], **more: Any) -> str:
    """Return one line with the places, and with more facts by name; from_json() reads it.

    >>> pyslab.leaks.to_json([], name="mine")
    '{"name": "mine", "leaks": []}'
    """
    return json.dumps({**more, "leaks": [dataclasses.astuple(leak) for leak in leaks]})


def from_json(line: str) -> tuple[list[Leak], dict[str, Any]]:
    """Return the places of a line of to_json(), and the other facts.

    >>> pyslab.leaks.from_json('{"name": "mine", "leaks": []}')
    ([], {'name': 'mine'})
    """
    facts: dict[str, Any] = json.loads(line)
    return leaks_of(facts.pop("leaks")), facts
