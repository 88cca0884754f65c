/* arena_publish.c - see arena_publish.h. */
#include "arena/arena.h"

#include "os/os.h"
#include "publish/publish.h"
#include "stack/depot.h"

#include <string.h>

/* --- zones -------------------------------------------------------------- */

static void show_zone(struct zone *zone, uint64_t pcp_pages, struct publish_zone *out)
{
    struct publish_zone got = {.type = zone->type, .pcp_pages = pcp_pages};

    for (unsigned mark = 0; mark < 3; mark++)
        got.watermark[mark] = zone->watermark[PYSLAB_MARK_MIN + mark];
    got.managed_pages = zone_managed_pages(zone);
    got.nr_stalls = load_relaxed(&zone->nr_stalls);
    lock_acquire(&zone->lock);
    got.free_pages = zone_free_pages(zone);
    got.dirty_pages = zone->dirty_pages;
    got.nr_allocs = zone->nr_allocs;
    got.nr_frees = zone->nr_frees;
    got.pages_allocated = zone->pages_allocated;
    got.nr_fallbacks = zone->nr_fallbacks;
    lock_release(&zone->lock);
    *out = got;
}

static void show_zones_locked(struct pyslab_arena *arena, struct publish_picture *out)
{
    uint64_t pcp_pages[MAX_NR_ZONES];

    lock_assert_held(thread_registry_mutex());
    pcp_count_pages_locked(&arena->pages, pcp_pages);
    out->nr_zones = arena->pages.nr_zones;
    for (uint32_t i = 0; i < arena->pages.nr_zones; i++)
        show_zone(&arena->pages.zone[i], pcp_pages[i], &out->zone[i]);
}

/* --- caches ------------------------------------------------------------- */

static void show_cache(const pyslab_cache_stats *stats, struct publish_cache *out)
{
    memcpy(out->name, stats->name, sizeof out->name);
    out->object_size = stats->object_size;
    out->stride = stats->stride;
    out->objects = stats->objects_per_slab;
    out->slab_order = stats->slab_order;
    out->nr_full = stats->nr_full;
    out->nr_partial = stats->nr_partial;
    out->nr_empty = stats->nr_empty;
    out->live_objects = stats->live_objects;
    out->cached_objects = stats->cached_objects;
    out->total_allocs = stats->total_allocs;
}

static void add_cache_locked(struct kmem_cache *cache, struct publish_picture *out)
{
    pyslab_cache_stats stats;
    uint64_t nr_slabs;

    lock_assert_held(thread_registry_mutex());
    cache_stats_locked(cache, &stats);
    nr_slabs = stats.nr_full + stats.nr_partial + stats.nr_empty;
    out->nr_caches++;
    out->slab_pages += nr_slabs << stats.slab_order;
    if (nr_slabs == 0 && stats.total_allocs == 0)
        out->nr_unused++;
    else if (out->nr_shown < PUBLISH_CACHES)
        show_cache(&stats, &out->cache[out->nr_shown++]);
}

/* No pins: to take the last one off may run code of users. The table's lock keeps a cache that is
 * in the table from being deleted. */
static void show_caches_locked(struct pyslab_arena *arena, struct publish_picture *out)
{
    struct slab_alloc *sa = &arena->kmalloc.slabs;

    lock_assert_held(thread_registry_mutex());
    lock_acquire(&sa->lock);
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++)
        if (sa->caches[id] != NULL && !sa->caches[id]->dying)
            add_cache_locked(sa->caches[id], out);
    lock_release(&sa->lock);
}

/* --- call sites ---------------------------------------------------------- */

/* A name, cut at its end, and filled up with NUL. */
static void show_name(char *out, size_t room, const char *name)
{
    size_t length = strlen(name);

    memset(out, 0, room);
    memcpy(out, name, length < room ? length : room - 1);
}

/* C's symbols are the reader's work: to look for them here would take the loader's lock. */
static void show_frame(const struct stack_frame *frame, struct publish_frame *out)
{
    size_t bytes = frame->file != NULL ? strlen(frame->file) : 0;
    size_t cut = bytes < sizeof out->file ? 0 : bytes - (sizeof out->file - 1);

    out->address = frame->address;
    out->line = frame->line;
    show_name(out->file, sizeof out->file, frame->file != NULL ? frame->file + cut : "");
    show_name(out->function, sizeof out->function, frame->file != NULL ? frame->function : "");
}

static void show_frames(uint32_t stack, struct publish_site *out)
{
    struct stack_frame frame[STACK_MAX_FRAMES];
    unsigned nr = stack_frames(stack, frame, STACK_MAX_FRAMES), nr_c = 0;

    while (nr_c < nr && frame[nr_c].file == NULL)
        nr_c++;
    for (unsigned i = 0; i < nr && out->nr_frames < PUBLISH_FRAMES; i++)
        if (nr_c == nr || i < PUBLISH_C_FRAMES || i >= nr_c)
            show_frame(&frame[i], &out->frame[out->nr_frames++]);
}

