/* protocol.c - see protocol.h. What it is not: who is alive, and what is mapped where. */
#include "share/protocol.h"

#include "base/bits.h"
#include "base/check.h"
#include "os/os.h"

static void full_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

static bool swap(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(word, &from, to);
}

/* --- tickets -------------------------------------------------------------- */

/* The word of an entry that nobody has, for its next use. */
static uint64_t ticket_word_next(uint64_t word)
{
    return SHARE_TICKET_WORD(share_ticket_generation(word) + 1, 0, 0, SHARE_TICKET_FREE);
}

static bool ticket_is_pin(uint64_t word)
{
    return share_ticket_uses(word) == SHARE_MAX_USES;
}

static uint32_t window_start(uint32_t slot)
{
    return slot * SHARE_TICKETS_PER_SLOT;
}

/* The word of a published ticket for this block; 0: it is none. */
static uint64_t ticket_for(struct share_ticket *ticket, uint32_t slot, uint32_t generation)
{
    uint64_t word = load_acquire(&ticket->word);

    if (share_ticket_state(word) != SHARE_TICKET_PUBLISHED ||
        load_relaxed(&ticket->block) != ((uint64_t)generation << 32 | slot))
        return 0;
    return word;
}

/* Tickets that the client of a row had claimed and not published, and pins of what it held. */
static void tickets_clear(const struct share_table *table, uint32_t row)
{
    for (uint32_t i = 0; i < table->nr_tickets; i++) {
        uint64_t word = load_acquire(&table->tickets[i].word);

        if (word != 0 && share_ticket_row(word) == row &&
            (share_ticket_state(word) == SHARE_TICKET_CLAIMED ||
             (share_ticket_state(word) == SHARE_TICKET_PUBLISHED && ticket_is_pin(word))))
            (void)swap(&table->tickets[i].word, word, ticket_word_next(word));
    }
}

void share_pins_end(const struct share_table *table, uint32_t row, uint32_t slot)
{
    uint64_t block = load_acquire(&table->slots[slot].word);
    uint32_t first = window_start(slot);

    CHECK(row < SHARE_ROWS && slot < table->nr_slots);
    for (uint32_t i = first; i < first + SHARE_TICKET_WINDOW; i++) {
        uint64_t word = ticket_for(&table->tickets[i], slot, share_slot_generation(block));

        if (word != 0 && share_ticket_row(word) == row && ticket_is_pin(word))
            (void)swap(&table->tickets[i].word, word, ticket_word_next(word));
    }
}

/* Fills in an entry that the row has claimed, and publishes it. A reaper that thinks the row's
 * client dead may have taken the entry back: then it is not published. */
static bool ticket_publish(const struct share_table *table, uint32_t i, uint64_t claimed,
                           uint32_t uses, uint64_t block, uint64_t now_s)
{
    struct share_ticket *ticket = &table->tickets[i];
    uint32_t row = share_ticket_row(claimed);
    uint64_t published = SHARE_TICKET_WORD(share_ticket_generation(claimed), row, uses,
                                           SHARE_TICKET_PUBLISHED);

    store_relaxed(&ticket->id, os_random64());
    store_relaxed(&ticket->block, block);
    store_relaxed(&ticket->made_s, now_s << 32 | load_relaxed(&table->rows[row].incarnation));
    return swap(&ticket->word, claimed, published);
}

int share_ticket_make(const struct share_table *table, uint32_t row, uint32_t slot,
                      uint32_t generation, uint32_t uses, uint64_t now_s, struct share_key *out)
{
    uint64_t block = (uint64_t)generation << 32 | slot;
    uint32_t first = window_start(slot);

    CHECK(slot < table->nr_slots && row < SHARE_ROWS && uses >= 1 && uses <= SHARE_MAX_USES);
    for (uint32_t i = first; i < first + SHARE_TICKET_WINDOW; i++) {
        uint64_t word = load_relaxed(&table->tickets[i].word);
        uint64_t claimed = SHARE_TICKET_WORD(share_ticket_generation(word), row, 0,
                                             SHARE_TICKET_CLAIMED);

        if (share_ticket_state(word) != SHARE_TICKET_FREE ||
            !swap(&table->tickets[i].word, word, claimed) ||
            !ticket_publish(table, i, claimed, uses, block, now_s))
            continue;
        *out = (struct share_key){.id = load_relaxed(&table->tickets[i].id), .ticket = i};
        return PYSLAB_OK;
    }
    return PYSLAB_ELIMIT;
}

/* Entries that tickets of the slots below nr_slots lie in. */
static uint32_t entries_of(const struct share_table *table, uint32_t nr_slots)
{
    return nr_slots == 0
               ? 0
               : min_uint(window_start(nr_slots - 1) + SHARE_TICKET_WINDOW, table->nr_tickets);
}

