/* thread.c - see thread.h. */
#include "thread/thread.h"

#include "os/os_heap.h"

#include <pthread.h>

struct thread {
    struct thread *next;           /* registry list */
    struct thread *prev;           /* registry list */
    struct thread_member *members; /* one per domain this thread has used */
    struct thread_tls *tls;        /* the thread's own block */
};

struct thread_member {
    struct thread *thread;                /* owner; NULL if left behind by fork */
    struct thread_domain *domain;         /* that the slots belong to */
    struct thread_member *next_of_thread; /* on thread->members */
    struct thread_member *next_of_domain; /* on domain->members */
    void *slot[THREAD_NR_SLOTS];          /* layer[i].bytes each, from the core's heap */
};

_Thread_local struct thread_tls thread_tls;

static struct {
    struct lock lock;       /* guards what follows and every list of members */
    struct thread *threads; /* all that have used a domain and live */
    uint64_t nr_ended;      /* threads that have used a domain and ended */
    pthread_key_t exit_key; /* its destructor is thread_exit */
    bool has_exit_key;      /* false if the C library had no key left */
} registry;

static pthread_once_t registry_once = PTHREAD_ONCE_INIT;

static void thread_exit(void *argument);

static void registry_init(void)
{
    lock_init(&registry.lock, LOCK_RANK_REGISTRY);
    registry.has_exit_key = pthread_key_create(&registry.exit_key, thread_exit) == 0;
}

void thread_registry_lock(void)
{
    pthread_once(&registry_once, registry_init);
    lock_acquire(&registry.lock);
}

bool thread_registry_try_lock(void)
{
    pthread_once(&registry_once, registry_init);
    return lock_try_acquire(&registry.lock);
}

void thread_registry_unlock(void)
{
    lock_release(&registry.lock);
}

#if PYSLAB_CHECK_LEVEL >= 1
const struct lock *thread_registry_mutex(void)
{
    return &registry.lock;
}
#endif

/* --- members ------------------------------------------------------------ */

static bool reads_zero(const void *slot, size_t bytes)
{
    const char *p = slot;
    size_t i = 0;

    while (i < bytes && p[i] == 0)
        i++;
    return i == bytes;
}

static void member_free(struct thread_member *member)
{
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++)
        os_heap_free(member->slot[i], member->domain->layer[i].bytes);
    os_heap_free(member, sizeof *member);
}

/* Puts the slots that were left clean aside for the next thread: to clear a slot anew costs more
 * than all else that a short thread does. The heap would keep the memory as well. */
static void member_spare_locked(struct thread_member *member)
{
    struct thread_domain *domain = member->domain;

    lock_assert_held(&registry.lock);
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++) {
        struct thread_spare *spare = member->slot[i];

        if (!domain->layer[i].flush_clears || spare == NULL)
            continue;
        CHECK_WALK(reads_zero(spare, domain->layer[i].bytes));
        spare->next = domain->spare[i];
        domain->spare[i] = spare;
        member->slot[i] = NULL;
    }
}

/* Memory for a slot, which reads zero. */
static void *slot_new(struct thread_domain *domain, unsigned layer)
{
    struct thread_spare *spare = NULL;

    if (domain->layer[layer].flush_clears) {
        thread_registry_lock();
        spare = domain->spare[layer];
        if (spare != NULL)
            domain->spare[layer] = spare->next;
        thread_registry_unlock();
    }
    if (spare == NULL)
        return os_heap_alloc(domain->layer[layer].bytes);
    spare->next = NULL;
    return spare;
}

static struct thread_member *member_new(struct thread_domain *domain, struct thread *thread)
{
    struct thread_member *member = os_heap_alloc(sizeof *member);

    if (member == NULL)
        return NULL;
    member->domain = domain;
    member->thread = thread;
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++) {
        if (domain->layer[i].bytes == 0)
            continue;
        member->slot[i] = slot_new(domain, i);
        if (member->slot[i] == NULL) {
            member_free(member);
            return NULL;
        }
        if (domain->layer[i].init != NULL)
            domain->layer[i].init(domain, member->slot[i]);
    }
    return member;
}

