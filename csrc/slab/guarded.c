/* guarded.c - see guarded.h. Order of the text: budget, set-up, blocks and their records, red
 * bytes, allocation, free, the ring. */
#include "slab/guarded_internal.h"

#include "os/os.h"
#include "slab/debug_bytes.h"
#include "stack/depot.h"

#include <string.h>

#define NAME_OF_NONE "kmalloc-large" /* of a block that is no cache's object */
#define BUDGET_SHARE 5u              /* of the mappings that the system allows */
#define MAPPINGS_PER_GUARD 2u        /* its own, and what is behind that */
#define WAITING_STRIDE ((size_t)128) /* so that the ring has 1024 places */
#define WAITING_SHARE 16u            /* at most this part of the arena waits */

/* --- budget ------------------------------------------------------------- */

static _Atomic uint64_t mappings; /* of all arenas of the process */
static _Atomic uint64_t budget;   /* for them; 0: the system was not asked yet */

static void uncharge(unsigned nr_guards)
{
    uint64_t nr = (uint64_t)nr_guards * MAPPINGS_PER_GUARD;
    uint64_t before = atomic_fetch_sub(&mappings, nr);

    CHECK(before >= nr);
    (void)before;
}

static bool charge(unsigned nr_guards)
{
    uint64_t nr = (uint64_t)nr_guards * MAPPINGS_PER_GUARD;

    if (atomic_fetch_add(&mappings, nr) + nr <= load_relaxed(&budget))
        return true;
    uncharge(nr_guards);
    return false;
}

/* --- set-up ------------------------------------------------------------- */

void guarded_init(struct slab_alloc *sa, uint32_t mode)
{
    struct guard *guard = &sa->guard;

    CHECK(page_alloc_used(sa->pages) == 0);
    lock_init(&guard->lock, LOCK_RANK_CACHE);
    if (mode < PYSLAB_GUARD_ALL || sa->pages->watch != SANITIZE_NONE)
        return;
    store_relaxed(&budget, os_max_mappings() / BUDGET_SHARE);
    guard->mode = mode;
    guard->min_align = sizeof(uint64_t);
    guard->max_pages = sa->map.nr_pages / WAITING_SHARE;
    waiting_init(&guard->waiting, WAITING_STRIDE, UINT64_MAX);
    if ((sa->debug.flags & PYSLAB_DEBUG_USER) != 0)
        stack_start();
}

static bool uncharge_block(void *context, uint32_t pfn, const struct page *page)
{
    (void)context;
    (void)pfn;
    if ((load_relaxed(&page->word) & PAGE_FLAG_GUARDED) != 0)
        uncharge((unsigned)page[1].guarded.lead + page[1].guarded.trail);
    return true;
}

void guarded_destroy(struct slab_alloc *sa)
{
    if (sa->guard.mode != 0)
        (void)page_alloc_each_block(sa->pages, uncharge_block, NULL);
    waiting_destroy(&sa->guard.waiting);
    lock_destroy(&sa->guard.lock);
}

/* --- blocks and their records ------------------------------------------- */

/* The block in whose frames p lies. */
static struct block block_around(const struct slab_alloc *sa, const void *p)
{
    uint32_t pfn = virt_to_pfn(&sa->map, p);
    struct block b = {NULL, NULL, 0};

    if (sa->guard.mode == 0 || pfn == PFN_NONE)
        return b;
    while (pfn != 0 && page_state(pfn_to_page(&sa->map, pfn)) == PYSLAB_PAGE_UNLISTED)
        pfn--;
    b = block_at(sa, pfn);
    if (b.page != NULL && (size_t)((const char *)p - b.base) >= b.bytes)
        b.page = NULL;
    return b;
}

/* The block whose caller has p, in this state; without one page is NULL. */
static struct block block_of(const struct slab_alloc *sa, const void *p, uint32_t state)
{
    struct block b = block_around(sa, p);

    if (b.page != NULL && (user_of(&b) != p || state_of(&b) != state))
        b.page = NULL;
    return b;
}

static uint32_t stack_of_call(const struct slab_alloc *sa)
{
    return (sa->debug.flags & PYSLAB_DEBUG_USER) != 0 ? stack_save() : 0;
}

