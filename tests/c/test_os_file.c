/* test_os_file.c - holds down os/os_file.h: a file mapped twice, holes, clearing; a descriptor
 * that the program closed, and one whose number it gave to a file of its own; limits on
 * addresses, locked memory; what a forked child gets. Root's and other users' limits alike. */
#include "os/os_file.h"
#include "os/os.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define KIB ((size_t)1024)
#define FILE_BYTES (64 * KIB)

static struct os_file file;

static char *reserve(size_t bytes)
{
    void *p = NULL;

    if (os_reserve(bytes, 4 * KIB, &p) != PYSLAB_OK)
        abort();
    return p;
}

static void file_begin(void)
{
    if (os_file_open_memory(&file, "pyslab-test", FILE_BYTES) != PYSLAB_OK)
        abort();
}

static char *mapped(uint64_t offset, size_t bytes)
{
    char *p = reserve(bytes);

    if (os_file_map(&file, p, offset, bytes, OS_FILE_SHARED) != PYSLAB_OK)
        abort();
    return p;
}

static uint64_t blocks_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? (uint64_t)status.st_blocks : UINT64_MAX;
}

/* Two mappings of one file are the same memory; a punched hole reads zero in both. */
static void maps_twice(void)
{
    char *a, *b;

    file_begin();
    EXPECT_GE(file.fd, 1024);
    EXPECT(file.alias != NULL);
    a = mapped(0, 32 * KIB);
    b = mapped(16 * KIB, 32 * KIB);
    memset(a + 16 * KIB, 0x33, 16 * KIB);
    EXPECT_EQ(b[0], 0x33);
    EXPECT_EQ(b[16 * KIB], 0);
    b[1] = 0x44;
    EXPECT_EQ(a[16 * KIB + 1], 0x44);
    EXPECT_EQ(os_file_discard(&file, 16 * KIB, 8 * KIB), PYSLAB_OK);
    EXPECT_EQ(a[16 * KIB + 1], 0);
    EXPECT_EQ(b[8 * KIB], 0x33);
    os_file_clear(&file, 24 * KIB, 4 * KIB);
    EXPECT_EQ(b[8 * KIB], 0);
    EXPECT_EQ(b[12 * KIB], 0x33);
    os_release(a, 32 * KIB);
    os_release(b, 32 * KIB);
    os_file_close(&file);
    EXPECT_EQ(file.fd, -1);
    os_file_close(&file);
}

/* Resident at once; a page of the file, not a new one. */
static void maps_resident(void)
{
    unsigned char seen[4];
    char *p = reserve(16 * KIB);

    file_begin();
    EXPECT_EQ(os_file_map(&file, p, 8 * KIB, 16 * KIB, OS_FILE_SHARED_RESIDENT), PYSLAB_OK);
    EXPECT_EQ(mincore(p, 16 * KIB, seen), 0);
    EXPECT_EQ(seen[0] & seen[1] & seen[2] & seen[3] & 1, 1);
    memset(p, 0x31, 16 * KIB);
    EXPECT_EQ(os_uncommit(p, 16 * KIB), PYSLAB_OK);
    EXPECT_EQ(os_file_map(&file, p, 8 * KIB, 16 * KIB, OS_FILE_SHARED), PYSLAB_OK);
    EXPECT_EQ(p[16 * KIB - 1], 0x31);
    os_release(p, 16 * KIB);
    os_file_close(&file);
}

/* The number of the file's descriptor becomes that of another file, which has this content. */
static int number_stolen(void)
{
    static const char text[8192] = {'u', 's', 'e', 'r'};
    int own = memfd_create("user", 0), number = file.fd;

    if (own < 0 || ftruncate(own, FILE_BYTES) != 0 ||
        write(own, text, sizeof text) != sizeof text || dup2(own, number) != number)
        abort();
    close(own);
    return number;
}

