/* malloc.c - the C library's functions, as C11, POSIX and the manual pages of glibc have
 * them: each checks its arguments, sets errno, and leaves the work to heap.h.
 * What it is not: C++'s operators (operators.c), or the functions that ask about the heap
 * (figures.c).
 */
#include "malloc/exported.h"
#include "malloc/glibc_names.h"
#include "malloc/heap.h"
#include "malloc/sampled.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* errno stays what it was, as POSIX.1-2024 wants it. */
EXPORTED void NAMED(free)(void *p)
{
    heap_free(p);
}

EXPORTED void *NAMED(malloc)(size_t size)
{
    if (sampled_takes(size))
        return sampled_alloc(size, MALLOC_ALIGN, false, DEBUG_KIND_MALLOC);
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
    if (sampled_takes(bytes))
        return sampled_alloc(bytes, MALLOC_ALIGN, true, DEBUG_KIND_MALLOC);
    p = heap_pop(bytes);
    return likely(p != NULL) ? memset(p, 0, bytes) : heap_zalloc_slow(bytes);
}

static always_inline void *resize(void *p, size_t size)
{
    return sampled_takes(size) ? sampled_realloc(p, size) : heap_realloc(p, size);
}

EXPORTED void *NAMED(realloc)(void *p, size_t size)
{
    return resize(p, size);
}

EXPORTED void *NAMED(reallocarray)(void *p, size_t nr, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(nr, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(p, bytes);
}

/* --- alignment ---------------------------------------------------------- */

/* pre: align is a power of two (unchecked: callers see to it). NULL: errno is ENOMEM */
static void *alloc_aligned(size_t align, size_t size)
{
    return sampled_takes(size) ? sampled_alloc(size, align, false, DEBUG_KIND_MALLOC)
                               : heap_alloc_aligned(size, align);
}

/* NULL: errno is EINVAL for an alignment that is no power of two, else ENOMEM. */
static void *aligned(size_t align, size_t size)
{
    if (!is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_aligned(align, size);
}

EXPORTED void *NAMED(memalign)(size_t align, size_t size)
{
    return aligned(align, size);
}

EXPORTED void *NAMED(aligned_alloc)(size_t align, size_t size)
{
    return aligned(align, size);
}

/* Returns its error; errno stays what it was, and *out too after an error. */
EXPORTED int NAMED(posix_memalign)(void **out, size_t align, size_t size)
{
    int saved = errno;
    void *p;

    if (align % sizeof(void *) != 0 || !is_power_of_two(align))
        return EINVAL;
    p = alloc_aligned(align, size);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORTED void *NAMED(valloc)(size_t size)
{
    return alloc_aligned(os_page_bytes(), size);
}

EXPORTED void *NAMED(pvalloc)(size_t size)
{
    size_t page = os_page_bytes();

    if (size > MALLOC_MAX_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc_aligned(page, (size_t)align_up(size != 0 ? size : 1, page));
}

/* --- C23 ------------------------------------------------------------------ */

/* Hardened mode ends the process if p was not allocated with this size. */
EXPORTED void NAMED(free_sized)(void *p, size_t size)
{
    heap_free_known("free_sized", p, size, ALIGN_UNKNOWN);
}

/* Likewise, or if p is not aligned so. */
EXPORTED void NAMED(free_aligned_sized)(void *p, size_t align, size_t size)
{
    heap_free_known("free_aligned_sized", p, size, align);
}

/* --- glibc's second names ------------------------------------------------- */

/* Programs and libraries that wrap malloc call these, and mix them with the first names: all of
 * them must be of one heap. */
void *NAMED(__libc_malloc)(size_t size) ALIAS_OF(malloc);
void NAMED(__libc_free)(void *p) ALIAS_OF(free);
void *NAMED(__libc_realloc)(void *p, size_t size) ALIAS_OF(realloc);
void *NAMED(__libc_calloc)(size_t nr, size_t size) ALIAS_OF(calloc);
void *NAMED(__libc_memalign)(size_t align, size_t size) ALIAS_OF(memalign);
void *NAMED(__libc_valloc)(size_t size) ALIAS_OF(valloc);
void *NAMED(__libc_pvalloc)(size_t size) ALIAS_OF(pvalloc);
/* What programs linked before glibc 2.26 may call to free. */
void NAMED(cfree)(void *p);
void NAMED(cfree)(void *p) ALIAS_OF(free);
