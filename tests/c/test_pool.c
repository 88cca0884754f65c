/* test_pool.c - holds down the memory of pyslab.cymem.Pool: random work against a list of
 * what must be there, a recount of every chunk after each round, and the index. */
#include "pool/pool_internal.h"

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

static uint32_t bin_count(void)
{
    uint32_t nr = 0;

    for (uint32_t bin = 0; bin < POOL_NR_BINS; bin++) {
        EXPECT_EQ((pool->bins >> bin & 1) != 0, pool->bin[bin] != NULL);
        for (const struct pool_free *block = pool->bin[bin]; block != NULL; block = block->next) {
            EXPECT(block->next == NULL || block->next->prev == block);
            nr++;
        }
    }
    return nr;
}

/* What pool.h says of the table; returns the free blocks. */
static uint32_t chunk_count(const struct pool_chunk *chunk, size_t *in_use)
{
    uint32_t top = chunk->nr_granules, nr = 0, nr_used = 0, i = 0;
    bool was_free = false;

    if (chunk == pool->chunk)
        top = (uint32_t)(pool->cur_table - chunk->table);
    while (i < top) {
        uint32_t entry = chunk->table[i], step;
        bool is_free = entry >= POOL_FREE;

        if (entry == 0)
            break; /* i says where */
        EXPECT(!(is_free && was_free));
        step = is_free ? entry & POOL_COUNT : granules_of(entry - 1);
        for (uint32_t k = i + 1; k < i + step; k++)
            EXPECT_EQ(chunk->table[k], is_free && k == i + step - 1 ? POOL_BACK | step : 0);
        if (is_free) {
            EXPECT_LE(step, pool->free_max);
            nr++;
        } else {
            *in_use += entry - 1;
            nr_used++;
        }
        was_free = is_free;
        i += step;
    }
    EXPECT_EQ(i, top);
    EXPECT(!(was_free && chunk == pool->chunk));
    EXPECT(chunk == pool->chunk || chunk->shift == 0 || nr_used > 0);
    for (; i < chunk->nr_granules; i++)
        EXPECT_EQ(chunk->table[i], 0);
    return nr;
}

static void recount(void)
{
    static struct pool_block found[NR_BLOCKS];
    size_t in_use = 0, sum = 0, nr_large = 0;
    uint32_t nr_free = 0;

    for (const struct pool_chunk *chunk = pool->chunks; chunk != NULL; chunk = chunk->next)
        nr_free += chunk_count(chunk, &in_use);
    EXPECT_EQ(nr_free, bin_count());
    for (size_t i = 0; i < pool->index.nr_slots; i++)
        nr_large += pool->index.slots[i].address != 0;
    EXPECT_EQ(nr_large, pool->index.nr_used);
    EXPECT_EQ(pool_blocks(pool, found, NR_BLOCKS), nr_live);
    for (uint32_t i = 0; i < nr_live; i++)
        sum += live[i].size;
    EXPECT_EQ(sum, pool->size);
    EXPECT_LE(in_use, sum);
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

static const struct test tests[] = {
    TEST(random_work),
    TEST(exhaustion),
    TEST(the_index),
};

TEST_MAIN(tests)
