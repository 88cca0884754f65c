/* malloc_libc.c - the block workloads on malloc and free.
 *
 * What it is: malloc_template.h for libc, or for whatever library is preloaded.
 * What it is not: a place for workloads; they are in the template.
 */
#include "driver.h"
#include <stdlib.h>

#define BENCH_ALLOC(arena, n) ((void)(arena), malloc(n))
#define BENCH_FREE(arena, p) free(p)
#define BENCH_METHODS bench_libc_methods
#include "malloc_template.h"
