/* divert.c - see divert.h. */
#include "share/divert.h"

#include "base/check.h"

static struct frame_map *map_of(const struct share *share)
{
    return &share->kmalloc->slabs.pages->map;
}

struct share_frames share_frames_around(const struct share *share, const void *p)
{
    struct kmem_cache *cache = slab_cache_around(&share->kmalloc->slabs, p);
    uint32_t nr = cache != NULL ? 1u << cache->desc->slab_order : 1;

    return (struct share_frames){cache, virt_to_pfn(map_of(share), p) & ~(nr - 1), nr};
}

uint64_t share_block_bytes(const struct share *share, const void *p)
{
    const struct kmem_cache *cache = slab_cache_around(&share->kmalloc->slabs, p);
    const struct frame_map *map = map_of(share);

    return cache != NULL
               ? cache->desc->object_size
               : (uint64_t)page_block_pages(pfn_to_page(map, virt_to_pfn(map, p))) << PAGE_SHIFT;
}

static void set_class(const struct share *share, const struct share_frames *frames, uint8_t class)
{
    for (uint32_t i = 0; i < frames->nr; i++)
        frame_class_set(map_of(share), frames->pfn + i, class);
}

void share_divert_locked(struct share *share, const void *p)
{
    struct share_frames frames = share_frames_around(share, p);
    struct page *page = pfn_to_page(map_of(share), frames.pfn);

    lock_assert_held(share_mutex());
    if (frames.cache != NULL)
        set_class(share, &frames, CLASS_LOOKUP);
    else if (page_state(page) == PYSLAB_PAGE_ALLOC)
        store_relaxed(&page->word, load_relaxed(&page->word) | PAGE_FLAG_SHOWN);
}

/* One of the frames has an exported block, or may be a child's. */
static bool is_needed(const struct share *share, const struct share_frames *frames)
{
    for (uint32_t i = 0; i < frames->nr; i++)
        if (load_relaxed(&share->entry[frames->pfn + i]) != 0 ||
            share_fork_of(&share->fork, frames->pfn + i) != 0)
            return true;
    return false;
}

void share_divert_end_locked(struct share *share, const void *p)
{
    struct share_frames frames = share_frames_around(share, p);
    struct page *page = pfn_to_page(map_of(share), frames.pfn);

    lock_assert_held(share_mutex());
    if (is_needed(share, &frames))
        return;
    if (frames.cache == NULL && page_state(page) == PYSLAB_PAGE_ALLOC)
        store_relaxed(&page->word, load_relaxed(&page->word) & ~PAGE_FLAG_SHOWN);
    else if (frames.cache != NULL && frames.cache->fast_class != 0)
        set_class(share, &frames, (uint8_t)frames.cache->fast_class);
}
