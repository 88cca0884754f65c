/* families.h - every function of pyslab.h, called as a client calls it.
 *
 * What it is: one function for each family, in the common part of C11 and C++17, to be
 * included after pyslab.h. Each makes an arena of its own and gives 0, or the line of the
 * first check that failed. Then its arenas are ended too, with all that is in them, so that a
 * family whose allocations fail leaves nothing over.
 * What it is not: tests of what the functions do (tests/c/ has them): it shows that each
 * arrives where it should, with all its arguments.
 */
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return end_arenas(__LINE__);                                                           \
    } while (0)

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define FRAME ((size_t)1 << PYSLAB_PAGE_SHIFT)

/* Arenas that this thread's family has made and not ended. */
static __thread pyslab_arena *made[2];

enum { MAX_MADE = sizeof made / sizeof made[0] };

static pyslab_arena *note_arena(pyslab_arena *arena)
{
    for (int i = 0; i < MAX_MADE; i++)
        if (made[i] == NULL) {
            made[i] = arena;
            break;
        }
    return arena;
}

static int end_arena(pyslab_arena *arena)
{
    int error = pyslab_arena_destroy(arena);

    for (int i = 0; error == PYSLAB_OK && i < MAX_MADE; i++)
        if (made[i] == arena)
            made[i] = NULL;
    return error;
}

/* Returns line. What the arenas' callbacks need is on the family's stack, so it is called there. */
static int end_arenas(int line)
{
    for (int i = 0; i < MAX_MADE; i++)
        if (made[i] != NULL)
            (void)end_arena(made[i]);
    return line;
}

/* An arena that is not noted: it outlives the family. */
static pyslab_arena *create_arena(size_t bytes)
{
    pyslab_arena_options options;
    pyslab_arena *arena = NULL;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.size_bytes = bytes;
    options.max_order = 10;
    options.purge_delay_ms = PYSLAB_PURGE_NEVER;
    return pyslab_arena_create(&options, &arena) == PYSLAB_OK ? arena : NULL;
}

static pyslab_arena *make_arena(size_t bytes)
{
    return note_arena(create_arena(bytes));
}

/* 8 MiB with addresses and 8 MiB of high memory. */
static pyslab_arena *make_high_arena(void)
{
    pyslab_zone_options zones[2];
    pyslab_arena_options options;
    pyslab_arena *arena = NULL;

    memset(zones, 0, sizeof zones);
    zones[0].type = PYSLAB_ZONE_NORMAL;
    zones[1].type = PYSLAB_ZONE_HIGHMEM;
    zones[0].nr_pages = zones[1].nr_pages = 2048;
    zones[0].batch = zones[1].batch = 1;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.size_bytes = 16 * MIB;
    options.max_order = 10;
    options.zones = zones;
    options.nr_zones = 2;
    return pyslab_arena_create(&options, &arena) == PYSLAB_OK ? note_arena(arena) : NULL;
}

/* --- arenas ------------------------------------------------------------- */

static int refuse(size_t nbytes, uint32_t zone, void *context)
{
    (void)nbytes, (void)zone;
    ++*(int *)context;
    return 0;
}

