/* large_debug.c - see large_debug.h. Order of the text: set-up, what was found, blocks, quarantine,
 * validation. */
#include "kmalloc/large_debug.h"

#include "kmalloc/kmalloc.h"
#include "slab/debug_bytes.h"
#include "stack/depot.h"

#include <string.h>

#define NAME "kmalloc-large"
#define POISON 0x6b6b6b6b6b6b6b6bu
#define WAITING_SHARE 16u               /* at most this part of the arena waits */
#define WAITING_PAGES ((uint64_t)16384) /* and at most so many frames: 64 MiB */
#define WAITING_STRIDE ((size_t)2048)   /* so that the ring has 64 places */
#define LOOK_BATCH 8u                   /* corruptions gathered before they are reported */

/* --- set-up ------------------------------------------------------------- */

void large_debug_init(struct kmalloc *km, uint32_t nr_pages)
{
    struct large_debug *debug = &km->large_debug;

    *debug = (struct large_debug){0};
    lock_init(&debug->lock, LOCK_RANK_CACHE);
    if (!km->slabs.debug.keyed)
        debug->flags = debug_flags_for(&km->slabs.debug, NAME);
    if ((debug->flags & PYSLAB_DEBUG_USER) != 0)
        stack_start();
    if ((debug->flags & PYSLAB_DEBUG_POISON) == 0)
        return;
    waiting_init(&debug->waiting, WAITING_STRIDE, UINT64_MAX);
    debug->max_pages = nr_pages / WAITING_SHARE;
    if (debug->max_pages > WAITING_PAGES)
        debug->max_pages = WAITING_PAGES;
}

void large_debug_destroy(struct kmalloc *km)
{
    waiting_destroy(&km->large_debug.waiting);
    lock_destroy(&km->large_debug.lock);
}

static bool has_flag(const struct kmalloc *km, uint32_t flag)
{
    return (km->large_debug.flags & flag) != 0;
}

static uint32_t stack_of_call(const struct kmalloc *km)
{
    return has_flag(km, PYSLAB_DEBUG_USER) ? stack_save() : 0;
}

static size_t block_bytes(const struct page *page)
{
    return (size_t)load_relaxed(&page->large.nr_pages) << PAGE_SHIFT;
}

/* --- what was found ----------------------------------------------------- */

/* Of a block; asked: 0 if it is not known any more. */
static void describe(const struct page *page, const char *p, size_t asked,
                     struct debug_found *found)
{
    memcpy(found->what.cache, NAME, sizeof NAME);
    found->what.object = p;
    found->what.object_size = asked;
    found->what.offset = (const char *)found->what.address - p;
    found->what.allocated_at = page->large.allocated_at;
    found->what.freed_at = page->large.freed_at;
    debug_copy_dump(found, p, p + block_bytes(page));
}

/* True if these bytes of a block are as they should be; else found says what is wrong, and they are
 * made whole again. */
static bool check_bytes(const struct page *page, char *p, size_t from, uint32_t kind,
                        uint64_t pattern, struct debug_found *found)
{
    struct wrong wrong = {0};
    char *end = p + block_bytes(page);

    look_at(&wrong, p + from, end, pattern);
    if (wrong.first == NULL)
        return true;
    found->what = (pyslab_corruption){.kind = kind,
                                      .address = wrong.first,
                                      .nr_bytes = (size_t)(wrong.last - wrong.first) + 1,
                                      .expected = wrong.expected,
                                      .found = (uint8_t)*wrong.first};
    describe(page, p, kind == PYSLAB_CORRUPTION_POISON ? block_bytes(page) : from, found);
    debug_red_fill(p + from, end, pattern);
    return false;
}

/* The block as it should be: red behind what was asked for, or poisoned while it waits. */
static bool check_block(const struct kmalloc *km, const struct page *page, char *p,
                        struct debug_found *found)
{
    found->what.kind = 0;
    if (page->large.tail == LARGE_WAITS)
        return check_bytes(page, p, 0, PYSLAB_CORRUPTION_POISON, POISON, found);
    return !has_flag(km, PYSLAB_DEBUG_REDZONE) ||
           check_bytes(page, p, large_debug_asked(page), PYSLAB_CORRUPTION_RIGHT_REDZONE,
                       DEBUG_RED_LIVE, found);
}

