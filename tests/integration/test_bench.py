"""The benchmark's section on an arena taken apart: driver, results, table, verdict.

Figures are made up where a judgement is tested: nothing here depends on the clock.
"""

from typing import Any

import pytest

from pyslab.bench import _depth
from pyslab.bench._depth_results import DepthResults
from pyslab.bench._depth_tables import depth_tables
from pyslab.bench._depth_verdict import FRAGMENTED_COST, depth_verdicts
from pyslab.bench._driver import run_driver
from pyslab.bench._results import Results

LAYOUTS = {"side by side": 8192, "apart": 65536, "whole": 65536, "in the holes": 8192}


def _document(apart: float, holes: float) -> dict[str, Any]:
    """Return what the driver prints, for a block side by side that takes 10 ns."""
    ns = {"side by side": 10.0, "apart": apart, "whole": 12.0, "in the holes": holes}
    return {
        "aligned": [
            {"layout": name, "bytes": 8192, "align": LAYOUTS[name], "blocks": 9, "ns_per_op": [x]}
            for name, x in ns.items()
        ]
    }


def _results(document: dict[str, Any] | None) -> Results:
    results = Results(machine={}, options={})
    if document:
        results.depth.add(document, None)
    return results


def _verdicts(results: Results) -> list[bool | None]:
    """Return what became of the two promises."""
    found = [item for item in depth_verdicts(results) if "in an unfragmented arena" in item.claim]
    assert 2 == len(found)
    assert {f"<= {FRAGMENTED_COST:g}x"} == {item.asked for item in found}
    return [item.holds for item in found]


def test_the_driver_measures_each_layout() -> None:
    """--aligned prints each layout once, with a positive figure per round."""
    depth = DepthResults()
    depth.add(run_driver(["--aligned", "--rounds", "3", "--scale", "0.01"]), None)
    assert LAYOUTS == {item.layout: item.align for item in depth.aligned}
    for item in depth.aligned:
        assert 655 == item.blocks
        assert (65536 if item.layout == "whole" else 8192) == item.bytes
        assert 3 == len(item.ns_per_op)
        assert all(ns > 0 for ns in item.ns_per_op)


def test_the_driver_leaves_it_out_for_others() -> None:
    """Only pyslab has an arena to take apart."""
    assert {"aligned": []} == run_driver(["--aligned", "--only", "libc"])


@pytest.mark.parametrize(
    ("apart", "holes", "expected"),
    [(14.9, 9.0, [True, True]), (15.1, 15.0, [False, True]), (15.0, 16.0, [True, False])],
)
def test_the_verdict(apart: float, holes: float, expected: list[bool]) -> None:
    """A block in a fragmented arena may cost half as much again, and no more."""
    assert expected == _verdicts(_results(_document(apart, holes)))


def test_not_measured() -> None:
    """Without figures there is no judgement."""
    assert [None, None] == _verdicts(_results(None))


def test_the_table() -> None:
    """Each layout has a row, with its ratio to blocks side by side."""
    tables = depth_tables(_results(_document(14.0, 11.0)))
    table = next(item for item in tables if "taken apart" in item.title)
    assert list(LAYOUTS) == [row[0] for row in table.rows]
    assert {len(table.columns)} == {len(row) for row in table.rows}
    assert ["1.00", "1.40", "1.20", "1.10"] == [row[-1] for row in table.rows]
    assert _depth.APART in LAYOUTS
