"""The benchmark's section on NumPy: its probe, tables, verdicts, and the page made of it.

Figures are made up where a judgement is tested: nothing here depends on the clock.
"""

import shutil
import subprocess
import sys
import tracemalloc
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("numpy")

import numpy as np

from pyslab.bench.harness.child import call_in_child
from pyslab.bench.harness.progress import PlainProgress
from pyslab.bench.harness.results import BenchError, Results
from pyslab.bench.harness.section import QUICK, Run, Section
from pyslab.bench.harness.series import PYSLAB, Series
from pyslab.bench.harness.table import Table, format_size
from pyslab.bench.harness.timing import EMPTY
from pyslab.bench.harness.verdict import Verdict
from pyslab.bench.sections import numpy_chain, numpy_empty, numpy_peak
from pyslab.bench.sections.numpy_arrays import CHAIN, CHAIN_SIZES, NUMPY
from pyslab.bench.sections.numpy_chain import (
    ARENA_CALLS,
    ARENA_OUTPUTS,
    CONTENDERS,
    FRESH,
    GROWN,
    OUTPUTS,
    SECTION_NAME,
    Faults,
)
from pyslab.bench.sections.numpy_peak import PeakMemory
from tests.utils import REPO

SECTIONS: tuple[Section, ...] = (numpy_chain.SECTION, numpy_empty.SECTION, numpy_peak.SECTION)
POLICIES = REPO / "bench" / "policies"
MARKERS = ("<!-- figures: numpy_temporaries.py writes them -->", "<!-- end of figures -->")
TINY = (2, 0.0001)  # rounds, and seconds of each


def _verdicts(results: Results) -> list[Verdict]:
    return [verdict for section in SECTIONS for verdict in section.verdicts(results)]


def _tables(results: Results) -> list[Table]:
    return [table for section in SECTIONS for table in section.tables(results)]


def _results(speed_up: float, empty: float, peak: float, calls: float = 896.0) -> Results:
    """Return figures in which pyslab takes 1000 ns for every expression."""
    results = Results(machine={}, options={})
    ns = {NUMPY: 1000 * speed_up, PYSLAB: 1000.0, OUTPUTS: 900.0, ARENA_OUTPUTS: 870.0}
    ns[ARENA_CALLS] = calls
    for size in map(format_size, CHAIN_SIZES):
        for name in CONTENDERS:
            series = Series(SECTION_NAME, FRESH, size, name, (ns[name], 2 * ns[name]))
            results.series.extend([series])
            results.add(Faults(name, FRESH, size, 7.0))
        for name, nbytes in ((NUMPY, 1000), (PYSLAB, int(1000 * peak))):
            results.add(PeakMemory(name, size, nbytes, nbytes))
    for size in map(format_size, numpy_empty.SIZES):
        for name, value in ((NUMPY, 100.0), (PYSLAB, empty)):
            results.series.extend([Series(*numpy_empty.WHERE, size, name, (value,))])
    return results


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((4.0, 103.0, 1.1), [True] * 8 + [True] * 3),
        ((3.99, 103.1, 1.102), [False] * 3 + [True] * 5 + [False, True, False]),
        ((1.69, 251.0, 1.0, 896.2), [False] * 7 + [True] + [False, False, True]),
    ],
)
def test_the_verdicts(figures: tuple[float, ...], expected: list[bool]) -> None:
    """Each promise holds up to its figure and not beyond; 1000 / 870 is within 1.15, and 896 / 870
    within 1.03."""
    assert expected == [item.holds for item in _verdicts(_results(*figures))]


def test_slower_than_the_faster_outputs() -> None:
    """The bound is the faster one of the outputs, whoever made them."""
    results = _results(4, 100, 1)
    large = Series(SECTION_NAME, FRESH, "64 MiB", ARENA_OUTPUTS, (869.0,))
    kept = [item for item in results.series if (item.workload, item.contender) != _key(large)]
    results.series.items = [*kept, large]
    (verdict,) = (item for item in _verdicts(results) if "64 MiB, pyslab" in item.claim)
    assert verdict.holds is False


def _key(series: Series) -> tuple[str, str]:
    return series.workload, series.contender


def test_not_measured() -> None:
    """Without figures there is no judgement, and no row."""
    results = Results(machine={}, options={})
    assert {None} == {item.holds for item in _verdicts(results)}
    assert [0] * 4 == [len(table.rows) for table in _tables(results)]


def test_the_tables() -> None:
    """Two rows for each expression; each with as many cells as columns."""
    tables = _tables(_results(2.5, 100, 1.05))
    fresh, grown, empty, peaks = tables
    assert [12, 0, 9, 6] == [len(table.rows) for table in (fresh, grown, empty, peaks)]
    for table in tables:
        assert all(len(table.columns) == len(row) for row in table.rows)
    assert ["2.50", "1.15", "7 / 7"] == list(fresh.rows[0][-3:])
    assert "1.050" in peaks.rows[0]


@pytest.mark.parametrize("heap", [FRESH, GROWN])
def test_the_chain(heap: str) -> None:
    """Every contender has positive times, and in an arena nothing faults."""
    found = call_in_child(numpy_chain.chain, 256 << 10, heap, *TINY)
    assert set(CONTENDERS) == set(found)
    for row in found.values():
        assert 2 == len(row["ns"])
        assert all(ns > 0 for ns in row["ns"])
    assert 0 == found[PYSLAB]["faults"] == found[ARENA_OUTPUTS]["faults"]