static void count_use(const struct slab_alloc *sa, const struct block *b, bool more)
{
    const struct kmem_cache *cache = cache_of(sa, b);
    struct usage *usage = sa->pages->usage;
    uint64_t bytes = cache != NULL ? cache->desc->object_size
                                   : (uint64_t)(data_end(b) - data_of(b));

    if (more)
        usage_add(usage, (uintptr_t)user_of(b), bytes);
    else
        usage_sub(usage, (uintptr_t)user_of(b), bytes);
}

bool guarded_is_live(struct slab_alloc *sa, const void *p)
{
    return block_of(sa, p, GUARDED_LIVE).page != NULL;
}

size_t guarded_usable(struct slab_alloc *sa, const void *p)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);

    return b.page != NULL ? size_of(&b) : 0;
}

void guarded_set_kind(struct slab_alloc *sa, const void *p, uint8_t kind)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);

    if (b.page != NULL)
        b.page[1].guarded.kind = kind;
}

uint8_t guarded_kind(struct slab_alloc *sa, const void *p)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);

    return b.page != NULL ? b.page[1].guarded.kind : 0;
}

struct kmem_cache *guarded_cache_of(struct slab_alloc *sa, const void *p)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);

    return b.page != NULL ? cache_of(sa, &b) : NULL;
}

/* --- red bytes ----------------------------------------------------------- */

static void describe(const struct slab_alloc *sa, const struct block *b, struct debug_found *found)
{
    const struct kmem_cache *cache = cache_of(sa, b);

    if (cache != NULL)
        memcpy(found->what.cache, cache->desc->name, sizeof found->what.cache);
    else
        memcpy(found->what.cache, NAME_OF_NONE, sizeof NAME_OF_NONE);
    found->what.object = user_of(b);
    found->what.object_size = size_of(b);
    found->what.offset = (const char *)found->what.address - user_of(b);
    found->what.allocated_at = b->page->large.allocated_at;
    found->what.freed_at = b->page->large.freed_at;
}

/* True if these bytes are red; else found says what is wrong, and they are red again. */
static bool check_red(const struct slab_alloc *sa, const struct block *b, char *from, char *to,
                      struct debug_found *found)
{
    struct wrong wrong = {0};

    look_at(&wrong, from, to, DEBUG_RED_LIVE);
    if (wrong.first == NULL)
        return true;
    found->what = (pyslab_corruption){.kind = from < user_of(b) ? PYSLAB_CORRUPTION_LEFT_REDZONE
                                                                : PYSLAB_CORRUPTION_RIGHT_REDZONE,
                                      .address = wrong.first,
                                      .nr_bytes = (size_t)(wrong.last - wrong.first) + 1,
                                      .expected = wrong.expected,
                                      .found = (uint8_t)*wrong.first};
    describe(sa, b, found);
    debug_copy_dump(found, data_of(b), data_end(b));
    debug_red_fill(from, to, DEBUG_RED_LIVE);
    return false;
}

bool guarded_check_block(const struct slab_alloc *sa, const struct block *b,
                         struct debug_found *found)
{
    char *end = user_of(b) + size_of(b);

    found->what.kind = 0;
    return check_red(sa, b, end, data_end(b), found) &&
           check_red(sa, b, data_of(b), user_of(b), found);
}

static void fill_red(const struct block *b)
{
    debug_red_fill(data_of(b), user_of(b), DEBUG_RED_LIVE);
    debug_red_fill(user_of(b) + size_of(b), data_end(b), DEBUG_RED_LIVE);
}

static void report_repaired(struct slab_alloc *sa, struct debug_found *found)
{
    if (found->what.kind != 0)
        add_relaxed(&sa->debug.nr_repaired, 1);
    debug_report(&sa->debug, found, false);
}

/* --- allocation ---------------------------------------------------------- */

/* Takes the access from all of a block. */
static bool deny_all(const struct block *b)
{
    return os_deny(b->base, b->bytes) == PYSLAB_OK;
}

