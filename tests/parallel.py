"""The unit tests, each in several threads at once: a plugin beside pytest-run-parallel.

    python -m pytest -p tests.parallel --parallel-threads 8 tests/unit

What it is: pytest-run-parallel gives all threads of a test the same fixtures. With this, each
thread has arenas, and whatever else a fixture of the tests makes, of its own, and its arenas are
checked at its end: what the threads share is pyslab itself. ALONE names the tests that run in one
thread, with the reason.
What it is not: threads that share an arena (tests/faults/test_shared_objects.py and fuzz.py).
"""

from __future__ import annotations

import functools
import gc
import inspect
import time
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_run_parallel.thread_unsafe_detection import (
    THREAD_UNSAFE_FIXTURES,
    identify_thread_unsafe_nodes,
)

import pyslab

# By file, or file::test.
ALONE = {
    "tests/unit/test_arena_kept.py::test_last_references_go_in_many_threads": "has its own threads",
    "tests/unit/test_background_purge.py": "counts the threads of the process",
    "tests/unit/test_numpy_handler.py::test_install_and_threads": "the handler is the process's",
    "tests/unit/test_numpy_refusals.py::test_install_with_fallback": "the handler is the process's",
    "tests/unit/test_numpy_process.py": "the allocator of the whole process is changed",
    "tests/unit/test_numpy_process_arenas.py": "the allocator of the whole process is changed",
    "tests/unit/test_prealloc.py::test_nothing_leaks_when_it_does_not_fit": "counts the process's",
    "tests/unit/test_shared_memory.py": "its heap is the process's",
    "tests/unit/test_tracemalloc.py": "tracemalloc is the process's",
    "tests/unit/test_tracemalloc_numpy.py": "tracemalloc is the process's",
    "tests/unit/test_vmalloc.py": "the limit of mappings is the process's",
    "tests/unit/test_vmap.py": "the limit of mappings is the process's",
    "tests/unit/test_window.py::test_a_signal_ends_a_wait": "signals are the main thread's",
}
# What pytest-run-parallel looks for by itself, such as gc.collect(), and would not see through
# in_each_thread(): no further functions; warnings, ctypes and hypothesis as it thinks best.
LOOK_FOR = (frozenset(), False, False, False)
# Of a test or of one of its fixtures.
UNSAFE_FIXTURES = [name for name, is_safe in THREAD_UNSAFE_FIXTURES.items() if not is_safe]


class Fixtures:
    """The fixtures of one thread of one test."""

    def __init__(self, item: pytest.Function) -> None:
        """Nothing is made yet."""
        self.item = item
        self.made: dict[str, Any] = {"arenas": []}
        self.to_end: list[Generator[Any, None, None]] = []

    def value(self, name: str, shared: Any = None) -> Any:
        """Return the fixture's value, made for this thread if the tests define it."""
        if name in self.made:
            return self.made[name]
        if name == "request":
            return SimpleNamespace(param=self.item.callspec.params.get("busy"))
        definitions = self.item._fixtureinfo.name2fixturedefs.get(name)
        if not definitions or not is_ours(definitions[-1]):
            return shared
        make = definitions[-1].func
        result = make(**{each: self.value(each) for each in inspect.signature(make).parameters})
        if inspect.isgenerator(result):
            self.to_end.append(result)
            result = next(result)
        self.made[name] = result
        return result

    def end(self, passed: bool) -> None:
        """End what was made, the last one first, and look at the arenas."""
        from tests.utils import assert_idle  # tests/conftest.py has its asserts rewritten first

        arenas = self.made["arenas"]
        self.made.clear()
        for each in reversed(self.to_end):
            next(each, None)
        for arena in arenas if passed else ():
            if not arena.closed:
                collect(arena)
                assert_idle(arena)


def collect(arena: pyslab.Arena) -> None:
    """Collect cycles till none holds anything of the arena, such as an expected error's frames.

    While another thread collects, gc.collect() does nothing.
    """
    for _ in range(50):
        if arena.closed or not arena.stats().current_count:
            return
        gc.collect()
        time.sleep(0.01)


def is_ours(definition: pytest.FixtureDef[Any]) -> bool:
    """Tell whether a fixture is one of the tests', made anew for each test."""
    return definition.scope == "function" and definition.func.__module__.startswith("tests.")


def in_each_thread(item: pytest.Function) -> Callable[..., None]:
    """Return the test's function, with fixtures of its caller's own."""
    test = item.obj

    @functools.wraps(test)
    def run(**shared: Any) -> None:
        fixtures, passed = Fixtures(item), False
        try:
            test(**{name: fixtures.value(name, value) for name, value in shared.items()})
            passed = True
        finally:
            fixtures.end(passed)

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test that is run in threads its own fixtures there."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        path = item.nodeid.split("[")[0]
        reason = ALONE.get(path) or ALONE.get(path.split("::")[0])
        for fixture in set(item.fixturenames) & set(UNSAFE_FIXTURES):
            reason = reason or f"uses the fixture {fixture}"
        if reason is None and (found := identify_thread_unsafe_nodes(item.obj, *LOOK_FOR))[0]:
            reason = found[1]
        if reason is not None:
            item.add_marker(pytest.mark.thread_unsafe(reason=reason))
        else:
            item.obj = in_each_thread(item)
