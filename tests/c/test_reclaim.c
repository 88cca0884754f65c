/* test_reclaim.c - holds down the slow path: its steps and their order, as counters and
 * callbacks see them, how often each is repeated, who may not take them, what is owed after.
 * What it is not: shrinkers' arithmetic and life (test_shrinker.c), marks (test_watermark.c). */
#include "page_alloc/page_alloc.h"
#include "rig_zones.h"
#include <pthread.h>

#define NORETRY ((uint32_t)PYSLAB_GFP_NORETRY)
#define MAYFAIL ((uint32_t)PYSLAB_GFP_RETRY_MAYFAIL)
#define NOFAIL ((uint32_t)PYSLAB_GFP_NOFAIL)
#define PRIORITIES 13u /* 12 .. 0: what one pass goes through in vain */

static pyslab_arena *arena;
static uint32_t pfns[8192], nr_held;

/* What the callbacks do and have seen. */
static struct {
    uint64_t freeable;
    int64_t answer;     /* of scan */
    uint32_t frees;     /* blocks of one frame that the next scans give back */
    uint32_t oom_frees; /* likewise the callback */
    int oom_answer;
    unsigned oom_until; /* from this call on it says no; 0: never */
    unsigned nr_counts, nr_scans, nr_ooms, nr_releases;
    size_t oom_bytes;
    uint32_t oom_zone;
    uint64_t at_count[PYSLAB_NR_VM_EVENTS], at_oom[PYSLAB_NR_VM_EVENTS]; /* first calls */
    uint64_t used_at_count;
    char order[64]; /* of the first calls: c, s, o */
    unsigned nr_order;
    char last;
} seen;

static void note(char what)
{
    seen.last = what;
    if (seen.nr_order < sizeof seen.order - 1)
        seen.order[seen.nr_order++] = what;
}

static void give_held(uint32_t nr)
{
    for (; nr > 0 && nr_held > 0; nr--)
        EXPECT_EQ(pyslab_free_pages(arena, pfns[--nr_held], 0), PYSLAB_OK);
}

static uint64_t count(void *context)
{
    (void)context;
    if (seen.nr_counts++ == 0) {
        (void)pyslab_arena_vm_events(arena, seen.at_count, PYSLAB_NR_VM_EVENTS);
        seen.used_at_count = rig_used_pages(arena);
    }
    note('c');
    return seen.freeable;
}

static int64_t scan(uint64_t nr, void *context)
{
    (void)context;
    (void)nr;
    seen.nr_scans++;
    note('s');
    if (seen.frees != 0) {
        uint32_t frees = seen.frees;

        seen.frees = 0;
        give_held(frees);
        return frees;
    }
    return seen.answer;
}

static void release(void *context)
{
    (void)context;
    seen.nr_releases++;
}

static int oom(size_t nbytes, uint32_t zone, void *context)
{
    EXPECT(context == &seen);
    if (seen.nr_ooms++ == 0)
        (void)pyslab_arena_vm_events(arena, seen.at_oom, PYSLAB_NR_VM_EVENTS);
    note('o');
    seen.oom_bytes = nbytes;
    seen.oom_zone = zone;
    give_held(seen.oom_frees);
    return seen.oom_until != 0 && seen.nr_ooms >= seen.oom_until ? 0 : seen.oom_answer;
}

/* An arena of this zone with a shrinker. */
static void begin(const pyslab_zone_options *zone)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 2,
                                       .count = count,
                                       .scan = scan,
                                       .release = release};
    pyslab_shrinker *shrinker = NULL;

    memset(&seen, 0, sizeof seen);
    seen.freeable = 1000;
    arena = rig_zones_arena(zone, 1, 3);
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
}

/* 64 frames, min 8, low 10, high 12, with everything that anyone may have taken. */
static void begin_full(bool with_oom)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 64, 8);

    begin(&zone);
    nr_held = rig_take_all(arena, 0, NOTHING, pfns, 64 + 1);
    EXPECT_EQ(nr_held, 56);
    if (with_oom)
        pyslab_arena_set_oom(arena, oom, &seen);
}

static void end(void)
{
    give_held(nr_held);
    EXPECT_EQ(seen.nr_releases, 0);
    rig_zones_end(arena);
    EXPECT_EQ(seen.nr_releases, 1);
}

static uint32_t take(uint32_t gfp)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 0, gfp);

    if (pfn != PFN_NONE)
        pfns[nr_held++] = pfn;
    return pfn;
}

