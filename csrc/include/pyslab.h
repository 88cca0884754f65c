/* pyslab.h - the C interface of pyslab, for clients and for its own build.
 *
 * What it is: the only header a client includes. There the functions below are static
 * inline calls through a table of pointers (pyslab/client.h), which pyslab_import() gets
 * from the package: nothing is linked. In pyslab's own build (PYSLAB_CORE) and in the
 * source of the cffi cdef they are the prototypes below, which document both.
 * What it is not: a place for logic. csrc/api/ checks arguments, the layers work.
 *
 *     pyslab/types.h      constants and types
 *     pyslab/api.h        the version and struct pyslab_api
 *     pyslab/functions.h  the list of functions that the table and the wrappers are made of
 *     pyslab/client.h     wrappers; the table without Python: pyslab_set_api()
 *     pyslab/python.h     pyslab_import(), and Python objects to handles and back
 *     pyslab/library.h    pyslab_import() of programs that link libpyslab.so (PYSLAB_LIBRARY)
 *
 * Words. An arena is one large piece of memory with an allocator of its own. It is cut into page
 * frames of 4 KiB, each with a number (pfn), and lies in zones: ranges of frames that some requests
 * may use and others may not. A request says by its gfp flags which zones it may use, and whether
 * it may wait. Frames are handed out in blocks: 2**order of them, aligned to their size. A slab is
 * a block that a cache has cut into equal objects. A sheaf is a thread's private array of free
 * objects of one cache, and the barn is the cache's store of sheaves. High memory is frames without
 * an address of their own, which vmalloc and windows show.
 *
 * After fork() the child has a copy of every arena. What it writes to views of high memory stays
 * its own, and calls that take or free high memory are an EFORKED there.
 *
 * Every function may be called from any thread, without the GIL, unless it is in pyslab/python.h
 * or its comment asks for quiescence: that no other thread is inside a call.
 *
 * Errors: functions that return `int` give 0 or a negative `enum pyslab_error`;
 * functions that return a pointer give NULL, and functions that return a page
 * frame number give PYSLAB_PFN_NONE. Sizes are bytes unless the name says pages.
 * A pointer to an arena, cache, region, pool, sheaf or window must be one unless a
 * comment allows NULL.
 *
 * The build runs this file through `cc -E -P -DPYSLAB_CDEF` to make the cdef,
 * so its body holds declarations only.
 */
#ifndef PYSLAB_H
#define PYSLAB_H

#if defined(PYSLAB_LIBRARY) && !defined(PYSLAB_NO_PYTHON)
#define PYSLAB_NO_PYTHON
#endif

#if !defined(PYSLAB_CDEF) && !defined(PYSLAB_CORE) && !defined(PYSLAB_PROTOTYPES) &&               \
    !defined(PYSLAB_NO_PYTHON)
#include <Python.h> /* before any other, as it asks for */
#endif

#ifndef PYSLAB_CDEF
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#endif

#include "pyslab/types.h"

#include "pyslab/api.h"

#if defined(PYSLAB_CORE) || defined(PYSLAB_CDEF) || defined(PYSLAB_PROTOTYPES)

/* --- arena -------------------------------------------------------------- */

/* Makes an arena. *out is written on success only. Errors: EINVAL, ELIMIT, EOS. */
int pyslab_arena_create(const pyslab_arena_options *options, pyslab_arena **out);
/* The process's own arena, made at the first call: as large as physical memory, of which it uses
 * nothing until blocks are used; smaller where the cgroup has less, and at most half of what
 * RLIMIT_AS and RLIMIT_DATA leave. It is pyslab.default_arena() in Python, and is never destroyed.
 * NULL: not even 1 MiB of addresses is to be had. */
pyslab_arena *pyslab_default_arena(void);
/* An arena counts its references: one from create, one from each get; a Python Arena has
 * two. The last put unmaps everything, as destroy does. EINVAL: there is none to put; the
 * default arena keeps its own. */
void pyslab_arena_get(pyslab_arena *arena);
int pyslab_arena_put(pyslab_arena *arena);
/* Unmaps everything. Quiescence: no thread may be inside a call on this arena,
 * and nothing allocated from it may be used again. EBUSY, with nothing changed: somebody
 * else has a reference, or it is the default arena. NULL is a no-op. */
