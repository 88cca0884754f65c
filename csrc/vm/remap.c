/* remap.c - maps and unmaps the slots of remap.h, each with one call of os.h.
 * What it is not: the book of what is mapped (pkmap.c). Lock: none; see remap.h. */
#include "vm/remap.h"

#include "base/lock.h"
#include "os/os.h"
#include "os/os_heap.h"

#include <string.h>

#define MAX_ALIGN_ORDER 9u /* 2 MiB: what page tables of one level cover */

/* What of some slots shows high frames. */
struct piece {
    char *p;
    uint64_t offset; /* in the file */
    size_t bytes;
};

static struct piece high_piece(const struct remap *remap, const struct frame_map *map,
                               uint32_t slot, uint32_t run, uint32_t nr)
{
    uint64_t start = (uint64_t)run << remap->order, end = (uint64_t)(run + nr) << remap->order;
    uint64_t first = start < map->nr_mapped ? map->nr_mapped : start;
    uint64_t last = end < map->nr_pages ? end : map->nr_pages;

    CHECK(remap->base != NULL && nr != 0 && slot + nr <= remap->nr_slots);
    CHECK(first < last && map->high != NULL);
    return (struct piece){remap_address(remap, slot) + ((first - start) << PAGE_SHIFT),
                          (first - map->nr_mapped) << PAGE_SHIFT,
                          (size_t)(last - first) << PAGE_SHIFT};
}

/* --- the list ----------------------------------------------------------- */

static struct {
    struct lock lock;    /* guards all below */
    struct remap *first; /* the youngest */
} list;

static pthread_once_t list_once = PTHREAD_ONCE_INIT;

static void list_init(void)
{
    lock_init(&list.lock, LOCK_RANK_WINDOW);
}

static void list_enter(struct remap *remap)
{
    pthread_once(&list_once, list_init);
    lock_acquire(&list.lock);
    remap->next = list.first;
    remap->prev = NULL;
    if (list.first != NULL)
        list.first->prev = remap;
    list.first = remap;
    lock_release(&list.lock);
}

static void list_leave(struct remap *remap)
{
    lock_acquire(&list.lock);
    if (remap->next != NULL)
        remap->next->prev = remap->prev;
    if (remap->prev != NULL)
        remap->prev->next = remap->next;
    else
        list.first = remap->next;
    lock_release(&list.lock);
}

/* --- fork --------------------------------------------------------------- */

void remaps_fork_prepare(void)
{
    pthread_once(&list_once, list_init);
    lock_acquire_for_fork(&list.lock);
}

void remaps_fork_release(void)
{
    lock_release_after_fork(&list.lock);
}

void remaps_make_private(void)
{
    lock_assert_held(&list.lock);
    for (struct remap *remap = list.first; remap != NULL; remap = remap->next) {
        for (uint32_t slot = 0; slot < remap->nr_slots && !remap->is_private; slot++)
            if (remap->runs[slot] != REMAP_NONE) {
                struct piece piece = high_piece(remap, remap->map, slot, remap->runs[slot], 1);

                os_file_make_private(remap->map->high, piece.p, piece.offset, piece.bytes);
            }
        remap->is_private = remap->map != NULL;
    }
}

/* --- calls -------------------------------------------------------------- */

int remap_create(struct remap *remap, uint32_t nr_slots, unsigned order, uint32_t nr_mapped)
{
    size_t slot_bytes = PAGE_SIZE << order, align, lead;
    uint32_t *runs;
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
    runs = os_heap_alloc(nr_slots * sizeof *runs);
    if (runs == NULL) {
        os_release(base, lead + nr_slots * slot_bytes);
        return PYSLAB_ENOMEM;
    }
    memset(runs, 0xff, nr_slots * sizeof *runs); /* REMAP_NONE */
    *remap = (struct remap){.base = (char *)base + lead,
                            .lead_bytes = lead,
                            .slot_bytes = slot_bytes,
                            .nr_slots = nr_slots,
                            .order = order,
                            .runs = runs};
    list_enter(remap);
    return PYSLAB_OK;
}

void remap_destroy(struct remap *remap)
{
    if (remap->base == NULL)
        return;
    list_leave(remap);
    os_heap_free(remap->runs, remap->nr_slots * sizeof *remap->runs);
    os_release(remap->base - remap->lead_bytes,
               remap->lead_bytes + remap->nr_slots * remap->slot_bytes);
    remap->nr_calls++;
    remap->base = NULL;
}

int remap_map(struct remap *remap, const struct frame_map *map, uint32_t slot, uint32_t run,
              uint32_t nr, bool resident)
{
    struct piece piece = high_piece(remap, map, slot, run, nr);
    int error;

    remap->nr_calls++;
    error = os_file_map(map->high, piece.p, piece.offset, piece.bytes,
                        resident ? OS_FILE_SHARED_RESIDENT : OS_FILE_SHARED);
    /* Systems before Linux 6.12 may have removed what was there before they failed. */
    if (error != PYSLAB_OK) {
        (void)os_uncommit(piece.p, piece.bytes);
        return error;
    }
    remap->map = map;
    for (uint32_t i = 0; i < nr; i++)
        remap->runs[slot + i] = run + i;
    return PYSLAB_OK;
}

int remap_unmap(struct remap *remap, uint32_t slot, uint32_t nr)
{
    int error;

    CHECK(remap->base != NULL && nr != 0 && slot + nr <= remap->nr_slots);
    remap->nr_calls++;
    error = os_uncommit(remap_address(remap, slot), nr * remap->slot_bytes);
    for (uint32_t i = 0; i < nr && error == PYSLAB_OK; i++)
        remap->runs[slot + i] = REMAP_NONE;
    return error;
}