uint32_t share_tickets_expire(const struct share_table *table, uint32_t nr_slots, uint64_t now_s,
                              bool (*alive)(void *context, uint32_t row), void *context)
{
    uint32_t end = entries_of(table, nr_slots), nr = 0;

    CHECK(nr_slots <= table->nr_slots);
    for (uint32_t i = 0; i < end; i++) {
        struct share_ticket *ticket = &table->tickets[i];
        uint64_t word = load_acquire(&ticket->word), made_s = load_relaxed(&ticket->made_s);
        uint32_t row = share_ticket_row(word);

        if (share_ticket_state(word) != SHARE_TICKET_PUBLISHED ||
            (made_s >> 32) + table->transit_s > now_s)
            continue;
        if (row < SHARE_ROWS && (uint32_t)made_s == load_relaxed(&table->rows[row].incarnation) &&
            alive(context, row))
            continue;
        nr += swap(&ticket->word, word, ticket_word_next(word));
    }
    return nr;
}

uint32_t share_tickets_end(const struct share_table *table, uint32_t slot)
{
    uint32_t generation = share_slot_generation(load_acquire(&table->slots[slot].word));
    uint32_t first = window_start(slot), nr = 0;

    CHECK(slot < table->nr_slots);
    for (uint32_t i = first; i < first + SHARE_TICKET_WINDOW; i++) {
        uint64_t word = ticket_for(&table->tickets[i], slot, generation);

        nr += word != 0 && swap(&table->tickets[i].word, word, ticket_word_next(word));
    }
    return nr;
}

void share_tickets_each(const struct share_table *table, uint32_t nr_slots,
                        void (*visit)(void *context, const struct share_sent *sent), void *context)
{
    uint32_t end = entries_of(table, nr_slots);

    CHECK(nr_slots <= table->nr_slots);
    for (uint32_t i = 0; i < end; i++) {
        uint64_t word = load_acquire(&table->tickets[i].word);
        uint64_t block = load_relaxed(&table->tickets[i].block);
        struct share_sent sent = {.slot = (uint32_t)block, .is_pin = ticket_is_pin(word)};

        if (share_ticket_state(word) != SHARE_TICKET_PUBLISHED || sent.slot >= nr_slots ||
            block >> 32 != share_slot_generation(load_acquire(&table->slots[sent.slot].word)))
            continue;
        sent.made_s = (uint32_t)(load_relaxed(&table->tickets[i].made_s) >> 32);
        visit(context, &sent);
    }
}

int share_ticket_end(const struct share_table *table, const struct share_key *key)
{
    struct share_ticket *ticket;
    uint64_t word;

    if (key->ticket >= table->nr_tickets)
        return PYSLAB_ESTALE;
    ticket = &table->tickets[key->ticket];
    do {
        word = load_acquire(&ticket->word);
        if (share_ticket_state(word) != SHARE_TICKET_PUBLISHED ||
            load_relaxed(&ticket->id) != key->id)
            return PYSLAB_ESTALE;
    } while (!swap(&ticket->word, word, ticket_word_next(word)));
    return PYSLAB_OK;
}

uint32_t share_in_transit(const struct share_table *table, uint32_t slot)
{
    uint32_t generation = share_slot_generation(load_acquire(&table->slots[slot].word));
    uint32_t first = window_start(slot), nr = 0;

    CHECK(slot < table->nr_slots);
    for (uint32_t i = first; i < first + SHARE_TICKET_WINDOW; i++)
        nr += ticket_for(&table->tickets[i], slot, generation) != 0;
    return nr;
}

/* --- rows ----------------------------------------------------------------- */

void share_row_enter(const struct share_table *table, uint32_t row)
{
    CHECK(row < SHARE_ROWS);
    share_row_clear(table, row);
    add_owner(&table->rows[row].incarnation, 1);
    store_relaxed(&table->rows[row].in_use, 1);
    full_fence();
}

void share_row_clear(const struct share_table *table, uint32_t row)
{
    uint32_t reach;

    CHECK(row < SHARE_ROWS);
    if (load_acquire(&table->rows[row].in_use) == 0)
        return;
    reach = min_uint(load_relaxed(&table->rows[row].reach), table->nr_slots);
    for (uint32_t slot = 0; slot < reach; slot++)
        if (load_relaxed(share_count(table, row, slot)) != 0)
            /* Who sees the zero sees the tickets that the client published before it died. */
            atomic_store_explicit(share_count(table, row, slot), 0, memory_order_release);
    store_relaxed(&table->rows[row].reach, 0);
    tickets_clear(table, row);
    atomic_store_explicit(&table->rows[row].in_use, 0, memory_order_release);
}

uint32_t share_holders(const struct share_table *table, uint32_t slot, uint64_t *nr_holds)
{
    uint32_t nr = 0;

    CHECK(slot < table->nr_slots);
    *nr_holds = 0;
    for (uint32_t row = 0; row < SHARE_ROWS; row++)
        if (load_acquire(&table->rows[row].in_use) != 0) {
            uint32_t count = load_acquire(share_count(table, row, slot));

            nr += count != 0;
            *nr_holds += count;
        }
    return nr;
}

/* --- for the owner -------------------------------------------------------- */

void share_export(const struct share_table *table, uint32_t slot, uint64_t offset, uint64_t bytes,
                  struct share_block *out)
{
    struct share_slot *entry = &table->slots[slot];
    uint32_t generation = share_slot_generation(load_relaxed(&entry->word));