static void expect_passes(uint64_t passes, uint64_t asked)
{
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_DIRECT_RECLAIM), passes);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_RECLAIM_RETRY), passes);
    EXPECT_EQ(rig_zone_stats(arena, 0).nr_stalls, passes);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_OOM_CALL), asked);
    EXPECT_EQ(seen.nr_ooms, asked);
}

/* --- the steps ---------------------------------------------------------- */

static void steps_in_order(void)
{
    begin_full(true);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_MIN_RETRY), 3); /* for the last two, and the "no" */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE), 0);
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    EXPECT_EQ(seen.at_count[PYSLAB_VM_KSWAPD_WAKE], 1);
    EXPECT_EQ(seen.at_count[PYSLAB_VM_MIN_RETRY], 4);
    EXPECT_EQ(seen.at_count[PYSLAB_VM_DIRECT_RECLAIM], 1);
    EXPECT_EQ(seen.at_count[PYSLAB_VM_RECLAIM_RETRY], 0);
    EXPECT_EQ(seen.at_count[PYSLAB_VM_OOM_CALL], 0);
    EXPECT_EQ(seen.at_oom[PYSLAB_VM_RECLAIM_RETRY], 1);
    EXPECT_EQ(seen.at_oom[PYSLAB_VM_OOM_CALL], 1);
    EXPECT_EQ(seen.at_oom[PYSLAB_VM_ALLOC_FAIL], 1); /* of begin_full */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), 2);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PCP_DRAIN), 0); /* there are none */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 0);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PGSTEAL_DIRECT), 0);
    expect_passes(1, 1);
    EXPECT_EQ(seen.nr_counts, PRIORITIES);
    EXPECT_EQ(seen.oom_bytes, PAGE_SIZE);
    EXPECT_EQ(seen.oom_zone, 0);
    /* 1000 >> 12 .. 5, times two, stay below a batch, with what was deferred; at 4 the
     * first scan, later more of them, and then the callback. */
    EXPECT(strncmp(seen.order, "cccccccccsc", 11) == 0);
    EXPECT_EQ(seen.last, 'o');
    EXPECT_EQ(rig_used_pages(arena), 56);
    end();
}

/* What a shrinker frees serves the request. */
static void shrinkers_serve(void)
{
    begin_full(true);
    seen.frees = 5;
    EXPECT_NE(take(KERNEL), PFN_NONE);
    expect_passes(1, 0);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PGSTEAL_DIRECT), 5);
    EXPECT_EQ(rig_used_pages(arena), 52);
    end();
}

static void oom_serves(void)
{
    begin_full(true);
    seen.oom_frees = 1;
    seen.oom_answer = 1;
    EXPECT_NE(take(KERNEL), PFN_NONE);
    expect_passes(2, 1); /* a pass after the answer, then the retry */
    end();
}

/* Page lists are emptied before anyone is asked: two listed frames merge to a block. */
static void page_lists_first(void)
{
    const pyslab_zone_options zone = {
        .type = PYSLAB_ZONE_NORMAL, .nr_pages = 4096, .batch = 4, .high_min = 16, .high_max = 16};
    uint32_t nr, pfn;

    arena = rig_zones_arena(&zone, 1, 9);
    nr = rig_take_all(arena, 0, NOTHING, pfns, ARRAY_SIZE(pfns));
    EXPECT_EQ(nr, 4096);
    EXPECT_EQ(pyslab_free_pages(arena, 2048, 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, 2049, 0), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).pcp_pages, 2);
    pfn = pyslab_alloc_pages(arena, 1, ATOMIC);
    EXPECT_EQ(pfn, 2048);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PCP_DRAIN), 1);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_DIRECT_RECLAIM), 0);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 1), PYSLAB_OK);
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

/* --- who may not -------------------------------------------------------- */

static void some_cannot_wait(void)
{
    static const uint32_t cannot[] = {PYSLAB_GFP_NOWAIT, NOTHING,
                                      PYSLAB_GFP_KSWAPD_RECLAIM | PYSLAB_GFP_RETRY_MAYFAIL,
                                      PYSLAB_GFP_NOWAIT | PYSLAB_GFP_NOMEMALLOC};

    begin_full(true);
    for (size_t i = 0; i < ARRAY_SIZE(cannot); i++) {
        uint64_t wakes = rig_event(arena, PYSLAB_VM_KSWAPD_WAKE);

        EXPECT_EQ(take(cannot[i]), PFN_NONE);
        EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE) - wakes, i != 1);
    }
    expect_passes(0, 0);
    EXPECT_EQ(seen.nr_counts, 0);
    EXPECT_EQ(take(PYSLAB_GFP_DIRECT_RECLAIM | NORETRY), PFN_NONE); /* may wait, but not wake */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE), 3);
    expect_passes(1, 0);
    end();
}

