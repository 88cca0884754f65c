/* test_pcp.c - holds down the per-thread page lists of page_alloc/: what a list keeps,
 * how it is refilled and emptied, that a thread's end and a drain request empty it. And
 * giving memory back: what goes, and that it makes no other thread's request fail. */
#include "page_alloc/page_alloc.h"

#include "rig.h"

#include <pthread.h>
#include <sys/mman.h>

static uint32_t list_nr(struct page_rig *rig, unsigned order)
{
    struct pcp *pcp = thread_slot(&rig->domain, THREAD_SLOT_PCP);

    return pcp_list_at(&pcp->set[0], order)->nr;
}

/* Orders 0 to 9 have lists, the others none; the lists lie side by side and end where their set
 * does. */
static void which_orders_have_lists(void)
{
    struct pcp_set set;

    for (unsigned order = 0; order <= MAX_ORDER; order++)
        EXPECT_EQ(pcp_has_list(order), order <= 9);
    EXPECT(!pcp_has_list(UINT32_MAX));
    EXPECT((unsigned char *)pcp_list_at(&set, 9) == set.bytes);
    for (unsigned order = 1; order <= 9; order++)
        EXPECT((unsigned char *)&pcp_list_at(&set, order)->frame[PCP_CAPACITY_REST] ==
               (unsigned char *)pcp_list_at(&set, order - 1));
    EXPECT((unsigned char *)&pcp_list_at(&set, 0)->frame[PCP_CAPACITY] ==
           set.bytes + sizeof set.bytes);
}

/* A refill takes a batch; the block freed last is the next one given. */
static void youngest_first(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 32768, 10);
    for (unsigned order = 0; order <= 3; order++) {
        uint32_t block[3], batch = rig.pa.pcp_batch[0][order];

        for (int i = 0; i < 3; i++)
            block[i] = page_alloc_block(&rig.pa, order, KERNEL);
        EXPECT_EQ(list_nr(&rig, order), (batch - 3 % batch) % batch);
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(page_put(&rig.pa, block[i], order), PYSLAB_OK);
        for (int i = 3; i-- > 0;)
            EXPECT_EQ(page_alloc_block(&rig.pa, order, KERNEL), block[i]);
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(page_put(&rig.pa, block[i], order), PYSLAB_OK);
        page_rig_check(&rig);
    }
    page_rig_end(&rig);
}

/* The number of the block that comes as number i of a refill of nr blocks: addresses rise, but the
 * first block comes last. */
static uint32_t nth_of_refill(uint32_t i, uint32_t nr)
{
    return (i + 1) % nr;
}

/* Blocks of a fresh zone come with rising addresses within each refill. */
static void addresses_rise(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 32768, 10);
    for (unsigned order = 0; order <= 3; order++) {
        uint32_t batch = rig.pa.pcp_batch[0][order], nr = 3 * batch, block[3 * PCP_CAPACITY];

        for (uint32_t i = 0; i < nr; i++) {
            block[i] = page_alloc_block(&rig.pa, order, KERNEL);
            EXPECT_EQ(block[i] >> order, i / batch * batch + nth_of_refill(i % batch, batch));
        }
        while (nr > 0)
            EXPECT_EQ(page_put(&rig.pa, block[--nr], order), PYSLAB_OK);
        pcp_drain(&rig.pa);
    }
    page_rig_end(&rig);
}

/* A buddy that has less than a batch left: the list gets what there is, in the same order. */
static void addresses_rise_to_the_last(void)
{
    static const uint32_t sizes[] = {32768, 32771}; /* 1, and 4, more than batches have */

    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct page_rig rig;
        uint32_t batch;

        page_rig_begin(&rig, sizes[s], 10);
        batch = rig.pa.pcp_batch[0][0];
        EXPECT_EQ(sizes[s] % batch, s == 0 ? 1 : 4);
        for (uint32_t i = 0; i < sizes[s]; i++) {
            uint32_t start = i / batch * batch, nr = min_uint(batch, sizes[s] - start);

            EXPECT_EQ(page_alloc_block(&rig.pa, 0, KERNEL), start + nth_of_refill(i - start, nr));
        }
        EXPECT_EQ(page_alloc_block(&rig.pa, 0, KERNEL), PFN_NONE);
        for (uint32_t pfn = 0; pfn < sizes[s]; pfn++)
            EXPECT_EQ(page_put(&rig.pa, pfn, 0), PYSLAB_OK);
        page_rig_end(&rig);
    }
}

