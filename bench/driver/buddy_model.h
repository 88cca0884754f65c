/* buddy_model.h - a bare binary buddy of our own, to compare fragmentation with.
 *
 * What it is: what Bonwick's slab allocator replaced in SVr4: every request is served
 * by a block of a power of two bytes, 32 at least, split off a larger block, and
 * merged with its buddy as soon as both are free. Nothing caches: so no buddy
 * allocator holds less memory for the same requests and the same choice of blocks.
 * What it is not: pyslab's buddy, which hands out pages to the slab layer.
 *
 * Data: a tag for each 32 bytes says which block begins there; free blocks of one
 * order are a list through the blocks themselves, the last freed first.
 * Invariant: two buddies are never both free. Lock: none, one thread.
 */
#ifndef BENCH_BUDDY_MODEL_H
#define BENCH_BUDDY_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    BUDDY_ORDER_MIN = 5,   /* 32 bytes */
    BUDDY_ORDER_PAGE = 12, /* 4 KiB: what counts as held is counted in pages */
    BUDDY_ORDER_MAX = 28,  /* 256 MiB: all of it */
};

struct buddy_block {
    struct buddy_block *previous;
    struct buddy_block *next;
};

struct buddy_model {
    unsigned char *base;                           /* the memory */
    unsigned char *tags;                           /* one per 32 bytes, see buddy_model.c */
    struct buddy_block *free[BUDDY_ORDER_MAX + 1]; /* by order */
    uint64_t free_page_bytes;                      /* in free blocks of a page and more */
};

void buddy_model_create(struct buddy_model *model);
void buddy_model_destroy(struct buddy_model *model);
/* A block of at least so many bytes; the process ends (bench_die) when memory runs out. */
void *buddy_model_alloc(struct buddy_model *model, size_t bytes);
void buddy_model_release(struct buddy_model *model, void *p);
/* Bytes of the pages of which any part is allocated. */
uint64_t buddy_model_held(const struct buddy_model *model);

#endif
