/* api_table.c - the table of the C API: every function of pyslab/functions.h.
 *
 * The functions that fill a struct stand here once more, with one argument: the size that the
 * struct has in the caller's version of the header.
 * What it is not: any other code. The table is constant but for what api_profile.h does.
 */
#include "api/api_table.h"

#include "api/copy_struct.h"
#include "region/region.h"

#if PYSLAB_CHECK_LEVEL >= 1
_Static_assert(offsetof(struct region, cur) >= sizeof(pyslab_region_head),
               "clients must not bump regions that are checked");
#else
_Static_assert(offsetof(struct region, cur) == offsetof(pyslab_region_head, cur) &&
                   offsetof(struct region, end) == offsetof(pyslab_region_head, end),
               "clients bump regions");
#endif
_Static_assert((size_t)PYSLAB_REGION_ALIGN == REGION_ALIGN, "clients round up as the core does");
_Static_assert(PYSLAB_TARGET_ABI_MINOR == PYSLAB_ABI_MINOR, "the library has the whole table");

/* --- structs of the caller's size --------------------------------------- */

#define PYSLAB_FN(type, name, parameters, arguments)
#define PYSLAB_PROC(name, parameters, arguments)
#define PYSLAB_INLINE(type, name, parameters)
#define PYSLAB_STATS(name, owner, stats)                                                           \
    static void sized_##name(owner *of, stats *out, size_t size)                                   \
    {                                                                                              \
        stats whole;                                                                               \
                                                                                                   \
        pyslab_##name(of, &whole);                                                                 \
        copy_struct_out(out, size, &whole, sizeof whole);                                          \
    }
#define PYSLAB_STATS_AT(name, owner, stats)                                                        \
    static int sized_##name(owner *of, uint32_t index, stats *out, size_t size)                    \
    {                                                                                              \
        stats whole;                                                                               \
        int error = pyslab_##name(of, index, &whole);                                              \
                                                                                                   \
        if (error == PYSLAB_OK)                                                                    \
            copy_struct_out(out, size, &whole, sizeof whole);                                      \
        return error;                                                                              \
    }
#include "pyslab/functions.h"
#undef PYSLAB_FN
#undef PYSLAB_PROC
#undef PYSLAB_INLINE
#undef PYSLAB_STATS
#undef PYSLAB_STATS_AT

/* --- the table ---------------------------------------------------------- */

#define PYSLAB_FN(type, name, parameters, arguments) .name = pyslab_##name,
#define PYSLAB_PROC(name, parameters, arguments) .name = pyslab_##name,
#define PYSLAB_INLINE(type, name, parameters) .name = pyslab_##name,
#define PYSLAB_STATS(name, owner, stats) .name = sized_##name,
#define PYSLAB_STATS_AT(name, owner, stats) .name = sized_##name,

pyslab_api api_table = {
    .abi_major = PYSLAB_ABI_MAJOR,
    .abi_minor = PYSLAB_ABI_MINOR,
    .struct_size = sizeof(pyslab_api),
#include "pyslab/functions.h"
};

const pyslab_api *pyslab_get_api(void)
{
    return &api_table;
}
