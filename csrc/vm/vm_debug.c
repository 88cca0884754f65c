/* vm_debug.c - see vm_debug.h. */
#include "vm/vm_debug.h"

#include "slab/debug_bytes.h"
#include "stack/depot.h"

#include <string.h>

#define NAME "vmalloc"
#define LOOK_BATCH 8u /* corruptions gathered before they are reported */

void vm_debug_start(struct vm *vm, struct arena_debug *debug)
{
    vm->debug = debug;
    vm->debug_flags = debug_flags_for(debug, NAME);
    if ((vm->debug_flags & PYSLAB_DEBUG_USER) != 0)
        stack_start();
}

void vm_debug_made(struct vm *vm, struct vm_area *area, size_t bytes)
{
    size_t tail = vm_area_bytes(area) - bytes;

    CHECK(tail < PAGE_SIZE);
    if ((vm->debug_flags & PYSLAB_DEBUG_USER) != 0)
        area->allocated_at = stack_save();
    if ((vm->debug_flags & PYSLAB_DEBUG_REDZONE) == 0)
        return;
    debug_red_fill(area->base + bytes, area->base + bytes + tail, DEBUG_RED_LIVE);
    lock_acquire(&vm->lock);
    area->tail = (uint32_t)tail;
    lock_release(&vm->lock);
}

/* True if the tail is red; else found says what is wrong, and it is red again. */
static bool check_tail(const struct vm_area *area, struct debug_found *found)
{
    size_t asked = vm_area_bytes(area) - area->tail;
    char *from = area->base + asked, *to = from + area->tail;
    struct wrong wrong = {0};

    found->what.kind = 0;
    look_at(&wrong, from, to, DEBUG_RED_LIVE);
    if (wrong.first == NULL)
        return true;
    found->what = (pyslab_corruption){.kind = PYSLAB_CORRUPTION_RIGHT_REDZONE,
                                      .cache = NAME,
                                      .object = area->base,
                                      .object_size = asked,
                                      .address = wrong.first,
                                      .offset = wrong.first - area->base,
                                      .nr_bytes = (size_t)(wrong.last - wrong.first) + 1,
                                      .expected = wrong.expected,
                                      .found = (uint8_t)*wrong.first,
                                      .allocated_at = area->allocated_at};
    debug_copy_dump(found, area->base, to);
    debug_red_fill(from, to, DEBUG_RED_LIVE);
    return false;
}

void vm_debug_freed(struct vm *vm, const struct vm_area *area)
{
    struct debug_found found;

    if (!check_tail(area, &found))
        add_relaxed(&vm->debug->nr_repaired, 1);
    debug_report(vm->debug, &found, false);
}

void vm_debug_wrong_free(struct vm *vm, const void *p)
{
    struct debug_found found = {
        .what = {.kind = PYSLAB_CORRUPTION_INVALID_FREE, .cache = NAME, .address = p}};

    if ((vm->debug_flags & PYSLAB_DEBUG_CHECKS) != 0)
        debug_report(vm->debug, &found, false);
}

/* Up to LOOK_BATCH corruptions; returns how many. */
static uint32_t look_locked(struct vm *vm, struct debug_found *found)
{
    uint32_t nr = 0;

    lock_assert_held(&vm->lock);
    for (uint32_t i = 0; i < VM_HASH_SIZE; i++)
        for (const struct vm_area *area = vm->hash[i]; area != NULL && nr < LOOK_BATCH;
             area = area->next)
            nr += !check_tail(area, &found[nr]);
    return nr;
}

bool vm_debug_validate(struct vm *vm, struct finding *f)
{
    struct debug_found found[LOOK_BATCH];
    bool ok = true;
    uint32_t nr;

    if (vm->debug_flags == 0)
        return true;
    do {
        lock_acquire(&vm->lock);
        nr = look_locked(vm, found);
        lock_release(&vm->lock);
        add_relaxed(&vm->debug->nr_repaired, nr);
        debug_report_all(vm->debug, found, nr, f);
        ok &= nr == 0;
    } while (nr == LOOK_BATCH);
    return ok;
}
