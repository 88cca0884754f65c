/* heap.h - the one arena behind libpyslab_malloc.so, and its fast paths.
 *
 * What it is: a process-wide arena in static memory, made by the first call that needs it, with
 * addresses for more memory than the machine has; allocation and free of small objects without a
 * call; and the functions that the library's files call in each other.
 * What it is not: the malloc family itself (malloc.c, realloc.c, operators.c, figures.c).
 *
 * Data structure: malloc_arena. It is a variable, so that a fast path knows its fields' addresses
 * without a load. A sheaf is a thread's private array of free objects of one size class; the
 * table of a thread's sheaves is found by one load from the thread's static data. It is NULL
 * before the thread's first slow call and after its end.
 *
 * Keys. A free object holds its key in its second word, as in every arena (slab.h), and here in
 * its first word too. The key is a number that only who knows the process's secret can compute
 * from the object's address. free writes it without reading what was there: to read would mean
 * to wait for the memory of an object that nobody has touched for long. Instead free compares the
 * pointer with the two that were freed last, and malloc looks at the key of what it hands out,
 * which its new owner is about to touch anyway. So what the program freed twice, or wrote to
 * after its free, is found before it has two owners.
 * Invariant: an object on a sheaf whose first two words are not its key was misused by the
 * program. In hardened mode nothing is on a sheaf (hardened.h).
 * Lock: none here. One thread makes the arena (heap.c); the layers have their own locks.
 */
#ifndef MALLOC_HEAP_H
#define MALLOC_HEAP_H

#include "arena/arena.h"
#include "slab/debug_words.h"

#include <stddef.h>

#define MALLOC_ALIGN ((size_t)16)              /* of every object: max_align_t's */
#define MALLOC_MAX_BYTES ((size_t)PTRDIFF_MAX) /* C: no object is larger */

extern struct pyslab_arena malloc_arena;

/* Makes the arena unless it is there. False: there is no memory for it, or this thread is making
 * it and has come here from below. */
bool heap_ready(void);
/* The arena is there; it is not made now. */
bool heap_is_made(void);
/* Allocate what the fast paths below cannot, of any size; heap_zalloc_slow's block reads zero.
 * NULL: errno is ENOMEM. */
void *heap_alloc_slow(size_t size);
void *heap_zalloc_slow(size_t size);
/* Frees what the fast paths below cannot. Ends the process, with words, if p is no live block. */
void heap_free_slow(void *p);

/* What who frees a block says of it. Hardened mode and guards end the process if that is wrong. */
struct claim {
    const char *call;     /* for the words */
    size_t size;          /* that it was allocated with; or SIZE_UNKNOWN */
    size_t align;         /* likewise; or ALIGN_UNKNOWN */
    enum debug_kind kind; /* who made it */
};
#define SIZE_UNKNOWN SIZE_MAX
#define ALIGN_UNKNOWN ((size_t)1)

/* Frees p by C23's functions, which know more of it. */
void heap_free_known(const char *call, void *p, size_t size, size_t align);
/* heap_delete's slow path. */
void heap_delete_slow(void *p, size_t size, size_t align, enum debug_kind kind);
/* Ends the process if the claim is wrong of p, whose guard has a record of what was asked for, and
 * who made it. Nothing of other blocks. */
void heap_check_claim(const void *p, const struct claim *claim);
/* Ends the process if the block p was made by another. */
void heap_check_kind(const char *call, const void *p, enum debug_kind made, enum debug_kind wanted);
/* pre: align is a power of two. NULL: errno is ENOMEM. */
void *heap_alloc_aligned(size_t size, size_t align);
/* For C++'s new: what heap_new cannot. pre: align is a power of two. NULL: as above */
void *heap_new_slow(size_t size, size_t align, enum debug_kind kind);
/* A run of whole frames for size bytes, also where no block of the buddy is so long; its address
 * is a multiple of align, and of a page. NULL: there is none.
 * pre: align is a power of two; size > 0 */
void *heap_alloc_frames(size_t size, size_t align, uint32_t gfp);

/* Nobody wrote to the first two words of the free object p since it was freed. */
static always_inline bool heap_is_untouched(const void *p)
{
    uint64_t key = object_key_value(malloc_arena.kmalloc.slabs.secret, p);
    const uint64_t *words = p;

    return ((words[0] ^ key) | (words[1] ^ key)) == 0;
}

