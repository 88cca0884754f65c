/* heap.c - making the arena, and the slow paths of heap.h.
 *
 * What it is not: resizing (realloc.c), or hardened mode, which the slow paths call.
 * Data structure: heap_state, from none to ready.
 * Invariant: heap_state is HEAP_READY if and only if malloc_arena is an arena.
 * Lock: none; the thread that changes heap_state to HEAP_STARTING makes the arena, and others
 * wait for it.
 */
#include "malloc/heap.h"

#include "malloc/hardened.h"
#include "malloc/quarantine.h"
#include "malloc/sampled.h"
#include "malloc/settings.h"
#include "malloc/zero_size.h"
#include "os/os.h"
#include "slab/fence.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

struct pyslab_arena malloc_arena;

/* --- start -------------------------------------------------------------- */

enum heap_state { HEAP_NONE, HEAP_STARTING, HEAP_READY };

static _Atomic int heap_state;
static _Thread_local bool is_starting __attribute__((tls_model("initial-exec")));

#define HEAP_MEMORY_SHARE 4u /* times what the machine has */
#define HEAP_LEAST_BYTES ((uint64_t)1 << 20)
/* Order of the largest block (16 MiB) in a process whose addresses are limited: the arena is
 * aligned to its largest block, and to find such a place takes one block's length more. */
#define HEAP_LIMITED_ORDER 12u

/* Without the word, the environment of all arenas counts. */
static uint32_t init_option(bool wanted)
{
    return wanted ? PYSLAB_INIT_YES : PYSLAB_INIT_DEFAULT;
}

/* Takes address space for several times the memory of the machine, because programs ask for more
 * than they use; less where the process may not have so much. The pages are small ones: whether
 * huge pages pay depends on the host's memory, a trial at the start says little about a program's
 * whole life, and a wrong yes costs three times what a right one gains (docs/performance.md). */
static bool heap_make(void)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .overcommit = 1,
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .hugepages = PYSLAB_HUGEPAGES_NO,
                                    .debug = malloc_settings.hardened ? debug_text_keyed : "",
                                    .background_purge = malloc_settings.background_purge,
                                    .guard = malloc_settings.hardened ? PYSLAB_GUARD_NO
                                                                      : malloc_settings.guard,
                                    .init_on_alloc = init_option(malloc_settings.init_on_alloc),
                                    .init_on_free = init_option(malloc_settings.init_on_free),
                                    .kfence_sample_ms = PYSLAB_KFENCE_OFF}; /* at_load */
    uint64_t bytes = HEAP_MEMORY_SHARE * os_physical_bytes();
    uint64_t limit = os_address_space_bytes();

    if (bytes > limit / 4 * 3) {
        bytes = limit / 4 * 3; /* the rest is for code, stacks and mappings */
        options.max_order = HEAP_LIMITED_ORDER;
    }
    if (bytes > (uint64_t)MAX_ARENA_PAGES << PAGE_SHIFT)
        bytes = (uint64_t)MAX_ARENA_PAGES << PAGE_SHIFT;
    sanitize_decline();
    for (; bytes >= HEAP_LEAST_BYTES; bytes -= bytes / 4) {
        options.size_bytes = bytes;
        malloc_arena.background.by_owner = true; /* background_start_if_due, below */
        if (arena_init(&malloc_arena, &options) == PYSLAB_OK) {
            (void)page_alloc_close(&malloc_arena.pages); /* if refused, all frames have access */
            malloc_arena.pages.best_fit = true;          /* nobody knows the arena yet */
            /* pthread_once makes a system call at its end: now, not in a sandbox. */
            thread_registry_lock();
            thread_registry_unlock();
            return true;
        }
    }
    return false;
}

/* Makes the heap; waits while another thread does. To ask the system for the number of CPUs is a
 * cancellation point, and malloc must not be one. */
