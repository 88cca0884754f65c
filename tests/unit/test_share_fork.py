"""A forked child of the owner of a shared arena, from Python: what it has, and what it drops."""

import os
import traceback
import warnings
from collections.abc import Callable

import pytest

import pyslab
from pyslab import PyslabError
from tests.utils import assert_alive, run_child


def test_fork_is_view_refuse_or_share() -> None:
    """Other values are errors, and a private arena takes both."""
    with pytest.raises(ValueError, match="fork"):
        pyslab.Arena("1MiB", fork="copy")  # type: ignore[arg-type]
    pyslab.Arena("1MiB", fork="refuse").close()


def test_a_private_arena_has_nothing_to_drop() -> None:
    """There a child has a copy."""
    with pyslab.Arena("1MiB") as arena, pytest.raises(PyslabError, match="not shared"):
        arena.drop_inherited()


def _shared(fork: str = "view") -> pyslab.Arena:
    from pyslab._arena.options import FORKS
    from pyslab._arena.refusals import create_arena
    from pyslab._core import ffi, lib

    options = ffi.new("pyslab_arena_options *")
    options.struct_size = ffi.sizeof("pyslab_arena_options")
    options.size_bytes = 64 << 20
    options.max_order = 10
    options.shared = lib.PYSLAB_SHARE_READ
    options.fork = FORKS[fork]
    return pyslab.Arena._of_handle(create_arena(options), None)


def _in_child(run: Callable[[], object]) -> int:
    """Run it in a forked child; return how that ended."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    "program", ["heap", "handler", "kept", "pile", "dropped", "refused", "same", "default"]
)
def test_children(program: str) -> None:
    """The program lives; see its docstring."""
    code = f"from tests.unit import test_share_fork as t\nt.{program}()\nprint('alive')"
    assert_alive(run_child(code, "-W", "ignore", timeout=120))


def heap() -> None:
    """A child reads, writes and frees inherited Buffers, and allocates its own."""
    arena = _shared()
    cache = arena.kmem_cache_create("forked", 100)
    small, large, object_ = arena.kmalloc(64), arena.kmalloc(1 << 20), cache.alloc()
    for buf in (small, large, object_):
        buf[:4] = b"mine"

    def child() -> None:
        for buf in (small, large, object_):
            assert b"mine" == bytes(buf[:4])
            buf[:4] = b"his!"
        for _ in range(50):
            own = [arena.kzalloc(size) for size in (8, 64, 5000, 300_000)] + [cache.alloc()]
            assert all(not any(bytes(buf)) for buf in own[:-1])
            own[-1][:4] = b"own!"
            del own
        arena.kfree(small)
        arena.kfree(large)
        cache.free(object_)
        assert len(arena.kmalloc(64)) == 64
        arena.release_unused()

    assert 0 == _in_child(child)
    for buf in (small, large, object_):
        assert b"mine" == bytes(buf[:4])


def handler() -> None:
    """NumPy's arrays of the arena, by its handler, in the child as before."""
    import numpy as np

    arena = _shared()
    with arena.numpy_allocator():
        mine = np.arange(100_000)

        def child() -> None:
            total = int((mine * 2).sum())
            assert total == 100_000 * 99_999
            mine[:] = 0
            assert not np.concatenate([mine, np.zeros(10)]).any()

        assert 0 == _in_child(child)
        assert mine[99_999] == 99_999


def kept() -> None:
    """What the parent frees while a child lives is not used again."""
    arena = _shared()
    bufs = [arena.kmalloc(1 << 16) for _ in range(20)]
    for i, buf in enumerate(bufs):
        buf[:] = bytes([i + 1]) * len(buf)
    go, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go[0], 1)
        ok = all(bytes(buf) == bytes([i + 1]) * len(buf) for i, buf in enumerate(bufs))
        os.write(done[1], b"y" if ok else b"n")
        os._exit(0)
    bufs.clear()
    others = [arena.kzalloc(1 << 16) for _ in range(40)]
    os.write(go[1], b"x")
    assert b"y" == os.read(done[0], 1)
    os.waitpid(pid, 0)
    del others


def pile() -> None:
    """A growing pile of what waits for a child is warned of, once."""
    arena = _shared()
    bufs = [arena.kmalloc(1 << 20) for _ in range(30)]
    go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go[1])
        os.read(go[0], 1)  # or until its parent has failed
        os._exit(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while bufs:
            arena.kfree(bufs.pop())
    assert ["ResourceWarning"] == [warning.category.__name__ for warning in caught]
    assert "drop_inherited" in str(caught[0].message)
    os.write(go[1], b"x")
    os.waitpid(pid, 0)


def dropped() -> None:
    """A child drops what it has inherited, and keeps its own."""
    arena = _shared()
    mine = arena.kmalloc(1 << 16)
    mine[:4] = b"mine"

    def child() -> None:
        own = arena.kmalloc(1 << 16)
        own[:4] = b"own!"
        arena.drop_inherited()
        assert b"own!" == bytes(own[:4])
        assert bytes(4) == bytes(mine[:4])

    assert 0 == _in_child(child)
    arena.drop_inherited()
    assert b"mine" == bytes(mine[:4])


def refused() -> None:
    """With fork="refuse" the child has nothing; other arenas work."""
    arena = _shared("refuse")
    mine = arena.kmalloc(1 << 16)
    mine[:4] = b"mine"

    def child() -> None:
        try:
            arena.kmalloc(64)
        except pyslab.OutOfMemoryError:
            pass
        else:
            raise AssertionError("the child got memory")
        assert len(pyslab.default_arena().kmalloc(64)) == 64

    assert 0 == _in_child(child)
    assert -11 == os.waitstatus_to_exitcode(_in_child(lambda: bytes(mine)))
    assert b"mine" == bytes(mine[:4])


def same() -> None:
    """With fork="share" both sides see what either writes; the child gets no more of it."""
    arena = pyslab.Arena("64MiB", shared="writable", fork="share")
    mine = arena.kmalloc(1 << 16)
    view = memoryview(mine)
    mine[:4] = b"mine"

    def child() -> None:
        assert b"mine" == bytes(view[:4])
        view[:4] = b"his!"
        try:
            arena.kmalloc(64)
        except pyslab.OutOfMemoryError:
            pass
        else:
            raise AssertionError("the child got memory")

    assert 0 == _in_child(child)
    assert b"his!" == bytes(mine[:4])
    assert 0 == _in_child(lambda: (view.release(), arena.kfree(mine)))
    assert b"his!" == bytes(mine[:4])
    view.release()
    arena.kfree(mine)
    arena.validate()


def default() -> None:
    """The default arena is private: a child has a copy."""
    arena = _shared()
    mine, private = arena.kmalloc(64), pyslab.default_arena().kmalloc(64)
    private[:4] = b"mine"

    def child() -> None:
        private[:4] = b"his!"
        assert len(pyslab.default_arena().kmalloc(1 << 20)) == 1 << 20

    assert 0 == _in_child(child)
    assert b"mine" == bytes(private[:4])
    del mine
