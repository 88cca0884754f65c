/* numpy_api.h - what pyslab uses of NumPy's C API: handlers of array data (NEP 49).
 *
 * What it is: NumPy's structs, and the entries of its table, looked up when they are first
 * needed, since pyslab is built without NumPy.
 * What it is not: a handler (numpy_handler.c), or a change of NumPy's own (numpy_process.c).
 * Lock: the GIL.
 */
#ifndef PYTHON_NUMPY_API_H
#define PYTHON_NUMPY_API_H

#include "python/module/objects.h"

#define HANDLER_NAME "mem_handler" /* the name of a handler's capsule, which NumPy looks for */
#define HANDLER_VERSION 1

/* NumPy's PyDataMemAllocator (numpy/ndarraytypes.h). */
struct numpy_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t nr, size_t size);
    void *(*realloc)(void *context, void *p, size_t size);
    void (*free)(void *context, void *p, size_t size);
};

/* NumPy's PyDataMem_Handler, version 1. */
struct numpy_handler {
    char name[127];
    uint8_t version;
    struct numpy_allocator allocator;
};

struct numpy_api {
    PyObject *(*set_handler)(PyObject *capsule); /* of this context; gives the one before */
    struct numpy_handler *standard; /* the handler of contexts that have set none; NumPy's */
    struct numpy_allocator own;     /* its functions as they were when they were looked up */
};

/* Filled by numpy_load(), and constant from then on. */
extern struct numpy_api numpy_api;

/* Looks everything up, once. False with an exception set: there is no NumPy, or one that does not
 * have what is needed where it is expected. */
bool numpy_load(void);
/* NumPy's table of functions, which stays as long as the process; NULL with an exception set, as
 * above. The highest byte of its binary interface's version. */
void *const *numpy_table(void);
unsigned numpy_abi_major(void *const *table);

#endif
