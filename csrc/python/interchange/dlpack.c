/* dlpack.c - a Buffer as a DLPack tensor: one dimension, unsigned bytes, on the CPU.
 *
 * The protocol is the array API standard's (data-apis.org/array-api, __dlpack__).
 * Lifetime. A tensor holds an export of its Buffer, so kfree is a BufferError until the
 * consumer has called the tensor's deleter, which it may do on any thread and without the
 * GIL. A capsule that nobody consumed, which keeps its name, calls it when it goes.
 * Lock: the GIL; the deleter takes it.
 */
#include "python/interchange/dlpack.h"

#include "python/buffer/buffer_copy.h"
#include "python/interchange/dlpack_abi.h"

#define LEGACY_NAME "dltensor"
#define VERSIONED_NAME "dltensor_versioned"

/* A tensor and all that it points to; it is the tensor's manager_ctx. */
struct tensor {
    Py_buffer view; /* the export */
    int64_t shape[1];
    int64_t strides[1];
    union {
        DLManagedTensor legacy;
        DLManagedTensorVersioned versioned;
    };
};

struct dlpack_options {
    bool versioned;
    bool copy;
};

/* --- the end of a tensor ------------------------------------------------- */

/* Whoever frees a tensor may have an exception set, which must not get lost. */
static void tensor_free(struct tensor *tensor)
{
    PyObject *type, *value, *traceback;
    PyGILState_STATE gil;

    if (!Py_IsInitialized())
        return; /* the interpreter has ended: there is nobody left to give it back to */
    gil = PyGILState_Ensure();
    PyErr_Fetch(&type, &value, &traceback);
    PyBuffer_Release(&tensor->view);
    PyMem_Free(tensor);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

static void legacy_deleter(DLManagedTensor *managed)
{
    tensor_free(managed->manager_ctx);
}

static void versioned_deleter(DLManagedTensorVersioned *managed)
{
    tensor_free(managed->manager_ctx);
}

/* A consumer renames the capsule when it takes the tensor over; with its first name the capsule
 * still owns the tensor. */
static void legacy_capsule_free(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, LEGACY_NAME))
        legacy_deleter(PyCapsule_GetPointer(capsule, LEGACY_NAME));
}

static void versioned_capsule_free(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, VERSIONED_NAME))
        versioned_deleter(PyCapsule_GetPointer(capsule, VERSIONED_NAME));
}

/* --- making one ---------------------------------------------------------- */

static void tensor_describe(struct tensor *tensor, DLTensor *out)
{
    tensor->shape[0] = tensor->view.len;
    tensor->strides[0] = 1;
    *out = (DLTensor){
        .data = tensor->view.buf,
        .device = {kDLCPU, 0},
        .ndim = 1,
        .dtype = {kDLUInt, 8, 1},
        .shape = tensor->shape,
        .strides = tensor->strides,
    };
}

/* What has no version cannot say that it is read-only. */
static struct tensor *tensor_new(PyObject *buffer, bool versioned)
{
    struct tensor *tensor = PyMem_Calloc(1, sizeof *tensor);

    if (tensor == NULL) {
        PyErr_NoMemory();
    } else if (PyObject_GetBuffer(buffer, &tensor->view,
                                  versioned ? PyBUF_SIMPLE : PyBUF_WRITABLE) < 0) {
        PyMem_Free(tensor);
        tensor = NULL;
    }
    return tensor;
}

