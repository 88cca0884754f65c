/* functions.h - the list of the table's functions, in the order of struct pyslab_api.
 *
 * What it is: a list that is included several times, hence without an include guard. Whoever
 * includes it first defines, by the macros below, what becomes of an entry: api.h makes fields of
 * a struct, client.h wrappers, and the library its table.
 * What it is not: what the functions do; pyslab.h says that.
 *
 *     PYSLAB_FN(type, name, parameters, arguments)    pyslab_<name>
 *     PYSLAB_PROC(name, parameters, arguments)        the same, returns nothing
 *     PYSLAB_INLINE(type, name, parameters)           client.h has an inline function for it
 *     PYSLAB_STATS(name, owner, struct)               pyslab_<name>(owner *, struct *)
 *     PYSLAB_STATS_AT(name, owner, struct)            pyslab_<name>(owner *, index, struct *)
 *
 * In the table the last two take the size of the caller's struct as well: a later version may have
 * added fields at its end, so that the library's struct is longer or shorter than the caller's.
 *
 * Invariant: entries are only ever appended. What a new ABI minor adds comes last, inside
 * #if PYSLAB_TARGET_ABI_MINOR >= that minor; nothing moves or goes before the next major.
 */
/* clang-format off */

/* --- arena ----------------------------------------------------------------- */
PYSLAB_FN(int, arena_create, (const pyslab_arena_options *options, pyslab_arena **out),
          (options, out))
PYSLAB_FN(pyslab_arena *, default_arena, (void), ())
PYSLAB_PROC(arena_get, (pyslab_arena *arena), (arena))
PYSLAB_FN(int, arena_put, (pyslab_arena *arena), (arena))
PYSLAB_FN(int, arena_destroy, (pyslab_arena *arena), (arena))
PYSLAB_FN(int, arena_validate, (pyslab_arena *arena, char *message, size_t message_bytes),
          (arena, message, message_bytes))
PYSLAB_STATS(arena_stats_read, pyslab_arena, pyslab_arena_stats)
PYSLAB_FN(uint64_t, arena_release_unused, (pyslab_arena *arena), (arena))
PYSLAB_STATS_AT(arena_zone_stats, pyslab_arena, pyslab_zone_stats)
PYSLAB_FN(uint32_t, arena_vm_events, (pyslab_arena *arena, uint64_t *counts, uint32_t nr),
          (arena, counts, nr))
PYSLAB_PROC(arena_set_limit, (pyslab_arena *arena, uint64_t bytes), (arena, bytes))
PYSLAB_FN(uint64_t, arena_limit, (const pyslab_arena *arena), (arena))
PYSLAB_FN(uint64_t, arena_used, (const pyslab_arena *arena), (arena))
PYSLAB_PROC(arena_set_oom, (pyslab_arena *arena, int (*oom)(size_t nbytes, uint32_t zone, void
          *context), void *context),
          (arena, oom, context))
PYSLAB_FN(int, register_shrinker, (pyslab_arena *arena, const pyslab_shrinker_options *options,
          pyslab_shrinker **out),
          (arena, options, out))
PYSLAB_PROC(unregister_shrinker, (pyslab_shrinker *shrinker), (shrinker))
PYSLAB_FN(int, arena_buddyinfo, (pyslab_arena *arena, uint32_t zone, uint64_t *nr_free, uint32_t
          nr),
          (arena, zone, nr_free, nr))
