/* share.c - see share.h. Order of the text: index, asking, export, collecting, life. */
#include "share/share.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_file.h"
#include "os/os_heap.h"
#include "share/divert.h"

#include <string.h>

#define ENTRY_DEFERRED 0x80000000u
#define COLLECT_PART 32u /* below this part of the heap a send does not look for free blocks */
#define TRANSIT_S 600u   /* of transit_ttl_s, unless the options say otherwise */

static struct page_alloc *pages_of(const struct share *share)
{
    return share->kmalloc->slabs.pages;
}

/* --- the index ------------------------------------------------------------------ */

static uint64_t offset_of(const struct share *share, const void *p)
{
    return (uint64_t)((const char *)p - share->heap.base);
}

/* The entry of the block that starts at p; NULL: none that was exported does. */
static _Atomic uint32_t *entry_of(const struct share *share, const void *p)
{
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)share->heap.base);
    uint32_t word;

    if (offset >> PAGE_SHIFT >= share->nr_pages)
        return NULL;
    word = load_relaxed(&share->entry[offset >> PAGE_SHIFT]) & ~ENTRY_DEFERRED;
    return word != 0 && share->known[word - 1].offset == offset
               ? &share->entry[offset >> PAGE_SHIFT]
               : NULL;
}

static uint32_t slot_of(const _Atomic uint32_t *entry)
{
    return (load_relaxed(entry) & ~ENTRY_DEFERRED) - 1;
}

static bool shows(void *context, const void *p)
{
    const struct share *share = context;

    return (!share->forked && entry_of(share, p) != NULL) || share_fork_shows(context, p);
}

/* --- asking ------------------------------------------------------------------------ */

/* The slot is FREE in the table: forgets the block. */
static void forget_locked(struct share *share, _Atomic uint32_t *entry)
{
    uint32_t slot = slot_of(entry);
    void *p = share->heap.base + share->known[slot].offset;

    lock_assert_held(share_mutex());
    store_relaxed(entry, 0);
    share_divert_end_locked(share, p);
    share->known[slot].next = share->free_slots;
    share->free_slots = slot;
    share->nr_exported--;
}

/* May the exported block be freed now? OK, PAGE_KEPT, EDOUBLE */
static int ask_locked(struct share *share, _Atomic uint32_t *entry)
{
    uint32_t slot = slot_of(entry);

    lock_assert_held(share_mutex());
    if ((load_relaxed(entry) & ENTRY_DEFERRED) != 0)
        return PYSLAB_EDOUBLE;
    share_pins_end(&share->heap.table, SHARE_OWNER_ROW, slot);
    if (share_retire(&share->heap.table, slot)) {
        forget_locked(share, entry);
        return PYSLAB_OK;
    }
    store_relaxed(entry, load_relaxed(entry) | ENTRY_DEFERRED);
    share->known[slot].next = share->deferred;
    share->deferred = slot;
    share->nr_deferred++;
    share->deferred_bytes += share->known[slot].bytes;
    return PAGE_KEPT;
}

/* Some block of these frames is exported, or was there at a fork. */
static bool is_shown(const struct share *share, const void *p)
{
    uint32_t pfn = virt_to_pfn(&pages_of(share)->map, p);

    return entry_of(share, p) != NULL || (pfn != PFN_NONE && share_fork_of(&share->fork, pfn) != 0);
}

/* In a forked child: p is its parent's. */
static bool is_inherited(const struct share *share, const void *p)
{
    uint32_t pfn = virt_to_pfn(&pages_of(share)->map, p);

    return load_relaxed(&share->fork.number) == NULL || pfn == PFN_NONE ||
           share_fork_of(&share->fork, pfn) != 0;
}

static int ask(void *context, const void *p)
{
    struct share *share = context;
    _Atomic uint32_t *entry;
    int error = PYSLAB_OK;

    if (share->forked)
        return is_inherited(share, p) ? PAGE_KEPT : PYSLAB_OK;
    if (likely(!is_shown(share, p)))
        return PYSLAB_OK;
    share_lock();
    entry = entry_of(share, p);
    if (entry != NULL)
        error = ask_locked(share, entry);
    if (error == PYSLAB_OK)
        error = share_fork_ask_locked(share, p);
    share_unlock();
    if (unlikely(load_relaxed(&share->fork.is_due)))
        (void)share_fork_collect(share);
    return error;
}

