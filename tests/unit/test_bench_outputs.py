"""The files that the benchmark would write are tried before it measures anything."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyslab import bench
from pyslab.bench.harness.command import check_outputs, picture_format


def _check(figures: Path | None = None, picture: Path | None = None) -> None:
    check_outputs(argparse.ArgumentParser(prog="bench"), figures, picture)


def _refused(capsys: pytest.CaptureFixture[str], *paths: Path | None) -> str:
    """Return the message; the status is 2."""
    with pytest.raises(SystemExit) as ended:
        _check(*paths)
    assert 2 == ended.value.code
    return capsys.readouterr().err.splitlines()[-1]


def test_good_paths_leave_nothing_behind(tmp_path: Path) -> None:
    """A file that is not there is not there afterwards; one that is keeps its content."""
    old = tmp_path / "old.json"
    old.write_text("content", encoding="utf-8")
    _check(tmp_path / "new.json")
    _check(old)
    assert [old] == list(tmp_path.iterdir())
    assert "content" == old.read_text(encoding="utf-8")


def test_a_link_to_nothing_stays(tmp_path: Path) -> None:
    """Its target is tried, and the link is left alone."""
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "target.json")
    _check(link)
    assert [link] == list(tmp_path.iterdir())


def test_bad_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the option, the path and the reason."""
    missing = tmp_path / "none" / "x.json"
    assert f"--json {missing}: No such file or directory" in _refused(capsys, missing)
    assert f"--json {tmp_path}: Is a directory" in _refused(capsys, tmp_path)


def test_a_device_is_not_opened(tmp_path: Path) -> None:
    """A pipe without a reader would block the check."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    _check(pipe)


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown format is refused, and so are one file for two and a wrong path."""
    pytest.importorskip("matplotlib")
    _check(None, tmp_path / "x.PNG")
    assert "no picture format 'foo'" in _refused(capsys, None, tmp_path / "x.foo")
    assert "No such file" in _refused(capsys, None, tmp_path / "none" / "x.svg")
    assert "the same file" in _refused(capsys, tmp_path / "x.svg", tmp_path / "." / "x.svg")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"), [("x.svg", "svg"), ("x.PNG", "png"), ("x", "svg"), ("x.tar.pdf", "pdf")]
)
def test_the_format(name: str, expected: str) -> None:
    """The suffix says it; without one it is SVG."""
    assert expected == picture_format(Path(name))


def test_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the remedy."""
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    assert "pip install pyslab-alloc[bench]" in _refused(capsys, None, tmp_path / "x.svg")


def test_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """main() ends before the first section."""

    def measure(*_: object) -> None:
        pytest.fail("it measured")

    monkeypatch.setattr(bench, "measure", measure)
    with pytest.raises(SystemExit) as ended:
        bench.main(["--quick", "--json", str(tmp_path / "none" / "x.json")])
    assert 2 == ended.value.code


def test_the_command(tmp_path: Path) -> None:
    """The status is 2, with a usage line, in well under the time of a measurement."""
    command = [sys.executable, "-m", "pyslab", "bench", "--json", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert 2 == done.returncode
    assert "" == done.stdout
    assert "Is a directory" in done.stderr
