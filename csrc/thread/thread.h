/* thread.h - per-thread memory of the layers above, and the registry of threads.
 *
 * What it is: the way from "this thread, this arena" to the thread's page lists and
 * sheaves in a compare and a load. A domain is the set of such slots that live and
 * die together: an arena is one. A member is one thread's slots in one domain.
 * What it is not: it knows nothing of what a slot holds; a layer registers the size
 * of its slot and what to do with it when a thread or a domain ends.
 * A diverted domain is one that no thread finds by that compare: all of its threads take
 * their layers' slow paths, with the slots that they have.
 *
 * Data structure: struct thread_tls (static TLS, <= 64 bytes) caches the slots of the
 * domain used last; the registry links threads, and members by thread and by domain.
 * Invariant: tls.domain == d or tls.diverted == d implies tls.slot[] are the slots of the
 * thread's member in d, and d is diverted in the second case only; every member is on exactly
 * one domain's list, and on its thread's list unless that thread was left behind by fork.
 * Lock: the registry lock guards all lists, and what a thread's block names: a thread
 * changes its own under it, another one may take a name away. A slot's content belongs to
 * its thread.
 */
#ifndef THREAD_THREAD_H
#define THREAD_THREAD_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/config.h"

enum thread_slot {
    THREAD_SLOT_PCP,  /* page_alloc: struct pcp */
    THREAD_SLOT_SLAB, /* slab: struct sheaf_table */
    THREAD_NR_SLOTS,
};

struct thread_member;
struct thread_domain;

/* What a layer says about its slot. */
struct thread_layer {
    size_t bytes;                                            /* of the slot, zeroed at start */
    void *context;                                           /* the layer's own */
    void (*init)(struct thread_domain *domain, void *slot);  /* may be NULL */
    void (*flush)(struct thread_domain *domain, void *slot); /* empty it: its thread ends */
    void (*discard)(void *slot);                             /* free what it holds: domain ends */
};

struct thread_domain {
    struct thread_member *members;              /* of all threads; registry lock */
    uint32_t nr_diverts;                        /* calls not yet restored; registry lock */
    struct thread_layer layer[THREAD_NR_SLOTS]; /* constant after set-up */
};

struct thread_tls {
    _Atomic(struct thread_domain *) domain;   /* whose slots are below; NULL: nobody's */
    _Atomic(struct thread_domain *) diverted; /* the same if it is diverted; else NULL */
    void *slot[THREAD_NR_SLOTS];              /* of this thread in that domain */
    struct thread *self;                      /* NULL until the thread is registered */
};

_Static_assert(sizeof(struct thread_tls) <= 64, "static TLS is scarce in loaded modules");

/* Initial-exec: one instruction to reach, at the price of static TLS. */
extern _Thread_local struct thread_tls thread_tls __attribute__((tls_model("initial-exec")));

/* Finds or makes this thread's member and loads it into the TLS block.
 * NULL without memory: the caller then works without per-thread caches. */
void *thread_attach(struct thread_domain *domain, enum thread_slot slot);

/* This thread used the domain last: the fast paths' question. Where the answer is no,
 * their slow paths ask thread_slot. */
static always_inline bool thread_has_domain(const struct thread_domain *domain)
{
    return likely(load_relaxed(&thread_tls.domain) == domain);
}

/* pre: thread_has_domain(the domain meant). Never NULL. */
static always_inline void *thread_slot_loaded(enum thread_slot slot)
{
    return thread_tls.slot[slot];
}

static always_inline void *thread_slot(struct thread_domain *domain, enum thread_slot slot)
{
    if (likely(load_relaxed(&thread_tls.domain) == domain))
        return thread_tls.slot[slot];
    return thread_attach(domain, slot);
}

void thread_domain_init(struct thread_domain *domain);
/* Frees every member. Quiescence: no thread uses the domain, now or later. */
void thread_domain_destroy(struct thread_domain *domain);
/* Keeps other threads' slots, and the visits below, from changing. */
void thread_registry_lock(void);
void thread_registry_unlock(void);
/* The lock itself, for lock_assert_held; in checked builds only. */
const struct lock *thread_registry_mutex(void);
/* Keeps the domain's threads off their fast paths until it is restored as often. What a
 * thread does after it could know of the call is not on a fast path. */
void thread_domain_divert_locked(struct thread_domain *domain);
void thread_domain_restore_locked(struct thread_domain *domain);
/* Threads that used a domain and have ended. Waits for one that is ending. */
uint64_t thread_nr_ended(void);
/* Calls visit for every member's slot, under the registry lock. */
void thread_domain_visit(struct thread_domain *domain, enum thread_slot slot,
                         void (*visit)(void *slot, void *context), void *context);

/* Around fork(): the child keeps the calling thread only. Members of the others stay
 * on their domains' lists, so that what they cache stays accounted for; it is lost to
 * the child, because its owner may have been halfway through an exchange. */
void thread_fork_prepare(void);
void thread_fork_parent(void);
void thread_fork_child(void);

#endif
