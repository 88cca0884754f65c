/* test_arena.c - holds down arena/: options and their errors, creation and destruction
 * without a leak, the equations of the statistics, giving memory back, what an arena
 * that nobody touches costs, and that validate notices damage. */
#include "base/fault.h"
#include "rig.h"

#include <errno.h>

/* --- options ------------------------------------------------------------ */

static void expect_create(const pyslab_arena_options *options, int error)
{
    pyslab_arena *arena = NULL;

    EXPECT_EQ(pyslab_arena_create(options, &arena), error);
    EXPECT_EQ(arena != NULL, error == PYSLAB_OK);
    if (arena != NULL)
        rig_end(arena);
}

/* Each option outside its range is EINVAL, and leaves nothing behind. */
static void bad_options(void)
{
    const pyslab_arena_options good = rig_options(MIB, 10);
    struct {
        pyslab_arena_options options;
        uint64_t newer; /* a field that the library does not know */
    } longer = {good, 0};
    pyslab_arena_options bad;
    size_t heap;

    expect_create(&good, PYSLAB_OK);
    longer.options.struct_size = sizeof longer;
    expect_create(&longer.options, PYSLAB_OK);
    heap = os_heap_live_bytes();
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        bad = good;                                                                                \
        bad.field = (value);                                                                       \
        expect_create(&bad, PYSLAB_EINVAL);                                                        \
    } while (0)
    BAD(struct_size, 0);
    BAD(struct_size, offsetof(pyslab_arena_options, background_purge) - 1);
    longer.newer = 1;
    expect_create(&longer.options, PYSLAB_EINVAL);
    BAD(size_bytes, 0);
    BAD(max_order, PYSLAB_MAX_ORDER + 1);
    BAD(max_order, UINT32_MAX);
    BAD(hugepages, PYSLAB_HUGEPAGES_REQUIRE + 1);
    BAD(kmalloc_classes, PYSLAB_CLASSES_LINUX + 1);
    EXPECT_EQ(pyslab_arena_create(NULL, NULL), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_arena_create(&good, NULL), PYSLAB_EINVAL);
    EXPECT_EQ(os_heap_live_bytes(), heap);
}

/* Larger than the machine needs overcommit; larger than 8 TiB is beyond any. */
static void size_limits(void)
{
    pyslab_arena_options options = rig_options(0, 18);

    options.size_bytes = pyslab_physical_bytes() + 1;
    expect_create(&options, PYSLAB_ELIMIT);
    options.size_bytes = ((uint64_t)8 << 40) + 1;
    options.overcommit = 1;
    expect_create(&options, PYSLAB_ELIMIT);
    options.size_bytes = UINT64_MAX;
    expect_create(&options, PYSLAB_ELIMIT);
}

/* Every size of a few frames, and one byte more or less, at every max_order. */
static void odd_sizes(void)
{
    for (unsigned max_order = 0; max_order <= PYSLAB_MAX_ORDER; max_order++)
        for (size_t pages = 1; pages <= 70; pages += pages < 4 ? 1 : 11)
            for (int delta = -1; delta <= 1; delta++) {
                size_t bytes = pages * PAGE_SIZE + (size_t)delta;
                pyslab_arena *arena = rig_arena(bytes, max_order);
                void *p = pyslab_kmalloc(arena, 100, KERNEL);

                EXPECT_EQ(pyslab_arena_size(arena), (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
                EXPECT(p != NULL);
                EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
                rig_end(arena);
            }
}

/* The base is aligned to the largest block, so that block addresses are too. */
static void base_is_aligned(void)
{
    for (unsigned max_order = 0; max_order <= 18; max_order += 3)
        for (size_t bytes = 64 * KIB; bytes <= 64 * MIB; bytes = bytes * 7) {
            pyslab_arena *arena = rig_arena(bytes, max_order);
            unsigned order = min_uint(max_order, ilog2(bytes >> PAGE_SHIFT));
            char *p = pyslab_get_free_pages(arena, order, KERNEL);

            REQUIRE(p != NULL);
            EXPECT_EQ((uintptr_t)p & ((PAGE_SIZE << order) - 1), 0);
            EXPECT_EQ(pyslab_free_pages_address(arena, p, order), PYSLAB_OK);
            rig_end(arena);
        }
}

/* Huge pages: tried, they change nothing visible; required, they are had or refused. */
static void hugepages(void)
{
    pyslab_arena_options options = rig_options(48 * MIB, 18);
    pyslab_arena *arena = NULL;
    int error;

    options.hugepages = PYSLAB_HUGEPAGES_TRY;
    expect_create(&options, PYSLAB_OK);
    options.hugepages = PYSLAB_HUGEPAGES_REQUIRE;
    options.size_bytes = 3 * MIB;
    error = pyslab_arena_create(&options, &arena);
    EXPECT(error == PYSLAB_OK || error == PYSLAB_EOS);
    if (error == PYSLAB_OK) {
        EXPECT_EQ(pyslab_arena_size(arena), 4 * MIB);
        EXPECT_EQ(pyslab_arena_release_unused(arena), 0);
        rig_end(arena);
    }
}

/* --- life --------------------------------------------------------------- */

static void use(pyslab_arena *arena, size_t largest)
{
    pyslab_kmem_cache *cache = NULL;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "used", 72, NULL, &cache), PYSLAB_OK);
    for (int i = 0; i < 100; i++)
        (void)pyslab_kmem_cache_alloc(cache, KERNEL);
    for (size_t size = 8; size <= largest; size *= 2) {
        (void)pyslab_kmalloc(arena, size, KERNEL); /* goes with the arena */
        EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, size, KERNEL)), PYSLAB_OK);
    }
    (void)pyslab_alloc_pages(arena, 2, KERNEL);
}

