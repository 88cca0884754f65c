/* page_object.h - a Page as its neighbours see it: a block of frames, reference-counted.
 *
 * What it is: the struct, and the references on the block that the object owns.
 * What it is not: the type and its attributes (page_type.c); the calls that make Pages
 * (page_calls.c).
 *
 * Data structure. A Page owns nr_refs of the block's references: one from alloc_pages, one more
 * for each get_page. Dropping the object drops them all. page.buffer() takes its own.
 * Invariant: nr_refs <= the block's count of references.
 * Lock: the GIL, or the arena (arena_guard.h).
 */
#ifndef PYTHON_PAGE_OBJECT_H
#define PYTHON_PAGE_OBJECT_H

#include "python/arena/arena_object.h"

typedef struct {
    PyObject_HEAD
    ArenaObject *arena; /* owned */
    PyObject *weakrefs; /* list of weak references */
    uint32_t pfn;       /* first frame */
    uint32_t order;     /* the block is 2**order frames, or a run that needs an order as large */
    uint32_t nr_pages;  /* 2**order, or fewer: a run */
    uint32_t nr_refs;   /* references this object owns on the block; 0: freed */
} PageObject;

static inline struct page_alloc *page_frames_of(const PageObject *self)
{
    return &self->arena->core->pages;
}

/* Takes over one reference of the block; without memory for the object it is dropped, and
 * NULL. */
PyObject *page_new(ArenaObject *arena, uint32_t pfn, uint32_t order);
void page_dealloc(PyObject *op);
Py_ssize_t page_nbytes(const PageObject *self);
/* arg as a Page of this arena; NULL with TypeError or InvalidPointerError set. */
PageObject *arg_page(ArenaObject *arena, PyObject *arg);
/* One reference more, or one less: 0, or -1 with ValueError or DoubleFreeError set. */
int page_object_get(PageObject *self);
int page_object_put(PageObject *self);
/* Leaves single frames with a reference each, which the caller takes over; the Page is freed.
 * 0, or -1 with ValueError set. pre: usable */
int page_object_split(PageObject *self);
/* False with ValueError set if it was freed. */
bool page_is_usable(const PageObject *self);

#endif
