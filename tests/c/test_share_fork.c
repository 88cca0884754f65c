/* test_share_fork.c - a shared arena's owner forks: what it frees while its children live is kept
 * as it was, and comes back when they have ended. */
#include "rig_share.h"

#include <errno.h>
#include <fcntl.h>

#define NR 300u

/* A forked child that does something when it is told to, and then says how that went. */
struct child {
    pid_t pid;
    int told; /* it is written a letter: GO: the child does that; END: it ends */
    int said; /* it writes a byte when it has done what it was to do */
};

typedef void (*child_fn)(void *context);

#define GO 'g'
#define END 'e'

/* The next letter; 0 if there will be none. */
static char hear(int fd)
{
    char letter = 0;

    return read(fd, &letter, 1) == 1 ? letter : 0;
}

static void tell(int fd, char letter)
{
    EXPECT_EQ(write(fd, &letter, 1), 1);
}

static void child_run(struct child *child, child_fn run, void *context)
{
    while (hear(child->told) == GO) {
        run(context);
        tell(child->said, GO);
    }
    _exit(check_nr_failures != 0);
}

static struct child child_start(child_fn run, void *context)
{
    int told[2], said[2];
    struct child child;

    if (pipe2(told, O_CLOEXEC) != 0 || pipe2(said, O_CLOEXEC) != 0)
        abort();
    child.pid = fork();
    if (child.pid == 0) {
        close(told[1]);
        close(said[0]);
        child.told = told[0];
        child.said = said[1];
        child_run(&child, run, context);
    }
    close(told[0]);
    close(said[1]);
    child.told = told[1];
    child.said = said[0];
    return child;
}

static void child_work(const struct child *child)
{
    tell(child->told, GO);
    EXPECT(hear(child->said));
}

static void child_end(struct child *child, bool by_kill)
{
    int status = -1;

    if (by_kill)
        kill(child->pid, SIGKILL);
    else
        tell(child->told, END);
    close(child->told);
    waitpid(child->pid, &status, 0);
    close(child->said);
    EXPECT_EQ(status, by_kill ? SIGKILL : 0);
}

/* --- blocks of every kind ---------------------------------------------------- */

/* Each is filled with its number. */
struct scene {
    pyslab_arena *arena;
    pyslab_kmem_cache *cache;
    char *small[NR];
    char *object[NR];
    char *slab_pages[4]; /* objects of more than a frame */
    char *large[4];
    char *pages[4]; /* of alloc_pages, order 2 */
};

#define OBJECT 200u
#define BIG_OBJECT 8192u
#define LARGE (MIB / 2)
#define BLOCK 16384u

static void scene_fill(const struct scene *s, int extra)
{
    for (unsigned i = 0; i < NR; i++) {
        memset(s->small[i], (int)i + extra, 64);
        memset(s->object[i], (int)i + 1 + extra, OBJECT);
    }
    for (unsigned i = 0; i < 4; i++) {
        memset(s->slab_pages[i], (int)i + 2 + extra, BIG_OBJECT);
        memset(s->large[i], (int)i + 3 + extra, LARGE);
        memset(s->pages[i], (int)i + 4 + extra, BLOCK);
    }
}

static bool scene_is_whole(const struct scene *s, int extra)
{
    bool ok = true;

    for (unsigned i = 0; i < NR; i++)
        ok = ok && rig_is_filled(s->small[i], 64, (unsigned char)(i + (unsigned)extra)) &&
             rig_is_filled(s->object[i], OBJECT, (unsigned char)(i + 1 + (unsigned)extra));
    for (unsigned i = 0; i < 4; i++)
        ok = ok &&
             rig_is_filled(s->slab_pages[i], BIG_OBJECT,
                           (unsigned char)(i + 2 + (unsigned)extra)) &&
             rig_is_filled(s->large[i], LARGE, (unsigned char)(i + 3 + (unsigned)extra)) &&
             rig_is_filled(s->pages[i], BLOCK, (unsigned char)(i + 4 + (unsigned)extra));
    return ok;
}

static void scene_allocate(struct scene *s)
{
    for (unsigned i = 0; i < NR; i++) {
        s->small[i] = pyslab_kmalloc(s->arena, 64, KERNEL);
        s->object[i] = pyslab_kmem_cache_alloc(s->cache, KERNEL);
    }
    for (unsigned i = 0; i < 4; i++) {
        uint32_t pfn = pyslab_alloc_pages(s->arena, 2, KERNEL);

        s->slab_pages[i] = pyslab_kmalloc(s->arena, BIG_OBJECT, KERNEL);
        s->large[i] = pyslab_kmalloc(s->arena, LARGE, KERNEL);
        s->pages[i] = pyslab_page_address(s->arena, pfn);
    }
}

