/* thread.h - per-thread memory of the layers above, and the registry of threads.
 *
 * What it is: the way from "this thread, this arena" to what the thread has of its own
 * there, in a compare and a load: its page lists and its sheaves. A slot is the memory
 * that one layer has for one thread in one arena. A member is all the slots of one thread
 * in one arena. A domain is the set of the members, of all threads, in one arena; they
 * live and die with it.
 * What it is not: it does not know what a slot holds. A layer registers how large its slot
 * is, and what to do with it when a thread or the domain ends.
 *
 * To divert a domain is to make its threads miss in that compare, so that all of them take
 * the slow paths of the layers above, with the slots that they have. That is done while
 * somebody must see every single allocation.
 *
 * Data structure: struct thread_tls, the thread's block, is static TLS of at most 64 bytes;
 * it names the domain that the thread used last, and has the addresses of the thread's slots
 * there. The registry links all threads, and the members by thread and by domain.
 * Invariant (members_add_up_locked): if a block names a domain, its slot[] are those of the
 * thread's member there; the name is in tls.diverted if the domain is diverted, and in
 * tls.domain if it is not. Every member is on the list of exactly one domain, and on its
 * thread's list, unless that thread was left behind in the parent by fork.
 * Lock: the registry lock guards all lists, and the names in the blocks. A thread reads its
 * own block without it, but changes it only under it; another thread may take a name out.
 * What a slot holds belongs to its thread.
 */
#ifndef THREAD_THREAD_H
#define THREAD_THREAD_H

#include "base/atomic.h"
#include "base/lock.h"

enum thread_slot {
    THREAD_SLOT_PCP,  /* page_alloc: struct pcp */
    THREAD_SLOT_SLAB, /* slab: struct sheaf_table */
    THREAD_NR_SLOTS,
};

struct thread_member;
struct thread_domain;

/* What a layer says about its slot. The registry lock is held where flush and discard run. */
struct thread_layer {
    size_t bytes;                                            /* of the slot, zeroed at start */
    void *context;                                           /* for the layer's own use */
    void (*init)(struct thread_domain *domain, void *slot);  /* of a new slot; may be NULL */
    void (*flush)(struct thread_domain *domain, void *slot); /* empty it: its thread ends */
    void (*discard)(void *slot);                             /* free what it holds: domain ends */
    bool flush_clears; /* flush leaves all zeroes: the next thread gets the slot as it is */
};

/* A slot that its thread left behind. */
struct thread_spare {
    struct thread_spare *next; /* of the same layer and domain; all else in the slot is zero */
};

struct thread_domain {
    struct thread_member *members;              /* of all threads; registry lock */
    uint32_t nr_diverts;                        /* diverted as often, and not restored; same */
    struct thread_layer layer[THREAD_NR_SLOTS]; /* constant after set-up */
    /* Slots of threads that have ended, by layer, for those that come; registry lock. */
    struct thread_spare *spare[THREAD_NR_SLOTS];
};

struct thread_tls {
    _Atomic(struct thread_domain *) domain;   /* whose slots are below; NULL: see diverted */
    _Atomic(struct thread_domain *) diverted; /* whose they are if that one is diverted, or NULL */
    void *slot[THREAD_NR_SLOTS];              /* of this thread in that domain */
    struct thread *self;                      /* NULL until the thread is registered */
};

_Static_assert(sizeof(struct thread_tls) <= 64, "static TLS is scarce in loaded modules");

/* Initial-exec: one instruction to reach, at the price of static TLS. */
extern _Thread_local struct thread_tls thread_tls __attribute__((tls_model("initial-exec")));

/* Finds or makes this thread's member in the domain, has the thread's block name it, and
 * returns the slot. NULL without memory: the caller then works without a slot. */
void *thread_attach(struct thread_domain *domain, enum thread_slot slot);

/* True if this thread used the domain last, and it is not diverted. Fast paths ask this; if
 * the answer is no, their slow paths call thread_slot. */
static always_inline bool thread_has_domain(const struct thread_domain *domain)
{
    return likely(load_relaxed(&thread_tls.domain) == domain);
}

/* The slot in the domain that this thread used last; never NULL. pre: thread_has_domain of
 * the domain meant (unchecked: another thread may divert the domain between that question
 * and this, which takes the name away but leaves the slots). */
static always_inline void *thread_slot_loaded(enum thread_slot slot)
{
    return thread_tls.slot[slot];
}

/* The slot in any domain, wherever it must be looked for; NULL without memory. */
static always_inline void *thread_slot(struct thread_domain *domain, enum thread_slot slot)
{
    if (likely(load_relaxed(&thread_tls.domain) == domain))
        return thread_tls.slot[slot];
    return thread_attach(domain, slot);
}

/* This thread gets no slots from now on, if it has none yet: for a thread of the core's own, which
 * is not to keep frames or objects in caches. */
void thread_go_without_slots(void);
/* True for such a thread, for one that is just being registered, and for one that ends: none of
 * them may start another thread. */
bool thread_is_without_slots(void);

void thread_domain_init(struct thread_domain *domain);
/* Frees every member. The caller sees to it that no thread uses the domain, now or later. */
void thread_domain_destroy(struct thread_domain *domain);

/* While a thread holds the registry lock, no other ends, and no member comes or goes. */
void thread_registry_lock(void);
void thread_registry_unlock(void);
/* For slow paths, which may come from a thread that holds that lock already, or a lock of a later
 * rank: does not wait. False: somebody has it. */
bool thread_registry_try_lock(void);
/* The lock itself, for lock_assert_held; in checked builds only. */
const struct lock *thread_registry_mutex(void);

/* Keeps the domain's threads off their fast paths until it was restored as often as diverted.
 * An allocation is slow if its thread started it after it could know of this call, as from a
 * lock or a flag that the caller wrote later. */
void thread_domain_divert_locked(struct thread_domain *domain);
void thread_domain_restore_locked(struct thread_domain *domain);
/* How many threads have used a domain and ended. Waits for one that is just ending. */
uint64_t thread_nr_ended(void);
/* Calls visit with each thread's slot of the domain; the registry lock is held meanwhile. */
void thread_domain_visit(struct thread_domain *domain, enum thread_slot slot,
                         void (*visit)(void *slot, void *context), void *context);
/* The same for a caller that holds it. */
void thread_domain_visit_locked(struct thread_domain *domain, enum thread_slot slot,
                                void (*visit)(void *slot, void *context), void *context);

/* Around fork(), whose child has the calling thread only. The members of the other threads
 * stay on their domains' lists in the child, so that what lies in their slots is still
 * counted as cached. It cannot be used there: at the fork, its owner may have been halfway
 * through changing it. */
void thread_fork_prepare(void);
void thread_fork_parent(void);
void thread_fork_child(void);

#endif