static PyObject *capsule_new(PyObject *buffer, const struct dlpack_options *options)
{
    struct tensor *tensor = tensor_new(buffer, options->versioned);
    PyObject *capsule;

    if (tensor == NULL)
        return NULL;
    if (options->versioned) {
        tensor->versioned = (DLManagedTensorVersioned){
            .version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION},
            .manager_ctx = tensor,
            .deleter = versioned_deleter,
            .flags = (options->copy ? DLPACK_FLAG_BITMASK_IS_COPIED : 0) |
                     (tensor->view.readonly ? DLPACK_FLAG_BITMASK_READ_ONLY : 0),
        };
        tensor_describe(tensor, &tensor->versioned.dl_tensor);
        capsule = PyCapsule_New(&tensor->versioned, VERSIONED_NAME, versioned_capsule_free);
    } else {
        tensor->legacy = (DLManagedTensor){.manager_ctx = tensor, .deleter = legacy_deleter};
        tensor_describe(tensor, &tensor->legacy.dl_tensor);
        capsule = PyCapsule_New(&tensor->legacy, LEGACY_NAME, legacy_capsule_free);
    }
    if (capsule == NULL)
        tensor_free(tensor);
    return capsule;
}

/* --- arguments ----------------------------------------------------------- */

/* A tuple of two ints. False with TypeError set. */
static bool read_pair(const char *name, PyObject *arg, long pair[2])
{
    if (!PyTuple_Check(arg) || PyTuple_GET_SIZE(arg) != 2 ||
        !PyIndex_Check(PyTuple_GET_ITEM(arg, 0)) || !PyIndex_Check(PyTuple_GET_ITEM(arg, 1))) {
        PyErr_Format(PyExc_TypeError, "%s must be None or a tuple of two ints, not %R", name, arg);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        pair[i] = PyLong_AsLong(PyTuple_GET_ITEM(arg, i));
        if (pair[i] == -1 && PyErr_Occurred())
            return false;
    }
    return true;
}

static bool read_device(PyObject *arg)
{
    long device[2];

    if (!read_pair("dl_device", arg, device))
        return false;
    if (device[0] == kDLCPU && device[1] == 0)
        return true;
    PyErr_Format(PyExc_BufferError, "a Buffer is memory of the CPU, device (%d, 0), not %R", kDLCPU,
                 arg);
    return false;
}

static bool read_version(PyObject *arg, bool *versioned)
{
    long version[2];

    if (!read_pair("max_version", arg, version))
        return false;
    *versioned = version[0] >= DLPACK_MAJOR_VERSION;
    return true;
}

static bool read_option(PyObject *name, PyObject *value, struct dlpack_options *out)
{
    bool given = value != Py_None;

    if (PyUnicode_CompareWithASCIIString(name, "stream") == 0) {
        if (given)
            PyErr_Format(PyExc_BufferError,
                         "memory of the CPU has no streams: stream must be "
                         "None, not %R",
                         value);
        return !given;
    }
    if (PyUnicode_CompareWithASCIIString(name, "max_version") == 0)
        return !given || read_version(value, &out->versioned);
    if (PyUnicode_CompareWithASCIIString(name, "dl_device") == 0)
        return !given || read_device(value);
    if (PyUnicode_CompareWithASCIIString(name, "copy") == 0) {
        int copy = given ? PyObject_IsTrue(value) : 0;

        out->copy = copy == 1;
        return copy >= 0;
    }
    PyErr_Format(PyExc_TypeError, "__dlpack__() got an unexpected keyword argument %R", name);
    return false;
}

/* --- methods of Buffer --------------------------------------------------- */

PyObject *buffer_dlpack(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    struct dlpack_options options = {.versioned = false};
    PyObject *source, *capsule;

    if (nargs != 0) {
        PyErr_Format(PyExc_TypeError, "__dlpack__() takes no positional arguments, got %zd", nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nr_keywords; i++)
        if (!read_option(PyTuple_GET_ITEM(kwnames, i), args[i], &options))
            return NULL;
    source = options.copy ? buffer_copy((BufferObject *)op) : Py_NewRef(op);
    if (source == NULL)
        return NULL;
    capsule = capsule_new(source, &options);
    Py_DECREF(source);
    return capsule;
}

PyObject *buffer_dlpack_device(PyObject *op, PyObject *unused)
{
    (void)op, (void)unused;
    return Py_BuildValue("ii", kDLCPU, 0);
}
