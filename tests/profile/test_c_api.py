"""Profiles of what extensions take from arenas by the C API, with their C frames."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.extensions.build import build
from tests.profile.test_block import found, site_of
from tests.profile.test_command import profile as profile_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module `taker`."""
    folder = tmp_path_factory.mktemp("taker")
    build(folder / "taker.so", [Path(__file__).with_name("taker.c")])
    return folder


@pytest.fixture(scope="module")
def taker(folder: Path) -> ModuleType:
    """An extension that takes memory by the C API."""
    sys.path.insert(0, str(folder))
    try:
        import taker
    finally:
        sys.path.remove(str(folder))
    return taker


def test_frames_of_an_extension(arena: pyslab.Arena, taker: ModuleType) -> None:
    """A site has the extension's functions, below those of Python that called it."""
    with pyslab.profile(every="all") as profile:
        kept = taker.take(arena, 50, 1000, 2)
    site = site_of(profile, "grab")
    assert (50, 50_000, 48) == (site.allocated_objects, site.allocated_bytes, site.freed_objects)
    assert ["grab", "take"] == [frame.function for frame in site.frames[:2]]
    assert all(Path(frame.file).name == "taker.so" for frame in site.frames[:2])
    assert "test_frames_of_an_extension" == site.frames[2].function
    for address in kept:
        assert 0 == taker.release(arena, address)


def test_every_way_to_take_memory(make_arena: ArenaFactory, taker: ModuleType) -> None:
    """Each function that hands out memory is seen, and each one that takes it back."""
    arena = make_arena("64MiB")
    with pyslab.profile(every="all") as profile:
        expected = taker.every_way(arena)
    assert expected == (found(profile).allocated_bytes, found(profile).nr_samples)
    assert 0 == found(profile).live_bytes


def test_threads_that_python_does_not_know(arena: pyslab.Arena, taker: ModuleType) -> None:
    """Their stacks are C's alone."""
    with pyslab.profile(every="all") as profile:
        taker.threads(arena)
    site = site_of(profile, "grab")
    assert (400, 400_000) == (site.allocated_objects, site.allocated_bytes)
    assert ["grab", "work"] == [frame.function for frame in site.frames[:2]]
    assert all(frame.address for frame in site.frames)


def test_only_while_a_profile_is_on(arena: pyslab.Arena, taker: ModuleType) -> None:
    """Before it nothing is seen, nor is a free of what another profile has seen."""
    before = taker.take(arena, 1, 3000, 1)
    with pyslab.profile(every="all") as first:
        taker.release(arena, before[0])
        kept = taker.take(arena, 1, 2000, 1)
    with pyslab.profile(every="all") as second:
        taker.release(arena, kept[0])
    assert (1, 2000, 2000) == (
        found(first).nr_samples, found(first).allocated_bytes, found(first).live_bytes,
    )  # fmt: skip
    assert (0, 0) == (found(second).nr_samples, found(second).live_bytes)


def test_samples(arena: pyslab.Arena, taker: ModuleType) -> None:
    """The sum of a sampled profile is about the exact one: 40 MB with a sample in 16 KiB have a
    deviation of 2 %."""
    with pyslab.profile(every="16KiB", seed=5) as profile:
        taker.take(arena, 100_000, 400, 0)
    assert abs(found(profile).allocated_bytes / 40e6 - 1) < 0.1
    assert 0 == found(profile).live_bytes


def test_whole_program(folder: Path, tmp_path: Path) -> None:
    """Under pyslab profile an extension's calls are in the program's profile."""
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import taker, pyslab\n"
        "def main(): return taker.take(pyslab.Arena('64MiB'), 10, 1000000, 3)\n"
        "main()"
    )
    path = tmp_path / "program.collapsed"
    done = profile_command("--every", "all", "-o", str(path), "--", sys.executable, "-c", code)
    assert 0 == done.returncode, done.stderr
    (line,) = (x for x in path.read_text().splitlines() if "grab" in x)
    stack, _, value = line.rpartition(" ")
    assert "3000000" == value or "4000000" == value
    assert "main" in stack
