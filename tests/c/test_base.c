/* test_base.c - holds down base/: index lists against an array model, the bit arithmetic at
 * every power of two, findings, and what checked builds know of locks: ranks and holders. */
#include "base/bits.h"
#include "base/check.h"
#include "base/list.h"
#include "base/lock.h"

#include "check.h"

#define NR_RECORDS 40u

struct record {
    uint32_t before; /* canary */
    struct index_link link;
    uint32_t after; /* canary */
};

static struct index_view view_of(struct record *records)
{
    return (struct index_view){(char *)&records[0].link, sizeof(struct record)};
}

/* The list, walked both ways, is the model. */
static void expect_list(const struct index_list *list, struct record *records,
                        const uint32_t *model, uint32_t nr)
{
    uint32_t i = 0, at;

    EXPECT_EQ(list->nr, nr);
    for (at = list->first; at != INDEX_NONE && i < nr; at = records[at].link.next)
        EXPECT_EQ(at, model[i++]);
    EXPECT_EQ(at, INDEX_NONE);
    EXPECT_EQ(i, nr);
    for (at = list->last; at != INDEX_NONE && i > 0; at = records[at].link.prev)
        EXPECT_EQ(at, model[--i]);
    EXPECT_EQ(at, INDEX_NONE);
    EXPECT_EQ(i, 0);
}

/* Head, tail, and removal of the first, a middle, the last and the only record. */
static void list_by_hand(void)
{
    struct record records[NR_RECORDS];
    struct index_view view = view_of(records);
    struct index_list list;

    index_list_init(&list);
    expect_list(&list, records, NULL, 0);
    index_list_add_tail(&list, view, 7);
    expect_list(&list, records, (uint32_t[]){7}, 1);
    index_list_add_head(&list, view, 0);
    index_list_add_tail(&list, view, 39);
    index_list_add_head(&list, view, 5);
    expect_list(&list, records, (uint32_t[]){5, 0, 7, 39}, 4);
    index_list_remove(&list, view, 0);
    expect_list(&list, records, (uint32_t[]){5, 7, 39}, 3);
    index_list_remove(&list, view, 5);
    index_list_remove(&list, view, 39);
    expect_list(&list, records, (uint32_t[]){7}, 1);
    index_list_remove(&list, view, 7);
    expect_list(&list, records, NULL, 0);
}

/* Random additions and removals, compared with an array after each. */
static void list_random(void)
{
    struct record records[NR_RECORDS];
    struct index_view view = view_of(records);
    uint32_t model[NR_RECORDS], nr = 0;
    struct rng rng = {1};
    struct index_list list;

    for (uint32_t i = 0; i < NR_RECORDS; i++)
        records[i].before = records[i].after = 0xfeedu;
    index_list_init(&list);
    for (int step = 0; step < 20000; step++) {
        uint32_t i = rng_below(&rng, NR_RECORDS), at = 0;

        while (at < nr && model[at] != i)
            at++;
        if (at < nr) {
            index_list_remove(&list, view, i);
            memmove(model + at, model + at + 1, (--nr - at) * sizeof *model);
        } else if (rng_below(&rng, 2) != 0) {
            index_list_add_tail(&list, view, i);
            model[nr++] = i;
        } else {
            index_list_add_head(&list, view, i);
            memmove(model + 1, model, nr++ * sizeof *model);
            model[0] = i;
        }
        expect_list(&list, records, model, nr);
    }
    for (uint32_t i = 0; i < NR_RECORDS; i++)
        EXPECT(records[i].before == 0xfeedu && records[i].after == 0xfeedu);
}

