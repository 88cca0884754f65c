/* region_debug.c - see region_debug.h. Order of the text: life, notes, what was found, looking,
 * allocation, validation. */
#include "region/region_debug.h"

#include "os/os_heap.h"
#include "region/region_internal.h"
#include "slab/debug_bytes.h"
#include "stack/depot.h"

#include <stdio.h>

#define NOTES_MIN 64u
#define NOTES_MAX (1u << 27)
#define LOOK_BATCH 8u /* corruptions that are gathered before they are reported */
#define POISON 0x6b6b6b6b6b6b6b6bu

/* --- life --------------------------------------------------------------- */

int region_debug_start(struct region *region)
{
    uint32_t flags = debug_flags_for(region->set->debug, "region");

    if (flags == 0)
        return PYSLAB_OK;
    region->debug = os_heap_alloc(sizeof *region->debug);
    if (region->debug == NULL)
        return PYSLAB_ENOMEM;
    region->debug->flags = flags;
    if ((flags & PYSLAB_DEBUG_USER) != 0)
        stack_start();
    return PYSLAB_OK;
}

static void notes_free(struct region_notes *notes)
{
    os_heap_free(notes->note, notes->room * sizeof *notes->note);
    *notes = (struct region_notes){0};
}

void region_debug_end(struct region *region)
{
    if (region->debug == NULL)
        return;
    notes_free(&region->debug->live);
    notes_free(&region->debug->past);
    os_heap_free(region->debug, sizeof *region->debug);
    region->debug = NULL;
}

static bool has_flag(const struct region *region, uint32_t flag)
{
    return (region->debug->flags & flag) != 0;
}

static uint32_t stack_of_call(const struct region *region)
{
    return has_flag(region, PYSLAB_DEBUG_USER) ? stack_save() : 0;
}

void region_debug_poison(const struct region *of, void *p, size_t bytes)
{
    if (has_flag(of, PYSLAB_DEBUG_POISON))
        memset(p, POISON & 0xff, bytes);
}

/* --- notes -------------------------------------------------------------- */

/* Room for so many; false: no memory, nothing has changed. */
static bool notes_grow(struct region_notes *notes, uint32_t wanted)
{
    uint32_t room = notes->room != 0 ? notes->room : NOTES_MIN;
    struct region_note *note;

    if (wanted <= notes->room)
        return true;
    while (room < wanted && room < NOTES_MAX)
        room *= 2;
    note = room >= wanted ? os_heap_alloc(room * sizeof *note) : NULL;
    if (note == NULL)
        return false;
    if (notes->nr != 0)
        memcpy(note, notes->note, notes->nr * sizeof *note);
    os_heap_free(notes->note, notes->room * sizeof *note);
    notes->note = note;
    notes->room = room;
    return true;
}

void region_debug_take_back(struct region *region, uint32_t from)
{
    struct region_debug *debug = region->debug;
    uint32_t nr = debug->live.nr - from;

    CHECK(from <= debug->live.nr);
    if (nr == 0)
        return;
    debug->past.nr = 0;
    if (notes_grow(&debug->past, nr)) {
        memcpy(debug->past.note, debug->live.note + from, nr * sizeof *debug->past.note);
        debug->past.nr = nr;
    }
    debug->live.nr = from;
    debug->freed_at = stack_of_call(region);
}

/* What was taken back last and had this byte; NULL: nothing. */
static const struct region_note *past_around(const struct region *region, const char *at)
{
    const struct region_notes *past = &region->debug->past;

    for (uint32_t i = 0; i < past->nr; i++)
        if (at >= past->note[i].object - past->note[i].front && at < past->note[i].end)
            return &past->note[i];
    return NULL;
}

/* --- what was found ----------------------------------------------------- */

/* note: the object's; NULL: not known. start, end: of what the hexdump may show. */
static void describe(const struct region *region, const struct region_note *note, uint32_t kind,
                     const struct wrong *wrong, const char *start, const char *end,
                     struct debug_found *found)
{
    found->what = (pyslab_corruption){.kind = kind,
                                      .address = wrong->first,
                                      .nr_bytes = (size_t)(wrong->last - wrong->first) + 1,
                                      .expected = wrong->expected,
                                      .found = (uint8_t)*wrong->first};
    snprintf(found->what.cache, sizeof found->what.cache, "region %p", (const void *)region);
    if (note != NULL) {
        found->what.object = note->object;
        found->what.object_size = note->asked;
        found->what.offset = wrong->first - note->object;
        found->what.allocated_at = note->stack;
        if (kind == PYSLAB_CORRUPTION_POISON)
            found->what.freed_at = region->debug->freed_at;
    }
    debug_copy_dump(found, start, end);
}

/* Bytes that were not handed out: true if they are poisoned still, else found says what is wrong,
 * and they are poisoned again. */
static bool check_poison(const struct region *region, char *from, char *to,
                         struct debug_found *found)
{
    struct wrong wrong = {0};

    if (!has_flag(region, PYSLAB_DEBUG_POISON))
        return true;
    look_at(&wrong, from, to, POISON);
    if (wrong.first == NULL)
        return true;
    describe(region, past_around(region, wrong.first), PYSLAB_CORRUPTION_POISON, &wrong, from, to,
             found);
    debug_red_fill(from, to, POISON);
    return false;
}

