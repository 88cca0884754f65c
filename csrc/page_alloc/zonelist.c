/* zonelist.c - see zonelist.h. */
#include "page_alloc/zonelist.h"

#include "base/fault.h"
#include "buddy/buddy_range.h"
#include "page_alloc/access.h"
#include "page_alloc/purge.h"
#include "page_alloc/recount.h"
#include "page_alloc/shelf.h"
#include "page_alloc/used.h"

/* What frame 0 of the map counts as when a run is aligned: frames with addresses are aligned by
 * these, whatever the map's base is aligned to. */
static uint64_t zone_origin(const struct zone *zone, const struct frame_map *map)
{
    return pfn_has_address(map, zone->start_pfn) ? (uintptr_t)map->base >> PAGE_SHIFT : 0;
}

static uint32_t take_run_locked(struct zone *zone, const struct frame_map *map,
                                const struct request *request)
{
    uint32_t pfn;

    lock_assert_held(&zone->lock);
    pfn = buddy_find_range_locked(zone, map, request->first, request->end, request->nr_pages,
                                  request->align, request->nocross, zone_origin(zone, map));
    return pfn != PFN_NONE && buddy_take_range_locked(zone, map, pfn, request->nr_pages) ? pfn
                                                                                         : PFN_NONE;
}

static uint32_t take_locked(struct zone *zone, const struct frame_map *map,
                            const struct request *request)
{
    lock_assert_held(&zone->lock);
    if (unlikely(request->any_run))
        return take_run_locked(zone, map, request);
    if (request->nr_pages == 1u << request->order)
        return buddy_alloc_locked(zone, map, request->order);
    return buddy_alloc_exact_locked(zone, map, request->order, request->nr_pages);
}

/* Its frames are chosen already, so no search can find better ones. */
static bool request_names_place(const struct request *request)
{
    return request->end - request->first == request->nr_pages;
}

/* nr_dirty: gets how many of the frames were dirty. */
static uint32_t zone_take(struct page_alloc *pa, struct zone *zone, const struct request *request,
                          const struct access *access, uint64_t *nr_dirty)
{
    uint32_t pfn = PFN_NONE;
    uint64_t dirty;

    lock_acquire(&zone->lock);
    if (pa->best_fit || (request->any_run && !request_names_place(request)))
        (void)shelf_drain_locked(pa, zone);
    else
        shelf_yield_locked(pa, zone, request->order);
    dirty = zone->dirty_pages;
    if (request->nr_pages <= zone_usable_pages_locked(zone, access))
        pfn = take_locked(zone, &pa->map, request);
    if (pfn != PFN_NONE && !frames_open_locked(pa, pfn, request->nr_pages)) {
        page_alloc_shut_locked(pa, zone, pfn, request->nr_pages);
        pfn = PFN_NONE;
    }
    if (pfn != PFN_NONE) {
        zone_note_alloc_locked(pa, zone, 1, request->nr_pages);
        zone->nr_fallbacks += zone->index != access->zone;
    }
    *nr_dirty = dirty - zone->dirty_pages;
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    return pfn;
}

uint32_t zonelist_take(struct page_alloc *pa, const struct request *request,
                       const struct access *access)
{
    uint32_t pfn = PFN_NONE;
    uint64_t nr_dirty = 0;
    bool limited;

    if (fault_here())
        return PFN_NONE;
    limited = limit_enter(pa);
    if (request->nr_pages > limit_room(pa, limited))
        vm_event(pa, PYSLAB_VM_LIMIT_HIT, 1);
    else
        for (uint32_t left = access->zone + 1; pfn == PFN_NONE && left > request->lowest; left--)
            pfn = zone_take(pa, &pa->zone[left - 1], request, access, &nr_dirty);
    limit_leave(pa, limited);
    if (pfn != PFN_NONE)
        zone_trade(pa, page_alloc_zone_of(pa, pfn), request->nr_pages, nr_dirty);
    return pfn;
}
