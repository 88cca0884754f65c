/* test_malloc_figures.c - what the library says of its heap (mallinfo, malloc_info,
 * malloc_stats, mallopt), and the names of the family that are not in POSIX: glibc's
 * __libc_malloc and so on, C23's free_sized. */
#include "renamed.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)

static bool is_hardened(void)
{
    const char *words = getenv("PYSLAB_MALLOC");

    return words != NULL && strstr(words, "hardened") != NULL;
}

/* --- names ------------------------------------------------------------------ */

/* Each of glibc's names and each of C's are of one heap, both ways. */
static void libc_names(void)
{
    for (size_t size = 1; size < 300 * KIB; size = size * 3 + 1) {
        char *p = test___libc_malloc(size), *q = test_malloc(size);

        REQUIRE(p != NULL && q != NULL);
        fill(p, size, 1);
        fill(q, size, 2);
        p = test_realloc(p, size + 100);
        q = test___libc_realloc(q, size + 100);
        EXPECT(is_filled(p, size, 1) && is_filled(q, size, 2));
        test_free(p);
        test___libc_free(q);
        p = test___libc_calloc(size, 2);
        EXPECT(is_zero(p, size * 2));
        test_free(p);
        p = test___libc_memalign(256, size);
        EXPECT((uintptr_t)p % 256 == 0);
        test_free(p);
        p = test___libc_valloc(size);
        q = test___libc_pvalloc(size);
        EXPECT((uintptr_t)p % 4096 == 0 && (uintptr_t)q % 4096 == 0);
        EXPECT_GE(test_malloc_usable_size(q), 4096);
        test_free(p);
        test_free(q);
    }
}

static void sized_frees(void)
{
    static const size_t sizes[] = {0, 1, 24, 100, 5000, 300 * KIB, 3000 * KIB};

    test_free_sized(NULL, 10);
    test_free_aligned_sized(NULL, 64, 10);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        test_free_sized(test_malloc(sizes[i]), sizes[i]);
        test_free_sized(test_calloc(1, sizes[i]), sizes[i]);
        for (size_t align = 16; align <= 8192; align *= 8)
            test_free_aligned_sized(test_aligned_alloc(align, sizes[i]), align, sizes[i]);
    }
}

static size_t wrong_size;  /* of a block that is freed */
static size_t wrong_align; /* with this alignment; 0: none is told */

static void free_wrongly(void)
{
    void *p = test_aligned_alloc(64, 100);

    check_quiet();
    if (wrong_align == 0)
        test_free_sized(p, wrong_size);
    else
        test_free_aligned_sized((char *)p, wrong_align, wrong_size);
}

/* Hardened mode alone knows what was asked for. */
static void sizes_are_checked(void)
{
    static const size_t wrong[][2] = {{0, 0},   {99, 0}, {101, 0}, {SIZE_MAX - 1, 0},
                                      {99, 64}, {0, 64}, {100, 3}, {100, 0x10000000}};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int status;

        wrong_size = wrong[i][0];
        wrong_align = wrong[i][1];
        status = check_child(free_wrongly);
        EXPECT_EQ(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, is_hardened());
    }
}

/* --- figures ---------------------------------------------------------------- */

static void numbers(void)
{
    struct mallinfo2 before = test_mallinfo2(), after;
    char *p = test_malloc(300 * KIB), *q = test_malloc(100);
    struct mallinfo old;

    after = test_mallinfo2();
    EXPECT_GE(after.uordblks, before.uordblks + 100);
    EXPECT_EQ(after.hblks, before.hblks + 1);
    EXPECT_GE(after.hblkhd, before.hblkhd + 300 * KIB);
    EXPECT_EQ(after.arena, after.uordblks + after.fordblks);
    old = test_mallinfo();
    EXPECT_EQ(old.uordblks, (int)test_mallinfo2().uordblks);
    EXPECT_EQ(old.hblkhd, (int)test_mallinfo2().hblkhd);
    memset(p, 1, 300 * KIB);
    test_free(p);
    test_free(q);
    after = test_mallinfo2(); /* what waits in hardened mode's quarantine is free */
    EXPECT_EQ(after.hblks, before.hblks);
    EXPECT_LE(after.hblkhd, before.hblkhd);
    EXPECT_LE(after.uordblks, before.uordblks);
    errno = EILSEQ;
    (void)test_malloc_trim(0);
    EXPECT_EQ(test_malloc_trim(0), 0); /* nothing left to release */
    EXPECT_EQ(errno, EILSEQ);
}

