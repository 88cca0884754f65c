/* window_view.h - the views that kmap gives: a kind of Buffer, over frames in a slot of a Window
 * or where they always are.
 *
 * A view has a reference on the block of frames. One in a slot has its Window (`keep`) and a
 * count of the slot as well; one of frames that have an address has neither. `place` is the
 * block's first frame. When a view ends is decided as for every Buffer: see buffer.h.
 */
#ifndef PYTHON_WINDOW_VIEW_H
#define PYTHON_WINDOW_VIEW_H

#include "python/pages/page_object.h"
#include "python/window/window_object.h"

/* What a kmap is about. */
struct kmap_args {
    PageObject *page;
    Py_ssize_t index;  /* of the frame in it */
    PyObject *timeout; /* None, or a number of seconds that may be waited; borrowed */
};

/* A slot shows an aligned run of 2**order frames. This is the part that belongs to the page. */
struct run_part {
    uint32_t run;   /* number of the aligned run */
    uint32_t first; /* frame */
    uint32_t nr;    /* frames */
};

extern const struct buffer_ops window_view_ops;

/* False with an exception set if the page or its frame does not exist, or the arena takes no
 * requests for it. */
bool kmap_is_possible(const ArenaObject *arena, const struct kmap_args *args);
/* The part of the page in the run of its frame, for slots of this order. */
struct run_part run_part_of(const struct kmap_args *args, unsigned order);
/* The same, without an exception. */
bool kmap_args_are_valid(const ArenaObject *arena, const struct kmap_args *args);
/* A view of frames that have an address; NULL with MemoryError set.
 * pre: kmap_args_are_valid, and the frames have an address */
PyObject *view_of_address(ArenaObject *arena, const struct kmap_args *args, unsigned order);
/* A view of the run in the slot; NULL with MemoryError set. pre: kmap_args_are_valid, the window
 * is open, has room on its stack if it is local, and the slot shows part->run */
PyObject *view_of_slot(WindowObject *self, const struct kmap_args *args,
                       const struct run_part *part, uint32_t slot);

#endif