static void report_repaired(struct kmalloc *km, struct debug_found *found)
{
    if (found->what.kind != 0)
        add_relaxed(&km->slabs.debug.nr_repaired, 1);
    debug_report(&km->slabs.debug, found, false);
}

/* --- blocks ------------------------------------------------------------- */

/* Bytes that frames are taken for. */
static size_t bytes_with_zone(const struct kmalloc *km, size_t size)
{
    size_t red = has_flag(km, PYSLAB_DEBUG_REDZONE) ? DEBUG_RIGHT_BYTES : 0;

    return size <= SIZE_MAX - red ? size + red : SIZE_MAX;
}

size_t large_debug_asked(const struct page *page)
{
    return page->large.tail == LARGE_WAITS ? 0 : block_bytes(page) - page->large.tail;
}

void large_debug_set(struct kmalloc *km, struct page *page, void *p, size_t size)
{
    char *end = (char *)p + block_bytes(page);

    CHECK(size <= block_bytes(page) && block_bytes(page) - size < LARGE_WAITS);
    page->large.tail = (uint32_t)(block_bytes(page) - size);
    page->large.allocated_at = stack_of_call(km);
    page->large.freed_at = 0;
    if (has_flag(km, PYSLAB_DEBUG_REDZONE))
        debug_red_fill((char *)p + size, end, DEBUG_RED_LIVE);
}

void large_debug_examine(struct kmalloc *km, struct page *page, void *p)
{
    struct debug_found found;

    (void)check_block(km, page, p, &found);
    report_repaired(km, &found);
}

void *large_debug_alloc(struct kmalloc *km, size_t size, unsigned align_order, uint32_t gfp)
{
    struct page_alloc *pages = km->slabs.pages;
    uint64_t nr_pages = bytes_to_pages(bytes_with_zone(km, size));
    uint32_t pfn = PFN_NONE;
    void *p;

    if (nr_pages <= pages->map.nr_pages)
        pfn = page_alloc_exact(pages, (uint32_t)nr_pages, align_order, gfp);
    if (pfn == PFN_NONE)
        return NULL;
    p = kmalloc_adopt_run(km, pfn);
    large_debug_set(km, pfn_to_page(&pages->map, pfn), p, size);
    return p;
}

bool large_debug_resize(struct kmalloc *km, void *p, struct page *page, size_t size, bool zero)
{
    size_t old = large_debug_asked(page);

    large_debug_examine(km, page, p);
    if (bytes_to_pages(bytes_with_zone(km, size)) != load_relaxed(&page->large.nr_pages))
        return false;
    if (zero && size > old)
        memset((char *)p + old, 0, size - old);
    large_debug_set(km, page, p, size);
    return true;
}

bool large_debug_wrong_free(struct kmalloc *km, const void *p)
{
    const struct frame_map *map = &km->slabs.pages->map;
    uint32_t pfn = virt_to_pfn(map, p);
    struct debug_found found;

    if (pfn == PFN_NONE || !has_flag(km, PYSLAB_DEBUG_CHECKS))
        return false;
    while (pfn != 0 && map->classes[pfn] == CLASS_NONE)
        pfn--;
    if (map->classes[pfn] != CLASS_LARGE ||
        (const char *)p >= (char *)pfn_to_virt(map, pfn) + block_bytes(pfn_to_page(map, pfn)))
        return false;
    found.what = (pyslab_corruption){.kind = PYSLAB_CORRUPTION_INVALID_FREE, .address = p};
    describe(pfn_to_page(map, pfn), pfn_to_virt(map, pfn), large_debug_asked(pfn_to_page(map, pfn)),
             &found);
    debug_report(&km->slabs.debug, &found, false);
    return true;
}

/* --- the quarantine ----------------------------------------------------- */

/* The oldest block that waits, if a further one of so many frames has no room; NULL: it has. */
static void *leave_locked(struct large_debug *debug, uint64_t further)
{
    lock_assert_held(&debug->lock);
    if (debug->nr_pages + further <= debug->max_pages && !waiting_is_full(&debug->waiting))
        return NULL;
    return waiting_pop(&debug->waiting);
}

