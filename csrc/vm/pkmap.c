/* pkmap.c - the book of pkmap.h: arrays on the core's heap, chains of slot numbers.
 * What it is not: mappings (remap.c). Lock: none; see pkmap.h. */
#include "vm/pkmap.h"

#include "os/os_heap.h"

#include <string.h>

/* At check level 2, on the way out of calls that changed the book. One in 16: a window may have
 * a million slots. */
static void recount(const struct pkmap *pk)
{
    struct finding f = {{0}};

    CHECK_RECOUNT(16, pkmap_check(pk, &f), &f);
}

static size_t nr_buckets(const struct pkmap *pk)
{
    return (size_t)1 << (64 - pk->bucket_shift);
}

static size_t book_bytes(const struct pkmap *pk)
{
    return (3 * (size_t)pk->nr_slots + nr_buckets(pk)) * sizeof(uint32_t);
}

int pkmap_create(struct pkmap *pk, uint32_t nr_slots, unsigned order, uint32_t nr_mapped)
{
    uint32_t bucket_bits = 1;
    int error;

    if (nr_slots == 0 || nr_slots > PKMAP_MAX_SLOTS)
        return PYSLAB_EINVAL;
    while (1u << bucket_bits < nr_slots)
        bucket_bits++;
    *pk = (struct pkmap){.nr_slots = nr_slots, .bucket_shift = 64 - bucket_bits};
    pk->counts = os_heap_alloc(book_bytes(pk));
    if (pk->counts == NULL)
        return PYSLAB_ENOMEM;
    error = remap_create(&pk->remap, nr_slots, order, nr_mapped);
    if (error != PYSLAB_OK) {
        os_heap_free(pk->counts, book_bytes(pk));
        return error;
    }
    pk->runs = pk->counts + nr_slots;
    pk->next = pk->runs + nr_slots;
    pk->buckets = pk->next + nr_slots;
    memset(pk->buckets, 0xff, nr_buckets(pk) * sizeof(uint32_t)); /* PKMAP_NONE */
    return PYSLAB_OK;
}

void pkmap_destroy(struct pkmap *pk)
{
    CHECK(pk->nr_in_use == 0);
    remap_destroy(&pk->remap);
    os_heap_free(pk->counts, book_bytes(pk));
}

uint32_t pkmap_next_free(const struct pkmap *pk, uint32_t start)
{
    for (uint32_t slot = start; slot < pk->nr_slots; slot++)
        if (pk->counts[slot] == 0)
            return slot;
    return PKMAP_NONE;
}

int pkmap_map(struct pkmap *pk, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident)
{
    int error;

    for (uint32_t i = 0; i < nr; i++)
        CHECK(pk->counts[slot + i] == 0 && pkmap_find(pk, run + i) == PKMAP_NONE);
    error = remap_map(&pk->remap, map, slot, run, nr, resident);
    if (error != PYSLAB_OK)
        return error;
    for (uint32_t i = 0; i < nr; i++) {
        uint32_t *bucket = pkmap_bucket(pk, run + i);

        pk->counts[slot + i] = 1;
        pk->runs[slot + i] = run + i;
        pk->next[slot + i] = *bucket;
        *bucket = slot + i;
    }
    pk->nr_mapped += nr;
    recount(pk);
    return PYSLAB_OK;
}

/* --- flush -------------------------------------------------------------- */

/* Takes a slot that is mapped and unused out of the hash; it is free then. */
static void forget(struct pkmap *pk, uint32_t slot)
{
    uint32_t *link = pkmap_bucket(pk, pk->runs[slot]);

    while (*link != slot)
        link = &pk->next[*link];
    *link = pk->next[slot];
    pk->counts[slot] = 0;
    pk->nr_mapped--;
}

/* Unmaps what is mapped in a stretch of slots of which none is in use. Returns how many slots
 * that were, or EOS. */
static int64_t flush_stretch(struct pkmap *pk, uint32_t start, uint32_t end)
{
    int64_t freed = 0;

    /* Free slots at the ends need no call. */
    while (start < end && pk->counts[start] == 0)
        start++;
    while (end > start && pk->counts[end - 1] == 0)
        end--;
    if (start == end)
        return 0;
    if (remap_unmap(&pk->remap, start, end - start) != PYSLAB_OK)
        return PYSLAB_EOS;
    for (uint32_t slot = start; slot < end; slot++)
        if (pk->counts[slot] == 1) {
            forget(pk, slot);
            freed++;
        }
    return freed;
}

int64_t pkmap_flush(struct pkmap *pk)
{
    int64_t freed = 0, now = 0;

    if (pk->nr_mapped == pk->nr_in_use)
        return 0;
    for (uint32_t start = 0, slot = 0; slot <= pk->nr_slots && now >= 0; slot++)
        if (slot == pk->nr_slots || pk->counts[slot] >= 2) {
            now = flush_stretch(pk, start, slot);
            freed += now > 0 ? now : 0;
            start = slot + 1;
        }
    pk->nr_flushes += freed != 0;
    recount(pk);
    return now < 0 ? now : freed;
}

/* --- check -------------------------------------------------------------- */

bool pkmap_check(const struct pkmap *pk, struct finding *f)
{
    uint32_t nr_mapped = 0, nr_in_use = 0, nr_chained = 0;

    for (uint32_t slot = 0; slot < pk->nr_slots; slot++) {
        nr_mapped += pk->counts[slot] >= 1;
        nr_in_use += pk->counts[slot] >= 2;
        if (pk->counts[slot] >= 1 && pkmap_find(pk, pk->runs[slot]) != slot)
            return finding_report(f, "window: slot %u shows run %u, which the hash does not know",
                                  slot, pk->runs[slot]);
    }
    for (size_t i = 0; i < nr_buckets(pk); i++)
        for (uint32_t slot = pk->buckets[i]; slot != PKMAP_NONE; slot = pk->next[slot])
            if (++nr_chained > pk->nr_slots || pk->counts[slot] == 0)
                return finding_report(f, "window: the hash holds slot %u, which is free", slot);
    if (nr_mapped != pk->nr_mapped || nr_in_use != pk->nr_in_use || nr_chained != nr_mapped)
        return finding_report(f,
                              "window: %u slots mapped, %u in use, %u in the hash; "
                              "%u and %u were counted",
                              nr_mapped, nr_in_use, nr_chained, pk->nr_mapped, pk->nr_in_use);
    return true;
}
