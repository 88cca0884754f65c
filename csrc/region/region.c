/* region.c - allocation, marks and memory of the regions of region.h. Order of the text: busy,
 * frames, blocks, allocation, marks, going back, life. What it is not: ends (region_ends.c).
 *
 * A request for frames that is short of memory runs callbacks, and these may allocate from the
 * region that makes it. So each step reads the region's fields after the frames have come.
 * Lock: none; see region.h.
 */
#include "region/region_debug.h"
#include "region/region_internal.h"

#include "os/os_heap.h"

#include <string.h>

#define ZERO_SIZE_PTR ((void *)(uintptr_t)PYSLAB_ZERO_SIZE)
#define REGION_ARENA_SHARE 64u /* a grown block is at most this part of the arena */
#define MARKS_MIN 8u           /* room for marks at the first one */
#define MARKS_MAX (1u << 26)

/* How a block that is larger than needed is asked for: memory is not reclaimed for it, and the
 * reserves stay untouched. */
#define GFP_GROW ((uint32_t)(PYSLAB_GFP_NOWARN | PYSLAB_GFP_NORETRY | PYSLAB_GFP_NOMEMALLOC))
#define GFP_NEED ((uint32_t)PYSLAB_GFP_KERNEL)

/* --- busy --------------------------------------------------------------- */

/* Before callbacks may run: until region_leave neither the region nor its ancestors may be
 * rewound, reset or destroyed. */
static void region_enter(struct region *region)
{
    for (; region != NULL; region = region->parent)
        region->nr_busy++;
}

static void region_leave(struct region *region)
{
    for (; region != NULL; region = region->parent)
        region->nr_busy--;
}

/* --- frames ------------------------------------------------------------- */

static void *count_failure(struct region *region, void *p)
{
    if (p == NULL)
        add_relaxed(&region->set->pages->alloc_failures, 1);
    return p;
}

/* Takes whole frames in state ALLOC, in which no kmalloc allocation starts, so that kfree of
 * an object in them is an error. */
static uint32_t take_frames(struct page_alloc *pages, uint32_t nr_pages, unsigned align_order,
                            uint32_t gfp)
{
    unsigned order = order_for_pages(nr_pages);
    struct page *page;
    uint32_t pfn, word;

    if (nr_pages == 1u << order && align_order <= order) {
        pfn = page_alloc_uncounted(pages, order, gfp);
        if (pfn != PFN_NONE)
            page_count_alloc(pages, pfn);
        return pfn;
    }
    pfn = page_alloc_exact(pages, nr_pages, align_order, gfp);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    page = pfn_to_page(&pages->map, pfn);
    word = PAGE_WORD(PYSLAB_PAGE_ALLOC, order, page_zone(page));
    store_relaxed(&page->refcount, 1);
    store_relaxed(&page->word, nr_pages == 1u << order ? word : word | PAGE_FLAG_RUN);
    page_count_alloc(pages, pfn);
    return pfn;
}

static void give_frames(struct page_alloc *pages, uint32_t pfn)
{
    int code = page_put(pages, pfn, page_order(region_page(pages, pfn)));

    CHECK(code == PYSLAB_OK); /* otherwise somebody else has freed a block of the region */
    (void)code;
}

/* --- blocks ------------------------------------------------------------- */

/* Where the current block ends; NULL if there is none. */
static char *block_end(const struct region *region)
{
    return region->start == NULL
               ? NULL
               : region->start + region_block_bytes(region->set->pages, region->block);
}

/* Makes a block the current one. cur: the next byte to hand out; NULL: the block's first. */
static void block_enter(struct region *region, uint32_t pfn, char *cur)
{
    struct page_alloc *pages = region->set->pages;

    region->block = pfn;
    region->start = pfn_to_virt(&pages->map, pfn);
    region->cur = cur != NULL ? cur : region->start;
    region->end = region_is_slow(region) ? region->cur : block_end(region);
}

/* Puts a block behind the current one. */
static void block_insert(struct region *region, uint32_t pfn)
{
    struct page_alloc *pages = region->set->pages;
    uint32_t *before = region->block == PFN_NONE ? &region->first
                                                 : &region_page(pages, region->block)->link.next;

    region_page(pages, pfn)->link = (struct index_link){.next = *before, .prev = INDEX_NONE};
    *before = pfn;
}

