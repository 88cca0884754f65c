/* array_block.c - blocks of array data when it is not one object of a size class, taken and freed.
 *
 * Order of the text: taking, refusals, alloc, free, resize. Lock: the GIL.
 */
#include "python/numpy/array_block.h"

#include "page_alloc/hugepage.h"
#include "python/call/errors.h"
#include "python/numpy/numpy_api.h"
#include "python/numpy/outside_block.h"

PyObject *array_refusal;

/* --- taking -------------------------------------------------------------- */

/* A callback of the request has raised an exception, or closed the arena: it ends here. */
static bool is_interrupted(const ArenaObject *arena)
{
    return arena->closed || PyErr_Occurred() != NULL;
}

/* An object or a block of frames; for more than the largest block, or where no block is large
 * enough, a run of free frames. Counts it. NULL */
static void *take_kmalloc(ArenaObject *arena, size_t nbytes, bool zero, uint32_t gfp)
{
    struct pyslab_arena *core = arena->core;
    void *p = NULL;

    if (nbytes <= PAGE_SIZE << core->pages.max_order) {
        p = zero ? kmalloc_zeroed(&core->kmalloc, nbytes, gfp)
                 : kmalloc_slow(&core->kmalloc, nbytes, gfp);
        gfp |= PYSLAB_GFP_NORETRY; /* shrinkers and on_oom have been asked */
    }
    if (p == NULL && nbytes > PAGE_SIZE && !is_interrupted(arena))
        p = pyslab_alloc_contig(core, (uint32_t)bytes_to_pages(nbytes), 1, 0,
                                gfp | (zero ? PYSLAB_GFP_ZERO : 0u));
    if (p == NULL)
        return NULL;
    if (nbytes > CACHE_MAX_OBJECT)
        hugepage_want(&core->pages, virt_to_pfn(&core->pages.map, p),
                      (uint32_t)bytes_to_pages(nbytes));
    array_block_count(arena, p);
    return p;
}

/* High frames behind contiguous addresses. Counts them. NULL. on_oom is not asked. */
static void *take_vmalloc(ArenaObject *arena, size_t nbytes, bool zero)
{
    uint32_t gfp = PYSLAB_GFP_KERNEL | PYSLAB_GFP_NORETRY | (zero ? PYSLAB_GFP_ZERO : 0u);
    size_t usable = align_up(nbytes, PAGE_SIZE);
    void *p = NULL;

    if (vm_alloc(&arena->core->vm, nbytes, gfp, &p) != PYSLAB_OK)
        return NULL;
    if (!outside_add(arena, p, usable, OUTSIDE_VMALLOC)) {
        (void)vm_free(&arena->core->vm, p);
        return NULL;
    }
    arena_count_held(arena, (Py_ssize_t)usable);
    return p;
}

/* A block of the arena's memory, counted but not traced: its caller knows what NumPy asked for.
 * lightly: on_oom is not asked. NULL. pre: arena is pinned */
static void *take(ArenaObject *arena, size_t nbytes, bool zero, bool lightly)
{
    const struct pyslab_arena *core = arena->core;
    bool has_high = arena_has_high(core) && !core->pages.forked;
    uint32_t gfp = PYSLAB_GFP_KERNEL | (has_high || lightly ? PYSLAB_GFP_NORETRY : 0u);
    void *p;

    CHECK(arena_nr_live(arena) > 0);
    if (nbytes > core->bytes) {
        add_relaxed(&arena->core->pages.alloc_failures, 1);
        return NULL;
    }
    p = take_kmalloc(arena, nbytes, zero, gfp);
    if (p != NULL || !has_high || is_interrupted(arena))
        return p;
    p = take_vmalloc(arena, nbytes, zero);
    if (p != NULL || lightly || is_interrupted(arena))
        return p;
    p = take_kmalloc(arena, nbytes, zero, PYSLAB_GFP_KERNEL);
    return p != NULL || is_interrupted(arena) ? p : take_vmalloc(arena, nbytes, zero);
}

/* A block of NumPy's own, with its record. NULL */
static void *take_numpys(ArenaObject *arena, size_t size, bool zero)
{
    const struct numpy_allocator *own = &numpy_api.own;
    size_t nbytes = size == 0 ? 1 : size;
    void *p = zero ? own->calloc(own->context, 1, nbytes) : own->malloc(own->context, nbytes);

    if (p != NULL && !outside_add(arena, p, nbytes, OUTSIDE_NUMPY)) {
        own->free(own->context, p, nbytes);
        return NULL;
    }
    arena->total_fallbacks += p != NULL;
    return p;
}

