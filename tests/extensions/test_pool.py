"""What pyslab.cymem does beyond cymem: overflow, arenas, memory that goes back, misuse."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyslab
from pyslab.cymem import Address, Default_Free, Default_Malloc, Pool, PyFree, PyMalloc
from tests.extensions.build import run_client
from tests.utils import assert_idle, assert_quiet, in_hands

WORD = 1 << 64
OVERFLOWS = [(WORD // 2, 2), (WORD - 1, WORD - 1), (WORD // 8 + 1, 8), (2, WORD // 2 + 4)]


@pytest.mark.parametrize(("number", "size"), OVERFLOWS)
def test_overflow(user: Any, number: int, size: int) -> None:
    """A product beyond size_t is OutOfMemoryError, where cymem gives a block that is too small."""
    pool = Pool()
    with pytest.raises(pyslab.OutOfMemoryError, match=f"{number} \\* {size} bytes"):
        user.alloc(pool, number, size)
    with pytest.raises(pyslab.OutOfMemoryError, match=f"{number} \\* {size} bytes"):
        Address(number, size)
    assert (0, {}) == (pool.size, pool.addresses)


def test_huge_sizes(user: Any) -> None:
    """No sum on the way overflows either."""
    pool = Pool()
    address = user.alloc(pool, 1, 100)
    for size in (WORD - 1, WORD - 15, WORD - 16, WORD // 2, WORD // 2 - 1, 1 << 48):
        with pytest.raises(pyslab.OutOfMemoryError):
            user.alloc(pool, 1, size)
        with pytest.raises(pyslab.OutOfMemoryError):
            user.realloc(pool, address, size)
    assert {address: 100} == pool.addresses


def test_alignment(user: Any) -> None:
    """Every block is aligned to 16, like malloc's."""
    pool = Pool()
    for size in (*range(300), 2047, 2048, 2049, 5000):
        assert 0 == user.alloc(pool, 1, size) % 16


def test_memory_is_the_arenas(user: Any, arena: pyslab.Arena) -> None:
    """Its blocks are in it, and all of it is back when the pool goes."""
    for sizes in ([24], [24] * 100_000, [3000] * 100, [1 << 20], list(range(3000))):
        pool = Pool(arena=arena)
        assert pool.arena is arena
        assert 0 == arena.stats().live_objects
        for size in sizes:
            user.alloc(pool, 1, size)
        assert sum(sizes) == pool.size
        stats = arena.stats()
        held = stats.live_object_bytes + 4096 * (stats.large_pages + stats.block_pages)
        assert pool.size <= held <= 1.5 * pool.size + 1024 + 64 * len(sizes)
        del pool
        assert_idle(arena)


def test_frees_give_memory_back(user: Any, arena: pyslab.Arena) -> None:
    """A pool whose blocks were all freed keeps its first and its last chunk at most."""
    pool = Pool(arena=arena)
    for order in (lambda a: None, list.reverse, random.Random(1).shuffle):
        addresses = [user.alloc(pool, 1, 16 + i % 500) for i in range(20_000)]
        order(addresses)
        for address in addresses:
            user.release(pool, address)
        stats = arena.stats()
        assert 0 == pool.size
        assert 16 >= stats.block_pages
        assert 3 >= stats.live_objects


