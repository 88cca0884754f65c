"""vmalloc, vmap and vfree: bad input has its documented exception and no effect."""

import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.high import high_arena
from tests.utils import PAGE, assert_alive, in_hands, pattern, run_child

Call = Callable[[pyslab.Arena, Any], object]
SIZED: dict[str, Call] = {
    "vmalloc": lambda arena, size: arena.vmalloc(size),
    "vzalloc": lambda arena, size: arena.vzalloc(size),
    "kvmalloc": lambda arena, size: arena.kvmalloc(size),
}
TOO_LARGE = [(9 << 20) + 1, 2**31, 2**44, 2**62, 2**63 - 1, 2**63, 2**64 - 4096, 2**64, 2**100]

each_sized = pytest.mark.parametrize("call", SIZED.values(), ids=SIZED.keys())


@pytest.fixture
def busy(arenas: list[pyslab.Arena]) -> Generator[pyslab.Arena, None, None]:
    """Return an arena with an area in use; the test may change nothing in it."""
    arena = high_arena()
    arenas.append(arena)
    buf = arena.vmalloc(100_000)
    buf[:] = pattern(1, 100_000)
    before = in_hands(arena.stats())
    yield arena
    gc.collect()  # the errors that a test caught hold their frames
    arena.validate()
    assert before == in_hands(arena.stats())
    assert 1 == arena.vm_stats().nr_areas
    assert pattern(1, 100_000) == buf


@each_sized
@pytest.mark.parametrize("size", [-1, -4096, -(2**63), -(2**100)])
def test_negative_sizes(busy: pyslab.Arena, call: Call, size: int) -> None:
    """A negative size is a ValueError with the number."""
    with pytest.raises(ValueError, match=str(size)):
        call(busy, size)


@pytest.mark.parametrize("name", ["vmalloc", "vzalloc"])
def test_no_bytes(busy: pyslab.Arena, name: str) -> None:
    """An area of no bytes is a ValueError that names the call."""
    for size in (0, "0"):
        with pytest.raises(ValueError, match=f"^{name} needs a size of at least one byte"):
            getattr(busy, name)(size)


@each_sized
@pytest.mark.parametrize("size", TOO_LARGE)
def test_sizes_larger_than_the_arena(busy: pyslab.Arena, call: Call, size: int) -> None:
    """However large, it is an OutOfMemoryError with the number."""
    with pytest.raises(pyslab.OutOfMemoryError, match=f" {size} bytes"):
        call(busy, size)


@each_sized
@pytest.mark.parametrize(
    "size", [None, 1.0, 1j, b"1", [1], object, GFP.KERNEL, float("nan")], ids=repr
)
def test_sizes_of_another_type(busy: pyslab.Arena, call: Call, size: Any) -> None:
    """A size is an int or a str."""
    with pytest.raises(TypeError):
        call(busy, size)


@each_sized
@pytest.mark.parametrize("size", ["", "-5", "12 parsecs"])
def test_sizes_that_are_no_size(busy: pyslab.Arena, call: Call, size: str) -> None:
    """Text that is no size is quoted."""
    with pytest.raises(ValueError, match=r"^Could not parse"):
        call(busy, size)


def test_true_is_one(busy: pyslab.Arena) -> None:
    """A bool is an int here as in kmalloc: sizes are no options."""
    assert 1 == busy.kmalloc(True).nbytes == busy.vmalloc(True).nbytes


@pytest.mark.parametrize("name", ["vmalloc", "vzalloc", "kvmalloc", "vmap"])
def test_arguments(busy: pyslab.Arena, name: str) -> None:
    """Missing, surplus and unknown arguments, and masks that are none."""
    call = getattr(busy, name)
    for positional, keywords in [((), {}), ((1, 2), {}), ((1,), {"align": 8})]:
        with pytest.raises(TypeError):
            call(*positional, **keywords)
    for gfp in (None, True, 1.0, "KERNEL"):
        with pytest.raises(TypeError):
            call(1, gfp=gfp)
    for gfp in (1 << 31, 5, -1):
        with pytest.raises(ValueError, match="not a valid gfp mask"):
            call(1, gfp=gfp)


# --- vmap ----------------------------------------------------------------------


def _refused_maps(arena: pyslab.Arena) -> list[tuple[Any, type[Exception], str]]:
    """Return lists that vmap refuses, with the error and its text."""
    good, freed = arena.alloc_page(gfp=GFP.HIGHUSER), arena.alloc_page(gfp=GFP.HIGHUSER)
    anonymous = arena.alloc_page()
    stranger = high_arena().alloc_page(gfp=GFP.HIGHUSER)
    halves = arena.alloc_pages(1, gfp=GFP.HIGHUSER)
    parts = arena.split_page(halves)
    arena.free_pages(freed)
    return [
        ([], ValueError, "vmap needs at least one Page"),
        ({}, ValueError, "vmap needs at least one Page"),
        (None, TypeError, "vmap takes a sequence of Pages"),
        (good, TypeError, "vmap takes a sequence of Pages"),
        ([None], TypeError, "expected a pyslab.Page, not NoneType"),
        ([good, 3], TypeError, "expected a pyslab.Page, not int"),
        ("ab", TypeError, "expected a pyslab.Page, not str"),
        ([anonymous], ValueError, "not high memory: private memory"),
        ([good, anonymous], ValueError, "not high memory: private memory"),
        ([good, freed], ValueError, "operation on a freed Page"),
        ([parts[0], halves], ValueError, "operation on a freed Page"),
        ([good, stranger], pyslab.InvalidPointerError, "belongs to another arena"),
        ([good, anonymous.buffer()], TypeError, "not pyslab.Buffer"),
    ]


