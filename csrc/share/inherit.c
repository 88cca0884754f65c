/* inherit.c - a forked child's side of fork.h: a view of what it has inherited, and a heap in the
 * gaps of it.
 *
 * The frames become a private mapping of the parent's file. Then what was free at the fork gets
 * memory of the child's own: all that was never used, and the largest free blocks. There the child
 * allocates as in an arena of its own, and every free in it is an ordinary one. What was in use
 * stays as it is; frees of it do nothing.
 * Data structure: the parts that are the child's own, in the order of their frames.
 */
#include "base/check.h"
#include "os/os.h"
#include "os/os_file.h"
#include "page_alloc/renew.h"
#include "share/share.h"

#include <string.h>

/* --- parts --------------------------------------------------------------------- */

static bool add_part(struct share_fork *fork, uint32_t pfn, uint32_t nr_pages)
{
    uint32_t at = fork->nr_own;

    if (at == SHARE_OWN_PARTS)
        return false;
    while (at > 0 && fork->own[at - 1].pfn > pfn)
        at--;
    memmove(&fork->own[at + 1], &fork->own[at], (fork->nr_own - at) * sizeof fork->own[0]);
    fork->own[at] = (struct share_part){pfn, nr_pages};
    fork->nr_own++;
    return true;
}

/* Between the child's own parts. */
static void each_inherited(struct share *share, void (*act)(void *p, size_t bytes))
{
    const struct share_fork *fork = &share->fork;
    uint32_t pfn = 0;

    for (uint32_t i = 0; i <= fork->nr_own; i++) {
        uint32_t end = i < fork->nr_own ? fork->own[i].pfn : fork->nr_pages;

        if (end > pfn)
            act(share->heap.base + ((size_t)pfn << PAGE_SHIFT), (size_t)(end - pfn) << PAGE_SHIFT);
        pfn = i < fork->nr_own ? end + fork->own[i].nr_pages : end;
    }
}

static void deny(void *p, size_t bytes)
{
    os_share_deny(p, bytes);
}

static bool renew_none(void *context, uint32_t pfn, uint32_t nr_pages)
{
    (void)context;
    (void)pfn;
    (void)nr_pages;
    return false;
}

static void make_zero(void *p, size_t bytes)
{
    if (os_commit(p, bytes, true) != PYSLAB_OK)
        os_share_deny(p, bytes);
}

/* --- no heap ---------------------------------------------------------------------- */

int share_fork_choose(struct share *share, uint32_t choice)
{
    share->fork.choice = choice;
    return choice == PYSLAB_FORK_REFUSE ? os_share_no_fork(share->heap.base, share->frames->bytes)
                                        : PYSLAB_OK;
}

/* Nothing is to be handed out, and each free comes by a path that asks, because the fast ones would
 * look into the block. */
static void refuse(struct share *share)
{
    struct slab_alloc *slabs = &share->kmalloc->slabs;

    slab_renew(slabs);
    (void)page_alloc_renew(slabs->pages, renew_none, share);
    thread_registry_lock();
    thread_domain_divert_locked(slabs->domain);
    thread_registry_unlock();
}

/* --- the view -------------------------------------------------------------------- */

/* In the place of the parent's mapping. If that is refused there is none: then takes the addresses,
 * so that nothing else comes to lie there. */
static void map_view(struct share *share)
{
    void *base = share->heap.base;
    uint64_t bytes = share->frames->bytes;

    if (share->fork.choice == PYSLAB_FORK_REFUSE)
        (void)os_uncommit(base, bytes);
    else if (os_file_map(share->frames, base, 0, bytes, OS_FILE_PRIVATE) != PYSLAB_OK)
        os_share_deny(base, bytes);
}

void share_fork_inherit_locked(struct share *share)
{
    struct share_fork *fork = &share->fork;
    bool had_view = !share->forked || fork->sign != NULL;

    lock_assert_held(share_mutex());
    fork->sign = fork->fd >= 0 ? os_sign_keep(fork->fd) : NULL;
    fork->fd = -1;
    fork->first_kept = PFN_NONE;
    fork->nr_kept = fork->kept_bytes = 0;
    store_relaxed(&fork->is_due, false);
    fork->is_collecting = false;
    if (!share->forked && fork->choice != PYSLAB_FORK_SHARE)
        map_view(share);
    if (had_view && fork->sign == NULL) /* nothing keeps its blocks for the child */
        each_inherited(share, deny);
    share->is_new_child = !share->forked;
    share->forked = true;
}

/* --- the heap ---------------------------------------------------------------------- */

static bool renew(void *context, uint32_t pfn, uint32_t nr_pages)
{
    struct share *share = context;
    char *p = share->heap.base + ((size_t)pfn << PAGE_SHIFT);
    size_t bytes = (size_t)nr_pages << PAGE_SHIFT;

    if (share->fork.nr_own == SHARE_OWN_PARTS || os_commit(p, bytes, true) != PYSLAB_OK)
        return false;
    os_advise_hugepages(p, bytes, false);
    return add_part(&share->fork, pfn, nr_pages);
}

void share_fork_renew(struct share *share)
{
    struct slab_alloc *slabs = &share->kmalloc->slabs;

    if (!share->is_new_child)
        return;
    share->is_new_child = false;
    if (share->fork.choice != PYSLAB_FORK_VIEW) {
        refuse(share);
        return;
    }
    slab_renew(slabs);
    if (load_relaxed(&share->fork.number) == NULL || !page_alloc_renew(slabs->pages, renew, share))
        return; /* the frames stay the parent's: none are handed out */
    slabs->pages->map.low = NULL;
    slabs->map.low = NULL;
}

void share_fork_drop(struct share *share)
{
    share_lock();
    if (share->forked && share->fork.sign != NULL) {
        each_inherited(share, make_zero);
        os_sign_end(share->fork.sign);
        share->fork.sign = NULL;
    }
    share_unlock();
}
