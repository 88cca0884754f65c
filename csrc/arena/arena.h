/* arena.h - the facade: one arena and everything in it.
 *
 * What it is: owner of the mapping, the metadata, the zones, kmalloc and the caches;
 * options, statistics, validation, and the process's list of arenas for fork.
 * What it is not: an allocator; each call goes to the layer that does the work.
 *
 * Data structure: frames lie at `base`, those of high memory in a file; the metadata (cache
 * descriptors, class map, mem_map) in a mapping of its own; this struct, process-local, on the
 * core's heap.
 * Invariant: managed == free + on page lists + slabs + large blocks + page blocks.
 * Lock: the list of arenas has one of rank FORK; the layers have their own.
 */
#ifndef ARENA_ARENA_H
#define ARENA_ARENA_H

#include "kmalloc/kmalloc.h"
#include "region/region.h"
#include "vm/vmalloc.h"

struct pyslab_arena {
    struct kmalloc kmalloc;              /* and in it the slab caches */
    struct page_alloc pages;             /* and in it the zones */
    struct vm vm;                        /* vmalloc areas over the high zones */
    struct region_set regions;           /* bump regions */
    _Atomic(struct pyslab_arena *) side; /* high zones for vmalloc where there are none */
    struct thread_domain domain;         /* the threads' page lists and sheaves */
    struct pyslab_arena *next;           /* list of arenas */
    struct pyslab_arena *prev;
    void *metadata;               /* descriptors, class map, mem_map */
    size_t metadata_bytes;        /* reserved for them */
    size_t bytes;                 /* of all frames */
    size_t mapped_bytes;          /* of those that have an address */
    _Atomic uint64_t limit_bytes; /* as it was set; 0: none */
    uint32_t hugepages;           /* enum pyslab_hugepages */
    uint32_t purge_delay_ms;      /* as in the options */
    _Atomic uint32_t nr_refs;     /* see arena_life.c */
    void *object;                 /* the Python layer's, under the GIL: its object, or NULL */
};

int arena_create(const pyslab_arena_options *options, struct pyslab_arena **out);
/* The same in memory of the caller's, which is zero; an arena made so is never destroyed. */
int arena_init(struct pyslab_arena *arena, const pyslab_arena_options *options);
/* Whatever the references. */
void arena_destroy(struct pyslab_arena *arena);
/* The functions of the public header; it has their contracts. */
struct pyslab_arena *arena_default(void);
void arena_get(struct pyslab_arena *arena);
int arena_put(struct pyslab_arena *arena);
int arena_destroy_sole(struct pyslab_arena *arena);
void arena_stats(struct pyslab_arena *arena, pyslab_arena_stats *out);
/* EINVAL: no such zone. */
int arena_zone_stats(struct pyslab_arena *arena, uint32_t index, pyslab_zone_stats *out);
bool arena_check(struct pyslab_arena *arena, struct finding *f);
uint64_t arena_release_unused(struct pyslab_arena *arena);
/* Where vmalloc's areas are: the arena's own, or those of a side arena, which is made if
 * it may be. NULL: there is none. */
struct vm *arena_vm(struct pyslab_arena *arena, bool make);

#endif
