/* api_share.c - the functions of pyslab.h for shared arenas: argument checks.
 * What it is not: the work (share/share.h, share/heap.h). Lock: none. */
#include "arena/arena.h"

#include <string.h>

int pyslab_share_export(pyslab_arena *arena, const void *p, uint32_t uses, pyslab_handle *out)
{
    return arena->share == NULL || out == NULL ? PYSLAB_EINVAL
                                               : share_export_block(arena->share, p, uses, out);
}

int pyslab_share_open(const pyslab_handle *handle, pyslab_shared_block *out)
{
    return handle == NULL || out == NULL ? PYSLAB_EINVAL : share_handle_open(handle, out);
}

int pyslab_share_close(const pyslab_shared_block *block)
{
    return block == NULL || block->heap == NULL ? PYSLAB_EINVAL : share_block_close(block);
}

int pyslab_share_pass_on(const pyslab_shared_block *block, uint32_t uses, pyslab_handle *out)
{
    return block == NULL || block->heap == NULL || out == NULL
               ? PYSLAB_EINVAL
               : share_block_pass_on(block, uses, out);
}

int pyslab_share_revoke(const pyslab_handle *handle)
{
    return handle == NULL ? PYSLAB_EINVAL : share_handle_end(handle);
}

int pyslab_share_descriptors(pyslab_arena *arena, int *heap_fd, int *table_fd)
{
    return arena->share == NULL || heap_fd == NULL || table_fd == NULL
               ? PYSLAB_EINVAL
               : share_descriptors(arena->share, heap_fd, table_fd);
}

int pyslab_share_attach(int heap_fd, int table_fd, uint32_t writable, pyslab_heap **out)
{
    return out == NULL ? PYSLAB_EINVAL : share_attach(heap_fd, table_fd, writable != 0, true, out);
}

int pyslab_share_attach_process(int pid, const uint64_t *heap_id, uint32_t writable,
                                pyslab_heap **out)
{
    return out == NULL ? PYSLAB_EINVAL
                       : share_attach_process(pid, heap_id, writable != 0, true, out);
}

int pyslab_share_detach(pyslab_heap *heap)
{
    return heap == NULL ? PYSLAB_OK : share_detach(heap);
}

uint64_t pyslab_share_reap(pyslab_arena *arena)
{
    return arena->share != NULL ? share_collect(arena->share) : 0;
}

int pyslab_share_reap_heap(pyslab_heap *heap, uint64_t *bytes)
{
    return heap == NULL || bytes == NULL ? PYSLAB_EINVAL : share_heap_reap(heap, bytes);
}

int pyslab_share_owner_is_alive(pyslab_heap *heap)
{
    return share_heap_owner_is_alive(heap);
}

int pyslab_share_holders(pyslab_arena *arena, const void *p, uint32_t *nr_clients,
                         uint32_t *nr_handles)
{
    return arena->share == NULL || nr_clients == NULL || nr_handles == NULL
               ? PYSLAB_EINVAL
               : share_block_holders(arena->share, p, nr_clients, nr_handles);
}

int pyslab_share_drop_inherited(pyslab_arena *arena)
{
    if (arena->share == NULL)
        return PYSLAB_EINVAL;
    share_drop_inherited(arena->share);
    return PYSLAB_OK;
}

void pyslab_share_stats_read(pyslab_arena *arena, pyslab_share_stats *out)
{
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    if (arena->share != NULL)
        share_stats(arena->share, out);
}
