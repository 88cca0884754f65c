/* test_pool.c - holds down the memory of pyslab.cymem.Pool: random work against a list of
 * what must be there, a recount of every chunk after each round, and the index. */
#include "pool/pool_check.h"

#include "check.h"

#define NR_BLOCKS 3000u

struct live {
    unsigned char *p;
    size_t size;
    unsigned char fill;
};

static pyslab_arena *arena;
static struct pool *pool;
static struct live live[NR_BLOCKS];
static uint32_t nr_live;
static uint64_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % below);
}

static void begin(uint64_t bytes)
{
    pyslab_arena_options options = {
        .struct_size = sizeof options, .max_order = PYSLAB_DEFAULT_ORDER, .size_bytes = bytes};

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    pool = pool_create(arena, NULL, NULL);
    if (pool == NULL)
        abort();
}

static void end(void)
{
    char message[200] = "";
    pyslab_arena_stats stats;

    pool_destroy(pool);
    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_OK);
    pyslab_arena_stats_read(arena, &stats);
    EXPECT_EQ(stats.live_objects + stats.large_count + stats.block_pages, 0);
    pyslab_arena_destroy(arena);
}

/* --- the recount --------------------------------------------------------- */

static void recount(void)
{
    static struct pool_block found[NR_BLOCKS];
    const char *wrong = pool_adds_up(pool);
    size_t sum = 0;

    if (wrong != NULL)
        fprintf(stderr, "%s\n", wrong);
    EXPECT(wrong == NULL);
    EXPECT_EQ(pool_blocks(pool, found, NR_BLOCKS), nr_live);
    for (uint32_t i = 0; i < nr_live; i++)
        sum += live[i].size;
    EXPECT_EQ(sum, pool->size);
}

/* --- random work ---------------------------------------------------------- */

static bool all_are(const unsigned char *p, size_t size, unsigned char fill)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != fill)
            return false;
    return true;
}

static size_t any_size(void)
{
    static const uint32_t below[] = {20, 200, 200, 2100, 2100, 9000};

    return draw(below[draw((uint32_t)(sizeof below / sizeof below[0]))]);
}

static void fill(struct live *block)
{
    block->fill = (unsigned char)(draw(255) + 1);
    memset(block->p, block->fill, block->size);
}

static void add(void)
{
    struct live *block = &live[nr_live];

    block->size = any_size();
    block->p = pool_alloc(pool, block->size);
    REQUIRE(block->p != NULL);
    EXPECT_EQ((uintptr_t)block->p % POOL_GRANULE, 0);
    EXPECT(all_are(block->p, block->size, 0));
    fill(block);
    nr_live++;
}

static void drop(uint32_t i)
{
    unsigned char *p = live[i].p;

    EXPECT(all_are(p, live[i].size, live[i].fill));
    EXPECT_EQ(pool_free(pool, p + 1), POOL_EUNKNOWN);
    EXPECT_EQ(pool_free(pool, p), POOL_OK);
    EXPECT_EQ(pool_free(pool, p), POOL_EUNKNOWN);
    live[i] = live[--nr_live];
}

static void enlarge(uint32_t i)
{
    struct live *block = &live[i];
    void *p = block->p;
    size_t size = block->size + 1 + any_size() / 4;

    EXPECT_EQ(pool_realloc(pool, &p, block->size), POOL_ESMALLER);
    EXPECT_EQ(pool_realloc(pool, &p, size), POOL_OK);
    EXPECT(all_are(p, block->size, block->fill));
    EXPECT(all_are((unsigned char *)p + block->size, size - block->size, 0));
    block->p = p;
    block->size = size;
    fill(block);
}

/* Waves of growth and shrinking, so that chunks come and go. */
static void random_work(void)
{
    begin(64u << 20);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t target = round % 4 == 3 ? draw(5) : draw(NR_BLOCKS);

        for (uint32_t i = 0; i < 4000 && nr_live != target; i++) {
            if (nr_live > 0 && draw(5) == 0)
                enlarge(draw(nr_live));
            if (nr_live < target)
                add();
            else
                drop(draw(nr_live));
        }
        recount();
    }
    while (nr_live > 0)
        drop(nr_live - 1);
    recount();
    EXPECT_LE(pool->index.nr_used, 1);
    end();
}

