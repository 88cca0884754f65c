/* test_kfence_signal.c - holds down what the handler of SIGSEGV says of an access to a pool of
 * guarded objects, and whom it calls next (csrc/os/os_fault.c, csrc/kfence/access.c).
 */
#include "rig_kfence.h"

#include <setjmp.h>
#include <signal.h>

/* As in a program that no sanitizer watches: these take the signal for themselves. */
static void start(void)
{
    signal(SIGSEGV, SIG_DFL);
    fenced_arena(1000000, 31);
}

/* --- found at the access ------------------------------------------------------------ */

/* Has the child's standard error in words; the status is what ended it. */
static int words_of(void (*run)(void), char *text, size_t bytes)
{
    FILE *words = tmpfile();
    int saved = dup(STDERR_FILENO), status;
    size_t length;

    if (words == NULL || saved < 0 || dup2(fileno(words), STDERR_FILENO) < 0)
        abort();
    status = check_child(run);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(words);
    length = fread(text, 1, bytes - 1, words);
    text[length] = '\0';
    fclose(words);
    return status;
}

/* What calls were made is told where they can be traced. */
static const char *traced(const char *words)
{
    return HAS_BACKTRACE ? words : "";
}

static void expect_words(void (*run)(void), const char *first, const char *second)
{
    char text[8192];
    int status = words_of(run, text, sizeof text);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT(strstr(text, first) != NULL);
    EXPECT(strstr(text, second) != NULL);
    if (strstr(text, first) == NULL || strstr(text, second) == NULL)
        fprintf(stderr, "%s", text);
}

static volatile char *volatile target;

static void read_behind(void)
{
    start();
    target = sample_at(112, true);
    (void)target[112];
}

static void write_behind(void)
{
    start();
    target = sample_at(112, true);
    target[114] = 1;
}

static void read_before(void)
{
    start();
    target = sample_at(112, false);
    (void)target[-1];
}

static void use_freed(bool write)
{
    start();
    target = sample(112);
    EXPECT_EQ(pyslab_kfree(arena, (void *)(uintptr_t)target), PYSLAB_OK);
    if (write)
        target[5] = 1;
    else
        (void)target[5];
}

static void read_freed(void)
{
    use_freed(false);
}

static void write_freed(void)
{
    use_freed(true);
}

static void accesses_are_told(void)
{
    expect_words(read_behind,
                 "pyslab: BUG kmalloc-112: out of bounds, a read 1 bytes past the end\n",
                 traced("  allocated by\n"));
    expect_words(write_behind, "kmalloc-112: out of bounds, a write 3 bytes past the end\n",
                 "is at offset 114\n");
    expect_words(read_before, "kmalloc-112: out of bounds, a read 1 bytes before the start\n",
                 "is at offset -1\n");
    expect_words(read_freed, "kmalloc-112: use after free, a read\n", traced("  freed by\n"));
    expect_words(write_freed, "kmalloc-112: use after free, a write\n", traced("  allocated by\n"));
}

static void an_access_to_nothing(void)
{
    pyslab_corruption found;
    struct kfence *k;

    fenced_arena(1000000, 31);
    k = arena->kmalloc.slabs.kfence;
    kfence_explain(k, k->base + 5, PYSLAB_ACCESS_READ, &found);
    EXPECT_PTR(found.object, NULL);
    (void)pyslab_corruption_text(&found, seen_text, sizeof seen_text);
    EXPECT(strstr(seen_text,
                  "BUG no object: out of bounds, a read of a page that has no object yet") ==
           seen_text);
    end();
}

/* --- the signal ------------------------------------------------------------------------ */

static sigjmp_buf back;
static volatile sig_atomic_t nr_calls;

static void handle_here(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    EXPECT_PTR(info->si_addr, target + 112);
    nr_calls++;
    siglongjmp(back, 1);
}