static uint64_t scene_bytes(void)
{
    return NR * (64 + 200) + 4 * (BIG_OBJECT + LARGE + BLOCK);
}

static void scene_free(const struct scene *s)
{
    for (unsigned i = 0; i < NR; i++) {
        EXPECT_EQ(pyslab_kfree(s->arena, s->small[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_kmem_cache_free(s->cache, s->object[i]), PYSLAB_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        uint32_t pfn = pyslab_virt_to_pfn(s->arena, s->pages[i]);

        EXPECT_EQ(pyslab_kfree(s->arena, s->slab_pages[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(s->arena, s->large[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_free_pages(s->arena, pfn, 2), PYSLAB_OK);
    }
}

/* Uses the arena as if there were no other process. */
static void churn(struct scene *s)
{
    struct scene other = *s;

    for (unsigned round = 0; round < 20; round++) {
        scene_allocate(&other);
        scene_fill(&other, 100);
        EXPECT(scene_is_whole(&other, 100));
        scene_free(&other);
    }
    (void)pyslab_arena_release_unused(s->arena);
    scene_allocate(&other);
    scene_free(&other);
}

static struct scene scene_make(void)
{
    struct scene s = {.arena = share_rig_arena(PYSLAB_SHARE_READ)};
    pyslab_cache_options options = {.struct_size = sizeof options};

    EXPECT_EQ(pyslab_kmem_cache_create(s.arena, "object", OBJECT, &options, &s.cache), PYSLAB_OK);
    churn(&s); /* leaves free objects and blocks of all kinds behind */
    scene_allocate(&s);
    scene_fill(&s, 0);
    return s;
}

static void scene_end(struct scene *s)
{
    EXPECT_EQ(pyslab_kmem_cache_destroy(s->cache), PYSLAB_OK);
    rig_end(s->arena);
}

static pyslab_share_stats stats_of(pyslab_arena *arena)
{
    pyslab_share_stats stats;

    pyslab_share_stats_read(arena, &stats);
    return stats;
}

/* --- children ------------------------------------------------------------------ */

static void read_all(void *context)
{
    EXPECT(scene_is_whole(context, 0));
}

static void write_all(void *context)
{
    EXPECT(scene_is_whole(context, 0));
    scene_fill(context, 50);
    EXPECT(scene_is_whole(context, 50));
    scene_free(context);
    EXPECT(scene_is_whole(context, 50));
}

/* The child has a heap of its own in the arena: it allocates, frees, and gives memory back. */
static void use_heap(void *context)
{
    struct scene *s = context;
    char *zero;

    churn(s);
    zero = pyslab_kmalloc(s->arena, MIB, ZEROED);
    EXPECT(rig_is_filled(zero, MIB, 0));
    EXPECT_EQ(pyslab_kfree(s->arena, zero), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(s->arena, s->small[0]), PYSLAB_OK);
    churn(s);
    EXPECT(scene_is_whole(s, 0));
    rig_validate(s->arena);
}

static void drop_and_use_heap(void *context)
{
    struct scene *s = context;
    char *own = pyslab_kmalloc(s->arena, MIB, KERNEL),
         *small = pyslab_kmalloc(s->arena, 64, KERNEL);

    memset(own, 7, MIB);
    memset(small, 7, 64);
    EXPECT_EQ(pyslab_share_drop_inherited(s->arena), PYSLAB_OK);
    EXPECT(rig_is_filled(own, MIB, 7) && rig_is_filled(small, 64, 7));
    EXPECT(rig_is_filled(s->large[0], LARGE, 0));
    churn(s);
    EXPECT(rig_is_filled(own, MIB, 7) && rig_is_filled(small, 64, 7));
}

/* A grandchild has a copy of what its parent made, and a heap as well. */
static void fork_with_a_heap(void *context)
{
    struct scene *s = context;
    char *own = pyslab_kmalloc(s->arena, MIB, KERNEL);
    int status = -1;
    pid_t pid;

    memset(own, 7, MIB);
    pid = fork();
    if (pid == 0) {
        EXPECT(rig_is_filled(own, MIB, 7));
        use_heap(s);
        memset(own, 8, MIB);
        EXPECT_EQ(pyslab_kfree(s->arena, own), PYSLAB_OK);
        _exit(check_nr_failures != 0);
    }
    churn(s);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT(rig_is_filled(own, MIB, 7));
    EXPECT_EQ(pyslab_kfree(s->arena, own), PYSLAB_OK);
}

static void drop(void *context)
{
    struct scene *s = context;

    EXPECT_EQ(pyslab_share_drop_inherited(s->arena), PYSLAB_OK);
    EXPECT(rig_is_filled(s->large[0], LARGE, 0));
    EXPECT_EQ(pyslab_share_drop_inherited(s->arena), PYSLAB_OK);
}

static void run_another_program(void *context)
{
    (void)context;
    execl("/bin/sleep", "sleep", "100", (char *)NULL);
}

/* The child forks a child of its own and dies; that one reads what it has inherited. */
static void leave_a_grandchild(void *context)
{
    pid_t pid = fork();

    if (pid == 0)
        read_all(context);
    if (pid != 0)
        kill(getpid(), SIGKILL);
}

/* --- tests --------------------------------------------------------------------- */

static void check_kept(child_fn run, bool by_kill)
{
    struct scene s = scene_make();
    struct child child = child_start(run, &s);
    pyslab_share_stats stats;

    scene_free(&s);
    stats = stats_of(s.arena);
    EXPECT_EQ(stats.nr_fork_deferred, 2 * NR + 12);
    EXPECT_EQ(stats.fork_deferred_bytes, scene_bytes());
    churn(&s);
    child_work(&child);
    child_end(&child, by_kill);
    EXPECT(rig_reap(s.arena, scene_bytes()) >= scene_bytes());
    EXPECT_EQ(stats_of(s.arena).nr_fork_deferred, 0);
    EXPECT_EQ(stats_of(s.arena).fork_deferred_bytes, 0);
    scene_end(&s);
}

static void a_child_reads_what_its_parent_freed(void)
{
    check_kept(read_all, false);
}

static void a_child_writes_to_it(void)
{
    check_kept(write_all, false);
}

static void a_child_has_a_heap(void)
{
    check_kept(use_heap, false);
}

static void a_child_drops_all_but_its_heap(void)
{
    check_kept(drop_and_use_heap, false);
}

static void a_grandchild_has_a_heap(void)
{
    check_kept(fork_with_a_heap, false);
}

static void a_child_is_killed(void)
{
    check_kept(read_all, true);
}

static void what_is_kept_cannot_be_freed_twice(void)
{
    struct scene s = scene_make();
    struct child child = child_start(read_all, &s);

    scene_free(&s);
    EXPECT_EQ(pyslab_kfree(s.arena, s.small[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(s.arena, s.large[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kmem_cache_free(s.cache, s.object[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_free_pages(s.arena, pyslab_virt_to_pfn(s.arena, s.pages[0]), 2),
              PYSLAB_EDOUBLE);
    child_work(&child);
    child_end(&child, false);
    EXPECT_EQ(rig_reap(s.arena, scene_bytes()), scene_bytes());
    scene_end(&s);
}

/* Without reap(): the next free that looks finds it out. */
static void frees_find_out_that_a_child_has_ended(void)
{
    struct scene s = scene_make();
    struct child child = child_start(read_all, &s);

    for (unsigned i = 0; i < NR / 2; i++)
        EXPECT_EQ(pyslab_kfree(s.arena, s.small[i]), PYSLAB_OK);
    EXPECT_EQ(stats_of(s.arena).nr_fork_deferred, NR / 2);
    child_end(&child, false);
    os_sleep_ms(20); /* the clock that is looked at is coarse */
    EXPECT_EQ(pyslab_kfree(s.arena, s.small[NR / 2]), PYSLAB_OK);
    EXPECT_EQ(stats_of(s.arena).nr_fork_deferred, 0);
    for (unsigned i = 0; i <= NR / 2; i++)
        s.small[i] = pyslab_kmalloc(s.arena, 64, KERNEL);
    scene_free(&s);
    EXPECT_EQ(pyslab_share_reap(s.arena), 0);
    scene_end(&s);
}

static void a_large_block_does_not_shrink_under_a_child(void)
{
    struct scene s = scene_make();
    struct child child = child_start(read_all, &s);

    EXPECT(pyslab_krealloc(s.arena, s.large[0], LARGE / 2, KERNEL) == s.large[0]);
    EXPECT_EQ(pyslab_ksize(s.arena, s.large[0]), LARGE);
    churn(&s);
    child_work(&child);
    child_end(&child, false);
    EXPECT(pyslab_krealloc(s.arena, s.large[0], LARGE / 2, KERNEL) == s.large[0]);
    EXPECT_EQ(pyslab_ksize(s.arena, s.large[0]), LARGE / 2);
    scene_free(&s);
    scene_end(&s);
}

static void a_child_drops_what_it_inherited(void)
{
    struct scene s = scene_make();
    struct child child = child_start(drop, &s);

    scene_free(&s);
    EXPECT_EQ(pyslab_share_reap(s.arena), 0);
    child_work(&child);
    EXPECT_EQ(rig_reap(s.arena, scene_bytes()), scene_bytes());
    EXPECT_EQ(pyslab_share_drop_inherited(s.arena), PYSLAB_OK);
    child_end(&child, false);
    scene_end(&s);
}

static void a_child_runs_another_program(void)
{
    struct scene s = scene_make();
    struct child child = child_start(run_another_program, &s);

    scene_free(&s);
    EXPECT_EQ(pyslab_share_reap(s.arena), 0);
    tell(child.told, GO);
    EXPECT(!hear(child.said));              /* exec has closed it */
    while (pyslab_share_reap(s.arena) == 0) /* until it has come to exec's end */
        os_sleep_ms(1);
    EXPECT_EQ(stats_of(s.arena).nr_fork_deferred, 0);
    child_end(&child, true);
    scene_end(&s);
}

static void a_grandchild_keeps_it_too(void)
{
    struct scene s = scene_make();
    struct child child = child_start(leave_a_grandchild, &s);
    int status;

    scene_free(&s);
    tell(child.told, GO);
    EXPECT(hear(child.said));
    waitpid(child.pid, &status, 0);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(pyslab_share_reap(s.arena), 0);
    churn(&s);
    close(child.told);
    EXPECT(!hear(child.said)); /* the grandchild has ended */
    while (pyslab_share_reap(s.arena) == 0)
        os_sleep_ms(1);
    close(child.said);
    scene_end(&s);
}

/* What was allocated after a fork is not kept for its child, nor for those that have ended. */
static void only_what_was_there_is_kept(void)
{
    struct scene s = scene_make(), other = s;
    struct child first = child_start(read_all, &s), second;

    scene_allocate(&other);
    second = child_start(read_all, &s);
    child_end(&second, false);
    os_sleep_ms(20);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(pyslab_kfree(s.arena, other.large[i]), PYSLAB_OK);
        EXPECT_EQ(stats_of(s.arena).nr_fork_deferred, 0);
        other.large[i] = pyslab_kmalloc(s.arena, LARGE, KERNEL);
    }
    scene_free(&other);
    scene_free(&s);
    churn(&s);
    child_work(&first);
    child_end(&first, false);
    EXPECT(rig_reap(s.arena, scene_bytes()) >= scene_bytes());
    scene_end(&s);
}

static void children_end_in_any_order(void)
{
    struct scene s = scene_make();
    struct child child[5];
    static const unsigned order[] = {1, 4, 0, 3, 2};

    for (unsigned i = 0; i < 5; i++)
        child[i] = child_start(read_all, &s);
    scene_free(&s);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_EQ(pyslab_share_reap(s.arena), 0);
        churn(&s);
        child_work(&child[order[i]]);
        child_end(&child[order[i]], i % 2 != 0);
    }
    while (pyslab_share_reap(s.arena) == 0)
        os_sleep_ms(1);
    scene_end(&s);
}

/* Both the child and a client hold a block. */
static void an_exported_block_is_kept_as_well(void)
{
    struct scene s = scene_make();
    pyslab_handle handle;
    struct child child;

    EXPECT_EQ(pyslab_share_export(s.arena, s.large[0], 1, &handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_export(s.arena, s.slab_pages[0], 1, &handle), PYSLAB_OK);
    child = child_start(read_all, &s);
    scene_free(&s);
    EXPECT_EQ(stats_of(s.arena).nr_deferred, 2);
    EXPECT_EQ(pyslab_kfree(s.arena, s.large[0]), PYSLAB_EDOUBLE);
    child_end(&child, false);
    EXPECT_EQ(rig_reap(s.arena, scene_bytes() - LARGE - BIG_OBJECT),
              scene_bytes() - LARGE - BIG_OBJECT);
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK);
    EXPECT_EQ(rig_reap(s.arena, BIG_OBJECT), BIG_OBJECT);
    (void)pyslab_kmem_cache_destroy(s.cache);
    (void)pyslab_arena_put(s.arena);
}

static const struct test tests[] = {
    TEST(a_child_reads_what_its_parent_freed),
    TEST(a_child_writes_to_it),
    TEST(a_child_has_a_heap),
    TEST(a_child_drops_all_but_its_heap),
    TEST(a_grandchild_has_a_heap),
    TEST(a_child_is_killed),
    TEST(what_is_kept_cannot_be_freed_twice),
    TEST(frees_find_out_that_a_child_has_ended),
    TEST(a_large_block_does_not_shrink_under_a_child),
    TEST(a_child_drops_what_it_inherited),
    TEST(a_child_runs_another_program),
    TEST(a_grandchild_keeps_it_too),
    TEST(only_what_was_there_is_kept),
    TEST(children_end_in_any_order),
    TEST(an_exported_block_is_kept_as_well),
};

TEST_MAIN(tests)
