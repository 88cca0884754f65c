"""What the pytest-benchmark modules share: an arena, and a limit on their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import pyslab
from pyslab.bench.harness.timing import Statement

ARENA_SIZE = "1GiB"
SECONDS_PER_TEST = 0.1
ROUNDS_MIN = 5


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bounds every test, so that all of them together take less than two minutes."""
    for item in items:
        item.add_marker(
            pytest.mark.benchmark(
                max_time=SECONDS_PER_TEST, min_rounds=ROUNDS_MIN, disable_gc=True, warmup=False
            )
        )


@pytest.fixture(scope="module")
def arena() -> Iterator[pyslab.Arena]:
    """One arena for a module's tests, as a program would have."""
    with pyslab.Arena(ARENA_SIZE, overcommit=True) as made:
        yield made


@pytest.fixture
def compiled() -> Callable[[Statement, str], Callable[[], None]]:
    """Makes a function of one of a statement's sources, with code of its own."""

    def compile_source(statement: Statement, source: str) -> Callable[[], None]:
        names = dict(statement.names)
        exec(f"def run():\n    {source}", names)
        run: Callable[[], None] = names["run"]  # type: ignore[assignment]
        return run

    return compile_source
