/* api.h - the version of the C API, and struct pyslab_api: the table of pointers to all functions
 * of pyslab.h, through which a client calls them.
 *
 * What it is: one table for each process; Python has it in the capsule pyslab._C_API.
 * What it is not: the calls; client.h has a wrapper for each.
 *
 * Invariant: the first four fields never move. The major version changes when a field moves,
 * goes or changes its meaning; the minor one when fields are added, at the end. A client asks
 * for the fields up to PYSLAB_TARGET_ABI_MINOR, the newest unless it defines it, and works
 * with every library of this major version that has them.
 */
#ifndef PYSLAB_API_H
#define PYSLAB_API_H

#define PYSLAB_CAPSULE "pyslab._C_API"
#define PYSLAB_ABI_MAJOR 1
#define PYSLAB_ABI_MINOR 0

#ifndef PYSLAB_TARGET_ABI_MINOR
#define PYSLAB_TARGET_ABI_MINOR PYSLAB_ABI_MINOR
#endif
#if PYSLAB_TARGET_ABI_MINOR > PYSLAB_ABI_MINOR
#error "PYSLAB_TARGET_ABI_MINOR is newer than this pyslab.h"
#endif

typedef struct pyslab_python_api pyslab_python_api;

/* clang-format off */
#define PYSLAB_FN(type, name, parameters, arguments) type(*name) parameters;
#define PYSLAB_PROC(name, parameters, arguments) void(*name) parameters;
#define PYSLAB_INLINE(type, name, parameters) type(*name) parameters;
#define PYSLAB_STATS(name, owner, stats) void (*name)(owner *of, stats *out, size_t size);
#define PYSLAB_STATS_AT(name, owner, stats) \
    int (*name)(owner *of, uint32_t index, stats *out, size_t size);
/* clang-format on */

typedef struct pyslab_api {
    uint32_t abi_major;              /* PYSLAB_ABI_MAJOR of the library */
    uint32_t abi_minor;              /* PYSLAB_ABI_MINOR of the library */
    size_t struct_size;              /* sizeof(pyslab_api) in the library */
    const pyslab_python_api *python; /* NULL: no interpreter */
#include "pyslab/functions.h"
} pyslab_api;

#undef PYSLAB_FN
#undef PYSLAB_PROC
#undef PYSLAB_INLINE
#undef PYSLAB_STATS
#undef PYSLAB_STATS_AT

#ifndef PYSLAB_CDEF

/* The functions that need the GIL; python.h has the calls and what they promise. Functions are
 * only ever appended, under the same version. */
struct _object;
struct pyslab_python_api {
    size_t struct_size; /* sizeof(pyslab_python_api) in the library */
    pyslab_arena *(*arena_from_object)(struct _object *object);
    struct _object *(*arena_to_object)(pyslab_arena *arena);
    pyslab_kmem_cache *(*kmem_cache_from_object)(struct _object *object);
    pyslab_region *(*region_from_object)(struct _object *object);
    void *(*raise_error)(int error, const char *what);
};

#endif
#endif
