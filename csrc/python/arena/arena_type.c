/* arena_type.c - the C base of pyslab.Arena: its life, and the table of its methods.
 *
 * What it is not: the methods that hand out memory, which are in the folder of what they hand out
 * (kmalloc/, pages/, cache/, mempool/, region/, vm/, window/); options, statistics and texts
 * (src/pyslab/_arena/arena.py, over cffi). Those Python methods run C code without the GIL, so they
 * pin the arena around it: _pin() and _unpin().
 */
#include "python/arena/arena_type.h"

#include "python/arena/arena_guard.h"
#include "python/arena/arena_file.h"
#include "python/arena/arena_map.h"
#include "python/arena/arena_object.h"
#include "python/cache/cache_create.h"
#include "python/kmalloc/family_calls.h"
#include "python/kmalloc/kmalloc_calls.h"
#include "python/mempool/mempool_type.h"
#include "python/numpy/numpy_handler.h"
#include "python/pages/page_calls.h"
#include "python/reclaim/reclaim_hooks.h"
#include "python/region/region_calls.h"
#include "python/stack/corruption.h"
#include "python/stack/leaks.h"
#include "python/usage/usage_type.h"
#include "python/vm/vm_calls.h"
#include "python/window/window_kmap.h"
#include "python/window/window_object.h"
#include "python/window/window_type.h"

#include <stdlib.h>

static inline ArenaObject *arena_of(PyObject *op)
{
    return (ArenaObject *)op;
}

/* --- life ---------------------------------------------------------------- */

static PyObject *arena_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    if (type == objects.arena_type) {
        PyErr_SetString(PyExc_TypeError, "ArenaBase is not made directly; use pyslab.Arena");
        return NULL;
    }
    ArenaObject *self = (ArenaObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        try_incref_enable((PyObject *)self);
        self->closed = true; /* until _adopt() */
#ifdef Py_GIL_DISABLED
        self->tallies = tallies_new();
        self->orphan = type->tp_finalize != arena_finalize; /* it has a __del__ of its own */
        if (self->tallies == NULL)
            Py_CLEAR(self);
#endif
    }
    return (PyObject *)self;
}

/* _adopt(handle, owned), once per object: the Arena stands for this core arena from now on.
 * owned: Python made the core arena, and its creator's reference becomes this object's. One more
 * is taken in any case: with two, pyslab_arena_destroy() finds that the arena is in use. */
static PyObject *arena_adopt(PyObject *op, PyObject *args)
{
    ArenaObject *self = arena_of(op);
    PyObject *handle;
    struct pyslab_arena *core;
    int owned;

    if (!PyArg_ParseTuple(args, "Op:_adopt", &handle, &owned))
        return NULL;
    core = PyLong_AsVoidPtr(handle);
    if (core == NULL && PyErr_Occurred())
        return NULL;
    if (self->core != NULL || self->unmapped || core == NULL) {
        PyErr_SetString(PyExc_ValueError, "an Arena adopts one core arena, once");
        return NULL;
    }
    self->core = core;
    self->nr_refs = owned ? 2 : 1;
    pyslab_arena_get(core);
    borrowed_lock();
    core->object = self;
    borrowed_unlock();
    self->closed = false;
    if (owned || core == arena_default()) /* others' handlers stay */
        corruption_watch(core);
    if ((core->kmalloc.slabs.debug.any || core->kmalloc.slabs.guard.mode != 0 ||
         core->kmalloc.slabs.kfence != NULL) &&
        !corruption_watch_collections())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *arena_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    arena_mark_closed(arena_of(op));
    windows_close(arena_of(op));
    arena_settle(arena_of(op));
    Py_RETURN_NONE;
}

/* Buffers and Pages keep the Arena, so none is left. */
static void arena_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    struct pyslab_arena *core = arena_of(op)->core;

#ifdef Py_GIL_DISABLED
    if (arena_of(op)->tallies == NULL) { /* arena_new() found no memory */
        type->tp_free(op);
        Py_DECREF(type);
        return;
    }
