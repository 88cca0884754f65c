"""The sections of the benchmark: each is registered, and the promises keep their bounds."""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pyslab.bench import sections
from pyslab.bench.harness.driver import Peer
from pyslab.bench.harness.progress import PlainProgress
from pyslab.bench.harness.report import tables
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.run import document, measure
from pyslab.bench.harness.section import FULL, QUICK, Plan, Run, Section
from pyslab.bench.harness.series import Series
from pyslab.bench.harness.table import Table
from pyslab.bench.harness.verdict import NOT_MEASURED
from pyslab.bench.sections import numpy_chain, numpy_empty
from pyslab.bench.sections.memory import UNTOUCHED_SIZE, Untouched
from pyslab.bench.sections.threads import ThreadTimes

PROMISES = [
    ("Python: kmalloc(64) + drop / bytearray(64)", "<= 0.35x"),
    ("Python: allocate + drop, closest peer / pyslab", "> 1x"),
    (
        "Python: allocate + write every byte + drop, closest peer / pyslab",
        "> 1x, or 1.02x of a refill",
    ),
    ("Python: 64 MiB allocated, filled, dropped / refilled", "<= 1.1x"),
    ("C: order-0 page / libc malloc(64)", "<= 1.2x"),
    ("C: order-9 block / libc malloc(64)", "<= 10x"),
    ("C: kmalloc(64) / libc malloc(64)", "<= 0.6x"),
    ("Metadata of an arena that is touched everywhere", "<= 1%"),
    ("Untouched 64 GiB arena, max_order 18", "< 2 MiB"),
    ("Untouched 64 GiB arena, max_order 10", "< 2 MiB"),
    ("Python: cache.alloc per object / kmalloc(64)", "<= 1.05x"),
    ("Python: alloc_bulk(1000) per object / kmalloc(64)", "<= 1.05x"),
    ("C: two threads / one, 64 B, 64 live", ">= 1.9x, or 0.95 of no allocator"),
    ("C: p99.9 of a call, 1e3 live objects", "<= best peer"),
    ("C: p99.9 of a call, 1e5 live objects", "<= best peer"),
    ("C: p99.9 of a call, 1e7 live objects", "<= best peer"),
    ("Resident after a peak of, contiguous", "< 64 MiB"),
    ("Resident after a peak of, scattered", "<= best peer"),
    ("Resident for 5000 small objects", "<= 2.5 MiB"),
    ("64 MiB zeroed buffer, fresh: frames cleared", "0"),
    ("64 MiB zeroed buffer, recycled: frames cleared", "16384"),
    ("C: 8 KiB blocks 64 KiB apart / 64 KiB blocks there", "<= 1.5x"),
    ("C: 8 KiB blocks in the holes between these / in an unfragmented arena", "<= 1.5x"),
    ("Total fragmentation, Bonwick's re-enactment", "<= 12%"),
    ("C: kmalloc(64) + kfree, shared arena / private", "<= 1.02x"),
    ("C: page block, shared arena / private", "<= 1.02x"),
    ("C: chain of 1 MiB, shared arena / private", "<= 1.02x"),
    ("C: 1 MiB passed to another process, beside the message", "<= 3 us"),
    (
        "NumPy: a*b + c*d - a, 256 KiB, default / pyslab",
        ">= 4x, or 1.1x of no allocation",
    ),
    (
        "NumPy: a*b + c*d - a, 1 MiB, default / pyslab",
        ">= 4x, or 1.1x of no allocation",
    ),
    (
        "NumPy: a*b + c*d - a, 4 MiB, default / pyslab",
        ">= 4x, or 1.1x of no allocation",
    ),
    (
        "NumPy: a*b + c*d - a, 16 MiB, default / pyslab",
        ">= 1.7x, or 1.1x of no allocation",
    ),
    ("NumPy: a*b + c*d - a, 1 MiB, arena calls / outputs made before", "<= 1.03x"),
    ("NumPy: a*b + c*d - a, 4 MiB, arena calls / outputs made before", "<= 1.03x"),
    ("NumPy: a*b + c*d - a, 16 MiB, arena calls / outputs made before", "<= 1.03x"),
    ("NumPy: a*b + c*d - a, 64 MiB, pyslab / outputs made before", "<= 1.15x"),
    ("NumPy: np.empty of 64 B to 64 KiB, pyslab / default", "<= 1.03x"),
    (
        "NumPy: np.empty of 64 B to 64 MiB from an arena",
        "<= 120 ns, or 1.2x of the default's 64 B",
    ),
    ("NumPy: peak memory of the process, pyslab / default", "<= 1.1x"),
    ("travel: an array from 64 KiB on, to a tuple: pipe", "<= 1.4x"),
    ("travel: an array from 64 KiB on, to a tuple: queue", "<= 1.4x"),
    ("travel: an array from 64 KiB on, to a tuple: executor", "<= 1.4x"),
    ("travel: 1 MiB by a pipe, plain pickle / pyslab", ">= 30x"),
    ("travel: 64 MiB by a pipe, plain pickle / pyslab", ">= 3000x"),
    ("travel: from 64 KiB on, the closest other library / pyslab", "> 1x"),
    ("travel: arrays elsewhere / plain pickle", "<= 1.1x"),
    ("travel: 4 KiB by a pipe, pyslab / plain pickle", "<= 1.1x"),
    ("travel: arrays alive in two processes at once", "100000"),
    ("travel: memory of one array in 5 processes, to one copy", "<= 1.05x"),
]


