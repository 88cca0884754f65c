"""Interpreter exit with live blocks, late users and busy daemon threads."""

import pytest

from tests.utils import assert_quiet, run_child

PROGRAMS = ["exit_with_live_blocks", "exit_with_users", "exit_with_daemons", "exit_after_close"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_exit(program: str) -> None:
    """The child exits with 0 and no finalizer complains; see the program's docstring."""
    assert_quiet(run_child(f"from tests.integration import programs\nprograms.{program}()"))


def test_exit_of_a_main_module() -> None:
    """Blocks held by __main__ itself, whose globals are cleared last."""
    assert_quiet(
        run_child("""
            import pyslab
            arena = pyslab.Arena("1MiB")
            buf = arena.kmalloc(100)
            view = memoryview(buf)
            page = arena.alloc_page()
            default = pyslab.default_arena().kmalloc("1MiB")
            print("alive")
        """)
    )


def test_import_alone() -> None:
    """Importing and leaving makes no arena and no noise."""
    assert_quiet(run_child("import pyslab\nprint('alive')", "-W", "error"))


def test_exit_by_exception() -> None:
    """An uncaught exception that holds blocks in its traceback exits with 1, not a crash."""
    child = run_child("""
        import pyslab

        def fail():
            arena = pyslab.Arena("1MiB")
            view = memoryview(arena.kmalloc(100))
            arena.kmalloc("2MiB")

        fail()
    """)
    assert 1 == child.returncode
    assert "OutOfMemoryError" in child.stderr
