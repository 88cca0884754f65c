/* test_vmalloc.c - holds down vm/: areas over scattered frames, maps of others' frames,
 * rings, lazy unmapping, the budget, and arenas without high memory.
 * Not here: the Python face (tests/unit/test_vmalloc.py).
 */
#include "base/fault.h"
#include "rig.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pyslab_arena *arena;

/* 1 MiB with addresses, the rest without. */
static void begin(uint32_t high_pages, uint32_t max_order)
{
    static pyslab_zone_options zones[2];
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .max_order = max_order,
                                    .size_bytes = (uint64_t)(256 + high_pages) << PAGE_SHIFT,
                                    .zones = zones,
                                    .nr_zones = 2};

    zones[0] = (pyslab_zone_options){.type = PYSLAB_ZONE_NORMAL, .nr_pages = 256, .batch = 1};
    zones[1] = (pyslab_zone_options){
        .type = PYSLAB_ZONE_HIGHMEM, .nr_pages = high_pages, .batch = 1};
    arena = NULL;
    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
}

static void begin_flat(uint64_t bytes)
{
    pyslab_arena_options options = {
        .struct_size = sizeof options, .max_order = 10, .size_bytes = bytes};

    arena = NULL;
    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
}

static void check(void)
{
    char message[256] = "";

    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_OK);
    if (message[0] != '\0')
        fprintf(stderr, "validate: %s\n", message);
}

static void end(void)
{
    check();
    pyslab_arena_destroy(arena);
}

static pyslab_vm_stats figures(void)
{
    pyslab_vm_stats stats;

    pyslab_arena_vm_stats(arena, &stats);
    return stats;
}

