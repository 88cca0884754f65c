/* weak_search.c - the threads of weak.h, and the search through their runs. Order of the text:
 * threads, states, the search. */
#include "weak_machine.h"

#include <ucontext.h>

struct thread threads[WEAK_THREADS + 1];
struct run run;
static struct node nodes[MAX_DEPTH];
static uint64_t seen[1 << SEEN_BITS]; /* states, by hash; 0: none */

/* --- threads ------------------------------------------------------------------------- */

/* To the search, which goes on with another thread. */
static void thread_leave(void)
{
    if (_setjmp(threads[run.running].at) == 0)
        _longjmp(run.back, 1);
}

void pause_before(int op, unsigned word)
{
    threads[run.running].op = op;
    threads[run.running].word = (uint8_t)word;
    thread_leave();
}

void thread_end(void)
{
    threads[run.running].ended = true;
    for (;;)
        thread_leave();
}

/* What a thread's stack begins with: each run begins here anew. */
static void thread_main(void)
{
    (void)_setjmp(threads[run.running].begin);
    run.scene->thread[run.running]();
    thread_end();
}

static void stack_begin(struct thread *thread)
{
    static ucontext_t context;

    thread->stack = malloc(STACK_BYTES);
    if (thread->stack == NULL || getcontext(&context) != 0)
        abort();
    context.uc_stack.ss_sp = thread->stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = NULL;
    makecontext(&context, thread_main, 0);
    setcontext(&context);
}

/* The thread runs up to its first access. */
static void thread_start(unsigned number)
{
    run.running = number;
    if (_setjmp(run.back) != 0)
        return;
    if (threads[number].stack != NULL)
        _longjmp(threads[number].begin, 1);
    stack_begin(&threads[number]);
}

static void thread_resume(unsigned number)
{
    run.running = number;
    if (_setjmp(run.back) == 0)
        _longjmp(threads[number].at, 1);
}

void weak_wait(unsigned number)
{
    struct thread *thread = &threads[run.running];

    thread->waits_for = (uint8_t)number;
    pause_before(WAIT_OP, NO_WORD);
    nodes[run.depth].nr_values = 1;
    thread->hash = mix(thread->hash, number);
    view_join(&thread->now, &threads[number].now);
}

unsigned choose(unsigned nr)
{
    struct node *node = &nodes[run.depth];
    bool mortal = (run.scene->mortal >> run.running & 1) != 0;

    node->nr_values = (uint8_t)(nr + mortal);
    if (mortal && node->value == nr)
        thread_end();
    return node->value;
}

/* --- the search ------------------------------------------------------------------------- */

static void run_begin(void)
{
    for (unsigned i = 0; i < nr_words; i++)
        word_begin(&words[i]);
    memset(blocks, 0, sizeof blocks);
    memset(&run.fences, 0, sizeof run.fences);
    run.depth = 0;
    run.waiting = false;
    for (unsigned i = 0; i <= WEAK_THREADS; i++) {
        struct thread *thread = &threads[i];

        memset(&thread->now, 0, sizeof thread->now);
        thread->read = thread->released = thread->now;
        thread->hash = 0;
        thread->last = PLACE_FIELD;
        thread->ended = i == MAIN || run.scene->thread[i] == NULL;
    }
    run.running = MAIN;
    run.scene->start();
    for (unsigned i = 0; i < WEAK_THREADS; i++)
        view_join(&threads[i].now, &threads[MAIN].now);
}

static bool can_go_on(unsigned i)
{
    const struct thread *thread = &threads[i];

    return !thread->ended && (thread->op != WAIT_OP || threads[thread->waits_for].ended);
}

/* Where the run is has not been seen: notes it. Two states that have one hash would be taken for
 * one; of a million states that is so once in some ten million searches. */
