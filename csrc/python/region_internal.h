/* region_internal.h - what region_type.c and region_access.c share. */
#ifndef PYTHON_REGION_INTERNAL_H
#define PYTHON_REGION_INTERNAL_H

#include "python/pytypes.h"

enum entry_kind { ENTRY_BUFFER, ENTRY_CHILD, ENTRY_CALLABLE };

#define SLOT_NONE UINT32_MAX

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
    uint32_t nr_entries;
    uint32_t max_entries;    /* room for them */
    uint32_t nr_present;     /* of them, not gone */
    uint32_t slot;           /* in the parent's entries; SLOT_NONE: not there */
    uint32_t depth;          /* regions above it */
    Py_ssize_t nr_exported;  /* Buffers with views, children's included */
    Py_ssize_t nr_lingering; /* released Buffers that keep memory */
    Py_ssize_t nr_busy;      /* calls that have not returned, children's included */
    bool closing;            /* close() was called: no more allocation */
    bool closed;             /* and it has come to its end */
} RegionObject;

struct saved_error {
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
};

static inline RegionObject *region_of(PyObject *op)
{
    return (RegionObject *)op;
}

/* A new Region; NULL with an exception set. pre: the arena, and parent, are open. */
PyObject *region_object_new(ArenaObject *arena, RegionObject *parent, Py_ssize_t hint);
/* Room for one more entry. False with MemoryError set. */
bool entries_reserve(RegionObject *self);
/* pre: there is room. A callable's reference is taken over. */
void entry_add(RegionObject *self, PyObject *object, enum entry_kind kind);
/* Python code may run: nothing on the way to the root may be emptied or go. */
void region_object_enter(RegionObject *self);
void region_object_leave(RegionObject *self);
/* False with PyslabError set in the middle of another call. */
bool region_is_idle(const RegionObject *self, const char *call);
/* To a live mark, or to the beginning (0). -1 with an exception set: BufferError, and
 * nothing was given back; or what a callable raised. pre: idle. */
int region_object_go_back(RegionObject *self, const char *call, uint64_t mark);
int region_object_close(RegionObject *self, const char *call);

extern PyMethodDef region_methods[];
extern PyGetSetDef region_getset[];
extern PyMemberDef region_members[];
extern const char region_doc[];
PyObject *region_repr(PyObject *op);

#define REGION_ACCESS_SLOTS                                                                        \
    {Py_tp_repr, (void *)region_repr}, {Py_tp_methods, (void *)region_methods},                    \
        {Py_tp_getset, (void *)region_getset},                                                     \
    {                                                                                              \
        Py_tp_members, (void *)region_members                                                      \
    }

#endif