/* Leaves the current block for the one behind it. */
static void block_advance(struct region *region)
{
    struct page_alloc *pages = region->set->pages;
    uint32_t next = region->block == PFN_NONE ? region->first
                                              : region_page(pages, region->block)->link.next;

    region->passed_bytes += (size_t)(region->cur - region->start);
    block_enter(region, next, NULL);
}

/* Moves the first spare block of at least size bytes to where the next one comes from. */
static bool take_spare(struct region *region, size_t size)
{
    struct page_alloc *pages = region->set->pages;
    uint32_t *link = region->block == PFN_NONE ? &region->first
                                               : &region_page(pages, region->block)->link.next;

    for (; *link != INDEX_NONE; link = &region_page(pages, *link)->link.next) {
        uint32_t pfn = *link;

        if (region_block_bytes(pages, pfn) >= size) {
            *link = region_page(pages, pfn)->link.next;
            block_insert(region, pfn);
            return true;
        }
    }
    return false;
}

/* Puts new frames into the chain as a spare block. */
static void block_adopt(struct region *region, uint32_t pfn)
{
    struct page_alloc *pages = region->set->pages;

    region_poison(region, pfn_to_virt(&pages->map, pfn), region_block_bytes(pages, pfn));
    block_insert(region, pfn);
    region->nr_blocks++;
    region->block_pages += page_block_pages(region_page(pages, pfn));
}

/* Order of the next block: as large as all blocks so far, within the limits. */
static unsigned growth_order(const struct region *region)
{
    const struct page_alloc *pages = region->set->pages;
    unsigned order = region->block_pages != 0 ? ilog2(region->block_pages) : 0;
    uint32_t share = pages->map.nr_pages / REGION_ARENA_SHARE;

    order = min_uint(order, min_uint(REGION_MAX_ORDER, pages->max_order));
    return min_uint(order, share != 0 ? ilog2(share) : 0);
}

/* Takes a block for an object of size bytes: of the order that growth asks for if there is one,
 * else the smallest that holds the object. */
static uint32_t take_block(struct region *region, size_t size)
{
    struct page_alloc *pages = region->set->pages;
    unsigned least = order_for_pages(bytes_to_pages(size));
    uint32_t pfn = PFN_NONE;

    for (unsigned order = growth_order(region); order > least && pfn == PFN_NONE; order--)
        pfn = page_alloc_uncounted(pages, order, GFP_GROW);
    if (pfn == PFN_NONE)
        pfn = page_alloc_uncounted(pages, least, GFP_NEED);
    if (pfn != PFN_NONE)
        page_count_alloc(pages, pfn);
    return pfn;
}

/* Makes a block current that has room for size bytes; false: there is no memory, nothing has
 * changed. */
static bool next_block(struct region *region, size_t size)
{
    if (!take_spare(region, size)) {
        uint32_t pfn;

        region_enter(region);
        pfn = take_block(region, size);
        region_leave(region);
        if (pfn == PFN_NONE)
            return false;
        block_adopt(region, pfn);
    }
    block_advance(region);
    return true;
}

/* --- allocation --------------------------------------------------------- */

static void *bump(struct region *region, size_t pad, size_t size)
{
    char *p = region->cur + pad;

    region->cur = p + align_up(size, REGION_ALIGN);
    region_check_unused(p, size);
    return p;
}

static void *alloc_large(struct region *region, size_t size, size_t align, uint32_t zero)
{
    struct page_alloc *pages = region->set->pages;
    uint64_t nr_pages = bytes_to_pages(size);
    unsigned align_order = align > PAGE_SIZE ? ilog2(align) - PAGE_SHIFT : 0;
    uint32_t pfn;

    if (nr_pages > pages->map.nr_pages || align_order > MAX_ORDER)
        return NULL;
    region_enter(region);
    pfn = take_frames(pages, (uint32_t)nr_pages, align_order, GFP_NEED | zero);
    region_leave(region);
    if (pfn == PFN_NONE)
        return NULL;
    region_page(pages, pfn)->link = (struct index_link){.next = region->large, .prev = INDEX_NONE};
    region->large = pfn;
    region->nr_large++;
    region->large_pages += nr_pages;
    region_recount(region);
    return pfn_to_virt(&pages->map, pfn);
}

