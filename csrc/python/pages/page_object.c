/* page_object.c - the references on a block of frames that a Page owns. */
#include "python/pages/page_object.h"

#include "python/arena/arena_guard.h"
#include "python/tracing/tracing.h"

Py_ssize_t page_nbytes(const PageObject *self)
{
    return (Py_ssize_t)self->nr_pages << PAGE_SHIFT;
}

/* The address under which tracemalloc knows the block; the Buffers over its frames have it too. */
static slow_path const void *page_place(const PageObject *self)
{
    return pfn_to_place(&page_frames_of(self)->map, self->pfn);
}

PyObject *page_new(ArenaObject *arena, uint32_t pfn, uint32_t order)
{
    PageObject *self = PyObject_New(PageObject, objects.page_type);

    if (self == NULL) {
        (void)page_put(&arena->core->pages, pfn, order);
        return NULL;
    }
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    self->weakrefs = NULL;
    self->pfn = pfn;
    self->order = order;
    self->nr_pages = page_block_pages(pfn_to_page(&arena->core->pages.map, pfn));
    self->nr_refs = 1;
    arena_count_new(arena, page_nbytes(self));
    if (unlikely(trace_is_on()))
        (void)trace_track(page_place(self), (size_t)page_nbytes(self));
    return (PyObject *)self;
}

/* Raises the exception of a core error code; -1. */
static int page_error(const PageObject *self, int code)
{
    PyErr_Format(code == PYSLAB_EFORKED ? objects.forked : PyExc_ValueError,
                 "the Page of frame %u, order %u: %s", self->pfn, self->order,
                 pyslab_strerror(code));
    return -1;
}

/* Drops one of this object's references to the block; the object is freed with its last one. A
 * code of the core. pre: it has one */
static int page_drop(PageObject *self)
{
    int code;

    CHECK(self->nr_refs > 0);
    if (unlikely(trace_is_on()) &&
        load_relaxed(&pfn_to_page(&page_frames_of(self)->map, self->pfn)->refcount) == 1)
        trace_untrack(page_place(self));
    code = page_put(page_frames_of(self), self->pfn, self->order);
    if (code != PYSLAB_OK)
        return code;
    if (--self->nr_refs == 0)
        arena_count_gone(self->arena, page_nbytes(self));
    return PYSLAB_OK;
}

int page_object_put(PageObject *self)
{
    int code;

    if (self->nr_refs == 0) {
        PyErr_Format(objects.double_free, "the Page of frame %u was freed before", self->pfn);
        return -1;
    }
    code = page_drop(self);
    return code == PYSLAB_OK ? 0 : page_error(self, code);
}

int page_object_split(PageObject *self)
{
    struct page_alloc *pages = page_frames_of(self);
    int code;

    CHECK(self->nr_refs > 0);
    code = page_split(pages, self->pfn, self->order);
    if (code == PYSLAB_EINVAL)
        PyErr_Format(PyExc_ValueError,
                     "the Page of frame %u is a run, or was allocated with "
                     "GFP.COMP: it stays one block",
                     self->pfn);
    else if (code == PYSLAB_EBUSY)
        PyErr_Format(PyExc_ValueError, "the Page of frame %u has more than one reference",
                     self->pfn);
    else if (code != PYSLAB_OK)
        return page_error(self, code);
    if (code != PYSLAB_OK)
        return -1;
    self->nr_refs = 0;
    if (unlikely(trace_is_on()))
        trace_untrack(page_place(self));
    arena_count_gone(self->arena, page_nbytes(self));
    return 0;
}

bool page_is_usable(const PageObject *self)
{
    if (self->nr_refs != 0)
        return true;
    PyErr_Format(PyExc_ValueError, "operation on a freed Page (frame %u)", self->pfn);
    return false;
}

int page_object_get(PageObject *self)
{
    if (!page_is_usable(self))
        return -1;
    (void)page_get(page_frames_of(self), self->pfn);
    self->nr_refs++;
    return 0;
}

void page_dealloc(PyObject *op)
{
    PageObject *self = (PageObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    ArenaObject *arena = self->arena;

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    guard_begin(arena);
    while (self->nr_refs != 0) {
        int code = page_drop(self);

        if (code == PYSLAB_OK)
            continue;
        /* In a forked child a high frame is the parent's: the object gives nothing back. */
        if (code != PYSLAB_EFORKED) {
            page_error(self, code);
            PyErr_WriteUnraisable((PyObject *)objects.page_type);
        }
        self->nr_refs = 0;
        arena_count_gone(arena, page_nbytes(self));
    }
    guard_end();
    PyObject_Free(self);
    Py_DECREF(arena);
    Py_DECREF(type);
}

PageObject *arg_page(ArenaObject *arena, PyObject *arg)
{
    PageObject *self = (PageObject *)arg;

    if (!Py_IS_TYPE(arg, objects.page_type)) {
        PyErr_Format(PyExc_TypeError, "expected a pyslab.Page, not %.100s", Py_TYPE(arg)->tp_name);
        return NULL;
    }
    if (self->arena != arena) {
        PyErr_Format(objects.invalid_pointer, "the Page of frame %u belongs to another arena",
                     self->pfn);
        return NULL;
    }
    return self;
}
