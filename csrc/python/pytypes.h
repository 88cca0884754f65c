/* pytypes.h - the C types behind pyslab's Python face, and what their files share.
 *
 * What it is: Arena's base, Buffer, Page, KmemCache, Mempool and Region: the calls that must
 * cost no more than a bare C type. Everything that need not be fast is Python over cffi.
 * What it is not: an allocator, or thread-safe without the GIL.
 *
 * Lifetime. A Buffer, Page or KmemCache owns a reference to its Arena. Arena.nr_live
 * counts Buffers, Pages and arrays (numpy_handler.c) that own memory, and pins: the core
 * arena is destroyed when it is closed (or unreachable) and nr_live is 0. A KmemCache does
 * not count: it looks at arena->core before it touches its cache.
 * A Buffer that was ever exported may be known to objects that hold no export (NumPy's
 * ndarray(buffer=) keeps a reference only). Its memory is therefore reused only when
 * the Buffer object itself dies, although kfree makes it unusable at once.
 * Invariant: nr_live == Buffers with memory + Pages with references + arrays + pins.
 */
#ifndef PYTHON_PYTYPES_H
#define PYTHON_PYTYPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "arena/arena.h"

typedef struct {
    PyObject_HEAD
    struct pyslab_arena *core;     /* NULL once unmapped */
    uint32_t nr_refs;              /* to core, of this object's own: 1; 2 if Python made it */
    Py_ssize_t nr_live;            /* see above */
    Py_ssize_t current_count;      /* Buffers, Pages and arrays with memory */
    Py_ssize_t current_bytes;      /* their nbytes; of arrays the usable bytes */
    uint64_t total_count;          /* all of them ever made */
    bool closed;                   /* allocation has ended */
    PyObject *on_oom;              /* callable or NULL; borrowed from the attribute _on_oom */
    struct window_object *windows; /* list of all its remap windows; borrowed */
    struct window_object *window;  /* the one kmap() uses, or NULL; borrowed likewise */
    PyObject *numpy_handler;       /* its capsule for NumPy while there is one; borrowed */
} ArenaObject;

enum buffer_kind {
    BUFFER_KMALLOC, /* from kmalloc */
    BUFFER_PAGES,   /* a reference on a block of frames */
    BUFFER_CACHE,   /* from a KmemCache, which `keep` names */
    BUFFER_VM,      /* an area of vmalloc, vmap or a ring */
    BUFFER_POOL,    /* from a Mempool, which `keep` names */
    BUFFER_KMAP,    /* a view of frames: `keep` is the Window, or NULL if they have an address */
    BUFFER_REGION,  /* from a Region, which `keep` names, and which ends its use */
};

enum buffer_mark {
    BUFFER_HIDDEN = 1, /* memory that krealloc left: in nr_live, in no other count */
    BUFFER_TRACED = 2, /* tracemalloc may know of it */
};

typedef struct buffer_object {
    PyObject_HEAD
    void *p;            /* the memory; NULL once returned */
    Py_ssize_t nbytes;  /* as asked for */
    ArenaObject *arena; /* owned */
    PyObject *keep;     /* owned: the KmemCache, Mempool, Window, or what krealloc left */
    PyObject *weakrefs; /* list of weak references */
    Py_ssize_t exports; /* buffer views alive */
    uint8_t kind;       /* enum buffer_kind */
    bool released;      /* kfree was called: no access any more */
    bool ever_exported; /* somebody may know the address */
    uint8_t marks;      /* of enum buffer_mark; hardly ever any */
    union {
        uint32_t pfn;  /* of a view: first frame of the block it has a reference on */
        uint32_t slot; /* BUFFER_REGION: its place in the Region */
    };
} BufferObject;

typedef struct {
    PyObject_HEAD
    ArenaObject *arena; /* owned */
    PyObject *weakrefs; /* list of weak references */
    uint32_t pfn;       /* first frame */
    uint32_t order;
    uint32_t nr_pages; /* 2**order, or fewer: a run */
    uint32_t nr_refs;  /* references this object owns on the block; 0: freed */
} PageObject;

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;        /* owned */
    PyObject *weakrefs;        /* list of weak references */
    struct kmem_cache *cache;  /* NULL once destroyed */
    struct cache_hooks *hooks; /* Python's ctor and dtor, or NULL; the cache's */
    Py_ssize_t nr_calls;       /* allocations under way: they may run Python's callbacks */
    char name[PYSLAB_NAME_MAX];
    uint32_t object_size;
    uint32_t align;
    uint32_t stride;
} CacheObject;

