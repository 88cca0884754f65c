/* test_kfence.c - holds down csrc/kfence: where objects lie, which allocations are samples, what is
 * found at their free; and the statistics of that.
 */
#include "rig_kfence.h"
#include "slab/slab_internal.h"

/* --- objects --------------------------------------------------------------------- */

static void objects_lie_at_an_end(void)
{
    unsigned nr_right = 0;

    fenced_arena(1000000, 31);
    for (unsigned i = 0; i < 400; i++) {
        size_t size = 1 + i * 10;
        char *p = sample(size);
        size_t roundup = pyslab_kmalloc_size_roundup(arena, size);
        size_t after = PAGE_SIZE - (uintptr_t)p % PAGE_SIZE;

        EXPECT(rig_is_filled(p, size, 0));
        EXPECT((uintptr_t)p % 8 == 0);
        EXPECT(after == PAGE_SIZE || after - size < (roundup & -roundup)); /* its alignment */
        nr_right += after != PAGE_SIZE;
        memset(p, 0xee, size);
        EXPECT_EQ(pyslab_ksize(arena, p), size);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_ksize(arena, p), 0);
    }
    EXPECT(nr_right > 150 && nr_right < 250); /* five standard deviations */
    EXPECT_EQ(stats().nr_allocs, 400);
    EXPECT_EQ(stats().nr_frees, 400);
    EXPECT_EQ(nr_seen, 0);
    end();
}

static void pages_are_used_again_in_turn(void)
{
    size_t page = os_page_bytes();
    char *first[7];

    fenced_arena(1000000, 7);
    for (unsigned i = 0; i < 7; i++) {
        first[i] = sample(64);
        EXPECT_EQ(pyslab_kfree(arena, first[i]), PYSLAB_OK);
        for (unsigned j = 0; j < i; j++)
            EXPECT((uintptr_t)first[i] / page != (uintptr_t)first[j] / page);
    }
    EXPECT_EQ((uintptr_t)sample(64) / page, (uintptr_t)first[0] / page);
    EXPECT_EQ(stats().nr_live, 1);
    end();
}

static void a_full_pool_is_passed_by(void)
{
    struct kfence_request request = {.size = 32, .align = 16, .owner = &request, .name = "own"};
    struct kfence *k;

    fenced_arena(1000000, 8);
    k = arena->kmalloc.slabs.kfence;
    /* Of the same place, until the pool is nearly full: then others may have the rest. */
    for (unsigned i = 0; i < (HAS_BACKTRACE ? 20 : 6); i++)
        EXPECT_EQ(kfence_alloc(k, &request) != NULL, i < 6);
    EXPECT_EQ(stats().skipped_known, HAS_BACKTRACE ? 14 : 0);
    EXPECT(kfence_alloc(k, &request) != NULL);
    EXPECT(kfence_alloc(k, &request) != NULL);
    EXPECT(kfence_alloc(k, &request) == NULL);
    EXPECT_EQ(stats().skipped_full, 1);
    EXPECT_EQ(kfence_live_objects(k, &request, NULL, 0), 8);
    make_due();
    EXPECT(pyslab_kmalloc(arena, 100, KERNEL) != NULL); /* not from the pool */
    end();
}

static void the_clock_makes_samples_due(void)
{
    fenced_arena(1, 255);
    for (unsigned i = 0; i < 20000 && stats().nr_allocs < 5; i++) {
        void *p[64];

        for (unsigned j = 0; j < 64; j++)
            p[j] = pyslab_kmalloc(arena, 4096, KERNEL);
        for (unsigned j = 0; j < 64; j++)
            EXPECT_EQ(pyslab_kfree(arena, p[j]), PYSLAB_OK);
        os_sleep_ms(1);
    }
    EXPECT_EQ(stats().nr_allocs, 5);
    EXPECT_EQ(stats().nr_live, 0);
    end();
}

