/* vm_calls.c - the calls of Arena over vm/: vmalloc, vmap, rings, kvmalloc; and the kind of Buffer
 * that they make, an area of addresses over scattered frames.
 */
#include "python/vm/vm_calls.h"

#include "python/arena/arena_file.h"
#include "python/buffer/buffer.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/kmalloc/kmalloc_buffer.h"
#include "python/pages/page_object.h"
#include "python/tracing/tracing.h"

#include <errno.h>

/* --- Buffers of an area -------------------------------------------------- */

/* In a forked child the area is the parent's: there the Buffer dies and gives nothing back. */
static int vm_buffer_give_back(const BufferObject *self, void *p)
{
    int code = pyslab_vfree(self->arena->core, p);

    return code == PYSLAB_EFORKED ? PYSLAB_OK : code;
}

static size_t vm_buffer_capacity(const BufferObject *self)
{
    return pyslab_vsize(self->arena->core, self->p);
}

static PyObject *vm_buffer_new_like(const BufferObject *self);

static const struct buffer_ops vm_buffer_ops = {
    .give_back = vm_buffer_give_back,
    .capacity = vm_buffer_capacity,
    .new_like = vm_buffer_new_like,
    .made_by = "vmalloc",
    .freed_by = "kfree",
};

/* --- errors -------------------------------------------------------------- */

/* The exception of a code of vm/ for a request of nbytes; NULL. */
static PyObject *raise_vm(ArenaObject *self, int code, size_t nbytes, uint32_t gfp)
{
    pyslab_vm_stats stats;
    int system = errno;

    if (code == PYSLAB_ENOMEM)
        return raise_out_of_high_memory(self, nbytes, gfp);
    pyslab_arena_vm_stats(self->core, &stats);
    if (code == PYSLAB_EMAPS)
        PyErr_Format(objects.out_of_memory,
                     "cannot map %zu bytes: scattered frames need more mappings than are left of "
                     "%llu (three quarters of vm.max_map_count); hint: raise vm.max_map_count, or "
                     "drop areas",
                     nbytes, (unsigned long long)stats.budget);
    else if (code == PYSLAB_EFORKED)
        PyErr_SetString(objects.forked, pyslab_strerror(code));
    else if (code == PYSLAB_EINVAL)
        PyErr_SetString(PyExc_ValueError, "not high memory: private memory cannot be mapped twice");
    else if (code == PYSLAB_EOS && arena_file_is_lost(self))
        PyErr_Format(
            objects.error,
            "cannot map %zu bytes: the program closed the descriptor of the arena's high "
            "memory, and its limit of addresses left no room for a second way; hint: close "
            "descriptors before making arenas, or raise the limit (ulimit -v)",
            nbytes);
    else if (code == PYSLAB_EOS && system == ENOTSUP)
        PyErr_Format(objects.error,
                     "cannot map %zu bytes: this system has pages of more than 4 KiB, and vmalloc, "
                     "vmap and rings map frames of 4 KiB one by one",
                     nbytes);
    else if (code == PYSLAB_EOS || code == PYSLAB_ELIMIT)
        PyErr_Format(objects.out_of_memory, "cannot map %zu bytes: %s", nbytes,
                     pyslab_strerror(code));
    else
        raise_code(code, "vmap: frames", NULL);
    return NULL;
}

/* The Buffer of an area that was taken, or the exception of the code. */
static PyObject *area_buffer(ArenaObject *self, int code, void *p, size_t nbytes, uint32_t gfp)
{
    if (code != PYSLAB_OK)
        return raise_vm(self, code, nbytes, gfp);
    return arena_tell_lost_file(self,
                                buffer_new(self, p, (Py_ssize_t)nbytes, &vm_buffer_ops, NULL));
}

/* --- areas --------------------------------------------------------------- */

/* Takes the frames without the GIL, because there may be many to clear and to map. A code of the
 * core. take: vm_alloc or vm_ring */
static int take_area(ArenaObject *self, int (*take)(struct vm *, size_t, uint32_t, void **),
                     size_t nbytes, uint32_t gfp, void **p)
{
    struct vm *vm;
    int code;

    arena_pin(self);
    Py_BEGIN_ALLOW_THREADS
    vm = arena_vm(self->core, true);
    code = vm == NULL ? PYSLAB_ENOMEM : take(vm, nbytes, gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL, p);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(self);
    return code;
}

/* Reads the arguments that vmalloc, vzalloc and ring have in common, (size, gfp=): the size, or -1
 * with an exception set. */
static Py_ssize_t area_args(ArenaObject *self, const char *name, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames, uint32_t *gfp)
{
    struct alloc_options options;
    Py_ssize_t size;

    if (!arg_options(name, nargs, 1, args, kwnames, false, &options))
        return -1;
    size = arg_size(self, args[0], "size");
    if (size < 0 || !arena_is_open(self))
        return -1;
    if (size == 0) {
        PyErr_Format(PyExc_ValueError, "%s needs a size of at least one byte", name);
        return -1;
    }
    *gfp = options.gfp;
    return size;
}

/* vmalloc's Buffer; NULL with an exception set. pre: the arena is open, nbytes > 0 */
static PyObject *vmalloc_buffer(ArenaObject *self, size_t nbytes, uint32_t gfp)
{
    void *p = NULL;
    int code;

    CHECK(!self->closed && nbytes > 0);
    code = take_area(self, vm_alloc, nbytes, gfp, &p);
    return area_buffer(self, code, p, nbytes, gfp);
}

