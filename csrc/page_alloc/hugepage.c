/* hugepage.c - see hugepage.h. */
#include "page_alloc/hugepage.h"

#include "os/os.h"
#include "os/os_heap.h"

#define RUN_ORDER 13u       /* 32 MiB: the unit of advice */
#define TRIAL_MIN_ORDER 10u /* 4 MiB: whoever asks for so much writes most of it */
#define TRIAL_MAX_SAMPLES 3u
#define HUGE_BYTES (PAGE_SIZE << PCP_HUGE_ORDER)
#define SMALL_SAMPLE_BYTES (HUGE_BYTES / 8) /* 64 pages */

int page_alloc_set_hugepages(struct page_alloc *pa)
{
    struct hugepages *huge = &pa->huge;

    huge->nr_runs = ((pa->map.nr_mapped - 1) >> RUN_ORDER) + 1;
    huge->differs = os_heap_alloc(huge->nr_runs);
    if (huge->differs == NULL)
        return PYSLAB_ENOMEM;
    store_relaxed(&huge->state, HUGEPAGES_UNTRIED);
    return PYSLAB_OK;
}

/* --- the trial ---------------------------------------------------------- */

/* Nanoseconds to make a range resident; 0 if the system would not. */
static uint64_t prefault_ns(char *p, size_t bytes)
{
    uint64_t start = os_time_ns();

    return os_prefault(p, bytes) == PYSLAB_OK ? os_time_ns() - start + 1 : 0;
}

/* The shortest time of a few ranges, as the longer ones hold what else the machine did meanwhile.
 * 0 if the system would not. */
static uint64_t shortest_ns(char *p, size_t bytes, size_t stride, size_t nr)
{
    uint64_t best = UINT64_MAX;

    for (size_t i = 0; i < nr; i++) {
        uint64_t ns = prefault_ns(p + i * stride, bytes);

        if (ns < best)
            best = ns;
    }
    return nr != 0 ? best : 0;
}

/* Makes the first 2 MiB of the block resident in small pages, in parts, and some of the following
 * 2 MiB each as one huge page, and compares the times. */
static bool hugepages_pay(char *block, size_t bytes)
{
    size_t nr = min_uint((unsigned)(bytes / HUGE_BYTES) - 1, TRIAL_MAX_SAMPLES);
    uint64_t small = shortest_ns(block, SMALL_SAMPLE_BYTES, SMALL_SAMPLE_BYTES, TRIAL_MAX_SAMPLES);
    uint64_t huge;

    os_advise_hugepages(block + HUGE_BYTES, nr * HUGE_BYTES, true);
    huge = shortest_ns(block + HUGE_BYTES, HUGE_BYTES, HUGE_BYTES, nr);
    return small != 0 && huge != 0 && huge < small * (HUGE_BYTES / SMALL_SAMPLE_BYTES);
}

static slow_path void trial(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    uint32_t expected = HUGEPAGES_UNTRIED;
    bool pay;

    if (!atomic_compare_exchange_strong(&pa->huge.state, &expected, HUGEPAGES_TRYING))
        return;
    pay = hugepages_pay(pfn_to_virt(&pa->map, pfn), PAGE_SIZE << order);
    os_advise_hugepages(pa->map.base, pa->map.bytes, pay);
    store_relaxed(&pa->huge.state, pay ? HUGEPAGES_ON : HUGEPAGES_OFF);
}

void hugepage_note_block(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    if (likely(load_relaxed(&pa->huge.state) != HUGEPAGES_UNTRIED) || order < TRIAL_MIN_ORDER)
        return;
    if (pfn_has_address(&pa->map, pfn) &&
        page_residency(pfn_to_page(&pa->map, pfn), order) == RESIDENCY_UNTOUCHED)
        trial(pa, pfn, order);
}

/* --- runs --------------------------------------------------------------- */

/* The trial is over. While it lasts, and before, no run has advice of its own. */
static bool trial_is_over(const struct page_alloc *pa)
{
    uint32_t state = load_relaxed(&pa->huge.state);

    return pa->huge.nr_runs != 0 && (state == HUGEPAGES_ON || state == HUGEPAGES_OFF);
}

static bool run_is_huge(const struct page_alloc *pa, uint32_t run)
{
    return (load_relaxed(&pa->huge.state) == HUGEPAGES_ON) !=
           (load_relaxed(&pa->huge.differs[run]) != 0);
}

static void run_advise(struct page_alloc *pa, uint32_t run, bool huge)
{
    uint32_t pfn = run << RUN_ORDER;
    uint32_t left = pa->map.nr_mapped - pfn;
    uint32_t nr = left < 1u << RUN_ORDER ? left : 1u << RUN_ORDER;

    if (run_is_huge(pa, run) == huge)
        return;
    store_relaxed(&pa->huge.differs[run], !load_relaxed(&pa->huge.differs[run]));
    os_advise_hugepages(pfn_to_virt(&pa->map, pfn), (size_t)nr << PAGE_SHIFT, huge);
}

void hugepage_note_purge_locked(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    uint32_t run = pfn >> RUN_ORDER;

    lock_assert_held(&page_alloc_zone_of(pa, pfn)->lock);
    if (!trial_is_over(pa) || !pfn_has_address(&pa->map, pfn))
        return;
    if (order < PCP_HUGE_ORDER)
        run_advise(pa, run, false);
    for (; order >= RUN_ORDER && run << RUN_ORDER < pfn + (1u << order); run++)
        run_advise(pa, run, load_relaxed(&pa->huge.state) == HUGEPAGES_ON);
}

void hugepage_want(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    uint32_t first = pfn >> RUN_ORDER, last = (pfn + nr_pages - 1) >> RUN_ORDER;
    struct zone *zone;

    CHECK(nr_pages > 0);
    if (nr_pages >> TRIAL_MIN_ORDER == 0 || load_relaxed(&pa->huge.state) == HUGEPAGES_ON ||
        !trial_is_over(pa) || !pfn_has_address(&pa->map, pfn))
        return;
    for (uint32_t run = first; run <= last; run++) {
        if (likely(run_is_huge(pa, run)))
            continue;
        zone = page_alloc_zone_of(pa, pfn);
        lock_acquire(&zone->lock);
        run_advise(pa, run, true);
        lock_release(&zone->lock);
    }
}
