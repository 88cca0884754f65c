/* vm_fork.h - what a forked child gets of high memory.
 *
 * What it is: mappings of high memory show pages of a file, which fork leaves shared: without
 * more, a child's writes to a vmalloc area, a ring, or a high page that was mapped would appear
 * in its parent. So in the child each such mapping becomes private before anything else runs
 * there: what the child writes is its own, and a page that neither has written since the fork
 * goes on showing what its parent has there. A ring, which shows the same frames twice, becomes
 * a copy, so that both halves still agree.
 * What it is not: a way to allocate in the child: high frames stay the parent's (EFORKED).
 * Lock: the fork handlers hold the vm's lock, and that of the list of remaps (remap.h).
 */
#ifndef VM_VM_FORK_H
#define VM_VM_FORK_H

#include "vm/vmalloc.h"

/* Makes all areas private. pre: the caller holds vm->lock */
void vm_make_private_locked(struct vm *vm);

#endif
