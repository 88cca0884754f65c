/* arena_map.h - the methods of Arena that pictures are made from. */
#ifndef PYTHON_ARENA_ARENA_MAP_H
#define PYTHON_ARENA_ARENA_MAP_H

#include "python/module/objects.h"

/* _page_spans(start, end) -> bytes of struct page_map_span */
PyObject *arena_page_spans(PyObject *op, PyObject *args);
/* _page_cells(start, end, order) -> (bytes of struct page_map_cell, bytes of nr_free) */
PyObject *arena_page_cells(PyObject *op, PyObject *args);
/* _cache_layouts() -> [(id, name, object_size, stride, slab_order, objects_per_slab)] */
PyObject *arena_cache_layouts(PyObject *op, PyObject *unused);
/* _slab_map(id) -> (bytes of struct slab_info, bytes of states), or None: there is no such cache */
PyObject *arena_slab_map(PyObject *op, PyObject *arg);
/* _vm_blocks() -> bytes: the first frame and the number of frames of each block that vmalloc, vmap
 * or a ring maps */
PyObject *arena_vm_blocks(PyObject *op, PyObject *unused);

#endif