/* One red zone, likewise. */
static bool check_zone(const struct region *region, const struct region_note *note, uint32_t kind,
                       char *from, char *to, struct debug_found *found)
{
    struct wrong wrong = {0};

    look_at(&wrong, from, to, DEBUG_RED_LIVE);
    if (wrong.first == NULL)
        return true;
    describe(region, note, kind, &wrong, note->object - note->front, note->end, found);
    debug_red_fill(from, to, DEBUG_RED_LIVE);
    return false;
}

static bool check_note(const struct region *region, const struct region_note *note,
                       struct debug_found *found)
{
    return !has_flag(region, PYSLAB_DEBUG_REDZONE) ||
           (check_zone(region, note, PYSLAB_CORRUPTION_LEFT_REDZONE, note->object - note->front,
                       note->object, found) &&
            check_zone(region, note, PYSLAB_CORRUPTION_RIGHT_REDZONE, note->object + note->asked,
                       note->end, found));
}

/* --- looking ------------------------------------------------------------ */

/* What one pass has found, and made whole again. */
struct look {
    struct debug_found found[LOOK_BATCH];
    uint32_t nr;
};

static void look_at_unused(const struct region *region, struct look *look)
{
    const struct page_alloc *pages = region->set->pages;
    uint32_t pfn = region->block;
    char *from = region->cur;

    while (pfn != PFN_NONE && look->nr < LOOK_BATCH) {
        char *start = pfn_to_virt(&pages->map, pfn);

        if (pfn != region->block)
            from = start;
        look->nr += !check_poison(region, from, start + region_block_bytes(pages, pfn),
                                  &look->found[look->nr]);
        pfn = region_page(pages, pfn)->link.next;
    }
}

/* False: there may be more than is reported here. */
static bool look_once(const struct region *region, uint32_t from, struct look *look)
{
    const struct region_notes *live = &region->debug->live;

    for (uint32_t i = from; i < live->nr && look->nr < LOOK_BATCH;)
        if (check_note(region, &live->note[i], &look->found[look->nr]))
            i++;
        else
            look->nr++;
    look_at_unused(region, look);
    add_relaxed(&region->set->debug->nr_repaired, look->nr);
    return look->nr < LOOK_BATCH;
}

void region_debug_look(struct region *region, uint32_t from)
{
    bool done;

    region->nr_busy++;
    do {
        struct look look = {.nr = 0};

        done = look_once(region, from, &look);
        for (uint32_t i = 0; i < look.nr; i++)
            debug_report(region->set->debug, &look.found[i], false);
    } while (!done);
    region->nr_busy--;
}

/* --- allocation --------------------------------------------------------- */

struct region_place region_debug_place(const struct region *region, uintptr_t start, size_t size,
                                       size_t align)
{
    bool zones = has_flag(region, PYSLAB_DEBUG_REDZONE);
    uintptr_t object = align_up(start + (zones ? DEBUG_LEFT_BYTES : 0), align);
    size_t right = zones ? DEBUG_RIGHT_BYTES : 0;

    return (struct region_place){
        .front = object - start,
        .bytes = align_up(object - start + size + right, REGION_ALIGN),
    };
}

void *region_debug_make(struct region *region, char *start, struct region_place place, size_t size,
                        bool is_new)
{
    struct region_notes *live = &region->debug->live;
    struct region_note note = {.object = start + place.front,
                               .end = start + place.bytes,
                               .asked = size,
                               .front = (uint32_t)place.front,
                               .stack = stack_of_call(region)};
    struct debug_found found;

    found.what.kind = 0;
    if (!is_new)
        (void)check_poison(region, start, note.end, &found);
    if (has_flag(region, PYSLAB_DEBUG_REDZONE)) {
        debug_red_fill(start, note.object, DEBUG_RED_LIVE);
        debug_red_fill(note.object + size, note.end, DEBUG_RED_LIVE);
    }
    if (notes_grow(live, live->nr + 1))
        live->note[live->nr++] = note;
    region_recount(region);
    region->nr_busy++;
    debug_report(region->set->debug, &found, false);
    region->nr_busy--;
    return note.object;
}

/* --- validation --------------------------------------------------------- */

/* The corruptions of the first region that has any. */
static bool look_at_all_locked(struct region_set *set, struct look *look)
{
    lock_assert_held(&set->lock);
    for (const struct region *region = set->regions; region != NULL && look->nr == 0;
         region = region->next)
        if (region->debug != NULL)
            (void)look_once(region, 0, look);
    return look->nr == 0;
}

bool region_debug_validate(struct region_set *set, struct finding *f)
{
    bool ok = true, done;

    if (!set->debug->any)
        return true;
    do {
        struct look look = {.nr = 0};

        lock_acquire(&set->lock);
        done = look_at_all_locked(set, &look);
        lock_release(&set->lock);
        debug_report_all(set->debug, look.found, look.nr, f);
        ok &= done;
    } while (!done);
    return ok;
}
