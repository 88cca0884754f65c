/* refs.c - references on blocks of alloc_pages: get, put, and a block split into single frames.
 *
 * What it is: the count in struct page, the checks of what callers name, and the free with the
 * last reference. What it is not: for blocks of kmalloc or slabs, which have no references.
 * Lock: none; the count is atomic, and a block's word is its owner's.
 */
#include "page_alloc/zonelist.h"

/* Says what is wrong with a frame number that should head an ALLOC block. */
static int page_misuse(const struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages)
        return PYSLAB_EINVAL;
    return page_is_free(pa, pfn) ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER;
}

/* A block of alloc_pages of this order starts at pfn, and is this process's. */
static int page_check_block(const struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    const struct page *page;

    if (unlikely(pfn >= pa->map.nr_pages) ||
        unlikely(page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC))
        return page_misuse(pa, pfn);
    page = pfn_to_page(&pa->map, pfn);
    if (unlikely(page_order(page) != order))
        return PYSLAB_EINVAL;
    return zone_is_foreign(pa, page_zone(page)) ? PYSLAB_EFORKED : PYSLAB_OK;
}

/* A block that others hold keeps its last reference. PAGE_KEPT, EDOUBLE */
static int page_check_shown(const struct page_alloc *pa, uint32_t pfn, const struct page *page)
{
    if (likely((load_relaxed(&page->word) & PAGE_FLAG_SHOWN) == 0) ||
        load_acquire(&page->refcount) != 1)
        return PYSLAB_OK;
    return page_keeps(pa, pfn_to_virt(&pa->map, pfn));
}

static slow_path int page_put_slow(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct page *page;
    int error = page_check_block(pa, pfn, order);

    if (error != PYSLAB_OK)
        return error;
    page = pfn_to_page(&pa->map, pfn);
    error = page_check_shown(pa, pfn, page);
    if (error != PYSLAB_OK)
        return error == PAGE_KEPT ? PYSLAB_OK : error;
    /* A sole owner needs no locked instruction: nobody else may change the count. */
    if (atomic_load_explicit(&page->refcount, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&page->refcount, 1, memory_order_acq_rel) != 1)
        return PYSLAB_OK;
    store_relaxed(&page->refcount, 0);
    if (usage_is_counted(pa->usage))
        usage_count_free(pa->usage, page_key(pa, pfn),
                         (uint64_t)page_block_pages(page) << PAGE_SHIFT);
    if (load_relaxed(&page->word) & PAGE_FLAG_RUN)
        page_free_range(pa, pfn, page_block_pages(page));
    else
        page_free_slow(pa, pfn, order);
    return PYSLAB_OK;
}

/* The fast path compares the block's word with that of a block in use of the list: that the block
 * was allocated by alloc_pages, has this order and is of the NORMAL zone is one compare. */
int page_put(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct pcp_list *list;
    struct page *page;
    uint32_t nr;

    if (unlikely(pfn >= pa->map.nr_pages || !pcp_has_list(order) || !thread_has_domain(pa->domain)))
        return page_put_slow(pa, pfn, order);
    list = pcp_list_at(((struct pcp *)thread_slot_loaded(THREAD_SLOT_PCP))->set, order);
    page = pfn_to_page(&pa->map, pfn);
    nr = load_relaxed(&list->nr);
    if (unlikely(nr >= list->high || load_relaxed(&page->word) != list->alloc_word ||
                 atomic_load_explicit(&page->refcount, memory_order_acquire) != 1))
        return page_put_slow(pa, pfn, order);
    store_relaxed(&page->refcount, 0);
    pcp_push(pa, list, nr, pfn);
    return PYSLAB_OK;
}

int page_get(struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages || page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC)
        return page_misuse(pa, pfn);
    if (zone_is_foreign(pa, page_zone(pfn_to_page(&pa->map, pfn))))
        return PYSLAB_EFORKED;
    atomic_fetch_add_explicit(&pfn_to_page(&pa->map, pfn)->refcount, 1, memory_order_relaxed);
    return PYSLAB_OK;
}

int page_split(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    int error = page_check_block(pa, pfn, order);
    struct page *page;
    uint32_t zone;

    if (error != PYSLAB_OK)
        return error;
    page = pfn_to_page(&pa->map, pfn);
    if (load_relaxed(&page->word) & (PAGE_FLAG_COMP | PAGE_FLAG_RUN))
        return PYSLAB_EINVAL;
    if ((load_relaxed(&page->word) & PAGE_FLAG_SHOWN) != 0 &&
        page_is_shown(pa, pfn_to_virt(&pa->map, pfn)))
        return PYSLAB_EINVAL;
    if (load_acquire(&page->refcount) != 1) /* as in page_put_slow */
        return PYSLAB_EBUSY;
    zone = page_zone(page);
    usage_split(pa->usage, page_key(pa, pfn), 1u << order, PAGE_SIZE);
    for (uint32_t i = 0; i < 1u << order; i++) {
        store_relaxed(&page[i].refcount, 1);
        page_set(&page[i], PYSLAB_PAGE_ALLOC, 0, zone);
    }
    return PYSLAB_OK;
}

bool page_is_free(const struct page_alloc *pa, uint32_t pfn)
{
    const struct zone *zone = page_alloc_zone_of((struct page_alloc *)(uintptr_t)pa, pfn);

    if (pfn >= zone->frontier)
        return true;
    for (unsigned order = 0; order <= pa->max_order; order++) {
        uint32_t head_pfn = pfn & ~((1u << order) - 1);
        const struct page *head = pfn_to_page(&pa->map, head_pfn);
        unsigned state = page_state(head);

        if (head_pfn < zone->start_pfn)
            break;
        if (state != PYSLAB_PAGE_UNLISTED)
            return (state == PYSLAB_PAGE_BUDDY || state == PYSLAB_PAGE_PCP ||
                    state == PYSLAB_PAGE_ISOLATED) &&
                   page_order(head) >= order;
    }
    return false;
}
