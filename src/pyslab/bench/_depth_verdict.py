"""The promises that section 5 measures. See `_verdict.py` for the others.

Where a promise names the best peer, that is the best of the preloaded libraries of
this run; without one it is not judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from pyslab.bench import _depth
from pyslab.bench._depth_results import DepthResults, Peak, Zeroed
from pyslab.bench._judge import NOT_MEASURED, Verdict, at_most
from pyslab.bench._results import PYSLAB, Results

TWO_THREADS = 1.9
CONTIGUOUS_BYTES = 64 << 20
SMALL_BYTES = 2.5 * (1 << 20)
FRAGMENTATION_SHARE = 0.12
FRAGMENTED_COST = 1.5
CACHE_TO_KMALLOC = 1.0
BUFFER_FRAMES = 16384  # of 64 MiB

_MIB = 1 << 20


def depth_verdicts(results: Results) -> list[Verdict]:
    """All promises of the section."""
    depth = results.depth
    peers = _depth.peer_names(results)
    return [
        _object(results, _depth.CACHE_ALLOC),
        _object(results, _depth.ALLOC_BULK),
        *_threads(depth),
        _tail_growth(depth, peers),
        _contiguous(depth),
        _scattered(depth, peers),
        _small(depth),
        _cleared(depth, _depth.FRESH, 0),
        _cleared(depth, _depth.RECYCLED, BUFFER_FRAMES),
        _aligned(depth, _depth.APART, "8 KiB blocks 64 KiB apart"),
        _aligned(depth, _depth.IN_HOLES, "8 KiB blocks in the holes between these"),
        _fragmentation(depth),
    ]


def _object(results: Results, contender: str) -> Verdict:
    where = (_depth.SECTION, _depth.OBJECTS, f"{_depth.OBJECT_SIZE} B")
    return at_most(
        f"Python: {contender} per object / kmalloc({_depth.OBJECT_SIZE})",
        results.series.find(*where, contender),
        results.series.find(*where, _depth.KMALLOC),
        CACHE_TO_KMALLOC,
    )


def _threads(depth: DepthResults) -> Iterator[Verdict]:
    machine = [item.speed_up for item in depth.threads if item.contender == _depth.NO_ALLOCATOR]
    for item in depth.threads:
        if item.contender == PYSLAB:
            measured = f"{item.speed_up:.2f}x (median {item.median_speed_up:.2f}x"
            if machine:
                measured += f"; no allocator {machine[0]:.2f}x"
            yield Verdict(
                f"C: two threads / one, {item.workload}",
                f">= {TWO_THREADS:g}x",
                measured + ")",
                item.speed_up >= TWO_THREADS,
            )


def _tail_growth(depth: DepthResults, peers: list[str]) -> Verdict:
    claim = "C: growth of p99.9, 1e3 to 1e7 live objects"
    sets = (_depth.LIVE_FEW, _depth.LIVE_MANY)
    ours = depth.tail_growth(PYSLAB, *sets)
    found = [(growth, name) for name in peers if (growth := depth.tail_growth(name, *sets))]
    if ours is None or not found:
        return Verdict(claim, "<= best peer", NOT_MEASURED, None)
    best, name = min(found)
    return Verdict(claim, f"<= {best:.1f}x ({name})", f"{ours:.1f}x", ours <= best)


def _peaks(depth: DepthResults, survivors: str) -> dict[str, Peak]:
    return {item.contender: item for item in depth.peaks if item.survivors == survivors}


def _peak_claim(found: dict[str, Peak], survivors: str) -> str:
    peak = f" {found[PYSLAB].peak_bytes // _MIB} MiB" if PYSLAB in found else ""
    return f"Resident after a peak of{peak}, {survivors}"


def _contiguous(depth: DepthResults) -> Verdict:
    found = _peaks(depth, _depth.CONTIGUOUS)
    claim = _peak_claim(found, _depth.CONTIGUOUS)
    asked = f"< {CONTIGUOUS_BYTES // _MIB} MiB"
    if PYSLAB not in found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    settled = found[PYSLAB].settled_bytes
    return Verdict(claim, asked, f"{settled / _MIB:.1f} MiB", settled < CONTIGUOUS_BYTES)


def _scattered(depth: DepthResults, peers: list[str]) -> Verdict:
    found = _peaks(depth, _depth.SCATTERED)
    claim = _peak_claim(found, _depth.SCATTERED)
    others = [(found[name].settled_bytes, name) for name in peers if name in found]
    if PYSLAB not in found or not others:
        return Verdict(claim, "<= best peer", NOT_MEASURED, None)
    best, name = min(others)
    settled = found[PYSLAB].settled_bytes
    asked = f"<= {best / _MIB:.0f} MiB ({name})"
    return Verdict(claim, asked, f"{settled / _MIB:.0f} MiB", settled <= best)


def _small(depth: DepthResults) -> Verdict:
    claim = "Resident for 5000 small objects"
    asked = f"<= {SMALL_BYTES / _MIB:g} MiB"
    for item in depth.small:
        if item.contender == PYSLAB:
            measured = f"{item.resident_bytes / _MIB:.2f} MiB"
            return Verdict(claim, asked, measured, item.resident_bytes <= SMALL_BYTES)
    return Verdict(claim, asked, NOT_MEASURED, None)


def _cleared(depth: DepthResults, state: str, frames: int) -> Verdict:
    claim = f"64 MiB zeroed buffer, {state}: frames cleared"
    asked = f"{frames}"
    item = _zeroed(depth, state)
    if item is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    measured = f"{item.cleared} (known zero {item.known_zero})"
    return Verdict(claim, asked, measured, item.cleared == frames)


def _zeroed(depth: DepthResults, state: str) -> Zeroed | None:
    for item in depth.zeroed:
        if (item.contender, item.state) == (PYSLAB, state):
            return item
    return None


def _aligned(depth: DepthResults, layout: str, name: str) -> Verdict:
    claim = f"C: {name} / in an unfragmented arena"
    asked = f"<= {FRAGMENTED_COST:g}x"
    ours, base = depth.in_layout(layout), depth.in_layout(_depth.SIDE_BY_SIDE)
    if ours is None or base is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    ratio = min(ours.ns_per_op) / min(base.ns_per_op)
    medians = statistics.median(ours.ns_per_op) / statistics.median(base.ns_per_op)
    measured = f"{ratio:.2f}x (median {medians:.2f}x)"
    return Verdict(claim, asked, measured, ratio <= FRAGMENTED_COST)


def _fragmentation(depth: DepthResults) -> Verdict:
    claim = "Total fragmentation, Bonwick's re-enactment"
    asked = f"<= {FRAGMENTATION_SHARE:.0%}"
    shares = {(item.allocator, item.stage): item.share for item in depth.fragmentation}
    ours = shares.get((PYSLAB, _depth.LAST_STAGE))
    if ours is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    released = shares[PYSLAB, _depth.RELEASE_STAGE]
    bare = shares[_depth.BARE_BUDDY, _depth.LAST_STAGE]
    measured = f"{ours:.1%} (released {released:.1%}, bare buddy {bare:.1%})"
    return Verdict(claim, asked, measured, ours <= FRAGMENTATION_SHARE)