def test_freed_memory_is_used_again(user: Any, arena: pyslab.Arena) -> None:
    """As much as was freed fits again, in other sizes too where neighbours were freed."""
    pool = Pool(arena=arena)
    addresses = [user.alloc(pool, 1, 32) for _ in range(40_000)]
    held = arena.stats().block_pages
    for address in addresses[1000:-1000]:
        user.release(pool, address)
    for _ in range(38_000 * 32 // 256 * 9 // 10):
        user.alloc(pool, 1, 256)
    assert arena.stats().block_pages <= held


def test_a_closed_arena(user: Any) -> None:
    """A pool keeps its memory when the arena is closed; a new pool of it is an error."""
    arena = pyslab.Arena("16MiB")
    pool = Pool(arena=arena)
    addresses = [user.alloc(pool, 1, size) for size in (10, 100, 5000)]
    for address in addresses:
        user.fill(address, b"abcd")
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        Pool(arena=arena)
    del arena
    assert [b"abcd"] * 3 == [user.read(address, 4) for address in addresses]
    user.release(pool, addresses[0])
    assert 5100 == pool.size


@pytest.mark.parametrize("wrong", [1, "arena", pyslab.Arena])
def test_no_arena(wrong: Any) -> None:
    """TypeError, and nothing is left."""
    with pytest.raises(TypeError):
        Pool(arena=wrong)


def test_wrong_functions(user: Any, arena: pyslab.Arena) -> None:
    """Functions that nobody wrapped are a ValueError; with an arena, or None, a TypeError."""
    for arguments in ((PyMalloc(),), (Default_Malloc, PyFree()), (PyMalloc(), PyFree())):
        with pytest.raises(ValueError, match="WrapMalloc"):
            Pool(*arguments)
        with pytest.raises(ValueError, match="WrapMalloc"):
            Address(1, 8, *arguments)
    with pytest.raises(TypeError):
        Pool(user.wrap_malloc(), user.wrap_free(), arena=arena)
    with pytest.raises(TypeError):
        Pool(None)  # type: ignore[arg-type]
    assert Pool(Default_Malloc, Default_Free, arena=arena).pyfree is Default_Free


def test_an_address_with_functions(user: Any) -> None:
    """They give its memory, and get it back."""
    before = dict(user.counts)
    address = Address(10, 8, user.wrap_malloc(), user.wrap_free())
    assert bytes(80) == user.read(address.addr, 80)
    del address
    assert all(user.counts[name] == before[name] + 1 for name in before)


@pytest.mark.parametrize("size", [16, 200, 3000, 70_000])
def test_exhaustion(user: Any, make_arena: Callable[..., pyslab.Arena], size: int) -> None:
    """All of a small arena can be had; then MemoryError, and every block is as it was."""
    for options in ({"max_order": 0}, {"max_order": 3}, {}):
        arena = make_arena("1MiB", **options)
        pool, addresses = Pool(arena=arena), []
        try:
            while True:
                addresses.append(user.alloc(pool, 1, size))
                user.fill(addresses[-1], len(addresses).to_bytes(8, "little"))
        except pyslab.OutOfMemoryError:
            pass
        held = in_hands(arena.stats())
        assert dict.fromkeys(addresses, size) == pool.addresses
        if size <= 4096:
            assert len(addresses) * size > 0.6 * (1 << 20)
        for address in addresses[:5]:
            with pytest.raises(pyslab.OutOfMemoryError):
                user.realloc(pool, address, 1 << 21)
        assert held == in_hands(arena.stats())
        for i, address in enumerate(addresses, 1):
            assert i.to_bytes(8, "little") + bytes(size - 8) == user.read(address, size)
            user.release(pool, address)
        assert (0, {}) == (pool.size, pool.addresses)
        del pool
        assert_idle(arena)


def test_on_oom_raises(user: Any) -> None:
    """What the arena's callback raises comes out of alloc, and the pool goes on."""

    def on_oom(nbytes: int, zone: str) -> bool:
        raise ZeroDivisionError(nbytes)

    arena = pyslab.Arena("1MiB", on_oom=on_oom)
    pool = Pool(arena=arena)
    address = user.alloc(pool, 1, 100)
    sizes = {address: 100}

    def use_up(size: int) -> None:
        while True:
            sizes[user.alloc(pool, 1, size)] = size

    with pytest.raises(ZeroDivisionError):
        use_up(20_000)
    with pytest.raises(ZeroDivisionError):
        user.realloc(pool, address, 20_000)
    with pytest.raises(ZeroDivisionError):
        use_up(100)
    assert sizes == pool.addresses


def test_on_oom_uses_the_pool(user: Any) -> None:
    """A callback may free blocks of the very pool that asks, and allocate from it."""
    spare: list[int] = []

    def on_oom(nbytes: int, zone: str) -> bool:
        for address in spare[:200]:
            user.release(pool, address)
        del spare[:200]
        return bool(spare)

    arena = pyslab.Arena("4MiB", on_oom=on_oom)
    pool = Pool(arena=arena)
    kept: dict[int, int] = {}
    spare += [user.alloc(pool, 1, size) for size in (3000, 40, 700) * 500]
    for _ in range(3000):
        try:
            kept[user.alloc(pool, 1, 1000)] = 1000
        except pyslab.OutOfMemoryError:
            break
    assert len(spare) < 1500
    assert {*kept, *spare} == {*pool.addresses}
    for address in (*kept, *spare):
        user.release(pool, address)
    assert 0 == pool.size


def test_threads(user: Any, arena: pyslab.Arena) -> None:
    """Threads that share a pool lose no block."""
    pool = Pool(arena=arena)
    kept: list[tuple[int, bytes]] = []

    def work(seed: int) -> None:
        draw, mine = random.Random(seed), []
        for i in range(3000):
            size = draw.choice((8, 24, 100, 700, 3000))
            content = bytes([seed, i % 256]) * (size // 2)
            mine.append((user.alloc(pool, 1, size), content))
            user.fill(*mine[-1])
            if i % 3 == 0:
                address, content = mine.pop(draw.randrange(len(mine)))
                assert content == user.read(address, len(content))
                user.release(pool, address)
        kept.extend(mine)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 8000 == len(kept)
    assert {address: len(content) for address, content in kept} == pool.addresses
    assert all(content == user.read(address, len(content)) for address, content in kept)


def test_fork(user_path: Path) -> None:
    """Child and parent go on with the pool, each with its own copy."""
    code = """
    import os, pool_user_pyslab as user
    from pyslab.cymem import Pool
    pool = Pool()
    addresses = [user.alloc(pool, 1, 24) for _ in range(10_000)]
    child = os.fork()
    for address in addresses:
        user.fill(address, b"child" if child == 0 else b"mummy")
    more = [user.alloc(pool, 1, 40) for _ in range(10_000)]
    for address in addresses[::2]:
        user.release(pool, address)
    assert len(pool.addresses) == 15_000
    if child == 0:
        assert all(user.read(each, 5) == b"child" for each in addresses[1::2])
        del pool
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert all(user.read(each, 5) == b"mummy" for each in addresses[1::2])
    print("alive")
    """
    assert_quiet(run_client(user_path.parent, code))


def test_shutdown(user_path: Path) -> None:
    """Pools that are left at the end of the interpreter, in cycles and in modules, do no harm."""
    code = """
    import sys, pyslab, pool_user_pyslab as user
    from pyslab.cymem import Address, Pool
    sys.kept = Pool(arena=pyslab.Arena("16MiB"))
    sys.kept.own_pyref(sys.kept)
    mine = [Pool(), Pool(user.wrap_malloc(), user.wrap_free()), Address(10, 10)]
    for pool in (sys.kept, *mine[:2]):
        for size in (10, 1000, 100_000):
            user.alloc(pool, 3, size)
    print("alive")
    """
    assert_quiet(run_client(user_path.parent, code))
