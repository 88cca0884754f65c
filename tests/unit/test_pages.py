"""Page frames: get_free_pages, alloc_pages, Page and its references."""

from collections.abc import Callable

import pytest

import pyslab
from tests.conftest import ArenaFactory
from tests.utils import PAGE, assert_balanced, pattern

USES: dict[str, Callable[[pyslab.Page], object]] = {
    "pfn": lambda page: page.pfn,
    "order": lambda page: page.order,
    "zone": lambda page: page.zone,
    "virtual": lambda page: page.virtual,
    "refcount": lambda page: page.refcount,
    "nbytes": lambda page: page.nbytes,
    "buffer": lambda page: page.buffer(),
    "get_page": lambda page: page.arena.get_page(page),
    "put_page": lambda page: page.arena.put_page(page),
}


@pytest.mark.parametrize("order", range(15))
def test_get_free_pages(arena: pyslab.Arena, order: int) -> None:
    """2**order frames as one Buffer, aligned to its own size."""
    buf = arena.get_free_pages(order)
    assert PAGE << order == buf.nbytes == buf.capacity == len(buf)
    assert 0 == buf.address % (PAGE << order)
    assert 1 << order == arena.stats().block_pages
    buf[0], buf[-1] = 1, 2
    assert (1, 2) == (buf[0], buf[-1])
    arena.kfree(buf)
    assert 0 == arena.stats().block_pages


def test_get_free_page(arena: pyslab.Arena) -> None:
    """One frame."""
    buf = arena.get_free_page()
    assert PAGE == buf.nbytes == arena.ksize(buf)
    assert 0 == buf.address % PAGE


def test_get_zeroed_page(arena: pyslab.Arena) -> None:
    """The frame is zero, also when many dirty ones have been recycled."""
    for _ in range(3):
        zeroed = [arena.get_zeroed_page() for _ in range(300)]
        assert {bytes(PAGE)} == {bytes(buf) for buf in zeroed}
        for buf in zeroed:
            buf[:] = b"\xff" * PAGE
        del zeroed, buf


@pytest.mark.parametrize("order", range(15))
def test_page_attributes(arena: pyslab.Arena, order: int) -> None:
    """pfn, order, zone, virtual, refcount, nbytes and arena describe the block."""
    page = arena.alloc_pages(order)
    assert 0 == page.pfn % (1 << order)
    assert (order, PAGE << order, 1) == (page.order, page.nbytes, page.refcount)
    assert "NORMAL" == page.zone
    assert arena.base + page.pfn * PAGE == page.virtual
    assert page.arena is arena
    assert 1 << order == arena.stats().block_pages
    assert_balanced(arena.stats())


def test_alloc_page_is_order_zero(arena: pyslab.Arena) -> None:
    """alloc_page() is alloc_pages(0)."""
    assert 0 == arena.alloc_page().order


@pytest.mark.parametrize("name", ["pfn", "order", "zone", "virtual", "refcount", "nbytes"])
def test_page_attributes_are_read_only(arena: pyslab.Arena, name: str) -> None:
    """A Page describes, it does not configure."""
    page = arena.alloc_page()
    with pytest.raises(AttributeError):
        setattr(page, name, 3)
    assert 1 == page.refcount


def test_pages_do_not_overlap(make_arena: ArenaFactory) -> None:
    """Blocks of mixed orders use disjoint frames."""
    arena = make_arena("4MiB")
    pages = [arena.alloc_pages(order) for order in (0, 3, 1, 0, 5, 2, 7, 0, 4) * 3]
    frames = [pfn for page in pages for pfn in range(page.pfn, page.pfn + (1 << page.order))]
    assert len(frames) == len(set(frames))
    assert len(frames) == arena.stats().block_pages


def test_dropping_a_page_frees_it(arena: pyslab.Arena) -> None:
    """The Page object holds one reference and gives it back when it dies."""
    page = arena.alloc_pages(4)
    assert 16 == arena.stats().block_pages
    del page
    assert 0 == arena.stats().block_pages
    assert 0 == arena.stats().current_count


