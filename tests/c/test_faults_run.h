/* test_faults_run.h - the loops of test_faults.c: one operation, every point of failure.
 *
 * Not here: what the operations are. Included once, behind them. */
#ifndef TESTS_FAULTS_RUN_H
#define TESTS_FAULTS_RUN_H

/* What callers hold; a refused call may not move it. */
static uint64_t in_hands(pyslab_arena *arena)
{
    pyslab_arena_stats stats = rig_stats(arena);

    return stats.live_objects * 1000003u + stats.large_pages * 1009u + stats.large_count * 31u +
           stats.block_pages * 17u;
}

static void expect_balance(pyslab_arena *arena)
{
    pyslab_arena_stats stats = rig_stats(arena);

    rig_validate(arena);
    EXPECT_EQ(stats.free_pages + stats.pcp_pages + stats.slab_pages + stats.large_pages +
                  stats.block_pages,
              stats.managed_pages);
}

static void expect_nothing_live(pyslab_arena *arena)
{
    pyslab_arena_stats stats;

    (void)pyslab_arena_release_unused(arena);
    stats = rig_stats(arena);
    EXPECT_EQ(stats.live_objects, 0);
    EXPECT_EQ(stats.live_object_bytes, 0);
    EXPECT_EQ(stats.cached_objects, 0);
    EXPECT_EQ(stats.large_count, 0);
    EXPECT_EQ(stats.block_pages, 0);
    EXPECT_EQ(stats.free_pages, stats.managed_pages);
    expect_balance(arena);
}

static void undo(struct scene *s)
{
    if (s->sheaf != NULL)
        pyslab_kmem_cache_return_sheaf(s->cache, s->sheaf);
    EXPECT_EQ(pyslab_mempool_destroy(s->pool), PYSLAB_OK);
    s->pool = NULL;
    EXPECT_EQ(pyslab_region_destroy(s->region), PYSLAB_OK);
    s->region = NULL;
    give_all(s);
    if (s->block != NULL)
        EXPECT_EQ(pyslab_free_pages_address(s->arena, s->block, s->order), PYSLAB_OK);
    s->sheaf = NULL;
    s->block = NULL;
}

static bool run_done; /* what the operation returned */

static void *run_in_thread(void *operation)
{
    run_done = ((const struct operation *)operation)->run(&scene);
    return NULL;
}

static void run(const struct operation *operation, bool in_thread)
{
    struct operation copy = *operation;
    pthread_t thread;

    if (!in_thread) {
        run_done = copy.run(&scene);
        return;
    }
    REQUIRE(pthread_create(&thread, NULL, run_in_thread, &copy) == 0);
    pthread_join(thread, NULL); /* its caches are flushed in here, refused memory too */
}

/* One failure point; returns how many failures there were. */
static uint64_t fail_at(const struct operation *operation, uint64_t n, bool sticky, bool in_thread)
{
    size_t heap = os_heap_live_bytes();
    uint64_t held, count;

    memset(&scene, 0, sizeof scene);
    scene.arena = rig_arena(16 * MIB, 12);
    operation->prepare(&scene);
    held = in_hands(scene.arena);
    fault_inject(n, sticky);
    run(operation, in_thread);
    count = fault_count();
    fault_inject(0, false);
    EXPECT(run_done || (count != 0 && !operation->cannot_fail));
    if (!run_done)
        EXPECT_EQ(in_hands(scene.arena), held);
    expect_balance(scene.arena);
    EXPECT(operation->cannot_fail || run_done || operation->run(&scene)); /* now it works */
    undo(&scene);
    expect_nothing_live(scene.arena);
    pyslab_arena_destroy(scene.arena);
    EXPECT_EQ(os_heap_live_bytes(), heap);
    return count;
}

