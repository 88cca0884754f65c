"""What a kmap costs: a hit, a miss against the bare system call, windows larger than a page.

    python bench/policies/kmap.py

The contenders of a line take turns; the least of all rounds is shown. The bare remap is
mmap(MAP_FIXED) of one page of a memfd through ctypes, whose own share is shown and taken
off. Pages are populated beforehand; each is written once after its mapping.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable

import pyslab
from pyslab import GFP

PAGE = 4096
ROUNDS = 15
PAGES = 2048
MAP_FIXED = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                  ctypes.c_long]  # fmt: skip
_getpid = ctypes.PyDLL(None).getpid
_store = ctypes.memset


def least(tasks: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Return the least ns per item of each task, over rounds in which they take turns."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter_ns()
            nr = task()
            best[name] = min(best[name], (time.perf_counter_ns() - start) / nr)
    return best


def main() -> None:
    """Measure and print."""
    layout = pyslab.ZoneLayout.custom({"NORMAL": "2MiB", "HIGHMEM": "66MiB"}, min_free_kbytes=0,
                                      watermark_scale_factor=0)  # fmt: skip
    arena = pyslab.Arena(layout.nbytes, zones=layout, highmem_slots=64)
    run = arena.alloc_contig(PAGES, gfp=GFP.HIGHUSER)
    pages = arena.alloc_pages_bulk(PAGES, gfp=GFP.HIGHUSER | GFP.ZERO)
    for page in pages:
        with arena.kmap(page) as view:
            view[0] = 1
    with arena.vmap([run]) as view:
        view[:] = bytes(view.nbytes)
    kmap, kunmap, one = arena.kmap, arena.kunmap, pages[0]

    def hits() -> int:
        for _ in range(20000):
            kunmap(kmap(one))
        return 20000

    def misses() -> int:
        for page in pages:
            view = kmap(page)
            _store(view.address, 1, 1)
            kunmap(view)
        return PAGES

    fd = os.memfd_create("bare")
    os.ftruncate(fd, PAGES * PAGE)
    os.pwrite(fd, bytes(PAGES * PAGE), 0)
    place = mmap.mmap(-1, PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(place))
    protection = mmap.PROT_READ | mmap.PROT_WRITE

    def bare() -> int:
        for i in range(PAGES):
            _mmap(address, PAGE, protection, mmap.MAP_SHARED | MAP_FIXED, fd, i * PAGE)
            _store(address, 1, 1)
        return PAGES

    def calls() -> int:
        for _ in range(2 * PAGES):
            _getpid()
        return PAGES

    def scan(window: pyslab.Window) -> Callable[[], int]:
        def task() -> int:
            index = 0
            while index < PAGES:
                view = window.kmap(run, index)
                for at in range(view.address, view.address + view.nbytes, PAGE):
                    _store(at, 1, 1)
                index += view.nbytes // PAGE
                window.kunmap(view)
            window.flush_unused()
            return PAGES

        return task

    def stores() -> int:
        for _ in range(PAGES):
            _store(address, 1, 1)
        return PAGES

    hits()
    remaps = arena.kmap_window.stats.remaps
    hits()
    print(f"system calls in 20000 hits: {arena.kmap_window.stats.remaps - remaps}")
    tasks = {"hit": hits, "miss": misses, "bare": bare, "calls": calls, "stores": stores}
    for order in (0, 2, 4, 6, 9):
        tasks[f"order {order}"] = scan(arena.window(8, order))
    ns = least(tasks)
    remap = ns["bare"] - ns["calls"] / 2
    print(f"kmap + kunmap, a hit: {ns['hit']:.0f} ns")
    print(f"a miss and the first touch: {ns['miss']:.0f} ns")
    print(f"the bare remap and touch: {remap:.0f} ns, less {ns['calls'] / 2:.0f} ns of ctypes")
    print(f"a miss is {ns['miss'] / remap:.2f}x the bare remap")
    single = ns["order 0"] - ns["stores"]
    for order in (0, 2, 4, 6, 9):
        cost = ns[f"order {order}"] - ns["stores"]
        print(
            f"order {order}: {cost:.0f} ns a page, {single / cost:.1f}x cheaper than single pages"
        )


if __name__ == "__main__":
    main()
