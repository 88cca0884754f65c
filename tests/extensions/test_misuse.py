"""Importing where pyslab cannot be: in a subinterpreter, or without pyslab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.build import run_client
from tests.utils import assert_alive

SUBINTERPRETER = """
try:
    import _interpreters as subinterpreters  # 3.13
except ImportError:
    import _xxsubinterpreters as subinterpreters
import contextlib

def run(code):
    # 3.13 returns what was raised, earlier versions raise it; a Python that gives each
    # its own GIL refuses single-phase modules by itself.
    options = ["legacy"] if hasattr(subinterpreters, "new_config") else []
    keywords = {} if options else {"isolated": False}
    there = subinterpreters.create(*options, **keywords)
    try:
        failure = subinterpreters.run_string(there, code)
    except Exception as error:
        failure = error
    assert failure is not None and "ImportError" in str(failure), failure
    print(failure)
    with contextlib.suppress(Exception):
        subinterpreters.destroy(there)
"""


@pytest.mark.parametrize("module", ["pyslab", "client"])
@pytest.mark.parametrize("first", ["", "import pyslab", "import client, pyslab"])
def test_a_subinterpreter(c_client: Path, first: str, module: str) -> None:
    """An ImportError that says why, whether or not the main interpreter has pyslab; which
    goes on as before. (A single-phase client that the main interpreter has is copied there
    by older Pythons, without its init.)
    """
    if module == "client" and "client" in first:
        first = "import pyslab"
    path = f"import sys; sys.path.insert(0, {str(c_client)!r})"
    code = f"{path}\nimport {module}"
    done = run_client(
        c_client,
        f"{first}\n{SUBINTERPRETER}\nrun({code!r})\nrun({code!r})\n"
        "import client, pyslab\n"
        "pyslab.Arena('16MiB').kmalloc(10)\n"
        "assert client.run('kmallocs') == 0",
    )
    assert 0 == done.returncode, done.stderr
    assert 2 == done.stdout.count("main interpreter"), done.stdout


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