int pyslab_arena_destroy(pyslab_arena *arena);
/* Recounts every layer from scratch; 0 or ECORRUPT with the finding in message.
 * Quiescence: no other thread may be inside a call on this arena. */
int pyslab_arena_validate(pyslab_arena *arena, char *message, size_t message_bytes);
/* Takes a snapshot. Exact when no other thread is inside a call on this arena. */
void pyslab_arena_stats_read(pyslab_arena *arena, pyslab_arena_stats *out);
/* Has the arena note from now on where each allocation is made: the calls of C and Python. Every
 * call becomes slower, by a microsecond or two. ENOMEM. Calling it again does nothing. */
int pyslab_arena_track(pyslab_arena *arena);
/* Writes which allocations of a tracked arena are live, and where they were made: NUL-terminated,
 * cut to the room there is. Returns the bytes that all of it takes, without the NUL; 0: none is,
 * or the arena is not tracked. */
size_t pyslab_arena_leaks(pyslab_arena *arena, char *text, size_t bytes);
/* Empties the calling thread's sheaves and page lists, all barns, and gives up empty slabs; then
 * gives all free frames that are in memory back to the operating system. Returns bytes given
 * back. */
uint64_t pyslab_arena_release_unused(pyslab_arena *arena);
/* Takes a snapshot of one zone; index 0 is the lowest. EINVAL: there are not so many. */
int pyslab_arena_zone_stats(pyslab_arena *arena, uint32_t zone, pyslab_zone_stats *out);
/* Writes up to nr counters, by enum pyslab_vm_event; returns how many there are. */
uint32_t pyslab_arena_vm_events(pyslab_arena *arena, uint64_t *counts, uint32_t nr);
/* Limits the arena to so many bytes, in whole frames; 0: no limit. Counted is what
 * pyslab_arena_used tells. A limit below what is in use makes requests fail until enough has been
 * freed. */
void pyslab_arena_set_limit(pyslab_arena *arena, uint64_t bytes);
uint64_t pyslab_arena_limit(const pyslab_arena *arena);
/* Bytes of the frames that are not free: in blocks that callers have, in slabs, on page lists. */
uint64_t pyslab_arena_used(const pyslab_arena *arena);
/* Sets the function that is asked what to do when a request of nbytes that may use zones up to
 * this index would fail: positive to try again (at most 16 times in a row), 0 to fail, negative
 * to give the request up: nothing smaller is tried in its place. NULL: fail. What the callback
 * itself allocates may use the reserves and starts no reclaim. */
void pyslab_arena_set_oom(pyslab_arena *arena,
                          int (*oom)(size_t nbytes, uint32_t zone, void *context), void *context);
/* Registers a cache of the caller's that is asked to free something when the arena is short of
 * memory. Errors: EINVAL, ENOMEM. */
int pyslab_register_shrinker(pyslab_arena *arena, const pyslab_shrinker_options *options,
                             pyslab_shrinker **out);
/* From now on the shrinker is asked no more. A run that is under way in another thread is not
 * waited for: options.release is called when the last is over. */
void pyslab_unregister_shrinker(pyslab_shrinker *shrinker);
/* Writes the count of free blocks per order, 0..max_order, at most nr of them;
 * returns how many orders the zone has. zone counts from 0. EINVAL: no such zone. */
int pyslab_arena_buddyinfo(pyslab_arena *arena, uint32_t zone, uint64_t *nr_free, uint32_t nr);
/* The address of frame 0. The frames of the zones with addresses follow one another from there. */
void *pyslab_arena_base(const pyslab_arena *arena);
/* Bytes of all frames, those of high memory included. */
uint64_t pyslab_arena_size(const pyslab_arena *arena);
/* The order of the arena's largest block. */
uint32_t pyslab_arena_max_order(const pyslab_arena *arena);

/* --- kmalloc ------------------------------------------------------------ */

/* At least size bytes, aligned to 16 (the class's largest power-of-two divisor,
 * at most a page, or a page for large sizes; 8-byte objects of the linux classes
 * to 8). size 0 gives PYSLAB_ZERO_SIZE. NULL: no memory, or a bad gfp. */
void *pyslab_kmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
/* The same, and it reads zero. */
void *pyslab_kzalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
/* As kmalloc, aligned to any power of two up to the largest block. */
void *pyslab_kmalloc_aligned(pyslab_arena *arena, size_t size, size_t align, uint32_t gfp);
/* Resizes, in place where it fits; NULL leaves p as it was. p may be NULL.
 * With GFP_ZERO every call on the block must carry it; bytes beyond the old
 * usable size are then zero. */
