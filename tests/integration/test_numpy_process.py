"""Process-wide installation where processes and threads begin and end: fork, exit, C threads."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.utils import REPO, assert_alive, assert_quiet, run_child

pytest.importorskip("numpy", reason="NumPy is not installed")

THREADS = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include "no_gil.h"

static void *work(void *call)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(call);

    if (result == NULL)
        PyErr_Print();
    Py_XDECREF(result);
    PyGILState_Release(gil);
    return NULL;
}

/* Calls a function in a thread that Python did not make, and waits for its end. */
static PyObject *run(PyObject *module, PyObject *call)
{
    pthread_t thread;
    int error;

    (void)module;
    Py_BEGIN_ALLOW_THREADS
    error = pthread_create(&thread, NULL, work, call);
    if (error == 0)
        error = pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(error);
}

static PyMethodDef methods[] = {{"run", run, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "cthread", NULL, -1, methods,
                                        NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_cthread(void);
PyMODINIT_FUNC PyInit_cthread(void)
{
    return without_gil(PyModule_Create(&definition));
}
"""


def test_a_thread_of_c(tmp_path: Path) -> None:
    """Arrays that a thread made in C makes are the arena's, and outlive it."""
    if shutil.which("cc") is None:
        pytest.skip("cc is missing (a compiler)")
    (tmp_path / "cthread.c").write_text(THREADS, encoding="utf-8")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-pthread", "-I", sysconfig.get_path("include"),
         *("-I", str(REPO / "tests" / "extensions")),
         *("cthread.c", "-o", "cthread.so")],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    child = run_child(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import cthread, numpy as np, pyslab
        from tests.arrays import lies_in
        arena = pyslab.Arena("64MiB")
        arrays = []
        def work():
            for n in (1, 1000, 100_000):
                array = np.arange(n)
                array.resize(2 * n, refcheck=False)
                arrays.append(array + 1)
        with arena.numpy_allocator():
            assert 0 == cthread.run(work)
        assert not any(lies_in(array, arena) for array in arrays)
        arrays.clear()
        pyslab.numpy_handler.install(arena, scope="process")
        for _ in range(5):
            assert 0 == cthread.run(work)
        assert 15 == len(arrays) and all(lies_in(array, arena) for array in arrays)
        assert 15 == arena.stats().current_count
        assert 0 == cthread.run(arrays.clear)
        assert 0 == arena.stats().current_count
        arrays.append(np.ones(5))
        pyslab.numpy_handler.uninstall()
        assert 0 == cthread.run(arrays.clear)
        assert 0 == cthread.run(work)
        assert not any(lies_in(array, arena) for array in arrays)
        print("alive")
        """
    )
    assert_quiet(child)


def test_a_thread_of_ctypes() -> None:
    """A thread from libc's thrd_create, whose function is a ctypes callback."""
    child = run_child(
        """
        import ctypes, numpy as np, pyslab
        from tests.arrays import lies_in
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "thrd_create"):
            print("alive")
            raise SystemExit
        arena = pyslab.Arena("64MiB")
        pyslab.numpy_handler.install(arena, scope="process")
        arrays = []
        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
        def work(unused):
            arrays.append(np.arange(1000) * 2)
            return 0
        thread = ctypes.c_ulong()
        assert 0 == libc.thrd_create(ctypes.byref(thread), work, None)
        assert 0 == libc.thrd_join(thread, None)
        assert lies_in(arrays[0], arena)
        assert 999_000 == arrays[0].sum()
        print("alive")
        """
    )
    assert_quiet(child)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("high", [False, True])
def test_fork(high: bool) -> None:
    """The child reads, frees, grows and makes arrays, and uninstalls; the parent's stay."""
    child = run_child(
        f"""
        import os, numpy as np, pyslab
        from tests.high import high_arena
        from tests.arrays import lies_in
        arena = high_arena(64 << 20) if {high} else pyslab.Arena("64MiB")
        before = np.arange(1000)
        pyslab.numpy_handler.install(arena, scope="process", fallback="numpy")
        sizes = (1, 100, 5000, 300_000, 2_000_000)
        arrays = [np.full(size, size, "i4") for size in sizes]
        assert {high} == (0 != arena.stats().vmalloc_arrays)
        for grandchild in (False, True):
            pid = os.fork()
            if pid == 0:
                assert [a.size for a in arrays] == [int(a.mean()) for a in arrays]
                before.resize(5000, refcheck=False)
                arrays[3].resize(600_000, refcheck=False)
                assert 300_000 == arrays[3][299_999]
                arrays[4][:] = 0
                more = [np.arange(n) for n in sizes]
                assert lies_in(more[0], arena)
                pyslab.numpy_handler.uninstall()
                arrays.clear()
                assert not lies_in(np.ones(10), arena)
                assert more[-1][-1] == 1_999_999
                more.clear()
                assert (0, 0) == arena._counts[:2] and 0 == arena._array_counts[1]
                os._exit(0)
            assert 0 == os.waitpid(pid, 0)[1]
        assert [a.size for a in arrays] == [int(a.mean()) for a in arrays]
        arrays.clear()
        assert (0, 0) == arena._counts[:2]
        print("alive")
        """,
        "-W",
        "ignore::DeprecationWarning",  # OpenBLAS has threads
    )
    assert_alive(child)


@pytest.mark.parametrize(
    "end",
    [
        "",
        "uninstall()",
        "arena.close()",
        "uninstall(); arena.close(); del arena",
        "import sys; sys.keep = array",
        "import builtins; builtins.keep = [array]; del array",
        "import atexit; atexit.register(array.sum)",
        "import atexit; atexit.register(uninstall)",
        "cycle = [array]; cycle.append(cycle); del array",
        "import threading; threading.Thread(target=lambda: make(30)).start()",
        "class Late:\\n"
        "    def __init__(self, a): self.a = a\\n"
        "    def __del__(self): assert self.a[-1] == 1\\n"
        "late = Late(array); del array",
        "del arena, table",
    ],
)
@pytest.mark.parametrize("kind", ["Arena('64MiB')", "default_arena()", "Arena('256KiB')"])
def test_interpreter_exit(kind: str, end: str) -> None:
    """Live arrays at module level do not disturb the end of the interpreter."""
    if "default" in kind and "close" in end:
        pytest.skip("nobody closes the default arena")
    child = run_child(
        f"""
import numpy as np, pyslab
from pyslab.numpy_handler import install, uninstall
arena = pyslab.{kind}
def make(n):
    return [np.ones(100_000) for _ in range(n)][0]
install(arena, scope="process", fallback="numpy")
array = make(3)
table = dict(enumerate(np.arange(i) for i in range(1000)))
exec("{end}")
print("alive")
"""
    )
    assert_quiet(child)
