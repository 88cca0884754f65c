/* calls.h - the functions that an interposer exports. Included once by each, in one file, below
 * the definitions of its five hooks:
 *
 *   static always_inline void *hook_allocated(enum interpose_call call, void *p, size_t size,
 *                                             size_t align);
 *       A block was handed out; it returns p, so that a function that does so can be its last
 *       call. size: as the program asked. align: 0 where it asked for none.
 *   static always_inline void hook_freeing(void *p);
 *       Before a block goes back, while no other thread can get its address.
 *   static always_inline uint64_t hook_resizing(void *p);
 *   static always_inline void hook_resized(uint64_t begun, void *old, void *p, size_t size);
 *       Before and after realloc of a block, which may move: what the first returns is given to
 *       the second. p is NULL if size is 0 and the block is gone, or if the old block stays.
 *   static always_inline bool hook_wanted(void);
 *       False: none of the above is called. Asked before each; a constant costs nothing.
 *
 * Two more may be macros, asked before anything else is, with what is known then; where they are
 * false the malloc beneath is called, and nothing else. They are for interposers that look at few
 * calls. The second one must be true for blocks of the early buffer (interpose/early.h):
 *
 *   CALLS_ALLOCATED_WANTED(size)    CALLS_FREEING_WANTED(p)
 *
 * Hooks are called for what the program itself does: not for blocks of the early buffer, nor for
 * what an interposer or an operator allocates in its turn. They keep errno as it is.
 * Pointers are never NULL but where it is said.
 * What it is not: a choice of what is exported: that is exports.map, the same for all interposers.
 */
#ifndef INTERPOSE_CALLS_H
#define INTERPOSE_CALLS_H

#include "interpose/interpose.h"

#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

#ifndef CALLS_ALLOCATED_WANTED
#define CALLS_ALLOCATED_WANTED(size) true
#endif
#ifndef CALLS_FREEING_WANTED
#define CALLS_FREEING_WANTED(p) true
#endif

/* Begins a function's definition, under a C name of its own, so that it need not agree with what
 * headers of the C library say of malloc's parameters and attributes. */
#define CALLS(returns, name, parameters)                                                           \
    returns calls_##name parameters __asm__(#name);                                                \
    EXPORTED returns calls_##name parameters

/* In no header of the C library. */
#define INTERPOSE_DECLARE(returns, name, parameters, arguments) EXPORTED returns name parameters;
INTERPOSE_OPERATORS(INTERPOSE_DECLARE)

static always_inline bool calls_hooked(void)
{
    return likely(interpose_is_programs()) && hook_wanted();
}

static always_inline void *calls_allocated(enum interpose_call call, void *p, size_t size,
                                           size_t align)
{
    if (likely(p != NULL) && calls_hooked() && likely(!interpose_is_early(p)))
        return hook_allocated(call, p, size, align);
    return p;
}

/* What `beneath`, a call of the malloc beneath, hands out. */
#define CALLS_ALLOCATE(call, beneath, size, align)                                                 \
    (CALLS_ALLOCATED_WANTED(size) ? calls_allocated(call, beneath, size, align) : (beneath))

/* True: the malloc beneath is to free it. */
static always_inline bool calls_freeing(void *p)
{
    if (unlikely(interpose_is_early(p)))
        return false;
    if (likely(p != NULL) && calls_hooked())
        hook_freeing(p);
    return true;
}

/* Has `beneath`, a call of the malloc beneath, free it. */
#define CALLS_FREE(p, beneath)                                                                     \
    do                                                                                             \
        if (!CALLS_FREEING_WANTED(p) || calls_freeing(p))                                          \
            beneath;                                                                               \
    while (0)

CALLS(void *, malloc, (size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_MALLOC, NEXT(malloc)(size), size, 0);
}

/* A size that does not fit is refused beneath. */
CALLS(void *, calloc, (size_t nr, size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_CALLOC, NEXT(calloc)(nr, size), nr * size, 0);
}

CALLS(void, free, (void *p))
{
    CALLS_FREE(p, NEXT(free)(p));
}

CALLS(void, free_sized, (void *p, size_t size))
{
    CALLS_FREE(p, NEXT(free_sized)(p, size));
}

CALLS(void, free_aligned_sized, (void *p, size_t align, size_t size))
{
    CALLS_FREE(p, NEXT(free_aligned_sized)(p, align, size));
}

CALLS(size_t, malloc_usable_size, (void *p))
{
    if (unlikely(interpose_is_early(p)))
        return interpose_early_bytes(p);
    return NEXT(malloc_usable_size)(p);
}

/* --- realloc ---------------------------------------------------------------------- */

