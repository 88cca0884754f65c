"""share_numpy() and to_shared(): every array of a process and of its children travels."""

import concurrent.futures
import multiprocessing as mp
from collections.abc import Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import pyslab  # noqa: E402
from pyslab._core import _array_is_shared  # noqa: E402
from tests.travel import travelled, trip  # noqa: E402
from tests.travel_work import Tagged, add_one, made_there, put_and_end  # noqa: E402

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def sharing() -> Iterator[Any]:
    with pyslab.share_numpy("256MiB") as sharing:
        yield sharing


def test_begin_and_end() -> None:
    assert not _array_is_shared(np.ones(10_000))
    with pyslab.share_numpy("64MiB") as sharing:
        inside = np.ones(10_000)
        assert _array_is_shared(inside)
        assert "on" in repr(sharing)
    assert not _array_is_shared(np.ones(10_000))
    assert travelled(trip(inside))
    assert "stopped" in repr(sharing)
    sharing.stop()


def test_a_later_call_takes_over(sharing: Any) -> None:
    with pyslab.share_numpy("64MiB") as later:
        assert later.arena is not sharing.arena
        before = sharing.arena.stats().used_bytes
        array = np.ones(1_000_000)
        assert sharing.arena.stats().used_bytes == before
        sharing.stop()  # is not the current one: nothing ends
        assert _array_is_shared(np.ones(10_000))
    assert array[-1] == 1


def test_sizes() -> None:
    for size in ("0%", "101%", "%", "x%", "nan%"):
        with pytest.raises(ValueError, match="size is more than 0% and at most 100%"):
            pyslab.share_numpy(size)
    with pytest.raises(ValueError, match="byte specification"):
        pyslab.share_numpy("x")
    with pytest.raises(TypeError):
        pyslab.share_numpy(1.5)  # type: ignore[arg-type]
    assert not _array_is_shared(np.ones(10_000))
    with pyslab.share_numpy("1%") as sharing:
        assert sharing.nbytes % 4096 == 0
    with pyslab.share_numpy() as sharing:
        assert sharing.nbytes > 2**28


def test_what_does_not_fit_is_numpys_own() -> None:
    with pyslab.share_numpy("4MiB"):
        large = np.ones(2**20)
        assert not _array_is_shared(large)
        assert not travelled(trip(large))


@pytest.mark.parametrize("method", METHODS)
def test_children_share_as_well(sharing: Any, method: str) -> None:
    context = mp.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        results = list(executor.map(made_there, [100_000, 200_000, 300_000]))
    for n, result in zip((100_000, 200_000, 300_000), results, strict=True):
        assert travelled(result)
        assert result.shape == (n,)
        assert (result == n).all()
    with context.Pool(2) as pool:
        assert all(travelled(a) for a in pool.map(made_there, [50_000] * 4))


@pytest.mark.parametrize("method", METHODS)
def test_a_child_that_ends_at_once(sharing: Any, method: str) -> None:
    """It waits for the receiver of what it has sent."""
    context = mp.get_context(method)
    queue = context.Queue()
    process = context.Process(target=put_and_end, args=(queue, 100_000))
    process.start()
    got = queue.get(timeout=30)
    process.join(30)
    assert travelled(got)
    assert (got == 7).all()
    assert process.exitcode == 0


def test_arrivals_are_read_only(sharing: Any) -> None:
    array = np.zeros(10_000)
    with mp.get_context("spawn").Pool(1) as pool, pytest.raises(ValueError, match="read-only"):
        pool.apply(add_one, (array,))
    assert array[0] == 0


def test_arrivals_are_writable_if_asked_for() -> None:
    with pyslab.share_numpy("64MiB", writable=True):
        array = np.zeros(10_000)
        with mp.get_context("spawn").Pool(1) as pool:
            assert pool.apply(add_one, (array,)) == 1
        assert array[0] == 1
    with pyslab.share_numpy("64MiB"):
        assert not trip(np.zeros(10_000)).flags.writeable


def test_to_shared() -> None:
    plain = np.arange(100_000.0).reshape(100, 1000).T
    shared = pyslab.to_shared(plain)
    assert _array_is_shared(shared)
    assert shared.flags.f_contiguous
    assert pyslab.to_shared(shared) is shared
    assert np.array_equal(trip(shared), plain)
    tagged = pyslab.to_shared(plain.view(Tagged))
    assert type(tagged) is Tagged
    masked = pyslab.to_shared(np.ma.MaskedArray(plain, mask=plain > 5, fill_value=3))
    assert _array_is_shared(masked)
    got = trip(masked)
    assert got.sum() == 15
    assert got.fill_value == 3
    assert pyslab.to_shared([1, 2, 3]).tolist() == [1, 2, 3]
    with pytest.raises(TypeError):
        pyslab.to_shared(np.array([object()]))
