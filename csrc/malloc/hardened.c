/* hardened.c - see hardened.h. */
#include "malloc/hardened.h"

#include "malloc/block_words.h"
#include "malloc/guards.h"
#include "malloc/heap.h"
#include "malloc/quarantine.h"

#include <errno.h>
#include <string.h>

/* --- small: objects of the caches --------------------------------------- */

/* Bytes between an object's start and the p that the caller gets. */
static size_t front_bytes(size_t align)
{
    return align > BLOCK_WORD_BYTES ? align : BLOCK_WORD_BYTES;
}

/* The size class whose objects have room for the block, its words and a guard byte; 0: none. */
static unsigned small_class(size_t size, size_t align)
{
    if (size > HARDENED_MAX_OBJECT || align > PAGE_SIZE)
        return 0;
    return size_class_aligned(&malloc_arena.kmalloc.classes, front_bytes(align) + size + 1, align);
}

static void *small_alloc(unsigned class, size_t size, size_t align)
{
    struct kmem_cache *cache = malloc_arena.kmalloc.slabs.caches[class];
    size_t front = front_bytes(align), bytes = cache->desc->object_size;
    char *base = cache_alloc_any(cache, PYSLAB_GFP_KERNEL);

    if (base == NULL)
        return NULL;
    if (!bytes_are_zero(base + BLOCK_WORD_BYTES, bytes - BLOCK_WORD_BYTES))
        misuse_abort_words("malloc", base + BLOCK_WORD_BYTES, "written to after its free");
    memset(base, 0, BLOCK_WORD_BYTES); /* the cache's words were there */
    block_words_set(base + front - BLOCK_WORD_BYTES, base + front, size, BLOCK_LIVE);
    guard_fill(base + front, size, bytes - front);
    return base + front;
}

/* The start of the object that p lies in, and its bytes. NULL: p lies in no object. */
static char *small_base(const void *p, size_t *bytes)
{
    struct slab_alloc *sa = &malloc_arena.kmalloc.slabs;
    uint32_t pfn = virt_to_pfn(&sa->map, p);
    const struct cache_desc *desc;
    size_t offset;
    unsigned class;

    if (pfn == PFN_NONE || (class = sa->map.classes[pfn]) == CLASS_NONE || class > CLASS_MAX ||
        sa->caches[class] == NULL)
        return NULL;
    desc = sa->caches[class]->desc;
    offset = (size_t)((const char *)p - sa->map.base) & ((PAGE_SIZE << desc->slab_order) - 1);
    if (offset / desc->stride >= desc->objects_per_slab)
        return NULL;
    *bytes = desc->object_size;
    return (char *)(uintptr_t)p - offset % desc->stride;
}

/* --- large: whole frames ------------------------------------------------ */

static size_t large_front(size_t align)
{
    return align > PAGE_SIZE ? align : PAGE_SIZE;
}

static void *large_alloc(size_t size, size_t align)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    uint32_t gfp = PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO;
    size_t front = large_front(align), data, bytes;
    enum block_state state = BLOCK_LIVE;
    char *base = NULL;

    if (size > MALLOC_MAX_BYTES - 2 * PAGE_SIZE - BLOCK_WORD_BYTES ||
        front > MALLOC_MAX_BYTES - 2 * PAGE_SIZE - BLOCK_WORD_BYTES - size)
        return NULL;
    data = (size_t)align_up(size + BLOCK_WORD_BYTES, PAGE_SIZE);
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
    if (!guards_place(base, front, bytes))
        state = BLOCK_LIVE_BARE;
    block_words_set(base + front + data - BLOCK_WORD_BYTES, base + front, size, state);
    guard_fill(base + front, size, data - BLOCK_WORD_BYTES);
    return base + front;
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

/* --- one block ---------------------------------------------------------- */

struct block {
    char *base;      /* as the core knows it */
    size_t bytes;    /* of all of it */
    char *words;     /* of the block: block_words.h */
    char *guard_end; /* guard bytes lie from p + size to here */
    size_t size;     /* that the caller asked for */
    bool is_large;   /* of whole frames */
    bool has_guards; /* frames without access around it */
};

static bool is_live(enum block_state state)
{
    return state == BLOCK_LIVE || state == BLOCK_LIVE_BARE;
}

/* The large block is live, and its caller has another pointer than the one that led to it. */
static bool large_is_anothers(const struct block *b)
{
    size_t size;

    for (size_t front = PAGE_SIZE; front < b->bytes; front *= 2)
        if (is_live(block_words_get(b->words, b->base + front, &size)))
            return true;
    return false;
}

/* The words before or behind p have no state. Says why, as far as that can be known. */
static _Noreturn void abort_not_a_block(const char *call, const void *p, const struct block *b)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    const char *start = b->base + BLOCK_WORD_BYTES;

    if (b->is_large && large_is_anothers(b))
        misuse_abort(call, p, PYSLAB_EPOINTER);
    if (b->is_large)
        misuse_abort_words(call, p, "written to behind its end");
    if (object_is_marked(km->slabs.caches[km->slabs.map.classes[virt_to_pfn(&km->slabs.map, p)]],
                         b->base))
        misuse_abort(call, p, (const char *)p == start ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER);
    if ((const char *)p != start)
        misuse_abort(call, p, PYSLAB_EPOINTER);
    misuse_abort_words(call, p, "written to before its start");
}

