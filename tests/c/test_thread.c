/* test_thread.c - holds down thread/: one zeroed slot per thread and domain, the flush
 * at thread exit, the end of a domain, and that nothing of them stays on the heap. */
#include "thread/thread.h"

#include "os/os_heap.h"

#include "check.h"

#include <pthread.h>

#define NR_DOMAINS 50u
#define MAGIC 0x510717u

struct counts {
    _Atomic unsigned inits, flushes, discards, bad;
    _Atomic unsigned order; /* of the layer flushed last: the upper one comes first */
};

struct slot {
    uint32_t magic; /* set by init */
    uint32_t value; /* the owner's */
    struct counts *counts;
};

static void slot_init(struct thread_domain *domain, void *memory)
{
    struct slot *slot = memory;

    slot->counts = domain->layer[THREAD_SLOT_SLAB].context;
    slot->counts->bad += slot->magic != 0 || slot->value != 0;
    slot->magic = MAGIC;
    slot->counts->inits++;
}

static void slab_flush(struct thread_domain *domain, void *memory)
{
    struct slot *slot = memory;

    slot->counts->bad += slot->magic != MAGIC;
    slot->counts->bad += thread_slot(domain, THREAD_SLOT_SLAB) != memory;
    slot->counts->order = 1;
    slot->counts->flushes++;
}

/* The lower layer: it is flushed after the upper one, whose flush may fill it. */
static void pcp_flush(struct thread_domain *domain, void *memory)
{
    struct counts *counts = domain->layer[THREAD_SLOT_SLAB].context;

    counts->bad += counts->order != 1;
    counts->bad += thread_slot(domain, THREAD_SLOT_PCP) != memory;
    counts->order = 2;
}

static void slot_discard(void *memory)
{
    ((struct slot *)memory)->counts->discards++;
}

static void domain_begin(struct thread_domain *domain, struct counts *counts)
{
    thread_domain_init(domain);
    domain->layer[THREAD_SLOT_PCP] = (struct thread_layer){.bytes = 100, .flush = pcp_flush};
    domain->layer[THREAD_SLOT_SLAB] = (struct thread_layer){.bytes = sizeof(struct slot),
                                                            .context = counts,
                                                            .init = slot_init,
                                                            .flush = slab_flush,
                                                            .discard = slot_discard};
}

static struct slot *own(struct thread_domain *domain)
{
    return thread_slot(domain, THREAD_SLOT_SLAB);
}

static void run_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, run, argument) == 0);
    pthread_join(thread, NULL);
}

/* --- one thread --------------------------------------------------------- */

/* The first call makes the slots, later ones find them. */
static void attach_once(void)
{
    struct counts counts = {0};
    struct thread_domain domain;
    struct slot *slot;
    char *lower;

    domain_begin(&domain, &counts);
    slot = own(&domain);
    REQUIRE(slot != NULL);
    lower = thread_slot(&domain, THREAD_SLOT_PCP);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(lower[i], 0);
    EXPECT_EQ(slot->magic, MAGIC);
    for (int i = 0; i < 10; i++)
        EXPECT_PTR(own(&domain), slot);
    EXPECT_EQ(counts.inits, 1);
    thread_domain_destroy(&domain);
    EXPECT_EQ(counts.discards, 1);
    EXPECT_EQ(counts.flushes, 0);
    EXPECT_EQ(counts.bad, 0);
}

/* A layer may have no slot at all, and no callbacks. */
static void layers_are_optional(void)
{
    struct thread_domain domain;

    thread_domain_init(&domain);
    domain.layer[THREAD_SLOT_PCP].bytes = 16;
    EXPECT(thread_slot(&domain, THREAD_SLOT_PCP) != NULL);
    EXPECT(thread_slot(&domain, THREAD_SLOT_SLAB) == NULL);
    thread_domain_destroy(&domain);
}