/* A program's own handler, which was there first, gets the signal twice, and the thread goes on. */
static void the_handler_before_is_called(void)
{
    struct sigaction action = {.sa_sigaction = handle_here, .sa_flags = SA_SIGINFO};

    check_quiet();
    EXPECT_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    fenced_arena(1000000, 31);
    target = sample_at(112, true);
    for (int i = 0; i < 2; i++)
        if (sigsetjmp(back, 1) == 0)
            (void)target[112];
    EXPECT_EQ(nr_calls, 2);
    EXPECT_EQ(nr_seen, 2); /* the arena's own handler was told in between */
    EXPECT_EQ(seen.access, PYSLAB_ACCESS_READ);
    EXPECT_EQ(stats().nr_found, 2);
    end();
}

static struct sigaction older;

/* As Python's faulthandler: gives the signal back to who had it before, and sends it again. */
static void give_back(int number)
{
    nr_calls++;
    sigaction(number, &older, NULL);
    raise(number);
}

static void install_later(int flags)
{
    struct sigaction action = {.sa_handler = give_back, .sa_flags = flags};

    EXPECT_EQ(sigaction(SIGSEGV, &action, &older), 0);
}

static void with_later_handler(int flags)
{
    start();
    target = sample_at(112, true);
    install_later(flags);
    (void)target[112];
}

static void later_on_a_stack(void)
{
    with_later_handler(SA_NODEFER | SA_ONSTACK);
}

static void later_without(void)
{
    with_later_handler(SA_NODEFER);
}

static void later_that_defers(void)
{
    with_later_handler(0);
}

static void a_signal_sent_again_leads_to_the_access(void)
{
    const char *words = "out of bounds, a read 1 bytes past the end\n";

    expect_words(later_on_a_stack, words, traced("allocated by"));
    expect_words(later_without, words, traced("allocated by"));
    expect_words(later_that_defers, words, traced("allocated by"));
}

static void raise_plainly(void)
{
    start();
    raise(SIGSEGV);
}

static void raise_to_later(void)
{
    start();
    install_later(SA_NODEFER | SA_ONSTACK);
    raise(SIGSEGV);
}

static void kill_itself(void)
{
    start();
    kill(getpid(), SIGSEGV);
}

static void fault_to_later(void)
{
    start();
    install_later(SA_NODEFER | SA_ONSTACK);
    target = (char *)16;
    *target = 1;
}

static void touch_elsewhere(void)
{
    start();
    target = (char *)16;
    *target = 1;
}

/* None of these has to do with the pool: the process ends as without it, and nothing is said. */
static void other_signals_end_the_process(void)
{
    void (*const runs[])(void) = {raise_plainly, raise_to_later, kill_itself, touch_elsewhere,
                                  fault_to_later};

    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        char text[4096];
        int status = words_of(runs[i], text, sizeof text);

        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        EXPECT(strstr(text, "pyslab") == NULL);
    }
}

static void ignored(void)
{
    fenced_arena(1000000, 31);
    EXPECT_EQ(kill(getpid(), SIGSEGV), 0); /* as without it */
    target = (char *)16;
    *target = 1; /* cannot be ignored */
}

static void a_signal_that_was_ignored(void)
{
    signal(SIGSEGV, SIG_IGN);
    expect_words(ignored, "", "");
}

static void the_handler_goes_with_the_last_pool(void)
{
    struct sigaction now;
    pyslab_arena *first;

    signal(SIGSEGV, SIG_DFL);
    first = fenced_arena(1000000, 31);
    fenced_arena(1000000, 31);
    end();
    sigaction(SIGSEGV, NULL, &now);
    EXPECT((now.sa_flags & SA_SIGINFO) != 0);
    EXPECT_EQ(pyslab_arena_destroy(first), PYSLAB_OK);
    sigaction(SIGSEGV, NULL, &now);
    EXPECT(now.sa_handler == SIG_DFL);
}

static const struct test tests[] = {
    TEST(accesses_are_told),
    TEST(an_access_to_nothing),
    TEST(the_handler_before_is_called),
    TEST(a_signal_sent_again_leads_to_the_access),
    TEST(other_signals_end_the_process),
    TEST(a_signal_that_was_ignored),
    TEST(the_handler_goes_with_the_last_pool),
};

TEST_MAIN(tests)