/* Arenas made, used and destroyed with blocks still live leave the heap and the address
 * space as they were. */
static void create_and_destroy_leaks_nothing(void)
{
    size_t heap = 0;
    unsigned long mapped = 0;

    for (int round = 0; round < 60; round++) {
        pyslab_arena *arena[5];
        unsigned long now = 0;
        FILE *file;

        for (unsigned i = 0; i < ARRAY_SIZE(arena); i++) {
            arena[i] = rig_arena(MIB << i, i * 4);
            use(arena[i], i == 0 ? PAGE_SIZE : 32 * KIB);
            rig_validate(arena[i]);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(arena); i++) /* not in the order of creation */
            pyslab_arena_destroy(arena[(i * 2 + 1) % ARRAY_SIZE(arena)]);
        file = fopen("/proc/self/statm", "r");
        REQUIRE(file != NULL && fscanf(file, "%lu", &now) == 1);
        fclose(file);
        if (round == 2) { /* the heap's chunks are there by now */
            heap = os_heap_live_bytes();
            mapped = now;
        }
        if (round > 2) {
            EXPECT_EQ(os_heap_live_bytes(), heap);
            if (!UNDER_ASAN && !UNDER_TSAN)
                EXPECT_EQ(now, mapped);
        }
    }
}

/* Two arenas know nothing of each other. */
static void arenas_are_separate(void)
{
    pyslab_arena *a = rig_arena(MIB, 10), *b = rig_arena(MIB, 10);

    for (int i = 0; i < 100; i++) {
        char *p = pyslab_kmalloc(a, 64, KERNEL), *q = pyslab_kmalloc(b, 64, KERNEL);

        EXPECT_EQ(pyslab_kfree(b, p), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_kfree(a, q), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_virt_to_pfn(a, q), PYSLAB_PFN_NONE);
        EXPECT_EQ(pyslab_kfree(b, q), PYSLAB_OK);
        if (i % 2 == 0)
            EXPECT_EQ(pyslab_kfree(a, p), PYSLAB_OK);
    }
    EXPECT_EQ(rig_stats(a).live_objects, 50);
    EXPECT_EQ(rig_stats(b).live_objects, 0);
    rig_end(a);
    rig_end(b);
}

/* --- statistics --------------------------------------------------------- */

struct held {
    void *p;
    uint32_t pfn, order;
};