/* Sizes of all kinds: every byte is there, none is another area's. */
static void areas_hold_their_bytes(void)
{
    enum { NR = 40 };
    char *area[NR];

    begin(4096, 10);
    for (size_t i = 0; i < NR; i++) {
        size_t bytes = i * 1111 + 1;

        area[i] = pyslab_vmalloc(arena, bytes, KERNEL);
        REQUIRE(area[i] != NULL);
        EXPECT_EQ(pyslab_vsize(arena, area[i]), (bytes + 4095) / 4096 * 4096);
        memset(area[i], (int)i, pyslab_vsize(arena, area[i]));
    }
    EXPECT_EQ(figures().nr_areas, NR);
    for (size_t i = 0; i < NR; i++) {
        EXPECT(rig_is_filled(area[i], pyslab_vsize(arena, area[i]), (unsigned char)i));
        EXPECT_EQ(pyslab_vfree(arena, area[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_vfree(arena, area[i]), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_vsize(arena, area[i]), 0);
    }
    EXPECT_EQ(figures().nr_pages, 0);
    end();
}

/* An unfragmented arena gives few pieces; one of single frames gives as many as it takes. */
static void mappings_follow_the_fragments(void)
{
    enum { NR = 2048 };
    static uint32_t frame[2 * NR];
    void *p;

    begin(2 * NR, 10);
    p = pyslab_vmalloc(arena, NR << PAGE_SHIFT, KERNEL);
    REQUIRE(p != NULL);
    EXPECT(figures().nr_mappings <= 4);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    (void)pyslab_arena_release_unused(arena);
    EXPECT_EQ(figures().nr_mappings, 0);
    for (uint32_t i = 0; i < 2 * NR; i++) {
        frame[i] = page_alloc_high(&arena->pages, 0, KERNEL);
        REQUIRE(frame[i] != PFN_NONE);
    }
    EXPECT(pyslab_vmalloc(arena, 1, KERNEL) == NULL);
    for (uint32_t i = 0; i < 2 * NR; i++)
        if (frame[i] % 2 == 0)
            EXPECT_EQ(pyslab_free_pages(arena, frame[i], 0), PYSLAB_OK);
    p = pyslab_vmalloc(arena, NR << PAGE_SHIFT, KERNEL);
    REQUIRE(p != NULL);
    EXPECT_EQ(figures().nr_mappings, NR + 2);
    memset(p, 7, NR << PAGE_SHIFT);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    end();
}

static void zeroed_areas_are_zero(void)
{
    begin(64, 6);
    for (unsigned round = 0; round < 3; round++) {
        char *p = pyslab_vzalloc(arena, 60 << PAGE_SHIFT, KERNEL);

        REQUIRE(p != NULL);
        EXPECT(rig_is_filled(p, 60 << PAGE_SHIFT, 0));
        memset(p, 0xee, 60 << PAGE_SHIFT);
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
        check();
    }
    end();
}

static void a_ring_is_seen_twice(void)
{
    const size_t bytes = 16 << PAGE_SHIFT;
    unsigned char *ring;

    begin(256, 3);
    EXPECT(pyslab_vm_ring(arena, 100, KERNEL) == NULL);
    EXPECT(pyslab_vm_ring(arena, 0, KERNEL) == NULL);
    ring = pyslab_vm_ring(arena, bytes, KERNEL);
    REQUIRE(ring != NULL);
    EXPECT_EQ(pyslab_vsize(arena, ring), 2 * bytes);
    for (size_t i = 0; i < bytes; i++)
        ring[i] = (unsigned char)(i * 37 >> 3);
    EXPECT_EQ(memcmp(ring, ring + bytes, bytes), 0);
    memcpy(ring + bytes - 4, "straddle", 8);
    EXPECT_EQ(memcmp(ring, "ddle", 4), 0);
    EXPECT_EQ(figures().nr_pages, 16);
    EXPECT_EQ(pyslab_vfree(arena, ring), PYSLAB_OK);
    end();
}

/* Others' blocks in any order, one of them twice; they stay as long as the map. */
static void maps_hold_references(void)
{
    uint32_t pfn[4], low;
    unsigned char *p;

    begin(64, 6);
    for (unsigned i = 0; i < 3; i++) {
        pfn[i] = pyslab_alloc_pages(arena, i, PYSLAB_GFP_HIGHUSER);
        REQUIRE(pfn[i] != PFN_NONE);
    }
    pfn[3] = pfn[0];
    p = pyslab_vmap(arena, pfn, 4);
    REQUIRE(p != NULL);
    EXPECT_EQ(pyslab_vsize(arena, p), 8 << PAGE_SHIFT);
    memset(p, 1, 8 << PAGE_SHIFT);
    *(volatile unsigned char *)p = 99;
    EXPECT_EQ(((volatile unsigned char *)p)[7 << PAGE_SHIFT], 99);
    EXPECT_EQ(pyslab_page_count(arena, pfn[0]), 3);
    EXPECT_EQ(pyslab_page_count(arena, pfn[1]), 2);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn[i], i), PYSLAB_OK);
    EXPECT_EQ(pyslab_page_count(arena, pfn[2]), 1);
    EXPECT_EQ(pyslab_vunmap(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_page_count(arena, pfn[2]), 0);
    low = pyslab_alloc_pages(arena, 0, KERNEL);
    EXPECT(pyslab_vmap(arena, &low, 1) == NULL); /* anonymous */
    EXPECT(pyslab_vmap(arena, pfn, 1) == NULL);  /* freed */
    EXPECT(pyslab_vmap(arena, pfn, 0) == NULL);
    pfn[1] = PFN_NONE;
    EXPECT(pyslab_vmap(arena, pfn + 1, 1) == NULL);
    EXPECT_EQ(pyslab_free_pages(arena, low, 0), PYSLAB_OK);
    end();
}

/* A bad block in the middle of a list leaves no reference behind. */
static void a_bad_map_leaves_nothing(void)
{
    uint32_t pfn[3];

    begin(64, 6);
    pfn[0] = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_HIGHUSER);
    pfn[1] = 5;
    pfn[2] = pfn[0];
    EXPECT(pyslab_vmap(arena, pfn, 3) == NULL);
    EXPECT_EQ(pyslab_page_count(arena, pfn[0]), 1);
    EXPECT_EQ(figures().nr_mappings, 0);
    EXPECT_EQ(pyslab_free_pages(arena, pfn[0], 0), PYSLAB_OK);
    end();
}

