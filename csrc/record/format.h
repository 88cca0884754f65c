/* format.h - record files: what the recorder writes and the replayer reads. docs/record-replay.md
 * has the same for other readers.
 *
 * A file is a row of blocks of 4096 bytes. The first is the head, struct record_head. Each later
 * one is empty (all its bytes are zero), or holds events of one thread, or is the end block, which
 * a process writes when it ends by exit(). A block is whole in itself: it says whose it is, and its
 * times and addresses count from what its own head has. So a file may be cut, or lose blocks, and
 * the rest is read; and blocks of one thread are put in order by their numbers.
 *
 * A block is first open: its head has a sum, its events have none yet, and end at the first tag
 * that is zero. When it is full, or its thread ends, it is sealed: `used` and `sum` are set. A
 * process that is killed leaves one open block for each thread, with all its events up to then.
 *
 * An event is short or long. Nearly all are short: a number of 6 bytes, or 8 with a time, which is
 * stored at once, least byte first:
 *   bits 0-2    what happened, enum record_event
 *   bit 3       one
 *   bit 4       there are bits 48-63
 *   bits 5-17   the size; zero for RECORD_FREE and RECORD_RESIZE
 *   bits 18-21  record_region_index of the address: its region is that of the block's newest long
 *               event that has the same index
 *   bits 22-47  the address within its region, divided by 8
 *   bits 48-63  ticks since the event before it, or since block.ticks; else the time is that of the
 *               event before
 * A long one is a tag of 16 bits, and up to three numbers without their leading zero bytes: time,
 * address, size.
 *   bits 0-2    what happened
 *   bit 3       zero
 *   bit 4       the time is that of the event before, and no bytes of it follow; bits 6-8 are zero
 *   bit 5       the block is one of an arena (profile/recorded.h), and not of malloc
 *   bits 6-8    bytes of the time, less 1: ticks as above
 *   bits 9-11   bytes of the address, less 1: zigzag of its difference from that of the long event
 *               before it, or from block.address
 *   bits 12-14  bytes of the size, less 1; no size follows RECORD_FREE and RECORD_RESIZE
 *   bit 15      zero
 * Zigzag of n is 2n, or -2n - 1 if n is negative. The tag is written last, so that an event which a
 * kill has cut off is not there.
 *
 * What it is not: a way between machines of the other byte order; there are none of those here.
 */
#ifndef RECORD_FORMAT_H
#define RECORD_FORMAT_H

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* In version 2 there are no short events, and in version 1 no RECORD_SAME_TIME either. Both have
 * tags as record_tag_of_old takes them. */
#define RECORD_VERSION 3u
#define RECORD_BLOCK_BYTES 4096u
#define RECORD_MAGIC "pyslabRC"
#define RECORD_COMMAND_BYTES 512u
#define RECORD_MOST_EVENT_BYTES 26u
#define RECORD_SHORT (1u << 3) /* in a tag, or in a short event */
#define RECORD_TIMED (1u << 4) /* of short ones */
#define RECORD_SAME_TIME (1u << 4)
#define RECORD_ARENA (1u << 5)
#define RECORD_NR_TIME_AT 6u /* in a tag */
#define RECORD_NR_ADDRESS_AT 9u
#define RECORD_NR_SIZE_AT 12u
#define RECORD_SHORT_BYTES 6u /* without a time */
#define RECORD_SHORT_SIZE_AT 5u
#define RECORD_SHORT_SIZE_BITS 13u
#define RECORD_SHORT_REGION_AT 18u
#define RECORD_SHORT_PLACE_AT 22u
#define RECORD_SHORT_TIME_AT 48u
#define RECORD_SHORT_TIME_BITS 16u
#define RECORD_PLACE_SHIFT 3u   /* addresses are multiples of 8 */
#define RECORD_REGION_SHIFT 29u /* regions are of 512 MiB */
#define RECORD_REGIONS 16u      /* a power of two */

enum record_event {
    RECORD_MALLOC = 1,
    RECORD_CALLOC,
    RECORD_REALLOC,  /* a block from realloc; right after RECORD_RESIZE: in place of that block */
    RECORD_MEMALIGN, /* its size is size * 64 + log2 of the alignment */
    RECORD_NEW,
    RECORD_FREE,
    RECORD_RESIZE, /* realloc begins on this block; the thread's next event is RECORD_REALLOC */
};

/* Numbers from 1, so that a block of zeros is none of them. */
enum record_block_kind {
    RECORD_BLOCK_EVENTS = 1,
    RECORD_BLOCK_END,
};

