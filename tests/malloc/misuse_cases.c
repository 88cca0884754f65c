/* misuse_cases.c - one misuse of malloc per run: misuse_cases CASE SIZE. `--list` names them.
 *
 * How it ends tells what the allocator did: a signal, it was caught; status 0, it was made
 * harmless; status NOTHING, nothing noticed. "end" on stdout says that main was left, so that
 * a later signal came at exit. misuse.py runs and counts them. Not built with optimisation:
 * compilers take these programs apart.
 */
#include "misuse_blocks.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOTHING 42
#define HARMLESS 0
#define PAGE 4096

extern void *_Znwm(size_t size);                            /* operator new(size) */
extern void *_Znam(size_t size);                            /* operator new[](size) */
extern void _ZdlPv(void *p);                                /* delete(p) */
extern void _ZdaPv(void *p);                                /* delete[](p) */
extern void _ZdlPvm(void *p, size_t size);                  /* delete(p, size) */
extern void _ZdlPvmSt11align_val_t(void *, size_t, size_t); /* delete(p, size, align) */

static char static_block[64];

/* --- freed twice ---------------------------------------------------------- */

static int double_free_after(unsigned k)
{
    static char *other[128];
    char *p;

    for (unsigned i = 0; i < k; i++)
        other[i] = block();
    p = block();
    free(p);
    for (unsigned i = 0; i < k; i++)
        free(other[i]);
    free(p);
    return NOTHING;
}

static int double_free_at_once(void)
{
    return double_free_after(0);
}

static int double_free_after_1(void)
{
    return double_free_after(1);
}

static int double_free_after_3(void)
{
    return double_free_after(3);
}

static int double_free_after_10(void)
{
    return double_free_after(10);
}

static int double_free_after_100(void)
{
    return double_free_after(100);
}

static int double_free_after_churn(void)
{
    char *p = block();

    free(p);
    churn();
    free(p);
    return NOTHING;
}

static int double_free_then_alloc(void)
{
    char *p = block(), *q = block();
    static char *r[16];

    free(p);
    free(q);
    free(p);
    for (int i = 0; i < 16; i++)
        r[i] = block();
    return NOTHING;
}

static int double_free_of_reused(void)
{
    char *p = block(), *q;

    free(p);
    q = block();
    free(p); /* q's, where it was given the same memory */
    free(q);
    return p == q ? NOTHING : HARMLESS;
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static int double_free_in_a_thread(void)
{
    char *p = block();
    pthread_t thread;

    free(p);
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    return NOTHING;
}

static int double_free_after_realloc(void)
{
    char *p = block(), *wall = block();
    char *q = realloc(p, 8 * size);

    if (q == p)
        return HARMLESS;
    free(p);
    free(wall);
    return NOTHING;
}

/* --- what malloc did not give --------------------------------------------- */

static int free_inside(size_t offset)
{
    char *p = block();

    free(p + offset);
    return NOTHING;
}

static int free_inside_1(void)
{
    return free_inside(1);
}

static int free_inside_8(void)
{
    return free_inside(8);
}

static int free_inside_16(void)
{
    return free_inside(16);
}

static int free_inside_half(void)
{
    return free_inside(size / 2);
}

static int free_inside_page(void)
{
    return free_inside(PAGE);
}

static int free_before(void)
{
    char *p = block();

    free(p - 16);
    return NOTHING;
}

static int free_far(void)
{
    free(block() + ((size_t)1 << 30));
    return NOTHING;
}

static int free_stack(void)
{
    char local[64] = {0};

    free(local);
    return NOTHING;
}

static int free_static(void)
{
    free(static_block);
    return NOTHING;
}

static int free_code(void)
{
    free((void *)(uintptr_t)free_static);
    return NOTHING;
}

static int free_mapped(void)
{
    char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    free(p + 16);
    return NOTHING;
}

static int free_low_address(void)
{
    free((void *)(uintptr_t)16);
    return NOTHING;
}

static int free_page_start(void)
{
    char *p = block();
    char *start = (char *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1));

    free(start != p ? start : start - PAGE);
    return NOTHING;
}

/* --- other calls ------------------------------------------------------------ */

static int realloc_freed(void)
{
    char *p = block();

    free(p);
    return realloc(p, size * 2) != NULL ? NOTHING : HARMLESS;
}

static int realloc_inside(void)
{
    return realloc(block() + 8, size) != NULL ? NOTHING : HARMLESS;
}

