"""Runs the standard library's own tests for shared_memory, with pyslab's in its place.

    python tests/shared_memory_suite.py [fork | spawn | forkserver]

Prints a line for each test: its name, and how it ended. The tests are loaded from the interpreter's
package `test`, which some distributions leave out: then the exit status is 77. Children that are
spawned run the first half of this file, too.
"""

import multiprocessing
import sys
import types
import unittest
from multiprocessing import managers
from typing import Any

from pyslab import shared_memory

NOT_INSTALLED = 77

try:
    from test import _test_multiprocessing as suite
except ImportError:
    sys.exit(NOT_INSTALLED)


def put_in() -> None:
    """Have the tests, and the code they run in children, use pyslab's classes."""
    ours = types.ModuleType("multiprocessing.shared_memory")
    vars(ours).update(
        SharedMemory=shared_memory.SharedMemory,
        ShareableList=shared_memory.ShareableList,
        _USE_POSIX=True,
        _SHM_NAME_PREFIX="/psm_",
    )
    module: Any = suite
    module.shared_memory = ours
    managers.SharedMemoryManager = shared_memory.SharedMemoryManager  # type: ignore[misc]


put_in()


class Result(unittest.TestResult):
    """Prints how each test ended."""

    def _tell(self, test: unittest.TestCase, outcome: str) -> None:
        print(test.id().rpartition(".")[2], outcome, flush=True)

    def addSuccess(self, test: Any) -> None:
        self._tell(test, "passed")

    def addFailure(self, test: Any, error: Any) -> None:
        self._tell(test, "failed")
        print(self._exc_info_to_string(error, test), file=sys.stderr)  # type: ignore[attr-defined]

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            self.addFailure(test, error)

    def addSkip(self, test: Any, reason: str) -> None:
        self._tell(test, "skipped")

    addError = addFailure


def run(method: str) -> None:
    """Run them all with one way to start children."""
    multiprocessing.set_start_method(method, force=True)
    base: Any = suite._TestSharedMemory
    case = type("TestSharedMemory", (base, suite.ProcessesMixin, unittest.TestCase), {})
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(Result())


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else "fork")
