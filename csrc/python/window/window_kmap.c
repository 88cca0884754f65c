/* window_kmap.c - kmap() and kunmap(), of an Arena and of a Window.
 *
 * A hit, which is a run of frames that a slot shows already, is served here. A miss calls the
 * policy, _map_new() of src/pyslab/_memory/window.py, which comes back by window_policy.c.
 */
#include "python/window/window_kmap.h"

#include "python/buffer/buffer.h"
#include "python/window/window_view.h"

/* --- arguments ----------------------------------------------------------- */

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

/* One keyword argument of kmap(page, index=0, *, timeout=None); false with an exception set. */
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

/* --- kmap ---------------------------------------------------------------- */

/* A view in a slot, or the exception of a closed window. pre: kmap_args_are_valid, and the page
 * has no address or the window is closed */
static PyObject *window_kmap_high(WindowObject *self, const struct kmap_args *args)
{
    struct run_part part;
    uint32_t slot;

    CHECK(kmap_args_are_valid(self->arena, args));
    CHECK(self->closed || !pfn_has_address(&window_frames(self)->map, args->page->pfn));
    if (!window_takes_more(self))
        return NULL;
    part = run_part_of(args, self->pkmap.remap.order);
    slot = pkmap_find(&self->pkmap, part.run);
    if (likely(slot != PKMAP_NONE)) {
        self->pkmap.nr_hits++;
        return view_of_slot(self, args, &part, slot);
    }
    return PyObject_CallMethod((PyObject *)self, "_map_new", "OnO", args->page, args->index,
                               args->timeout);
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

/* The first kmap() of an arena makes its window: Arena.kmap_window does. */
static PyObject *kmap_first(ArenaObject *self, const struct kmap_args *request)
{
    PyObject *window = PyObject_GetAttrString((PyObject *)self, "kmap_window");
    PyObject *view = NULL;

    if (window == NULL)
        return NULL;
    if (!PyObject_TypeCheck(window, objects.window_type) || window_of(window)->arena != self)
        PyErr_SetString(PyExc_TypeError, "kmap_window is no Window of this arena");
    else if (kmap_is_possible(self, request)) /* looked at again: Python code has run */
        view = window_kmap_high(window_of(window), request);
    Py_DECREF(window);
    return view;
}

/* Through the arena's own window. Without a GIL that may be on its way out in another thread. */
static always_inline PyObject *arena_kmap_high(ArenaObject *self, const struct kmap_args *request)
{
    WindowObject *window = self->window;
#ifdef Py_GIL_DISABLED
    PyObject *view;

    if (window == NULL || !try_incref((PyObject *)window))
        return kmap_first(self, request);
    view = window_kmap_high(window, request);
    Py_DECREF(window);
    return view;
#else
    return unlikely(window == NULL) ? kmap_first(self, request) : window_kmap_high(window, request);
#endif
}

PyObject *arena_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct kmap_args request;

    if (!kmap_args_read(self, args, nargs, kwnames, &request) || !kmap_is_possible(self, &request))
        return NULL;
    if (unlikely(page_has_address(self, &request)))
        return view_of_address(self, &request, 0);
    return arena_kmap_high(self, &request);
}

/* --- kunmap -------------------------------------------------------------- */

/* window: the Window that the view must be in, unless its frames have an address. NULL: any. */
static PyObject *kunmap(ArenaObject *arena, PyObject *arg, const PyObject *window)
{
    BufferObject *view = arg_buffer(arena, arg);

    if (view == NULL)
        return NULL;
    if (view->ops != &window_view_ops ||
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