/* From the current block; NULL if it has no room. */
static void *bump_aligned(struct region *region, size_t size, size_t align)
{
    size_t room = (size_t)(region->end - region->cur);
    size_t pad = (size_t)(-(uintptr_t)region->cur & (align - 1));

    if (size - 1 >= room || pad > room - size || !is_power_of_two(align))
        return NULL;
    return bump(region, pad, size);
}

/* The same where the block seems to be full. Under a tool, bytes behind the object stay closed, and
 * a block of its own ends behind a large object's last byte. NULL: no memory. */
static slow_path void *alloc_slowly(struct region *region, size_t size, size_t align, uint32_t zero)
{
    enum sanitize_mode watch = region->set->pages->watch;
    bool large = size > REGION_LARGE_BYTES || align > PAGE_SIZE;
    size_t with_red = size + SANITIZE_RED_BYTES;
    char *p;

    if (large) {
        p = with_red > size ? alloc_large(region, with_red, align, zero) : NULL;
        if (p != NULL)
            sanitize_close(watch, p + size, align_up(with_red, PAGE_SIZE) - size);
        return p;
    }
    region->end = block_end(region);
    p = bump_aligned(region, with_red, align);
    if (p == NULL && next_block(region, with_red)) {
        region->end = block_end(region);
        p = bump(region, 0, with_red); /* a block's start is aligned to a page */
    }
    region->end = region->cur;
    if (p == NULL)
        return NULL;
    sanitize_open(watch, p, size, false);
    region_recount(region);
    return zero != 0 ? memset(p, 0, size) : p;
}

/* A stretch of this place in the current block, or in the next; NULL: no memory. */
static char *take_stretch(struct region *region, size_t size, size_t align,
                          struct region_place *place)
{
    char *start;

    *place = region_debug_place(region, (uintptr_t)region->cur, size, align);
    if (region->block == PFN_NONE || place->bytes > (size_t)(block_end(region) - region->cur)) {
        *place = region_debug_place(region, 0, size, align);
        if (!next_block(region, place->bytes))
            return NULL;
    }
    start = region->cur;
    region->cur = region->end = start + place->bytes;
    return start;
}

/* The same for a region with debug flags. */
static slow_path void *alloc_debug(struct region *region, size_t size, size_t align, uint32_t zero)
{
    bool large = size > REGION_LARGE_BYTES || align > PAGE_SIZE;
    struct region_place place = region_debug_place(region, 0, size, align);
    char *start, *p;

    if (place.bytes < size)
        return NULL;
    if (!large) {
        start = take_stretch(region, size, align, &place);
    } else {
        if (align > PAGE_SIZE) { /* it begins where its frames do, and has no left zone */
            place.bytes -= place.front;
            place.front = 0;
        }
        start = alloc_large(region, place.bytes, align, 0);
        place.bytes = align_up(place.bytes, PAGE_SIZE);
    }
    if (start == NULL)
        return NULL;
    p = region_debug_make(region, start, place, size, large);
    return zero != 0 ? memset(p, 0, size) : p;
}

slow_path void *region_alloc_slow(struct region *region, size_t size, size_t align, uint32_t zero)
{
    void *p;

    if (!is_power_of_two(align))
        return count_failure(region, NULL);
    if (size == 0)
        return ZERO_SIZE_PTR;
    if (should_fail(region->set->pages->faults, NULL, size, 0))
        return count_failure(region, NULL);
    if ((region->set->pages->init & INIT_ON_ALLOC) != 0)
        zero = (uint32_t)PYSLAB_GFP_ZERO;
    if (unlikely(region->debug != NULL))
        return count_failure(region, alloc_debug(region, size, align, zero));
    if (region_is_slow(region))
        return count_failure(region, alloc_slowly(region, size, align, zero));
    if (size > REGION_LARGE_BYTES || align > PAGE_SIZE)
        return count_failure(region, alloc_large(region, size, align, zero));
    if (!next_block(region, size))
        return count_failure(region, NULL);
    p = bump(region, 0, size); /* a block's start is aligned to a page */
    region_recount(region);
    return zero != 0 ? memset(p, 0, size) : p;
}

