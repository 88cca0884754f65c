/* window_view.c - the views that kmap gives: what a hit costs, and the end of a view.
 *
 * A view is a Buffer of kind BUFFER_KMAP. It holds its Window (`keep`), its slot (a
 * count) and a reference on the block of frames; one of frames that have an address
 * holds the last alone. When it ends is decided in buffer.c: see pytypes.h.
 * Not here: a miss. It calls the policy, _map_new() of src/pyslab/_memory/window.py.
 */
#include "python/window.h"

#include <string.h>

void window_wake(WindowObject *self)
{
    if (self->waiters != NULL && self->waiters_pid != getpid())
        self->waiters = NULL;
    while (self->waiters != NULL) {
        struct waiter *waiter = self->waiters;

        self->waiters = waiter->next;
        waiter->woken = true;
        PyThread_release_lock(waiter->lock);
    }
}

/* --- the end of a view -------------------------------------------------- */

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

bool window_view_close(BufferObject *view)
{
    WindowObject *self = (WindowObject *)view->keep;

    if (self == NULL || !self->local)
        return true;
    if (self->thread != PyThread_get_thread_ident()) {
        PyErr_Format(objects.invalid_pointer,
                     "kunmap: the local view at %p belongs to another thread", view->p);
        return false;
    }
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

void window_shrink(WindowObject *self)
{
    (void)pkmap_flush(&self->pkmap);
    if (self->pkmap.nr_in_use == 0)
        remap_destroy(&self->pkmap.remap);
}

int window_view_return(BufferObject *view, const void *p)
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
    code = page_put(pages, view->pfn, page_order(pfn_to_page(&pages->map, view->pfn)));
    return code == PYSLAB_EFORKED ? PYSLAB_OK : code;
}

/* --- what a kmap is about ----------------------------------------------- */

static bool timeout_valid(PyObject *timeout)
{
    double seconds;

    if (timeout == Py_None)
        return true;
    if (PyBool_Check(timeout) || !PyNumber_Check(timeout)) {
        PyErr_Format(PyExc_TypeError, "timeout must be seconds or None, not %.100s",
                     Py_TYPE(timeout)->tp_name);
        return false;
    }
    seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return false;
    if (seconds >= 0)
        return true;
    PyErr_Format(PyExc_ValueError, "timeout must not be negative, got %S", timeout);
    return false;
}

static bool index_read(PyObject *arg, Py_ssize_t *index)
{
    if (!PyIndex_Check(arg) || PyBool_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "index must be an int, not %.100s", Py_TYPE(arg)->tp_name);
        return false;
    }
    *index = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    return *index != -1 || !PyErr_Occurred();
}

/* page[, index], timeout= */
static bool kmap_keyword(PyObject *name, PyObject *value, struct kmap_args *out)
{
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0) {
        out->timeout = value;
        return timeout_valid(value);
    }
    if (PyUnicode_CompareWithASCIIString(name, "index") == 0)
        return index_read(value, &out->index);
    PyErr_Format(PyExc_TypeError, "kmap() got an unexpected keyword argument %R", name);
    return false;
}

static bool kmap_args_read(ArenaObject *arena, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames, struct kmap_args *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    out->index = 0;
    out->timeout = Py_None;
    if (unlikely(nargs < 1 || nargs > 2)) {
        PyErr_Format(PyExc_TypeError, "kmap() takes 1 or 2 positional arguments, got %zd", nargs);
        return false;
    }
    if (nargs == 2 && !index_read(args[1], &out->index))
        return false;
    for (Py_ssize_t i = 0; i < nr_keywords; i++)
        if (!kmap_keyword(PyTuple_GET_ITEM(kwnames, i), args[nargs + i], out))
            return false;
    out->page = arg_page(arena, args[0]);
    return out->page != NULL;
}

bool kmap_is_possible(ArenaObject *arena, const struct kmap_args *args)
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
    PyErr_SetString(objects.forked, "high memory is shared with the parent process: a forked "
                                    "child maps none of it");
    return false;
}

static always_inline struct place place_of(const struct kmap_args *args, unsigned order)
{
    uint32_t pfn = args->page->pfn, end = pfn + (1u << args->page->order);
    uint32_t run = (pfn + (uint32_t)args->index) >> order;
    uint64_t run_end = (uint64_t)(run + 1) << order;
    uint32_t first = run << order < pfn ? pfn : run << order;

    return (struct place){run, first, (run_end < end ? (uint32_t)run_end : end) - first};
}

/* A view of frames that have an address. */
static PyObject *view_of_address(ArenaObject *arena, const struct kmap_args *args, unsigned order)
{
    struct page_alloc *pages = &arena->core->pages;
    struct place place = place_of(args, order);
    PyObject *view = buffer_new_view(arena, pfn_to_virt(&pages->map, place.first),
                                     (Py_ssize_t)place.nr << PAGE_SHIFT, NULL, args->page->pfn);

    if (view != NULL)
        (void)page_get(pages, args->page->pfn);
    return view;
}

