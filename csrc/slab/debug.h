/* debug.h - what a cache with debug flags does besides: SLUB's checks F, Z, P and U.
 *
 * What it is: the layout of an object with what lies around it, the checks of it, the quarantine of
 * freed objects, and the report of what was found. kmalloc, regions and the malloc library use
 * the same functions.
 * What it is not: on the way of a cache without flags. Such a cache has debug == NULL and is served
 * as if this file were not there. A cache with flags has no sheaves, and no fast path finds
 * it: its frames have the class byte CLASS_LOOKUP.
 *
 * Data structure, of an object in its place of stride bytes (p is what the caller has):
 *
 *     place            p - gap - 16   p - gap  p             p + asked    right_end   track_at
 *     | left red zone  | two words    | left   | the object  | right red zone         | track |
 *
 * The words are the cache's own while the object is free: its key, as in every cache (slab.h). Of a
 * live object they are the size that was asked for and a check over it and the state, combined
 * with numbers that only who knows the arena's secret can compute from the address. A red zone is
 * 0xcc (live) or 0xbb (free); in a keyed arena, which is the malloc library's, it is bytes that
 * only who knows the secret can tell. Behind what was asked for, the object's own bytes are red
 * too. With P, a free object is filled with 0x6b, and its last byte is 0xa5; in a keyed arena with
 * zeros. The track is the stack of the allocation and that of the free.
 * An object that is freed waits in its cache's quarantine, first in, first out, before it is handed
 * out again. It is checked when it is freed, when it leaves the quarantine, when it is handed
 * out, and by debug_validate. One that was written to while it was free is retired: it stays in
 * use, as in a caller's hands, until its cache is destroyed.
 * Invariant (cache_inuse_adds_up in slab_check.c): objects that are marked free and not free in
 * their slab == those that wait + those set aside + released ones + retired ones; so nr_inuse is
 * all of these and the live ones.
 * Lock: cache->lock, for the words, zones and tracks of objects, and the quarantine.
 */
#ifndef SLAB_DEBUG_H
#define SLAB_DEBUG_H

#include "page/page.h"

#include <pyslab.h>

#define DEBUG_TEXT_BYTES 256u /* of an arena's text, at most */
#define DEBUG_WORD_BYTES 16u  /* of the two words */
#define DEBUG_LEFT_BYTES 16u  /* between the words and the object, with Z */
#define DEBUG_RIGHT_BYTES 64u /* behind the object, with Z */
#define DEBUG_DUMP_BYTES 128u /* of a hexdump, at most */

struct slab_alloc;
struct kmem_cache;
struct cache_desc;
struct finding;

/* First in, first out. Bounded by number; see waiting.c. */
struct quarantine {
    void **object;     /* the places; NULL: it takes none */
    uint32_t capacity; /* how many; a power of two; constant */
    uint32_t first;    /* where the oldest is: counts up, taken modulo capacity */
    uint32_t nr;       /* objects in it */
};

/* Of one cache with flags. */
struct cache_debug {
    uint32_t flags;      /* enum pyslab_debug_flags, not 0; constant */
    uint32_t gap;        /* bytes between the words and the object; constant */
    uint32_t right_end;  /* from the object's start to the end of its right red zone; constant */
    uint32_t track_at;   /* from there to its track; 0: it has none; constant */
    bool keyed;          /* as the arena's; constant */
    bool plain;          /* debug_plain.h is for its objects; constant */
    uint64_t nr_retired; /* objects that are not used again */
    struct quarantine waiting;
};

/* Of one arena. Its text and what follows from that are constant after debug_init. */
struct arena_debug {
    char text[DEBUG_TEXT_BYTES];           /* as it was given */
    uint32_t flags;                        /* for all caches and blocks: of a part of the text
                                                without names */
    bool any;                              /* some cache may have flags */
    bool keyed;                            /* the malloc library's: see above */
    _Atomic(pyslab_on_corruption) handler; /* or NULL */
    _Atomic(void *) context;               /* of the handler */
    _Atomic uint64_t nr_found;             /* as in pyslab_debug_stats, likewise the next two */
    _Atomic uint64_t nr_repaired;
    _Atomic uint64_t nr_retired;
};