def test_lists_that_cannot_be_mapped(busy: pyslab.Arena) -> None:
    """The text says which; no reference stays on the good ones of the list."""
    for pages, error, text in _refused_maps(busy):
        first = pages[0] if isinstance(pages, list) and pages else None
        before = first.refcount if isinstance(first, pyslab.Page) else 0
        with pytest.raises(error, match=text):
            busy.vmap(pages)
        assert before == (first.refcount if isinstance(first, pyslab.Page) else 0)


def test_an_iterator_that_closes_the_arena() -> None:
    """What an iterator does comes before the look at the arena."""
    arena = high_arena()

    def pages() -> Generator[pyslab.Page, None, None]:
        yield arena.alloc_page(gfp=GFP.HIGHUSER)
        arena.close()

    with pytest.raises(pyslab.ArenaClosedError):
        arena.vmap(pages())  # type: ignore[arg-type]


# --- giving back ---------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, 4096, "buf", b"buf", bytearray(9), memoryview(b"x")])
def test_freeing_what_is_no_buffer(busy: pyslab.Arena, value: Any) -> None:
    """Addresses and other bytes-likes are TypeErrors."""
    for call in (busy.vfree, busy.vunmap, busy.kvfree):
        with pytest.raises(TypeError):
            call(value)


def test_freeing_the_wrong_kind(busy: pyslab.Arena) -> None:
    """vfree takes what vmalloc and vmap made; the text has the address, and nothing is freed."""
    cache = busy.kmem_cache_create("kind", 100)
    for buf in (busy.kmalloc(100), busy.kmalloc("300KiB"), busy.get_free_page(), cache.alloc()):
        for call in (busy.vfree, busy.vunmap):
            with pytest.raises(pyslab.InvalidPointerError, match=f"{buf.address:#x} is not from"):
                call(buf)
        assert not buf.released
    area = busy.vmalloc(1)
    with pytest.raises(pyslab.InvalidPointerError, match="not from kmalloc"):
        busy.krealloc(area, 100)
    with pytest.raises(pyslab.InvalidPointerError):
        cache.free(area)
    assert not area.released
    del buf, area
    cache.destroy()


def test_freeing_in_another_arena(busy: pyslab.Arena) -> None:
    """Its address is in the text, and it stays alive."""
    other = high_arena()
    area = other.vmalloc(1)
    for call in (busy.vfree, busy.kvfree, busy.kfree):
        with pytest.raises(pyslab.InvalidPointerError, match=f"{area.address:#x} belongs to anoth"):
            call(area)
    area[0] = 1
    other.vfree(area)


@pytest.mark.parametrize("first", ["vfree", "vunmap", "kvfree", "kfree"])
def test_freeing_twice(busy: pyslab.Arena, first: str) -> None:
    """The second and third are DoubleFreeErrors, whichever call it is, and free nothing."""
    for buf in (busy.vmalloc(PAGE), busy.vmap([busy.alloc_page(gfp=GFP.HIGHUSER)])):
        getattr(busy, first)(buf)
        heir = busy.vmalloc(PAGE)  # at the same address
        heir[:] = pattern(2, PAGE)
        for call in (busy.vfree, busy.vunmap, busy.kvfree, busy.kfree):
            with pytest.raises(pyslab.DoubleFreeError, match="was freed before"):
                call(buf)
        assert pattern(2, PAGE) == heir
        with pytest.raises(ValueError, match="released"):
            buf[0] = 1


def test_after_close() -> None:
    """Every call that allocates is an ArenaClosedError; freeing goes on."""
    arena = high_arena()
    buf, page = arena.vmalloc(1), arena.alloc_page(gfp=GFP.HIGHUSER)
    arena.close()
    for call in (arena.vmalloc, arena.vzalloc, arena.kvmalloc, arena.ring):
        with pytest.raises(pyslab.ArenaClosedError):
            call(1)
    for pages in ([page], []):
        with pytest.raises(pyslab.ArenaClosedError):
            arena.vmap(pages)
    arena.vfree(buf)


@pytest.mark.parametrize(
    "program",
    [
        "budget_used_up",
        "enormous_maps",
        "forked",
        "forked_flat",
        "freed_areas_of_others",
        "mappings_of_the_program",
    ],
)
def test_programs(program: str) -> None:
    """The program lives; see its docstring."""
    # Python 3.12 and later warn about any fork of a process with threads.
    code = f"from tests.faults import vm_programs\nvm_programs.{program}()"
    assert_alive(run_child(code, "-W", "ignore::DeprecationWarning"))
