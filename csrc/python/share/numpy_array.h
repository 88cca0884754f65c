/* numpy_array.h - what travelling needs of an ndarray: its fields, and how one is made.
 *
 * What it is: NumPy's structs as its binary interface has them since 1.0 (the array) and before and
 * after 2.0 (the dtype), and entries of its table, looked up when an array is first met, since
 * pyslab is built without NumPy. What it is not: handlers of array data (numpy/numpy_api.h).
 * Lock: the GIL.
 */
#ifndef PYTHON_NUMPY_ARRAY_H
#define PYTHON_NUMPY_ARRAY_H

#include "python/module/objects.h"

#define ARRAY_MAX_DIMS 64 /* NumPy 2; 32 before */
#define ARRAY_WRITEABLE 0x0400
#define DTYPE_HAS_OBJECTS 1 /* flag of a dtype: its items refer to Python objects */
#define DTYPE_OBJECT 17     /* type numbers */
#define DTYPE_HALF 23
#define DTYPE_BUILTIN_END 24

struct numpy_array {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions; /* nd */
    Py_ssize_t *strides;    /* nd, in bytes */
    PyObject *base;         /* what the data belongs to */
    PyObject *descr;        /* the dtype */
    int flags;
};

struct numpy_dtype {
    PyObject_HEAD
    PyTypeObject *type;
    char kind;
    char code;
    char byteorder;
    char flags1; /* NumPy 1 */
    int type_num;
    union {
        int itemsize1;
        struct {
            uint64_t flags;
            Py_ssize_t itemsize;
        } numpy2;
    };
};

struct numpy_arrays {
    PyTypeObject *array_type; /* NULL until NumPy was found */
    PyTypeObject *dtype_type;
    PyObject *(*dtype_of)(int type_num);
    PyObject *(*new_array)(PyTypeObject *type, PyObject *dtype, int nd, const Py_ssize_t *dims,
                           const Py_ssize_t *strides, void *data, int flags, PyObject *like);
    int (*set_base)(PyObject *array, PyObject *base);
    bool is_numpy2;
};

extern struct numpy_arrays numpy_arrays;

/* Looks everything up, once. False with an exception set. */
bool numpy_arrays_load(void);
/* True, if the program has imported NumPy and everything was found; never an exception. */
bool numpy_arrays_are_known(void);

static inline Py_ssize_t dtype_itemsize(const PyObject *dtype)
{
    const struct numpy_dtype *d = (const struct numpy_dtype *)dtype;

    return numpy_arrays.is_numpy2 ? d->numpy2.itemsize : d->itemsize1;
}

/* Its items are plain bytes, of one of NumPy's own kinds. */
static inline bool dtype_is_plain(const PyObject *dtype)
{
    const struct numpy_dtype *d = (const struct numpy_dtype *)dtype;
    uint64_t flags = numpy_arrays.is_numpy2 ? d->numpy2.flags : (uint64_t)(unsigned char)d->flags1;

    return d->type_num >= 0 && d->type_num < DTYPE_BUILTIN_END && d->type_num != DTYPE_OBJECT &&
           (flags & DTYPE_HAS_OBJECTS) == 0;
}

#endif
