/* kmalloc_buffer.h - Buffers over memory of kmalloc, which alone can be resized. */
#ifndef PYTHON_KMALLOC_BUFFER_H
#define PYTHON_KMALLOC_BUFFER_H

#include "python/buffer/buffer.h"

/* Also of runs of frames that the core has made large blocks of kmalloc. */
extern const struct buffer_ops kmalloc_buffer_ops;

/* What krealloc does: 0, or -1 with an exception set and nothing changed. */
int buffer_resize(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp);

#endif