def _empty() -> Results:
    return Results(machine={}, options={})


def test_every_module_is_registered() -> None:
    """A module with a SECTION that the list lacks would never run."""
    names = [info.name for info in pkgutil.iter_modules(sections.__path__)]
    modules = [importlib.import_module(f"{sections.__name__}.{name}") for name in names]
    with_section = [module.SECTION for module in modules if hasattr(module, "SECTION")]
    assert sorted(map(id, with_section)) == sorted(map(id, sections.SECTIONS))


def test_the_promises() -> None:
    """The report judges these, in this order, with these bounds."""
    results = _empty()
    results.add(ThreadTimes("pyslab", "64 B, 64 live", (1.0,), (1.0,)))
    for order in (18, 10):
        results.add(Untouched(UNTOUCHED_SIZE, order, 0))
    (*_, table) = tables(sections.SECTIONS, results)
    assert "What pyslab promises" == table.title
    assert PROMISES == [(row[0], row[1]) for row in table.rows]
    assert 3 == sum(row[2] != NOT_MEASURED for row in table.rows)


def _holds(claim: str, *, records: Sequence[object] = (), series: Sequence[Series] = ()) -> bool:
    """What the report says to a promise."""
    results = _empty()
    for record in records:
        results.add(record)
    results.series.extend(series)
    (*_, table) = tables(sections.SECTIONS, results)
    (row,) = [row for row in table.rows if row[0] == claim]
    return {"yes": True, "NO": False}[row[3]]


@pytest.mark.parametrize(
    ("bare", "ours", "holds"),
    [(1.0, 1.05, True), (1.0, 1.06, False), (1.1, 1.1, True), (1.1, 1.2, False)],
)
def test_two_threads_are_held_against_none(bare: float, ours: float, holds: bool) -> None:
    """Two cores that give 1.8 times the work without an allocator cannot give 1.9 times."""
    none = ThreadTimes("none", "64 B, 64 live", (1.0,), (bare,))
    pyslab = ThreadTimes("pyslab", "64 B, 64 live", (1.0,), (ours,))
    claim = "C: two threads / one, 64 B, 64 live"
    assert holds == _holds(claim, records=[none, pyslab])


@pytest.mark.parametrize(
    ("theirs", "outputs", "holds"), [(4.0, 0.5, True), (2.0, 0.95, True), (2.0, 0.8, False)]
)
def test_a_chain_is_held_against_no_allocation(theirs: float, outputs: float, holds: bool) -> None:
    """Four times as fast, or nearly as fast as without any allocation."""
    times = {"numpy": theirs, "pyslab": 1.0, numpy_chain.OUTPUTS: outputs}
    where = (numpy_chain.SECTION_NAME, numpy_chain.FRESH, "1 MiB")
    series = [Series(*where, name, (ns,)) for name, ns in times.items()]
    claim = "NumPy: a*b + c*d - a, 1 MiB, default / pyslab"
    assert holds == _holds(claim, series=series)


