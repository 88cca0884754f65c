/* weak_memory.c - the memory of weak.h: words with histories, the heap, and what the compiler
 * calls. Compiled without the sanitizer. */
#include "plain_calls.h"
#include "weak_machine.h"

struct word words[MAX_WORDS];
unsigned nr_words;
uint8_t *word_number;
struct block blocks[WEAK_BLOCKS];

/* --- views ------------------------------------------------------------------------ */

void view_join(struct view *view, const struct view *other)
{
    for (unsigned i = 0; i < MAX_WORDS; i++)
        view->at[i] = other->at[i] > view->at[i] ? other->at[i] : view->at[i];
    for (unsigned i = 0; i <= WEAK_THREADS; i++)
        view->clock[i] = other->clock[i] > view->clock[i] ? other->clock[i] : view->clock[i];
}

uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u + 1;
    return hash ^ hash >> 29;
}

uint64_t mix_bytes(uint64_t hash, const void *p, size_t nr)
{
    uint64_t part;

    for (size_t i = 0; i < nr; i += sizeof part) {
        size_t rest = nr - i < sizeof part ? nr - i : sizeof part;

        part = 0;
        memcpy(&part, (const char *)p + i, rest);
        hash = mix(hash, part);
    }
    return hash;
}

/* --- the heap ----------------------------------------------------------------------- */

void weak_broken(const char *promise)
{
    if (run.broken == NULL)
        run.broken = promise;
}

static bool knows(const struct view *view, unsigned thread, uint8_t clock)
{
    return view->clock[thread] >= clock;
}

uint8_t weak_read(unsigned block)
{
    struct view *view = &threads[run.running].now;

    if (!knows(view, blocks[block].writer, blocks[block].writer_clock))
        weak_broken("a block is read that may still be written");
    blocks[block].read_clock[run.running] = ++view->clock[run.running];
    threads[run.running].hash = mix(threads[run.running].hash, blocks[block].value);
    return blocks[block].value;
}

void weak_write(unsigned block, uint8_t value)
{
    struct view *view = &threads[run.running].now;

    if (!knows(view, blocks[block].writer, blocks[block].writer_clock))
        weak_broken("two write to a block");
    for (unsigned i = 0; i <= WEAK_THREADS; i++)
        if (!knows(view, i, blocks[block].read_clock[i]))
            weak_broken("a block is written that may still be read");
    blocks[block].value = value;
    blocks[block].writer = (uint8_t)run.running;
    blocks[block].writer_clock = ++view->clock[run.running];
}

/* --- accesses ------------------------------------------------------------------------ */

/* The word at this address; NO_WORD: it is not known to be written. */
static unsigned word_at(const volatile void *address)
{
    uint64_t offset = (uint64_t)((const volatile char *)address - run.base);

    if (offset >= run.bytes || word_number[offset / 4] == 0)
        return NO_WORD;
    return word_number[offset / 4] - 1u;
}

void word_begin(struct word *word)
{
    word->nr = 1;
    word->hash = 0;
    memset(&word->writes[0].view, 0, sizeof word->writes[0].view);
    word->writes[0].value = run.place(word->address) >= PLACE_ROW ? *(uint32_t *)word->address
                                                                  : *(uint64_t *)word->address;
}

/* It is written now, and was not before: what ran so far did not stop at loads of it. */
static unsigned word_make(volatile void *address)
{
    uint64_t offset = (uint64_t)((volatile char *)address - run.base);
    unsigned number = nr_words++;

    if (number == MAX_WORDS)
        abort();
    words[number].address = run.base + offset;
    word_number[offset / 4] = (uint8_t)nr_words;
    word_begin(&words[number]);
    run.again = true;
    if (run.running != MAIN)
        thread_end();
    return number;
}

static bool changed(enum weak_op op, enum weak_place place)
{
    return run.change != NULL && run.change->op == op && run.change->place == place;
}

