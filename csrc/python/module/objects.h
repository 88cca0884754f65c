/* objects.h - the Python objects that the whole module needs: its types, and classes it imports.
 *
 * What it is: one global record, filled once, by PyInit__core, and never changed afterwards.
 * Each type is set by module.c when it is made; the rest is looked up by objects_import().
 * What it is not: state of an interpreter. There is one record in the process, which is why the
 * module refuses subinterpreters (c_api.c).
 * Lock: the GIL.
 */
#ifndef PYTHON_OBJECTS_H
#define PYTHON_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>

/* A method with positional and keyword arguments, for a PyMethodDef. */
#define FAST(f) ((PyCFunction)(void (*)(void))(f)), METH_FASTCALL | METH_KEYWORDS

struct module_objects {
    PyTypeObject *arena_type;
    PyTypeObject *buffer_type;
    PyTypeObject *page_type;
    PyTypeObject *cache_type;
    PyTypeObject *mempool_type;
    PyTypeObject *window_type;
    PyTypeObject *region_type;
    PyTypeObject *usage_type;
    PyTypeObject *heap_type;
    PyTypeObject *shrinker_type;
    PyObject *flag_type;   /* enum.Flag */
    PyObject *parse_bytes; /* pyslab.sizes.parse_bytes */
    PyObject *prefilled;   /* pyslab._memory.prefill.PrefilledSheaf */
    PyObject *error;       /* pyslab.errors.PyslabError; the rest are its subclasses there */
    PyObject *out_of_memory;
    PyObject *invalid_pointer;
    PyObject *double_free;
    PyObject *corruption;
    PyObject *closed;
    PyObject *forked;
    PyObject *cache_busy;
    PyObject *window_exhausted;
    PyObject *stale_handle;
    PyObject *not_attached;
};

extern struct module_objects objects;

/* Looks up everything but the types. False with an exception set. */
bool objects_import(void);

/* A new reference to a class that few programs use, so that `import pyslab` does not import its
 * module. It may run any code: look at what that can change afterwards. NULL: an exception. */
PyObject *objects_class(const char *module, const char *name);

#endif