/* Frees blocks until a further one of so many frames has room, which is p, or NULL; returns how
 * many frames. */
static uint64_t make_room(struct kmalloc *km, uint64_t further, void *p)
{
    struct large_debug *debug = &km->large_debug;
    const struct frame_map *map = &km->slabs.pages->map;
    uint64_t nr_pages = 0;
    void *oldest;

    do {
        struct page *page;

        lock_acquire(&debug->lock);
        oldest = leave_locked(debug, further);
        page = oldest != NULL ? pfn_to_page(map, virt_to_pfn(map, oldest)) : NULL;
        if (page != NULL) {
            debug->nr_pages -= load_relaxed(&page->large.nr_pages);
        } else if (p != NULL) {
            waiting_push(&debug->waiting, p);
            debug->nr_pages += further;
        }
        lock_release(&debug->lock);
        if (page != NULL) {
            nr_pages += load_relaxed(&page->large.nr_pages);
            large_debug_examine(km, page, oldest);
            kmalloc_give_large(km, oldest, page);
        }
    } while (oldest != NULL);
    return nr_pages;
}

uint64_t large_debug_flush(struct kmalloc *km)
{
    return km->large_debug.waiting.capacity != 0 ? make_room(km, UINT64_MAX / 2, NULL) : 0;
}

void large_debug_count(struct kmalloc *km, uint64_t *nr, uint64_t *bytes)
{
    struct large_debug *debug = &km->large_debug;

    lock_acquire(&debug->lock);
    *nr += debug->waiting.nr;
    *bytes += debug->nr_pages << PAGE_SHIFT;
    lock_release(&debug->lock);
}

static int double_free(struct kmalloc *km, const struct page *page, void *p)
{
    struct debug_found found;

    if (!has_flag(km, PYSLAB_DEBUG_CHECKS))
        return PYSLAB_EDOUBLE;
    found.what = (pyslab_corruption){.kind = PYSLAB_CORRUPTION_DOUBLE_FREE, .address = p};
    describe(page, p, block_bytes(page), &found);
    debug_report(&km->slabs.debug, &found, false);
    return PYSLAB_EDOUBLE;
}

int large_debug_free(struct kmalloc *km, struct page *page, void *p)
{
    struct large_debug *debug = &km->large_debug;
    uint32_t nr_pages = load_relaxed(&page->large.nr_pages);

    if (page->large.tail == LARGE_WAITS)
        return double_free(km, page, p);
    large_debug_examine(km, page, p);
    usage_sub(km->slabs.pages->usage, (uintptr_t)p, block_bytes(page));
    if (debug->waiting.capacity == 0 || nr_pages > debug->max_pages) {
        kmalloc_give_large(km, p, page);
        return PYSLAB_OK;
    }
    page->large.freed_at = stack_of_call(km);
    page->large.tail = LARGE_WAITS;
    memset(p, POISON & 0xff, block_bytes(page));
    (void)make_room(km, nr_pages, p);
    return PYSLAB_OK;
}

/* --- validation --------------------------------------------------------- */

/* What one pass has found, and made whole again. */
struct look {
    struct kmalloc *km;
    struct debug_found found[LOOK_BATCH];
    uint32_t nr;
};

static bool look_at_block(void *context, uint32_t pfn, const struct page *page)
{
    struct look *look = context;
    const struct frame_map *map = &look->km->slabs.pages->map;

    if (map->classes[pfn] == CLASS_LARGE)
        look->nr += !check_block(look->km, page, pfn_to_virt(map, pfn), &look->found[look->nr]);
    return look->nr < LOOK_BATCH;
}

bool large_debug_validate(struct kmalloc *km, struct finding *f)
{
    bool ok = true, done;

    if (km->large_debug.flags == 0)
        return true;
    do {
        struct look look = {.km = km};

        done = page_alloc_each_block(km->slabs.pages, look_at_block, &look);
        add_relaxed(&km->slabs.debug.nr_repaired, look.nr);
        debug_report_all(&km->slabs.debug, look.found, look.nr, f);
        ok &= look.nr == 0;
    } while (!done);
    return ok;
}
