"""`pyslab replay`: the same operations on each allocator, figures without the replayer's own, and
warnings for whatever is wrong with a file."""

import os
import random
import shutil
import sys
import xml.dom.minidom
from pathlib import Path

import pytest

from pyslab._record.allocators import Allocator, find_allocator
from pyslab._record.report import table
from pyslab._record.runs import Figures, figures_of
from pyslab._record.writer import CALLOC, FREE, MALLOC, MEMALIGN, REALLOC, RESIZE, RecordWriter
from tests.record.rig import PYSLAB, compile_asks, describe, record, replay, run
from tests.utils import OBJECTS_BY_MALLOC, REPO, WITHOUT_GIL

BLOCK = 4096
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of four threads."""
    folder = tmp_path_factory.mktemp("recorded")
    record(folder / "file", compile_asks(folder), "threads", 10000)
    return folder / "file"


def _written(path: Path, mebibytes: int = 8) -> Path:
    """Write a recording of one thread: blocks of 64 KiB, half of which are freed at the end."""
    with open(path, "wb") as file:
        writer = RecordWriter(file, "made by a test")
        for i in range(mebibytes * 16):
            writer.event("a", MALLOC, i * 100, 0x10000000 + i * 0x20000, 65536)
        for i in range(0, mebibytes * 16, 2):
            writer.event("a", FREE, 10**6 + i, 0x10000000 + i * 0x20000)
        writer.close()
    return path


@needs_gcc
def test_the_same_operations_on_each(recorded: Path) -> None:
    """Each allocator has times and bytes; the one that is not there is named."""
    result, words = replay(
        recorded, "--rounds", 2, "--against", "glibc,pyslab,pyslab:hardened+kfence,x=/no/such.so"
    )
    assert "" == words
    assert ["x=/no/such.so"] == result["not_found"]
    names = [one["name"] for one in result["allocators"]]
    assert ["glibc", "pyslab", "pyslab:hardened+kfence"] == names
    for one in result["allocators"]:
        assert one["seconds_median"] >= one["seconds_min"] >= 0
        assert one["peak_bytes"] > 0
        assert 0 == one["refused"]
    assert "hardened,kfence" == result["allocators"][2]["options"]


def test_the_example(tmp_path: Path) -> None:
    """The program of the page, recorded with every object that Python makes, where it can be."""
    file, example = tmp_path / "file", REPO / "examples" / "json_rows.py"
    command = [sys.executable, example, "--rows", 500, "--times", 2]
    done = run(*PYSLAB, "record", "-o", file, "--", *command, **OBJECTS_BY_MALLOC)
    assert (0, "") == (done.returncode, done.stderr)
    assert "500 rows, 0.0 MB of JSON" == done.stdout.strip()
    assert (1000 if WITHOUT_GIL else 10_000) < describe(file)["allocations"]


@needs_gcc
def test_the_table(recorded: Path, tmp_path: Path) -> None:
    """The figures as text, and as a picture."""
    svg = tmp_path / "a.svg"
    done = run(
        *PYSLAB, "replay", recorded, "--rounds", 1, "--against", "glibc,pyslab", "--svg", svg
    )
    assert (0, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert any(line.startswith("allocator ") and "ratio" in line for line in lines)
    assert 2 == sum(line.startswith(("glibc ", "pyslab ")) and "iB" in line for line in lines)
    assert "fastest" in lines[-1]
    picture = xml.dom.minidom.parse(str(svg))
    assert 8 <= len(picture.getElementsByTagName("rect"))


def test_memory_is_what_is_live(tmp_path: Path) -> None:
    """The peak is the blocks' bytes and little more; untouched blocks take none."""
    file = _written(tmp_path / "file")
    [touched] = replay(file, "--rounds", 1, "--against", "glibc")[0]["allocators"]
    assert 7 << 20 <= touched["peak_bytes"] < 10 << 20
    [untouched] = replay(file, "--rounds", 1, "--against", "glibc", "--touch", "none")[0][
        "allocators"
    ]
    assert untouched["peak_bytes"] < 3 << 20


def test_threads_that_have_ended_take_no_memory(tmp_path: Path) -> None:
    """A program of thousands of short threads, one after the other, never had all their stacks."""
    path = tmp_path / "file"
    with open(path, "wb") as file:
        writer = RecordWriter(file, "made by a test")
        for i in range(2000):
            writer.event(i, MALLOC, i * 1000, 0x1000, 100)
            writer.event(i, FREE, i * 1000 + 500, 0x1000)
        writer.close()
    [one] = replay(path, "--rounds", 1, "--against", "glibc")[0]["allocators"]
    assert one["peak_bytes"] < 6 << 20


