/* transit.c - see transit.h. */
#include "share/transit.h"

#include "base/check.h"
#include "share/share.h"

/* --- how much ---------------------------------------------------------------------- */

struct look {
    struct share *share;
    uint64_t bytes;
    uint64_t nr_tickets;
};

static void look_at(void *context, const struct share_sent *sent)
{
    struct look *look = context;
    struct share_known *known = &look->share->known[sent->slot];

    look->nr_tickets++;
    if (sent->is_pin)
        return;
    if (known->walk != look->share->transit.walk) {
        known->walk = look->share->transit.walk;
        known->newest_s = sent->made_s;
        look->bytes += known->bytes;
    } else if (known->newest_s < sent->made_s) {
        known->newest_s = sent->made_s;
    }
}

uint64_t share_transit_look_locked(struct share *share, uint64_t *nr_tickets)
{
    struct look look = {.share = share};

    lock_assert_held(share_mutex());
    share->transit.walk++;
    share_tickets_each(&share->heap.table, share->next_slot, look_at, &look);
    share->transit.bound_bytes = look.bytes;
    *nr_tickets = look.nr_tickets;
    return look.bytes;
}

int share_transit_admit_locked(struct share *share, uint32_t slot, uint64_t bytes, uint32_t uses)
{
    struct share_transit *transit = &share->transit;
    uint64_t nr_tickets;

    lock_assert_held(share_mutex());
    if (uses == SHARE_MAX_USES)
        return PYSLAB_OK;
    if (transit->bound_bytes + bytes > transit->max_bytes) {
        (void)share_transit_look_locked(share, &nr_tickets);
        if (slot != SHARE_NONE && share->known[slot].walk == transit->walk)
            return PYSLAB_OK; /* it is on its way already */
    }
    if (transit->bound_bytes + bytes > transit->max_bytes &&
        !(transit->lone_passes && transit->bound_bytes == 0)) {
        transit->nr_refused++;
        return PYSLAB_ELIMIT;
    }
    transit->bound_bytes += bytes;
    return PYSLAB_OK;
}

/* --- what goes first ----------------------------------------------------------------- */

/* The deferred slot whose newest ticket is the oldest of all; of two, the one that was freed first,
 * which is the later on the list. SHARE_NONE: no deferred block is in transit. */
static uint32_t oldest_locked(const struct share *share)
{
    uint32_t oldest = SHARE_NONE;

    lock_assert_held(share_mutex());
    for (uint32_t slot = share->deferred; slot != SHARE_NONE; slot = share->known[slot].next) {
        const struct share_known *known = &share->known[slot];

        if (known->walk == share->transit.walk &&
            (oldest == SHARE_NONE || known->newest_s <= share->known[oldest].newest_s))
            oldest = slot;
    }
    return oldest;
}

void share_transit_cut_locked(struct share *share, uint64_t wanted)
{
    uint64_t nr_tickets, nr_holds, bytes = 0;
    uint32_t slot;

    lock_assert_held(share_mutex());
    (void)share_transit_look_locked(share, &nr_tickets);
    while (bytes < wanted && (slot = oldest_locked(share)) != SHARE_NONE) {
        share->known[slot].walk = 0; /* it has been looked at */
        if (share_holders(&share->heap.table, slot, &nr_holds) != 0)
            continue;
        share->transit.nr_expired += share_tickets_end(&share->heap.table, slot);
        bytes += share->known[slot].bytes;
    }
}