/* Has this thread's block name the member's domain and slots. */
static void tls_load_locked(struct thread_member *member)
{
    bool diverted = member->domain->nr_diverts != 0;

    lock_assert_held(&registry.lock);
    CHECK(member->thread != NULL && member->thread->tls == &thread_tls);
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++)
        thread_tls.slot[i] = member->slot[i];
    store_relaxed(&thread_tls.domain, diverted ? NULL : member->domain);
    store_relaxed(&thread_tls.diverted, diverted ? member->domain : NULL);
}

/* Has this thread's block name no domain. */
static void tls_clear_locked(void)
{
    lock_assert_held(&registry.lock);
    store_relaxed(&thread_tls.domain, NULL);
    store_relaxed(&thread_tls.diverted, NULL);
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++)
        thread_tls.slot[i] = NULL;
}

static void member_link_locked(struct thread_member *member)
{
    lock_assert_held(&registry.lock);
    CHECK(member->thread != NULL);
    member->next_of_thread = member->thread->members;
    member->thread->members = member;
    member->next_of_domain = member->domain->members;
    member->domain->members = member;
}

static void member_unlink_domain_locked(struct thread_member *member)
{
    struct thread_member **link = &member->domain->members;

    lock_assert_held(&registry.lock);
    while (*link != member)
        link = &(*link)->next_of_domain;
    *link = member->next_of_domain;
}

/* Does nothing for a member that fork left without its thread. */
static void member_unlink_thread_locked(struct thread_member *member)
{
    struct thread_member **link;

    lock_assert_held(&registry.lock);
    if (member->thread == NULL)
        return;
    link = &member->thread->members;
    while (*link != member)
        link = &(*link)->next_of_thread;
    *link = member->next_of_thread;
}

/* --- the invariant, which level 2 walks ----------------------------------- */

static bool thread_has_member_locked(const struct thread *thread,
                                     const struct thread_member *member)
{
    const struct thread_member *m = thread->members;

    lock_assert_held(&registry.lock);
    while (m != NULL && m != member)
        m = m->next_of_thread;
    return m != NULL;
}

/* If the member's thread names its domain, it does so where it should, and has the slots. */
static bool tls_agrees_locked(const struct thread_member *member)
{
    const struct thread_domain *domain = member->domain;
    const struct thread_tls *tls = member->thread->tls;
    bool plain = load_relaxed(&tls->domain) == domain;
    bool diverted = load_relaxed(&tls->diverted) == domain;

    lock_assert_held(&registry.lock);
    for (unsigned i = 0; (plain || diverted) && i < THREAD_NR_SLOTS; i++)
        if (tls->slot[i] != member->slot[i])
            return false;
    return !(plain && domain->nr_diverts != 0) && !(diverted && domain->nr_diverts == 0);
}

/* The invariant of thread.h, for the members of one domain. */
static bool members_add_up_locked(const struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    for (const struct thread_member *m = domain->members; m != NULL; m = m->next_of_domain)
        if (m->domain != domain || (m->thread != NULL && (!thread_has_member_locked(m->thread, m) ||
                                                          !tls_agrees_locked(m))))
            return false;
    return true;
}

/* --- threads ------------------------------------------------------------ */

/* Stands in thread_tls.self for a thread that gets no slots, so that what it allocates and
 * frees goes past the caches. That is a thread which is just being registered, and one whose
 * slots were flushed because it ends: destructors that run later, and the C library after the
 * last of them, still allocate and free; and it is each thread of the core's own. */
#define THREAD_WITHOUT_SLOTS ((struct thread *)(uintptr_t)1)

void thread_go_without_slots(void)
{
    if (thread_tls.self == NULL)
        thread_tls.self = THREAD_WITHOUT_SLOTS;
}

bool thread_is_without_slots(void)
{
    return thread_tls.self == THREAD_WITHOUT_SLOTS;
}