def test_what_no_machine_has(tmp_path: Path) -> None:
    """A recording that needs more memory than there is is refused; untouched, blocks are."""
    path = tmp_path / "file"
    with open(path, "wb") as file:
        writer = RecordWriter(file, "large")
        writer.event(1, MALLOC, 1, 0x1000, 1 << 50)
        writer.event(1, RESIZE, 2, 0x1000)
        writer.event(1, REALLOC, 3, 0x2000, 1 << 51)
        writer.event(1, CALLOC, 4, 0x3000, 100)
        writer.event(1, FREE, 5, 0x2000)
        writer.close()
    done = run(*PYSLAB, "replay", path, "--against", "glibc", "--rounds", 1)
    assert 1 == done.returncode
    assert "available: --touch=none" in done.stderr
    [one] = replay(path, "--against", "glibc", "--rounds", 1, "--touch", "none")[0]["allocators"]
    assert 2 == one["refused"]


# --- files that are not as they were written -------------------------------------------


@needs_gcc
def test_damaged_files(recorded: Path, tmp_path: Path) -> None:
    """An error, or figures of the intact part with a warning."""
    whole, rng = recorded.read_bytes(), random.Random(1)
    damaged = tmp_path / "damaged"
    used = [i for i in range(BLOCK, len(whole), BLOCK) if any(whole[i : i + BLOCK])]
    for _ in range(6):
        data = bytearray(whole)
        data[rng.choice(used) + rng.randrange(72, 500)] ^= 1 << rng.randrange(8)
        damaged.write_bytes(data)
        result, words = replay(damaged, "--against", "glibc", "--rounds", 1)
        assert "1 blocks are damaged or cut off, and left out" in words
        assert result["warnings"]
    damaged.write_bytes(whole[: used[-1] + 100])
    assert "damaged or cut off" in replay(damaged, "--describe")[1]
    data = bytearray(whole)
    data[40] ^= 1
    damaged.write_bytes(data)
    done = run(*PYSLAB, "replay", damaged)
    assert (1, "") == (done.returncode, done.stdout)
    assert "the head of the file is damaged" in done.stderr


@pytest.mark.parametrize("content", [b"", b"pyslabRC", b"x" * 9000])
def test_no_record_files(content: bytes, tmp_path: Path) -> None:
    """What is no record file is said to be none."""
    (tmp_path / "file").write_bytes(content)
    done = run(*PYSLAB, "replay", tmp_path / "file")
    assert 1 == done.returncode
    assert "record file" in done.stderr or "cut off" in done.stderr
    assert 1 == run(*PYSLAB, "replay", tmp_path).returncode
    assert 1 == run(*PYSLAB, "replay", tmp_path / "nothing").returncode
    pipe = tmp_path / "pipe"  # nobody writes to it: to open it would wait for ever
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    done = run(*PYSLAB, "replay", pipe)
    assert (1, True) == (done.returncode, "this is no file" in done.stderr)


# --- logs of RMM ------------------------------------------------------------------------

RMM_LOG = """\
Thread,Time,Action,Pointer,Size,Stream
11,10:30:15.000100,allocate,0x7f0000000000,1000,0x0
11,10:30:15.000100,allocate,0x7f0000001000,2048,0x2
12,10:30:15.000200,deallocate,0x7f0000000000,1000,0x0
11,10:30:15:000300,allocate,0x7f0000000000,500,0x0
11,10:30:15:000300,allocate failure,(nil),500,0x0
12,10:30:15:000400,free,0x7f0000000000,500,0x0
"""


def test_a_log_of_rmm(tmp_path: Path) -> None:
    """Rows become events, in both of the formats of time that RMM has had."""
    log = tmp_path / "log.csv"
    log.write_text(RMM_LOG.replace("allocate failure,(nil)", "allocate failure,0x0"))
    found = describe(log)
    assert (3, 2, 2) == tuple(found[k] for k in ("allocations", "frees", "threads"))
    assert (3048, 2048) == (found["peak_live_bytes"], found["live_bytes"])
    assert 2 == found["between_threads"]
    [one] = replay(log, "--against", "glibc", "--rounds", 1)[0]["allocators"]
    assert 0 == one["refused"]