/* What a sample empties is refilled at once: the sheaf has kept the size that it learned. */
static void the_chosen_cache_keeps_its_sheaf(void)
{
    static void *p[20000];
    struct slab_alloc *slabs;
    struct sheaf_slot *slot;
    uint32_t capacity, id;

    fenced_arena(1000000, 31);
    slabs = &arena->kmalloc.slabs;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20000; i++)
            p[i] = pyslab_kmalloc(arena, 24, KERNEL);
        for (unsigned i = 0; i < 20000; i++)
            EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    }
    id = size_class_of(&arena->kmalloc.classes, 24);
    slot = &sheaf_table_own(slabs)->slot[id];
    capacity = slot_main(slot)->capacity;
    EXPECT(capacity > slabs->caches[id]->first_capacity && slot_nr(slot) != 0);
    atomic_store(&arena->pages.sample.wanted, 0);
    atomic_store(&arena->pages.sample.due, true);
    p[0] = pyslab_kmalloc(arena, 3000, KERNEL); /* chooses: 60,000 against 1 */
    EXPECT_EQ(atomic_load(&arena->pages.sample.wanted), id);
    EXPECT_EQ(slot_nr(slot), 0);
    EXPECT_EQ(slot_main(slot)->capacity, capacity);
    rig_validate(arena);
    p[1] = pyslab_kmalloc(arena, 24, KERNEL);
    EXPECT(kfence_has(slabs->kfence, p[1]));
    end();
}

static void caches_have_their_objects(void)
{
    pyslab_kmem_cache *cache, *other;
    pyslab_cache_stats figures;
    void *p, *live[4];

    fenced_arena(1000000, 31);
    cache = cache_with(200, 0);
    other = cache_with(200, 0);
    make_due();
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT(kfence_has(arena->kmalloc.slabs.kfence, p));
    EXPECT_PTR(pyslab_kmem_cache_of(arena, p), cache);
    pyslab_kmem_cache_stats(cache, &figures);
    EXPECT_EQ(figures.live_objects, 1);
    EXPECT_EQ(figures.total_allocs, 1);
    EXPECT_EQ(pyslab_kmem_cache_live_objects(cache, live, 4), 1);
    EXPECT_PTR(live[0], p);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_kmem_cache_free(other, p), PYSLAB_ECACHE);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_WRONG_CACHE);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(other), PYSLAB_OK);
    end();
}

static void not_construct(void *object, void *context)
{
    (void)object;
    (void)context;
}

static void some_are_never_sampled(void)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .dtor = not_construct};
    struct kfence *k;
    pyslab_kmem_cache *cache;
    pyslab_mempool *pool = NULL;

    fenced_arena(1000000, 31);
    k = arena->kmalloc.slabs.kfence;
    make_due();
    EXPECT(!kfence_has(k, pyslab_kmalloc(arena, 4097, KERNEL)));
    EXPECT(!kfence_has(k, pyslab_kmalloc(arena, MIB, KERNEL)));
    EXPECT(!kfence_has(k, pyslab_get_free_pages(arena, KERNEL, 0)));
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "made", 64, &options, &cache), PYSLAB_OK);
    EXPECT(!kfence_has(k, pyslab_kmem_cache_alloc(cache, KERNEL)));
    cache = cache_with(64, PYSLAB_DEBUG_POISON);
    EXPECT(!kfence_has(k, pyslab_kmem_cache_alloc(cache, KERNEL)));
    cache = cache_with(64, 0);
    EXPECT_EQ(pyslab_mempool_create(cache, 4, &pool), PYSLAB_OK);
    EXPECT(!kfence_has(k, pyslab_mempool_alloc(pool, KERNEL)));
    EXPECT(atomic_load(&arena->pages.sample.due));
    EXPECT_EQ(stats().nr_allocs, 0);
    end();
}

