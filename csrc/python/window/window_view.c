/* window_view.c - the views that kmap gives: how one is made, and how it ends. */
#include "python/window/window_view.h"

#include "python/call/errors.h"

#include <string.h>

/* --- the end of a view --------------------------------------------------- */

/* A local view died without kunmap(): it may be anywhere on the stack. */
static void stack_remove(WindowObject *self, const BufferObject *view)
{
    for (unsigned i = self->depth; i-- > 0;)
        if (self->stack[i] == view) {
            self->depth--;
            memmove(&self->stack[i], &self->stack[i + 1],
                    (self->depth - i) * sizeof self->stack[0]);
            return;
        }
}

/* A local view ends: false with InvalidPointerError set if another one must end first. */
static bool local_view_close(const BufferObject *view)
{
    WindowObject *self = (WindowObject *)view->keep;

    if (self == NULL || !self->local)
        return true;
    if (self->thread != PyThread_get_thread_ident()) {
        PyErr_Format(objects.invalid_pointer,
                     "kunmap: the local view at %p belongs to another thread", view->p);
        return false;
    }
    CHECK(self->depth > 0); /* it is a view that has not ended */
    if (self->stack[self->depth - 1] != view) {
        PyErr_Format(objects.invalid_pointer,
                     "kunmap: the local view at %p is not the youngest of this thread: local "
                     "views end in reverse order",
                     view->p);
        return false;
    }
    self->depth--;
    return true;
}

/* kunmap() of the view. */
static int view_free(BufferObject *self, const char *call)
{
    if (self->released) {
        PyErr_Format(objects.double_free, "%s: the view was unmapped before", call);
        return -1;
    }
    if (!buffer_has_no_exports(self, call) || !local_view_close(self))
        return -1;
    buffer_end(self);
    return 0;
}

/* The view's slot, and its reference on the block of frames, go back. In a forked child the frames
 * are the parent's, which keeps its reference. */
static int view_give_back(const BufferObject *view, void *p)
{
    struct page_alloc *pages = &view->arena->core->pages;
    WindowObject *self = (WindowObject *)view->keep;
    int code;

    if (self != NULL) {
        if (self->local && !view->released)
            stack_remove(self, view);
        if (pkmap_put(&self->pkmap, remap_slot_of(&self->pkmap.remap, p))) {
            if (unlikely(self->waiters != NULL))
                window_wake(self);
            if (unlikely(self->closed))
                window_shrink(self);
        }
    }
    code = page_put(pages, view->place, page_order(pfn_to_page(&pages->map, view->place)));
    return code == PYSLAB_EFORKED ? PYSLAB_OK : code;
}

static size_t view_capacity(const BufferObject *self)
{
    return (size_t)self->nbytes;
}

const struct buffer_ops window_view_ops = {
    .give_back = view_give_back,
    .capacity = view_capacity,
    .free = view_free,
    .in_arena = true,
    .made_by = "kmap",
    .freed_by = "kunmap",
};

/* --- making one ---------------------------------------------------------- */

bool kmap_is_possible_slow(const ArenaObject *arena, const struct kmap_args *args)
{
    const PageObject *page = args->page;

    if (unlikely(!arena_is_open(arena) || !page_is_usable(page)))
        return false;
    if (unlikely(args->index < 0 || args->index >= (Py_ssize_t)1 << page->order)) {
        PyErr_Format(PyExc_IndexError, "index %zd is outside the Page of frame %u, order %u",
                     args->index, page->pfn, page->order);
        return false;
    }
    if (likely(!arena->core->pages.forked) || pfn_has_address(&arena->core->pages.map, page->pfn))
        return true;
    PyErr_SetString(objects.forked, "high memory belongs to the parent process: a forked "
                                    "child maps none of it");
    return false;
}

PyObject *view_of_address(ArenaObject *arena, const struct kmap_args *args, unsigned order)
{
    struct page_alloc *pages = &arena->core->pages;
    struct run_part part = run_part_of(args, order);
    BufferObject *view;

    CHECK(kmap_args_are_valid(arena, args) && pfn_has_address(&pages->map, args->page->pfn));
    view = buffer_new_view(arena, pfn_to_virt(&pages->map, part.first),
                           (Py_ssize_t)part.nr << PAGE_SHIFT, &window_view_ops, NULL);
    if (unlikely(view == NULL))
        return NULL;
    view->place = args->page->pfn;
    (void)page_get(pages, args->page->pfn);
    return (PyObject *)view;
}
