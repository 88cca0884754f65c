"""The arithmetic of bench/workloads: ratios, means, verdicts, failures, with made-up figures."""

import json
import math
from typing import Any

import pytest

from tests.workloads import load

figures: Any = load("figures")
report: Any = load("report")

PYSLAB, GLIBC = "pyslab", "glibc"


def _run(workload: str, allocator: str, seconds: float, peak: int = 1000, number: int = 0) -> Any:
    return figures.Run(workload, allocator, number, seconds=seconds, peak_kib=peak)


def _failed(workload: str, allocator: str, seconds: float = 0.001) -> Any:
    return figures.Run(
        workload, allocator, 0, seconds=seconds, peak_kib=1, error="ended by SIGSEGV"
    )


def _holds(*runs: Any) -> list[bool | None]:
    return [item.holds for item in figures.verdicts(figures.Figures(runs).summaries())]


def _summary(allocator: str, *runs: Any) -> Any:
    (found,) = (s for s in figures.Figures(runs).summaries() if s.allocator == allocator)
    return found


def test_geometric_mean() -> None:
    """The root of the product; None of nothing."""
    assert 4.0 == pytest.approx(figures.geometric_mean([2.0, 8.0]))
    assert 1.0 == pytest.approx(figures.geometric_mean([0.5, 2.0, 1.0]))
    assert figures.geometric_mean([]) is None


def test_ratios() -> None:
    """Each to the lowest; nothing of nothing."""
    assert {"a": 1.5, "b": 1.0} == figures.ratios({"a": 3.0, "b": 2.0})
    assert {"a": 1.0} == figures.ratios({"a": 3.0})
    assert {} == figures.ratios({})


def test_a_cell_takes_the_fastest_and_the_median() -> None:
    """Of three rounds: least time, middle time, middle peak."""
    runs = [_run("w", GLIBC, s, p, n) for n, (s, p) in enumerate([(3.0, 30), (1.0, 50), (9.0, 10)])]
    assert figures.Cell(1.0, 3.0, 30) == figures.Figures(runs).cells["w", GLIBC]


def test_means_over_the_workloads() -> None:
    """Relative to the best at each workload, whoever that is."""
    runs = [
        _run("a", PYSLAB, 2.0, 300), _run("a", GLIBC, 1.0, 100),
        _run("b", PYSLAB, 1.0, 100), _run("b", GLIBC, 8.0, 100),
    ]  # fmt: skip
    ours, theirs = _summary(PYSLAB, *runs), _summary(GLIBC, *runs)
    assert math.sqrt(2.0) == pytest.approx(ours.time)
    assert math.sqrt(3.0) == pytest.approx(ours.memory)
    assert math.sqrt(8.0) == pytest.approx(theirs.time)
    assert 1.0 == pytest.approx(theirs.memory)
    assert (2.0, "a", ("a",), ()) == (ours.worst, ours.worst_workload, ours.over, ours.failed)
    assert [PYSLAB, GLIBC] == figures.Figures(runs[::-1]).allocators


def test_a_crash_is_not_fast() -> None:
    """A failed run gives no figure, sets no best, and is named."""
    runs = [
        _failed("a", PYSLAB),
        _run("a", GLIBC, 1.0),
        _run("b", PYSLAB, 2.0),
        _run("b", GLIBC, 2.0),
    ]
    found = figures.Figures(runs)
    assert {GLIBC: 1.0} == found.row("a", lambda cell: cell.fastest)
    assert 1.0 == pytest.approx(_summary(GLIBC, *runs).time)
    assert ("a",) == _summary(PYSLAB, *runs).failed
    assert ["ended by SIGSEGV"] == [run.error for run in found.failures()]
    assert _holds(*runs)[-1] is False
    text = str(report.tables(found))
    assert "ended by SIGSEGV" in text
    assert "a, pyslab" in text


def test_one_crash_among_good_rounds_counts() -> None:
    """One failed round takes the allocator's figure away."""
    runs = [_run("a", PYSLAB, 0.5), _failed("a", PYSLAB), _run("a", GLIBC, 1.0)]
    assert ("a", PYSLAB) not in figures.Figures(runs).cells


def test_everything_failed() -> None:
    """No figure at all: tables and verdicts are still made, and nothing holds."""
    runs = [_failed("a", PYSLAB), _failed("a", GLIBC)]
    assert [None, None, None, None, False] == _holds(*runs)
    assert report.tables(figures.Figures(runs))


def test_without_pyslab() -> None:
    """Peers alone: nothing is judged."""
    runs = [_run("a", GLIBC, 1.0), _run("a", "mimalloc", 2.0)]
    assert [None] * 5 == _holds(*runs)


def test_no_runs() -> None:
    """Nothing measured, nothing judged."""
    assert [None] * 5 == _holds()
    assert 1 == len(report.tables(figures.Figures([])))


@pytest.mark.parametrize(
    ("ours", "peer", "memory", "expected"),
    [
        (1.00, 1.2, 1000, [True, True, True, True, True]),
        (1.00, 1.0, 1000, [True, False, True, True, True]),
        (1.08, 1.0, 1200, [True, False, True, True, True]),
        (1.09, 1.0, 1201, [False, False, True, False, True]),
        (1.31, 1.0, 1000, [False, False, False, True, True]),
    ],
)
def test_verdicts(ours: float, peer: float, memory: int, expected: list[bool]) -> None:
    """Each limit from both sides."""
    runs = [_run("a", PYSLAB, ours, memory), _run("a", GLIBC, peer, 1000)]
    assert expected == _holds(*runs)


def test_the_document() -> None:
    """--json holds every run, the ratios by allocator, the sums and the verdict."""
    runs = [_run("a", PYSLAB, 2.0, 300), _run("a", GLIBC, 1.0, 100), _failed("b", PYSLAB)]
    document = json.loads(json.dumps(figures.Figures(runs).to_json()))
    assert {"runs", "workloads", "summary", "verdict"} == set(document)
    assert 3 == len(document["runs"])
    first, second = document["workloads"]
    assert {PYSLAB: 2.0, GLIBC: 1.0} == first["time_ratio"]
    assert {PYSLAB: 3.0, GLIBC: 1.0} == first["memory_ratio"]
    assert {} == second["time_ratio"]
    assert [PYSLAB, GLIBC] == [item["allocator"] for item in document["summary"]]