void *pyslab_krealloc(pyslab_arena *arena, void *p, size_t size, uint32_t gfp);
/* Usable bytes at p; 0 for NULL, PYSLAB_ZERO_SIZE and anything not live. */
size_t pyslab_ksize(pyslab_arena *arena, const void *p);
/* Errors: EPOINTER, EDOUBLE; the arena is unchanged then. NULL is a no-op. */
int pyslab_kfree(pyslab_arena *arena, void *p);
/* kmalloc, kzalloc and krealloc of n * size bytes. NULL also if that is more than a size_t holds;
 * p is left as it was then. */
void *pyslab_kmalloc_array(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp);
void *pyslab_kcalloc(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp);
void *pyslab_krealloc_array(pyslab_arena *arena, void *p, size_t n, size_t size, uint32_t gfp);
/* A block with a copy of the size bytes at src, which may be anywhere. */
void *pyslab_kmemdup(pyslab_arena *arena, const void *src, size_t size, uint32_t gfp);
/* kfree of a block that held a secret: all its usable bytes are zero before it is free. The copies
 * that krealloc left when it moved the block are not found. Errors: as kfree, and then nothing was
 * written. */
int pyslab_kfree_sensitive(pyslab_arena *arena, void *p);
/* Bytes kmalloc(size) would reserve: the class size, or whole frames. */
size_t pyslab_kmalloc_size_roundup(const pyslab_arena *arena, size_t size);
/* pyslab_kmem_cache_prealloc of the size class that serves size. EINVAL: none does. */
int pyslab_kmalloc_prealloc(pyslab_arena *arena, size_t size, size_t nr);

/* --- page frames -------------------------------------------------------- */

/* The index of the highest zone that a gfp mask allows; EINVAL for two zones at once. */
int pyslab_gfp_zone(const pyslab_arena *arena, uint32_t gfp);
/* A block of 2**order frames, aligned to its size, with one reference. Its first frame. */
uint32_t pyslab_alloc_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp);
/* Drops one reference; the last one frees. order must be the block's. Errors: EINVAL, EPOINTER,
 * EDOUBLE, EFORKED. */
int pyslab_free_pages(pyslab_arena *arena, uint32_t pfn, uint32_t order);
/* The two calls above by the block's address, so never of high memory: HIGHMEM and MOVABLE are
 * dropped from gfp. */
void *pyslab_get_free_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp);
int pyslab_free_pages_address(pyslab_arena *arena, void *p, uint32_t order);
/* Takes up to nr single frames at once; returns how many it got. */
uint32_t pyslab_alloc_pages_bulk(pyslab_arena *arena, uint32_t gfp, uint32_t nr, uint32_t *pfn);
/* Takes whole frames for this many bytes and no more. Freed with kfree. */
void *pyslab_alloc_pages_exact(pyslab_arena *arena, size_t size, uint32_t gfp);
/* A run of nr_pages frames, of any length, aligned to align frames and not crossing a
 * multiple of nocross frames (powers of two; 0: any), counted by addresses, whatever the
 * arena's base is aligned to; freed with kfree. */
void *pyslab_alloc_contig(pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t nocross,
                          uint32_t gfp);
/* Takes exactly these frames; freed with kfree. NULL: not all of them are free. */
void *pyslab_reserve_range(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages);
/* The same two, but what they take are blocks as alloc_pages makes them, of high memory too, where
 * frame numbers are counted. Freed with pyslab_put_page(arena, first frame). */
uint32_t pyslab_alloc_run(pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t nocross,
                          uint32_t gfp);
uint32_t pyslab_reserve_run(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages);
/* Frames of an allocated block; 0 if pfn is not the head of one. */
uint32_t pyslab_page_nr_pages(const pyslab_arena *arena, uint32_t pfn);
/* Makes 2**order blocks of one frame, one reference each, of a block with one reference.
 * Errors as free_pages; EBUSY with more references; EINVAL for a GFP_COMP block. */
int pyslab_split_page(pyslab_arena *arena, uint32_t pfn, uint32_t order);
/* One reference more on an allocated block, or one less; with the last it is free. Errors as
 * free_pages. */
