/* guards.h - frames without access around large blocks of hardened mode, and how many of them
 * there may be.
 *
 * What it is: each such frame makes the system split a mapping, and a process may have only so
 * many (vm.max_map_count, mostly 65,530): a program at that limit can start no thread and load
 * no library. Hence guards have a budget, a fifth of the limit; areas of vmalloc in the same
 * process take three quarters at most (vm/vmalloc.c), and what is left is always the program's.
 * Blocks beyond the budget do without guards, and keep the words that tell at free what was
 * written to.
 * What it is not: it knows no words or states of blocks (hardened.c).
 *
 * Data structure: a count of mappings.
 * Invariant: count == 4 * blocks that guards_place or guards_close said true for and guards_open
 * did not end yet; count <= budget.
 * Lock: none; the count is atomic.
 */
#ifndef MALLOC_GUARDS_H
#define MALLOC_GUARDS_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the system's limit. At the start, while a sandbox cannot forbid it yet. */
void guards_init(void);
/* pre: base and front are multiples of the page, front + PAGE_SIZE < bytes.
 * Takes the access from the first bytes of a block and from its last page. False: there is no
 * mapping left for it. */
bool guards_place(char *base, size_t front, size_t bytes);
/* Takes access and memory from all of a block. had: what guards_place said. False: the system
 * or the budget refused; at least the content is gone. */
bool guards_close(char *base, size_t bytes, bool had);
/* Gives the access back to a block that guards_close said true for. False: the system refused;
 * the block must not be used again. */
bool guards_open(char *base, size_t bytes);

#endif
