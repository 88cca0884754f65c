"""pyslab top without a terminal: what it shows, and of whom."""

import ctypes
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyslab._top.figures import Arena, Figures, Frame, Site
from pyslab._top.names import with_names
from pyslab._top.processes import look
from pyslab._top.view import View, plain
from pyslab.top import main
from tests.top.targets import IDLE, environment, shown, target, top
from tests.utils import REPO


def test_figures_of_an_arena() -> None:
    """The JSON has the arena, its zone and the cache with its live objects."""
    with target(IDLE) as process:
        found = shown(process.pid)
    (arena,) = found["arenas"]
    assert 16 << 20 == arena["size_bytes"]
    assert ["NORMAL"] == [zone["name"] for zone in arena["zones"]]
    (inode,) = (cache for cache in arena["caches"] if cache["name"] == "inode")
    assert (600, 50) == (inode["object_size"], inode["live"])
    assert 50 <= inode["allocs"] < 60
    assert 0 <= arena["age_s"] < 120
    assert 4096 == sum(arena["frames"].values())
    assert found["pid"] == process.pid


def test_text_of_an_arena() -> None:
    """-o prints a picture of plain text; idle programs have an age and no rates."""
    with target(IDLE) as process:
        done = top("-o", "-s", "n", process.pid)
    assert (0, "") == (done.returncode, done.stderr)
    assert "\x1b" not in done.stdout
    assert f"pyslab top: process {process.pid}, 1 arena, figures " in done.stdout
    assert "allocations/s not known yet" in done.stdout
    assert re.search(r"^1 NORMAL +4096 ", done.stdout, re.MULTILINE)
    names = re.findall(r"  (\S+)$", done.stdout.partition("Caches by name")[2], re.MULTILINE)
    assert names[0] == "NAME"
    assert sorted(names[1:]) == names[1:]
    assert "inode" in names


def test_rates() -> None:
    """A program that allocates has rates: about so many as it makes."""
    code = """
ready()
end = time.monotonic() + 60
while time.monotonic() < end:
    for _ in range(100):
        inodes.alloc()
    time.sleep(0.01)
"""
    with target(code) as process:
        done = json.loads(top("--json", process.pid).stdout)
    rates = done["arenas"][0]["rates"]
    assert 500 < rates["allocs"]["inode"] < 20000
    assert abs(rates["growth"]["inode"]) < rates["allocs"]["inode"]


def test_caches_of_one_name() -> None:
    """They have no rates, as nobody can tell which was which; others have."""
    code = """
twins = [arena.kmem_cache_create("twin", size) for size in (64, 128)]
kept = [twins[0].alloc() for _ in range(5000)], twins[1].alloc()
ready()
while True:
    for _ in range(100):
        inodes.alloc()
        twins[1].alloc()
    time.sleep(0.01)
"""
    with target(code) as process:
        (arena,) = json.loads(top("--json", process.pid).stdout)["arenas"]
    assert 2 == [cache["name"] for cache in arena["caches"]].count("twin")
    assert "inode" in arena["rates"]["allocs"]
    assert "twin" not in arena["rates"]["allocs"]
    assert "twin" not in arena["rates"]["growth"]


@pytest.mark.parametrize("height", [20, 24, 60, None])
def test_many_arenas(height: int | None) -> None:
    """The table of caches has room on a screen; of arenas and zones the busiest are shown."""
    code = "small = [pyslab.Arena('1MiB') for _ in range(9)]\n" + IDLE
    with target(code) as process:
        lines = plain(View("o", 1.0, look(process.pid)).lines(80, height)).splitlines()
    assert height is None or len(lines) <= height
    (table,) = (at for at, line in enumerate(lines) if line.startswith("Caches by"))
    assert lines[table + 1].endswith("NAME")
    assert re.match(r" +\d+ +\d+ +\d+%", lines[table + 2])
    arenas = [line for line in lines if re.match(r"Arena \d+:", line)]
    more = [line for line in lines if line.startswith("and ")]
    if height is None:
        assert (10, 0) == (len(arenas), len(more))
    else:
        assert "16M used" in arenas[0]
        left = re.findall(r"and (\d+) more arenas?$", "\n".join(more), re.MULTILINE)
        assert 10 == len(arenas) + sum(map(int, left))


def read_figures_of_one_site(*frames: Frame) -> tuple[Frame, ...]:
    """Return the frames of a call site of this process with their names."""
    site = Site(1, 64, 1, 1, frames)
    arena = Arena(*[0] * 17, (), (), (site,))
    (named,) = with_names(Figures(os.getpid(), 0, 0, 1, (arena,)), os.getpid()).arenas
    return named.sites[0].frames


TRACKED = """
tracked = pyslab.Arena("16MiB", track="leaks")
def load():
    return [tracked.kmalloc(1000) for _ in range(40)]
kept = load()
other = tracked.kmalloc(100)
tracked.kfree(kept.pop())
arena, old = tracked, arena
ready(); sys.stdin.read()
"""