/* None of glibc's parameters changes anything here, and no caller is told that one did. */
static void parameters(void)
{
    errno = EILSEQ;
    EXPECT_EQ(test_mallopt(M_MMAP_THRESHOLD, 1 << 20), 0);
    EXPECT_EQ(test_mallopt(M_ARENA_MAX, 1), 0);
    EXPECT_EQ(test_mallopt(12345, 6), 0);
    EXPECT_EQ(errno, EILSEQ);
}

/* The first number behind a text; SIZE_MAX if the text is not there. */
static size_t number_after(const char *text, const char *mark)
{
    const char *found = strstr(text, mark);

    return found != NULL ? strtoull(found + strlen(mark), NULL, 10) : SIZE_MAX;
}

static char info[100000];

static int read_info(int options)
{
    FILE *file = tmpfile();
    int result = test_malloc_info(options, file);

    rewind(file);
    info[fread(info, 1, sizeof info - 1, file)] = '\0';
    fclose(file);
    return result;
}

static void info_in_xml(void)
{
    char *p = test_malloc(3000 * KIB);
    size_t bytes;

    EXPECT_EQ(read_info(1), EINVAL);
    EXPECT_EQ(strlen(info), 0);
    EXPECT_EQ(read_info(0), 0);
    EXPECT(strncmp(info, "<malloc version=\"1\">\n", 21) == 0);
    EXPECT(strstr(info, "</malloc>\n") != NULL);
    bytes = number_after(info, "<system type=\"current\" size=\"");
    EXPECT(bytes >= 3000 * KIB && bytes < 3000 * KIB + (64 << 20));
    EXPECT_GE(number_after(info, "<system type=\"max\" size=\""), bytes);
    EXPECT_EQ(number_after(info, "<total type=\"mmap\" count=\""), test_mallinfo2().hblks);
    test_free(p);
    EXPECT_EQ(read_info(0), 0);
    EXPECT_LE(number_after(info, "<system type=\"current\" size=\""), bytes);
}

/* --- cancellation ----------------------------------------------------------- */

static int report_fd; /* where number 2 leads */
static FILE *report_file;

static void *report_when_cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    test_malloc_stats();
    (void)test_malloc_info(0, report_file);
    if (fflush(report_file) != 0) /* a cancellation point: the thread ends at one of these */
        return unused;
    pthread_testcancel();
    return unused;
}

static size_t read_report(char *text, size_t bytes)
{
    ssize_t got = pread(report_fd, text, bytes - 1, 0);

    text[got > 0 ? got : 0] = '\0';
    return strlen(text);
}

/* A thread that is to end writes all of its reports. */
static void complete_when_cancelled(void)
{
    static char text[100000];
    FILE *errors = tmpfile();
    int saved = dup(STDERR_FILENO);
    pthread_t thread;
    void *result;

    REQUIRE(errors != NULL && dup2(fileno(errors), STDERR_FILENO) == STDERR_FILENO);
    report_fd = fileno(errors);
    report_file = tmpfile();
    REQUIRE(setvbuf(report_file, NULL, _IONBF, 0) == 0); /* each text is a write */
    REQUIRE(pthread_create(&thread, NULL, report_when_cancelled, NULL) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    REQUIRE(dup2(saved, STDERR_FILENO) == STDERR_FILENO); /* where this test's own words go */
    EXPECT(result == PTHREAD_CANCELED);
    read_report(text, sizeof text);
    EXPECT(strstr(text, "pyslab: malloc of process") != NULL && strstr(text, "failures") != NULL);
    report_fd = fileno(report_file);
    read_report(text, sizeof text);
    EXPECT(strstr(text, "</malloc>\n") != NULL);
}

static const struct test tests[] = {
    TEST(libc_names), TEST(sized_frees), TEST(sizes_are_checked),       TEST(numbers),
    TEST(parameters), TEST(info_in_xml), TEST(complete_when_cancelled),
};

TEST_MAIN(tests)
