/* deepbind.c - dlopen without RTLD_DEEPBIND.
 *
 * A library that is loaded with that flag finds the C library's malloc before the one that the
 * program uses, so that it frees what the other has allocated: the program ends. PHP loads its
 * extensions so. Hence dlopen is handed on without the flag. PYSLAB_MALLOC=keep_deepbind leaves
 * the flag alone, for a plugin that brings other versions of the program's own libraries.
 * What it is not: for dlmopen, whose libraries have a C library and a heap of their own.
 *
 * The C library finds out from its return address which library has called dlopen: the caller's
 * RPATH and namespace count in the search. Hence the call is a jump: the return address is the
 * caller's own (tests/malloc/test_deepbind.py looks at the instructions).
 *
 * Data structure: the function that is jumped to, first dlopen_first, then the C library's.
 * Lock: none; threads that find the C library's at once find the same.
 */
#include "malloc/exported.h"
#include "malloc/heap.h"
#include "malloc/settings.h"

#include <dlfcn.h>

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0 /* musl has no such flag */
#endif

typedef void *(*dlopen_function)(const char *file, int flags);

/* In builds without optimization too, calls at the end of a function are jumps: GCC is asked for
 * each function that ends so, Clang for each call. */
#ifdef __clang__
#define ENDS_IN_A_JUMP
#define return_by_jump __attribute__((musttail)) return
#else
#define ENDS_IN_A_JUMP __attribute__((optimize("O2", "omit-frame-pointer")))
#define return_by_jump return
#endif

static void *dlopen_first(const char *file, int flags);

static _Atomic(dlopen_function) next_dlopen = dlopen_first;
static _Atomic int dropped_flags = RTLD_DEEPBIND;

static void *dlopen_none(const char *file, int flags)
{
    (void)file;
    (void)flags;
    return NULL;
}

static void find_next(void)
{
    void *found = dlsym(RTLD_NEXT, "dlopen");
    dlopen_function next = dlopen_none;

    if (found != NULL)
        *(void **)&next = found;
    (void)heap_ready(); /* reads the settings */
    if (malloc_settings.keep_deepbind)
        store_relaxed(&dropped_flags, 0);
    atomic_store_explicit(&next_dlopen, next, memory_order_release); /* after the flags */
}

#ifndef PYSLAB_MALLOC_PREFIX
__attribute__((constructor)) static void at_load(void)
{
    find_next();
}
#endif

/* Other libraries' constructors may come here before ours has run. */
ENDS_IN_A_JUMP static void *dlopen_first(const char *file, int flags)
{
    find_next();
    dlopen_function next = atomic_load_explicit(&next_dlopen, memory_order_acquire);

    return_by_jump next(file, flags & ~load_relaxed(&dropped_flags));
}

#ifdef PYSLAB_MALLOC_PREFIX
void *NAMED(dlopen)(const char *file, int flags);
#endif

ENDS_IN_A_JUMP EXPORTED void *NAMED(dlopen)(const char *file, int flags)
{
    dlopen_function next = atomic_load_explicit(&next_dlopen, memory_order_acquire);

    return_by_jump next(file, flags & ~load_relaxed(&dropped_flags));
}
