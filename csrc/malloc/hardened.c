/* hardened.c - see hardened.h. */
#include "malloc/hardened.h"

#include "base/atomic.h"
#include "malloc/guards.h"
#include "malloc/heap.h"
#include "malloc/quarantine.h"

#include <errno.h>
#include <string.h>

/* --- small: objects of the caches --------------------------------------- */

/* The cache whose objects have room for the block and a guard byte, wherever it is aligned to in
 * them; NULL: none. */
static struct kmem_cache *small_cache(size_t size, size_t align)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    unsigned class;

    if (size > HARDENED_MAX_OBJECT || align > PAGE_SIZE)
        return NULL;
    class = size_class_of(&km->classes, size + 1 + align - MALLOC_ALIGN);
    return class != 0 ? km->slabs.caches[class] : NULL;
}

static void *small_alloc(size_t size, size_t align, enum debug_kind kind)
{
    struct kmem_cache *cache = small_cache(size, align);
    uint64_t value = debug_value(size, kind);

    return cache != NULL ? debug_alloc_counted(cache, PYSLAB_GFP_KERNEL, value, align) : NULL;
}

/* What was asked for at p, which may be any pointer into the cache's slabs, and its kind; false: p
 * is no live block, or its words were overwritten. */
static bool small_asked(const struct kmem_cache *cache, const void *p, uint64_t *value)
{
    const char *object = debug_object_around(cache, p);

    return object != NULL && (const char *)p >= object && debug_asked(cache, p, value);
}

/* Ends the process if the claim is wrong of a block with this value. */
static void check_claim(const void *p, uint64_t value, const struct claim *claim)
{
    heap_check_kind(claim->call, p, debug_value_kind(value), claim->kind);
    if (claim->size != SIZE_UNKNOWN && claim->size != debug_value_size(value))
        misuse_abort_words(claim->call, p, "of another size");
}

static void small_free(struct kmem_cache *cache, void *p, const struct claim *claim)
{
    uint64_t value = 0;
    int error = debug_free_telling(cache, p, &value);

    if (unlikely(error != PYSLAB_OK))
        misuse_abort(claim->call, p, error);
    check_claim(p, value, claim); /* what was written over has ended the process */
}

/* --- large: whole frames ------------------------------------------------ */

#define BARE ((uint64_t)1 << 63) /* beside the size in the words: there are no guards (guards.h) */

static uint64_t secret(void)
{
    return malloc_arena.kmalloc.slabs.secret;
}

static size_t large_front(size_t align)
{
    return align > PAGE_SIZE ? align : PAGE_SIZE;
}

static void *large_make(size_t size, size_t align, enum debug_kind kind)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    uint32_t gfp = PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO;
    size_t front = large_front(align), data, bytes;
    char *base = NULL, *words;

    if (size > MALLOC_MAX_BYTES - 2 * PAGE_SIZE - DEBUG_WORD_BYTES ||
        front > MALLOC_MAX_BYTES - 2 * PAGE_SIZE - DEBUG_WORD_BYTES - size)
        return NULL;
    data = (size_t)align_up(size + DEBUG_WORD_BYTES, PAGE_SIZE);
    bytes = front + data + PAGE_SIZE;
    if (bytes >= HEAP_DISCARD_BYTES)
        gfp &= ~(uint32_t)PYSLAB_GFP_ZERO;
    if (align <= PAGE_SIZE)
        base = kmalloc_exact_pages(km, bytes, gfp);
    if (base == NULL)
        base = heap_alloc_frames(bytes, front, gfp);
    if (base == NULL)
        return NULL;
    if (bytes >= HEAP_DISCARD_BYTES && !heap_discard_zeroes(base, bytes))
        memset(base, 0, bytes);
    words = base + front + data - DEBUG_WORD_BYTES;
    debug_red_fill(base + front + size, words, debug_red_keyed(secret(), base + front));
    debug_words_set(secret(), words, base + front,
                    debug_value(size, kind) | (guards_place(base, front, bytes) ? 0 : BARE));
    return base + front;
}

/* Large blocks that threads are making, whose words may not be there yet. */
static _Atomic unsigned nr_making;

static void *large_alloc(size_t size, size_t align, enum debug_kind kind)
{
    void *p;

    atomic_fetch_add(&nr_making, 1);
    p = large_make(size, align, kind);
    atomic_fetch_sub(&nr_making, 1);
    return p;
}