PYSLAB_FN(void *, arena_base, (const pyslab_arena *arena), (arena))
PYSLAB_FN(uint64_t, arena_size, (const pyslab_arena *arena), (arena))
PYSLAB_FN(uint32_t, arena_max_order, (const pyslab_arena *arena), (arena))
/* --- kmalloc --------------------------------------------------------------- */
PYSLAB_FN(void *, kmalloc, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(void *, kzalloc, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(void *, kmalloc_aligned, (pyslab_arena *arena, size_t size, size_t align, uint32_t gfp),
          (arena, size, align, gfp))
PYSLAB_FN(void *, krealloc, (pyslab_arena *arena, void *p, size_t size, uint32_t gfp),
          (arena, p, size, gfp))
PYSLAB_FN(size_t, ksize, (pyslab_arena *arena, const void *p), (arena, p))
PYSLAB_FN(int, kfree, (pyslab_arena *arena, void *p), (arena, p))
PYSLAB_FN(size_t, kmalloc_size_roundup, (const pyslab_arena *arena, size_t size), (arena, size))
PYSLAB_FN(int, kmalloc_prealloc, (pyslab_arena *arena, size_t size, size_t nr), (arena, size, nr))
/* --- page frames ----------------------------------------------------------- */
PYSLAB_FN(int, gfp_zone, (const pyslab_arena *arena, uint32_t gfp), (arena, gfp))
PYSLAB_FN(uint32_t, alloc_pages, (pyslab_arena *arena, uint32_t order, uint32_t gfp),
          (arena, order, gfp))
PYSLAB_FN(int, free_pages, (pyslab_arena *arena, uint32_t pfn, uint32_t order),
          (arena, pfn, order))
PYSLAB_FN(void *, get_free_pages, (pyslab_arena *arena, uint32_t order, uint32_t gfp),
          (arena, order, gfp))
PYSLAB_FN(int, free_pages_address, (pyslab_arena *arena, void *p, uint32_t order),
          (arena, p, order))
PYSLAB_FN(uint32_t, alloc_pages_bulk, (pyslab_arena *arena, uint32_t gfp, uint32_t nr, uint32_t
          *pfn),
          (arena, gfp, nr, pfn))
PYSLAB_FN(void *, alloc_pages_exact, (pyslab_arena *arena, size_t size, uint32_t gfp),
          (arena, size, gfp))
PYSLAB_FN(void *, alloc_contig, (pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t
          nocross, uint32_t gfp),
          (arena, nr_pages, align, nocross, gfp))
PYSLAB_FN(void *, reserve_range, (pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages),
          (arena, pfn, nr_pages))
PYSLAB_FN(uint32_t, alloc_run, (pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t
          nocross, uint32_t gfp),
          (arena, nr_pages, align, nocross, gfp))
PYSLAB_FN(uint32_t, reserve_run, (pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages),
          (arena, pfn, nr_pages))
PYSLAB_FN(uint32_t, page_nr_pages, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(int, split_page, (pyslab_arena *arena, uint32_t pfn, uint32_t order),
          (arena, pfn, order))
PYSLAB_FN(int, get_page, (pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(int, put_page, (pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(uint32_t, page_count, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(uint32_t, page_order, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(uint32_t, page_state, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(void *, page_address, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(uint32_t, page_to_zone, (const pyslab_arena *arena, uint32_t pfn), (arena, pfn))
PYSLAB_FN(uint32_t, virt_to_pfn, (const pyslab_arena *arena, const void *p), (arena, p))
/* --- vmalloc --------------------------------------------------------------- */
PYSLAB_FN(void *, vmalloc, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(void *, vzalloc, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(void *, vmap, (pyslab_arena *arena, const uint32_t *pfn, uint32_t nr), (arena, pfn, nr))
PYSLAB_FN(void *, vm_ring, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(int, vfree, (pyslab_arena *arena, void *p), (arena, p))
PYSLAB_FN(int, vunmap, (pyslab_arena *arena, void *p), (arena, p))
PYSLAB_FN(size_t, vsize, (pyslab_arena *arena, const void *p), (arena, p))
PYSLAB_FN(void *, kvmalloc, (pyslab_arena *arena, size_t size, uint32_t gfp), (arena, size, gfp))
PYSLAB_FN(int, kvfree, (pyslab_arena *arena, void *p), (arena, p))
PYSLAB_STATS_AT(arena_vm_area, pyslab_arena, pyslab_vm_area)
PYSLAB_STATS(arena_vm_stats, pyslab_arena, pyslab_vm_stats)
PYSLAB_FN(int, window_create, (pyslab_arena *arena, uint32_t nr_slots, uint32_t order,
          pyslab_window **out),
          (arena, nr_slots, order, out))
PYSLAB_FN(void *, window_map, (pyslab_window *window, uint32_t slot, uint32_t pfn),
          (window, slot, pfn))
PYSLAB_FN(int, window_unmap, (pyslab_window *window, uint32_t slot, uint32_t nr),
          (window, slot, nr))
PYSLAB_PROC(window_destroy, (pyslab_window *window), (window))
PYSLAB_FN(int, arena_flush, (pyslab_arena *arena), (arena))
/* --- kmem_cache ------------------------------------------------------------ */
PYSLAB_FN(int, kmem_cache_create, (pyslab_arena *arena, const char *name, size_t size, const
          pyslab_cache_options *options, pyslab_kmem_cache **out),
          (arena, name, size, options, out))
PYSLAB_FN(void *, kmem_cache_alloc, (pyslab_kmem_cache *cache, uint32_t gfp), (cache, gfp))
PYSLAB_FN(int, kmem_cache_free, (pyslab_kmem_cache *cache, void *p), (cache, p))
PYSLAB_FN(size_t, kmem_cache_alloc_bulk, (pyslab_kmem_cache *cache, uint32_t gfp, size_t nr, void
          **p),
          (cache, gfp, nr, p))
PYSLAB_FN(size_t, kmem_cache_free_bulk, (pyslab_kmem_cache *cache, size_t nr, void **p),
          (cache, nr, p))
PYSLAB_FN(pyslab_sheaf *, kmem_cache_prefill_sheaf, (pyslab_kmem_cache *cache, uint32_t gfp,
          size_t nr),
          (cache, gfp, nr))
PYSLAB_FN(void *, kmem_cache_alloc_from_sheaf, (pyslab_kmem_cache *cache, pyslab_sheaf *sheaf),
          (cache, sheaf))
PYSLAB_PROC(kmem_cache_return_sheaf, (pyslab_kmem_cache *cache, pyslab_sheaf *sheaf),
          (cache, sheaf))
PYSLAB_FN(pyslab_kmem_cache *, kmem_cache_of, (pyslab_arena *arena, const void *p), (arena, p))
PYSLAB_FN(const char *, kmem_cache_name, (const pyslab_kmem_cache *cache), (cache))
PYSLAB_FN(size_t, kmem_cache_live_objects, (pyslab_kmem_cache *cache, void **p, size_t nr),
          (cache, p, nr))
PYSLAB_FN(uint64_t, kmem_cache_shrink, (pyslab_kmem_cache *cache), (cache))
PYSLAB_FN(int, kmem_cache_prealloc, (pyslab_kmem_cache *cache, size_t nr), (cache, nr))
PYSLAB_FN(int, kmem_cache_destroy, (pyslab_kmem_cache *cache), (cache))
PYSLAB_STATS(kmem_cache_stats, pyslab_kmem_cache, pyslab_cache_stats)
PYSLAB_STATS_AT(arena_cache_stats, pyslab_arena, pyslab_cache_stats)
/* --- mempool --------------------------------------------------------------- */
PYSLAB_FN(int, mempool_create, (pyslab_kmem_cache *cache, size_t min_nr, pyslab_mempool **out),
          (cache, min_nr, out))
PYSLAB_FN(void *, mempool_alloc, (pyslab_mempool *pool, uint32_t gfp), (pool, gfp))
PYSLAB_FN(int, mempool_free, (pyslab_mempool *pool, void *p), (pool, p))
PYSLAB_FN(int, mempool_resize, (pyslab_mempool *pool, size_t min_nr), (pool, min_nr))
PYSLAB_FN(int, mempool_destroy, (pyslab_mempool *pool), (pool))
PYSLAB_STATS(mempool_stats_read, pyslab_mempool, pyslab_mempool_stats)
/* --- regions --------------------------------------------------------------- */
PYSLAB_FN(int, region_create, (pyslab_arena *arena, size_t size_hint, pyslab_region **out),
          (arena, size_hint, out))
PYSLAB_FN(int, region_create_child, (pyslab_region *region, pyslab_region **out), (region, out))
PYSLAB_INLINE(void *, region_alloc, (pyslab_region *region, size_t size)) /* in client.h */
PYSLAB_FN(void *, region_alloc_aligned, (pyslab_region *region, size_t size, size_t align),
          (region, size, align))
PYSLAB_FN(void *, region_zalloc, (pyslab_region *region, size_t size), (region, size))
PYSLAB_FN(uint64_t, region_mark, (pyslab_region *region), (region))
PYSLAB_FN(int, region_rewind, (pyslab_region *region, uint64_t mark), (region, mark))
PYSLAB_FN(int, region_reset, (pyslab_region *region), (region))
PYSLAB_FN(int, region_on_exit, (pyslab_region *region, pyslab_region_exit fn, void *context),
          (region, fn, context))
PYSLAB_FN(int, region_destroy, (pyslab_region *region), (region))
PYSLAB_STATS(region_stats_read, const pyslab_region, pyslab_region_stats)
/* --- the library ----------------------------------------------------------- */
PYSLAB_FN(const char *, strerror, (int error), (error))
PYSLAB_FN(uint64_t, physical_bytes, (void), ())
/* --- kmalloc: arrays, copies, secrets -------------------------------------- */
PYSLAB_FN(void *, kmalloc_array, (pyslab_arena *arena, size_t n, size_t size, uint32_t gfp),
          (arena, n, size, gfp))
PYSLAB_FN(void *, kcalloc, (pyslab_arena *arena, size_t n, size_t size, uint32_t gfp),
          (arena, n, size, gfp))
PYSLAB_FN(void *, krealloc_array, (pyslab_arena *arena, void *p, size_t n, size_t size,
          uint32_t gfp),
          (arena, p, n, size, gfp))
PYSLAB_FN(void *, kmemdup, (pyslab_arena *arena, const void *src, size_t size, uint32_t gfp),
          (arena, src, size, gfp))
PYSLAB_FN(int, kfree_sensitive, (pyslab_arena *arena, void *p), (arena, p))
/* --- leaks ----------------------------------------------------------------- */
PYSLAB_FN(int, arena_track, (pyslab_arena *arena), (arena))
PYSLAB_FN(size_t, arena_leaks, (pyslab_arena *arena, char *text, size_t bytes),
          (arena, text, bytes))
/* --- debugging ------------------------------------------------------------- */
PYSLAB_PROC(set_corruption_handler, (pyslab_arena *arena, pyslab_on_corruption handler,
            void *context),
            (arena, handler, context))
PYSLAB_FN(size_t, corruption_text, (const pyslab_corruption *found, char *text, size_t bytes),
          (found, text, bytes))
PYSLAB_FN(uint64_t, kmem_cache_validate, (pyslab_kmem_cache *cache), (cache))
PYSLAB_STATS(arena_debug_stats, pyslab_arena, pyslab_debug_stats)
/* --- shared arenas --------------------------------------------------------- */
PYSLAB_FN(int, share_export, (pyslab_arena *arena, const void *p, uint32_t uses,
          pyslab_handle *out),
          (arena, p, uses, out))
PYSLAB_FN(int, share_open, (const pyslab_handle *handle, pyslab_shared_block *out), (handle, out))
PYSLAB_FN(int, share_close, (const pyslab_shared_block *block), (block))
PYSLAB_FN(int, share_pass_on, (const pyslab_shared_block *block, uint32_t uses,
          pyslab_handle *out),
          (block, uses, out))
PYSLAB_FN(int, share_revoke, (const pyslab_handle *handle), (handle))
PYSLAB_FN(int, share_descriptors, (pyslab_arena *arena, int *heap_fd, int *table_fd),
          (arena, heap_fd, table_fd))
PYSLAB_FN(int, share_attach, (int heap_fd, int table_fd, uint32_t writable, pyslab_heap **out),
          (heap_fd, table_fd, writable, out))
PYSLAB_FN(int, share_attach_process, (int pid, const uint64_t *heap_id, uint32_t writable,
          pyslab_heap **out),
          (pid, heap_id, writable, out))
PYSLAB_FN(int, share_detach, (pyslab_heap *heap), (heap))
PYSLAB_FN(uint64_t, share_reap, (pyslab_arena *arena), (arena))
PYSLAB_FN(int, share_reap_heap, (pyslab_heap *heap, uint64_t *bytes), (heap, bytes))
PYSLAB_FN(int, share_owner_is_alive, (pyslab_heap *heap), (heap))
PYSLAB_FN(int, share_holders, (pyslab_arena *arena, const void *p, uint32_t *nr_clients,
          uint32_t *nr_handles),
          (arena, p, nr_clients, nr_handles))
PYSLAB_STATS(share_stats_read, pyslab_arena, pyslab_share_stats)
/* --- calls that are made to fail ------------------------------------------- */
PYSLAB_FN(int, failing_begin, (pyslab_arena *arena, const pyslab_failing_options *options,
          pyslab_failing **out),
          (arena, options, out))
PYSLAB_STATS(failing_read, pyslab_failing, pyslab_failing_stats)
PYSLAB_PROC(failing_end, (pyslab_failing *failing), (failing))
PYSLAB_FN(int, share_drop_inherited, (pyslab_arena *arena), (arena))
PYSLAB_STATS(arena_kfence_stats, pyslab_arena, pyslab_kfence_stats)
