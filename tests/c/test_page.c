/* test_page.c - holds down page/: where the records lie, the arithmetic between frame
 * and address, the packed word, residency bits, and clearing what may be non-zero. */
#include "page/page.h"

#include "rig.h"

#define NR_FRAMES 64u

static void map_begin(struct frame_map *map)
{
    frame_map_init(map, rig_map((size_t)NR_FRAMES << PAGE_SHIFT, PAGE_SIZE), NR_FRAMES,
                   rig_map(frame_map_bytes(NR_FRAMES), PAGE_SIZE));
}

static void map_end(struct frame_map *map)
{
    os_release(map->base, (size_t)NR_FRAMES << PAGE_SHIFT);
    os_release(map->classes, frame_map_bytes(NR_FRAMES));
}

/* Class map, records and words for free bits fit the metadata, do not overlap, and start at
 * pages. */
static void metadata_layout(void)
{
    static const uint32_t sizes[] = {1, 2, 127, 128, 129, 4095, 4096, 4097, 1000000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t bytes = frame_map_bytes(sizes[i]);
        char *metadata = rig_map(bytes, PAGE_SIZE);
        struct frame_map map;

        frame_map_init(&map, NULL, sizes[i], metadata);
        EXPECT_PTR(map.classes, metadata);
        EXPECT((char *)map.pages >= metadata + sizes[i]);
        EXPECT((char *)(map.pages + sizes[i]) <= (char *)map.free_near);
        EXPECT((char *)(map.free_near + (size_t)sizes[i] * FREE_WORDS_NEAR) <=
               (char *)map.free_far);
        EXPECT((char *)(map.free_far + (size_t)sizes[i] * FREE_WORDS_FAR) <= metadata + bytes);
        EXPECT_EQ((uintptr_t)map.pages & (PAGE_SIZE - 1), 0);
        EXPECT_EQ((uintptr_t)map.free_near & (PAGE_SIZE - 1), 0);
        EXPECT_EQ((uintptr_t)map.free_far & (PAGE_SIZE - 1), 0);
        EXPECT_LE(frame_map_record_bytes(sizes[i]), (size_t)sizes[i] * 33 + 2 * PAGE_SIZE);
        EXPECT_LE(bytes,
                  (size_t)sizes[i] * (33 + 8 * (FREE_WORDS_NEAR + FREE_WORDS_FAR)) + 4 * PAGE_SIZE);
        map.classes[sizes[i] - 1] = 0xff;
        EXPECT_EQ(map.pages[0].word, 0);
        os_release(metadata, bytes);
    }
}

/* pfn, page and address lead to each other; addresses outside lead nowhere. */
/* Every field is set, whatever the memory held: a map may live on the stack. */
static void init_leaves_nothing_to_chance(void)
{
    struct frame_map map;
    _Alignas(4096) static char metadata[2 * 4096];

    memset(&map, 0xff, sizeof map);
    frame_map_init(&map, NULL, 8, metadata);
    EXPECT_EQ(map.nr_mapped, 8);
    EXPECT_EQ(map.bytes, 8 << PAGE_SHIFT);
    EXPECT(map.high == NULL);
}

static void arithmetic(void)
{
    struct frame_map map;

    map_begin(&map);
    for (uint32_t pfn = 0; pfn < NR_FRAMES; pfn++) {
        char *p = pfn_to_virt(&map, pfn);

        EXPECT_PTR(p, map.base + pfn * PAGE_SIZE);
        EXPECT_EQ(virt_to_pfn(&map, p), pfn);
        EXPECT_EQ(virt_to_pfn(&map, p + PAGE_SIZE - 1), pfn);
        EXPECT_EQ(pfn_to_page(&map, pfn) - map.pages, pfn);
    }
    EXPECT_EQ(virt_to_pfn(&map, map.base - 1), PFN_NONE);
    EXPECT_EQ(virt_to_pfn(&map, map.base + NR_FRAMES * PAGE_SIZE), PFN_NONE);
    EXPECT_EQ(virt_to_pfn(&map, NULL), PFN_NONE);
    EXPECT_EQ(virt_to_pfn(&map, (void *)UINTPTR_MAX), PFN_NONE);
    map_end(&map);
}

/* Every state, order and zone survives the packing; flags lie beside them. */
static void word_round_trip(void)
{
    struct page page = {0};

    for (unsigned state = 0; state <= PYSLAB_PAGE_ISOLATED; state++)
        for (unsigned order = 0; order <= MAX_ORDER; order++)
            for (unsigned zone = 0; zone < MAX_NR_ZONES; zone++) {
                store_relaxed(&page.word, PAGE_WORD(state, order, zone) | PAGE_FLAG_CLEAN);
                EXPECT_EQ(page_state(&page), state);
                EXPECT_EQ(page_order(&page), order);
                EXPECT_EQ(page_zone(&page), zone);
                EXPECT_EQ(page.word & PAGE_WORD_MASK, PAGE_WORD(state, order, zone));
            }
}