static int realloc_stack(void)
{
    char local[64] = {0};

    return realloc(local, 128) != NULL ? NOTHING : HARMLESS;
}

static int usable_of_freed(void)
{
    char *p = block();

    free(p);
    return malloc_usable_size(p) != 0 ? NOTHING : HARMLESS;
}

static int usable_inside(void)
{
    return malloc_usable_size(block() + 8) != 0 ? NOTHING : HARMLESS;
}

static int delete_of_another_size(void)
{
    _ZdlPvm(_Znwm(size), size * 3);
    return NOTHING;
}

static int delete_of_another_alignment(void)
{
    char *p = _Znwm(size);
    size_t align = 64;

    while (((uintptr_t)p & (align - 1)) == 0)
        align *= 2;
    _ZdlPvmSt11align_val_t(p, size, align);
    return NOTHING;
}

#define MISMATCH(name, make, end)                                                                  \
    static int name(void)                                                                          \
    {                                                                                              \
        return end(make(size)), NOTHING;                                                           \
    }

MISMATCH(delete_of_malloc, malloc, _ZdlPv)
MISMATCH(delete_of_array, _Znam, _ZdlPv)
MISMATCH(delete_array_of_new, _Znwm, _ZdaPv)
MISMATCH(free_of_new, _Znwm, free)

static int huge_request(void)
{
    return malloc((size_t)0 - size) != NULL ? NOTHING : HARMLESS;
}

/* --- writes after the free -------------------------------------------------- */

static int write_after_free(size_t offset, size_t bytes, bool reuse)
{
    char *p = block();

    free_others(3);
    free(p);
    memset(p + offset, 'A', bytes);
    if (reuse)
        churn();
    return NOTHING;
}

static int write_first_word(void)
{
    return write_after_free(0, 8, true);
}

static int write_second_word(void)
{
    return write_after_free(8, 8, true);
}

static int write_middle(void)
{
    return write_after_free(size / 2, 4, true);
}

static int write_all(void)
{
    return write_after_free(0, size, true);
}

static int write_all_without_reuse(void)
{
    return write_after_free(0, size, false);
}

static int write_then_alloc_once(void)
{
    char *p = block();

    free(p);
    memset(p, 'A', size);
    return malloc(size) != NULL ? NOTHING : HARMLESS;
}

/* --- writes beyond the block ------------------------------------------------ */

static int overflow(size_t bytes)
{
    char *p = block(), *wall = block();

    for (size_t i = 0; i < bytes; i++)
        p[size + i] ^= 'A';
    free(p);
    free(wall);
    return NOTHING;
}

static int overflow_1(void)
{
    return overflow(1);
}

static int overflow_8(void)
{
    return overflow(8);
}

static int overflow_16(void)
{
    return overflow(16);
}

static int overflow_64(void)
{
    return overflow(64);
}

static int overflow_page(void)
{
    return overflow(PAGE);
}

static int overflow_mib(void)
{
    return overflow(1 << 20);
}

static int overflow_of_a_string(void)
{
    char *p = block();

    p[size] = '\0';
    free(p);
    return NOTHING;
}

static int overflow_into_free(void)
{
    char *p = block(), *next = block();

    free(next);
    for (size_t i = 0; i < 64; i++)
        p[size + i] ^= 'A';
    churn();
    free(p);
    return NOTHING;
}

static int underflow(size_t bytes)
{
    char *wall = block(), *p = block();

    for (size_t i = 1; i <= bytes; i++)
        p[-(ptrdiff_t)i] ^= 'A';
    free(p);
    free(wall);
    return NOTHING;
}

static int underflow_1(void)
{
    return underflow(1);
}

static int underflow_8(void)
{
    return underflow(8);
}

static int underflow_32(void)
{
    return underflow(32);
}

static int underflow_mib(void)
{
    return underflow(1 << 20);
}

static int write_to_empty_block(void)
{
    char *p = malloc(0);

    if (p == NULL)
        return HARMLESS;
    *p ^= 'A';
    free(p);
    return NOTHING;
}

static int read_of_empty_block(void)
{
    volatile char *p = malloc(0);

    if (p == NULL)
        return HARMLESS;
    (void)*p;
    return NOTHING;
}

static int double_free_of_empty_block(void)
{
    char *p = malloc(0), *q = malloc(0);

    free(p);
    free(q);
    free(p);
    return NOTHING;
}

