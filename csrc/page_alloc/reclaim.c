/* reclaim.c - the slow path: what happens between the first try, which leaves a zone above its low
 * watermark, and a request's failure.
 *
 * The kernel's order of steps: wake background reclaim; retry at the min mark, or below
 * it for those who may; empty the page lists; run the shrinkers and what the upper layers
 * hold; retry; ask the out-of-memory callback; fail. Each step is counted (vm_event).
 * What it is not: a thread. What kswapd would do is left as a debt, and the next caller
 * who may wait pays it after its own request was served.
 *
 * Bounds: a pass of direct reclaim goes down the priorities 12 .. 0 until enough objects
 * went. A request makes one pass with NORETRY, else up to MAX_RECLAIM_RETRIES, as long as
 * they find something (RETRY_MAYFAIL: even if not); the callback may ask for as many
 * rounds. Only NOFAIL goes on for ever.
 * Reclaim does not nest: a shrinker's own requests get what the watermarks keep, or fail.
 * Lock: none; no callback runs under a lock of the core.
 */
#include "page_alloc/reclaim.h"

#include "os/os.h"
#include "page_alloc/pcp.h"
#include "page_alloc/shrinker.h"
#include "page_alloc/zonelist.h"

#define MAX_RECLAIM_RETRIES 16u
#define DEF_PRIORITY 12u
#define SWAP_CLUSTER_MAX 32u /* objects at least that a pass wants to see go */
#define KSWAPD_MAX_SKIP 1024u

enum pass { PASS_NOTHING, PASS_PROGRESS, PASS_GIVE_UP };

/* --- one pass ----------------------------------------------------------- */

static bool in_reclaim(struct page_alloc *pa)
{
    const struct pcp *pcp = pcp_own(pa);

    return pcp != NULL && pcp->in_reclaim;
}

/* False if this thread has no page lists, which hold the flag: then no shrinker may run. They are
 * looked up each time, as a callback may have used other arenas since the last. */
static bool set_in_reclaim(struct page_alloc *pa, bool value)
{
    struct pcp *pcp = pcp_own(pa);

    if (pcp != NULL)
        pcp->in_reclaim = value;
    return pcp != NULL;
}

static void set_gave_up(struct page_alloc *pa, bool value)
{
    struct pcp *pcp = pcp_own(pa);

    if (pcp != NULL)
        pcp->gave_up = value;
}

bool page_alloc_gave_up(struct page_alloc *pa)
{
    const struct pcp *pcp = pcp_own(pa);

    return pcp != NULL && pcp->gave_up;
}

/* Background reclaim has nothing to do for requests that may use the zones up to this one: one of
 * these has more than its high watermark and reserve (__zone_watermark_ok), or keeps nothing. */
static bool zones_are_balanced(struct page_alloc *pa, uint32_t highest)
{
    struct access access = {.zone = highest, .mark = PYSLAB_MARK_HIGH};
    bool balanced = false;

    for (uint32_t i = 0; i <= highest && !balanced; i++) {
        struct zone *zone = &pa->zone[i];
        uint32_t kept = zone_kept_pages(zone, &access);

        lock_acquire(&zone->lock);
        balanced = kept == 0 || zone_free_pages(zone) > kept;
        lock_release(&zone->lock);
    }
    return balanced;
}

/* Asks the shrinkers, ever more urgently, until they have freed so many objects; then takes back
 * what the upper layers and this thread's lists hold. nr_short: as for the upper layers.
 * *gained: frames that came back. */
static enum pass reclaim_pass(struct page_alloc *pa, uint32_t nr_short, uint64_t *gained)
{
    uint64_t used = page_alloc_used(pa), freed = 0, wanted = max_uint(nr_short, SWAP_CLUSTER_MAX);
    bool give_up = false, came_back = false;
    unsigned left = set_in_reclaim(pa, true) ? DEF_PRIORITY + 1 : 0;

