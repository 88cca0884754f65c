"""The tables of section 6. See `_tables.py` for the others."""

from __future__ import annotations

from pyslab.bench import _numpy
from pyslab.bench._format import MIB, MISSING, Table, format_ns, format_ratio
from pyslab.bench._numpy_probe import ARENA_OUTPUTS, CHAIN, FRESH, GROWN, NUMPY, OUTPUTS
from pyslab.bench._results import PYSLAB, Ratio, Results

CONTENDERS = (NUMPY, PYSLAB, OUTPUTS, ARENA_OUTPUTS)


def numpy_tables(results: Results) -> list[Table]:
    """The section; tables without a row are the caller's to leave out."""
    return [
        _chain(results, FRESH, "only arrays of this size so far"),
        _chain(results, GROWN, "one of 32 MiB was dropped before"),
        _empty(results),
        _peaks(results),
    ]


def _chain(results: Results, heap: str, meaning: str) -> Table:
    """Two rows per size: of the fastest rounds and of the median ones."""
    series = results.series
    where = (_numpy.SECTION, heap)
    rows = []
    for workload in series.workloads(*where):
        found = [series.find(*where, workload, name) for name in CONTENDERS]
        if not all(found):
            continue
        theirs, ours, *bounds = [item for item in found if item]
        bound = min(bounds, key=lambda item: item.minimum)
        faults = [results.numpy.faults_of(name, heap, workload) for name in (NUMPY, PYSLAB)]
        counts = " / ".join(MISSING if count is None else f"{count:.0f}" for count in faults)
        speed, rest = Ratio.of(theirs, ours), Ratio.of(ours, bound)
        lowest = [format_ns(item.minimum) for item in (theirs, ours, *bounds)]
        middle = [format_ns(item.median) for item in (theirs, ours, *bounds)]
        rows.append(
            [workload, "min", *lowest, format_ratio(speed.minimum), f"{rest.minimum:.2f}", counts]
        )
        rows.append(["", "median", *middle, format_ratio(speed.median), f"{rest.median:.2f}", ""])
    columns = ("", "of", *CONTENDERS, "default / pyslab", "pyslab / outputs", "page faults")
    return Table(f"6. NumPy: {CHAIN}, float64, {heap} ({meaning})", columns, rows)


def _empty(results: Results) -> Table:
    series = results.series
    where = (_numpy.SECTION, _numpy.NP_EMPTY)
    rows = []
    for workload in series.workloads(*where):
        theirs, ours = (series.find(*where, workload, name) for name in (NUMPY, PYSLAB))
        if ours and theirs:
            ratio = Ratio.of(ours, theirs)
            times = [format_ns(item.minimum) for item in (theirs, ours)]
            rows.append([workload, *times, f"{ratio.minimum:.3f}", f"{ratio.median:.3f}"])
    columns = ("", NUMPY, PYSLAB, "pyslab / default", "median")
    return Table("6. NumPy: np.empty, made + dropped", columns, rows)


def _peaks(results: Results) -> Table:
    found = results.numpy
    rows = []
    for item in found.peaks:
        base = found.peak(NUMPY, item.workload)
        if item.contender == PYSLAB and base:
            rows.append(
                [
                    item.workload,
                    *(f"{peak.peak_bytes / MIB:.1f} MiB" for peak in (base, item)),
                    f"{item.peak_bytes / base.peak_bytes:.3f}",
                    *(f"{peak.growth_bytes / MIB:.1f} MiB" for peak in (base, item)),
                ]
            )
    columns = ("", NUMPY, PYSLAB, "pyslab / default", "of that arrays: numpy", "pyslab")
    return Table(f"6. NumPy: peak memory of a process with {CHAIN}", columns, rows)
