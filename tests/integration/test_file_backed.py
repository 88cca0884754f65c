"""Arena(highmem=): a file on disk as high memory, kept from one arena to the next."""

import gc
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import pyslab
from pyslab import GFP, ZoneLayout
from tests.high import LOW_PAGES, high_arena, high_layout
from tests.utils import PAGE, REPO, assert_alive, pattern, run_child

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be."""
    return tmp_path / "frames"


def _save(path: Path, data: bytes) -> int:
    """Leave data in one page of a new file; return the frame."""
    arena = high_arena(4 * MIB, highmem=path)
    arena.vmalloc(10 * PAGE)[:] = b"\xee" * 10 * PAGE
    page = arena.alloc_page(gfp=GFP.HIGHUSER)
    arena.vmap([page])[: len(data)] = data
    arena.flush()
    return page.pfn


# --- what is in it stays -------------------------------------------------------


def test_content_survives(path: Path) -> None:
    """Written, closed, opened again and claimed by its frame number; also by plain read()."""
    pfn = _save(path, b"kept")
    gc.collect()
    assert 4 * MIB == path.stat().st_size
    with open(path, "rb") as file:
        file.seek((pfn - LOW_PAGES) * PAGE)
        assert b"kept" == file.read(4)
    arena = high_arena(4 * MIB, highmem=path)
    page = arena.reserve_range(pfn, 1)
    assert b"kept" == arena.vmap([page])[:4]
    with pytest.raises(pyslab.OutOfMemoryError, match=f"cannot reserve frames {pfn} to {pfn}"):
        arena.reserve_range(pfn, 1)
    arena.validate()


def test_frames_not_yet_claimed_are_left_alone(path: Path) -> None:
    """Neither release_unused() nor the purge empties free frames of a file."""
    pfn = _save(path, b"kept")
    arena = high_arena(4 * MIB, highmem=path, purge_delay=0.001)
    for _ in range(5):
        arena.release_unused()
        arena.kfree(arena.get_free_pages(4))
        time.sleep(0.005)
    assert b"kept" == arena.vmap([arena.reserve_range(pfn, 1)])[:4]


def test_old_content_is_no_zero(path: Path) -> None:
    """vzalloc clears what an arena before has left in the file; a new file is zero anyway."""
    for _ in range(2):
        arena = high_arena(4 * MIB, highmem=path)
        buf = arena.vzalloc(4 * MIB)
        assert bytes(4 * MIB) == buf
        buf[:] = pattern(1, 4 * MIB)
        assert 4 * MIB <= path.stat().st_blocks * 512
        del buf, arena


def test_a_run_is_claimed_as_a_whole(path: Path) -> None:
    """A reservation of many frames has them in order."""
    arena = high_arena(4 * MIB, highmem=path)
    arena.vmap([arena.reserve_range(LOW_PAGES + 3, 50)])[:] = pattern(2, 50 * PAGE)
    del arena
    arena = high_arena(4 * MIB, highmem=path)
    parts = [arena.reserve_range(LOW_PAGES + 3 + n, 10) for n in range(0, 50, 10)]
    assert pattern(2, 50 * PAGE) == arena.vmap(parts)


def test_another_process_goes_on(path: Path) -> None:
    """What one process leaves, the next finds."""
    pfn = _save(path, b"mine")
    gc.collect()
    code = f"""
        from pathlib import Path
        from tests.high import high_arena
        arena = high_arena({4 * MIB}, highmem=Path({str(path)!r}))
        buf = arena.vmap([arena.reserve_range({pfn}, 1)])
        assert b"mine" == buf[:4]
        buf[:4] = b"hers"
        print("alive", flush=True)
        import os
        os._exit(0)  # without closing anything
    """
    assert_alive(run_child(code))
    arena = high_arena(4 * MIB, highmem=path)
    assert b"hers" == arena.vmap([arena.reserve_range(pfn, 1)])[:4]


def test_flush(path: Path) -> None:
    """flush() is nothing without a file, and an ArenaClosedError without an arena."""
    for arena in (high_arena(MIB), pyslab.Arena("1MiB"), high_arena(MIB, highmem=path)):
        arena.flush()
        arena.close()
        with pytest.raises(pyslab.ArenaClosedError):
            arena.flush()


# --- files that are refused ----------------------------------------------------


@pytest.mark.parametrize("nbytes", [1, PAGE, 4 * MIB - PAGE, 4 * MIB - 1, 4 * MIB + 1, 8 * MIB])
def test_a_file_of_another_size(path: Path, nbytes: int) -> None:
    """Cut or grown since: the error has both sizes and the path, and the file stays as it is."""
    path.write_bytes(pattern(1, nbytes))
    with pytest.raises(pyslab.PyslabError, match=f"has {nbytes} bytes") as caught:
        high_arena(4 * MIB, highmem=path)
    assert f"the high zones have {4 * MIB}: {str(path)!r}" in str(caught.value)
    assert pattern(1, nbytes) == path.read_bytes()


def test_a_file_that_was_cut(path: Path) -> None:
    """A reopened file with less than its arena had is not mapped: no SIGBUS."""
    _save(path, b"kept")
    gc.collect()
    os.truncate(path, 4 * MIB - 3 * PAGE)
    with pytest.raises(pyslab.PyslabError, match="or was cut"):
        high_arena(4 * MIB, highmem=path)
    os.truncate(path, 4 * MIB)  # a hole at the end, which is filled first
    arena = high_arena(4 * MIB, highmem=path)
    assert bytes(3 * PAGE) == arena.vmap([arena.reserve_range(LOW_PAGES + 1024 - 3, 3)])


def test_a_file_in_use(path: Path) -> None:
    """One arena at a time, of this process or another, until its last Buffer has gone."""
    arena = high_arena(4 * MIB, highmem=path)
    buf = arena.vmalloc(PAGE)
    code = f"""
        from pathlib import Path
        import pyslab
        from tests.high import high_arena
        try:
            high_arena({4 * MIB}, highmem=Path({str(path)!r}))
        except pyslab.PyslabError as error:
            assert {f"another arena uses the file {str(path)!r}"!r} == str(error), error
            print("alive")
    """
    for _ in range(2):
        with pytest.raises(pyslab.PyslabError, match="another arena uses the file"):
            high_arena(4 * MIB, highmem=path)
        assert_alive(run_child(code))
        arena.close()  # buf lives on
    buf[:4] = b"last"
    del buf, arena
    high_arena(4 * MIB, highmem=path).close()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *(("", FileNotFoundError), ("missing/frames", FileNotFoundError)),
        *((".", IsADirectoryError), ("file/frames", NotADirectoryError), ("fifo", OSError)),
        *(("x" * 300, OSError), ("loop", OSError)),
    ],
)
def test_paths_that_are_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[OSError]
) -> None:
    """The system's own error, with the path."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    os.mkfifo("fifo")
    layout = high_layout(MIB)
    with pytest.raises(error) as caught:
        pyslab.Arena(layout.nbytes, zones=layout, highmem=name)
    assert isinstance(caught.value, OSError)
    assert name == caught.value.filename


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_devices(device: str) -> None:
    """They hold nothing: OSError."""
    with pytest.raises(OSError, match=device):
        high_arena(MIB, highmem=Path(device))


