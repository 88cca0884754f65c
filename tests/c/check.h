/* check.h - what every C test file uses: expectations, a runner, a random generator.
 *
 * Each test runs in a child process of its own, so that a crash or a hang fails that
 * test alone, and starts from a process in which the core has never been used. The
 * last line is 'N passed, N failed'; the exit status is 1 if any failed.
 *   test_x             all tests          test_x name...     those whose name contains it
 *   CHECK_NOFORK=1     in this process, for a debugger
 * Random numbers are the same in each run.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

/* When a test counts as hanging. The sanitizers slow some down ten times and more. */
#define CHECK_TIMEOUT_SECONDS 300u

static _Atomic unsigned check_nr_failures; /* expectations of this process that did not hold */

static inline bool check_holds(bool ok, const char *file, int line, const char *what, long long a,
                               long long b)
{
    if (!ok && atomic_fetch_add(&check_nr_failures, 1) < 10) /* the rest would drown the first */
        fprintf(stderr, "%s:%d: %s: %lld (0x%llx), %lld (0x%llx)\n", file, line, what, a,
                (unsigned long long)a, b, (unsigned long long)b);
    return ok;
}

#define CHECK_OP(a, op, b)                                                                         \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        check_holds(check_a op check_b, __FILE__, __LINE__, #a " " #op " " #b, check_a, check_b);  \
    } while (0)
#define EXPECT_EQ(a, b) CHECK_OP(a, ==, b)
#define EXPECT_NE(a, b) CHECK_OP(a, !=, b)
#define EXPECT_LE(a, b) CHECK_OP(a, <=, b)
#define EXPECT_GE(a, b) CHECK_OP(a, >=, b)
#define EXPECT(cond) ((void)check_holds((cond), __FILE__, __LINE__, #cond, 0, 1))
#define EXPECT_PTR(a, b) EXPECT_EQ((uintptr_t)(a), (uintptr_t)(b))
#define REQUIRE(cond) /* ends the calling function, which returns nothing, if it fails */          \
    do {                                                                                           \
        if (!check_holds((cond), __FILE__, __LINE__, #cond, 0, 1))                                 \
            return;                                                                                \
    } while (0)

/* Runs a function in a child; returns its wait status. 0: it ended, expectations held. */
static inline int check_child(void (*run)(void))
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        check_nr_failures = 0;
        alarm(CHECK_TIMEOUT_SECONDS);
        run();
        fflush(NULL);
        _exit(check_nr_failures != 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

/* For a child that is meant to crash: its last words are not a failure's. */
static inline void check_quiet(void)
{
    if (freopen("/dev/null", "w", stderr) == NULL)
        exit(0);
}

/* True if run, in a child, is ended by a failed check of the core whose message contains says.
 * Prints what it was ended by otherwise. */
static inline bool check_stops(void (*run)(void), const char *says)
{
    char text[1024] = "";
    FILE *words = tmpfile();
    int saved = dup(STDERR_FILENO), status;
    size_t length;
    bool ok;

    if (words == NULL || saved < 0 || dup2(fileno(words), STDERR_FILENO) < 0)
        return false;
    status = check_child(run);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(words);
    length = fread(text, 1, sizeof text - 1, words);
    text[length] = '\0';
    fclose(words);
    ok = status > 0 && WIFSIGNALED(status) && strstr(text, "check failed: ") != NULL &&
         strstr(text, says) != NULL;
    if (!ok)
        fprintf(stderr, "status %d, not stopped by \"%s\", but: %s\n", status, says, text);
    return ok;
}

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(function) {#function, function}

static inline bool check_wanted(const char *name, int argc, char **argv)
{
    bool wanted = argc < 2;

    for (int i = 1; i < argc; i++)
        wanted |= strstr(name, argv[i]) != NULL;
    return wanted;
}

static inline int run_tests(const struct test *tests, size_t nr, int argc, char **argv)
{
    unsigned passed = 0, failed = 0;

    for (size_t i = 0; i < nr; i++) {
        int status;

        if (!check_wanted(tests[i].name, argc, argv))
            continue;
        if (getenv("CHECK_NOFORK") != NULL) {
            unsigned before = check_nr_failures;

            tests[i].run();
            status = check_nr_failures != before;
        } else {
            status = check_child(tests[i].run);
        }
        printf("%s %s", status == 0 ? "ok  " : "FAIL", tests[i].name);
        if (status > 0 && WIFSIGNALED(status))
            printf(" (signal %d: %s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        printf("\n");
        passed += status == 0;
        failed += status != 0;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}

#define TEST_MAIN(tests)                                                                           \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return run_tests(tests, sizeof(tests) / sizeof(tests)[0], argc, argv);                     \
    }

struct rng {
    uint64_t state; /* anything but 0 */
};

/* xorshift64* (Marsaglia; Vigna's multiplier) */
static inline uint64_t rng_next(struct rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * 0x2545f4914f6cdd1du;
}

static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)(rng_next(rng) >> 33) % n;
}

#endif
