/* share.h - the owner's side of a shared heap: which of its blocks others hold.
 *
 * What it is: an index from a block's frame to its slot in the table of holders, and the blocks
 * that the program has freed while others held them: they are deferred, and freed later. It is what
 * page_alloc's keeper asks (page_alloc/page_alloc.h): no other layer knows of it.
 * What it is not: an allocator. Only blocks of a frame and more are exported, of kmalloc's classes,
 * large ones, and those of alloc_pages.
 *
 * Where a free must ask: divert.h. What a forked child has is asked for there too: fork.h.
 *
 * Data structure: entry[], a word per frame: number of the slot + 1 of the block that starts there,
 * with ENTRY_DEFERRED once it was freed; known[], the owner's own record of each slot, because
 * what is in the table others can write.
 * Invariant: deferred_bytes is the sum of the blocks on the list of deferred ones.
 * Lock: heap.h's. entry[] is read without it, by who has the block.
 */
#ifndef SHARE_SHARE_H
#define SHARE_SHARE_H

#include "kmalloc/kmalloc.h"
#include "share/fork.h"
#include "share/heap.h"
#include "share/transit.h"

struct share_known {
    uint64_t offset; /* of the block */
    uint64_t bytes;
    uint32_t next;     /* free or deferred slot behind this one; SHARE_NONE */
    uint32_t walk;     /* transit.h: the last walk that found a ticket of it, */
    uint32_t newest_s; /* and when the newest of these was made */
};

struct share {
    struct pyslab_heap heap;   /* this process's part in its own heap */
    struct kmalloc *kmalloc;   /* whose blocks these are */
    struct os_file *frames;    /* the heap's file */
    _Atomic uint32_t *entry;   /* a word per frame */
    struct share_known *known; /* nr_slots */
    uint32_t nr_pages;         /* frames that have an address */
    uint32_t free_slots;       /* list of slots that were used and are free */
    uint32_t next_slot;        /* from here on none was used */
    uint32_t deferred;         /* list of slots whose blocks were freed and are held */
    uint32_t nr_exported;      /* slots in use */
    uint32_t nr_deferred;      /* on the list */
    uint64_t deferred_bytes;   /* their blocks */
    uint64_t collect_at;       /* from so many of them on a send looks whether some are free */
    uint64_t nr_exports;       /* slots that were ever given */
    uint64_t nr_taken_back;    /* deferred blocks that were freed in the end */
    uint64_t taken_back_bytes; /* of these */
    struct share_transit transit;
    struct share_fork fork; /* what forked children have */
    bool forked;            /* a child's copy: what has a number in `fork` is its parent's */
    bool is_new_child;      /* and it has no heap of its own yet */
};

/* Makes the table for a heap whose frames show a file at base. EOS, ENOMEM */
int share_create(struct kmalloc *km, struct os_file *frames, char *base,
                 const pyslab_arena_options *options, struct share **out);
/* Has frees ask from now on. */
void share_start(struct share *share);
/* Others keep what they hold. NULL is a no-op. */
void share_destroy(struct share *share);
/* Looks for dead clients, and frees deferred blocks that nobody holds any more. Returns their
 * bytes. The caller holds no lock. */
uint64_t share_collect(struct share *share);
/* For an allocation that fails otherwise: ends the tickets of deferred blocks that nobody holds,
 * the oldest first, of so many bytes, and collects. The caller holds no lock. */
uint64_t share_collect_sent(struct share *share, uint64_t wanted);
/* The functions of the public header; they have their contracts. */
int share_export_block(struct share *share, const void *p, uint32_t uses, pyslab_handle *out);
int share_block_holders(struct share *share, const void *p, uint32_t *nr_clients,
                        uint32_t *nr_tickets);
/* For share_send: the block may have been freed, if this process has opened it. bytes: that it must
 * have at least. EINVAL, ELIMIT, EDOUBLE. pre: 1 <= uses <= SHARE_MAX_USES */
int share_export_held_locked(struct share *share, const void *p, uint64_t bytes, uint32_t uses,
                             pyslab_handle *out);
/* Frees deferred blocks that nobody holds, if there are many more than were left the last time: a
 * program that sends what it makes has few, though it never runs short of memory. */
void share_collect_if_due(struct share *share);
/* pre: the heap is this process's own (unchecked: its caller has looked) */
struct share *share_of_heap(struct pyslab_heap *heap);
void share_stats(struct share *share, pyslab_share_stats *out);
int share_descriptors(struct share *share, int *heap_fd, int *table_fd);
/* Gives up what a forked child has inherited, which reads zero from then on; else a no-op. */
void share_drop_inherited(struct share *share);

/* For the files of this folder: memory for words that are zero, and the free
 * of a block of any kind, which returns the bytes that came back. */
int share_map_words(size_t bytes, void **out);
uint64_t share_block_free(struct share *share, void *p);

#endif