/* Bytes of the large block that starts at base; 0: no such block starts there. */
static size_t large_bytes(const char *base)
{
    const struct frame_map *map = &malloc_arena.pages.map;
    uint32_t pfn = virt_to_pfn(map, base);

    if (pfn == PFN_NONE || map->classes[pfn] != CLASS_LARGE)
        return 0;
    return (size_t)load_relaxed(&pfn_to_page(map, pfn)->large.nr_pages) << PAGE_SHIFT;
}

/* The start of the large block whose caller has p, and its bytes. NULL: there is none. The frames
 * before p are as many bytes as the block's alignment, which p is a multiple of: each power of two
 * that p is a multiple of is tried. */
static char *large_base(const void *p, size_t *bytes)
{
    uintptr_t address = (uintptr_t)p;

    if (virt_to_pfn(&malloc_arena.pages.map, p) == PFN_NONE || (address & (PAGE_SIZE - 1)) != 0)
        return NULL;
    for (uintptr_t front = PAGE_SIZE; front != 0 && (address & (front - 1)) == 0; front *= 2) {
        *bytes = large_bytes((const char *)p - front);
        if (*bytes > front + PAGE_SIZE)
            return (char *)(address - front);
    }
    return NULL;
}

/* A live one. */
struct large {
    char *base;      /* as the core knows it */
    size_t bytes;    /* of all of it */
    uint64_t value;  /* what the caller asked for, and its kind */
    bool has_guards; /* frames without access around it */
};

static const char *large_words(const struct large *b)
{
    return b->base + b->bytes - PAGE_SIZE - DEBUG_WORD_BYTES;
}

/* What the caller of a live block has; NULL: its words were written over. */
static char *large_caller(const struct large *b, uint64_t *word)
{
    for (size_t front = PAGE_SIZE; front < b->bytes; front *= 2)
        if (debug_words_get(secret(), large_words(b), b->base + front, word))
            return b->base + front;
    return NULL;
}

/* Nothing was written to between the caller's bytes, which are at p, and the words. */
static bool large_is_whole(const struct large *b, const char *p)
{
    return debug_red_wrong(p + debug_value_size(b->value), large_words(b),
                           debug_red_keyed(secret(), p)) == NULL;
}

/* Finds the block; ends the process unless p is a live one that nothing wrote behind. The caller
 * holds the lock because the words of blocks change under it alone. */
static struct large large_find_locked(const char *call, const void *p)
{
    struct large b;
    uint64_t word;

    lock_assert_held(&quarantine_lock);
    b.base = large_base(p, &b.bytes);
    if (b.base == NULL)
        misuse_abort(call, p, PYSLAB_EPOINTER);
    if (quarantine_has_frames_locked(b.base))
        misuse_abort(call, p, PYSLAB_EDOUBLE);
    if (!debug_words_get(secret(), large_words(&b), p, &word)) {
        if (large_caller(&b, &word) != NULL)
            misuse_abort(call, p, PYSLAB_EPOINTER);
        misuse_abort_words(call, p, "written to behind its end");
    }
    b.value = word & ~BARE;
    b.has_guards = (word & BARE) == 0;
    if (!large_is_whole(&b, p))
        misuse_abort_words(call, p, "written to behind its end");
    return b;
}

static void large_free(void *p, const struct claim *claim)
{
    struct large b;

    lock_acquire(&quarantine_lock);
    b = large_find_locked(claim->call, p);
    check_claim(p, b.value, claim);
    quarantine_add_frames_locked(b.base, b.bytes, b.has_guards);
    lock_release(&quarantine_lock);
    quarantine_trim();
}

/* --- one block ---------------------------------------------------------- */

static struct kmem_cache *cache_around(const void *p)
{
    return slab_cache_around(&malloc_arena.kmalloc.slabs, p);
}

static void *block_alloc(size_t size, size_t align, enum debug_kind kind)
{
    void *p = small_alloc(size, align, kind);

    return p != NULL ? p : large_alloc(size, align, kind);
}

void *hardened_alloc(size_t size, size_t align, enum debug_kind kind)
{
    void *p;

    CHECK(is_power_of_two(align) && align >= MALLOC_ALIGN);
    p = block_alloc(size, align, kind);
    /* The memory that is missing may be in the quarantine, but not for what never fits. */
    if (p == NULL && size < malloc_arena.mapped_bytes && align < malloc_arena.mapped_bytes &&
        quarantine_drain())
        p = block_alloc(size, align, kind);
    return p;
}

