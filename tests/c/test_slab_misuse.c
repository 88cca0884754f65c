/* test_slab_misuse.c - holds down what slab/ says to wrong frees: double frees wherever
 * the object lies meanwhile, pointers inside or between objects, objects of another
 * cache, objects that were never handed out. Each has its code, changes nothing, and
 * the object is never handed out twice. Also: the recount notices damage of caches and mempools. */
#include "slab/mempool.h"
#include "slab/slab_internal.h"

#include "rig.h"

#include <pthread.h>

static struct slab_rig rig;
static void *objects[16384];

static void begin(void)
{
    slab_rig_begin(&rig, 16384, 10);
}

static void take(struct kmem_cache *cache, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        objects[i] = cache_alloc(cache, KERNEL);
        if (objects[i] == NULL)
            abort();
    }
}

static void give(struct kmem_cache *cache, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
}

/* The free must fail with this code, and change no counter. */
static void refuse(struct kmem_cache *cache, void *p, int error)
{
    pyslab_cache_stats before = slab_rig_stats(cache), after;

    EXPECT_EQ(cache_free(cache, p), error);
    after = slab_rig_stats(cache);
    EXPECT_EQ(memcmp(&before, &after, sizeof before), 0);
}

static bool holds(const struct sheaf *sheaf, uint32_t nr, const void *p)
{
    for (uint32_t i = 0; i < nr; i++)
        if (sheaf->object[i] == p)
            return true;
    return false;
}

static struct sheaf_slot *own_slot(const struct kmem_cache *cache)
{
    return &sheaf_table_own(&rig.sa)->slot[cache->id];
}

static bool in_main(struct kmem_cache *cache, const void *p)
{
    struct sheaf_slot *slot = own_slot(cache);

    for (void **at = slot->bottom; at != slot->top; at++)
        if (*at == p)
            return true;
    return false;
}

static bool in_spare(struct kmem_cache *cache, const void *p)
{
    struct sheaf *spare = own_slot(cache)->spare;

    return spare != NULL && holds(spare, spare->nr, p);
}

static bool in_barn(struct kmem_cache *cache, const void *p)
{
    for (const struct sheaf *sheaf = cache->barn.full; sheaf != NULL; sheaf = sheaf->next)
        if (holds(sheaf, sheaf->nr, p))
            return true;
    return false;
}

/* --- double frees ------------------------------------------------------- */

/* Frees enough to fill main, spare, barn and slabs; then frees all of it again: each
 * object is found out where it lies, and every place was there. */
static void double_free_in_each_place(void)
{
    struct kmem_cache *cache;
    unsigned nr_main = 0, nr_spare = 0, nr_barn = 0, nr_slab = 0;
    uint32_t most;

    begin();
    cache = slab_rig_cache(&rig, 64, 0);
    most = (cache->max_full_sheaves + 3) * cache->sheaf_capacity;
    take(cache, 0, most + 60);
    give(cache, 0, most);
    for (uint32_t i = 0; i < most; i++) {
        void *p = objects[i];
        bool there[3] = {in_main(cache, p), in_spare(cache, p), in_barn(cache, p)};

        EXPECT_LE(there[0] + there[1] + there[2], 1);
        nr_main += there[0];
        nr_spare += there[1];
        nr_barn += there[2];
        if (!there[0] && !there[1] && !there[2] && slab_cache_of(&rig.sa, p) == NULL)
            continue; /* its slab went back to the buddy */
        nr_slab += !there[0] && !there[1] && !there[2];
        refuse(cache, p, PYSLAB_EDOUBLE);
    }
    EXPECT(nr_main > 0 && nr_spare > 0 && nr_barn > 0 && nr_slab > 0);
    slab_rig_check(&rig);
    slab_rig_end(&rig);
}

static int order_by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)*(void *const *)a, y = (uintptr_t)*(void *const *)b;

    return x < y ? -1 : x > y;
}

/* Whatever was freed twice, no object is handed out twice. */
static void double_free_never_doubles(void)
{
    static const size_t sizes[] = {8, 16, 24, 100, 4096};

    begin();
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct kmem_cache *cache = slab_rig_cache(&rig, sizes[s], 0);
        struct rng rng = {s + 1};

        take(cache, 0, 800);
        for (uint32_t i = 0; i < 800; i++) {
            EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
            EXPECT_NE(cache_free(cache, objects[i]), PYSLAB_OK);
            EXPECT_NE(cache_free(cache, objects[rng_below(&rng, i + 1)]), PYSLAB_OK);
        }
        slab_rig_check(&rig);
        take(cache, 0, 1600);
        qsort(objects, 1600, sizeof objects[0], order_by_address);
        for (uint32_t i = 1; i < 1600; i++)
            EXPECT_NE((uintptr_t)objects[i], (uintptr_t)objects[i - 1]);
        give(cache, 0, 1600);
    }
    slab_rig_end(&rig);
}

