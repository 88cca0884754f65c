/* realloc.c - resizing a block: in place if its size class, or free frames behind a large block,
 * allow it; else by moving it.
 *
 * A large block grows into the free frames behind it, and gives its last frames back when it
 * shrinks. An object of a size class moves to a smaller class when it shrinks to less than half.
 * One that outgrows its class gets room for a fifth more than it had, if it asks for less: what
 * grows by a few bytes does so again soon, and the classes are only a seventh apart at the end of
 * a doubling. So it moves three times while it doubles, and not four. From 32 KiB on it gets a
 * large block, which then mostly grows where it is: objects of the large classes that come and go
 * while strings grow would leave slabs behind with a few objects each.
 * What it is not: hardened mode, in which every resize moves (hardened.c). Lock: none of its own.
 */
#include "malloc/hardened.h"
#include "malloc/heap.h"
#include "malloc/sampled.h"
#include "malloc/settings.h"
#include "malloc/zero_size.h"

#include <errno.h>
#include <string.h>

#define GROWTH_SHARE 5u /* of an object's bytes: the least by which it grows when it must move */
#define GROWS_AS_FRAMES ((size_t)32 << 10) /* what grows to so much gets a large block */

/* Bytes to allocate for an object that moves because it is to have size bytes. */
static size_t move_bytes(size_t usable, size_t size)
{
    size_t least = usable + usable / GROWTH_SHARE;

    return size > usable && size < least && least <= SIZE_CLASS_MAX ? least : size;
}

/* Room for an object that moves. NULL: errno is ENOMEM. */
static void *new_place(size_t usable, size_t bytes)
{
    void *p = NULL;

    if (bytes > usable && bytes >= GROWS_AS_FRAMES && bytes <= SIZE_CLASS_MAX &&
        !malloc_settings.hardened && malloc_arena.kmalloc.slabs.guard.mode == 0)
        p = kmalloc_exact_pages(&malloc_arena.kmalloc, bytes, PYSLAB_GFP_KERNEL);
    return p != NULL ? p : heap_alloc(bytes);
}

static void *move(void *p, size_t usable, size_t size)
{
    size_t bytes = move_bytes(usable, size);
    int saved = errno;
    void *moved = new_place(usable, bytes);

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

/* The frames of the large block that starts at p; 0 if none does. */
static uint32_t large_pages(const void *p)
{
    const struct frame_map *map = &malloc_arena.kmalloc.slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base, pfn = offset >> PAGE_SHIFT;

    if (offset >= map->bytes || offset % PAGE_SIZE != 0 ||
        frame_class(map->classes, pfn) != CLASS_LARGE)
        return 0;
    return load_relaxed(&pfn_to_page(map, (uint32_t)pfn)->large.nr_pages);
}

static slow_path void *resize_or_move(void *p, size_t size)
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
    if (large_pages(p) != 0) {
        int saved = errno;

        same = resize_large(p, usable, size);
        errno = saved;
        if (same != NULL)
            return same;
    } else if (size <= usable && size >= usable / 2) {
        return p;
    }
    return move(p, usable, size);
}

slow_path void *heap_realloc_slow(void *p, size_t size)
{
    struct sampled_resize sampled = sampled_resizing(p);
    uint32_t nr_pages = large_pages(p);
    void *resized = nr_pages != 0 && nr_pages == bytes_to_pages(size) && !malloc_settings.hardened
                        ? p
                        : resize_or_move(p, size);

    sampled_resized(p, &sampled, resized == NULL && size != 0);
    return resized;
}
