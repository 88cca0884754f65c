/* debug_bytes.h - which bytes of a stretch are not what was written there.
 *
 * What it is: what one look at red bytes or poison finds, summed up over several stretches.
 * What it is not: it does not know whose bytes they are. Lock: the caller's. */
#ifndef SLAB_DEBUG_BYTES_H
#define SLAB_DEBUG_BYTES_H

#include "slab/debug_words.h"

/* Bytes from the first wrong one to the last. */
struct wrong {
    const char *first; /* NULL: none is wrong */
    const char *last;
    unsigned char expected; /* in the first */
};

static inline void note_wrong(struct wrong *wrong, const char *at, unsigned char expected)
{
    if (wrong->first == NULL) {
        wrong->first = at;
        wrong->expected = expected;
    }
    wrong->last = at;
}

static inline void look_at(struct wrong *wrong, const char *from, const char *to, uint64_t pattern)
{
    const char *at = debug_red_wrong(from, to, pattern);

    while (at != NULL) {
        note_wrong(wrong, at, debug_red_byte(pattern, at));
        at = debug_red_wrong(at + 1, to, pattern);
    }
}

#endif
