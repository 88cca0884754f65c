/* table.c - the file of table.h: how large it is, and its header. What it is not: the steps in
 * which the rest of it changes (protocol.c). */
#include "share/table.h"

#include "base/bits.h"
#include "base/check.h"
#include "os/os.h"

#include <stddef.h>

#define TABLE_ALIGN 65536u /* no page of a system is larger: arrays do not share one */

/* --- sizes ---------------------------------------------------------------- */

uint32_t share_table_slots(uint64_t heap_bytes)
{
    uint64_t pages = heap_bytes / 4096;

    if (pages < SHARE_MIN_SLOTS)
        return SHARE_MIN_SLOTS;
    return pages < SHARE_MAX_SLOTS ? (uint32_t)pages : SHARE_MAX_SLOTS;
}

static uint32_t tickets_of(uint32_t nr_slots)
{
    return nr_slots * SHARE_TICKETS_PER_SLOT + SHARE_TICKET_WINDOW;
}

/* What a header for so many slots says of the places of the arrays. */
static struct share_header header_for(uint32_t nr_slots)
{
    struct share_header header = {.nr_slots = nr_slots, .nr_rows = SHARE_ROWS};

    header.magic = SHARE_MAGIC;
    header.layout = share_layout_hash();
    header.nr_tickets = tickets_of(nr_slots);
    header.slots_offset = TABLE_ALIGN;
    header.tickets_offset = header.slots_offset +
                            align_up(nr_slots * sizeof(struct share_slot), TABLE_ALIGN);
    header.rows_offset = header.tickets_offset +
                         align_up(header.nr_tickets * sizeof(struct share_ticket), TABLE_ALIGN);
    header.counts_offset = header.rows_offset +
                           align_up(SHARE_ROWS * sizeof(struct share_row), TABLE_ALIGN);
    header.table_bytes = header.counts_offset +
                         align_up((uint64_t)SHARE_ROWS * nr_slots * sizeof(uint32_t), TABLE_ALIGN);
    return header;
}

uint64_t share_table_bytes(uint32_t nr_slots)
{
    return header_for(nr_slots).table_bytes;
}

/* --- checksums ------------------------------------------------------------ */

/* FNV-1a, by words. */
static uint64_t hash_words(const uint64_t *words, size_t nr)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < nr; i++) {
        hash = (hash ^ words[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return hash;
}

uint64_t share_layout_hash(void)
{
    const uint64_t words[] = {SHARE_VERSION,
                              sizeof(struct share_header),
                              sizeof(struct share_slot),
                              sizeof(struct share_ticket),
                              sizeof(struct share_row),
                              SHARE_ROWS,
                              SHARE_TICKETS_PER_SLOT,
                              SHARE_TICKET_WINDOW};

    return hash_words(words, sizeof words / sizeof words[0]);
}

uint64_t share_header_checksum(const struct share_header *header)
{
    return hash_words(&header->magic, offsetof(struct share_header, checksum) / sizeof(uint64_t));
}

/* --- format and bind ------------------------------------------------------- */

/* From a header whose values are right. */
static void table_set(struct share_table *table, char *base, const struct share_header *header)
{
    *table = (struct share_table){
        .base = base,
        .bytes = header->table_bytes,
        .heap_bytes = header->heap_bytes,
        .heap_id = {header->heap_id[0], header->heap_id[1]},
        .nr_slots = (uint32_t)header->nr_slots,
        .nr_tickets = (uint32_t)header->nr_tickets,
        .flags = (uint32_t)header->flags,
        .transit_s = (uint32_t)header->transit_s,
        .slots = (struct share_slot *)(void *)(base + header->slots_offset),
        .tickets = (struct share_ticket *)(void *)(base + header->tickets_offset),
        .rows = (struct share_row *)(void *)(base + header->rows_offset),
        .counts = (_Atomic uint32_t *)(void *)(base + header->counts_offset),
    };
}

void share_table_format(struct share_table *table, void *base, uint64_t heap_bytes,
                        uint64_t heap_device, uint64_t heap_inode, uint32_t flags,
                        uint32_t transit_s)
{
    struct share_header header = header_for(share_table_slots(heap_bytes));

    header.heap_id[0] = os_random64();
    header.heap_id[1] = os_random64();
    header.heap_bytes = heap_bytes;
    header.heap_device = heap_device;
    header.heap_inode = heap_inode;
    header.flags = flags;
    header.transit_s = transit_s;
    header.checksum = share_header_checksum(&header);
    *(struct share_header *)base = header;
    table_set(table, base, &header);
}

/* The places of the arrays are those that this library would have chosen. */
static bool places_are_right(const struct share_header *header, uint64_t bytes)
{
    struct share_header right;

    if (header->heap_bytes == 0 || header->nr_slots != share_table_slots(header->heap_bytes))
        return false;
    right = header_for((uint32_t)header->nr_slots);
    return header->table_bytes == right.table_bytes && header->table_bytes == bytes &&
           header->nr_tickets == right.nr_tickets && header->nr_rows == right.nr_rows &&
           header->slots_offset == right.slots_offset &&
           header->tickets_offset == right.tickets_offset &&
           header->rows_offset == right.rows_offset && header->counts_offset == right.counts_offset;
}

int share_table_bind(struct share_table *table, void *base, uint64_t bytes, uint64_t heap_bytes,
                     uint64_t heap_device, uint64_t heap_inode)
{
    struct share_header header;

    if (bytes < sizeof header)
        return PYSLAB_EINVAL;
    header = *(const struct share_header *)base;
    if (header.magic != SHARE_MAGIC)
        return PYSLAB_EINVAL;
    if (header.layout != share_layout_hash())
        return PYSLAB_EFORMAT;
    if (header.checksum != share_header_checksum(&header) || !places_are_right(&header, bytes) ||
        header.heap_bytes != heap_bytes || header.heap_device != heap_device ||
        header.heap_inode != heap_inode || (header.flags & ~(uint64_t)SHARE_WRITABLE) != 0 ||
        header.transit_s > UINT32_MAX)
        return PYSLAB_EINVAL;
    table_set(table, base, &header);
    return PYSLAB_OK;
}
