"""kmap_local: a stack of 16 views of a thread, the youngest first."""

import threading

import pytest

import pyslab
from tests.arrays import exporting_array
from tests.highmem import counts, high_pages, stamp


def test_local_views_end_in_reverse_order(high: pyslab.Arena) -> None:
    """A stack of 16 of the thread: wrong order raises and changes nothing."""
    pages = high_pages(high, 17)
    views = [high.kmap_local(page) for page in pages[:16]]
    for page, view in zip(pages, views, strict=False):
        view[:] = stamp(page.pfn)
    with pytest.raises(pyslab.WindowExhaustedError, match="16 local views"):
        high.kmap_local(pages[16])
    for view in (views[0], views[14]):
        with pytest.raises(pyslab.InvalidPointerError, match="not the youngest"):
            high.kunmap(view)
        assert not view.released
    array = exporting_array(views[15])
    with pytest.raises(BufferError):
        high.kunmap(views[15])
    del array
    for page, view in reversed(list(zip(pages, views, strict=False))):
        assert stamp(page.pfn) == view
        high.kunmap(view)
    assert [None] * 17 == [page.virtual for page in pages]
    assert not any(counts(high.kmap_window))


def test_nested_local_views(high: pyslab.Arena) -> None:
    """With blocks nest; the same frame twice has one address."""
    (page,) = high_pages(high, 1)
    for _ in range(100):
        with high.kmap_local(page) as outer, high.kmap_local(page) as inner:
            assert outer.address == inner.address


def test_dropped_local_views_leave_the_stack(high: pyslab.Arena) -> None:
    """Nobody can end them any more, so their order does not matter."""
    pages = high_pages(high, 16)
    views = [high.kmap_local(page) for page in pages]
    del views[3], views[7], views[0]
    again = high.kmap_local(pages[0])
    with pytest.raises(pyslab.InvalidPointerError):
        high.kunmap(views[-1])
    high.kunmap(again)
    while views:
        high.kunmap(views.pop())


def test_local_views_belong_to_their_thread(high: pyslab.Arena) -> None:
    """Another thread has its own 16, cannot end them, but may drop them."""
    pages = high_pages(high, 16)
    views = [high.kmap_local(page) for page in pages]
    errors: list[str] = []
    handed: list[pyslab.Buffer] = []

    def other() -> None:
        with pytest.raises(pyslab.InvalidPointerError, match="belongs to another thread"):
            high.kunmap(views[-1])
        mine = [high.kmap_local(page) for page in pages]
        with pytest.raises(pyslab.WindowExhaustedError):
            high.kmap_local(pages[0])
        errors.append("none")
        handed.append(mine.pop())
        while mine:
            mine.pop()  # dropped

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert ["none"] == errors
    with pytest.raises(pyslab.InvalidPointerError, match="belongs to another thread"):
        high.kunmap(handed[0])
    handed[0][:] = stamp(5)
    assert stamp(5) == views[15]
    handed.clear()
    while views:
        high.kunmap(views.pop())