int pyslab_get_page(pyslab_arena *arena, uint32_t pfn);
int pyslab_put_page(pyslab_arena *arena, uint32_t pfn);
/* References on an allocated block; 0 if pfn is not the head of one. */
uint32_t pyslab_page_count(const pyslab_arena *arena, uint32_t pfn);
/* The order of the block headed by pfn. */
uint32_t pyslab_page_order(const pyslab_arena *arena, uint32_t pfn);
/* enum pyslab_page_state of the block headed by pfn. */
uint32_t pyslab_page_state(const pyslab_arena *arena, uint32_t pfn);
/* Address of a directly mapped frame; NULL if it has none. */
void *pyslab_page_address(const pyslab_arena *arena, uint32_t pfn);
/* The index of the frame's zone. */
uint32_t pyslab_page_to_zone(const pyslab_arena *arena, uint32_t pfn);
/* The frame that an address lies in; PYSLAB_PFN_NONE: in none of this arena's. */
uint32_t pyslab_virt_to_pfn(const pyslab_arena *arena, const void *p);

/* --- vmalloc ------------------------------------------------------------ */

/* Whole frames of high memory behind contiguous addresses, with a guard page at both
 * ends; an arena without high zones makes one of its own size at the first call, outside
 * its limit. NULL: no memory, or the mappings' budget is used up. Freed with vfree. */
void *pyslab_vmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
void *pyslab_vzalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
/* The blocks of alloc_pages that start at these frames, in this order, one behind the
 * other; a block may come twice. They must be high memory; each gets a reference. */
void *pyslab_vmap(pyslab_arena *arena, const uint32_t *pfn, uint32_t nr);
/* size bytes (whole frames), mapped twice in a row: what is written behind the end of the first
 * half appears at its start. Freed with vfree. */
void *pyslab_vm_ring(pyslab_arena *arena, size_t size, uint32_t gfp);
/* Ends an area of any of these functions. Errors: EPOINTER, EFORKED. NULL is a no-op. */
int pyslab_vfree(pyslab_arena *arena, void *p);
int pyslab_vunmap(pyslab_arena *arena, void *p);
/* Bytes of the area that starts at p; 0: none does. */
size_t pyslab_vsize(pyslab_arena *arena, const void *p);
/* Tries kmalloc, for more than a page without reclaim, and then vmalloc. */
void *pyslab_kvmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
int pyslab_kvfree(pyslab_arena *arena, void *p);
/* Describes the area with this index, in no particular order; EINVAL: there are not so many. */
int pyslab_arena_vm_area(pyslab_arena *arena, uint32_t index, pyslab_vm_area *out);
void pyslab_arena_vm_stats(pyslab_arena *arena, pyslab_vm_stats *out);
/* Makes a window: addresses for nr_slots slots of 2**order frames each, in which high frames are
 * made visible. It keeps no record of what is mapped where, and its owner makes one call at a
 * time. Errors: EINVAL, EOS, ENOMEM. */
int pyslab_window_create(pyslab_arena *arena, uint32_t nr_slots, uint32_t order,
                         pyslab_window **out);
/* Maps the aligned run of 2**order frames that holds frame pfn into a slot, whatever was in
 * it; the address of the frame, NULL on an error. Frames with an address, or that the
 * arena does not have, stay inaccessible in it. One system call. */
void *pyslab_window_map(pyslab_window *window, uint32_t slot, uint32_t pfn);
/* Makes nr slots inaccessible. Errors: EINVAL, EOS. */
int pyslab_window_unmap(pyslab_window *window, uint32_t slot, uint32_t nr);
/* Ends a window. Call it before the arena is destroyed. NULL is a no-op. */
void pyslab_window_destroy(pyslab_window *window);
/* Waits until the file behind the high zones is on the disk; 0 at once without one. EOS. */
int pyslab_arena_flush(pyslab_arena *arena);

/* --- kmem_cache --------------------------------------------------------- */

/* Makes a cache of objects of one size, 1 byte to 256 KiB; options may be NULL. Errors: EINVAL,
 * ENOMEM, ELIMIT (too many). */
int pyslab_kmem_cache_create(pyslab_arena *arena, const char *name, size_t size,
                             const pyslab_cache_options *options, pyslab_kmem_cache **out);
