/* remap.h - address space in slots of equal size, in which high frames are made visible.
 *
 * What it is: the primitive under the highmem window: map an aligned run of 2**order
 * frames into a slot, make slots inaccessible again, each as one system call.
 * What it is not: it counts no users and chooses no slot; see pkmap.h.
 *
 * Data structure: one reservation. Run r is the frames r << order and following; slot s
 * is the bytes base + s * slot_bytes and following. Frames that have an address already,
 * or that the arena does not have, stay inaccessible in their place of the slot. All remaps of
 * the process are on a list, with the run that each slot shows: a forked child makes them private
 * (vm_fork.h).
 * Invariant: runs[s] == REMAP_NONE if and only if slot s is inaccessible.
 * Lock: the list has its own. A remap has none: calls for one window exclude each other, because
 * Python makes them with the GIL held.
 */
#ifndef VM_REMAP_H
#define VM_REMAP_H

#include "base/check.h"
#include "page/page.h"

#define REMAP_NONE UINT32_MAX /* no run */

struct remap {
    char *base;                  /* address of slot 0; NULL: destroyed */
    size_t lead_bytes;           /* reserved before slot 0, so that it is aligned as the file is */
    size_t slot_bytes;           /* PAGE_SIZE << order */
    uint32_t nr_slots;           /* constant */
    uint32_t order;              /* a slot shows 2**order frames; constant */
    uint64_t nr_calls;           /* system calls since it was made */
    uint32_t *runs;              /* by slot: the run it shows, or REMAP_NONE */
    const struct frame_map *map; /* of the frames that are shown; NULL until there are any */
    bool is_private;             /* made so in a forked child: nothing is mapped any more */
    struct remap *next;          /* in the list of all remaps */
    struct remap *prev;          /* likewise */
};

/* Reserves the slots, all inaccessible. nr_mapped: of the frame map; the slots are placed
 * so that addresses and offsets in the file agree in their lowest 21 bits, without which
 * the system maps a file's huge pages in small ones (a pass over a file on disk took 13
 * times as long). EINVAL: no slots, or more than address space has; EOS, ENOMEM.
 * *remap is written on success only, and must stay where it is until it is destroyed. */
int remap_create(struct remap *remap, uint32_t nr_slots, unsigned order, uint32_t nr_mapped);
/* Ends the reservation. May be called again.
 * pre: nobody uses the addresses any more (unchecked: users are not counted here) */
void remap_destroy(struct remap *remap);

/* Maps nr runs from run on into as many slots from slot on. resident: gives them page
 * tables, and memory where they have none, in the same call. On an error the slots are
 * inaccessible. EOS
 * pre: the slots exist, the runs hold at least one high frame; the slots are inaccessible
 * (unchecked: what is mapped is in the caller's book) */
int remap_map(struct remap *remap, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident);
/* Makes nr slots from slot on inaccessible. On an error they are as before. EOS */
int remap_unmap(struct remap *remap, uint32_t slot, uint32_t nr);

/* For the fork handlers. */
void remaps_fork_prepare(void);
void remaps_fork_release(void);
/* In the child: what slots show becomes private, once. The caller holds the list's lock. */
void remaps_make_private(void);

static inline char *remap_address(const struct remap *remap, uint32_t slot)
{
    return remap->base + (size_t)slot * remap->slot_bytes;
}

/* The slot that an address lies in. pre: it lies in one */
static inline uint32_t remap_slot_of(const struct remap *remap, const void *p)
{
    CHECK((uintptr_t)p - (uintptr_t)remap->base < remap->nr_slots * remap->slot_bytes);
    return (uint32_t)(((uintptr_t)p - (uintptr_t)remap->base) >> (PAGE_SHIFT + remap->order));
}

#endif
