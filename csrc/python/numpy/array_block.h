/* array_block.h - blocks for the data of arrays: from an arena, or from where it sends them.
 *
 * What it is: allocation, resizing and free of a block, with the counts of the Arena. The parts
 * that nearly every array needs are inline here; array_block.c has the rest.
 * What it is not: the functions that NumPy calls (numpy_handler.c, numpy_process.c).
 *
 * Where a block comes from, in this order:
 *   1. kmalloc, and for more than a frame any run of free frames;
 *   2. vmalloc, in an arena with high zones of its own: no side arena is made for this;
 *   3. NumPy's own functions, if the program allowed that (fallback="numpy").
 * Shrinkers run at the first look. on_oom is asked once 1 and 2 have nothing, before 3.
 *
 * Each block of 1 and 2 counts in the Arena as a Buffer does: in nr_live, current_count and
 * total_count, and with its usable bytes in current_bytes. So the core arena is mapped until the
 * last of them goes, also after close(), which ends allocation here too. Blocks of 2 and 3 have a
 * record each (outside_block.h).
 * Lock: the GIL.
 */
#ifndef PYTHON_ARRAY_BLOCK_H
#define PYTHON_ARRAY_BLOCK_H

#include "python/arena/arena_object.h"
#include "python/call/gil.h"
#include "python/numpy/array_critical.h"
#include "python/tracing/tracing.h"

#include <string.h>

/* The smallest request: in an arena of linux classes 8 bytes are aligned to 8 only. */
#define ARRAY_MIN_BYTES 16u

/* Bytes of the objects of kmalloc's size class in whose frame p lies, by the class byte of the
 * frame (the byte per frame that says which class lives there), without a look at the slab. 0: no
 * such class lives there. */
static always_inline size_t array_class_bytes(const struct kmalloc *km, const void *p)
{
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes)) {
        unsigned class = frame_class(map->classes, offset >> PAGE_SHIFT);

        if (likely(class - 1 < km->classes.nr))
            return km->classes.size[class];
    }
    return 0;
}

/* Usable bytes; 0 for what is not live. */
static always_inline size_t array_block_bytes(struct kmalloc *km, const void *p)
{
    size_t nbytes = array_class_bytes(km, p);

    return likely(nbytes != 0) ? nbytes : kmalloc_usable(km, p);
}

/* A block of kmalloc has been taken; nr_live counts it already. */
static always_inline void array_block_count(ArenaObject *arena, const void *p)
{
    arena_count_held(arena, (Py_ssize_t)array_block_bytes(&arena->core->kmalloc, p));
}

/* What array_block_alloc does when the thread's main sheaf cannot serve it. */
void *array_block_alloc_slow(ArenaObject *arena, size_t size, bool zero, bool fallback);
/* What array_block_free does with a block that kmalloc did not take back, for the reason of code:
 * one from elsewhere, or one that is not live. False: it is not freed, and the reason has been
 * reported as unraisable. */
bool array_block_free_slow(ArenaObject *arena, void *p, int code);

/* array_block_free of what is no object of a size class. */
bool array_block_free_other(ArenaObject *arena, void *p);

/* NULL: no memory, no exception set, and array_refusal of this context tells why. */
static always_inline void *array_block_alloc(ArenaObject *arena, size_t size, bool zero,
                                             bool fallback)
{
    size_t nbytes = size < ARRAY_MIN_BYTES ? ARRAY_MIN_BYTES : size;
    void *p;

    gil_assert_held();
    if (unlikely(arena->closed))
        return array_block_alloc_slow(arena, size, zero, fallback);
    p = kmalloc_pop(&arena->core->kmalloc, nbytes, PYSLAB_GFP_KERNEL);
    if (unlikely(p == NULL))
        return array_block_alloc_slow(arena, size, zero, fallback);
    if (zero)
        memset(p, 0, nbytes);
    arena_count_new(arena, (Py_ssize_t)array_block_bytes(&arena->core->kmalloc, p));
    trace_new(p, size);
    return p;
}

/* The same for callers that may not be the only ones in the arena. */
static always_inline void *array_block_alloc_pinned(ArenaObject *arena, size_t size, bool zero,
                                                    bool fallback)
{
    void *p;

    arena_pin_without_gil(arena);
    p = array_block_alloc(arena, size, zero, fallback);
    arena_unpin_without_gil(arena);
    return p;
}

/* False as for array_block_free_slow. pre: the arena is mapped */
static always_inline bool array_block_free(ArenaObject *arena, void *p)
{
    struct kmalloc *km = &arena->core->kmalloc;
    size_t nbytes = array_class_bytes(km, p);
    int code;

    gil_assert_held();
    CHECK(arena->core != NULL);
    trace_gone(p);
    if (unlikely(nbytes == 0))
        return array_block_free_other(arena, p);
    code = kmalloc_free(km, p);
    if (unlikely(code != PYSLAB_OK))
        return array_block_free_slow(arena, p, code);
    arena_count_gone(arena, (Py_ssize_t)nbytes);
    return true;
}

/* What NumPy's realloc does. NULL: the block is as it was. A block moves when it grows, and stays
 * in the arena it is from, unless that has no room. */
void *array_block_resize(ArenaObject *arena, void *p, size_t size, bool fallback);

/* Makes array_refusal. */
bool array_block_add(PyObject *module);

#endif
