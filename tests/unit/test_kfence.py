"""Arena(kfence_sample=): a few objects between pages without access, and what is told of them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import pyslab
from pyslab import testing
from tests.kfence import MAKE, PRELUDE, assert_killed


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program behind the prelude; faulthandler is as it says."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        env={**os.environ, "PYTHONFAULTHANDLER": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- at the access ---------------------------------------------------------------


def test_a_read_past_the_end() -> None:
    """The report names the object and where it was made; the process ends by the signal."""
    child = run(MAKE + "read(sample(arena, True).address + 112)")
    assert_killed(child, "out of bounds, a read 1 bytes past the end")
    assert "is at offset 112\n" in child.stderr


def test_a_write_before_the_start() -> None:
    """An underrun by two bytes."""
    child = run(MAKE + "ctypes.memset(sample(arena, False).address - 2, 65, 1)")
    assert_killed(child, "out of bounds, a write 2 bytes before the start")


@pytest.mark.parametrize(
    ("use", "words"), [("read(p)", "a read"), ("ctypes.memset(p, 1, 1)", "a write")]
)
def test_use_after_free(use: str, words: str) -> None:
    """Both stacks are there: of the allocation, and of the free."""
    child = run(MAKE + "p = drop(arena, sample(arena, True))\n" + use)
    assert_killed(child, f"use after free, {words}")
    freed = child.stderr.partition("  freed by\n")[2]
    assert " in drop\n" in freed


@pytest.mark.parametrize("when", ["before", "after", "thread", "never"])
def test_beside_faulthandler(when: str) -> None:
    """Both reports are written, whichever handler was there first, and in threads without an
    alternate stack of their own."""
    enable = "faulthandler.enable()\n"
    program = MAKE + (enable if when in {"after", "thread"} else "")
    program = (enable if when == "before" else "") + program
    program += "p = sample(arena, True).address\n"
    if when == "thread":
        program += "threading.Thread(target=read, args=[p + 112]).start()\ntime.sleep(30)"
    else:
        program += "read(p + 112)"
    child = run(program)
    assert_killed(child, "out of bounds, a read 1 bytes past the end")
    assert (when != "never") == ("Fatal Python error: Segmentation fault" in child.stderr)
    assert (when != "never") == (" in string_at" in child.stderr)


@pytest.mark.parametrize(
    "how",
    ["signal.raise_signal(signal.SIGSEGV)", "os.kill(os.getpid(), 11)", "ctypes.string_at(8)"],
)
@pytest.mark.parametrize("enable", ["", "faulthandler.enable()\n"])
def test_other_faults_end_as_before(how: str, enable: str) -> None:
    """What has nothing to do with the pool: no report of ours, and the same end."""
    child = run(MAKE + enable + how)
    assert -11 == child.returncode
    assert "pyslab:" not in child.stderr
    assert (enable != "") == ("Fatal Python error: Segmentation fault" in child.stderr)


# --- at the free --------------------------------------------------------------------


def test_damage_at_the_free() -> None:
    """What was written beside the object, on its page, is raised as CorruptionError."""
    child = run(
        MAKE
        + """
buf = sample(arena, False)
address = buf.address
ctypes.memset(address, 65, 114)
try:
    arena.kfree(buf)
except pyslab.CorruptionError as error:
    assert error.kind == "right red zone", error.kind
    assert (error.object, error.size, error.offset) == (address, 112, 112)
    assert (error.found, error.expected) == (65, 0xE8)
    assert error.allocated_at[0][2] == "load"
    assert "41 41 ea eb" in error.hexdump
else:
    raise SystemExit("nothing was raised")
assert arena.kfence_stats().nr_found == 1
"""
    )
    assert (0, "") == (child.returncode, child.stderr)


def test_wrong_frees_from_c() -> None:
    """A double free and one inside the object are reported with the object's stacks."""
    child = run(
        MAKE
        + """
handle = ffi.cast("pyslab_arena *", arena.handle)
def free(address):
    return lib.pyslab_kfree(handle, ffi.cast("void *", address))
errors = []
p = sample(arena, True)
inner = p.address + 8
try:
    assert free(inner) == lib.PYSLAB_EPOINTER
except pyslab.CorruptionError as error:
    errors.append(error)
address = drop(arena, p)
try:
    assert free(address) == lib.PYSLAB_EDOUBLE
except pyslab.CorruptionError as error:
    errors.append(error)
assert [error.kind for error in errors] == ["invalid free", "double free"], errors
assert errors[1].allocated_at[0][2] == "load"
assert errors[1].freed_at[0][2] == "drop"
"""
    )
    assert (0, "") == (child.returncode, child.stderr)


