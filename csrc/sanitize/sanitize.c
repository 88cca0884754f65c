/* sanitize.c - see sanitize.h. Order of the text: ASan's functions, memcheck's requests, both.
 * Lock: none; the tools have their own. */
#include "sanitize/sanitize.h"

#include "base/check.h"

/* --- AddressSanitizer ------------------------------------------------------ */

/* In the process only with ASan's run-time library; else their addresses are NULL. */
extern void __asan_poison_memory_region(void const volatile *p, size_t bytes) weak_symbol;
extern void __asan_unpoison_memory_region(void const volatile *p, size_t bytes) weak_symbol;
extern void *__asan_region_is_poisoned(void *p, size_t bytes) weak_symbol;
extern void __lsan_register_root_region(const void *p, size_t bytes) weak_symbol;
extern void __lsan_unregister_root_region(const void *p, size_t bytes) weak_symbol;

static bool has_asan(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return __asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL;
#endif
}

/* --- memcheck --------------------------------------------------------------- */

#if defined(__has_include) && !defined(PYSLAB_NO_VALGRIND)
#if __has_include(<valgrind/memcheck.h>)
#define HAS_MEMCHECK 1
#endif
#endif

#ifdef HAS_MEMCHECK

#include <valgrind/memcheck.h>

/* Only memcheck knows which bits are defined; the other tools of valgrind do not answer. */
static bool has_memcheck(void)
{
    char byte = 0, bits = 0;

    return RUNNING_ON_VALGRIND != 0 && VALGRIND_GET_VBITS(&byte, &bits, 1) == 1;
}

static void memcheck_open(const void *p, size_t bytes, bool defined)
{
    if (defined)
        (void)VALGRIND_MAKE_MEM_DEFINED(p, bytes);
    else
        (void)VALGRIND_MAKE_MEM_UNDEFINED(p, bytes);
}

static void memcheck_close(const void *p, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
}

static void memcheck_alloc(const void *p, size_t bytes, bool defined)
{
    VALGRIND_MALLOCLIKE_BLOCK(p, bytes, 0, defined);
}

static void memcheck_free(const void *p)
{
    VALGRIND_FREELIKE_BLOCK(p, 0);
}

static void memcheck_trim(const void *p, size_t bytes, size_t wanted)
{
    VALGRIND_RESIZEINPLACE_BLOCK(p, bytes, wanted, 0);
}

static bool memcheck_is_open(const char *p)
{
    char bits;

    return VALGRIND_GET_VBITS(p, &bits, 1) == 1;
}

#else

static bool has_memcheck(void)
{
    return false;
}

static bool memcheck_is_open(const char *p)
{
    (void)p;
    return true;
}

static void memcheck_open(const void *p, size_t bytes, bool defined)
{
    (void)p, (void)bytes, (void)defined;
}

static void memcheck_close(const void *p, size_t bytes)
{
    (void)p, (void)bytes;
}

static void memcheck_alloc(const void *p, size_t bytes, bool defined)
{
    (void)p, (void)bytes, (void)defined;
}

static void memcheck_free(const void *p)
{
    (void)p;
}

static void memcheck_trim(const void *p, size_t bytes, size_t wanted)
{
    (void)p, (void)bytes, (void)wanted;
}

#endif

/* --- both -------------------------------------------------------------------- */

static bool is_declined;

void sanitize_decline(void)
{
    is_declined = true;
}

enum sanitize_mode sanitize_mode(void)
{
    if (is_declined)
        return SANITIZE_NONE;
    if (has_asan())
        return SANITIZE_ASAN;
    return has_memcheck() ? SANITIZE_MEMCHECK : SANITIZE_NONE;
}

void sanitize_close(enum sanitize_mode mode, const void *p, size_t bytes)
{
    if (mode == SANITIZE_ASAN)
        __asan_poison_memory_region(p, bytes);
    else if (mode == SANITIZE_MEMCHECK)
        memcheck_close(p, bytes);
}

void sanitize_open(enum sanitize_mode mode, const void *p, size_t bytes, bool defined)
{
    if (mode == SANITIZE_ASAN)
        __asan_unpoison_memory_region(p, bytes);
    else if (mode == SANITIZE_MEMCHECK)
        memcheck_open(p, bytes, defined);
}

void sanitize_object_alloc(enum sanitize_mode mode, const void *p, size_t bytes, bool defined)
{
    if (mode == SANITIZE_MEMCHECK)
        memcheck_alloc(p, bytes, defined);
    else
        sanitize_open(mode, p, bytes, defined);
}

void sanitize_object_free(enum sanitize_mode mode, const void *p, size_t bytes)
{
    if (mode == SANITIZE_MEMCHECK)
        memcheck_free(p);
    else
        sanitize_close(mode, p, bytes);
}

void sanitize_object_trim(enum sanitize_mode mode, const void *p, size_t bytes, size_t wanted)
{
    CHECK(wanted <= bytes);
    if (mode == SANITIZE_MEMCHECK)
        memcheck_trim(p, bytes, wanted);
    else
        sanitize_close(mode, (const char *)p + wanted, bytes - wanted);
}

/* Memcheck is asked for one byte at a time: what is closed lies at the end, so halving finds it. */
static size_t memcheck_open_bytes(const char *p, size_t bytes)
{
    size_t open = 0;

    while (open < bytes) {
        size_t middle = open + (bytes - open) / 2;

        if (memcheck_is_open(p + middle))
            open = middle + 1;
        else
            bytes = middle;
    }
    return open;
}

size_t sanitize_open_bytes(enum sanitize_mode mode, const void *p, size_t bytes)
{
    if (mode == SANITIZE_ASAN && __asan_region_is_poisoned != NULL) {
        const char *closed = __asan_region_is_poisoned((void *)(uintptr_t)p, bytes);

        return closed != NULL ? (size_t)(closed - (const char *)p) : bytes;
    }
    return mode == SANITIZE_MEMCHECK ? memcheck_open_bytes(p, bytes) : bytes;
}

void sanitize_root(enum sanitize_mode mode, const void *p, size_t bytes)
{
    if (mode == SANITIZE_ASAN && __lsan_register_root_region != NULL)
        __lsan_register_root_region(p, bytes);
}

void sanitize_unroot(enum sanitize_mode mode, const void *p, size_t bytes)
{
    if (mode == SANITIZE_ASAN && __lsan_unregister_root_region != NULL)
        __lsan_unregister_root_region(p, bytes);
}
