/* shared.c - what a shared arena costs: the same calls in a private and in a shared one, and the
 * passing of a block to another process.
 *
 * What it is: the two arenas take turns within each round, on memory that is resident: kmalloc(64)
 * and kfree; a page block; and a chain as of NumPy's temporaries, four blocks of 1 MiB that are
 * written. Passing: a process exports fresh blocks of 1 MiB, another opens and closes them, and the
 * first frees them; each times its own calls, so that the message which carries the handles is not
 * in it.
 * What it is not: a measurement of the message, or of Python.
 *
 * Output: {"shared": [{"what", "private_ns": [...], "shared_ns": [...]}]}, per operation; of
 * "pass 1 MiB" private_ns is empty. */
#include "driver.h"
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NR_ARENAS = 2, CHAIN = 4, BLOCK_BYTES = 1 << 20, NR_PASSED = 16, ROUNDS_MAX = 100 };

static const uint64_t arena_bytes = (uint64_t)256 << 20;

struct work {
    const char *name;
    uint64_t nr; /* operations a round */
    void (*run)(pyslab_arena *arena);
};

static void run_small(pyslab_arena *arena)
{
    void *p = pyslab_kmalloc(arena, 64, PYSLAB_GFP_KERNEL);

    bench_keep(p);
    pyslab_kfree(arena, p);
}

static void run_page(pyslab_arena *arena)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_KERNEL);

    pyslab_free_pages(arena, pfn, 0);
}

static void run_chain(pyslab_arena *arena)
{
    void *p[CHAIN];

    for (int i = 0; i < CHAIN; i++) {
        p[i] = pyslab_kmalloc(arena, BLOCK_BYTES, PYSLAB_GFP_KERNEL);
        memset(p[i], i, BLOCK_BYTES);
        bench_keep(p[i]);
    }
    for (int i = 0; i < CHAIN; i++)
        pyslab_kfree(arena, p[i]);
}

static const struct work works[] = {
    {"kmalloc(64) + kfree", 200000, run_small},
    {"page block", 100000, run_page},
    {"chain of 1 MiB", 30, run_chain},
};

enum { NR_WORKS = sizeof(works) / sizeof(works[0]) };

static pyslab_arena *arena_make(uint32_t shared)
{
    pyslab_arena_options options = {.struct_size = sizeof(options),
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .size_bytes = arena_bytes,
                                    .shared = shared};
    pyslab_arena *arena = NULL;

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        bench_die("no arena");
    return arena;
}

static double work_time(const struct work *work, pyslab_arena *arena, double scale)
{
    uint64_t nr = bench_scale(work->nr, scale), start = bench_now_ns();

    for (uint64_t i = 0; i < nr; i++)
        work->run(arena);
    return (double)(bench_now_ns() - start) / (double)nr;
}

static void times_print(const char *name, const double *ns, uint64_t nr)
{
    printf("\"%s\": [", name);
    for (uint64_t i = 0; i < nr; i++)
        printf("%s%.2f", i ? ", " : "", ns[i]);
    printf("]");
}

static void work_measure(const struct work *work, pyslab_arena *const *arenas,
                         const struct bench_options *options, uint64_t rounds)
{
    double ns[NR_ARENAS][ROUNDS_MAX];

    for (int i = 0; i < NR_ARENAS; i++)
        (void)work_time(work, arenas[i], options->scale); /* makes it resident */
    for (uint64_t round = 0; round < rounds; round++)
        for (uint64_t i = 0; i < NR_ARENAS; i++) {
            uint64_t which = (round + i) % NR_ARENAS;

            ns[which][round] = work_time(work, arenas[which], options->scale);
        }
    printf("\n  {\"what\": \"%s\", ", work->name);
    times_print("private_ns", ns[0], rounds);
    printf(", ");
    times_print("shared_ns", ns[1], rounds);
    printf("},");
}

/* --- passing ------------------------------------------------------------------- */

struct board {
    pyslab_handle handles[NR_PASSED];
    double client_ns; /* a block, to open and close */
};