void *region_alloc_aligned(struct region *region, size_t size, size_t align)
{
    size_t wider = align < REGION_ALIGN && is_power_of_two(align) ? REGION_ALIGN : align;
    void *p = bump_aligned(region, size, wider);

    return p != NULL ? p : region_alloc_slow(region, size, wider, 0);
}

void *region_alloc_zeroed(struct region *region, size_t size, size_t align)
{
    size_t wider = align < REGION_ALIGN && is_power_of_two(align) ? REGION_ALIGN : align;
    void *p = bump_aligned(region, size, wider);

    return p != NULL ? memset(p, 0, size)
                     : region_alloc_slow(region, size, wider, (uint32_t)PYSLAB_GFP_ZERO);
}

/* --- marks -------------------------------------------------------------- */

static bool marks_grow(struct region *region)
{
    uint32_t room = region->max_marks != 0 ? 2 * region->max_marks : MARKS_MIN;
    struct region_mark *marks;

    if (room > MARKS_MAX)
        return false;
    marks = os_heap_alloc(room * sizeof *marks);
    if (marks == NULL)
        return false;
    if (region->nr_marks != 0)
        memcpy(marks, region->marks, region->nr_marks * sizeof *marks);
    os_heap_free(region->marks, region->max_marks * sizeof *marks);
    region->marks = marks;
    region->max_marks = room;
    return true;
}

/* Nothing was allocated or registered since this mark was made, or last rewound to. */
static bool mark_is_here(const struct region *region, const struct region_mark *mark)
{
    return region->changed <= mark->serial && region->cur == mark->cur &&
           region->block == mark->block && region->large == mark->large;
}

uint64_t region_mark(struct region *region)
{
    struct region_mark *mark;

    if (region->nr_busy != 0)
        return 0;
    if (region->nr_marks != 0) {
        mark = &region->marks[region->nr_marks - 1];
        if (mark_is_here(region, mark))
            return region->mark_base + mark->serial;
    }
    if (region->nr_marks == region->max_marks && !marks_grow(region))
        return 0;
    mark = &region->marks[region->nr_marks++];
    *mark = (struct region_mark){.serial = ++region->serial,
                                 .cur = region->cur,
                                 .passed_bytes = region->passed_bytes,
                                 .block = region->block,
                                 .large = region->large,
                                 .nr_notes = region_debug_nr(region)};
    return region->mark_base + mark->serial;
}

