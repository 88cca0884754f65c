/* recorded.h - what `pyslab record` is told of arenas: each block that is handed out or taken back.
 *
 * What it is: the recorder (record/record.c), which is preloaded, sees a program's calls of malloc
 * by itself. Arenas take no memory from malloc; so whoever knows of their blocks (python/tracing/,
 * api/api_profile.c) calls the functions below, which call the recorder's if there is one.
 * What it is not: a part of the profile; it is told of the same blocks, by the same callers.
 *
 * Data structure: recorded_by, the recorder's functions. It exports them as RECORDED_SYMBOL.
 * Invariant: recorded_by is NULL, or what recorded_start found; it never changes back.
 * Lock: none. The recorder's functions may be called by any thread.
 */
#ifndef PROFILE_RECORDED_H
#define PROFILE_RECORDED_H

#include "base/atomic.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDED_SYMBOL "pyslab_record_arenas"

/* p is never NULL, but where it is said. None changes errno. */
struct recorder {
    void (*allocated)(const void *p, size_t size);
    void (*freeing)(const void *p); /* before anybody else can get the block */
    /* Before a block is resized; p may be no block. What it returns goes to resized. */
    uint64_t (*resizing)(const void *p);
    /* old is NULL if there was none. size 0: old has gone; else p is NULL: it is as it was. */
    void (*resized)(uint64_t begun, const void *old, const void *p, size_t size);
};

extern _Atomic(const struct recorder *) recorded_by __attribute__((visibility("hidden")));

/* Looks whether the process is recorded, and says so. */
bool recorded_start(void);

static always_inline void recorded_alloc(const void *p, size_t size)
{
    const struct recorder *recorder = load_acquire(&recorded_by);

    if (unlikely(recorder != NULL))
        recorder->allocated(p, size);
}

static always_inline void recorded_free(const void *p)
{
    const struct recorder *recorder = load_acquire(&recorded_by);

    if (unlikely(recorder != NULL) && p != NULL)
        recorder->freeing(p);
}

static always_inline uint64_t recorded_resizing(const void *p)
{
    const struct recorder *recorder = load_acquire(&recorded_by);

    return unlikely(recorder != NULL) ? recorder->resizing(p) : 0;
}

static always_inline void recorded_resized(uint64_t begun, const void *old, const void *p,
                                           size_t size)
{
    const struct recorder *recorder = load_acquire(&recorded_by);

    if (unlikely(recorder != NULL))
        recorder->resized(begun, old, p, size);
}

#endif