static void client_run(struct board *board, int owner, int in, int out)
{
    pyslab_heap *heap;
    char c;

    while (read(in, &c, 1) == 1) {
        pyslab_shared_block block;
        uint64_t start;

        if (pyslab_share_attach_process(owner, NULL, 0, &heap) != PYSLAB_OK)
            bench_die("no heap to attach");
        start = bench_now_ns();
        for (int i = 0; i < NR_PASSED; i++)
            if (pyslab_share_open(&board->handles[i], &block) != PYSLAB_OK ||
                pyslab_share_close(&block) != PYSLAB_OK)
                bench_die("a handle was refused");
        board->client_ns = (double)(bench_now_ns() - start) / NR_PASSED;
        if (write(out, &c, 1) != 1)
            break;
    }
    _exit(0);
}

/* Export, open, close and free of a block, once each. */
static double pass_time(pyslab_arena *arena, struct board *board, int in, int out)
{
    void *p[NR_PASSED];
    uint64_t start, owner_ns;
    char c = 0;

    for (int i = 0; i < NR_PASSED; i++)
        p[i] = pyslab_kmalloc(arena, BLOCK_BYTES, PYSLAB_GFP_KERNEL);
    start = bench_now_ns();
    for (int i = 0; i < NR_PASSED; i++)
        if (pyslab_share_export(arena, p[i], 1, &board->handles[i]) != PYSLAB_OK)
            bench_die("a block was refused");
    owner_ns = bench_now_ns() - start;
    if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
        bench_die("the client is gone");
    start = bench_now_ns();
    for (int i = 0; i < NR_PASSED; i++)
        pyslab_kfree(arena, p[i]);
    owner_ns += bench_now_ns() - start;
    return (double)owner_ns / NR_PASSED + board->client_ns;
}

static void pass_measure(uint64_t rounds)
{
    enum { BATCHES = 20 }; /* of which the fastest is a round's figure */
    struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int to_client[2], to_owner[2];
    double ns[ROUNDS_MAX];
    pyslab_arena *arena;
    pid_t owner = getpid(), client;

    if (board == MAP_FAILED || pipe(to_client) != 0 || pipe(to_owner) != 0)
        bench_die("no pipes");
    client = fork();
    if (client == 0) {
        close(to_client[1]);
        client_run(board, owner, to_client[0], to_owner[1]);
    }
    arena = arena_make(PYSLAB_SHARE_READ);
    for (uint64_t round = 0; round < rounds; round++) {
        ns[round] = pass_time(arena, board, to_owner[0], to_client[1]);
        for (int i = 1; i < BATCHES; i++) {
            double again = pass_time(arena, board, to_owner[0], to_client[1]);

            ns[round] = again < ns[round] ? again : ns[round];
        }
    }
    close(to_client[1]);
    waitpid(client, NULL, 0);
    pyslab_arena_destroy(arena);
    printf("\n  {\"what\": \"pass 1 MiB\", \"private_ns\": [], ");
    times_print("shared_ns", ns, rounds);
    printf("}");
}

void bench_run_shared(const struct bench_options *options)
{
    uint64_t rounds = options->rounds < ROUNDS_MAX ? options->rounds : ROUNDS_MAX;
    pyslab_arena *arenas[NR_ARENAS];

    printf("{\"shared\": [");
    fflush(stdout); /* the client has a copy of what is not written yet */
    for (int i = 0; i < NR_ARENAS; i++)
        arenas[i] = arena_make(i == 0 ? PYSLAB_SHARE_NO : PYSLAB_SHARE_READ);
    for (size_t i = 0; i < NR_WORKS; i++) {
        work_measure(&works[i], arenas, options, rounds);
        bench_progress(i + 1, NR_WORKS + 1);
    }
    for (int i = 0; i < NR_ARENAS; i++)
        pyslab_arena_destroy(arenas[i]);
    fflush(stdout);
    pass_measure(rounds);
    bench_progress(NR_WORKS + 1, NR_WORKS + 1);
    printf("\n]}\n");
}