/* A copy of the records at another address, with the list's head, is the same list. */
static void list_is_position_independent(void)
{
    struct record records[NR_RECORDS], copy[NR_RECORDS];
    struct index_list list;

    index_list_init(&list);
    memset(records, 0, sizeof records);
    for (uint32_t i = 0; i < 4; i++)
        index_list_add_tail(&list, view_of(records), i * 3);
    memcpy(copy, records, sizeof copy);
    memset(records, 0xee, sizeof records);
    index_list_remove(&list, view_of(copy), 3);
    expect_list(&list, copy, (uint32_t[]){0, 6, 9}, 3);
}

/* fls, ilog2, ceil_log2 and ctz around every power of two. */
static void bits_logarithms(void)
{
    EXPECT_EQ(fls64(0), 0);
    EXPECT_EQ(fls64(UINT64_MAX), 64);
    EXPECT_EQ(ctz32(0), 32);
    EXPECT_EQ(ceil_log2(1), 0);
    for (unsigned n = 0; n < 64; n++) {
        uint64_t x = (uint64_t)1 << n;

        EXPECT_EQ(fls64(x), n + 1);
        EXPECT_EQ(ilog2(x), n);
        EXPECT_EQ(ceil_log2(x), n);
        EXPECT(is_power_of_two(x));
        if (n < 32) {
            EXPECT_EQ(ctz32((uint32_t)x), n);
            EXPECT_EQ(ctz32(0u - (uint32_t)x), n);
        }
        if (n < 2)
            continue;
        EXPECT_EQ(ilog2(x - 1), n - 1);
        EXPECT_EQ(ilog2(x + 1), n);
        EXPECT_EQ(ceil_log2(x - 1), n);
        if (n < 63)
            EXPECT_EQ(ceil_log2(x + 1), n + 1);
        EXPECT(!is_power_of_two(x + 1));
        EXPECT(n == 1 || !is_power_of_two(x - 1));
    }
    EXPECT(!is_power_of_two(0));
}

/* align_up, bytes to pages and orders, against plain division. */
static void bits_rounding(void)
{
    for (uint64_t x = 0; x < 3 * PAGE_SIZE; x++) {
        EXPECT_EQ(align_up(x, 64), (x + 63) / 64 * 64);
        EXPECT_EQ(bytes_to_pages(x), (x + PAGE_SIZE - 1) / PAGE_SIZE);
    }
    EXPECT_EQ(align_up(7, 1), 7);
    EXPECT_EQ(bytes_to_pages(UINT64_MAX), (uint64_t)1 << 52);
    for (uint64_t nr = 1; nr < 5000; nr++) {
        unsigned order = order_for_pages(nr);

        EXPECT((uint64_t)1 << order >= nr);
        EXPECT(order == 0 || (uint64_t)1 << (order - 1) < nr);
    }
    EXPECT_EQ(min_uint(3, 4), 3);
    EXPECT_EQ(max_uint(3, 4), 4);
}

/* The first report stays; a long one is cut, not overrun. */
static void finding_keeps_the_first(void)
{
    struct finding f = {{0}};
    char longer[600];

    EXPECT(!finding_report(&f, "frame %u", 7u));
    EXPECT(!finding_report(&f, "frame %u", 8u));
    EXPECT_EQ(strcmp(f.text, "frame 7"), 0);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    f.text[0] = '\0';
    EXPECT(!finding_report(&f, "%s", longer));
    EXPECT_EQ(strlen(f.text), sizeof f.text - 1);
}

#if PYSLAB_CHECK_LEVEL >= 1

static void take_two(enum lock_rank first, enum lock_rank second)
{
    struct lock a, b;

    lock_init(&a, first);
    lock_init(&b, second);
    lock_acquire(&a);
    lock_acquire(&b);
    lock_release(&b);
    lock_release(&a);
    lock_destroy(&a);
    lock_destroy(&b);
}

static void take_in_order(void)
{
    take_two(LOCK_RANK_CACHE, LOCK_RANK_ZONE);
    take_two(LOCK_RANK_FORK, LOCK_RANK_HEAP);
}

static void take_out_of_order(void)
{
    take_two(LOCK_RANK_ZONE, LOCK_RANK_CACHE);
}

