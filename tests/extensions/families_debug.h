/* families_debug.h - the part of families.h about leaks and debugging; families.h includes it. */
#ifndef FAMILIES_DEBUG_H
#define FAMILIES_DEBUG_H

static int leaks(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    char text[20000], cut[20];
    size_t bytes;
    void *p;

    CHECK(arena != NULL);
    CHECK(pyslab_arena_leaks(arena, text, sizeof text) == 0 && text[0] == '\0');
    CHECK(pyslab_arena_track(arena) == PYSLAB_OK);
    CHECK(pyslab_arena_leaks(arena, text, sizeof text) == 0 && text[0] == '\0');
    p = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);
    bytes = pyslab_arena_leaks(arena, text, sizeof text);
    CHECK(bytes == strlen(text));
    CHECK(strstr(text, "112 bytes in 1 allocation still in use\n112 bytes in 1 allocation:\n") ==
          text);
    CHECK(pyslab_arena_leaks(arena, cut, sizeof cut) == bytes);
    CHECK(strlen(cut) == sizeof cut - 1 && strncmp(cut, text, sizeof cut - 1) == 0);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    CHECK(pyslab_arena_leaks(arena, text, sizeof text) == 0);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* What a handler was told. */
struct told {
    uint32_t kind;
    char text[4000];
};

static void told_by_handler(const pyslab_corruption *found, void *context)
{
    struct told *told = (struct told *)context;

    told->kind = found->kind;
    pyslab_corruption_text(found, told->text, sizeof told->text);
}

/* The second of three calls fails; the library tells what came of it. */
static int failing(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_failing_options options;
    pyslab_failing_stats stats;
    pyslab_failing *block = NULL;
    void *p[3];

    CHECK(arena != NULL);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.nth = 2;
    CHECK(pyslab_failing_begin(arena, &options, &block) == PYSLAB_OK);
    for (int i = 0; i < 3; i++)
        p[i] = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);
    CHECK(p[0] != NULL && p[1] == NULL && p[2] != NULL);
    pyslab_failing_read(block, &stats);
    CHECK(stats.nr_calls == 3 && stats.nr_failures == 1 && stats.nr_arenas >= 1);
    pyslab_failing_end(block);
    CHECK(pyslab_kfree(arena, p[0]) == PYSLAB_OK && pyslab_kfree(arena, p[2]) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

static int debugging(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_cache_options options;
    pyslab_debug_stats stats;
    pyslab_kfence_stats kfence;
    pyslab_kmem_cache *cache = NULL;
    struct told told = {0, ""};
    unsigned char *p;

    CHECK(arena != NULL);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.debug_flags = PYSLAB_DEBUG_CHECKS | PYSLAB_DEBUG_REDZONE;
    CHECK(pyslab_kmem_cache_create(arena, "checked", 40, &options, &cache) == PYSLAB_OK);
    pyslab_set_corruption_handler(arena, told_by_handler, &told);
    p = (unsigned char *)pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_kmem_cache_validate(cache) == 0 && told.kind == 0);
    p[40] = 1;
    CHECK(pyslab_kmem_cache_validate(cache) == 1);
    CHECK(told.kind == PYSLAB_CORRUPTION_RIGHT_REDZONE);
    CHECK(strncmp(told.text, "BUG checked: right red zone overwritten", 39) == 0);
    pyslab_arena_debug_stats(arena, &stats);
    CHECK(stats.nr_found == 1);
    pyslab_arena_kfence_stats(arena, &kfence);
    CHECK(kfence.nr_found == 0);
    CHECK(pyslab_kmem_cache_free(cache, p) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_destroy(cache) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

#endif