static slow_path bool heap_start(void)
{
    int expected = HEAP_NONE;
    int saved = errno, cancel_state;
    bool made;

    if (is_starting)
        return false; /* this thread's own call, from below */
    if (!atomic_compare_exchange_strong(&heap_state, &expected, HEAP_STARTING)) {
        while (atomic_load(&heap_state) == HEAP_STARTING)
            os_yield();
        return atomic_load(&heap_state) == HEAP_READY;
    }
    is_starting = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    settings_read();
    if (malloc_settings.hardened)
        quarantine_init_lock();
    made = heap_make();
    if (made) {
        malloc_arena.kmalloc.slabs.on_corruption = misuse_abort_free_object;
        malloc_arena.kmalloc.slabs.pops_are_checked = true;
        malloc_arena.kmalloc.slabs.guard.min_align = MALLOC_ALIGN;
        limits_start();
        if (malloc_settings.hardened)
            hardened_start();
    }
    atomic_store(&heap_state, made ? HEAP_READY : HEAP_NONE);
    is_starting = false;
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
    return made;
}

bool heap_is_made(void)
{
    return atomic_load_explicit(&heap_state, memory_order_acquire) == HEAP_READY;
}

bool heap_ready(void)
{
    return likely(heap_is_made()) || heap_start();
}

#ifndef PYSLAB_MALLOC_PREFIX
/* Not in heap_make, which may run inside the dynamic linker: it loads a library. In hardened mode
 * all blocks are looked at. */
static void kfence_begin(void)
{
    struct slab_alloc *slabs = &malloc_arena.kmalloc.slabs;

    if (malloc_settings.kfence_ms != 0 && !malloc_settings.hardened)
        (void)fence_begin(slabs, malloc_settings.kfence_ms, malloc_settings.kfence_objects);
}

/* Not found by the linker, because older C libraries do not have it. */
static void single_threaded_find(void)
{
    const char *found = dlsym(RTLD_DEFAULT, "__libc_single_threaded");

    if (found != NULL)
        lock_single_threaded = found;
}

/* Makes the heap while the program is loaded. Then the heap's fork handlers are registered before
 * the program's own: fork calls the program's before it locks the heap and after it has unlocked
 * it, so that they may allocate. */
__attribute__((constructor)) static void at_load(void)
{
    if (!heap_ready())
        return;
    kfence_begin();
    if (malloc_settings.hardened)
        single_threaded_find();
}
#endif

/* --- allocation --------------------------------------------------------- */

/* An object of the thread's sheaf. NULL: the sheaf is empty. Ends the process if the program has
 * misused the object that comes next. */
static void *pop_class(unsigned class)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    struct sheaf_slot *slot;
    void *p;

    if (class == 0 || table == NULL)
        return NULL;
    p = heap_pop_class(table, class);
    slot = &table->slot[class];
    if (unlikely(slot->nr_allocs % SHEAF_LOOK_EVERY == 0) && p != NULL)
        page_alloc_tick(&malloc_arena.pages);
    if (unlikely(p == NULL && slot->top != slot->bottom))
        misuse_abort_written(slot->top[-1]);
    return p;
}

void *heap_alloc_frames(size_t size, size_t align, uint32_t gfp)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    struct page_alloc *pages = &malloc_arena.pages;
    uint64_t nr_pages = bytes_to_pages(size), align_pages = bytes_to_pages(align);

    CHECK(size > 0 && is_power_of_two(align));
    if (nr_pages > pages->map.nr_pages || align_pages > pages->map.nr_pages)
        return NULL;
    return kmalloc_adopt_run(km, page_alloc_contig(pages, (uint32_t)nr_pages, (uint32_t)align_pages,
                                                   0, gfp, PYSLAB_PAGE_LARGE));
}

/* For sizes above the largest block of the buddy; NULL for others. */
static void *alloc_run(size_t size, uint32_t gfp)
{
    if (bytes_to_pages(size) <= 1u << malloc_arena.pages.max_order)
        return NULL;
    return heap_alloc_frames(size, PAGE_SIZE, gfp);
}

bool heap_discard_zeroes(void *p, size_t size)
{
    CHECK(((uintptr_t)p & (PAGE_SIZE - 1)) == 0);
    return os_discard(p, (size_t)align_up(size, PAGE_SIZE)) == PYSLAB_OK;
}

