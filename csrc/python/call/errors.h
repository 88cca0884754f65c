/* errors.h - pyslab's exceptions, raised from C. */
#ifndef PYTHON_ERRORS_H
#define PYTHON_ERRORS_H

#include "python/arena/arena_object.h"

/* Sets OutOfMemoryError with the request, the zones' state (not with GFP.NOWARN) and one
 * hint, unless a callback's exception is set already. Returns NULL. align: 0 if none was asked
 * for. */
void *raise_out_of_memory(ArenaObject *arena, size_t nbytes, size_t align, uint32_t gfp);
/* The same for vmalloc, which takes frames from the high zones alone: the arena's own, or those
 * of the side arena that an arena without high zones has for it. */
void *raise_out_of_high_memory(ArenaObject *arena, size_t nbytes, uint32_t gfp);
/* Called after a failure. True if the mask has GFP.NOFAIL, a moment has passed without the GIL,
 * and nothing (a signal's exception, close()) speaks against trying again. */
bool nofail_again(ArenaObject *arena, uint32_t gfp);
/* The exception class of a core error code; borrowed. */
PyObject *exception_of_code(int code);
/* Sets the exception of a core error code about an address; NULL. */
void *raise_code(int code, const char *what, const void *p);

#endif