/* A large block that was freed a moment ago; NULL. Counts it. */
static void *take_shelved(ArenaObject *arena, size_t nbytes)
{
    struct pyslab_arena *core = arena->core;
    void *p = kmalloc_unshelve(&core->kmalloc, nbytes);

    if (p == NULL)
        return NULL;
    hugepage_want(&core->pages, virt_to_pfn(&core->pages.map, p), (uint32_t)bytes_to_pages(nbytes));
    arena_count_new(arena, (Py_ssize_t)align_up(nbytes, PAGE_SIZE));
    return p;
}

/* --- refusals ------------------------------------------------------------ */

/* Keeps the text of the exception that is set, and clears it: NumPy raises a MemoryError of its
 * own over whatever is set. */
static void refusal_keep(void)
{
    PyObject *type, *value, *traceback, *text, *token = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    text = value == NULL ? NULL : PyObject_Str(value);
    if (text != NULL)
        token = PyContextVar_Set(array_refusal, text);
    PyErr_Clear(); /* no memory for the text: then there is none */
    Py_XDECREF(token);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static void *refuse_closed(const ArenaObject *arena)
{
    if (!arena_is_open(arena))
        refusal_keep();
    return NULL;
}

/* Tells what was asked and what all zones have. pre: arena is pinned, no exception is set */
static void *refuse(ArenaObject *arena, size_t nbytes)
{
    uint32_t gfp = PYSLAB_GFP_KERNEL;

    CHECK(arena_nr_live(arena) > 0 && PyErr_Occurred() == NULL);
    if (arena->closed)
        return refuse_closed(arena);
    if (arena_has_high(arena->core) && !arena->core->pages.forked)
        gfp |= GFP_HIGH_BITS;
    raise_out_of_memory(arena, nbytes, 0, gfp);
    refusal_keep();
    return NULL;
}

/* --- alloc --------------------------------------------------------------- */

/* The pin becomes the block's count in nr_live. */
slow_path void *array_block_alloc_slow(ArenaObject *arena, size_t size, bool zero, bool fallback)
{
    size_t nbytes = size < ARRAY_MIN_BYTES ? ARRAY_MIN_BYTES : size;
    void *p;

    if (arena->closed)
        return refuse_closed(arena);
    if (nbytes > CACHE_MAX_OBJECT && !zero && (p = take_shelved(arena, nbytes)) != NULL) {
        trace_new(p, size);
        return p;
    }
    arena_pin(arena);
    p = take(arena, nbytes, zero, false);
    if (p != NULL) {
        trace_new(p, size);
        return p;
    }
    if (PyErr_Occurred())
        PyErr_WriteUnraisable((PyObject *)arena);
    if (fallback && !arena->closed)
        p = take_numpys(arena, size, zero);
    if (p == NULL)
        refuse(arena, nbytes);
    arena_unpin(arena);
    return p;
}

/* --- free ---------------------------------------------------------------- */

/* Somebody else freed the block, or wrote over the metadata. NumPy's free has no way to fail, so
 * the error is reported as unraisable. What the block was is unknown, so it stays counted. */
static void report_free(ArenaObject *arena, int code, const void *p)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    raise_code(code, "pyslab: data of an array", p);
    PyErr_WriteUnraisable((PyObject *)arena);
    PyErr_Restore(type, value, traceback);
}

/* In a forked child the frames of vmalloc are the parent's, and nothing goes back. */
static bool free_outside(struct outside_block *block)
{
    const struct numpy_allocator *own = &numpy_api.own;
    struct outside_block gone = *block;
    int code;

    outside_remove(block);
    if (gone.source == OUTSIDE_NUMPY) {
        own->free(own->context, gone.p, gone.nbytes);
        return true;
    }
    trace_gone(gone.p);
    code = vm_free(&gone.arena->core->vm, gone.p);
    if (code != PYSLAB_OK && code != PYSLAB_EFORKED) {
        report_free(gone.arena, code, gone.p);
        return false;
    }
    arena_count_gone(gone.arena, (Py_ssize_t)gone.nbytes);
    return true;
}

