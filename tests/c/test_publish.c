/* test_publish.c - holds down csrc/publish and arena/arena_publish.h: what other processes read of
 * this one's arenas, that they can only read it, its life with arenas and forks. */
#include "os/os_thread.h"
#include "publish/publish.h"
#include "rig.h"
#include "rig_threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A descriptor of the figures, as another process opens them; -1: there are none. */
static int figures_open(int flags)
{
    char path[300], text[64];
    const struct dirent *entry;
    DIR *fds = opendir("/proc/self/fd");
    int found = -1;

    while (found < 0 && (entry = readdir(fds)) != NULL) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        length = readlink(path, text, sizeof text - 1);
        text[length > 0 ? length : 0] = '\0';
        if (strcmp(text, "/memfd:" PUBLISH_NAME " (deleted)") == 0)
            found = open(path, flags | O_CLOEXEC);
    }
    closedir(fds);
    return found;
}

static void header_read(struct publish_header *out)
{
    int fd = figures_open(O_RDONLY);

    memset(out, 0, sizeof *out);
    if (fd < 0)
        return;
    REQUIRE(pread(fd, out, sizeof *out, 0) == (ssize_t)sizeof *out);
    close(fd);
}

static uint64_t words_sum(const void *words, size_t bytes)
{
    uint64_t sum = 0, word;

    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)words + i, sizeof word);
        sum += word;
    }
    return sum;
}

static uint64_t sequence_read(int fd, off_t at)
{
    uint64_t sequence = 1;

    EXPECT_EQ(pread(fd, &sequence, sizeof sequence, at), sizeof sequence);
    return sequence;
}

/* Copies a place; true: nobody wrote there meanwhile, and so the copy is whole. */
static bool place_read(int fd, uint32_t place, struct publish_arena *out)
{
    off_t at = (off_t)(sizeof(struct publish_header) + place * sizeof *out);
    const struct publish_picture *picture = &out->picture;
    uint64_t before = sequence_read(fd, at), sum;

    EXPECT_EQ(pread(fd, out, sizeof *out, at), sizeof *out);
    if (before % 2 != 0 || sequence_read(fd, at) != before)
        return false;
    sum = words_sum(picture, offsetof(struct publish_picture, cache)) +
          words_sum(picture->cache, picture->nr_shown * sizeof picture->cache[0]) +
          words_sum(picture->site, picture->nr_sites_shown * sizeof picture->site[0]);
    EXPECT(sum == load_relaxed(&out->sum));
    return true;
}

/* The picture of an arena as it is now. */
static void picture_of(struct pyslab_arena *arena, struct publish_picture *out)
{
    static struct publish_arena copy;
    int fd = figures_open(O_RDONLY);

    REQUIRE(fd >= 0);
    store_relaxed(&arena->pages.show.due_ms, os_time_ms());
    page_alloc_tick(&arena->pages);
    EXPECT(place_read(fd, arena->publish.place, &copy));
    *out = copy.picture;
    close(fd);
}

/* --- what is in it ------------------------------------------------------ */

