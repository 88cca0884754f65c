/* fault_attr.h - allocations that are made to fail, as the kernel's failslab does.
 *
 * What it is: the rules by which calls of a program fail on purpose, so that it can be tested what
 * the program does without memory. An attribute says which calls it is about (of one arena or of
 * all, of one cache, of one thread) and which of these fail: the nth, one in so many, by chance, at
 * most so many, only after so many bytes. The kernel has the same under /sys/kernel/debug/failslab.
 * What it is not: base/fault.h, which makes the core's own steps fail in its tests. Here a call of
 * the program fails as a whole, before it has begun: no zone is asked, no shrinker is called.
 *
 * The fast paths do not ask: while an attribute is about an arena its threads are diverted
 * (thread.h), so that each allocation takes a slow path, and these ask. GFP_NOFAIL never fails.
 *
 * Data structure: a list of all attributes of the process; in each arena the number of those that
 * are about it (struct fault_watch).
 * Invariant: an attribute has made fail no more calls than it has looked at.
 * Lock: one for the list and all that is in it, of rank FAULT. The arenas' numbers are atomic.
 */
#ifndef PAGE_ALLOC_FAULT_ATTR_H
#define PAGE_ALLOC_FAULT_ATTR_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "pyslab.h"

#include <stdbool.h>

struct fault_watch {
    _Atomic uint32_t nr; /* attributes that are about this arena */
};

struct pyslab_failing {
    struct pyslab_failing *next;     /* the list; its lock */
    const struct fault_watch *arena; /* whose calls; NULL: of all arenas */
    char cache[PYSLAB_NAME_MAX];     /* only objects of these caches; "": all allocations */
    const void *thread;              /* only calls of this one; NULL: of all threads */
    pyslab_failing_options options;  /* which of these calls fail; constant */
    uint64_t random;                 /* state of the generator */
    uint64_t space_left;             /* bytes that are still handed out first */
    pyslab_failing_stats stats;      /* what came of it */
    const void *failed;              /* thread whose last call it made fail; NULL: none */
    const void *pardoned;            /* thread whose next call it does not look at; NULL: none */
};

/* What stands for the calling thread in fault_attr.thread. */
const void *fault_thread(void);
/* Puts a new attribute on the list. */
void fault_attr_add(struct pyslab_failing *attr);
/* Takes one that is there off. */
void fault_attr_remove(struct pyslab_failing *attr);
void fault_attr_read(const struct pyslab_failing *attr, pyslab_failing_stats *out);
/* The arena goes: attributes that were about it are about nothing from now on. */
void fault_attrs_forget(const struct fault_watch *arena);
/* True if the attribute's arena is gone. */
bool fault_attr_is_orphan(const struct pyslab_failing *attr);

/* True if the calling thread's last allocation was made to fail, for wording an error. */
bool fault_failed_last(const struct fault_watch *arena);

/* For a caller that tries until there is memory (GFP_NOFAIL), and so asked without that flag: if
 * the thread's last call was made to fail, that does not count, and the next call is let pass. */
void fault_pardon(const struct fault_watch *arena);

/* The slow half of what follows. */
bool fault_attrs_ask(const struct fault_watch *arena, const char *cache, uint64_t bytes,
                     uint32_t gfp);

/* True if this call is to fail. cache: name of its object's, or NULL. Called without locks. */
static inline bool should_fail(const struct fault_watch *arena, const char *cache, uint64_t bytes,
                               uint32_t gfp)
{
    return unlikely(load_relaxed(&arena->nr) != 0) && fault_attrs_ask(arena, cache, bytes, gfp);
}

/* Around fork(). */
void fault_attrs_fork_prepare(void);
void fault_attrs_fork_release(void);

#endif
