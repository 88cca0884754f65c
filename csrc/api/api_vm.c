/* api_vm.c - the functions of pyslab.h about vmalloc: argument checks, nothing else. */
#include "arena/arena.h"

#include "os/os.h"

void *pyslab_vmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    struct vm *vm = arena_vm(arena, true);
    void *p = NULL;

    return vm != NULL && vm_alloc(vm, size, gfp, &p) == PYSLAB_OK ? p : NULL;
}

void *pyslab_vzalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return pyslab_vmalloc(arena, size, gfp | PYSLAB_GFP_ZERO);
}

void *pyslab_vm_ring(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    struct vm *vm = arena_vm(arena, true);
    void *p = NULL;

    if (vm == NULL || size % PAGE_SIZE != 0)
        return NULL;
    return vm_ring(vm, size, gfp, &p) == PYSLAB_OK ? p : NULL;
}

void *pyslab_vmap(pyslab_arena *arena, const uint32_t *pfn, uint32_t nr)
{
    void *p = NULL;

    return vm_map(&arena->vm, pfn, nr, &p) == PYSLAB_OK ? p : NULL;
}

int pyslab_vfree(pyslab_arena *arena, void *p)
{
    struct vm *vm = arena_vm(arena, false);

    if (p == NULL)
        return PYSLAB_OK;
    return vm == NULL ? PYSLAB_EPOINTER : vm_free(vm, p);
}

int pyslab_vunmap(pyslab_arena *arena, void *p)
{
    return pyslab_vfree(arena, p);
}

size_t pyslab_vsize(pyslab_arena *arena, const void *p)
{
    struct vm *vm = arena_vm(arena, false);

    return vm == NULL ? 0 : vm_size(vm, p);
}

void *pyslab_kvmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    uint32_t lightly = PYSLAB_GFP_NORETRY | PYSLAB_GFP_NOWARN;
    void *p = size <= PAGE_SIZE ? pyslab_kmalloc(arena, size, gfp)
                                : pyslab_kmalloc(arena, size, gfp | lightly);

    return p != NULL || size <= PAGE_SIZE ? p : pyslab_vmalloc(arena, size, gfp);
}

int pyslab_kvfree(pyslab_arena *arena, void *p)
{
    return pyslab_vsize(arena, p) != 0 ? pyslab_vfree(arena, p) : pyslab_kfree(arena, p);
}

int pyslab_arena_vm_area(pyslab_arena *arena, uint32_t index, pyslab_vm_area *out)
{
    struct vm *vm = arena_vm(arena, false);

    return vm != NULL && vm_area_info(vm, index, out) ? PYSLAB_OK : PYSLAB_EINVAL;
}

void pyslab_arena_vm_stats(pyslab_arena *arena, pyslab_vm_stats *out)
{
    struct vm *vm = arena_vm(arena, false);

    vm_stats(vm != NULL ? vm : &arena->vm, out);
}

int pyslab_arena_flush(pyslab_arena *arena)
{
    const struct frame_map *map = &arena->pages.map;

    return map->high_is_disk ? os_file_sync(map->high_fd) : PYSLAB_OK;
}
