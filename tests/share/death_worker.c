/* death_worker.c - one of the processes of test_random_death.c: it makes blocks in a shared arena
 * of its own, sends them, opens others' blocks, passes them on, drops them, and frees its own.
 * Each block has a pattern that is made of its seed, and is looked at whenever it is touched. */
#include "death_board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 24, ARENA_BYTES = 32 << 20, BLOCK_MAX = 200000 };

struct held {
    pyslab_shared_block block;
    uint64_t seed;
    uint64_t bytes;
    int pid;
};

struct worker {
    struct board *board;
    int number;
    uint64_t random;
    pyslab_arena *arena;
    struct {
        uint64_t *p;
        uint64_t seed;
        uint64_t bytes;
    } own[BLOCKS];
    struct held held[BLOCKS]; /* address NULL: none */
    int bad;                  /* promises that were broken */
};

static uint64_t next_random(struct worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static void bad(struct worker *w, const char *what, long long value)
{
    fprintf(stderr, "worker %d: %s: %lld\n", w->number, what, value);
    w->bad++;
}

/* --- patterns ------------------------------------------------------------------- */

static void pattern_fill(uint64_t *p, uint64_t bytes, uint64_t seed)
{
    for (uint64_t i = 0; i < bytes / 8; i++)
        p[i] = seed + i;
}

static void pattern_check(struct worker *w, const uint64_t *p, uint64_t bytes, uint64_t seed)
{
    for (uint64_t i = 0; i < bytes / 8; i++)
        if (p[i] != seed + i) {
            bad(w, "other data behind a handle", (long long)(p[i] - seed - i));
            return;
        }
}

/* --- messages ------------------------------------------------------------------- */

static bool message_take(struct worker *w, uint32_t from, struct message **out)
{
    unsigned first = (unsigned)(next_random(w) % MESSAGES);

    for (unsigned i = 0; i < MESSAGES; i++) {
        struct message *message = &w->board->messages[(first + i) % MESSAGES];
        uint32_t word = from, taken = from == FULL ? READING(w->number) : WRITING(w->number);

        if (atomic_compare_exchange_strong(&message->word, &word, taken)) {
            *out = message;
            return true;
        }
    }
    return false;
}

/* Posts a handle; if there is no room, it is taken back. */
static void message_post(struct worker *w, const pyslab_handle *handle, uint64_t seed,
                         uint64_t bytes, int pid)
{
    struct message *message;

    if (!message_take(w, 0, &message)) {
        (void)pyslab_share_revoke(handle);
        return;
    }
    message->handle = *handle;
    message->seed = seed;
    message->bytes = bytes;
    message->pid = pid;
    atomic_store(&message->word, FULL);
}

/* --- own blocks ------------------------------------------------------------------- */

static void own_make(struct worker *w)
{
    unsigned i = (unsigned)(next_random(w) % BLOCKS);
    uint64_t bytes = 4096 + next_random(w) % BLOCK_MAX;
    pyslab_handle handle;

    if (w->own[i].p != NULL)
        return;
    w->own[i].p = pyslab_kmalloc(w->arena, bytes, PYSLAB_GFP_KERNEL);
    if (w->own[i].p == NULL)
        return;
    w->own[i].seed = next_random(w);
    w->own[i].bytes = bytes;
    pattern_fill(w->own[i].p, bytes, w->own[i].seed);
    if (pyslab_share_export(w->arena, w->own[i].p, 1, &handle) == PYSLAB_OK)
        message_post(w, &handle, w->own[i].seed, bytes, getpid());
}

static void own_free(struct worker *w, unsigned i)
{
    if (w->own[i].p == NULL)
        return;
    pattern_check(w, w->own[i].p, w->own[i].bytes, w->own[i].seed);
    int error = pyslab_kfree(w->arena, w->own[i].p);
    if (error != PYSLAB_OK)
        bad(w, "kfree", error);
    w->own[i].p = NULL;
}

/* --- others' blocks --------------------------------------------------------------- */

static int block_open(const struct message *message, pyslab_shared_block *out)
{
    pyslab_heap *heap;
    int error = pyslab_share_open(&message->handle, out);

    if (error != PYSLAB_EPOINTER)
        return error;
    error = pyslab_share_attach_process(message->pid, message->handle.heap_id, 0, &heap);
    return error == PYSLAB_OK ? pyslab_share_open(&message->handle, out) : error;
}

static void held_open(struct worker *w)
{
    unsigned i = (unsigned)(next_random(w) % BLOCKS);
    struct held *held = &w->held[i];
    struct message *message;

    if (held->block.address != NULL || !message_take(w, FULL, &message))
        return;
    int error = block_open(message, &held->block);
    if (error == PYSLAB_OK) {
        held->seed = message->seed;
        held->bytes = message->bytes;
        held->pid = message->pid;
        atomic_fetch_add(&w->board->opened, 1);
        pattern_check(w, held->block.address, held->bytes, held->seed);
    } else {
        held->block.address = NULL;
        atomic_fetch_add(&w->board->stale, 1);
        if (error == PYSLAB_ECORRUPT)
            bad(w, "open", error);
    }
    atomic_store(&message->word, 0);
}

static void held_pass_on(struct worker *w, struct held *held)
{
    pyslab_handle handle;

    if (pyslab_share_pass_on(&held->block, 1, &handle) != PYSLAB_OK)
        return;
    atomic_fetch_add(&w->board->passed_on, 1);
    message_post(w, &handle, held->seed, held->bytes, held->pid);
}

static void held_drop(struct worker *w, unsigned i, bool pass_on)
{
    struct held *held = &w->held[i];

    if (held->block.address == NULL)
        return;
    pattern_check(w, held->block.address, held->bytes, held->seed);
    if (pass_on)
        held_pass_on(w, held);
    pattern_check(w, held->block.address, held->bytes, held->seed);
    int error = pyslab_share_close(&held->block);
    if (error != PYSLAB_OK)
        bad(w, "close", error);
    held->block.address = NULL;
}

/* --- the phases --------------------------------------------------------------------- */

static void act(struct worker *w)
{
    unsigned i = (unsigned)(next_random(w) % BLOCKS);

    switch (next_random(w) % 8) {
    case 0:
    case 1:
        own_make(w);
        break;
    case 2:
    case 3:
        held_open(w);
        break;
    case 4:
        held_drop(w, i, true);
        break;
    case 5:
        held_drop(w, i, false);
        break;
    case 6:
        own_free(w, i);
        break;
    default:
        if (next_random(w) % 16 == 0)
            (void)pyslab_share_reap(w->arena);
    }
}

static void drop_all(struct worker *w)
{
    struct message *message;

    for (unsigned i = 0; i < BLOCKS; i++)
        held_drop(w, i, false);
    while (message_take(w, FULL, &message)) {
        pyslab_shared_block block;

        if (block_open(message, &block) == PYSLAB_OK) {
            pattern_check(w, block.address, message->bytes, message->seed);
            (void)pyslab_share_close(&block);
        }
        atomic_store(&message->word, 0);
    }
}

/* In use returns to what it was. Tickets of the dead end by age, so it may take a moment. */
static void free_all(struct worker *w)
{
    pyslab_share_stats stats = {0};

    for (unsigned i = 0; i < BLOCKS; i++)
        own_free(w, i);
    for (unsigned i = 0; i < 400; i++) {
        (void)pyslab_share_reap(w->arena);
        pyslab_share_stats_read(w->arena, &stats);
        if (stats.nr_exported == 0)
            break;
        usleep(10000);
    }
    if (stats.nr_exported != 0)
        bad(w, "blocks are kept that nobody holds", (long long)stats.nr_exported);
    if (stats.nr_in_transit != 0)
        bad(w, "tickets are kept", (long long)stats.nr_in_transit);
    if (stats.nr_deferred != 0)
        bad(w, "blocks are deferred", (long long)stats.nr_deferred);
    char message[256] = "";
    if (pyslab_arena_validate(w->arena, message, sizeof message) != PYSLAB_OK)
        bad(w, message, 0);
}

int worker_run(struct board *board, int number, uint64_t seed)
{
    static struct worker w;
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .size_bytes = ARENA_BYTES,
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .shared = PYSLAB_SHARE_READ};

    w = (struct worker){.board = board, .number = number, .random = seed | 1};
    if (pyslab_arena_create(&options, &w.arena) != PYSLAB_OK)
        return 3;
    atomic_store(&board->ready[number], RUN);
    while (atomic_load(&board->phase) == RUN && !atomic_load(&board->leave[number])) {
        act(&w);
        atomic_fetch_add(&board->acts, 1);
    }
    if (atomic_load(&board->leave[number]))
        return w.bad != 0;
    drop_all(&w);
    atomic_store(&board->ready[number], DROP);
    while (atomic_load(&board->phase) == DROP)
        usleep(1000);
    free_all(&w);
    atomic_store(&board->ready[number], FREE);
    while (atomic_load(&board->phase) == FREE)
        usleep(1000);
    return w.bad != 0;
}
