/* left.c - see left.h. */
#include "share/left.h"

#include "base/check.h"
#include "os/os.h"

#define AGAIN_MS 1000u /* until a heap that others still use is looked at again: it has a walk */

/* Slots that ever had a block: the owner takes them in order. The rest of the file is a hole, which
 * a look would give memory. */
static uint32_t slots_used(const struct share_table *table)
{
    uint32_t nr = 0;

    while (nr < table->nr_slots && load_acquire(&table->slots[nr].word) != 0)
        nr++;
    return nr;
}

static void count_sent(void *context, const struct share_sent *sent)
{
    uint32_t *nr = context;

    (void)sent;
    ++*nr;
}

/* The rows of the dead are cleared already: whoever has one lives. */
static bool others_hold(const struct pyslab_heap *heap, uint32_t nr_slots)
{
    const struct share_table *table = &heap->table;

    for (uint32_t row = 0; row < SHARE_ROWS; row++) {
        uint32_t reach;

        if (row == heap->row || load_acquire(&table->rows[row].in_use) == 0)
            continue;
        reach = load_acquire(&table->rows[row].reach);
        for (uint32_t slot = 0; slot < reach && slot < nr_slots; slot++)
            if (load_acquire(share_count(table, row, slot)) != 0)
                return true;
    }
    return false;
}

/* pre: this process holds nothing of it, and its owner is gone (unchecked: it was just asked) */
static bool has_uses(struct pyslab_heap *heap)
{
    uint32_t nr_slots = slots_used(&heap->table), nr_sent = 0;

    CHECK(heap->nr_held == 0);
    (void)share_reap_rows_locked(heap);
    if (others_hold(heap, nr_slots)) /* before the tickets, as in share_retire */
        return true;
    (void)share_tickets_expire(&heap->table, nr_slots, os_time_ns() / 1000000000u,
                               share_row_is_alive, heap);
    share_tickets_each(&heap->table, nr_slots, count_sent, &nr_sent);
    return nr_sent != 0;
}

bool share_heap_is_left_locked(struct pyslab_heap *heap)
{
    uint32_t now = os_time_ms();

    lock_assert_held(share_mutex());
    if (heap->is_own || heap->is_asked || heap->sign == NULL || heap->nr_held != 0 ||
        (heap->looked_ms != 0 && now - heap->looked_ms < AGAIN_MS) ||
        share_row_is_alive(heap, SHARE_OWNER_ROW))
        return false;
    if (!has_uses(heap))
        return true;
    heap->looked_ms = now | 1;
    return false;
}