def test_the_ways_give_the_same() -> None:
    """With temporaries or without, inside the arena or not: one result."""
    import numpy as np

    import pyslab

    with pyslab.Arena("64MiB") as arena:
        for statement in numpy_chain.chain_statements(arena, 8000):
            names = dict(statement.names)
            expected = names["a"] * names["b"] + names["c"] * names["d"] - names["a"]
            source = statement.candidates[0]
            if statement.contender in (NUMPY, PYSLAB):
                result = statement.context.run(eval, source, names)
            else:
                statement.context.run(exec, source.replace("del t, u", ""), names)
                result = names["t"]
            assert np.array_equal(expected, result)
            inside = arena.base <= result.ctypes.data < arena.base + arena.size
            assert inside == (statement.contender in (PYSLAB, ARENA_CALLS, ARENA_OUTPUTS))


def test_np_empty() -> None:
    """Every size, of both and of the empty loop."""
    found = call_in_child(numpy_empty.empty, *TINY)
    assert {str(size) for size in numpy_empty.SIZES} == set(found)
    assert {frozenset((NUMPY, PYSLAB, EMPTY))} == {frozenset(row) for row in found.values()}


def _temporaries(nbytes: int) -> int:
    """How many arrays the chain holds at once beside its operands.

    Two where NumPy writes a result over a temporary; three where it cannot see that nobody else
    has it, as NumPy 2.5 on Python 3.14 and 3.15.
    """
    operands = {name: np.ones(nbytes // 8) for name in "abcd"}
    tracemalloc.start()
    try:
        eval(CHAIN, operands)
        return round(tracemalloc.get_traced_memory()[1] / nbytes)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [NUMPY, PYSLAB])
def test_peak_memory(name: str) -> None:
    """Four operands and two or three temporaries of 4 MiB, and little more."""
    arrays = 4 + _temporaries(4 << 20)
    assert arrays in (6, 7)
    row = call_in_child(numpy_peak.peak, name, 4 << 20)
    assert arrays * 4 << 20 <= row["growth_bytes"] <= (arrays * 4 + 3) << 20
    assert row["growth_bytes"] < row["peak_bytes"]


def test_a_probe_that_fails() -> None:
    """Its last line is the error's text."""
    with pytest.raises(BenchError, match="TypeError"):
        call_in_child(numpy_chain.chain, 8000, FRESH, 0, "no number")


def test_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sections are left out with one note, and the others go on."""

    def missing(*_: object) -> None:
        raise BenchError("numpy is not installed")

    results = Results(machine={}, options={})
    for module, section in zip((numpy_chain, numpy_empty, numpy_peak), SECTIONS, strict=True):
        monkeypatch.setattr(module, "call_in_child", missing)
        section.measure(Run(results, QUICK, PlainProgress()))
    assert ["NumPy's arrays left out: numpy is not installed"] == results.notes
    assert [] == list(results.series)


@pytest.mark.parametrize("measured", [True, False])
def test_the_picture(measured: bool) -> None:
    """Two panels of NumPy's; without figures they are empty, and nothing warns."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    results = _results(2, 90, 1) if measured else Results(machine={}, options={})
    panels = Figure().subplots(1, 2)
    draw = [panel for section in SECTIONS for panel in section.panels]
    for axes, panel in zip(panels, draw, strict=True):
        panel(axes, results)
    assert [len(CONTENDERS), 2] == [len(axes.lines) for axes in panels] or not measured
    assert [measured] * 2 == [axes.axison for axes in panels]


# --- the page ----------------------------------------------------------------------


def _copy(folder: Path) -> Path:
    """Copy the script and its page; return the script."""
    shutil.copytree(POLICIES, folder / "bench" / "policies")
    (folder / "docs").mkdir()
    shutil.copy(REPO / "docs" / "numpy.md", folder / "docs")
    return folder / "bench" / "policies" / "numpy_temporaries.py"


def _run(script: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(script), "--quick", "--write-docs"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)


def test_the_page(tmp_path: Path) -> None:
    """The tables replace what was between the markers, and nothing else; the picture parses."""
    done = _run(_copy(tmp_path))
    assert 0 == done.returncode, done.stderr
    new = (tmp_path / "docs" / "numpy.md").read_text(encoding="utf-8")
    old = (REPO / "docs" / "numpy.md").read_text(encoding="utf-8")
    begin, end = MARKERS
    assert [1, 1] == [new.count(marker) for marker in MARKERS]
    assert old.partition(begin)[0] == new.partition(begin)[0]
    assert old.partition(end)[2] == new.partition(end)[2]
    assert f"{begin}\n{done.stdout.strip()}\n{end}" in new
    chain, empty = done.stdout.split("\n\n**")[1:]
    assert [1, 1] == [chain.count(f"\n| {size} KiB |") for size in (64, 256)]
    assert len(numpy_empty.SIZES) == empty.count("\n| ") - 1
    root = ET.parse(tmp_path / "docs" / "numpy.svg").getroot()
    lines = [line.attrib["points"] for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [2, 2, 1, 2] == [len(points.split()) for points in lines]


def test_the_committed_page_has_figures() -> None:
    """docs/numpy.md holds tables to 64 MiB, with the command, and its picture is there."""
    text = (REPO / "docs" / "numpy.md").read_text(encoding="utf-8")
    figures = text.partition(MARKERS[0])[2].partition(MARKERS[1])[0]
    assert "numpy_temporaries.py --write-docs" in figures
    assert 2 == figures.count("| 64 MiB | ")
    assert "numpy.svg" in text
    ET.parse(REPO / "docs" / "numpy.svg")


def test_a_page_without_markers(tmp_path: Path) -> None:
    """Nothing is written into a page that lacks them."""
    script = _copy(tmp_path)
    page = tmp_path / "docs" / "numpy.md"
    page.write_text("# no markers\n", encoding="utf-8")
    done = _run(script)
    assert 1 == done.returncode
    assert "lacks its markers" in done.stderr
    assert "# no markers\n" == page.read_text(encoding="utf-8")
