"""What Window and kmap refuse, and what they say."""

import math
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.highmem import HIGH, counts, high_arena, high_pages


@pytest.mark.parametrize(
    ("slots", "order", "error", "message"),
    [
        (0, 0, ValueError, "slots must be 1 to 1048576, got 0"),
        (-1, 0, ValueError, "got -1"),
        ((1 << 20) + 1, 0, ValueError, "got 1048577"),
        (1 << 70, 0, ValueError, "slots must be"),
        (True, 0, TypeError, "slots must be an int"),
        (1.0, 0, TypeError, "slots must be an int, not float"),
        ("4", 0, TypeError, "slots must be an int, not str"),
        (HIGH, 0, TypeError, "slots must be an int"),
        (4, -1, ValueError, "between 0 and max_order 10, got -1"),
        (4, 11, ValueError, "got 11"),
        (4, 1 << 70, ValueError, "max_order 10"),
        (4, 1.0, TypeError, "order must be an int"),
        (4, HIGH, TypeError, "order must be an int"),
    ],
)
def test_refused_windows(
    high: pyslab.Arena, slots: Any, order: Any, error: type[Exception], message: str
) -> None:
    """What cannot be a window says why."""
    with pytest.raises(error, match=message):
        high.window(slots, order)


def test_a_window_beyond_address_space(make_arena: Callable[..., pyslab.Arena]) -> None:
    """2**20 slots of 2**18 frames are more than a process has."""
    with pytest.raises(pyslab.OutOfMemoryError, match="1048576 slots of order 18"):
        make_arena().window(1 << 20, 18)


def test_misuse_of_the_type(high: pyslab.Arena) -> None:
    """No arena, a closed one, two initialisations, none at all."""
    with pytest.raises(TypeError, match=r"expected a pyslab\.Arena, not str"):
        pyslab.Window("arena")  # type: ignore[arg-type]
    window = high.window(2)
    with pytest.raises(pyslab.PyslabError, match="initialised once"):
        window.__init__(high, 2)  # type: ignore[misc]
    empty = pyslab.Window.__new__(pyslab.Window)
    (page,) = high_pages(high, 1)
    with pytest.raises(pyslab.ArenaClosedError, match="never initialised"):
        empty.kmap(page)
    assert 0 == empty.flush_unused()
    empty.close()
    other = high_arena()
    other.close()
    with pytest.raises(pyslab.ArenaClosedError):
        pyslab.Window(other)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((), {}, TypeError, "1 or 2 positional"),
        ((0, 0), {}, TypeError, "1 or 2 positional"),
        ((4,), {}, IndexError, "index 4 is outside the Page"),
        ((-1,), {}, IndexError, "index -1 is outside"),
        ((1 << 70,), {}, IndexError, "cannot fit"),
        ((1.0,), {}, TypeError, "index must be an int, not float"),
        ((True,), {}, TypeError, "index must be an int, not bool"),
        ((), {"index": 4}, IndexError, "index 4"),
        ((), {"timeout": -1}, ValueError, "must not be negative, got -1"),
        ((), {"timeout": math.nan}, ValueError, "must not be negative, got nan"),
        ((), {"timeout": "1"}, TypeError, "timeout must be seconds or None, not str"),
        ((), {"timeout": True}, TypeError, "not bool"),
        ((), {"wait": 1}, TypeError, "unexpected keyword argument 'wait'"),
    ],
)
def test_refused_kmaps(
    high: pyslab.Arena,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    """Window.kmap and Arena.kmap refuse the same, hits and misses alike."""
    page = high.alloc_pages(2, gfp=HIGH)
    window = high.window(2)
    pages = () if "positional" in message and not arguments else (page,)
    for _ in range(2):
        for kmap in (window.kmap, high.kmap):
            with pytest.raises(error, match=message):
                kmap(*pages, *arguments, **keywords)
        window.kunmap(window.kmap(page))
        high.kunmap(high.kmap(page))


def test_refused_pages_and_views(high: pyslab.Arena) -> None:
    """Pages and Buffers of others, freed ones, and what is none."""
    window, second = high.window(2), high.window(2)
    other = high_arena()
    page, gone, strange = *high_pages(high, 2), other.alloc_page(gfp=HIGH)
    high.free_pages(gone)
    with pytest.raises(ValueError, match="operation on a freed Page"):
        window.kmap(gone)
    with pytest.raises(pyslab.InvalidPointerError, match="another arena"):
        window.kmap(strange)
    with pytest.raises(TypeError, match=r"expected a pyslab\.Page, not int"):
        window.kmap(3)  # type: ignore[arg-type]
    view = window.kmap(page)
    for kunmap in (second.kunmap, high.window(1).kunmap):
        with pytest.raises(pyslab.InvalidPointerError, match="no view of this Window"):
            kunmap(view)
    for buf in (high.kmalloc(10), high.get_free_page()):
        with pytest.raises(pyslab.InvalidPointerError, match="no view of this"):
            window.kunmap(buf)
    with pytest.raises(pyslab.InvalidPointerError, match="another arena"):
        other.kunmap(view)
    with pytest.raises(TypeError, match=r"expected a pyslab\.Buffer, not pyslab\.Page"):
        window.kunmap(page)  # type: ignore[arg-type]
    window.kunmap(view)
    with pytest.raises(pyslab.DoubleFreeError, match="unmapped before"):
        window.kunmap(view)
    with pytest.raises(ValueError, match="released"):
        view[0]
    with pytest.raises(pyslab.InvalidPointerError, match="not from kmalloc"):
        high.krealloc(window.kmap(page), 10)


def test_a_closed_window(high: pyslab.Arena) -> None:
    """Views live on; kmap raises; closing again is nothing."""
    page, second = high_pages(high, 2)
    with high.window(2) as window:
        view = window.kmap(page)
        view[:3] = b"abc"
        window.kunmap(window.kmap(second))
    assert window.closed
    assert [2, 0] == counts(window)
    window.close()
    for other in (page, second, high.alloc_page()):
        with pytest.raises(ValueError, match="operation on a closed Window"):
            window.kmap(other)
    assert b"abc" == view[:3].tobytes()
    assert "<pyslab.Window slots=2 order=0 closed>" == repr(window)
    window.kunmap(view)
