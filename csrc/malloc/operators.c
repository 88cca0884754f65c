/* operators.c - C++'s replaceable operators new and delete, under their mangled names
 * (Itanium ABI, size_t as unsigned long), so that the library needs no C++ runtime.
 *
 * When there is no memory, new calls the program's new-handler until there is some or no handler
 * is set; then the throwing forms throw std::bad_alloc. The functions for both come from
 * libstdc++ or libc++, which a program that calls new has loaded. The nothrow forms must also
 * catch what the handler throws, which C cannot: after a failure they call the runtime's own
 * nothrow forms, and these call our throwing ones.
 * What it is not: an allocator (heap.h). Lock: none.
 */
#include "malloc/exported.h"
#include "malloc/heap.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static void *alloc(size_t size, size_t align)
{
    return align == 0               ? heap_alloc(size)
           : is_power_of_two(align) ? heap_alloc_aligned(size, align)
                                    : NULL;
}

static slow_path void *new_failed(size_t size, size_t align)
{
    void *p = NULL;

    while (p == NULL && _ZSt15get_new_handlerv != NULL) {
        new_handler handler = _ZSt15get_new_handlerv();

        if (handler == NULL)
            break;
        handler();
        p = alloc(size, align);
    }
    if (p == NULL) {
        if (_ZSt17__throw_bad_allocv != NULL)
            _ZSt17__throw_bad_allocv();
        abort();
    }
    return p;
}

/* form: the mangled name of the nothrow form that failed. */
static slow_path void *nothrow_failed(const char *form, size_t size, size_t align,
                                      const void *nothrow)
{
    void *next = dlsym(RTLD_NEXT, form);
    void *(*plain)(size_t size, const void *nothrow);
    void *(*aligned)(size_t size, size_t align, const void *nothrow);

    if (next == NULL)
        return NULL;
    if (align == 0) {
        *(void **)&plain = next;
        return plain(size, nothrow);
    }
    *(void **)&aligned = next;
    return aligned(size, align, nothrow);
}

static always_inline void *new(size_t size, size_t align)
{
    void *p = alloc(size, align);

    return likely(p != NULL) ? p : new_failed(size, align);
}

static always_inline void *new_nothrow(const char *form, size_t size, size_t align,
                                       const void *nothrow)
{
    void *p = alloc(size, align);

    return likely(p != NULL) ? p : nothrow_failed(form, size, align, nothrow);
}

/* operator new(size), new[](size) */
#define NEW(name)                                                                                  \
    EXPORTED void *NAMED(name)(size_t size);                                                       \
    EXPORTED void *NAMED(name)(size_t size)                                                        \
    {                                                                                              \
        return new(size, 0);                                                                       \
    }
/* ... (size, std::nothrow) */
#define NEW_NOTHROW(name)                                                                          \
    EXPORTED void *NAMED(name)(size_t size, const void *nothrow);                                  \
    EXPORTED void *NAMED(name)(size_t size, const void *nothrow)                                   \
    {                                                                                              \
        return new_nothrow(#name, size, 0, nothrow);                                               \
    }
/* ... (size, std::align_val_t) */
#define NEW_ALIGNED(name)                                                                          \
    EXPORTED void *NAMED(name)(size_t size, size_t align);                                         \
    EXPORTED void *NAMED(name)(size_t size, size_t align)                                          \
    {                                                                                              \
        return new(size, align);                                                                   \
    }
/* ... (size, std::align_val_t, std::nothrow) */
#define NEW_ALIGNED_NOTHROW(name)                                                                  \
    EXPORTED void *NAMED(name)(size_t size, size_t align, const void *nothrow);                    \
    EXPORTED void *NAMED(name)(size_t size, size_t align, const void *nothrow)                     \
    {                                                                                              \
        return new_nothrow(#name, size, align, nothrow);                                           \
    }

NEW(_Znwm)
NEW(_Znam)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
NEW_NOTHROW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)

/* What delete is told besides the address (size, alignment) only hardened mode looks at. */
#define DELETE(name)                                                                               \
    EXPORTED void NAMED(name)(void *p);                                                            \
    EXPORTED void NAMED(name)(void *p)                                                             \
    {                                                                                              \
        heap_free(p);                                                                              \
    }
#define DELETE_NOTHROW(name)                                                                       \
    EXPORTED void NAMED(name)(void *p, const void *nothrow);                                       \
    EXPORTED void NAMED(name)(void *p, const void *nothrow)                                        \
    {                                                                                              \
        (void)nothrow;                                                                             \
        heap_free(p);                                                                              \
    }
#define DELETE_SIZED(name)                                                                         \
    EXPORTED void NAMED(name)(void *p, size_t size);                                               \
    EXPORTED void NAMED(name)(void *p, size_t size)                                                \
    {                                                                                              \
        heap_delete(p, size, ALIGN_UNKNOWN);                                                       \
    }
#define DELETE_ALIGNED(name)                                                                       \
    EXPORTED void NAMED(name)(void *p, size_t align);                                              \
    EXPORTED void NAMED(name)(void *p, size_t align)                                               \
    {                                                                                              \
        heap_delete(p, SIZE_UNKNOWN, align);                                                       \
    }
#define DELETE_SIZED_ALIGNED(name)                                                                 \
    EXPORTED void NAMED(name)(void *p, size_t size, size_t align);                                 \
    EXPORTED void NAMED(name)(void *p, size_t size, size_t align)                                  \
    {                                                                                              \
        heap_delete(p, size, align);                                                               \
    }
#define DELETE_ALIGNED_NOTHROW(name)                                                               \
    EXPORTED void NAMED(name)(void *p, size_t align, const void *nothrow);                         \
    EXPORTED void NAMED(name)(void *p, size_t align, const void *nothrow)                          \
    {                                                                                              \
        (void)nothrow;                                                                             \
        heap_delete(p, SIZE_UNKNOWN, align);                                                       \
    }

DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE_SIZED(_ZdlPvm)
DELETE_SIZED(_ZdaPvm)
DELETE_NOTHROW(_ZdlPvRKSt9nothrow_t)
DELETE_NOTHROW(_ZdaPvRKSt9nothrow_t)
DELETE_ALIGNED(_ZdlPvSt11align_val_t)
DELETE_ALIGNED(_ZdaPvSt11align_val_t)
DELETE_SIZED_ALIGNED(_ZdlPvmSt11align_val_t)
DELETE_SIZED_ALIGNED(_ZdaPvmSt11align_val_t)
DELETE_ALIGNED_NOTHROW(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE_ALIGNED_NOTHROW(_ZdaPvSt11align_val_tRKSt9nothrow_t)
