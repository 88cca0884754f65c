/* fragmentation.c - Bonwick's measurement of 1994, re-enacted.
 *
 * What it is: the same requests, of the kinds a kernel makes, to pyslab and to a bare
 * buddy (buddy_model.h), in three stages: "boot", processes that stay; "spike", 256
 * more that come and go; "find", a walk over files that forks for each hundredth.
 * pyslab has a fourth, "release", after pyslab_arena_release_unused. After each stage:
 * bytes requested by who is alive, and bytes held from the pages below. Fragmentation
 * is (held - requested) / held, as Bonwick defines it. The walk takes three purge
 * delays, in bursts, as a real one takes its time: an allocator that reaps what its
 * working set does not need can do so.
 * What it is not: a measurement of time, nor a quotation of his object sizes; ours
 * are of the same order (a process, its threads, address space, files, names).
 *
 * pyslab has a kmem_cache for each kind of fixed size, and kmalloc for the others;
 * "held" is all that is not free in its buddy, per-thread page lists included.
 * Output: {"fragmentation": [{"allocator", "stage", "requested_bytes", "held_bytes",
 * "page_list_bytes"}]}; page_list_bytes: free frames on page lists, part of held.
 */
#include "driver.h"
#include "buddy_model.h"
#include <inttypes.h>

enum {
    NR_BOOT = 64,        /* processes that stay */
    NR_SPIKE = 256,      /* processes that come and go */
    NR_FILES = 16384,    /* files that the system remembers */
    NR_LOOKUPS = 200000, /* files that the walk finds */
    FORK_EVERY = 100,    /* of them, one starts a process */
    NR_BURSTS = 50,      /* the walk rests after each */
    REST_MS = 3 * BENCH_PURGE_DELAY_MS / NR_BURSTS,
    OBJECTS_MAX = 128, /* of a process or file */
};

static const uint64_t arena_bytes = (uint64_t)1 << 30;

/* Requests of one kind; max_bytes 0: all of min_bytes, from a cache of their own. */
struct kind {
    const char *name;
    uint16_t min_bytes;
    uint16_t max_bytes;
    uint16_t nr; /* of each process or file */
};

static const struct kind process_kinds[] = {
    {"proc", 600, 0, 1}, {"thread", 400, 0, 2}, {"stack", 8192, 0, 1},   {"cred", 128, 0, 1},
    {"as", 104, 0, 1},   {"seg", 64, 0, 12},    {"anon_map", 40, 0, 8},  {"anon", 24, 0, 40},
    {"file", 56, 0, 10}, {"dblk", 80, 0, 4},    {"buffer", 32, 2048, 4}, {"argument", 16, 128, 6},
};

static const struct kind file_kinds[] = {
    {"vnode", 152, 0, 1},
    {"inode", 320, 0, 1},
    {"dnlc", 48, 0, 1},
    {"path", 9, 60, 1},
};

enum {
    NR_PROCESS_KINDS = sizeof(process_kinds) / sizeof(process_kinds[0]),
    NR_FILE_KINDS = sizeof(file_kinds) / sizeof(file_kinds[0]),
    NR_KINDS_MAX = NR_PROCESS_KINDS,
};

/* A process or a file: its objects, in the order of its kinds. */
struct group {
    void *objects[OBJECTS_MAX];
    uint16_t bytes[OBJECTS_MAX];
};

/* The system under test: pyslab's arena, or the model where there is none. */
struct system {
    pyslab_arena *arena;
    pyslab_kmem_cache *process_caches[NR_KINDS_MAX]; /* NULL: kmalloc */
    pyslab_kmem_cache *file_caches[NR_KINDS_MAX];
    struct buddy_model model;
    uint64_t requested_bytes;
    uint64_t random;
    const char *separator;
};

static void *request(struct system *system, pyslab_kmem_cache *cache, size_t bytes)
{
    void *p;

    system->requested_bytes += bytes;
    if (!system->arena)
        return buddy_model_alloc(&system->model, bytes);
    p = cache ? pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL)
              : pyslab_kmalloc(system->arena, bytes, PYSLAB_GFP_KERNEL);
    if (!p)
        bench_die("no memory for %zu bytes", bytes);
    return p;
}

static void give_back(struct system *system, pyslab_kmem_cache *cache, void *p, size_t bytes)
{
    system->requested_bytes -= bytes;
    if (!system->arena)
        buddy_model_release(&system->model, p);
    else if (cache)
        (void)pyslab_kmem_cache_free(cache, p);
    else
        (void)pyslab_kfree(system->arena, p);
}

static void group_make(struct system *system, struct group *group, const struct kind *kinds,
                       size_t nr_kinds, pyslab_kmem_cache *const *caches)
{
    size_t nr = 0;

    for (size_t i = 0; i < nr_kinds; i++) {
        const struct kind *kind = &kinds[i];

        for (uint16_t j = 0; j < kind->nr; j++, nr++) {
            size_t bytes = kind->min_bytes;

            if (kind->max_bytes)
                bytes += bench_random_below(&system->random,
                                            kind->max_bytes - kind->min_bytes + 1u);
            group->bytes[nr] = (uint16_t)bytes;
            group->objects[nr] = request(system, caches[i], bytes);
        }
    }
}

