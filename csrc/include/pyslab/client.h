/* client.h - what pyslab.h is for a client: a pointer to the table, and a wrapper for each of
 * its functions.
 *
 * What it is not: a header to include by itself (pyslab.h is), or for what needs Python (python.h).
 *
 * Data structure: pyslab_api_, a pointer of each translation unit's own, so that each one that
 * calls anything calls pyslab_import() (or pyslab_set_api()) first. An extension of several
 * units may share one instead: each defines PYSLAB_UNIQUE_SYMBOL as the same name before it
 * includes pyslab.h, and all but one define PYSLAB_NO_IMPORT as well. From C++17 on the units
 * of a library share one in any case, an inline variable: functions of headers, of which the
 * linker keeps one, must mean the same by it in every unit.
 * Invariant: pyslab_api_ is NULL, or a table that has every function declared here. A call
 * before the import ends the process with a message. That test is one compare; with
 * PYSLAB_NO_IMPORT_CHECK there is none, and such a call ends in SIGSEGV.
 */
#ifndef PYSLAB_CLIENT_H
#define PYSLAB_CLIENT_H

#include <stdio.h>
#include <stdlib.h>

#ifdef PYSLAB_UNIQUE_SYMBOL
#define pyslab_api_ PYSLAB_UNIQUE_SYMBOL
#ifdef PYSLAB_NO_IMPORT
extern const pyslab_api *pyslab_api_ __attribute__((visibility("hidden")));
#else
extern const pyslab_api *pyslab_api_ __attribute__((visibility("hidden")));
const pyslab_api *pyslab_api_ = NULL;
#endif
#elif defined(__cplusplus) && __cplusplus >= 201703L
__attribute__((visibility("hidden"))) inline const pyslab_api *pyslab_api_ = NULL;
#else
static const pyslab_api *pyslab_api_ = NULL;
#endif

static __attribute__((noinline, noreturn, cold, unused)) void pyslab_not_imported(void)
{
    fputs("pyslab: a function of pyslab.h was called before pyslab_import() in this file\n",
          stderr);
    abort();
}

/* The table of the functions; ends the process, with a message, before the import. */
static inline const pyslab_api *pyslab_get_api(void)
{
#ifndef PYSLAB_NO_IMPORT_CHECK
    if (__builtin_expect(pyslab_api_ == NULL, 0))
        pyslab_not_imported();
#endif
    return pyslab_api_;
}

/* Tells whether the table has every function that this client was compiled for. */
static inline int pyslab_api_fits(const pyslab_api *api)
{
    return api->abi_major == PYSLAB_ABI_MAJOR &&
           api->abi_minor + 1u > (uint32_t)PYSLAB_TARGET_ABI_MINOR &&
           api->struct_size >= sizeof(pyslab_api);
}

#ifndef PYSLAB_NO_IMPORT
/* Makes this unit use a table that it got without Python; pyslab.api_address() is its address as a
 * number. 0, or EINVAL for a table of another major version or of an older minor one. */
static inline int pyslab_set_api(const void *table)
{
    const pyslab_api *api = (const pyslab_api *)table;

    if (api == NULL || !pyslab_api_fits(api))
        return PYSLAB_EINVAL;
    pyslab_api_ = api;
    return PYSLAB_OK;
}
#endif

#define PYSLAB_FN(type, name, parameters, arguments)                                               \
    static inline type pyslab_##name parameters                                                    \
    {                                                                                              \
        return pyslab_get_api()->name arguments;                                                   \
    }
#define PYSLAB_PROC(name, parameters, arguments)                                                   \
    static inline void pyslab_##name parameters                                                    \
    {                                                                                              \
        pyslab_get_api()->name arguments;                                                          \
    }
#define PYSLAB_INLINE(type, name, parameters)
#define PYSLAB_STATS(name, owner, stats)                                                           \
    static inline void pyslab_##name(owner *of, stats *out)                                        \
    {                                                                                              \
        pyslab_get_api()->name(of, out, sizeof *out);                                              \
    }
#define PYSLAB_STATS_AT(name, owner, stats)                                                        \
    static inline int pyslab_##name(owner *of, uint32_t index, stats *out)                         \
    {                                                                                              \
        return pyslab_get_api()->name(of, index, out, sizeof *out);                                \
    }

#include "pyslab/functions.h"

#undef PYSLAB_FN
#undef PYSLAB_PROC
#undef PYSLAB_INLINE
#undef PYSLAB_STATS
#undef PYSLAB_STATS_AT

/* Moves the region's pointer without a call. The library is called only if the block has too little
 * left, and for size 0, where size - 1 is huge. head->cur and head->end are both aligned, so that
 * a size that fits still fits when it is rounded up. */
static inline void *pyslab_region_alloc(pyslab_region *region, size_t size)
{
    pyslab_region_head *head = (pyslab_region_head *)(void *)region;
    char *p = head->cur;

    if (__builtin_expect(size - 1 < (size_t)((uintptr_t)head->end - (uintptr_t)p), 1)) {
        head->cur = p + ((size + (PYSLAB_REGION_ALIGN - 1)) & ~(size_t)(PYSLAB_REGION_ALIGN - 1));
        return p;
    }
    return pyslab_get_api()->region_alloc(region, size);
}

#endif
