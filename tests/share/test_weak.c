/* The protocol's own code under weak memory (weak.h): what the orders of its accesses promise is
 * shown to hold, and each order that is relied on is shown to be: without it a promise breaks. */
#include "weak.h"

#include "pyslab.h"
#include "share/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SLOT = 3, OLD = 1, NEW = 2, HEAP_PAGES = 64, PAGE = 4096, OWNER = 0, TIME_S = 1000 };

static struct share_table table;
static struct share_block block;
static struct share_key key, passed;
static uint64_t next_id;
static struct { /* what happened in the run */
    bool freed, made;
    unsigned opened; /* bits of threads */
} seen;

/* The library's source of random numbers: the same in each run. */
uint64_t os_random64(void);
uint64_t os_random64(void)
{
    return next_id++;
}

static enum weak_place place_of(const void *p)
{
    const char *at = p;

    if (at >= (const char *)table.counts)
        return PLACE_COUNT;
    if (at >= (const char *)table.rows)
        return (size_t)(at - (const char *)table.rows) % sizeof *table.rows ==
                       offsetof(struct share_row, in_use)
                   ? PLACE_MARK
                   : PLACE_ROW;
    if (at >= (const char *)table.tickets)
        return (size_t)(at - (const char *)table.tickets) % sizeof *table.tickets == 0
                   ? PLACE_TICKET
                   : PLACE_FIELD;
    return (size_t)(at - (const char *)table.slots) % sizeof *table.slots == 0 ? PLACE_SLOT
                                                                               : PLACE_FIELD;
}

/* --- what threads do ----------------------------------------------------------------- */

/* Opens, reads, closes. */
static void reader(uint32_t row, const struct share_key *with)
{
    struct share_block got;

    if (share_open(&table, row, with, &got) != PYSLAB_OK)
        return;
    seen.opened |= 1u << row;
    if (got.slot != SLOT || got.offset != SLOT * PAGE || got.bytes != PAGE)
        weak_broken("an opener is told of another block");
    if (weak_read(0) != OLD)
        weak_broken("a holder sees other data");
    (void)share_close(&table, row, got.slot);
}

/* Looks whether the block can be freed, and uses its memory anew if so. */
static bool look(void)
{
    if (seen.freed || !share_retire(&table, SLOT))
        return false;
    seen.freed = true;
    weak_write(0, NEW);
    return true;
}

static void owner_frees(void)
{
    if (!look())
        (void)look();
}

static void owner_looks(void)
{
    (void)look();
}

static void owner_publishes(void)
{
    weak_write(0, OLD);
    share_export(&table, SLOT, SLOT * PAGE, PAGE, &block);
    (void)share_ticket_make(&table, OWNER, SLOT, block.generation, 1, TIME_S, &passed);
}

static void owner_reuses(void)
{
    weak_wait(2);
    if (!look())
        return;
    share_export(&table, SLOT, SLOT * PAGE, PAGE, &block);
    (void)share_ticket_make(&table, OWNER, SLOT, block.generation, 1, TIME_S, &passed);
}

static void owner_is_short(void)
{
    (void)look();
    (void)share_tickets_end(&table, SLOT);
    (void)look();
}

static void reader_1(void)
{
    reader(1, &key);
}

static void reader_2(void)
{
    reader(2, &key);
}

/* By a ticket that is not made yet, perhaps. */
static void guesser(void)
{
    reader(1, &(struct share_key){.id = 1, .ticket = SLOT * SHARE_TICKETS_PER_SLOT});
}

static void newcomer(void)
{
    share_row_enter(&table, 1);
    reader(1, &key);
}

/* Row 1 holds the block from the start. */
static void passer(void)
{
    if (weak_read(0) != OLD)
        weak_broken("a holder sees other data");
    seen.made = share_ticket_make(&table, 1, SLOT, block.generation, 1, TIME_S, &passed) ==
                PYSLAB_OK;
    (void)share_close(&table, 1, SLOT);
}

static void receiver(void)
{
    weak_wait(1);
    if (seen.made)
        reader(2, &passed);
}

static void unpinner(void)
{
    share_pins_end(&table, 1, SLOT);
    (void)share_close(&table, 1, SLOT);
}

static void reaper(void)
{
    weak_wait(1);
    share_row_clear(&table, 1);
}

static bool nobody_is_alive(void *context, uint32_t row)
{
    (void)context, (void)row;
    return false;
}

static void expirer(void)
{
    (void)share_tickets_expire(&table, SLOT + 1, 2 * TIME_S, nobody_is_alive, NULL);
}

/* --- before and after a run ------------------------------------------------------------ */

static void start(void)
{
    memset(&seen, 0, sizeof seen);
    next_id = 1;
    weak_write(0, OLD);
}

/* Nobody does anything any more: what nobody can come to is freed. */
static void end_free(void)
{
    (void)share_tickets_end(&table, SLOT);
    share_row_clear(&table, 1);
    if (!seen.freed && !share_retire(&table, SLOT))
        weak_broken("a block is kept that nobody holds");
}

/* The one ticket was good all the time. */
static void end_opened(void)
{
    if (seen.opened == 0)
        weak_broken("a good ticket was refused");
    if ((seen.opened & (seen.opened - 1)) != 0)
        weak_broken("a ticket of one use was used twice");
    end_free();
}

static void end_passed(void)
{
    if (seen.made && seen.opened == 0)
        weak_broken("a good ticket was refused");
    end_free();
}

static void end_nothing(void) {}

/* --- scenes ---------------------------------------------------------------------------- */

/* How the table is before: nothing exported; a ticket of one use; the same and row 1 not in use;
 * row 1 holds; row 1 holds with a pin. */