/* Objects of 8 bytes have no room for a key of their own, and are found out all the same. */
static void double_free_of_eight_bytes(void)
{
    struct kmem_cache *cache;

    begin();
    cache = slab_rig_cache(&rig, 8, 0);
    take(cache, 0, 600);
    give(cache, 0, 300);
    for (uint32_t i = 0; i < 300; i++)
        refuse(cache, objects[i], PYSLAB_EDOUBLE);
    give(cache, 300, 600);
    for (uint32_t i = 0; i < 600; i++)
        EXPECT_NE(cache_free(cache, objects[i]), PYSLAB_OK);
    slab_rig_check(&rig);
    slab_rig_end(&rig);
}

static void *free_again(void *cache)
{
    refuse(cache, objects[0], PYSLAB_EDOUBLE);
    refuse(cache, objects[500], PYSLAB_EDOUBLE);
    return NULL;
}

/* Another thread's second free is found out as well. */
static void double_free_by_another_thread(void)
{
    struct kmem_cache *cache;
    pthread_t thread;

    begin();
    cache = slab_rig_cache(&rig, 64, 0);
    take(cache, 0, 700);
    give(cache, 0, 501);
    REQUIRE(pthread_create(&thread, NULL, free_again, cache) == 0);
    pthread_join(thread, NULL);
    slab_rig_check(&rig);
    slab_rig_end(&rig);
}

static unsigned nr_reports;
static const void *reported;

static void note_report(const void *p)
{
    nr_reports++;
    reported = p;
}

/* Takes all objects of a slab that is bought for it, past the sheaves. */
static uint32_t take_slab(struct kmem_cache *cache, void **slab)
{
    uint32_t pfn = slab_new(cache, KERNEL), nr;

    if (pfn >= SLAB_REFUSED)
        abort();
    lock_acquire(&cache->lock);
    slab_add_locked(cache, pfn);
    nr = slab_take_locked(cache, slab, cache->desc->objects_per_slab);
    lock_release(&cache->lock);
    EXPECT_EQ(nr, cache->desc->objects_per_slab);
    return nr;
}

/* An object that comes back to its slab twice, because a sheaf had it twice, is reported when it is
 * free there, and when its slab is the cache's no more. Nothing is changed then. */
static void double_free_seen_by_the_slab(void)
{
    static const size_t sizes[] = {8, 16, 24, 64, 1024, 20480};

    begin();
    rig.sa.on_corruption = note_report;
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct kmem_cache *cache = slab_rig_cache(&rig, sizes[s], 0);
        uint32_t nr = take_slab(cache, objects);
        struct slab_batch batch;

        EXPECT_EQ(take_slab(cache, objects + nr), nr); /* which stay out */
        for (uint32_t i = 0; i < 2 * nr; i++)
            object_set_mark(cache, objects[i]);
        nr_reports = 0;
        slab_batch_init(&batch);
        lock_acquire(&cache->lock);
        slab_put_locked(cache, objects, nr, NULL);
        EXPECT_EQ(nr_reports, 0);
        slab_put_locked(cache, objects + nr - 1, 1, NULL);
        EXPECT_EQ(nr_reports, 1);
        EXPECT_PTR(reported, objects[nr - 1]);
        slab_take_empty_locked(cache, 1, &batch);
        lock_release(&cache->lock);
        EXPECT_EQ(slab_batch_free(cache, &batch), 1u << cache->desc->slab_order);
        lock_acquire(&cache->lock);
        slab_put_locked(cache, objects, 1, NULL);
        EXPECT_EQ(nr_reports, 2);
        EXPECT_PTR(reported, objects[0]);
        EXPECT_EQ(cache->desc->nr_inuse, nr);
        slab_put_locked(cache, objects + nr, nr, NULL);
        lock_release(&cache->lock);
        EXPECT_EQ(nr_reports, 2);
        slab_rig_check(&rig);
    }
    slab_rig_end(&rig);
}

/* The program wrote to an object that is free in its slab: it is reported, and nobody gets it. */
static void written_objects_stay_out(void)
{
    struct kmem_cache *cache;
    uint32_t nr, again;

    begin();
    rig.sa.on_corruption = note_report;
    cache = slab_rig_cache(&rig, 32, 0);
    nr = take_slab(cache, objects);
    for (uint32_t i = 0; i < nr; i++)
        object_set_mark(cache, objects[i]);
    nr_reports = 0;
    lock_acquire(&cache->lock);
    slab_put_locked(cache, objects, nr, NULL);
    *object_key(objects[70]) ^= 1;
    again = slab_take_locked(cache, objects + nr, nr);
    EXPECT_EQ(again, nr - 1);
    EXPECT_EQ(nr_reports, 1);
    EXPECT_PTR(reported, objects[70]);
    for (uint32_t i = 0; i < again; i++)
        EXPECT(objects[nr + i] != objects[70]);
    EXPECT_EQ(cache->desc->nr_inuse, nr);
    slab_put_locked(cache, objects + nr, again, NULL);
    lock_release(&cache->lock);
    slab_rig_end(&rig);
}