/* Random use, and after each few steps the equations against a model of what is held. */
static void statistics_add_up(void)
{
    enum { NR = 200 };
    pyslab_arena *arena = rig_arena(64 * MIB, 18);
    struct held held[NR] = {{NULL, 0, 0}};
    struct rng rng = {11};
    uint64_t live = 0, live_bytes = 0, large = 0, large_pages = 0, blocks = 0, peak = 0;

    for (int step = 0; step < 6000; step++) {
        struct held *h = &held[rng_below(&rng, NR)];
        size_t size = 1 + rng_below(&rng, rng_below(&rng, 5) == 0 ? 600000 : 3000);
        pyslab_arena_stats stats;

        if (h->p != NULL && h->order == UINT32_MAX) {
            size_t usable = pyslab_ksize(arena, h->p);
            bool is_large = usable > 256 * KIB;

            EXPECT_EQ(pyslab_kfree(arena, h->p), PYSLAB_OK);
            live -= !is_large;
            live_bytes -= is_large ? 0 : usable;
            large -= is_large;
            large_pages -= is_large ? usable >> PAGE_SHIFT : 0;
            h->p = NULL;
        } else if (h->p != NULL) {
            EXPECT_EQ(pyslab_free_pages(arena, h->pfn, h->order), PYSLAB_OK);
            blocks -= 1u << h->order;
            h->p = NULL;
        } else if (rng_below(&rng, 4) == 0) {
            h->order = rng_below(&rng, 6);
            h->pfn = pyslab_alloc_pages(arena, h->order, KERNEL);
            h->p = pyslab_page_address(arena, h->pfn);
            blocks += h->p != NULL ? 1u << h->order : 0;
        } else if ((h->p = pyslab_kmalloc(arena, size, KERNEL)) != NULL) {
            size_t usable = pyslab_ksize(arena, h->p);
            bool is_large = usable > 256 * KIB;

            h->order = UINT32_MAX;
            live += !is_large;
            live_bytes += is_large ? 0 : usable;
            large += is_large;
            large_pages += is_large ? usable >> PAGE_SHIFT : 0;
        }
        stats = rig_stats(arena);
        EXPECT_EQ(stats.live_objects, live);
        EXPECT_EQ(stats.live_object_bytes, live_bytes);
        EXPECT_EQ(stats.large_count, large);
        EXPECT_EQ(stats.large_pages, large_pages);
        EXPECT_EQ(stats.block_pages, blocks);
        EXPECT_EQ(stats.managed_pages, stats.free_pages + stats.pcp_pages + stats.slab_pages +
                                           stats.large_pages + stats.block_pages);
        EXPECT_LE(stats.dirty_free_pages, stats.free_pages);
        peak = stats.managed_pages - stats.free_pages > peak
                   ? stats.managed_pages - stats.free_pages
                   : peak;
        EXPECT_GE(stats.peak_used_pages, peak);
        if (step % 500 == 0)
            rig_validate(arena);
    }
    EXPECT_EQ(rig_stats(arena).alloc_failures, 0);
    rig_end(arena);
}

/* After everything is freed and released, an arena is as it was on its first day. */
static void release_unused_gives_all_back(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 18);
    pyslab_arena_stats stats;
    void *block[400];
    uint64_t released;

    for (int i = 0; i < 400; i++)
        memset(block[i] = pyslab_kmalloc(arena, (size_t)50 * (size_t)(i + 1), KERNEL), 1,
               (size_t)50 * (size_t)(i + 1));
    for (int i = 0; i < 400; i++)
        EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
    released = pyslab_arena_release_unused(arena);
    EXPECT_GE(released, 4 * MIB); /* 50 * (1 + ... + 400) bytes at least, nearly */
    stats = rig_stats(arena);
    EXPECT_EQ(stats.pages_released << PAGE_SHIFT, released);
    EXPECT_EQ(stats.free_pages, stats.managed_pages);
    EXPECT_EQ(stats.cached_objects, 0);
    EXPECT_EQ(stats.dirty_free_pages, 0);
    EXPECT_EQ(pyslab_arena_release_unused(arena), 0);
    EXPECT(pyslab_kzalloc(arena, 32 * MIB, KERNEL) != NULL);
    EXPECT_EQ(rig_stats(arena).pages_cleared, stats.pages_cleared);
    rig_end(arena);
}

/* --- cost of nothing ---------------------------------------------------- */

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total, resident = 0;

    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2)
        abort();
    fclose(file);
    return resident * os_page_bytes();
}

/* 64 GiB that nobody touches: less than 2 MiB resident, whatever the largest block. */
static void untouched_arena_is_cheap(void)
{
    static const unsigned orders[] = {18, 10, 0};

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        pyslab_arena_options options = rig_options((size_t)64 << 30, orders[i]);
        size_t before = resident_bytes(), used;
        pyslab_arena *arena;

        options.overcommit = 1;
        arena = rig_arena_of(&options);
        EXPECT_EQ(rig_stats(arena).managed_pages, (uint64_t)16 << 20);
        EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 100, KERNEL)), PYSLAB_OK);
        rig_validate(arena);
        used = resident_bytes() - before;
        if (!UNDER_TSAN && !UNDER_ASAN) /* their shadow counts as ours */
            EXPECT_LE(used, 2 * MIB);
        pyslab_arena_destroy(arena);
    }
}