/* --- debug_text.c ------------------------------------------------------- */

/* The malloc library's text: an arena that is given this very array is keyed. */
extern const char debug_text_keyed[];

/* text: as in pyslab_arena_options. EINVAL: it is too long, or has a letter that is no flag. */
int debug_init(struct arena_debug *debug, const char *text);
/* The flags of a cache of this name. */
uint32_t debug_flags_for(const struct arena_debug *debug, const char *name);

/* --- debug_report.c ----------------------------------------------------- */

/* A corruption, with its own copy of the bytes around it. kind 0: there is none. */
struct debug_found {
    pyslab_corruption what;               /* its dump points to the next field */
    unsigned char dump[DEBUG_DUMP_BYTES]; /* the bytes */
};

/* Counts a corruption, and hands it to the arena's handler; without one, writes it to the standard
 * error, and aborts unless it was a validation that found it. Nothing if there is none. The caller
 * holds no lock. */
void debug_report(struct arena_debug *debug, struct debug_found *found, bool validating);
/* The same for an access that was caught, in the signal handler: the text is written in any case,
 * and the process goes on to its end. */
void debug_report_fault(struct arena_debug *debug, const pyslab_corruption *found);
/* Copies up to DEBUG_DUMP_BYTES bytes around the address of what was found, from `start` on and
 * before `end`. */
void debug_copy_dump(struct debug_found *found, const char *start, const char *end);
/* Writes the first line of the report to f, unless that is NULL or has a finding already. */
void debug_tell_finding(const struct debug_found *found, struct finding *f);
/* Tells f of what a validation has found, and reports it all. The caller holds no lock. */
void debug_report_all(struct arena_debug *debug, struct debug_found *found, uint32_t nr,
                      struct finding *f);
/* What a free that failed with this error is in a report. */
uint32_t debug_kind_of_free(int error);
/* See pyslab_corruption_text. */
size_t debug_report_text(const pyslab_corruption *found, char *out, size_t bytes);

/* --- debug_layout.c ----------------------------------------------------- */

/* Where an object lies in its place, and how large that is. */
struct debug_layout {
    uint32_t front;     /* bytes from the place's start to the object */
    uint32_t gap;       /* as in struct cache_debug, likewise the next two */
    uint32_t right_end; /* from the object's start */
    uint32_t track_at;
    uint32_t stride; /* bytes of the place */
};

struct debug_layout debug_layout_of(size_t size, size_t align, uint32_t flags, bool keyed);
/* What a cache with flags has besides; NULL without memory. */
struct cache_debug *debug_new(const struct slab_alloc *sa, struct debug_layout layout,
                              uint32_t flags);
void debug_delete(struct cache_debug *debug);
/* Fills a new slab: all objects are free, and the rest behind them is padding. */
void debug_slab_init(struct kmem_cache *cache, uint32_t pfn);
/* The start of the object in whose place p lies; NULL: in none of this cache's.
 * pre: p lies in a slab of the cache */
void *debug_object_around(const struct kmem_cache *cache, const void *p);
/* Write the words and zones of an object that is p for its caller, and the free object's poison.
 * value: what was asked for, in the malloc library with its kind (debug_words.h).
 * p is another address than the object's start only where the malloc library aligns it. */
void debug_make_live(const struct kmem_cache *cache, void *p, uint64_t value, uint32_t stack);
void debug_make_free(const struct kmem_cache *cache, void *object, uint32_t stack);
/* The object is marked free but will not be used again. */
void debug_make_retired(struct kmem_cache *cache, void *object);
bool debug_is_retired(const struct kmem_cache *cache, const void *object);
/* What the caller asked for, in the malloc library with its kind; false: p is not a live object's,
 * or its words were overwritten. */
bool debug_asked(const struct kmem_cache *cache, const void *p, uint64_t *value);

/* Bytes that the caller may use at p: what was asked for. 0: p is no live object. */
size_t debug_usable(const struct kmem_cache *cache, const void *p);

/* --- debug_check.c ------------------------------------------------------ */

/* Looks at the words and zones of a live object; false: found says what was written to. */
bool debug_check_live(const struct kmem_cache *cache, const void *p, struct debug_found *found);
/* Likewise at those of a free one, and at its poison. */
bool debug_check_free(const struct kmem_cache *cache, const void *object,
                      struct debug_found *found);
