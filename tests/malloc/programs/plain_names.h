/* plain_names.h - makes the tests of the renamed library tests of the process's own malloc:
 * cc -include plain_names.h test_family.c
 */
#ifndef PROGRAMS_PLAIN_NAMES_H
#define PROGRAMS_PLAIN_NAMES_H

#include <malloc.h>
#include <stdlib.h>

#define test_malloc malloc
#define test_free free
#define test_calloc calloc
#define test_realloc realloc
#define test_reallocarray reallocarray
#define test_memalign memalign
#define test_aligned_alloc aligned_alloc
#define test_posix_memalign posix_memalign
#define test_valloc valloc
#define test_pvalloc pvalloc
#define test_malloc_usable_size malloc_usable_size
#define test_malloc_trim malloc_trim
#define test_mallinfo2 mallinfo2
#define test_mallinfo mallinfo

#endif