static bool state_is_new(void)
{
    static const uint64_t mask = ((uint64_t)1 << SEEN_BITS) - 1;
    uint64_t hash = mix_bytes(1, blocks, sizeof blocks), at;

    for (unsigned i = 0; i < nr_words; i++)
        hash = mix(hash, words[i].hash);
    for (unsigned i = 0; i < WEAK_THREADS; i++) {
        const struct thread *thread = &threads[i];

        hash = mix(mix(hash, thread->hash), (uint64_t)thread->op << 8 | thread->ended);
        hash = mix_bytes(hash, &thread->now, sizeof thread->now);
        hash = mix_bytes(hash, &thread->read, sizeof thread->read);
        hash = mix_bytes(hash, &thread->released, sizeof thread->released);
    }
    hash = mix_bytes(hash, &run.fences, sizeof run.fences) | 1;
    for (at = hash >> 20 & mask; seen[at] != 0; at = (at + 1) & mask)
        if (seen[at] == hash)
            return false;
    seen[at] = hash;
    if (++run.nr_states > mask / 2)
        abort();
    return true;
}

/* A node for where the run is. */
static void node_make(void)
{
    struct node *node = &nodes[run.depth];

    memset(node, 0, sizeof *node);
    for (unsigned i = 0; i < WEAK_THREADS; i++)
        node->can |= (uint8_t)((unsigned)can_go_on(i) << i);
    if (node->can != 0)
        node->thread = (uint8_t)__builtin_ctz(node->can);
}

/* Makes one run, as nodes[0 .. nr) say and then by first choices, up to where all have ended, or a
 * state that was seen before. Returns how many nodes it has. */
static unsigned run_once(unsigned nr)
{
    run_begin();
    for (unsigned i = 0; i < WEAK_THREADS; i++)
        if (!threads[i].ended)
            thread_start(i);
    for (run.running = MAIN; run.broken == NULL && !run.again; run.depth++) {
        if (run.depth == MAX_DEPTH)
            abort();
        if (run.depth >= nr) {
            if (!state_is_new())
                break;
            node_make();
        }
        run.waiting = nodes[run.depth].can == 0;
        if (run.waiting)
            break;
        thread_resume(nodes[run.depth].thread);
        run.running = MAIN;
    }
    return run.depth;
}

static void run_check(void)
{
    bool ended = true;

    for (unsigned i = 0; i < WEAK_THREADS; i++) {
        ended = ended && threads[i].ended;
        view_join(&threads[MAIN].now, &threads[i].now);
    }
    if (ended)
        run.scene->end();
    else if (run.waiting)
        weak_broken("everybody waits");
}

/* The next run: how many nodes it begins with; 0: there is none. */
static unsigned next_run(unsigned nr)
{
    while (nr > 0) {
        struct node *node = &nodes[nr - 1];

        if (++node->value < node->nr_values)
            return nr;
        node->value = 0;
        node->can &= (uint8_t)~(1u << node->thread);
        if (node->can != 0) {
            node->thread = (uint8_t)__builtin_ctz(node->can);
            return nr;
        }
        nr--;
    }
    return 0;
}

static void search_begin(uint64_t bytes)
{
    free(word_number);
    word_number = calloc(bytes / 4, 1);
    if (word_number == NULL)
        abort();
    nr_words = 0;
    memset(seen, 0, sizeof seen);
    run.exploring = true;
}

/* What was found is not to be trusted: a word was not known to be written. */
static unsigned search_again(void)
{
    memset(seen, 0, sizeof seen);
    run.nr_states = 0;
    run.broken = NULL;
    return 0;
}

struct weak_result weak_search(const struct weak_scene *scene, const struct weak_change *change,
                               void *base, uint64_t bytes, enum weak_place (*place)(const void *))
{
    unsigned nr = 0;

    memset(&run, 0, sizeof run);
    run.scene = scene;
    run.change = change;
    run.base = base;
    run.bytes = bytes;
    run.place = place;
    search_begin(bytes);
    do {
        run.again = false;
        nr = run_once(nr);
        if (run.broken == NULL && !run.again)
            run_check();
        if (run.again)
            nr = search_again();
        else
            nr = run.broken == NULL ? next_run(nr) : 0;
    } while (run.again || nr != 0);
    run.exploring = false;
    return (struct weak_result){run.nr_states, run.broken};
}
