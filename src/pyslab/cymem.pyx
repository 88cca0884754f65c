# cython: language_level=3, embedsignature=True, binding=True, freethreading_compatible=True
"""A Pool with cymem's signatures on an arena: a project changes one cimport.

    from pyslab.cymem cimport Pool, Address    # was: from cymem.cymem cimport ...

What it is: the types, with their Python faces and exceptions. What it is not: the memory;
csrc/pool has that, as a client of the C API.

Lock: the GIL, which each of these calls needs. On an interpreter without one each looks at a
Pool's blocks in a critical section on the Pool, which is let go where a GIL would be.
"""

import warnings

from cpython.exc cimport PyErr_Occurred
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memset

from pyslab cimport (
    PYSLAB_ENOMEM,
    PYSLAB_GFP_KERNEL,
    pyslab_arena,
    pyslab_arena_from_object,
    pyslab_arena_get,
    pyslab_arena_put,
    pyslab_default_arena,
    pyslab_import,
    pyslab_kfree,
    pyslab_kzalloc,
    pyslab_raise,
)

cdef extern from "pool/pool.h":
    ctypedef void* (*pool_malloc)(size_t size)
    ctypedef void (*pool_mfree)(void* p)
    enum pool_error:
        POOL_OK
        POOL_ENOMEM
        POOL_EUNKNOWN
    ctypedef struct pool_t "struct pool":
        size_t size
    struct pool_block:
        void* p
        size_t size
    pool_t* pool_create(pyslab_arena* arena, pool_malloc malloc, pool_mfree free)
    void pool_destroy(pool_t* pool)
    void* pool_alloc(pool_t* pool, size_t size)
    void* pool_alloc_own(pool_t* pool, size_t size)
    int pool_free(pool_t* pool, void* p)
    int pool_realloc(pool_t* pool, void** p, size_t size)
    size_t pool_blocks(const pool_t* pool, pool_block* out, size_t nr)

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    typedef PyCriticalSection pool_section;
    #define pool_enter(section, pool) PyCriticalSection_Begin((section), (PyObject *)(pool))
    #define pool_leave(section) PyCriticalSection_End(section)
    #else
    typedef char pool_section;
    #define pool_enter(section, pool) ((void)(section))
    #define pool_leave(section) ((void)(section))
    #endif
    """
    ctypedef struct pool_section:
        pass
    void pool_enter(pool_section* section, Pool pool)
    void pool_leave(pool_section* section)

cdef extern from *:
    bint mul_overflow "__builtin_mul_overflow"(size_t a, size_t b, size_t* result)

pyslab_import()

WARN_ZERO_ALLOC = False
cdef object _module_names = globals()  # WARN_ZERO_ALLOC is set from outside


cdef int _no_memory(size_t number, size_t size, const char* what) except -1:
    """Raise OutOfMemoryError, or what a callback of the arena has raised."""
    if not PyErr_Occurred():
        text = f"{what.decode()}: {number} * {size} bytes"
        pyslab_raise(PYSLAB_ENOMEM, text.encode())
    return -1


cdef class PyMalloc:
    """A malloc for a Pool or an Address, made by WrapMalloc in Cython."""

    cdef void _set(self, malloc_t malloc):
        self.malloc = malloc


cdef PyMalloc WrapMalloc(malloc_t malloc):
    cdef PyMalloc wrapper = PyMalloc.__new__(PyMalloc)
    wrapper._set(malloc)
    return wrapper


cdef class PyFree:
    """The free that belongs to a PyMalloc, made by WrapFree in Cython."""

    cdef void _set(self, free_t free):
        self.free = free


cdef PyFree WrapFree(free_t free):
    cdef PyFree wrapper = PyFree.__new__(PyFree)
    wrapper._set(free)
    return wrapper


Default_Malloc = WrapMalloc(PyMem_Malloc)
Default_Free = WrapFree(PyMem_Free)
cdef PyMalloc _default_malloc = Default_Malloc
cdef PyFree _default_free = Default_Free


cdef int _check_functions(PyMalloc pymalloc, PyFree pyfree) except -1:
    if pymalloc.malloc == NULL or pyfree.free == NULL:
        raise ValueError("a PyMalloc and a PyFree are made by WrapMalloc and WrapFree")
    return 0


cdef class Pool:
    """Zeroed blocks of memory that are freed with the Pool, at the latest.

    pymalloc, pyfree: where its blocks come from, instead of an arena; a malloc without its
    free, or the other way round, goes with the interpreter's, as in cymem.
    arena: a pyslab.Arena instead of the default one; its memory is kept until the Pool is
    gone, also when it is closed.

    >>> from pyslab.cymem cimport Pool
    >>> cdef Pool pool = Pool()
    >>> numbers = <int*>pool.alloc(10, sizeof(int))
    """

    def __cinit__(
        self,
        PyMalloc pymalloc not None=Default_Malloc,
        PyFree pyfree not None=Default_Free,
        *,
        arena=None,
    ):
        cdef pyslab_arena* handle
        self.refs = []
        self.pymalloc = pymalloc
        self.pyfree = pyfree
        if pymalloc is not _default_malloc or pyfree is not _default_free:
            _check_functions(pymalloc, pyfree)
            if arena is not None:
                raise TypeError("a Pool has either a malloc of its own or an arena")
        if arena is None:
            handle = pyslab_default_arena()
            if handle == NULL:
                _no_memory(1, 0, "Pool: no address space for the default arena")
        else:
            handle = pyslab_arena_from_object(arena)
        pyslab_arena_get(handle)
        self._arena = handle
        self.arena = arena

    def __dealloc__(self):
        if self._blocks != NULL:
            pool_destroy(<pool_t*>self._blocks)
        if self._arena != NULL:
            pyslab_arena_put(<pyslab_arena*>self._arena)

    cdef void* alloc(self, size_t number, size_t size) except NULL:
        """Return number * size zero bytes, aligned to 16.

        Raises OutOfMemoryError (a MemoryError), also when the product overflows.
        """
        cdef pool_t* blocks = <pool_t*>self._blocks
        cdef size_t nbytes
        cdef void* p
        cdef pool_section section
        if mul_overflow(number, size, &nbytes):
            _no_memory(number, size, "Pool.alloc")
        if blocks == NULL or nbytes == 0:
            blocks = _first_alloc(self, nbytes)
        pool_enter(&section, self)
        p = pool_alloc(blocks, nbytes)
        if p == NULL:
            p = NULL if PyErr_Occurred() else pool_alloc_own(blocks, nbytes)
        self.size = blocks.size
        pool_leave(&section)
        if p == NULL:
            _no_memory(number, size, "Pool.alloc")
        return p

    cdef void* realloc(self, void* addr, size_t n) except NULL:
        """Make the block at addr n bytes, and return where it is now; what is new is zero.

        Raises ValueError if it is no block of this Pool or has n bytes or more,
        OutOfMemoryError; the block is as it was then.
        """
        cdef pool_t* blocks = <pool_t*>self._blocks
        cdef void* p = addr
        cdef int error = POOL_EUNKNOWN
        cdef pool_section section
        if blocks != NULL:
            pool_enter(&section, self)
            error = pool_realloc(blocks, &p, n)
            self.size = blocks.size
            pool_leave(&section)
        if error == POOL_OK:
            return p
        if error == POOL_ENOMEM:
            _no_memory(1, n, "Pool.realloc")
        if error == POOL_EUNKNOWN:
            raise ValueError(f"no block of this Pool starts at {<size_t>addr:#x}")
        raise ValueError(f"Pool.realloc makes blocks larger only: {n} bytes")

    cdef void free(self, void* addr) except *:
        """Free the block at addr now. Raises KeyError(addr) if there is none in this Pool."""
        cdef pool_t* blocks = <pool_t*>self._blocks
        cdef int error = POOL_EUNKNOWN
        cdef pool_section section
        if blocks != NULL:
            pool_enter(&section, self)
            error = pool_free(blocks, addr)
            self.size = blocks.size
            pool_leave(&section)
        if error != POOL_OK:
            raise KeyError(<size_t>addr)

    @property
    def addresses(self):
        """The blocks in use: a new dict of address to size in bytes, in no order."""
        cdef pool_t* blocks = <pool_t*>self._blocks
        cdef pool_block* found
        cdef size_t nr, i
        cdef pool_section section
        if blocks == NULL:
            return {}
        pool_enter(&section, self)
        nr = pool_blocks(blocks, NULL, 0)
        found = <pool_block*>PyMem_Malloc(nr * sizeof(pool_block))
        if found != NULL:
            pool_blocks(blocks, found, nr)  # before anything of Python's runs
        pool_leave(&section)
        if found == NULL:
            raise MemoryError(f"the addresses of {nr} blocks")
        try:
            return {<size_t>found[i].p: found[i].size for i in range(nr)}
        finally:
            PyMem_Free(found)

    def own_pyref(self, py_ref):
        """Keep a Python object as long as the Pool."""
        self.refs.append(py_ref)


cdef pool_t* _first_alloc(Pool pool, size_t nbytes) except NULL:
    """What is not for every allocation: the first one, and those of 0 bytes."""
    cdef pool_t* made
    cdef pool_section section
    cdef bint own = pool.pymalloc is not _default_malloc or pool.pyfree is not _default_free
    if nbytes == 0 and _module_names["WARN_ZERO_ALLOC"]:
        warnings.warn("Pool.alloc of 0 bytes", stacklevel=1)
    if pool._blocks == NULL:
        made = pool_create(
            <pyslab_arena*>pool._arena,
            <pool_malloc>pool.pymalloc.malloc if own else NULL,
            <pool_mfree>pool.pyfree.free if own else NULL,
        )
        if made == NULL:
            _no_memory(1, nbytes, "Pool.alloc")
        pool_enter(&section, pool)
        if pool._blocks == NULL:
            pool._blocks = made
            made = NULL
        pool_leave(&section)
        if made != NULL:  # a callback of the arena, or another thread, has used the Pool
            pool_destroy(made)
    return <pool_t*>pool._blocks


cdef class Address:
    """A block of number * size zero bytes that goes with the object.

    Its memory is the default arena's, or of pymalloc and pyfree. Raises OutOfMemoryError,
    also when the product overflows.
    """

    def __cinit__(
        self,
        size_t number,
        size_t size,
        PyMalloc pymalloc not None=Default_Malloc,
        PyFree pyfree not None=Default_Free,
    ):
        cdef size_t nbytes
        self._release = NULL
        self.pymalloc = pymalloc
        self.pyfree = pyfree
        if mul_overflow(number, size, &nbytes):
            _no_memory(number, size, "Address")
        if pymalloc is not _default_malloc or pyfree is not _default_free:
            _check_functions(pymalloc, pyfree)
            self.ptr = pymalloc.malloc(nbytes)
            if self.ptr != NULL:
                memset(self.ptr, 0, nbytes)
                self._release = pyfree.free
        elif pyslab_default_arena() != NULL:
            # 0 bytes have an address of their own too
            self.ptr = pyslab_kzalloc(pyslab_default_arena(), nbytes or 1, PYSLAB_GFP_KERNEL)
        if self.ptr == NULL:
            _no_memory(number, size, "Address")

    @property
    def addr(self):
        """The address of the block."""
        return <size_t>self.ptr

    def __dealloc__(self):
        if self.ptr == NULL:
            return
        if self._release != NULL:
            self._release(self.ptr)
        else:
            pyslab_kfree(pyslab_default_arena(), self.ptr)
