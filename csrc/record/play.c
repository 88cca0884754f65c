/* play.c - see play.h. */
#include "record/play.h"

#include "record/pace.h"
#include "record/room.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define FIRST_BYTES 64u
#define NOTHING_BYTES 65536u
#define MOST_NOTHINGS 16u

/* Stands in a slot for a block that was refused. */
static char refused[FIRST_BYTES];
#define REFUSED ((void *)refused)

/* A thread that was started. */
struct started {
    pthread_t thread;
    uint32_t next_ended; /* in player.ended */
    bool is_joined;
};

struct player {
    const struct plan *plan;
    struct started *started; /* by thread; the first is not used */
    _Atomic uint32_t ended;  /* a stack of threads that have ended and are not joined; 0: none */
    _Atomic(void *) *slots;
    _Atomic uint64_t nr_refused;
    struct pace pace;
    enum play_touch touch;
    size_t mask; /* of offsets into a block: PLAY_NOTHING's are in a small piece of memory */
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t nr, size_t size);
    void *(*memalign)(size_t align, size_t size);
    void *(*realloc)(void *p, size_t size);
    void (*free)(void *p);
};

static struct player player;

/* --- no allocator ------------------------------------------------------------------ */

/* A thread writes to one of its own, as it does to blocks that it has allocated: to write where
 * another thread writes would take longer than any block does. */
static char nothings[MOST_NOTHINGS][NOTHING_BYTES] __attribute__((aligned(4096)));
static _Thread_local char *nothing;

static void *nothing_malloc(size_t size)
{
    (void)size;
    return nothing;
}

static void *nothing_calloc(size_t nr, size_t size)
{
    (void)nr;
    (void)size;
    return nothing;
}

static void *nothing_memalign(size_t align, size_t size)
{
    (void)align;
    (void)size;
    return nothing;
}

static void *nothing_realloc(void *p, size_t size)
{
    (void)p;
    (void)size;
    return nothing;
}

static void nothing_free(void *p)
{
    (void)p;
}

/* --- one thread's operations ----------------------------------------------------------- */

static void touch_more(char *p, size_t from, size_t size)
{
    size_t mask = player.mask;

    if (player.touch == PLAY_TOUCH_ALL) {
        for (size_t at = from; at < size; at++)
            p[at & mask] = 1;
        return;
    }
    for (size_t at = (from + PAGE - 1) & ~(size_t)(PAGE - 1); at < size; at += PAGE)
        p[at & mask] = 1;
    p[(size - 1) & mask] = 1;
}

static always_inline void touch(char *p, size_t size)
{
    if (player.touch == PLAY_TOUCH_NONE || size == 0)
        return;
    memset(p, 1, size < FIRST_BYTES ? size : FIRST_BYTES);
    if (size > FIRST_BYTES)
        touch_more(p, FIRST_BYTES, size);
}

static slow_path void *refuse(void)
{
    add_relaxed(&player.nr_refused, 1);
    return REFUSED;
}

static always_inline void fill(uint32_t slot, void *p, size_t size)
{
    if (unlikely(p == NULL))
        p = refuse();
    else
        touch(p, size);
    store_relaxed(&player.slots[slot], p);
}

static void resize(const struct plan_op *op)
{
    void *old = load_relaxed(&player.slots[op->from]), *p;

    store_relaxed(&player.slots[op->from], NULL);
    if (old == REFUSED)
        old = NULL;
    p = player.realloc(old, op->size);
    if (p == NULL && op->size != 0) {
        (void)refuse();
        p = old != NULL ? old : REFUSED;
    } else if (p == NULL) {
        p = REFUSED; /* the old block is gone, and there is no new one */
    } else if (player.touch != PLAY_TOUCH_NONE && op->size != 0) {
        touch_more(p, op->size < FIRST_BYTES ? 0 : FIRST_BYTES, op->size);
    }
    store_relaxed(&player.slots[op->slot], p);
}

static void give_back(const struct plan_op *op)
{
    void *p = load_relaxed(&player.slots[op->slot]);

    store_relaxed(&player.slots[op->slot], NULL);
    if (unlikely(p == REFUSED))
        return;
    if (player.touch != PLAY_TOUCH_NONE && op->size != 0)
        (void)*(volatile const char *)p;
    player.free(p);
}

static void play_thread(uint32_t thread)
{
    struct place *place = &player.pace.places[thread];
    const struct plan_thread *threads = player.plan->threads;

    nothing = nothings[thread % MOST_NOTHINGS];
    for (const struct plan_op *op = threads[thread].ops;; op++) {
        size_t size = op->size;

        pace_next(place, op);
        switch ((enum plan_kind)op->kind) {
        case PLAN_MALLOC:
            fill(op->slot, player.malloc(size), size);
            break;
        case PLAN_CALLOC:
            fill(op->slot, player.calloc(1, size), size);
            break;
        case PLAN_MEMALIGN:
            fill(op->slot, player.memalign((size_t)1 << op->align, size), size);
            break;
        case PLAN_REALLOC:
            resize(op);
            break;
        case PLAN_FREE:
            give_back(op);
            break;
        case PLAN_EPOCH:
            pace_epoch(&player.pace, thread, size);
            break;
        case PLAN_WAIT:
            pace_wait_for_op(&player.pace, thread, op->from, threads[op->from].ops + size);
            break;
        case PLAN_END:
            pace_leave(&player.pace, thread);
            return;
        }
    }
}