/* --- export ------------------------------------------------------------------------ */

/* Bytes of the live block that starts at p, if it is of a kind that can be exported; else 0. */
static uint64_t exportable_bytes(struct share *share, const void *p)
{
    struct frame_map *map = &pages_of(share)->map;
    struct kmem_cache *cache = slab_cache_of(&share->kmalloc->slabs, p);
    uint32_t pfn = virt_to_pfn(map, p);
    uint64_t bytes;

    if (pfn == PFN_NONE || (cache != NULL && cache->id > share->kmalloc->classes.nr))
        return 0;
    if (cache == NULL && page_state(pfn_to_page(map, pfn)) == PYSLAB_PAGE_ALLOC &&
        ((uintptr_t)p & (PAGE_SIZE - 1)) == 0)
        return (uint64_t)page_block_pages(pfn_to_page(map, pfn)) << PAGE_SHIFT;
    bytes = kmalloc_usable(share->kmalloc, p);
    return bytes >= PAGE_SIZE ? bytes : 0;
}

/* A slot that nobody has; SHARE_NONE */
static uint32_t take_slot_locked(struct share *share)
{
    uint32_t slot = share->free_slots;

    lock_assert_held(share_mutex());
    if (slot != SHARE_NONE)
        share->free_slots = share->known[slot].next;
    else if (share->next_slot < share->heap.table.nr_slots)
        slot = share->next_slot++;
    return slot;
}

/* The block's slot and generation, new ones if it has none. EINVAL, ELIMIT, EDOUBLE */
static int find_or_export_locked(struct share *share, const void *p, uint32_t uses,
                                 struct share_block *out)
{
    _Atomic uint32_t *entry = entry_of(share, p);
    uint64_t offset = offset_of(share, p), bytes;
    uint32_t slot;

    lock_assert_held(share_mutex());
    if (entry != NULL) {
        slot = slot_of(entry);
        *out = (struct share_block){
            slot, share_slot_generation(load_relaxed(&share->heap.table.slots[slot].word)), offset,
            share->known[slot].bytes};
        return (load_relaxed(entry) & ENTRY_DEFERRED) != 0
                   ? PYSLAB_EDOUBLE
                   : share_transit_admit_locked(share, slot, out->bytes, uses);
    }
    bytes = exportable_bytes(share, p);
    if (bytes != 0 && share_transit_admit_locked(share, SHARE_NONE, bytes, uses) != PYSLAB_OK)
        return PYSLAB_ELIMIT;
    slot = bytes != 0 ? take_slot_locked(share) : SHARE_NONE;
    if (slot == SHARE_NONE)
        return bytes != 0 ? PYSLAB_ELIMIT : PYSLAB_EINVAL;
    share->known[slot] = (struct share_known){.offset = offset, .bytes = bytes, .next = SHARE_NONE};
    share_export(&share->heap.table, slot, offset, bytes, out);
    store_relaxed(&share->entry[offset >> PAGE_SHIFT], slot + 1);
    share_divert_locked(share, p);
    share->nr_exported++;
    share->nr_exports++;
    return PYSLAB_OK;
}

static int make_handle_locked(struct share *share, const struct share_block *block, uint32_t uses,
                              pyslab_handle *out)
{
    const struct share_table *table = &share->heap.table;
    struct share_key key;
    int error = share_ticket_make(table, SHARE_OWNER_ROW, block->slot, block->generation, uses,
                                  os_time_ns() / 1000000000u, &key);

    lock_assert_held(share_mutex());
    if (error == PYSLAB_OK)
        *out = (pyslab_handle){
            .heap_id = {table->heap_id[0], table->heap_id[1]}, .id = key.id, .ticket = key.ticket};
    return error;
}

int share_export_block(struct share *share, const void *p, uint32_t uses, pyslab_handle *out)
{
    struct share_block block;
    int error;

    if (uses == 0 || uses > SHARE_MAX_USES)
        return PYSLAB_EINVAL;
    if (share->forked)
        return PYSLAB_EFORKED;
    share_lock();
    error = find_or_export_locked(share, p, uses, &block);
    if (error == PYSLAB_OK)
        error = make_handle_locked(share, &block, uses, out);
    share_unlock();
    share_collect_if_due(share);
    return error;
}

