/* watermark.h - whether a zone may give so much to such a request.
 *
 * What it is: the kernel's __zone_watermark_ok in two steps: what a gfp mask is allowed (struct
 * access), and the test of one zone against it. A watermark, or mark, is a number of free frames:
 * a zone has four (min, low, high, promo), and a request must leave it as many as the mark that
 * holds for this request. A reserve comes on top of the mark: a zone keeps it from requests that
 * could have used a higher zone, so that those that can use only this one still find something.
 * What it is not: the computation of marks and reserves: they come with the zones' options.
 *
 * Rule: after the allocation a zone keeps at least the mark plus the reserve. HIGH halves the min
 * mark; a caller that cannot wait goes a quarter further down; MEMALLOC ignores all of it.
 * Lock: zone->lock for the test.
 */
#ifndef PAGE_ALLOC_WATERMARK_H
#define PAGE_ALLOC_WATERMARK_H

#include "buddy/buddy.h"
#include "page_alloc/gfp.h"

/* What a request may do to the zones. */
struct access {
    uint32_t zone;              /* index of the highest zone it may use */
    enum pyslab_zone_mark mark; /* it must leave a zone this mark */
    bool high;                  /* half of the mark is enough */
    bool cannot_wait;           /* and if high is set too, three eighths of it */
    bool no_watermarks;         /* it need not leave anything */
};

/* Out-parameters here: a struct returned by value is copied in wider pieces than it was
 * written in, and the processor waits for that. */

/* First try: above the low mark, whoever asks. */
static inline void access_first(struct access *access, uint32_t zone)
{
    *access = (struct access){.zone = zone, .mark = PYSLAB_MARK_LOW};
}

/* Second try: down to the min mark, or below it for those who may. in_reclaim: the
 * request comes from a shrinker, which frees more than it takes. */
static inline void access_min(struct access *access, uint32_t zone, uint32_t gfp, bool in_reclaim)
{
    bool may_reserve = (gfp & PYSLAB_GFP_NOMEMALLOC) == 0;

    *access = (struct access){
        .zone = zone,
        .mark = PYSLAB_MARK_MIN,
        .high = (gfp & PYSLAB_GFP_HIGH) != 0,
        .cannot_wait = (gfp & PYSLAB_GFP_DIRECT_RECLAIM) == 0 && may_reserve,
        .no_watermarks = may_reserve && ((gfp & PYSLAB_GFP_MEMALLOC) != 0 || in_reclaim),
    };
}

/* Frames that the zone keeps from this request. */
static inline uint32_t zone_kept_pages(const struct zone *zone, const struct access *access)
{
    uint32_t mark = zone->watermark[access->mark];
    uint32_t reserve = zone->lowmem_reserve[access->zone];

    if (unlikely(access->no_watermarks))
        return 0;
    if (unlikely(access->high)) {
        mark -= mark / 2;
        if (access->cannot_wait)
            mark -= mark / 4;
    }
    return reserve <= UINT32_MAX - mark ? mark + reserve : UINT32_MAX;
}

/* Frames that this request may still take from the zone. */
static inline uint32_t zone_usable_pages_locked(const struct zone *zone,
                                                const struct access *access)
{
    uint32_t free_pages = zone_free_pages(zone);
    uint32_t kept = zone_kept_pages(zone, access);

    lock_assert_held(&zone->lock);
    return free_pages > kept ? free_pages - kept : 0;
}

#endif
