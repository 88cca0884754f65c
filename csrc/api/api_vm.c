/* api_vm.c - the functions of pyslab.h for vmalloc, windows and the file of high memory: argument
 * checks. What it is not: the work (vm/vmalloc.h, vm/remap.h). Lock: none. */
#include "arena/arena.h"

#include "os/os.h"
#include "os/os_heap.h"
#include "vm/remap.h"

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

/* --- windows ------------------------------------------------------------ */

/* A window of C callers, which has no book of its slots. */
struct window {
    struct remap remap;  /* the slots */
    pyslab_arena *arena; /* whose frames they show; constant */
};

int pyslab_window_create(pyslab_arena *arena, uint32_t nr_slots, uint32_t order,
                         pyslab_window **out)
{
    struct window *window = os_heap_alloc(sizeof *window);
    int error;

    if (window == NULL)
        return PYSLAB_ENOMEM;
    error = remap_create(&window->remap, nr_slots, order, arena->pages.map.nr_mapped);
    if (error != PYSLAB_OK) {
        os_heap_free(window, sizeof *window);
        return error;
    }
    window->arena = arena;
    *out = window;
    return PYSLAB_OK;
}

void *pyslab_window_map(pyslab_window *window, uint32_t slot, uint32_t pfn)
{
    const struct page_alloc *pages = &window->arena->pages;
    struct remap *remap = &window->remap;
    uint32_t run = pfn >> remap->order;

    if (slot >= remap->nr_slots || pfn >= pages->map.nr_pages ||
        pfn_has_address(&pages->map, pfn) || pages->forked ||
        remap_unmap(remap, slot, 1) != PYSLAB_OK ||
        remap_map(remap, &pages->map, slot, run, 1, false) != PYSLAB_OK)
        return NULL;
    return remap_address(remap, slot) + ((size_t)(pfn - (run << remap->order)) << PAGE_SHIFT);
}

int pyslab_window_unmap(pyslab_window *window, uint32_t slot, uint32_t nr)
{
    if (nr == 0 || slot >= window->remap.nr_slots || nr > window->remap.nr_slots - slot)
        return PYSLAB_EINVAL;
    return remap_unmap(&window->remap, slot, nr);
}

void pyslab_window_destroy(pyslab_window *window)
{
    if (window == NULL)
        return;
    remap_destroy(&window->remap);
    os_heap_free(window, sizeof *window);
}

/* --- the file of high memory -------------------------------------------- */

int pyslab_arena_flush(pyslab_arena *arena)
{
    const struct frame_map *map = &arena->pages.map;

    return frame_map_is_on_disk(map) ? os_file_sync(map->high) : PYSLAB_OK;
}
