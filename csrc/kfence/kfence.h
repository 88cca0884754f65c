/* kfence.h - a few objects alone on their pages, between pages without access (the kernel's
 * KFENCE).
 *
 * What it is: a pool. An object of it lies at the start or at the end of its page, by chance, and
 * what the object leaves of the page is filled with canary bytes. Whoever runs past the page's
 * end touches a page without access, and so does who touches a freed object, whose page loses its
 * access too: access.c tells whose it was. What is written beside the object on its page is found
 * when the object is freed. A freed object's page is used again as late as possible.
 * What it is not: a choice of which allocations are served from it (slab/fence.c makes it), or the
 * text and the way of reports (slab/debug_report.c).
 *
 * Data structure: 2 * (nr + 1) pages. The first two have no access, then each object's page is
 * followed by one without. Beside it, an array with a record for each object, and a list of the
 * free ones, first in, first out.
 * Invariant (kfence_check): nr == free ones + live ones + those that a thread is just handing out
 * or freeing (nr_moving); a page has access if and only if its object is live or moving.
 * Lock: lock guards the list, the counts and the changes of states. A live object's record is
 * constant. The signal handler reads all of it without the lock.
 */
#ifndef KFENCE_KFENCE_H
#define KFENCE_KFENCE_H

#include "base/atomic.h"
#include "base/bits.h"
#include "base/lock.h"

#define KFENCE_NONE UINT32_MAX /* no object */

enum kfence_state {
    KFENCE_UNUSED, /* never handed out */
    KFENCE_MOVING, /* a thread is handing it out, or freeing it */
    KFENCE_LIVE,   /* in a caller's hands */
    KFENCE_FREED,
};

struct kfence_object {
    char *p;                    /* where it starts; NULL: never handed out */
    size_t size;                /* bytes */
    const void *owner;          /* whose object it is; see kfence_alloc */
    char name[PYSLAB_NAME_MAX]; /* of the owner; a copy, which outlives it */
    _Atomic uint32_t state;     /* enum kfence_state */
    uint32_t allocated_at;      /* stack of the last allocation; 0: not known */
    uint32_t freed_at;          /* and of the last free; 0: not freed since */
    uint32_t next;              /* on the list of free ones; KFENCE_NONE: the last */
};

/* Told of an access that was caught, in the signal handler; context is kfence_create's. */
typedef void (*kfence_on_fault)(void *context, const pyslab_corruption *found);

struct kfence {
    char *base;               /* of the pool; constant */
    size_t bytes;             /* of it; constant */
    size_t page_bytes;        /* of one page of the host; constant */
    uint32_t nr;              /* objects; constant */
    uint32_t sample_ms;       /* for statistics; constant */
    kfence_on_fault on_fault; /* constant */
    void *context;            /* its first argument; constant */
    struct lock lock;
    uint64_t random;     /* state of the generator */
    uint32_t first_free; /* list; KFENCE_NONE: empty */
    uint32_t last_free;  /* its end */
    uint32_t nr_free;    /* on it */
    uint32_t nr_live;    /* in callers' hands */
    uint32_t nr_moving;  /* neither */
    uint64_t nr_allocs;  /* since creation, as the next three */
    uint64_t nr_frees;
    uint64_t skipped_full;
    uint64_t skipped_known;
    _Atomic uint64_t nr_found;     /* reports */
    struct kfence_object object[]; /* nr of them */
};

/* "100ms", "1s" or a number of milliseconds; then, if wanted, a comma or a colon and the number of
 * objects. *objects is left alone without one. False: the text is nothing of that. */
bool kfence_parse(const char *text, uint32_t *sample_ms, uint32_t *objects);

/* NULL: no memory, no handler of signals, or too many pools.
 * pre: nr is 1 .. PYSLAB_KFENCE_MAX_OBJECTS */
struct kfence *kfence_create(uint32_t nr, uint32_t sample_ms, uint64_t seed,
                             kfence_on_fault on_fault, void *context);
/* Objects may be live; nobody touches them any more. */
void kfence_destroy(struct kfence *k);

/* What is to be handed out. */
struct kfence_request {
    size_t size;       /* bytes, 1 .. kfence_max_bytes */
    size_t align;      /* of the start: a power of two, at most a page */
    const void *owner; /* only who gives the same to kfence_free_begin may free it */
    const char *name;  /* of the owner, for reports */
};

/* Objects are at most a page. */
static inline size_t kfence_max_bytes(void)
{
    return PAGE_SIZE;
}

/* An object that reads zero. NULL: none is free, or it was left to others (skipped_known), or the
 * system refused. pre: the thread holds no lock of the core */
void *kfence_alloc(struct kfence *k, const struct kfence_request *request);

static inline bool kfence_has(const struct kfence *k, const void *p)
{
    return (uintptr_t)p - (uintptr_t)k->base < k->bytes;
}

/* The live object that starts at p; NULL: none does. */
struct kfence_object *kfence_find(struct kfence *k, const void *p);

/* A number below n, by chance. pre: n > 0 */
uint64_t kfence_random_below(struct kfence *k, uint64_t n);

/* Begins to free p: nobody else can then. owner: NULL, or the object's must be this. Errors, with
 * *object the one that p is of, or NULL: EDOUBLE, EPOINTER, ECACHE. pre: kfence_has(k, p) */
int kfence_free_begin(struct kfence *k, const void *p, const void *owner,
                      struct kfence_object **object);
/* Ends it: the page loses its access. stack: of the free. pre: kfence_free_begin gave it */
void kfence_free_end(struct kfence *k, struct kfence_object *object, uint32_t stack);

/* Writes to found what is known of the object, or NULL, for address: name, sizes, stacks. */
void kfence_describe(const struct kfence_object *object, const void *address,
                     pyslab_corruption *found);
/* False: somebody wrote beside the object; found says what. pre: it is live, or being freed */
bool kfence_is_whole(const struct kfence *k, const struct kfence_object *object,
                     pyslab_corruption *found);
/* The object's page. */
char *kfence_page(const struct kfence *k, const struct kfence_object *object);

/* Live objects of an owner: writes the first nr to p; returns how many there are. */
size_t kfence_live_objects(struct kfence *k, const void *owner, void **p, size_t nr);
void kfence_stats(struct kfence *k, pyslab_kfence_stats *out);
/* Recounts, and looks at the canary bytes of live objects; no other thread uses the pool. */
bool kfence_check(struct kfence *k, struct finding *f);

/* --- access.c ----------------------------------------------------------- */

/* Has accesses to the pool told to it. False: there are too many pools, or the system refused. */
bool kfence_watch(struct kfence *k);
void kfence_unwatch(struct kfence *k);
/* Around fork(): the list of pools is whole in the child. */
void kfence_fork_prepare(void);
void kfence_fork_release(void);
/* Fills found for an access to the pool at this address. */
void kfence_explain(const struct kfence *k, const void *address, uint16_t access,
                    pyslab_corruption *found);

#endif
