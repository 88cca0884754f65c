/* region_end.c - how a Region goes back to a mark, and comes to its end.
 *
 * What it is not: the core's own children and ends, which are for clients in C.
 */
#include "python/region/region_end.h"

#include "python/call/gil.h"
#include "python/tracing/tracing.h"

/* --- exceptions of callables --------------------------------------------- */

/* Puts the exception that is set, if one is, aside. As in contextlib.ExitStack the last one will
 * be raised, with those before it as its context. */
static void save_error(struct saved_error *saved)
{
    struct saved_error now;

    if (!PyErr_Occurred())
        return;
    PyErr_Fetch(&now.type, &now.value, &now.traceback);
    PyErr_NormalizeException(&now.type, &now.value, &now.traceback);
    if (saved->type != NULL) {
        if (now.value != saved->value)
            PyException_SetContext(now.value, saved->value);
        else
            Py_DECREF(saved->value);
        Py_DECREF(saved->type);
        Py_XDECREF(saved->traceback);
    }
    if (now.traceback != NULL)
        (void)PyException_SetTraceback(now.value, now.traceback);
    *saved = now;
}

/* Raises what was put aside: -1; or 0 if nothing was. */
static int raise_saved(struct saved_error *saved)
{
    save_error(saved);
    if (saved->type == NULL)
        return 0;
    PyErr_Restore(saved->type, saved->value, saved->traceback);
    return -1;
}

/* --- what is behind a mark ----------------------------------------------- */

/* The entry was made when the core's serial was at least this. */
static bool is_behind(const RegionObject *self, uint32_t slot, uint64_t serial)
{
    return self->entries[slot].serial >= serial;
}

/* How many Buffers have views, of those behind serial, children's included. */
static Py_ssize_t count_exported(const RegionObject *self, uint64_t serial)
{
    Py_ssize_t nr = 0;

    if (serial == 0)
        return self->nr_exported;
    for (uint32_t i = self->nr_entries; i-- > 0 && is_behind(self, i, serial);) {
        PyObject *object = self->entries[i].object;

        if (object != NULL && self->entries[i].kind == ENTRY_BUFFER)
            nr += ((BufferObject *)object)->exports != 0;
        else if (object != NULL && self->entries[i].kind == ENTRY_CHILD)
            nr += ((RegionObject *)object)->nr_exported;
    }
    return nr;
}

/* False with BufferError set if a Buffer behind serial has a view. */
static bool nothing_exported(const RegionObject *self, const char *call, uint64_t serial)
{
    Py_ssize_t nr = count_exported(self, serial);

    if (nr == 0)
        return true;
    PyErr_Format(PyExc_BufferError, "%s: %zd Buffer%s of the region %s still exported", call, nr,
                 nr == 1 ? "" : "s", nr == 1 ? "is" : "are");
    return false;
}

/* False with BufferError set if a child behind serial is still there. One that had views when it
 * was closed has refused, although the views may be gone by now. */
static bool children_are_gone(const RegionObject *self, const char *call, uint64_t serial)
{
    for (uint32_t i = self->nr_entries; i-- > 0 && is_behind(self, i, serial);)
        if (self->entries[i].object != NULL && self->entries[i].kind == ENTRY_CHILD) {
            PyErr_Format(PyExc_BufferError, "%s: a child of the region did not close", call);
            return false;
        }
    return true;
}

/* --- the end of entries -------------------------------------------------- */

/* Calls callables and closes children behind serial, youngest first; Buffers stay. What is called
 * may change the entries: new Buffers come at the end, and any entry may be taken away. */
static void run_exits(RegionObject *self, uint64_t serial, struct saved_error *error)
{
    uint32_t i = self->nr_entries;

    while (i-- > 0) {
        uint8_t kind;
        PyObject *object;

        if (i >= self->nr_entries) {
            i = self->nr_entries;
            continue;
        }
        if (!is_behind(self, i, serial))
            return;
        object = self->entries[i].object;
        kind = self->entries[i].kind;
        if (object == NULL || kind == ENTRY_BUFFER)
            continue;
        if (kind == ENTRY_CHILD && !try_incref(object)) {
            /* On its way out in another thread, which closes it: nothing of it is left here. */
            region_leave_parent((RegionObject *)object);
            continue;
        }
        if (kind == ENTRY_CHILD) {
            (void)region_object_close((RegionObject *)object, "close");
        } else {
            Py_XDECREF(PyObject_CallNoArgs(entry_take(self, i)));
        }
        save_error(error);
        Py_DECREF(object);
    }
}

