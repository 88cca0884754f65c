"""A client of the C API, compiled as C11 and C++17, within the limited API and not."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

import pyslab
from tests.extensions.build import HERE, LANGUAGES, build, run_client
from tests.utils import assert_quiet

PARTS = ("families.h", "families_debug.h", "families_share.h", "client.c")
FAMILIES = re.findall(r'\{"(\w+)", \w+\}', (HERE / "families.h").read_text(encoding="utf-8"))


def test_every_function_is_called() -> None:
    """families.h and client.c call each function of the list that the table is made of."""
    listed = Path(pyslab.get_include(), "pyslab", "functions.h").read_text(encoding="utf-8")
    names = re.findall(
        r"^PYSLAB_(?:FN\([^,]*, |PROC\(|INLINE\([^,]*, |STATS(?:_AT)?\()(\w+)", listed, re.M
    )
    texts = [(HERE / name).read_text(encoding="utf-8") for name in PARTS]
    called = set(re.findall(r"pyslab_(\w+)\(", "".join(texts)))
    assert len(names) > 90
    assert set() == set(names) - called


@pytest.mark.parametrize("family", FAMILIES)
def test_family(client: Path, family: str) -> None:
    """Every call arrives, without the GIL: in a thread of Python's, and in one of C's."""
    done = run_client(
        client,
        f"""
        import client
        for foreign in (False, True):
            assert (line := client.run({family!r}, foreign)) == 0, line
        print("alive")
        """,
    )
    assert_quiet(done)


def test_families_side_by_side(client: Path) -> None:
    """All families at once, each in threads of its own, while Python allocates."""
    done = run_client(
        client,
        """
        import client, pyslab, threading
        lines = []
        def work(name):
            lines.extend(client.run(name) for _ in range(5))
        threads = [threading.Thread(target=work, args=[name]) for name in client.names() * 2]
        for thread in threads:
            thread.start()
        arena = pyslab.default_arena()
        while any(thread.is_alive() for thread in threads):
            arena.kmalloc(100)
        for thread in threads:
            thread.join()
        assert len(lines) == 5 * len(threads) and set(lines) == {0}, lines
        arena.validate()
        print("alive")
        """,
    )
    assert_quiet(done)


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_python_h(tmp_path: Path, language: str) -> None:
    """A library that was never near Python.h works with the table's address."""
    library = ctypes.CDLL(str(build(tmp_path / "standalone.so", [HERE / "standalone.c"], language)))
    assert 0 == library.use_table(ctypes.c_void_p(pyslab.api_address()))
    assert 0 == library.run_families()
    assert library.use_table(None) < 0


def test_the_capsule_is_the_table() -> None:
    """api_address() and the capsule pyslab._C_API are the same."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    assert pyslab.api_address() == get(pyslab._C_API, b"pyslab._C_API")


def test_after_fork(c_client: Path) -> None:
    """A child of fork() goes on with the table and the default arena."""
    done = run_client(
        c_client,
        """
        import client, os, pyslab
        buf = pyslab.default_arena().kmalloc(10)
        pid = os.fork()
        if pid == 0:
            ok = client.default_arena() is pyslab.default_arena()
            os._exit(0 if ok and client.run("kmallocs") == client.run("regions", True) == 0 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        print("alive")
        """,
    )
    assert_quiet(done)


def test_units_of_their_own(tmp_path: Path) -> None:
    """A second unit that imports nothing ends the process with a message."""
    build(
        tmp_path / "client.so",
        [HERE / "client.c", HERE / "second.c"],
        defines=["CLIENT_UNIT"],
    )
    done = run_client(tmp_path, "import client; client.second()")
    assert -6 == done.returncode
    assert "before pyslab_import()" in done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_units_that_share(tmp_path: Path, language: str) -> None:
    """With PYSLAB_UNIQUE_SYMBOL one import serves all units."""
    build(
        tmp_path / "client.so",
        [HERE / "client.c", HERE / "second.c"],
        language,
        defines=["CLIENT_UNIT", "PYSLAB_UNIQUE_SYMBOL=client_pyslab_api"],
    )
    assert_quiet(run_client(tmp_path, "import client; assert client.second()\nprint('alive')"))


def test_a_call_before_the_import(tmp_path: Path) -> None:
    """A module that forgot pyslab_import() is told so, and does not run into nowhere."""
    build(tmp_path / "client.so", [HERE / "client.c"], defines=["CLIENT_NO_IMPORT"])
    done = run_client(tmp_path, "import client; client.run('kmallocs')")
    assert -6 == done.returncode
    assert "before pyslab_import()" in done.stderr
