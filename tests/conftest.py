"""Fixtures of the whole suite, and the check that ends every test.

What it is: arenas for tests, and the rule that a test leaves each of them valid and
idle. What it is not: helpers (tests/utils.py) or models (tests/model.py).
"""

import gc
import os
import signal
from collections.abc import Callable, Generator
from typing import Literal

import pytest

import pyslab

pytest.register_assert_rewrite("tests.utils", "tests.model")  # before their first import

from tests.highmem import high_arena  # noqa: E402
from tests.model import Geometry  # noqa: E402
from tests.utils import assert_idle  # noqa: E402

ArenaFactory = Callable[..., pyslab.Arena]

_passed = pytest.StashKey[bool]()

# A shell's background jobs begin with SIGINT ignored, and so would the programs of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is tested has no terminal, and so no width of one; xdist's processes are told 80 columns.
os.environ.pop("COLUMNS", None)


def pytest_collection_finish() -> None:
    """Have collections of garbage pass over what is imported now: many tests make one, or more."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the body of a test passed, for the check below."""
    report = yield
    if call.when == "call":
        item.stash[_passed] = report.passed
    return report


@pytest.fixture(autouse=True)
def arenas(request: pytest.FixtureRequest) -> Generator[list[pyslab.Arena], None, None]:
    """Check, after each test, every arena that make_arena made.

    A failed test keeps its objects alive through its traceback, so it is not checked.
    """
    made: list[pyslab.Arena] = []
    yield made
    if request.node.stash.get(_passed, False):
        request.node.funcargs.clear()  # pytest keeps the fixtures' values until later
        for arena in made:
            if not arena.closed:
                assert_idle(arena)
    made.clear()


@pytest.fixture
def make_arena(arenas: list[pyslab.Arena]) -> ArenaFactory:
    """Return a maker of arenas: small pages unless the test says otherwise, checked at the end."""

    def make(
        size: int | str = "64MiB",
        *,
        hugepages: Literal["no", "try", "require"] = "no",
        max_order: int = 18,
        overcommit: bool = False,
        kmalloc_classes: Geometry = "fine",
        prealloc: dict[int | str, int] | None = None,
        zones: pyslab.ZoneLayout | None = None,
        purge_delay: float | None = 1.0,
        background_purge: bool = False,
    ) -> pyslab.Arena:
        arena = pyslab.Arena(
            size,
            hugepages=hugepages,
            max_order=max_order,
            overcommit=overcommit,
            kmalloc_classes=kmalloc_classes,
            prealloc=prealloc,
            zones=zones,
            purge_delay=purge_delay,
            background_purge=background_purge,
        )
        arenas.append(arena)
        return arena

    return make


@pytest.fixture
def arena(make_arena: ArenaFactory) -> pyslab.Arena:
    """Return a 64 MiB arena of 4 KiB pages."""
    return make_arena()


@pytest.fixture
def high(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena with 4 MiB of frames with addresses and 16 MiB without."""
    arena = high_arena(max_order=10)
    arenas.append(arena)
    return arena