/* What the owner writes into an object does not make it look free. */
static void contents_do_not_matter(void)
{
    struct kmem_cache *cache;

    begin();
    cache = slab_rig_cache(&rig, 32, 0);
    for (int byte = 0; byte < 256; byte++) {
        take(cache, 0, 3);
        for (int i = 0; i < 3; i++)
            memset(objects[i], byte, 32);
        give(cache, 0, 3);
    }
    take(cache, 0, 3); /* freed with the content they came with */
    give(cache, 0, 3);
    slab_rig_end(&rig);
}

/* --- wrong pointers ----------------------------------------------------- */

/* Every byte offset in a slab: only the starts of objects are objects. */
static void only_starts_are_objects(void)
{
    static const size_t sizes[] = {8, 16, 24, 48, 80, 96, 104, 1000, 1536, 5000, 20480};

    begin();
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct kmem_cache *cache = slab_rig_cache(&rig, sizes[s], 0);
        uint32_t stride = cache->desc->stride, per = cache->desc->objects_per_slab;
        size_t bytes = PAGE_SIZE << cache->desc->slab_order, offset;
        char *slab;

        take(cache, 0, 2 * per); /* so that a whole slab is in use */
        offset = (size_t)((char *)objects[0] - rig.pages.pa.map.base) & (bytes - 1);
        slab = (char *)objects[0] - offset;
        for (offset = 0; offset < bytes; offset++) {
            bool start = offset % stride == 0 && offset / stride < per;

            EXPECT_EQ(slab_cache_of(&rig.sa, slab + offset) == cache, start);
            /* Behind the last object only the mark says no: refuse() below tries it. */
            if (cache->fast_class != 0 && cache->sheaf_capacity != 0)
                EXPECT_EQ(geometry_is_object(&own_slot(cache)->geometry,
                                             (size_t)(slab + offset - rig.pages.pa.map.base)),
                          offset % stride == 0);
            if (!start &&
                (offset % stride == 0 || offset < 64 || offset + 64 > bytes || offset % 61 == 0))
                refuse(cache, slab + offset, PYSLAB_EPOINTER);
        }
        give(cache, 0, 2 * per);
    }
    slab_rig_end(&rig);
}

/* Pointers of another cache, of no slab, and from outside the arena. */
static void wrong_cache(void)
{
    struct kmem_cache *cache, *other;
    uint32_t pfn;
    int local = 0;

    begin();
    cache = slab_rig_cache(&rig, 64, 0);
    other = slab_rig_cache(&rig, 64, 0);
    take(cache, 0, 1);
    take(other, 1, 2);
    pfn = page_alloc_block(&rig.pages.pa, 0, KERNEL);
    for (int round = 0; round < 2; round++) {
        refuse(cache, objects[1], PYSLAB_ECACHE);
        refuse(other, objects[0], PYSLAB_ECACHE);
        refuse(cache, pfn_to_virt(&rig.pages.pa.map, pfn), PYSLAB_EPOINTER);
        refuse(cache, &local, PYSLAB_EPOINTER);
        refuse(cache, rig.pages.pa.map.base - 64, PYSLAB_EPOINTER);
        refuse(cache, rig.pages.pa.map.base + 16384 * PAGE_SIZE, PYSLAB_EPOINTER);
        refuse(cache, (void *)UINTPTR_MAX, PYSLAB_EPOINTER);
        refuse(cache, (void *)(uintptr_t)64, PYSLAB_EPOINTER);
        if (round == 0) {
            EXPECT_EQ(cache_free(cache, objects[0]), PYSLAB_OK);
            EXPECT_EQ(cache_free(other, objects[1]), PYSLAB_OK);
        }
    }
    slab_rig_check(&rig);
    slab_rig_end(&rig);
}

/* A slab that went back to the buddy holds no objects any more. */
static void object_of_a_returned_slab(void)
{
    struct kmem_cache *cache;

    begin();
    cache = slab_rig_cache(&rig, 64, 0);
    take(cache, 0, 100);
    give(cache, 0, 100);
    EXPECT_NE(cache_shrink(cache), 0);
    for (uint32_t i = 0; i < 100; i++)
        refuse(cache, objects[i], PYSLAB_EPOINTER);
    slab_rig_end(&rig);
}