/* A block's length: from the record for LARGE, from the order for the others. */
static void block_pages_by_state(void)
{
    struct page page = {.large = {.nr_pages = 11}};

    for (unsigned state = 0; state <= PYSLAB_PAGE_ISOLATED; state++) {
        store_relaxed(&page.word, PAGE_WORD(state, 4, 1));
        EXPECT_EQ(page_block_pages(&page), state == PYSLAB_PAGE_UNLISTED ? 0
                                           : state == PYSLAB_PAGE_LARGE  ? 11
                                                                         : 16);
    }
}

/* The residencies of all orders are kept side by side. */
static void residency_bits(void)
{
    struct page page = {0};
    enum residency model[NR_ORDERS] = {0};
    struct rng rng = {2};

    for (int step = 0; step < 2000; step++) {
        unsigned order = rng_below(&rng, NR_ORDERS);

        model[order] = (enum residency)rng_below(&rng, 4);
        page_set_residency(&page, order, model[order]);
        for (unsigned o = 0; o < NR_ORDERS; o++)
            EXPECT_EQ(page_residency(&page, o), model[o]);
    }
}

/* The class map is written for exactly the frames asked for. */
static void set_class_is_exact(void)
{
    struct frame_map map;

    map_begin(&map);
    frame_map_set_class(&map, 5, 7, 42);
    for (uint32_t pfn = 0; pfn < NR_FRAMES; pfn++)
        EXPECT_EQ(map.classes[pfn], pfn >= 5 && pfn < 12 ? 42 : 0);
    frame_map_set_class(&map, 6, 1, CLASS_NONE);
    EXPECT_EQ(map.classes[5] + map.classes[6] + map.classes[7], 84);
    map_end(&map);
}

/* --- clearing ----------------------------------------------------------- */

/* Gives the block a random residency, mixed down to single frames here and there;
 * dirty[] says which frames are. Records of clean halves are made stale on purpose. */
static void make_residency(struct frame_map *map, struct rng *rng, uint32_t pfn, unsigned order,
                           bool *dirty)
{
    static const enum residency states[] = {RESIDENCY_UNTOUCHED, RESIDENCY_ZEROED, RESIDENCY_DIRTY};
    enum residency state = states[rng_below(rng, 3)];

    if (order > 0 && rng_below(rng, 3) != 0) {
        uint32_t half = 1u << (order - 1);

        make_residency(map, rng, pfn, order - 1, dirty);
        make_residency(map, rng, pfn + half, order - 1, dirty);
        state = RESIDENCY_MIXED;
    } else {
        for (uint32_t i = 0; i < 1u << order; i++) {
            dirty[pfn + i] = state == RESIDENCY_DIRTY;
            pfn_to_page(map, pfn + i)->buddy.residency = rng_next(rng);
        }
    }
    page_set_residency(pfn_to_page(map, pfn), order, state);
}

static void fill_dirty(const struct frame_map *map, const bool *dirty)
{
    for (uint32_t i = 0; i < NR_FRAMES; i++)
        memset(pfn_to_virt(map, i), dirty[i] ? 0xdd : 0, PAGE_SIZE);
}

/* A clear of the first n frames cleans the dirty ones among them, counts them, and
 * leaves the frames behind as they are. */
static void clear_block_is_exact(void)
{
    struct rng rng = {3};
    struct frame_map map;
    bool dirty[NR_FRAMES];

    map_begin(&map);
    for (int round = 0; round < 300; round++) {
        uint32_t nr = 1 + rng_below(&rng, NR_FRAMES), expected = 0, cleared;

        make_residency(&map, &rng, 0, 6, dirty);
        fill_dirty(&map, dirty);
        for (uint32_t i = 0; i < nr; i++)
            expected += dirty[i];
        cleared = page_clear_block(&map, 0, 6, nr);
        EXPECT_EQ(cleared, expected);
        for (uint32_t i = 0; i < NR_FRAMES; i++)
            EXPECT(rig_is_filled(pfn_to_virt(&map, i), PAGE_SIZE, i >= nr && dirty[i] ? 0xdd : 0));
    }
    map_end(&map);
}

/* A block that is not known dirty is not even touched. */
static void clear_block_trusts_clean(void)
{
    struct frame_map map;

    map_begin(&map);
    memset(map.base, 0xaa, 4 * PAGE_SIZE);
    page_set_residency(pfn_to_page(&map, 0), 2, RESIDENCY_UNTOUCHED);
    EXPECT_EQ(page_clear_block(&map, 0, 2, 4), 0);
    page_set_residency(pfn_to_page(&map, 0), 2, RESIDENCY_ZEROED);
    EXPECT_EQ(page_clear_block(&map, 0, 2, 3), 0);
    EXPECT(rig_is_filled(map.base, 4 * PAGE_SIZE, 0xaa));
    map_end(&map);
}

static const struct test tests[] = {
    TEST(init_leaves_nothing_to_chance),
    TEST(metadata_layout),
    TEST(arithmetic),
    TEST(word_round_trip),
    TEST(residency_bits),
    TEST(block_pages_by_state),
    TEST(set_class_is_exact),
    TEST(clear_block_is_exact),
    TEST(clear_block_trusts_clean),
};

TEST_MAIN(tests)