def test_call_sites_of_a_tracked_arena() -> None:
    """The places with the most live bytes are shown with their calls; of other arenas none."""
    with target(TRACKED) as process:
        found = shown(process.pid)
        text = top("-o", process.pid).stdout
    plain_arena, arena = found["arenas"]
    assert ([], 0) == (plain_arena["sites"], plain_arena["nr_sites"])
    first, second, *_ = arena["sites"]
    assert arena["nr_sites"] == len(arena["sites"])
    assert (39 * 1024, 39, 40) == (first["nbytes"], first["live"], first["allocs"])
    assert (112, 1, 1) == (second["nbytes"], second["live"], second["allocs"])
    calls = [(frame["function"], frame["file"]) for frame in first["frames"] if frame["line"]]
    assert [("load", "<string>"), ("<module>", "<string>")] == [
        call for call in calls if call[0] != "<listcomp>"
    ]
    assert "Call sites by live bytes" in text
    assert re.search(r"^ +39K +39 .* load \(<string>:\d+\) < <module> \(", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("library", "name"), [(ctypes.CDLL(None), "qsort"), (ctypes.pythonapi, "PyList_New")]
)
def test_names_of_c_functions(library: ctypes.CDLL, name: str) -> None:
    """An address of C gets the name that the mapped file has for it, and that file's path."""
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value + 4
    head, *_ = read_figures_of_one_site(Frame("", 0, "", address))
    assert head.function == name
    assert Path(head.file).exists()


def test_address_of_nowhere() -> None:
    """An address that no module has stays an address."""
    (head,) = read_figures_of_one_site(Frame("", 0, "", 8))
    assert ("", "0x8 (?)") == (head.function, str(head))


def test_no_call_sites() -> None:
    """Without a tracked arena the text has no table of call sites."""
    with target(IDLE) as process:
        assert "Call sites" not in top("-o", process.pid).stdout


def test_list_of_processes() -> None:
    """Without a PID all processes are listed that can be shown."""
    with target(IDLE) as process:
        listed = top()
        as_json = top("--json")
    assert re.search(rf"^ *{process.pid} +1 +\S+ +\S+  .*python", listed.stdout, re.MULTILINE)
    assert process.pid in [seen["pid"] for seen in json.loads(as_json.stdout)]


def test_holders_of_shared_blocks() -> None:
    """A shared heap's blocks and their holders are shown, from its table."""
    owner = """
shared = pyslab.Arena("16MiB", shared=True)
block = shared.kmalloc(10000)
ready()
print(block.handle().hex(), flush=True)
sys.stdin.read()
"""
    client = """
received = pyslab.open_handle(bytes.fromhex(os.environ["HANDLE"]))
ready(); sys.stdin.read()
"""
    with target(owner) as process, target(client, HANDLE=process.stdout.readline().strip()):
        (heap,) = shown(process.pid)["shared_heaps"]
        text = top("-o", process.pid).stdout
    assert (16 << 20, 1, 0) == (heap["nbytes"], heap["exported"], heap["orphans"])
    (held,) = (holder for holder in heap["holders"] if holder["row"] != 0)
    assert 1 == held["blocks"]
    assert 10000 <= held["nbytes"] <= 16384
    assert "1 block exported, 0 freed but held; 1 client; held by row 1: 1 (" in text


def test_program_under_pyslab_run() -> None:
    """A program that knows nothing of pyslab is shown by its malloc's arena."""
    command = [sys.executable, "-m", "pyslab", "run", "--", "sleep", "60"]
    process = subprocess.Popen(command, env=environment())
    try:
        deadline = time.monotonic() + 60
        while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]:
            assert time.monotonic() < deadline
        while (done := top("--json", process.pid)).returncode != 0:  # before its start
            assert time.monotonic() < deadline
        (arena,) = json.loads(done.stdout)["arenas"]
    finally:
        process.kill()
        process.wait()
    assert ["malloc"] == arena["flags"]


def test_command() -> None:
    """-- COMMAND shows what it starts, lets it print, and ends as it does."""
    code = (
        "import pyslab, time; a = pyslab.Arena('4MiB'); b = a.kmalloc(100); time.sleep(1);"
        "print('done'); raise SystemExit(3)"
    )
    done = top("-o", "-d", "0.5", "--", sys.executable, "-c", code)
    assert (3, "") == (done.returncode, done.stderr)
    assert done.stdout.endswith("done\n")
    assert ", 1 arena, figures " in done.stdout


def test_help_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    """The command's help has each key, and the page of docs the same."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    page = (REPO / "docs/top.md").read_text(encoding="utf-8")
    from pyslab._top.table import SORTS

    assert set("abclnopsuv") <= set(SORTS)  # slabtop's
    for letter, sort in SORTS.items():
        assert f"{letter} {sort.text}" in text
        assert f"| `{letter}` | {sort.text}" in page
