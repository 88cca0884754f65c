/* region_type.c - Region: Buffers that go together, when the region is rewound, reset or
 * closed.
 *
 * Entries. What a Region has made is in one array in the order of time, each entry with
 * the core's serial then: Buffers (borrowed: they own a reference to the Region, and take
 * themselves off when they die), children (borrowed likewise) and callables (owned).
 * Going back to a mark ends the entries behind it, youngest first: callables are called
 * and children closed; then the Buffers are released; then the core goes back. The core's
 * own children and ends are for clients in C.
 * Lifetime. A view of any Buffer concerned, children's included, is a BufferError, and
 * nothing has changed; a close() refused so is made up for when the last view goes. A
 * Buffer that was ever exported lingers, as in pytypes.h: while one does, what was handed
 * out is not handed out again, and the core's region outlives the close.
 * Invariants: nr_exported == Buffers with views, here and in children; nr_lingering ==
 * released Buffers that keep memory here. An open core region pins the arena.
 */
#include "python/region_internal.h"
#include "python/tracing.h"

#include <string.h>

#define MAX_DEPTH 64u /* of children: their ends are nested calls */

/* --- entries ------------------------------------------------------------ */

static void entry_set_slot(const struct region_entry *entry, uint32_t slot)
{
    if (entry->kind == ENTRY_BUFFER)
        ((BufferObject *)entry->object)->slot = slot;
    else if (entry->kind == ENTRY_CHILD)
        ((RegionObject *)entry->object)->slot = slot;
}

/* Closes the gaps that dead entries left. */
static void entries_compact(RegionObject *self)
{
    uint32_t to = 0;

    for (uint32_t from = 0; from < self->nr_entries; from++)
        if (self->entries[from].object != NULL) {
            self->entries[to] = self->entries[from];
            entry_set_slot(&self->entries[to], to);
            to++;
        }
    self->nr_entries = to;
}

bool entries_reserve(RegionObject *self)
{
    struct region_entry *entries = self->entries;
    uint32_t room;

    if (self->nr_entries < self->max_entries)
        return true;
    if (self->nr_present < self->max_entries / 2) {
        entries_compact(self);
        return true;
    }
    room = self->max_entries == 0 ? 8 : 2 * self->max_entries;
    if (room < self->max_entries || !PyMem_Resize(entries, struct region_entry, room)) {
        PyErr_NoMemory();
        return false;
    }
    self->entries = entries;
    self->max_entries = room;
    return true;
}

void entry_add(RegionObject *self, PyObject *object, enum entry_kind kind)
{
    struct region_entry entry = {
        .object = object, .serial = self->core->serial, .kind = (uint8_t)kind};

    entry_set_slot(&entry, self->nr_entries);
    self->entries[self->nr_entries++] = entry;
    self->nr_present++;
}

/* Takes an entry off; the youngest ones that are gone leave no gap. */
static PyObject *entry_take(RegionObject *self, uint32_t slot)
{
    PyObject *object = self->entries[slot].object;

    self->entries[slot].object = NULL;
    self->nr_present--;
    while (self->nr_entries > 0 && self->entries[self->nr_entries - 1].object == NULL)
        self->nr_entries--;
    return object;
}

/* --- the end of a region ------------------------------------------------- */

/* The core's region goes, if nobody can know its memory any more. */
static void core_settle(RegionObject *self)
{
    struct region *core = self->core;

    if (!self->closed || self->nr_lingering != 0 || core == NULL)
        return;
    self->core = NULL;
    (void)region_destroy(core);
    arena_unpin(self->arena);
}

static void leave_parent(RegionObject *self)
{
    RegionObject *parent = self->parent;

    if (parent == NULL || self->slot == SLOT_NONE)
        return;
    (void)entry_take(parent, self->slot);
    self->slot = SLOT_NONE;
}

void region_object_enter(RegionObject *self)
{
    for (; self != NULL; self = self->parent) {
        Py_INCREF(self);
        self->nr_busy++;
    }
}

void region_object_leave(RegionObject *self)
{
    while (self != NULL) {
        RegionObject *parent = self->parent;

        self->nr_busy--;
        Py_DECREF(self);
        self = parent;
    }
}

/* --- going back --------------------------------------------------------- */

static bool is_behind(const RegionObject *self, uint32_t slot, uint64_t serial)
{
    return self->entries[slot].serial >= serial;
}

/* Views of what is behind serial: of Buffers here, and of anything in children. */
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

