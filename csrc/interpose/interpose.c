/* interpose.c - see interpose.h: how the functions beneath are found.
 *
 * All of them must be of one heap. An allocator that has its own malloc but no pvalloc would get
 * glibc's pvalloc, whose blocks its free does not know. Hence what is found counts only if it is
 * in the library that has malloc; for what is not there stands a function made of those that are.
 * C++'s operators may be in another library, the C++ runtime, which calls malloc.
 */
#include "interpose/interpose.h"

#include "interpose/early.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef RTLD_NEXT
#define RTLD_NEXT ((void *)-1l)
#endif

__thread uint32_t interpose_depth __attribute__((tls_model("initial-exec")));

/* --- while they are looked for ------------------------------------------------ */

static void *early_malloc(size_t size)
{
    return early_alloc(1, size);
}

static void early_free(void *p)
{
    (void)p;
}

static void *early_calloc(size_t nr, size_t size)
{
    size_t bytes;

    return early_alloc(1, __builtin_mul_overflow(nr, size, &bytes) ? SIZE_MAX : bytes);
}

static void *early_realloc(void *p, size_t size)
{
    void *grown = early_alloc(1, size);
    size_t old = p != NULL ? interpose_early_bytes(p) : 0;

    return grown != NULL && old != 0 ? memcpy(grown, p, old < size ? old : size) : grown;
}

static void *early_reallocarray(void *p, size_t nr, size_t size)
{
    size_t bytes;

    return early_realloc(p, __builtin_mul_overflow(nr, size, &bytes) ? SIZE_MAX : bytes);
}

static void *early_memalign(size_t align, size_t size)
{
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return early_alloc(align, size);
}

static void *early_aligned_alloc(size_t align, size_t size)
{
    return early_memalign(align, size);
}

static int early_posix_memalign(void **out, size_t align, size_t size)
{
    int saved = errno, error;
    void *p;

    if (align % sizeof(void *) != 0)
        return EINVAL;
    p = early_memalign(align, size);
    error = errno;
    errno = saved;
    if (p == NULL)
        return error;
    *out = p;
    return 0;
}

size_t interpose_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *early_valloc(size_t size)
{
    return early_alloc(interpose_page_bytes(), size);
}

static void *early_pvalloc(size_t size)
{
    return early_alloc(interpose_page_bytes(), size + (-size & (interpose_page_bytes() - 1)));
}

static size_t early_malloc_usable_size(void *p)
{
    return p != NULL ? interpose_early_bytes(p) : 0;
}

static void early_free_sized(void *p, size_t size)
{
    (void)p;
    (void)size;
}

static void early_free_aligned_sized(void *p, size_t align, size_t size)
{
    (void)p;
    (void)align;
    (void)size;
}

/* --- what stands for functions that the next library has not ------------------- */

static void *made_reallocarray(void *p, size_t nr, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(nr, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return NEXT(realloc)(p, bytes);
}

static void *made_memalign(size_t align, size_t size)
{
    void *p = NULL;
    int error = NEXT(posix_memalign)(&p, align < sizeof(void *) ? sizeof(void *) : align, size);

    if (error != 0)
        errno = error;
    return p;
}

static void *made_aligned_alloc(size_t align, size_t size)
{
    return NEXT(memalign)(align, size);
}

static int made_posix_memalign(void **out, size_t align, size_t size)
{
    int saved = errno;
    void *p;

    if (align == 0 || align % sizeof(void *) != 0 || (align & (align - 1)) != 0)
        return EINVAL;
    p = NEXT(memalign)(align, size);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

static void *made_valloc(size_t size)
{
    return NEXT(memalign)(interpose_page_bytes(), size);
}

static void *made_pvalloc(size_t size)
{
    size_t page = interpose_page_bytes(), whole = size + (-size & (page - 1));

    if (whole < size) {
        errno = ENOMEM;
        return NULL;
    }
    return NEXT(memalign)(page, whole != 0 ? whole : page);
}

static size_t made_malloc_usable_size(void *p)
{
    (void)p;
    return 0;
}

static void made_free_sized(void *p, size_t size)
{
    (void)size;
    NEXT(free)(p);
}

static void made_free_aligned_sized(void *p, size_t align, size_t size)
{
    (void)align;
    (void)size;
    NEXT(free)(p);
}

/* --- C++'s operators, of malloc and free --------------------------------------- */

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
extern new_handler _ZSt15get_new_handlerv(void) weak_symbol;
extern void _ZSt17__throw_bad_allocv(void) weak_symbol;

/* align: 0: that of malloc. */
static void *take(size_t size, size_t align)
{
    if (align == 0)
        return NEXT(malloc)(size != 0 ? size : 1);
    return NEXT(memalign)(align, size != 0 ? size : 1);
}

static void *made_new(size_t size, size_t align)
{
    void *p = take(size, align);

    while (p == NULL && _ZSt15get_new_handlerv != NULL) {
        new_handler handler = _ZSt15get_new_handlerv();

        if (handler == NULL)
            break;
        handler();
        p = take(size, align);
    }
    if (p == NULL) {
        if (_ZSt17__throw_bad_allocv != NULL)
            _ZSt17__throw_bad_allocv();
        abort(); /* the runtime is loaded where it cannot be seen */
    }
    return p;
}

#define MADE(name, parameters, result)                                                             \
    static void *made_##name parameters                                                            \
    {                                                                                              \
        return result;                                                                             \
    }
#define MADE_NOTHROW(name, parameters, align)                                                      \
    static void *made_##name parameters                                                            \
    {                                                                                              \
        (void)nothrow;                                                                             \
        return take(size, align);                                                                  \
    }

MADE(_Znwm, (size_t size), made_new(size, 0))
MADE(_Znam, (size_t size), made_new(size, 0))
MADE(_ZnwmSt11align_val_t, (size_t size, size_t align), made_new(size, align))
MADE(_ZnamSt11align_val_t, (size_t size, size_t align), made_new(size, align))
MADE_NOTHROW(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), 0)
MADE_NOTHROW(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), 0)
MADE_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *nothrow),
             align)
