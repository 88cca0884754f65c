/* test_arena_life.c - holds down who keeps an arena: references, the default arena, and
 * options structs of other versions. */
#include "check.h"

#include <pthread.h>

#include "api/api_table.h"
#include "arena/arena.h"

static pyslab_arena_options options_of(uint64_t bytes)
{
    return (pyslab_arena_options){
        .struct_size = sizeof(pyslab_arena_options), .max_order = 10, .size_bytes = bytes};
}

static pyslab_arena *make(void)
{
    pyslab_arena_options options = options_of(4 << 20);
    pyslab_arena *arena = NULL;

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    return arena;
}

/* --- references --------------------------------------------------------- */

/* destroy wants to be the only one; put of the last reference is as good. */
static void references(void)
{
    pyslab_arena *arena = make();

    pyslab_arena_get(arena);
    pyslab_arena_get(arena);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_arena_put(arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_EBUSY);
    EXPECT(pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL) != NULL);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_put(arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_put(make()), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(NULL), PYSLAB_OK);
}

enum { NR_THREADS = 8, NR_ROUNDS = 20000 };

static void *get_and_put(void *arena)
{
    for (int i = 0; i < NR_ROUNDS; i++) {
        pyslab_arena_get(arena);
        EXPECT_EQ(pyslab_arena_put(arena), PYSLAB_OK);
    }
    EXPECT_EQ(pyslab_arena_put(arena), PYSLAB_OK); /* the one it was started with */
    return NULL;
}

/* The last of many threads to let go unmaps the arena, once. */
static void references_of_threads(void)
{
    pyslab_arena *arena = make();
    pthread_t threads[NR_THREADS];

    for (int i = 0; i < NR_THREADS; i++)
        pyslab_arena_get(arena);
    for (int i = 0; i < NR_THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, get_and_put, arena) == 0);
    EXPECT_EQ(pyslab_arena_put(arena), PYSLAB_OK);
    for (int i = 0; i < NR_THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* --- the default arena -------------------------------------------------- */

static void *ask(void *found)
{
    *(pyslab_arena **)found = pyslab_default_arena();
    return NULL;
}

/* All threads that ask at once get the same one, which nobody can end. */
static void default_arena(void)
{
    pyslab_arena *found[NR_THREADS] = {NULL};
    pthread_t threads[NR_THREADS];

    for (int i = 0; i < NR_THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, ask, &found[i]) == 0);
    for (int i = 0; i < NR_THREADS; i++)
        pthread_join(threads[i], NULL);
    REQUIRE(found[0] != NULL);
    for (int i = 0; i < NR_THREADS; i++)
        EXPECT_PTR(found[i], pyslab_default_arena());
    EXPECT_EQ(pyslab_arena_destroy(found[0]), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_arena_put(found[0]), PYSLAB_EINVAL);
    pyslab_arena_get(found[0]);
    EXPECT_EQ(pyslab_arena_put(found[0]), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_put(found[0]), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kfree(found[0], pyslab_kmalloc(found[0], 5000, PYSLAB_GFP_KERNEL)), PYSLAB_OK);
    EXPECT_GE(pyslab_arena_size(found[0]), pyslab_physical_bytes());
}

/* --- structs of other versions ------------------------------------------ */

/* Longer by zeros is what it was; by anything else, it is refused. */
static void options_of_a_later_version(void)
{
    struct {
        pyslab_arena_options options;
        uint64_t later;
    } given = {options_of(4 << 20), 0};
    const uint32_t first = offsetof(pyslab_arena_options, background_purge);
    pyslab_arena *arena = NULL;

    given.options.struct_size = sizeof given;
    EXPECT_EQ(pyslab_arena_create(&given.options, &arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
    given.later = 1;
    EXPECT_EQ(pyslab_arena_create(&given.options, &arena), PYSLAB_EINVAL);
    given.options.struct_size = first - 1; /* no version had so few */
    EXPECT_EQ(pyslab_arena_create(&given.options, &arena), PYSLAB_EINVAL);
    given.options.struct_size = 0;
    EXPECT_EQ(pyslab_arena_create(&given.options, &arena), PYSLAB_EINVAL);
    given.options.struct_size = first; /* what lies behind is not the caller's to mean */
    given.options.purge_delay_ms = PYSLAB_PURGE_NEVER;
    given.options.background_purge = 1;
    EXPECT_EQ(pyslab_arena_create(&given.options, &arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
}

/* The table fills as much as the caller has, and zeros behind what there is. */
static void stats_of_other_sizes(void)
{
    struct {
        pyslab_arena_stats stats;
        uint64_t later;
    } got;
    pyslab_arena *arena = make();
    size_t half = offsetof(pyslab_arena_stats, managed_pages);

    memset(&got, 0x5a, sizeof got);
    pyslab_get_api()->arena_stats_read(arena, &got.stats, half);
    EXPECT_EQ(got.stats.size_bytes, 4 << 20);
    EXPECT_EQ(got.stats.managed_pages, 0x5a5a5a5a5a5a5a5a);
    pyslab_get_api()->arena_stats_read(arena, &got.stats, sizeof got);
    EXPECT_EQ(got.stats.managed_pages, 1024);
    EXPECT_EQ(got.later, 0);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
}

/* No entry of the table is missing. */
static void table_is_full(void)
{
    const pyslab_api *api = pyslab_get_api();
    void *const *entry = (void *const *)&api->python + 1;
    void *const *end = (void *const *)(const void *)((const char *)api + api->struct_size);

    EXPECT_EQ(api->abi_major, PYSLAB_ABI_MAJOR);
    EXPECT_EQ(api->abi_minor, PYSLAB_ABI_MINOR);
    EXPECT_EQ(api->struct_size, sizeof *api);
    EXPECT(end - entry > 90);
    for (; entry < end; entry++)
        EXPECT(*entry != NULL);
}

static void get_without_references(void)
{
    static struct pyslab_arena gone;

    arena_get(&gone);
}

/* Nobody may take a reference to an arena that has none. */
static void contracts(void)
{
    EXPECT(check_stops(get_without_references, "before != 0"));
}

static const struct test tests[] = {
    TEST(references),
    TEST(references_of_threads),
    TEST(default_arena),
    TEST(stats_of_other_sizes),
    TEST(options_of_a_later_version),
    TEST(table_is_full),
    TEST(contracts),
};

TEST_MAIN(tests)