static bool nothing_exported(const RegionObject *self, const char *call, uint64_t serial)
{
    Py_ssize_t nr = count_exported(self, serial);

    if (nr == 0)
        return true;
    PyErr_Format(PyExc_BufferError, "%s: %zd Buffer%s of the region %s still exported", call, nr,
                 nr == 1 ? "" : "s", nr == 1 ? "is" : "are");
    return false;
}

/* As contextlib.ExitStack: the last error is raised, with those before it as its context. */
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

static int raise_saved(struct saved_error *saved)
{
    save_error(saved);
    if (saved->type == NULL)
        return 0;
    PyErr_Restore(saved->type, saved->value, saved->traceback);
    return -1;
}

/* Calls callables and closes children behind serial, youngest first; Buffers stay. The
 * entries may change meanwhile: Buffers come at the end, anything may take itself off. */
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
        if (kind == ENTRY_CHILD) {
            Py_INCREF(object);
            (void)region_object_close((RegionObject *)object, "close");
        } else {
            Py_XDECREF(PyObject_CallNoArgs(entry_take(self, i)));
        }
        save_error(error);
        Py_DECREF(object);
    }
}

/* Ends the use of a Buffer. One that was ever exported keeps the memory. */
static void buffer_end(RegionObject *self, BufferObject *buffer)
{
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

/* A child may have refused to close, for views that are gone by now. */
static bool children_are_gone(const RegionObject *self, const char *call, uint64_t serial)
{
    for (uint32_t i = self->nr_entries; i-- > 0 && is_behind(self, i, serial);)
        if (self->entries[i].object != NULL && self->entries[i].kind == ENTRY_CHILD) {
            PyErr_Format(PyExc_BufferError, "%s: a child of the region did not close", call);
            return false;
        }
    return true;
}

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
        buffer->slot = SLOT_NONE;
        buffer_end(self, buffer);
    }
}

/* Everything that comes before the core's part. False: an exception says why the Buffers
 * are still there. What a callable raised is in *error. */
static bool end_entries(RegionObject *self, const char *call, uint64_t serial,
                        struct saved_error *error)
{
    if (!nothing_exported(self, call, serial))
        return false;
    run_exits(self, serial, error);
    /* The callables may have made views. */
    if (!nothing_exported(self, call, serial) || !children_are_gone(self, call, serial))
        return false;
    release_buffers(self, serial);
    return true;
}

bool region_is_idle(const RegionObject *self, const char *call)
{
    if (self->nr_busy == 0)
        return true;
    PyErr_Format(objects.error, "%s: the region is in the middle of another call", call);
    return false;
}