static void show_sites(struct tracker *tracker, struct publish_picture *out)
{
    struct track_group top[PUBLISH_SITES];
    uint32_t nr_live, nr = tracker_top(tracker, top, PUBLISH_SITES, &nr_live);

    out->nr_sites = nr_live;
    out->nr_sites_shown = nr;
    for (uint32_t i = 0; i < nr; i++) {
        struct publish_site *site = &out->site[i];

        memset(site, 0, sizeof *site);
        site->number = top[i].stack;
        site->bytes = top[i].bytes;
        site->count = top[i].count;
        site->nr_allocs = top[i].nr_allocs;
        show_frames(top[i].stack, site);
    }
}

/* --- a picture ---------------------------------------------------------- */

static void count_thread(void *slot, void *context)
{
    uint64_t *nr = context;

    (void)slot;
    ++*nr;
}

static uint64_t flags_of(const struct pyslab_arena *arena)
{
    const struct page_alloc *pages = &arena->pages;

    return (arena->background.by_owner ? (uint64_t)PUBLISH_ARENA_MALLOC : 0) |
           (pages->usage != &pages->own_usage ? (uint64_t)PUBLISH_ARENA_SIDE : 0) |
           (arena->share != NULL ? (uint64_t)PUBLISH_ARENA_SHARED : 0) |
           (load_relaxed(&pages->own_usage.tracker) != NULL ? (uint64_t)PUBLISH_ARENA_TRACKED : 0) |
           (pages->forked ? (uint64_t)PUBLISH_ARENA_FORKED : 0);
}

static void show_locked(struct pyslab_arena *arena, struct publish_picture *out)
{
    struct tracker *tracker = load_acquire(&arena->pages.own_usage.tracker);
    struct large_count large = shelf_count_large(&arena->pages);
    uint64_t start_ns = os_time_ns();

    lock_assert_held(thread_registry_mutex());
    memset(out, 0, offsetof(struct publish_picture, zone));
    out->number = arena->publish.number;
    out->flags = flags_of(arena);
    out->made_ns = arena->publish.made_ns;
    out->size_bytes = arena->bytes;
    out->limit_bytes = load_relaxed(&arena->limit_bytes);
    out->peak_pages = load_relaxed(&arena->pages.peak_used_pages);
    out->large_pages = large.nr_pages;
    out->nr_large = large.nr;
    out->pages_released = load_relaxed(&arena->pages.pages_released);
    out->alloc_failures = load_relaxed(&arena->pages.alloc_failures);
    thread_domain_visit_locked(&arena->domain, THREAD_SLOT_PCP, count_thread, &out->nr_threads);
    show_zones_locked(arena, out);
    show_caches_locked(arena, out);
    if (tracker != NULL)
        show_sites(tracker, out);
    out->written_ns = os_time_ns();
    out->took_ns = out->written_ns - start_ns;
}

/* When the next one is due: the longer this one took, the later. */
static uint32_t next_due(uint32_t now_ms, uint64_t took_ns)
{
    uint64_t pause_ms = took_ns * PUBLISH_SHARE / 1000000;

    return now_ms + (pause_ms < PUBLISH_MS ? PUBLISH_MS : (uint32_t)pause_ms);
}

/* Where a thread holds the registry lock, perhaps this very one because it ends, the next one on a
 * slow path writes. */
static slow_path void publish(void *context, uint32_t now_ms)
{
    struct pyslab_arena *arena = context;
    struct publish_picture *out;
    uint64_t took_ns = 0; /* so it stays if there is no file, as in a child that was refused one */

    if (atomic_exchange_explicit(&arena->publish.busy, true, memory_order_acquire))
        return;
    if (thread_registry_try_lock()) {
        out = publish_begin(arena->publish.place);
        if (out != NULL) {
            show_locked(arena, out);
            took_ns = out->took_ns;
            publish_end(out);
        }
        store_relaxed(&arena->pages.show.due_ms, next_due(now_ms, took_ns));
        thread_registry_unlock();
    }
    store_release(&arena->publish.busy, false);
}

/* --- the arena's life --------------------------------------------------- */

void arena_publish_start(struct pyslab_arena *arena)
{
    static uint64_t nr_made; /* under the lock of the list of arenas */

    arena->publish.place = publish_take(!arena->background.by_owner);
    arena->publish.number = ++nr_made;
    arena->publish.made_ns = os_time_ns();
    if (arena->publish.place == PUBLISH_NO_PLACE)
        return;
    arena->pages.show.context = arena;
    arena->pages.show.call = publish;
    publish(arena, os_time_ms());
}

void arena_publish_end(struct pyslab_arena *arena)
{
    CHECK(!load_relaxed(&arena->publish.busy));
    arena->pages.show.call = NULL;
    publish_drop(arena->publish.place);
}

void arena_publish_after_fork(struct pyslab_arena *arena)
{
    store_relaxed(&arena->publish.busy, false);
    store_relaxed(&arena->pages.show.due_ms, os_time_ms());
}
