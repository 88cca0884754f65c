/* exported.h - the names under which the library's functions are seen from outside.
 *
 * Tests build the same functions under other names (PYSLAB_MALLOC_PREFIX=test_), so that the
 * sanitizers, which have a malloc of their own, can watch them.
 */
#ifndef MALLOC_EXPORTED_H
#define MALLOC_EXPORTED_H

#include <stddef.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))

#ifdef PYSLAB_MALLOC_PREFIX
#define JOIN_EXPANDED(a, b) a##b
#define JOIN(a, b) JOIN_EXPANDED(a, b)
#define NAMED(name) JOIN(PYSLAB_MALLOC_PREFIX, name)

struct mallinfo;
struct mallinfo2;

void NAMED(free)(void *p);
void *NAMED(malloc)(size_t size);
void *NAMED(calloc)(size_t nr, size_t size);
void *NAMED(realloc)(void *p, size_t size);
void *NAMED(reallocarray)(void *p, size_t nr, size_t size);
void *NAMED(memalign)(size_t align, size_t size);
void *NAMED(aligned_alloc)(size_t align, size_t size);
int NAMED(posix_memalign)(void **out, size_t align, size_t size);
void *NAMED(valloc)(size_t size);
void *NAMED(pvalloc)(size_t size);
size_t NAMED(malloc_usable_size)(void *p);
int NAMED(malloc_trim)(size_t keep);
struct mallinfo2 NAMED(mallinfo2)(void);
struct mallinfo NAMED(mallinfo)(void);
void NAMED(malloc_stats)(void);
int NAMED(malloc_info)(int options, FILE *file);
int NAMED(mallopt)(int parameter, int value);
void *NAMED(__libc_malloc)(size_t size);
void NAMED(__libc_free)(void *p);
void *NAMED(__libc_realloc)(void *p, size_t size);
void *NAMED(__libc_calloc)(size_t nr, size_t size);
void *NAMED(__libc_memalign)(size_t align, size_t size);
void *NAMED(__libc_valloc)(size_t size);
void *NAMED(__libc_pvalloc)(size_t size);
#else
#define NAMED(name) name
#endif

/* Hands the program's dlopen on; see deepbind.c. */
void *NAMED(dlopen)(const char *file, int flags);

/* Only os/ may include the header that declares these. */
struct rlimit;
int NAMED(setrlimit)(int resource, const struct rlimit *set);
int NAMED(prlimit)(int pid, int resource, const struct rlimit *set, struct rlimit *old);

/* Of C23: not in the headers of every C library. */
void NAMED(free_sized)(void *p, size_t size);
void NAMED(free_aligned_sized)(void *p, size_t align, size_t size);

/* Ends the declaration of one more exported name for a function that this file defines. */
#define ALIAS_OF(name)                                                                             \
    __attribute__((visibility("default"), alias(QUOTED(NAMED(name))), copy(NAMED(name))))
#define QUOTED(text) QUOTED_EXPANDED(text)
#define QUOTED_EXPANDED(text) #text

#endif
