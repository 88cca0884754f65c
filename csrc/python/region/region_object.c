/* region_object.c - a Region's entries, the calls that are under way on it, and its creation. */
#include "python/region/region_object.h"

#include "python/call/errors.h"

#include <string.h>

#define MAX_DEPTH 64u /* of children: they are closed by nested calls, which take C stack */

/* --- entries ------------------------------------------------------------- */

/* A Buffer or child knows the place of its entry. */
static void entry_set_slot(const struct region_entry *entry, uint32_t slot)
{
    if (entry->kind == ENTRY_BUFFER)
        ((BufferObject *)entry->object)->place = slot;
    else if (entry->kind == ENTRY_CHILD)
        ((RegionObject *)entry->object)->slot = slot;
}

/* Closes the gaps that entries left whose objects are gone. */
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

    CHECK(self->nr_entries < self->max_entries);
    entry_set_slot(&entry, self->nr_entries);
    self->entries[self->nr_entries++] = entry;
    self->nr_present++;
}

bool region_entries_add_up(const RegionObject *self)
{
    uint32_t nr = 0;

    for (uint32_t i = 0; i < self->nr_entries; i++)
        nr += self->entries[i].object != NULL;
    return nr == self->nr_present;
}

bool region_exports_add_up(const RegionObject *self)
{
    Py_ssize_t nr = 0;

    for (uint32_t i = 0; i < self->nr_entries; i++) {
        PyObject *object = self->entries[i].object;

        if (object != NULL && self->entries[i].kind == ENTRY_BUFFER)
            nr += ((BufferObject *)object)->exports != 0;
        else if (object != NULL && self->entries[i].kind == ENTRY_CHILD)
            nr += ((RegionObject *)object)->nr_exported;
    }
    return nr == self->nr_exported;
}

/* --- calls under way ----------------------------------------------------- */

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

        CHECK(self->nr_busy > 0);
        self->nr_busy--;
        Py_DECREF(self);
        self = parent;
    }
}

bool region_is_idle(const RegionObject *self, const char *call)
{
    if (self->nr_busy == 0)
        return true;
    PyErr_Format(objects.error, "%s: the region is in the middle of another call", call);
    return false;
}

/* --- the end of the core's region ---------------------------------------- */

void region_settle(RegionObject *self)
{
    struct region *core = self->core;

    if (!self->closed || self->nr_lingering != 0 || core == NULL)
        return;
    self->core = NULL;
    (void)region_destroy(core);
    arena_unpin(self->arena);
}

void region_leave_parent(RegionObject *self)
{
    RegionObject *parent = self->parent;

    if (parent == NULL || self->slot == SLOT_NONE)
        return;
    (void)entry_take(parent, self->slot);
    self->slot = SLOT_NONE;
}

/* --- creation ------------------------------------------------------------ */

/* Makes the core's region, and room for an entry in the parent. False with an exception set. */
static bool core_create(RegionObject *self, Py_ssize_t hint)
{
    ArenaObject *arena = self->arena;
    int code = region_create(&arena->core->regions, (size_t)hint, &self->core);

    if (code != PYSLAB_OK) {
        raise_out_of_memory(arena, (size_t)hint, 0, PYSLAB_GFP_KERNEL);
        return false;
    }
    /* Callbacks may have raised, closed the arena, or taken the parent's room. */
    if (!PyErr_Occurred() && arena_is_open(arena) &&
        (self->parent == NULL || entries_reserve(self->parent)))
        return true;
    (void)region_destroy(self->core);
    self->core = NULL;
    return false;
}

/* The part of region_object_new that needs the arena pinned and the parent busy. NULL with an
 * exception set. pre: both are */
static RegionObject *object_new(ArenaObject *arena, RegionObject *parent, Py_ssize_t hint)
{
    RegionObject *self;

    CHECK(arena_nr_live(arena) > 0 && (parent == NULL || parent->nr_busy > 0));
    self = PyObject_GC_New(RegionObject, objects.region_type);
    if (self == NULL)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0, sizeof *self - sizeof(PyObject));
    try_incref_enable((PyObject *)self);
    self->slot = SLOT_NONE;
    self->closed = self->closing = true; /* until it has a core region */
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    self->parent = (RegionObject *)Py_XNewRef((PyObject *)parent);
    self->depth = parent != NULL ? parent->depth + 1 : 0;
    if (!arena_is_open(arena) || !core_create(self, hint)) {
        Py_DECREF(self);
        return NULL;
    }
    arena_pin(arena); /* until region_settle */
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

    CHECK(!arena->closed && (parent == NULL || !parent->closed));
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