def test_free_pages(arena: pyslab.Arena) -> None:
    """free_pages gives the block back, twice is a DoubleFreeError."""
    page = arena.alloc_pages(4)
    arena.free_pages(page)
    assert 0 == arena.stats().block_pages
    with pytest.raises(pyslab.DoubleFreeError):
        arena.free_pages(page)
    assert 0 == arena.stats().block_pages


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_use_after_free(arena: pyslab.Arena, use: Callable[[pyslab.Page], object]) -> None:
    """A freed Page gives nothing but a ValueError."""
    page = arena.alloc_pages(1)
    arena.free_pages(page)
    with pytest.raises(ValueError, match=r"(?i)page"):
        use(page)


def test_references_are_counted(arena: pyslab.Arena) -> None:
    """get_page adds a reference, put_page takes one, the last one frees."""
    page = arena.alloc_pages(2)
    arena.get_page(page)
    arena.get_page(page)
    assert 3 == page.refcount
    arena.put_page(page)
    arena.put_page(page)
    assert 1 == page.refcount
    assert 4 == arena.stats().block_pages
    arena.put_page(page)
    assert 0 == arena.stats().block_pages
    with pytest.raises(ValueError, match=r"(?i)page"):
        page.refcount  # noqa: B018


def test_free_pages_with_another_reference(arena: pyslab.Arena) -> None:
    """free_pages drops one reference; the block stays until the other is put."""
    page = arena.alloc_pages(2)
    arena.get_page(page)
    arena.free_pages(page)
    assert 4 == arena.stats().block_pages
    arena.put_page(page)
    assert 0 == arena.stats().block_pages


def test_buffer_over_a_page(arena: pyslab.Arena) -> None:
    """page.buffer() shows the frames and holds a reference of its own."""
    page = arena.alloc_pages(2)
    first, second = page.buffer(), page.buffer()
    assert 3 == page.refcount
    assert (page.virtual, page.nbytes) == (first.address, first.nbytes)
    first[:] = pattern(13, 4 * PAGE)
    assert pattern(13, 4 * PAGE) == second
    del second
    assert 2 == page.refcount
    arena.kfree(first)
    del first  # it was exported, so its reference goes with the object
    assert 1 == page.refcount


def test_buffer_outlives_its_page(arena: pyslab.Arena) -> None:
    """The frames stay with the Buffer after free_pages, and return with it."""
    page = arena.alloc_pages(2)
    buf = page.buffer()
    buf[:] = pattern(14, 4 * PAGE)
    arena.free_pages(page)
    assert 4 == arena.stats().block_pages
    del page
    others = [arena.get_zeroed_page() for _ in range(100)]
    assert pattern(14, 4 * PAGE) == buf
    del others, buf
    assert 0 == arena.stats().block_pages


def test_a_page_of_another_arena(make_arena: ArenaFactory) -> None:
    """Page calls of the wrong arena are InvalidPointerErrors and change nothing."""
    first, second = make_arena("1MiB"), make_arena("1MiB")
    page = first.alloc_pages(1)
    for call in (second.free_pages, second.get_page, second.put_page):
        with pytest.raises(pyslab.InvalidPointerError):
            call(page)
    assert 1 == page.refcount
    assert 0 == second.stats().block_pages


@pytest.mark.parametrize("value", [None, 0, b"page", object()])
def test_not_a_page(arena: pyslab.Arena, value: pyslab.Page) -> None:
    """free_pages, get_page and put_page take a Page only."""
    for call in (arena.free_pages, arena.get_page, arena.put_page):
        with pytest.raises(TypeError):
            call(value)


def test_kfree_does_not_take_a_page(arena: pyslab.Arena) -> None:
    """A Page is no Buffer."""
    page: object = arena.alloc_page()
    with pytest.raises(TypeError):
        arena.kfree(page)  # type: ignore[arg-type]


def test_splitting_and_merging(make_arena: ArenaFactory) -> None:
    """Pages freed in any order merge back into the one block they came from."""
    arena = make_arena("1MiB")
    before = arena.buddyinfo()
    pages = [arena.alloc_page() for _ in range(256)]
    del pages[1::2]
    del pages
    arena.release_unused()
    assert before == arena.buddyinfo()
    assert 1 << 20 == arena.get_free_pages(8).nbytes
