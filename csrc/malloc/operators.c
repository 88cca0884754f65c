/* operators.c - C++'s replaceable operators new and delete, under their mangled names
 * (Itanium ABI, size_t as unsigned long), so that the library needs no C++ runtime.
 *
 * Without memory the program's new-handler is called until there is some or none is set;
 * then the throwing forms throw std::bad_alloc. Both come from libstdc++ or libc++, which
 * a program that calls these has loaded.
 */
#include "malloc/heap.h"

#include <stdlib.h>

#define EXPORTED __attribute__((visibility("default")))

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static void *alloc(size_t size, size_t align)
{
    return align == 0 ? heap_alloc(size)
                      : is_power_of_two(align) ? heap_alloc_aligned(size, align) : NULL;
}

static slow_path void *new_failed(size_t size, size_t align, bool throws)
{
    void *p = NULL;

    while (p == NULL && _ZSt15get_new_handlerv != NULL) {
        new_handler handler = _ZSt15get_new_handlerv();

        if (handler == NULL)
            break;
        handler();
        p = alloc(size, align);
    }
    if (p == NULL && throws) {
        if (_ZSt17__throw_bad_allocv != NULL)
            _ZSt17__throw_bad_allocv();
        abort();
    }
    return p;
}

static always_inline void *new(size_t size, size_t align, bool throws)
{
    void *p = alloc(size, align);

    return likely(p != NULL) ? p : new_failed(size, align, throws);
}

/* operator new(size), new[](size) */
#define NEW(name)                                                                                  \
    EXPORTED void *name(size_t size);                                                              \
    EXPORTED void *name(size_t size)                                                               \
    {                                                                                              \
        return new (size, 0, true);                                                                \
    }
/* ... (size, std::nothrow) */
#define NEW_NOTHROW(name)                                                                          \
    EXPORTED void *name(size_t size, const void *nothrow);                                         \
    EXPORTED void *name(size_t size, const void *nothrow)                                          \
    {                                                                                              \
        (void)nothrow;                                                                             \
        return new (size, 0, false);                                                               \
    }
/* ... (size, std::align_val_t) */
#define NEW_ALIGNED(name)                                                                          \
    EXPORTED void *name(size_t size, size_t align);                                                \
    EXPORTED void *name(size_t size, size_t align)                                                 \
    {                                                                                              \
        return new (size, align, true);                                                            \
    }
/* ... (size, std::align_val_t, std::nothrow) */
#define NEW_ALIGNED_NOTHROW(name)                                                                  \
    EXPORTED void *name(size_t size, size_t align, const void *nothrow);                           \
    EXPORTED void *name(size_t size, size_t align, const void *nothrow)                            \
    {                                                                                              \
        (void)nothrow;                                                                             \
        return new (size, align, false);                                                           \
    }

NEW(_Znwm)
NEW(_Znam)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
NEW_NOTHROW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)

/* What delete is told besides the address (size, alignment, nothrow) it does not need. */
#define DELETE1(name)                                                                              \
    EXPORTED void name(void *p);                                                                   \
    EXPORTED void name(void *p)                                                                    \
    {                                                                                              \
        heap_free(p);                                                                              \
    }
#define DELETE2(name)                                                                              \
    EXPORTED void name(void *p, size_t a);                                                         \
    EXPORTED void name(void *p, size_t a)                                                          \
    {                                                                                              \
        (void)a;                                                                                   \
        heap_free(p);                                                                              \
    }
#define DELETE3(name)                                                                              \
    EXPORTED void name(void *p, size_t a, size_t b);                                               \
    EXPORTED void name(void *p, size_t a, size_t b)                                                \
    {                                                                                              \
        (void)a;                                                                                   \
        (void)b;                                                                                   \
        heap_free(p);                                                                              \
    }

DELETE1(_ZdlPv)
DELETE1(_ZdaPv)
DELETE2(_ZdlPvm)
DELETE2(_ZdaPvm)
DELETE2(_ZdlPvRKSt9nothrow_t)
DELETE2(_ZdaPvRKSt9nothrow_t)
DELETE2(_ZdlPvSt11align_val_t)
DELETE2(_ZdaPvSt11align_val_t)
DELETE3(_ZdlPvmSt11align_val_t)
DELETE3(_ZdaPvmSt11align_val_t)
DELETE3(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE3(_ZdaPvSt11align_val_tRKSt9nothrow_t)