/* The kernel's batch (zone_batchsize) and high_min, within the caps. */
static void batch_and_high(void)
{
    static const struct {
        uint32_t nr_pages, batch, high;
    } expected[] = {{4096, 1, 4}, {32768, 7, 28}, {131072, 31, 124}, {262144, 63, 128}};

    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        struct page_rig rig;

        page_rig_begin(&rig, expected[i].nr_pages, 10);
        EXPECT_EQ(rig.pa.pcp_batch[0][0], expected[i].batch);
        EXPECT_EQ(rig.pa.pcp_high[0][0], expected[i].high);
        page_rig_end(&rig);
    }
}

/* However much is freed, a thread keeps at most 1 MiB, plus one 2 MiB block in a large
 * arena, and in a small arena a small part. */
static void kept_pages_are_bounded(void)
{
    static const uint32_t sizes[] = {64, 255, 256, 1024, 16384, 131072};
    static uint32_t block[1024];

    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct page_rig rig;

        page_rig_begin(&rig, sizes[s], 10);
        for (unsigned order = 0; order <= 3; order++) {
            uint32_t nr = 0;

            while (nr < ARRAY_SIZE(block) &&
                   (block[nr] = page_alloc_block(&rig.pa, order, KERNEL)) != PFN_NONE)
                nr++;
            while (nr > 0)
                EXPECT_EQ(page_put(&rig.pa, block[--nr], order), PYSLAB_OK);
        }
        block[0] = page_alloc_block(&rig.pa, 9, KERNEL);
        EXPECT_EQ(block[0] != PFN_NONE, sizes[s] >= 512);
        EXPECT(block[0] == PFN_NONE || page_put(&rig.pa, block[0], 9) == PYSLAB_OK);
        EXPECT_EQ(list_nr(&rig, 9), sizes[s] >= 131072);
        EXPECT_LE(rig_pcp_pages(&rig.pa) - list_nr(&rig, 9) * 512, 256);
        EXPECT_LE(rig_pcp_pages(&rig.pa), sizes[s] / 64);
        EXPECT_EQ(rig_pcp_pages(&rig.pa) + page_rig_free(&rig), sizes[s]);
        page_rig_end(&rig);
    }
}

/* A drain empties the lists and says whether there was anything. */
static void drain(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 32768, 10);
    EXPECT(!pcp_drain(&rig.pa));
    EXPECT_EQ(page_put(&rig.pa, page_alloc_block(&rig.pa, 0, KERNEL), 0), PYSLAB_OK);
    EXPECT_EQ(rig_pcp_pages(&rig.pa), rig.pa.pcp_batch[0][0]);
    EXPECT(pcp_drain(&rig.pa));
    EXPECT(!pcp_drain(&rig.pa));
    EXPECT_EQ(rig_pcp_pages(&rig.pa), 0);
    page_rig_end(&rig);
}

static void *use_lists(void *argument)
{
    struct page_rig *rig = argument;

    for (unsigned order = 0; order <= 4; order++)
        EXPECT_EQ(page_put(&rig->pa, page_alloc_block(&rig->pa, order, KERNEL), order), PYSLAB_OK);
    EXPECT_NE(rig_pcp_pages(&rig->pa), 0);
    return NULL;
}

