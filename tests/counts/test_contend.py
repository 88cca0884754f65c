"""What reference workloads make the core do: locks, exchanges, frames, page faults, system calls.

The bounds are a tenth above what is counted today. A count has more than one bound because a
constant that helps one workload hurts another: larger sheaves take fewer locks and hold more
memory. docs/performance.md has the figures; who changes a constant on purpose changes both.
"""

from pathlib import Path

import pytest

from tests.counts.bounds import BOUNDS, broken
from tests.counts.programs import BUILT, contend, system_calls

pytestmark = pytest.mark.counts


@pytest.mark.parametrize(("workload", "threads"), BOUNDS)
def test_workload(workload: str, threads: int) -> None:
    """Each is within its bounds."""
    assert [] == broken(workload, threads, BUILT)


@pytest.mark.parametrize("workload", ["same_size", "random_sizes", "shared_table", "pages"])
def test_counts_repeat(workload: str) -> None:
    """Two runs count the same: a bound is broken by the code or never."""
    assert contend(workload, 2) == contend(workload, 2)


@pytest.mark.parametrize("workload", ["same_size", "random_sizes", "handover", "pages"])
def test_system_calls(workload: str, tmp_path: Path) -> None:
    """The warm-up makes all of them: twice the operations make no further one."""

    def calls(operations: int) -> dict[str, int]:
        found = system_calls([BUILT / "contend", workload, "1", str(operations)], tmp_path)
        return {name: n for name, n in found.items() if name not in ("futex", "total")}

    few, many = calls(100_000), calls(200_000)
    # Where the system puts each mapping, at random, says whether an end of it must be cut off. That
    # is a few calls more or less; one call in 1,000 operations would be 100 more.
    assert sum(many.values()) <= sum(few.values()) + 10
    assert few["mmap"] <= 24
    assert few["madvise"] + few["munmap"] + few["mprotect"] <= 24