/* The core's pool lives until the Mempool is closed, none of its objects is out, and no
 * call is inside it. It does not count in nr_live either. */
typedef struct {
    PyObject_HEAD
    ArenaObject *arena;   /* owned */
    PyObject *weakrefs;   /* list of weak references */
    CacheObject *cache;   /* owned */
    struct mempool *pool; /* NULL once destroyed; gone with arena->core as well */
    Py_ssize_t nr_inside; /* calls into the core, waits included, that have not returned */
    bool own_cache;       /* made for this pool: goes with it */
    bool closed;          /* close() was called */
} MempoolObject;

/* A method with positional and keyword arguments, for a PyMethodDef. */
#define FAST(f) ((PyCFunction)(void (*)(void))(f)), METH_FASTCALL | METH_KEYWORDS

/* --- module-wide objects, set by module.c ------------------------------- */

struct module_objects {
    PyTypeObject *arena_type;
    PyTypeObject *buffer_type;
    PyTypeObject *page_type;
    PyTypeObject *cache_type;
    PyTypeObject *mempool_type;
    PyTypeObject *window_type;
    PyTypeObject *region_type;
    PyTypeObject *usage_type;
    PyObject *slab_counts;   /* pyslab.counts.SlabCounts */
    PyObject *supply_counts; /* pyslab.counts.SupplyCounts */
    PyObject *flag_type;     /* enum.Flag */
    PyObject *parse_bytes;   /* pyslab.sizes.parse_bytes */
    PyObject *prefilled;     /* pyslab.prefill.PrefilledSheaf */
    PyTypeObject *shrinker_type;
    PyObject *error; /* pyslab.errors.* from here on */
    PyObject *out_of_memory;
    PyObject *invalid_pointer;
    PyObject *double_free;
    PyObject *corruption;
    PyObject *closed;
    PyObject *forked;
    PyObject *cache_busy;
    PyObject *window_exhausted;
};

extern struct module_objects objects;

/* --- args.c: arguments, each conversion with its documented exception --- */

/* int, or a string such as "64MiB". TypeError, ValueError; OutOfMemoryError for a
 * size that no arena can have. -1 with an exception set. */
Py_ssize_t arg_size(ArenaObject *arena, PyObject *arg, const char *what);
/* The same, int only. */
Py_ssize_t arg_count(ArenaObject *arena, PyObject *arg, const char *what);
/* 0 .. the arena's max_order. TypeError, ValueError. -1 with an exception set. */
int arg_order(ArenaObject *arena, PyObject *arg);

/* 0 or a power of two. TypeError, ValueError. False with an exception set. */
bool arg_align(PyObject *arg, size_t *align);

/* A gfp mask. TypeError, ValueError. False with an exception set. */
bool arg_gfp(PyObject *arg, uint32_t *gfp);
/* GFP.NOFAIL only for what may wait and is small (ValueError). */
bool arg_nofail(uint32_t gfp, size_t nbytes);
/* Refuses GFP.NOFAIL (ValueError) where there is no waiting. */
bool arg_no_nofail(const char *function, uint32_t gfp);
/* Drops the zones that a call which returns an address cannot use, with a RuntimeWarning,
 * as the kernel does. False if the warning became an exception. */
bool arg_drop_highmem(const char *function, uint32_t *gfp);

struct alloc_options {
    size_t align; /* 0: not given */
    uint32_t gfp;
};

/* Reads the keywords align (if allowed) and gfp; checks that exactly nr_positional
 * positional arguments came. False with an exception set. */
bool arg_options(const char *function, Py_ssize_t nargs, Py_ssize_t nr_positional,
                 PyObject *const *args, PyObject *kwnames, bool align_allowed,
                 struct alloc_options *out);

/* --- errors.c ----------------------------------------------------------- */

bool errors_import(void);
/* Sets OutOfMemoryError with the request, the zones' state (not with GFP.NOWARN) and one
 * hint, unless a callback's exception is set already; NULL. align: 0 if none was asked for. */
