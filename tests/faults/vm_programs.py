"""Programs about vmalloc that a test runs in a child process; each prints `alive`.

What it is: what uses up the mappings of a process, or forks it.
What it is not: tests; test_vm_misuse.py starts them.
"""

import mmap
import os
import sys
import traceback
from collections.abc import Callable

import pyslab
from pyslab import GFP
from tests.high import fragmented, high_arena
from tests.utils import PAGE, assert_idle, pattern

MIB = 1 << 20


def _refusal(call: Callable[[], object], kind: type[Exception]) -> str:
    """Return the text of the error that the call must raise."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def budget_used_up() -> None:
    """More scattered frames than mappings: a documented error, and nothing is lost."""
    arena, kept = fragmented(400 * MIB)
    free = arena.stats().free_pages
    budget = arena.vm_stats().budget
    for call in (arena.vmalloc, arena.vzalloc, lambda size: arena.kvmalloc(size)):
        text = _refusal(lambda call=call: call((budget + 10) * PAGE), pyslab.OutOfMemoryError)
        assert f"cannot map {(budget + 10) * PAGE} bytes" in text, text
        assert f"{budget} (three quarters of vm.max_map_count)" in text, text
        assert "hint: " in text
    text = _refusal(lambda: arena.ring(budget // 2 * PAGE), pyslab.OutOfMemoryError)
    assert f"cannot map {budget // 2 * PAGE} bytes" in text, text
    text = _refusal(lambda: arena.vmap(kept), pyslab.OutOfMemoryError)
    assert f"cannot map {len(kept) * PAGE} bytes" in text, text
    assert {1} == {page.refcount for page in kept}
    arena.release_unused()
    arena.validate()
    stats = arena.vm_stats()
    assert (0, 0, 0) == (stats.nr_areas, stats.nr_pages, stats.nr_mappings)
    assert free == arena.stats().free_pages
    buf = arena.vmalloc((budget - 10) * PAGE)  # just within it
    buf[-1] = 1
    text = _refusal(lambda: arena.vmalloc(20 * PAGE), pyslab.OutOfMemoryError)
    assert "drop areas" in text
    del buf
    arena.vmalloc(20 * PAGE)
    print("alive")


def freed_areas_of_others() -> None:
    """Freed areas that wait in other arenas leave most of the budget to this one."""
    others = [fragmented(128 * MIB) for _ in range(3)]
    for arena, _ in others:
        for size in (60 * MIB, 100 * PAGE):
            arena.vfree(arena.vmalloc(size))
    arena, _ = fragmented(360 * MIB)
    budget = arena.vm_stats().budget
    buf = arena.vmalloc(budget * 5 // 6 * PAGE)
    buf[-1] = 1
    for other, _ in others:
        other.validate()
    print("alive")


def mappings_of_the_program() -> None:
    """The program itself has all mappings: the system refuses, and nothing is lost."""
    arena, _ = fragmented(64 * MIB)
    free = arena.stats().free_pages
    held = []
    try:
        while len(held) < 200_000:
            flags = mmap.PROT_READ if len(held) % 2 else mmap.PROT_READ | mmap.PROT_WRITE
            held.append(mmap.mmap(-1, PAGE, prot=flags))
    except OSError:
        del held[-1000:]
    if len(held) < 199_000:
        text = _refusal(lambda: arena.vmalloc(16 * MIB), pyslab.OutOfMemoryError)
        assert "cannot map 16777216 bytes: the operating system refused" == text, text
    held.clear()
    arena.release_unused()
    assert free == arena.stats().free_pages
    assert 0 == arena.vm_stats().nr_mappings
    arena.vmalloc(16 * MIB)[-1:] = b"x"
    arena.validate()
    print("alive")


def enormous_maps() -> None:
    """A block 2**15 times in one list: more frames than 32 bits count are refused."""
    arena = high_arena(1 << 30)
    page = arena.alloc_pages(17, gfp=GFP.HIGHUSER)
    for times in (2**15, 2**15 + 1, 2**14 + 1):
        text = _refusal(lambda times=times: arena.vmap([page] * times), pyslab.OutOfMemoryError)
        assert f"cannot map {times << 29} bytes: over a limit" in text, text
    assert (1, 0) == (page.refcount, arena.vm_stats().nr_mappings)
    small = arena.vmap([page] * 2)
    small[0] = 1
    assert 1 == small[1 << 29]
    arena.validate()
    print("alive")


def _child(arena: pyslab.Arena, buf: pyslab.Buffer, page: pyslab.Page) -> None:
    """Read; be refused; free, which is ignored; and use an arena of its own."""
    assert pattern(1, buf.nbytes) == buf
    for call in (
        lambda: arena.vmalloc(PAGE),
        lambda: arena.vzalloc(PAGE),
        lambda: arena.ring(PAGE),
        lambda: arena.vmap([page]),
        lambda: arena.alloc_page(gfp=GFP.HIGHUSER),
        lambda: arena.free_pages(page),
    ):
        _refusal(call, pyslab.ArenaForkedError)
    assert 100 == arena.kmalloc(100).nbytes
    arena.vfree(buf)
    arena.release_unused()
    arena.validate()
    own = high_arena()
    assert bytes(MIB) == own.vzalloc(MIB)
    own.vmap([own.alloc_page(gfp=GFP.HIGHUSER)])


def forked() -> None:
    """A child sees its parent's areas and can take or return none of them."""
    arena = high_arena(purge_delay=0.001)
    page = arena.alloc_page(gfp=GFP.HIGHUSER)
    buf, spare = arena.vmalloc(MIB), arena.vmalloc(MIB)
    buf[:] = pattern(1, MIB)
    del spare
    before = arena.vm_stats()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _child(arena, buf, page)
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    later = arena.vmalloc(2 * MIB)  # the child thinks that these frames are free
    later[:] = pattern(2, 2 * MIB)
    assert 0 == os.waitpid(pid, 0)[1]
    assert pattern(1, MIB) == buf
    assert pattern(2, 2 * MIB) == later
    assert 1 == page.refcount
    assert before.nr_areas + 1 == arena.vm_stats().nr_areas
    del later, buf, page
    assert_idle(arena)
    print("alive")


def forked_flat() -> None:
    """The same for the side arena of an arena without high zones."""
    arena = pyslab.Arena("8MiB", hugepages="no")
    buf = arena.vmalloc(MIB)
    buf[:] = pattern(1, MIB)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert pattern(1, MIB) == buf
            _refusal(lambda: arena.vmalloc(PAGE), pyslab.ArenaForkedError)
            assert 3 * MIB == arena.kvmalloc(3 * MIB).nbytes
            arena.vfree(buf)
            arena.validate()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    assert 0 == os.waitpid(pid, 0)[1]
    assert pattern(1, MIB) == buf
    arena.validate()
    print("alive")
