/* table.h - the table of holders: who holds which block of a shared heap.
 *
 * What it is: the layout of a file in memory that stands beside a heap's file and that every
 * process with a part in the heap maps for writing. The process that made the heap is its
 * owner, a process that reads blocks in it is a client; the owner is a client of its own, in row 0.
 * What it is not: an allocator, or a lock. Nobody waits for anybody in it.
 *
 * Words. A **slot** stands for one block that was exported: the owner writes it. A **row** is one
 * client's: its counts say how often the client holds the block of each slot. A **ticket** is what
 * lets its finder open a block once (or so many times): whoever holds a block may make one. A word
 * has a **generation**, which is one more each time that the entry is used anew, so that what was
 * meant for an earlier use is known to be stale.
 *
 * Data structure: struct share_header; then slots, tickets, rows, and for each row a count for each
 * slot. The file is as long as all of them, and has memory only where one was written. A count of
 * a row that is not in use may not be read: reading a hole gives it memory.
 * Invariant: a slot is handed to its next generation only if no row in use counts it and no ticket
 * names it (protocol.h says in which order that is looked at).
 * Lock: none. Each word says who writes it. A row's writer holds an OFD lock (os/os_share.h) on
 * the byte of the row's number, which the system takes from the dead.
 */
#ifndef SHARE_TABLE_H
#define SHARE_TABLE_H

#include "base/atomic.h"
#include "base/config.h"

#define SHARE_MAGIC 0x31656c6261747370u /* "pstable1" */
#define SHARE_VERSION 1u
#define SHARE_ROWS 1000u           /* clients, the owner included */
#define SHARE_OWNER_ROW 0u         /* the owner's, whose lock is its sign of life */
#define SHARE_HEIR_BYTE SHARE_ROWS /* locked by the one who takes care of a dead owner's heap */
#define SHARE_FORK_BYTE (SHARE_ROWS + 1) /* and up, by number: of forked children (fork.h) */
#define SHARE_MAX_SLOTS (1u << 17)
#define SHARE_MIN_SLOTS 64u
#define SHARE_TICKETS_PER_SLOT 4u
/* A slot's tickets lie among so many entries, from SHARE_TICKETS_PER_SLOT * slot on. */
#define SHARE_TICKET_WINDOW 128u
#define SHARE_MAX_USES 0xffffu
#define SHARE_NONE 0xffffffffu /* no slot, row or ticket */

/* Written once, before anybody else has the file; then constant. */
struct share_header {
    uint64_t magic;       /* SHARE_MAGIC */
    uint64_t layout;      /* share_layout_hash() of the library that made it */
    uint64_t heap_id[2];  /* random: names the heap in handles */
    uint64_t heap_bytes;  /* of the heap's file */
    uint64_t heap_device; /* with heap_inode: the heap's file */
    uint64_t heap_inode;
    uint64_t table_bytes; /* of this file */
    uint64_t nr_slots;
    uint64_t nr_tickets;
    uint64_t nr_rows;
    uint64_t slots_offset; /* where each array begins, in bytes */
    uint64_t tickets_offset;
    uint64_t rows_offset;
    uint64_t counts_offset;
    uint64_t flags;     /* enum share_flags */
    uint64_t transit_s; /* a ticket of a dead maker ends after so many seconds */
    uint64_t checksum;  /* of all before it */
};

enum share_flags {
    SHARE_WRITABLE = 1, /* clients that ask for it may write to blocks */
};

/* --- slots ------------------------------------------------------------------ */

enum share_slot_state {
    SHARE_SLOT_FREE = 0,    /* no block */
    SHARE_SLOT_ALIVE = 1,   /* the owner's program has the block */
    SHARE_SLOT_ORPHAN = 2,  /* it has freed it, but others hold it or may come to */
    SHARE_SLOT_CLOSING = 3, /* the owner is looking whether others do */
};

/* Word: generation << 8 | state. Written by the owner or its heir; an opener may change CLOSING to
 * ORPHAN. The other fields change only while the state is FREE. */
struct share_slot {
    _Atomic uint64_t word;
    _Atomic uint64_t offset; /* of the block in the heap */
    _Atomic uint64_t bytes;  /* of the block */
};

#define SHARE_SLOT_WORD(generation, state) ((uint64_t)(generation) << 8 | (uint64_t)(state))

static inline enum share_slot_state share_slot_state(uint64_t word)
{
    return (enum share_slot_state)(word & 0xff);
}

