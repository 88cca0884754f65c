/* heap_object.h - pyslab.Heap: the heap of another process, as this one has it attached.
 *
 * What it is: a Heap stands where Buffers have their Arena: it counts the Buffers over its blocks,
 * and they keep it alive. So it begins as an Arena does, with a core arena of NULL: nothing is
 * allocated there. What it is not: the mapping and the table of holders (share/heap.h).
 *
 * Data structure: a pyslab_heap owns a reference to its Heap from the first use by Python until
 * detach(). Invariant: heap->object == self, or heap is NULL: it was detached.
 * Lock: the GIL; without one heap->object is borrowed (call/critical.h), and the rest is the
 * core's.
 */
#ifndef PYTHON_HEAP_OBJECT_H
#define PYTHON_HEAP_OBJECT_H

#include "python/arena/arena_object.h"

typedef struct {
    ArenaObject counts;       /* of Buffers; its core is NULL */
    struct pyslab_heap *heap; /* NULL: detached */
} HeapObject;

/* What a receiver wants to do with a block. */
enum shared_access {
    SHARED_READ,
    SHARED_WRITE,           /* or it is an error */
    SHARED_WRITE_IF_ALLOWED /* by the arena; else to read */
};

/* The Arena or Heap that Buffers over blocks of this heap belong to, a new reference, pinned
 * (arena_object.h). It is attached if it is not yet. pid: of a process that may have its files, or
 * 0. NULL with NotAttachedError or another exception set. */
ArenaObject *heap_owner(const pyslab_handle *handle, int pid, enum shared_access access);
/* The part that this process has in the heap of such an owner; NULL: it was detached, or is not
 * shared. */
struct pyslab_heap *heap_of_owner(const ArenaObject *owner);
/* Both sides allow it to be written to. */
bool heap_is_writable(const struct pyslab_heap *heap);
/* _attach_files(heap_fd, table_fd, writable) and _attach_process(pid, id, writable, asked): a Heap,
 * or the Arena of this process that it turns out to be; or (code, errno). asked: the program does,
 * as for the first, and it stays until detach(). */
PyObject *method_attach_files(PyObject *module, PyObject *args);
PyObject *method_attach_process(PyObject *module, PyObject *args);
PyObject *method_shared_rows(PyObject *module, PyObject *arg);
PyObject *method_detach_left(PyObject *module, PyObject *unused);
/* Has heaps that are left detached from now on, soon after the last block of one was closed. */
void heap_watch(void);
PyTypeObject *heap_type_new(PyObject *module);

#endif
