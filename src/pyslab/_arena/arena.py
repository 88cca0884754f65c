"""Arena: a region of real memory with the kernel's allocators over it.

The calls that hand out memory (kmalloc, alloc_pages, vmalloc, kmap, ...) are C methods of the
base class, ArenaBase. Here is what need not be fast: options, properties, figures and the end
of an arena. A method that is one line here (``stats = reports.stats``) is the function of that
name in the module beside this one.
"""

from __future__ import annotations

import os
from _thread import _local  # threading.local, without importing threading

from pyslab import _hints as hints
from pyslab._arena import (
    arrays,
    faces,
    forking,
    kernel_reports,
    reclaim,
    reports,
    tracking,
    windows,
)
from pyslab._arena.options import arena_options
from pyslab._arena.prealloc import Prealloc, prealloc_option, stock
from pyslab._arena.reclaim import OomCallback
from pyslab._arena.refusals import create_arena
from pyslab._arena.sharing import Sharing
from pyslab._arena.shortage import Shortage
from pyslab._core import Shrinker, ffi, lib
from pyslab._memory.closing import Closing
from pyslab._memory.slots import LAST_PKMAP, window_slots
from pyslab.errors import ArenaClosedError, PyslabError

__all__ = ["Arena"]


class Arena(Sharing, Shortage, Closing):
    """One large piece of memory with an allocator of its own; nothing in it is any other arena's.

    >>> with pyslab.Arena("64MiB") as arena:
    ...     buf = arena.kmalloc(100)

    size: bytes as an int or a string such as ``"1GiB"``; rounded up to whole frames.
    hugepages: ``"try"`` asks for transparent huge pages beyond the first 32 MiB,
    ``"no"`` forbids them, ``"require"`` takes reserved huge pages (hugetlb) or fails.
    max_order: the largest block is 2**max_order frames, 0 to 20; 18 is 1 GiB.
    overcommit: allow more than the machine's physical memory.
    kmalloc_classes: ``"fine"``, four sizes per doubling, or ``"linux"``, the kernel's.
    purge_delay: seconds after which memory that nobody needed goes back to the
    operating system; None: only release_unused() gives it back.
    background_purge: a thread does so while the program is idle. Without it, memory goes back
    only while calls come by. Python 3.12 and later warn at a fork of such a process.
    prefault: make every frame resident at once.
    mlock: the same, and keep it in physical memory.
    zones: a ZoneLayout of the same size, with the kernel's watermarks and reserves; None:
    one zone NORMAL that keeps nothing back.
    on_oom: see the attribute.
    highmem: path of a file on disk that is the memory of the high zones; its size is
    theirs. What is in it stays: allocations are forgotten with the arena, and
    reserve_range() claims known frames again.
    prealloc: {size: n}: the kmalloc class that serves size starts with n free objects in
    empty slabs. These go when the cache is shrunk or memory is short, not with time.
    highmem_slots: how many high frames kmap() shows at once.
    debug: ``"FZPU"``, or ``"FZ,kmalloc-64,inode*"`` for caches by name: finds overruns, writes
    after a free and wrong frees, as CorruptionError; None: what PYSLAB_DEBUG says. With U for
    all caches it is tracked, too.
    shared: other processes may read its blocks (docs/sharing.md); ``"writable"``: and write.
    fork: what a forked child has of a shared arena: ``"view"``, ``"share"`` or ``"refuse"``
    (docs/fork.md).
    init_on_alloc: all memory reads zero when it is allocated; init_on_free: it is zeroed when it
    is freed; None: what PYSLAB_INIT_ON_ALLOC and PYSLAB_INIT_ON_FREE say, 1 or 0.
    guard: ``"all"``: each allocation of kmalloc or a cache ends at a frame without access, so
    that an overrun or a read after the free is a SIGSEGV there; ``"below"``: each begins behind
    one; ``"no"``; None: what PYSLAB_GUARD says.
    track: ``"leaks"`` notes where each allocation was made, for leaks() and close(). A tracked
    arena lives until it is closed.
    caching: False: no sheaves and no page lists, so that every step shows in the maps at once.
    kfence_sample: ``"100ms"``: about so often an allocation lies between pages without access, one
    of kfence_objects at most; None: what PYSLAB_KFENCE says; 0: none. See docs/kfence.md.

    Raises ValueError, TypeError, OutOfMemoryError, PyslabError.
    """

    def __init__(
        self,
        size: int | str,
        *,
        hugepages: hints.Hugepages = "try",
        max_order: int = lib.PYSLAB_DEFAULT_ORDER,
        overcommit: bool = False,
        kmalloc_classes: hints.KmallocClasses = "fine",
        purge_delay: float | None = 1.0,
        prefault: bool = False,
        mlock: bool = False,
        zones: hints.ZoneLayout | None = None,
        on_oom: OomCallback | None = None,
        highmem: str | os.PathLike[str] | None = None,
        prealloc: Prealloc | None = None,
        highmem_slots: int = LAST_PKMAP,
        background_purge: bool = False,
        track: hints.Track | None = None,
        debug: str | None = None,
        shared: bool | hints.Shared = False,
        fork: hints.Fork = "view",
        init_on_alloc: bool | None = None,
        init_on_free: bool | None = None,
        caching: bool = True,
        guard: hints.Guard | None = None,
        kfence_sample: str | float | None = None,
        kfence_objects: int = lib.PYSLAB_KFENCE_OBJECTS,
    ) -> None:
        wanted = prealloc_option(prealloc)
        tracking.check(track)
        options, kept = arena_options(
            size,
            zones=zones,
            hugepages=hugepages,
            max_order=max_order,
            overcommit=overcommit,
            kmalloc_classes=kmalloc_classes,
            purge_delay=purge_delay,
            prefault=prefault,
            mlock=mlock,
            highmem=highmem,
            background_purge=background_purge,
            debug=debug,
            shared=shared,
            fork=fork,
            init_on_alloc=init_on_alloc,
            init_on_free=init_on_free,
            caching=caching,
            guard=guard,
            kfence=(kfence_sample, kfence_objects),
        )
        if not self.closed or self._counts != (0, 0, 0):
            raise PyslabError("an Arena is initialised once")
        self._highmem_slots = window_slots("highmem_slots", highmem_slots)
        made = create_arena(options)
        del kept  # what the options point to, which the call has read
        try:
            stock(made, wanted)
        except BaseException:
            lib.pyslab_arena_destroy(made)
            raise
        self._start(made, owned=True, layout=zones)
        tracking.begin(self, track)
        self.on_oom = on_oom

    @classmethod
    def _of_handle(cls, handle: hints.Any, layout: hints.ZoneLayout | None) -> Arena:
        """Return an Arena over a pyslab_arena made in C, which stays its maker's."""
        self = cls.__new__(cls)
        self._highmem_slots = LAST_PKMAP
        self._start(handle, owned=False, layout=layout)
        tracking.begin(self, None)
        return self

    def _start(self, handle: hints.Any, *, owned: bool, layout: hints.ZoneLayout | None) -> None:
        self._adopt(int(ffi.cast("uintptr_t", handle)), owned)
        self._size = int(lib.pyslab_arena_size(handle))
        self._base = int(ffi.cast("uintptr_t", lib.pyslab_arena_base(handle)))
        self._max_order = int(lib.pyslab_arena_max_order(handle))
        self._layout = layout
        self._local_windows = _local()
        self._limit = int(lib.pyslab_arena_limit(handle)) or None
        self._shrinkers: set[Shrinker] = set()
        self._on_oom = None

    # --- properties ----------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of the arena's frames."""
        return self._size

    @property
    def handle(self) -> int:
        """The address of its pyslab_arena, for the C API from cffi, ctypes, Rust and others.

        Good while the arena is open, or C has a reference to it (pyslab_arena_get). Raises
        ArenaClosedError.
        """
        address = self._pin()
        self._unpin()
        if self.closed:
            raise ArenaClosedError("the arena is closed: it takes no more allocations")
        return address

    @property
    def base(self) -> int:
        """Address of frame 0."""
        return self._base

    @property
    def max_order(self) -> int:
        """The largest block is 2**max_order frames."""
        return self._max_order

    @property
    def layout(self) -> hints.ZoneLayout:
        """The zones and what each keeps back."""
        if self._layout is None:
            from pyslab.zones import ZoneLayout  # which takes its time to import

            self._layout = ZoneLayout.flat(self._size, min_free_kbytes=0, watermark_scale_factor=0)
        return self._layout

    # --- high memory: windows.py, and window.py of the folder _memory ----------

    @property
    def kmap_window(self) -> hints.Window:
        """The window of highmem_slots slots that kmap() uses, made at its first use."""
        return windows.kmap_window(self)

    kmap_local = windows.kmap_local
    kmap_flush_unused = windows.kmap_flush_unused
    window = windows.window
    ring = windows.ring

    flush = windows.flush

    # --- NumPy arrays: arrays.py ----------------------------------------------

    empty = arrays.empty
    zeros = arrays.zeros
    full = arrays.full
    from_array = arrays.from_array
    numpy_allocator = arrays.numpy_allocator

    # --- figures: reports.py ---------------------------------------------------

    stats = reports.stats
    caches = reports.caches
    zone_stats = reports.zone_stats
    vm_stats = reports.vm_stats
    metrics = reports.metrics
    kfence_stats = reports.kfence_stats
    vm_areas = reports.vm_areas
    vm_events = reports.vm_events
    fragmentation = reports.fragmentation
    address_map = reports.address_map
    page_map = reports.page_map
    slab_map = reports.slab_map
    vmallocinfo = kernel_reports.vmallocinfo
    _repr_html_ = faces.html
    statistics = reports.statistics
    leaks = tracking.leaks
    debug_stats = reports.debug_stats
    reset_peak = reports.reset_peak

    # --- figures as /proc has them: kernel_reports.py --------------------------

    buddy_info = kernel_reports.buddy_info
    zone_info = kernel_reports.zone_info
    slab_info = kernel_reports.slab_info
    vm_stat = kernel_reports.vm_stat
    buddyinfo = kernel_reports.buddyinfo
    zoneinfo = kernel_reports.zoneinfo
    slabinfo = kernel_reports.slabinfo
    vmstat = kernel_reports.vmstat

    # --- giving back, and the end; when memory is short: shortage.py --------------

    release_unused = reclaim.release_unused
    drop_inherited = forking.drop_inherited

    def close(self) -> None:
        """End allocation; calling it again does nothing.

        Live buffers stay valid; the memory is unmapped when the last of them goes.
        Shrinkers and on_oom are forgotten. With track="leaks" a ResourceWarning tells what is
        in use, and where it was allocated.

        >>> arena.close()
        >>> arena.closed
        True
        """
        if not self.closed:  # not one that was never initialised, either
            for shrinker in list(self._shrinkers):
                shrinker.unregister()
            self._shrinkers.clear()
            if self._on_oom is not None:  # else one that C has set stays
                self.on_oom = None
        try:
            tracking.end(self)
        finally:
            self._close()

    __repr__ = faces.text