# --- options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "milliseconds"), [("100ms", 100), ("2s", 2000), (0.25, 250), (3, 3000), (0, 0)]
)
def test_times(sample: Any, milliseconds: int) -> None:
    """A text with a unit, or seconds; 0 is off."""
    with pyslab.Arena("16MiB", kfence_sample=sample, kfence_objects=7) as arena:
        stats = arena.kfence_stats()
    assert (milliseconds, 7 if milliseconds else 0) == (stats.sample_ms, stats.nr_objects)


@pytest.mark.parametrize("sample", ["", "100", "1m", "-1s", -1, 1e9, float("nan")])
def test_no_times(sample: Any) -> None:
    """What is no time is a ValueError."""
    with pytest.raises(ValueError, match="kfence_sample"):
        pyslab.Arena("16MiB", kfence_sample=sample)


def test_other_refusals() -> None:
    """Types, numbers out of range, and shared arenas."""
    with pytest.raises(TypeError, match="kfence_sample"):
        pyslab.Arena("16MiB", kfence_sample=True)
    for nr in (0, 65536):
        with pytest.raises(ValueError, match="kfence_objects"):
            pyslab.Arena("16MiB", kfence_objects=nr)
    with pytest.raises(ValueError, match="shared"):
        pyslab.Arena("16MiB", kfence_sample="1s", shared=True)


def test_as_many_arenas_as_there_are_pools() -> None:
    """The 257th is told why; where only the environment asks, it goes without."""
    program = """
asked = {"kfence_sample": "1s"} if sys.argv[1:] else {}
kept = [pyslab.Arena("1MiB", kfence_objects=1, **asked) for _ in range(256)]
assert {1} == {arena.kfence_stats().nr_objects for arena in kept}
assert pyslab.Arena("1MiB", kfence_sample=0).kfence_stats().nr_objects == 0
try:
    print(pyslab.Arena("1MiB", **asked).kfence_stats().nr_objects)
except MemoryError as error:
    print(error)
kept.pop().close()
assert pyslab.Arena("1MiB", **asked).kfence_stats().nr_objects >= 1
"""
    child = run("sys.argv.append('asked')\n" + program)
    assert "with kfence_sample=: " in child.stdout, child.stderr
    assert "256 arenas with one already\n" in child.stdout
    child = run(program, PYSLAB_KFENCE="1s,1")
    assert "0\n" == child.stdout, child.stderr


def test_the_environment() -> None:
    """PYSLAB_KFENCE is for all arenas without an option of their own, the default one too."""
    program = """
print(pyslab.default_arena().kfence_stats().sample_ms)
stats = pyslab.Arena("16MiB").kfence_stats()
print(stats.sample_ms, stats.nr_objects)
print(pyslab.Arena("16MiB", kfence_sample=0).kfence_stats().sample_ms)
print(pyslab.Arena("16MiB", shared=True).kfence_stats().sample_ms)
"""
    child = run(program, PYSLAB_KFENCE="50ms,15")
    assert ["50", "50", "15", "0", "0"] == child.stdout.split(), child.stderr
    child = run(program, PYSLAB_KFENCE="often")
    assert ["0", "0", "0", "0", "0"] == child.stdout.split()
    assert "PYSLAB_KFENCE: not a time" in child.stderr


# --- beside the rest ----------------------------------------------------------------------


def test_samples_are_counted_like_others() -> None:
    """Statistics, validation and every_failure work in an arena with samples."""
    with pyslab.Arena("16MiB", kfence_sample="1ms") as arena:
        with arena.statistics() as block:
            buffers = [arena.kmalloc(100) for _ in range(200)]
        assert 200 == block.current_count
        live = arena.stats().live_objects
        arena.validate()
        del buffers
        assert 0 == arena.stats().live_objects
        assert 200 == live
        assert arena.kfence_stats().nr_allocs >= 1

        def two(inner: pyslab.Arena) -> None:
            inner.kmalloc(64)
            inner.kzalloc(3000)

        assert 2 == testing.every_failure(two, arena, arena=arena)