/* A block may be in a list many times: their sum is counted in 64 bits, and refused. */
static void a_map_of_too_many_frames(void)
{
    enum { ORDER = 17, NR = 1 << 15 };
    uint32_t *pfn = calloc(NR + 1, sizeof *pfn);
    uint32_t block;
    void *p;

    REQUIRE(pfn != NULL);
    begin(2u << ORDER, ORDER);
    block = pyslab_alloc_pages(arena, ORDER, PYSLAB_GFP_HIGHUSER);
    for (uint32_t i = 0; i <= NR; i++)
        pfn[i] = block;
    EXPECT(pyslab_vmap(arena, pfn, NR) == NULL);
    EXPECT(pyslab_vmap(arena, pfn, NR + 1) == NULL);
    EXPECT_EQ(pyslab_page_count(arena, block), 1);
    EXPECT_EQ(figures().nr_mappings, 0);
    p = pyslab_vmap(arena, pfn, 2);
    REQUIRE(p != NULL);
    EXPECT_EQ(pyslab_vsize(arena, p), (size_t)2 << (ORDER + PAGE_SHIFT));
    EXPECT_EQ(pyslab_vunmap(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, block, ORDER), PYSLAB_OK);
    free(pfn);
    end();
}

static void freed_addresses_come_again(void)
{
    char *first, *second;

    begin(256, 8);
    first = pyslab_vmalloc(arena, 8 << PAGE_SHIFT, KERNEL);
    EXPECT_EQ(pyslab_vfree(arena, first), PYSLAB_OK);
    EXPECT_EQ(figures().lazy_pages, 8);
    second = pyslab_vmalloc(arena, 8 << PAGE_SHIFT, KERNEL);
    EXPECT(first == second);
    EXPECT_EQ(figures().lazy_pages, 0);
    EXPECT_EQ(pyslab_vfree(arena, second), PYSLAB_OK);
    (void)pyslab_arena_release_unused(arena);
    EXPECT_EQ(figures().lazy_pages, 0);
    EXPECT_EQ(figures().nr_mappings, 0);
    end();
}

/* Freed areas beyond the limit are unmapped without being asked for. */
static void the_purge_comes_by_itself(void)
{
    begin_flat(512 * MIB);
    for (size_t i = 0; i < 16; i++) {
        void *p = pyslab_vmalloc(arena, (i + 1) * MIB + 16 * MIB, KERNEL);

        REQUIRE(p != NULL);
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
        EXPECT(figures().lazy_pages <= fls64(os_nr_cpus()) * (32 * MIB >> PAGE_SHIFT));
    }
    end();
}

static void a_flat_arena_has_vmalloc_too(void)
{
    uint64_t used;
    char *p, *q;

    begin_flat(4 * MIB);
    EXPECT_EQ(pyslab_vfree(arena, &p), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_vsize(arena, &p), 0);
    used = pyslab_arena_used(arena);
    p = pyslab_vmalloc(arena, 3 * MIB, KERNEL);
    REQUIRE(p != NULL);
    memset(p, 5, 3 * MIB);
    EXPECT_EQ(pyslab_arena_used(arena), used);
    EXPECT(pyslab_vmalloc(arena, 5 * MIB, KERNEL) == NULL);
    q = pyslab_kvmalloc(arena, 4 * MIB + 1, KERNEL);
    EXPECT(q == NULL);
    q = pyslab_kvmalloc(arena, MIB, KERNEL);
    EXPECT(q >= (char *)pyslab_arena_base(arena));
    EXPECT_EQ(pyslab_kvfree(arena, q), PYSLAB_OK);
    EXPECT_EQ(pyslab_kvfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kvfree(arena, NULL), PYSLAB_OK);
    end();
}

static void bad_sizes(void)
{
    begin(16, 4);
    EXPECT(pyslab_vmalloc(arena, 0, KERNEL) == NULL);
    EXPECT(pyslab_vmalloc(arena, SIZE_MAX, KERNEL) == NULL);
    EXPECT(pyslab_vmalloc(arena, 17 << PAGE_SHIFT, KERNEL) == NULL);
    EXPECT(pyslab_vmalloc(arena, 1, 3) == NULL);
    EXPECT(pyslab_vmalloc(arena, 16 << PAGE_SHIFT, KERNEL) != NULL);
    EXPECT(pyslab_vmalloc(arena, 1, KERNEL) == NULL);
    check();
    pyslab_arena_destroy(arena); /* with an area in it */
}

