/* travel.c - see travel.h. Order of the text: parcels, sending, the sender's type, receiving.
 *
 * Invariant: handle[0 .. nr) of a sender are those that it made and that nobody was told to take
 * back: a pickle that fails ends its handles by revoke(). Lock: the GIL; a sender is one thread's.
 */
#include "python/share/travel.h"

#include "python/share/numpy_array.h"
#include "python/share/shared_buffer.h"

#include "base/config.h"
#include "share/where.h"

#include <string.h>

#define PARCEL_MAGIC 0x31727450u
#define PARCEL_OTHER_DTYPE (-1)

struct parcel {
    uint32_t magic;
    int32_t pid; /* of the heap's process, as a hint; 0 */
    pyslab_handle handle;
    uint64_t offset;  /* of the first element in the block */
    int16_t type_num; /* of NumPy's own dtypes; PARCEL_OTHER_DTYPE: the dtype follows by itself */
    uint16_t nd;
    uint32_t reserved;
    int64_t dims[2 * ARRAY_MAX_DIMS]; /* nd, and then nd strides */
};

static size_t parcel_bytes(unsigned nd)
{
    return offsetof(struct parcel, dims) + 2 * nd * sizeof(int64_t);
}

#define WHOLE_MAX_DIMS 12 /* of a parcel whose length fits a byte */
_Static_assert(offsetof(struct parcel, dims) + 2 * WHOLE_MAX_DIMS * sizeof(int64_t) < 256,
               "its length fits a byte");

/* The bytes of an array lie from data - before to data + behind. False: they are none, or more
 * than there can be. */
static bool extent(unsigned nd, const int64_t *dims, const int64_t *strides, int64_t itemsize,
                   int64_t *before, int64_t *behind)
{
    *before = 0;
    *behind = itemsize;
    for (unsigned i = 0; i < nd; i++) {
        int64_t reach;

        if (dims[i] <= 0 || __builtin_mul_overflow(dims[i] - 1, strides[i], &reach) ||
            __builtin_add_overflow(*behind, reach > 0 ? reach : 0, behind) ||
            __builtin_sub_overflow(*before, reach < 0 ? reach : 0, before))
            return false;
    }
    return itemsize > 0;
}

/* --- sending ------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    pyslab_handle *handle; /* that were made */
    size_t nr;
    size_t room; /* of handle */
} SenderObject;

static PyTypeObject *sender_type;
static PyObject *array_open;  /* the module's functions _array_open */
static PyObject *buffer_open; /* and _buffer_open */

static bool sender_reserve(SenderObject *self)
{
    size_t room = self->room == 0 ? 8 : 2 * self->room;
    pyslab_handle *handle;

    if (self->nr < self->room)
        return true;
    handle = PyMem_Realloc(self->handle, room * sizeof *handle);
    if (handle == NULL)
        return false;
    self->handle = handle;
    self->room = room;
    return true;
}

static int64_t array_bytes(const struct numpy_array *array)
{
    int64_t bytes = dtype_itemsize(array->descr);

    for (int i = 0; i < array->nd; i++)
        bytes *= array->dimensions[i]; /* it is an array: it fits */
    return bytes;
}

/* Is the dtype the one of its number, without metadata or another order of bytes? */
static bool dtype_is_common(const PyObject *dtype)
{
    PyObject *common = numpy_arrays.dtype_of(((const struct numpy_dtype *)dtype)->type_num);

    PyErr_Clear();
    Py_XDECREF(common);
    return common == dtype;
}

/* Makes the parcel of an array; false: it has no place in a shared heap, or is better sent as
 * bytes. */
static bool pack(SenderObject *self, const struct numpy_array *array, struct parcel *parcel)
{
    unsigned nd = (unsigned)array->nd;
    const struct numpy_dtype *dtype = (const struct numpy_dtype *)array->descr;
    int64_t before, behind;
    uint64_t offset;

    if (nd > ARRAY_MAX_DIMS || !dtype_is_plain(array->descr) ||
        array_bytes(array) < (int64_t)PAGE_SIZE || !sender_reserve(self))
        return false;
    for (unsigned i = 0; i < nd; i++) {
        parcel->dims[i] = array->dimensions[i];
        parcel->dims[nd + i] = array->strides[i];
    }
    if (!extent(nd, parcel->dims, parcel->dims + nd, dtype_itemsize(array->descr), &before,
                &behind) ||
        share_send(array->data - before, (uint64_t)(before + behind), 1, &parcel->handle,
                   &offset) != PYSLAB_OK)
        return false;
    self->handle[self->nr++] = parcel->handle;
    parcel->magic = PARCEL_MAGIC;
    parcel->pid = share_owner_of(&parcel->handle);
    parcel->offset = offset + (uint64_t)before;
    parcel->nd = (uint16_t)nd;
    parcel->reserved = 0;
    parcel->type_num = (int16_t)dtype->type_num;
    return true;
}

