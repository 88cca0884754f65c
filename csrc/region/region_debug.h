/* region_debug.h - regions with debug flags: red zones, poison, and the stacks of allocations.
 *
 * What it is: a list of what a region has handed out, kept away from its memory, so that whoever
 * overruns an object cannot damage it. With Z each object has red zones on both sides; with P what
 * is not handed out is poisoned, and looked at when it is; with U the list has the stacks.
 * What it is not: on the way of other regions. They have debug == NULL; one with flags always seems
 * to be full (cur == end), so that each allocation comes to region_alloc_slow.
 *
 * Data structure: an object in its stretch of a block, from object - front to end:
 *     | left red zone, 16 bytes or more | the object, as asked for | right red zone, 64 or more |
 * Invariant: `live` has what was handed out and not taken back, the oldest first, but for what
 * there was no memory to note; `past` has what the last going back took back.
 * Lock: as the region's.
 */
#ifndef REGION_REGION_DEBUG_H
#define REGION_REGION_DEBUG_H

#include "region/region.h"
#include "slab/debug.h"

struct region_note {
    char *object;   /* what the caller has */
    char *end;      /* of its right red zone */
    size_t asked;   /* bytes of the object */
    uint32_t front; /* of its left red zone */
    uint32_t stack; /* of the allocation; 0: not known */
};

struct region_notes {
    struct region_note *note; /* room of them */
    uint32_t nr;              /* that are in use */
    uint32_t room;
};

struct region_debug {
    uint32_t flags;    /* enum pyslab_debug_flags, not 0; constant */
    uint32_t freed_at; /* stack of the last going back; 0: not known */
    struct region_notes live;
    struct region_notes past;
};

/* Where an object goes. */
struct region_place {
    size_t front; /* bytes before it */
    size_t bytes; /* of all its stretch; a multiple of REGION_ALIGN */
};

/* Gives a new region what it has besides, if the arena's text has flags for it. ENOMEM */
int region_debug_start(struct region *region);
/* Frees that. Looks at nothing. */
void region_debug_end(struct region *region);
/* The stretch of an object that begins at this address, or its offset from an aligned one. */
struct region_place region_debug_place(const struct region *region, uintptr_t start, size_t size,
                                       size_t align);
/* Makes an object of a stretch that was just taken, notes it and returns it. is_new: the frames
 * come from elsewhere, and hold no poison of this region's. */
void *region_debug_make(struct region *region, char *start, struct region_place place, size_t size,
                        bool is_new);
/* Looks at the red zones of all objects from number `from` on, and at what is not handed out, and
 * reports. The region is busy meanwhile. */
void region_debug_look(struct region *region, uint32_t from);
/* The objects from number `from` on are taken back. */
void region_debug_take_back(struct region *region, uint32_t from);
/* Looks at all regions, and reports; false if something was found, of which f gets the first. */
bool region_debug_validate(struct region_set *set, struct finding *f);

/* How many objects are noted. */
static inline uint32_t region_debug_nr(const struct region *region)
{
    return region->debug != NULL ? region->debug->live.nr : 0;
}

#endif
