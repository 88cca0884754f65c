"""pyslab.profile: what it refuses, and its end by fork and kill."""

import os
import re
import threading
from pathlib import Path

import pytest

import pyslab
from tests.utils import assert_alive, run_child


@pytest.mark.parametrize("every", [0, -1, "0", "-5KiB", "often", 1 << 63, "9EiB"])
def test_wrong_rates(every: int | str) -> None:
    """A rate that is none is a ValueError."""
    with pytest.raises(ValueError, match=r"every|byte specification"):
        pyslab.profile(every=every)


def test_wrong_formats(tmp_path: Path) -> None:
    """A name without a format, and a format that is none."""
    with pytest.raises(ValueError, match=r"no format is known by this name; end it with \.pb\.gz"):
        pyslab.profile(tmp_path / "profile.svg")
    with pytest.raises(ValueError, match="a format is pprof, collapsed, table, not 'svg'"):
        pyslab.profile(tmp_path / "profile.svg", format="svg")
    pyslab.profile(tmp_path / "profile.svg", format="pprof")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told at the start, not at the end."""
    with (
        pytest.raises(FileNotFoundError, match=r"nowhere/x\.pb\.gz"),
        pyslab.profile(tmp_path / "nowhere" / "x.pb.gz"),
    ):
        pass
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        pyslab.profile(tmp_path / "folder.txt").start()
    with pyslab.profile(every="all"):
        pass  # nothing is left of them


def test_one_at_a_time(tmp_path: Path) -> None:
    """A profile in a profile, one that is stopped twice, one that never began."""
    outer = pyslab.profile(tmp_path / "x.txt", every="all")
    with pytest.raises(RuntimeError, match="the profile is not on"):
        outer.stop()
    outer.start()
    with pytest.raises(RuntimeError, match="a profile is on already"):
        pyslab.profile().start()
    with pytest.raises(RuntimeError, match="a profile is on already"):
        outer.start()
    outer.stop()
    with pytest.raises(RuntimeError, match="it was not started, or has ended"):
        outer.stop()
    with pytest.raises(RuntimeError, match="the profile has ended; make another one"):
        outer.start()
    assert ["x.txt"] == os.listdir(tmp_path)


def test_threads_that_start_at_once() -> None:
    """One of them begins, the others are told."""
    told: list[str] = []
    begun: list[pyslab.profile] = []

    def start() -> None:
        profile = pyslab.profile(every="all")
        try:
            profile.start()
            begun.append(profile)
        except RuntimeError as error:
            told.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 7) == (len(begun), len(told))
    begun[0].stop()


def test_fork(tmp_path: Path) -> None:
    """A child has no profile, may begin one of its own, and leaves its parent's alone."""
    child = run_child(
        f"""
        import os, pyslab
        arena = pyslab.Arena("16MiB")
        profile = pyslab.profile({str(tmp_path / "parent.txt")!r}, every="all")
        profile.start()
        kept = arena.kmalloc(1000)
        pid = os.fork()
        if pid == 0:
            del kept
            assert profile.stop() is None
            with pyslab.profile({str(tmp_path / "child.txt")!r}, every="all") as own:
                kept = arena.kmalloc(3000)
            assert own.result.live_bytes == 3000
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert profile.stop().live_bytes == 1000
        print("alive")
        """
    )
    assert_alive(child)
    assert ["child.txt", "parent.txt"] == sorted(os.listdir(tmp_path))


def test_a_kill_leaves_the_profile(tmp_path: Path) -> None:
    """What was seen until then lies beside the file, and can be read."""
    path = tmp_path / "x.txt"
    child = run_child(
        f"""
        import os, pyslab
        arena = pyslab.Arena("16MiB")
        pyslab.profile({str(path)!r}, every="all").start()
        kept = [arena.kmalloc(1000) for _ in range(5)]
        os.kill(os.getpid(), 9)
        """
    )
    assert -9 == child.returncode
    (part,) = tmp_path.glob("x.txt.part-*")
    from pyslab._profile import raw

    result = raw.read(str(part))
    assert 5000 == result.live_bytes
    assert list(result.processes) == result.cut_off


def test_a_path_of_bytes(tmp_path: Path, arena: pyslab.Arena) -> None:
    """It is a path as another is."""
    path = tmp_path / "x.table"
    with pyslab.profile(os.fsencode(path), every="all"):
        held = arena.kmalloc(100)
    assert path.read_text().startswith("peak 100 B")
    del held


def test_no_room_for_the_part(tmp_path: Path) -> None:
    """The error names the file that could not be made, which is not the one that was asked for."""
    path = tmp_path / "x.table"
    code = f"""
        import resource, signal, pyslab
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        try:
            pyslab.profile({str(path)!r}).start()
        except OSError as error:
            print(error.strerror, error.filename)
        """
    done = run_child(code)
    assert re.fullmatch(r"File too large .*x\.table\.part-\d+\n", done.stdout), done.stdout
    assert [] == list(tmp_path.iterdir())
