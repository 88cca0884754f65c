"""docs/recipes.md: each of its jobs, done as the page says."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.utils import NO_OBJECTS_BY_MALLOC, REPO, WITHOUT_GIL

PAGE = (REPO / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|cython)\n(.*?)```", PAGE, re.DOTALL)
TEXTS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def _write(folder: Path, name: str) -> Path:
    """Write the program of that name, which stands in its first line, into a folder."""
    (text,) = [block for block in BLOCKS if name in block.splitlines()[0]]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _run(folder: Path, *command: str) -> str:
    """Run Python in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout + done.stderr


def test_arrays_through_a_pool(tmp_path: Path) -> None:
    """Eight pictures go to a pool of processes; what comes back is read-only."""
    pytest.importorskip("numpy")
    output = _run(tmp_path, str(_write(tmp_path, "pipeline.py")))
    assert [f"(480, 640) {shade}.0 False" for shade in range(8)] == output.splitlines()
    assert "`(480, 640) 7.0 False`" in PAGE


def test_cython_on_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two files build, and the third uses what was built."""
    for module in ("Cython", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is missing")
    if WITHOUT_GIL:
        monkeypatch.setenv("PYTHON_GIL", "1")  # else the page's extension is warned about
    for name in ("words.pyx", "setup.py", "use.py"):
        _write(tmp_path, name)
    _run(tmp_path, "setup.py", "-q", "build_ext", "--inplace")
    assert "29\n" == _run(tmp_path, "use.py")


def test_a_leak(tmp_path: Path) -> None:
    """The report is what the page shows, but for numbers and folders."""
    _write(tmp_path, "leaky.py")
    output = _run(tmp_path, "-m", "pyslab", "leaks", "--", sys.executable, "leaky.py")
    (expected,) = [text for text in TEXTS if "leaky.py" in text]
    pattern = re.escape(expected).replace(r"process\ \.\.\.", r"process\ \d+")
    assert re.fullmatch(pattern.replace(r"\.\.\./leaky", r"\S*leaky"), output), output


def test_a_server_under_the_hardened_malloc(tmp_path: Path) -> None:
    """Redis works under it, says nothing of misuse, and reports when it ends."""
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("redis is missing")
    (command,) = re.findall(r"^pyslab (run --hardened .*)$", PAGE, re.MULTILINE)
    words = command.replace("''", "").split()
    server = subprocess.Popen(
        [sys.executable, "-m", "pyslab", *words, ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = ["redis-cli", "-s", "./redis.sock"]
        end = time.monotonic() + 60
        while not (tmp_path / "redis.sock").exists() and time.monotonic() < end:
            time.sleep(0.05)
        for words in (["set", "a", "b"], ["shutdown", "nosave"]):
            subprocess.run([*client, *words], cwd=tmp_path, check=True, capture_output=True)
        report = server.communicate(timeout=60)[1]
    finally:
        server.kill()
    assert 0 == server.returncode, report
    assert "quarantine" in report
    assert "invalid" not in report


def test_a_file_larger_than_memory(tmp_path: Path) -> None:
    """The file has what was written through the window, and can be opened again."""
    pytest.importorskip("numpy")
    program = str(_write(tmp_path, "big.py"))
    assert "64 [512.]\n" == _run(tmp_path, program) == _run(tmp_path, program)
    assert "`64 [512.]`" in PAGE


def test_split_and_merge(tmp_path: Path) -> None:
    """The free blocks are those that the page shows."""
    (expected,) = [text for text in TEXTS if "free blocks" in text]
    assert expected == _run(tmp_path, str(_write(tmp_path, "split.py")))


@pytest.mark.skipif(WITHOUT_GIL, reason=NO_OBJECTS_BY_MALLOC)
def test_the_line_with_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two largest places at the peak are those that the page says."""
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    _write(tmp_path, "report.py")
    output = _run(
        tmp_path,
        *("-m", "pyslab", "profile", "--every", "64KiB", "--"),
        *(sys.executable, "report.py"),
    )
    rows = output.partition("where\n")[2].splitlines()
    assert "read_rows" in "".join(rows[:3])
    assert "as_table" in "".join(rows[2:6])
