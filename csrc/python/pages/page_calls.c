/* page_calls.c - the calls of Arena that hand out page frames, as Buffers and as Pages.
 *
 * What it is not: kmalloc (kmalloc/), and Page itself (page_object.c).
 */
#include "python/pages/page_calls.h"

#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/kmalloc/kmalloc_buffer.h"
#include "python/pages/page_buffer.h"
#include "python/pages/page_object.h"

/* --- blocks of 2**order frames ------------------------------------------- */

/* A block, without the GIL if much must be cleared; PFN_NONE. */
static uint32_t alloc_block(ArenaObject *self, int order, uint32_t gfp)
{
    struct page_alloc *pages = &self->core->pages;
    uint32_t pfn;

    if ((gfp & PYSLAB_GFP_ZERO) == 0 || PAGE_SIZE << order < LONG_WORK_BYTES)
        return page_alloc_block(pages, (unsigned)order, gfp);
    arena_pin(self);
    Py_BEGIN_ALLOW_THREADS
    pfn = page_alloc_block(pages, (unsigned)order, gfp);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(self);
    return pfn;
}

/* The five calls for a block of frames are one function, and differ in this. */
struct block_call {
    const char *name;
    Py_ssize_t nr_positional; /* 1: the order; 0: one frame */
    uint32_t extra_gfp;
    bool as_page; /* a Page, else a Buffer */
};

static PyObject *block_get(PyObject *op, const struct block_call *call, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    uint32_t gfp, pfn;
    int order;

    if (!arg_options(call->name, nargs, call->nr_positional, args, kwnames, false, &options))
        return NULL;
    order = call->nr_positional == 0 ? 0 : arg_order(self, args[0]);
    if (order < 0 || !arena_is_open(self))
        return NULL;
    gfp = options.gfp | call->extra_gfp;
    /* A Buffer needs an address, which high memory has not. The kernel drops the flag in the same
     * functions. */
    if (!call->as_page)
        gfp &= ~GFP_HIGH_BITS;
    if (!arg_nofail(gfp, PAGE_SIZE << order))
        return NULL;
    do
        pfn = alloc_block(self, order, gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL);
    while (pfn == PFN_NONE && nofail_again(self, gfp));
    if (pfn == PFN_NONE)
        return raise_out_of_memory(self, PAGE_SIZE << order, 0, gfp);
    if (call->as_page)
        return page_new(self, pfn, (uint32_t)order);
    return page_buffer_new(self, pfn, (Py_ssize_t)(PAGE_SIZE << order));
}