/* A thread that ends gives its lists to the buddy. */
static void thread_exit_empties_the_lists(void)
{
    struct page_rig rig;
    pthread_t thread;

    page_rig_begin(&rig, 32768, 10);
    REQUIRE(pthread_create(&thread, NULL, use_lists, &rig) == 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(rig_pcp_pages(&rig.pa), 0);
    EXPECT_EQ(page_rig_free(&rig), 32768);
    page_rig_end(&rig);
}

struct drain_meeting {
    struct page_rig rig;
    pthread_barrier_t barrier;
};

static void *keep_then_exchange(void *argument)
{
    struct drain_meeting *m = argument;
    uint32_t block[65];

    EXPECT_EQ(page_put(&m->rig.pa, page_alloc_block(&m->rig.pa, 1, KERNEL), 1), PYSLAB_OK);
    pthread_barrier_wait(&m->barrier); /* blocks of order 1 wait on this thread's list */
    pthread_barrier_wait(&m->barrier); /* a drain was asked for */
    EXPECT_NE(list_nr(&m->rig, 1), 0);
    for (int i = 0; i < 65; i++) /* order 0 needs the buddy: an exchange */
        block[i] = page_alloc_block(&m->rig.pa, 0, KERNEL);
    EXPECT_EQ(list_nr(&m->rig, 1), 0);
    for (int i = 0; i < 65; i++)
        EXPECT_EQ(page_put(&m->rig.pa, block[i], 0), PYSLAB_OK);
    return NULL;
}

/* A thread heeds a request to drain at its next exchange, on every list it has. */
static void drain_request_is_heeded(void)
{
    static struct drain_meeting m;
    pthread_t thread;

    page_rig_begin(&m.rig, 32768, 10);
    pthread_barrier_init(&m.barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, keep_then_exchange, &m) == 0);
    pthread_barrier_wait(&m.barrier);
    EXPECT_EQ(rig_pcp_pages(&m.rig.pa), 2 * m.rig.pa.pcp_batch[0][1]);
    page_alloc_request_drain(&m.rig.pa);
    pthread_barrier_wait(&m.barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&m.barrier);
    page_rig_end(&m.rig);
}

/* --- to the operating system -------------------------------------------- */

static void fill(struct page_rig *rig, uint32_t pfn, uint32_t nr_pages, int byte)
{
    memset(pfn_to_virt(&rig->pa.map, pfn), byte, (size_t)nr_pages << PAGE_SHIFT);
}

static bool reads(struct page_rig *rig, uint32_t pfn, uint32_t nr_pages, unsigned char byte)
{
    return rig_is_filled(pfn_to_virt(&rig->pa.map, pfn), (size_t)nr_pages << PAGE_SHIFT, byte);
}

static uint32_t resident(struct page_rig *rig)
{
    static unsigned char map[4096];
    uint32_t nr = 0;

    if (mincore(rig->pa.map.base, (size_t)rig->pa.map.nr_pages << PAGE_SHIFT, map) != 0)
        abort();
    for (uint32_t i = 0; i < rig->pa.map.nr_pages; i++)
        nr += map[i] & 1;
    return nr;
}

/* Free resident frames go, used ones stay with their content, and it is counted. */
static void release_gives_free_frames_back(void)
{
    struct page_rig rig;
    uint32_t kept, freed, single;

    page_rig_begin(&rig, 1024, 10);
    kept = page_alloc_block(&rig.pa, 4, KERNEL);
    freed = page_alloc_exact(&rig.pa, 100, 0, KERNEL);
    single = page_alloc_block(&rig.pa, 0, KERNEL);
    fill(&rig, kept, 16, 0x41);
    fill(&rig, freed, 100, 0x42);
    fill(&rig, single, 1, 0x43);
    page_free_range(&rig.pa, freed, 100);
    EXPECT_EQ(page_put(&rig.pa, single, 0), PYSLAB_OK); /* on a page list: goes too */
    EXPECT_EQ(resident(&rig), 117);
    EXPECT_EQ(page_alloc_release(&rig.pa), 101);
    EXPECT_EQ(resident(&rig), 16);
    EXPECT(reads(&rig, kept, 16, 0x41));
    EXPECT(reads(&rig, freed, 100, 0));
    EXPECT_EQ(rig.pa.pages_released, 101);
    EXPECT_EQ(page_alloc_release(&rig.pa), 0);
    page_rig_check(&rig);
    EXPECT_EQ(page_put(&rig.pa, kept, 4), PYSLAB_OK);
    EXPECT_EQ(page_alloc_release(&rig.pa), 16);
    EXPECT_EQ(resident(&rig), 0);
    EXPECT_EQ(page_alloc_block(&rig.pa, 10, ZEROED), 0);
    EXPECT_EQ(rig.pa.pages_known_zero, 1024);
    EXPECT_EQ(page_put(&rig.pa, 0, 10), PYSLAB_OK);
    page_rig_end(&rig);
}