@pytest.mark.parametrize(
    ("smallest", "ours", "holds"), [(80.0, 120.0, True), (80.0, 121.0, False), (110.0, 131.0, True)]
)
def test_an_empty_array_is_held_against_the_smallest(
    smallest: float, ours: float, holds: bool
) -> None:
    """On a slower machine the part of the call that is NumPy's takes longer too."""
    series = [
        Series(*numpy_empty.WHERE, "64 B", "numpy", (smallest,)),
        Series(*numpy_empty.WHERE, "4 MiB", "pyslab", (ours,)),
    ]
    assert holds == _holds("NumPy: np.empty of 64 B to 64 MiB from an arena", series=series)


@pytest.mark.parametrize(
    ("peer", "refill", "holds"), [(1.1, 0.5, True), (0.99, 0.99, True), (0.99, 0.9, False)]
)
def test_a_peer_is_not_ahead_where_all_is_writing(peer: float, refill: float, holds: bool) -> None:
    """A buffer that is made and filled as fast as one is refilled leaves nothing to gain."""
    fill, again = "allocate + write every byte + drop", "refill"
    series = [
        Series("python", group, "1 MiB", name, (ns,))
        for group, name, ns in (
            (fill, "pyslab", 1.0), (fill, "numpy", peer),
            (again, "pyslab", 1.0), (again, "resident Buffer", refill),
        )
    ]  # fmt: skip
    claim = "Python: allocate + write every byte + drop, closest peer / pyslab"
    assert holds == _holds(claim, series=series)


def test_the_document_has_every_place() -> None:
    """What --json writes has the same keys, whatever was measured."""
    found = document(sections.SECTIONS, _empty())
    places = {"memory", "depth", "numpy", "travel"}
    assert {"format", "machine", "options", "series", "notes"} | places == set(found)
    assert {"live_sets": [], "untouched": [], "metadata": None} == found["memory"]
    names = "threads latencies peaks small zeroed aligned fragmentation supply shared"
    assert {name: [] for name in names.split()} == found["depth"]
    assert {"faults": [], "peaks": []} == found["numpy"]
    assert {"many": [], "copies": []} == found["travel"]


def test_no_two_sections_share_a_place() -> None:
    """A place in the document belongs to one section."""
    places = [p for s in sections.SECTIONS for p in (*s.records, *s.single_records)]
    assert len(places) == len(set(places))


@dataclass(frozen=True)
class _Figure:
    value: int


class _Bars(PlainProgress):
    """Remembers the bars and their steps."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []

    def start(self, title: str, steps: int) -> None:
        """Remember it."""
        self.bars.append((title, steps))


def _section(bar: str, value: int) -> Section:
    return Section(
        bar=bar,
        steps=lambda plan: plan.pace.rounds,
        steps_per_peer=lambda _: 10,
        measure=lambda run: run.results.add(_Figure(value)),
        tables=lambda results: [Table(bar, [""], [[str(f.value)] for f in results.of(_Figure)])],
        records={"made.up": _Figure},
    )


def test_a_section_is_all_that_it_takes() -> None:
    """A made-up one is measured, shown, and in the document; a title in a row is one bar."""
    made = [_section("first", 1), _section("first", 2), _section("second", 3)]
    bars = _Bars()
    run = Run(_empty(), QUICK.with_rounds(3), bars, [Peer("a", "x"), Peer("b", "y")])
    measure(made, run)
    assert [("first", 46), ("second", 23)] == bars.bars
    assert {"up": [{"value": n} for n in (1, 2, 3)]} == document(made, run.results)["made"]
    assert [["1"], ["2"], ["3"]] == tables(made, run.results)[0].rows


@pytest.mark.parametrize(("plan", "rounds", "passes"), [(FULL, 21, 3), (FULL, 2, 2), (QUICK, 9, 1)])
def test_rounds(plan: Plan, rounds: int, passes: int) -> None:
    """There are never more passes than rounds."""
    assert (rounds, passes) == (
        plan.with_rounds(rounds).pace.rounds, plan.with_rounds(rounds).block_passes,
    )  # fmt: skip
