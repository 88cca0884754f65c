/* remap.h - address space in slots of equal size, in which high frames are made visible.
 *
 * What it is: the primitive under the highmem window: map an aligned run of 2**order
 * frames into a slot, make slots inaccessible again, each as one system call.
 * What it is not: it keeps no record of what is mapped where, and chooses no slot; see
 * pkmap.h and src/pyslab/_memory/window.py.
 *
 * Data structure: one reservation. Run r is the frames r << order and following; slot s
 * is the bytes base + s * slot_bytes and following. Frames that have an address already,
 * or that the arena does not have, stay inaccessible in their place of the slot.
 * Lock: none; the caller's.
 */
#ifndef VM_REMAP_H
#define VM_REMAP_H

#include "base/check.h"
#include "page/page.h"

struct remap {
    char *base;        /* of slot 0; NULL: destroyed */
    size_t lead_bytes; /* reserved before it */
    size_t slot_bytes; /* PAGE_SIZE << order */
    uint32_t nr_slots;
    uint32_t order;    /* a slot shows 2**order frames */
    uint64_t nr_calls; /* to the operating system since it was made */
};

/* Reserves the slots, all inaccessible. nr_mapped: of the frame map; the slots are placed
 * so that addresses and offsets in the file agree in their lowest 21 bits, without which
 * the system maps a file's huge pages in small ones (a pass over a file on disk took 13
 * times as long). EINVAL: no slots, or more than address space has; EOS. *remap is
 * written on success only. */
int remap_create(struct remap *remap, uint32_t nr_slots, unsigned order, uint32_t nr_mapped);
/* Safe to call again. pre: nobody uses the addresses any more. */
void remap_destroy(struct remap *remap);

/* pre: the slots exist and are inaccessible, the runs hold at least one high frame.
 * Maps nr runs from run on into as many slots from slot on. resident: gives them page
 * tables, and memory where they have none, in the same call. On an error the slots are
 * inaccessible. EOS */
int remap_map(struct remap *remap, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident);
/* Makes nr slots from slot on inaccessible. On an error they are as before. EOS */
int remap_unmap(struct remap *remap, uint32_t slot, uint32_t nr);

static inline char *remap_address(const struct remap *remap, uint32_t slot)
{
    return remap->base + (size_t)slot * remap->slot_bytes;
}

/* pre: p is inside a slot. */
static inline uint32_t remap_slot_of(const struct remap *remap, const void *p)
{
    return (uint32_t)(((uintptr_t)p - (uintptr_t)remap->base) >> (PAGE_SHIFT + remap->order));
}

#endif
