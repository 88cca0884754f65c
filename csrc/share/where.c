/* where.c - see where.h. Order of the text: the index of opened blocks, own blocks, sending. */
#include "share/where.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_thread.h"
#include "share/share.h"
#include "slab/slab_internal.h"

#include <string.h>

/* --- the index of opened blocks ---------------------------------------------------- */

static size_t slot_bytes(uint32_t nr_frames)
{
    return (size_t)align_up(nr_frames * sizeof(uint32_t), os_page_bytes());
}

static size_t heads_bytes(uint32_t nr_frames)
{
    return (size_t)align_up((nr_frames + 63) / 64 * sizeof(uint64_t), os_page_bytes());
}

int opened_init(struct share_opened *opened, uint64_t heap_bytes)
{
    uint32_t nr_frames = (uint32_t)(heap_bytes >> PAGE_SHIFT);
    size_t bytes = slot_bytes(nr_frames) + heads_bytes(nr_frames);
    void *base;
    int error = os_reserve(bytes, os_page_bytes(), &base);

    if (error != PYSLAB_OK)
        return error;
    error = os_commit(base, bytes, true);
    if (error != PYSLAB_OK) {
        os_release(base, bytes);
        return error;
    }
    opened->slot = base;
    opened->heads = (uint64_t *)(void *)((char *)base + slot_bytes(nr_frames));
    opened->nr_frames = nr_frames;
    return PYSLAB_OK;
}

void opened_destroy(struct share_opened *opened)
{
    if (opened->slot != NULL)
        os_release(opened->slot, slot_bytes(opened->nr_frames) + heads_bytes(opened->nr_frames));
    *opened = (struct share_opened){0};
}

/* The invariant for the frames of one word of heads. */
static bool word_adds_up(const struct share_opened *opened, uint64_t word)
{
    for (uint64_t i = 64 * word; i < 64 * (word + 1) && i < opened->nr_frames; i++)
        if ((opened->slot[i] != 0) != ((opened->heads[word] >> i % 64 & 1) != 0))
            return false;
    return true;
}

bool opened_adds_up(const struct share_opened *opened)
{
    for (uint64_t word = 0; 64 * word < opened->nr_frames; word++)
        if (!word_adds_up(opened, word))
            return false;
    return true;
}

void opened_add(struct share_opened *opened, uint64_t offset, uint32_t slot)
{
    uint64_t frame = offset >> PAGE_SHIFT;

    CHECK(frame < opened->nr_frames);
    opened->slot[frame] = slot + 1;
    opened->heads[frame / 64] |= (uint64_t)1 << frame % 64;
    CHECK_WALK(word_adds_up(opened, frame / 64));
}

void opened_remove(struct share_opened *opened, uint64_t offset, uint32_t slot)
{
    uint64_t frame = offset >> PAGE_SHIFT;

    if (frame >= opened->nr_frames || opened->slot[frame] != slot + 1)
        return;
    opened->slot[frame] = 0;
    opened->heads[frame / 64] &= ~((uint64_t)1 << frame % 64);
    CHECK_WALK(word_adds_up(opened, frame / 64));
}

/* The last frame up to this one that has its bit; nr_frames: none has. */
static uint64_t last_head(const struct share_opened *opened, uint64_t frame)
{
    uint64_t at = frame / 64, word = opened->heads[at] & (~(uint64_t)0 >> (63 - frame % 64));

    while (word == 0 && at > 0)
        word = opened->heads[--at];
    return word != 0 ? 64 * at + 63 - (unsigned)__builtin_clzll(word) : opened->nr_frames;
}

uint32_t opened_find(const struct share_opened *opened, uint64_t offset)
{
    uint64_t frame = offset >> PAGE_SHIFT;

    if (frame >= opened->nr_frames)
        return SHARE_NONE;
    frame = last_head(opened, frame);
    return frame < opened->nr_frames ? opened->slot[frame] - 1 : SHARE_NONE;
}

/* --- own blocks --------------------------------------------------------------------- */

/* The start of the object around p, which lies in a slab; NULL: p is between objects. */
static const char *object_start(const struct share *share, const struct kmem_cache *cache,
                                const void *p)
{
    const struct cache_desc *desc = cache->desc;
    uint64_t offset = (uint64_t)((const char *)p - share->heap.base);
    uint64_t slab = offset & ~(uint64_t)(cache_slab_bytes(desc) - 1);

    if (offset - slab < desc->front)
        return NULL;
    offset = (offset - slab - desc->front) / desc->stride;
    return share->heap.base + slab + desc->front + offset * desc->stride;
}

/* The start of the large block that has the frame: the last head before it. Frames behind a head
 * have no class byte, and those of a live block stay as they are, so that the walk sees no frame
 * that somebody changes, unless the frame is in no large block; then what is found is shorter. */
