/* malloc_template.h - the workloads of blocks, written once for every allocator.
 *
 * What it is: a file to include once per translation unit, after defining
 *   BENCH_ALLOC(arena, n)  an expression: a block of n bytes, or NULL
 *   BENCH_FREE(arena, p)   an expression
 *   BENCH_METHODS          the name of the struct bench_methods to define
 * so that each allocator's calls are direct calls in loops of the same shape.
 * What it is not: an ordinary header; it has no guard, and it defines functions.
 *
 * One byte of each block is written. The cost of the loop is part of the figure:
 * it is a fraction of a nanosecond beside the cheapest pair.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static inline void *checked_alloc(pyslab_arena *arena, size_t bytes)
{
    void *p = BENCH_ALLOC(arena, bytes);

    if (__builtin_expect(p == NULL, 0))
        bench_die("allocation of %zu bytes failed", bytes);
    bench_use(p);
    return p;
}

static inline void release(pyslab_arena *arena, void *p)
{
    (void)arena;
    BENCH_FREE(arena, p);
}

static void slots_create(struct bench_state *state)
{
    state->nr_slots = state->argument;
    state->slots = bench_map((size_t)state->nr_slots * sizeof(*state->slots));
}

static void slots_destroy(struct bench_state *state)
{
    bench_unmap(state->slots, (size_t)state->nr_slots * sizeof(*state->slots));
}

/* --- churn: a pair at a time --------------------------------------------- */

static uint64_t churn_run(struct bench_state *state, uint64_t nr_ops)
{
    pyslab_arena *arena = state->arena;
    size_t bytes = (size_t)state->argument;
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < nr_ops; i++)
        release(arena, checked_alloc(arena, bytes));
    return bench_now_ns() - start;
}

/* --- blocks of random sizes over a live set -------------------------------- */

/* The sizes are drawn by a function that the compiler knows where it inlines these two. */
typedef size_t draw_size(uint64_t *random);

static inline __attribute__((always_inline)) void slots_fill(struct bench_state *state,
                                                             draw_size *draw)
{
    slots_create(state);
    for (uint64_t i = 0; i < state->nr_slots; i++)
        state->slots[i] = checked_alloc(state->arena, draw(&state->random));
}

static inline __attribute__((always_inline)) uint64_t slots_replace(struct bench_state *state,
                                                                    uint64_t nr_ops,
                                                                    draw_size *draw)
{
    pyslab_arena *arena = state->arena;
    void **slots = state->slots;
    uint64_t nr_slots = state->nr_slots;
    uint64_t random = state->random;
    uint64_t start = bench_now_ns();
    uint64_t elapsed;

    for (uint64_t i = 0; i < nr_ops; i++) {
        void **slot = &slots[bench_random_below(&random, nr_slots)];

        release(arena, *slot);
        *slot = checked_alloc(arena, draw(&random));
    }
    elapsed = bench_now_ns() - start;
    state->random = random;
    return elapsed;
}

static void live_set_fill(struct bench_state *state)
{
    slots_fill(state, bench_random_size);
}

static void live_set_free(struct bench_state *state)
{
    for (uint64_t i = 0; i < state->nr_slots; i++)
        release(state->arena, state->slots[i]);
    slots_destroy(state);
}

static uint64_t random_run(struct bench_state *state, uint64_t nr_ops)
{
    return slots_replace(state, nr_ops, bench_random_size);
}

/* --- small objects over a live set ---------------------------------------- */

static void objects_fill(struct bench_state *state)
{
    slots_fill(state, bench_object_size);
}

static uint64_t objects_run(struct bench_state *state, uint64_t nr_ops)
{
    return slots_replace(state, nr_ops, bench_object_size);
}

/* The slot is read before the clock: its cache miss is not the allocator's. A block's
 * first byte is written before the second reading, as every user of it pays for that. */
static void objects_sample(struct bench_state *state, uint64_t nr_ops,
                           struct bench_latencies *latencies)
{
    pyslab_arena *arena = state->arena;

    for (uint64_t i = 0; i < nr_ops; i++) {
        void **slot = &state->slots[bench_random_below(&state->random, state->nr_slots)];
        size_t bytes = bench_object_size(&state->random);
        void *p = *slot;
        uint64_t start, ticks;

        bench_keep(p);
        start = bench_ticks();
        release(arena, p);
        ticks = bench_ticks() - start;
        latencies->release.count[bench_histogram_bucket(ticks)]++;
        start = bench_ticks();
        p = checked_alloc(arena, bytes);
        ticks = bench_ticks() - start;
        latencies->alloc.count[bench_histogram_bucket(ticks)]++;
        *slot = p;
    }
}

/* --- LIFO: a stack of blocks grows and shrinks ---------------------------- */