/* Each point where memory can be refused: nothing is lost. */
static void refusals_lose_nothing(void)
{
#if PYSLAB_CHECK_LEVEL >= 1
    begin(64, 6);
    for (uint64_t n = 1;; n++) {
        uint64_t free_pages = zone_free_pages(&arena->pages.zone[1]);
        void *p;

        fault_inject(n, true);
        p = pyslab_vmalloc(arena, 5 << PAGE_SHIFT, KERNEL);
        fault_inject(0, false);
        check();
        if (p != NULL) {
            EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
            break;
        }
        EXPECT(zone_free_pages(&arena->pages.zone[1]) + rig_pcp_pages(&arena->pages) >= free_pages);
        REQUIRE(n < 100);
    }
    end();
#endif
}

/* The child may read what it holds; the frames are the parent's. */
static void a_child_reads_and_leaves_alone(void)
{
    char *p;
    pid_t pid;
    int status;

    begin(64, 6);
    p = pyslab_vmalloc(arena, 4 << PAGE_SHIFT, KERNEL);
    REQUIRE(p != NULL);
    p[0] = 42;
    pid = fork();
    if (pid == 0)
        _exit(p[0] == 42 && pyslab_vfree(arena, p) == PYSLAB_EFORKED &&
                      pyslab_vmalloc(arena, 1, KERNEL) == NULL &&
                      pyslab_alloc_pages(arena, 0, PYSLAB_GFP_HIGHUSER) == PFN_NONE &&
                      pyslab_kmalloc(arena, 100, KERNEL) != NULL
                  ? 0
                  : 1);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(p[0], 42);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    end();
}

static void *churn(void *seed)
{
    uint32_t state = (uint32_t)(uintptr_t)seed;

    for (unsigned i = 0; i < 300; i++) {
        size_t nr = (state = state * 1664525u + 1013904223u) % 16 + 1;
        unsigned char *p = pyslab_vmalloc(arena, nr << PAGE_SHIFT, KERNEL);

        if (p == NULL)
            continue;
        memset(p, (int)(state >> 24), nr << PAGE_SHIFT);
        EXPECT(rig_is_filled(p, nr << PAGE_SHIFT, (unsigned char)(state >> 24)));
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    }
    return NULL;
}

static void threads_share_the_area_table(void)
{
    pthread_t thread[2];

    begin(512, 6);
    for (uintptr_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    end();
}

/* The primitive for extensions: frames come and go in slots. */
static void windows_show_frames(void)
{
    pyslab_window *window;
    uint32_t pfn[2], low;
    char *first, *second;

    begin(64, 6);
    EXPECT_EQ(pyslab_window_create(arena, 0, 0, &window), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_window_create(arena, 1, MAX_ORDER + 1, &window), PYSLAB_EINVAL);
    REQUIRE(pyslab_window_create(arena, 2, 1, &window) == PYSLAB_OK);
    pfn[0] = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_HIGHUSER);
    pfn[1] = pyslab_alloc_pages(arena, 3, PYSLAB_GFP_HIGHUSER);
    low = pyslab_alloc_pages(arena, 0, KERNEL);
    first = pyslab_window_map(window, 0, pfn[0]);
    second = pyslab_window_map(window, 1, pfn[1] + 5);
    REQUIRE(first != NULL && second != NULL);
    strcpy(first, "first");
    strcpy(second, "second");
    EXPECT(pyslab_window_map(window, 2, pfn[0]) == NULL);
    EXPECT(pyslab_window_map(window, 0, low) == NULL);
    EXPECT(pyslab_window_map(window, 0, PFN_NONE) == NULL);
    first = pyslab_window_map(window, 1, pfn[0]);
    second = pyslab_window_map(window, 0, pfn[1] + 5);
    EXPECT_EQ(strcmp(first, "first"), 0);
    EXPECT_EQ(strcmp(second, "second"), 0);
    EXPECT_EQ(pyslab_window_unmap(window, 1, 2), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_window_unmap(window, 0, 2), PYSLAB_OK);
    pyslab_window_destroy(window);
    pyslab_window_destroy(NULL);
    EXPECT_EQ(pyslab_free_pages(arena, pfn[0], 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn[1], 3), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, low, 0), PYSLAB_OK);
    end();
}