static bool deny_guards(const struct block *b)
{
    size_t lead = (size_t)(data_of(b) - b->base),
           trail = (size_t)(b->base + b->bytes - data_end(b));

    return (lead == 0 || os_deny(b->base, lead) == PYSLAB_OK) &&
           (trail == 0 || os_deny(data_end(b), trail) == PYSLAB_OK);
}

/* What is asked for, and the frames for it. */
struct wish {
    size_t size;
    size_t room;   /* the size up to a multiple of the alignment */
    size_t align;  /* bytes */
    unsigned lead; /* as in page.guarded, likewise trail */
    unsigned trail;
    uint32_t gfp;
};

/* On the side where the block has no red bytes, there is a guard too, unless it must be aligned to
 * more than a frame. */
static struct wish wish_of(const struct slab_alloc *sa, size_t size, size_t align, uint32_t gfp)
{
    struct wish wish = {size, (size_t)align_up(size, align), align, 0, 1, gfp};
    bool fills = wish.room % PAGE_SIZE == 0 && align <= PAGE_SIZE;

    if (sa->guard.mode == PYSLAB_GUARD_BELOW) {
        wish.lead = 1;
        wish.trail = fills;
    } else {
        wish.lead = fills;
    }
    return wish;
}

/* Frames for a block; the page is NULL without them. It takes nothing from others: who asks for
 * memory without a guard next may. */
static struct block take_frames(struct slab_alloc *sa, const struct wish *wish)
{
    uint32_t nr_pages = (uint32_t)bytes_to_pages(wish->room) + wish->lead + wish->trail;
    unsigned align_order = wish->align > PAGE_SIZE ? ilog2(wish->align) - PAGE_SHIFT : 0;
    uint32_t pfn = page_alloc_exact(sa->pages, nr_pages, align_order,
                                    wish->gfp & (GFP_ZONE_TABLE_BITS | (uint32_t)PYSLAB_GFP_ZERO));
    struct block b = {NULL, NULL, 0};

    if (pfn == PFN_NONE)
        return b;
    b.page = pfn_to_page(&sa->map, pfn);
    b.base = pfn_to_virt(&sa->map, pfn);
    b.bytes = (size_t)nr_pages << PAGE_SHIFT;
    return b;
}

/* The block is complete: others may find it from now on. */
static void enter(const struct block *b)
{
    uint32_t word = PAGE_WORD(PYSLAB_PAGE_ALLOC, page_order(b->page), page_zone(b->page));

    atomic_store_explicit(&b->page->word, word | PAGE_FLAG_RUN | PAGE_FLAG_GUARDED,
                          memory_order_release);
}

static void give_frames(struct slab_alloc *sa, const struct block *b)
{
    unsigned nr = nr_guards(b);

    page_free_range(sa->pages, virt_to_pfn(&sa->map, b->base), (uint32_t)(b->bytes >> PAGE_SHIFT));
    uncharge(nr);
}

/* The record of a block whose object begins behind its guard, or ends as far before it as the
 * object's alignment demands. */
static void set_record(const struct slab_alloc *sa, const struct block *b,
                       const struct kmem_cache *cache, const struct wish *wish)
{
    bool below = sa->guard.mode == PYSLAB_GUARD_BELOW;

    b->page->large.tail = cache != NULL ? cache->id : 0;
    b->page->large.allocated_at = stack_of_call(sa);
    b->page->large.freed_at = 0;
    b->page[1].guarded.lead = (uint8_t)wish->lead;
    b->page[1].guarded.trail = (uint8_t)wish->trail;
    b->page[1].guarded.offset = below ? PAGE_SIZE
                                      : (uint32_t)(data_end(b) - b->base - (ptrdiff_t)wish->room);
    b->page[1].guarded.tail = (size_t)(data_end(b) - user_of(b)) - wish->size;
    b->page[1].guarded.kind = 0;
    b->page[1].guarded.state = GUARDED_LIVE;
}

static bool make_room(struct slab_alloc *sa);

