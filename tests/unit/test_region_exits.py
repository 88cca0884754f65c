"""Callables of a region that raise, allocate, look or close; exceptions; bad arguments."""

from collections.abc import Callable

import pytest

import pyslab


def test_exceptions_inside_the_with(arena: pyslab.Arena) -> None:
    """They pass; with a view alive the BufferError has them as its context."""
    made: list[pyslab.Region] = []
    views: list[memoryview] = []

    def work(look: bool) -> None:
        with arena.region() as region:
            made.append(region)
            buf = region.alloc(10)
            if look:
                views.append(memoryview(buf))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        work(False)
    assert made[0].closed
    with pytest.raises(BufferError) as caught:
        work(True)
    assert isinstance(caught.value.__context__, KeyError)
    assert not made[1].closed
    views.pop().release()
    assert made[1].closed


def test_callables_that_raise(arena: pyslab.Arena) -> None:
    """All of them run; the last error comes out with those before it as context."""
    log: list[int] = []

    def fail(number: int) -> Callable[[], None]:
        def call() -> None:
            log.append(number)
            raise KeyError(number)

        return call

    region = arena.region()
    buf = region.alloc(10)
    mark = region.mark()
    for number in range(3):
        region.on_exit(fail(number))
    with pytest.raises(KeyError, match="0") as caught:
        region.rewind(mark)
    assert [2, 1, 0] == log
    assert isinstance(caught.value.__context__, KeyError)
    assert (1,) == caught.value.__context__.args
    child = region.child()
    child.on_exit(fail(7))
    region.on_exit(fail(8))
    with pytest.raises(KeyError, match="7"):
        region.close()
    assert region.closed
    assert child.closed
    assert buf.released


def test_callables_that_allocate(arena: pyslab.Arena) -> None:
    """They may; what they make goes too. Other calls on the region are refused."""
    region = arena.region()
    made: list[pyslab.Buffer] = []
    refused: list[str] = []

    def use() -> None:
        made.append(region.alloc(5000))
        made.append(region.zalloc(100_000))
        made[0][:] = b"y" * 5000
        for call in (region.mark, region.reset, region.close, region.child):
            with pytest.raises(pyslab.PyslabError, match=r"another call|closing") as caught:
                call()
            refused.append(str(caught.value))
        with pytest.raises(pyslab.PyslabError):
            region.on_exit(use)

    region.on_exit(use)
    region.reset()
    assert [True, True] == [buf.released for buf in made]
    assert 4 == len(refused)
    region.on_exit(lambda: made.append(region.alloc(100)))
    region.close()
    assert made[-1].released
    arena.validate()


def test_a_callable_that_makes_a_view(arena: pyslab.Arena) -> None:
    """The Buffers stay with it; nothing is called twice."""
    region = arena.region()
    buf = region.alloc(10)
    views: list[memoryview] = []
    region.on_exit(lambda: views.append(memoryview(buf)))
    with pytest.raises(BufferError):
        region.close()
    assert not buf.released
    views.pop().release()
    assert region.closed
    assert buf.released


def test_a_callable_that_closes_the_arena(arena: pyslab.Arena) -> None:
    """The region's memory outlives it."""
    region = arena.region()
    buf = region.alloc(10)
    region.on_exit(arena.close)
    region.reset()
    assert buf.released
    with pytest.raises(pyslab.ArenaClosedError):
        region.alloc(1)
    with pytest.raises(pyslab.ArenaClosedError):
        arena.region()
    region.close()


@pytest.mark.parametrize(
    ("arguments", "keywords", "error"),
    [
        ((-1,), {}, ValueError),
        ((-(1 << 200),), {}, ValueError),
        ((1 << 62,), {}, pyslab.OutOfMemoryError),
        ((1 << 200,), {}, pyslab.OutOfMemoryError),
        (("64 elephants",), {}, ValueError),
        ((1.5,), {}, TypeError),
        ((None,), {}, TypeError),
        ((pyslab.GFP.KERNEL,), {}, TypeError),
        ((), {}, TypeError),
        ((1, 2), {}, TypeError),
        ((1,), {"align": 3}, ValueError),
        ((1,), {"align": -16}, ValueError),
        ((1,), {"align": 1 << 62}, pyslab.OutOfMemoryError),
        ((1,), {"align": "16"}, TypeError),
        ((1,), {"gfp": pyslab.GFP.KERNEL}, TypeError),
    ],
)
def test_bad_arguments(
    arena: pyslab.Arena,
    arguments: tuple[object, ...],
    keywords: dict[str, object],
    error: type[Exception],
) -> None:
    """Each with its documented exception, and nothing allocated."""
    region = arena.region()
    for call in (region.alloc, region.zalloc):
        with pytest.raises(error):
            call(*arguments, **keywords)  # type: ignore[operator]
    assert 0 == region.used
    if not keywords and len(arguments) == 1:
        for make in (arena.region, region.child):
            with pytest.raises(error):
                make(*arguments)  # type: ignore[operator]
    for wrong in (None, 1, "x"):
        with pytest.raises(TypeError):
            region.on_exit(wrong)  # type: ignore[type-var]
    for make in (arena.region, region.child):
        with pytest.raises(TypeError):
            make(1, 2)  # type: ignore[operator]
        with pytest.raises(TypeError):
            make(size=1)  # type: ignore[operator]
        assert 4096 == make(hint=1).reserved  # type: ignore[operator]
    with pytest.raises(TypeError):
        pyslab.Region()