/* --- how often ---------------------------------------------------------- */

static void noretry_one_pass(void)
{
    begin_full(true);
    seen.answer = 1; /* "one went", each time */
    seen.oom_answer = 1;
    EXPECT_EQ(take(KERNEL | NORETRY), PFN_NONE);
    expect_passes(1, 0);
    EXPECT_EQ(take(KERNEL | NORETRY | MAYFAIL), PFN_NONE); /* the lighter one wins */
    expect_passes(2, 0);
    end();
}

static void mayfail_sixteen_passes(void)
{
    begin_full(true);
    seen.oom_answer = 1;
    EXPECT_EQ(take(KERNEL | MAYFAIL), PFN_NONE); /* nothing goes, and it insists */
    expect_passes(16, 0);
    EXPECT_EQ(seen.nr_counts, 16 * PRIORITIES);
    end();
}

static void progress_sixteen_passes(void)
{
    begin_full(true);
    seen.answer = 1;
    EXPECT_EQ(take(KERNEL), PFN_NONE); /* progress, but never a frame */
    expect_passes(16, 1);
    end();
}

static void oom_sixteen_times(void)
{
    begin_full(true);
    seen.oom_answer = 1;
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    expect_passes(17, 16);
    end();
    begin_full(true);
    seen.oom_answer = 7; /* any answer above 0 */
    seen.oom_until = 5;
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    expect_passes(5, 5);
    end();
    begin_full(true);
    seen.oom_answer = 1;
    seen.answer = 1;
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    expect_passes(17 * 16, 16);
    end();
}

static void oom_hears_the_request(void)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, 8, 0),
                                         rig_zone(PYSLAB_ZONE_NORMAL, 8, 0),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, 8, 0)};

    memset(&seen, 0, sizeof seen);
    arena = rig_zones_arena(zones, 3, 5);
    pyslab_arena_set_oom(arena, oom, &seen);
    EXPECT_EQ(pyslab_alloc_pages(arena, 4, HIGHUSER), PFN_NONE);
    EXPECT_EQ(seen.oom_bytes, 16 * PAGE_SIZE);
    EXPECT_EQ(seen.oom_zone, 2);
    EXPECT(pyslab_alloc_pages_exact(arena, 11 * PAGE_SIZE + 1, DMA) == NULL);
    EXPECT_EQ(seen.oom_bytes, 12 * PAGE_SIZE);
    EXPECT_EQ(seen.oom_zone, 0);
    EXPECT(pyslab_alloc_contig(arena, 9, 1, 0, KERNEL) == NULL);
    EXPECT_EQ(seen.oom_bytes, 9 * PAGE_SIZE);
    EXPECT_EQ(seen.oom_zone, 1);
    EXPECT_EQ(seen.nr_ooms, 3);
    EXPECT_EQ(pyslab_alloc_pages(arena, 6, KERNEL), PFN_NONE); /* larger than any block */
    EXPECT(pyslab_reserve_range(arena, 0, 9) == NULL);
    EXPECT_EQ(seen.nr_ooms, 3);
    pyslab_arena_set_oom(arena, NULL, NULL);
    EXPECT_EQ(pyslab_alloc_pages(arena, 4, HIGHUSER), PFN_NONE);
    EXPECT_EQ(seen.nr_ooms, 3);
    rig_zones_end(arena);
}

static unsigned oom_depth, oom_deepest;

static int oom_that_allocates(size_t nbytes, uint32_t zone, void *context)
{
    (void)nbytes;
    (void)zone;
    (void)context;
    if (++oom_depth > oom_deepest)
        oom_deepest = oom_depth;
    if (oom_depth < 20) {
        uint32_t pfn = pyslab_alloc_pages(arena, 0, KERNEL);

        if (pfn != PFN_NONE)
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
    }
    oom_depth--;
    return 0;
}

/* Once: the callback's own request asked the callback, and so on until
 * the stack was used up. The kernel's out-of-memory path is entered once at a time. */
static void oom_does_not_nest(void)
{
    begin_full(false);
    pyslab_arena_set_oom(arena, oom_that_allocates, NULL);
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    EXPECT_EQ(oom_deepest, 1);
    end();
}

/* --- NOFAIL ------------------------------------------------------------- */

