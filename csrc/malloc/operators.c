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
#include "malloc/sampled.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* Of one call of new; align 0: it has none. */
struct wish {
    size_t size;
    size_t align;
    enum debug_kind kind;
};

static always_inline void *alloc(struct wish wish)
{
    if (sampled_takes(wish.size) && (wish.align == 0 || is_power_of_two(wish.align)))
        return sampled_alloc(wish.size, wish.align != 0 ? wish.align : MALLOC_ALIGN, false,
                             wish.kind);
    if (wish.align == 0)
        return heap_new(wish.size, wish.kind);
    return is_power_of_two(wish.align) ? heap_new_slow(wish.size, wish.align, wish.kind) : NULL;
}

static slow_path void *new_failed(struct wish wish)
{
    void *p = NULL;

    while (p == NULL && _ZSt15get_new_handlerv != NULL) {
        new_handler handler = _ZSt15get_new_handlerv();

        if (handler == NULL)
            break;
        handler();
        p = alloc(wish);
    }
    if (p == NULL) {
        if (_ZSt17__throw_bad_allocv != NULL)
            _ZSt17__throw_bad_allocv();
        abort();
    }
    return p;
}

/* form: the mangled name of the nothrow form that failed. */
static slow_path void *nothrow_failed(const char *form, struct wish wish, const void *nothrow)
{
    void *next = dlsym(RTLD_NEXT, form);
    void *(*plain)(size_t size, const void *nothrow);
    void *(*aligned)(size_t size, size_t align, const void *nothrow);

    if (next == NULL)
        return NULL;
    if (wish.align == 0) {
        *(void **)&plain = next;
        return plain(wish.size, nothrow);
    }
    *(void **)&aligned = next;
    return aligned(wish.size, wish.align, nothrow);
}

static always_inline void *new(struct wish wish)
{
    void *p = alloc(wish);

    return likely(p != NULL) ? p : new_failed(wish);
}

static always_inline void *new_nothrow(const char *form, struct wish wish, const void *nothrow)
{
    void *p = alloc(wish);

    return likely(p != NULL) ? p : nothrow_failed(form, wish, nothrow);
}

#define ONE DEBUG_KIND_NEW         /* object */
#define ARRAY DEBUG_KIND_NEW_ARRAY /* of them */

/* operator new(size), new[](size) */
#define NEW(name, kind)                                                                            \
    EXPORTED void *NAMED(name)(size_t size);                                                       \
    EXPORTED void *NAMED(name)(size_t size)                                                        \
    {                                                                                              \
        return new((struct wish){size, 0, kind});                                                  \
    }
/* ... (size, std::nothrow) */
#define NEW_NOTHROW(name, kind)                                                                    \
    EXPORTED void *NAMED(name)(size_t size, const void *nothrow);                                  \
    EXPORTED void *NAMED(name)(size_t size, const void *nothrow)                                   \
    {                                                                                              \
        return new_nothrow(#name, (struct wish){size, 0, kind}, nothrow);                          \
    }
/* ... (size, std::align_val_t) */
#define NEW_ALIGNED(name, kind)                                                                    \
    EXPORTED void *NAMED(name)(size_t size, size_t align);                                         \
    EXPORTED void *NAMED(name)(size_t size, size_t align)                                          \
    {                                                                                              \
        return new((struct wish){size, align, kind});                                              \
    }
/* ... (size, std::align_val_t, std::nothrow) */
#define NEW_ALIGNED_NOTHROW(name, kind)                                                            \
    EXPORTED void *NAMED(name)(size_t size, size_t align, const void *nothrow);                    \
    EXPORTED void *NAMED(name)(size_t size, size_t align, const void *nothrow)                     \
    {                                                                                              \
        return new_nothrow(#name, (struct wish){size, align, kind}, nothrow);                      \
    }

NEW(_Znwm, ONE)
NEW(_Znam, ARRAY)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t, ONE)
NEW_NOTHROW(_ZnamRKSt9nothrow_t, ARRAY)
NEW_ALIGNED(_ZnwmSt11align_val_t, ONE)
NEW_ALIGNED(_ZnamSt11align_val_t, ARRAY)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t, ONE)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t, ARRAY)

