/* interpose.h - what a library needs that is preloaded (LD_PRELOAD) to see a program's calls of
 * malloc, whichever malloc serves them: libpyslab_malloc's, glibc's or another.
 *
 * What it is: the functions of the malloc beneath, found with dlsym(RTLD_NEXT), and a guard by
 * which an interposer keeps what it allocates itself apart from what the program does. An
 * interposer is one C file that defines five hooks and includes interpose/calls.h, which defines
 * the exported functions around them (csrc/interpose/exports.map); so the hooks are inlined.
 * What it is not: an allocator. What is refused beneath is refused to the program, with the same
 * errno; what has no function beneath (free_sized before glibc 2.43) is done with those there are.
 *
 * Data structure: interpose_next, a pointer for each function. Each points first to a function
 * that finds all of them; afterwards they are constant, so that a call costs a load and a jump.
 * dlsym may allocate. What is allocated while the functions are looked for, by whichever thread,
 * comes from a buffer of fixed size and is never given back: a few hundred bytes in practice.
 * Fork: the child has copies of all this, which serve it as they are.
 * Lock: none. Threads may come before the functions are found: one looks, the others are served
 * from the buffer meanwhile.
 */
#ifndef INTERPOSE_INTERPOSE_H
#define INTERPOSE_INTERPOSE_H

#include "base/atomic.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The functions of C, of POSIX and of glibc: X(returns, name, parameters, arguments). */
#define INTERPOSE_FUNCTIONS(X)                                                                     \
    X(void *, malloc, (size_t size), (size))                                                       \
    X(void, free, (void *p), (p))                                                                  \
    X(void *, calloc, (size_t nr, size_t size), (nr, size))                                        \
    X(void *, realloc, (void *p, size_t size), (p, size))                                          \
    X(void *, reallocarray, (void *p, size_t nr, size_t size), (p, nr, size))                      \
    X(void *, memalign, (size_t align, size_t size), (align, size))                                \
    X(void *, aligned_alloc, (size_t align, size_t size), (align, size))                           \
    X(int, posix_memalign, (void **out, size_t align, size_t size), (out, align, size))            \
    X(void *, valloc, (size_t size), (size))                                                       \
    X(void *, pvalloc, (size_t size), (size))                                                      \
    X(size_t, malloc_usable_size, (void *p), (p))                                                  \
    X(void, free_sized, (void *p, size_t size), (p, size))                                         \
    X(void, free_aligned_sized, (void *p, size_t align, size_t size), (p, align, size))

/* C++'s operators, by their mangled names. Nobody calls them in a program without C++; in one
 * whose C++ runtime is loaded later they are made of malloc and free, as the runtime's own are. */
#define INTERPOSE_NEWS(X)                                                                          \
    X(void *, _Znwm, (size_t size), (size))                                                        \
    X(void *, _Znam, (size_t size), (size))                                                        \
    X(void *, _ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))            \
    X(void *, _ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))
#define INTERPOSE_ALIGNED_NEWS(X)                                                                  \
    X(void *, _ZnwmSt11align_val_t, (size_t size, size_t align), (size, align))                    \
    X(void *, _ZnamSt11align_val_t, (size_t size, size_t align), (size, align))                    \
    X(void *, _ZnwmSt11align_val_tRKSt9nothrow_t,                                                  \
      (size_t size, size_t align, const void *nothrow), (size, align, nothrow))                    \
    X(void *, _ZnamSt11align_val_tRKSt9nothrow_t,                                                  \
      (size_t size, size_t align, const void *nothrow), (size, align, nothrow))
#define INTERPOSE_DELETES(X)                                                                       \
    X(void, _ZdlPv, (void *p), (p))                                                                \
    X(void, _ZdaPv, (void *p), (p))                                                                \
    X(void, _ZdlPvm, (void *p, size_t size), (p, size))                                            \
    X(void, _ZdaPvm, (void *p, size_t size), (p, size))                                            \
    X(void, _ZdlPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                    \
    X(void, _ZdaPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                    \
    X(void, _ZdlPvSt11align_val_t, (void *p, size_t align), (p, align))                            \
    X(void, _ZdaPvSt11align_val_t, (void *p, size_t align), (p, align))                            \
    X(void, _ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))        \
    X(void, _ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))        \
    X(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),     \
      (p, align, nothrow))                                                                         \
    X(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),     \
      (p, align, nothrow))
#define INTERPOSE_OPERATORS(X) INTERPOSE_NEWS(X) INTERPOSE_ALIGNED_NEWS(X) INTERPOSE_DELETES(X)

#define INTERPOSE_FIELD(returns, name, parameters, arguments)                                      \
    _Atomic(returns(*) parameters) name; /* the next of this name, or what stands for it */

struct interpose_next {
    INTERPOSE_FUNCTIONS(INTERPOSE_FIELD)
    INTERPOSE_OPERATORS(INTERPOSE_FIELD)
};

/* Declared hidden, so that reaching it takes no load of its address. */
#define INTERPOSE_HIDDEN __attribute__((visibility("hidden")))

extern struct interpose_next interpose_next INTERPOSE_HIDDEN;

/* The operators beneath are the allocator's own, and so are seen by no other function. False: they
 * are those of the C++ runtime, which calls malloc, where they are seen. Constant too. */
extern _Atomic bool interpose_own_operators INTERPOSE_HIDDEN;

/* NEXT(malloc)(size) calls the malloc beneath. */
#define NEXT(name) load_relaxed(&interpose_next.name)

/* How the program asked for a block. The numbers are those of record files. */
enum interpose_call {
    INTERPOSE_MALLOC,
    INTERPOSE_CALLOC,
    INTERPOSE_REALLOC,  /* realloc and reallocarray */
    INTERPOSE_MEMALIGN, /* every function that takes an alignment, or means the page's */
    INTERPOSE_NEW,      /* operator new, of an alignment too, if it is the allocator's own */
};

/* Depth of the guard in this thread; 0: what is called now is the program's own call. */
extern __thread uint32_t interpose_depth INTERPOSE_HIDDEN
    __attribute__((tls_model("initial-exec")));

/* From here to interpose_leave() this thread's calls go to the malloc beneath without a hook: for
 * whatever an interposer calls that may allocate. May be nested. */
static always_inline void interpose_enter(void)
{
    interpose_depth++;
}

static always_inline void interpose_leave(void)
{
    interpose_depth--;
}

static always_inline bool interpose_is_programs(void)
{
    return interpose_depth == 0;
}

#define INTERPOSE_EARLY_BYTES 65536u

extern char interpose_early[INTERPOSE_EARLY_BYTES] INTERPOSE_HIDDEN;

/* The block is of that buffer: no malloc beneath knows it. */
static always_inline bool interpose_is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)interpose_early < INTERPOSE_EARLY_BYTES;
}

/* How many bytes were asked for.
 * pre: p is a block of the buffer (unchecked: callers have asked interpose_is_early) */
static always_inline size_t interpose_early_bytes(const void *p)
{
    return ((const size_t *)p)[-1];
}

size_t interpose_page_bytes(void);

#endif
