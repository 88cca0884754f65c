"""What cymem's users rely on, held against cymem and against pyslab.cymem alike.

The same Cython code runs over both, with one cimport changed: `any_user`. Where a test names
a module of its own, `cymem_of` gives the Python side of the same package.
"""

from __future__ import annotations

import gc
import importlib
import weakref
from typing import Any

import pytest

HUGE = 1 << 62


def cymem_of(user: Any) -> Any:
    """Return the module that the user was compiled for."""
    return importlib.import_module(f"{user.__name__.removeprefix('pool_user_')}.cymem")


@pytest.fixture
def pool(any_user: Any) -> Any:
    """Return an empty Pool."""
    return cymem_of(any_user).Pool()


def test_an_empty_pool(any_user: Any, pool: Any) -> None:
    """It holds nothing, and has the default functions."""
    cymem = cymem_of(any_user)
    assert (0, {}, []) == (pool.size, pool.addresses, pool.refs)
    assert pool.pymalloc is cymem.Default_Malloc
    assert pool.pyfree is cymem.Default_Free
    assert (0, {}, [], pool.pymalloc, pool.pyfree) == any_user.fields(pool)


@pytest.mark.parametrize(("number", "size"), [(1, 1), (10, 8), (3, 7), (1, 2048), (5, 100_000)])
def test_alloc_is_zeroed_and_remembered(any_user: Any, pool: Any, number: int, size: int) -> None:
    """Size and addresses count what was asked for; the memory reads zero, reused or not."""
    for _ in range(3):
        first = any_user.alloc(pool, number, size)
        second = any_user.alloc(pool, number, size)
        assert first != second
        assert 0 == first % 8
        assert 2 * number * size == pool.size
        assert {first: number * size, second: number * size} == pool.addresses
        for address in (first, second):
            assert bytes(number * size) == any_user.read(address, number * size)
            any_user.fill(address, b"\xff" * (number * size))
            any_user.release(pool, address)
    assert (0, {}) == (pool.size, pool.addresses)


@pytest.mark.parametrize(("number", "size"), [(0, 8), (8, 0), (0, 0)])
def test_alloc_of_nothing(any_user: Any, pool: Any, number: int, size: int) -> None:
    """Each block of 0 bytes has an address of its own."""
    first, second = (any_user.alloc(pool, number, size) for _ in range(2))
    assert {first: 0, second: 0} == pool.addresses
    assert 0 == pool.size
    any_user.release(pool, first)
    assert {second: 0} == pool.addresses


def test_the_warning_of_alloc_of_nothing(
    any_user: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WARN_ZERO_ALLOC, when it is set, makes it a warning."""
    monkeypatch.setattr(cymem_of(any_user), "WARN_ZERO_ALLOC", True)
    with pytest.warns(UserWarning, match="zero|of 0 bytes"):
        any_user.alloc(pool, 0, 8)
    any_user.alloc(pool, 1, 8)


@pytest.mark.parametrize("size", [16, 3000])
def test_free_of_another_address(any_user: Any, pool: Any, size: int) -> None:
    """KeyError for what is no block of this pool: within one, another pool's, twice, NULL."""
    other = cymem_of(any_user).Pool()
    mine, others = any_user.alloc(pool, 1, size), any_user.alloc(other, 1, size)
    freed = any_user.alloc(pool, 1, size)
    any_user.release(pool, freed)
    for wrong in (mine + 1, mine + 8, mine + size, others, freed, 0, 1, 16, (1 << 64) - 1):
        with pytest.raises(KeyError) as error:
            any_user.release(pool, wrong)
        assert (wrong,) == error.value.args
        with pytest.raises(ValueError, match=r"\d"):
            any_user.realloc(pool, wrong, 10 * size)
    assert {mine: size} == pool.addresses
    assert {others: size} == other.addresses


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, 2), (0, 10), (10, 16), (16, 17), (100, 5000), (3000, 3001), (3000, 10_000_000)],
)
def test_realloc(any_user: Any, pool: Any, old: int, new: int) -> None:
    """The content stays, the rest is zero, size and addresses follow."""
    content = bytes(i % 255 + 1 for i in range(old))
    for _ in range(3):
        kept = any_user.alloc(pool, 1, 24)
        address = any_user.alloc(pool, 1, old)
        any_user.fill(address, content)
        moved = any_user.realloc(pool, address, new)
        assert content + bytes(new - old) == any_user.read(moved, new)
        assert {kept: 24, moved: new} == pool.addresses
        assert 24 + new == pool.size
        any_user.fill(moved, b"\xff" * new)
        any_user.release(pool, moved)
        any_user.release(pool, kept)