/* (bytes,) or (bytes, dtype); None: it is to be sent as bytes. NULL: an exception. */
static PyObject *send_array(SenderObject *self, const struct numpy_array *array)
{
    struct parcel parcel;
    PyObject *bytes, *result = NULL;

    if (!share_has(array->data) || !pack(self, array, &parcel))
        return Py_NewRef(Py_None);
    if (!dtype_is_common(array->descr))
        parcel.type_num = PARCEL_OTHER_DTYPE;
    bytes = PyBytes_FromStringAndSize((const char *)&parcel, (Py_ssize_t)parcel_bytes(parcel.nd));
    if (bytes != NULL)
        result = parcel.type_num == PARCEL_OTHER_DTYPE ? PyTuple_Pack(2, bytes, array->descr)
                                                       : PyTuple_Pack(1, bytes);
    Py_XDECREF(bytes);
    return result;
}

/* The pickle of _array_open(parcel), protocol 4: what the pickler would write, but for memos. */
static PyObject *pickle_of(const struct parcel *parcel)
{
    static const char before[] = "\x80\x04\x8c\x0cpyslab._core\x8c\x0b_array_open\x93"
                                 "C"; /* and a byte that says how many follow */
    static const char behind[] = "\x85R.";
    size_t nr_before = sizeof before - 1, nr = parcel_bytes(parcel->nd);
    PyObject *bytes = PyBytes_FromStringAndSize(
        NULL, (Py_ssize_t)(nr_before + 1 + nr + sizeof behind - 1));
    char *to = bytes == NULL ? NULL : PyBytes_AS_STRING(bytes);

    if (bytes == NULL)
        return NULL;
    memcpy(to, before, nr_before);
    to[nr_before] = (char)nr;
    memcpy(to + nr_before + 1, parcel, nr);
    memcpy(to + nr_before + 1 + nr, behind, sizeof behind - 1);
    return bytes;
}

static PyObject *not_implemented(void)
{
    return Py_NewRef(Py_NotImplemented);
}

/* A subclass of ndarray is looked at in Python, if its data lies in a shared heap. */
static PyObject *reduce_subclass(SenderObject *self, PyObject *array)
{
    PyObject *reduce, *result;

    if (!share_has(((struct numpy_array *)array)->data))
        return not_implemented();
    reduce = objects_class("pyslab._sharing.subclasses", "reduce_subclass");
    if (reduce == NULL)
        return NULL;
    result = PyObject_CallFunctionObjArgs(reduce, self, array, NULL);
    Py_DECREF(reduce);
    return result;
}

/* A Buffer of less than a page costs less as bytes. */
static PyObject *reduce_buffer(SenderObject *self, BufferObject *buffer)
{
    pyslab_handle handle;

    if (!share_has(buffer->p) || buffer->nbytes < (Py_ssize_t)PAGE_SIZE || !sender_reserve(self) ||
        !shared_buffer_send(buffer, &handle))
        return not_implemented();
    self->handle[self->nr++] = handle;
    return Py_BuildValue("O(y#i)", buffer_open, (const char *)&handle, (Py_ssize_t)sizeof handle,
                         share_owner_of(&handle));
}

static PyObject *reduce(SenderObject *self, PyObject *object)
{
    PyObject *args, *result;

    if (Py_IS_TYPE(object, objects.buffer_type))
        return reduce_buffer(self, (BufferObject *)object);
    if (!numpy_arrays_are_known() || !PyObject_TypeCheck(object, numpy_arrays.array_type))
        return not_implemented();
    if (!Py_IS_TYPE(object, numpy_arrays.array_type))
        return reduce_subclass(self, object);
    args = send_array(self, (struct numpy_array *)object);
    if (args == NULL || args == Py_None) {
        Py_XDECREF(args);
        return args == NULL ? NULL : not_implemented();
    }
    result = PyTuple_Pack(2, array_open, args);
    Py_DECREF(args);
    return result;
}

/* --- the sender's type -------------------------------------------------------------- */

static PyObject *sender_call(PyObject *op, PyObject *const *args, size_t nargs, PyObject *names)
{
    if (PyVectorcall_NARGS(nargs) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "an ArraySender is called with one object");
        return NULL;
    }
    return reduce((SenderObject *)op, args[0]);
}

static PyObject *sender_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    SenderObject *self;

    if (PyTuple_GET_SIZE(args) != 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "ArraySender() takes no arguments");
        return NULL;
    }
    self = (SenderObject *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->call = sender_call;
    return (PyObject *)self;
}

