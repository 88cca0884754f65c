/* arena_fork.c - fork(): every lock is held while the process is copied, so that the
 * child's copy of each structure is whole. What it is not: destruction of arenas (arena.c).
 *
 * Anonymous frames are copied with the process: parent and child each go on with an
 * arena of their own. What other threads had in their sheaves and page lists stays
 * theirs in the parent; in the child it is unreachable and remains counted as cached.
 * Frames of high memory stay the parent's: the child neither takes nor returns them, and what it
 * has mapped of them becomes private to it (vm/vm_fork.h).
 *
 * Data structure: a list of all arenas of the process.
 * Lock: arena_list.lock, of rank FORK. The handlers take the C library's list of FILEs, then this
 * lock, and all others after it.
 */
#include "arena/arena_fork.h"

#include "arena/arena_failing.h"
#include "kfence/kfence.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "profile/profile.h"
#include "publish/publish.h"
#include "slab/mempool.h"
#include "vm/remap.h"
#include "vm/vm_fork.h"

static struct {
    struct lock lock;            /* guards arenas */
    struct pyslab_arena *arenas; /* all alive in this process */
    uint32_t nr_failing; /* attributes that make calls of all of them fail; arena_failing.h */
} arena_list;

static pthread_once_t arena_list_once = PTHREAD_ONCE_INIT;

/* --- the locks of one arena --------------------------------------------- */

typedef void (*lock_action)(struct lock *lock);

static void vm_locks(struct pyslab_arena *arena, lock_action act)
{
    act(&arena->vm.lock);
}

static void region_locks(struct pyslab_arena *arena, lock_action act)
{
    act(&arena->regions.lock);
}

static void table_locks(struct pyslab_arena *arena, lock_action act)
{
    act(&arena->kmalloc.slabs.lock);
}

/* Also those of the mempools, which are made of caches, and of the large blocks that wait. */
static void cache_locks(struct pyslab_arena *arena, lock_action act)
{
    struct slab_alloc *sa = &arena->kmalloc.slabs;

    act(&arena->kmalloc.large_debug.lock);
    act(&sa->guard.lock);
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++)
        if (sa->caches[id] != NULL)
            act(&sa->caches[id]->lock);
    mempools_each_lock(sa, act);
}

static void shrinker_locks(struct pyslab_arena *arena, lock_action act)
{
    act(&arena->pages.reclaim.shrinkers_lock);
}

static void background_locks(struct pyslab_arena *arena, lock_action act)
{
    if (arena->background.arena != NULL)
        act(&arena->background.lock);
}

static void limit_locks(struct pyslab_arena *arena, lock_action act)
{
    act(&arena->pages.limit_lock);
}

static void zone_locks(struct pyslab_arena *arena, lock_action act)
{
    for (uint32_t i = 0; i < arena->pages.nr_zones; i++)
        act(&arena->pages.zone[i].lock);
}

static void track_locks(struct pyslab_arena *arena, lock_action act)
{
    struct tracker *tracker = load_relaxed(&arena->pages.own_usage.tracker);

    if (tracker != NULL)
        act(&tracker->lock);
}

static void fence_locks(struct pyslab_arena *arena, lock_action act)
{
    if (arena->kmalloc.slabs.kfence != NULL)
        act(&arena->kmalloc.slabs.kfence->lock);
}

/* In the order of their ranks (base/lock.h). */
static void (*const by_rank[])(struct pyslab_arena *, lock_action) = {
    vm_locks,    region_locks,     table_locks, cache_locks, shrinker_locks,
    limit_locks, background_locks, zone_locks,  track_locks, fence_locks,
};

#define NR_RANKS (sizeof by_rank / sizeof by_rank[0])

/* --- around fork() ------------------------------------------------------ */

/* Takes or releases the locks of one rank, of every arena. The caller holds arena_list.lock. */
static void arenas_each(size_t rank, lock_action act)
{
    lock_assert_held(&arena_list.lock);
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        by_rank[rank](a, act);
}

/* The same for what other processes see. */
static void heaps_each(void (*act)(struct share *share))
{
    lock_assert_held(&arena_list.lock);
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        if (a->share != NULL)
            act(a->share);
}

static void heaps_hold(void)
{
    share_fork_prepare();
    heaps_each(share_fork_begin_locked);
}

static void fork_prepare(void)
{
    os_stdio_hold();
    lock_acquire_for_fork(&arena_list.lock);
    thread_fork_prepare();
    remaps_fork_prepare();
    for (size_t rank = 0; rank < NR_RANKS; rank++) {
        if (by_rank[rank] == table_locks) /* the shared heaps' lock is outside of these */
            heaps_hold();
        arenas_each(rank, lock_acquire_for_fork);
    }
    heaps_each(share_fork_mark_locked);
    fault_attrs_fork_prepare();
    kfence_fork_prepare();
    profile_fork_prepare();
    os_heap_fork_prepare();
}