/* pre: size is 1 .. MALLOC_MAX_BYTES; gfp is KERNEL, with ZERO or without. NULL: no memory. */
static void *alloc_any(size_t size, uint32_t gfp)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    void *p;

    CHECK(size >= 1 && size <= MALLOC_MAX_BYTES);
    CHECK((gfp & ~(uint32_t)PYSLAB_GFP_ZERO) == PYSLAB_GFP_KERNEL);
    if (unlikely((gfp & PYSLAB_GFP_ZERO) != 0 && size >= HEAP_DISCARD_BYTES &&
                 km->slabs.guard.mode == 0)) {
        p = alloc_any(size, gfp & ~(uint32_t)PYSLAB_GFP_ZERO);
        return p == NULL || heap_discard_zeroes(p, size) ? p : memset(p, 0, size);
    }
    p = pop_class(size_class_of(&km->classes, size));
    if (p != NULL)
        return (gfp & PYSLAB_GFP_ZERO) != 0 ? memset(p, 0, size) : p;
    p = kmalloc_slow(km, size, gfp);
    return p != NULL ? p : alloc_run(size, gfp);
}

/* For background_purge. Here, and not where the library frees: the C library frees a thread's
 * memory while it holds the lock of its list of stacks, which a new thread needs. */
static inline void background_look(void)
{
    if (unlikely(malloc_settings.background_purge))
        background_start_if_due(&malloc_arena.background);
}

/* With guards, the block's record says who made it. */
static inline void note_kind(const void *p, enum debug_kind kind)
{
    if (guard_is_on(&malloc_arena.kmalloc.slabs.guard) && p != NULL)
        guarded_set_kind(&malloc_arena.kmalloc.slabs, p, (uint8_t)kind);
}

/* Any size. NULL: errno is ENOMEM; else errno is what it was. */
static void *alloc_or_errno(size_t size, uint32_t gfp, enum debug_kind kind)
{
    int saved = errno;
    void *p = NULL;

    if (size <= MALLOC_MAX_BYTES && heap_ready()) {
        p = unlikely(size == 0) ? zero_size_alloc() : NULL;
        if (p == NULL)
            p = unlikely(malloc_settings.hardened) ? hardened_alloc(size, MALLOC_ALIGN, kind)
                                                   : alloc_any(size != 0 ? size : 1, gfp);
        note_kind(p, kind);
        background_look();
    }
    errno = p != NULL ? saved : ENOMEM;
    return p;
}

slow_path void *heap_alloc_slow(size_t size)
{
    return alloc_or_errno(size, PYSLAB_GFP_KERNEL, DEBUG_KIND_MALLOC);
}

slow_path void *heap_zalloc_slow(size_t size)
{
    return alloc_or_errno(size, PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO, DEBUG_KIND_MALLOC);
}

/* pre: align is more than MALLOC_ALIGN; size is 1 .. MALLOC_MAX_BYTES */
static void *alloc_any_aligned(size_t size, size_t align)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    void *p = pop_class(size_class_aligned(&km->classes, size, align));

    CHECK(size >= 1 && size <= MALLOC_MAX_BYTES && align > MALLOC_ALIGN);
    if (p == NULL)
        p = kmalloc_aligned(km, size, align, PYSLAB_GFP_KERNEL);
    /* The buddy has no block so long, or aligned to so much: a run of frames may be there. */
    if (p == NULL &&
        bytes_to_pages(size > align ? size : align) > 1u << malloc_arena.pages.max_order)
        p = heap_alloc_frames(size, align, PYSLAB_GFP_KERNEL);
    return p;
}

/* As alloc_or_errno. pre: align is a power of two, more than MALLOC_ALIGN */
static void *aligned_or_errno(size_t size, size_t align, enum debug_kind kind)
{
    int saved = errno;
    void *p = NULL;

    CHECK(is_power_of_two(align) && align > MALLOC_ALIGN);
    if (size <= MALLOC_MAX_BYTES && heap_ready())
        p = unlikely(malloc_settings.hardened) ? hardened_alloc(size, align, kind)
                                               : alloc_any_aligned(size != 0 ? size : 1, align);
    note_kind(p, kind);
    if (p != NULL)
        background_look();
    errno = p != NULL ? saved : ENOMEM;
    return p;
}

void *heap_alloc_aligned(size_t size, size_t align)
{
    CHECK(is_power_of_two(align));
    return align <= MALLOC_ALIGN ? heap_alloc(size)
                                 : aligned_or_errno(size, align, DEBUG_KIND_MALLOC);
}