static void sender_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyMem_Free(((SenderObject *)op)->handle);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *sender_revoke(PyObject *op, PyObject *unused)
{
    SenderObject *self = (SenderObject *)op;

    (void)unused;
    while (self->nr > 0)
        (void)pyslab_share_revoke(&self->handle[--self->nr]);
    Py_RETURN_NONE;
}

static PyObject *sender_pack(PyObject *op, PyObject *array)
{
    if (!numpy_arrays_load())
        return NULL;
    if (!PyObject_TypeCheck(array, numpy_arrays.array_type)) {
        PyErr_SetString(PyExc_TypeError, "pack() takes an array");
        return NULL;
    }
    return send_array((SenderObject *)op, (struct numpy_array *)array);
}

static PyObject *sender_pickle(PyObject *op, PyObject *object)
{
    struct numpy_array *array = (struct numpy_array *)object;
    struct parcel parcel;

    if (!numpy_arrays_are_known() || !Py_IS_TYPE(object, numpy_arrays.array_type) ||
        array->nd > WHOLE_MAX_DIMS || !dtype_is_plain(array->descr) ||
        !dtype_is_common(array->descr) || !share_has(array->data) ||
        !pack((SenderObject *)op, array, &parcel))
        Py_RETURN_NONE;
    return pickle_of(&parcel);
}