slow_path bool array_block_free_slow(ArenaObject *arena, void *p, int code)
{
    struct outside_block *block = outside_find(p);

    if (block != NULL)
        return free_outside(block);
    report_free(arena, code, p);
    return false;
}

slow_path bool array_block_free_other(ArenaObject *arena, void *p)
{
    struct kmalloc *km = &arena->core->kmalloc;
    size_t nbytes = kmalloc_shelve(km, p);
    int code;

    if (unlikely(nbytes == 0)) {
        nbytes = kmalloc_usable(km, p);
        code = kmalloc_free(km, p);
        if (code != PYSLAB_OK)
            return array_block_free_slow(arena, p, code);
    }
    arena_count_gone(arena, (Py_ssize_t)nbytes);
    return true;
}

/* Frees a block that may be of NumPy's in an arena that is unmapped. */
static void free_any(ArenaObject *arena, void *p)
{
    if (arena->core != NULL)
        array_block_free(arena, p);
    else
        array_block_free_slow(arena, p, PYSLAB_EPOINTER);
}

/* --- resize -------------------------------------------------------------- */

/* Fewer bytes: the block stays where it is, and whole frames that are left over go back. */
static void *shrink(ArenaObject *arena, void *p, size_t old_bytes, size_t size)
{
    struct kmalloc *km = &arena->core->kmalloc;

    p = kmalloc_resize(km, p, size < ARRAY_MIN_BYTES ? ARRAY_MIN_BYTES : size, PYSLAB_GFP_KERNEL);
    arena_count_bytes(arena, (Py_ssize_t)array_block_bytes(km, p) - (Py_ssize_t)old_bytes);
    trace_new(p, size);
    return p;
}

/* The block that moved has taken over what fits of the content; the old one goes. */
static void *move(ArenaObject *arena, void *p, void *moved, size_t nbytes)
{
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, nbytes);
    free_any(arena, p);
    return moved;
}

/* NumPy's own block stays NumPy's. */
static void *resize_numpys(struct outside_block *block, size_t size)
{
    const struct numpy_allocator *own = &numpy_api.own;
    size_t nbytes = size == 0 ? 1 : size;
    void *p = own->realloc(own->context, block->p, nbytes);

    if (p != NULL)
        outside_move(block, p, nbytes);
    return p;
}

/* Fewer frames of vmalloc: a copy, if there is room for one; an area cannot be cut. */
static void *shrink_vmalloc(ArenaObject *arena, void *p, size_t old_bytes, size_t size)
{
    size_t nbytes = size < ARRAY_MIN_BYTES ? ARRAY_MIN_BYTES : size;
    void *moved = NULL;

    if (!arena->closed && align_up(nbytes, PAGE_SIZE) < old_bytes) {
        arena_pin(arena);
        moved = take(arena, nbytes, false, true);
        if (PyErr_Occurred())
            PyErr_WriteUnraisable((PyObject *)arena);
        if (moved == NULL)
            arena_unpin(arena);
    }
    if (moved != NULL)
        p = move(arena, p, moved, size);
    trace_new(p, size);
    return p;
}

void *array_block_resize(ArenaObject *arena, void *p, size_t size, bool fallback)
{
    struct outside_block *block;
    size_t old_bytes;

    if (p == NULL)
        return array_block_alloc(arena, size, false, fallback);
    block = outside_find(p);
    if (block != NULL && block->source == OUTSIDE_NUMPY)
        return resize_numpys(block, size);
    old_bytes = block != NULL ? block->nbytes : array_block_bytes(&arena->core->kmalloc, p);
    if (unlikely(old_bytes == 0)) {
        report_free(arena, PYSLAB_EPOINTER, p);
        return NULL;
    }
    if (size > old_bytes)
        return move(arena, p, array_block_alloc(arena, size, false, fallback), old_bytes);
    return block != NULL ? shrink_vmalloc(arena, p, old_bytes, size)
                         : shrink(arena, p, old_bytes, size);
}

bool array_block_add(PyObject *module)
{
    array_refusal = PyContextVar_New("pyslab_numpy_refusal", NULL);
    return array_refusal != NULL &&
           PyModule_AddObjectRef(module, "_numpy_refusal", array_refusal) == 0;
}
