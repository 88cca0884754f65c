/* mempool_object.c - the life of a Mempool, and the kind of its Buffers. */
#include "python/mempool/mempool_object.h"

#include "python/arena/arena_guard.h"

/* --- life ---------------------------------------------------------------- */

/* The core's pool exists, and so does the arena that it is in. */
static bool has_core_pool(const MempoolObject *self)
{
    return self->pool != NULL && self->arena->core != NULL;
}

pyslab_mempool_stats pool_figures(const MempoolObject *self)
{
    pyslab_mempool_stats stats = {0};

    if (has_core_pool(self))
        mempool_stats(self->pool, &stats);
    return stats;
}

/* Destroys the core's pool if it is closed and nothing needs it. */
static void pool_settle(MempoolObject *self)
{
    struct mempool *pool = self->pool;

    if (!self->closed || self->nr_inside != 0 || !has_core_pool(self) ||
        pool_figures(self).nr_outstanding != 0)
        return;
    self->pool = NULL;
    (void)mempool_destroy(pool);
    if (self->own_cache)
        cache_retire(self->cache);
}

void pool_enter(MempoolObject *self)
{
    self->nr_inside++;
}

void pool_leave(MempoolObject *self)
{
    self->nr_inside--;
    pool_settle(self);
}

void pool_close(MempoolObject *self)
{
    if (self->closed)
        return;
    self->closed = true;
    if (!has_core_pool(self))
        return;
    pool_enter(self);
    mempool_retire(self->pool); /* destructors may run */
    pool_leave(self);
}

void mempool_dealloc(PyObject *op)
{
    MempoolObject *self = mempool_of(op);
    PyTypeObject *type = Py_TYPE(op);

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    guard_begin(self->arena);
    pool_close(self);
    guard_end();
    Py_DECREF(self->cache);
    Py_DECREF(self->arena);
    PyObject_Free(self);
    Py_DECREF(type);
}

bool pool_is_usable(const MempoolObject *self, bool allocating)
{
    if (allocating && !arena_is_open(self->arena))
        return false;
    if (self->closed) {
        PyErr_Format(PyExc_ValueError, "operation on the closed mempool of '%s'",
                     self->cache->name);
        return false;
    }
    return arena_is_mapped(self->arena);
}

/* --- Buffers ------------------------------------------------------------- */

/* `keep` is the Mempool. */
static int mempool_buffer_give_back(const BufferObject *buffer, void *p)
{
    MempoolObject *self = mempool_of(buffer->keep);
    int code;

    pool_enter(self);
    code = mempool_free(self->pool, p); /* destructors may run */
    pool_leave(self);
    return code;
}

const struct buffer_ops mempool_buffer_ops = {
    .give_back = mempool_buffer_give_back,
    .in_arena = true,
    .made_by = "a mempool",
    .freed_by = "kfree",
};
