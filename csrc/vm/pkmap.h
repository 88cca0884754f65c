/* pkmap.h - the book of a highmem window: which slot shows which run, and who uses it.
 *
 * What it is: the kernel's pkmap_count array and the hash from frame to slot
 * (mm/highmem.c), with the calls that keep both and the mappings (remap.h) in step.
 * A run is 2**order frames of high memory that are mapped together; a slot is a place in the
 * window's addresses that shows one run.
 * What it is not: policy. Which slot is taken, when unused ones are unmapped (flushed), and
 * who waits, is decided in src/pyslab/_memory/window.py.
 *
 * Counts, exactly as the kernel keeps them:
 *   0      free: inaccessible, in no hash chain
 *   1      mapped but unused: the next kmap of its run finds it, a flush frees it
 *   n + 1  in use n times: nothing moves it
 * Data structure: arrays by slot; a hash of runs whose chains are slot numbers.
 * Invariant (pkmap_check): slots with count >= 1 == slots in the hash, each under its own run;
 * nr_mapped and nr_in_use are the slots with count >= 1 and >= 2.
 * Lock: none. Calls exclude each other: Python makes them with the GIL held.
 */
#ifndef VM_PKMAP_H
#define VM_PKMAP_H

#include "base/check.h"
#include "vm/remap.h"

#define PKMAP_MAX_SLOTS (1u << 20) /* each may be a mapping; Linux allows 65530 */
#define PKMAP_NONE UINT32_MAX      /* no slot */

struct pkmap {
    struct remap remap;    /* the addresses of the slots */
    uint32_t *counts;      /* by slot; see above */
    uint32_t *runs;        /* by slot: the run it shows; meaningful from count 1 on */
    uint32_t *next;        /* by slot: the next of its hash chain, or PKMAP_NONE */
    uint32_t *buckets;     /* first slot of each chain, or PKMAP_NONE */
    uint32_t nr_slots;     /* constant */
    uint32_t bucket_shift; /* 64 - log2 of the number of buckets */
    uint32_t nr_mapped;    /* slots with count >= 1 */
    uint32_t nr_in_use;    /* slots with count >= 2 */
    uint64_t nr_hits;      /* gets of a run that was mapped */
    uint64_t nr_misses;    /* gets that mapped it */
    uint64_t nr_ahead;     /* runs that were mapped before anybody asked for them */
    uint64_t nr_flushes;   /* flushes that freed at least one slot */
};

/* Makes a window of free slots over an arena whose first nr_mapped frames have addresses of
 * their own. Errors: EINVAL, ENOMEM, EOS. */
int pkmap_create(struct pkmap *pk, uint32_t nr_slots, unsigned order, uint32_t nr_mapped);
/* pre: no slot is in use */
void pkmap_destroy(struct pkmap *pk);

/* The first free slot from start on, or PKMAP_NONE. */
uint32_t pkmap_next_free(const struct pkmap *pk, uint32_t start);
/* Maps nr runs from run on into as many slots from slot on; their counts become 1. EOS: all are
 * as before. pre: the slots are free, the runs not mapped */
int pkmap_map(struct pkmap *pk, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident);
/* Frees every unused slot, with one system call for each stretch of slots in which none is in
 * use. Returns how many it freed, or EOS; then the stretches before the refused one are free. */
int64_t pkmap_flush(struct pkmap *pk);
/* Recounts slots, counts and hash. */
bool pkmap_check(const struct pkmap *pk, struct finding *f);

static always_inline uint32_t *pkmap_bucket(const struct pkmap *pk, uint32_t run)
{
    return &pk->buckets[((uint64_t)run * 0x9e3779b97f4a7c15u) >> pk->bucket_shift];
}

/* The slot that shows a run, or PKMAP_NONE. */
static always_inline uint32_t pkmap_find(const struct pkmap *pk, uint32_t run)
{
    uint32_t slot = *pkmap_bucket(pk, run);

    while (slot != PKMAP_NONE && pk->runs[slot] != run)
        slot = pk->next[slot];
    return slot;
}

/* One more user of a slot. pre: count >= 1 */
static always_inline void pkmap_get(struct pkmap *pk, uint32_t slot)
{
    CHECK(pk->counts[slot] >= 1);
    if (pk->counts[slot]++ == 1)
        pk->nr_in_use++;
}

/* One user less. True: the slot is unused now. pre: count >= 2 */
static always_inline bool pkmap_put(struct pkmap *pk, uint32_t slot)
{
    CHECK(pk->counts[slot] >= 2);
    if (--pk->counts[slot] != 1)
        return false;
    pk->nr_in_use--;
    return true;
}

#endif
