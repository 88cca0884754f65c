/* page_type.c - Page: a block of frames, reference-counted.
 *
 * A Page object owns nr_refs of the block's references: one from alloc_pages, one more
 * for each get_page. Dropping the object drops them all. page.buffer() takes its own.
 */
#include "python/tracing.h"

#include <stddef.h>

static inline struct page_alloc *pages_of(const PageObject *self)
{
    return &self->arena->core->pages;
}

static Py_ssize_t page_nbytes(const PageObject *self)
{
    return (Py_ssize_t)self->nr_pages << PAGE_SHIFT;
}

/* Where the block is to tracemalloc: at its address, so that it and the Buffers over it are
 * one block; or, as high memory has none, at its record in mem_map. */
static slow_path const void *page_place(const PageObject *self)
{
    const struct frame_map *map = &pages_of(self)->map;

    return pfn_has_address(map, self->pfn) ? (const void *)pfn_to_virt(map, self->pfn)
                                           : (const void *)pfn_to_page(map, self->pfn);
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
    if (unlikely(trace_on))
        trace_track(page_place(self), (size_t)page_nbytes(self));
    return (PyObject *)self;
}

/* Raises what went wrong with the block. */
static int page_error(const PageObject *self, int code)
{
    PyErr_Format(code == PYSLAB_EFORKED ? objects.forked : PyExc_ValueError,
                 "the Page of frame %u, order %u: %s", self->pfn, self->order,
                 pyslab_strerror(code));
    return -1;
}

/* Drops one reference of the block; with the last one the object is freed. */
static int page_drop(PageObject *self)
{
    int code;

    if (unlikely(trace_on) &&
        load_relaxed(&pfn_to_page(&pages_of(self)->map, self->pfn)->refcount) == 1)
        trace_untrack(page_place(self));
    code = page_put(pages_of(self), self->pfn, self->order);
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
    struct page_alloc *pages = pages_of(self);
    int code = page_split(pages, self->pfn, self->order);

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
    if (unlikely(trace_on))
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
    (void)page_get(pages_of(self), self->pfn);
    self->nr_refs++;
    return 0;
}

static void page_dealloc(PyObject *op)
{
    PageObject *self = (PageObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    ArenaObject *arena = self->arena;

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    while (self->nr_refs != 0) {
        int code = page_drop(self);

        if (code == PYSLAB_OK)
            continue;
        /* In a forked child a high frame is the parent's: the object just goes. */
        if (code != PYSLAB_EFORKED) {
            page_error(self, code);
            PyErr_WriteUnraisable((PyObject *)objects.page_type);
        }
        self->nr_refs = 0;
        arena_count_gone(arena, page_nbytes(self));
    }
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

/* --- Python surface ----------------------------------------------------- */

static PyObject *page_buffer(PyObject *op, PyObject *unused)
{
    PageObject *self = (PageObject *)op;

    (void)unused;
    if (!page_is_usable(self))
        return NULL;
    if (!pfn_has_address(&pages_of(self)->map, self->pfn)) {
        PyErr_Format(PyExc_ValueError,
                     "frame %u is high memory: it has no address until it is mapped", self->pfn);
        return NULL;
    }
    (void)page_get(pages_of(self), self->pfn);
    return buffer_new(self->arena, pfn_to_virt(&pages_of(self)->map, self->pfn), page_nbytes(self),
                      BUFFER_PAGES, NULL);
}

static PyObject *page_repr(PyObject *op)
{
    PageObject *self = (PageObject *)op;

    const char *freed = self->nr_refs == 0 ? " freed" : "";

    if (self->nr_pages != 1u << self->order)
        return PyUnicode_FromFormat("<pyslab.Page pfn=%u nr_pages=%u%s>", self->pfn, self->nr_pages,
                                    freed);
    return PyUnicode_FromFormat("<pyslab.Page pfn=%u order=%u%s>", self->pfn, self->order, freed);
}

static PyObject *get_pfn(PyObject *op, void *unused)
{
    (void)unused;
    return page_is_usable((PageObject *)op) ? PyLong_FromUnsignedLong(((PageObject *)op)->pfn)
                                            : NULL;
}

static PyObject *get_order(PyObject *op, void *unused)
{
    (void)unused;
    return page_is_usable((PageObject *)op) ? PyLong_FromUnsignedLong(((PageObject *)op)->order)
                                            : NULL;
}

static PyObject *get_nr_pages(PyObject *op, void *unused)
{
    (void)unused;
    return page_is_usable((PageObject *)op) ? PyLong_FromUnsignedLong(((PageObject *)op)->nr_pages)
                                            : NULL;
}

static PyObject *get_nbytes(PyObject *op, void *unused)
{
    (void)unused;
    return page_is_usable((PageObject *)op) ? PyLong_FromSsize_t(page_nbytes((PageObject *)op))
                                            : NULL;
}

static PyObject *get_arena(PyObject *op, void *unused)
{
    (void)unused;
    return Py_NewRef((PyObject *)((PageObject *)op)->arena);
}

static PyObject *get_zone(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;
    const struct page_alloc *pages;

    (void)unused;
    if (!page_is_usable(self))
        return NULL;
    pages = pages_of(self);
    return PyUnicode_FromString(pages->zone[page_zone(pfn_to_page(&pages->map, self->pfn))].name);
}

static PyObject *get_virtual(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;
    void *p;

    (void)unused;
    if (!page_is_usable(self))
        return NULL;
    if (pfn_has_address(&pages_of(self)->map, self->pfn))
        return PyLong_FromVoidPtr(pfn_to_virt(&pages_of(self)->map, self->pfn));
    p = window_address(self->arena, self->pfn);
    if (p == NULL)
        Py_RETURN_NONE;
    return PyLong_FromVoidPtr(p);
}

static PyObject *get_compound(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;

    (void)unused;
    return page_is_usable(self)
               ? PyBool_FromLong(load_relaxed(&pfn_to_page(&pages_of(self)->map, self->pfn)->word) &
                                 PAGE_FLAG_COMP)
               : NULL;
}

static PyObject *get_refcount(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;

    (void)unused;
    return page_is_usable(self) ? PyLong_FromUnsignedLong(load_relaxed(
                                      &pfn_to_page(&pages_of(self)->map, self->pfn)->refcount))
                                : NULL;
}

static PyMethodDef page_methods[] = {
    {"buffer", page_buffer, METH_NOARGS,
     "buffer($self, /)\n--\n\nA Buffer over the frames, with a reference of its own."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef page_getset[] = {
    {"pfn", get_pfn, NULL, "Number of the first frame, int.", NULL},
    {"order", get_order, NULL, "The block is 2**order frames, int; of a run, at most.", NULL},
    {"nr_pages", get_nr_pages, NULL, "Frames of the block, int.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes of the block, int.", NULL},
    {"zone", get_zone, NULL, "Name of the zone, str.", NULL},
    {"virtual", get_virtual, NULL, "Address, int; None for high frames that are not kmapped.",
     NULL},
    {"compound", get_compound, NULL, "Allocated with GFP.COMP: cannot be split, bool.", NULL},
    {"refcount", get_refcount, NULL, "References to the block, int.", NULL},
    {"arena", get_arena, NULL, "The Arena it belongs to.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef page_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PageObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject *page_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"A block of page frames, from Arena.alloc_pages()."},
        {Py_tp_dealloc, (void *)page_dealloc},
        {Py_tp_repr, (void *)page_repr},
        {Py_tp_methods, page_methods},
        {Py_tp_getset, page_getset},
        {Py_tp_members, page_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Page",
        .basicsize = sizeof(PageObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
