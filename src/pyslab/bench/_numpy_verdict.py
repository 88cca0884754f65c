"""The promises that section 6 measures. See `_verdict.py` for the others.

How much faster an expression gets is the share that page faults had in it; so the figures
asked for hold where memory is fast and a fault dear, and the bound, which depends on neither,
stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyslab.bench import _numpy
from pyslab.bench._judge import NOT_MEASURED, Verdict, at_most
from pyslab.bench._numpy_probe import ARENA_OUTPUTS, FRESH, NUMPY, OUTPUTS
from pyslab.bench._python import size_name
from pyslab.bench._results import PYSLAB, Ratio, Results, Series

CHAIN_SPEED_UPS = ((256 << 10, 4.0), (1 << 20, 4.0), (4 << 20, 4.0), (16 << 20, 1.7))
CHAIN_TO_OUTPUTS = ((64 << 20, 1.15),)
EMPTY_TO_DEFAULT = 1.03
EMPTY_SMALL = (64, 1 << 10, 4 << 10, 64 << 10)
EMPTY_NS = 250.0
EMPTY_LARGE = (4 << 20, 16 << 20, 64 << 20)
PEAK_TO_DEFAULT = 1.1


def numpy_verdicts(results: Results) -> list[Verdict]:
    """All promises of the section."""
    return [
        *_speed_ups(results),
        *_to_outputs(results),
        _empty_small(results),
        _empty_large(results),
        _peak(results),
    ]


def faster_outputs(results: Results, heap: str, workload: str) -> Series | None:
    """The outputs made before, by NumPy or by the arena: whichever is faster."""
    names = (OUTPUTS, ARENA_OUTPUTS)
    series = results.series
    found = [item for name in names if (item := series.find(_numpy.SECTION, heap, workload, name))]
    return min(found, key=lambda item: item.minimum, default=None)


def _speed_ups(results: Results) -> Iterator[Verdict]:
    for size, wanted in CHAIN_SPEED_UPS:
        where = (_numpy.SECTION, FRESH, size_name(size))
        claim = f"NumPy: a*b + c*d - a, {size_name(size)}, default / pyslab"
        asked = f">= {wanted:g}x"
        theirs = results.series.find(*where, NUMPY)
        ours = results.series.find(*where, PYSLAB)
        bound = faster_outputs(results, FRESH, size_name(size))
        if ours is None or theirs is None or bound is None:
            yield Verdict(claim, asked, NOT_MEASURED, None)
            continue
        ratio, most = Ratio.of(theirs, ours), Ratio.of(theirs, bound)
        measured = (
            f"{ratio.minimum:.2f}x (median {ratio.median:.2f}x; "
            f"default / no allocation {most.minimum:.2f}x)"
        )
        yield Verdict(claim, asked, measured, ratio.minimum >= wanted)


def _to_outputs(results: Results) -> Iterator[Verdict]:
    for size, limit in CHAIN_TO_OUTPUTS:
        name = size_name(size)
        yield at_most(
            f"NumPy: a*b + c*d - a, {name}, pyslab / outputs made before",
            results.series.find(_numpy.SECTION, FRESH, name, PYSLAB),
            faster_outputs(results, FRESH, name),
            limit,
        )


def _empty_small(results: Results) -> Verdict:
    claim = "NumPy: np.empty of 64 B to 64 KiB, pyslab / default"
    asked = f"<= {EMPTY_TO_DEFAULT:g}x"
    found = []
    for name in map(size_name, EMPTY_SMALL):
        where = (_numpy.SECTION, _numpy.NP_EMPTY, name)
        ours, theirs = results.series.find(*where, PYSLAB), results.series.find(*where, NUMPY)
        if ours and theirs:
            found.append((Ratio.of(ours, theirs).minimum, name))
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst, name = max(found)
    return Verdict(claim, asked, f"{worst:.3f}x at {name}", worst <= EMPTY_TO_DEFAULT)


def _empty_large(results: Results) -> Verdict:
    claim = "NumPy: np.empty of 4 to 64 MiB from an arena"
    asked = f"<= {EMPTY_NS:g} ns"
    where = (_numpy.SECTION, _numpy.NP_EMPTY)
    names = map(size_name, EMPTY_LARGE)
    found = [item for name in names if (item := results.series.find(*where, name, PYSLAB))]
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst = max(found, key=lambda item: item.minimum)
    measured = f"{worst.minimum:.0f} ns at {worst.workload} (median {worst.median:.0f} ns)"
    return Verdict(claim, asked, measured, worst.minimum <= EMPTY_NS)


def _peak(results: Results) -> Verdict:
    claim = "NumPy: peak memory of the process, pyslab / default"
    asked = f"<= {PEAK_TO_DEFAULT:g}x"
    found = []
    for item in results.numpy.peaks:
        base = results.numpy.peak(NUMPY, item.workload)
        if item.contender == PYSLAB and base:
            found.append((item.peak_bytes / base.peak_bytes, item.workload))
    if not found:
        return Verdict(claim, asked, NOT_MEASURED, None)
    worst, name = max(found)
    return Verdict(claim, asked, f"{worst:.3f}x with arrays of {name}", worst <= PEAK_TO_DEFAULT)
