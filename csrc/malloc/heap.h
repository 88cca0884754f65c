/* heap.h - the one arena behind libpyslab_malloc.so, and its fast paths.
 *
 * What it is: a process-wide arena in static memory, made by the first call that needs it,
 * with room for more than the machine has; allocation and free of small objects without a
 * call; what the environment variable PYSLAB_MALLOC asks for.
 * What it is not: the malloc family (malloc.c, realloc.c, operators.c), nor the
 * words for misuse (misuse.c).
 *
 * Data structure: malloc_arena. Its addresses are constants of the library, so that a fast
 * path loads no pointer to it; a thread's sheaf table is one load from static TLS, NULL
 * before the thread's first slow call and after its end.
 *
 * Keys. A free object holds its key, as everywhere (slab.h), and here in its first word too.
 * Reading it at free would wait for the memory of an object that nobody has touched for long,
 * so the library only writes it there, compares the pointer with the two youngest on the sheaf,
 * and reads it when the object is handed out again, which its new owner would wait for anyway.
 * What was freed twice, or written to after its free, is found at the latest there: before it
 * has two owners. In hardened mode nothing is on a sheaf (hardened.c).
 * Invariant: an object on a sheaf that does not hold its key in both words was misused by the
 * program.
 * Lock: heap.c's start-up is one thread's; the layers have their own.
 */
#ifndef MALLOC_HEAP_H
#define MALLOC_HEAP_H

#include "arena/arena.h"

#include <stddef.h>

#define MALLOC_ALIGN ((size_t)16) /* of every object: max_align_t's */
#define MALLOC_MAX_BYTES ((size_t)PTRDIFF_MAX)

extern struct pyslab_arena malloc_arena;

/* The arena is there; made if need be. False: no memory, or called from its making. */
bool heap_ready(void);
/* It is there already. */
bool heap_is_made(void);
/* What the fast paths below leave over; NULL with errno ENOMEM. Any size. */
void *heap_alloc_slow(size_t size);
void *heap_zalloc_slow(size_t size);
/* Ends the process, with words, if p cannot be freed. */
void heap_free_slow(void *p);
/* The same, where the caller knows the size and the alignment that p was allocated with, or says
 * that it does not. Hardened mode ends the process if they are others; call is for the words. */
#define SIZE_UNKNOWN SIZE_MAX
#define ALIGN_UNKNOWN ((size_t)1)
void heap_free_known(const char *call, void *p, size_t size, size_t align);
/* The same as "delete"; what heap_delete leaves over. */
void heap_delete_slow(void *p, size_t size, size_t align);
/* align: a power of two. NULL with errno ENOMEM. */
void *heap_alloc_aligned(size_t size, size_t align);
/* Whole frames for size bytes, of any number, the first at a multiple of align (at least a
 * page). NULL. */
void *heap_alloc_frames(size_t size, size_t align, uint32_t gfp);

/* Nobody wrote to its first two words since it was freed. */
static always_inline bool heap_is_untouched(const void *p)
{
    uint64_t key = object_key_value(malloc_arena.kmalloc.slabs.secret, p);
    const uint64_t *words = p;

    return ((words[0] ^ key) | (words[1] ^ key)) == 0;
}

/* Pops an object that nobody touched since its free. NULL: the sheaf is empty, or its
 * youngest object was misused. */
static always_inline void *heap_pop_class(struct sheaf_table *table, size_t class)
{
    struct sheaf_slot *slot = &table->slot[class];
    void **top = slot->top;
    void *p;

    if (unlikely(top == slot->bottom))
        return NULL;
    p = top[-1];
    if (unlikely(!heap_is_untouched(p)))
        return NULL;
    slot->top = top - 1;
    slot->nr_allocs++;
    ((uint64_t *)p)[0] = 0; /* the secret is not told */
    ((uint64_t *)p)[1] = 0;
    return p;
}

/* Up to SIZE_CLASS_SMALL_MAX bytes. */
static always_inline void *heap_pop(size_t size)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    const uint8_t *classes = malloc_arena.kmalloc.classes.small;

    if (unlikely(size > SIZE_CLASS_SMALL_MAX || table == NULL))
        return NULL;
    return heap_pop_class(table, classes[(size + 7) >> SIZE_CLASS_SMALL_SHIFT]);
}

static always_inline void *heap_alloc(size_t size)
{
    void *p = heap_pop(size);

    return likely(p != NULL) ? p : heap_alloc_slow(size);
}

/* False: for heap_free_slow. */
static always_inline bool heap_push(void *p)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    struct kmalloc *km = &malloc_arena.kmalloc;
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes && table != NULL)) {
        struct sheaf_slot *slot = &table->slot[map->classes[offset >> PAGE_SHIFT]];
        void **top = slot->top;

        /* Before the first object lie the sheaf's own two words: no object's address. */
        if (likely(top != slot->limit && geometry_is_object(&slot->geometry, offset) &&
                   top[-1] != p && top[-2] != p)) {
            uint64_t key = object_key_value(km->slabs.secret, p);

            *top = p;
            slot->top = top + 1;
            ((uint64_t *)p)[0] = key;
            ((uint64_t *)p)[1] = key;
            return true;
        }
    }
    return false;
}

static always_inline void heap_free(void *p)
{
    if (unlikely(!heap_push(p)))
        heap_free_slow(p);
}

/* C++'s delete: as heap_free_known. */
static always_inline void heap_delete(void *p, size_t size, size_t align)
{
    if (unlikely(!heap_push(p)))
        heap_delete_slow(p, size, align);
}

/* Blocks that are to be zero are given back to the system from this size on, not cleared: of
 * frames that were in a large block nobody knows whether they were ever touched, and a program
 * that uses little of a large block would have all of it resident. */
#define HEAP_DISCARD_BYTES ((size_t)32 << 20)

/* A new block of whole frames has no content any more. False: the system refused. */
bool heap_discard_zeroes(void *p, size_t size);

/* Bytes the caller may use at p; ends the process if p is not live. */
size_t heap_usable(const void *p);

/* --- realloc.c ---------------------------------------------------------- */

void *heap_realloc(void *p, size_t size);

/* --- limits.c ----------------------------------------------------------- */

/* pre: the heap is being made, by the one thread that makes it (unchecked: heap.c's own call). */
void limits_start(void);

/* --- misuse.c ----------------------------------------------------------- */

/* One line on stderr: what was called with what, and what that is; then abort(). */
_Noreturn void misuse_abort(const char *call, const void *p, int error);
/* The object that would be handed out next does not hold its key. */
_Noreturn void misuse_abort_written(const void *p);
/* A free object in a slab was written to, or is there twice. */
void misuse_abort_free_object(const void *p);
/* The same with words of the caller's: call(p): what; it is ... */
_Noreturn void misuse_abort_words(const char *call, const void *p, const char *what);

/* --- figures.c ---------------------------------------------------------- */

/* What the heap holds, in a few lines: at the end of the process. */
void heap_report(void);

#endif
