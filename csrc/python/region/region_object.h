/* region_object.h - a Region as its neighbours see it: the struct, its entries, and who is in the
 * middle of a call on it.
 *
 * What it is not: what happens when it goes back or ends (region_end.c), its Buffers
 * (region_buffer.c), its methods (region_calls.c) and type (region_type.c).
 *
 * Data structure. Entries: what a Region has made is in one array in the order of time, each
 * entry with the core's serial number then. Buffers are borrowed: they own a reference to the
 * Region, and take their entry away when they die. Children are borrowed likewise. Callables of
 * on_exit() are owned.
 * Lifetime. A released Buffer that was ever exported lingers (see buffer.h): while one does, no
 * memory of the region is handed out a second time, and the core's region outlives close().
 * An open core region pins the arena.
 * Invariants: nr_present == entries whose object is not NULL (region_entries_add_up);
 * nr_exported == Buffers with views, here and in children (region_exports_add_up);
 * nr_lingering == released Buffers that keep memory here (unchecked: the region does not know
 * them any more, they know the region).
 * Lock: the GIL, or the arena (arena_guard.h). A Region has one owner at a time: nr_busy.
 */
#ifndef PYTHON_REGION_OBJECT_H
#define PYTHON_REGION_OBJECT_H

#include "python/buffer/buffer.h"

enum entry_kind { ENTRY_BUFFER, ENTRY_CHILD, ENTRY_CALLABLE };

#define SLOT_NONE UINT32_MAX /* of a Buffer or child that is in no entries any more */

struct region_entry {
    PyObject *object; /* NULL: it is gone */
    uint64_t serial;  /* of the core's region when it was made */
    uint8_t kind;     /* enum entry_kind */
};

typedef struct region_object {
    PyObject_HEAD
    ArenaObject *arena;           /* owned */
    struct region_object *parent; /* owned; NULL: none */
    PyObject *weakrefs;           /* list of weak references */
    struct region *core;          /* NULL once it is closed and nothing lingers */
    struct region_entry *entries; /* in the order of time */
    uint32_t nr_entries;          /* used, those whose object is gone included */
    uint32_t max_entries;         /* room for them */
    uint32_t nr_present;          /* of them, not gone */
    uint32_t slot;                /* in the parent's entries; SLOT_NONE: not there */
    uint32_t depth;               /* regions above it */
    Py_ssize_t nr_exported;       /* Buffers with views, children's included */
    Py_ssize_t nr_lingering;      /* released Buffers that keep memory */
    Py_ssize_t nr_busy;           /* calls that have not returned, children's included */
    bool closing;                 /* close() was called: no more allocation */
    bool closed;                  /* and it has come to its end */
} RegionObject;

static inline RegionObject *region_of(PyObject *op)
{
    return (RegionObject *)op;
}

/* A new Region; NULL with an exception set. pre: the arena is open, and no parent is closed */
PyObject *region_object_new(ArenaObject *arena, RegionObject *parent, Py_ssize_t hint);
/* Room for one more entry. False with MemoryError set. */
bool entries_reserve(RegionObject *self);
/* Adds the youngest entry. A callable's reference is taken over. pre: there is room */
void entry_add(RegionObject *self, PyObject *object, enum entry_kind kind);
/* Takes an entry away and gives its object; the youngest entries that are gone leave no gap.
 * pre: the entry's object is there */
static always_inline PyObject *entry_take(RegionObject *self, uint32_t slot)
{
    PyObject *object = self->entries[slot].object;

    CHECK(object != NULL && slot < self->nr_entries);
    self->entries[slot].object = NULL;
    self->nr_present--;
    while (self->nr_entries > 0 && self->entries[self->nr_entries - 1].object == NULL)
        self->nr_entries--;
    return object;
}

/* The invariants of the same names. */
bool region_entries_add_up(const RegionObject *self);
bool region_exports_add_up(const RegionObject *self);

/* Around whatever may run Python code: nothing on the way to the root may be emptied or go. */
void region_object_enter(RegionObject *self);
/* pre: entered */
void region_object_leave(RegionObject *self);
/* False with PyslabError set in the middle of another call, which may be on a child. */
bool region_is_idle(const RegionObject *self, const char *call);
/* Takes a child's entry in its parent away. */
void region_leave_parent(RegionObject *self);
/* The core's region goes, if it is closed and nobody can know its memory any more. */
void region_settle(RegionObject *self);

#endif