/* A thread that goes round many domains finds the same slot each time. */
static void many_domains(void)
{
    static struct thread_domain domain[NR_DOMAINS];
    struct counts counts = {0};
    struct slot *slot[NR_DOMAINS];
    size_t before;

    domain_begin(&domain[0], &counts); /* the thread itself stays registered */
    (void)own(&domain[0]);
    thread_domain_destroy(&domain[0]);
    before = os_heap_live_bytes();
    for (unsigned i = 0; i < NR_DOMAINS; i++) {
        domain_begin(&domain[i], &counts);
        slot[i] = own(&domain[i]);
        slot[i]->value = i;
    }
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < NR_DOMAINS; i++) {
            EXPECT_PTR(own(&domain[i]), slot[i]);
            EXPECT_EQ(own(&domain[i])->value, i);
        }
    for (unsigned i = 0; i < NR_DOMAINS; i++) {
        unsigned at = (i * 7 + 3) % NR_DOMAINS; /* neither oldest nor youngest first */

        thread_domain_destroy(&domain[at]);
    }
    EXPECT_EQ(counts.inits, NR_DOMAINS + 1);
    EXPECT_EQ(counts.discards, NR_DOMAINS + 1);
    EXPECT_EQ(counts.bad, 0);
    EXPECT_EQ(os_heap_live_bytes(), before);
}

/* A new domain at the address of one that is gone is not taken for it. */
static void domain_at_the_same_address(void)
{
    struct counts counts = {0};
    struct thread_domain domain;

    for (unsigned round = 1; round <= 5; round++) {
        domain_begin(&domain, &counts);
        EXPECT_EQ(own(&domain)->value, 0);
        own(&domain)->value = round;
        EXPECT_EQ(counts.inits, round);
        thread_domain_destroy(&domain);
    }
    EXPECT_EQ(counts.discards, 5);
    EXPECT_EQ(counts.bad, 0);
}

/* --- several threads ---------------------------------------------------- */

static void clear_flush(struct thread_domain *domain, void *memory)
{
    (void)domain;
    *(struct slot *)memory = (struct slot){.magic = 0};
}

static void *remember_slot(void *domain)
{
    struct slot *slot = own(domain);

    for (size_t i = 0; i < sizeof *slot; i++)
        EXPECT_EQ(((char *)slot)[i], 0);
    slot->value = 7;
    return slot;
}

static void *slot_of_thread(struct thread_domain *domain)
{
    pthread_t thread;
    void *slot = NULL;

    EXPECT_EQ(pthread_create(&thread, NULL, remember_slot, domain), 0);
    pthread_join(thread, &slot);
    return slot;
}

/* A slot that its layer leaves clean is the next thread's, and the domain's end frees it. */
static void clean_slots_are_handed_on(void)
{
    struct thread_domain domain;
    size_t before;
    void *first;

    thread_domain_init(&domain);
    (void)thread_slot(&domain, THREAD_SLOT_SLAB); /* registers this thread */
    thread_domain_destroy(&domain);
    before = os_heap_live_bytes();
    thread_domain_init(&domain);
    domain.layer[THREAD_SLOT_SLAB] = (struct thread_layer){
        .bytes = sizeof(struct slot), .flush = clear_flush, .flush_clears = true};
    first = slot_of_thread(&domain);
    EXPECT(first != NULL);
    EXPECT_GE(os_heap_live_bytes(), before + sizeof(struct slot)); /* it waits */
    for (int round = 0; round < 5; round++)
        EXPECT_PTR(slot_of_thread(&domain), first);
    thread_domain_destroy(&domain);
    EXPECT_EQ(os_heap_live_bytes(), before);
}

static void *use_slot(void *domain)
{
    EXPECT_EQ(own(domain)->value, 0);
    own(domain)->value = 99;
    return NULL;
}

/* A thread that ends is flushed once, upper layer first, and leaves nothing behind. */
static void exit_flushes(void)
{
    struct counts counts = {0};
    struct thread_domain domain;
    struct slot *slot;
    size_t before;

    domain_begin(&domain, &counts);
    slot = own(&domain);
    slot->value = 5;
    before = os_heap_live_bytes();
    for (unsigned i = 1; i <= 200; i++) {
        run_thread(use_slot, &domain);
        EXPECT_EQ(counts.flushes, i);
        EXPECT_EQ(counts.order, 2);
        counts.order = 0;
    }
    EXPECT_EQ(os_heap_live_bytes(), before);
    EXPECT_EQ(own(&domain)->value, 5);
    thread_domain_destroy(&domain);
    EXPECT_EQ(counts.discards, 1);
    EXPECT_EQ(counts.bad, 0);
}

