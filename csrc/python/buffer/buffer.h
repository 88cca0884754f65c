/* buffer.h - the Buffer's memory: making, freeing, exporting; and the table of what kinds of
 * Buffer do differently.
 *
 * What it is: one struct for all Buffers (buffer_object.h), and one struct buffer_ops for each
 * kind, which is defined where that kind is made: kmalloc/kmalloc_buffer.c, pages/page_buffer.c,
 * cache/cache_object.c, mempool/mempool_object.c, region/region_buffer.c, vm/vm_calls.c,
 * window/window_view.c, share/shared_buffer.c. A new kind is a new table; nothing here changes.
 * What it is not: the Python type (buffer_type.c) and its bytes as a sequence (buffer_access.c).
 *
 * Lifetime. A Buffer keeps its Arena (arena_hold()) and owns a reference to `keep`, and dropping
 * the last reference to it gives its memory back. kfree() does so earlier, with one exception: of a
 * Buffer that was ever exported, objects that hold no export may know the address (NumPy's
 * ndarray(buffer=) keeps a reference only). Such a Buffer cannot be used after kfree(), but its
 * memory goes back only when the Buffer itself dies: whoever has seen the address never sees
 * another's data.
 * Buffers are not tracked by the garbage collector: one is made and dropped too often for that.
 * Invariant: released ? exports == 0 : p != NULL (buffer_state_is_possible).
 * Lock: the GIL; without one the arena for kinds that are in_arena, or the Buffer itself.
 */
#ifndef PYTHON_BUFFER_H
#define PYTHON_BUFFER_H

#include "python/buffer/buffer_object.h"

/* What one kind of Buffer does in its own way. A function that is NULL is what the comment says
 * for NULL. Each is called with the GIL held. */
struct buffer_ops {
    /* The memory at p, which self does not own any more, goes back; a code of the core. NULL: by
     * kmalloc_free, which is inlined and takes objects of kmalloc and of every cache. */
    int (*give_back)(const BufferObject *self, void *p);
    /* Usable bytes. NULL: kmalloc_usable. */
    size_t (*capacity)(const BufferObject *self);
    /* Whether memory that goes back stays in use, by others who have a reference to it. NULL:
     * it does not. */
    bool (*is_shared)(const BufferObject *self);
    /* Does what kfree() or its like does; 0, or -1 with an exception set. NULL: buffer_free. */
    int (*free)(BufferObject *self, const char *call);
    /* Does what the end of `with buffer:` does, if it is not released yet; 0, or -1 with an
     * exception set. NULL: buffer_kfree. */
    int (*exit)(BufferObject *self);
    /* The Buffer has its first export, or holder; or has lost its last. NULL: nothing. */
    void (*held)(BufferObject *self);
    void (*let_go)(BufferObject *self);
    /* The Buffer dies. Its memory has left it, `keep` is still there. NULL: nothing. */
    void (*died)(BufferObject *self);
    /* A new Buffer of as many bytes for a copy of self. NULL: of kmalloc. */
    PyObject *(*new_like)(const BufferObject *self);
    /* Its Buffers change other objects of the arena, so without a GIL they are guarded with these
     * (arena/arena_guard.h); others each by itself. */
    bool in_arena;
    bool is_block;        /* its memory is a whole block of kmalloc or alloc_pages */
    const char *made_by;  /* the call that makes such Buffers, for messages */
    const char *freed_by; /* the call that ends one, for messages */
};

/* For GUARD(): the Arena of a Buffer of such a kind, a new reference; NULL for others. */
static inline ArenaObject *buffer_owner(PyObject *op)
{
    const BufferObject *self = (BufferObject *)op;

    return self->ops->in_arena ? (ArenaObject *)Py_NewRef((PyObject *)self->arena) : NULL;
}

/* Takes over the memory; if there is no memory for the object, it goes back, and NULL. keep may
 * be NULL. */
PyObject *buffer_new(ArenaObject *arena, void *p, Py_ssize_t nbytes, const struct buffer_ops *ops,
                     PyObject *keep);
/* The same for memory that is somebody else's: on failure it is left alone, and tracemalloc is
 * told nothing. */
BufferObject *buffer_new_view(ArenaObject *arena, void *p, Py_ssize_t nbytes,
                              const struct buffer_ops *ops, PyObject *keep);
/* Python's tp_dealloc, and the two functions of its buffer protocol. */
void buffer_dealloc(PyObject *op);
int buffer_getbuffer(PyObject *op, Py_buffer *view, int flags);
void buffer_releasebuffer(PyObject *op, Py_buffer *view);

/* Tells tracemalloc, if it is on, that the Buffer has this memory, of this size, from now on. */
void buffer_trace(BufferObject *self);

/* The invariant above. */
bool buffer_state_is_possible(const BufferObject *self);
/* The usable bytes. pre: the Buffer has memory */
size_t buffer_capacity(const BufferObject *self);
/* False with ValueError set once kfree was called. */
bool buffer_is_usable(const BufferObject *self);
/* The same; false too with TypeError set if it is read-only. */
bool buffer_is_writable(const BufferObject *self);
/* False with BufferError set, which names the call, while views are alive. */
bool buffer_has_no_exports(const BufferObject *self, const char *call);
/* What kfree does: 0, or -1 with BufferError, DoubleFreeError or InvalidPointerError set. */
int buffer_kfree(BufferObject *self, const char *call);
/* The same for kinds without rules of their own. */
int buffer_free(BufferObject *self, const char *call);
/* Makes it unusable, and gives its memory back if nobody can know the address.
 * pre: not released, no exports */
void buffer_end(BufferObject *self);
/* Nobody may write to its memory any more, though it stays: caches with debug flags look at it now,
 * and when it goes back. */
void buffer_release_memory(BufferObject *self);

/* Counts as an export, without the address becoming known: no free, no resize until it is let
 * go. */
void buffer_hold(BufferObject *self);
/* pre: it is held, or exported */
void buffer_let_go(BufferObject *self);

/* arg as a Buffer of this arena; NULL with TypeError or InvalidPointerError set. */
BufferObject *arg_buffer(ArenaObject *arena, PyObject *arg);

#endif