static void take_same_rank(void)
{
    take_two(LOCK_RANK_CACHE, LOCK_RANK_CACHE);
}

/* A thread that takes locks out of order is stopped; in order it is not. */
static void lock_ranks_are_enforced(void)
{
    EXPECT_EQ(check_child(take_in_order), 0);
    EXPECT(check_stops(take_out_of_order, "held[rank] == 0"));
    EXPECT(check_stops(take_same_rank, "held[rank] == 0"));
}

static struct lock shared_lock; /* of the tests below */

static void needs_the_lock(void)
{
    lock_assert_held(&shared_lock);
}

static void holds_another(void)
{
    struct lock other;

    lock_init(&other, LOCK_RANK_ZONE);
    lock_init(&shared_lock, LOCK_RANK_ZONE);
    lock_acquire(&other);
    needs_the_lock();
}

static void *needs_it_in_a_thread(void *unused)
{
    (void)unused;
    needs_the_lock();
    return NULL;
}

static void another_thread_holds_it(void)
{
    pthread_t thread;

    lock_init(&shared_lock, LOCK_RANK_ZONE);
    lock_acquire(&shared_lock);
    pthread_create(&thread, NULL, needs_it_in_a_thread, NULL);
    pthread_join(thread, NULL);
}

static void held_no_longer(void)
{
    lock_init(&shared_lock, LOCK_RANK_ZONE);
    lock_acquire(&shared_lock);
    lock_release(&shared_lock);
    needs_the_lock();
}

/* It is this very lock that must be held, and by this thread. */
static void lock_holders_are_known(void)
{
    lock_init(&shared_lock, LOCK_RANK_ZONE);
    lock_acquire(&shared_lock);
    needs_the_lock();
    lock_release(&shared_lock);
    lock_destroy(&shared_lock);
    EXPECT(check_stops(holds_another, "lock_is_held"));
    EXPECT(check_stops(another_thread_holds_it, "lock_is_held"));
    EXPECT(check_stops(held_no_longer, "lock_is_held"));
}

static void child_needs_it(void)
{
    needs_the_lock();
    lock_release_after_fork(&shared_lock);
    EXPECT(!lock_is_held(&shared_lock));
}

/* What the fork handlers take is held, several of one rank, and held by the child's thread too. */
static void lock_holders_survive_fork(void)
{
    struct lock next;

    lock_init(&shared_lock, LOCK_RANK_ZONE);
    lock_init(&next, LOCK_RANK_ZONE);
    lock_acquire_for_fork(&shared_lock);
    lock_acquire_for_fork(&next);
    lock_assert_held(&next);
    EXPECT_EQ(check_child(child_needs_it), 0);
    lock_release_after_fork(&next);
    needs_the_lock();
    lock_release_after_fork(&shared_lock);
    EXPECT(!lock_is_held(&shared_lock) && !lock_is_held(&next));
}

static _Atomic bool taken_while_waiting;

static void *takes_it(void *condition)
{
    lock_acquire(&shared_lock);
    taken_while_waiting = true;
    needs_the_lock();
    condition_wake_all(condition);
    lock_release(&shared_lock);
    return NULL;
}

/* Who waits on a condition does not hold the lock, and holds it again afterwards. */
static void lock_holders_wait(void)
{
    struct condition condition;
    pthread_t thread;

    lock_init(&shared_lock, LOCK_RANK_ZONE);
    condition_init(&condition);
    lock_acquire(&shared_lock);
    REQUIRE(pthread_create(&thread, NULL, takes_it, &condition) == 0);
    while (!taken_while_waiting)
        condition_wait(&condition, &shared_lock, 1000);
    needs_the_lock();
    lock_release(&shared_lock);
    pthread_join(thread, NULL);
}

#endif

#if PYSLAB_CHECK_LEVEL >= 1