static void *use_many(void *domains)
{
    for (unsigned i = 0; i < NR_DOMAINS; i++)
        (void)own((struct thread_domain *)domains + i);
    return NULL;
}

/* A thread flushes all the domains it has used. */
static void exit_flushes_every_domain(void)
{
    static struct thread_domain domain[NR_DOMAINS];
    struct counts counts = {0};

    for (unsigned i = 0; i < NR_DOMAINS; i++)
        domain_begin(&domain[i], &counts);
    run_thread(use_many, domain);
    EXPECT_EQ(counts.flushes, NR_DOMAINS);
    EXPECT_EQ(counts.bad, 0);
    for (unsigned i = 0; i < NR_DOMAINS; i++)
        thread_domain_destroy(&domain[i]);
    EXPECT_EQ(counts.discards, 0);
}

struct meeting {
    struct thread_domain domain;
    struct counts counts;
    pthread_barrier_t barrier;
};

static void *outlive_a_domain(void *argument)
{
    struct meeting *m = argument;

    own(&m->domain)->value = 7;
    pthread_barrier_wait(&m->barrier); /* slot made */
    pthread_barrier_wait(&m->barrier); /* domain replaced */
    EXPECT_EQ(own(&m->domain)->value, 0);
    return NULL;
}

static void sum_values(void *slot, void *sum)
{
    *(unsigned *)sum += ((struct slot *)slot)->value;
}

/* A visit sees the slots of all threads; the end of the domain reaches threads that
 * live on, and whose exit then flushes the new domain at that address, not the old. */
static void domain_ends_under_a_thread(void)
{
    static struct meeting m;
    pthread_t thread;
    unsigned sum = 0;

    pthread_barrier_init(&m.barrier, NULL, 2);
    domain_begin(&m.domain, &m.counts);
    REQUIRE(pthread_create(&thread, NULL, outlive_a_domain, &m) == 0);
    pthread_barrier_wait(&m.barrier);
    own(&m.domain)->value = 10;
    thread_domain_visit(&m.domain, THREAD_SLOT_SLAB, sum_values, &sum);
    EXPECT_EQ(sum, 17);
    thread_domain_destroy(&m.domain);
    EXPECT_EQ(m.counts.discards, 2);
    domain_begin(&m.domain, &m.counts);
    pthread_barrier_wait(&m.barrier);
    pthread_join(thread, NULL);
    EXPECT_EQ(m.counts.inits, 3);
    EXPECT_EQ(m.counts.flushes, 1);
    thread_domain_destroy(&m.domain);
    EXPECT_EQ(m.counts.discards, 2);
    EXPECT_EQ(m.counts.bad, 0);
    pthread_barrier_destroy(&m.barrier);
}

static pthread_key_t late_key;

static void *late_slot = &late_key; /* what the destructor got */

static void late_destructor(void *domain)
{
    late_slot = thread_slot(domain, THREAD_SLOT_PCP);
}

static void *allocate_late(void *domain)
{
    (void)own(domain);
    pthread_setspecific(late_key, domain);
    return NULL;
}

/* A destructor that runs after ours gets no slots: nobody would flush them. */
static void late_destructors_go_without(void)
{
    struct counts counts = {0};
    struct thread_domain domain;
    size_t before;

    domain_begin(&domain, &counts);
    (void)own(&domain); /* our exit key exists from here on: late_key comes after it */
    REQUIRE(pthread_key_create(&late_key, late_destructor) == 0);
    before = os_heap_live_bytes();
    run_thread(allocate_late, &domain);
    EXPECT_EQ(late_slot == NULL, 1);
    EXPECT_EQ(counts.inits, 2);
    EXPECT_EQ(counts.flushes, 1);
    EXPECT_EQ(counts.bad, 0);
    EXPECT_EQ(os_heap_live_bytes(), before);
    thread_domain_destroy(&domain);
}

