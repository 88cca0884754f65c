/* vm_debug.h - areas of vmalloc in an arena whose text has debug flags for "vmalloc".
 *
 * What it is: with Z a red zone from the end of what was asked for to the end of the last frame,
 * behind which the guard page follows; vm_size is then the size that was asked for. With P the
 * addresses of a freed area are unmapped at once, so that a later access stops the program. With U
 * the stack of the allocation. With F a wrong vfree is reported.
 * What it is not: on the way of other arenas: their vm.debug_flags is 0, and each tail is 0.
 * Lock: as vmalloc.h has it; what was found is reported without one.
 */
#ifndef VM_VM_DEBUG_H
#define VM_VM_DEBUG_H

#include "slab/debug.h"
#include "vm/vmalloc.h"

/* How the areas of an arena are looked at. Before the first is made. */
void vm_debug_start(struct vm *vm, struct arena_debug *debug);
/* A new area is for so many bytes: makes the rest of it red. pre: bytes <= vm_area_bytes */
void vm_debug_made(struct vm *vm, struct vm_area *area, size_t bytes);
/* Looks at the red zone of an area that was just taken out of the table, and reports. */
void vm_debug_freed(struct vm *vm, const struct vm_area *area);
/* Reports p, which starts no area. */
void vm_debug_wrong_free(struct vm *vm, const void *p);
/* Looks at all areas, reports and repairs. False: something was found; f gets the first. */
bool vm_debug_validate(struct vm *vm, struct finding *f);

#endif