static void fail_everywhere(bool sticky, bool in_thread)
{
    pyslab_arena *arena = rig_arena(MIB, 8);

    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 1, KERNEL)), PYSLAB_OK);
    pyslab_arena_destroy(arena); /* this thread's record is on the heap from now on */
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        unsigned before = check_nr_failures;
        uint64_t n = 1;

        while (n < MOST_POINTS && fail_at(&operations[i], n, sticky, in_thread) != 0)
            n++;
        EXPECT(n < MOST_POINTS);
        EXPECT(operations[i].cannot_fail || n > 1);
        if (check_nr_failures != before)
            fprintf(stderr, "... in %s, one of the first %llu points\n", operations[i].name,
                    (unsigned long long)n);
    }
}

/* --- tests ---------------------------------------------------------------- */

static void one_failure(void)
{
    fail_everywhere(false, false);
}

static void all_from_one_on(void)
{
    fail_everywhere(true, false);
}

static void one_failure_in_a_new_thread(void)
{
    fail_everywhere(false, true);
}

static void all_from_one_on_in_a_new_thread(void)
{
    fail_everywhere(true, true);
}

static int create(const pyslab_arena_options *options)
{
    pyslab_arena *arena = NULL;
    int code = pyslab_arena_create(options, &arena);

    EXPECT_EQ(arena != NULL, code == PYSLAB_OK);
    if (code == PYSLAB_OK)
        rig_end(arena);
    return code;
}

/* The lowest number that a file opened now would get. */
static int next_fd(void)
{
    int fd = dup(STDOUT_FILENO);

    close(fd);
    return fd;
}

static void create_with(const pyslab_arena_options *options)
{
    int fd = next_fd();
    size_t heap = os_heap_live_bytes();

    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t n = 1;; n++) {
            pyslab_arena *arena = NULL;
            int code;
            uint64_t count;

            fault_inject(n, sticky != 0);
            code = pyslab_arena_create(options, &arena);
            count = fault_count();
            fault_inject(0, false);
            EXPECT_EQ(arena != NULL, code == PYSLAB_OK);
            EXPECT(code == PYSLAB_OK || code == PYSLAB_ENOMEM || code == PYSLAB_EOS);
            EXPECT(code == PYSLAB_OK || count != 0);
            if (code == PYSLAB_OK)
                rig_end(arena);
            EXPECT_EQ(os_heap_live_bytes(), heap);
            EXPECT_EQ(next_fd(), fd);
            if (count == 0 || n > MOST_POINTS)
                break;
        }
    EXPECT_EQ(create(options), PYSLAB_OK);
}

static void creation(void)
{
    pyslab_arena_options options = rig_options(64 * MIB, 14);

    EXPECT_EQ(create(&options), PYSLAB_OK);
    create_with(&options);
    options.hugepages = PYSLAB_HUGEPAGES_TRY;
    options.size_bytes = 256 * MIB;
    create_with(&options);
    options.kmalloc_classes = PYSLAB_CLASSES_LINUX;
    options.size_bytes = 4 * MIB;
    options.prefault = 1;
    create_with(&options);
    {
        const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, 257, 8),
                                             rig_zone(PYSLAB_ZONE_HIGHMEM, 511, 8)};
        pyslab_arena_options zoned_options = rig_zones_options(zones, 2, 9);

        create_with(&zoned_options);
        zoned_options.prefault = 1;
        create_with(&zoned_options);
    }
}

/* The first failure after which all fail: the arena is left and used again. */
static void arena_destroy_while_refused(void)
{
    size_t heap = os_heap_live_bytes();

    memset(&scene, 0, sizeof scene);
    scene.arena = rig_arena(16 * MIB, 12);
    hold_many(&scene);
    fault_inject(1, true);
    pyslab_arena_destroy(scene.arena);
    fault_inject(0, false);
    scene.arena = rig_arena(16 * MIB, 12);
    EXPECT_EQ(pyslab_kfree(scene.arena, pyslab_kmalloc(scene.arena, 1, KERNEL)), PYSLAB_OK);
    rig_end(scene.arena);
    EXPECT_LE(os_heap_live_bytes(), heap + 64); /* the record of this thread */
}

static const struct test tests[] = {
    TEST(one_failure),
    TEST(all_from_one_on),
    TEST(one_failure_in_a_new_thread),
    TEST(all_from_one_on_in_a_new_thread),
    TEST(creation),
    TEST(arena_destroy_while_refused),
};

#endif