struct record_head {
    char magic[8];
    uint32_t version;
    uint32_t block_bytes; /* RECORD_BLOCK_BYTES */
    uint64_t id;          /* random; each block of the file has it */
    uint64_t unix_ns;     /* when recording began */
    uint32_t pid;
    uint32_t parent_pid;
    char command[RECORD_COMMAND_BYTES]; /* words of the command line, spaces between; cut off */
    uint64_t sum;                       /* record_sum of all above */
};

struct record_block {
    uint64_t id;
    uint32_t kind;     /* enum record_block_kind */
    uint32_t thread;   /* number of the thread, in the order of their first events */
    uint32_t number;   /* of the block in its thread, from 0 */
    uint32_t reserved; /* zero */
    uint64_t ticks;    /* of the processor's clock when the block was begun */
    uint64_t ns;       /* of CLOCK_MONOTONIC at the same time */
    uint64_t address;  /* from which the first event's counts */
    uint64_t head_sum; /* record_sum of all above, written when the block is begun */
    uint32_t used;     /* bytes of events; 0: the block is open */
    uint32_t nr_events;
    uint64_t sum; /* record_block_sum: of used, nr_events and the events */
    unsigned char events[RECORD_BLOCK_BYTES - 72];
};

_Static_assert(sizeof(struct record_block) == RECORD_BLOCK_BYTES, "a block is a page");
_Static_assert(sizeof(struct record_head) <= RECORD_BLOCK_BYTES, "the head is one block");

/* The events of the end block. */
struct record_end {
    uint64_t nr_blocks; /* of the file that were begun */
    uint64_t user_us;   /* processor time of the process, as getrusage has it */
    uint64_t system_us;
    uint64_t peak_rss_bytes;
};

/* A sum that each bit of the bytes changes: multiplications of 8 bytes at a time. */
static inline uint64_t record_sum(const void *data, size_t bytes, uint64_t sum)
{
    const unsigned char *at = data;

    sum ^= 0x9e3779b97f4a7c15u + bytes;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;

        memcpy(&word, at + i, bytes - i < 8 ? bytes - i : 8);
        sum = (sum ^ word) * 0xd6e8feb86659fd93u; /* odd: each word of data changes it */
        sum ^= sum >> 32;
    }
    return sum;
}

#define RECORD_LANES 4u

/* The sum of RECORD_LANES sums, each of every RECORD_LANES-th word: a processor makes them side by
 * side. Bytes that are no word of each come last. */
static inline uint64_t record_sum_in_lanes(const void *data, size_t bytes, uint64_t sum)
{
    uint64_t lane[RECORD_LANES] = {0}, words[RECORD_LANES];
    size_t whole = bytes / sizeof words * sizeof words;

    for (size_t at = 0; at < whole; at += sizeof words) {
        memcpy(words, (const unsigned char *)data + at, sizeof words);
        for (unsigned i = 0; i < RECORD_LANES; i++) {
            lane[i] = (lane[i] ^ words[i]) * 0xd6e8feb86659fd93u;
            lane[i] ^= lane[i] >> 32;
        }
    }
    sum = record_sum(lane, sizeof lane, sum);
    return record_sum((const unsigned char *)data + whole, bytes - whole, sum);
}

static inline uint64_t record_head_sum(const struct record_head *head)
{
    return record_sum(head, offsetof(struct record_head, sum), 0);
}

static inline uint64_t record_block_head_sum(const struct record_block *block)
{
    return record_sum(block, offsetof(struct record_block, head_sum), 0);
}

/* version: of the file. used: not above the room for events. */
static inline uint64_t record_block_sum(const struct record_block *block, uint32_t version)
{
    uint64_t sum = record_sum(&block->used, 2 * sizeof(uint32_t), block->head_sum);

    return version < 3 ? record_sum(block->events, block->used, sum)
                       : record_sum_in_lanes(block->events, block->used, sum);
}

/* Regions side by side have different ones; and so have, on Linux, what brk and what mmap handed
 * out. */
static always_inline unsigned record_region_index(uint64_t address)
{
    return (unsigned)(address >> RECORD_REGION_SHIFT & (RECORD_REGIONS / 2 - 1)) |
           (unsigned)(address >> 45 & 1) * (RECORD_REGIONS / 2);
}

/* A tag of version 3 for one of versions 1 and 2. Those had the event in bits 0-2, bytes of time,
 * of address and of size in bits 3-11, RECORD_SAME_TIME in bit 12, and zeros above, which would
 * be in bit 15. */
static inline unsigned record_tag_of_old(unsigned tag)
{
    return (tag & 7) | (tag >> 12 & 1) * RECORD_SAME_TIME | (tag >> 3 & 0x1ff) << 6 |
           (unsigned)(tag >> 13 != 0) << 15;
}

static always_inline uint64_t record_zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static always_inline uint64_t record_unzigzag(uint64_t n)
{
    return n >> 1 ^ (0 - (n & 1));
}

#endif
