/* arena.h - the facade: one arena and everything in it.
 *
 * What it is: owner of the mapping, the metadata, the zones, kmalloc and the caches;
 * options, statistics, validation, and the process's list of arenas for fork.
 * What it is not: an allocator; each call goes to the layer that does the work.
 *
 * Data structure: frames lie at `base`, those of high memory in a file; the metadata (cache
 * descriptors, the map of class bytes, and mem_map, the table of all struct page) in a mapping of
 * its own; this struct, process-local, on the core's heap.
 * Invariant (arena_adds_up): managed frames == free + on page lists + of slabs + of large blocks
 * + of page blocks + given back to the system at this moment.
 * Lock: the list of arenas has one of rank FORK; the layers have their own.
 */
#ifndef ARENA_ARENA_H
#define ARENA_ARENA_H

#include "arena/arena_publish.h"
#include "arena/background.h"
#include "kmalloc/kmalloc.h"
#include "region/region.h"
#include "share/share.h"
#include "vm/vmalloc.h"

struct pyslab_arena {
    struct kmalloc kmalloc;              /* and in it the slab caches */
    struct page_alloc pages;             /* and in it the zones */
    struct os_file high;                 /* the frames without an address; fd -1: there are none */
    struct os_file low;                  /* the others, if the arena is shared; fd -1: it is not */
    struct share *share;                 /* what other processes hold of them; NULL likewise */
    struct vm vm;                        /* vmalloc areas over the high zones */
    struct region_set regions;           /* bump regions */
    _Atomic(struct pyslab_arena *) side; /* high zones for vmalloc where there are none */
    struct background background;        /* its thread, if background_purge was asked for */
    struct arena_publish publish;        /* its figures, for other processes */
    struct thread_domain domain;         /* the threads' page lists and sheaves */
    struct pyslab_arena *next;           /* in the process's list of arenas, under its lock */
    struct pyslab_arena *prev;           /* likewise */
    void *metadata;                      /* cache descriptors, class map, mem_map; constant */
    size_t metadata_bytes;               /* bytes reserved for them; constant */
    size_t bytes;                        /* bytes of all frames; constant */
    size_t mapped_bytes;                 /* bytes of the frames that have an address; constant */
    _Atomic uint64_t limit_bytes;        /* the limit that was set; 0: none */
    uint32_t hugepages;                  /* enum pyslab_hugepages; constant */
    uint32_t purge_delay_ms;             /* as in the options; constant */
    _Atomic uint32_t nr_refs;            /* references to the arena; see arena_life.c */
    void *object; /* the Python object over this arena, or NULL; only csrc/python
                                     uses it, with the GIL held */
};

/* It has zones without addresses of its own: vmalloc needs no side arena. */
static inline bool arena_has_high(const struct pyslab_arena *arena)
{
    return arena->mapped_bytes != arena->bytes;
}

/* Makes an arena with one reference. Errors: EINVAL, ELIMIT, ENOMEM, EOS. */
int arena_create(const pyslab_arena_options *options, struct pyslab_arena **out);
/* Makes an arena in memory of the caller's, which is zero again after an error. Such an arena is
 * never destroyed. pre: the memory is zero, but for background.by_owner, which may be set */
int arena_init(struct pyslab_arena *arena, const pyslab_arena_options *options);
/* Ends an arena without a look at its references. */
void arena_destroy(struct pyslab_arena *arena);
/* The functions of the public header; it has their contracts. */
struct pyslab_arena *arena_default(void);
void arena_get(struct pyslab_arena *arena);
int arena_put(struct pyslab_arena *arena);
int arena_destroy_sole(struct pyslab_arena *arena);
void arena_stats(struct pyslab_arena *arena, pyslab_arena_stats *out);
/* EINVAL: no such zone. */
int arena_zone_stats(struct pyslab_arena *arena, uint32_t index, pyslab_zone_stats *out);
/* Recounts every layer, and the invariant above. Quiescence: no other thread in the arena. */
bool arena_check(struct pyslab_arena *arena, struct finding *f);
uint64_t arena_release_unused(struct pyslab_arena *arena);
/* For a thread whose caches serve all that it asks for, so that it comes to no slow path: shows
 * the arena's figures if that is due; if an interval of page_alloc/purge.h is over, ends it and
 * trims the caches. Runs no code of users. */
void arena_look(struct pyslab_arena *arena);
/* The arena's vmalloc areas. An arena without high memory keeps them in a side arena that has
 * some. make: the side arena is made if there is none yet. NULL: there is none. */
struct vm *arena_vm(struct pyslab_arena *arena, bool make);

#endif
