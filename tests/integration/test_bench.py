"""The benchmark's section on an arena taken apart: driver, results, table, verdict.

Figures are made up where a judgement is tested: nothing here depends on the clock.
"""

import pytest

from pyslab.bench.harness.driver import run_driver
from pyslab.bench.harness.driver_modes import Mode, measure_modes
from pyslab.bench.harness.progress import PlainProgress
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import QUICK, Run
from pyslab.bench.sections import apart
from pyslab.bench.sections.apart import FRAGMENTED_COST, Aligned

LAYOUTS = {"side by side": 8192, "apart": 65536, "whole": 65536, "in the holes": 8192}


def _results(apart_ns: float, holes_ns: float) -> Results:
    """Return figures in which a block side by side takes 10 ns, and a whole one of 64 KiB 12."""
    results = Results(machine={}, options={})
    ns = {"side by side": 10.0, "apart": apart_ns, "whole": 12.0, "in the holes": holes_ns}
    for name, x in ns.items():
        results.add(Aligned(name, 8192, LAYOUTS[name], 9, (x,)))
    return results


def _verdicts(results: Results) -> list[bool | None]:
    """Return what became of the two promises."""
    found = apart.SECTION.verdicts(results)
    assert 2 == len(found)
    assert {f"<= {FRAGMENTED_COST:g}x"} == {item.asked for item in found}
    return [item.holds for item in found]


def test_the_driver_measures_each_layout() -> None:
    """--aligned prints each layout once, with a positive figure per round."""
    results = Results(machine={}, options={})
    mode = Mode(["--aligned", "--rounds", "3", "--scale", "0.01"], with_peers=False)
    measure_modes(Run(results, QUICK, PlainProgress()), "aligned", Aligned, [mode])
    found = results.of(Aligned)
    assert LAYOUTS == {item.layout: item.align for item in found}
    for item in found:
        assert 655 == item.blocks
        assert (65536 if item.layout == "whole" else 8192) == item.bytes
        assert 3 == len(item.ns_per_op)
        assert all(ns > 0 for ns in item.ns_per_op)


def test_the_driver_leaves_it_out_for_others() -> None:
    """Only pyslab has an arena to take apart."""
    assert {"aligned": []} == run_driver(["--aligned", "--only", "libc"])


@pytest.mark.parametrize(
    ("near", "holes", "expected"),
    [(17.9, 9.0, [True, True]), (18.1, 15.0, [False, True]), (18.0, 16.0, [True, False])],
)
def test_the_verdict(near: float, holes: float, expected: list[bool]) -> None:
    """A block in a fragmented arena may cost half as much again as one there in a whole arena."""
    assert expected == _verdicts(_results(near, holes))


def test_not_measured() -> None:
    """Without figures there is no judgement."""
    assert [None, None] == _verdicts(Results(machine={}, options={}))


def test_the_table() -> None:
    """Each layout has a row, with its ratio to blocks side by side."""
    (table,) = apart.SECTION.tables(_results(14.0, 11.0))
    assert "taken apart" in table.title
    assert list(LAYOUTS) == [row[0] for row in table.rows]
    assert {len(table.columns)} == {len(row) for row in table.rows}
    assert ["1.00", "1.40", "1.20", "1.10"] == [row[-1] for row in table.rows]