struct share *share_of_heap(struct pyslab_heap *heap)
{
    return (struct share *)(void *)((char *)heap - offsetof(struct share, heap));
}

int share_export_held_locked(struct share *share, const void *p, uint64_t bytes, uint32_t uses,
                             pyslab_handle *out)
{
    struct share_block block;
    int error = find_or_export_locked(share, p, uses, &block);

    lock_assert_held(share_mutex());
    CHECK(uses >= 1 && uses <= SHARE_MAX_USES);
    if (error == PYSLAB_EDOUBLE &&
        load_relaxed(share_count(&share->heap.table, SHARE_OWNER_ROW, block.slot)) != 0)
        error = share_transit_admit_locked(share, block.slot, block.bytes, uses);
    if (error == PYSLAB_OK && bytes > block.bytes)
        error = PYSLAB_EINVAL;
    return error != PYSLAB_OK ? error : make_handle_locked(share, &block, uses, out);
}

int share_block_holders(struct share *share, const void *p, uint32_t *nr_clients,
                        uint32_t *nr_tickets)
{
    _Atomic uint32_t *entry;
    uint64_t nr_holds;

    *nr_clients = *nr_tickets = 0;
    share_lock();
    entry = entry_of(share, p);
    if (entry != NULL) {
        *nr_clients = share_holders(&share->heap.table, slot_of(entry), &nr_holds);
        *nr_tickets = share_in_transit(&share->heap.table, slot_of(entry));
    }
    share_unlock();
    return entry != NULL ? PYSLAB_OK : PYSLAB_EPOINTER;
}

/* --- collecting --------------------------------------------------------------------- */

/* Takes deferred blocks that nobody holds off the list; returns the first slot of those, linked. */
static uint32_t take_unheld_locked(struct share *share)
{
    uint32_t *at = &share->deferred, taken = SHARE_NONE;

    lock_assert_held(share_mutex());
    share->transit.nr_expired += share_tickets_expire(&share->heap.table, share->next_slot,
                                                      os_time_ns() / 1000000000u,
                                                      share_row_is_alive, &share->heap);
    while (*at != SHARE_NONE) {
        uint32_t slot = *at;
        struct share_known *known = &share->known[slot];

        if (!share_retire(&share->heap.table, slot)) {
            at = &known->next;
            continue;
        }
        *at = known->next;
        known->next = taken;
        taken = slot;
        share->nr_deferred--;
        share->nr_taken_back++;
        share->deferred_bytes -= known->bytes;
        share->taken_back_bytes += known->bytes;
    }
    return taken;
}

/* The next block of that list to be freed, which is forgotten; NULL: there is none. */
static void *next_unheld(struct share *share, uint32_t *taken)
{
    struct share_known known;

    if (*taken == SHARE_NONE)
        return NULL;
    share_lock();
    known = share->known[*taken];
    forget_locked(share, &share->entry[known.offset >> PAGE_SHIFT]);
    share_unlock();
    *taken = known.next;
    return share->heap.base + known.offset;
}

uint64_t share_block_free(struct share *share, void *p)
{
    struct page_alloc *pages = pages_of(share);
    uint32_t pfn = virt_to_pfn(&pages->map, p);
    const struct page *page = pfn_to_page(&pages->map, pfn);
    uint64_t bytes = share_block_bytes(share, p);

    if (slab_cache_of(&share->kmalloc->slabs, p) == NULL && page_state(page) == PYSLAB_PAGE_ALLOC)
        (void)page_put(pages, pfn, page_order(page));
    else
        (void)kfree_slow(share->kmalloc, p);
    return share_fork_keeps(share, p) ? 0 : bytes;
}

uint64_t share_collect(struct share *share)
{
    uint64_t bytes = 0;
    uint32_t taken;
    void *p;

    if (share->forked)
        return 0;
    share_lock();
    (void)share_reap_rows_locked(&share->heap);
    taken = take_unheld_locked(share);
    share_unlock();
    while ((p = next_unheld(share, &taken)) != NULL)
        bytes += share_block_free(share, p);
    return bytes + share_fork_collect(share);
}