@pytest.mark.parametrize("row", ["1,2", "11,t,allocate,zero,5,0x0", "11,t,free,0x10,-5,0x0"])
def test_rows_that_are_none(row: str, tmp_path: Path) -> None:
    """The line is named."""
    log = tmp_path / "log.csv"
    log.write_text(RMM_LOG.splitlines()[0] + f"\n{row}\n")
    done = run(*PYSLAB, "replay", log)
    assert 0 != done.returncode
    assert "line 2 is no row of RMM" in done.stderr


# --- the parts ---------------------------------------------------------------------------


def test_names_of_allocators(tmp_path: Path) -> None:
    """Known names, options of pyslab, paths with and without a label."""
    library = tmp_path / "liba.so"
    library.touch()
    assert Allocator("glibc", "") == find_allocator("glibc")
    assert Allocator("liba.so", str(library)) == find_allocator(str(library))
    assert Allocator("mine", str(library)) == find_allocator(f"mine={library}")
    assert find_allocator(str(tmp_path / "none.so")) is None
    found = find_allocator("pyslab:guard=below+kfence=5:10")
    assert found is not None
    assert "guard=below,kfence=5:10" == found.options
    for wrong in ("nonsense", "pyslab:fast", "mimalloc:hardened"):
        with pytest.raises(ValueError, match=r"known are|no option"):
            find_allocator(wrong)


def test_a_library_that_is_none(tmp_path: Path) -> None:
    """What the dynamic linker cannot load is an error, not glibc under another name."""
    library = tmp_path / "liba.so"
    library.write_text("no library")
    done = run(*PYSLAB, "replay", _written(tmp_path / "file"), "--against", library)
    assert 1 == done.returncode
    assert "could not be preloaded" in done.stderr


def test_the_replayers_own_work_is_taken_off() -> None:
    """Of times the least is taken off, of memory what was there before."""
    nothing = [{"wall_ns": 100, "cpu_ns": 90, "baseline_bytes": 1000, "peak_bytes": 5}]
    run_ = {"wall_ns": 10**9 + 100, "cpu_ns": 90, "baseline_bytes": 1500, "peak_bytes": 700}
    run_ |= {"end_bytes": 100, "refused": 0, "faults": 3}
    figures = figures_of(Allocator("a", ""), [run_, run_ | {"wall_ns": 3 * 10**9 + 100}], nothing)
    assert Figures("a", "", 1.0, 2.0, 0.0, 1200, 600, 0, 3) == figures
    lines = list(
        table([figures, figures._replace(name="b", seconds_min=0.5)], {"peak_live_bytes": 600})
    )
    assert 3 == len(lines)
    assert ["0.50", "50.0%"] == [word for word in lines[2].split() if word in ("0.50", "50.0%")]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Python's writer and C's reader agree, over many blocks and threads."""
    rng, path = random.Random(3), tmp_path / "file"
    live: list[int] = []
    with open(path, "wb") as file:
        writer = RecordWriter(file, "x" * 2000)
        for i in range(5000):
            if live and rng.random() < 0.5:
                writer.event(rng.randrange(5), FREE, i * 1000, live.pop(rng.randrange(len(live))))
            else:
                address = rng.randrange(1 << 47)
                live.append(address)
                kind = rng.choice([MALLOC, MEMALIGN])
                writer.event(rng.randrange(5), kind, i * 1000, address, rng.randrange(1 << 20))
        writer.close()
    found = describe(path)
    assert 5000 == found["events"] == found["allocations"] + found["frees"]
    assert (5, len(live)) == (found["threads"], found["live_blocks"])
    assert os.path.getsize(path) % BLOCK == 0


def test_files_of_other_processes(recorded: Path, tmp_path: Path) -> None:
    """The largest first, then by number; five are named, and the number of the rest is told."""
    file = tmp_path / "file"
    shutil.copy(recorded, file)
    for ending in ("100", "20", "9", "9.2", "9.10", "7", "text", "3.rec"):
        (tmp_path / f"file.{ending}").write_bytes(b"x" * (5000 if ending == "7" else 100))
    words = run(*PYSLAB, "replay", file, "--describe").stderr.splitlines()
    names = [line.split(": ")[2].split(" ")[0].rpartition("file.")[2] for line in words[:5]]
    assert ["7", "9", "9.2", "9.10", "20"] == names
    assert f"pyslab replay: and 1 more, {file}.*" == words[5]