#define BLOCK_METHOD(name_, nr_positional_, extra_gfp_, as_page_)                                  \
    PyObject *method_##name_(PyObject *op, PyObject *const *args, Py_ssize_t nargs,                \
                             PyObject *kwnames)                                                    \
    {                                                                                              \
        static const struct block_call call = {#name_, nr_positional_, extra_gfp_, as_page_};      \
                                                                                                   \
        return block_get(op, &call, args, nargs, kwnames);                                         \
    }

BLOCK_METHOD(get_free_pages, 1, 0, false)
BLOCK_METHOD(get_free_page, 0, 0, false)
BLOCK_METHOD(get_zeroed_page, 0, PYSLAB_GFP_ZERO, false)
BLOCK_METHOD(alloc_pages, 1, 0, true)
BLOCK_METHOD(alloc_page, 0, 0, true)

/* --- runs of any length -------------------------------------------------- */

static PyObject *run_buffer(ArenaObject *self, void *p, size_t nbytes, uint32_t gfp)
{
    if (p == NULL)
        return raise_out_of_memory(self, nbytes, 0, gfp);
    return buffer_new(self, p, (Py_ssize_t)nbytes, &kmalloc_buffer_ops, NULL);
}

static void *exact_pages(ArenaObject *self, size_t size, uint32_t gfp)
{
    void *p;

    arena_pin(self);
    Py_BEGIN_ALLOW_THREADS
    p = kmalloc_exact_pages(&self->core->kmalloc, size, gfp);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(self);
    return p;
}

PyObject *method_alloc_pages_exact(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    Py_ssize_t size;
    void *p;

    if (!arg_options("alloc_pages_exact", nargs, 1, args, kwnames, false, &options))
        return NULL;
    size = arg_size(self, args[0], "size");
    if (size < 0 || !arena_is_open(self))
        return NULL;
    if (size == 0) {
        PyErr_SetString(PyExc_ValueError, "alloc_pages_exact needs a size of at least one byte");
        return NULL;
    }
    if (!arg_nofail(options.gfp, (size_t)size))
        return NULL;
    options.gfp &= ~GFP_HIGH_BITS;
    do
        p = exact_pages(self, (size_t)size, options.gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL);
    while (p == NULL && nofail_again(self, options.gfp));
    return run_buffer(self, p, (size_t)size, options.gfp);
}

/* A number or count of frames, 0 to UINT32_MAX / 2; -1 with an exception set. */
static int64_t arg_frames(ArenaObject *arena, PyObject *arg, const char *what)
{
    Py_ssize_t nr = arg_count(arena, arg, what);

    if (nr > (Py_ssize_t)(UINT32_MAX >> 1)) {
        PyErr_Format(PyExc_ValueError, "%s must be at most %u frames, got %zd", what,
                     UINT32_MAX >> 1, nr);
        return -1;
    }
    return nr;
}

struct contig_args {
    int64_t nr_pages;
    int64_t align;
    int64_t nocross;
    uint32_t gfp;
};

static bool contig_keyword(ArenaObject *self, PyObject *name, PyObject *value,
                           struct contig_args *out)
{
    if (PyUnicode_CompareWithASCIIString(name, "align") == 0)
        return (out->align = arg_frames(self, value, "align")) >= 0;
    if (PyUnicode_CompareWithASCIIString(name, "nocross") == 0)
        return (out->nocross = arg_frames(self, value, "nocross")) >= 0;
    if (PyUnicode_CompareWithASCIIString(name, "gfp") == 0)
        return arg_gfp(value, &out->gfp);
    PyErr_Format(PyExc_TypeError, "alloc_contig() got an unexpected keyword argument %R", name);
    return false;
}

static bool contig_parse(ArenaObject *self, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, struct contig_args *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    *out = (struct contig_args){.align = 1, .gfp = PYSLAB_GFP_KERNEL};
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "alloc_contig() takes 1 positional argument, got %zd", nargs);
        return false;
    }
    out->nr_pages = arg_frames(self, args[0], "nr_frames");
    if (out->nr_pages < 0)
        return false;
    for (Py_ssize_t i = 0; i < nr_keywords; i++)
        if (!contig_keyword(self, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], out))
            return false;
    if (out->nr_pages == 0) {
        PyErr_SetString(PyExc_ValueError, "nr_frames must be at least 1");
    } else if (out->align == 0 || !is_power_of_two((uint64_t)out->align)) {
        PyErr_Format(PyExc_ValueError, "align must be a power of two in frames, got %lld",
                     (long long)out->align);
    } else if (out->nocross != 0 &&
               (!is_power_of_two((uint64_t)out->nocross) || out->nocross < out->nr_pages)) {
        PyErr_Format(PyExc_ValueError,
                     "nocross must be 0 or a power of two of at least nr_frames, got %lld",
                     (long long)out->nocross);
    } else {
        return true;
    }
    return false;
}

/* The run as a Page, which needs no address. */
static PyObject *run_page(ArenaObject *self, const struct contig_args *run)
{
    uint32_t pfn;

    arena_pin(self);
    Py_BEGIN_ALLOW_THREADS
    pfn = pyslab_alloc_run(self->core, (uint32_t)run->nr_pages, (uint32_t)run->align,
                           (uint32_t)run->nocross, run->gfp);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(self);
    if (pfn == PFN_NONE)
        return raise_out_of_memory(self, (size_t)run->nr_pages << PAGE_SHIFT, 0, run->gfp);
    return page_new(self, pfn, pyslab_page_order(self->core, pfn));
}

PyObject *method_alloc_contig(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct contig_args run;
    void *p;

    if (!contig_parse(self, args, nargs, kwnames, &run) || !arena_is_open(self) ||
        !arg_no_nofail("alloc_contig", run.gfp))
        return NULL;
    if (run.gfp & PYSLAB_GFP_HIGHMEM)
        return run_page(self, &run);
    arena_pin(self);
    Py_BEGIN_ALLOW_THREADS
    p = pyslab_alloc_contig(self->core, (uint32_t)run.nr_pages, (uint32_t)run.align,
                            (uint32_t)run.nocross, run.gfp);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(self);
    return run_buffer(self, p, (size_t)run.nr_pages << PAGE_SHIFT, run.gfp);
}

/* True if the frames exist, and all of them have addresses or none has; else ValueError. */
static bool range_exists(ArenaObject *self, int64_t pfn, int64_t nr)
{
    const struct frame_map *map = &self->core->pages.map;

    if (nr > 0 && pfn + nr <= map->nr_pages &&
        (pfn >= map->nr_mapped || pfn + nr <= map->nr_mapped))
        return true;
    PyErr_Format(PyExc_ValueError,
                 "reserve_range needs at least one frame, all below %u, and on one side of frame "
                 "%u, where high memory begins",
                 map->nr_pages, map->nr_mapped);
    return false;
}

