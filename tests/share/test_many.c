/* test_many.c - 100,000 blocks of one heap, alive and held by four processes at once: each has one
 * descriptor and one mapping of the heap, whatever their number. Then the owner frees all, three
 * processes end, one is killed, and all comes back. */
#include "../c/check.h"
#include "pyslab.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { NR_BLOCKS = 100000, NR_HOLDERS = 4, BLOCK_BYTES = 4096 };

struct common {
    pyslab_handle handles[NR_BLOCKS];
    _Atomic int nr_ready; /* holders that have all blocks */
    _Atomic int ended;    /* they may go */
};

static struct common *common;

/* Lines of /proc/self/maps, or descriptors, that name a file in memory. */
static unsigned nr_mappings(const char *name)
{
    char line[512];
    unsigned nr = 0;
    FILE *maps = fopen("/proc/self/maps", "re");

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        nr += strstr(line, name) != NULL;
    if (maps != NULL)
        fclose(maps);
    return nr;
}

static unsigned nr_descriptors(const char *name)
{
    const struct dirent *entry;
    char text[256];
    unsigned nr = 0;
    DIR *fds = opendir("/proc/self/fd");

    while (fds != NULL && (entry = readdir(fds)) != NULL) {
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, text, sizeof text - 1);

        text[length > 0 ? length : 0] = '\0';
        nr += strstr(text, name) != NULL;
    }
    closedir(fds);
    return nr;
}

static void hold_all(pid_t owner)
{
    static pyslab_shared_block blocks[NR_BLOCKS];
    pyslab_heap *heap;

    REQUIRE(pyslab_share_attach_process(owner, NULL, 0, &heap) == PYSLAB_OK);
    for (unsigned i = 0; i < NR_BLOCKS; i++) {
        REQUIRE(pyslab_share_open(&common->handles[i], &blocks[i]) == PYSLAB_OK);
        REQUIRE(*(const uint32_t *)blocks[i].address == i);
    }
    EXPECT_EQ(nr_mappings("memfd:pyslab-heap"), 1);
    EXPECT_EQ(nr_mappings("memfd:pyslab-table"),
              2); /* the table, and the page of the sign of life */
    EXPECT_EQ(nr_descriptors("memfd:pyslab-"), 1);
    atomic_fetch_add(&common->nr_ready, 1);
    while (!atomic_load(&common->ended))
        usleep(1000);
    for (unsigned i = 0; i < NR_BLOCKS; i++) {
        REQUIRE(*(const uint32_t *)blocks[i].address == i);
        REQUIRE(pyslab_share_close(&blocks[i]) == PYSLAB_OK);
    }
}

static pid_t holder_start(pid_t owner, const int begin[2])
{
    pid_t pid = fork();
    char c;

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* none waits for an owner that has failed */
    close(begin[1]);
    (void)!read(begin[0], &c, 1); /* until the owner has made its arena, and its end is closed */
    hold_all(owner);
    _exit(check_nr_failures != 0);
}

static pyslab_arena *arena_make(uint32_t *p)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .size_bytes = (uint64_t)512 << 20,
                                    .shared = PYSLAB_SHARE_READ,
                                    .max_transit_bytes = (uint64_t)512 << 20};
    pyslab_arena *arena = NULL;

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    for (uint32_t i = 0; i < NR_BLOCKS; i++) {
        p[i] = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_KERNEL);
        *(uint32_t *)pyslab_page_address(arena, p[i]) = i;
        if (pyslab_share_export(arena, pyslab_page_address(arena, p[i]), NR_HOLDERS,
                                &common->handles[i]) != PYSLAB_OK)
            abort();
    }
    return arena;
}

static void check_held(pyslab_arena *arena, const uint32_t *p)
{
    pyslab_share_stats stats;
    uint32_t nr_clients, nr_handles;

    /* One, of which the system lists what is left out of core dumps on a line of its own. */
    EXPECT_LE(nr_mappings("memfd:pyslab-heap"), 2);
    EXPECT_EQ(nr_descriptors("memfd:pyslab-"), 3); /* the heap, the table, and the figures */
    for (unsigned i = 0; i < NR_BLOCKS; i += 997) {
        EXPECT_EQ(
            pyslab_share_holders(arena, pyslab_page_address(arena, p[i]), &nr_clients, &nr_handles),
            PYSLAB_OK);
        EXPECT_EQ(nr_clients, NR_HOLDERS);
        EXPECT_EQ(nr_handles, 0);
    }
    for (unsigned i = 0; i < NR_BLOCKS; i++)
        EXPECT_EQ(pyslab_free_pages(arena, p[i], 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    pyslab_share_stats_read(arena, &stats);
    EXPECT_EQ(stats.nr_deferred, NR_BLOCKS);
}

static void holders_end(const pid_t *pids)
{
    int status;

    kill(pids[0], SIGKILL);
    atomic_store(&common->ended, 1);
    for (unsigned i = 0; i < NR_HOLDERS; i++) {
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT_EQ(status, i == 0 ? SIGKILL : 0);
    }
}

/* Until all is given back; a killed process may be seen for a moment longer (rig_share.h). */
static uint64_t reap_all(pyslab_arena *arena)
{
    uint64_t bytes = pyslab_share_reap(arena);

    for (unsigned i = 0; bytes < (uint64_t)NR_BLOCKS * BLOCK_BYTES && i < 3000; i++) {
        usleep(10000);
        bytes += pyslab_share_reap(arena);
    }
    return bytes;
}

static void many_blocks_four_holders(void)
{
    static uint32_t p[NR_BLOCKS];
    pid_t pids[NR_HOLDERS];
    pyslab_arena *arena;
    int begin[2];

    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(common != MAP_FAILED && pipe(begin) == 0);
    for (unsigned i = 0; i < NR_HOLDERS; i++)
        pids[i] = holder_start(getpid(), begin);
    arena = arena_make(p);
    close(begin[1]);
    while (atomic_load(&common->nr_ready) < NR_HOLDERS)
        usleep(1000);
    check_held(arena, p);
    holders_end(pids);
    EXPECT_EQ(reap_all(arena), (uint64_t)NR_BLOCKS * BLOCK_BYTES);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    pyslab_arena_destroy(arena);
}

static const struct test tests[] = {TEST(many_blocks_four_holders)};

TEST_MAIN(tests)
