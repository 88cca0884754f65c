/* region_buffer.h - the Buffers of a Region, whose memory the region gives back. */
#ifndef PYTHON_REGION_BUFFER_H
#define PYTHON_REGION_BUFFER_H

#include "python/buffer/buffer.h"

extern const struct buffer_ops region_buffer_ops;

#endif