static PyObject *vm_buffer_new_like(const BufferObject *self)
{
    return vmalloc_buffer(self->arena, (size_t)self->nbytes, PYSLAB_GFP_KERNEL);
}

static PyObject *vmalloc_with(PyObject *op, const char *name, uint32_t extra_gfp,
                              PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    uint32_t gfp;
    Py_ssize_t size = area_args(self, name, args, nargs, kwnames, &gfp);

    return size < 0 ? NULL : vmalloc_buffer(self, (size_t)size, gfp | extra_gfp);
}

PyObject *method_vmalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return vmalloc_with(op, "vmalloc", 0, args, nargs, kwnames);
}

PyObject *method_vzalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return vmalloc_with(op, "vzalloc", PYSLAB_GFP_ZERO, args, nargs, kwnames);
}

/* _ring(size): a Buffer of twice the size that shows the same frames two times, one after the
 * other. pyslab/ring.py makes a Ring of it. */
PyObject *method_ring(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    uint32_t gfp;
    Py_ssize_t size = area_args(self, "ring", args, nargs, kwnames, &gfp);
    void *p = NULL;
    int code;

    if (size < 0)
        return NULL;
    if ((size_t)size > (size_t)PY_SSIZE_T_MAX / 4)
        return raise_out_of_high_memory(self, (size_t)size, gfp);
    size = (Py_ssize_t)align_up((uint64_t)size, PAGE_SIZE);
    code = take_area(self, vm_ring, (size_t)size, gfp, &p);
    return area_buffer(self, code, p, code == PYSLAB_OK ? 2 * (size_t)size : (size_t)size, gfp);
}

PyObject *method_kvmalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    Py_ssize_t size;
    uint32_t gfp;
    void *p;
    int code;

    if (!arg_options("kvmalloc", nargs, 1, args, kwnames, false, &options))
        return NULL;
    size = arg_size(self, args[0], "size");
    if (size < 0 || !arena_is_open(self) || !arg_drop_highmem("kvmalloc", &options.gfp))
        return NULL;
    gfp = options.gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL;
    if ((size_t)size > PAGE_SIZE)
        gfp |= PYSLAB_GFP_NORETRY | PYSLAB_GFP_NOWARN;
    p = (gfp & PYSLAB_GFP_ZERO) != 0 ? kmalloc_zeroed(&self->core->kmalloc, (size_t)size, gfp)
                                     : kmalloc_alloc(&self->core->kmalloc, (size_t)size, gfp);
    if (p != NULL)
        return buffer_new(self, p, size, &kmalloc_buffer_ops, NULL);
    if ((size_t)size <= PAGE_SIZE || PyErr_Occurred())
        return raise_out_of_memory(self, (size_t)size, 0, options.gfp);
    code = take_area(self, vm_alloc, (size_t)size, options.gfp, &p);
    return area_buffer(self, code, p, (size_t)size, options.gfp);
}

/* --- maps ---------------------------------------------------------------- */

/* The first frame of each Page of a sequence, and the bytes of all in *nbytes. How many Pages, or
 * -1 with an exception set. */
static Py_ssize_t page_frames(ArenaObject *self, PyObject *sequence, uint32_t *pfns, size_t *nbytes)
{
    Py_ssize_t nr = PySequence_Fast_GET_SIZE(sequence);

    *nbytes = 0;
    for (Py_ssize_t i = 0; i < nr; i++) {
        PageObject *page = arg_page(self, PySequence_Fast_GET_ITEM(sequence, i));

        if (page == NULL || !page_is_usable(page))
            return -1;
        pfns[i] = page->pfn;
        *nbytes += (size_t)page->nr_pages << PAGE_SHIFT;
    }
    return nr;
}

PyObject *method_vmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    PyObject *sequence, *buffer = NULL;
    struct alloc_options options;
    uint32_t *pfns;
    Py_ssize_t nr;
    size_t nbytes;

    if (!arg_options("vmap", nargs, 1, args, kwnames, false, &options) || !arena_is_open(self))
        return NULL;
    sequence = arg_sequence(args[0], "vmap takes a sequence of Pages");
    if (sequence == NULL)
        return NULL;
    nr = PySequence_Fast_GET_SIZE(sequence);
    pfns = PyMem_New(uint32_t, (size_t)nr);
    if (pfns == NULL) {
        PyErr_NoMemory();
    } else if (nr == 0) {
        PyErr_SetString(PyExc_ValueError, "vmap needs at least one Page");
    } else if (page_frames(self, sequence, pfns, &nbytes) >= 0 && arena_is_open(self)) {
        void *p = NULL;
        int code = vm_map(&self->core->vm, pfns, (uint32_t)nr, &p);

        buffer = area_buffer(self, code, p, nbytes, options.gfp);
        if (buffer != NULL)
            trace_gone(p); /* the Pages have reported this memory already */
    }
    PyMem_Free(pfns);
    Py_DECREF(sequence);
    return buffer;
}

PyObject *method_vfree(PyObject *op, PyObject *arg)
{
    BufferObject *buffer = arg_buffer((ArenaObject *)op, arg);

    if (buffer == NULL)
        return NULL;
    if (buffer->ops != &vm_buffer_ops) {
        PyErr_Format(objects.invalid_pointer, "the Buffer at %p is not from vmalloc or vmap",
                     buffer->p);
        return NULL;
    }
    if (buffer_kfree(buffer, "vfree") < 0)
        return NULL;
    Py_RETURN_NONE;
}