    CHECK(slot < table->nr_slots);
    CHECK(share_slot_state(load_relaxed(&entry->word)) == SHARE_SLOT_FREE);
    store_relaxed(&entry->offset, offset);
    store_relaxed(&entry->bytes, bytes);
    atomic_store(&entry->word, SHARE_SLOT_WORD(generation, SHARE_SLOT_ALIVE));
    *out = (struct share_block){slot, generation, offset, bytes};
}

bool share_retire(const struct share_table *table, uint32_t slot)
{
    _Atomic uint64_t *word = &table->slots[slot].word;
    uint64_t before = atomic_load(word), nr_holds;
    uint32_t generation = share_slot_generation(before);
    uint64_t closing = SHARE_SLOT_WORD(generation, SHARE_SLOT_CLOSING);

    CHECK(slot < table->nr_slots);
    if (share_slot_state(before) == SHARE_SLOT_FREE)
        return true;
    if (before != closing && !swap(word, before, closing))
        return false;
    full_fence();
    if (share_holders(table, slot, &nr_holds) != 0 || share_in_transit(table, slot) != 0) {
        (void)swap(word, closing, SHARE_SLOT_WORD(generation, SHARE_SLOT_ORPHAN));
        return false;
    }
    return swap(word, closing, SHARE_SLOT_WORD(generation + 1, SHARE_SLOT_FREE));
}

/* --- for clients ---------------------------------------------------------- */

/* The row counts the block already. Looks at ticket and slot, and uses the ticket up. */
static int ticket_use(const struct share_table *table, const struct share_key *key, uint64_t block)
{
    struct share_ticket *ticket = &table->tickets[key->ticket];
    _Atomic uint64_t *slot = &table->slots[(uint32_t)block].word;

    for (;;) {
        uint64_t word = atomic_load(&ticket->word), state = atomic_load(slot);
        uint32_t uses = share_ticket_uses(word);

        if (share_ticket_state(word) != SHARE_TICKET_PUBLISHED || uses == 0 ||
            load_relaxed(&ticket->id) != key->id || load_relaxed(&ticket->block) != block ||
            share_slot_generation(state) != block >> 32 ||
            share_slot_state(state) == SHARE_SLOT_FREE)
            return PYSLAB_ESTALE;
        if (share_slot_state(state) == SHARE_SLOT_CLOSING &&
            !swap(slot, state, SHARE_SLOT_WORD(block >> 32, SHARE_SLOT_ORPHAN)))
            continue;
        if (ticket_is_pin(word) ||
            swap(&ticket->word, word,
                 uses == 1 ? ticket_word_next(word) : word - SHARE_TICKET_WORD(0, 0, 1, 0)))
            return PYSLAB_OK;
    }
}

/* Reads where the block is, which a damaged table may tell wrong. */
static int block_read(const struct share_table *table, uint64_t block, struct share_block *out)
{
    struct share_slot *slot = &table->slots[(uint32_t)block];

    *out = (struct share_block){.slot = (uint32_t)block,
                                .generation = (uint32_t)(block >> 32),
                                .offset = load_relaxed(&slot->offset),
                                .bytes = load_relaxed(&slot->bytes)};
    return out->bytes != 0 && out->bytes <= table->heap_bytes &&
                   out->offset <= table->heap_bytes - out->bytes
               ? PYSLAB_OK
               : PYSLAB_ECORRUPT;
}

int share_open(const struct share_table *table, uint32_t row, const struct share_key *key,
               struct share_block *out)
{
    _Atomic uint32_t *count;
    uint64_t block;
    int error;

    CHECK(row < SHARE_ROWS);
    if (key->ticket >= table->nr_tickets)
        return PYSLAB_ESTALE;
    block = load_relaxed(&table->tickets[key->ticket].block);
    if (ticket_for(&table->tickets[key->ticket], (uint32_t)block, (uint32_t)(block >> 32)) == 0 ||
        (uint32_t)block >= table->nr_slots)
        return PYSLAB_ESTALE;
    count = share_count(table, row, (uint32_t)block);
    if (load_relaxed(count) == UINT32_MAX)
        return PYSLAB_ELIMIT;
    if (load_relaxed(&table->rows[row].reach) <= (uint32_t)block)
        store_relaxed(&table->rows[row].reach, (uint32_t)block + 1);
    add_owner(count, 1);
    full_fence();
    error = ticket_use(table, key, block);
    if (error == PYSLAB_OK)
        error = block_read(table, block, out);
    if (error != PYSLAB_OK)
        (void)share_close(table, row, (uint32_t)block);
    return error;
}

int share_close(const struct share_table *table, uint32_t row, uint32_t slot)
{
    _Atomic uint32_t *count = share_count(table, row, slot);
    uint32_t nr = load_relaxed(count);

    CHECK(row < SHARE_ROWS && slot < table->nr_slots);
    if (nr == 0)
        return PYSLAB_EINVAL;
    atomic_store_explicit(count, nr - 1, memory_order_release);
    return PYSLAB_OK;
}
