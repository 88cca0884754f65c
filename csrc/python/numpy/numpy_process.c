/* numpy_process.c - the functions that stand in NumPy's own handler. See numpy_process.h. */
#include "python/numpy/numpy_process.h"

#include "python/call/gil.h"
#include "python/numpy/array_block.h"
#include "python/numpy/numpy_api.h"
#include "python/numpy/outside_block.h"

struct installed {
    struct installed *next;
    ArenaObject *arena; /* owned */
    size_t nr_blocks;   /* in arrays' hands, and requests under way */
    bool fallback;      /* as it was installed last */
};

static struct installed *entries; /* every arena at most once */
static struct installed *current; /* where new arrays' data comes from; NULL: from NumPy's own */

static void functions_update(void);

/* --- entries ------------------------------------------------------------- */

static bool installed_adds_up(void)
{
    bool found = current == NULL;

    for (const struct installed *entry = entries; entry != NULL; entry = entry->next) {
        if (entry != current && entry->nr_blocks == 0)
            return false;
        found |= entry == current;
    }
    return found;
}

/* The entry of an Arena, or NULL. */
static struct installed *entry_of(const ArenaObject *arena)
{
    struct installed *entry = entries;

    while (entry != NULL && entry->arena != arena)
        entry = entry->next;
    return entry;
}

/* An arena that was unmapped has no address any more: other memory may be there. */
static always_inline bool entry_holds(const struct installed *entry, const void *p)
{
    const struct pyslab_arena *core = entry->arena->core;

    return likely(core != NULL) &&
           (uintptr_t)p - (uintptr_t)core->kmalloc.slabs.map.base < core->kmalloc.slabs.map.bytes;
}

/* Deletes an entry that is neither current nor has blocks. May run Python code, at its end. */
static void entry_settle(struct installed *entry)
{
    struct installed **at = &entries;
    ArenaObject *arena = entry->arena;

    if (entry == current || entry->nr_blocks != 0)
        return;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    PyMem_Free(entry);
    functions_update();
    Py_DECREF(arena);
}

static always_inline void entry_drop_block(struct installed *entry)
{
    CHECK(entry->nr_blocks > 0);
    if (unlikely(--entry->nr_blocks == 0))
        entry_settle(entry);
}

/* --- what NumPy calls ---------------------------------------------------- */

/* The count comes first: callbacks of the request may uninstall the arena. */
static always_inline void *entry_alloc(struct installed *entry, size_t size, bool zero)
{
    void *p;

    entry->nr_blocks++;
    p = array_block_alloc_pinned(entry->arena, size, zero, entry->fallback);
    if (unlikely(p == NULL))
        entry_drop_block(entry);
    return p;
}

static void *process_malloc(void *context, size_t size)
{
    void *p;

    gil_assert_held();
    array_critical_begin();
    p = likely(current != NULL) ? entry_alloc(current, size, false)
                                : numpy_api.own.malloc(context, size);
    array_critical_end();
    return p;
}

static void *process_calloc(void *context, size_t nr, size_t size)
{
    void *p = NULL;
    size_t nbytes;

    gil_assert_held();
    array_critical_begin();
    if (unlikely(current == NULL))
        p = numpy_api.own.calloc(context, nr, size);
    else if (!__builtin_mul_overflow(nr, size, &nbytes))
        p = entry_alloc(current, nbytes, true);
    array_critical_end();
    return p;
}

/* The entry that the block at p belongs to; NULL: the block is NumPy's own. */
static struct installed *entry_of_block(const void *p)
{
    const struct outside_block *block = outside_find(p);
    struct installed *entry = entries;

    if (block != NULL)
        return entry_of(block->arena);
    while (entry != NULL && !entry_holds(entry, p))
        entry = entry->next;
    return entry;
}

static slow_path void free_elsewhere(void *context, void *p, size_t size)
{
    struct installed *entry = entry_of_block(p);

    if (entry == NULL)
        numpy_api.own.free(context, p, size);
    else if (entry_holds(entry, p) ? array_block_free(entry->arena, p)
                                   : array_block_free_slow(entry->arena, p, PYSLAB_EPOINTER))
        entry_drop_block(entry);
}