/* --- threads ------------------------------------------------------------------------------ */

static void *run_thread(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument, ended;

    play_thread(thread);
    ended = atomic_load(&player.ended);
    do
        player.started[thread].next_ended = ended;
    while (!atomic_compare_exchange_weak(&player.ended, &ended, thread));
    return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0) {
        perror("pyslab replay: no thread");
        _Exit(3);
    }
}

static void join(uint32_t thread)
{
    struct started *started = &player.started[thread];

    if (!started->is_joined)
        pthread_join(started->thread, NULL);
    started->is_joined = true;
}

/* The stack of a thread that has ended goes when it is joined: a program that starts thousands, one
 * after the other, has never had thousands of stacks. */
static void join_ended(void)
{
    uint32_t next;

    for (uint32_t thread = atomic_exchange(&player.ended, 0); thread != 0; thread = next) {
        next = player.started[thread].next_ended;
        join(thread);
    }
}

/* Starts each of the others when its first epoch comes, in the order of these. */
static void *start_threads(void *argument)
{
    const struct plan *plan = player.plan;
    uint32_t *order = argument;

    for (uint32_t i = 1; i < plan->nr_threads; i++) {
        uint32_t thread = order[i];

        pace_wait_for_epoch(&player.pace, plan->nr_threads, plan->threads[thread].first_epoch);
        join_ended();
        start(&player.started[thread].thread, run_thread, (void *)(uintptr_t)thread);
    }
    for (uint32_t i = 1; i < plan->nr_threads; i++)
        join(i);
    return NULL;
}

/* Threads have their numbers in the order of their first events, but for damaged files. */
static void order_threads(const struct plan *plan, uint32_t *order)
{
    for (uint32_t i = 0; i < plan->nr_threads; i++) {
        uint32_t at = i;

        for (; at > 1 && plan->threads[order[at - 1]].first_epoch > plan->threads[i].first_epoch;
             at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void play_threads(const struct plan *plan)
{
    size_t started_bytes = plan->nr_threads * sizeof *player.started;
    uint32_t *order;
    pthread_t starter;

    if (plan->nr_threads == 0)
        return;
    if (plan->nr_threads == 1) {
        play_thread(0);
        return;
    }
    order = room_take(plan->nr_threads * sizeof *order);
    order_threads(plan, order);
    player.started = room_take(started_bytes);
    start(&starter, start_threads, order);
    pace_wait_for_epoch(&player.pace, 0, plan->threads[0].first_epoch);
    play_thread(0);
    pthread_join(starter, NULL);
    room_drop(player.started, started_bytes);
    room_drop(order, plan->nr_threads * sizeof *order);
}

/* --- what is measured ------------------------------------------------------------------------ */

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A line of /proc/self/status, in bytes; no stdio, which allocates. */
static uint64_t status_bytes(const char *name)
{
    char text[8192] = "";
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    const char *at = got > 0 ? strstr(text, name) : NULL;

    if (fd >= 0)
        close(fd);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* Makes VmHWM what is resident now, where the kernel can. */
static void reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "5", 1) < 0)
        perror("pyslab replay: /proc/self/clear_refs");
    close(fd);
}

static uint64_t above(uint64_t bytes, uint64_t baseline)
{
    return bytes > baseline ? bytes - baseline : 0;
}

static void prepare(const struct plan *plan, enum play_on on, enum play_touch how)
{
    player = (struct player){.plan = plan, .touch = how, .mask = SIZE_MAX};
    player.malloc = malloc;
    player.calloc = calloc;
    player.memalign = memalign;
    player.realloc = realloc;
    player.free = free;
    if (on == PLAY_NOTHING) {
        player.mask = NOTHING_BYTES - 1;
        player.malloc = nothing_malloc;
        player.calloc = nothing_calloc;
        player.memalign = nothing_memalign;
        player.realloc = nothing_realloc;
        player.free = nothing_free;
    }
    player.slots = room_take(plan->nr_slots * sizeof *player.slots);
    memset((void *)player.slots, 0, plan->nr_slots * sizeof *player.slots); /* resident */
    pace_start(&player.pace, plan);
    for (uint32_t i = 0; i < plan->nr_threads && i < MOST_NOTHINGS; i++)
        memset(nothings[i], 0, sizeof nothings[i]); /* resident */
    free(malloc(1)); /* what an allocator takes for itself is not the program's */
}

void play(const struct plan *plan, enum play_on on, enum play_touch how, struct play_result *result)
{
    struct rusage before, after;
    uint64_t wall, cpu;

    prepare(plan, on, how);
    reset_peak();
    result->baseline_bytes = status_bytes("VmRSS:");
    getrusage(RUSAGE_SELF, &before);
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    wall = now_ns(CLOCK_MONOTONIC);
    play_threads(plan);
    result->wall_ns = now_ns(CLOCK_MONOTONIC) - wall;
    result->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    getrusage(RUSAGE_SELF, &after);
    result->nr_faults = (uint64_t)(after.ru_minflt - before.ru_minflt);
    result->peak_bytes = above(status_bytes("VmHWM:"), result->baseline_bytes);
    result->end_bytes = above(status_bytes("VmRSS:"), result->baseline_bytes);
    result->nr_refused = atomic_load(&player.nr_refused);
    room_drop((void *)player.slots, plan->nr_slots * sizeof *player.slots);
    pace_end(&player.pace);
}