    page_alloc_request_drain(pa);
    for (; left > 0 && freed < wanted && !give_up; left--)
        freed += shrinkers_run(pa, left - 1, &give_up);
    if (!give_up && pa->reclaim.upper != NULL)
        came_back = pa->reclaim.upper(pa->reclaim.upper_context, nr_short);
    pcp_drain(pa);
    (void)set_in_reclaim(pa, false);
    *gained = used - page_alloc_used(pa);
    if (*gained > used)
        *gained = 0; /* others took more */
    if (give_up) {
        set_gave_up(pa, true);
        return PASS_GIVE_UP;
    }
    return freed != 0 || came_back ? PASS_PROGRESS : PASS_NOTHING;
}

/* --- background reclaim ------------------------------------------------- */

static void kswapd_wake(struct page_alloc *pa)
{
    vm_event(pa, PYSLAB_VM_KSWAPD_WAKE, 1);
    store_relaxed(&pa->reclaim.kswapd_wanted, 1);
}

/* After each run in vain, about twice as many wakes are ignored as after the one before. */
static void kswapd_back_off(struct page_alloc *pa, bool in_vain)
{
    uint32_t backoff = in_vain ? 2 * load_relaxed(&pa->reclaim.kswapd_backoff) + 1 : 0;

    store_relaxed(&pa->reclaim.kswapd_backoff, min_uint(backoff, KSWAPD_MAX_SKIP));
    store_relaxed(&pa->reclaim.kswapd_skip, min_uint(backoff, KSWAPD_MAX_SKIP));
}

/* Does what a woken kswapd would do, if it was woken; false: a shrinker gave the caller's request
 * up. */
static bool kswapd_run(struct page_alloc *pa, uint32_t highest)
{
    uint32_t skip = load_relaxed(&pa->reclaim.kswapd_skip);
    uint64_t gained;
    enum pass pass;

    if (load_relaxed(&pa->reclaim.kswapd_wanted) == 0)
        return true;
    store_relaxed(&pa->reclaim.kswapd_wanted, 0);
    if (skip != 0) {
        store_relaxed(&pa->reclaim.kswapd_skip, skip - 1);
        return true;
    }
    if (zones_are_balanced(pa, highest))
        return true;
    vm_event(pa, PYSLAB_VM_PAGEOUTRUN, 1);
    pass = reclaim_pass(pa, 0, &gained);
    vm_event(pa, PYSLAB_VM_PGSTEAL_KSWAPD, gained);
    kswapd_back_off(pa, gained == 0);
    return pass != PASS_GIVE_UP;
}

/* --- the steps ---------------------------------------------------------- */

/* One walk over the zonelist. Blocks that purge.c has taken out are free again in a moment; so a
 * failure counts only if none was out, and none came back, during the walk. */
static uint32_t take_at(struct page_alloc *pa, const struct request *request,
                        const struct access *access)
{
    for (;;) {
        uint32_t returns = atomic_load(&pa->nr_returns);
        uint32_t pfn = zonelist_take(pa, request, access);

        if (pfn != PFN_NONE ||
            (atomic_load(&pa->nr_isolated) == 0 && atomic_load(&pa->nr_returns) == returns))
            return pfn;
        os_yield();
    }
}

static uint32_t take_at_min(struct page_alloc *pa, const struct request *request)
{
    struct access access;

    access_min(&access, request->highest, request->gfp, in_reclaim(pa));
    return take_at(pa, request, &access);
}

/* A request that may not fail gets half of what the min watermark keeps before it waits. */
static uint32_t take_from_reserve(struct page_alloc *pa, const struct request *request)
{
    struct access access;

    access_min(&access, request->highest, request->gfp | PYSLAB_GFP_HIGH, false);
    return take_at(pa, request, &access);
}

static enum pass direct_reclaim(struct page_alloc *pa, const struct request *request)
{
    uint64_t gained;
    enum pass pass;

    vm_event(pa, PYSLAB_VM_DIRECT_RECLAIM, 1);
    add_relaxed(&pa->zone[request->highest].nr_stalls, 1);
    pass = reclaim_pass(pa, request->nr_pages, &gained);
    vm_event(pa, PYSLAB_VM_PGSTEAL_DIRECT, gained);
    return pass;
}

/* Asks the out-of-memory callback whether to try again. Requests that the callback makes itself do
 * not lead to it. */