/* What delete is told besides the address (size, alignment, its own kind) only hardened mode and
 * guards look at. */
#define DELETE(name, kind)                                                                         \
    EXPORTED void NAMED(name)(void *p);                                                            \
    EXPORTED void NAMED(name)(void *p)                                                             \
    {                                                                                              \
        heap_delete(p, SIZE_UNKNOWN, ALIGN_UNKNOWN, kind);                                         \
    }
#define DELETE_NOTHROW(name, kind)                                                                 \
    EXPORTED void NAMED(name)(void *p, const void *nothrow);                                       \
    EXPORTED void NAMED(name)(void *p, const void *nothrow)                                        \
    {                                                                                              \
        (void)nothrow;                                                                             \
        heap_delete(p, SIZE_UNKNOWN, ALIGN_UNKNOWN, kind);                                         \
    }
#define DELETE_SIZED(name, kind)                                                                   \
    EXPORTED void NAMED(name)(void *p, size_t size);                                               \
    EXPORTED void NAMED(name)(void *p, size_t size)                                                \
    {                                                                                              \
        heap_delete(p, size, ALIGN_UNKNOWN, kind);                                                 \
    }
#define DELETE_ALIGNED(name, kind)                                                                 \
    EXPORTED void NAMED(name)(void *p, size_t align);                                              \
    EXPORTED void NAMED(name)(void *p, size_t align)                                               \
    {                                                                                              \
        heap_delete(p, SIZE_UNKNOWN, align, kind);                                                 \
    }
#define DELETE_SIZED_ALIGNED(name, kind)                                                           \
    EXPORTED void NAMED(name)(void *p, size_t size, size_t align);                                 \
    EXPORTED void NAMED(name)(void *p, size_t size, size_t align)                                  \
    {                                                                                              \
        heap_delete(p, size, align, kind);                                                         \
    }
#define DELETE_ALIGNED_NOTHROW(name, kind)                                                         \
    EXPORTED void NAMED(name)(void *p, size_t align, const void *nothrow);                         \
    EXPORTED void NAMED(name)(void *p, size_t align, const void *nothrow)                          \
    {                                                                                              \
        (void)nothrow;                                                                             \
        heap_delete(p, SIZE_UNKNOWN, align, kind);                                                 \
    }

DELETE(_ZdlPv, ONE)
DELETE(_ZdaPv, ARRAY)
DELETE_SIZED(_ZdlPvm, ONE)
DELETE_SIZED(_ZdaPvm, ARRAY)
DELETE_NOTHROW(_ZdlPvRKSt9nothrow_t, ONE)
DELETE_NOTHROW(_ZdaPvRKSt9nothrow_t, ARRAY)
DELETE_ALIGNED(_ZdlPvSt11align_val_t, ONE)
DELETE_ALIGNED(_ZdaPvSt11align_val_t, ARRAY)
DELETE_SIZED_ALIGNED(_ZdlPvmSt11align_val_t, ONE)
DELETE_SIZED_ALIGNED(_ZdaPvmSt11align_val_t, ARRAY)
DELETE_ALIGNED_NOTHROW(_ZdlPvSt11align_val_tRKSt9nothrow_t, ONE)
DELETE_ALIGNED_NOTHROW(_ZdaPvSt11align_val_tRKSt9nothrow_t, ARRAY)

/* --- whose they are -------------------------------------------------------- */

/* These are ours; the names themselves are the program's where it has such operators. */
#define OURS(name) __attribute__((visibility("hidden"), alias(QUOTED(NAMED(name)))))
extern void *own_new(size_t size) OURS(_Znwm);
extern void *own_new_array(size_t size) OURS(_Znam);
extern void own_delete(void *p) OURS(_ZdlPv);
extern void own_delete_array(void *p) OURS(_ZdaPv);

bool operators_are_ours(void)
{
    return NAMED(_Znwm) == own_new && NAMED(_Znam) == own_new_array &&
           NAMED(_ZdlPv) == own_delete && NAMED(_ZdaPv) == own_delete_array;
}
