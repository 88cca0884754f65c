/* region_ends.c - what is to be done before a region's memory goes, the tree of regions,
 * and an arena's list of them. What it is not: the memory itself (region.c).
 *
 * Trees are walked without recursion, because callers nest regions as deep as they like.
 * Lock: region_set.lock, for the list.
 */
#include "region/region_internal.h"

#include "os/os_heap.h"
#include "region/region_debug.h"

/* Regions made so far in this process. The mark numbers of two regions begin far apart, so that
 * a mark of one is not taken for a mark of another. */
static _Atomic uint64_t nr_regions_made;

#define MARK_SPACING UINT64_C(0x9e3779b97f4a7c15) /* 2**64 over the golden ratio: even gaps */

/* --- ends --------------------------------------------------------------- */

static void end_push(struct region *region, struct region_end *end)
{
    end->below = region->ends;
    if (end->below != NULL)
        end->below->above = end;
    region->ends = end;
    region_touch(region);
    end->serial = region->serial;
}

static void end_remove(struct region *region, struct region_end *end)
{
    if (end->above != NULL)
        end->above->below = end->below;
    else
        region->ends = end->below;
    if (end->below != NULL)
        end->below->above = end->above;
    os_heap_free(end, sizeof *end);
}

int region_on_exit(struct region *region, pyslab_region_exit fn, void *context)
{
    struct region_end *end;

    if (region->nr_busy != 0)
        return PYSLAB_EBUSY;
    end = os_heap_alloc(sizeof *end);
    if (end == NULL)
        return PYSLAB_ENOMEM;
    end->fn = fn;
    end->context = context;
    end_push(region, end);
    return PYSLAB_OK;
}

void region_run_ends(struct region *root, uint64_t serial)
{
    struct region *at = root;

    CHECK(root->nr_busy != 0);
    for (;;) {
        struct region_end *end = at->ends;

        if (end != NULL && (at != root || end->serial > serial)) {
            pyslab_region_exit fn = end->fn;
            void *context = end->context;

            if (end->child != NULL) {
                at = end->child;
                at->nr_busy++;
                continue;
            }
            end_remove(at, end);
            fn(context);
        } else if (at == root) {
            return;
        } else {
            struct region *done = at;

            at = at->parent;
            region_delete(done);
        }
    }
}

/* --- life --------------------------------------------------------------- */

static void set_add(struct region_set *set, struct region *region)
{
    lock_acquire(&set->lock);
    region->next = set->regions;
    if (region->next != NULL)
        region->next->prev = region;
    set->regions = region;
    lock_release(&set->lock);
}

static void set_remove(struct region_set *set, struct region *region)
{
    lock_acquire(&set->lock);
    if (region->next != NULL)
        region->next->prev = region->prev;
    if (region->prev != NULL)
        region->prev->next = region->next;
    else
        set->regions = region->next;
    lock_release(&set->lock);
}

static struct region *region_new(struct region_set *set)
{
    struct region *region;

    if (should_fail(set->pages->faults, NULL, sizeof *region, 0))
        return NULL;
    region = os_heap_alloc(sizeof *region);
    if (region == NULL)
        return NULL;
    region->set = set;
    region->first = region->block = region->large = PFN_NONE;
    region->mark_base = MARK_SPACING * (1 + atomic_fetch_add(&nr_regions_made, 1));
    if (region_debug_start(region) != PYSLAB_OK) {
        os_heap_free(region, sizeof *region);
        return NULL;
    }
    return region;
}

int region_create(struct region_set *set, size_t size_hint, struct region **out)
{
    struct region *region = region_new(set);
    int error = PYSLAB_OK;

    if (region == NULL)
        return PYSLAB_ENOMEM;
    if (size_hint != 0)
        error = region_reserve(region, size_hint);
    if (error != PYSLAB_OK) {
        region_debug_end(region);
        os_heap_free(region, sizeof *region);
        return error;
    }
    region_recount(region);
    set_add(set, region);
    *out = region;
    return PYSLAB_OK;
}

int region_create_child(struct region *parent, struct region **out)
{
    struct region_end *end;
    struct region *region;

    if (parent->nr_busy != 0)
        return PYSLAB_EBUSY;
    end = os_heap_alloc(sizeof *end);
    region = end == NULL ? NULL : region_new(parent->set);
    if (region == NULL) {
        os_heap_free(end, sizeof *end);
        return PYSLAB_ENOMEM;
    }
    region->parent = parent;
    region->in_parent = end;
    end->child = region;
    end_push(parent, end);
    set_add(parent->set, region);
    *out = region;
    return PYSLAB_OK;
}

void region_delete(struct region *region)
{
    CHECK(region->ends == NULL);
    if (region->debug != NULL)
        region_debug_look(region, 0);
    region_debug_end(region);
    region_free_memory(region);
    if (region->parent != NULL)
        end_remove(region->parent, region->in_parent);
    set_remove(region->set, region);
    os_heap_free(region, sizeof *region);
}

/* --- the list ----------------------------------------------------------- */

void region_set_init(struct region_set *set, struct page_alloc *pages, struct arena_debug *debug)
{
    lock_init(&set->lock, LOCK_RANK_REGIONS);
    set->regions = NULL;
    set->pages = pages;
    set->debug = debug;
}

void region_set_destroy(struct region_set *set)
{
    while (set->regions != NULL) {
        struct region *region = set->regions;

        set->regions = region->next;
        while (region->ends != NULL)
            end_remove(region, region->ends);
        os_heap_free(region->marks, region->max_marks * sizeof *region->marks);
        region_debug_end(region);
        os_heap_free(region, sizeof *region);
    }
    lock_destroy(&set->lock);
}