/* --- validate ----------------------------------------------------------- */

static void expect_corrupt(pyslab_arena *arena)
{
    char message[80] = "";

    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_ECORRUPT);
    EXPECT_NE(message[0], 0);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_ECORRUPT);
}

/* A class byte, a counter, a record, a write to freed memory: each is noticed. */
static void validate_notices(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 18);
    uint64_t *p = pyslab_kmalloc(arena, 64, KERNEL), *large = pyslab_kmalloc(arena, MIB, KERNEL);
    uint32_t pfn = pyslab_virt_to_pfn(arena, p), large_pfn = pyslab_virt_to_pfn(arena, large);
    struct frame_map *map = &arena->pages.map;

    rig_validate(arena);
    map->classes[pfn]++;
    expect_corrupt(arena);
    map->classes[pfn]--;
    map->classes[large_pfn] = CLASS_NONE;
    expect_corrupt(arena);
    map->classes[large_pfn] = CLASS_LARGE;
    map->classes[large_pfn + 1] = 3;
    expect_corrupt(arena);
    map->classes[large_pfn + 1] = CLASS_NONE;
    map->pages[large_pfn].large.nr_pages--;
    expect_corrupt(arena);
    map->pages[large_pfn].large.nr_pages++;
    arena->pages.shelf.nr_large += SHELF_LARGE(1, 0);
    expect_corrupt(arena);
    arena->pages.shelf.nr_large -= SHELF_LARGE(1, 0);
    rig_validate(arena);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    p[1] ^= 1; /* use after free */
    expect_corrupt(arena);
    p[1] ^= 1;
    rig_end(arena);
}

/* --- what is not needed yet ---------------------------------------------- */

#define BIG_BYTES (1024 * MIB)
#define BIG_PAGES ((uint32_t)(BIG_BYTES >> PAGE_SHIFT))

static char *first_record(const pyslab_arena *arena, uint32_t pfn)
{
    return (char *)pfn_to_page(&arena->pages.map, pfn);
}

/* The flags that /proc/self/smaps tells of the mapping that an address lies in. */
static bool mapping_flags(const void *p, char *flags, size_t bytes)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[4096];
    bool inside = false;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long start, end;

        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)p >= start && (uintptr_t)p < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, bytes, "%.*s ", (int)strcspn(line, "\n"), line);
    }
    return file != NULL && fclose(file) == 0;
}

static bool is_flagged(const void *p, const char *flag)
{
    char flags[256] = "";

    EXPECT(mapping_flags(p, flags, sizeof flags) && flags[0] != '\0');
    return strstr(flags, flag) != NULL;
}

/* Records, class bytes and dumps reach as far as the zone has come, and not to the arena's end. */
static void expect_open_to(const pyslab_arena *arena, uint32_t pfn)
{
    const struct frame_map *map = &arena->pages.map;

    EXPECT(is_flagged(first_record(arena, pfn - 1), " wr "));
    EXPECT(is_flagged(&map->classes[pfn - 1], " wr "));
    EXPECT(!is_flagged(first_record(arena, pfn - 1), " dd "));
    EXPECT(!is_flagged(map->base + ((size_t)(pfn - 1) << PAGE_SHIFT), " dd "));
    EXPECT(!is_flagged(first_record(arena, BIG_PAGES - 1), " wr "));
    EXPECT(is_flagged(first_record(arena, BIG_PAGES - 1), " dd "));
    EXPECT(is_flagged(map->base + BIG_BYTES - PAGE_SIZE, " dd "));
}