static int arenas(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_arena_stats stats;
    pyslab_zone_stats zone;
    uint64_t counts[PYSLAB_NR_VM_EVENTS], nr_free[32];
    char message[200];
    int asked = 0;
    void *p;

    CHECK(arena != NULL);
    CHECK(pyslab_arena_size(arena) == 16 * MIB);
    CHECK(pyslab_arena_base(arena) != NULL);
    CHECK(pyslab_arena_max_order(arena) == 10);
    CHECK(pyslab_arena_buddyinfo(arena, 0, nr_free, 32) == 11);
    CHECK(pyslab_arena_buddyinfo(arena, 7, nr_free, 32) == PYSLAB_EINVAL);
    pyslab_arena_stats_read(arena, &stats);
    CHECK(stats.size_bytes == 16 * MIB && stats.struct_size == sizeof stats);
    CHECK(pyslab_arena_zone_stats(arena, 0, &zone) == PYSLAB_OK && zone.nr_pages == 4096);
    CHECK(pyslab_arena_zone_stats(arena, 1, &zone) == PYSLAB_EINVAL);
    CHECK(pyslab_arena_vm_events(arena, counts, PYSLAB_NR_VM_EVENTS) == PYSLAB_NR_VM_EVENTS);
    pyslab_arena_set_oom(arena, refuse, &asked);
    pyslab_arena_set_limit(arena, MIB);
    CHECK(pyslab_kmalloc(arena, 2 * MIB, PYSLAB_GFP_KERNEL) == NULL && asked == 1);
    pyslab_arena_set_oom(arena, NULL, NULL);
    CHECK(pyslab_arena_limit(arena) == MIB);
    pyslab_arena_set_limit(arena, 0);
    p = pyslab_kmalloc(arena, 2 * MIB, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_arena_used(arena) >= 2 * MIB);
    memset(p, 1, 2 * MIB);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    CHECK(pyslab_arena_release_unused(arena) >= 2 * MIB);
    CHECK(pyslab_arena_flush(arena) == PYSLAB_OK);
    CHECK(pyslab_arena_validate(arena, message, sizeof message) == PYSLAB_OK);
    pyslab_arena_get(arena);
    CHECK(pyslab_arena_destroy(arena) == PYSLAB_EBUSY);
    CHECK(pyslab_kfree(arena, pyslab_kmalloc(arena, 10, PYSLAB_GFP_KERNEL)) == PYSLAB_OK);
    CHECK(pyslab_arena_put(arena) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    CHECK(pyslab_arena_destroy(NULL) == PYSLAB_OK);
    CHECK(pyslab_arena_create(NULL, &arena) == PYSLAB_EINVAL);

    arena = pyslab_default_arena();
    CHECK(arena != NULL && arena == pyslab_default_arena());
    CHECK(pyslab_arena_size(arena) >= pyslab_physical_bytes());
    CHECK(pyslab_arena_destroy(arena) == PYSLAB_EBUSY);
    CHECK(strcmp(pyslab_strerror(PYSLAB_EBUSY), pyslab_strerror(PYSLAB_OK)) != 0);
    return 0;
}

/* --- reclaim ------------------------------------------------------------ */

enum { HOARD_OBJECTS = 1 << 14 }; /* it says so: enough that one pass asks for some */

struct hoard {
    pyslab_arena *arena;
    void *p; /* or NULL */
    int released;
};

static uint64_t hoard_count(void *context)
{
    return ((struct hoard *)context)->p != NULL ? HOARD_OBJECTS : 0;
}

static int64_t hoard_scan(uint64_t nr, void *context)
{
    struct hoard *hoard = (struct hoard *)context;

    (void)nr;
    if (hoard->p == NULL || pyslab_kfree(hoard->arena, hoard->p) != PYSLAB_OK)
        return -1;
    hoard->p = NULL;
    return HOARD_OBJECTS;
}

static void hoard_release(void *context)
{
    ((struct hoard *)context)->released++;
}

static int shrinkers(void)
{
    struct hoard hoard = {make_arena(4 * MIB), NULL, 0};
    pyslab_shrinker_options options;
    pyslab_shrinker *shrinker = NULL;
    void *p;

    CHECK(hoard.arena != NULL);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.count = hoard_count;
    options.scan = hoard_scan;
    options.release = hoard_release;
    options.context = &hoard;
    CHECK(pyslab_register_shrinker(hoard.arena, &options, &shrinker) == PYSLAB_OK);
    hoard.p = pyslab_kmalloc(hoard.arena, 3 * MIB, PYSLAB_GFP_KERNEL);
    CHECK(hoard.p != NULL);
    p = pyslab_kmalloc(hoard.arena, 2 * MIB, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && hoard.p == NULL);
    CHECK(pyslab_kfree(hoard.arena, p) == PYSLAB_OK);
    pyslab_unregister_shrinker(shrinker);
    CHECK(hoard.released == 1);
    CHECK(end_arena(hoard.arena) == PYSLAB_OK);
    return 0;
}

/* --- kmalloc ------------------------------------------------------------ */

/* Arrays, copies, secrets. */
static int kmalloc_relatives(pyslab_arena *arena)
{
    unsigned char *p = (unsigned char *)pyslab_kmalloc_array(arena, 10, 10, PYSLAB_GFP_KERNEL);
    unsigned char *q = (unsigned char *)pyslab_kcalloc(arena, 8, 8, PYSLAB_GFP_KERNEL);

    CHECK(p != NULL && pyslab_ksize(arena, p) == 112);
    CHECK(pyslab_kmalloc_array(arena, SIZE_MAX, 2, PYSLAB_GFP_KERNEL) == NULL);
    CHECK(q != NULL && q[0] == 0 && q[63] == 0);
    memset(p, 0x5a, 100);
    p = (unsigned char *)pyslab_krealloc_array(arena, p, 50, 100, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && p[0] == 0x5a && p[99] == 0x5a);
    CHECK(pyslab_kfree(arena, q) == PYSLAB_OK);
    q = (unsigned char *)pyslab_kmemdup(arena, p, 100, PYSLAB_GFP_KERNEL);
    CHECK(q != NULL && memcmp(p, q, 100) == 0);
    CHECK(pyslab_kfree_sensitive(arena, p) == PYSLAB_OK);
    CHECK(pyslab_kfree_sensitive(arena, p) == PYSLAB_EDOUBLE);
    CHECK(pyslab_kfree_sensitive(arena, q) == PYSLAB_OK);
    return 0;
}

static int kmallocs(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    unsigned char *p, *q;

    CHECK(arena != NULL);
    p = (unsigned char *)pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_ksize(arena, p) == 112);
    CHECK(pyslab_kmalloc_size_roundup(arena, 100) == 112);
    memset(p, 0x5a, 100);
    p = (unsigned char *)pyslab_krealloc(arena, p, 5000, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && p[0] == 0x5a && p[99] == 0x5a);
    q = (unsigned char *)pyslab_kzalloc(arena, 64, PYSLAB_GFP_KERNEL);
    CHECK(q != NULL && q[0] == 0 && q[63] == 0);
    CHECK(pyslab_kfree(arena, q) == PYSLAB_OK);
    CHECK(pyslab_kfree(arena, q) == PYSLAB_EDOUBLE);
    CHECK(pyslab_kfree(arena, p + 1) == PYSLAB_EPOINTER);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    CHECK(pyslab_kfree(arena, NULL) == PYSLAB_OK);
    CHECK((uintptr_t)pyslab_kmalloc(arena, 0, PYSLAB_GFP_KERNEL) == PYSLAB_ZERO_SIZE);
    CHECK(pyslab_kmalloc(arena, SIZE_MAX, PYSLAB_GFP_KERNEL) == NULL);
    p = (unsigned char *)pyslab_kmalloc_aligned(arena, 100, 4096, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && (uintptr_t)p % 4096 == 0);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    CHECK(pyslab_kmalloc_prealloc(arena, 64, 1000) == PYSLAB_OK);
    CHECK(kmalloc_relatives(arena) == 0);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* --- caches and pools --------------------------------------------------- */

struct counts {
    int made;
    int undone;
};

static int construct(void *object, void *context)
{
    ((struct counts *)context)->made++;
    *(unsigned *)object = 0xc0ffee;
    return 0;
}

static void destruct(void *object, void *context)
{
    (void)object;
    ((struct counts *)context)->undone++;
}

static int kmem_caches(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_cache_options options;
    pyslab_cache_stats stats;
    pyslab_kmem_cache *cache = NULL;
    pyslab_sheaf *sheaf;
    struct counts counts = {0, 0};
    void *p[40], *q;

    CHECK(arena != NULL);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.align = 64;
    options.ctor = construct;
    options.dtor = destruct;
    options.context = &counts;
    CHECK(pyslab_kmem_cache_create(arena, "node", 100, &options, &cache) == PYSLAB_OK);
    CHECK(strcmp(pyslab_kmem_cache_name(cache), "node") == 0);
    q = pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL);
    CHECK(q != NULL && *(unsigned *)q == 0xc0ffee && (uintptr_t)q % 64 == 0);
    CHECK(pyslab_kmem_cache_of(arena, q) == cache);
    CHECK(pyslab_kmem_cache_live_objects(cache, p, 40) == 1 && p[0] == q);
    CHECK(pyslab_kmem_cache_destroy(cache) == PYSLAB_EBUSY);
    CHECK(pyslab_kmem_cache_free(cache, q) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_alloc_bulk(cache, PYSLAB_GFP_KERNEL, 40, p) == 40);
    CHECK(pyslab_kmem_cache_free_bulk(cache, 40, p) == 40);
    sheaf = pyslab_kmem_cache_prefill_sheaf(cache, PYSLAB_GFP_KERNEL, 10);
    CHECK(sheaf != NULL);
    q = pyslab_kmem_cache_alloc_from_sheaf(cache, sheaf);
    CHECK(q != NULL);
    pyslab_kmem_cache_return_sheaf(cache, sheaf);
    CHECK(pyslab_kmem_cache_free(cache, q) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_prealloc(cache, 500) == PYSLAB_OK);
    pyslab_kmem_cache_stats(cache, &stats);
    CHECK(stats.object_size == 100 && stats.stride == 128 && stats.live_objects == 0);
    CHECK(pyslab_arena_cache_stats(arena, 0, &stats) == PYSLAB_OK);
    CHECK(pyslab_arena_cache_stats(arena, 100000, &stats) == PYSLAB_EINVAL);
    CHECK(pyslab_kmem_cache_shrink(cache) > 0);
    CHECK(pyslab_kmem_cache_destroy(cache) == PYSLAB_OK);
    CHECK(counts.made >= 540 && counts.made == counts.undone);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

static int mempools(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_kmem_cache *cache = NULL;
    pyslab_mempool *pool = NULL;
    pyslab_mempool_stats stats;
    void *p;

    CHECK(arena != NULL);
    CHECK(pyslab_kmem_cache_create(arena, "request", 200, NULL, &cache) == PYSLAB_OK);
    CHECK(pyslab_mempool_create(cache, 4, &pool) == PYSLAB_OK);
    p = pyslab_mempool_alloc(pool, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL);
    CHECK(pyslab_mempool_resize(pool, 9) == PYSLAB_OK);
    pyslab_mempool_stats_read(pool, &stats);
    CHECK(stats.min_nr == 9 && stats.curr_nr == 9 && stats.nr_outstanding == 1);
    CHECK(pyslab_mempool_destroy(pool) == PYSLAB_EBUSY);
    CHECK(pyslab_mempool_free(pool, p) == PYSLAB_OK);
    CHECK(pyslab_mempool_destroy(pool) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_destroy(cache) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* --- pages -------------------------------------------------------------- */

static int pages(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    uint32_t pfn, bulk[5];
    void *p;

    CHECK(arena != NULL);
    CHECK(pyslab_gfp_zone(arena, PYSLAB_GFP_KERNEL) == 0);
    pfn = pyslab_alloc_pages(arena, 2, PYSLAB_GFP_KERNEL);
    CHECK(pfn != PYSLAB_PFN_NONE && pfn % 4 == 0);
    CHECK(pyslab_page_order(arena, pfn) == 2 && pyslab_page_nr_pages(arena, pfn) == 4);
    CHECK(pyslab_page_state(arena, pfn) == PYSLAB_PAGE_ALLOC);
    CHECK(pyslab_page_to_zone(arena, pfn) == 0);
    p = pyslab_page_address(arena, pfn);
    CHECK(p != NULL && pyslab_virt_to_pfn(arena, p) == pfn);
    CHECK(pyslab_get_page(arena, pfn) == PYSLAB_OK && pyslab_page_count(arena, pfn) == 2);
    CHECK(pyslab_put_page(arena, pfn) == PYSLAB_OK && pyslab_page_count(arena, pfn) == 1);
    CHECK(pyslab_free_pages(arena, pfn, 1) != PYSLAB_OK);
    CHECK(pyslab_split_page(arena, pfn, 2) == PYSLAB_OK);
    for (uint32_t i = 0; i < 4; i++)
        CHECK(pyslab_free_pages(arena, pfn + i, 0) == PYSLAB_OK);
    p = pyslab_get_free_pages(arena, 3, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_free_pages_address(arena, p, 3) == PYSLAB_OK);
    CHECK(pyslab_alloc_pages_bulk(arena, PYSLAB_GFP_KERNEL, 5, bulk) == 5);
    for (uint32_t i = 0; i < 5; i++)
        CHECK(pyslab_put_page(arena, bulk[i]) == PYSLAB_OK);
    p = pyslab_alloc_pages_exact(arena, 5 * FRAME, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_kfree(arena, p) == PYSLAB_OK);
    p = pyslab_alloc_contig(arena, 7, 4, 16, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_virt_to_pfn(arena, p) % 4 == 0);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    p = pyslab_reserve_range(arena, 1000, 3);
    CHECK(p != NULL && pyslab_virt_to_pfn(arena, p) == 1000);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    pfn = pyslab_alloc_run(arena, 9, 1, 0, PYSLAB_GFP_KERNEL);
    CHECK(pfn != PYSLAB_PFN_NONE && pyslab_put_page(arena, pfn) == PYSLAB_OK);
    CHECK(pyslab_reserve_run(arena, 2000, 3) == 2000);
    CHECK(pyslab_put_page(arena, 2000) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* --- vmalloc and high memory -------------------------------------------- */

static int vmallocs(void)
{
    pyslab_arena *arena = make_high_arena();
    pyslab_window *window = NULL;
    pyslab_vm_area area;
    pyslab_vm_stats stats;
    volatile char *twice; /* a byte with two addresses */
    uint32_t pfn, both[2];
    char *p;

    CHECK(arena != NULL);
    p = (char *)pyslab_vmalloc(arena, 3 * MIB, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_vsize(arena, p) == 3 * MIB);
    memset(p, 1, 3 * MIB);
    CHECK(pyslab_arena_vm_area(arena, 0, &area) == PYSLAB_OK && area.nr_pages == 768);
    CHECK(area.struct_size == sizeof area);
    pyslab_arena_vm_stats(arena, &stats);
    CHECK(stats.nr_areas == 1 && stats.nr_pages == 768);
    CHECK(pyslab_vfree(arena, p) == PYSLAB_OK);
    p = (char *)pyslab_vzalloc(arena, 10, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && p[0] == 0 && pyslab_vfree(arena, p) == PYSLAB_OK);
    p = (char *)pyslab_kvmalloc(arena, 7 * MIB, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_kvfree(arena, p) == PYSLAB_OK);
    p = (char *)pyslab_vm_ring(arena, 2 * FRAME, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL);
    twice = p;
    twice[0] = 7;
    CHECK(twice[2 * FRAME] == 7 && pyslab_vfree(arena, p) == PYSLAB_OK);
    pfn = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_HIGHUSER);
    CHECK(pfn != PYSLAB_PFN_NONE && pyslab_page_address(arena, pfn) == NULL);
    both[0] = both[1] = pfn;
    p = (char *)pyslab_vmap(arena, both, 2);
    CHECK(p != NULL);
    twice = p;
    twice[5] = 9;
    CHECK(twice[FRAME + 5] == 9 && pyslab_vunmap(arena, p) == PYSLAB_OK);
    CHECK(pyslab_window_create(arena, 4, 0, &window) == PYSLAB_OK);
    p = (char *)pyslab_window_map(window, 1, pfn);
    CHECK(p != NULL && p[5] == 9);
    CHECK(pyslab_window_unmap(window, 1, 1) == PYSLAB_OK);
    pyslab_window_destroy(window);
    CHECK(pyslab_put_page(arena, pfn) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* --- regions ------------------------------------------------------------ */

static void add_one(void *context)
{
    ++*(int *)context;
}

static int regions(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    pyslab_region *region = NULL, *child = NULL;
    pyslab_region_stats stats;
    char *p, *q, *last = NULL;
    uint64_t mark;
    int ended = 0;

    CHECK(arena != NULL);
    CHECK(pyslab_region_create(arena, 64 * KIB, &region) == PYSLAB_OK);
    p = (char *)pyslab_region_alloc(region, 32);
    q = (char *)pyslab_region_alloc(region, 1);
    CHECK(p != NULL && q == p + 32);
    CHECK((char *)pyslab_region_alloc(region, 17) == q + 16);
    CHECK((uintptr_t)pyslab_region_alloc(region, 0) == PYSLAB_ZERO_SIZE);
    CHECK(pyslab_region_alloc(region, SIZE_MAX) == NULL);
    mark = pyslab_region_mark(region);
    CHECK(mark != 0);
    p = (char *)pyslab_region_zalloc(region, 100);
    CHECK(p != NULL && p[0] == 0 && p[99] == 0);
    CHECK((uintptr_t)pyslab_region_alloc_aligned(region, 10, 256) % 256 == 0);
    for (int i = 0; i < 20000; i++) { /* through many blocks, none twice */
        q = (char *)pyslab_region_alloc(region, 48);
        CHECK(q != NULL && (uintptr_t)q % PYSLAB_REGION_ALIGN == 0 && q != last);
        memset(q, i & 0xff, 48);
        last = q;
    }
    CHECK(pyslab_region_alloc(region, 100 * KIB) != NULL);
    pyslab_region_stats_read(region, &stats);
    CHECK(stats.used_bytes >= 20000 * 48 && stats.nr_blocks > 1 && stats.nr_large == 1);
    CHECK(pyslab_region_on_exit(region, add_one, &ended) == PYSLAB_OK);
    CHECK(pyslab_region_create_child(region, &child) == PYSLAB_OK);
    CHECK(pyslab_region_alloc(child, 8) != NULL);
    CHECK(pyslab_region_rewind(region, mark) == PYSLAB_OK && ended == 1);
    CHECK((char *)pyslab_region_alloc(region, 100) == p);
    CHECK(pyslab_region_reset(region) == PYSLAB_OK);
    CHECK(pyslab_region_rewind(region, mark) == PYSLAB_EINVAL);
    CHECK(pyslab_region_destroy(region) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

/* --- misuse: each an error, and nothing changed ----------------------------- */

static void go_back(void *context)
{
    struct hoard *hoard = (struct hoard *)context; /* p: the region */

    hoard->released = pyslab_region_reset((pyslab_region *)hoard->p);
}

static int misuses_of_regions(void)
{
    pyslab_arena *arena = make_arena(16 * MIB);
    struct hoard hoard = {NULL, NULL, 0};
    pyslab_region *region = NULL, *other = NULL;
    uint64_t first, second, foreign;
    char message[200];
    char *p;

    CHECK(arena != NULL);
    CHECK(pyslab_region_create(arena, 0, &region) == PYSLAB_OK);
    CHECK(pyslab_region_create(arena, 0, &other) == PYSLAB_OK);
    p = (char *)pyslab_region_alloc(region, 64);
    CHECK(p != NULL && pyslab_kfree(arena, p) == PYSLAB_EPOINTER);
    CHECK(pyslab_ksize(arena, p) == 0 && pyslab_krealloc(arena, p, 10, PYSLAB_GFP_KERNEL) == NULL);
    first = pyslab_region_mark(region);
    CHECK(first != 0 && pyslab_region_alloc(region, 64) == p + 64);
    second = pyslab_region_mark(region);
    foreign = pyslab_region_mark(other);
    CHECK(pyslab_region_rewind(region, foreign) == PYSLAB_EINVAL);
    CHECK(pyslab_region_rewind(region, first) == PYSLAB_OK);
    CHECK(pyslab_region_rewind(region, second) == PYSLAB_EINVAL); /* past the first */
    CHECK(pyslab_region_rewind(region, 0) == PYSLAB_EINVAL);
    CHECK(pyslab_region_alloc(region, 64) == p + 64);
    hoard.p = region;
    CHECK(pyslab_region_on_exit(region, go_back, &hoard) == PYSLAB_OK);
    CHECK(pyslab_region_reset(region) == PYSLAB_OK && hoard.released == PYSLAB_EBUSY);
    CHECK(pyslab_region_rewind(region, first) == PYSLAB_EINVAL); /* behind the reset */
    CHECK(pyslab_arena_validate(arena, message, sizeof message) == PYSLAB_OK);
    CHECK(pyslab_region_destroy(region) == PYSLAB_OK);
    CHECK(pyslab_region_destroy(other) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

static int misuses_of_blocks(void)
{
    pyslab_arena *arena = make_arena(16 * MIB), *other = make_arena(16 * MIB);
    pyslab_kmem_cache *cache = NULL, *stranger = NULL;
    char message[200];
    void *p;

    CHECK(arena != NULL && other != NULL);
    CHECK(pyslab_kmem_cache_create(arena, "mine", 64, NULL, &cache) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_create(arena, "other", 64, NULL, &stranger) == PYSLAB_OK);
    p = pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL);
    CHECK(p != NULL && pyslab_kmem_cache_free(stranger, p) == PYSLAB_ECACHE);
    CHECK(pyslab_kmem_cache_free(cache, (char *)p + 8) == PYSLAB_EPOINTER);
    CHECK(pyslab_kmem_cache_free(cache, &cache) == PYSLAB_EPOINTER);
    CHECK(pyslab_kfree(other, p) == PYSLAB_EPOINTER);
    CHECK(pyslab_kmem_cache_free(cache, p) == PYSLAB_OK);
    CHECK(pyslab_kmem_cache_free(cache, p) == PYSLAB_EDOUBLE);
    pyslab_arena_get(arena);
    CHECK(pyslab_arena_destroy(arena) == PYSLAB_EBUSY);
    CHECK(pyslab_arena_put(arena) == PYSLAB_OK);
    CHECK(pyslab_arena_validate(arena, message, sizeof message) == PYSLAB_OK);
    CHECK(end_arena(arena) == PYSLAB_OK);
    CHECK(end_arena(other) == PYSLAB_OK);
    return 0;
}

#include "families_debug.h"
#include "families_share.h"

static const struct {
    const char *name;
    int (*run)(void);
} families[] = {
    {"arenas", arenas},
    {"shrinkers", shrinkers},
    {"kmallocs", kmallocs},
    {"kmem_caches", kmem_caches},
    {"mempools", mempools},
    {"pages", pages},
    {"vmallocs", vmallocs},
    {"regions", regions},
    {"misuses_of_regions", misuses_of_regions},
    {"misuses_of_blocks", misuses_of_blocks},
    {"leaks", leaks},
    {"debugging", debugging},
    {"failing", failing},
    {"sharing", sharing},
};

enum { NR_FAMILIES = sizeof families / sizeof families[0] };
