/* buffer_freelist.c - the slow half of the list of dead Buffers; see buffer_freelist.h. */
#include "python/buffer/buffer_freelist.h"

#ifndef Py_GIL_DISABLED

struct buffer_freelist buffer_freelist = {.nr = NO_FREELIST, .nr_kept = NO_FREELIST};

/* Empties the list, and opens it again for the state that is new. */
static void set_traced(enum trace_state state)
{
    struct buffer_freelist *list = &buffer_freelist;

    if (list->nr_kept > 0)
        list->nr = list->nr_kept;
    while (list->nr > 0)
        buffer_object_end(list->dead[--list->nr]);
    list->nr = state == TRACE_OFF ? 0 : NO_FREELIST;
    list->nr_kept = state == TRACE_SAMPLED ? 0 : NO_FREELIST;
}

BufferObject *buffer_object_new(void)
{
    if (buffer_freelist.nr_kept > 0)
        return buffer_object_revive(buffer_freelist.dead[--buffer_freelist.nr_kept]);
    return PyObject_New(BufferObject, objects.buffer_type);
}

#else

static struct {
    pthread_mutex_t mutex;          /* guards all of it, but for a look whether there is a list */
    pthread_key_t key;              /* tells that a thread ends */
    bool key_made;                  /* there is one */
    _Atomic(BufferObject *) newest; /* list of a thread that has ended. The first Buffer of each
                                       has the next list in `keep`, and its length in `nbytes` */
} left = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The thread ends. It may have no thread state any more, so nothing is freed here. */
static void thread_ends(void *unused)
{
    BufferObject *list = python_thread.free_buffers;

    (void)unused;
    python_thread.max_free_buffers = 0;
    if (list == NULL)
        return;
    list->nbytes = python_thread.nr_free_buffers;
    python_thread.free_buffers = NULL;
    python_thread.nr_free_buffers = 0;
    pthread_mutex_lock(&left.mutex);
    list->keep = (PyObject *)load_relaxed(&left.newest);
    store_relaxed(&left.newest, list);
    pthread_mutex_unlock(&left.mutex);
}

/* Takes a list that was left. */
static void take_left(void)
{
    BufferObject *list = load_relaxed(&left.newest);

    CHECK(python_thread.free_buffers == NULL);
    if (list == NULL)
        return;
    store_relaxed(&left.newest, (BufferObject *)list->keep);
    python_thread.free_buffers = list;
    python_thread.nr_free_buffers = (unsigned)list->nbytes;
}

/* The thread's list is empty: takes one that was left, and has the thread's end told. */
static void adopt(void)
{
    pthread_mutex_lock(&left.mutex);
    if (!left.key_made)
        left.key_made = pthread_key_create(&left.key, thread_ends) == 0;
    if (left.key_made && pthread_setspecific(left.key, &left) == 0) {
        python_thread.max_free_buffers = MAX_FREE_BUFFERS;
        take_left();
    }
    pthread_mutex_unlock(&left.mutex);
}

void buffer_freelist_fork_child(void)
{
    left.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void set_traced(enum trace_state state)
{
    (void)state;
}

BufferObject *buffer_object_new(void)
{
    if (python_thread.free_buffers == NULL && load_relaxed(&left.newest) != NULL) {
        BufferObject *self;

        adopt();
        self = buffer_object_take();
        if (self != NULL)
            return self;
    }
    return PyObject_New(BufferObject, objects.buffer_type);
}

slow_path void buffer_object_free_slow(BufferObject *self)
{
    if (python_thread.max_free_buffers == 0)
        adopt();
    if (python_thread.nr_free_buffers < python_thread.max_free_buffers)
        free_buffers_push(self);
    else
        buffer_object_end(self);
}

#endif

void buffers_watch_tracing(void)
{
    tracing_on_change(set_traced);
}