/* NULL: no memory, a bad gfp, or the constructor refused. */
void *pyslab_kmem_cache_alloc(pyslab_kmem_cache *cache, uint32_t gfp);
/* Errors: EPOINTER, EDOUBLE, ECACHE (pyslab_kmem_cache_of tells which). */
int pyslab_kmem_cache_free(pyslab_kmem_cache *cache, void *p);
/* Takes nr objects, or none; returns how many. */
size_t pyslab_kmem_cache_alloc_bulk(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr, void **p);
/* Frees each; returns how many were freed before the first error, nr if none. */
size_t pyslab_kmem_cache_free_bulk(pyslab_kmem_cache *cache, size_t nr, void **p);
/* Sets nr objects aside, so that the next nr calls of alloc_from_sheaf cannot fail;
 * NULL without memory. The sheaf is the caller's: one thread at a time. */
pyslab_sheaf *pyslab_kmem_cache_prefill_sheaf(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr);
/* Takes one object of the sheaf; NULL: it is used up. */
void *pyslab_kmem_cache_alloc_from_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf);
/* Gives the objects that are left back, and the sheaf. */
void pyslab_kmem_cache_return_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf);
/* The cache that a live object belongs to; NULL: p is no live object of a cache. */
pyslab_kmem_cache *pyslab_kmem_cache_of(pyslab_arena *arena, const void *p);
const char *pyslab_kmem_cache_name(const pyslab_kmem_cache *cache);
/* Writes the addresses of up to nr live objects; returns how many there are. Objects in
 * threads' sheaves count as free. Quiescence as for destroy. */
size_t pyslab_kmem_cache_live_objects(pyslab_kmem_cache *cache, void **p, size_t nr);
/* Empties the calling thread's sheaves and the barn, then gives the empty slabs' frames back to
 * their zone, and sorts partial slabs so that the fullest are used first; returns how many
 * frames went back. */
uint64_t pyslab_kmem_cache_shrink(pyslab_kmem_cache *cache);
/* Buys slabs for nr more objects. They stay empty until they are used, and from now on the cache
 * keeps so many slabs more when empty ones go back after a while; shrink, release_unused and
 * shortness of memory take them all the same. ENOMEM: there is not so much, and nothing has
 * changed. */
int pyslab_kmem_cache_prealloc(pyslab_kmem_cache *cache, size_t nr);
/* EBUSY while objects are live or a mempool is over the cache, which stays usable then.
 * Quiescence: no other thread may be inside a call on this cache. */
int pyslab_kmem_cache_destroy(pyslab_kmem_cache *cache);
void pyslab_kmem_cache_stats(pyslab_kmem_cache *cache, pyslab_cache_stats *out);
/* Statistics of the cache with this index, 0..nr_caches-1; EINVAL past the end. */
int pyslab_arena_cache_stats(pyslab_arena *arena, uint32_t index, pyslab_cache_stats *out);

/* --- mempool ------------------------------------------------------------ */

/* A pool over the cache with min_nr >= 1 objects in reserve. Its own objects go back to
 * it, not to the cache. Errors: EINVAL; ENOMEM: min_nr objects are not to be had. */
int pyslab_mempool_create(pyslab_kmem_cache *cache, size_t min_nr, pyslab_mempool **out);
/* Takes an object from the cache without reclaim; else with it, if gfp has DIRECT_RECLAIM; else
 * from the reserve. NULL only if that is empty too, or for a bad gfp. Never asks on_oom. */
void *pyslab_mempool_alloc(pyslab_mempool *pool, uint32_t gfp);
/* Gives an object back: to the reserve while it has fewer than min_nr, else to the cache. NULL
 * is a no-op. Errors: EPOINTER (also when the pool has no object out), EDOUBLE, ECACHE. */
int pyslab_mempool_free(pyslab_mempool *pool, void *p);
/* A larger reserve is filled at once: ENOMEM leaves it as it was. A smaller one gives the
 * rest back and cannot fail. EINVAL: min_nr is 0. */
int pyslab_mempool_resize(pyslab_mempool *pool, size_t min_nr);
/* Gives the reserve back. EBUSY while objects of the pool are out.
 * Quiescence: no other thread may be inside a call on this pool. */
int pyslab_mempool_destroy(pyslab_mempool *pool);
void pyslab_mempool_stats_read(pyslab_mempool *pool, pyslab_mempool_stats *out);

/* --- regions ------------------------------------------------------------ */

/* A region and its children have one owner at a time: calls on them are not thread-safe.
 * Its memory is page blocks (block_pages in the statistics): kfree of an object is an
 * EPOINTER. EBUSY: in the middle of a call on the region or a child of it. */