/* A large arena opens its records as its frontier moves; all of it can be had in the end. */
static void records_open_on_demand(void)
{
    pyslab_arena *arena = rig_arena(BIG_BYTES, 18);
    uint32_t pfn, nr = 0;

    expect_open_to(arena, 1);
    EXPECT_EQ(pyslab_page_state(arena, BIG_PAGES - 1), PYSLAB_PAGE_UNLISTED);
    EXPECT_EQ(pyslab_kfree(arena, (char *)pyslab_arena_base(arena) + BIG_BYTES - PAGE_SIZE),
              PYSLAB_EDOUBLE);
    for (; nr < BIG_PAGES / 2; nr += 1024)
        REQUIRE(pyslab_alloc_pages(arena, 10, KERNEL) != PFN_NONE);
    expect_open_to(arena, nr);
    rig_validate(arena);
    EXPECT(pyslab_reserve_range(arena, BIG_PAGES - 10, 10) != NULL);
    EXPECT(is_flagged(first_record(arena, BIG_PAGES - 1), " wr "));
    EXPECT(!is_flagged((char *)pyslab_arena_base(arena) + BIG_BYTES - PAGE_SIZE, " dd "));
    while ((pfn = pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_NOWARN)) != PFN_NONE)
        nr++;
    EXPECT_EQ(nr, BIG_PAGES - 10);
    rig_end(arena);
}

/* Each zone opens its own, high ones too. */
static void records_of_zones(void)
{
    const pyslab_zone_options zones[] = {
        {.type = PYSLAB_ZONE_DMA, .nr_pages = 1000, .batch = 1},
        {.type = PYSLAB_ZONE_NORMAL, .nr_pages = 99001, .batch = 1},
        {.type = PYSLAB_ZONE_HIGHMEM, .nr_pages = 100007, .batch = 1},
    };
    pyslab_arena_options options = rig_options((size_t)200008 << PAGE_SHIFT, 10);
    pyslab_arena *arena;
    uint64_t nr = 0;

    options.zones = zones;
    options.nr_zones = 3;
    options.overcommit = 1;
    arena = rig_arena_of(&options);
    while (pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_NOWARN) !=
           PFN_NONE)
        nr++;
    EXPECT_EQ(nr, 200008);
    rig_end(arena);
}

/* Refused records are like missing memory: the request fails, and nothing is lost. */
static void records_refused(void)
{
    pyslab_arena *arena = rig_arena(BIG_BYTES, 18);

    if (PYSLAB_CHECK_LEVEL == 0)
        return;
    while (arena->pages.zone[0].frontier < ZONE_RECORDS_STEP)
        REQUIRE(pyslab_alloc_pages(arena, 10, KERNEL) != PFN_NONE);
    fault_inject(1, true);
    EXPECT_EQ(pyslab_alloc_pages(arena, 12, KERNEL | PYSLAB_GFP_NOWARN), PFN_NONE);
    EXPECT_GE(fault_count(), 2);
    fault_inject(0, false);
    rig_validate(arena);
    EXPECT_NE(pyslab_alloc_pages(arena, 12, KERNEL), PFN_NONE);
    rig_end(arena);
}

/* --- contracts ----------------------------------------------------------- */

static void init_over_an_arena(void)
{
    static struct pyslab_arena twice;
    const pyslab_arena_options options = rig_options(MIB, 8);

    (void)arena_init(&twice, &options);
    (void)arena_init(&twice, &options);
}

/* A zone that has lost count of a frame is found when its arena goes. */
static void lose_a_frame(void)
{
    pyslab_arena *arena = rig_arena(MIB, 8);

    (void)pyslab_alloc_pages(arena, 0, KERNEL);
    arena->pages.zone[0].used_pages++;
    arena_destroy(arena);
}

/* A page block that says it is a slab is on no cache's list. */
static void change_a_state(void)
{
    pyslab_arena *arena = rig_arena(MIB, 8);
    uint32_t pfn = pyslab_alloc_pages(arena, 4, KERNEL);
    struct page *page = pfn_to_page(&arena->pages.map, pfn);

    store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_SLAB, 4, page_zone(page)));
    arena_destroy(arena);
}

static void contracts(void)
{
    EXPECT(check_stops(init_over_an_arena, "arena->bytes == 0"));
    if (PYSLAB_CHECK_LEVEL >= 2) {
        EXPECT(check_stops(lose_a_frame, "frames free"));
        EXPECT(check_stops(change_a_state, "arena: "));
    }
}

static const struct test tests[] = {
    TEST(bad_options),
    TEST(size_limits),
    TEST(odd_sizes),
    TEST(base_is_aligned),
    TEST(hugepages),
    TEST(create_and_destroy_leaks_nothing),
    TEST(arenas_are_separate),
    TEST(statistics_add_up),
    TEST(release_unused_gives_all_back),
    TEST(validate_notices),
    TEST(untouched_arena_is_cheap),
    TEST(records_open_on_demand),
    TEST(records_of_zones),
    TEST(records_refused),
    TEST(contracts),
};

TEST_MAIN(tests)
