/* window_view.h - the views that kmap gives: a kind of Buffer, over frames in a slot of a Window
 * or where they always are.
 *
 * A view has a reference on the block of frames. One in a slot has its Window (`keep`) and a
 * count of the slot as well; one of frames that have an address has neither. `place` is the
 * block's first frame. When a view ends is decided as for every Buffer: see buffer.h.
 */
#ifndef PYTHON_WINDOW_VIEW_H
#define PYTHON_WINDOW_VIEW_H

#include "python/pages/page_object.h"
#include "python/window/window_object.h"

/* What a kmap is about. */
struct kmap_args {
    PageObject *page;
    Py_ssize_t index;  /* of the frame in it */
    PyObject *timeout; /* None, or a number of seconds that may be waited; borrowed */
};

/* A slot shows an aligned run of 2**order frames. This is the part that belongs to the page. */
struct run_part {
    uint32_t run;   /* number of the aligned run */
    uint32_t first; /* frame */
    uint32_t nr;    /* frames */
};

extern const struct buffer_ops window_view_ops;

/* The page and its frame exist, and the arena takes requests for it. */
static always_inline bool kmap_args_are_valid(const ArenaObject *arena,
                                              const struct kmap_args *args)
{
    const PageObject *page = args->page;

    return !arena->closed && page->nr_refs != 0 && args->index >= 0 &&
           args->index < (Py_ssize_t)1 << page->order &&
           (!arena->core->pages.forked || pfn_has_address(&arena->core->pages.map, page->pfn));
}

/* The same; false with an exception set that says why not. */
bool kmap_is_possible_slow(const ArenaObject *arena, const struct kmap_args *args);

static always_inline bool kmap_is_possible(const ArenaObject *arena, const struct kmap_args *args)
{
    return likely(kmap_args_are_valid(arena, args)) || kmap_is_possible_slow(arena, args);
}

/* The part of the page in the run of its frame, for slots of this order. */
static always_inline struct run_part run_part_of(const struct kmap_args *args, unsigned order)
{
    uint32_t pfn = args->page->pfn, end = pfn + (1u << args->page->order);
    uint32_t run = (pfn + (uint32_t)args->index) >> order;
    uint64_t run_end = (uint64_t)(run + 1) << order;
    uint32_t first = run << order < pfn ? pfn : run << order;

    return (struct run_part){run, first, (run_end < end ? (uint32_t)run_end : end) - first};
}

/* A view of frames that have an address; NULL with MemoryError set.
 * pre: kmap_args_are_valid, and the frames have an address */
PyObject *view_of_address(ArenaObject *arena, const struct kmap_args *args, unsigned order);

/* A view of the run in the slot; NULL with MemoryError set. pre: kmap_args_are_valid, the window
 * is open, has room on its stack if it is local, and the slot shows part->run */
static always_inline PyObject *view_of_slot(WindowObject *self, const struct kmap_args *args,
                                            const struct run_part *part, uint32_t slot)
{
    struct remap *remap = &self->pkmap.remap;
    size_t offset = (size_t)(part->first - (part->run << remap->order)) << PAGE_SHIFT;
    BufferObject *view;

    CHECK(kmap_args_are_valid(self->arena, args) && !self->closed);
    CHECK(!self->local || self->depth < LOCAL_DEPTH);
    CHECK_WALK(pkmap_find(&self->pkmap, part->run) == slot);
    view = buffer_new_view(self->arena, remap_address(remap, slot) + offset,
                           (Py_ssize_t)part->nr << PAGE_SHIFT, &window_view_ops, (PyObject *)self);
    if (unlikely(view == NULL))
        return NULL;
    view->place = args->page->pfn;
    pkmap_get(&self->pkmap, slot);
    (void)page_get(window_frames(self), args->page->pfn);
    if (self->local)
        self->stack[self->depth++] = view;
    return (PyObject *)view;
}

#endif