/* Finds the block; ends the process unless p is a live one that nothing wrote around. The caller
 * holds the lock because the words of blocks change under it alone. */
static struct block block_find_locked(const char *call, const void *p)
{
    struct block b = {.is_large = false};
    enum block_state state;

    lock_assert_held(&quarantine_lock);
    b.base = small_base(p, &b.bytes);
    if (b.base != NULL) {
        if ((const char *)p < b.base + BLOCK_WORD_BYTES || ((uintptr_t)p & 15) != 0)
            misuse_abort(call, p, PYSLAB_EPOINTER);
        b.words = (char *)(uintptr_t)p - BLOCK_WORD_BYTES;
        b.guard_end = b.base + b.bytes;
    } else {
        b.base = large_base(p, &b.bytes);
        if (b.base == NULL)
            misuse_abort(call, p, PYSLAB_EPOINTER);
        if (quarantine_has_frames_locked(b.base))
            misuse_abort(call, p, PYSLAB_EDOUBLE);
        b.is_large = true;
        b.words = b.base + b.bytes - PAGE_SIZE - BLOCK_WORD_BYTES;
        b.guard_end = b.words;
    }
    state = block_words_get(b.words, p, &b.size);
    if (state == BLOCK_FREED)
        misuse_abort(call, p, PYSLAB_EDOUBLE);
    if (!is_live(state) || b.size > (size_t)(b.guard_end - (const char *)p))
        abort_not_a_block(call, p, &b);
    if (!guard_is_whole(p, b.size, (size_t)(b.guard_end - (const char *)p)))
        misuse_abort_words(call, p, "written to behind its end");
    b.has_guards = state == BLOCK_LIVE;
    return b;
}

static void *block_alloc(size_t size, size_t align)
{
    unsigned class = small_class(size, align);
    void *p = class != 0 ? small_alloc(class, size, align) : NULL;

    return p != NULL ? p : large_alloc(size, align);
}

void *hardened_alloc(size_t size, size_t align)
{
    void *p;

    CHECK(is_power_of_two(align) && align >= MALLOC_ALIGN);
    p = block_alloc(size, align);
    /* The memory that is missing may be in the quarantine, but not for what never fits. */
    if (p == NULL && size < malloc_arena.mapped_bytes && align < malloc_arena.mapped_bytes &&
        quarantine_drain())
        p = block_alloc(size, align);
    return p;
}

void hardened_free(const char *call, void *p, size_t size, size_t align)
{
    struct block b;

    lock_acquire(&quarantine_lock);
    b = block_find_locked(call, p);
    if (size != SIZE_UNKNOWN && size != b.size)
        misuse_abort_words(call, p, "of another size");
    if (!is_power_of_two(align) || ((uintptr_t)p & (align - 1)) != 0)
        misuse_abort_words(call, p, "of another alignment");
    if (!b.is_large)
        block_words_set(b.words, p, b.size, BLOCK_FREED);
    else
        quarantine_add_frames_locked(b.base, b.bytes, b.has_guards);
    lock_release(&quarantine_lock);
    if (b.is_large) {
        quarantine_trim();
        return;
    }
    memset(p, 0, (size_t)(b.guard_end - (char *)p));
    quarantine_add_object(b.base, b.bytes, p);
}

size_t hardened_usable(const char *call, const void *p)
{
    struct block b;

    lock_acquire(&quarantine_lock);
    b = block_find_locked(call, p);
    lock_release(&quarantine_lock);
    return b.size;
}

void *hardened_realloc(void *p, size_t size)
{
    size_t old = hardened_usable("realloc", p);
    int saved = errno;
    void *moved = NULL;

    CHECK(p != NULL);
    if (size == 0) {
        hardened_free("realloc", p, SIZE_UNKNOWN, ALIGN_UNKNOWN);
        errno = saved;
        return NULL;
    }
    if (size <= MALLOC_MAX_BYTES)
        moved = hardened_alloc(size, MALLOC_ALIGN);
    if (moved == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(moved, p, old < size ? old : size);
    hardened_free("realloc", p, SIZE_UNKNOWN, ALIGN_UNKNOWN);
    errno = saved;
    return moved;
}

void hardened_check_quarantine(void)
{
    quarantine_check();
}

void hardened_start(void)
{
    struct kmalloc *km = &malloc_arena.kmalloc;

    CHECK(page_alloc_used(&malloc_arena.pages) == 0);
    for (unsigned class = 1; class <= km->classes.nr; class++) {
        struct kmem_cache *cache = km->slabs.caches[class];

        cache->sheaf_capacity = 0;
        cache->zone_gfp |= (uint32_t)PYSLAB_GFP_ZERO; /* new slabs are zero */
    }
    block_words_init(km->slabs.secret);
    guards_init();
    quarantine_init();
}