#endif
    borrowed_lock();
    if (core != NULL && core->object == op) /* from here on C code cannot find this object */
        core->object = NULL;
    borrowed_unlock();
    arena_of(op)->closed = true;
    windows_orphan(arena_of(op));
    arena_settle(arena_of(op));
#ifdef Py_GIL_DISABLED
    free(arena_of(op)->tallies);
#endif
    type->tp_free(op);
    Py_DECREF(type);
}

/* _pin() -> the core arena's address. Python code that calls the core by cffi, without the GIL,
 * pins the arena around the call: _unpin(). */
static PyObject *method_pin(PyObject *op, PyObject *unused)
{
    ArenaObject *self = arena_of(op);

    (void)unused;
    arena_pin(self);
    if (arena_is_mapped(self))
        return PyLong_FromVoidPtr(self->core);
    arena_unpin_keeping(self);
    return NULL;
}

static PyObject *method_unpin(PyObject *op, PyObject *unused)
{
    (void)unused;
    arena_unpin(arena_of(op));
    Py_RETURN_NONE;
}

/* --- checks -------------------------------------------------------------- */

/* validate(). The GIL is held all the time, because a recount in the middle of another Python
 * thread's call would find what is half done. */
static PyObject *method_validate(PyObject *op, PyObject *unused)
{
    ArenaObject *self = arena_of(op);
    struct finding finding = {{0}};

    (void)unused;
    if (!arena_is_mapped(self))
        return NULL;
    if (arena_check(self->core, &finding) && windows_check(self, &finding))
        Py_RETURN_NONE;
    if (!PyErr_Occurred())
        PyErr_SetString(objects.corruption, finding.text);
    (void)corruption_raise();
    return NULL;
}

PINNED_FAST(method_kzalloc)
PINNED_FAST(method_krealloc)
PINNED_FAST(method_kmalloc_array)
PINNED_FAST(method_kcalloc)
PINNED_FAST(method_krealloc_array)
PINNED_FAST(method_kmemdup)
GUARD_FAST(method_get_free_pages, owner_self)
GUARD_FAST(method_get_free_page, owner_self)
GUARD_FAST(method_get_zeroed_page, owner_self)
GUARD_FAST(method_alloc_pages, owner_self)
GUARD_FAST(method_alloc_page, owner_self)
GUARD_FAST(method_alloc_pages_exact, owner_self)
GUARD_FAST(method_alloc_pages_bulk, owner_self)
GUARD_FAST(method_alloc_contig, owner_self)
GUARD_FAST(method_vmalloc, owner_self)
GUARD_FAST(method_vzalloc, owner_self)
GUARD_FAST(method_vmap, owner_self)
GUARD_FAST(method_ring, owner_self)
GUARD_FAST(method_kvmalloc, owner_self)
GUARD_FAST(arena_kmap, owner_self)
GUARD_FAST(arena_kmem_cache_create, owner_self)
GUARD_FAST(arena_region, owner_self)
GUARD_FASTCALL(method_reserve_range, owner_self)
GUARD_FASTCALL(arena_mempool, owner_self)
GUARD_TWO(method_split_page, owner_self)
GUARD_TWO(method_put_page, owner_self)
GUARD_TWO(method_get_page, owner_self)
GUARD_TWO(method_vfree, owner_self)
GUARD_TWO(arena_kunmap, owner_self)
GUARD_TWO(method_validate, owner_self)
GUARD_TWO(arena_set_on_oom, owner_self)
GUARD_TWO(arena_register_shrinker, owner_self)
GUARD_TWO(arena_reset_peak, owner_self)
GUARD_TWO(arena_track, owner_self)
GUARD_TWO(arena_leaks, owner_self)
GUARD_TWO(arena_set_window, owner_self)
GUARD_TWO(arena_numpy_handler, owner_self)
GUARD_TWO(arena_method_tell_lost_file, owner_self)
GUARD_TWO(arena_close, owner_self)
GUARD_TWO(arena_page_spans, owner_self)
GUARD_TWO(arena_page_cells, owner_self)
GUARD_TWO(arena_cache_layouts, owner_self)
GUARD_TWO(arena_slab_map, owner_self)
GUARD_TWO(arena_vm_blocks, owner_self)