void *raise_out_of_memory(ArenaObject *arena, size_t nbytes, size_t align, uint32_t gfp);
/* The same of vmalloc, which takes from the high zones alone, perhaps of a side arena. */
void *raise_out_of_high_memory(ArenaObject *arena, size_t nbytes, uint32_t gfp);
/* After a failure: true if the mask has GFP.NOFAIL, a moment has passed without the GIL,
 * and nothing (a signal's exception, close()) speaks against trying again. */
bool nofail_again(ArenaObject *arena, uint32_t gfp);
/* The exception class of a core error code; borrowed. */
PyObject *exception_of_code(int code);
/* Sets the exception of a core error code about an address; NULL. */
void *raise_code(int code, const char *what, const void *p);
/* False with ArenaClosedError set if the arena takes no allocations. */
bool arena_is_open(ArenaObject *arena);

/* --- arena_type.c ------------------------------------------------------- */

PyTypeObject *arena_type_new(PyObject *module);
/* Destroys the core arena if it is closed and nothing lives in it. */
void arena_settle(ArenaObject *self);

/* The Arena over a core arena, a new reference; NULL: there is none, or it is on its way out. */
static inline ArenaObject *arena_object_get(const struct pyslab_arena *core)
{
    ArenaObject *arena = core->object;

    return arena == NULL || Py_REFCNT(arena) == 0 ? NULL
                                                  : (ArenaObject *)Py_NewRef((PyObject *)arena);
}

/* A pin keeps the core arena while Python code may run in the middle of a call. */
static inline void arena_pin(ArenaObject *arena)
{
    arena->nr_live++;
}

