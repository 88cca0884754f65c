/* exported.h - the names under which programs see the library's functions.
 *
 * What it is: NAMED(malloc) is malloc in the library, and test_malloc in the tests, which build
 * the same functions a second time (PYSLAB_MALLOC_PREFIX=test_): the sanitizers bring a malloc of
 * their own, and can watch ours only beside it.
 * What it is not: the list of what is exported (exports.map).
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
struct rlimit;

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
int NAMED(setrlimit)(int resource, const struct rlimit *set);
int NAMED(prlimit)(int pid, int resource, const struct rlimit *set, struct rlimit *old);
#else
#define NAMED(name) name
#endif

/* In no header of the C library. */
void *NAMED(__libc_malloc)(size_t size);
void NAMED(__libc_free)(void *p);
void *NAMED(__libc_realloc)(void *p, size_t size);
void *NAMED(__libc_calloc)(size_t nr, size_t size);
void *NAMED(__libc_memalign)(size_t align, size_t size);
void *NAMED(__libc_valloc)(size_t size);
void *NAMED(__libc_pvalloc)(size_t size);

/* Of C23: not in the headers of every C library. */
void NAMED(free_sized)(void *p, size_t size);
void NAMED(free_aligned_sized)(void *p, size_t align, size_t size);

/* Ends the declaration of one more exported name for a function that this file defines. */
#define ALIAS_OF(name)                                                                             \
    __attribute__((visibility("default"), alias(QUOTED(NAMED(name))) COPY_OF(name)))
#ifdef __clang__
#define COPY_OF(name) /* Clang has no such attribute, nor the warning that it is there for */
#else
#define COPY_OF(name) , copy(NAMED(name))
#endif
#define QUOTED(text) QUOTED_EXPANDED(text)
#define QUOTED_EXPANDED(text) #text

#endif