static void group_drop(struct system *system, struct group *group, const struct kind *kinds,
                       size_t nr_kinds, pyslab_kmem_cache *const *caches)
{
    size_t nr = 0;

    for (size_t i = 0; i < nr_kinds; i++)
        for (uint16_t j = 0; j < kinds[i].nr; j++, nr++)
            give_back(system, caches[i], group->objects[nr], group->bytes[nr]);
}

static void process_make(struct system *system, struct group *group)
{
    group_make(system, group, process_kinds, NR_PROCESS_KINDS, system->process_caches);
}

static void process_drop(struct system *system, struct group *group)
{
    group_drop(system, group, process_kinds, NR_PROCESS_KINDS, system->process_caches);
}

static void file_make(struct system *system, struct group *group)
{
    group_make(system, group, file_kinds, NR_FILE_KINDS, system->file_caches);
}

static void file_drop(struct system *system, struct group *group)
{
    group_drop(system, group, file_kinds, NR_FILE_KINDS, system->file_caches);
}

static void stage_print(struct system *system, const char *stage)
{
    uint64_t page_bytes = (uint64_t)1 << PYSLAB_PAGE_SHIFT;
    uint64_t held, listed = 0;

    if (system->arena) {
        pyslab_arena_stats stats;

        pyslab_arena_stats_read(system->arena, &stats);
        held = (stats.managed_pages - stats.free_pages) * page_bytes;
        listed = stats.pcp_pages * page_bytes;
    } else {
        held = buddy_model_held(&system->model);
    }
    printf("%s\n  {\"allocator\": \"%s\", \"stage\": \"%s\", \"requested_bytes\": %" PRIu64
           ", \"held_bytes\": %" PRIu64 ", \"page_list_bytes\": %" PRIu64 "}",
           system->separator, system->arena ? "pyslab" : "bare buddy", stage,
           system->requested_bytes, held, listed);
    system->separator = ",";
}

/* Processes come one after the other, and go in random order. */
static void spike(struct system *system, struct group *groups)
{
    for (uint64_t i = 0; i < NR_SPIKE; i++)
        process_make(system, &groups[i]);
    for (uint64_t left = NR_SPIKE; left > 0; left--) {
        struct group *gone = &groups[bench_random_below(&system->random, left)];

        process_drop(system, gone);
        *gone = groups[left - 1];
    }
}

/* Each lookup makes the system forget a file that it remembers. */
static void find(struct system *system, struct group *files)
{
    struct group process;

    for (uint64_t i = 0; i < NR_LOOKUPS; i++) {
        struct group *file = &files[bench_random_below(&system->random, NR_FILES)];

        if (file->objects[0])
            file_drop(system, file);
        file_make(system, file);
        if (i % FORK_EVERY == 0) {
            process_make(system, &process);
            process_drop(system, &process);
        }
        if (system->arena && i % (NR_LOOKUPS / NR_BURSTS) == 0)
            bench_sleep_ms(REST_MS);
    }
}

static void system_run(struct system *system)
{
    size_t table_bytes = (NR_BOOT + NR_SPIKE + NR_FILES) * sizeof(struct group);
    struct group *groups = bench_map(table_bytes);

    system->random = 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < NR_BOOT; i++)
        process_make(system, &groups[i]);
    stage_print(system, "boot");
    spike(system, groups + NR_BOOT);
    stage_print(system, "spike");
    find(system, groups + NR_BOOT + NR_SPIKE);
    stage_print(system, "find");
    if (system->arena) {
        (void)pyslab_arena_release_unused(system->arena);
        stage_print(system, "release");
    }
    bench_unmap(groups, table_bytes);
}

static void caches_create(pyslab_arena *arena, const struct kind *kinds, size_t nr_kinds,
                          pyslab_kmem_cache **caches)
{
    for (size_t i = 0; i < nr_kinds; i++)
        if (!kinds[i].max_bytes &&
            pyslab_kmem_cache_create(arena, kinds[i].name, kinds[i].min_bytes, NULL, &caches[i]) !=
                PYSLAB_OK)
            bench_die("cannot make the cache %s", kinds[i].name);
}

void bench_run_fragmentation(const struct bench_options *options)
{
    struct system slab = {.separator = ""};
    struct system bare = {.separator = ""};

    printf("{\"fragmentation\": [");
    if (bench_takes_part(options, BENCH_PYSLAB)) {
        slab.arena = bench_arena_create(arena_bytes);
        caches_create(slab.arena, process_kinds, NR_PROCESS_KINDS, slab.process_caches);
        caches_create(slab.arena, file_kinds, NR_FILE_KINDS, slab.file_caches);
        system_run(&slab);
        pyslab_arena_destroy(slab.arena);
        bench_progress(1, 2);
        bare.separator = slab.separator;
        buddy_model_create(&bare.model);
        system_run(&bare);
        buddy_model_destroy(&bare.model);
    }
    printf("\n]}\n");
    bench_progress(2, 2);
}