/* Releases what fork_prepare took, but for the first three. The caller holds arena_list.lock. */
static void fork_release(void)
{
    lock_assert_held(&arena_list.lock);
    os_heap_fork_done();
    profile_fork_done();
    kfence_fork_release();
    fault_attrs_fork_release();
    for (size_t rank = NR_RANKS; rank > 0; rank--)
        arenas_each(rank - 1, lock_release_after_fork);
    remaps_fork_release();
}

static void fork_parent(void)
{
    lock_assert_held(&arena_list.lock);
    heaps_each(share_fork_end_locked);
    share_fork_parent();
    fork_release();
    thread_fork_parent();
    lock_release_after_fork(&arena_list.lock);
    os_stdio_release();
}

/* In the child the parent's other threads do not exist. What they were giving back to the system,
 * or had just taken from a zone, never comes back here: nobody may wait for it. The caller holds
 * arena_list.lock. */
static void child_set_up(struct page_alloc *pages)
{
    lock_assert_held(&arena_list.lock);
    pages->forked = true;
    for (uint32_t i = 0; i < pages->nr_zones; i++)
        pages->zone[i].torn = true;
    atomic_store(&pages->nr_isolated, 0);
}

/* What holds whenever a lock is free holds in the child's copy too. Other layers are not
 * recounted here: what other threads had in hand is missing from them. */
static void child_recount(struct pyslab_arena *arena)
{
    struct finding f = {{0}};

    CHECK_RECOUNT(1, vm_check(&arena->vm, &f), &f);
}

/* Before any lock is released, so that nothing of the child can write into its parent. The caller
 * holds arena_list.lock. */
static void child_make_private(void)
{
    lock_assert_held(&arena_list.lock);
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next) {
        os_file_after_fork(&a->high);
        if (a->share != NULL) {
            os_file_after_fork(&a->low);
            share_fork_inherit_locked(a->share);
        }
        vm_make_private_locked(&a->vm);
    }
    remaps_make_private();
}

static void fork_child(void)
{
    child_make_private();
    share_fork_child();
    publish_fork_child();
    fork_release();
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next) {
        child_set_up(&a->pages);
        background_after_fork(&a->background);
        arena_publish_after_fork(a);
        child_recount(a);
    }
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        mempools_after_fork(&a->kmalloc.slabs);
    thread_fork_child();
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        sheaves_after_fork(&a->kmalloc.slabs);
    heaps_each(share_fork_renew);
    lock_release_after_fork(&arena_list.lock);
    os_stdio_reset();
}

/* --- the list ----------------------------------------------------------- */

static void arena_list_init(void)
{
    lock_init(&arena_list.lock, LOCK_RANK_FORK);
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void arena_list_add(struct pyslab_arena *arena)
{
    pthread_once(&arena_list_once, arena_list_init);
    lock_acquire(&arena_list.lock);
    arena->next = arena_list.arenas;
    arena->prev = NULL;
    if (arena->next != NULL)
        arena->next->prev = arena;
    arena_list.arenas = arena;
    for (uint32_t i = 0; i < arena_list.nr_failing; i++)
        arena_divert_failing(arena);
    arena_publish_start(arena);
    lock_release(&arena_list.lock);
}

void arena_list_remove(struct pyslab_arena *arena)
{
    lock_acquire(&arena_list.lock);
    arena_publish_end(arena);
    if (arena->next != NULL)
        arena->next->prev = arena->prev;
    if (arena->prev != NULL)
        arena->prev->next = arena->next;
    else
        arena_list.arenas = arena->next;
    lock_release(&arena_list.lock);
}

uint32_t arena_list_count(void)
{
    uint32_t nr = 0;

    pthread_once(&arena_list_once, arena_list_init);
    lock_acquire(&arena_list.lock);
    for (const struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        nr++;
    lock_release(&arena_list.lock);
    return nr;
}

void arena_list_each_in_child(void (*act)(struct pyslab_arena *arena))
{
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        act(a);
}

/* --- failures in all arenas ----------------------------------------------- */

void arena_list_divert_failing(void)
{
    pthread_once(&arena_list_once, arena_list_init);
    lock_acquire(&arena_list.lock);
    arena_list.nr_failing++;
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        arena_divert_failing(a);
    lock_release(&arena_list.lock);
}

void arena_list_restore_failing(void)
{
    lock_acquire(&arena_list.lock);
    arena_list.nr_failing--;
    for (struct pyslab_arena *a = arena_list.arenas; a != NULL; a = a->next)
        arena_restore_failing(a);
    lock_release(&arena_list.lock);
}