static inline uint32_t share_slot_generation(uint64_t word)
{
    return (uint32_t)(word >> 8);
}

/* --- tickets ---------------------------------------------------------------- */

enum share_ticket_state {
    SHARE_TICKET_FREE = 0,
    SHARE_TICKET_CLAIMED = 1,   /* the client of the word's row is filling it in */
    SHARE_TICKET_PUBLISHED = 2, /* it may be used */
};

/* Word: generation << 40 | row << 24 | uses left << 8 | state; changed by compare-and-swap only, by
 * anybody. The other fields are written while it is CLAIMED, by the client of that row. */
struct share_ticket {
    _Atomic uint64_t word;
    _Atomic uint64_t id;     /* random; in the handle */
    _Atomic uint64_t block;  /* slot's generation << 32 | slot */
    _Atomic uint64_t made_s; /* when, in seconds of the machine's monotonic clock, << 32 |
                                  the maker's incarnation */
};

#define SHARE_TICKET_WORD(generation, row, uses, state)                                            \
    (((uint64_t)(generation) & 0xffffff) << 40 | (uint64_t)(row) << 24 | (uint64_t)(uses) << 8 |   \
     (uint64_t)(state))

static inline enum share_ticket_state share_ticket_state(uint64_t word)
{
    return (enum share_ticket_state)(word & 0xff);
}

static inline uint32_t share_ticket_uses(uint64_t word)
{
    return (uint32_t)(word >> 8) & 0xffff;
}

static inline uint32_t share_ticket_row(uint64_t word)
{
    return (uint32_t)(word >> 24) & 0xffff;
}

static inline uint32_t share_ticket_generation(uint64_t word)
{
    return (uint32_t)(word >> 40);
}

/* --- rows ------------------------------------------------------------------- */

/* Written under the row's OFD lock only: by its client, or by who found its client dead. */
struct share_row {
    _Atomic uint32_t in_use;      /* 1: its counts may be other than zero. Set, with a fence, before
                                     the first count; cleared after the last */
    _Atomic uint32_t incarnation; /* how many clients have had the row */
    _Atomic uint32_t reach;       /* slots from here on are not counted in the row; raised before
                                     the first count beyond */
    _Atomic uint32_t reserved;
};

/* --- the table in a process -------------------------------------------------- */

/* Sizes and places are copies that were checked when the file was mapped: the file's own may be
 * damaged afterwards. */
struct share_table {
    char *base;     /* of the mapping */
    uint64_t bytes; /* of it */
    uint64_t heap_bytes;
    uint64_t heap_id[2];
    uint32_t nr_slots;
    uint32_t nr_tickets;
    uint32_t flags;               /* enum share_flags */
    uint32_t transit_s;           /* as the header says */
    struct share_slot *slots;     /* nr_slots */
    struct share_ticket *tickets; /* nr_tickets */
    struct share_row *rows;       /* SHARE_ROWS */
    _Atomic uint32_t *counts;     /* SHARE_ROWS times nr_slots */
};

/* Slots of a table for a heap of so many bytes, and the bytes of that table. */
uint32_t share_table_slots(uint64_t heap_bytes);
uint64_t share_table_bytes(uint32_t nr_slots);
/* Differs between libraries that would not read the same words at the same places. */
uint64_t share_layout_hash(void);
/* Of all before it. */
uint64_t share_header_checksum(const struct share_header *header);
/* Writes a header for a heap, with new random ids, and binds to it.
 * pre: base is share_table_bytes(share_table_slots(heap_bytes)) of zeroes (unchecked: a look
 * would give them memory) */
void share_table_format(struct share_table *table, void *base, uint64_t heap_bytes,
                        uint64_t heap_device, uint64_t heap_inode, uint32_t flags,
                        uint32_t transit_s);
/* Binds to a header that another process wrote, after a look at all that will be relied on.
 * bytes: of the mapping at base; heap_*: of the heap's file as it was found. EINVAL: this is no
 * table, is damaged, or belongs to another file; EFORMAT: to another version of the library. */
int share_table_bind(struct share_table *table, void *base, uint64_t bytes, uint64_t heap_bytes,
                     uint64_t heap_device, uint64_t heap_inode);

/* How often the client of a row holds the block of a slot. */
static inline _Atomic uint32_t *share_count(const struct share_table *table, uint32_t row,
                                            uint32_t slot)
{
    return &table->counts[(uint64_t)row * table->nr_slots + slot];
}

#endif