/* Has thread_exit(self) called when this thread ends; false if that cannot be. To set a key
 * beyond its first 32 the C library allocates, perhaps from this core. So no lock is held here,
 * and the thread gets no slots meanwhile: that would lead to here again. */
static bool thread_exit_announce(struct thread *self)
{
    bool done;

    pthread_once(&registry_once, registry_init);
    thread_tls.self = THREAD_WITHOUT_SLOTS;
    done = registry.has_exit_key && pthread_setspecific(registry.exit_key, self) == 0;
    thread_tls.self = NULL;
    return done;
}

static struct thread *thread_register(void)
{
    struct thread *self = os_heap_alloc(sizeof *self);

    if (self == NULL)
        return NULL;
    self->tls = &thread_tls;
    if (!thread_exit_announce(self)) {
        os_heap_free(self, sizeof *self);
        return NULL;
    }
    thread_registry_lock();
    self->next = registry.threads;
    if (self->next != NULL)
        self->next->prev = self;
    registry.threads = self;
    thread_registry_unlock();
    thread_tls.self = self;
    return self;
}

/* Empties the slots of this thread, which ends. Upper layers come first, and the slots stay
 * loaded meanwhile, so that a layer which gives memory to the one below finds that one's slot. */
static void member_flush_locked(struct thread_member *member)
{
    lock_assert_held(&registry.lock);
    tls_load_locked(member);
    for (unsigned i = THREAD_NR_SLOTS; i-- > 0;)
        if (member->domain->layer[i].flush != NULL)
            member->domain->layer[i].flush(member->domain, member->slot[i]);
    tls_clear_locked();
}

/* Runs when a thread ends. */
static void thread_exit(void *argument)
{
    struct thread *self = argument;

    thread_tls.self = THREAD_WITHOUT_SLOTS; /* the slots that are loaded below are found still */
    thread_registry_lock();
    while (self->members != NULL) {
        struct thread_member *member = self->members;

        member_flush_locked(member);
        self->members = member->next_of_thread;
        member_unlink_domain_locked(member);
        CHECK_WALK(members_add_up_locked(member->domain));
        member_spare_locked(member);
        member_free(member);
    }
    if (self->next != NULL)
        self->next->prev = self->prev;
    if (self->prev != NULL)
        self->prev->next = self->next;
    else
        registry.threads = self->next;
    registry.nr_ended++;
    thread_registry_unlock();
    os_heap_free(self, sizeof *self);
}

uint64_t thread_nr_ended(void)
{
    uint64_t nr;

    thread_registry_lock();
    nr = registry.nr_ended;
    thread_registry_unlock();
    return nr;
}

/* This thread's member in a domain, which its block then names; NULL if it has none. */
static struct thread_member *member_find(struct thread *self, struct thread_domain *domain)
{
    struct thread_member *member;

    thread_registry_lock();
    member = self->members;
    while (member != NULL && member->domain != domain)
        member = member->next_of_thread;
    if (member != NULL)
        tls_load_locked(member);
    thread_registry_unlock();
    return member;
}

slow_path void *thread_attach(struct thread_domain *domain, enum thread_slot slot)
{
    struct thread *self = thread_tls.self;
    struct thread_member *member;

    if (load_relaxed(&thread_tls.diverted) == domain)
        return thread_tls.slot[slot];
    if (self == THREAD_WITHOUT_SLOTS || (self == NULL && (self = thread_register()) == NULL))
        return NULL;
    member = member_find(self, domain);
    if (member == NULL) {
        member = member_new(domain, self);
        if (member == NULL)
            return NULL;
        thread_registry_lock();
        member_link_locked(member);
        tls_load_locked(member);
        CHECK_WALK(members_add_up_locked(domain));
        thread_registry_unlock();
    }
    return member->slot[slot];
}

/* --- domains ------------------------------------------------------------ */

void thread_domain_init(struct thread_domain *domain)
{
    *domain = (struct thread_domain){.members = NULL};
}

