/* malloc_pyslab.c - the block workloads on pyslab_kmalloc and pyslab_kfree.
 *
 * What it is: malloc_template.h for an arena of pyslab.
 * What it is not: a place for workloads; they are in the template.
 */
#include "driver.h"

#define BENCH_ALLOC(arena, n) pyslab_kmalloc(arena, n, PYSLAB_GFP_KERNEL)
#define BENCH_FREE(arena, p) (void)pyslab_kfree(arena, p)
#define BENCH_METHODS bench_pyslab_methods
#include "malloc_template.h"