void hardened_free(void *p, const struct claim *claim)
{
    struct kmem_cache *cache = cache_around(p);

    if (unlikely(!is_power_of_two(claim->align)) ||
        unlikely(((uintptr_t)p & (claim->align - 1)) != 0))
        misuse_abort_words(claim->call, p, "of another alignment");
    if (likely(cache != NULL))
        small_free(cache, p, claim);
    else
        large_free(p, claim);
}

size_t hardened_usable(const char *call, const void *p)
{
    struct kmem_cache *cache = cache_around(p);
    size_t size = 0;

    if (cache != NULL) {
        int error = debug_examine(cache, p, &size);

        if (error != PYSLAB_OK)
            misuse_abort(call, p, error);
        return size;
    }
    lock_acquire(&quarantine_lock);
    size = debug_value_size(large_find_locked(call, p).value);
    lock_release(&quarantine_lock);
    return size;
}

/* As hardened_usable, but what was written around an object is left to the free. */
static size_t size_before_move(const void *p)
{
    struct kmem_cache *cache = cache_around(p);
    uint64_t value;

    return cache != NULL && small_asked(cache, p, &value) ? debug_value_size(value)
                                                          : hardened_usable("realloc", p);
}

void *hardened_realloc(void *p, size_t size, const struct claim *claim)
{
    size_t old = size_before_move(p);
    int saved = errno;
    void *moved = NULL;

    CHECK(p != NULL);
    if (size == 0) {
        hardened_free(p, claim);
        errno = saved;
        return NULL;
    }
    if (size <= MALLOC_MAX_BYTES)
        moved = hardened_alloc(size, MALLOC_ALIGN, DEBUG_KIND_MALLOC);
    if (moved == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(moved, p, old < size ? old : size);
    hardened_free(p, claim);
    errno = saved;
    return moved;
}

/* --- what the core finds ------------------------------------------------ */

static bool is_ending; /* the process; what is found now was found by the walk at its end */

static void end_process(const pyslab_corruption *found, void *context)
{
    const void *p = found->object != NULL ? found->object : found->address;
    const char *call = is_ending ? "exit" : "free";

    (void)context;
    if (found->kind == PYSLAB_CORRUPTION_LEFT_REDZONE)
        misuse_abort_words(call, p, "written to before its start");
    if (found->kind == PYSLAB_CORRUPTION_RIGHT_REDZONE)
        misuse_abort_words(call, p, "written to behind its end");
    misuse_abort_words(call, p, "written to after its free");
}

/* Ends the process if something was written behind this block of frames, which is live. */
static bool check_large_locked(void *context, uint32_t pfn, const struct page *page)
{
    const struct frame_map *map = &malloc_arena.pages.map;
    struct large b;
    uint64_t word;
    char *p;

    lock_assert_held(&quarantine_lock);
    (void)context;
    if (frame_class(map->classes, pfn) != CLASS_LARGE)
        return true;
    b.base = pfn_to_virt(map, pfn);
    b.bytes = (size_t)load_relaxed(&page->large.nr_pages) << PAGE_SHIFT;
    if (quarantine_has_frames_locked(b.base))
        return true;
    p = large_caller(&b, &word);
    if (p == NULL) {
        /* Or the thread that makes it has just begun; if it is done by now, the words are there. */
        if (atomic_load(&nr_making) != 0 || large_caller(&b, &word) != NULL)
            return true;
        misuse_abort_words("exit", b.base + PAGE_SIZE, "written to behind its end");
    }
    b.value = word & ~BARE;
    if (!large_is_whole(&b, p))
        misuse_abort_words("exit", p, "written to behind its end");
    return true;
}

void hardened_check_all(void)
{
    struct kmalloc *km = &malloc_arena.kmalloc;

    is_ending = true;
    for (unsigned class = 1; class <= km->classes.nr; class++)
        (void)debug_validate(km->slabs.caches[class]);
    lock_acquire(&quarantine_lock); /* no block loses its access meanwhile */
    if (quarantine_is_still_locked())
        (void)page_alloc_each_block(&malloc_arena.pages, check_large_locked, NULL);
    lock_release(&quarantine_lock);
}

void hardened_start(void)
{
    struct arena_debug *debug = &malloc_arena.kmalloc.slabs.debug;

    CHECK(page_alloc_used(&malloc_arena.pages) == 0 && debug->keyed);
    atomic_store(&debug->handler, end_process);
    guards_init();
    quarantine_init();
}
