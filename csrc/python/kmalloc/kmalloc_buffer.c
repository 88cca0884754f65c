/* kmalloc_buffer.c - Buffers over memory of kmalloc, and how they are resized. */
#include "python/kmalloc/kmalloc_buffer.h"

#include "python/call/errors.h"
#include "python/tracing/tracing.h"

#include <string.h>

/* No functions: what buffer.c does for a kind that has none is right for kmalloc. */
const struct buffer_ops kmalloc_buffer_ops = {
    .is_block = true, .made_by = "kmalloc", .freed_by = "kfree"};

/* --- resize -------------------------------------------------------------- */

/* The Buffer has another size, and perhaps other memory: the counts and tracemalloc learn of it. */
static void buffer_set_size(BufferObject *self, Py_ssize_t nbytes)
{
    arena_count_bytes(self->arena, nbytes - self->nbytes);
    self->nbytes = nbytes;
    buffer_trace(self);
}

/* The Buffer has moved, and others may know its old address: the old memory stays until the
 * Buffer dies. A hidden Buffer owns it, as this one's `keep`. 0, or -1 with MemoryError set. */
static int keep_old_memory(BufferObject *self, void *moved)
{
    BufferObject *old = (BufferObject *)buffer_new(self->arena, moved, 0, &kmalloc_buffer_ops,
                                                   self->keep);

    if (old == NULL)
        return -1;
    old->p = self->p;
    old->marks = BUFFER_HIDDEN | (self->marks & BUFFER_TRACED);
    arena_count_hidden(self->arena, -1);
    self->ever_exported = false;
    Py_XSETREF(self->keep, (PyObject *)old);
    buffer_release_memory(old);
    return 0;
}

static bool buffer_may_resize(const BufferObject *self)
{
    return buffer_is_usable(self) && buffer_has_no_exports(self, "krealloc");
}

/* Memory for more bytes than the Buffer has; NULL with an exception set. Shrinkers and on_oom may
 * run meanwhile and do anything, also free or export the Buffer: it is looked at again. */
static void *resize_alloc(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    struct kmalloc *km = &self->arena->core->kmalloc;
    uint32_t plain = gfp & ~(uint32_t)(PYSLAB_GFP_ZERO | PYSLAB_GFP_NOFAIL);
    void *moved;

    do
        moved = kmalloc_alloc(km, (size_t)nbytes, plain);
    while (moved == NULL && nofail_again(self->arena, gfp));
    if (moved == NULL)
        return raise_out_of_memory(self->arena, (size_t)nbytes, 0, gfp);
    if (buffer_may_resize(self))
        return moved;
    (void)kmalloc_free(km, moved);
    return NULL;
}

/* Moves the Buffer to memory for more bytes; 0, or -1 with an exception set. */
static int resize_move(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    void *moved, *old;

    arena_pin(self->arena);
    moved = resize_alloc(self, nbytes, gfp);
    arena_unpin(self->arena);
    if (moved == NULL)
        return -1;
    old = self->p;
    if (self->nbytes != 0)
        memcpy(moved, old, (size_t)(self->nbytes < nbytes ? self->nbytes : nbytes));
    if (!self->ever_exported) {
        trace_gone(old);
        (void)kmalloc_free(&self->arena->core->kmalloc, old);
    } else if (keep_old_memory(self, moved) < 0) {
        return -1;
    }
    self->p = moved;
    return 0;
}

int buffer_resize(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    if (!buffer_may_resize(self))
        return -1;
    if (self->ops != &kmalloc_buffer_ops) {
        PyErr_SetString(objects.invalid_pointer, "krealloc: the Buffer is not from kmalloc");
        return -1;
    }
    if ((size_t)nbytes > buffer_capacity(self)) {
        if (resize_move(self, nbytes, gfp) < 0)
            return -1;
    } else if (!self->ever_exported) {
        trace_gone(self->p); /* resized to 0 bytes, the memory has another address */
        self->p = kmalloc_resize(&self->arena->core->kmalloc, self->p, (size_t)nbytes,
                                 PYSLAB_GFP_KERNEL);
    }
    if ((gfp & PYSLAB_GFP_ZERO) != 0 && nbytes > self->nbytes)
        memset((char *)self->p + self->nbytes, 0, (size_t)(nbytes - self->nbytes));
    buffer_set_size(self, nbytes);
    return 0;
}
