/* page_type.c - pyslab.Page: the type, its attributes and its methods. */
#include "python/pages/page_type.h"

#include "python/arena/arena_guard.h"
#include "python/pages/page_buffer.h"
#include "python/pages/page_object.h"
#include "python/share/shared_buffer.h"
#include "python/window/window_object.h"

#include <stddef.h>

static const char page_doc[] =
    "A block of 2**order page frames, of 4096 bytes each, from Arena.alloc_pages().\n"
    "\n"
    "It counts its references. get_page() adds one; put_page(), which is also free_pages(), drops\n"
    "one; the last one frees the frames, and so does the end of the object.\n"
    "\n"
    ">>> page = arena.alloc_pages(3)\n"
    ">>> page.nr_pages, page.nbytes, page.zone, page.refcount\n"
    "(8, 32768, 'NORMAL', 1)\n"
    ">>> arena.free_pages(page)";

static PyObject *method_buffer(PyObject *op, PyObject *unused)
{
    PageObject *self = (PageObject *)op;

    (void)unused;
    if (!page_is_usable(self))
        return NULL;
    if (!pfn_has_address(&page_frames_of(self)->map, self->pfn)) {
        PyErr_Format(PyExc_ValueError,
                     "frame %u is high memory: it has no address until it is mapped", self->pfn);
        return NULL;
    }
    (void)page_get(page_frames_of(self), self->pfn);
    return page_buffer_new(self->arena, self->pfn, page_nbytes(self));
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

GUARD_ONE(page_repr, owner_of_member)

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
    pages = page_frames_of(self);
    return PyUnicode_FromString(pages->zone[page_zone(pfn_to_page(&pages->map, self->pfn))].name);
}

static PyObject *get_virtual(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;
    void *p;

    (void)unused;
    if (!page_is_usable(self))
        return NULL;
    if (pfn_has_address(&page_frames_of(self)->map, self->pfn))
        return PyLong_FromVoidPtr(pfn_to_virt(&page_frames_of(self)->map, self->pfn));
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
               ? PyBool_FromLong(
                     load_relaxed(&pfn_to_page(&page_frames_of(self)->map, self->pfn)->word) &
                     PAGE_FLAG_COMP)
               : NULL;
}

static PyObject *get_refcount(PyObject *op, void *unused)
{
    PageObject *self = (PageObject *)op;

    (void)unused;
    return page_is_usable(self)
               ? PyLong_FromUnsignedLong(
                     load_relaxed(&pfn_to_page(&page_frames_of(self)->map, self->pfn)->refcount))
               : NULL;
}

GUARD_TWO(method_buffer, owner_of_member)
GUARD_FAST(page_handle, owner_of_member)

static PyMethodDef page_methods[] = {
    {"buffer", GUARDED(method_buffer), METH_NOARGS,
     "buffer($self, /)\n--\n\nA Buffer over the frames, with a reference of its own.\n\n"
     "Raises ValueError for a freed Page, and for high memory, which has no address.\n\n"
     ">>> page = arena.alloc_pages(1)\n>>> page.buffer().nbytes, page.refcount\n(8192, 1)"},
    {"handle", FAST(GUARDED(page_handle)),
     "handle($self, /, uses=1, *, pinned=False)\n--\n\nAs Buffer.handle(), for the block of "
     "frames.\n\n"
     ">>> with pyslab.Arena(\"1MiB\", shared=True) as shared:\n"
     "...     print(len(shared.alloc_page().handle()))\n32"},
    {NULL, NULL, 0, NULL},
};

GUARD_GET(get_pfn, owner_of_member)
GUARD_GET(get_order, owner_of_member)
GUARD_GET(get_nr_pages, owner_of_member)
GUARD_GET(get_nbytes, owner_of_member)
GUARD_GET(get_zone, owner_of_member)
GUARD_GET(get_virtual, owner_of_member)
GUARD_GET(get_compound, owner_of_member)
GUARD_GET(get_refcount, owner_of_member)

static PyGetSetDef page_getset[] = {
    {"pfn", GUARDED(get_pfn), NULL, "Number of the first frame, int.", NULL},
    {"order", GUARDED(get_order), NULL, "The block is 2**order frames, int; of a run, at most.",
     NULL},
    {"nr_pages", GUARDED(get_nr_pages), NULL, "Frames of the block, int.", NULL},
    {"nbytes", GUARDED(get_nbytes), NULL, "Bytes of the block, int.", NULL},
    {"zone", GUARDED(get_zone), NULL, "Name of the zone, str.", NULL},
    {"virtual", GUARDED(get_virtual), NULL,
     "Address, int; None for high frames that are not kmapped.", NULL},
    {"compound", GUARDED(get_compound), NULL, "Allocated with GFP.COMP: cannot be split, bool.",
     NULL},
    {"refcount", GUARDED(get_refcount), NULL, "References to the block, int.", NULL},
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
        {Py_tp_doc, (void *)(uintptr_t)page_doc},
        {Py_tp_dealloc, (void *)page_dealloc},
        {Py_tp_repr, (void *)GUARDED(page_repr)},
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
