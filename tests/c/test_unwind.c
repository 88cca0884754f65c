/* test_unwind.c - holds down os_unwind: it finds the return addresses that the C library's
 * backtrace() finds by the compiler's unwinder, whatever the frames, or says that it cannot. */
#include "os/os_unwind.h"

#include "base/compiler.h"

#include "check.h"

#include <alloca.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>

#if defined(__x86_64__)
#define MOST 60

static _Thread_local unsigned nr_walked; /* stacks that os_unwind could walk */
static _Thread_local volatile int depth; /* keeps the compiler from knowing how deep it goes */

static __attribute__((noinline)) bool walk(uintptr_t *found, unsigned max, unsigned *nr)
{
    bool simple = os_unwind(found, max, NULL, nr);

    __asm__ volatile("" ::: "memory"); /* no tail call */
    return simple;
}

/* Both walks, from the caller of this function on. */
static __attribute__((noinline)) void compare(bool must_be_simple)
{
    uintptr_t found[MOST];
    void *expected[MOST];
    unsigned nr = 0, skip = 1;
    int nr_expected = backtrace(expected, MOST);
    bool simple = walk(found, MOST, &nr);

    EXPECT(simple || !must_be_simple);
    if (!simple)
        return;
    nr_walked++;
    /* The first is in this function, in two places; before that a sanitizer may have its own. */
    while (skip < 4 && (uintptr_t)expected[skip] != found[1])
        skip++;
    EXPECT_EQ(nr - 1, (unsigned)nr_expected - skip);
    for (unsigned i = 1; i < nr; i++)
        EXPECT_EQ(found[i], (uintptr_t)expected[skip + i - 1]);
}

static __attribute__((noinline)) void recurse(int left)
{
    if (left > 0)
        recurse(left - 1);
    else
        compare(true);
    depth++;
}

/* Its frame is known by rbp alone. */
static __attribute__((noinline)) void with_alloca(size_t bytes)
{
    char *volatile room = alloca(bytes + 1 + (size_t)depth % 64);

    room[0] = 1;
    recurse((int)(bytes % 5));
    depth += room[0];
}

static __attribute__((noinline, optimize("no-omit-frame-pointer"))) void with_frame_pointer(int n)
{
    if (n > 0)
        with_alloca((size_t)n * 100);
    recurse(n);
    depth++;
}

static int in_qsort(const void *a, const void *b)
{
    with_frame_pointer(2);
    return *(const int *)a - *(const int *)b;
}

static void all_kinds_of_frames(void)
{
    int numbers[] = {3, 1, 2};

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 30; i++)
            recurse(i);
        for (size_t i = 1; i < 3000; i += 177)
            with_alloca(i);
        with_frame_pointer(3);
        qsort(numbers, ARRAY_SIZE(numbers), sizeof numbers[0], in_qsort);
    }
    EXPECT_GE(nr_walked, 150);
}

static void *in_thread(void *argument)
{
    for (int i = 0; i < 200; i++)
        with_alloca((size_t)i * 7);
    return argument;
}

static void threads_at_once(void)
{
    pthread_t thread[4];

    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, in_thread, NULL) == 0);
    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_join(thread[i], NULL);
}

static void on_signal(int number)
{
    (void)number;
    compare(false);
}

/* A handler's frame is not simple: it must say so, or be right. */
static void in_a_signal_handler(void)
{
    REQUIRE(signal(SIGUSR1, on_signal) != SIG_ERR);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
}

static void as_many_as_there_is_room_for(void)
{
    uintptr_t all[MOST], some[3];
    unsigned nr_all, nr;

    REQUIRE(walk(all, MOST, &nr_all) && nr_all > 3);
    REQUIRE(walk(some, 3, &nr));
    EXPECT_EQ(nr, 3);
    EXPECT_EQ(some[2], all[2]);
}

static const struct test tests[] = {
    TEST(all_kinds_of_frames),
    TEST(threads_at_once),
    TEST(in_a_signal_handler),
    TEST(as_many_as_there_is_room_for),
};

int main(int argc, char **argv)
{
    os_backtrace_load();
    return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
#else
int main(void)
{
    return 0;
}
#endif