/* Takes the object that was freed last off the sheaf. NULL: the sheaf is empty, or the program
 * has misused that object. */
static always_inline void *heap_pop_class(struct sheaf_table *table, size_t class)
{
    uint64_t *p = sheaf_pop_good(table, class, heap_is_untouched);

    if (likely(p != NULL))
        p[0] = 0; /* as the other one: the program must not see keys, which tell the secret */
    return p;
}

/* As heap_pop_class. NULL also for more than SIZE_CLASS_SMALL_MAX bytes. */
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

/* Puts p on its sheaf. False: that is a case for heap_free_slow, and nothing was changed. */
static always_inline bool heap_push(void *p)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    struct kmalloc *km = &malloc_arena.kmalloc;
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes && table != NULL)) {
        struct sheaf_slot *slot = &table->slot[map->classes[offset >> PAGE_SHIFT]];
        void **top = slot->top;

        /* On an empty sheaf top[-1] and top[-2] are words of its head, no object's address. */
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

/* C++'s new and delete. */
static always_inline void *heap_new(size_t size, enum debug_kind kind)
{
    void *p = heap_pop(size);

    return likely(p != NULL) ? p : heap_new_slow(size, MALLOC_ALIGN, kind);
}

static always_inline void heap_delete(void *p, size_t size, size_t align, enum debug_kind kind)
{
    if (unlikely(!heap_push(p)))
        heap_delete_slow(p, size, align, kind);
}

/* The program has not replaced one of C++'s operators. If it has, its blocks may come from malloc,
 * and go by one of ours that it did not replace. */
bool operators_are_ours(void);

/* calloc clears a smaller block, and lets the system replace the frames of a larger one by new
 * ones, which read zero. To clear a large block would make all of it resident, although most
 * programs touch only parts of such a block. */
#define HEAP_DISCARD_BYTES ((size_t)32 << 20)

/* Lets the system replace the frames of a block that was just allocated. False: it refused.
 * pre: p is the start of a page */
bool heap_discard_zeroes(void *p, size_t size);

/* Bytes that the program may use at p; ends the process, with words, if p is no live block. */
size_t heap_usable(const void *p);

/* --- realloc.c ---------------------------------------------------------- */

/* p is a live object, and its class has room for size bytes and is not more than twice as large.
 * False says nothing: the slow path finds out. */
static always_inline bool heap_fits(const void *p, size_t size)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    const struct kmalloc *km = &malloc_arena.kmalloc;
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes && table != NULL)) {
        size_t class = map->classes[offset >> PAGE_SHIFT];

        /* Where this holds, class is a size class. */
        if (likely(geometry_is_object(&table->slot[class].geometry, offset))) {
            size_t usable = km->classes.size[class], half = usable / 2;

            /* half <= size <= usable: below half, the difference wraps round. */
            return size - half <= usable - half &&
                   *object_key((void *)(uintptr_t)p) != object_key_value(km->slabs.secret, p);
        }
    }
    return false;
}

/* Resizes what does not fit, and says what is no live block. */
void *heap_realloc_slow(void *p, size_t size);

static always_inline void *heap_realloc(void *p, size_t size)
{
    return likely(heap_fits(p, size)) ? p : heap_realloc_slow(p, size);
}

/* --- limits.c ----------------------------------------------------------- */

/* Remembers which process the heap belongs to. While the heap is made. */
void limits_start(void);

/* --- misuse.c ----------------------------------------------------------- */

/* All of these write one line, "pyslab: call(p): what; it is ...", and end the process.
 * misuse_abort: error is PYSLAB_EDOUBLE (freed already) or another (invalid pointer). */
_Noreturn void misuse_abort(const char *call, const void *p, int error);
/* The object that malloc would hand out next does not hold its key. */
_Noreturn void misuse_abort_written(const void *p);
/* A free object in a slab was written to, or is free twice. Called by the slab layer. */
void misuse_abort_free_object(const void *p);
/* what: in the caller's words. */
_Noreturn void misuse_abort_words(const char *call, const void *p, const char *what);

/* --- figures.c ---------------------------------------------------------- */

/* What the heap holds, in a few lines: at the end of the process. */
void heap_report(void);

#endif
