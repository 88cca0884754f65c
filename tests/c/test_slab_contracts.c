/* test_slab_contracts.c - plants faults in a cache and in a mempool, and holds down that slab's
 * checks of itself stop the program in the next slow path, each fault by its own check. Needs
 * check level 2; without, the one test says so. */
#include "slab/mempool.h"
#include "slab/slab_internal.h"

#include "rig.h"

#if PYSLAB_CHECK_LEVEL >= 2

static struct slab_rig rig;
static void *objects[16384];

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

static struct sheaf_slot *own_slot(const struct kmem_cache *cache)
{
    return &sheaf_table_own(&rig.sa)->slot[cache->id];
}

/* --- caches -------------------------------------------------------------- */

static struct kmem_cache *faulty; /* the cache of these tests, of 64 bytes */

/* Frees so many objects that main, spare and barn are full; others stay in use. */
static void begin_full(void)
{
    uint32_t most;

    slab_rig_begin(&rig, 16384, 10);
    faulty = slab_rig_cache(&rig, 64, 0);
    most = (faulty->max_full_sheaves + 2) * faulty->sheaf_capacity;
    take(faulty, 0, most + 5);
    give(faulty, 5, most + 5);
    EXPECT_EQ(faulty->barn.nr_full, faulty->max_full_sheaves);
    EXPECT(spare_has_objects(own_slot(faulty)));
    slab_rig_check(&rig);
}

static void put_without_the_lock(void)
{
    begin_full();
    slab_put_locked(faulty, objects, 1, NULL);
}

static void put_under_another_lock(void)
{
    struct kmem_cache *other;

    begin_full();
    other = slab_rig_cache(&rig, 64, 0);
    lock_acquire(&other->lock);
    slab_put_locked(faulty, objects, 1, NULL);
}

/* A slab's own count says that one object more is in use. */
static void slab_count_is_off(void)
{
    struct kmem_cache *small;

    slab_rig_begin(&rig, 16384, 10);
    small = slab_rig_cache(&rig, 8, 0);
    take(small, 0, 3);
    pfn_to_page(&rig.sa.map, small->desc->list[SLAB_PARTIAL].first)->slab.inuse++;
    give(small, 0, 1);
}

/* An object has a free bit although it is in use, and bits behind the last object are set. */
static void free_bit_is_set(uint32_t object)
{
    struct kmem_cache *small;
    uint32_t pfn;

    slab_rig_begin(&rig, 16384, 10);
    small = slab_rig_cache(&rig, 24, 0);
    take(small, 0, 1);
    pfn = small->desc->list[SLAB_PARTIAL].first;
    *slab_free_word(small, pfn, object / 64) |= (uint64_t)1 << object % 64;
    (void)cache_shrink(small);
}

static void object_in_use_has_a_free_bit(void)
{
    free_bit_is_set(0);
}

static void free_bit_without_an_object(void)
{
    free_bit_is_set(170);
}

/* The cache's count does, and all slabs are right. */
static void cache_count_is_off(void)
{
    begin_full();
    faulty->desc->nr_inuse++;
    (void)cache_shrink(faulty);
}

static void slab_is_on_the_wrong_list(void)
{
    uint32_t pfn;

    begin_full();
    pfn = faulty->desc->list[SLAB_FULL].first;
    index_list_remove(&faulty->desc->list[SLAB_FULL], page_links(&rig.sa.map), pfn);
    index_list_add_head(&faulty->desc->list[SLAB_PARTIAL], page_links(&rig.sa.map), pfn);
    pfn_to_page(&rig.sa.map, pfn)->slab.list = SLAB_PARTIAL;
    (void)cache_shrink(faulty);
}

static void sheaf_has_an_object_twice(void)
{
    struct sheaf_slot *slot;

    begin_full();
    slot = own_slot(faulty);
    EXPECT(slot_nr(slot) >= 2);
    slot->top[-1] = slot->bottom[0];
    (void)cache_shrink(faulty);
}

static void spare_has_an_object_twice(void)
{
    struct sheaf *spare;

    begin_full();
    spare = own_slot(faulty)->spare;
    spare->object[1] = spare->object[0];
    take(faulty, 0, slot_nr(own_slot(faulty)) + 1); /* until it is swapped with main */
}

static void barn_is_over_its_limit(void)
{
    struct sheaf_slot *slot;

    begin_full();
    slot = own_slot(faulty);
    slot->spare->next = faulty->barn.full;
    faulty->barn.full = slot->spare;
    faulty->barn.nr_full++;
    slot->spare = NULL;
    (void)cache_shrink(faulty);
}