void region_end_buffer(RegionObject *self, BufferObject *buffer)
{
    CHECK(buffer->exports == 0);
    if (buffer->released)
        return;
    buffer->released = true;
    if (buffer->ever_exported) {
        self->nr_lingering++;
        return;
    }
    trace_gone(buffer->p);
    buffer->p = NULL;
    arena_count_gone(buffer->arena, buffer->nbytes);
}

/* Ends the Buffers behind serial; nothing else is left there. */
static void release_buffers(RegionObject *self, uint64_t serial)
{
    while (self->nr_entries > 0 && is_behind(self, self->nr_entries - 1, serial)) {
        uint32_t slot = self->nr_entries - 1;
        BufferObject *buffer = (BufferObject *)self->entries[slot].object;

        if (buffer == NULL) {
            self->nr_entries--;
            continue;
        }
        (void)entry_take(self, slot);
        buffer->place = SLOT_NONE;
        region_end_buffer(self, buffer);
    }
}

/* Ends all entries behind serial; then the core can go back. False with an exception set: the
 * Buffers are still there. What callables raised is put aside in *error. */
static bool end_entries(RegionObject *self, const char *call, uint64_t serial,
                        struct saved_error *error)
{
    if (!nothing_exported(self, call, serial))
        return false;
    run_exits(self, serial, error);
    /* Again, because the callables may have made views. */
    if (!nothing_exported(self, call, serial) || !children_are_gone(self, call, serial))
        return false;
    release_buffers(self, serial);
    return true;
}

/* --- going back ---------------------------------------------------------- */

int region_object_go_back(RegionObject *self, const char *call, uint64_t mark)
{
    struct saved_error error = {NULL, NULL, NULL};
    uint64_t serial;

    CHECK(self->nr_busy == 0 && self->core != NULL);
    CHECK_WALK(region_entries_add_up(self) && region_exports_add_up(self));
    serial = mark == 0 ? 0 : mark - self->core->mark_base;
    region_object_enter(self);
    if (end_entries(self, call, serial, &error)) {
        /* The marks behind this one are dead from now on. While a released Buffer lingers, their
         * memory is not used again: somebody may know its address. */
        if (self->nr_lingering != 0)
            (void)region_rewind_keeping(self->core, mark);
        else
            (void)(mark == 0 ? region_reset(self->core) : region_rewind(self->core, mark));
    }
    region_object_leave(self);
    return raise_saved(&error);
}

int region_object_close(RegionObject *self, const char *call)
{
    struct saved_error error = {NULL, NULL, NULL};

    gil_assert_held();
    if (self->closed)
        return 0;
    CHECK_WALK(region_entries_add_up(self) && region_exports_add_up(self));
    if (!region_is_idle(self, call))
        return -1;
    self->closing = true;
    region_object_enter(self);
    if (end_entries(self, call, 0, &error)) {
        self->closed = true;
        region_leave_parent(self);
        region_settle(self);
    }
    region_object_leave(self);
    return raise_saved(&error);
}

/* The outermost region, from self up, that was closed while it had views and has none now; NULL. */
static RegionObject *find_waiting(RegionObject *self)
{
    RegionObject *waiting = NULL;

    for (; self != NULL; self = self->parent)
        if (self->closing && !self->closed && self->nr_exported == 0 && self->nr_busy == 0)
            waiting = self;
    return waiting;
}

void region_close_waiting(RegionObject *self)
{
    RegionObject *waiting = find_waiting(self);
    struct saved_error saved;

    if (waiting == NULL)
        return;
    Py_INCREF(waiting);
    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    if (region_object_close(waiting, "close") < 0)
        PyErr_WriteUnraisable((PyObject *)waiting);
    PyErr_Restore(saved.type, saved.value, saved.traceback);
    Py_DECREF(waiting);
}