static atomic_uint waiting;
static void *free_one_later(void *unused)
{
    while (atomic_load(&waiting) == 0)
        os_yield();
    os_sleep_ms(30);
    EXPECT_EQ(pyslab_free_pages(arena, pfns[0], 0), PYSLAB_OK);
    return unused;
}

static uint64_t count_waiting(void *unused)
{
    (void)unused;
    atomic_fetch_add(&waiting, 1);
    return 0;
}

static void nofail_waits(void)
{
    pyslab_shrinker_options options = {
        .struct_size = sizeof options, .count = count_waiting, .scan = scan};
    pyslab_shrinker *shrinker;
    pthread_t thread;
    uint64_t nr_fails;

    for (uint32_t retry = 0; retry < 2; retry++) {
        begin_full(true);
        /* NOFAIL may take half of the reserve, as these may. */
        nr_held += rig_take_all(arena, 0, PYSLAB_GFP_HIGH | PYSLAB_GFP_NOMEMALLOC, pfns + nr_held,
                                64);
        nr_fails = rig_event(arena, PYSLAB_VM_ALLOC_FAIL);
        seen.freeable = 0;
        atomic_store(&waiting, 0);
        EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
        REQUIRE(pthread_create(&thread, NULL, free_one_later, NULL) == 0);
        EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL | NOFAIL | (retry != 0 ? NORETRY : 0)),
                  pfns[0]);
        pthread_join(thread, NULL);
        EXPECT(atomic_load(&waiting) > 1); /* it came back to the shrinkers */
        EXPECT_EQ(seen.nr_ooms != 0, retry == 0);
        EXPECT_LE(seen.nr_ooms, 16);
        EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), nr_fails);
        end();
    }
}

static void nofail_must_be_able_to_wait(void)
{
    begin_full(true);
    EXPECT_EQ(take(NOFAIL | NOWAIT), PFN_NONE);
    EXPECT_EQ(pyslab_alloc_pages(arena, 2, KERNEL | NOFAIL), PFN_NONE);
    EXPECT(pyslab_alloc_pages_exact(arena, 3 * PAGE_SIZE, KERNEL | NOFAIL) == NULL);
    EXPECT_EQ(seen.nr_counts, 0);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), 1); /* refused, not failed */
    end();
}

/* --- giving up ---------------------------------------------------------- */

static void give_up(void)
{
    begin_full(true);
    seen.answer = -2;
    seen.oom_answer = 1;
    EXPECT_EQ(take(KERNEL), PFN_NONE);
    EXPECT_EQ(seen.nr_scans, 1);
    EXPECT_EQ(seen.nr_ooms, 0);
    EXPECT(page_alloc_gave_up(&arena->pages));
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), 2);
    EXPECT_EQ(take(KERNEL | MAYFAIL), PFN_NONE);
    EXPECT_EQ(seen.nr_scans, 2);
    /* No smaller one is tried instead: a slab of several frames, then frames. */
    for (size_t size = 64; size <= 16384; size *= 2) {
        seen.nr_scans = 0;
        EXPECT(pyslab_kmalloc(arena, size, KERNEL) == NULL);
        EXPECT_EQ(seen.nr_scans, 1);
    }
    EXPECT_EQ(rig_used_pages(arena), 56);
    seen.answer = 0;
    EXPECT_EQ(take(KERNEL | NORETRY), PFN_NONE);
    EXPECT(!page_alloc_gave_up(&arena->pages));
    end();
}

/* --- what background reclaim owes --------------------------------------- */

/* Free frames are above min and below low: requests are served, and wake. */
static void begin_below_low(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 64, 4);

    zone.watermark[PYSLAB_MARK_LOW] = 40;
    zone.watermark[PYSLAB_MARK_HIGH] = zone.watermark[PYSLAB_MARK_PROMO] = 50;
    begin(&zone);
    for (nr_held = 0; nr_held < 30; nr_held++)
        pfns[nr_held] = pyslab_alloc_pages(arena, 0, NOTHING);
}

static void request(uint32_t gfp)
{
    EXPECT_EQ(pyslab_free_pages(arena, pyslab_alloc_pages(arena, 0, gfp), 0), PYSLAB_OK);
}

static void debt_is_paid_afterwards(void)
{
    begin_below_low();
    request(NOWAIT);
    request(ATOMIC);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE), 2);
    EXPECT_EQ(seen.nr_counts, 0);
    seen.frees = 7;
    seen.answer = -1;
    request(PYSLAB_GFP_DIRECT_RECLAIM); /* woke nobody itself */
    EXPECT_EQ(seen.used_at_count, 31);  /* its frame was in hand already */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 1);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PGSTEAL_KSWAPD), 7);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PGSTEAL_DIRECT), 0);
    expect_passes(0, 0);
    request(PYSLAB_GFP_DIRECT_RECLAIM); /* nothing is owed */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 1);
    end();
}