/* Makes a region whose first block has size_hint bytes; 0: the first block is taken with the first
 * object. Errors: EINVAL, ENOMEM. */
int pyslab_region_create(pyslab_arena *arena, size_t size_hint, pyslab_region **out);
/* A region that ends with its parent at the latest: at its rewind to an earlier mark, its
 * reset or destroy. Errors: EINVAL, ENOMEM, EBUSY. */
int pyslab_region_create_child(pyslab_region *region, pyslab_region **out);
/* Hands out size bytes aligned to 16. Size 0 gives PYSLAB_ZERO_SIZE. NULL: no memory; nothing
 * has changed. */
void *pyslab_region_alloc(pyslab_region *region, size_t size);
/* The same, aligned to any power of two up to the largest block. */
void *pyslab_region_alloc_aligned(pyslab_region *region, size_t size, size_t align);
void *pyslab_region_zalloc(pyslab_region *region, size_t size);
/* Where the region is now, for rewind: never 0, and of no other region. Two marks without a
 * call between them are one. 0: no memory, or busy. */
uint64_t pyslab_region_mark(pyslab_region *region);
/* Gives back what came after the mark, which stays valid. EINVAL: it is not a mark of this
 * region, or lies behind a rewind to an earlier one or a reset. EBUSY */
int pyslab_region_rewind(pyslab_region *region, uint64_t mark);
/* Gives everything back; the blocks stay with the region. EBUSY */
int pyslab_region_reset(pyslab_region *region);
/* Has fn(context) called when the region is rewound behind this point, reset or destroyed;
 * what was registered last is called first. Errors: EINVAL, ENOMEM, EBUSY. */
int pyslab_region_on_exit(pyslab_region *region, pyslab_region_exit fn, void *context);
/* Ends the region and its children. NULL is a no-op. EBUSY. An arena that is destroyed ends
 * its regions without calling anything. */
int pyslab_region_destroy(pyslab_region *region);
void pyslab_region_stats_read(const pyslab_region *region, pyslab_region_stats *out);

/* --- debugging ---------------------------------------------------------- */

/* Has what the arena's checks find handed to a function of the caller's. NULL, and at first: the
 * report is written to the standard error, and the process aborts, unless it is a call of
 * pyslab_arena_validate or pyslab_kmem_cache_validate that found it. */
void pyslab_set_corruption_handler(pyslab_arena *arena, pyslab_on_corruption handler,
                                   void *context);
/* Writes the report, NUL-terminated and cut to the room there is; returns the bytes that all of it
 * takes, without the NUL. It allocates nothing. */
size_t pyslab_corruption_text(const pyslab_corruption *found, char *text, size_t bytes);
/* Looks at every object of a cache with debugging, and repairs what it reports; returns how much
 * that was. Nobody may use the cache meanwhile. */
uint64_t pyslab_kmem_cache_validate(pyslab_kmem_cache *cache);
void pyslab_arena_debug_stats(pyslab_arena *arena, pyslab_debug_stats *out);
/* What the arena's KFENCE did (kfence_sample_ms); all zero if it has none. What it finds at a free
 * goes the way of all corruptions. An access that it catches is written to the standard error in
 * any case, then told to the handler, which runs in a signal handler then; afterwards the process
 * ends by SIGSEGV, or as the handler of that signal from before has it. */
void pyslab_arena_kfence_stats(pyslab_arena *arena, pyslab_kfence_stats *out);

/* --- shared arenas ------------------------------------------------------ */

/* An arena made with options.shared is a heap that other processes may see. It has one table of
 * who holds which block. What travels between processes is a handle. A block that is freed while
 * others hold it, or may yet open it, is freed when they are done. */

/* Makes a handle for a live block of a frame or more, of kmalloc or alloc_pages, that may be opened
 * so many times (1 to 65534, or PYSLAB_USES_PINNED). Errors: EINVAL: no such block, or the arena is
 * not shared; ELIMIT: the table is full, or more than max_transit_bytes would be on their way: send
 * the bytes; EDOUBLE: it was freed; EFORKED. */
int pyslab_share_export(pyslab_arena *arena, const void *p, uint32_t uses, pyslab_handle *out);
/* Opens the block of a handle. EPOINTER: its heap is not attached; ESTALE: the block is gone or
 * the handle used up; ECORRUPT, ELIMIT. */