int region_object_go_back(RegionObject *self, const char *call, uint64_t mark)
{
    uint64_t serial = mark == 0 ? 0 : mark - self->core->mark_base;
    struct saved_error error = {NULL, NULL, NULL};

    region_object_enter(self);
    if (end_entries(self, call, serial, &error)) {
        /* The marks behind this one go at once; their memory when nobody can know it. */
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

    if (self->closed)
        return 0;
    if (!region_is_idle(self, call))
        return -1;
    self->closing = true;
    region_object_enter(self);
    if (end_entries(self, call, 0, &error)) {
        self->closed = true;
        leave_parent(self);
        core_settle(self);
    }
    region_object_leave(self);
    return raise_saved(&error);
}

/* --- Buffers ------------------------------------------------------------ */

void region_buffer_exported(BufferObject *buffer)
{
    for (RegionObject *self = region_of(buffer->keep); self != NULL; self = self->parent)
        self->nr_exported++;
}

/* The outermost region that waits for its last view to go, and has none now. */
static RegionObject *find_waiting(RegionObject *self)
{
    RegionObject *waiting = NULL;

    for (; self != NULL; self = self->parent)
        if (self->closing && !self->closed && self->nr_exported == 0 && self->nr_busy == 0)
            waiting = self;
    return waiting;
}

void region_buffer_unexported(BufferObject *buffer)
{
    struct saved_error saved;
    RegionObject *waiting;

    for (RegionObject *self = region_of(buffer->keep); self != NULL; self = self->parent)
        self->nr_exported--;
    waiting = find_waiting(region_of(buffer->keep));
    if (waiting == NULL)
        return;
    Py_INCREF(waiting);
    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    if (region_object_close(waiting, "close") < 0)
        PyErr_WriteUnraisable((PyObject *)waiting);
    PyErr_Restore(saved.type, saved.value, saved.traceback);
    Py_DECREF(waiting);
}

/* Its memory has left it already, or goes with it. */
void region_buffer_gone(BufferObject *buffer)
{
    RegionObject *self = region_of(buffer->keep);

    if (buffer->slot != SLOT_NONE)
        (void)entry_take(self, buffer->slot);
    if (buffer->released && buffer->ever_exported) {
        self->nr_lingering--;
        core_settle(self);
    }
}

int region_buffer_release(BufferObject *buffer)
{
    if (buffer->exports != 0) {
        PyErr_Format(PyExc_BufferError, "%zd exported view%s of the Buffer still alive",
                     buffer->exports, buffer->exports == 1 ? "" : "s");
        return -1;
    }
    buffer_end(region_of(buffer->keep), buffer);
    return 0;
}

/* --- life --------------------------------------------------------------- */

/* The core's part. False with an exception set. */
static bool core_create(RegionObject *self, Py_ssize_t hint)
{
    ArenaObject *arena = self->arena;
    int code = region_create(&arena->core->regions, (size_t)hint, &self->core);

    if (code != PYSLAB_OK) {
        raise_out_of_memory(arena, (size_t)hint, 0, PYSLAB_GFP_KERNEL);
        return false;
    }
    /* Callbacks may have raised, closed the arena, and used the parent. */
    if (!PyErr_Occurred() && arena_is_open(arena) &&
        (self->parent == NULL || entries_reserve(self->parent)))
        return true;
    (void)region_destroy(self->core);
    self->core = NULL;
    return false;
}

/* pre: the arena is pinned; the parent is busy. */
static RegionObject *object_new(ArenaObject *arena, RegionObject *parent, Py_ssize_t hint)
{
    RegionObject *self = PyObject_GC_New(RegionObject, objects.region_type);

    if (self == NULL)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0, sizeof *self - sizeof(PyObject));
    self->slot = SLOT_NONE;
    self->closed = self->closing = true; /* until it has a core region */
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    self->parent = (RegionObject *)Py_XNewRef((PyObject *)parent);
    self->depth = parent != NULL ? parent->depth + 1 : 0;
    if (!arena_is_open(arena) || !core_create(self, hint)) {
        Py_DECREF(self);
        return NULL;
    }
    arena->nr_live++; /* for the core's region */
    self->closed = self->closing = false;
    if (parent != NULL) {
        region_touch(parent->core);
        entry_add(parent, (PyObject *)self, ENTRY_CHILD);
    }
    PyObject_GC_Track(self);
    return self;
}

PyObject *region_object_new(ArenaObject *arena, RegionObject *parent, Py_ssize_t hint)
{
    RegionObject *self;

    if (parent != NULL && parent->depth + 1 >= MAX_DEPTH) {
        PyErr_Format(PyExc_ValueError, "regions are nested at most %u deep", MAX_DEPTH);
        return NULL;
    }
    arena_pin(arena);
    if (parent != NULL)
        region_object_enter(parent);
    self = object_new(arena, parent, hint);
    if (parent != NULL)
        region_object_leave(parent);
    arena_unpin(arena);
    return (PyObject *)self;
}

/* No Buffer is left: each owns a reference. */
static void region_finalize(PyObject *op)
{
    struct saved_error saved;

    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    if (region_object_close(region_of(op), "close") < 0)
        PyErr_WriteUnraisable(op);
    PyErr_Restore(saved.type, saved.value, saved.traceback);
}

static int region_traverse(PyObject *op, visitproc visit, void *arg)
{
    RegionObject *self = region_of(op);

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->arena);
    Py_VISIT(self->parent);
    for (uint32_t i = 0; i < self->nr_entries; i++)
        if (self->entries[i].kind == ENTRY_CALLABLE)
            Py_VISIT(self->entries[i].object);
    return 0;
}

/* After region_finalize: nothing is left that could be part of a cycle but the parent. */
static void region_dealloc(PyObject *op)
{
    RegionObject *self = region_of(op);
    PyTypeObject *type = Py_TYPE(op);

    if (PyObject_CallFinalizerFromDealloc(op) < 0)
        return;
    PyObject_GC_UnTrack(op);
    leave_parent(self); /* before weak references' callbacks can look there */
    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    PyMem_Free(self->entries);
    Py_XDECREF(self->parent);
    Py_DECREF(self->arena);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

PyTypeObject *region_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)region_doc},
        {Py_tp_dealloc, (void *)region_dealloc},
        {Py_tp_finalize, (void *)region_finalize},
        {Py_tp_traverse, (void *)region_traverse},
        REGION_ACCESS_SLOTS,
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Region",
        .basicsize = sizeof(RegionObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