static void expect_untouched(int number)
{
    char text[8192];

    EXPECT_EQ(pread(number, text, sizeof text, 0), sizeof text);
    EXPECT_EQ(memcmp(text, "user", 5), 0);
    EXPECT_EQ(blocks_of(number), 16);
}

/* Everything goes on by the alias, and the other file is not touched. */
static void another_file_has_the_number(void)
{
    int number;
    char *a, *b;

    file_begin();
    a = mapped(0, 32 * KIB);
    memset(a, 0x21, 32 * KIB);
    number = number_stolen();
    b = mapped(4 * KIB, 16 * KIB);
    EXPECT(atomic_load(&file.lost));
    EXPECT_EQ(b[0], 0x21);
    b[0] = 0x22;
    EXPECT_EQ(a[4 * KIB], 0x22);
    EXPECT_EQ(os_file_discard(&file, 0, 8 * KIB), PYSLAB_OK);
    EXPECT_EQ(a[0] | a[4 * KIB], 0);
    EXPECT_EQ(a[8 * KIB], 0x21);
    os_file_clear(&file, 8 * KIB, 4 * KIB);
    EXPECT_EQ(a[8 * KIB], 0);
    file.is_disk = true; /* whose blocks stay: cleared by writing */
    os_file_clear(&file, 12 * KIB, 4 * KIB);
    file.is_disk = false;
    EXPECT_EQ(a[12 * KIB], 0);
    EXPECT_EQ(a[16 * KIB], 0x21);
    EXPECT_EQ(os_file_sync(&file), PYSLAB_OK);
    EXPECT_EQ(os_file_map(&file, b, 0, 16 * KIB, OS_FILE_SHARED_RESIDENT), PYSLAB_OK);
    b[0] = 1;
    EXPECT_EQ(a[0], 1);
    expect_untouched(number);
    os_file_close(&file);
    expect_untouched(number); /* it is still open, too */
}

static void closed_by_the_program(void)
{
    char *a;

    file_begin();
    close(file.fd);
    a = mapped(0, 8 * KIB);
    a[0] = 5;
    EXPECT_EQ(os_file_discard(&file, 0, 4 * KIB), PYSLAB_OK);
    EXPECT_EQ(a[0], 0);
    os_file_close(&file);
}

/* Under a limit that an alias would eat up there is none: then the loss is an error. */
static void limited_addresses(void)
{
    struct rlimit limit = {.rlim_cur = os_mapped_bytes() + 3 * FILE_BYTES + 64 * KIB};
    char *p = reserve(4 * KIB);
    int number;

    if (UNDER_ASAN || UNDER_TSAN)
        return; /* their own addresses are beyond any limit */
    limit.rlim_max = limit.rlim_cur;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    file_begin();
    EXPECT(file.alias == NULL);
    EXPECT_EQ(os_file_map(&file, p, 0, 4 * KIB, OS_FILE_SHARED), PYSLAB_OK);
    p[0] = 9;
    EXPECT_EQ(os_file_discard(&file, 0, 4 * KIB), PYSLAB_OK);
    EXPECT_EQ(p[0], 0);
    p[0] = 9;
    number = number_stolen();
    errno = 0;
    EXPECT_EQ(os_file_map(&file, p, 0, 4 * KIB, OS_FILE_SHARED), PYSLAB_EOS);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(os_file_discard(&file, 0, 4 * KIB), PYSLAB_EOS);
    EXPECT_EQ(os_file_sync(&file), PYSLAB_EOS);
    EXPECT_EQ(os_file_prefault(&file, 4 * KIB), PYSLAB_EOS);
    os_file_clear(&file, 0, 4 * KIB); /* nobody can map it any more: there is nothing to see */
    EXPECT_EQ(os_file_map(&file, p, 0, 4 * KIB, OS_FILE_SHARED), PYSLAB_EOS);
    expect_untouched(number);
    os_file_close(&file);
}

