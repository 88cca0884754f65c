"""PYSLAB_MALLOC=kfence: what is found in programs that were not made for it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyslab.run import preload_environment
from tests.malloc.preloaded import compile_c, run

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

FRAME = r"    (\? \(\S+\+0x[0-9a-f]+\)|\w+\+0x[0-9a-f]+ \(\S+\))\n"


@pytest.fixture(scope="module", params=["-pie", "-no-pie"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that misuses blocks in the way that it is told, at two kinds of addresses."""
    folder = tmp_path_factory.mktemp("kfence")
    return compile_c(folder, "misused.c", "misused", request.param, "-fPIE")


@pytest.mark.parametrize(
    ("how", "what", "status"),
    [
        ("over", "out of bounds, a read 1 bytes past the end", -11),
        ("after", "use after free, a read", -11),
        ("beside", "right red zone overwritten, 1 bytes past the end", -6),
    ],
)
def test_a_fault_is_found(program: Path, how: str, what: str, status: int) -> None:
    """The report names the block's size and where it was made, and freed."""
    done = run([program, how], "kfence=1ms")
    assert status == done.returncode, done.stderr
    assert re.search(rf"^pyslab: BUG kmalloc-112: {what}\n", done.stderr, re.MULTILINE)
    assert re.search(rf"^  allocated by\n({FRAME})*    main\+0x", done.stderr, re.MULTILINE)
    assert (how == "after") == ("  freed by\n" in done.stderr)
    if shutil.which("addr2line") is not None:
        assert_addr2line_agrees(program, done.stderr)


def assert_addr2line_agrees(program: Path, report: str) -> None:
    """The places in the program are addresses that addr2line takes; it has the same names."""
    told = re.findall(r"^    (\w+)\+0x\w+ \(misused\+(0x\w+)\)$", report, re.MULTILINE)
    assert {"main"} <= {name for name, _ in told} <= {"main", "misuse", "_start"}, report
    command = ["addr2line", "-f", "-e", str(program), *(place for _, place in told)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [name for name, _ in told] == done.stdout.splitlines()[::2]


def test_a_good_program_runs(program: Path) -> None:
    """With a sample every few milliseconds; blocks of it are resized and cleared as others."""
    done = run([program, "good"], "kfence=1ms:31,stats")
    assert 0 == done.returncode, done.stderr
    assert "BUG" not in done.stderr


def test_words(program: Path) -> None:
    """A time that is none is told, and the program runs."""
    done = run(["true"], "kfence=often")
    assert (0, 'pyslab: PYSLAB_MALLOC: no time for kfence "often"\n') == (
        done.returncode,
        done.stderr,
    )
    for words in ("kfence", "kfence=5ms,kfence", "kfence,hardened"):
        assert (0, "") == (run(["true"], words).returncode, run(["true"], words).stderr)
    found = preload_environment({}, "/l.so", kfence=True)
    assert "kfence" == found["PYSLAB_MALLOC"]


def test_python_with_faulthandler() -> None:
    """faulthandler ends as it does without the library, and with its own text alone."""
    code = "import faulthandler; faulthandler.enable(); faulthandler._sigsegv()"
    done = run([sys.executable, "-c", code], "kfence=1ms")
    assert -11 == done.returncode
    assert done.stderr.startswith("Fatal Python error: Segmentation fault\n")
    assert "pyslab:" not in done.stderr


def test_an_extension(tmp_path: Path) -> None:
    """A module in C that overruns blocks of the default arena is caught at the very write."""
    (tmp_path / "filler.c").write_text(
        """
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>
static PyObject *run(PyObject *module, PyObject *size)
{
    size_t bytes = PyLong_AsSize_t(size);
    char *p[64];

    for (int i = 0; i < 64; i++) {
        p[i] = pyslab_kmalloc(pyslab_default_arena(), bytes, PYSLAB_GFP_KERNEL);
        for (size_t j = 0; j <= bytes; j++)
            p[i][j] = 'A';
    }
    for (int i = 0; i < 64; i++)
        pyslab_kfree(pyslab_default_arena(), p[i]);
    Py_RETURN_NONE;
}
static PyMethodDef methods[] = {{"run", run, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "filler", NULL, -1, methods};
PyMODINIT_FUNC PyInit_filler(void)
{
    return pyslab_import() < 0 ? NULL : PyModule_Create(&definition);
}
""",
        encoding="utf-8",
    )
    (tmp_path / "use.py").write_text(
        "import filler, time\ndef work():\n    filler.run(4096 - 512)\n"
        "end = time.time() + 30\nwhile time.time() < end:\n    work()\n",
        encoding="utf-8",
    )
    cflags = [sys.executable, "-m", "pyslab", "--includes"]
    includes = subprocess.run(cflags, capture_output=True, text=True, check=True).stdout.split()
    build = ["gcc", "-g", "-shared", "-fPIC", *includes, "filler.c", "-o", "filler.so"]
    subprocess.run(build, cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "use.py"],
        cwd=tmp_path,
        env={"PYSLAB_KFENCE": "1ms", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {-6, -11}, done.stderr
    assert re.search(r"BUG kmalloc-3584: .* 1 bytes past the end\n", done.stderr), done.stderr
    assert "filler.so+0x" in done.stderr
    assert "use.py:3 in work\n" in done.stderr
