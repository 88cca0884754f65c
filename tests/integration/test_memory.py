"""Resident memory, measured with psutil in a child process of its own."""

import pytest

from tests.conftest import ArenaFactory
from tests.utils import assert_alive, run_child


@pytest.mark.parametrize("max_order", [10, 18])
def test_an_untouched_arena_costs_nothing(max_order: int) -> None:
    """64 GiB with overcommit take less than 2 MiB until they are used."""
    assert_alive(
        run_child(f"from tests.integration import programs\nprograms.untouched({max_order})")
    )


@pytest.mark.parametrize("program", ["released", "dropped"])
def test_memory_goes_back(program: str) -> None:
    """release_unused() and the end of an arena show in the resident size."""
    assert_alive(run_child(f"from tests.integration import programs\nprograms.{program}()"))


@pytest.mark.parametrize("size", ["256MiB", "1GiB", "16GiB"])
@pytest.mark.parametrize("max_order", [0, 10, 18, 20])
def test_metadata_is_at_most_one_percent(
    make_arena: ArenaFactory, size: str, max_order: int
) -> None:
    """mem_map, class map and descriptors together, as reserved when all is touched."""
    arena = make_arena(size, overcommit=True, max_order=max_order)
    assert 0 < arena.stats().metadata_bytes <= arena.size // 100


def test_process_local_memory_is_bounded() -> None:
    """Sheaves and tables of one thread stay under a thousandth of an arena in full use.

    In a process of its own: heap_bytes is of all its arenas, and tests leave some, as a tracked
    arena lives until it is closed.
    """
    assert_alive(run_child("from tests.integration import programs\nprograms.local_memory()"))