/* --- reads -------------------------------------------------------------------- */

static bool has_old_content(const char *p)
{
    size_t nr = 0;

    for (size_t i = 0; i < size; i++)
        nr += p[i] == 'x';
    return nr > size / 4;
}

static int read_after_free(void)
{
    char *p = block();

    free(p);
    return has_old_content(p) ? NOTHING : HARMLESS;
}

static int read_before_write(void)
{
    free(block());
    return has_old_content(malloc(size)) ? NOTHING : HARMLESS;
}

static int reuse_at_once(void)
{
    char *p = block();

    free(p);
    return malloc(size) == (void *)p ? NOTHING : HARMLESS;
}

/* --- main ------------------------------------------------------------------------ */

struct misuse {
    const char *name;
    int (*run)(void);
    size_t least; /* size it makes sense from; ONCE: whatever the size */
};

#define ONCE ((size_t)-1)
#define CASE(function, least) {#function, function, least}

static const struct misuse cases[] = {CASE(double_free_at_once, 0),
                                      CASE(double_free_after_1, 0),
                                      CASE(double_free_after_3, 0),
                                      CASE(double_free_after_10, 0),
                                      CASE(double_free_after_100, 0),
                                      CASE(double_free_after_churn, 0),
                                      CASE(double_free_then_alloc, 0),
                                      CASE(double_free_of_reused, 0),
                                      CASE(double_free_in_a_thread, 0),
                                      CASE(double_free_after_realloc, 0),
                                      CASE(free_inside_1, 0),
                                      CASE(free_inside_8, 0),
                                      CASE(free_inside_16, 0),
                                      CASE(free_inside_half, 64),
                                      CASE(free_inside_page, 2 * PAGE),
                                      CASE(free_before, 0),
                                      CASE(free_far, 0),
                                      CASE(free_stack, ONCE),
                                      CASE(free_static, ONCE),
                                      CASE(free_code, ONCE),
                                      CASE(free_mapped, ONCE),
                                      CASE(free_low_address, ONCE),
                                      CASE(free_page_start, 0),
                                      CASE(realloc_freed, 0),
                                      CASE(realloc_inside, 0),
                                      CASE(realloc_stack, ONCE),
                                      CASE(usable_of_freed, 0),
                                      CASE(usable_inside, 0),
                                      CASE(delete_of_another_size, 0),
                                      CASE(delete_of_another_alignment, 0),
                                      CASE(delete_of_malloc, 0),
                                      CASE(delete_of_array, 0),
                                      CASE(delete_array_of_new, 0),
                                      CASE(free_of_new, 0),
                                      CASE(huge_request, 0),
                                      CASE(write_first_word, 0),
                                      CASE(write_second_word, 0),
                                      CASE(write_middle, 64),
                                      CASE(write_all, 0),
                                      CASE(write_all_without_reuse, 0),
                                      CASE(write_then_alloc_once, 0),
                                      CASE(overflow_1, 0),
                                      CASE(overflow_8, 0),
                                      CASE(overflow_16, 0),
                                      CASE(overflow_64, 0),
                                      CASE(overflow_page, 0),
                                      CASE(overflow_mib, 0),
                                      CASE(underflow_mib, 0),
                                      CASE(overflow_of_a_string, 0),
                                      CASE(overflow_into_free, 0),
                                      CASE(underflow_1, 0),
                                      CASE(underflow_8, 0),
                                      CASE(underflow_32, 0),
                                      CASE(write_to_empty_block, ONCE),
                                      CASE(read_of_empty_block, ONCE),
                                      CASE(double_free_of_empty_block, ONCE),
                                      CASE(read_after_free, 0),
                                      CASE(read_before_write, 0),
                                      CASE(reuse_at_once, 0)};

int main(int argc, char **argv)
{
    static const size_t sizes[] = {24, PAGE, 1 << 18, 1 << 20};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
                if (cases[i].least == ONCE ? s == 0 : sizes[s] >= cases[i].least)
                    printf("%s %zu\n", cases[i].name, sizes[s]);
        } else if (argc == 3 && strcmp(argv[1], cases[i].name) == 0) {
            int status;

            size = (size_t)atol(argv[2]);
            alarm(20);
            status = cases[i].run();
            if (write(STDOUT_FILENO, "end", 3) != 3)
                return 3;
            return status;
        }
    }
    return argc == 2 ? 0 : 2;
}