static void waits_with_two_locks(void)
{
    struct condition condition;
    struct lock inner;

    lock_init(&shared_lock, LOCK_RANK_CACHE);
    lock_init(&inner, LOCK_RANK_ZONE);
    condition_init(&condition);
    lock_acquire(&shared_lock);
    lock_acquire(&inner);
    condition_wait(&condition, &inner, 1);
}

static void waits_without_the_lock(void)
{
    struct condition condition;

    lock_init(&shared_lock, LOCK_RANK_CACHE);
    condition_init(&condition);
    condition_wait(&condition, &shared_lock, 1);
}

static struct index_link links[4];
static struct index_list list;
static const struct index_view view = {(char *)links, sizeof links[0]};

/* A list of records 0, 1 and 2; record 3 is not on it, nor on another. */
static void list_of_three(void)
{
    index_list_init(&list);
    for (uint32_t i = 0; i < 3; i++)
        index_list_add_tail(&list, view, i);
    links[3] = (struct index_link){INDEX_NONE, INDEX_NONE};
}

static void removes_what_is_not_listed(void)
{
    list_of_three();
    index_list_remove(&list, view, 3);
}

static void removes_twice(void)
{
    list_of_three();
    index_list_remove(&list, view, 1);
    index_list_remove(&list, view, 1);
}

static volatile uint64_t zero; /* not known to the compiler */

static void logarithm_of_zero(void)
{
    EXPECT_EQ(ilog2(zero), 0);
}

static void order_for_nothing(void)
{
    EXPECT_EQ(order_for_pages(zero), 0);
}

static void aligns_to_three(void)
{
    EXPECT_EQ(align_up(1, zero + 3), 3);
}

/* Who breaks a `pre:` of this folder is stopped. */
static void preconditions_are_enforced(void)
{
    EXPECT(check_stops(waits_with_two_locks, "lock_is_held_alone"));
    EXPECT(check_stops(waits_without_the_lock, "lock_is_held(lock)"));
    EXPECT(check_stops(removes_what_is_not_listed, "index_list_has"));
    EXPECT(check_stops(removes_twice, "index_list_has"));
    EXPECT(check_stops(logarithm_of_zero, "x > 0"));
    EXPECT(check_stops(order_for_nothing, "nr_pages > 0"));
    EXPECT(check_stops(aligns_to_three, "is_power_of_two(align)"));
}

/* The list's invariant fails for each field that is wrong, and for no list that is right. */
static void list_invariant(void)
{
    list_of_three();
    EXPECT(index_list_adds_up(&list, view));
    list.nr++;
    EXPECT(!index_list_adds_up(&list, view));
    list.nr -= 2;
    EXPECT(!index_list_adds_up(&list, view));
    list.nr++;
    list.last = 1;
    EXPECT(!index_list_adds_up(&list, view));
    list.last = 2;
    links[1].prev = 2;
    EXPECT(!index_list_adds_up(&list, view));
    links[1].prev = 0;
    links[2].next = 0; /* a ring */
    EXPECT(!index_list_adds_up(&list, view));
    links[2].next = INDEX_NONE;
    EXPECT(index_list_adds_up(&list, view));
    while (list.nr > 0)
        index_list_remove(&list, view, list.first);
    EXPECT(index_list_adds_up(&list, view));
}

#endif

static const struct test tests[] = {
    TEST(list_by_hand),
    TEST(list_random),
    TEST(list_is_position_independent),
    TEST(bits_logarithms),
    TEST(bits_rounding),
    TEST(finding_keeps_the_first),
#if PYSLAB_CHECK_LEVEL >= 1
    TEST(lock_ranks_are_enforced),
    TEST(lock_holders_are_known),
    TEST(lock_holders_survive_fork),
    TEST(lock_holders_wait),
    TEST(preconditions_are_enforced),
    TEST(list_invariant),
#endif
};

TEST_MAIN(tests)
