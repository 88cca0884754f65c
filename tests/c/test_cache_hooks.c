/* test_cache_hooks.c - holds down constructors and destructors at the C interface, from
 * which thread and when they run, what survives between free and alloc, and what they may
 * do themselves: use the cache and the arena that are just calling them. */
#include "slab/slab.h"

#include "rig.h"

#include <pthread.h>

#define STATE 0x1122334455667788u

struct hooks {
    pyslab_arena *arena;
    pyslab_kmem_cache *cache;
    atomic_uint nr_ctor;
    atomic_uint nr_dtor;
    unsigned fail_at; /* the constructor's call that fails; 0: none */
    unsigned reenter; /* the call that uses the cache itself; 0: none */
    unsigned nr_held;
    void *held[4096];
};

static struct hooks hooks;

static void use_the_cache(struct hooks *h)
{
    void *p = pyslab_kmem_cache_alloc(h->cache, KERNEL);

    if (p != NULL)
        h->held[h->nr_held++] = p;
}

static int construct(void *object, void *context)
{
    struct hooks *h = context;
    unsigned call = ++h->nr_ctor;

    if (call == h->fail_at)
        return -1;
    if (call == h->reenter)
        use_the_cache(h);
    *(uint64_t *)object = STATE;
    return 0;
}

static void destruct(void *object, void *context)
{
    struct hooks *h = context;

    EXPECT_EQ(*(uint64_t *)object, STATE);
    h->nr_dtor++;
}

static pyslab_cache_options hook_options(pyslab_ctor ctor, pyslab_dtor dtor)
{
    return (pyslab_cache_options){
        .struct_size = sizeof(pyslab_cache_options), .ctor = ctor, .dtor = dtor, .context = &hooks};
}

static void begin(size_t size, pyslab_ctor ctor, pyslab_dtor dtor)
{
    pyslab_cache_options options = hook_options(ctor, dtor);

    hooks.arena = rig_arena(64 * MIB, 10);
    if (pyslab_kmem_cache_create(hooks.arena, "hooks", size, &options, &hooks.cache) != PYSLAB_OK)
        abort();
}

static pyslab_cache_stats hook_stats(void)
{
    pyslab_cache_stats stats;

    pyslab_kmem_cache_stats(hooks.cache, &stats);
    return stats;
}

static uint64_t nr_slabs(void)
{
    pyslab_cache_stats stats = hook_stats();

    return stats.nr_full + stats.nr_partial + stats.nr_empty;
}

static void take(unsigned nr)
{
    for (unsigned i = 0; i < nr; i++)
        use_the_cache(&hooks);
}

static void give_all(void)
{
    while (hooks.nr_held > 0)
        EXPECT_EQ(pyslab_kmem_cache_free(hooks.cache, hooks.held[--hooks.nr_held]), PYSLAB_OK);
}

static void expect_empty_arena(void)
{
    pyslab_arena_stats stats;

    (void)pyslab_arena_release_unused(hooks.arena);
    stats = rig_stats(hooks.arena);
    EXPECT_EQ(stats.live_objects, 0);
    EXPECT_EQ(stats.free_pages, stats.managed_pages);
    rig_validate(hooks.arena);
}

/* Each object of each slab once when the slab comes, and once when it goes. */
static void once_per_object_and_slab(void)
{
    static const size_t sizes[] = {8, 24, 200, 4096, 20000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        hooks.nr_ctor = hooks.nr_dtor = 0;
        begin(sizes[i], construct, destruct);
        EXPECT_EQ(hooks.nr_ctor, 0);
        take(600);
        EXPECT_EQ(hooks.nr_ctor, nr_slabs() * hook_stats().objects_per_slab);
        give_all();
        take(600);
        EXPECT_EQ(hooks.nr_ctor - hooks.nr_dtor, nr_slabs() * hook_stats().objects_per_slab);
        give_all();
        (void)pyslab_kmem_cache_shrink(hooks.cache);
        EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
        take(10);
        give_all();
        EXPECT_EQ(pyslab_kmem_cache_destroy(hooks.cache), PYSLAB_OK);
        EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
        expect_empty_arena();
        pyslab_arena_destroy(hooks.arena);
    }
}