MADE_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *nothrow),
             align)

/* What else an operator delete is told, malloc's family does not ask for. */
static void made_delete(void *p, ...)
{
    NEXT(free)(p);
}

#define MADE_DELETE(returns, name, parameters, arguments)                                          \
    static returns made_##name parameters                                                          \
    {                                                                                              \
        made_delete arguments;                                                                     \
    }

INTERPOSE_DELETES(MADE_DELETE)

/* --- how they are found -------------------------------------------------------- */

enum search {
    SEARCH_NOT_BEGUN,
    SEARCH_GOES_ON,
    SEARCH_DONE,
};

static _Atomic int search;
_Atomic bool interpose_own_operators;

/* The library that an address lies in; NULL: none. */
static const void *library_of(const void *address)
{
    Dl_info info;

    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/* The next function of this name, if it is in this library. */
static void *next_in(const void *library, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    return library_of(found) == library ? found : NULL;
}

/* The pointers become functions by a copy of their bytes: C has no cast for it. */
#define STORE(name, found)                                                                         \
    do {                                                                                           \
        void *store_found = (found);                                                               \
        __typeof__(NEXT(name)) store_function;                                                     \
        memcpy(&store_function, &store_found, sizeof store_function);                              \
        store_relaxed(&interpose_next.name, store_function);                                       \
    } while (0)
#define STORE_OR_MADE(name, found)                                                                 \
    do {                                                                                           \
        void *next_found = (found);                                                                \
        if (next_found != NULL)                                                                    \
            STORE(name, next_found);                                                               \
        else                                                                                       \
            store_relaxed(&interpose_next.name, made_##name);                                      \
    } while (0)
#define FIND_OPERATOR(returns, name, parameters, arguments)                                        \
    STORE_OR_MADE(name, dlsym(RTLD_NEXT, #name));

static void find_operators(const void *library)
{
    const void *runtime = library_of(dlsym(RTLD_NEXT, "_Znwm"));

    store_relaxed(&interpose_own_operators, runtime == NULL || runtime == library);
    INTERPOSE_OPERATORS(FIND_OPERATOR)
}

/* memalign or posix_memalign is there, and the other can be made of it; a library with neither
 * leaves both to the C library, as it would without us. */
static void find_aligned(const void *library)
{
    bool has_none = next_in(library, "memalign") == NULL &&
                    next_in(library, "posix_memalign") == NULL;
    const void *from = has_none ? library_of(dlsym(RTLD_NEXT, "memalign")) : library;

    STORE_OR_MADE(memalign, next_in(from, "memalign"));
    STORE_OR_MADE(posix_memalign, next_in(from, "posix_memalign"));
    STORE_OR_MADE(aligned_alloc, next_in(from, "aligned_alloc"));
    STORE_OR_MADE(valloc, next_in(from, "valloc"));
    STORE_OR_MADE(pvalloc, next_in(from, "pvalloc"));
}

static void find_all(void)
{
    void *next_malloc = dlsym(RTLD_NEXT, "malloc");
    const void *library = library_of(next_malloc);

    if (next_malloc == NULL)
        abort(); /* a process without a C library */
    find_aligned(library);
    STORE_OR_MADE(reallocarray, next_in(library, "reallocarray"));
    STORE_OR_MADE(malloc_usable_size, next_in(library, "malloc_usable_size"));
    STORE_OR_MADE(free_sized, next_in(library, "free_sized"));
    STORE_OR_MADE(free_aligned_sized, next_in(library, "free_aligned_sized"));
    find_operators(library);
    STORE(calloc, dlsym(RTLD_NEXT, "calloc"));
    STORE(realloc, dlsym(RTLD_NEXT, "realloc"));
    STORE(free, dlsym(RTLD_NEXT, "free"));
    STORE(malloc, next_malloc);
}

/* False: they are being looked for, by this thread or another one. */
static bool found_all(void)
{
    int expected = SEARCH_NOT_BEGUN;

    if (atomic_compare_exchange_strong(&search, &expected, SEARCH_GOES_ON)) {
        interpose_enter();
        find_all();
        interpose_leave();
        atomic_store(&search, SEARCH_DONE);
        return true;
    }
    return expected == SEARCH_DONE;
}

/* Before the program's first call, and before there are threads, as a rule. */
__attribute__((constructor)) static void at_load(void)
{
    (void)found_all();
}

/* Where each pointer leads first. By the name of what it calls in the end, so that a caller which
 * loaded the pointer before the search was done is served as well. */
#define FIRST(returns, name, parameters, arguments)                                                \
    static returns first_##name parameters                                                         \
    {                                                                                              \
        return found_all() ? NEXT(name) arguments : early_##name arguments;                        \
    }

INTERPOSE_FUNCTIONS(FIRST)

#define FIRST_OPERATOR(returns, name, parameters, arguments)                                       \
    static returns first_##name parameters                                                         \
    {                                                                                              \
        return found_all() ? NEXT(name) arguments : made_##name arguments;                         \
    }

INTERPOSE_OPERATORS(FIRST_OPERATOR)

#define INITIAL(returns, name, parameters, arguments) .name = first_##name,

struct interpose_next interpose_next = {INTERPOSE_FUNCTIONS(INITIAL) INTERPOSE_OPERATORS(INITIAL)};
