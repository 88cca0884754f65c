/* test_debug.c - holds down what caches with debug flags find: the cases of the KUnit
 * tests of SLUB, with their numbers of errors (a report is one, a repair another), and those of the
 * kernel's KASAN tests that red zones and poison can see.
 */
#include "rig_debug.h"

/* --- the KUnit tests of SLUB --------------------------------------------------------- */

static void clobber_zone(void)
{
    pyslab_kmem_cache *cache;
    char *p;

    debug_arena("");
    cache = cache_with(64, PYSLAB_DEBUG_REDZONE);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    p[64] = 0x12;
    EXPECT_EQ(errors_of_validate(cache), 2);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    EXPECT_PTR(seen.object, p);
    EXPECT_EQ(seen.offset, 64);
    EXPECT_EQ(seen.nr_bytes, 1);
    EXPECT_EQ(seen.expected, 0xcc);
    EXPECT_EQ(seen.found, 0x12);
    EXPECT_EQ(errors_of_validate(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

/* The word that tells a free object from a live one stands for the kernel's free pointer: it lies
 * before the object. */
static void next_pointer(void)
{
    pyslab_kmem_cache *cache;
    char *p;

    debug_arena("");
    cache = cache_with(64, PYSLAB_DEBUG_POISON);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    p[-16] = (char)(p[-16] ^ 0x12);
    EXPECT_EQ(errors_of_validate(cache), 2);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_LEFT_REDZONE);
    EXPECT_EQ(errors_of_validate(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

static void clobber_freed(size_t at)
{
    pyslab_kmem_cache *cache;
    char *p;

    debug_arena("");
    cache = cache_with(64, PYSLAB_DEBUG_POISON);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    p[at] = 0x78;
    EXPECT_EQ(errors_of_validate(cache), 2);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_POISON);
    EXPECT_EQ(seen.offset, (int64_t)at);
    EXPECT_EQ(seen.expected, at == 63 ? 0xa5 : 0x6b);
    EXPECT_EQ(errors_of_validate(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

static void first_word(void)
{
    clobber_freed(0);
}

static void clobber_50th_byte(void)
{
    clobber_freed(50);
}

static void clobber_last_byte(void)
{
    clobber_freed(63);
}

static void clobber_redzone_free(void)
{
    pyslab_kmem_cache *cache;
    char *p;

    debug_arena("");
    cache = cache_with(64, PYSLAB_DEBUG_REDZONE);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    p[64] = 0x78;
    EXPECT_EQ(errors_of_validate(cache), 2);
    EXPECT_EQ(seen.expected, 0xbb);
    EXPECT_EQ(errors_of_validate(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

/* The red zone begins at the size that was asked for. */
static void kmalloc_redzone_access(void)
{
    uint64_t before;
    char *p;

    debug_arena("FZPU,kmalloc-32");
    p = pyslab_kmalloc(arena, 18, KERNEL);
    EXPECT_EQ(pyslab_ksize(arena, p), 18);
    p[18] = 'a';
    p[19] = 'a';
    before = errors();
    EXPECT_EQ(pyslab_kmem_cache_validate(pyslab_kmem_cache_of(arena, p)), 1);
    EXPECT_EQ(errors() - before, 2);
    EXPECT_EQ(seen.offset, 18);
    EXPECT_EQ(seen.nr_bytes, 2);
    EXPECT_EQ(seen.object_size, 18);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end();
}

/* Destroying a cache with a live object fails, and nothing is lost. */
static void leak_destroy(void)
{
    pyslab_kmem_cache *cache;
    void *p;

    debug_arena("");
    cache = cache_with(64, PYSLAB_DEBUG_USER);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

static void krealloc_redzone_zeroing(void)
{
    unsigned char *p;

    debug_arena("Z");
    p = pyslab_kzalloc(arena, 48, KERNEL);
    p = pyslab_krealloc(arena, p, 40, KERNEL | PYSLAB_GFP_ZERO);
    EXPECT(rig_is_filled((char *)p + 40, 24, 0xcc));
    p = pyslab_krealloc(arena, p, 46, KERNEL | PYSLAB_GFP_ZERO);
    EXPECT(rig_is_filled((char *)p + 40, 6, 0));
    EXPECT(rig_is_filled((char *)p + 46, 18, 0xcc));
    memset(p, 0xab, 46);
    p = pyslab_krealloc(arena, p, 112, KERNEL | PYSLAB_GFP_ZERO);
    EXPECT(rig_is_filled((char *)p, 46, 0xab));
    EXPECT(rig_is_filled((char *)p + 46, 112 - 46, 0));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(errors(), 0);
    end();
}

/* --- as the kernel's KASAN tests ---------------------------------------- */

static const size_t sizes[] = {1, 8, 13, 16, 64, 100, 128, 192, 1000, 4096, 8192, 20000};

/* A byte is written outside of a live block, which is then freed: that is reported, the block
 * is not used again, and its caller is rid of it. */
static void out_of_bounds_at(size_t size, ptrdiff_t at, uint32_t kind)
{
    char *p = pyslab_kmalloc(arena, size, KERNEL);

    nr_seen = 0;
    p[at] = (char)(p[at] ^ 0x41);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, kind);
    EXPECT_PTR(seen.object, p);
    EXPECT(strstr(seen_text, kind == PYSLAB_CORRUPTION_LEFT_REDZONE ? "left red zone overwritten"
                                                                    : "right red zone") != NULL);
    nr_seen = 0;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_DOUBLE_FREE);
}

static void kmalloc_oob(void)
{
    debug_arena(FZPU);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        out_of_bounds_at(sizes[i], (ptrdiff_t)sizes[i], PYSLAB_CORRUPTION_RIGHT_REDZONE);
        out_of_bounds_at(sizes[i], (ptrdiff_t)sizes[i] + 63, PYSLAB_CORRUPTION_RIGHT_REDZONE);
        out_of_bounds_at(sizes[i], -1, PYSLAB_CORRUPTION_LEFT_REDZONE);
        out_of_bounds_at(sizes[i], -16, PYSLAB_CORRUPTION_LEFT_REDZONE);
        out_of_bounds_at(sizes[i], -32, PYSLAB_CORRUPTION_LEFT_REDZONE);
    }
    end();
}

/* What the issue asks to read in the report. */
static void overrun_by_64(void)
{
    char *p;

    debug_arena(FZPU);
    p = pyslab_kmalloc(arena, 64, KERNEL);
    memset(p + 64, 'A', 64);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(seen.nr_bytes, 64);
    EXPECT(strstr(seen_text, "BUG kmalloc-64: right red zone overwritten, 64 bytes past the end") ==
           seen_text);
    EXPECT(strstr(seen_text, "41 41 41 41 41 41 41 41") != NULL);
    EXPECT(strstr(seen_text, "AAAAAAAAAAAAAAAA") != NULL);
    end();
}

/* Written to after the free: found when the object leaves the quarantine or is handed out, and
 * it is not handed out then. */
static void kmalloc_uaf(void)
{
    static char *p[4096];

    debug_arena(FZPU);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t nr = sizes[i] < 1000 ? 4096 : 64;
        char *victim = pyslab_kmalloc(arena, sizes[i], KERNEL);

        EXPECT_EQ(pyslab_kfree(arena, victim), PYSLAB_OK);
        victim[0] = 'x';
        nr_seen = 0;
        for (size_t k = 0; k < nr; k++) {
            p[k] = pyslab_kmalloc(arena, sizes[i], KERNEL);
            EXPECT(p[k] != victim);
        }
        for (size_t k = 0; k < nr; k++)
            EXPECT_EQ(pyslab_kfree(arena, p[k]), PYSLAB_OK);
        if (nr_seen == 0)
            (void)pyslab_arena_release_unused(arena);
        EXPECT_EQ(nr_seen, 1);
        EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_POISON);
        EXPECT_PTR(seen.object, victim);
    }
    end();
}

/* An object that was freed is not the next one that is handed out. */
static void quarantine_rests(void)
{
    char *p, *q;

    debug_arena(FZPU);
    p = pyslab_kmalloc(arena, 100, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    q = pyslab_kmalloc(arena, 100, KERNEL);
    EXPECT(p != q);
    EXPECT(rig_is_filled(p, 99, 0x6b));
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    end();
}

static void wrong_frees(void)
{
    pyslab_kmem_cache *a, *b;
    char *p, local[64];

    debug_arena(FZPU);
    a = cache_with(64, 0);
    b = cache_with(64, 0);
    p = pyslab_kmem_cache_alloc(a, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free(b, p), PYSLAB_ECACHE);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_WRONG_CACHE);
    EXPECT_EQ(pyslab_kmem_cache_free(a, p + 8), PYSLAB_EPOINTER);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_INVALID_FREE);
    EXPECT_EQ(seen.offset, 8);
    EXPECT_EQ(pyslab_kfree(arena, p + 1), PYSLAB_EPOINTER);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_INVALID_FREE);
    EXPECT_EQ(pyslab_kfree(arena, local), PYSLAB_EPOINTER);
    EXPECT_PTR(seen.object, NULL);
    EXPECT_EQ(nr_seen, 4);
    EXPECT_EQ(pyslab_kmem_cache_free(a, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_free(a, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_DOUBLE_FREE);
    EXPECT_EQ(pyslab_kmem_cache_destroy(a), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(b), PYSLAB_OK);
    end();
}

/* krealloc checks the block that it resizes; ksize and krealloc of what is free are refused. */
static void krealloc_uaf(void)
{
    char *p;

    debug_arena(FZPU);
    p = pyslab_kmalloc(arena, 50, KERNEL);
    p[50] = 1;
    p = pyslab_krealloc(arena, p, 52, KERNEL);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    EXPECT_EQ(pyslab_ksize(arena, p), 52);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_ksize(arena, p), 0);
    EXPECT_PTR(pyslab_krealloc(arena, p, 52, KERNEL), NULL);
    EXPECT_EQ(nr_seen, 1);
    end();
}

/* A retired object is in nobody's hands, and the cache can go. */
static void retired(void)
{
    pyslab_kmem_cache *cache;
    pyslab_cache_stats stats;
    pyslab_debug_stats debug;
    char *p;

    debug_arena("");
    cache = cache_with(200, PYSLAB_DEBUG_REDZONE);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    p[200] = 1;
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    pyslab_kmem_cache_stats(cache, &stats);
    EXPECT_EQ(stats.live_objects, 0);
    EXPECT_EQ(stats.cached_objects, 1);
    pyslab_arena_debug_stats(arena, &debug);
    EXPECT_EQ(debug.nr_retired, 1);
    EXPECT_EQ(pyslab_kmem_cache_live_objects(cache, NULL, 0), 0);
    EXPECT_EQ(pyslab_kmem_cache_validate(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

/* What comes back to a mempool's reserve is looked at, without the pool's lock, and mended. */
static void mempool_reserve(void)
{
    static void *p[4096];
    pyslab_kmem_cache *cache;
    pyslab_mempool *pool;
    size_t nr = 0;
    char *last;

    debug_arena(FZPU);
    cache = cache_with(4000, 0);
    EXPECT_EQ(pyslab_mempool_create(cache, 1, &pool), PYSLAB_OK);
    pyslab_arena_set_limit(arena, 1);
    while (nr < ARRAY_SIZE(p) && (p[nr] = pyslab_kmem_cache_alloc(cache, KERNEL)) != NULL)
        nr++;
    last = pyslab_mempool_alloc(pool, KERNEL);
    EXPECT(nr < ARRAY_SIZE(p) && last != NULL);
    last[4000] = 1;
    EXPECT_EQ(pyslab_mempool_free(pool, last), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    rig_validate(arena);
    pyslab_arena_set_limit(arena, 0);
    while (nr > 0)
        EXPECT_EQ(pyslab_kmem_cache_free(cache, p[--nr]), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    end();
}

/* --- flags and text ----------------------------------------------------- */

static uint32_t flags_of(const char *text, const char *name)
{
    struct arena_debug debug = {.any = false};

    EXPECT_EQ(debug_init(&debug, text), PYSLAB_OK);
    return debug_flags_for(&debug, name);
}

static void text(void)
{
    static const char *const wrong[] = {"FX", ",kmalloc-64", "F,", "F;", ";F", "F,a,,b", "F;;P"};
    struct arena_debug debug = {.any = false};
    char longest[DEBUG_TEXT_BYTES + 1];

    EXPECT_EQ(flags_of("FZPU", "any"), 15);
    EXPECT_EQ(flags_of("fz", "any"), 3);
    EXPECT_EQ(flags_of("", "any"), 0);
    EXPECT_EQ(flags_of("FZ,kmalloc-64,inode*", "kmalloc-64"), 3);
    EXPECT_EQ(flags_of("FZ,kmalloc-64,inode*", "kmalloc-640"), 0);
    EXPECT_EQ(flags_of("FZ,kmalloc-64,inode*", "inode_cache"), 3);
    EXPECT_EQ(flags_of("FZ,kmalloc-64,inode*", "dentry"), 0);
    EXPECT_EQ(flags_of("F;P,dentry", "dentry"), 4);
    EXPECT_EQ(flags_of("F;P,dentry", "other"), 1);
    EXPECT_EQ(flags_of("F;-,dentry", "dentry"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        EXPECT_EQ(debug_init(&debug, wrong[i]), PYSLAB_EINVAL);
    memset(longest, 'F', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    EXPECT_EQ(debug_init(&debug, longest), PYSLAB_EINVAL);
}

static void environment(void)
{
    setenv("PYSLAB_DEBUG", "FZ", 1);
    debug_arena(NULL);
    out_of_bounds_at(64, 64, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    end();
    setenv("PYSLAB_DEBUG", "nonsense", 1);
    debug_arena(NULL);
    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 64, KERNEL)), PYSLAB_OK);
    end();
}

/* Each set of flags with each kind of cache, used as caches are. */
static void all_flags(void)
{
    debug_arena("");
    for (uint32_t flags = 1; flags < 16; flags++) {
        pyslab_kmem_cache *cache = cache_with(24 + flags * 7, flags);
        pyslab_sheaf *sheaf = pyslab_kmem_cache_prefill_sheaf(cache, KERNEL, 5);
        void *p[200], *set_aside = pyslab_kmem_cache_alloc_from_sheaf(cache, sheaf);

        EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 200, p), 200);
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
            memset(p[i], (int)i, 24 + flags * 7);
        rig_validate(arena);
        EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 200, p), 200);
        EXPECT_EQ(pyslab_kmem_cache_free(cache, set_aside), PYSLAB_OK);
        pyslab_kmem_cache_return_sheaf(cache, sheaf);
        rig_validate(arena);
        EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    }
    EXPECT_EQ(nr_seen, 0);
    end();
}

/* kmalloc's promises hold in an arena with flags: alignment, zeroes, and the size asked for. */
static void kmalloc_promises(void)
{
    debug_arena(FZPU);
    for (size_t size = 1; size <= 20000; size += size < 600 ? 1 : 997) {
        char *p = pyslab_kzalloc(arena, size, KERNEL);
        char *q = pyslab_kmalloc_aligned(arena, size, 256, KERNEL);

        EXPECT(rig_is_filled(p, size, 0));
        EXPECT_EQ((uintptr_t)q % 256, 0);
        if ((size & (size - 1)) == 0 && size <= 4096)
            EXPECT_EQ((uintptr_t)p % size, 0);
        memset(p, 0xff, size);
        memset(q, 0xff, size);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    }
    EXPECT_EQ(nr_seen, 0);
    end();
}

/* Small arenas, and no memory: what waits serves before a request fails. */
static void short_of_memory(void)
{
    pyslab_arena_options options = rig_options(256 << 10, 4);
    void *p[1024];
    size_t nr = 0;

    options.debug = FZPU;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    for (unsigned round = 0; round < 3; round++) {
        for (nr = 0; nr < 1024 && (p[nr] = pyslab_kmalloc(arena, 300, KERNEL)) != NULL; nr++)
            memset(p[nr], 1, 300);
        EXPECT_GE(nr, 64);
        for (size_t i = 0; i < nr; i++)
            EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    }
    end();
}

/* Without a handler the process writes the report, and aborts. */
static void default_aborts(void)
{
    int status;
    pid_t child;

    debug_arena(FZPU);
    pyslab_set_corruption_handler(arena, NULL, NULL);
    child = fork();
    if (child == 0) {
        char *p = pyslab_kmalloc(arena, 64, KERNEL);

        fclose(stderr);
        p[64] = 1;
        (void)pyslab_kfree(arena, p);
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    end();
}

/* arena.validate() says what it found, and does not abort. */
static void validate_tells(void)
{
    char message[256] = "";
    char *p;

    debug_arena(FZPU);
    p = pyslab_kmalloc(arena, 64, KERNEL);
    p[64] = 1;
    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_ECORRUPT);
    EXPECT(strstr(message, "BUG kmalloc-64: right red zone overwritten, 1 bytes past") != NULL);
    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end();
}

/* --- threads ------------------------------------------------------------ */

static void *work(void *context)
{
    uint64_t seed = (uintptr_t)context;

    for (unsigned i = 0; i < 4000; i++) {
        size_t size = 1 + (seed = seed * 6364136223846793005u + 1) % 700;
        char *p = pyslab_kmalloc(arena, size, KERNEL);

        memset(p, 0x11, size);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[4];

    debug_arena(FZPU);
    for (uintptr_t i = 0; i < ARRAY_SIZE(thread); i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
    EXPECT_EQ(nr_seen, 0);
    end();
}

static const struct test tests[] = {
    TEST(clobber_zone),
    TEST(next_pointer),
    TEST(first_word),
    TEST(clobber_50th_byte),
    TEST(clobber_last_byte),
    TEST(clobber_redzone_free),
    TEST(kmalloc_redzone_access),
    TEST(leak_destroy),
    TEST(krealloc_redzone_zeroing),
    TEST(kmalloc_oob),
    TEST(overrun_by_64),
    TEST(kmalloc_uaf),
    TEST(quarantine_rests),
    TEST(wrong_frees),
    TEST(krealloc_uaf),
    TEST(retired),
    TEST(mempool_reserve),
    TEST(text),
    TEST(environment),
    TEST(all_flags),
    TEST(kmalloc_promises),
    TEST(short_of_memory),
    TEST(default_aborts),
    TEST(validate_tells),
    TEST(threads),
};

TEST_MAIN(tests)
