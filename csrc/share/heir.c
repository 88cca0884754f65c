/* heir.c - see heir.h. */
#include "share/heir.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_heap.h"

#include <errno.h>

/* --- which pages live blocks cover ------------------------------------------------ */

static void pages_mark(uint64_t *bits, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++)
        bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool page_is_marked(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Retires what nobody holds, and marks the pages of the rest. A slot whose places are damaged keeps
 * all. */
static void retire_and_mark(struct pyslab_heap *heap, uint64_t *bits, uint64_t nr_pages)
{
    uint64_t page = os_page_bytes();

    (void)share_tickets_expire(&heap->table, heap->table.nr_slots, os_time_ns() / 1000000000u,
                               share_row_is_alive, heap);
    for (uint32_t i = 0; i < heap->table.nr_slots; i++) {
        struct share_slot *slot = &heap->table.slots[i];
        uint64_t word = load_acquire(&slot->word), offset, bytes;

        if (share_slot_state(word) == SHARE_SLOT_FREE)
            continue;
        if (share_retire(&heap->table, i))
            continue;
        offset = load_relaxed(&slot->offset);
        bytes = load_relaxed(&slot->bytes);
        if (bytes > heap->table.heap_bytes || offset > heap->table.heap_bytes - bytes)
            pages_mark(bits, 0, nr_pages);
        else
            pages_mark(bits, offset / page, (offset + bytes + page - 1) / page);
    }
}

static uint64_t punch_unmarked(struct pyslab_heap *heap, const uint64_t *bits, uint64_t nr_pages)
{
    uint64_t page = os_page_bytes(), punched = 0;

    for (uint64_t i = 0, end; i < nr_pages; i = end) {
        end = i + 1;
        if (page_is_marked(bits, i))
            continue;
        while (end < nr_pages && !page_is_marked(bits, end))
            end++;
        if (os_share_punch(heap->base + i * page, (end - i) * page) == PYSLAB_OK)
            punched += (end - i) * page;
    }
    return punched;
}

int share_inherit_locked(struct pyslab_heap *heap, uint64_t *punched)
{
    uint64_t nr_pages = heap->table.heap_bytes / os_page_bytes();
    size_t bytes = (size_t)(nr_pages / 64 + 1) * sizeof(uint64_t);
    int fd = share_heap_fd(heap), heir;
    uint64_t *bits;

    lock_assert_held(share_mutex());
    if (!heap->writable) {
        errno = EACCES;
        return PYSLAB_EOS;
    }
    if (fd < 0)
        return PYSLAB_EOS;
    if (os_sign_lock(fd, SHARE_HEIR_BYTE, &heir) != PYSLAB_OK)
        return errno == EAGAIN || errno == EACCES ? PYSLAB_EBUSY : PYSLAB_EOS;
    bits = os_heap_alloc(bytes);
    if (bits != NULL) {
        retire_and_mark(heap, bits, nr_pages);
        *punched = punch_unmarked(heap, bits, nr_pages);
        os_heap_free(bits, bytes);
        add_relaxed(&share_events.punched_bytes, *punched);
    }
    os_share_close(heir);
    return bits != NULL ? PYSLAB_OK : PYSLAB_ENOMEM;
}