static always_inline PyObject *view_of_slot(WindowObject *self, const struct kmap_args *args,
                                            const struct place *place, uint32_t slot)
{
    struct remap *remap = &self->pkmap.remap;
    size_t offset = (size_t)(place->first - (place->run << remap->order)) << PAGE_SHIFT;
    PyObject *view = buffer_new_view(self->arena, remap_address(remap, slot) + offset,
                                     (Py_ssize_t)place->nr << PAGE_SHIFT, (PyObject *)self,
                                     args->page->pfn);

    if (unlikely(view == NULL))
        return NULL;
    pkmap_get(&self->pkmap, slot);
    (void)page_get(pages_of(self), args->page->pfn);
    if (self->local)
        self->stack[self->depth++] = (BufferObject *)view;
    return view;
}

struct place window_place(const WindowObject *self, const struct kmap_args *args)
{
    return place_of(args, self->pkmap.remap.order);
}

PyObject *window_view(WindowObject *self, const struct kmap_args *args, const struct place *place,
                      uint32_t slot)
{
    return view_of_slot(self, args, place, slot);
}

/* --- kmap --------------------------------------------------------------- */

bool window_takes_more(const WindowObject *self)
{
    if (unlikely(self->closed)) {
        PyErr_SetString(PyExc_ValueError, "operation on a closed Window");
        return false;
    }
    if (likely(!self->local || self->depth < LOCAL_DEPTH))
        return true;
    PyErr_Format(objects.window_exhausted,
                 "this thread has %u local views; hint: end some, or use kmap()", LOCAL_DEPTH);
    return false;
}

/* pre: kmap_is_possible, and the page has no address. */
static PyObject *window_kmap_high(WindowObject *self, const struct kmap_args *args)
{
    struct place place;
    uint32_t slot;

    if (!window_takes_more(self))
        return NULL;
    place = window_place(self, args);
    slot = pkmap_find(&self->pkmap, place.run);
    if (likely(slot != PKMAP_NONE)) {
        self->pkmap.nr_hits++;
        return view_of_slot(self, args, &place, slot);
    }
    return PyObject_CallMethod((PyObject *)self, "_map_new", "OnO", args->page, args->index,
                               args->timeout);
}

bool window_has_arena(const WindowObject *self)
{
    if (likely(self->arena != NULL))
        return true;
    PyErr_SetString(objects.closed, self->closed && self->pkmap.counts == NULL
                                        ? "the Window was never initialised"
                                        : "the arena of the Window is gone");
    return false;
}

static bool page_has_address(const ArenaObject *arena, const struct kmap_args *args)
{
    return pfn_has_address(&arena->core->pages.map, args->page->pfn);
}

PyObject *window_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    WindowObject *self = window_of(op);
    struct kmap_args request;

    if (!window_has_arena(self) || !kmap_args_read(self->arena, args, nargs, kwnames, &request) ||
        !window_has_arena(self) || !kmap_is_possible(self->arena, &request))
        return NULL;
    if (likely(self->closed || !page_has_address(self->arena, &request)))
        return window_kmap_high(self, &request);
    return view_of_address(self->arena, &request, self->pkmap.remap.order);
}

/* The arena's window, made now. */
static PyObject *kmap_first(ArenaObject *self, const struct kmap_args *request)
{
    PyObject *window = PyObject_GetAttrString((PyObject *)self, "kmap_window");
    PyObject *view = NULL;

    if (window == NULL)
        return NULL;
    if (!PyObject_TypeCheck(window, objects.window_type) || window_of(window)->arena != self)
        PyErr_SetString(PyExc_TypeError, "kmap_window is no Window of this arena");
    else if (kmap_is_possible(self, request)) /* still */
        view = window_kmap_high(window_of(window), request);
    Py_DECREF(window);
    return view;
}

PyObject *arena_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct kmap_args request;

    if (!kmap_args_read(self, args, nargs, kwnames, &request) || !kmap_is_possible(self, &request))
        return NULL;
    if (unlikely(page_has_address(self, &request)))
        return view_of_address(self, &request, 0);
    if (unlikely(self->window == NULL))
        return kmap_first(self, &request);
    return window_kmap_high(self->window, &request);
}

/* --- kunmap ------------------------------------------------------------- */

/* window: whose view it must be, unless its frames have an address; NULL: anybody's. */
static PyObject *kunmap(ArenaObject *arena, PyObject *arg, const PyObject *window)
{
    BufferObject *view = arg_buffer(arena, arg);

    if (view == NULL)
        return NULL;
    if (view->kind != BUFFER_KMAP ||
        (window != NULL && view->keep != NULL && view->keep != window)) {
        PyErr_Format(objects.invalid_pointer, "kunmap: the Buffer at %p is no view of this %s",
                     view->p, window == NULL ? "arena" : "Window");
        return NULL;
    }
    if (buffer_kfree(view, "kunmap") < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *arena_kunmap(PyObject *op, PyObject *view)
{
    return kunmap((ArenaObject *)op, view, NULL);
}

PyObject *window_kunmap(PyObject *op, PyObject *view)
{
    return window_has_arena(window_of(op)) ? kunmap(window_of(op)->arena, view, op) : NULL;
}

void *window_address(const ArenaObject *arena, uint32_t pfn)
{
    const WindowObject *self = arena->window;
    uint32_t slot = self == NULL ? PKMAP_NONE : pkmap_find(&self->pkmap, pfn);

    if (slot == PKMAP_NONE || self->pkmap.counts[slot] < 2)
        return NULL;
    return remap_address(&self->pkmap.remap, slot);
}