static void *alloc_block(struct slab_alloc *sa, struct kmem_cache *cache, const struct wish *wish)
{
    unsigned nr = wish->lead + wish->trail;
    struct block b;

    if (wish->size > (size_t)sa->map.nr_pages << PAGE_SHIFT ||
        (wish->lead != 0 && wish->align > PAGE_SIZE) ||
        (!charge(nr) && !(make_room(sa) && charge(nr))))
        return NULL;
    b = take_frames(sa, wish);
    if (b.page == NULL) {
        uncharge(nr);
        return NULL;
    }
    set_record(sa, &b, cache, wish);
    if (!deny_guards(&b)) {
        (void)os_allow(b.base, b.bytes);
        give_frames(sa, &b);
        return NULL;
    }
    fill_red(&b);
    enter(&b);
    count_use(sa, &b, true);
    if (cache != NULL)
        add_relaxed(&cache->nr_guarded, 1);
    return user_of(&b);
}

static slow_path void *alloc_counted(struct slab_alloc *sa, struct kmem_cache *cache, size_t size,
                                     size_t align, uint32_t gfp)
{
    bool constructed = cache != NULL && cache_is_constructed(cache);
    struct wish wish = wish_of(sa, size, align, gfp);
    void *p = constructed ? NULL : alloc_block(sa, cache, &wish);

    add_relaxed(p != NULL ? &sa->guard.nr_guarded : &sa->guard.nr_unguarded, 1);
    return p;
}

void *guarded_alloc(struct slab_alloc *sa, uint32_t id, size_t size, size_t align, uint32_t gfp)
{
    size_t natural = size & -size;

    CHECK(guard_is_on(&sa->guard) && size != 0 && is_power_of_two(align));
    natural = natural < PAGE_SIZE ? natural : PAGE_SIZE;
    align = align > natural ? align : natural;
    align = align > sa->guard.min_align ? align : sa->guard.min_align;
    return alloc_counted(sa, sa->caches[id], size, align, gfp);
}

void *guarded_alloc_object(struct kmem_cache *cache, uint32_t gfp)
{
    CHECK(guard_is_on(&cache->owner->guard));
    return alloc_counted(cache->owner, cache, cache->desc->object_size, cache->desc->align,
                         gfp | cache->zone_gfp);
}

/* --- free ---------------------------------------------------------------- */

/* A block that nobody may touch any more gets its access back, and goes to the buddy. If the system
 * refuses, it stays as it is for ever. Returns its frames. */
static uint64_t block_end(struct slab_alloc *sa, const struct block *b)
{
    if (os_allow(b->base, b->bytes) != PYSLAB_OK)
        return 0;
    give_frames(sa, b);
    return b->bytes >> PAGE_SHIFT;
}

/* Why p, in this block, may not be freed; OK: it may. */
static int wrong_free(const struct slab_alloc *sa, const struct block *b,
                      const struct kmem_cache *cache, const void *p)
{
    if (user_of(b) != p)
        return PYSLAB_EPOINTER;
    if (state_of(b) == GUARDED_WAITS)
        return PYSLAB_EDOUBLE;
    return cache != NULL && cache != cache_of(sa, b) ? PYSLAB_ECACHE : PYSLAB_OK;
}

static void report_wrong_free(struct slab_alloc *sa, const struct block *b, const void *p,
                              int error)
{
    struct debug_found found = {.what = {.kind = debug_kind_of_free(error), .address = p}};

    if ((sa->debug.flags & PYSLAB_DEBUG_CHECKS) == 0)
        return;
    describe(sa, b, &found);
    debug_report(&sa->debug, &found, false);
}

/* The block, which has no access any more, waits; one that is too large for that goes at once. */
static void retire(struct slab_alloc *sa, const struct block *b)
{
    struct guard *guard = &sa->guard;
    uint64_t nr_pages = b->bytes >> PAGE_SHIFT;
    bool waits = false;

    while (nr_pages <= guard->max_pages && guard->waiting.capacity != 0 && !waits) {
        lock_acquire(&guard->lock);
        if (!waiting_is_full(&guard->waiting) &&
            guard->nr_waiting_pages + nr_pages <= guard->max_pages) {
            waiting_push(&guard->waiting, b->base);
            guard->nr_waiting_pages += nr_pages;
            waits = true;
        }
        lock_release(&guard->lock);
        if (!waits && !make_room(sa))
            break;
    }
    if (!waits)
        (void)block_end(sa, b);
}

