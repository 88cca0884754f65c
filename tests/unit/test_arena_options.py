"""The options of Arena: what each does, and what each refuses."""

import os
from pathlib import Path
from typing import Any

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.model import decompose
from tests.utils import PAGE, buddy_counts, sizes_in

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_huge_pages() -> int:
    """Return how many reserved huge pages this machine has left."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("HugePages_Free:"):
            return int(line.split()[1])
    return 0


@pytest.mark.parametrize("max_order", [0, 1, 10, 18, 20])
@pytest.mark.parametrize("nr_frames", [1, 3, 1000, 4096, 16384])
def test_max_order_bounds_the_blocks(
    make_arena: ArenaFactory, max_order: int, nr_frames: int
) -> None:
    """A fresh arena is the largest aligned blocks of at most max_order, and no others."""
    arena = make_arena(nr_frames * PAGE, max_order=max_order)
    assert max_order == arena.max_order
    assert decompose(nr_frames, max_order) == buddy_counts(arena)


@pytest.mark.parametrize("max_order", [0, 1, 10, 18, 20])
def test_order_above_max_order(make_arena: ArenaFactory, max_order: int) -> None:
    """The order after the last is a ValueError that names both orders."""
    arena = make_arena("1MiB", max_order=max_order)
    assert PAGE == arena.get_free_pages(0).nbytes
    for call in (arena.alloc_pages, arena.get_free_pages):
        with pytest.raises(ValueError, match=rf"\b{max_order + 1}\b") as caught:
            call(max_order + 1)
        assert str(max_order) in str(caught.value)


@pytest.mark.parametrize("max_order", [0, 1, 10])
def test_large_kmalloc_needs_no_larger_order(make_arena: ArenaFactory, max_order: int) -> None:
    """kmalloc is bounded by the largest block: beyond it is OutOfMemoryError, not a crash."""
    arena = make_arena("64MiB", max_order=max_order)
    largest = PAGE << max_order
    assert largest == arena.kmalloc(largest).nbytes
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        arena.kmalloc(largest + 1)
    assert largest + 1 in sizes_in(str(caught.value))


@pytest.mark.parametrize("max_order", [-1, 21, 1000, 2**32, -(2**63), 2**64])
def test_max_order_out_of_range(max_order: int) -> None:
    """max_order is 0 to 20; the text has the number."""
    with pytest.raises(ValueError, match=str(max_order)):
        pyslab.Arena("1MiB", max_order=max_order)


@pytest.mark.parametrize("max_order", [None, 3.0, "10", pyslab.GFP.DMA])
def test_max_order_of_another_type(max_order: Any) -> None:
    """max_order is an int, and a gfp is none."""
    with pytest.raises(TypeError):
        pyslab.Arena("1MiB", max_order=max_order)


@pytest.mark.parametrize("size", [0, -1, -PAGE, -(2**64), "0", "0 GiB"])
def test_size_without_a_frame(size: int | str) -> None:
    """Zero and negative sizes are a ValueError."""
    with pytest.raises(ValueError, match=r"\d"):
        pyslab.Arena(size)


@pytest.mark.parametrize("size", [None, 1.5e6, b"1MiB", [], pyslab.GFP.KERNEL])
def test_size_of_another_type(size: Any) -> None:
    """A size is an int or a str, and a gfp is neither."""
    with pytest.raises(TypeError):
        pyslab.Arena(size)


def test_size_that_is_no_size() -> None:
    """Text that is no size is quoted in the ValueError."""
    with pytest.raises(ValueError, match=r"parsecs") as caught:
        pyslab.Arena("12 parsecs")
    assert str(caught.value).startswith("Could not parse '12 parsecs' as a byte specification: ")


@pytest.mark.parametrize("size", [PHYSICAL + PAGE, 4 * PHYSICAL])
def test_larger_than_memory_needs_overcommit(size: int) -> None:
    """Without overcommit it is OutOfMemoryError with the size and the option in its text."""
    with pytest.raises(pyslab.OutOfMemoryError, match="overcommit") as caught:
        pyslab.Arena(size)
    assert size in sizes_in(str(caught.value))


@pytest.mark.skipif(
    Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip() == "2",
    reason="the kernel refuses overcommit",
)
def test_overcommit_is_larger_than_memory(make_arena: ArenaFactory) -> None:
    """With overcommit the arena may be a multiple of the memory, and works."""
    arena = make_arena(4 * PHYSICAL, overcommit=True)
    assert 4 * PHYSICAL <= arena.size
    buf = arena.kmalloc("1MiB")
    buf[-1] = 1
    assert 1 == buf[-1]


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64, 2**100])
@pytest.mark.parametrize("overcommit", [False, True])
def test_larger_than_any_address_space(size: int, overcommit: bool) -> None:
    """Not even overcommit can map this: OutOfMemoryError with the size in its text."""
    with pytest.raises(pyslab.OutOfMemoryError) as caught:
        pyslab.Arena(size, overcommit=overcommit)
    assert size in sizes_in(str(caught.value))


def test_hugepages_no_and_try(make_arena: ArenaFactory) -> None:
    """Both give the same arena to the caller; no page size shows."""
    for policy in ("no", "try"):
        arena = make_arena("64MiB", hugepages=policy)
        buf = arena.kzalloc("40MiB")
        buf[-1] = 9
        assert (0, 9) == (buf[0], buf[-1])


def test_hugepages_require(make_arena: ArenaFactory) -> None:
    """Reserved huge pages, or a PyslabError that names the situation."""
    if _free_huge_pages() >= 32:
        arena = make_arena("64MiB", hugepages="require")
        assert 100 == arena.kmalloc(100).nbytes
        return
    with pytest.raises(pyslab.PyslabError, match=r"(?i)huge ?page"):
        make_arena("64MiB", hugepages="require")


@pytest.mark.parametrize("option", ["hugepages", "kmalloc_classes"])
@pytest.mark.parametrize("value", ["", "yes", "FINE", "no "])
def test_unknown_word(option: str, value: str) -> None:
    """An option that is a word takes its own words only, and quotes the wrong one."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(ValueError, match=f"'{value}'"):
        pyslab.Arena("1MiB", **options)


@pytest.mark.parametrize("option", ["hugepages", "kmalloc_classes"])
@pytest.mark.parametrize("value", [None, 1])
def test_word_of_another_type(option: str, value: Any) -> None:
    """A value that is no str is refused too."""
    options: dict[str, Any] = {option: value}
    with pytest.raises((TypeError, ValueError)):
        pyslab.Arena("1MiB", **options)


def test_options_are_keyword_only() -> None:
    """Only the size is positional, and unknown options are refused."""
    positional: list[Any] = ["1MiB", "no"]
    with pytest.raises(TypeError):
        pyslab.Arena(*positional)
    unknown: dict[str, Any] = {"colour": "blue"}
    with pytest.raises(TypeError):
        pyslab.Arena("1MiB", **unknown)


def test_kmalloc_classes(make_arena: ArenaFactory) -> None:
    """The geometry decides the class: 100 bytes take 112 (fine) or 128 (linux)."""
    assert 112 == make_arena(kmalloc_classes="fine").kmalloc(100).capacity
    assert 128 == make_arena(kmalloc_classes="linux").kmalloc(100).capacity
