/* fork.c - what fork() costs a process with many live blocks, in a private and in a shared arena.
 *
 * What it is: each case, a kind of block in an arena of one kind, runs in a child of its own, so
 * that no other arena is there to be copied. It makes its blocks live and resident, and forks once
 * a round; that child ends at once. Times: until fork() has returned in the parent, and until it
 * has in the child, by one clock. A case without blocks is what the rest is compared with.
 * What it is not: what parent and child pay afterwards, when they write to pages.
 *
 * Output: {"fork": [{"what", "blocks", "arena", "parent_ns": [...], "child_ns": [...]}]}. */
#include "driver.h"
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS_MAX = 100, PAGE_BYTES = 4096 };

static const uint64_t arena_bytes = (uint64_t)2 << 30;

struct blocks {
    const char *name;
    uint64_t nr;
    size_t bytes; /* 0: a page of alloc_pages */
};

static const struct blocks kinds[] = {
    {"nothing", 0, 0},
    {"kmalloc(64)", 1000000, 64},
    {"kmalloc(1024)", 1000000, 1024},
    {"single page", 250000, 0},
};

enum { NR_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct {
    const char *name;
    uint32_t shared;
} arenas[] = {{"private", PYSLAB_SHARE_NO}, {"shared", PYSLAB_SHARE_READ}};

enum { NR_ARENAS = sizeof(arenas) / sizeof(arenas[0]) };

struct task {
    const struct blocks *blocks;
    uint64_t nr, rounds;
    uint32_t shared;
};

struct measured {
    uint64_t parent_ns[ROUNDS_MAX];
    uint64_t child_ns[ROUNDS_MAX];
};

static void blocks_make(pyslab_arena *arena, const struct task *task)
{
    for (uint64_t i = 0; i < task->nr; i++) {
        void *p = task->blocks->bytes != 0
                      ? pyslab_kmalloc(arena, task->blocks->bytes, PYSLAB_GFP_KERNEL)
                      : pyslab_get_free_pages(arena, 0, PYSLAB_GFP_KERNEL);

        if (p == NULL)
            bench_die("no room for the blocks");
        memset(p, 1, task->blocks->bytes != 0 ? task->blocks->bytes : PAGE_BYTES);
    }
}

static void fork_once(uint64_t *parent_ns, uint64_t *child_ns, uint64_t *seen)
{
    uint64_t start = bench_now_ns();
    pid_t child = fork();

    if (child == 0) {
        *seen = bench_now_ns();
        _exit(0);
    }
    *parent_ns = bench_now_ns() - start;
    if (child < 0 || waitpid(child, NULL, 0) != child)
        bench_die("no child");
    *child_ns = *seen - start;
}

static void measure(const void *context, void *result)
{
    const struct task *task = context;
    struct measured *measured = result;
    uint64_t *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0);
    pyslab_arena_options options = {.struct_size = sizeof(options),
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .size_bytes = arena_bytes,
                                    .shared = task->shared};
    pyslab_arena *arena;

    if (seen == MAP_FAILED || pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        bench_die("no arena");
    blocks_make(arena, task);
    for (uint64_t round = 0; round < task->rounds; round++)
        fork_once(&measured->parent_ns[round], &measured->child_ns[round], seen);
}

static void times_print(const char *name, const uint64_t *ns, uint64_t nr)
{
    printf(", \"%s\": [", name);
    for (uint64_t i = 0; i < nr; i++)
        printf("%s%" PRIu64, i ? ", " : "", ns[i]);
    printf("]");
}

static void case_run(const struct task *task, const char *arena)
{
    struct measured measured;
    struct bench_child child = bench_child_start(measure, task, sizeof(measured));

    bench_child_finish(&child, &measured);
    printf("\n  {\"what\": \"%s\", \"blocks\": %" PRIu64 ", \"arena\": \"%s\"", task->blocks->name,
           task->nr, arena);
    times_print("parent_ns", measured.parent_ns, task->rounds);
    times_print("child_ns", measured.child_ns, task->rounds);
    printf("}");
}

void bench_run_fork(const struct bench_options *options)
{
    uint64_t rounds = options->rounds < ROUNDS_MAX ? options->rounds : ROUNDS_MAX;

    printf("{\"fork\": [");
    for (int i = 0; i < NR_KINDS * NR_ARENAS; i++) {
        const struct blocks *blocks = &kinds[i / NR_ARENAS];
        struct task task = {.blocks = blocks,
                            .nr = blocks->nr ? bench_scale(blocks->nr, options->scale) : 0,
                            .rounds = rounds,
                            .shared = arenas[i % NR_ARENAS].shared};

        printf(i ? "," : "");
        case_run(&task, arenas[i % NR_ARENAS].name);
        bench_progress((uint64_t)i + 1, NR_KINDS * NR_ARENAS);
    }
    printf("\n]}\n");
}