/* Takes a live block, or a released one, out of its caller's hands; says why not. */
static int take_back_locked(struct slab_alloc *sa, const struct block *b,
                            const struct kmem_cache *cache, const void *p, uint32_t *was)
{
    int error = wrong_free(sa, b, cache, p);

    lock_assert_held(&sa->guard.lock);
    *was = state_of(b);
    if (error == PYSLAB_OK)
        b->page[1].guarded.state = GUARDED_WAITS;
    return error;
}

static void free_block(struct slab_alloc *sa, const struct block *b, bool was_live)
{
    struct kmem_cache *cache = cache_of(sa, b);
    struct debug_found found;

    if (was_live) {
        (void)guarded_check_block(sa, b, &found);
        b->page->large.freed_at = stack_of_call(sa);
        (void)os_discard(data_of(b), (size_t)(data_end(b) - data_of(b)));
        (void)deny_all(b);
        report_repaired(sa, &found);
    }
    count_use(sa, b, false);
    if (cache != NULL)
        sub_relaxed(&cache->nr_guarded, 1);
    retire(sa, b);
}

bool guarded_free(struct slab_alloc *sa, const struct kmem_cache *cache, void *p, int *error)
{
    struct block b = block_around(sa, p);
    uint32_t was;

    if (b.page == NULL)
        return false;
    lock_acquire(&sa->guard.lock);
    *error = take_back_locked(sa, &b, cache, p, &was);
    lock_release(&sa->guard.lock);
    if (*error == PYSLAB_OK)
        free_block(sa, &b, was == GUARDED_LIVE);
    else
        report_wrong_free(sa, &b, p, *error);
    return true;
}

void guarded_release(struct slab_alloc *sa, void *p)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);
    struct debug_found found;

    CHECK(b.page != NULL);
    (void)guarded_check_block(sa, &b, &found);
    lock_acquire(&sa->guard.lock);
    b.page[1].guarded.state = GUARDED_RELEASED;
    lock_release(&sa->guard.lock);
    b.page->large.freed_at = stack_of_call(sa);
    (void)deny_all(&b);
    report_repaired(sa, &found);
}

bool guarded_shrink(struct slab_alloc *sa, void *p, size_t size)
{
    struct block b = block_of(sa, p, GUARDED_LIVE);
    struct debug_found found;

    if (b.page == NULL)
        return false;
    CHECK(size != 0 && size <= size_of(&b));
    (void)guarded_check_block(sa, &b, &found);
    b.page[1].guarded.tail += size_of(&b) - size;
    fill_red(&b);
    report_repaired(sa, &found);
    return true;
}

/* --- the ring ------------------------------------------------------------ */

static struct block pop(struct slab_alloc *sa)
{
    struct guard *guard = &sa->guard;
    struct block b = {NULL, NULL, 0};
    void *base;

    lock_acquire(&guard->lock);
    base = waiting_pop(&guard->waiting);
    if (base != NULL) {
        b = block_at(sa, virt_to_pfn(&sa->map, base));
        guard->nr_waiting_pages -= b.bytes >> PAGE_SHIFT;
    }
    lock_release(&guard->lock);
    return b;
}

/* The block that waited longest leaves; false: none waits. */
static bool make_room(struct slab_alloc *sa)
{
    struct block b = pop(sa);

    if (b.page != NULL)
        (void)block_end(sa, &b);
    return b.page != NULL;
}

uint64_t guarded_flush(struct slab_alloc *sa)
{
    uint64_t nr_pages = 0;
    struct block b;

    while (sa->guard.mode != 0 && (b = pop(sa)).page != NULL)
        nr_pages += block_end(sa, &b);
    return nr_pages;
}

void guarded_count_waiting(struct slab_alloc *sa, uint64_t *nr, uint64_t *bytes)
{
    lock_acquire(&sa->guard.lock);
    *nr += sa->guard.waiting.nr;
    *bytes += sa->guard.nr_waiting_pages << PAGE_SHIFT;
    lock_release(&sa->guard.lock);
}