/* Objects live when the arena goes are destructed with it. */
static void destructed_with_the_arena(void)
{
    begin(100, construct, destruct);
    take(300);
    pyslab_arena_destroy(hooks.arena);
    EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
    EXPECT_NE(hooks.nr_ctor, 0);
}

/* Free objects keep every byte, whatever way they take. */
static void state_survives(void)
{
    begin(8, construct, NULL);
    for (int round = 0; round < 5; round++) {
        take(4000);
        for (unsigned i = 0; i < hooks.nr_held; i++)
            EXPECT_EQ(*(uint64_t *)hooks.held[i], STATE);
        give_all();
        rig_validate(hooks.arena);
    }
    expect_empty_arena();
    rig_end(hooks.arena);
}

/* A constructor that fails takes back what it had done, and the request alone fails. */
static void failing_constructor(void)
{
    begin(100, construct, destruct);
    hooks.fail_at = 17;
    EXPECT(pyslab_kmem_cache_alloc(hooks.cache, KERNEL) == NULL);
    EXPECT_EQ(hooks.nr_ctor, 17);
    EXPECT_EQ(hooks.nr_dtor, 16);
    EXPECT_EQ(nr_slabs(), 0);
    rig_validate(hooks.arena);
    take(100);
    EXPECT_EQ(hooks.nr_held, 100);
    hooks.fail_at = hooks.nr_ctor + 1;
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(hooks.cache, KERNEL, 3000, hooks.held + 100), 0);
    EXPECT_EQ(hook_stats().live_objects, 100);
    give_all();
    expect_empty_arena();
    rig_end(hooks.arena);
}

/* A constructor may allocate from its own cache; no object is lost or handed out twice. */
static void constructor_uses_its_cache(void)
{
    begin(100, construct, destruct);
    hooks.reenter = 3;
    take(1);
    EXPECT_EQ(hooks.nr_held, 2);
    EXPECT_NE(hooks.held[0], hooks.held[1]);
    EXPECT_EQ(hook_stats().live_objects, 2);
    rig_validate(hooks.arena);
    give_all();
    EXPECT_EQ(hook_stats().live_objects, 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(hooks.cache), PYSLAB_OK);
    expect_empty_arena();
    rig_end(hooks.arena);
}

static unsigned nr_inner;          /* destructor calls that used the cache */
static size_t inner_objects = 600; /* how many each of them takes and gives back */

/* A destructor that takes objects of the very cache it is called for, and gives them back. */
static void destruct_and_use(void *object, void *context)
{
    static void *inner[600];
    struct hooks *h = context;

    destruct(object, context);
    if (nr_inner++ != 0)
        return;
    for (size_t i = 0; i < inner_objects; i++)
        inner[i] = pyslab_kmem_cache_alloc(h->cache, KERNEL);
    for (size_t i = 0; i < inner_objects; i++)
        EXPECT_EQ(pyslab_kmem_cache_free(h->cache, inner[i]), PYSLAB_OK);
}

/* A destructor uses its own cache, in an allocation that finds main empty and first gives back what
 * the caches keep, because another thread is short of memory. */
static void destructor_uses_its_cache_in_a_drain(void)
{
    begin(200, construct, destruct_and_use);
    take(4000);
    give_all();
    for (int round = 0; round < 20; round++) {
        nr_inner = 0;
        inner_objects = 1 + (size_t)round; /* few leave main neither empty nor full */
        page_alloc_request_drain(&hooks.arena->pages);
        take(100 + 37 * (unsigned)round);
        EXPECT_EQ(hook_stats().live_objects, 100 + 37 * (unsigned)round);
        rig_validate(hooks.arena);
        give_all();
        EXPECT_EQ(hook_stats().live_objects, 0);
        rig_validate(hooks.arena);
    }
    EXPECT_EQ(pyslab_kmem_cache_destroy(hooks.cache), PYSLAB_OK);
    EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
    expect_empty_arena();
    rig_end(hooks.arena);
}