/* Takes a domain's name out of one place of some thread's block, if it is there. The block's
 * thread reads it without the lock, but stores there under the lock only, as this does. */
static void forget_locked(_Atomic(struct thread_domain *) *name, struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    if (load_relaxed(name) == domain)
        store_relaxed(name, NULL);
}

/* For a domain that ends: otherwise the thread would take a new domain at the same address
 * for the one that its block names. */
static void thread_forget_domain_locked(struct thread *thread, struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    forget_locked(&thread->tls->domain, domain);
    forget_locked(&thread->tls->diverted, domain);
}

void thread_domain_divert_locked(struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    if (domain->nr_diverts++ != 0)
        return;
    for (struct thread_member *m = domain->members; m != NULL; m = m->next_of_domain)
        if (m->thread != NULL)
            forget_locked(&m->thread->tls->domain, domain);
    CHECK_WALK(members_add_up_locked(domain));
}

void thread_domain_restore_locked(struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    CHECK(domain->nr_diverts != 0);
    if (--domain->nr_diverts != 0)
        return;
    for (struct thread_member *m = domain->members; m != NULL; m = m->next_of_domain)
        if (m->thread != NULL)
            forget_locked(&m->thread->tls->diverted, domain);
    CHECK_WALK(members_add_up_locked(domain));
}

static void free_spares_locked(struct thread_domain *domain)
{
    lock_assert_held(&registry.lock);
    for (unsigned i = 0; i < THREAD_NR_SLOTS; i++)
        while (domain->spare[i] != NULL) {
            struct thread_spare *spare = domain->spare[i];

            domain->spare[i] = spare->next;
            os_heap_free(spare, domain->layer[i].bytes);
        }
}

void thread_domain_destroy(struct thread_domain *domain)
{
    thread_registry_lock();
    CHECK_WALK(members_add_up_locked(domain));
    while (domain->members != NULL) {
        struct thread_member *member = domain->members;

        if (member->thread != NULL)
            thread_forget_domain_locked(member->thread, domain);
        for (unsigned i = 0; i < THREAD_NR_SLOTS; i++)
            if (domain->layer[i].discard != NULL)
                domain->layer[i].discard(member->slot[i]);
        member_unlink_thread_locked(member);
        domain->members = member->next_of_domain;
        member_free(member);
    }
    free_spares_locked(domain);
    thread_registry_unlock();
}

void thread_domain_visit(struct thread_domain *domain, enum thread_slot slot,
                         void (*visit)(void *slot, void *context), void *context)
{
    thread_registry_lock();
    thread_domain_visit_locked(domain, slot, visit, context);
    thread_registry_unlock();
}

void thread_domain_visit_locked(struct thread_domain *domain, enum thread_slot slot,
                                void (*visit)(void *slot, void *context), void *context)
{
    lock_assert_held(&registry.lock);
    for (struct thread_member *m = domain->members; m != NULL; m = m->next_of_domain)
        visit(m->slot[slot], context);
}

/* --- fork --------------------------------------------------------------- */

void thread_fork_prepare(void)
{
    pthread_once(&registry_once, registry_init);
    lock_acquire_for_fork(&registry.lock);
}

void thread_fork_parent(void)
{
    lock_assert_held(&registry.lock);
    lock_release_after_fork(&registry.lock);
}

void thread_fork_child(void)
{
    struct thread *thread = registry.threads;

    lock_assert_held(&registry.lock);
    while (thread != NULL) {
        struct thread *next = thread->next;

        if (thread->tls != &thread_tls) {
            for (struct thread_member *m = thread->members; m != NULL; m = m->next_of_thread)
                m->thread = NULL;
            os_heap_free(thread, sizeof *thread);
        }
        thread = next;
    }
    registry.threads = thread_tls.self != THREAD_WITHOUT_SLOTS ? thread_tls.self : NULL;
    if (registry.threads != NULL) {
        thread_tls.self->next = NULL;
        thread_tls.self->prev = NULL;
    }
    lock_release_after_fork(&registry.lock);
}
