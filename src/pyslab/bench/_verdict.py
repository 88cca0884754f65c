"""The promises of sections 1 to 4, each with the figure asked for and the figure measured.

Judged by the fastest rounds, which say what the code costs; the median stands
beside it in brackets. A promise that this run could not measure is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench import _native, _python
from pyslab.bench._judge import NOT_MEASURED, Verdict, at_most
from pyslab.bench._results import PYSLAB, Ratio, Results, SeriesSet
from pyslab.bench._timing import EMPTY

KMALLOC_TO_BYTEARRAY = 0.35
REFILL_TO_RESIDENT = 1.1
ORDER_0_TO_LIBC = 1.2
ORDER_9_TO_LIBC = 10.0
KMALLOC_TO_LIBC = 0.6
METADATA_SHARE = 0.01
UNTOUCHED_BYTES = 2 << 20

_SMALL = 64
_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True)
class PeerRatio:
    """A peer's time relative to pyslab's in one workload of section 1."""

    group: str
    workload: str
    contender: str
    ratio: Ratio


def verdicts(results: Results) -> list[Verdict]:
    """Those promises, in the order of the sections."""
    series = results.series
    return [
        _kmalloc_to_bytearray(series),
        _ahead(series, _python.ALLOCATE),
        _ahead(series, _python.FILL),
        _refill(series),
        _pair(series, "C: order-0 page / libc malloc(64)", _native.PAIR_ORDER_0, ORDER_0_TO_LIBC),
        _pair(series, "C: order-9 block / libc malloc(64)", _native.PAIR_ORDER_9, ORDER_9_TO_LIBC),
        _pair(series, "C: kmalloc(64) / libc malloc(64)", _native.PAIR_KMALLOC, KMALLOC_TO_LIBC),
        _metadata(results),
        *_untouched(results),
    ]


def behind(series: SeriesSet) -> list[PeerRatio]:
    """The workloads of section 1 in which a peer is as fast as pyslab, or faster."""
    groups = (_python.ALLOCATE, _python.FILL)
    found = [entry for group in groups for entry in _peer_ratios(series, group)]
    return [entry for entry in found if entry.ratio.minimum <= 1]


def _kmalloc_to_bytearray(series: SeriesSet) -> Verdict:
    where = (_python.SECTION, _python.ALLOCATE, _python.size_name(_SMALL))
    return at_most(
        "Python: kmalloc(64) + drop / bytearray(64)",
        series.find(*where, PYSLAB),
        series.find(*where, "bytearray"),
        KMALLOC_TO_BYTEARRAY,
    )


def _peer_ratios(series: SeriesSet, group: str) -> list[PeerRatio]:
    """Every peer's time in a group of section 1 relative to pyslab's, lowest first."""
    found = []
    for item in series:
        if (item.section, item.group) != (_python.SECTION, group):
            continue
        ours = series.find(item.section, group, item.workload, PYSLAB)
        if ours is not None and item.contender not in (PYSLAB, EMPTY):
            ratio = Ratio.of(item, ours)
            found.append(PeerRatio(group, item.workload, item.contender, ratio))
    return sorted(found, key=lambda entry: entry.ratio.minimum)


def _ahead(series: SeriesSet, group: str) -> Verdict:
    claim = f"Python: {group}, closest peer / pyslab"
    asked = "> 1x"
    found = _peer_ratios(series, group)
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    first = found[0]
    measured = f"{first.ratio.minimum:.3g}x {first.contender} at {first.workload}"
    nr_behind = sum(entry.ratio.minimum <= 1 for entry in found)
    if nr_behind:
        measured += f"; behind in {nr_behind} of {len(found)}"
    return Verdict(claim, asked, measured, not nr_behind)


def _refill(series: SeriesSet) -> Verdict:
    """Against the faster of the two resident buffers."""
    where = (_python.SECTION, _python.REFILL, _python.size_name(_python.REFILL_SIZE))
    names = (_python.RESIDENT_BUFFER, _python.RESIDENT_BYTEARRAY)
    resident = [found for name in names if (found := series.find(*where, name))]
    return at_most(
        "Python: 64 MiB allocated, filled, dropped / refilled",
        series.find(*where, PYSLAB),
        min(resident, key=lambda item: item.minimum, default=None),
        REFILL_TO_RESIDENT,
    )


def _pair(series: SeriesSet, claim: str, contender: str, limit: float) -> Verdict:
    where = (_native.SECTION, _native.PAIR, _native.PAIR)
    libc = series.find(*where, _native.PAIR_LIBC)
    return at_most(claim, series.find(*where, contender), libc, limit)


def _metadata(results: Results) -> Verdict:
    claim = "Metadata of an arena that is touched everywhere"
    asked = f"<= {METADATA_SHARE:.0%}"
    metadata = results.memory.metadata
    if metadata is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    measured = f"{metadata.share:.2%} of {metadata.frame_bytes // _MIB} MiB"
    return Verdict(claim, asked, measured, metadata.share <= METADATA_SHARE)


def _untouched(results: Results) -> list[Verdict]:
    found = []
    for item in results.memory.untouched:
        found.append(
            Verdict(
                f"Untouched {item.size_bytes // _GIB} GiB arena, max_order {item.max_order}",
                f"< {UNTOUCHED_BYTES // _MIB} MiB",
                f"{item.resident_bytes / _MIB:.2f} MiB",
                item.resident_bytes < UNTOUCHED_BYTES,
            )
        )
    return found