/* How much to cut: if nothing was taken since the last cut, that was in vain, because a long block
 * needs what lies side by side: then it is twice as much. */
static uint64_t cut_bytes_locked(struct share *share, uint64_t wanted)
{
    struct share_transit *transit = &share->transit;
    bool in_vain = page_alloc_used(pages_of(share)) <= transit->used_pages;

    lock_assert_held(share_mutex());
    if (in_vain && transit->cut_bytes < share->heap.table.heap_bytes)
        wanted = wanted > 2 * transit->cut_bytes ? wanted : 2 * transit->cut_bytes;
    transit->cut_bytes = wanted;
    return wanted;
}

uint64_t share_collect_sent(struct share *share, uint64_t wanted)
{
    uint64_t bytes;

    share_lock();
    share_transit_cut_locked(share, cut_bytes_locked(share, wanted));
    share_unlock();
    bytes = share_collect(share);
    share_lock();
    share->transit.used_pages = page_alloc_used(pages_of(share));
    share_unlock();
    return bytes;
}

void share_collect_if_due(struct share *share)
{
    uint64_t least = share->heap.table.heap_bytes / COLLECT_PART;
    bool due;

    share_lock();
    due = share->deferred_bytes > (share->collect_at > least ? share->collect_at : least);
    share_unlock();
    if (!due)
        return;
    (void)share_collect(share);
    share_lock();
    share->collect_at = 2 * share->deferred_bytes;
    share_unlock();
}

void share_stats(struct share *share, pyslab_share_stats *out)
{
    *out = (pyslab_share_stats){.struct_size = sizeof *out};
    share_lock();
    for (uint32_t row = 0; row < SHARE_ROWS; row++)
        out->nr_clients += row != SHARE_OWNER_ROW &&
                           load_relaxed(&share->heap.table.rows[row].in_use) != 0;
    out->transit_bytes = share_transit_look_locked(share, &out->nr_in_transit);
    out->max_transit_bytes = share->transit.max_bytes;
    out->nr_refused = share->transit.nr_refused;
    out->nr_expired = share->transit.nr_expired;
    out->taken_back_bytes = share->taken_back_bytes;
    out->nr_exported = share->nr_exported;
    out->nr_deferred = share->nr_deferred;
    out->deferred_bytes = share->deferred_bytes;
    out->nr_exports = share->nr_exports;
    out->nr_taken_back = share->nr_taken_back;
    out->nr_fork_deferred = share->fork.nr_kept;
    out->fork_deferred_bytes = share->fork.kept_bytes;
    share_unlock();
    out->nr_opens = load_relaxed(&share_events.nr_opens);
    out->nr_stale = load_relaxed(&share_events.nr_stale);
    out->nr_deaths = load_relaxed(&share_events.nr_deaths);
    out->punched_bytes = load_relaxed(&share_events.punched_bytes);
    memcpy(out->heap_id, share->heap.table.heap_id, sizeof out->heap_id);
}

/* --- life --------------------------------------------------------------------------- */

int share_map_words(size_t bytes, void **out)
{
    int error = os_reserve(bytes, os_page_bytes(), out);

    if (error != PYSLAB_OK)
        return error;
    error = os_commit(*out, bytes, true);
    if (error != PYSLAB_OK) {
        os_release(*out, bytes);
        *out = NULL;
    }
    return error;
}

static size_t entry_bytes(const struct share *share)
{
    return (size_t)align_up(share->nr_pages * sizeof *share->entry, os_page_bytes());
}

static size_t known_bytes(const struct share *share)
{
    uint32_t nr = share_table_slots(share->frames->bytes);

    return (size_t)align_up(nr * sizeof *share->known, os_page_bytes());
}

static int map_index(struct share *share)
{
    void *entry = NULL, *known = NULL;
    int error = share_map_words(entry_bytes(share), &entry);

    if (error == PYSLAB_OK)
        error = share_map_words(known_bytes(share), &known);
    share->entry = entry;
    share->known = known;
    return error;
}

/* Makes the table's file. Both files have no name, so that only who was given a descriptor, or may
 * look into this process, comes to them; the modes let another user open anew what it was given. */
