/* buffer_copy.c - copies of a Buffer: copy, deepcopy, and what pickle is told.
 *
 * A copy is a Buffer of the same arena with the same bytes. Its memory is from kmalloc, beyond
 * the largest block a run of frames, or as the kind has it (new_like in buffer.h).
 * The allocation may run shrinkers and on_oom: meanwhile the source is held as if it was
 * exported, so that it is neither freed nor resized.
 */
#include "python/buffer/buffer_copy.h"

#include "python/arena/arena_guard.h"
#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/kmalloc/kmalloc_buffer.h"

#include <string.h>

/* --- memory -------------------------------------------------------------- */

/* Memory with an address for so many bytes; NULL if there is none. */
static void *copy_memory(ArenaObject *arena, size_t nbytes)
{
    struct pyslab_arena *core = arena->core;
    void *p;

    if (nbytes <= PAGE_SIZE << core->pages.max_order || nbytes > core->bytes)
        return kmalloc_alloc(&core->kmalloc, nbytes, PYSLAB_GFP_KERNEL);
    Py_BEGIN_ALLOW_THREADS
    p = pyslab_alloc_contig(core, (uint32_t)bytes_to_pages(nbytes), 1, 0, PYSLAB_GFP_KERNEL);
    Py_END_ALLOW_THREADS
    return p;
}

static PyObject *copy_alloc(const BufferObject *self)
{
    ArenaObject *arena = self->arena;
    Py_ssize_t nbytes = self->nbytes;
    void *p;

    if (self->ops->new_like != NULL)
        return self->ops->new_like(self);
    p = copy_memory(arena, (size_t)nbytes);
    if (p == NULL)
        return raise_out_of_memory(arena, (size_t)nbytes, 0, PYSLAB_GFP_KERNEL);
    return buffer_new(arena, p, nbytes, &kmalloc_buffer_ops, NULL);
}

static void copy_bytes(BufferObject *to, const BufferObject *from)
{
    size_t nbytes = (size_t)from->nbytes;

    if (nbytes >= LONG_WORK_BYTES) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(to->p, from->p, nbytes);
        Py_END_ALLOW_THREADS
    } else if (nbytes != 0) {
        memcpy(to->p, from->p, nbytes);
    }
}

static PyObject *copy_of(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    ArenaObject *arena = self->arena;
    PyObject *copy;

    if (!buffer_is_usable(self) || !arena_is_open(arena))
        return NULL;
    arena_pin(arena);
    buffer_hold(self);
    copy = copy_alloc(self);
    if (copy != NULL)
        copy_bytes((BufferObject *)copy, self);
    buffer_let_go(self);
    arena_unpin(arena);
    return copy;
}

GUARD_ONE(copy_of, buffer_owner)

PyObject *buffer_copy(BufferObject *self)
{
    return GUARDED(copy_of)((PyObject *)self);
}

/* --- methods of Buffer --------------------------------------------------- */

PyObject *buffer_method_copy(PyObject *op, PyObject *unused)
{
    (void)unused;
    return buffer_copy((BufferObject *)op);
}

/* The memo is for objects that refer to others, which a Buffer does not. */
PyObject *buffer_deepcopy(PyObject *op, PyObject *memo)
{
    (void)memo;
    return buffer_copy((BufferObject *)op);
}

/* src/pyslab/interchange.py decides how a Buffer is pickled. */
PyObject *buffer_reduce_ex(PyObject *op, PyObject *protocol)
{
    PyObject *module, *result;

    if (!buffer_is_usable((BufferObject *)op))
        return NULL;
    module = PyImport_ImportModule("pyslab.interchange");
    if (module == NULL)
        return NULL;
    result = PyObject_CallMethod(module, "reduce_buffer", "OO", op, protocol);
    Py_DECREF(module);
    return result;
}