static const char *large_start(const struct frame_map *map, uint32_t pfn)
{
    const uint8_t *head = memrchr(map->classes, CLASS_LARGE, (size_t)pfn + 1);

    return head != NULL ? pfn_to_virt(map, (uint32_t)(head - map->classes)) : NULL;
}

/* The start of the exported block of alloc_pages that has the frame; NULL. Such a block is aligned
 * to its size, and frames behind its head are UNLISTED, so that the first head met is its own. */
static const char *shown_start(const struct frame_map *map, uint32_t pfn, unsigned max_order)
{
    for (unsigned order = 0; order <= max_order; order++) {
        uint32_t head = pfn & ~((1u << order) - 1);
        uint32_t word = load_relaxed(&pfn_to_page(map, head)->word);

        if (page_word_state(word) == PYSLAB_PAGE_UNLISTED)
            continue;
        return page_word_state(word) == PYSLAB_PAGE_ALLOC && page_word_order(word) >= order &&
                       (word & PAGE_FLAG_SHOWN) != 0
                   ? pfn_to_virt(map, head)
                   : NULL;
    }
    return NULL;
}

/* The start of the block around p, if there is one. */
static const char *own_start(struct share *share, const void *p)
{
    const struct page_alloc *pages = share->kmalloc->slabs.pages;
    struct kmem_cache *cache = slab_cache_around(&share->kmalloc->slabs, p);
    uint32_t pfn = virt_to_pfn(&pages->map, p);
    const char *start;

    if (pfn == PFN_NONE)
        return NULL;
    if (cache != NULL)
        return object_start(share, cache, p);
    start = shown_start(&pages->map, pfn, pages->max_order);
    return start != NULL ? start : large_start(&pages->map, pfn);
}

/* --- sending ------------------------------------------------------------------------ */

/* [offset, offset + bytes) lies in [start, start + length). */
static bool lies_in(uint64_t offset, uint64_t bytes, uint64_t start, uint64_t length)
{
    return offset >= start && offset - start <= length && bytes <= length - (offset - start);
}

static int send_own_locked(struct share *share, const void *p, uint64_t bytes, uint32_t uses,
                           pyslab_handle *out, uint64_t *offset)
{
    const char *start = own_start(share, p);

    lock_assert_held(share_mutex());
    if (start == NULL)
        return PYSLAB_EINVAL;
    *offset = (uint64_t)((const char *)p - start);
    return share_export_held_locked(share, start, *offset + bytes, uses, out);
}

static int send_opened_locked(struct pyslab_heap *heap, const void *p, uint64_t bytes,
                              uint32_t uses, pyslab_handle *out, uint64_t *offset)
{
    uint64_t at = (uint64_t)((const char *)p - heap->base);
    uint32_t slot = opened_find(&heap->opened, at);
    uint64_t start;

    lock_assert_held(share_mutex());
    if (slot == SHARE_NONE)
        return PYSLAB_EINVAL;
    start = load_relaxed(&heap->table.slots[slot].offset);
    if (!lies_in(at, bytes, start, load_relaxed(&heap->table.slots[slot].bytes)))
        return PYSLAB_EINVAL;
    *offset = at - start;
    return share_pass_on_locked(
        heap, slot, share_slot_generation(load_relaxed(&heap->table.slots[slot].word)), uses, out);
}

int share_send(const void *p, uint64_t bytes, uint32_t uses, pyslab_handle *out, uint64_t *offset)
{
    struct share *own = NULL;
    struct pyslab_heap *heap;
    int error = PYSLAB_EPOINTER;

    if (uses == 0 || uses > SHARE_MAX_USES)
        return PYSLAB_EINVAL;
    share_lock();
    heap = share_heap_around_locked(p);
    if (heap != NULL && heap->is_own) {
        own = share_of_heap(heap);
        error = send_own_locked(own, p, bytes, uses, out, offset);
    } else if (heap != NULL) {
        error = send_opened_locked(heap, p, bytes, uses, out, offset);
    }
    share_unlock();
    if (own != NULL)
        share_collect_if_due(own);
    return error;
}

bool share_has(const void *p)
{
    bool has;

    share_lock();
    has = share_heap_around_locked(p) != NULL;
    share_unlock();
    return has;
}

int share_owner_of(const pyslab_handle *handle)
{
    const struct pyslab_heap *heap;
    int pid = 0;

    share_lock();
    heap = share_heap_find_locked(handle->heap_id);
    if (heap != NULL)
        pid = heap->is_own ? (int)os_process_id() : heap->owner_pid;
    share_unlock();
    return pid;
}