static void figures_are_the_arenas(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    static struct publish_picture picture;
    pyslab_arena_stats stats;
    void *small[100], *large = pyslab_kmalloc(arena, 2 * MIB, KERNEL);

    stats.struct_size = sizeof stats;
    for (int i = 0; i < 100; i++)
        small[i] = pyslab_kmalloc(arena, 100, KERNEL);
    picture_of(arena, &picture);
    arena_stats(arena, &stats);
    EXPECT_EQ(picture.size_bytes, 16 * MIB);
    EXPECT_EQ(picture.slab_pages, stats.slab_pages);
    EXPECT_EQ(picture.large_pages, stats.large_pages);
    EXPECT_EQ(picture.nr_large, 1);
    EXPECT_EQ(picture.nr_caches, stats.nr_caches);
    EXPECT_EQ(picture.nr_shown, 1);
    EXPECT_EQ(picture.nr_unused, stats.nr_caches - 1);
    EXPECT_EQ(picture.nr_threads, 1);
    EXPECT_EQ(picture.cache[0].live_objects, 100);
    EXPECT_EQ(picture.cache[0].total_allocs, 100);
    EXPECT(strcmp(picture.cache[0].name, "kmalloc-112") == 0);
    EXPECT_EQ(picture.zone[0].free_pages, stats.free_pages);
    EXPECT_EQ(picture.zone[0].pcp_pages, stats.pcp_pages);
    EXPECT_EQ(picture.zone[0].managed_pages, 4096);
    EXPECT(os_time_ns() - picture.written_ns < 60000000000u);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(pyslab_kfree(arena, small[i]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_OK);
    rig_end(arena);
}

static __attribute__((noinline)) void *allocate_here(pyslab_arena *arena, size_t size)
{
    void *p = pyslab_kmalloc(arena, size, KERNEL);

    __asm__ volatile("" ::: "memory"); /* no tail call: this frame is in the stack */
    return p;
}

static bool is_called_from(const struct publish_site *site,
                           void *(*function)(pyslab_arena *, size_t))
{
    for (uint64_t i = 0; i < site->nr_frames; i++)
        if (site->frame[i].address - (uintptr_t)function < 256)
            return true;
    return false;
}

/* A tracked arena's call sites, the most live bytes first. */
static void call_sites_are_the_trackers(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    static struct publish_picture picture;
    void *(*volatile allocate)(pyslab_arena *, size_t) = allocate_here; /* no copy is made of it */
    void *here[10], *there;

    picture_of(arena, &picture);
    EXPECT_EQ(picture.nr_sites, 0);
    EXPECT_EQ(pyslab_arena_track(arena), PYSLAB_OK);
    for (int i = 0; i < 10; i++)
        here[i] = allocate(arena, 100);
    there = pyslab_kmalloc(arena, 8192, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, here[9]), PYSLAB_OK);
    picture_of(arena, &picture);
    EXPECT_EQ(picture.flags & PUBLISH_ARENA_TRACKED, PUBLISH_ARENA_TRACKED);
    EXPECT_EQ(picture.nr_sites, HAS_BACKTRACE ? 2 : 1); /* untraced, all are of one place */
    EXPECT_EQ(picture.nr_sites_shown, picture.nr_sites);
    EXPECT_EQ(picture.site[0].bytes, HAS_BACKTRACE ? 8192 : 8192 + 9 * 112);
    if (HAS_BACKTRACE) {
        EXPECT_EQ(picture.site[1].bytes, 9 * 112);
        EXPECT_EQ(picture.site[1].count, 9);
        EXPECT_EQ(picture.site[1].nr_allocs, 10);
        EXPECT_NE(picture.site[0].number, picture.site[1].number);
        EXPECT(picture.site[1].nr_frames == 0 || is_called_from(&picture.site[1], allocate_here));
    }
    for (int i = 0; i < 9; i++)
        EXPECT_EQ(pyslab_kfree(arena, here[i]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, there), PYSLAB_OK);
    picture_of(arena, &picture);
    EXPECT_EQ(picture.nr_sites, 0);
    rig_end(arena);
}

/* Not more often than every PUBLISH_MS; and then without anybody's asking. */
static void written_by_slow_paths(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    struct publish_header before, after;

    header_read(&before);
    for (int i = 0; i < 1000; i++)
        page_alloc_tick(&arena->pages);
    os_sleep_ms(PUBLISH_MS + 20);
    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 10, KERNEL)), PYSLAB_OK);
    header_read(&after);
    EXPECT(load_relaxed(&after.nr_published) > load_relaxed(&before.nr_published));
    EXPECT(load_relaxed(&after.nr_published) - load_relaxed(&before.nr_published) < 100);
    rig_end(arena);
}

/* A thread that ends comes to a tick while it holds the registry lock: nobody waits for it. */
static void not_under_the_registry_lock(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    struct publish_header before, after;

    header_read(&before);
    thread_registry_lock();
    store_relaxed(&arena->pages.show.due_ms, os_time_ms());
    page_alloc_tick(&arena->pages);
    thread_registry_unlock();
    header_read(&after);
    EXPECT_EQ(load_relaxed(&after.nr_published), load_relaxed(&before.nr_published));
    page_alloc_tick(&arena->pages);
    header_read(&after);
    EXPECT(load_relaxed(&after.nr_published) > load_relaxed(&before.nr_published));
    rig_end(arena);
}

/* --- how long, and for whom --------------------------------------------- */

static void more_arenas_than_places(void)
{
    pyslab_arena *arenas[PUBLISH_ARENAS + 4];
    struct publish_header head;

    for (unsigned i = 0; i < PUBLISH_ARENAS + 4; i++)
        arenas[i] = rig_arena(1 * MIB, 5);
    header_read(&head);
    EXPECT_EQ(load_relaxed(&head.nr_unplaced), 4);
    EXPECT_EQ(head.process, (uint64_t)getpid());
    for (unsigned i = 0; i < PUBLISH_ARENAS + 4; i++)
        rig_end(arenas[i]);
    EXPECT_EQ(figures_open(O_RDONLY), -1); /* gone with the last one */
    arenas[0] = rig_arena(1 * MIB, 5);
    header_read(&head);
    EXPECT_EQ(load_relaxed(&head.magic), PUBLISH_MAGIC);
    EXPECT_EQ(load_relaxed(&head.nr_unplaced), 0);
    rig_end(arenas[0]);
}

static void others_cannot_write(void)
{
    pyslab_arena *arena = rig_arena(1 * MIB, 5);
    int fd = figures_open(O_RDWR);

    REQUIRE(fd >= 0);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
    EXPECT_EQ(ftruncate(fd, 0), -1);
    EXPECT_EQ(ftruncate(fd, (off_t)1 << 30), -1);
    close(fd);
    rig_end(arena);
}

