/* test_malloc_faults.c - memory is refused at each point of each function in turn, once and
 * from then on: NULL with ENOMEM, old blocks as they were, and the heap valid afterwards. */
#include "renamed.h"

#include "base/fault.h"
#include "malloc/guards.h"
#include "malloc/heap.h"
#include "malloc/quarantine.h"
#include "malloc/zero_size.h"

#include <errno.h>
#include <pthread.h>

#if PYSLAB_CHECK_LEVEL >= 1

#define MOST_POINTS 3000u

static char *held; /* of realloc: HELD_BYTES */
#define HELD_BYTES 3000u

static void *small(void)
{
    return test_malloc(100);
}

static void *medium(void)
{
    return test_malloc(60000);
}

static void *large(void)
{
    return test_malloc(5000000);
}

static void *cleared(void)
{
    char *p = test_calloc(7, 3001);

    EXPECT(p == NULL || is_zero(p, 7 * 3001));
    return p;
}

static void *aligned(void)
{
    return test_aligned_alloc(65536, 100);
}

static void *posix_aligned(void)
{
    void *p = held;
    int error = test_posix_memalign(&p, 256, 5000);

    EXPECT(error == 0 || (error == ENOMEM && p == held));
    errno = error;
    return error == 0 ? p : NULL;
}

static void *grown(void)
{
    char *p = test_realloc(held, 800000);

    EXPECT(is_filled(p != NULL ? p : held, HELD_BYTES, 9));
    if (p != NULL)
        held = test_malloc(HELD_BYTES);
    return p;
}

static void *shrunk(void)
{
    char *p = test_realloc(held, 50);

    EXPECT(is_filled(p != NULL ? p : held, 50, 9));
    if (p != NULL)
        held = test_malloc(HELD_BYTES);
    return p;
}

static void *(*const operations[])(void) = {small,   medium,        large, cleared,
                                            aligned, posix_aligned, grown, shrunk};

static void expect_valid(void)
{
    struct finding finding = {.text = ""};

    EXPECT(arena_check(&malloc_arena, &finding));
    if (finding.text[0] != '\0')
        fprintf(stderr, "%s\n", finding.text);
}

static void *run_one(void *argument)
{
    void *(*operation)(void) = *(void *(*const *)(void))argument;

    errno = 0;
    return operation();
}

static void *run(void *(*const *operation)(void), bool in_thread)
{
    pthread_t thread;
    void *p = NULL;

    if (!in_thread)
        return run_one((void *)(uintptr_t)operation);
    if (pthread_create(&thread, NULL, run_one, (void *)(uintptr_t)operation) == 0)
        pthread_join(thread, &p);
    return p;
}

static void fail_everywhere(bool sticky, bool in_thread)
{
    unsigned refused = 0;

    test_free(test_malloc(1));
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
        for (uint64_t n = 1;; n++) {
            uint64_t count;
            void *p;
            int error;

            held = test_malloc(HELD_BYTES);
            fill(held, HELD_BYTES, 9);
            (void)test_malloc_trim(0); /* start with empty caches */
            fault_inject(n, sticky);
            p = run(&operations[i], in_thread);
            error = errno;
            count = fault_count();
            fault_inject(0, false);
            refused += p == NULL;
            EXPECT(p != NULL || count != 0);
            EXPECT(p != NULL || in_thread || error == ENOMEM);
            if (held == NULL)
                held = test_malloc(HELD_BYTES);
            test_free(p);
            test_free(held);
            expect_valid();
            REQUIRE(n < MOST_POINTS);
            if (count == 0)
                break;
        }
    EXPECT(!sticky || refused >= 3); /* one failure alone is got over by a retry */
}

static void one_failure(void)
{
    fail_everywhere(false, false);
}

static void all_from_one_on(void)
{
    fail_everywhere(true, false);
}

static void one_failure_in_a_thread(void)
{
    fail_everywhere(false, true);
}

static void all_from_one_on_in_a_thread(void)
{
    fail_everywhere(true, true);
}

/* The heap itself cannot be made: NULL, and the next call tries again. */
static void failures_at_the_start(void)
{
    uint64_t n = 1, count;

    do {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            void *p;

            errno = 0;
            fault_inject(n, true);
            p = test_malloc(10);
            count = fault_count();
            fault_inject(0, false);
            EXPECT(p != NULL || (count != 0 && errno == ENOMEM));
            test_free(p);
            p = test_malloc(10);
            EXPECT(p != NULL);
            test_free(p);
            expect_valid();
            _exit(check_nr_failures != 0 ? 1 : count == 0 ? 7 : 0);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        EXPECT_NE(WEXITSTATUS(status), 1);
        if (WEXITSTATUS(status) == 7)
            return;
    } while (++n < MOST_POINTS);
    EXPECT(n < MOST_POINTS);
}

/* --- contracts --------------------------------------------------------------- */

static void free_no_place(void)
{
    (void)zero_size_free(&held);
}

static void align_to_48(void)
{
    (void)heap_alloc_aligned(100, 48);
}

static void search_without_the_lock(void)
{
    (void)quarantine_has_frames_locked((char *)&held);
}

static void place_half_a_guard(void)
{
    (void)guards_place((char *)4096, 100, 8192);
}

/* A call that breaks what the header asks for is stopped by the check of that line. */
static void contracts(void)
{
    EXPECT(test_malloc(0) != NULL); /* the heap and its places are there */
    EXPECT(check_stops(free_no_place, "zero_size_is_place(p)"));
    EXPECT(check_stops(align_to_48, "is_power_of_two(align)"));
    EXPECT(check_stops(search_without_the_lock, "lock_is_held(&quarantine_lock)"));
    EXPECT(check_stops(place_half_a_guard, "(front & (PAGE_SIZE - 1)) == 0"));
}

static const struct test tests[] = {
    TEST(one_failure),
    TEST(all_from_one_on),
    TEST(one_failure_in_a_thread),
    TEST(all_from_one_on_in_a_thread),
    TEST(failures_at_the_start),
    TEST(contracts),
};

TEST_MAIN(tests)

#else

int main(void)
{
    printf("0 passed, 0 failed (PYSLAB_CHECK_LEVEL is 0)\n");
    return 0;
}

#endif
