/* region_end.h - how a Region goes back to a mark, and comes to its end.
 *
 * Going back ends the entries behind a mark, youngest first: callables are called and children
 * closed; then the Buffers are released; then the core goes back. A view of any Buffer concerned,
 * children's included, is a BufferError, and nothing has changed; a close() that was refused for
 * that is made up for when the last view goes.
 */
#ifndef PYTHON_REGION_END_H
#define PYTHON_REGION_END_H

#include "python/region/region_object.h"

/* An exception that waits while others may be raised. */
struct saved_error {
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
};

/* Back to a live mark, or to the beginning (mark 0). 0, or -1 with an exception set: BufferError,
 * and nothing was given back; or what a callable raised, after all of it was done.
 * pre: idle, not closed */
int region_object_go_back(RegionObject *self, const char *call, uint64_t mark);
/* The same to the beginning, for ever; again: nothing. PyslabError if it is not idle. */
int region_object_close(RegionObject *self, const char *call);
/* Closes the outermost of the region and its parents that waits for its last view to go, if
 * that has gone. What is raised is reported as unraisable. */
void region_close_waiting(RegionObject *self);
/* Ends the use of a Buffer; one that was ever exported keeps the memory and lingers.
 * pre: it has no views */
void region_end_buffer(RegionObject *self, BufferObject *buffer);

#endif
