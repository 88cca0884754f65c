/* buffer_access.c - the Buffer as a sequence of bytes: indexing, slicing, comparison, and repr().
 *
 * Arguments are converted before the state is looked at: a conversion may run Python
 * code that frees the Buffer.
 */
#include "python/buffer/buffer_access.h"

#include <string.h>

Py_ssize_t buffer_length(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;

    return buffer_is_usable(self) ? self->nbytes : -1;
}

/* --- items and slices ---------------------------------------------------- */

static unsigned char *byte_at(BufferObject *self, Py_ssize_t i)
{
    if (!buffer_is_usable(self))
        return NULL;
    if (i < 0)
        i += self->nbytes;
    if (i < 0 || i >= self->nbytes) {
        PyErr_Format(PyExc_IndexError, "index out of range for a Buffer of %zd bytes",
                     self->nbytes);
        return NULL;
    }
    return (unsigned char *)self->p + i;
}

PyObject *buffer_item(PyObject *op, Py_ssize_t i)
{
    const unsigned char *byte = i < 0 ? NULL : byte_at((BufferObject *)op, i);

    if (byte == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    return PyLong_FromLong(*byte);
}

PyObject *buffer_subscript(PyObject *op, PyObject *key)
{
    PyObject *view, *part;

    if (PyIndex_Check(key)) {
        Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
        const unsigned char *byte;

        if (i == -1 && PyErr_Occurred())
            return NULL;
        byte = byte_at((BufferObject *)op, i);
        return byte == NULL ? NULL : PyLong_FromLong(*byte);
    }
    view = PyMemoryView_FromObject(op);
    if (view == NULL)
        return NULL;
    part = PyObject_GetItem(view, key);
    Py_DECREF(view);
    return part;
}

static int set_byte(BufferObject *self, PyObject *key, PyObject *value)
{
    Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    unsigned char *byte;
    int overflow;
    long x;

    if (i == -1 && PyErr_Occurred())
        return -1;
    x = PyLong_AsLongAndOverflow(value, &overflow);
    if (x == -1 && PyErr_Occurred())
        return -1;
    if (overflow != 0 || x < 0 || x > 255) {
        PyErr_Format(PyExc_ValueError, "a byte must be in range(0, 256), got %S", value);
        return -1;
    }
    byte = buffer_is_writable(self) ? byte_at(self, i) : NULL;
    if (byte == NULL)
        return -1;
    *byte = (unsigned char)x;
    return 0;
}

/* Assigns through a memoryview, which knows strides and formats, and has the right errors. */
static int set_by_view(PyObject *op, PyObject *key, PyObject *value)
{
    PyObject *view = PyMemoryView_FromObject(op);
    int result;

    if (view == NULL)
        return -1;
    result = PyObject_SetItem(view, key, value);
    Py_DECREF(view);
    return result;
}

/* Copies a contiguous value over the bytes start .. start + n - 1. */
static int set_run(BufferObject *self, Py_ssize_t start, Py_ssize_t n, const Py_buffer *value)
{
    if (!buffer_is_writable(self))
        return -1;
    if (value->len != n) {
        PyErr_Format(PyExc_ValueError, "cannot assign %zd bytes to a slice of %zd", value->len, n);
        return -1;
    }
    if (n != 0)
        memmove((char *)self->p + start, value->buf, (size_t)n);
    return 0;
}

/* buf[a:b] = value. A contiguous value is copied without making a memoryview. */
static int set_slice(BufferObject *self, PyObject *key, PyObject *value)
{
    Py_ssize_t start, stop, step, n;
    Py_buffer view;
    int result;

    if (PySlice_Unpack(key, &start, &stop, &step) < 0)
        return -1;
    if (step != 1 || PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return set_by_view((PyObject *)self, key, value);
    }
    n = PySlice_AdjustIndices(self->nbytes, &start, &stop, step);
    result = set_run(self, start, n, &view);
    PyBuffer_Release(&view);
    return result;
}

int buffer_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "a Buffer's bytes cannot be deleted");
        return -1;
    }
    if (PyIndex_Check(key))
        return set_byte((BufferObject *)op, key, value);
    return PySlice_Check(key) ? set_slice((BufferObject *)op, key, value)
                              : set_by_view(op, key, value);
}

/* --- comparison ---------------------------------------------------------- */

/* As for bytes, `python -b` warns of a comparison with a str. -1 if the warning is an error. */
static int warn_of_str(const PyObject *other, int compare)
{
    PyObject *flags, *level;
    bool wanted;

    if (!PyUnicode_Check(other) || (compare != Py_EQ && compare != Py_NE))
        return 0;
    flags = PySys_GetObject("flags"); /* borrowed */
    level = flags == NULL ? NULL : PyObject_GetAttrString(flags, "bytes_warning");
    wanted = level != NULL && PyLong_Check(level) && PyLong_AsLong(level) != 0;
    Py_XDECREF(level);
    PyErr_Clear();
    return wanted ? PyErr_WarnEx(PyExc_BytesWarning, "Comparison between Buffer and string", 1) : 0;
}

static PyObject *compare_bytes(const BufferObject *self, const Py_buffer *other, int compare)
{
    Py_ssize_t shorter = other->len < self->nbytes ? other->len : self->nbytes;
    int order = shorter == 0 ? 0 : memcmp(self->p, other->buf, (size_t)shorter);

    if (order == 0)
        Py_RETURN_RICHCOMPARE(self->nbytes, other->len, compare);
    Py_RETURN_RICHCOMPARE(order, 0, compare);
}

/* Compares as a bytearray does: with anything that exports contiguous bytes. */
PyObject *buffer_richcompare(PyObject *op, PyObject *other, int compare)
{
    BufferObject *self = (BufferObject *)op;
    PyObject *result = NULL;
    Py_buffer view;

    if (op == other && (compare == Py_EQ || compare == Py_NE))
        return PyBool_FromLong(compare == Py_EQ);
    if (!PyObject_CheckBuffer(other))
        return warn_of_str(other, compare) < 0 ? NULL : Py_NewRef(Py_NotImplemented);
    if (PyObject_GetBuffer(other, &view, PyBUF_SIMPLE) < 0) {
        if (Py_IS_TYPE(other, objects.buffer_type) || !PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (buffer_is_usable(self))
        result = compare_bytes(self, &view, compare);
    PyBuffer_Release(&view);
    return result;
}

/* --- text ---------------------------------------------------------------- */

PyObject *buffer_repr(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;

    if (self->released && self->p != NULL)
        return PyUnicode_FromString("<pyslab.Buffer released, memory kept until the object goes: "
                                    "it was exported>");
    if (self->released)
        return PyUnicode_FromString("<pyslab.Buffer released>");
    return PyUnicode_FromFormat("<pyslab.Buffer nbytes=%zd capacity=%zu address=%p>", self->nbytes,
                                buffer_capacity(self), self->p);
}
