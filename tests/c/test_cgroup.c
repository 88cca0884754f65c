/* test_cgroup.c - holds down os_room.c: limits of cgroups, read from trees made here, and
 * what the limits of the process leave. */
#include "os/os.h"
#include "os/os_limits.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX
#define GIB ((uint64_t)1 << 30)

static char root[64];

/* Each test has a tree of its own, as tests run in any order; it is removed at the end. */
static void remove_tree(void)
{
    char command[96];

    snprintf(command, sizeof command, "rm -r %s", root);
    if (system(command) != 0)
        abort();
}

static void make_tree(void)
{
    snprintf(root, sizeof root, "/tmp/pyslab_cgroup_XXXXXX");
    if (mkdtemp(root) == NULL)
        abort();
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", root, name);
    file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

static void make_folder(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    if (mkdir(path, 0700) != 0)
        abort();
}

static uint64_t limit_of(const char *groups)
{
    char path[256];

    write_file("groups", groups);
    snprintf(path, sizeof path, "%s/groups", root);
    return os_cgroup_bytes(path, root);
}

/* Version 2: the least limit of a group and of all that it lies in. */
static void version_2(void)
{
    make_tree();
    make_folder("outer");
    make_folder("outer/inner");
    write_file("outer/memory.max", "1073741824\n");
    write_file("outer/inner/memory.max", "max\n");
    EXPECT_EQ(limit_of("0::/outer/inner\n"), GIB);
    write_file("outer/inner/memory.max", "4096\n");
    EXPECT_EQ(limit_of("0::/outer/inner\n"), 4096);
    EXPECT_EQ(limit_of("0::/outer\n"), GIB);
    EXPECT_EQ(limit_of("0::/\n"), NO_LIMIT);
    write_file("memory.max", "8192\n");
    EXPECT_EQ(limit_of("0::/\n"), 8192);
    EXPECT_EQ(limit_of("0::/outer\n"), 8192);
    write_file("memory.max", "max\n");
    remove_tree();
}

/* Version 1: the line of the memory controller, alone or among others, has the group. */
static void version_1(void)
{
    make_tree();
    make_folder("memory");
    make_folder("memory/job");
    write_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("memory/job/memory.limit_in_bytes", "536870912\n");
    EXPECT_EQ(limit_of("4:memory:/job\n3:cpu:/\n0::/\n"), GIB / 2);
    EXPECT_EQ(limit_of("3:cpu:/\n4:cpu,memory:/job\n"), GIB / 2);
    EXPECT_EQ(limit_of("4:memory:/\n"), 9223372036854771712u);
    EXPECT_EQ(limit_of("4:memoryless:/job\n"), NO_LIMIT);
    /* a container sees its group's path from outside, and its own folder as the mount */
    EXPECT_EQ(limit_of("4:memory:/docker/0123/job\n"), 9223372036854771712u);
    remove_tree();
}

/* What cannot be read is no limit. */
static void nothing_to_read(void)
{
    make_tree();
    EXPECT_EQ(os_cgroup_bytes("/nonexistent", root), NO_LIMIT);
    EXPECT_EQ(limit_of("nonsense\n"), NO_LIMIT);
    EXPECT_EQ(limit_of("0::/gone\n"), NO_LIMIT);
    remove_tree();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* The room is what a limit leaves, and shrinks by what is mapped. */
static void room_under_limits(void)
{
    const int resources[] = {RLIMIT_AS, RLIMIT_DATA};

    EXPECT_EQ(os_room_bytes(), NO_LIMIT);
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        struct rlimit old, tight;
        uint64_t before, after;
        void *p;

        (void)os_limit(0, resources[i], NULL, &old);
        tight = (struct rlimit){.rlim_cur = 4 * GIB, .rlim_max = old.rlim_max};
        (void)os_limit(0, resources[i], &tight, NULL);
        before = os_room_bytes();
        p = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                 0);
        after = os_room_bytes();
        (void)os_limit(0, resources[i], &old, NULL);
        EXPECT(p != MAP_FAILED);
        EXPECT(before <= 4 * GIB && before > 3 * GIB);
        EXPECT_EQ(before - after, GIB);
        munmap(p, GIB);
    }
}
#endif

static const struct test tests[] = {
    TEST(version_2),
    TEST(version_1),
    TEST(nothing_to_read),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they map terabytes */
    TEST(room_under_limits),
#endif
};

TEST_MAIN(tests)
