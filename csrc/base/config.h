/* config.h - the constants of the core, each with the reason for its value.
 *
 * Not here: the options of an arena (arena/arena.h), and anything that is computed at run time.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "include/pyslab.h"

#include <stdbool.h>

#define PAGE_SHIFT ((unsigned)PYSLAB_PAGE_SHIFT)
#define PAGE_SIZE ((size_t)1 << PAGE_SHIFT)
#define MAX_ORDER ((unsigned)PYSLAB_MAX_ORDER)
#define NR_ORDERS (MAX_ORDER + 1)
#define PFN_NONE ((uint32_t)PYSLAB_PFN_NONE)

#define MAX_NR_ZONES ((unsigned)PYSLAB_NR_ZONE_TYPES) /* an arena has at most one of each kind */
#define MAX_ARENA_PAGES (1u << 31) /* 8 TiB: block arithmetic stays inside 32 bits */

#define CACHE_LINE_BYTES 64u

/* Level of the core's checks of itself (base/check.h): 0 none, 1 compares, 2 walks and recounts. */
#ifndef PYSLAB_CHECK_LEVEL
#define PYSLAB_CHECK_LEVEL 0
#endif

#endif