static void zeroing_and_resizing_heed_the_bounds(void)
{
    char *p, *q;

    fenced_arena(1000000, 31);
    for (unsigned i = 0; i < 20; i++) {
        make_due();
        p = pyslab_kmalloc(arena, 90, ZEROED);
        EXPECT(rig_is_filled(p, 90, 0));
        memset(p, 0x33, 90);
        EXPECT_PTR(pyslab_krealloc(arena, p, 70, KERNEL), p);
        q = pyslab_krealloc(arena, p, 91, KERNEL);
        EXPECT(q != p && rig_is_filled(q, 70, 0x33));
        EXPECT_EQ(pyslab_kfree_sensitive(arena, q), PYSLAB_OK);
        (void)pyslab_arena_release_unused(arena);
    }
    EXPECT_EQ(stats().nr_allocs, 20);
    EXPECT_EQ(stats().nr_live, 0);
    EXPECT_EQ(nr_seen, 0);
    end();
}

/* --- found at the free ------------------------------------------------------------ */

static void an_overrun_inside_the_page(void)
{
    char *p;

    fenced_arena(1000000, 31);
    p = sample_at(100, false);
    memcpy(p + 100, "abc", 3);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    EXPECT_PTR(seen.object, p);
    EXPECT_EQ(seen.object_size, 100);
    EXPECT_EQ(seen.offset, 100);
    EXPECT_EQ(seen.nr_bytes, 3);
    EXPECT_EQ(seen.found, 'a');
    EXPECT_EQ(seen.access, PYSLAB_ACCESS_NONE);
    EXPECT_EQ(seen.allocated_at != 0, HAS_BACKTRACE);
    EXPECT(
        strstr(seen_text, "BUG kmalloc-112: right red zone overwritten, 3 bytes past the end\n") ==
        seen_text);
    EXPECT(strstr(seen_text, "abc") != NULL);
    EXPECT_EQ(strstr(seen_text, "allocated by\n") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(stats().nr_found, 1);
    EXPECT_EQ(stats().nr_live, 0);
    end();
}

static void an_underrun_inside_the_page(void)
{
    char *p;

    fenced_arena(1000000, 31);
    p = sample_at(112, true);
    p[-2] = 7;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_LEFT_REDZONE);
    EXPECT_EQ(seen.offset, -2);
    EXPECT_EQ(seen.nr_bytes, 1);
    EXPECT(strstr(seen_text, "2 bytes before the start\n") != NULL);
    end();
}

static void validation_looks_at_live_ones(void)
{
    struct finding f = {{0}};
    char *p;

    fenced_arena(1000000, 31);
    p = sample_at(100, false);
    p[101] = 1;
    EXPECT(!kfence_check(arena->kmalloc.slabs.kfence, &f));
    EXPECT(strstr(f.text, "kmalloc-112: 1 bytes beside object") != NULL);
    p[101] = (char)(0xe8 | ((uintptr_t)(p + 101) & 7));
    end();
}

static void wrong_frees(void)
{
    char *p, *guard;

    fenced_arena(1000000, 31);
    p = sample_at(100, false);
    guard = p + PAGE_SIZE;
    EXPECT_EQ(pyslab_kfree(arena, p + 8), PYSLAB_EPOINTER);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_INVALID_FREE);
    EXPECT_PTR(seen.object, p);
    EXPECT_EQ(seen.offset, 8);
    EXPECT_EQ(pyslab_kfree(arena, guard), PYSLAB_EPOINTER);
    EXPECT_PTR(seen.object, NULL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 2);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_DOUBLE_FREE);
    EXPECT_EQ(seen.allocated_at != 0 && seen.freed_at != 0, HAS_BACKTRACE);
    EXPECT(strstr(seen_text, "object already free\n") != NULL);
    EXPECT_EQ(strstr(seen_text, "freed by\n") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(stats().nr_found, 3);
    end();
}

/* --- options, fork ------------------------------------------------------------------------ */

