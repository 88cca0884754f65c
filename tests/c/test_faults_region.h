/* test_faults_region.h - the operations of test_faults.c on regions.
 *
 * Not here: the loops. Included once, before the table of operations. */
#ifndef TESTS_FAULTS_REGION_H
#define TESTS_FAULTS_REGION_H

static uint64_t region_used(struct scene *s)
{
    pyslab_region_stats stats;

    pyslab_region_stats_read(s->region, &stats);
    return stats.used_bytes;
}

static void with_region(struct scene *s)
{
    EXPECT_EQ(pyslab_region_create(s->arena, 0, &s->region), PYSLAB_OK);
}

static void with_one_block(struct scene *s)
{
    with_region(s);
    EXPECT(pyslab_region_alloc(s->region, 1) != NULL);
}

static void count_end(void *context)
{
    ++*(unsigned *)context;
}

static void with_full_region(struct scene *s)
{
    static unsigned nr_ends;
    pyslab_region *child = NULL;

    with_region(s);
    EXPECT(pyslab_region_mark(s->region) != 0);
    for (int i = 0; i < 100; i++)
        EXPECT(pyslab_region_alloc(s->region, 3000) != NULL);
    EXPECT(pyslab_region_alloc(s->region, 300 * KIB) != NULL);
    EXPECT_EQ(pyslab_region_on_exit(s->region, count_end, &nr_ends), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_create_child(s->region, &child), PYSLAB_OK);
    EXPECT(pyslab_region_alloc(child, 300 * KIB) != NULL);
}

/* What a refused call used: nothing. */
static bool region_took(struct scene *s, uint64_t before, const void *p)
{
    if (p == NULL)
        EXPECT_EQ(region_used(s), before);
    return p != NULL;
}

static bool region_small(struct scene *s)
{
    uint64_t before = region_used(s);

    return region_took(s, before, pyslab_region_alloc(s->region, 5000));
}

static bool region_aligned(struct scene *s)
{
    uint64_t before = region_used(s);

    return region_took(s, before, pyslab_region_alloc_aligned(s->region, 100, 64 * KIB));
}

static bool region_large(struct scene *s)
{
    uint64_t before = region_used(s);

    return region_took(s, before, pyslab_region_zalloc(s->region, 300 * KIB));
}

/* One small object between two marks, in a block that is there: only the marks need memory. */
static bool region_many_marks(struct scene *s)
{
    bool ok = true;

    for (int i = 0; i < 40 && ok; i++) {
        EXPECT(pyslab_region_alloc(s->region, 1) != NULL);
        ok = pyslab_region_mark(s->region) != 0;
    }
    return ok;
}

static bool region_hinted(struct scene *s)
{
    return pyslab_region_create(s->arena, 100 * KIB, &s->region) == PYSLAB_OK;
}

static bool region_child(struct scene *s)
{
    pyslab_region *child = NULL;

    return pyslab_region_create_child(s->region, &child) == PYSLAB_OK;
}

static bool region_end(struct scene *s)
{
    static unsigned nr_ends;

    return pyslab_region_on_exit(s->region, count_end, &nr_ends) == PYSLAB_OK;
}

static bool region_reset_op(struct scene *s)
{
    EXPECT_EQ(pyslab_region_reset(s->region), PYSLAB_OK);
    return true;
}

static bool region_destroy_op(struct scene *s)
{
    EXPECT_EQ(pyslab_region_destroy(s->region), PYSLAB_OK);
    s->region = NULL;
    return true;
}

#define REGION_OPERATIONS                                                                          \
    MAY(region_small, with_region), MAY(region_aligned, with_region),                              \
        MAY(region_large, with_region), MAY(region_many_marks, with_one_block),                    \
        MAY(region_hinted, nothing), MAY(region_child, with_region), MAY(region_end, with_region), \
        MUST(region_reset_op, with_full_region), MUST(region_destroy_op, with_full_region)

#endif