PyObject *method_reserve_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ArenaObject *self = (ArenaObject *)op;
    int64_t pfn, nr;

    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "reserve_range() takes 2 positional arguments, got %zd",
                     nargs);
        return NULL;
    }
    pfn = arg_frames(self, args[0], "pfn");
    nr = pfn < 0 ? -1 : arg_frames(self, args[1], "nr_frames");
    if (nr < 0 || !arena_is_open(self) || !range_exists(self, pfn, nr))
        return NULL;
    if (pfn_has_address(&self->core->pages.map, (uint32_t)pfn)) {
        void *p = pyslab_reserve_range(self->core, (uint32_t)pfn, (uint32_t)nr);

        if (p != NULL)
            return buffer_new(self, p, (Py_ssize_t)nr << PAGE_SHIFT, &kmalloc_buffer_ops, NULL);
    } else if (pyslab_reserve_run(self->core, (uint32_t)pfn, (uint32_t)nr) != PFN_NONE) {
        return page_new(self, (uint32_t)pfn, pyslab_page_order(self->core, (uint32_t)pfn));
    }
    PyErr_Format(objects.out_of_memory,
                 "cannot reserve frames %lld to %lld: not all of them are free, within one zone "
                 "and within the limit",
                 (long long)pfn, (long long)(pfn + nr - 1));
    return NULL;
}

/* --- many single frames -------------------------------------------------- */

/* A list of Pages, one for each of nr frames. On an error all frames go back, and NULL. */
static PyObject *pages_list(ArenaObject *self, const uint32_t *pfns, Py_ssize_t nr)
{
    PyObject *list = PyList_New(nr);

    for (Py_ssize_t i = 0; i < nr; i++) {
        PyObject *page = list == NULL ? NULL : page_new(self, pfns[i], 0);

        if (page != NULL) {
            PyList_SET_ITEM(list, i, page);
            continue;
        }
        /* page_new has given its own frame back. */
        for (Py_ssize_t left = list == NULL ? i : i + 1; left < nr; left++)
            (void)page_put(&self->core->pages, pfns[left], 0);
        Py_XDECREF(list);
        return NULL;
    }
    return list;
}

static uint32_t bulk_frames(ArenaObject *self, uint32_t gfp, uint32_t nr, uint32_t *pfns)
{
    uint32_t got;

    Py_BEGIN_ALLOW_THREADS
    got = page_alloc_bulk(&self->core->pages, gfp, nr, pfns);
    Py_END_ALLOW_THREADS
    return got;
}

PyObject *method_alloc_pages_bulk(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    PyObject *list;
    uint32_t *pfns;
    int64_t nr;
    uint32_t got;

    if (!arg_options("alloc_pages_bulk", nargs, 1, args, kwnames, false, &options))
        return NULL;
    nr = arg_frames(self, args[0], "n");
    if (nr < 0 || !arena_is_open(self) || !arg_nofail(options.gfp, PAGE_SIZE))
        return NULL;
    if (nr > self->core->pages.map.nr_pages)
        nr = self->core->pages.map.nr_pages;
    pfns = PyMem_New(uint32_t, (size_t)nr);
    if (pfns == NULL)
        return PyErr_NoMemory();
    arena_pin(self);
    do
        got = bulk_frames(self, options.gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL, (uint32_t)nr, pfns);
    while (got == 0 && nr != 0 && nofail_again(self, options.gfp));
    if (PyErr_Occurred()) {
        for (uint32_t i = 0; i < got; i++)
            (void)page_put(&self->core->pages, pfns[i], 0);
        list = NULL;
    } else if (got == 0 && nr != 0) {
        list = raise_out_of_memory(self, PAGE_SIZE, 0, options.gfp);
    } else {
        list = pages_list(self, pfns, got);
    }
    arena_unpin(self);
    PyMem_Free(pfns);
    return list;
}

PyObject *method_split_page(PyObject *op, PyObject *arg)
{
    ArenaObject *self = (ArenaObject *)op;
    PageObject *page = arg_page(self, arg);
    PyObject *list = NULL;
    uint32_t *pfns;
    Py_ssize_t nr;

    if (page == NULL || !page_is_usable(page))
        return NULL;
    nr = page->nr_pages;
    pfns = PyMem_New(uint32_t, (size_t)nr);
    if (pfns == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < nr; i++)
        pfns[i] = page->pfn + (uint32_t)i;
    arena_pin(self); /* no object counts the frames until pages_list has made the Pages */
    if (page_object_split(page) == 0)
        list = pages_list(self, pfns, nr);
    arena_unpin(self);
    PyMem_Free(pfns);
    return list;
}

/* --- references ---------------------------------------------------------- */

PyObject *method_put_page(PyObject *op, PyObject *arg)
{
    PageObject *page = arg_page((ArenaObject *)op, arg);

    if (page == NULL || page_object_put(page) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *method_get_page(PyObject *op, PyObject *arg)
{
    PageObject *page = arg_page((ArenaObject *)op, arg);

    if (page == NULL || page_object_get(page) < 0)
        return NULL;
    Py_RETURN_NONE;
}