/* madvise refuses to remove locked pages, those of the alias too. */
static void locked_memory(void)
{
    char *a;

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        return; /* not allowed here */
    file_begin();
    a = mapped(0, 16 * KIB);
    memset(a, 0x41, 16 * KIB);
    close(file.fd);
    munlock(a, 16 * KIB);
    EXPECT_EQ(os_file_discard(&file, 0, 8 * KIB), PYSLAB_OK);
    EXPECT_EQ(a[0], 0);
    EXPECT_EQ(a[8 * KIB], 0x41);
    os_file_close(&file);
}

/* What a child makes private, it may write without its parent's seeing it. */
static volatile char *inherited; /* two addresses of it may be one byte */

static void child_writes(void)
{
    os_file_after_fork(&file);
    EXPECT(file.alias == NULL);
    os_file_make_private(&file, (char *)inherited, 8 * KIB, 16 * KIB);
    EXPECT_EQ(inherited[0], 0x51);
    memset((char *)inherited, 0x52, 8 * KIB);
    EXPECT_EQ(inherited[8 * KIB], 0x51);
}

static void child_without_the_number(void)
{
    int number = number_stolen();

    child_writes();
    expect_untouched(number);
}

static void child_ring(void)
{
    os_file_make_private_ring((char *)inherited, 8 * KIB);
    EXPECT_EQ(inherited[0] + inherited[8 * KIB], 2 * 0x51);
    inherited[5] = 7;
    EXPECT_EQ(inherited[8 * KIB + 5], 7);
    inherited[16 * KIB - 1] = 8;
    EXPECT_EQ(inherited[8 * KIB - 1], 8);
}

static void forked_children(void)
{
    file_begin();
    inherited = mapped(8 * KIB, 16 * KIB);
    memset((char *)inherited, 0x51, 16 * KIB);
    EXPECT_EQ(check_child(child_writes), 0);
    EXPECT_EQ(check_child(child_without_the_number), 0);
    EXPECT_EQ(inherited[0], 0x51);
    EXPECT_EQ(os_file_map(&file, (char *)inherited + 8 * KIB, 8 * KIB, 8 * KIB, OS_FILE_SHARED),
              PYSLAB_OK);
    EXPECT_EQ(check_child(child_ring), 0);
    EXPECT_EQ(inherited[5], 0x51);
    os_file_close(&file);
}

/* A file on disk: made, opened again, refused with another size, cleared with its blocks kept. */
static void on_disk(void)
{
    char path[] = "/tmp/pyslab-test-XXXXXX", *p;
    int fd = mkstemp(path);
    uint64_t blocks;
    bool fresh;

    REQUIRE(fd >= 0);
    close(fd);
    EXPECT_EQ(os_file_open_disk(&file, path, FILE_BYTES, &fresh), PYSLAB_OK);
    EXPECT(fresh && file.is_disk);
    p = mapped(0, 8 * KIB);
    memset(p, 0x61, 8 * KIB);
    EXPECT_EQ(os_file_sync(&file), PYSLAB_OK);
    blocks = blocks_of(file.fd);
    os_file_clear(&file, 0, 4 * KIB);
    EXPECT_EQ(p[0], 0);
    EXPECT_EQ(p[4 * KIB], 0x61);
    EXPECT_EQ(blocks_of(file.fd), blocks);
    os_file_close(&file);
    errno = 0;
    EXPECT_EQ(os_file_open_disk(&file, path, FILE_BYTES / 2, &fresh), PYSLAB_EOS);
    EXPECT_EQ(errno, ESTALE);
    EXPECT_EQ(os_file_open_disk(&file, path, FILE_BYTES, &fresh), PYSLAB_OK);
    EXPECT(!fresh);
    os_file_close(&file);
    unlink(path);
}

static const struct test tests[] = {
    TEST(maps_twice),
    TEST(maps_resident),
    TEST(another_file_has_the_number),
    TEST(closed_by_the_program),
    TEST(limited_addresses),
    TEST(locked_memory),
    TEST(forked_children),
    TEST(on_disk),
};

TEST_MAIN(tests)
