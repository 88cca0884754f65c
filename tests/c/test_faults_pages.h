/* test_faults_pages.h - the operations of test_faults.c on page frames: blocks, runs, many at
 * once, splitting, and reclaim by a shrinker.
 *
 * Not here: the loops. Included once, behind the scene and before the table of operations. */
#ifndef TESTS_FAULTS_PAGES_H
#define TESTS_FAULTS_PAGES_H

static bool pages_of(struct scene *s, unsigned order, uint32_t gfp)
{
    size_t bytes = PAGE_SIZE << order;

    s->order = order;
    s->block = pyslab_get_free_pages(s->arena, order, gfp);
    EXPECT((gfp & PYSLAB_GFP_ZERO) == 0 || s->block == NULL || rig_is_filled(s->block, bytes, 0));
    return s->block != NULL;
}

static bool pages_0(struct scene *s)
{
    return pages_of(s, 0, KERNEL);
}

static bool pages_3_zeroed(struct scene *s)
{
    return pages_of(s, 3, ZEROED);
}

static bool pages_5(struct scene *s)
{
    return pages_of(s, 5, KERNEL);
}

static bool pages_9(struct scene *s)
{
    return pages_of(s, 9, KERNEL);
}

static bool pages_10_zeroed(struct scene *s)
{
    return pages_of(s, 10, ZEROED);
}

static bool alloc_pages_0(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 0, KERNEL);

    s->order = 0;
    s->block = pfn == PFN_NONE ? NULL : pyslab_page_address(s->arena, pfn);
    return s->block != NULL;
}

static bool contig_op(struct scene *s)
{
    void *p = pyslab_alloc_contig(s->arena, 301, 4, 512, ZEROED);

    EXPECT(p == NULL || rig_is_filled(p, 301 * PAGE_SIZE, 0));
    return take(s, p, 301 * PAGE_SIZE);
}

static bool exact_op(struct scene *s)
{
    return take(s, pyslab_alloc_pages_exact(s->arena, 13 * PAGE_SIZE, ZEROED), 13 * PAGE_SIZE);
}

static bool reserve_op(struct scene *s)
{
    return take(s, pyslab_reserve_range(s->arena, 1001, 50), 50 * PAGE_SIZE);
}

/* Fewer than asked for is a refusal here; what there was goes back. */
static bool bulk_of(struct scene *s, uint32_t gfp)
{
    uint32_t pfn[700], nr = pyslab_alloc_pages_bulk(s->arena, gfp, 700, pfn);

    EXPECT_LE(nr, 700);
    rig_give_all(s->arena, 0, pfn, nr);
    return nr == 700;
}

static bool bulk_op(struct scene *s)
{
    return bulk_of(s, ZEROED);
}

static bool bulk_high_op(struct scene *s)
{
    return bulk_of(s, HIGHUSER | PYSLAB_GFP_ZERO);
}

static bool high_block_op(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 4, HIGHUSER | PYSLAB_GFP_COMP);

    if (pfn != PFN_NONE)
        EXPECT_EQ(pyslab_free_pages(s->arena, pfn, 4), PYSLAB_OK);
    return pfn != PFN_NONE;
}

static bool split_op(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 5, DMA);

    if (pfn == PFN_NONE)
        return false;
    EXPECT_EQ(pyslab_split_page(s->arena, pfn, 5), PYSLAB_OK);
    for (uint32_t i = 0; i < 32; i++)
        EXPECT_EQ(pyslab_put_page(s->arena, pfn + i), PYSLAB_OK);
    return true;
}

static uint64_t count_objects(void *context)
{
    return ((const struct scene *)context)->nr;
}

/* Frees through the scene, and asks for memory that it may be refused. */
static int64_t scan_objects(uint64_t nr, void *context)
{
    struct scene *s = context;
    int64_t went = 0;

    for (; (uint64_t)went < nr && s->nr > 0; went++)
        EXPECT_EQ(pyslab_kfree(s->arena, s->p[--s->nr]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(s->arena, pyslab_kmalloc(s->arena, 300, KERNEL)), PYSLAB_OK);
    return went;
}

static bool register_op(struct scene *s)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 0,
                                       .batch = 8,
                                       .count = count_objects,
                                       .scan = scan_objects,
                                       .context = s};
    pyslab_shrinker *shrinker = NULL;
    int code = pyslab_register_shrinker(s->arena, &options, &shrinker);

    EXPECT_EQ(code, shrinker != NULL ? PYSLAB_OK : PYSLAB_ENOMEM);
    return code == PYSLAB_OK;
}

/* Large blocks in all the arena, that a shrinker gives back. */
static void shrinkable(struct scene *s)
{
    void *p;

    EXPECT(register_op(s));
    /* With debug flags fewer fit, and the shrinker makes room: the tries are counted. */
    for (unsigned i = 0; i < 15; i++) {
        p = pyslab_kmalloc(s->arena, MIB, KERNEL | PYSLAB_GFP_NORETRY);
        if (p == NULL)
            break;
        s->p[s->nr++] = p;
    }
}

/* Served by reclaim, or refused; what the shrinker freed is gone either way. */
static bool reclaim_op(struct scene *s)
{
    void *p = pyslab_alloc_contig(s->arena, 2048, 1, 0, KERNEL);

    EXPECT_EQ(pyslab_kfree(s->arena, p), PYSLAB_OK);
    return true;
}

#endif
