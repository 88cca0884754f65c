"""vmap: frames that somebody holds, in any order, under addresses of their own."""

from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from pyslab import GFP
from tests.high import LOW_PAGES, high_arena
from tests.utils import PAGE, pattern


@pytest.fixture
def high(arenas: list[pyslab.Arena]) -> pyslab.Arena:
    """Return an arena with 8 MiB of high memory, checked at the end."""
    arenas.append(high_arena())
    return arenas[-1]


def test_a_map_has_the_order_of_its_list(high: pyslab.Arena) -> None:
    """The pages as given, one of them twice: two addresses of the same bytes."""
    small, large = high.alloc_page(gfp=GFP.HIGHUSER), high.alloc_pages(2, gfp=GFP.HIGHUSER)
    buf = high.vmap([large, small, large])
    assert ((4 + 1 + 4) * PAGE, "vmap") == (buf.nbytes, high.vm_areas()[0].kind)
    buf[:PAGE] = pattern(1, PAGE)
    buf[4 * PAGE : 5 * PAGE] = pattern(2, PAGE)
    assert pattern(1, PAGE) == buf[5 * PAGE : 6 * PAGE]
    assert pattern(2, PAGE) == high.vmap([small])
    assert None is small.virtual


@pytest.mark.parametrize("kind", [list, tuple, iter], ids=lambda kind: kind.__name__)
def test_a_map_of_any_sequence(high: pyslab.Arena, kind: Callable[[Any], Any]) -> None:
    """Lists, tuples and iterators."""
    pages = [high.alloc_page(gfp=GFP.HIGHUSER) for _ in range(3)]
    assert 3 * PAGE == high.vmap(kind(pages)).nbytes


def test_a_map_holds_its_pages(high: pyslab.Arena) -> None:
    """A reference on each block: it outlives the Page, and split_page refuses."""
    page = high.alloc_pages(1, gfp=GFP.HIGHUSER)
    pfn, buf = page.pfn, high.vmap([page, page])
    assert 3 == page.refcount
    with pytest.raises(ValueError, match="more than one reference"):
        high.split_page(page)
    buf[:] = pattern(3, PAGE) * 4
    high.free_pages(page)
    assert 2 == high.stats().block_pages
    with pytest.raises(pyslab.OutOfMemoryError):
        high.reserve_range(pfn, 1)
    assert pattern(3, PAGE) == buf[3 * PAGE :]
    high.vunmap(buf)
    del buf  # a view of it was seen
    assert 0 == high.stats().block_pages


def test_a_map_of_runs(high: pyslab.Arena) -> None:
    """Runs of any length, found or at a known place, are mapped as a whole."""
    found = high.alloc_contig(5, gfp=GFP.HIGHUSER)
    known = high.reserve_range(LOW_PAGES + 1001, 7)
    assert (5, 7, LOW_PAGES + 1001) == (found.nr_pages, known.nr_pages, known.pfn)
    buf = high.vmap([known, found])
    buf[:] = pattern(4, 12 * PAGE)
    assert pattern(4, 12 * PAGE)[7 * PAGE :] == high.vmap([found])
    high.free_pages(found)
    high.put_page(known)
    assert pattern(4, 12 * PAGE) == buf
