/* left.h - heaps that nobody can make use of any more.
 *
 * What it is: a question about an attached heap: its owner is gone, nobody holds a block of it, and
 * no handle of one is on its way, so that no block of it will ever be opened again. Without an
 * answer a process that hears from many short-lived ones would keep a descriptor, a mapping and the
 * memory of each.
 * What it is not: the heir, who gives back what nobody holds while others hold the rest (heir.h).
 * Lock: the caller's; share_lock.
 */
#ifndef SHARE_LEFT_H
#define SHARE_LEFT_H

#include "share/heap.h"

/* Also clears the rows of dead clients, at most once a second. False for a heap that is this
 * process's own, that the program has attached, or of which it holds something. */
bool share_heap_is_left_locked(struct pyslab_heap *heap);

#endif