@pytest.mark.parametrize("value", [3, True, 1.5, object, ["frames"]], ids=repr)
def test_paths_of_another_type(value: Any) -> None:
    """A path is a str or a PathLike."""
    with pytest.raises(TypeError):
        high_arena(MIB, highmem=value)


def test_a_path_with_a_null(tmp_path: Path) -> None:
    """Nothing behind it is cut off in silence: a ValueError, and no file."""
    with pytest.raises(ValueError, match="null character"):
        high_arena(MIB, highmem=tmp_path / "a\0b")
    assert [] == list(tmp_path.iterdir())


def test_a_file_for_no_zone(path: Path) -> None:
    """highmem= without a high zone is a ValueError, and leaves no file."""
    for zones in (None, ZoneLayout.flat("1MiB")):
        with pytest.raises(ValueError, match="must have one"):
            pyslab.Arena("1MiB", zones=zones, highmem=path)
    assert not path.exists()


# --- disks ---------------------------------------------------------------------


def _run_on_tmpfs(program: str, options: str, where: Path) -> None:
    """Run a program on a small file system that only it can see; skip where that is denied."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare command here")
    mount = f"mount -t tmpfs -o {options} none {shlex.quote(str(where))}"
    probe = [unshare, "-rm", "sh", "-c", mount]
    denied = subprocess.run(probe, capture_output=True, text=True, check=False)
    if denied.returncode:
        pytest.skip(f"no private mounts here: {denied.stderr.strip()}")
    code = f"from tests.integration import file_programs as p\np.{program}({str(where)!r})"
    python = shlex.join([sys.executable, "-X", "faulthandler", "-c", code])
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", f"{mount} && exec {python}"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_alive(done)


@pytest.mark.parametrize("program", ["full_disk", "sparse_file_on_a_full_disk"])
def test_a_full_disk(tmp_path: Path, program: str) -> None:
    """An error when the arena is made, never a SIGBUS when it is used."""
    _run_on_tmpfs(program, "size=2m", tmp_path)


def test_a_read_only_directory(tmp_path: Path) -> None:
    """An OSError with the path."""
    _run_on_tmpfs("read_only", "ro", tmp_path)
