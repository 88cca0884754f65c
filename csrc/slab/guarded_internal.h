/* guarded_internal.h - a guarded block and its record, for the files behind guarded.h. Lock: as
 * guarded.h has it. */
#ifndef SLAB_GUARDED_INTERNAL_H
#define SLAB_GUARDED_INTERNAL_H

#include "slab/guarded.h"
#include "slab/slab_internal.h"

enum guarded_state { GUARDED_LIVE = 1, GUARDED_RELEASED, GUARDED_WAITS };

struct block {
    struct page *page; /* the record of its first frame; NULL: there is no block */
    char *base;        /* of its frames */
    size_t bytes;      /* of these, with the guard */
};

static inline struct block block_at(const struct slab_alloc *sa, uint32_t pfn)
{
    struct page *page = pfn_to_page(&sa->map, pfn);
    struct block b = {NULL, NULL, 0};

    if ((load_relaxed(&page->word) & PAGE_FLAG_GUARDED) == 0)
        return b;
    b.page = pfn_to_page(&sa->map, pfn);
    b.base = pfn_to_virt(&sa->map, pfn);
    b.bytes = (size_t)load_relaxed(&page->large.nr_pages) << PAGE_SHIFT;
    return b;
}

static inline char *user_of(const struct block *b)
{
    return b->base + b->page[1].guarded.offset;
}

static inline uint32_t state_of(const struct block *b)
{
    return b->page[1].guarded.state;
}

/* The frames with access: from this address to the other. */
static inline char *data_of(const struct block *b)
{
    return b->base + ((size_t)b->page[1].guarded.lead << PAGE_SHIFT);
}

static inline char *data_end(const struct block *b)
{
    return b->base + b->bytes - ((size_t)b->page[1].guarded.trail << PAGE_SHIFT);
}

static inline unsigned nr_guards(const struct block *b)
{
    return (unsigned)b->page[1].guarded.lead + b->page[1].guarded.trail;
}

static inline size_t size_of(const struct block *b)
{
    return (size_t)(data_end(b) - user_of(b)) - b->page[1].guarded.tail;
}

/* NULL: it is no cache's object. */
static inline struct kmem_cache *cache_of(const struct slab_alloc *sa, const struct block *b)
{
    return sa->caches[b->page->large.tail];
}

/* True if the red bytes of a block are red; else found says what is wrong, and they are so again.
 * pre: it is live (unchecked: a validation holds the lock, a free has taken it from its caller) */
bool guarded_check_block(const struct slab_alloc *sa, const struct block *b,
                         struct debug_found *found);

#endif