int pyslab_share_open(const pyslab_handle *handle, pyslab_shared_block *out);
/* Lets go of it. EINVAL: it is not held. */
int pyslab_share_close(const pyslab_shared_block *block);
/* A further handle for a block that this process holds. Errors as export. */
int pyslab_share_pass_on(const pyslab_shared_block *block, uint32_t uses, pyslab_handle *out);
/* Ends a handle that will not be opened. ESTALE, EPOINTER */
int pyslab_share_revoke(const pyslab_handle *handle);
/* New descriptors of an arena's frames and table, for another process; the caller closes them.
 * EINVAL: it is not shared; EOS */
int pyslab_share_descriptors(pyslab_arena *arena, int *heap_fd, int *table_fd);
/* Attaches the heap of two such descriptors, which stay the caller's: one mapping and one
 * descriptor for all its blocks. A heap that is attached already is found again. writable: blocks
 * may be written to, if the arena allows it. Errors: EINVAL: these are no files of one heap, or
 * damaged; EFORMAT, ELIMIT (1,000 clients), ENOMEM, EOS (errno ENOENT: /proc is not mounted). */
int pyslab_share_attach(int heap_fd, int table_fd, uint32_t writable, pyslab_heap **out);
/* The same with the descriptors of a process of this user. heap_id NULL: its first heap. ESTALE: it
 * has no such heap. */
int pyslab_share_attach_process(int pid, const uint64_t *heap_id, uint32_t writable,
                                pyslab_heap **out);
/* Ends that. EBUSY: blocks are open, or Python code has it attached. EINVAL: it is this process's
 * own heap. */
int pyslab_share_detach(pyslab_heap *heap);
/* Clears up after dead clients, and frees blocks that nobody holds any more; returns how many
 * bytes. */
uint64_t pyslab_share_reap(pyslab_arena *arena);
/* The same for another's heap. If its owner is dead, the memory that no held block covers goes back
 * to the system: *bytes. EBUSY: another process is at it; EOS, errno EACCES: this one has the heap
 * for reading only, so its memory goes with the last process that has it. */
int pyslab_share_reap_heap(pyslab_heap *heap, uint64_t *bytes);
/* Non-zero while the process that made the heap lives. */
int pyslab_share_owner_is_alive(pyslab_heap *heap);
/* How many processes hold an exported block, and how many handles for it are not used up. EPOINTER:
 * it was not exported. */
int pyslab_share_holders(pyslab_arena *arena, const void *p, uint32_t *nr_clients,
                         uint32_t *nr_handles);
/* In a forked child: gives up what it has inherited of this arena, so that its parent need not keep
 * for it what it frees. Inherited blocks read zero from then on, and may not be used. In the
 * process that made the arena it does nothing. EINVAL: the arena is not shared. */
int pyslab_share_drop_inherited(pyslab_arena *arena);
/* All zero if the arena is not shared. */
void pyslab_share_stats_read(pyslab_arena *arena, pyslab_share_stats *out);

/* --- calls that are made to fail ------------------------------------------ */

/* Has calls that allocate fail on purpose, as those that find no memory do, until the end: of this
 * arena, or with NULL of all arenas of the process, also later ones, and pyslab_arena_create. It is
 * for testing what a program does then; the kernel calls it failslab. Frees, resizing in place
 * and GFP_NOFAIL never fail. Meanwhile every call takes a slow path. Several may be in force.
 * Errors: EINVAL, ENOMEM. */
int pyslab_failing_begin(pyslab_arena *arena, const pyslab_failing_options *options,
                         pyslab_failing **out);
void pyslab_failing_read(pyslab_failing *failing, pyslab_failing_stats *out);
/* NULL is a no-op. The arena may have gone before. */
void pyslab_failing_end(pyslab_failing *failing);

/* --- the library -------------------------------------------------------- */

/* A sentence for an error code, never NULL. */
const char *pyslab_strerror(int error);
/* The table of all functions above: see pyslab/api.h. */
const pyslab_api *pyslab_get_api(void);
/* Bytes of physical memory that an arena without overcommit may have. */
uint64_t pyslab_physical_bytes(void);

#else
#include "pyslab/client.h"
#ifdef PYSLAB_LIBRARY
#include "pyslab/library.h"
#elif !defined(PYSLAB_NO_PYTHON)
#include "pyslab/python.h"
#endif
#endif

#ifndef PYSLAB_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