static void process_free(void *context, void *p, size_t size)
{
    struct installed *entry;

    gil_assert_held();
    array_critical_begin();
    entry = current;
    if (unlikely(entry == NULL || !entry_holds(entry, p)))
        free_elsewhere(context, p, size);
    else if (likely(array_block_free(entry->arena, p)))
        entry_drop_block(entry);
    array_critical_end();
}

static void *resize(void *context, void *p, size_t size)
{
    struct installed *entry;

    if (p == NULL)
        return process_malloc(context, size);
    entry = entry_of_block(p);
    if (entry == NULL)
        return numpy_api.own.realloc(context, p, size);
    entry->nr_blocks++; /* callbacks may free the arena's other blocks, and uninstall it */
    arena_pin_without_gil(entry->arena);
    p = array_block_resize(entry->arena, p, size, entry->fallback);
    arena_unpin_without_gil(entry->arena);
    entry_drop_block(entry);
    return p;
}

static void *process_realloc(void *context, void *p, size_t size)
{
    PyGILState_STATE gil = PyGILState_Ensure();

    array_critical_begin();
    p = resize(context, p, size);
    array_critical_end();
    PyGILState_Release(gil);
    return p;
}

/* --- NumPy's handler ----------------------------------------------------- */

/* Makes the invariant hold. Functions that a third party has put there stay: that one may call
 * ours, which go on to work. */
static void functions_update(void)
{
    struct numpy_allocator *theirs = &numpy_api.standard->allocator;
    const struct numpy_allocator *own = &numpy_api.own;

    if (entries != NULL && theirs->free == own->free)
        theirs->free = process_free;
    if (entries != NULL && theirs->realloc == own->realloc)
        theirs->realloc = process_realloc;
    if (current != NULL && theirs->malloc == own->malloc)
        theirs->malloc = process_malloc;
    if (current != NULL && theirs->calloc == own->calloc)
        theirs->calloc = process_calloc;
    if (current == NULL && theirs->malloc == process_malloc)
        theirs->malloc = own->malloc;
    if (current == NULL && theirs->calloc == process_calloc)
        theirs->calloc = own->calloc;
    if (entries == NULL && theirs->realloc == process_realloc)
        theirs->realloc = own->realloc;
    if (entries == NULL && theirs->free == process_free)
        theirs->free = own->free;
    CHECK_WALK(installed_adds_up());
}

/* Makes entry the current one; NULL: NumPy's own functions. */
static void current_set(struct installed *entry)
{
    struct installed *before = current;

    current = entry;
    if (before != NULL && before != entry)
        entry_settle(before);
    functions_update();
}

static struct installed *entry_new(ArenaObject *arena)
{
    struct installed *entry = PyMem_Calloc(1, sizeof *entry);

    if (entry == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    entry->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    entry->next = entries;
    entries = entry;
    return entry;
}

static bool install(ArenaObject *arena, bool fallback)
{
    struct installed *entry = entry_of(arena);

    if (entry == NULL)
        entry = entry_new(arena);
    if (entry == NULL)
        return false;
    entry->fallback = fallback;
    current_set(entry);
    return true;
}

PyObject *numpy_process_install(PyObject *module, PyObject *args)
{
    ArenaObject *arena;
    int fallback;
    bool installed;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!p:_numpy_process_install", objects.arena_type, &arena,
                          &fallback) ||
        !arena_is_open(arena) || !numpy_load())
        return NULL;
    array_critical_begin();
    installed = install(arena, fallback != 0);
    array_critical_end();
    return installed ? Py_NewRef(Py_None) : NULL;
}

PyObject *numpy_process_uninstall(PyObject *module, PyObject *unused)
{
    bool was_installed;

    (void)module, (void)unused;
    array_critical_begin();
    was_installed = current != NULL;
    if (was_installed)
        current_set(NULL);
    array_critical_end();
    return PyBool_FromLong(was_installed);
}

PyObject *numpy_process_arena(PyObject *module, PyObject *unused)
{
    PyObject *arena;

    (void)module, (void)unused;
    array_critical_begin();
    arena = Py_NewRef(current == NULL ? Py_None : (PyObject *)current->arena);
    array_critical_end();
    return arena;
}