static bool ask_oom(struct page_alloc *pa, const struct request *request, bool *give_up)
{
    int (*oom)(size_t, uint32_t, void *) = atomic_load(&pa->reclaim.oom);
    int answer;

    if (oom == NULL || !set_in_reclaim(pa, true))
        return false;
    vm_event(pa, PYSLAB_VM_OOM_CALL, 1);
    answer = oom((size_t)request->nr_pages << PAGE_SHIFT, request->highest,
                 atomic_load(&pa->reclaim.oom_context));
    (void)set_in_reclaim(pa, false);
    if (answer < 0) {
        set_gave_up(pa, true);
        *give_up = true;
    }
    return answer > 0;
}

/* Passes of direct reclaim, with a try after each, as many as the head of this file says. */
static uint32_t reclaim_and_retry(struct page_alloc *pa, const struct request *request,
                                  bool *give_up)
{
    unsigned max = request->gfp & PYSLAB_GFP_NORETRY ? 1 : MAX_RECLAIM_RETRIES;
    bool insist = (request->gfp & PYSLAB_GFP_RETRY_MAYFAIL) != 0;
    enum pass pass = PASS_PROGRESS;

    for (unsigned i = 0; i < max && (pass == PASS_PROGRESS || insist); i++) {
        uint32_t pfn;

        pass = direct_reclaim(pa, request);
        *give_up = pass == PASS_GIVE_UP;
        if (*give_up)
            return PFN_NONE;
        vm_event(pa, PYSLAB_VM_RECLAIM_RETRY, 1);
        pfn = take_at_min(pa, request);
        if (pfn != PFN_NONE)
            return pfn;
        if (pass == PASS_NOTHING)
            os_yield();
    }
    return PFN_NONE;
}

static uint32_t take_with_reclaim(struct page_alloc *pa, const struct request *request)
{
    bool no_oom = (request->gfp & (PYSLAB_GFP_NORETRY | PYSLAB_GFP_RETRY_MAYFAIL)) != 0;
    bool no_fail = (request->gfp & PYSLAB_GFP_NOFAIL) != 0;
    bool give_up = false;

    for (unsigned nr_asked = 0;; nr_asked++) {
        uint32_t pfn = reclaim_and_retry(pa, request, &give_up);

        if (pfn != PFN_NONE || give_up)
            return pfn;
        if (!no_oom && nr_asked < MAX_RECLAIM_RETRIES && ask_oom(pa, request, &give_up))
            continue;
        if (!no_fail || give_up)
            return PFN_NONE;
        pfn = take_from_reserve(pa, request);
        if (pfn != PFN_NONE)
            return pfn;
        os_sleep_ms(1);
    }
}

void page_alloc_set_reclaim(struct page_alloc *pa, bool (*reclaim)(void *, uint32_t), void *context)
{
    pa->reclaim.upper = reclaim;
    pa->reclaim.upper_context = context;
}

uint32_t request_take_slow(struct page_alloc *pa, const struct request *request)
{
    bool may_reclaim = (request->gfp & PYSLAB_GFP_DIRECT_RECLAIM) != 0 && !in_reclaim(pa);
    uint32_t pfn;

    set_gave_up(pa, false);
    if (request->gfp & PYSLAB_GFP_KSWAPD_RECLAIM)
        kswapd_wake(pa);
    vm_event(pa, PYSLAB_VM_MIN_RETRY, 1);
    pfn = take_at_min(pa, request);
    if (pfn == PFN_NONE && pcp_drain(pa)) {
        vm_event(pa, PYSLAB_VM_PCP_DRAIN, 1);
        pfn = take_at_min(pa, request);
    }
    if (pfn == PFN_NONE && may_reclaim)
        pfn = take_with_reclaim(pa, request);
    if (pfn != PFN_NONE && may_reclaim && !kswapd_run(pa, request->highest)) {
        page_free_range(pa, pfn, request->nr_pages);
        pfn = PFN_NONE;
    }
    if (pfn == PFN_NONE)
        vm_event(pa, PYSLAB_VM_ALLOC_FAIL, 1);
    return pfn;
}
