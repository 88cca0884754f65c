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
#define test_malloc_info malloc_info
#define test_malloc_stats malloc_stats
#define test_mallopt mallopt
#define test_free_sized free_sized
#define test_free_aligned_sized free_aligned_sized
#define test_setrlimit setrlimit
#define test_prlimit prlimit
#define test___libc_malloc __libc_malloc
#define test___libc_free __libc_free
#define test___libc_realloc __libc_realloc
#define test___libc_calloc __libc_calloc
#define test___libc_memalign __libc_memalign
#define test___libc_valloc __libc_valloc
#define test___libc_pvalloc __libc_pvalloc

#endif