static uint64_t lifo_run(struct bench_state *state, uint64_t nr_ops)
{
    pyslab_arena *arena = state->arena;
    void **slots = state->slots;
    uint64_t start = bench_now_ns();

    for (uint64_t done = 0; done < nr_ops;) {
        uint64_t left = nr_ops - done;
        uint64_t depth = left < state->nr_slots ? left : state->nr_slots;

        for (uint64_t i = 0; i < depth; i++)
            slots[i] = checked_alloc(arena, BENCH_QUEUE_BLOCK);
        for (uint64_t i = depth; i > 0; i--)
            release(arena, slots[i - 1]);
        done += depth;
    }
    return bench_now_ns() - start;
}

/* --- FIFO: the oldest block of a ring makes room for a new one ------------ */

static void fifo_fill(struct bench_state *state)
{
    slots_create(state);
    for (uint64_t i = 0; i < state->nr_slots; i++)
        state->slots[i] = checked_alloc(state->arena, BENCH_QUEUE_BLOCK);
}

static uint64_t fifo_run(struct bench_state *state, uint64_t nr_ops)
{
    pyslab_arena *arena = state->arena;
    void **slots = state->slots;
    uint64_t nr_slots = state->nr_slots;
    uint64_t oldest = 0;
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < nr_ops; i++) {
        release(arena, slots[oldest]);
        slots[oldest] = checked_alloc(arena, BENCH_QUEUE_BLOCK);
        if (++oldest == nr_slots)
            oldest = 0;
    }
    return bench_now_ns() - start;
}

/* --- handoff: one thread allocates, the other frees ----------------------- */

/* Invariant: freed <= made <= freed + BENCH_HANDOFF_SLOTS. Each side keeps a copy
 * of the other's counter and reads the real one only when the copy says stop. */
struct handoff {
    _Alignas(64) _Atomic uint64_t made;  /* written by the producer only */
    _Alignas(64) _Atomic uint64_t freed; /* written by the consumer only */
    _Alignas(64) _Atomic int ready;      /* the producer runs */
    _Atomic int go;                      /* the clock runs */
    uint64_t nr_ops;                     /* blocks to hand over */
    struct bench_state *state;
    void *ring[BENCH_HANDOFF_SLOTS]; /* block number i is in ring[i % slots] */
};

static void *handoff_produce(void *argument)
{
    struct handoff *handoff = argument;
    pyslab_arena *arena = handoff->state->arena;
    size_t bytes = (size_t)handoff->state->argument;
    uint64_t freed = 0;

    atomic_store_explicit(&handoff->ready, 1, memory_order_release);
    while (!atomic_load_explicit(&handoff->go, memory_order_acquire))
        sched_yield();
    for (uint64_t made = 0; made < handoff->nr_ops; made++) {
        while (made - freed == BENCH_HANDOFF_SLOTS) {
            freed = atomic_load_explicit(&handoff->freed, memory_order_acquire);
            if (made - freed == BENCH_HANDOFF_SLOTS)
                sched_yield();
        }
        handoff->ring[made % BENCH_HANDOFF_SLOTS] = checked_alloc(arena, bytes);
        atomic_store_explicit(&handoff->made, made + 1, memory_order_release);
    }
    return NULL;
}

static uint64_t handoff_consume(struct handoff *handoff)
{
    pyslab_arena *arena = handoff->state->arena;
    uint64_t made = 0;
    uint64_t start = bench_now_ns();

    atomic_store_explicit(&handoff->go, 1, memory_order_release);
    for (uint64_t freed = 0; freed < handoff->nr_ops; freed++) {
        while (made == freed) {
            made = atomic_load_explicit(&handoff->made, memory_order_acquire);
            if (made == freed)
                sched_yield();
        }
        release(arena, handoff->ring[freed % BENCH_HANDOFF_SLOTS]);
        atomic_store_explicit(&handoff->freed, freed + 1, memory_order_release);
    }
    return bench_now_ns() - start;
}

static uint64_t handoff_run(struct bench_state *state, uint64_t nr_ops)
{
    struct handoff *handoff = bench_map(sizeof(*handoff));
    pthread_t producer;
    uint64_t elapsed;

    handoff->nr_ops = nr_ops;
    handoff->state = state;
    if (pthread_create(&producer, NULL, handoff_produce, handoff) != 0)
        bench_die("cannot start the producer thread");
    while (!atomic_load_explicit(&handoff->ready, memory_order_acquire))
        sched_yield();
    elapsed = handoff_consume(handoff);
    if (pthread_join(producer, NULL) != 0)
        bench_die("cannot join the producer thread");
    bench_unmap(handoff, sizeof(*handoff));
    return elapsed;
}

const struct bench_methods BENCH_METHODS = {
    .churn = {.run = churn_run},
    .random = {.prepare = live_set_fill, .run = random_run, .finish = live_set_free},
    .lifo = {.prepare = slots_create, .run = lifo_run, .finish = slots_destroy},
    .fifo = {.prepare = fifo_fill, .run = fifo_run, .finish = live_set_free},
    .handoff = {.run = handoff_run},
    .objects = {.prepare = objects_fill, .run = objects_run, .finish = live_set_free},
    .objects_sample = objects_sample,
};
