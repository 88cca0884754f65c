/* malloc.c - the C library's functions, as C11, POSIX and the manual pages of glibc have
 * them: each checks its arguments, sets errno, and leaves the work to heap.h.
 *
 * Not here: C++ (operators.c).
 */
#include "malloc/exported.h"
#include "malloc/heap.h"

#include "os/os.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* free, then: errno is as before (POSIX.1-2024). */
EXPORTED void NAMED(free)(void *p)
{
    heap_free(p);
}

EXPORTED void *NAMED(malloc)(size_t size)
{
    return heap_alloc(size);
}

EXPORTED void *NAMED(calloc)(size_t nr, size_t size)
{
    size_t bytes;
    void *p;

    if (unlikely(__builtin_mul_overflow(nr, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    p = heap_pop(bytes);
    return likely(p != NULL) ? memset(p, 0, bytes) : heap_zalloc_slow(bytes);
}

EXPORTED void *NAMED(realloc)(void *p, size_t size)
{
    return heap_realloc(p, size);
}

EXPORTED void *NAMED(reallocarray)(void *p, size_t nr, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(nr, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return heap_realloc(p, bytes);
}

/* --- alignment ---------------------------------------------------------- */

/* NULL and errno: EINVAL for an alignment that is no power of two, ENOMEM. */
static void *aligned(size_t align, size_t size)
{
    if (!is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return heap_alloc_aligned(size, align);
}

EXPORTED void *NAMED(memalign)(size_t align, size_t size)
{
    return aligned(align, size);
}

EXPORTED void *NAMED(aligned_alloc)(size_t align, size_t size)
{
    return aligned(align, size);
}

/* Tells its error by its value; errno and *out are as before then. */
EXPORTED int NAMED(posix_memalign)(void **out, size_t align, size_t size)
{
    int saved = errno;
    void *p;

    if (align % sizeof(void *) != 0 || !is_power_of_two(align))
        return EINVAL;
    p = heap_alloc_aligned(size, align);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORTED void *NAMED(valloc)(size_t size)
{
    return heap_alloc_aligned(size, os_page_bytes());
}

EXPORTED void *NAMED(pvalloc)(size_t size)
{
    size_t page = os_page_bytes();

    if (size > MALLOC_MAX_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    return heap_alloc_aligned((size_t)align_up(size != 0 ? size : 1, page), page);
}

/* --- questions ---------------------------------------------------------- */

EXPORTED size_t NAMED(malloc_usable_size)(void *p)
{
    return p != NULL ? heap_usable(p) : 0;
}

/* How much to keep is not the caller's to say here: everything unused goes. */
EXPORTED int NAMED(malloc_trim)(size_t keep)
{
    int saved = errno;
    uint64_t released;

    (void)keep;
    released = heap_ready() ? arena_release_unused(&malloc_arena) : 0;
    errno = saved;
    return released != 0;
}

/* What the words of glibc's report mean here: arena and hblkhd, frames taken from the system
 * in slabs and in large blocks; uordblks, bytes in use; fordblks, bytes free in slabs. */
EXPORTED struct mallinfo2 NAMED(mallinfo2)(void)
{
    struct mallinfo2 info = {0};
    pyslab_arena_stats stats;

    if (!heap_ready())
        return info;
    arena_stats(&malloc_arena, &stats);
    info.arena = stats.slab_pages << PAGE_SHIFT;
    info.hblks = stats.large_count;
    info.hblkhd = stats.large_pages << PAGE_SHIFT;
    info.uordblks = stats.live_object_bytes + info.hblkhd;
    info.fordblks = info.arena - stats.live_object_bytes;
    info.keepcost = stats.dirty_free_pages << PAGE_SHIFT;
    return info;
}

static int as_int(size_t n)
{
    return (int)n; /* glibc's old interface: numbers wrap */
}

EXPORTED struct mallinfo NAMED(mallinfo)(void)
{
    struct mallinfo2 info = NAMED(mallinfo2)();

    return (struct mallinfo){.arena = as_int(info.arena),
                             .hblks = as_int(info.hblks),
                             .hblkhd = as_int(info.hblkhd),
                             .uordblks = as_int(info.uordblks),
                             .fordblks = as_int(info.fordblks),
                             .keepcost = as_int(info.keepcost)};
}

EXPORTED void NAMED(malloc_stats)(void)
{
    heap_report();
}