static inline void arena_unpin(ArenaObject *arena)
{
    if (--arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
}

static inline void arena_count_new(ArenaObject *arena, Py_ssize_t nbytes)
{
    arena->nr_live++;
    arena->current_count++;
    arena->current_bytes += nbytes;
    arena->total_count++;
}

static inline void arena_count_gone(ArenaObject *arena, Py_ssize_t nbytes)
{
    arena->current_count--;
    arena->current_bytes -= nbytes;
    if (--arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
}

/* --- buffer.c ----------------------------------------------------------- */

PyTypeObject *buffer_type_new(PyObject *module);
/* tracing.h's flag has changed: while it is true, no Buffer is made or freed the fast way. */
void buffers_set_traced(bool on);
/* Takes over the memory; on failure it is returned to the arena. keep may be NULL. */
PyObject *buffer_new(ArenaObject *arena, void *p, Py_ssize_t nbytes, enum buffer_kind kind,
                     PyObject *keep);
/* A view of mapped frames. The caller takes the references on window (which may be NULL)
 * slot and block after it has succeeded. */
PyObject *buffer_new_view(ArenaObject *arena, void *p, Py_ssize_t nbytes, PyObject *window,
                          uint32_t pfn);
/* The Buffer's usable bytes. */
size_t buffer_capacity(const BufferObject *self);
/* What kfree does: 0, or -1 with BufferError or DoubleFreeError set. */
int buffer_kfree(BufferObject *self, const char *call);
/* krealloc: 0, or -1 with an exception set and nothing changed. */
int buffer_resize(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp);
/* arg as a Buffer of this arena; NULL with TypeError or InvalidPointerError set. */
BufferObject *arg_buffer(ArenaObject *arena, PyObject *arg);

/* --- cache_hooks.c: constructors and destructors written in Python ------- */

/* While a hook runs, the core is in the middle of a call: the arena is pinned, and the
 * cache cannot be destroyed. */
struct cache_hooks {
    PyObject *ctor;            /* callable(bytearray) or NULL */
    PyObject *dtor;            /* callable(bytes) or NULL */
    struct pyslab_arena *core; /* the arena that the cache is in */
    Py_ssize_t size;           /* of an object */
    unsigned running;          /* calls of either that have not returned */
};

/* New references to both; NULL with an exception set, also for no callable. */
struct cache_hooks *hooks_new(ArenaObject *arena, PyObject *ctor, PyObject *dtor, Py_ssize_t size);
void hooks_free(struct cache_hooks *hooks);
/* The same as the core's release: once a cache is made, the hooks are its own, because a
 * thread that passes over all caches may call them after the KmemCache has gone. */
void hooks_release(void *context);
/* What the core calls; context is the hooks. Take the GIL. */
int hooks_construct(void *object, void *context);
void hooks_destruct(void *object, void *context);

/* --- reclaim_hooks.c: on_oom and shrinkers written in Python -------------- */

PyTypeObject *shrinker_type_new(PyObject *module);
PyObject *arena_set_on_oom(PyObject *op, PyObject *callable);
PyObject *arena_register_shrinker(PyObject *op, PyObject *args);

/* --- usage_type.c --------------------------------------------------------- */

PyTypeObject *usage_type_new(PyObject *module);
/* Arena._reset_peak() */
PyObject *arena_reset_peak(PyObject *op, PyObject *unused);

/* --- numpy_handler.c ------------------------------------------------------ */

/* Arena._numpy_handler(): the arena's capsule for NumPy. */
PyObject *arena_numpy_handler(PyObject *op, PyObject *unused);
/* Adds _numpy_set_handler(). */
bool numpy_handler_add(PyObject *module);

/* --- c_api.c --------------------------------------------------------------- */

/* Publishes the C API: adds _C_API and functions for the package. */
bool c_api_add(PyObject *module);
/* False with ImportError set in a subinterpreter. */
bool interpreter_is_main(void);

/* --- page_type.c, cache_type.c ------------------------------------------ */

PyTypeObject *page_type_new(PyObject *module);
PyObject *page_new(ArenaObject *arena, uint32_t pfn, uint32_t order);
/* arg as a Page of this arena; NULL with TypeError or InvalidPointerError set. */
PageObject *arg_page(ArenaObject *arena, PyObject *arg);
int page_object_get(PageObject *self);
int page_object_put(PageObject *self);
/* Leaves single frames with a reference each, which the caller takes over. */
int page_object_split(PageObject *self);
/* False with ValueError set if it was freed. */
bool page_is_usable(const PageObject *self);

/* --- window_type.c: views of frames, in a remap window or where they are --- */

PyTypeObject *window_type_new(PyObject *module);
PyObject *arena_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *arena_kunmap(PyObject *op, PyObject *view);
PyObject *arena_set_window(PyObject *op, PyObject *window);
/* Where the arena's own window shows the frame to somebody; NULL. */
void *window_address(const ArenaObject *arena, uint32_t pfn);
/* A view ends: false with InvalidPointerError set if another one must end first. */
bool window_view_close(BufferObject *view);
/* The view's memory at p goes back: its slot, and its reference on the block. */
int window_view_return(BufferObject *view, const void *p);
/* close() of all windows; and what follows when the arena itself goes. */
void windows_close(ArenaObject *arena);
/* A list of them. */
PyObject *windows_list(const ArenaObject *arena);
void windows_orphan(ArenaObject *arena);
bool windows_check(const ArenaObject *arena, struct finding *finding);

PyTypeObject *cache_type_new(PyObject *module);
PyObject *cache_new(ArenaObject *arena, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* A cache without hooks for another type's use; checks the size. */
CacheObject *cache_new_private(ArenaObject *arena, const char *name, Py_ssize_t size);
/* Destroys it if nothing is live in it. */
void cache_retire(CacheObject *self);
/* The cache exists and its arena is mapped; open as well if it is to allocate. */
bool cache_is_usable(const CacheObject *self, bool allocating);

/* --- mempool_type.c ------------------------------------------------------ */

PyTypeObject *mempool_type_new(PyObject *module);
/* Arena.mempool(min_nr, cache_or_size) */
PyObject *arena_mempool(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
/* Takes back the memory of a Buffer of this Mempool. Errors: those of mempool_free. */
int mempool_object_free(PyObject *op, void *p);

/* --- region_type.c ------------------------------------------------------- */

PyTypeObject *region_type_new(PyObject *module);
/* Arena.region(hint=0) */
PyObject *arena_region(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* A Buffer of a Region has its first view, or has lost its last. */
void region_buffer_exported(BufferObject *buffer);
void region_buffer_unexported(BufferObject *buffer);
/* It dies. */
void region_buffer_gone(BufferObject *buffer);
/* The end of `with buffer`: unusable, and its memory stays the region's. 0, or -1 with
 * BufferError set. */
int region_buffer_release(BufferObject *buffer);

#endif
