/* arena_map.c - see arena_map.h.
 *
 * The GIL is held all the time, and no Python code runs while a lock of the core is held: what the
 * core writes goes to memory that was allocated before, and becomes an object afterwards.
 */
#include "python/arena/arena_map.h"

#include "python/arena/arena_object.h"

#include "arena/page_map.h"

/* --- frames --------------------------------------------------------------------- */

/* Reads the range of frames; false with ValueError set. */
static bool map_arguments(const ArenaObject *self, PyObject *args, const char *format,
                          struct page_map *map)
{
    if (!PyArg_ParseTuple(args, format, &map->start, &map->end, &map->order))
        return false;
    if (map->start < map->end && map->end <= self->core->pages.map.nr_pages &&
        map->order <= MAX_ORDER)
        return true;
    PyErr_Format(PyExc_ValueError, "frames %u to %u are not frames 0 to %u of this arena",
                 map->start, map->end, self->core->pages.map.nr_pages);
    return false;
}

static void map_free(struct page_map *map)
{
    PyMem_Free(map->spans);
    PyMem_Free(map->cells);
    PyMem_Free(map);
}

/* A map of the frames that the arguments say, without its arrays; NULL with an exception. */
static struct page_map *map_new(const ArenaObject *self, PyObject *args, const char *format)
{
    struct page_map *map;

    if (!arena_is_mapped(self))
        return NULL;
    map = PyMem_Calloc(1, sizeof *map);
    if (map == NULL)
        PyErr_NoMemory();
    else if (map_arguments(self, args, format, map))
        return map;
    PyMem_Free(map);
    return NULL;
}

PyObject *arena_page_spans(PyObject *op, PyObject *args)
{
    ArenaObject *self = (ArenaObject *)op;
    struct page_map *map = map_new(self, args, "II|I:_page_spans");
    PyObject *result = NULL;

    if (map == NULL)
        return NULL;
    map->spans = PyMem_Calloc(map->end - map->start, sizeof *map->spans);
    if (map->spans == NULL) {
        PyErr_NoMemory();
    } else {
        page_map_read(self->core, map);
        result = PyBytes_FromStringAndSize((char *)map->spans,
                                           (Py_ssize_t)(map->nr_spans * sizeof *map->spans));
    }
    map_free(map);
    return result;
}

PyObject *arena_page_cells(PyObject *op, PyObject *args)
{
    ArenaObject *self = (ArenaObject *)op;
    struct page_map *map = map_new(self, args, "III:_page_cells");
    PyObject *result = NULL;
    size_t nr;

    if (map == NULL)
        return NULL;
    nr = (map->end - map->start - 1) / (1u << map->order) + 1;
    map->cells = PyMem_Calloc(nr, sizeof *map->cells);
    if (map->cells == NULL) {
        PyErr_NoMemory();
    } else {
        page_map_read(self->core, map);
        result = Py_BuildValue("y#y#", (char *)map->cells, (Py_ssize_t)(nr * sizeof *map->cells),
                               (char *)map->nr_free, (Py_ssize_t)sizeof map->nr_free);
    }
    map_free(map);
    return result;
}

/* --- caches --------------------------------------------------------------------- */

PyObject *arena_cache_layouts(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;
    struct kmem_cache *cache;
    PyObject *result;
    uint32_t id = 1;

    (void)unused;
    if (!arena_is_mapped(self))
        return NULL;
    result = PyList_New(0);
    while (result != NULL && (cache = cache_pin_next(&self->core->kmalloc.slabs, &id)) != NULL) {
        const struct cache_desc *desc = cache->desc;
        PyObject *row = Py_BuildValue("(IsIIII)", cache->id, desc->name, desc->object_size,
                                      desc->stride, desc->slab_order, desc->objects_per_slab);

        cache_unpin(cache);
        if (row == NULL || PyList_Append(result, row) != 0)
            Py_CLEAR(result);
        Py_XDECREF(row);
    }
    return result;
}

/* The slabs of a pinned cache. What comes between the two looks is left out. */
static PyObject *slab_map_of(struct kmem_cache *cache)
{
    uint32_t nr = cache_slab_map(cache, NULL, NULL, 0), found;
    size_t each = cache->desc->objects_per_slab;
    struct slab_info *info = PyMem_Calloc((size_t)nr + 1, sizeof *info);
    uint8_t *states = PyMem_Calloc((size_t)nr + 1, each);
    PyObject *result = NULL;

    if (info == NULL || states == NULL) {
        PyErr_NoMemory();
    } else {
        found = min_uint(nr, cache_slab_map(cache, info, states, nr));
        result = Py_BuildValue("y#y#", (char *)info, (Py_ssize_t)(found * sizeof *info),
                               (char *)states, (Py_ssize_t)(found * each));
    }
    PyMem_Free(info);
    PyMem_Free(states);
    return result;
}

PyObject *arena_slab_map(PyObject *op, PyObject *arg)
{
    ArenaObject *self = (ArenaObject *)op;
    unsigned long wanted = PyLong_AsUnsignedLong(arg);
    uint32_t id = (uint32_t)wanted;
    struct kmem_cache *cache;
    PyObject *result = NULL;

    if (PyErr_Occurred() || !arena_is_mapped(self))
        return NULL;
    if (wanted >= MAX_CACHES || (cache = cache_pin_next(&self->core->kmalloc.slabs, &id)) == NULL)
        Py_RETURN_NONE;
    if (cache->id == wanted)
        result = slab_map_of(cache);
    else
        result = Py_NewRef(Py_None);
    cache_unpin(cache);
    return result;
}

/* --- mapped frames -------------------------------------------------------------- */

PyObject *arena_vm_blocks(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;
    uint32_t nr, found;
    uint32_t *words;
    PyObject *result;

    (void)unused;
    if (!arena_is_mapped(self))
        return NULL;
    nr = vm_list_blocks(&self->core->vm, NULL, 0);
    words = PyMem_Calloc((size_t)nr + 1, 2 * sizeof *words);
    if (words == NULL)
        return PyErr_NoMemory();
    found = min_uint(nr, vm_list_blocks(&self->core->vm, words, nr));
    result = PyBytes_FromStringAndSize((char *)words, (Py_ssize_t)(found * 2 * sizeof *words));
    PyMem_Free(words);
    return result;
}