@pytest.mark.parametrize("size", [1, 16, 3000])
def test_realloc_to_no_more(any_user: Any, pool: Any, size: int) -> None:
    """ValueError, and the block is as it was."""
    address = any_user.alloc(pool, 1, size)
    any_user.fill(address, b"x" * size)
    for new in (size, size - 1, 0):
        with pytest.raises(ValueError, match=r"size|larger"):
            any_user.realloc(pool, address, new)
    assert {address: size} == pool.addresses
    assert b"x" * size == any_user.read(address, size)


@pytest.mark.parametrize("size", [16, 3000])
def test_no_memory(any_user: Any, pool: Any, size: int) -> None:
    """MemoryError, and nothing has changed."""
    address = any_user.alloc(pool, 1, size)
    with pytest.raises(MemoryError):
        any_user.alloc(pool, 1, HUGE)
    with pytest.raises(MemoryError):
        any_user.realloc(pool, address, HUGE)
    assert ({address: size}, size) == (pool.addresses, pool.size)


def test_own_pyref(any_user: Any, pool: Any) -> None:
    """An object lives as long as the pool that owns a reference, also in a cycle."""

    class Thing:
        pool: Any

    thing = Thing()
    alive = weakref.ref(thing)
    pool.own_pyref(thing)
    thing.pool = cymem_of(any_user).Pool()
    thing.pool.own_pyref(thing)
    any_user.alloc(thing.pool, 3, 1000)
    assert [thing] == pool.refs
    del thing
    assert alive() is not None
    pool.refs.clear()
    gc.collect()
    assert alive() is None


def test_functions_of_ones_own(any_user: Any) -> None:
    """Every block comes from them and goes back to them, the last ones with the pool."""
    cymem, counts = cymem_of(any_user), any_user.counts
    pool = cymem.Pool(any_user.wrap_malloc(), any_user.wrap_free())
    before = dict(counts)
    addresses = [any_user.alloc(pool, 1, size) for size in (1, 16, 0, 5000)]
    assert bytes(5000) == any_user.read(addresses[3], 5000)
    any_user.release(pool, addresses[0])
    any_user.realloc(pool, addresses[1], 100)
    assert (5, 2) == tuple(counts[each] - before[each] for each in ("malloc", "free"))
    assert 3 == len(pool.addresses)
    del pool
    assert (5, 5) == tuple(counts[each] - before[each] for each in ("malloc", "free"))


def test_a_malloc_that_fails(any_user: Any) -> None:
    """MemoryError; the pool stays empty."""
    pool = cymem_of(any_user).Pool(any_user.wrap_failing_malloc(), any_user.wrap_free())
    with pytest.raises(MemoryError):
        any_user.alloc(pool, 1, 16)
    assert (0, {}) == (pool.size, pool.addresses)


def test_an_address(any_user: Any) -> None:
    """Zeroed memory that goes with the object."""
    address = cymem_of(any_user).Address(100, 8)
    assert address.addr == any_user.address_of(address) != 0
    assert bytes(800) == any_user.read(address.addr, 800)
    nothing = cymem_of(any_user).Address(0, 8)
    assert 0 != nothing.addr


@pytest.mark.parametrize("wrong", [-1, 1 << 64, "1", None])
def test_wrong_arguments(any_user: Any, wrong: Any) -> None:
    """Errors of Python, before anything is allocated."""
    with pytest.raises((OverflowError, TypeError)):
        cymem_of(any_user).Address(wrong, 8)
    with pytest.raises(TypeError):
        cymem_of(any_user).Pool(wrong if wrong is not None else 1)


def test_many_structs(any_user: Any) -> None:
    """A pool of a hundred thousand goes with its last reference."""
    assert 100_000 * 48 == any_user.fill_and_drop(100_000, 48)