/* Fills what is known of an object, for a wrong free of p. object may be NULL. */
void debug_describe_free(const struct kmem_cache *cache, const void *object, const void *p,
                         uint32_t kind, struct debug_found *found);
/* Looks at every object of a cache, repairs and reports; returns how many were wrong. f, or NULL,
 * gets the first. No other thread uses the cache meanwhile. */
uint64_t debug_walk(struct kmem_cache *cache, struct finding *f);
uint64_t debug_validate(struct kmem_cache *cache);

/* --- debug_alloc.c ------------------------------------------------------ */

/* Memory for this many bytes at the start of an object, or in a keyed arena at the first multiple
 * of `align` in it. Its content is the object's poison. NULL: no memory. value: as above.
 * pre: align is a power of two; up to that multiple and the bytes behind it the object has room */
void *debug_alloc(struct kmem_cache *cache, uint32_t gfp, uint64_t value, size_t align);
/* The same for a caller, and the arena counts one more. */
void *debug_alloc_counted(struct kmem_cache *cache, uint32_t gfp, uint64_t value, size_t align);
/* Checks p, and has its object wait in the quarantine. Errors, which are reported if the cache has
 * the flag F: EDOUBLE, EPOINTER. pre: p lies in a slab of the cache */
int debug_free(struct kmem_cache *cache, void *p);
/* The same of an object that a caller had, and the arena counts one less. */
int debug_free_counted(struct kmem_cache *cache, void *p);
/* The same, which also tells what debug_asked would have told. */
int debug_free_telling(struct kmem_cache *cache, void *p, uint64_t *value);
/* The caller is done with p, but others may still know its address: it is checked, and filled as a
 * free object, and stays in use until debug_free_released, which finds what was written to it
 * meanwhile. Errors as those of debug_free; then it is not released. pre: as there */
int debug_release(struct kmem_cache *cache, void *p);
/* pre: debug_release has returned PYSLAB_OK for p */
void debug_free_released(struct kmem_cache *cache, void *p);
/* p is for this many bytes from now on; those that are new read zero if `zero`. False, and nothing
 * has changed: the object has no room for so many. pre: p is live */
bool debug_resize(struct kmem_cache *cache, void *p, size_t asked, bool zero);
/* Checks p as debug_free does, reports and repairs what was written to around it, and if nothing
 * was tells what the caller asked for (asked: or NULL). Errors, which are not reported: EDOUBLE,
 * EPOINTER. pre: p lies in a slab of the cache */
int debug_examine(struct kmem_cache *cache, const void *p, size_t *asked);
/* Reports p, which somebody frees although it is nothing that may be freed so: to `cache`, or by
 * kfree (NULL), if the cache whose object it is has the flag F, or a tool watches the arena.
 * Returns the error. */
int debug_wrong_free(struct slab_alloc *sa, const struct kmem_cache *cache, const void *p,
                     int error);

/* --- waiting.c ------------------------------------------------------- */

void waiting_init(struct quarantine *q, size_t stride, uint64_t arena_bytes);
void waiting_destroy(struct quarantine *q);
/* pre: it is not full */
void waiting_push(struct quarantine *q, void *object);
/* The oldest; NULL: it is empty. */
void *waiting_pop(struct quarantine *q);
static inline bool waiting_is_full(const struct quarantine *q)
{
    return q->nr == q->capacity;
}
/* Has enough in it that the oldest may serve again. */
static inline bool waiting_is_ripe(const struct quarantine *q)
{
    return q->nr > q->capacity / 2;
}

/* Gives all that wait back to their slabs; returns frames of slabs that became free. */
uint64_t debug_flush(struct kmem_cache *cache);
/* Puts the retired objects back to their slabs, for the end of the cache. */
void debug_release_retired(struct kmem_cache *cache);
/* Objects that wait, or are retired: no caller has them, and they count as in use. */
uint64_t debug_nr_held(const struct kmem_cache *cache);
/* Sums over all caches. */
void debug_count_waiting(struct slab_alloc *sa, uint64_t *nr, uint64_t *bytes);

#endif