static void texts(void)
{
    static const struct {
        const char *text;
        bool ok;
        uint32_t ms, nr;
    } tried[] = {
        {"100ms", true, 100, 7},  {"1s", true, 1000, 7},        {"250", true, 250, 7},
        {"0", true, 0, 7},        {"5ms,63", true, 5, 63},      {"5s:1", true, 5000, 1},
        {"", false, 0, 0},        {"ms", false, 0, 0},          {"-1", false, 0, 0},
        {"5m", false, 0, 0},      {"5ms,", false, 0, 0},        {"5ms,0", false, 0, 0},
        {"5,65536", false, 0, 0}, {"99999999999", false, 0, 0}, {"99999999s", false, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(tried); i++) {
        uint32_t ms = 9, nr = 7;

        EXPECT_EQ(kfence_parse(tried[i].text, &ms, &nr), tried[i].ok);
        EXPECT_EQ(ms, tried[i].ok ? tried[i].ms : 9);
        EXPECT_EQ(nr, tried[i].ok ? tried[i].nr : 7);
    }
}

static void environment_and_options(void)
{
    pyslab_arena_options options = rig_options(64 * MIB, 10);

    setenv("PYSLAB_KFENCE", "50ms,15", 1);
    fenced_arena(0, 0);
    EXPECT_EQ(stats().sample_ms, 50);
    EXPECT_EQ(stats().nr_objects, 15);
    end();
    fenced_arena(PYSLAB_KFENCE_OFF, 0);
    EXPECT_EQ(stats().sample_ms, 0);
    EXPECT_PTR(arena->kmalloc.slabs.kfence, NULL);
    end();
    unsetenv("PYSLAB_KFENCE");
    fenced_arena(0, 0);
    EXPECT_EQ(stats().sample_ms, 0);
    end();
    options.kfence_sample_ms = 100;
    options.kfence_objects = 65536;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    options.kfence_objects = 0;
    options.shared = PYSLAB_SHARE_READ;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
}

static void too_many_pools(void)
{
    enum { MANY = 300 };
    static struct kfence *k[MANY];
    unsigned nr = 0;

    while (nr < MANY && (k[nr] = kfence_create(1, 100, nr, NULL, NULL)) != NULL)
        nr++;
    EXPECT_EQ(nr, 256);
    while (nr > 0)
        kfence_destroy(k[--nr]);
}

static void a_child_has_its_own(void)
{
    int status;
    char *p;
    pid_t pid;

    fenced_arena(1000000, 31);
    p = sample_at(100, false);
    pid = fork();
    if (pid == 0) {
        p[100] = 1;
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(nr_seen, 1);
        EXPECT_EQ(pyslab_kfree(arena, sample(30)), PYSLAB_OK);
        _exit(check_nr_failures != 0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 0);
    end();
}

/* --- threads --------------------------------------------------------------------------------- */

static void *churn(void *context)
{
    struct rng rng = {(uint64_t)(uintptr_t)context * 77 + 1};

    for (unsigned i = 0; i < 3000; i++) {
        void *p[8];

        for (unsigned j = 0; j < 8; j++) {
            size_t size = 1 + rng_below(&rng, 4000);

            if (rng_below(&rng, 4) == 0)
                make_due();
            p[j] = pyslab_kmalloc(arena, size, KERNEL);
            EXPECT(p[j] != NULL);
            memset(p[j], (int)j, size);
        }
        for (unsigned j = 0; j < 8; j++)
            EXPECT_EQ(pyslab_kfree(arena, p[j]), PYSLAB_OK);
        if (i % 64 == 0)
            (void)pyslab_arena_release_unused(arena);
    }
    return NULL;
}

static void threads_share_a_pool(void)
{
    pthread_t thread[3];

    fenced_arena(1000000, 15);
    for (uintptr_t i = 0; i < 3; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, churn, (void *)i), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    EXPECT(stats().nr_allocs > 100);
    EXPECT_EQ(stats().nr_allocs, stats().nr_frees);
    EXPECT_EQ(stats().nr_live, 0);
    EXPECT_EQ(nr_seen, 0);
    end();
}

/* --- statistics ------------------------------------------------------------------------------- */

/* How many samples of a site go by until its fault is caught at the access; of 112 bytes, written
 * `over` bytes past the end. It is if the object lies at its page's end, which is a coin's throw.
 * The others are found at the free. */
static void faults_are_found_as_expected(void)
{
    struct kfence_request request = {.size = 112, .align = 16, .owner = &request, .name = "own"};
    unsigned caught = 0, at_free = 0, longest = 0, since = 0;
    enum { SAMPLES = 4000 };
    struct kfence *k = kfence_create(31, 100, 12345, NULL, NULL);

    REQUIRE(k != NULL);
    for (unsigned i = 0; i < SAMPLES; i++) {
        char *p = kfence_alloc(k, &request);
        pyslab_corruption found = {.kind = 0};
        struct kfence_object *object;

        REQUIRE(p != NULL);
        since++;
        if (kfence_page(k, kfence_find(k, p)) + PAGE_SIZE == p + 112) {
            caught++; /* a write there has no access */
            longest = since > longest ? since : longest;
            since = 0;
        } else {
            p[112] = 0;
        }
        EXPECT_EQ(kfence_free_begin(k, p, &request, &object), PYSLAB_OK);
        at_free += !kfence_is_whole(k, object, &found);
        kfence_free_end(k, object, 0);
    }
    EXPECT_EQ(caught + at_free, SAMPLES);   /* each fault in a sample is found */
    EXPECT(caught > 1842 && caught < 2158); /* half, within five standard deviations */
    EXPECT(longest < 32);                   /* of 2 to 31 throws one is a tail, to 1e-6 */
    kfence_destroy(k);
}

/* Seven objects of 64 bytes, then one of 200: whether that one was the sample. */
static bool rare_is_sampled(void)
{
    const struct kfence *k = arena->kmalloc.slabs.kfence;
    bool found = false;

    for (unsigned i = 0; i < 8; i++) {
        char *p = pyslab_kmalloc(arena, i < 7 ? 64 : 200, KERNEL);

        found = i == 7 && kfence_has(k, p);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    return found;
}

/* One in eight allocations is of a kind, and so is one in eight samples; so a fault of that kind is
 * found, as docs/kfence.md says, after eight samples on average. */
static void a_rare_kind_has_its_share(void)
{
    enum { SAMPLES = 2000 };
    unsigned nr_rare = 0, longest = 0, since = 0;
    struct kmem_cache *other;

    fenced_arena(1000000, 31);
    other = arena->kmalloc.slabs.caches[size_class_of(&arena->kmalloc.classes, 1024)];
    (void)rare_is_sampled(); /* takes the first sample, which is due at once */
    arena->kmalloc.slabs.kfence->random = 12345;
    for (unsigned i = 0; i < SAMPLES; i++) {
        atomic_store(&arena->pages.sample.wanted, 0);
        atomic_store(&arena->pages.sample.due, true);
        EXPECT(fence_alloc_slow(other, 1024) == NULL); /* a slow path: chooses */
        since++;
        if (rare_is_sampled()) {
            nr_rare++;
            longest = since > longest ? since : longest;
            since = 0;
        }
    }
    EXPECT_EQ(stats().nr_allocs, SAMPLES + 1);
    EXPECT(nr_rare > 176 && nr_rare < 324); /* 250, within five standard deviations */
    EXPECT(longest < 150);                  /* of 250 waits one is longer, to 1e-6 */
    end();
}

static const struct test tests[] = {
    TEST(objects_lie_at_an_end),
    TEST(pages_are_used_again_in_turn),
    TEST(a_full_pool_is_passed_by),
    TEST(the_clock_makes_samples_due),
    TEST(the_chosen_cache_keeps_its_sheaf),
    TEST(caches_have_their_objects),
    TEST(some_are_never_sampled),
    TEST(zeroing_and_resizing_heed_the_bounds),
    TEST(an_overrun_inside_the_page),
    TEST(an_underrun_inside_the_page),
    TEST(validation_looks_at_live_ones),
    TEST(wrong_frees),
    TEST(texts),
    TEST(environment_and_options),
    TEST(too_many_pools),
    TEST(a_child_has_its_own),
    TEST(threads_share_a_pool),
    TEST(faults_are_found_as_expected),
    TEST(a_rare_kind_has_its_share),
};

TEST_MAIN(tests)
