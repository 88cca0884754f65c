/* families_share.h - the part of families.h about shared arenas; families.h includes it. */
#ifndef FAMILIES_SHARE_H
#define FAMILIES_SHARE_H

#include <unistd.h>

/* A process may open its own blocks, and attach its own heap; it stays its own. */
static int sharing(void)
{
    pyslab_arena_options options;
    pyslab_arena *arena = NULL;
    pyslab_heap *heap = NULL;
    pyslab_shared_block block;
    pyslab_share_stats stats;
    pyslab_handle handle, further;
    uint32_t nr_clients = 9, nr_handles = 9;
    int heap_fd = -1, table_fd = -1;
    uint64_t bytes;
    void *p;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.size_bytes = 16 * MIB;
    options.max_order = 10;
    options.shared = PYSLAB_SHARE_READ;
    CHECK(pyslab_arena_create(&options, &arena) == PYSLAB_OK);
    note_arena(arena);
    p = pyslab_kmalloc(arena, MIB, PYSLAB_GFP_KERNEL);
    CHECK(pyslab_share_export(arena, p, 1, &handle) == PYSLAB_OK);
    CHECK(pyslab_share_holders(arena, p, &nr_clients, &nr_handles) == PYSLAB_OK);
    CHECK(nr_clients == 0 && nr_handles == 1);
    CHECK(pyslab_share_open(&handle, &block) == PYSLAB_OK);
    CHECK(block.address == p && block.bytes == MIB);
    CHECK(pyslab_share_pass_on(&block, 1, &further) == PYSLAB_OK);
    CHECK(pyslab_share_revoke(&further) == PYSLAB_OK);
    CHECK(pyslab_share_close(&block) == PYSLAB_OK);
    CHECK(pyslab_share_descriptors(arena, &heap_fd, &table_fd) == PYSLAB_OK);
    CHECK(pyslab_share_attach(heap_fd, table_fd, 0, &heap) == PYSLAB_OK);
    CHECK(pyslab_share_owner_is_alive(heap) != 0);
    CHECK(pyslab_share_reap_heap(heap, &bytes) == PYSLAB_OK && bytes == 0);
    CHECK(pyslab_share_detach(heap) == PYSLAB_EINVAL);
    CHECK(pyslab_share_attach_process((int)getpid(), NULL, 0, &heap) == PYSLAB_OK);
    CHECK(close(heap_fd) == 0 && close(table_fd) == 0);
    pyslab_share_stats_read(arena, &stats);
    CHECK(stats.nr_deferred == 0 && stats.nr_fork_deferred == 0);
    CHECK(pyslab_share_drop_inherited(arena) == PYSLAB_OK);
    CHECK(pyslab_kfree(arena, p) == PYSLAB_OK);
    CHECK(pyslab_share_reap(arena) == 0);
    CHECK(end_arena(arena) == PYSLAB_OK);
    return 0;
}

#endif