static PyTypeObject *sender_type_new(PyObject *module)
{
    static PyMethodDef methods[] = {
        {"pack", sender_pack, METH_O,
         "Returns arguments for _array_open; None: the array is to be sent as bytes."},
        {"pickle", sender_pickle, METH_O,
         "Returns the pickle of an array without a pickler; None: this takes one."},
        {"revoke", sender_revoke, METH_NOARGS, "Ends all handles that it made."},
        {NULL, NULL, 0, NULL},
    };
    static PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(SenderObject, call), READONLY, NULL},
        {NULL, 0, 0, 0, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "A pickler's reducer_override: what lies in shared heaps becomes handles."},
        {Py_tp_new, (void *)sender_new},
        {Py_tp_dealloc, (void *)sender_dealloc},
        {Py_tp_call, (void *)PyVectorcall_Call},
        {Py_tp_methods, methods},
        {Py_tp_members, members},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "pyslab._core.ArraySender",
        .basicsize = sizeof(SenderObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* --- receiving ---------------------------------------------------------------------- */

static bool arrivals_are_writable; /* this process asked for it */

static enum shared_access access_wanted(void)
{
    return arrivals_are_writable ? SHARED_WRITE_IF_ALLOWED : SHARED_READ;
}

static bool unpack(PyObject *bytes, struct parcel *parcel)
{
    Py_ssize_t length = PyBytes_GET_SIZE(bytes);

    if (length >= (Py_ssize_t)parcel_bytes(0) && length <= (Py_ssize_t)sizeof *parcel) {
        memcpy(parcel, PyBytes_AS_STRING(bytes), (size_t)length);
        if (parcel->magic == PARCEL_MAGIC && parcel->nd <= ARRAY_MAX_DIMS &&
            length == (Py_ssize_t)parcel_bytes(parcel->nd))
            return true;
    }
    PyErr_SetString(PyExc_ValueError, "these bytes are no array that was sent by this version");
    return false;
}

/* The dtype, a new reference; NULL with an exception. */
static PyObject *dtype_of_parcel(const struct parcel *parcel, PyObject *given)
{
    int type_num = parcel->type_num;

    if ((type_num >= 0 && type_num < DTYPE_OBJECT) || type_num == DTYPE_HALF)
        return numpy_arrays.dtype_of(type_num);
    if (type_num == PARCEL_OTHER_DTYPE && given != NULL &&
        PyObject_TypeCheck(given, numpy_arrays.dtype_type) && dtype_is_plain(given))
        return Py_NewRef(given);
    PyErr_SetString(PyExc_ValueError, "an array that was sent has no dtype of plain bytes");
    return NULL;
}

/* True if the array lies in the block. */
static bool fits(const struct parcel *parcel, const PyObject *dtype, const BufferObject *block)
{
    uint64_t bytes = (uint64_t)block->nbytes;
    int64_t before, behind;

    return extent(parcel->nd, parcel->dims, parcel->dims + parcel->nd, dtype_itemsize(dtype),
                  &before, &behind) &&
           parcel->offset <= bytes && (uint64_t)before <= parcel->offset &&
           (uint64_t)behind <= bytes - parcel->offset;
}

/* Consumes the references to block and dtype. The array holds no export of its base, so that has
 * to be a Buffer that keeps its memory after a kfree (buffer.h). */
static PyObject *array_of(const struct parcel *parcel, PyTypeObject *type, PyObject *dtype,
                          BufferObject *block)
{
    bool writable = (block->marks & BUFFER_READ_ONLY) == 0;
    Py_ssize_t dims[2 * ARRAY_MAX_DIMS];
    PyObject *array;

    if (!fits(parcel, dtype, block)) {
        PyErr_SetString(PyExc_ValueError, "an array that was sent does not lie in its block");
        Py_DECREF(dtype);
        Py_DECREF(block);
        return NULL;
    }
    for (unsigned i = 0; i < 2u * parcel->nd; i++)
        dims[i] = (Py_ssize_t)parcel->dims[i];
    array = numpy_arrays.new_array(type, dtype, parcel->nd, dims, dims + parcel->nd,
                                   (char *)block->p + parcel->offset,
                                   writable ? ARRAY_WRITEABLE : 0, NULL);
    block->ever_exported = true;
    if (array == NULL)
        Py_DECREF(block);
    else if (numpy_arrays.set_base(array, (PyObject *)block) != 0)
        Py_CLEAR(array);
    return array;
}

/* Whoever receives may pass on. */
static bool install_hooks(void)
{
    static bool done;
    PyObject *install, *result;

    if (done)
        return true;
    install = objects_class("pyslab._sharing.hooks", "install");
    result = install == NULL ? NULL : PyObject_CallNoArgs(install);
    done = result != NULL;
    Py_XDECREF(install);
    Py_XDECREF(result);
    return done;
}

/* _array_open(parcel, dtype=None, type=ndarray) */
static PyObject *module_array_open(PyObject *module, PyObject *args)
{
    PyObject *bytes, *given = NULL, *dtype, *type = NULL;
    BufferObject *block;
    struct parcel parcel;

    (void)module;
    if (!PyArg_ParseTuple(args, "S|OO!:_array_open", &bytes, &given, &PyType_Type, &type) ||
        !unpack(bytes, &parcel) || !numpy_arrays_load() || !install_hooks())
        return NULL;
    if (type == NULL)
        type = (PyObject *)numpy_arrays.array_type;
    if (!PyType_IsSubtype((PyTypeObject *)type, numpy_arrays.array_type)) {
        PyErr_SetString(PyExc_TypeError, "_array_open: the type is no subclass of ndarray");
        return NULL;
    }
    dtype = dtype_of_parcel(&parcel, given);
    block = dtype == NULL ? NULL : shared_buffer_open(&parcel.handle, parcel.pid, access_wanted());
    if (block == NULL) {
        Py_XDECREF(dtype);
        return NULL;
    }
    return array_of(&parcel, (PyTypeObject *)type, dtype, block);
}

/* _buffer_open(handle, pid) */
static PyObject *module_buffer_open(PyObject *module, PyObject *args)
{
    const char *bytes;
    Py_ssize_t nr_bytes;
    pyslab_handle handle;
    int pid;

    (void)module;
    if (!PyArg_ParseTuple(args, "y#i:_buffer_open", &bytes, &nr_bytes, &pid) || !install_hooks())
        return NULL;
    if (nr_bytes != sizeof handle) {
        PyErr_SetString(PyExc_ValueError, "these bytes are no handle of this version");
        return NULL;
    }
    memcpy(&handle, bytes, sizeof handle);
    return (PyObject *)shared_buffer_open(&handle, pid, access_wanted());
}

static PyObject *module_arrivals_writable(PyObject *module, PyObject *value)
{
    int writable = PyObject_IsTrue(value);

    (void)module;
    if (writable < 0)
        return NULL;
    arrivals_are_writable = writable != 0;
    Py_RETURN_NONE;
}

static PyObject *module_array_is_shared(PyObject *module, PyObject *array)
{
    (void)module;
    return PyBool_FromLong(numpy_arrays_are_known() &&
                           PyObject_TypeCheck(array, numpy_arrays.array_type) &&
                           share_has(((struct numpy_array *)array)->data));
}

bool travel_add(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"_array_open", module_array_open, METH_VARARGS, NULL},
        {"_buffer_open", module_buffer_open, METH_VARARGS, NULL},
        {"_arrivals_writable", module_arrivals_writable, METH_O, NULL},
        {"_array_is_shared", module_array_is_shared, METH_O, NULL},
        {NULL, NULL, 0, NULL},
    };

    sender_type = sender_type_new(module);
    if (sender_type == NULL || PyModule_AddType(module, sender_type) < 0 ||
        PyModule_AddFunctions(module, functions) < 0)
        return false;
    array_open = PyObject_GetAttrString(module, "_array_open");
    buffer_open = PyObject_GetAttrString(module, "_buffer_open");
    return array_open != NULL && buffer_open != NULL;
}