/* Moves an early block to the malloc beneath. */
static slow_path void *calls_move_early(void *p, size_t size)
{
    size_t old = interpose_early_bytes(p);
    void *moved = NEXT(malloc)(size);

    if (moved != NULL)
        memcpy(moved, p, old < size ? old : size);
    return CALLS_ALLOCATE(INTERPOSE_REALLOC, moved, size, 0);
}

CALLS(void *, realloc, (void *p, size_t size))
{
    uint64_t begun;
    void *moved;

    if (p == NULL)
        return CALLS_ALLOCATE(INTERPOSE_REALLOC, NEXT(realloc)(p, size), size, 0);
    if (unlikely(interpose_is_early(p)))
        return calls_move_early(p, size);
    if (!calls_hooked())
        return NEXT(realloc)(p, size);
    begun = hook_resizing(p);
    moved = NEXT(realloc)(p, size);
    hook_resized(begun, p, moved, size);
    return moved;
}

/* What does not fit is refused beneath, by a function that may call realloc in its turn. */
CALLS(void *, reallocarray, (void *p, size_t nr, size_t size))
{
    size_t bytes;

    return __builtin_mul_overflow(nr, size, &bytes) ? NEXT(reallocarray)(p, nr, size)
                                                    : calls_realloc(p, bytes);
}

/* --- alignment -------------------------------------------------------------------- */

CALLS(void *, memalign, (size_t align, size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_MEMALIGN, NEXT(memalign)(align, size), size, align);
}

CALLS(void *, aligned_alloc, (size_t align, size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_MEMALIGN, NEXT(aligned_alloc)(align, size), size, align);
}

CALLS(int, posix_memalign, (void **out, size_t align, size_t size))
{
    int error = NEXT(posix_memalign)(out, align, size);

    if (error == 0)
        (void)CALLS_ALLOCATE(INTERPOSE_MEMALIGN, *out, size, align);
    return error;
}

CALLS(void *, valloc, (size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_MEMALIGN, NEXT(valloc)(size), size, interpose_page_bytes());
}

CALLS(void *, pvalloc, (size_t size))
{
    return CALLS_ALLOCATE(INTERPOSE_MEMALIGN, NEXT(pvalloc)(size), size, interpose_page_bytes());
}

/* --- C++'s operators ---------------------------------------------------------------- */

/* Those of the C++ runtime call malloc and free, whose hooks see them. */
static always_inline bool calls_own_operators(void)
{
    return load_relaxed(&interpose_own_operators);
}

/* One that throws comes back to the caller, not here. */
#define CALLS_NEW_OF(returns, name, parameters, arguments, align)                                  \
    EXPORTED returns name parameters                                                               \
    {                                                                                              \
        if (!calls_own_operators())                                                                \
            return NEXT(name) arguments;                                                           \
        return CALLS_ALLOCATE(INTERPOSE_NEW, NEXT(name) arguments, size, align);                   \
    }
#define CALLS_NEW(returns, name, parameters, arguments)                                            \
    CALLS_NEW_OF(returns, name, parameters, arguments, 0)
#define CALLS_ALIGNED_NEW(returns, name, parameters, arguments)                                    \
    CALLS_NEW_OF(returns, name, parameters, arguments, align)
#define CALLS_DELETE(returns, name, parameters, arguments)                                         \
    EXPORTED returns name parameters                                                               \
    {                                                                                              \
        if (!calls_own_operators())                                                                \
            NEXT(name) arguments;                                                                  \
        else                                                                                       \
            CALLS_FREE(p, NEXT(name) arguments);                                                   \
    }

INTERPOSE_NEWS(CALLS_NEW)
INTERPOSE_ALIGNED_NEWS(CALLS_ALIGNED_NEW)
INTERPOSE_DELETES(CALLS_DELETE)

/* --- glibc's second names -------------------------------------------------------------- */

/* Programs mix them with the first names, so that all must be of one heap. */
#define CALLS_SECOND(returns, name, parameters, call)                                              \
    CALLS(returns, name, parameters)                                                               \
    {                                                                                              \
        return call;                                                                               \
    }
CALLS_SECOND(void *, __libc_malloc, (size_t size), calls_malloc(size))
CALLS_SECOND(void, __libc_free, (void *p), calls_free(p))
CALLS_SECOND(void *, __libc_calloc, (size_t nr, size_t size), calls_calloc(nr, size))
CALLS_SECOND(void *, __libc_realloc, (void *p, size_t size), calls_realloc(p, size))
CALLS_SECOND(void *, __libc_memalign, (size_t align, size_t size), calls_memalign(align, size))
CALLS_SECOND(void *, __libc_valloc, (size_t size), calls_valloc(size))
CALLS_SECOND(void *, __libc_pvalloc, (size_t size), calls_pvalloc(size))
CALLS_SECOND(void, cfree, (void *p), calls_free(p))

#endif