static void barn_says_one_too_many(void)
{
    begin_full();
    lock_acquire(&faulty->lock);
    faulty->barn.nr_full--;
    cache_recount_locked(faulty);
}

static void left_says_one_too_many(void)
{
    begin_full();
    lock_acquire(&faulty->lock);
    faulty->barn.nr_left_objects++;
    cache_recount_locked(faulty);
}

static void object_of_another_cache(void)
{
    begin_full();
    (void)cache_free_object(slab_rig_cache(&rig, 64, 0), objects[0]);
}

static void descriptors_are_not_zeroed(void)
{
    struct slab_alloc second;

    begin_full();
    (void)slab_alloc_init(&second, &rig.pages.pa, rig.descs, "");
}

/* Each is found by its own check, on the way out of the next slow path. */
static void faults_of_slabs_are_found(void)
{
    EXPECT(check_stops(put_without_the_lock, "lock_is_held(&cache->lock)"));
    EXPECT(check_stops(put_under_another_lock, "lock_is_held(&cache->lock)"));
    EXPECT(check_stops(slab_count_is_off, "3 in use + 510 free != 512 objects"));
    EXPECT(check_stops(object_in_use_has_a_free_bit, "free != 170 objects"));
    EXPECT(check_stops(free_bit_without_an_object, "bits behind the last object"));
    EXPECT(check_stops(cache_count_is_off, "cached), cache says"));
    EXPECT(check_stops(slab_is_on_the_wrong_list, "in use is on list 0"));
    EXPECT(check_stops(sheaf_has_an_object_twice, "objects_are_distinct(sheaf->object"));
    EXPECT(check_stops(spare_has_an_object_twice, "objects_are_distinct(next->object"));
    EXPECT(check_stops(barn_is_over_its_limit, "barn says"));
    EXPECT(check_stops(barn_says_one_too_many, "barn says"));
    EXPECT(check_stops(left_says_one_too_many, "ended threads left 1 objects in 0 sheaves"));
    EXPECT(check_stops(object_of_another_cache, "slab_cache_of(cache->owner, p) == cache"));
    EXPECT(check_stops(descriptors_are_not_zeroed, "objects_per_slab == 0"));
}

static void nothing(void)
{
    begin_full();
    (void)cache_shrink(faulty);
    give(faulty, 0, 5);
    EXPECT_EQ(cache_destroy(faulty), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* The same without a fault runs to its end. */
static void nothing_planted_nothing_found(void)
{
    EXPECT_EQ(check_child(nothing), 0);
}

/* --- mempools ------------------------------------------------------------- */

static struct mempool *pool; /* over faulty, of 4 objects */

static void begin_pool(void)
{
    slab_rig_begin(&rig, 1024, 10);
    faulty = slab_rig_cache(&rig, 64, 0);
    EXPECT_EQ(mempool_create(faulty, 4, &pool), PYSLAB_OK);
}

static void reserve_count_is_off(void)
{
    begin_pool();
    pool->curr_nr++;
    (void)mempool_resize(pool, 4);
}

static void cache_counts_a_pool_less(void)
{
    begin_pool();
    faulty->nr_pools--;
    (void)mempool_destroy(pool);
}

static void pools_without_the_lock(void)
{
    begin_pool();
    mempools_each_lock(&rig.sa, lock_acquire_for_fork);
}

static void reserve_has_no_room(void)
{
    begin_pool();
    cache_put_prefilled(faulty, pool->reserve, cache_alloc(faulty, KERNEL));
}

static void faults_of_pools_are_found(void)
{
    EXPECT(check_stops(reserve_count_is_off, "reserve_adds_up_locked"));
    EXPECT(check_stops(cache_counts_a_pool_less, "pools_add_up_locked"));
    EXPECT(check_stops(pools_without_the_lock, "lock_is_held(&sa->lock)"));
    EXPECT(check_stops(reserve_has_no_room, "sheaf->nr < sheaf->capacity"));
}

#else

static void needs_level_two(void)
{
    printf("no recounts to test: PYSLAB_CHECK_LEVEL is below 2\n");
}

#endif

static const struct test tests[] = {
#if PYSLAB_CHECK_LEVEL >= 2
    TEST(faults_of_slabs_are_found),
    TEST(nothing_planted_nothing_found),
    TEST(faults_of_pools_are_found),
#else
    TEST(needs_level_two),
#endif
};

TEST_MAIN(tests)
