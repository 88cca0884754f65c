"""Importing where pyslab cannot be: in a subinterpreter, or without pyslab."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.extensions.build import run_client
from tests.utils import WITHOUT_GIL, assert_alive, assert_quiet, run_child

SUBINTERPRETER = """
import contextlib, sys
try:
    import _interpreters as subinterpreters  # 3.13
except ImportError:
    import _xxsubinterpreters as subinterpreters
def run(code, isolated):
    # 3.13 returns what was raised, earlier versions raise it.
    if hasattr(subinterpreters, "new_config"):
        there = subinterpreters.create("isolated" if isolated else "legacy")
    else:
        there = subinterpreters.create(isolated=isolated)
    try:
        failure = subinterpreters.run_string(there, code)
        failure = failure and failure.formatted
    except Exception as error:
        failure = str(error)
    with contextlib.suppress(Exception):
        subinterpreters.destroy(there)
    return failure
"""
REFUSAL = "pyslab works in the main interpreter only, and this is a subinterpreter"
PYTHONS_REFUSAL = "does not support loading in subinterpreters"


def imported_twice(c_client: Path, first: str, module: str, isolated: bool) -> str:
    """Run first, import module in two subinterpreters, see that the main one goes on as before.

    Returns what the imports raised, a line each. What stands on stderr is an error.
    """
    path = f"import sys; sys.path.insert(0, {str(c_client)!r})"
    code = f"{path}\nimport {module}"
    done = run_client(
        c_client,
        f"{first}\n{SUBINTERPRETER}\n"
        f"for _ in range(2):\n    print(run({code!r}, {isolated}))\n"
        "import client, pyslab\n"
        "pyslab.Arena('16MiB').kmalloc(10)\n"
        "assert client.run('kmallocs') == 0",
    )
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr
    return done.stdout


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("first", ["", "import pyslab", "import client, pyslab"])
def test_pyslab_in_a_subinterpreter(c_client: Path, first: str, isolated: bool) -> None:
    """An ImportError that says why, whether or not the main interpreter has pyslab.

    isolated: with a GIL of its own, from Python 3.12 on.
    """
    lines = imported_twice(c_client, first, "pyslab", isolated).splitlines()
    assert 2 == len(lines)
    assert all(REFUSAL in line for line in lines)


@pytest.mark.parametrize("first", ["", "import pyslab"])
def test_a_client_in_a_subinterpreter(c_client: Path, first: str) -> None:
    """The same from a single-phase client's init, where Python runs it in the subinterpreter.

    Python 3.13 and later run it in the main interpreter, and copy the client. One without a GIL
    allows no single-phase module in any subinterpreter.
    """
    lines = imported_twice(c_client, first, "client", False).splitlines()
    assert 2 == len(lines)
    if WITHOUT_GIL:
        assert all(PYTHONS_REFUSAL in line for line in lines)
    elif sys.version_info >= (3, 13):
        assert ["None", "None"] == lines
    else:
        assert all(REFUSAL in line for line in lines)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL for all, before Python 3.12")
@pytest.mark.parametrize("first", ["", "import pyslab", "import client, pyslab"])
def test_a_client_beside_another_gil(c_client: Path, first: str) -> None:
    """The client's init refuses, or Python itself, that allows no single-phase module there."""
    lines = imported_twice(c_client, first, "client", True).splitlines()
    assert 2 == len(lines)
    assert all(REFUSAL in line or PYTHONS_REFUSAL in line for line in lines)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the module is new in Python 3.14")
def test_concurrent_interpreters() -> None:
    """What users write from Python 3.14 on: the error, and then a view that is shared."""
    child = run_child(f"""
        from concurrent import interpreters
        there = interpreters.create()
        for _ in range(2):
            try:
                there.exec("import pyslab")
            except interpreters.ExecutionFailed as error:
                assert {REFUSAL!r} in str(error), error
            assert there.call(sum, (1, 2)) == 3
        import pyslab
        arena = pyslab.Arena("1MiB")
        buf = arena.kmalloc(10)
        sent = interpreters.create_queue()
        there.prepare_main(sent=sent)
        sent.put(memoryview(buf))
        there.exec("view = sent.get(); view[:5] = b'hello'")
        assert bytes(buf[:5]) == b"hello"
        try:
            arena.kfree(buf)
        except BufferError:
            there.exec("del view")
        arena.kfree(buf)
        there.close()
        print("alive")
    """)
    assert_quiet(child)


def test_before_pyslab_is_imported(c_client: Path) -> None:
    """A client imports pyslab by itself."""
    done = run_client(
        c_client,
        """
        assert "pyslab" not in sys.modules
        import client
        assert "pyslab" in sys.modules and client.run("kmallocs") == 0
        print("alive")
        """,
    )
    assert_alive(done)


def test_without_pyslab(c_client: Path) -> None:
    """A client that finds no pyslab is an ImportError."""
    done = run_client(c_client, "sys.modules['pyslab'] = None\nimport client")
    assert 1 == done.returncode
    assert "Error: import of pyslab" in done.stderr