/* Other code may close the number, and open a file of its own there. */
static void number_is_taken(void)
{
    pyslab_arena *arena = rig_arena(1 * MIB, 5);
    int number = -1, other = open("/dev/null", O_RDONLY);

    for (int fd = 3; fd < 2048; fd++) {
        char path[32], text[64] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, text, sizeof text - 1) > 0 && strstr(text, PUBLISH_NAME) != NULL)
            number = fd;
    }
    REQUIRE(number >= 0);
    EXPECT_EQ(fcntl(number, F_GETFD), FD_CLOEXEC);
    REQUIRE(dup2(other, number) == number);
    store_relaxed(&arena->pages.show.due_ms, os_time_ms());
    page_alloc_tick(&arena->pages);
    rig_end(arena);
    EXPECT_EQ(fcntl(number, F_GETFD), 0); /* it was not ours to close */
    close(number);
    close(other);
}

/* --- fork --------------------------------------------------------------- */

static void expect_child(pid_t pid)
{
    int status;

    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
}

static void child_has_its_own(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    static struct publish_picture picture;
    void *p = pyslab_kmalloc(arena, 100, KERNEL);
    struct publish_header before, after;
    pid_t pid;

    picture_of(arena, &picture);
    header_read(&before);
    pid = fork();
    if (pid == 0) {
        header_read(&after);
        EXPECT_EQ(after.process, (uint64_t)getpid());
        EXPECT_EQ(load_relaxed(&after.nr_published), 0);
        picture_of(arena, &picture);
        EXPECT_EQ(picture.cache[0].live_objects, 1);
        EXPECT((picture.flags & PUBLISH_ARENA_FORKED) != 0);
        _exit(check_nr_failures != 0);
    }
    expect_child(pid);
    header_read(&after);
    EXPECT_EQ(load_relaxed(&after.nr_published), load_relaxed(&before.nr_published));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* No handler runs then: the child writes to no mapping that it does not have. */
static void child_of_a_bare_clone(void)
{
    pyslab_arena *arena = rig_arena(16 * MIB, 10);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        store_relaxed(&arena->pages.show.due_ms, os_time_ms());
        page_alloc_tick(&arena->pages);
        _exit(publish_begin(arena->publish.place) != NULL);
    }
    expect_child(pid);
    rig_end(arena);
}

/* --- no torn picture ---------------------------------------------------- */

struct churn {
    pyslab_arena *arena; /* shared by all */
    _Atomic bool ends;   /* the reader has seen enough */
};

/* Writes pictures one after the other, and then none for a while, so that the reader, if it is to
 * have this processor too, comes to copy one. */
static void *churn_run(void *argument)
{
    struct churn *churn = argument;
    void *held[64] = {NULL};

    for (unsigned i = 0; !load_relaxed(&churn->ends); i++) {
        void **place = &held[i * 2654435761u >> 26];

        EXPECT_EQ(pyslab_kfree(churn->arena, *place), PYSLAB_OK);
        *place = pyslab_kmalloc(churn->arena, 1 + i % 3000, KERNEL);
        store_relaxed(&churn->arena->pages.show.due_ms, os_time_ms()); /* always due */
        if (i % 16 == 0 && i % 2048 >= 1024)
            page_alloc_tick(&churn->arena->pages);
        if (i % 2048 == 2047)
            sched_yield();
    }
    for (unsigned i = 0; i < 64; i++)
        EXPECT_EQ(pyslab_kfree(churn->arena, held[i]), PYSLAB_OK);
    return NULL;
}

/* There is no limit to the tries: a writer that has lost its processor in the middle of a picture
 * makes a hundred thousand of them vain. */
static void no_picture_is_torn(void)
{
    struct churn churn = {.arena = rig_arena(16 * MIB, 10)};
    static struct publish_arena copy;
    pthread_t threads[2];
    int fd = figures_open(O_RDONLY);
    uint32_t nr_whole = 0, nr_refused = 0; /* different pictures; tries in vain */
    uint64_t last = 0;                     /* sequence of the picture before */

    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, churn_run, &churn) == 0);
    while (nr_whole < 100 || nr_refused < 10) {
        bool whole = place_read(fd, churn.arena->publish.place, &copy);

        nr_refused += !whole;
        if (!whole || load_relaxed(&copy.sequence) == last) {
            sched_yield();
            continue;
        }
        last = load_relaxed(&copy.sequence);
        nr_whole++;
        EXPECT_EQ(copy.picture.number, churn.arena->publish.number);
        EXPECT(copy.picture.nr_shown + copy.picture.nr_unused == copy.picture.nr_caches);
        EXPECT(copy.picture.zone[0].free_pages <= copy.picture.zone[0].managed_pages);
    }
    store_relaxed(&churn.ends, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close(fd);
    rig_end(churn.arena);
}

static const struct test tests[] = {
    TEST(figures_are_the_arenas),      TEST(written_by_slow_paths),
    TEST(not_under_the_registry_lock), TEST(more_arenas_than_places),
    TEST(others_cannot_write),         TEST(number_is_taken),
    TEST(child_has_its_own),           TEST(child_of_a_bare_clone),
    TEST(no_picture_is_torn),          TEST(call_sites_are_the_trackers),
};

TEST_MAIN(tests)