static PyMethodDef arena_methods[] = {
    {"kmalloc", FAST(method_kmalloc),
     "kmalloc($self, size, /, *, align=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer of size bytes, content unspecified.\n\n"
     "size: int bytes or a string such as \"64MiB\"; 0 gives an empty Buffer.\n"
     "align: power of two; 0 means what the size class has: 16 or more (8 for the\n"
     "8-byte objects of the linux classes).\n"
     "Raises OutOfMemoryError, ArenaClosedError, ValueError, TypeError.\n\n"
     ">>> buf = arena.kmalloc(100)\n>>> buf.nbytes, buf.capacity\n(100, 112)"},
    {"kzalloc", FAST(GUARDED(method_kzalloc)),
     "kzalloc($self, size, /, *, align=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "As kmalloc(), with every byte zero. Memory known to be zero is not cleared again.\n\n"
     "Raises as kmalloc().\n\n>>> bytes(arena.kzalloc(3))\nb'\\x00\\x00\\x00'"},
    {"krealloc", FAST(GUARDED(method_krealloc)),
     "krealloc($self, buf, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "Resizes buf, keeping min(old, new) bytes, and returns it; in place where it fits.\n\n"
     "With GFP.ZERO new bytes are zero. Raises BufferError while views of buf are alive,\n"
     "OutOfMemoryError (buf is unchanged then), InvalidPointerError.\n\n"
     ">>> buf = arena.krealloc(arena.kmemdup(b\"abc\"), 200)\n>>> bytes(buf[:3]), buf.nbytes\n"
     "(b'abc', 200)"},
    {"ksize", method_ksize, METH_O,
     "ksize($self, buf, /)\n--\n\nUsable bytes of buf without moving, int.\n\n"
     "Raises InvalidPointerError for a Buffer of another arena, ValueError for a freed one.\n\n"
     ">>> arena.ksize(arena.kmalloc(100))\n112"},
    {"kfree", method_kfree, METH_O,
     "kfree($self, buf, /)\n--\n\n"
     "Frees buf now; every later access to it raises ValueError.\n\n"
     "One exception: a Buffer that was ever exported (a memoryview, numpy.frombuffer, ...)\n"
     "keeps its memory until the Buffer object itself goes, since others may still know the\n"
     "address. Drop the object to have the memory back; repr(buf) tells.\n"
     "Raises BufferError while views of buf are alive, DoubleFreeError the second time,\n"
     "InvalidPointerError for a Buffer of another arena.\n\n"
     ">>> buf = arena.kmalloc(100)\n>>> arena.kfree(buf)\n>>> buf.released\nTrue"},
    {"kmalloc_array", FAST(GUARDED(method_kmalloc_array)),
     "kmalloc_array($self, n, size, /, *, align=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "kmalloc() of n * size bytes. A product that no machine word holds is an\n"
     "OutOfMemoryError, and never a small Buffer. Raises as kmalloc().\n\n"
     ">>> arena.kmalloc_array(10, 8).nbytes\n80"},
    {"kcalloc", FAST(GUARDED(method_kcalloc)),
     "kcalloc($self, n, size, /, *, align=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "As kmalloc_array(), with every byte zero.\n\n"
     ">>> bytes(arena.kcalloc(1, 3))\nb'\\x00\\x00\\x00'"},
    {"krealloc_array", FAST(GUARDED(method_krealloc_array)),
     "krealloc_array($self, buf, n, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "krealloc() to n * size bytes; buf is unchanged if there are not so many.\n\n"
     "Raises as krealloc().\n\n>>> arena.krealloc_array(arena.kcalloc(2, 8), 4, 8).nbytes\n32"},
    {"kmemdup", FAST(GUARDED(method_kmemdup)),
     "kmemdup($self, data, /, *, align=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer with a copy of the bytes of data, any object with the buffer protocol; what is\n"
     "not contiguous is copied in the order of C.\n\n"
     ">>> bytes(arena.kmemdup(b\"abc\"))\nb'abc'\n\n"
     "Raises TypeError for objects without buffers, and as kmalloc()."},
    {"kfree_sensitive", method_kfree_sensitive, METH_O,
     "kfree_sensitive($self, buf, /)\n--\n\n"
     "kfree() of a Buffer that held a secret: all its usable bytes are zero before it is free.\n\n"
     "Memory that krealloc() left when it moved buf is cleared if views of buf had been made\n"
     "before; else it went back uncleared. Raises as kfree(), and InvalidPointerError for a\n"
     "Buffer that is not from kmalloc(); nothing is written then.\n\n"
     ">>> secret = arena.kmemdup(b\"key\")\n>>> arena.kfree_sensitive(secret)"},
    {"get_free_pages", FAST(GUARDED(method_get_free_pages)),
     "get_free_pages($self, order, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer over a block of 2**order frames, aligned to its size.\n\n"
     "order: 0 to the arena's max_order; a frame has 4096 bytes. Raises OutOfMemoryError,\n"
     "ArenaClosedError, ValueError, TypeError.\n\n>>> arena.get_free_pages(2).nbytes\n16384"},
    {"get_free_page", FAST(GUARDED(method_get_free_page)),
     "get_free_page($self, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nA Buffer over one frame, 4096 "
     "bytes.\n\n"
     "Raises as get_free_pages().\n\n>>> arena.get_free_page().nbytes\n4096"},
    {"get_zeroed_page", FAST(GUARDED(method_get_zeroed_page)),
     "get_zeroed_page($self, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nA Buffer over one zeroed "
     "frame.\n\n"
     "Raises as get_free_pages().\n\n>>> arena.get_zeroed_page()[0]\n0"},
    {"alloc_pages", FAST(GUARDED(method_alloc_pages)),
     "alloc_pages($self, order, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nA Page: 2**order frames.\n\n"
     "order: 0 to the arena's max_order; a frame has 4096 bytes. Raises OutOfMemoryError,\n"
     "ArenaClosedError, ArenaForkedError for high memory in a child, ValueError, TypeError.\n\n"
     ">>> arena.alloc_pages(3).nbytes\n32768"},
    {"alloc_page", FAST(GUARDED(method_alloc_page)),
     "alloc_page($self, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nA Page of one frame.\n\n"
     "Raises as alloc_pages().\n\n>>> arena.alloc_page().nbytes\n4096"},
    {"alloc_pages_exact", FAST(GUARDED(method_alloc_pages_exact)),
     "alloc_pages_exact($self, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer over whole frames for size bytes and no more: the tail of the block goes\n"
     "back at once. size: int or str, at least 1. Raises OutOfMemoryError, ValueError.\n\n"
     ">>> arena.alloc_pages_exact(\"20KiB\").nbytes\n20480"},
    {"alloc_pages_bulk", FAST(GUARDED(method_alloc_pages_bulk)),
     "alloc_pages_bulk($self, n, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A list of up to n Pages of one frame each, at least one: as the kernel's, it gives\n"
     "what there is. Raises OutOfMemoryError if there is none.\n\n"
     ">>> len(arena.alloc_pages_bulk(10))\n10"},
    {"alloc_contig", FAST(GUARDED(method_alloc_contig)),
     "alloc_contig($self, nr_frames, /, *, align=1, nocross=0, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer over nr_frames frames in a row, any number, also beyond the largest block;\n"
     "with GFP.HIGHMEM a Page of them.\n\n"
     "align: the run starts at a multiple of so many frames (a power of two) in memory; a Page\n"
     "of high memory, by its number.\n"
     "nocross: no multiple of it lies inside the run (0, or a power of two >= nr_frames).\n"
     "Raises OutOfMemoryError, ValueError, TypeError.\n\n"
     ">>> arena.alloc_contig(5).nbytes\n20480"},
    {"reserve_range", (PyCFunction)(void (*)(void))GUARDED(method_reserve_range), METH_FASTCALL,
     "reserve_range($self, pfn, nr_frames, /)\n--\n\n"
     "Exactly these frames, which must all be free and lie in one zone: a Buffer, or a Page\n"
     "of high memory. Watermarks do not count. Raises OutOfMemoryError, ValueError,\n"
     "TypeError.\n\n"
     ">>> arena.reserve_range(1024, 4).nbytes\n16384"},
    {"split_page", GUARDED(method_split_page), METH_O,
     "split_page($self, page, /)\n--\n\n"
     "Makes 2**order Pages of one frame, in order, of a Page with one reference, which is\n"
     "freed by it. Raises ValueError for a freed one, for one with more references, and for\n"
     "one allocated with GFP.COMP.\n\n"
     ">>> len(arena.split_page(arena.alloc_pages(2)))\n4"},
    {"free_pages", GUARDED(method_put_page), METH_O,
     "free_pages($self, page, /)\n--\n\n"
     "Drops one reference to the block; the last one frees it. Raises DoubleFreeError.\n\n"
     ">>> page = arena.alloc_pages(2)\n>>> arena.free_pages(page)"},
    {"put_page", GUARDED(method_put_page), METH_O,
     "put_page($self, page, /)\n--\n\nDrops one reference, as free_pages() does.\n\n"
     ">>> arena.put_page(arena.alloc_page())"},
    {"get_page", GUARDED(method_get_page), METH_O,
     "get_page($self, page, /)\n--\n\nAdds a reference to the block.\n\n"
     "Raises ValueError for a freed Page.\n\n>>> page = arena.alloc_page()\n"
     ">>> arena.get_page(page)\n>>> page.refcount\n2"},
    {"vmalloc", FAST(GUARDED(method_vmalloc)),
     "vmalloc($self, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A Buffer with contiguous addresses over scattered frames of high memory.\n\n"
     "Larger than any block may be, at a price: see docs/which-call.md. An arena without\n"
     "high zones makes one of its own size, outside its limit, at the first call.\n"
     "In a forked child what is written to it stays the child's; see docs/fork.md.\n"
     "Raises OutOfMemoryError, also when the process has too many mappings; ValueError;\n"
     "ArenaForkedError: a forked child gets no high memory.\n\n"
     ">>> arena.vmalloc(\"1MiB\").nbytes\n1048576"},
    {"vzalloc", FAST(GUARDED(method_vzalloc)),
     "vzalloc($self, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nAs vmalloc(), with every byte "
     "zero.\n\n"
     ">>> arena.vzalloc(4096)[0]\n0"},
    {"vmap", FAST(GUARDED(method_vmap)),
     "vmap($self, pages, /)\n--\n\n"
     "A Buffer over the frames of these Pages, in this order; a Page may come twice. They\n"
     "must be high memory; each is held until the Buffer goes. In a forked child what is\n"
     "written to it stays the child's. Raises ValueError for frames that have an address:\n"
     "private memory cannot be mapped a second time; ArenaForkedError.\n\n"
     ">>> zones = pyslab.ZoneLayout.i386(\"64MiB\", scale=1 / 16)\n"
     ">>> arena = pyslab.Arena(\"64MiB\", zones=zones)\n"
     ">>> page = arena.alloc_page(gfp=pyslab.GFP.HIGHUSER)\n"
     ">>> arena.vmap([page, page]).nbytes\n8192"},
    {"_ring", FAST(GUARDED(method_ring)), NULL},
    {"vfree", GUARDED(method_vfree), METH_O,
     "vfree($self, buf, /)\n--\n\n"
     "As kfree(), for a Buffer of vmalloc() or vmap(). Raises InvalidPointerError for others.\n\n"
     ">>> arena.vfree(arena.vmalloc(4096))"},
    {"vunmap", GUARDED(method_vfree), METH_O,
     "vunmap($self, buf, /)\n--\n\nThe same as vfree().\n\n"
     ">>> arena.vunmap(arena.vmalloc(4096))"},
    {"kvmalloc", FAST(GUARDED(method_kvmalloc)),
     "kvmalloc($self, size, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "kmalloc(), without much trying beyond a page, and then vmalloc().\n\n"
     "Raises as vmalloc().\n\n>>> arena.kvmalloc(\"4MiB\").nbytes\n4194304"},
    {"kvfree", method_kfree, METH_O,
     "kvfree($self, buf, /)\n--\n\nAs kfree(), for a Buffer of either kind.\n\n"
     ">>> arena.kvfree(arena.kvmalloc(100))"},
    {"kmap", FAST(GUARDED(arena_kmap)),
     "kmap($self, page, /, index=0, *, timeout=None)\n--\n\n"
     "A Buffer over frame index of the Page: a view, which ends at kunmap() or with its\n"
     "with block, and has a reference on the Page's block.\n\n"
     "High frames are mapped into the arena's window (highmem_slots slots): views of one\n"
     "frame share its slot. Others are where they always are, and use no slot.\n"
     "timeout: seconds to wait for a slot when all are in use; None: do not wait.\n"
     "In a forked child what is written to a view stays the child's, and no high frame\n"
     "can be mapped anew. Raises WindowExhaustedError, IndexError, ValueError for a freed Page,\n"
     "InvalidPointerError, ArenaClosedError, ArenaForkedError, TypeError.\n\n"
     ">>> with arena.kmap(arena.alloc_page()) as view:\n...     print(view.nbytes)\n4096"},
    {"kunmap", GUARDED(arena_kunmap), METH_O,
     "kunmap($self, view, /)\n--\n\n"
     "Ends a view from kmap() or kmap_local(); every later access to it raises ValueError.\n\n"
     "Raises BufferError while arrays or memoryviews of it are alive: it stays mapped then.\n"
     "DoubleFreeError the second time; InvalidPointerError for what is no view of this arena,\n"
     "and for a local view that is not the youngest of this thread.\n"
     "A view that was ever exported keeps its slot until the Buffer object goes, as kfree()\n"
     "says.\n\n"
     ">>> view = arena.kmap(arena.alloc_page())\n>>> arena.kunmap(view)"},
    {"kmem_cache_create", FAST(GUARDED(arena_kmem_cache_create)),
     "kmem_cache_create($self, name, size, /, *, align=0, hwcache_align=False, ctor=None, "
     "dtor=None, debug=\"\")\n--\n\n"
     "A KmemCache of objects of size bytes (1 to 262144).\n\n"
     "align: 0 (8 bytes) or a power of two up to 4096.\n"
     "hwcache_align: to 64 bytes, less for objects of at most half of that.\n"
     "ctor: called once for each object of a new slab with a zeroed bytearray; what it\n"
     "leaves there is the object's first content, which free and alloc do not touch.\n"
     "dtor: called once for each object, with its content as bytes, when its slab goes.\n"
     "debug: letters of FZPU: checks of this cache, besides those of the arena.\n"
     "Raises ValueError, TypeError.\n\n"
     ">>> arena.kmem_cache_create(\"node\", 48).alloc().nbytes\n48"},
    {"mempool", (PyCFunction)(void (*)(void))GUARDED(arena_mempool), METH_FASTCALL,
     "mempool($self, min_nr, cache_or_size, /)\n--\n\n"
     "A Mempool: min_nr objects in reserve, for when the cache finds no memory.\n\n"
     "cache_or_size: a KmemCache of this arena, which cannot be destroyed meanwhile; or the\n"
     "size of an object (int or str), for a cache of the pool's own.\n"
     "Raises OutOfMemoryError if min_nr objects are not to be had, ValueError, TypeError,\n"
     "InvalidPointerError for a cache of another arena, ArenaClosedError.\n\n"
     ">>> arena.mempool(4, 256).min_nr\n4"},
    {"region", FAST(GUARDED(arena_region)),
     "region($self, /, hint=0)\n--\n\n"
     "A Region: many small Buffers that go together, by moving a pointer.\n\n"
     "hint: bytes (int or str) had at once, so that objects of up to 64 KiB find them.\n"
     "Raises OutOfMemoryError, ArenaClosedError, ValueError, TypeError.\n\n"
     ">>> with arena.region() as region:\n...     buf = region.alloc(32)\n>>> buf.released\nTrue"},
    {"validate", GUARDED(method_validate), METH_NOARGS,
     "validate($self, /)\n--\n\n"
     "Recounts every layer from scratch; with debug= looks at every object, too. Raises\n"
     "CorruptionError with the finding.\n\n"
     ">>> arena.validate()"},
    {"_set_on_oom", GUARDED(arena_set_on_oom), METH_O, NULL},
    {"_register_shrinker", GUARDED(arena_register_shrinker), METH_VARARGS, NULL},
    {"_reset_peak", GUARDED(arena_reset_peak), METH_NOARGS, NULL},
    {"_track", GUARDED(arena_track), METH_NOARGS, NULL},
    {"_leaks", GUARDED(arena_leaks), METH_NOARGS, NULL},
    {"_set_window", GUARDED(arena_set_window), METH_O, NULL},
    {"_numpy_handler", GUARDED(arena_numpy_handler), METH_VARARGS, NULL},
    {"_adopt", arena_adopt, METH_VARARGS, NULL},
    {"_pin", method_pin, METH_NOARGS, NULL},
    {"_unpin", method_unpin, METH_NOARGS, NULL},
    {"_tell_lost_file", GUARDED(arena_method_tell_lost_file), METH_NOARGS, NULL},
    {"_close", GUARDED(arena_close), METH_NOARGS, NULL},
    {"_page_spans", GUARDED(arena_page_spans), METH_VARARGS, NULL},
    {"_page_cells", GUARDED(arena_page_cells), METH_VARARGS, NULL},
    {"_cache_layouts", GUARDED(arena_cache_layouts), METH_NOARGS, NULL},
    {"_slab_map", GUARDED(arena_slab_map), METH_O, NULL},
    {"_vm_blocks", GUARDED(arena_vm_blocks), METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* --- attributes ---------------------------------------------------------- */

static PyObject *get_closed(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(arena_of(op)->closed);
}

static PyObject *get_windows(PyObject *op, void *unused)
{
    (void)unused;
    return windows_list(arena_of(op));
}

static PyObject *get_counts(PyObject *op, void *unused)
{
    struct arena_counts counts = arena_counts(arena_of(op));

    (void)unused;
    return Py_BuildValue("nnK", counts.count, counts.bytes, (unsigned long long)counts.total);
}

/* (arrays in vmalloc's memory, arrays in NumPy's own, bytes of these, all of these ever made) */
static PyObject *get_array_counts(PyObject *op, void *unused)
{
    ArenaObject *self = arena_of(op);

    (void)unused;
    return Py_BuildValue("KKKK", (unsigned long long)self->nr_outside[OUTSIDE_VMALLOC],
                         (unsigned long long)self->nr_outside[OUTSIDE_NUMPY],
                         (unsigned long long)self->outside_bytes[OUTSIDE_NUMPY],
                         (unsigned long long)self->total_fallbacks);
}

/* Whether zones without addresses are its own. False too for an arena that is unmapped. */
static PyObject *get_has_high(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(arena_of(op)->core != NULL && arena_has_high(arena_of(op)->core));
}

GUARD_GET(get_has_high, owner_self)
GUARD_GET(get_windows, owner_self)

static PyGetSetDef arena_getset[] = {
    {"closed", get_closed, NULL, "True once close() was called, bool.", NULL},
    {"_counts", get_counts, NULL, NULL, NULL},
    {"_array_counts", get_array_counts, NULL, NULL, NULL},
    {"_has_high_memory", GUARDED(get_has_high), NULL, NULL, NULL},
    {"_windows", GUARDED(get_windows), NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *arena_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"The part of pyslab.Arena that is written in C."},
        {Py_tp_new, (void *)arena_new},
        {Py_tp_dealloc, (void *)arena_dealloc},
#ifdef Py_GIL_DISABLED
        {Py_tp_finalize, (void *)arena_finalize},
#endif
        {Py_tp_methods, arena_methods},
        {Py_tp_getset, arena_getset},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab._core.ArenaBase",
        .basicsize = sizeof(ArenaObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