slow_path void *heap_new_slow(size_t size, size_t align, enum debug_kind kind)
{
    CHECK(is_power_of_two(align));
    return align <= MALLOC_ALIGN ? alloc_or_errno(size, PYSLAB_GFP_KERNEL, kind)
                                 : aligned_or_errno(size, align, kind);
}

/* --- free and size ------------------------------------------------------ */

void heap_check_kind(const char *call, const void *p, enum debug_kind made, enum debug_kind wanted)
{
    static const char *const words[NR_DEBUG_KINDS] = {
        [DEBUG_KIND_MALLOC] = "made by malloc",
        [DEBUG_KIND_NEW] = "made by new",
        [DEBUG_KIND_NEW_ARRAY] = "made by new[]",
    };

    if (unlikely(made != wanted) && made < NR_DEBUG_KINDS && operators_are_ours())
        misuse_abort_words(call, p, words[made]);
}

void heap_check_claim(const void *p, const struct claim *claim)
{
    struct slab_alloc *slabs = &malloc_arena.kmalloc.slabs;
    size_t asked = guard_is_on(&slabs->guard) ? guarded_usable(slabs, p) : 0;

    if (likely(asked == 0))
        return;
    heap_check_kind(claim->call, p, (enum debug_kind)guarded_kind(slabs, p), claim->kind);
    if (!is_power_of_two(claim->align) || ((uintptr_t)p & (claim->align - 1)) != 0)
        misuse_abort_words(claim->call, p, "of another alignment");
    if (claim->size != SIZE_UNKNOWN && claim->size != asked)
        misuse_abort_words(claim->call, p, "of another size");
}

static void free_claimed(void *p, const struct claim *claim)
{
    int saved = errno, error;

    if (p == NULL)
        return;
    sampled_gone(p);
    if (unlikely(zero_size_is_place(p))) {
        if (!zero_size_free(p))
            misuse_abort("free", p, PYSLAB_EDOUBLE);
        return;
    }
    if (unlikely(malloc_settings.hardened)) {
        hardened_free(p, claim);
        errno = saved;
        return;
    }
    heap_check_claim(p, claim);
    error = PYSLAB_EPOINTER;
    /* PYSLAB_ZERO_SIZE is an address that kmalloc(0) returns and kfree takes; malloc never does. */
    if (heap_ready() && p != (void *)(uintptr_t)PYSLAB_ZERO_SIZE)
        error = kfree_slow(&malloc_arena.kmalloc, p);
    if (error != PYSLAB_OK)
        misuse_abort("free", p, error);
    errno = saved;
}

slow_path void heap_free_slow(void *p)
{
    static const struct claim none = {"free", SIZE_UNKNOWN, ALIGN_UNKNOWN, DEBUG_KIND_MALLOC};

    free_claimed(p, &none);
}

slow_path void heap_delete_slow(void *p, size_t size, size_t align, enum debug_kind kind)
{
    const char *call = kind == DEBUG_KIND_NEW_ARRAY ? "delete[]" : "delete";

    free_claimed(p, &(struct claim){call, size, align, kind});
}

void heap_free_known(const char *call, void *p, size_t size, size_t align)
{
    if (unlikely(!heap_push(p)))
        free_claimed(p, &(struct claim){call, size, align, DEBUG_KIND_MALLOC});
}

size_t heap_usable(const void *p)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    const struct frame_map *map = &km->slabs.map;
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    size_t offset = (uintptr_t)p - (uintptr_t)map->base, usable;

    if (likely(offset < map->bytes && table != NULL)) {
        unsigned class = map->classes[offset >> PAGE_SHIFT];

        if (likely(geometry_is_object(&table->slot[class].geometry, offset) &&
                   *object_key((void *)(uintptr_t)p) != object_key_value(km->slabs.secret, p)))
            return km->classes.size[class];
    }
    if (unlikely(zero_size_is_live(p)))
        return 0;
    if (unlikely(malloc_settings.hardened))
        return hardened_usable("malloc_usable_size", p);
    usable = heap_ready() ? kmalloc_usable(km, p) : 0;
    if (unlikely(usable == 0) && fence_has(&km->slabs, p))
        (void)fence_free(&km->slabs, NULL, (void *)(uintptr_t)p); /* it reports that it cannot */
    if (usable == 0)
        misuse_abort("realloc", p,
                     slab_cache_of(&km->slabs, p) != NULL ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER);
    return usable;
}
