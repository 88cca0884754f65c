/* remap.c - maps and unmaps the slots of remap.h, each with one call of os.h.
 * What it is not: the book of what is mapped (pkmap.c). Lock: none; see remap.h. */
#include "vm/remap.h"

#include "os/os.h"

#define MAX_ALIGN_ORDER 9u /* 2 MiB: what page tables of one level cover */

int remap_create(struct remap *remap, uint32_t nr_slots, unsigned order, uint32_t nr_mapped)
{
    size_t slot_bytes = PAGE_SIZE << order, align, lead;
    void *base;
    int error;

    align = PAGE_SIZE << (order < MAX_ALIGN_ORDER ? order : MAX_ALIGN_ORDER);
    if (nr_slots == 0 || order > MAX_ORDER || nr_slots > (SIZE_MAX - align) / slot_bytes)
        return PYSLAB_EINVAL;
    /* Run r lies at offset (r << order) - nr_mapped frames of the file. */
    lead = (align - ((size_t)nr_mapped << PAGE_SHIFT) % align) % align;
    error = os_reserve(lead + nr_slots * slot_bytes, align, &base);
    if (error != PYSLAB_OK)
        return error;
    *remap = (struct remap){.base = (char *)base + lead,
                            .lead_bytes = lead,
                            .slot_bytes = slot_bytes,
                            .nr_slots = nr_slots,
                            .order = order};
    return PYSLAB_OK;
}

void remap_destroy(struct remap *remap)
{
    if (remap->base == NULL)
        return;
    os_release(remap->base - remap->lead_bytes,
               remap->lead_bytes + remap->nr_slots * remap->slot_bytes);
    remap->nr_calls++;
    remap->base = NULL;
}

int remap_map(struct remap *remap, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident)
{
    uint64_t start = (uint64_t)run << remap->order, end = (uint64_t)(run + nr) << remap->order;
    uint64_t first = start < map->nr_mapped ? map->nr_mapped : start;
    uint64_t last = end < map->nr_pages ? end : map->nr_pages;
    char *p = remap_address(remap, slot) + ((first - start) << PAGE_SHIFT);
    uint64_t offset = (first - map->nr_mapped) << PAGE_SHIFT;
    int error;

    CHECK(remap->base != NULL && nr != 0 && slot + nr <= remap->nr_slots);
    CHECK(first < last && map->high_fd >= 0);
    remap->nr_calls++;
    if (resident)
        error = os_commit_file_resident(p, (last - first) << PAGE_SHIFT, map->high_fd, offset);
    else
        error = os_commit_file(p, (last - first) << PAGE_SHIFT, map->high_fd, offset);
    /* Systems before Linux 6.12 may have removed what was there before they failed. */
    if (error != PYSLAB_OK)
        (void)os_uncommit(p, (last - first) << PAGE_SHIFT);
    return error;
}

int remap_unmap(struct remap *remap, uint32_t slot, uint32_t nr)
{
    CHECK(remap->base != NULL && nr != 0 && slot + nr <= remap->nr_slots);
    remap->nr_calls++;
    return os_uncommit(remap_address(remap, slot), nr * remap->slot_bytes);
}