/* A file on disk keeps what was written, and its size. */
static void a_file_keeps_its_frames(void)
{
    char path[] = "/tmp/pyslab-test-XXXXXX";
    pyslab_zone_options zones[] = {{.type = PYSLAB_ZONE_NORMAL, .nr_pages = 64, .batch = 1},
                                   {.type = PYSLAB_ZONE_HIGHMEM, .nr_pages = 64, .batch = 1}};
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .max_order = 6,
                                    .size_bytes = 128 << PAGE_SHIFT,
                                    .zones = zones,
                                    .nr_zones = 2,
                                    .highmem_path = path};
    pyslab_arena *other;
    uint32_t pfn, map_pfn;
    char *p;

    close(mkstemp(path));
    REQUIRE(pyslab_arena_create(&options, &arena) == PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_create(&options, &other), PYSLAB_EOS); /* locked */
    pfn = pyslab_alloc_pages(arena, 2, PYSLAB_GFP_HIGHUSER);
    p = pyslab_vmap(arena, &pfn, 1);
    REQUIRE(p != NULL);
    memcpy(p + 5000, "persistent", 10);
    EXPECT_EQ(pyslab_arena_flush(arena), PYSLAB_OK);
    EXPECT_EQ(pyslab_vunmap(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_OK);
    (void)pyslab_arena_release_unused(arena);
    end();
    REQUIRE(pyslab_arena_create(&options, &arena) == PYSLAB_OK);
    map_pfn = pyslab_alloc_pages(arena, 6, PYSLAB_GFP_HIGHUSER);
    REQUIRE(map_pfn == 64);
    p = pyslab_vmap(arena, &map_pfn, 1);
    EXPECT_EQ(memcmp(p + ((pfn - map_pfn) << PAGE_SHIFT) + 5000, "persistent", 10), 0);
    EXPECT_EQ(pyslab_vunmap(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, map_pfn, 6), PYSLAB_OK);
    map_pfn = pyslab_alloc_pages(arena, 6, PYSLAB_GFP_HIGHUSER | PYSLAB_GFP_ZERO);
    p = pyslab_vmap(arena, &map_pfn, 1);
    EXPECT(rig_is_filled(p, 64 << PAGE_SHIFT, 0));
    EXPECT_EQ(pyslab_vunmap(arena, p), PYSLAB_OK);
    end();
    zones[1].nr_pages = 65;
    options.size_bytes += PAGE_SIZE;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EOS); /* another size */
    options.highmem_path = "/nonexistent/file";
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EOS);
    unlink(path);
}

/* --- contracts ----------------------------------------------------------- */

static void ring_of_half_a_page(void)
{
    void *p;

    (void)vm_ring(&arena->vm, PAGE_SIZE / 2, KERNEL, &p);
}

/* A mapping that is counted twice is found by one of the next calls. */
static void count_one_mapping_too_many(void)
{
    begin(64, 10); /* of its own: a child may not use high frames of its parent's arena */
    arena->vm.nr_mappings++;
    for (int i = 0; i < 20; i++)
        (void)pyslab_vfree(arena, pyslab_vmalloc(arena, PAGE_SIZE, KERNEL));
}

static void contracts(void)
{
    begin(64, 10);
    EXPECT(check_stops(ring_of_half_a_page, "bytes % PAGE_SIZE == 0"));
    if (PYSLAB_CHECK_LEVEL >= 2)
        EXPECT(check_stops(count_one_mapping_too_many, "counters differ"));
    check();
    pyslab_arena_destroy(arena);
}

static const struct test tests[] = {
    TEST(areas_hold_their_bytes),
    TEST(mappings_follow_the_fragments),
    TEST(zeroed_areas_are_zero),
    TEST(a_ring_is_seen_twice),
    TEST(maps_hold_references),
    TEST(a_bad_map_leaves_nothing),
    TEST(a_map_of_too_many_frames),
    TEST(freed_addresses_come_again),
    TEST(the_purge_comes_by_itself),
    TEST(a_flat_arena_has_vmalloc_too),
    TEST(bad_sizes),
    TEST(refusals_lose_nothing),
    TEST(a_child_reads_and_leaves_alone),
    TEST(threads_share_the_area_table),
    TEST(windows_show_frames),
    TEST(a_file_keeps_its_frames),
    TEST(contracts),
};

TEST_MAIN(tests)