struct release_race {
    struct page_rig rig;
    atomic_uint releases; /* that gave something back */
    atomic_bool stop;
};

static void *release_on_and_on(void *argument)
{
    struct release_race *race = argument;

    while (!race->stop)
        race->releases += page_alloc_release(&race->rig.pa) != 0;
    return NULL;
}

/* At most 64 of 2048 frames are in use at any time: no request may fail, whatever
 * another thread is giving back to the operating system meanwhile. */
static void release_fails_no_other_request(void)
{
    const unsigned most = UNDER_TSAN ? 2000 : 50000;
    static struct release_race race;
    unsigned failures = 0, requests;
    pthread_t thread;

    page_rig_begin(&race.rig, 2048, 18);
    REQUIRE(pthread_create(&thread, NULL, release_on_and_on, &race) == 0);
    for (requests = 0; requests < 200 || (race.releases < 200 && requests < most); requests++) {
        uint32_t pfn = page_alloc_exact(&race.rig.pa, 64, 0, KERNEL);

        failures += pfn == PFN_NONE;
        if (pfn == PFN_NONE)
            continue;
        fill(&race.rig, pfn, 64, 1);
        page_free_range(&race.rig.pa, pfn, 64); /* the zone is one block again */
    }
    race.stop = true;
    pthread_join(thread, NULL);
    EXPECT_EQ(failures, 0);
    page_rig_end(&race.rig);
}

/* --- the recount -------------------------------------------------------- */

/* A frame on two lists, of the wrong order, or in the wrong state is noticed. */
static void recount_notices(void)
{
    struct finding f = {{0}};
    struct page_rig rig;
    struct pcp_list *list;
    struct page *page;
    uint32_t word, pfn;

    page_rig_begin(&rig, 32768, 10);
    EXPECT_EQ(page_put(&rig.pa, page_alloc_block(&rig.pa, 0, KERNEL), 0), PYSLAB_OK);
    list = pcp_list_at(((struct pcp *)thread_slot(&rig.domain, THREAD_SLOT_PCP))->set, 0);
    page = pfn_to_page(&rig.pa.map, list->frame[0]);
    word = page->word;
    EXPECT(page_alloc_check(&rig.pa, &f));
    page->word = PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, 0);
    EXPECT(!page_alloc_check(&rig.pa, &f) && f.text[0] != '\0');
    page->word = word;
    pfn = list->frame[1];
    list->frame[list->nr++] = pfn; /* twice */
    f.text[0] = '\0';
    EXPECT(!page_alloc_check(&rig.pa, &f) && f.text[0] != '\0');
    list->nr -= 2; /* one lost */
    f.text[0] = '\0';
    EXPECT(!page_alloc_check(&rig.pa, &f) && f.text[0] != '\0');
    list->nr++;
    page_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(which_orders_have_lists),
    TEST(batch_and_high),
    TEST(youngest_first),
    TEST(addresses_rise),
    TEST(addresses_rise_to_the_last),
    TEST(kept_pages_are_bounded),
    TEST(drain),
    TEST(thread_exit_empties_the_lists),
    TEST(drain_request_is_heeded),
    TEST(recount_notices),
    TEST(release_fails_no_other_request),
    TEST(release_gives_free_frames_back),
};

TEST_MAIN(tests)