enum before { EMPTY, SENT, UNMARKED, HELD, PINNED };

static const struct {
    struct weak_scene scene;
    enum before before;
} SCENES[] = {
    {{"a block is published", {owner_publishes, guesser}, 0, start, end_nothing}, EMPTY},
    {{"open against free", {owner_frees, reader_1}, 0, start, end_opened}, SENT},
    {{"two openers of one ticket", {owner_looks, reader_1, reader_2}, 0, start, end_opened}, SENT},
    {{"a newcomer opens", {owner_frees, newcomer}, 0, start, end_opened}, UNMARKED},
    {{"pass on against free", {owner_frees, passer, receiver}, 0, start, end_passed}, HELD},
    {{"who passes on is killed", {owner_looks, passer, receiver, reaper}, 2, start, end_passed},
     HELD},
    {{"an opener is killed", {owner_looks, reader_1, NULL, reaper}, 2, start, end_free}, SENT},
    {{"an entry is used again", {owner_reuses, reader_1, reader_2}, 0, start, end_nothing}, SENT},
    {{"a pin ends", {owner_looks, unpinner, reader_2}, 0, start, end_free}, PINNED},
    {{"a ticket ends by age", {owner_frees, reader_1, NULL, expirer}, 0, start, end_free}, SENT},
    {{"a ticket ends for memory", {owner_is_short, reader_1}, 0, start, end_free}, SENT},
};

enum { NR_SCENES = sizeof SCENES / sizeof *SCENES };

static void must(bool yes)
{
    if (!yes)
        abort();
}

static void table_make(enum before before)
{
    uint64_t bytes = share_table_bytes(share_table_slots(HEAP_PAGES * PAGE));
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct share_block got;

    must(base != MAP_FAILED);
    next_id = 100;
    share_table_format(&table, base, HEAP_PAGES * PAGE, 0, 0, 0, 1);
    for (uint32_t row = 0; row < WEAK_THREADS; row++)
        if (before != UNMARKED || row != 1)
            share_row_enter(&table, row);
    if (before == EMPTY)
        return;
    share_export(&table, SLOT, SLOT * PAGE, PAGE, &block);
    must(share_ticket_make(&table, OWNER, SLOT, 0, 1, TIME_S, &key) == PYSLAB_OK);
    if (before < HELD)
        return;
    must(share_open(&table, 1, &key, &got) == PYSLAB_OK);
    if (before == PINNED)
        must(share_ticket_make(&table, 1, SLOT, 0, SHARE_MAX_USES, TIME_S, &key) == PYSLAB_OK);
}

static struct weak_result search(unsigned scene, const struct weak_change *change)
{
    struct weak_result result;

    table_make(SCENES[scene].before);
    result = weak_search(&SCENES[scene].scene, change, table.base, table.bytes, place_of);
    munmap(table.base, table.bytes);
    return result;
}

/* --- what is relied on --------------------------------------------------------------------- */

/* Orders that are taken away: from all accesses of a kind to words of a place. What breaks without
 * one is relied on. Of the others: a row's count is followed by a fence of its own, which serves
 * the mark too; each change of a slot's word is before a fence or a ticket that is published. */
static const struct {
    const char *name;
    struct weak_change change;
    bool breaks; /* as it must; else others make up for it */
} VARIATIONS[] = {
    {"no fence when a row has counted up", {WEAK_FENCE, PLACE_COUNT}, true},
    {"no fence when a slot is closing", {WEAK_FENCE, PLACE_SLOT}, true},
    {"no fence when a row is marked", {WEAK_FENCE, PLACE_MARK}, false},
    {"tickets' words are loaded relaxed", {WEAK_LOAD, PLACE_TICKET}, true},
    {"tickets' words are exchanged relaxed", {WEAK_SWAP, PLACE_TICKET}, true},
    {"counts are loaded relaxed", {WEAK_LOAD, PLACE_COUNT}, true},
    {"counts are stored relaxed", {WEAK_STORE, PLACE_COUNT}, true},
    {"slots' words are loaded relaxed", {WEAK_LOAD, PLACE_SLOT}, false},
    {"slots' words are stored relaxed", {WEAK_STORE, PLACE_SLOT}, false},
    {"slots' words are exchanged relaxed", {WEAK_SWAP, PLACE_SLOT}, false},
    {"marks of rows are loaded relaxed", {WEAK_LOAD, PLACE_MARK}, true},
    {"marks of rows are stored relaxed", {WEAK_STORE, PLACE_MARK}, true},
};

enum { NR_VARIATIONS = sizeof VARIATIONS / sizeof *VARIATIONS };

static unsigned check_rules(void)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < NR_SCENES; i++) {
        struct weak_result result = search(i, NULL);

        printf("%8u states: %s: %s\n", result.states, SCENES[i].scene.name,
               result.broken ? result.broken : "holds");
        failures += result.broken != NULL;
    }
    return failures;
}

static unsigned check_variation(unsigned number)
{
    struct weak_result result = {0, NULL};
    unsigned i = 0;

    for (; i < NR_SCENES && result.broken == NULL; i++)
        result = search(i, &VARIATIONS[number].change);
    printf("%s: %s%s%s\n", VARIATIONS[number].name, result.broken ? SCENES[i - 1].scene.name : "",
           result.broken ? ": " : "", result.broken ? result.broken : "others make up for it");
    return (result.broken != NULL) != VARIATIONS[number].breaks;
}

int main(void)
{
    unsigned failures = check_rules();

    for (unsigned i = 0; i < NR_VARIATIONS; i++)
        failures += check_variation(i);
    return failures != 0;
}