/* A small arena gives out, again and again; nothing is lost meanwhile. */
static void exhaustion(void)
{
    begin(1u << 20);
    for (uint32_t round = 0; round < 20; round++) {
        while (nr_live < NR_BLOCKS) {
            size_t size = any_size();
            void *p = pool_alloc(pool, size);

            if (p == NULL)
                break;
            live[nr_live] = (struct live){.p = p, .size = size};
            fill(&live[nr_live++]);
        }
        recount();
        while (nr_live > draw(100))
            drop(draw(nr_live));
    }
    end();
}

static void the_index(void)
{
    struct index index = {0};
    const struct index_entry *entry;

    begin(16u << 20);
    EXPECT(index_find(&index, 16) == NULL);
    for (uintptr_t round = 0; round < 3; round++) {
        for (uintptr_t i = 1; i <= 5000; i++) {
            REQUIRE(index_reserve(&index, arena));
            index_insert(&index, i * 4096, i);
        }
        for (uintptr_t i = 1; i <= 5000; i += 1 + i % 2)
            index_remove(&index, index_find(&index, i * 4096));
        for (uintptr_t i = 1; i <= 5000; i++) {
            entry = index_find(&index, i * 4096);
            if (entry != NULL)
                EXPECT_EQ(entry->value, i);
        }
        for (uintptr_t i = 1; i <= 5000; i++)
            if (index_find(&index, i * 4096) != NULL)
                index_remove(&index, index_find(&index, i * 4096));
        EXPECT_EQ(index.nr_used, 0);
    }
    index_destroy(&index, arena);
    end();
}

/* --- what the recount finds ---------------------------------------------- */

static void expect_found(const char *says)
{
    const char *wrong = pool_adds_up(pool);

    EXPECT(wrong != NULL && strstr(wrong, says) != NULL);
}

static void the_recount(void)
{
    unsigned char *small, *large;
    uint16_t *entry;

    begin(16u << 20);
    for (int i = 0; i < 30; i++)
        REQUIRE(pool_alloc(pool, 100) != NULL);
    small = pool_alloc(pool, 50);
    REQUIRE(small != NULL && pool_alloc(pool, 50) != NULL);
    large = pool_alloc(pool, 5000);
    REQUIRE(large != NULL && pool_adds_up(pool) == NULL);
    pool->size++;
    expect_found("size");
    pool->size--;
    pool->index.nr_used++;
    expect_found("nr_used");
    pool->index.nr_used--;
    entry = &chunk_of(pool, small)->table[granule_of(chunk_of(pool, small), small)];
    *entry = 0;
    expect_found("no block");
    *entry = 51;
    entry[1] = 7;
    expect_found("inside a block");
    entry[1] = 0;
    EXPECT_EQ(pool_free(pool, small), POOL_OK);
    pool->free_max = 0;
    expect_found("free_max");
    end();
}

static void insert_twice(void)
{
    struct index index = {0};

    if (!index_reserve(&index, arena))
        return;
    index_insert(&index, 4096, 1);
    index_insert(&index, 4096, 2);
}

static void create_with_half_of_malloc(void)
{
    pool_create(arena, malloc, NULL);
}

/* Preconditions: broken ones end the process. */
static void contracts(void)
{
    begin(1u << 20);
    EXPECT(check_stops(insert_twice, "index_find(index, address) == NULL"));
    EXPECT(check_stops(create_with_half_of_malloc, "(malloc == NULL) == (free == NULL)"));
    end();
}

static const struct test tests[] = {
    TEST(random_work), TEST(exhaustion), TEST(the_index), TEST(the_recount), TEST(contracts),
};

TEST_MAIN(tests)
