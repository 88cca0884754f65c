"""`pyslab record` of arenas: their blocks are in the file, and told apart from malloc's."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.extensions.build import build
from tests.record.rig import PYSLAB, describe, record, replay, run

BEGIN = "import pyslab; arena = pyslab.Arena('64MiB')\n"


def _recorded(file: Path, code: str, *paths: Path) -> dict[str, Any]:
    """Record a program in Python; return what is in the file."""
    path = f"import sys; sys.path.extend({[str(path) for path in paths]})\n"
    record(file, sys.executable, "-c", path + BEGIN + code)
    return describe(file)


def _of_arenas(found: dict[str, Any]) -> list[int]:
    return [found[f"arena_{name}"] for name in ("allocations", "frees", "bytes")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("kept = [arena.kmalloc(100 + i) for i in range(10)]; del kept", [10, 10, 1045]),
        ("b = arena.krealloc(arena.kmalloc(50), 5000); b.close()", [2, 2, 5050]),
        ("arena.free_pages(arena.alloc_pages(2))", [1, 1, 16384]),
        ("c = arena.kmem_cache_create('of-40', 40); kept = c.alloc(); del kept", [1, 1, 40]),
        ("v = arena.vmalloc(100_000); v.close()", [1, 1, 100_000]),
        ("b = arena.krealloc(arena.kmalloc(0), 70); b.close(); arena.kmalloc(0)", [1, 1, 70]),
    ],
)
def test_what_python_takes(code: str, expected: list[int], tmp_path: Path) -> None:
    """Each block with the bytes that were asked for; a block that is resized is a new one."""
    assert expected == _of_arenas(_recorded(tmp_path / "file", code))


def test_numpys_data(tmp_path: Path) -> None:
    """Arrays in an arena are the arena's, and not malloc's."""
    code = (
        "import numpy as np\n"
        "with arena.numpy_allocator():\n    kept = [np.empty(100_000) for _ in range(5)]\n"
        "del kept"
    )
    assert [5, 5, 4_000_000] == _of_arenas(_recorded_with_numpy(tmp_path / "file", code))


def _recorded_with_numpy(file: Path, code: str) -> dict[str, Any]:
    """Libraries of NumPy's free blocks after the recording has ended: these have no checksum."""
    record(file, sys.executable, "-c", BEGIN + code)
    found: dict[str, Any] = replay(file, "--describe")[0]["recording"]
    return found


def test_every_way_to_take_memory(tmp_path: Path) -> None:
    """Each function of the C API that hands out memory is seen, and each that takes it back."""
    build(tmp_path / "taker.so", [Path(__file__).parents[1] / "profile" / "taker.c"])
    code = "import taker; print(*taker.every_way(arena), file=open('expected', 'w'))"
    found = _recorded(
        tmp_path / "file", f"import os; os.chdir({str(tmp_path)!r})\n{code}", tmp_path
    )
    nbytes, count = map(int, (tmp_path / "expected").read_text().split())
    assert [count, nbytes] == [found["arena_allocations"], found["arena_bytes"]]
    assert found["arena_frees"] <= count
    again = replay(tmp_path / "file", "--describe", "--arenas")[0]["recording"]
    assert found["live_blocks"] == again["live_blocks"]  # nothing of the arena is left


def test_replayed_or_left_out(tmp_path: Path) -> None:
    """A replay says what it leaves out; with --arenas the blocks are among malloc's."""
    without = _recorded(tmp_path / "file", "kept = [arena.kmalloc(1000) for _ in range(500)]")
    result, words = replay(tmp_path / "file", "--describe", "--arenas")
    with_arenas = result["recording"]
    assert "" == words
    assert 500 == with_arenas["allocations"] - without["allocations"]
    assert 500_000 == with_arenas["total_bytes"] - without["total_bytes"]
    text = run(*PYSLAB, "replay", tmp_path / "file", "--describe").stdout
    assert "besides 500 allocations of pyslab's arenas" in text
    assert "--arenas replays them" in text
    options = ["--arenas", "--against=glibc", "--rounds=1"]
    text = run(*PYSLAB, "replay", tmp_path / "file", *options).stdout
    assert "500 allocations of pyslab's arenas, 488 KiB in all, are among them" in text


def test_a_forked_child(tmp_path: Path) -> None:
    """What a forked child does with its copy of the arena is in the child's file."""
    code = (
        "import os\nkept = arena.kmalloc(10)\nif os.fork() == 0:\n"
        "    more = [arena.kmalloc(20) for _ in range(7)]\n    os._exit(0)\nos.wait(); del kept"
    )
    record(tmp_path / "file", sys.executable, "-c", BEGIN + code)
    (child,) = tmp_path.glob("file.*")
    parent = replay(tmp_path / "file", "--describe")[0]["recording"]
    assert [1, 1, 10] == _of_arenas(parent)
    assert [7, 0, 140] == _of_arenas(replay(child, "--describe")[0]["recording"])
