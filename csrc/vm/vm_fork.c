/* vm_fork.c - see vm_fork.h. */
#include "vm/vm_fork.h"

#include "vm/vm_blocks.h"

static void area_make_private(const struct frame_map *map, const struct vm_area *area)
{
    char *at = area->base;

    for (uint32_t i = 0; i < area->nr_blocks;) {
        uint32_t pfn, nr_pages = area_next_run(area, &i, &pfn);
        size_t bytes = (size_t)nr_pages << PAGE_SHIFT;

        os_file_make_private(map->high, at, pfn_to_offset(map, pfn), bytes);
        at += bytes;
    }
}

void vm_make_private_locked(struct vm *vm)
{
    lock_assert_held(&vm->lock);
    /* In a child's child the areas are private already, but for rings: their copy is shared. */
    for (uint32_t i = 0; i < VM_HASH_SIZE; i++)
        for (const struct vm_area *area = vm->hash[i]; area != NULL; area = area->next)
            if (area->nr_copies == 2)
                os_file_make_private_ring(area->base, (size_t)area->nr_pages << PAGE_SHIFT);
            else if (!vm->pages->forked)
                area_make_private(&vm->pages->map, area);
}