/* The live mark with this number, or NULL. */
static const struct region_mark *mark_find(const struct region *region, uint64_t number)
{
    uint64_t serial = number - region->mark_base;
    uint32_t low = 0, high = region->nr_marks;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (region->marks[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low < region->nr_marks && region->marks[low].serial == serial ? &region->marks[low]
                                                                         : NULL;
}

bool region_mark_is_live(const struct region *region, uint64_t mark)
{
    return mark_find(region, mark) != NULL;
}

/* --- going back --------------------------------------------------------- */

/* Frees the large objects that are younger than the one at frame below. */
static void free_large_above(struct region *region, uint32_t below)
{
    struct page_alloc *pages = region->set->pages;

    while (region->large != below) {
        uint32_t pfn = region->large;

        region->large = region_page(pages, pfn)->link.next;
        region->nr_large--;
        region->large_pages -= page_block_pages(region_page(pages, pfn));
        give_frames(pages, pfn);
    }
}

static void take_back(struct region *region, void *p, size_t bytes)
{
    const struct page_alloc *pages = region->set->pages;

    if ((pages->init & INIT_ON_FREE) != 0) {
        sanitize_open(pages->watch, p, bytes, true);
        memset(p, 0, bytes);
    }
    region_poison(region, p, bytes);
}

/* Poisons what is no longer handed out after going back: the rest of the current block, and the
 * blocks behind it up to the one that was current before (last). */
static void poison_up_to(struct region *region, uint32_t last)
{
    struct page_alloc *pages = region->set->pages;
    uint32_t pfn = region->block;

    take_back(region, region->cur, (size_t)(block_end(region) - region->cur));
    while (pfn != last) {
        pfn = region_page(pages, pfn)->link.next;
        take_back(region, pfn_to_virt(&pages->map, pfn), region_block_bytes(pages, pfn));
    }
}

/* Puts the region back where it was when the mark was made. */
static void position_set(struct region *region, const struct region_mark *mark)
{
    uint32_t last = region->block;

    if (region->debug != NULL)
        region_debug_take_back(region, mark->nr_notes);
    free_large_above(region, mark->large);
    if (last == PFN_NONE)
        return;
    region->passed_bytes = mark->passed_bytes;
    block_enter(region, mark->block != PFN_NONE ? mark->block : region->first, mark->cur);
    if (PYSLAB_CHECK_LEVEL >= 1 || region_is_slow(region))
        poison_up_to(region, last);
}

static const struct region_mark beginning = {.block = PFN_NONE, .large = PFN_NONE};

/* Ends what is younger than the mark of this number (0: everything), and unless keep, takes the
 * memory back that was handed out since. */
static int go_back(struct region *region, uint64_t number, bool keep)
{
    const struct region_mark *mark = number != 0 ? mark_find(region, number) : &beginning;
    struct region_mark to;

    if (mark == NULL)
        return PYSLAB_EINVAL;
    if (region->nr_busy != 0)
        return PYSLAB_EBUSY;
    to = *mark;
    region_enter(region);
    region_run_ends(region, to.serial);
    if (region->debug != NULL)
        region_debug_look(region, to.nr_notes);
    region_leave(region);
    if (!keep)
        position_set(region, &to);
    region->nr_marks = number != 0 ? (uint32_t)(mark - region->marks) + 1 : 0;
    region->changed = to.serial;
    region_recount(region);
    return PYSLAB_OK;
}

int region_rewind(struct region *region, uint64_t mark)
{
    return mark == 0 ? PYSLAB_EINVAL : go_back(region, mark, false);
}

int region_rewind_keeping(struct region *region, uint64_t mark)
{
    return go_back(region, mark, true);
}

int region_reset(struct region *region)
{
    return go_back(region, 0, false);
}

/* --- life --------------------------------------------------------------- */

void region_free_memory(struct region *region)
{
    struct page_alloc *pages = region->set->pages;

    free_large_above(region, PFN_NONE);
    while (region->first != PFN_NONE) {
        uint32_t pfn = region->first;

        region->first = region_page(pages, pfn)->link.next;
        give_frames(pages, pfn);
    }
    region->block = PFN_NONE;
    os_heap_free(region->marks, region->max_marks * sizeof *region->marks);
}

int region_reserve(struct region *region, size_t bytes)
{
    struct page_alloc *pages = region->set->pages;
    uint64_t nr_pages = bytes_to_pages(bytes);
    uint32_t pfn = PFN_NONE;

    if (nr_pages <= pages->map.nr_pages)
        pfn = take_frames(pages, (uint32_t)nr_pages, 0, GFP_NEED);
    if (pfn == PFN_NONE) {
        (void)count_failure(region, NULL);
        return PYSLAB_ENOMEM;
    }
    block_adopt(region, pfn);
    block_enter(region, pfn, NULL);
    return PYSLAB_OK;
}

int region_destroy(struct region *region)
{
    if (region->nr_busy != 0)
        return PYSLAB_EBUSY;
    region_enter(region);
    region_run_ends(region, 0);
    region_leave(region);
    region_delete(region);
    return PYSLAB_OK;
}

void region_stats(const struct region *region, pyslab_region_stats *out)
{
    uint64_t bumped = region->passed_bytes + (uint64_t)(region->cur - region->start);

    *out = (pyslab_region_stats){
        .used_bytes = bumped + (region->large_pages << PAGE_SHIFT),
        .reserved_bytes = (region->block_pages + region->large_pages) << PAGE_SHIFT,
        .nr_blocks = region->nr_blocks,
        .nr_large = region->nr_large,
    };
}
