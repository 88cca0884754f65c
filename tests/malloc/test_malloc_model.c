/* test_malloc_model.c - the whole family at random against a table of what must be there:
 * one thread; several that free each other's blocks; threads that come and go. */
#include "renamed.h"

#include <pthread.h>

#define NR_BLOCKS 512u
#define NR_THREADS 4u

struct shadow {
    _Atomic(char *) p; /* in exchange between threads */
    size_t size;
    uint64_t seed;
};

static size_t any_size(struct rng *rng)
{
    uint32_t most = 1u << (4 + rng_below(rng, 17)); /* up to 1 MiB; mostly small */

    return rng_below(rng, rng_below(rng, 8) != 0 ? 512 : most);
}

static char *any_alloc(struct rng *rng, size_t size)
{
    size_t align = (size_t)16 << rng_below(rng, 10);
    void *p = NULL;

    switch (rng_below(rng, 6)) {
    case 0:
        p = test_calloc(1, size);
        EXPECT(is_zero(p, size));
        return p;
    case 1:
        p = test_memalign(align, size);
        EXPECT((uintptr_t)p % align == 0);
        return p;
    case 2:
        EXPECT_EQ(test_posix_memalign(&p, align, size), 0);
        EXPECT((uintptr_t)p % align == 0);
        return p;
    default:
        return test_malloc(size);
    }
}

static void check_and_free(char *p, size_t size, uint64_t seed)
{
    EXPECT(is_filled(p, size, seed));
    EXPECT_GE(test_malloc_usable_size(p), size);
    test_free(p);
}

static void one_thread(void)
{
    static struct shadow shadow[NR_BLOCKS];
    struct rng rng = {.state = 77};

    for (unsigned step = 0; step < (UNDER_TSAN || UNDER_ASAN ? 20000u : 60000u); step++) {
        struct shadow *s = &shadow[rng_below(&rng, NR_BLOCKS)];
        size_t size = any_size(&rng);

        if (s->p == NULL) {
            s->p = any_alloc(&rng, size);
            REQUIRE(s->p != NULL);
        } else if (rng_below(&rng, 3) == 0 && size != 0) {
            s->p = test_realloc(s->p, size);
            REQUIRE(s->p != NULL);
            EXPECT(is_filled(s->p, size < s->size ? size : s->size, s->seed));
        } else {
            check_and_free(s->p, s->size, s->seed);
            s->p = NULL;
            continue;
        }
        s->size = size;
        s->seed = step;
        fill(s->p, size, step);
    }
    for (unsigned i = 0; i < NR_BLOCKS; i++)
        if (shadow[i].p != NULL)
            check_and_free(shadow[i].p, shadow[i].size, shadow[i].seed);
}

/* --- threads ------------------------------------------------------------- */

/* A block on its way tells its size and seed itself. */
struct parcel {
    size_t size;
    uint64_t seed;
};

static _Atomic(char *) mailbox[64];

static void open_parcel(char *p)
{
    struct parcel parcel;

    if (p == NULL)
        return;
    memcpy(&parcel, p, sizeof parcel);
    EXPECT(is_filled(p + sizeof parcel, parcel.size, parcel.seed));
    test_free(p);
}

static void *post(void *argument)
{
    struct rng rng = {.state = (uintptr_t)argument * 7919 + 1};

    for (unsigned step = 0; step < (UNDER_TSAN ? 4000u : 20000u); step++) {
        struct parcel parcel = {.size = any_size(&rng), .seed = step};
        char *p = any_alloc(&rng, sizeof parcel + parcel.size);

        if (p == NULL) {
            EXPECT(p != NULL);
            break;
        }
        memcpy(p, &parcel, sizeof parcel);
        fill(p + sizeof parcel, parcel.size, parcel.seed);
        open_parcel(atomic_exchange(&mailbox[rng_below(&rng, 64)], p));
    }
    return NULL;
}

static void run_posts(unsigned nr, void *(*run)(void *))
{
    pthread_t thread[NR_THREADS];

    for (uintptr_t i = 0; i < nr; i++)
        REQUIRE(pthread_create(&thread[i], NULL, run, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < nr; i++)
        pthread_join(thread[i], NULL);
}

static void empty_mailbox(void)
{
    for (unsigned i = 0; i < 64; i++)
        open_parcel(atomic_exchange(&mailbox[i], NULL));
}

static void threads_free_each_others(void)
{
    run_posts(NR_THREADS, post);
    empty_mailbox();
}

static void *post_a_little(void *argument)
{
    struct rng rng = {.state = (uintptr_t)argument + 5};

    for (unsigned step = 0; step < 50; step++) {
        struct parcel parcel = {.size = rng_below(&rng, 2000), .seed = step};
        char *p = test_malloc(sizeof parcel + parcel.size);

        memcpy(p, &parcel, sizeof parcel);
        fill(p + sizeof parcel, parcel.size, parcel.seed);
        open_parcel(atomic_exchange(&mailbox[rng_below(&rng, 64)], p));
    }
    return NULL;
}

/* Blocks outlive the threads that made them. */
static void threads_come_and_go(void)
{
    for (unsigned round = 0; round < 60; round++)
        run_posts(NR_THREADS, post_a_little);
    empty_mailbox();
}

/* Destructors of a thread's own data allocate and free, round after round. */
static pthread_key_t keys[8];
static _Atomic unsigned nr_destructed;

static void destruct(void *p)
{
    uintptr_t round = *(uintptr_t *)p;

    test_free(p);
    atomic_fetch_add(&nr_destructed, 1);
    for (unsigned i = 0; i < 20; i++)
        test_free(test_malloc(i * 40));
    if (round > 0) {
        uintptr_t *next = test_malloc(sizeof *next);

        *next = round - 1;
        pthread_setspecific(keys[round % 8], next);
    }
}

static void *leave_data(void *unused)
{
    for (unsigned i = 0; i < 8; i++) {
        uintptr_t *p = test_malloc(sizeof *p);

        *p = UNDER_TSAN ? 1 : 3; /* TSan's own data goes in the last round */
        pthread_setspecific(keys[i], p);
    }
    return unused;
}

static void data_destructors(void)
{
    for (unsigned i = 0; i < 8; i++)
        REQUIRE(pthread_key_create(&keys[i], destruct) == 0);
    run_posts(NR_THREADS, leave_data);
    EXPECT_GE(nr_destructed, 8 * NR_THREADS);
}

static const struct test tests[] = {
    TEST(one_thread),
    TEST(threads_free_each_others),
    TEST(threads_come_and_go),
    TEST(data_destructors),
};

TEST_MAIN(tests)