/* Runs in vain at the 1st, 3rd, 7th, 15th, ... wake; one that gains starts anew. */
static void vain_runs_back_off(void)
{
    uint64_t runs = 0;

    begin_below_low();
    seen.freeable = 0;
    for (unsigned i = 1; i <= 300; i++) {
        bool due = (i & (i + 1)) == 0;

        request(KERNEL);
        runs += due;
        EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), runs);
    }
    EXPECT_EQ(runs, 8); /* 1, 3, 7, .. 255 */
    seen.freeable = 1000;
    seen.answer = -1;
    for (unsigned i = 301; i <= 511; i++) {
        seen.frees = i == 511;
        request(KERNEL);
    }
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 9);
    request(KERNEL); /* the run before gained: no wake passes */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 10);
    end();
}

/* It ends at the high mark (10 of 64): the request leaves this many frames free. With
 * exactly the mark a zone is not balanced, as __zone_watermark_ok wants more than it.
 * Once: balanced at free == high. */
static void balanced_above_high(uint32_t nr_left, uint64_t runs)
{
    static const pyslab_zone_options zone = {.type = PYSLAB_ZONE_NORMAL,
                                             .nr_pages = 64,
                                             .watermark = {4, 5, 10, 10},
                                             .batch = 1,
                                             .high_min = 4,
                                             .high_max = 4};
    pyslab_shrinker_options options = {
        .struct_size = sizeof options, .seeks = 0, .batch = 1, .count = count, .scan = scan};
    pyslab_shrinker *shrinker;

    memset(&seen, 0, sizeof seen);
    seen.freeable = 64;
    seen.answer = -1;
    arena = rig_zones_arena(&zone, 1, 3);
    nr_held = rig_take_all(arena, 0, NOTHING, pfns, 65);
    EXPECT_EQ(nr_held, 60);
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
    seen.frees = nr_left + 1 - 4;
    EXPECT_NE(take(KERNEL), PFN_NONE);
    EXPECT_EQ(rig_zone_stats(arena, 0).free_pages, nr_left);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), runs);
    give_held(nr_held);
    rig_zones_end(arena);
}

static void background_works_to_high(void)
{
    balanced_above_high(9, 1);
    balanced_above_high(10, 1);
    balanced_above_high(11, 0);
}

/* A shrinker that gives up while the debt is paid ends the caller's request: its block
 * goes back. Once: the request was not counted as failed. */
static void give_up_in_background(void)
{
    begin_below_low();
    seen.answer = -2;
    EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(seen.nr_scans, 1);
    EXPECT_EQ(seen.used_at_count, 31);
    EXPECT_EQ(rig_used_pages(arena), 30);
    EXPECT(page_alloc_gave_up(&arena->pages));
    EXPECT_EQ(rig_stats(arena).alloc_failures, 1);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), 1);
    end();
}

/* The same for a run and an exact block: neither is a power of two long. */
static void give_up_with_runs(void)
{
    begin_below_low();
    seen.answer = -2;
    EXPECT(pyslab_alloc_contig(arena, 5, 1, 0, KERNEL) == NULL);
    EXPECT_EQ(rig_used_pages(arena), 30);
    request(NOWAIT);
    store_relaxed(&arena->pages.reclaim.kswapd_skip, 0);
    EXPECT(pyslab_alloc_pages_exact(arena, 3 * PAGE_SIZE, KERNEL) == NULL);
    EXPECT_EQ(rig_used_pages(arena), 30);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_PAGEOUTRUN), 2);
    rig_validate(arena);
    end();
}

static const struct test tests[] = {
    TEST(steps_in_order),
    TEST(shrinkers_serve),
    TEST(oom_serves),
    TEST(page_lists_first),
    TEST(some_cannot_wait),
    TEST(noretry_one_pass),
    TEST(mayfail_sixteen_passes),
    TEST(progress_sixteen_passes),
    TEST(oom_sixteen_times),
    TEST(oom_hears_the_request),
    TEST(oom_does_not_nest),
    TEST(nofail_waits),
    TEST(nofail_must_be_able_to_wait),
    TEST(give_up),
    TEST(debt_is_paid_afterwards),
    TEST(vain_runs_back_off),
    TEST(background_works_to_high),
    TEST(give_up_in_background),
    TEST(give_up_with_runs),
};

TEST_MAIN(tests)