static void *come_and_go(void *argument)
{
    struct thread_domain *shared = argument;
    struct counts counts = {0};
    struct thread_domain domain;

    for (int i = 0; i < 200; i++) {
        domain_begin(&domain, &counts);
        own(&domain)->value++;
        own(shared)->value++;
        EXPECT_EQ(own(&domain)->value, 1);
        thread_domain_destroy(&domain);
    }
    EXPECT_EQ(own(shared)->value, 200);
    EXPECT_EQ(counts.bad, 0);
    return NULL;
}

/* Threads make and end domains of their own beside a shared one, all at once. */
static void domains_come_and_go(void)
{
    struct counts counts = {0};
    struct thread_domain shared;
    pthread_t thread[6];

    domain_begin(&shared, &counts);
    shared.layer[THREAD_SLOT_PCP].flush = NULL; /* its check of the order is for one thread */
    for (int i = 0; i < 6; i++)
        REQUIRE(pthread_create(&thread[i], NULL, come_and_go, &shared) == 0);
    for (int i = 0; i < 6; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(counts.flushes, 6);
    EXPECT_EQ(counts.bad, 0);
    thread_domain_destroy(&shared);
}

/* --- planted faults -------------------------------------------------------- */

#if PYSLAB_CHECK_LEVEL >= 2

static struct counts fault_counts;
static struct thread_domain fault_domain;

static void diverts_without_the_lock(void)
{
    domain_begin(&fault_domain, &fault_counts);
    thread_domain_divert_locked(&fault_domain);
}

static void restores_what_was_not_diverted(void)
{
    domain_begin(&fault_domain, &fault_counts);
    thread_registry_lock();
    thread_domain_restore_locked(&fault_domain);
}

/* The thread's block has another slot than its member. */
static void block_has_another_slot(void)
{
    domain_begin(&fault_domain, &fault_counts);
    own(&fault_domain)->value++;
    thread_tls.slot[THREAD_SLOT_SLAB] = &fault_counts;
    thread_domain_destroy(&fault_domain);
}

/* The block names the domain as a diverted one, which it is not. */
static void block_names_the_wrong_way(void)
{
    domain_begin(&fault_domain, &fault_counts);
    own(&fault_domain)->value++;
    store_relaxed(&thread_tls.diverted, &fault_domain);
    thread_domain_destroy(&fault_domain);
}

static void no_flush(struct thread_domain *domain, void *memory)
{
    (void)domain;
    (void)memory;
}

/* A layer that promises to leave its slots clean, and does not. */
static void flush_leaves_something(void)
{
    thread_domain_init(&fault_domain);
    fault_domain.layer[THREAD_SLOT_SLAB] = (struct thread_layer){
        .bytes = sizeof(struct slot), .flush = no_flush, .flush_clears = true};
    (void)slot_of_thread(&fault_domain);
}

static void planted_faults_are_found(void)
{
    EXPECT(check_stops(flush_leaves_something, "reads_zero"));
    EXPECT(check_stops(diverts_without_the_lock, "lock_is_held(&registry.lock)"));
    EXPECT(check_stops(restores_what_was_not_diverted, "nr_diverts != 0"));
    EXPECT(check_stops(block_has_another_slot, "members_add_up_locked"));
    EXPECT(check_stops(block_names_the_wrong_way, "members_add_up_locked"));
}

#endif

static const struct test tests[] = {
    TEST(attach_once),
    TEST(layers_are_optional),
    TEST(many_domains),
    TEST(clean_slots_are_handed_on),
    TEST(exit_flushes),
    TEST(domain_at_the_same_address),
    TEST(exit_flushes_every_domain),
    TEST(domains_come_and_go),
    TEST(domain_ends_under_a_thread),
    TEST(late_destructors_go_without),
#if PYSLAB_CHECK_LEVEL >= 2
    TEST(planted_faults_are_found),
#endif
};

TEST_MAIN(tests)
