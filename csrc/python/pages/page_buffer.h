/* page_buffer.h - Buffers over a block of frames that has an address. */
#ifndef PYTHON_PAGE_BUFFER_H
#define PYTHON_PAGE_BUFFER_H

#include "python/buffer/buffer.h"

/* Takes over one reference of the block. NULL with MemoryError set: it was dropped.
 * pre: the frames have an address */
PyObject *page_buffer_new(ArenaObject *arena, uint32_t pfn, Py_ssize_t nbytes);

#endif