/* A destructor that runs inside a free uses its own cache. */
static void destructor_uses_its_cache(void)
{
    begin(2000, construct, destruct_and_use);
    take(4000);
    give_all();
    EXPECT_NE(nr_inner, 0);
    EXPECT_EQ(hook_stats().live_objects, 0);
    rig_validate(hooks.arena);
    EXPECT_EQ(pyslab_kmem_cache_destroy(hooks.cache), PYSLAB_OK);
    EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
    expect_empty_arena();
    rig_end(hooks.arena);
}

static void *use_and_end(void *argument)
{
    static _Thread_local void *p[500];

    (void)argument;
    for (size_t i = 0; i < ARRAY_SIZE(p); i++)
        p[i] = pyslab_kmem_cache_alloc(hooks.cache, KERNEL);
    for (size_t i = 0; i < ARRAY_SIZE(p); i++)
        EXPECT_EQ(pyslab_kmem_cache_free(hooks.cache, p[i]), PYSLAB_OK);
    return NULL;
}

/* Threads that end leave their objects behind, constructed. */
static void threads_end(void)
{
    begin(1000, construct, destruct);
    for (int round = 0; round < 10; round++) {
        pthread_t thread[2];

        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&thread[i], NULL, use_and_end, NULL) == 0);
        for (int i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
    }
    EXPECT_EQ(hook_stats().live_objects, 0);
    EXPECT_EQ(hook_stats().total_allocs, 10 * 2 * 500);
    rig_validate(hooks.arena);
    EXPECT_EQ(pyslab_kmem_cache_destroy(hooks.cache), PYSLAB_OK);
    EXPECT_EQ(hooks.nr_ctor, hooks.nr_dtor);
    expect_empty_arena();
    rig_end(hooks.arena);
}

/* Double frees and pointers inside are found although the words lie behind the object. */
static void misuse_is_found(void)
{
    begin(40, construct, NULL);
    take(3);
    EXPECT_EQ(pyslab_kmem_cache_free(hooks.cache, (char *)hooks.held[0] + 8), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kmem_cache_free(hooks.cache, hooks.held[0]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_free(hooks.cache, hooks.held[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(hooks.arena, hooks.held[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(hooks.arena, hooks.held[1]), PYSLAB_OK);
    hooks.held[0] = hooks.held[2];
    hooks.nr_held = 1;
    give_all();
    expect_empty_arena();
    rig_end(hooks.arena);
}

static pyslab_kmem_cache *under_pool;
static int destroy_code;

static int destroy_my_cache(void *object, void *context)
{
    (void)object, (void)context;
    destroy_code = pyslab_kmem_cache_destroy(under_pool);
    return 0;
}

/* From the first object of its reserve on, a pool keeps its cache from going. */
static void a_mempool_keeps_its_cache(void)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .ctor = destroy_my_cache};
    pyslab_arena *arena = rig_arena(64 * MIB, 14);
    pyslab_mempool *pool = NULL;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "x", 600, &options, &under_pool), PYSLAB_OK);
    REQUIRE(pyslab_mempool_create(under_pool, 10, &pool) == PYSLAB_OK);
    EXPECT_EQ(destroy_code, PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(under_pool), PYSLAB_OK);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(once_per_object_and_slab),
    TEST(destructed_with_the_arena),
    TEST(state_survives),
    TEST(failing_constructor),
    TEST(constructor_uses_its_cache),
    TEST(destructor_uses_its_cache),
    TEST(destructor_uses_its_cache_in_a_drain),
    TEST(threads_end),
    TEST(misuse_is_found),
    TEST(a_mempool_keeps_its_cache),
};

TEST_MAIN(tests)