static bool is_acquire(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool is_release(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static uint64_t take(struct thread *thread, unsigned number, unsigned at, bool acquire)
{
    const struct write *write = &words[number].writes[at];

    thread->now.at[number] = (uint8_t)at;
    thread->hash = mix(thread->hash, write->value);
    view_join(&thread->read, &write->view);
    if (acquire)
        view_join(&thread->now, &write->view);
    return write->value;
}

static void put(struct thread *thread, unsigned number, uint64_t value, bool release,
                const struct view *before)
{
    struct word *word = &words[number];
    struct write *write = &word->writes[word->nr];

    if (word->nr + 1 >= MAX_WRITES)
        abort();
    thread->now.at[number] = (uint8_t)word->nr++;
    write->value = value;
    write->view = release ? thread->now : thread->released;
    write->view.at[number] = thread->now.at[number];
    if (before != NULL)
        view_join(&write->view, before);
    word->hash = mix(mix_bytes(word->hash, &write->view, sizeof write->view), value);
    thread->last = run.place(word->address);
}

static uint64_t on_load(unsigned number, int order)
{
    struct thread *thread = &threads[run.running];
    unsigned first, nr;
    bool acquire = is_acquire(order) && !changed(WEAK_LOAD, run.place(words[number].address));

    if (run.running == MAIN)
        return words[number].writes[words[number].nr - 1].value;
    pause_before(WEAK_LOAD, number);
    first = thread->now.at[number];
    nr = words[number].nr - first;
    return take(thread, number, first + choose(nr), acquire);
}

static void on_store(unsigned number, uint64_t value, int order)
{
    struct thread *thread = &threads[run.running];
    bool release = is_release(order) && !changed(WEAK_STORE, run.place(words[number].address));

    if (run.running != MAIN) {
        pause_before(WEAK_STORE, number);
        (void)choose(1);
    }
    put(thread, number, value, release, NULL);
}

/* An exchange that succeeds reads the last write. One that fails may read any other that differs:
 * those come first among the choices. */
static bool on_swap(unsigned number, uint64_t *expected, uint64_t value)
{
    struct thread *thread = &threads[run.running];
    struct word *word = &words[number];
    bool relaxed = changed(WEAK_SWAP, run.place(word->address)), can;
    unsigned other[MAX_WRITES], nr = 0, which;

    if (run.running != MAIN)
        pause_before(WEAK_SWAP, number);
    for (unsigned i = thread->now.at[number]; run.running != MAIN && i < word->nr; i++)
        if (word->writes[i].value != *expected)
            other[nr++] = i;
    can = word->writes[word->nr - 1].value == *expected;
    if (run.running == MAIN && !can)
        other[nr++] = word->nr - 1;
    which = run.running == MAIN ? 0 : choose(nr + can);
    if (which < nr) {
        *expected = take(thread, number, other[which], !relaxed);
        return false;
    }
    (void)take(thread, number, word->nr - 1, !relaxed);
    put(thread, number, value, !relaxed, &word->writes[word->nr - 1].view);
    return true;
}

static void on_fence(void)
{
    struct thread *thread = &threads[run.running];

    if (changed(WEAK_FENCE, thread->last))
        return;
    if (run.running != MAIN) {
        pause_before(WEAK_FENCE, NO_WORD);
        (void)choose(1);
    }
    view_join(&thread->now, &thread->read);
    view_join(&thread->now, &run.fences);
    run.fences = thread->released = thread->now;
}

/* --- what the compiler calls ------------------------------------------------------------ */

void __tsan_atomic_thread_fence(int order);

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    if (run.exploring)
        on_fence();
}

#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *address, int order);                      \
    void __tsan_atomic##bits##_store(volatile type *address, type value, int order);               \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *address, type *expected,      \
                                                      type value, int order, int failed);          \
    type __tsan_atomic##bits##_load(const volatile type *address, int order)                       \
    {                                                                                              \
        unsigned word = run.exploring ? word_at(address) : NO_WORD;                                \
                                                                                                   \
        return word == NO_WORD ? *address : (type)on_load(word, order);                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *address, type value, int order)                \
    {                                                                                              \
        unsigned word = run.exploring ? word_at(address) : NO_WORD;                                \
                                                                                                   \
        if (!run.exploring)                                                                        \
            *address = value;                                                                      \
        else                                                                                       \
            on_store(word != NO_WORD ? word : word_make(address), value, order);                   \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *address, type *expected,      \
                                                      type value, int order, int failed)           \
    {                                                                                              \
        unsigned word = run.exploring ? word_at(address) : NO_WORD;                                \
        uint64_t wanted = *expected;                                                               \
        bool done;                                                                                 \
                                                                                                   \
        if (!run.exploring)                                                                        \
            return __atomic_compare_exchange_n(address, expected, value, 0, __ATOMIC_SEQ_CST,      \
                                               __ATOMIC_SEQ_CST);                                  \
        (void)order, (void)failed;                                                                 \
        done = on_swap(word != NO_WORD ? word : word_make(address), &wanted, value);               \
        *expected = (type)wanted;                                                                  \
        return done;                                                                               \
    }
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
