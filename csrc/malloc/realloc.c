/* realloc.c - resizing a block: in place if its size class, or free frames behind a large block,
 * allow it; else by moving it.
 *
 * A large block grows into the free frames behind it, and gives its last frames back when it
 * shrinks. An object of a size class moves to a smaller class when it shrinks to less than half.
 * One that outgrows its class gets room for a fifth more than it had, if it asks for less: what
 * grows by a few bytes does so again soon, and the classes are only a seventh apart at the end of
 * a doubling. So it moves three times while it doubles, and not four.
 * What it is not: hardened mode, in which every resize moves (hardened.c). Lock: none of its own.
 */
#include "malloc/hardened.h"
#include "malloc/heap.h"
#include "malloc/settings.h"
#include "malloc/zero_size.h"

#include <errno.h>
#include <string.h>

#define GROWTH_SHARE 5u /* of an object's bytes: the least by which it grows when it must move */

/* Bytes to allocate for an object that moves because it is to have size bytes. */
static size_t move_bytes(size_t usable, size_t size)
{
    size_t least = usable + usable / GROWTH_SHARE;

    return size > usable && size < least && least <= SIZE_CLASS_MAX ? least : size;
}

static void *move(void *p, size_t usable, size_t size)
{
    size_t bytes = move_bytes(usable, size);
    int saved = errno;
    void *moved = heap_alloc(bytes);

    if (moved == NULL && bytes != size) {
        errno = saved;
        moved = heap_alloc(size);
    }
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, usable < size ? usable : size);
    heap_free(p);
    return moved;
}

/* Resizes a large block in place. NULL: it must move. */
static void *resize_large(void *p, size_t usable, size_t size)
{
    if (size > MALLOC_MAX_BYTES)
        return NULL;
    if (size > usable)
        return kmalloc_grow_large(&malloc_arena.kmalloc, p, size) ? p : NULL;
    /* For less than a page it moves, because in place it would keep a whole page. */
    return size >= PAGE_SIZE ? kmalloc_resize(&malloc_arena.kmalloc, p, size, PYSLAB_GFP_KERNEL)
                             : NULL;
}

slow_path void *heap_realloc_slow(void *p, size_t size)
{
    static const struct claim claim = {"realloc", SIZE_UNKNOWN, ALIGN_UNKNOWN, DEBUG_KIND_MALLOC};
    size_t usable;
    void *same;

    if (p == NULL)
        return heap_alloc(size);
    if (unlikely(malloc_settings.hardened) && !zero_size_is_live(p))
        return hardened_realloc(p, size, &claim);
    usable = heap_usable(p);
    heap_check_claim(p, &claim);
    if (size == 0) {
        heap_free(p);
        return NULL;
    }
    if (usable <= SIZE_CLASS_MAX && size <= usable && size >= usable / 2)
        return p;
    if (usable > SIZE_CLASS_MAX) {
        int saved = errno;

        same = resize_large(p, usable, size);
        errno = saved;
        if (same != NULL)
            return same;
    }
    return move(p, usable, size);
}