/* An object that was never handed out is not live: freeing it must be refused. In a new
 * slab that is every object behind those carved so far; if such a free were taken, the
 * object would be handed out twice later. */
static void never_handed_out(void)
{
    static const size_t sizes[] = {8, 16, 64, 1024, 20480};

    begin();
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct kmem_cache *cache = slab_rig_cache(&rig, sizes[s], 0);
        uint32_t per = cache->desc->objects_per_slab;

        take(cache, 0, 1); /* the first object of its slab */
        for (uint32_t i = 1; i < per; i++)
            EXPECT_NE(cache_free(cache, (char *)objects[0] + (size_t)i * cache->desc->stride),
                      PYSLAB_OK);
        EXPECT_EQ(slab_rig_stats(cache).live_objects, 1);
        slab_rig_check(&rig);
        take(cache, 1, 2 * per);
        qsort(objects, 2 * per, sizeof objects[0], order_by_address);
        for (uint32_t i = 1; i < 2 * per; i++)
            EXPECT_NE((uintptr_t)objects[i], (uintptr_t)objects[i - 1]);
        slab_rig_check(&rig);
    }
    slab_rig_end(&rig);
}

/* --- the recount -------------------------------------------------------- */

static bool recount(void)
{
    struct finding f = {{0}};
    bool ok = slab_check(&rig.sa, &f);

    EXPECT_EQ(ok, f.text[0] == '\0');
    return ok;
}

/* Flips one word, expects the recount to see it, and puts it back. */
static void damage(uint64_t *word)
{
    *word ^= 0x100;
    EXPECT(!recount());
    *word ^= 0x100;
    EXPECT(recount());
}

/* A write to a free object's key is seen in main, spare, barn and slab. */
static void recount_sees_writes_to_free_objects(void)
{
    struct kmem_cache *cache;
    uint32_t most, cap;

    begin();
    cache = slab_rig_cache(&rig, 64, 0);
    cap = cache->sheaf_capacity;
    most = (cache->max_full_sheaves + 2) * cap;
    take(cache, 0, most + cap + 5); /* a slab partly in use stays at the end */
    give(cache, 0, most + cap);
    EXPECT(recount());
    damage(object_key(own_slot(cache)->bottom[0]));
    damage(object_key(own_slot(cache)->spare->object[cap - 1]));
    damage(object_key(cache->barn.full->object[0]));
    for (unsigned i = 0; i < NR_SLAB_LISTS; i++) {
        uint32_t pfn = cache->desc->list[i].first;
        struct page *page;

        if (pfn == INDEX_NONE)
            continue;
        page = pfn_to_page(&rig.pages.pa.map, pfn);
        page->slab.inuse++;
        EXPECT(!recount());
        page->slab.inuse--;
        page->slab.cache_id++;
        EXPECT(!recount());
        page->slab.cache_id--;
        if (load_relaxed(&page->slab.free) != 0)
            damage(object_key((char *)pfn_to_virt(&rig.pages.pa.map, pfn) +
                              (size_t)ctz64(load_relaxed(&page->slab.free)) * 64));
    }
    cache->desc->nr_inuse++;
    EXPECT(!recount());
    cache->desc->nr_inuse--;
    cache->desc->list[SLAB_PARTIAL].nr++;
    EXPECT(!recount());
    cache->desc->list[SLAB_PARTIAL].nr--;
    EXPECT(recount());
    slab_rig_end(&rig);
}

/* A reserve is seen that is too full, too small, or written to. */
static void recount_sees_reserves(void)
{
    struct mempool *pool;

    begin();
    REQUIRE(mempool_create(slab_rig_cache(&rig, 600, 0), 3, &pool) == PYSLAB_OK);
    atomic_fetch_add(&pool->nr_outstanding, 1);
    EXPECT(recount()); /* more out than needed is what frees bring back */
    atomic_fetch_sub(&pool->nr_outstanding, 1);
    pool->min_nr = 2;
    EXPECT(!recount());
    pool->min_nr = 3;
    pool->curr_nr = 2;
    EXPECT(!recount());
    pool->curr_nr = 3;
    damage(object_key(pool->reserve->object[1]));
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(double_free_in_each_place),
    TEST(double_free_never_doubles),
    TEST(double_free_of_eight_bytes),
    TEST(double_free_by_another_thread),
    TEST(double_free_seen_by_the_slab),
    TEST(written_objects_stay_out),
    TEST(contents_do_not_matter),
    TEST(only_starts_are_objects),
    TEST(wrong_cache),
    TEST(object_of_a_returned_slab),
    TEST(never_handed_out),
    TEST(recount_sees_writes_to_free_objects),
    TEST(recount_sees_reserves),
};

TEST_MAIN(tests)