static int table_create(struct share *share, const pyslab_arena_options *options)
{
    bool writable = options->shared == PYSLAB_SHARE_WRITE;
    struct pyslab_heap *heap = &share->heap;
    uint64_t bytes = share_table_bytes(share_table_slots(share->frames->bytes));
    void *base = NULL;
    int error = os_share_create("pyslab-table", bytes, &heap->table_fd);

    if (error == PYSLAB_OK)
        error = os_share_seal(heap->table_fd, 0666);
    if (error == PYSLAB_OK)
        error = os_share_look(heap->table_fd, &heap->table_file);
    if (error == PYSLAB_OK)
        error = os_share_seal(share->frames->fd, writable ? 0666 : 0444);
    if (error == PYSLAB_OK)
        error = os_share_map(heap->table_fd, bytes, true, &base);
    if (error == PYSLAB_OK)
        share_table_format(&heap->table, base, share->frames->bytes, share->frames->device,
                           share->frames->inode, writable ? SHARE_WRITABLE : 0,
                           options->transit_ttl_s != 0 ? options->transit_ttl_s : TRANSIT_S);
    return error;
}

/* Takes the owner's row, and comes on the list. */
static int enter(struct share *share)
{
    int error;

    share_lock();
    error = share_heap_enter_locked(&share->heap, SHARE_OWNER_ROW, SHARE_OWNER_ROW + 1);
    if (error == PYSLAB_OK)
        share_list_add_locked(&share->heap);
    share_unlock();
    return error;
}

int share_create(struct kmalloc *km, struct os_file *frames, char *base,
                 const pyslab_arena_options *options, struct share **out)
{
    struct share *share = os_heap_alloc(sizeof *share);
    int error;

    if (share == NULL)
        return PYSLAB_ENOMEM;
    share->kmalloc = km;
    share->frames = frames;
    share->nr_pages = (uint32_t)(frames->bytes >> PAGE_SHIFT);
    share->free_slots = share->deferred = SHARE_NONE;
    share_fork_init(&share->fork, share->nr_pages);
    share->transit.max_bytes = options->max_transit_bytes != 0 ? options->max_transit_bytes
                                                               : frames->bytes / 4;
    share->transit.lone_passes = options->max_transit_bytes == 0;
    share->heap.base = base;
    share->heap.table_fd = -1;
    share->heap.writable = share->heap.is_own = true;
    error = map_index(share);
    if (error == PYSLAB_OK)
        error = table_create(share, options);
    if (error == PYSLAB_OK)
        error = enter(share);
    if (error != PYSLAB_OK) {
        share_destroy(share);
        return error;
    }
    *out = share;
    return PYSLAB_OK;
}

void share_start(struct share *share)
{
    pages_of(share)->keeper = (struct keeper){.ask = ask, .shows = shows, .context = share};
}

void share_destroy(struct share *share)
{
    struct pyslab_heap *heap;

    if (share == NULL)
        return;
    heap = &share->heap;
    share_lock();
    share_list_remove_locked(heap);
    if (heap->sign != NULL)
        share_heap_leave_locked(heap);
    share_unlock();
    if (heap->table.base != NULL)
        os_share_unmap(heap->table.base, heap->table.bytes);
    if (share_heap_fd(heap) >= 0)
        os_share_close(heap->table_fd);
    share_fork_destroy(&share->fork);
    if (share->entry != NULL)
        os_release((void *)share->entry, entry_bytes(share));
    if (share->known != NULL)
        os_release(share->known, known_bytes(share));
    os_heap_free(share, sizeof *share);
}

int share_descriptors(struct share *share, int *heap_fd, int *table_fd)
{
    bool writable = (share->heap.table.flags & SHARE_WRITABLE) != 0;
    int fd = share_heap_fd(&share->heap), error = PYSLAB_EOS;

    if (fd >= 0 && os_file_is_ours(share->frames))
        error = os_share_reopen(share->frames->fd, writable, heap_fd);
    if (error != PYSLAB_OK)
        return error;
    error = os_share_reopen(fd, true, table_fd);
    if (error != PYSLAB_OK)
        os_share_close(*heap_fd);
    return error;
}

void share_drop_inherited(struct share *share)
{
    share_fork_drop(share);
}
