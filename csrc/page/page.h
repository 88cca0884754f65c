/* page.h - one record per page frame, and the arithmetic between frame and address.
 *
 * What it is: struct page (32 bytes; Linux pays 64), the frame class map (a byte per frame), words
 * for free bits of slabs of many objects, and the way from a frame number (pfn) to its record, to
 * its address and back. The arrays lie in a mapping of their own, away from user memory, and a part
 * of them is touched only when the frames it is for are used. The first nr_mapped frames of an
 * arena have an address; those behind them (high memory) are pages of a file, and only their
 * records can be reached from here.
 * What it is not: it knows no policy. The layers above decide which block is free and who gets it.
 *
 * Data structure: a block is 2**order frames, or a run of any length. Only the record of its first
 * frame, its head, means anything; the frames behind the head keep state UNLISTED. The head's
 * `word` packs state, order and zone, so that a fast path tests all three in one compare; only
 * this file puts a word together or takes it apart. The union holds what the owner of the block
 * needs. The frontier of a zone (buddy/buddy.h) is its first frame that was never handed out.
 * Invariant: below a zone's frontier, blocks tile the frames without gap or overlap:
 * head(i + 1) == head(i) + page_block_pages(head(i)); buddy/buddy_check.c holds it.
 * Frame class map: the class byte of a frame says whose allocations start there: 0, "none does",
 * except that every frame of a slab of cache c holds c's class byte, and the head of a large
 * kmalloc block holds CLASS_LARGE.
 * Lock: the word of a free block changes under its zone's lock; the word of a block in a thread's
 * hands is that thread's. Readers use relaxed loads.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/list.h"
#include "os/os_file.h"

/* The residency of a free block: whether the system has memory behind it (then it is resident),
 * and what is known of its content. A block that is DIRTY, or has a dirty part, is called dirty;
 * the others read zero and are called clean. */
enum residency {
    RESIDENCY_UNTOUCHED = 0, /* never used, or given back: not resident, reads zero */
    RESIDENCY_ZEROED = 1,    /* resident and all zero */
    RESIDENCY_DIRTY = 2,     /* resident, with whatever its last owner left there */
    RESIDENCY_MIXED = 3,     /* its halves differ: the records of the halves tell */
};

struct page {
    _Atomic uint32_t word;     /* PAGE_WORD(state, order, zone) and PAGE_FLAG_* */
    _Atomic uint32_t refcount; /* references on an allocated block */
    struct index_link link;    /* free list of the buddy, or slab list of a cache */
    union {
        struct {
            uint64_t residency; /* of the block of each order that starts here:
                                   enum residency << 2*order; kept when blocks merge */
            uint32_t nr_dirty;  /* frames of the block that are RESIDENCY_DIRTY */
        } buddy;
        struct {
            /* frames of the block: not always a power of two; its owner writes it, a
             * walk over the zone reads it */
            _Atomic uint32_t nr_pages;
            /* only in arenas with debug flags for large blocks: kmalloc/large_debug.h */
            uint32_t tail;         /* bytes that were not asked for; or LARGE_WAITS */
            uint32_t allocated_at; /* stacks; 0: not known */
            uint32_t freed_at;
        } large;
        struct {
            uint64_t tail;   /* of a guarded block, in the record of its second frame: bytes that
                                were not asked for, behind what its caller has */
            uint32_t offset; /* of that, from the block's start */
            uint8_t state;   /* enum guarded_state (slab/guarded.h has the rest, in page.large) */
            uint8_t kind;    /* who made it: the caller's own number */
            uint8_t lead;    /* frames without access at its start */
            uint8_t trail;   /* and at its end */
        } guarded;
        struct {
            uint16_t cache_id;     /* index of the cache's descriptor */
            uint16_t inuse;        /* objects that are not free in this slab */
            uint16_t list;         /* enum slab_list it is on */
            _Atomic uint64_t free; /* bit i: object i is free here; of the first 64 objects */
        } slab;
    };
};

_Static_assert(sizeof(struct page) == 32, "struct page is 32 bytes");

/* --- the word ------------------------------------------------------------ */

#define PAGE_WORD(state, order, zone)                                                              \
    ((uint32_t)(state) | ((uint32_t)(order) << 8) | ((uint32_t)(zone) << 16))
#define PAGE_FLAG_CLEAN (1u << 24)   /* on a page list: reads zero */
#define PAGE_FLAG_COMP (1u << 25)    /* allocated with GFP_COMP: one block for ever */
#define PAGE_FLAG_RUN (1u << 26)     /* large.nr_pages frames, not 2**order: of any length */
#define PAGE_FLAG_SHOWN (1u << 27)   /* of alloc_pages: others may hold it (page_keeps) */
#define PAGE_FLAG_GUARDED (1u << 28) /* in use, with a frame without access: slab/guarded.h */
#define PAGE_WORD_MASK 0x00ffffffu   /* the word without its flags */
#define PAGE_ZONE_MASK 0x00ff0000u   /* the zone in a word */

static always_inline unsigned page_word_state(uint32_t word)
{
    return word & 0xff;
}

static always_inline unsigned page_word_order(uint32_t word)
{
    return (word >> 8) & 0xff;
}

static always_inline unsigned page_word_zone(uint32_t word)
{
    return (word >> 16) & 0xff;
}

/* Both words are of the same zone. */
static always_inline bool page_words_same_zone(uint32_t a, uint32_t b)
{
    return ((a ^ b) & PAGE_ZONE_MASK) == 0;
}

/* The number of frames stands in the record, as it is not 2**order. */
static always_inline bool page_word_tells_length(uint32_t word)
{
    return page_word_state(word) == PYSLAB_PAGE_LARGE || (word & PAGE_FLAG_RUN) != 0;
}

/* The word of a block in use that goes to a page list: of its order and zone, in state PCP. */
static always_inline uint32_t page_word_listed(uint32_t alloc_word)
{
    return alloc_word + ((uint32_t)PYSLAB_PAGE_PCP - (uint32_t)PYSLAB_PAGE_ALLOC);
}

static always_inline unsigned page_state(const struct page *page)
{
    return page_word_state(load_relaxed(&page->word));
}

static always_inline unsigned page_order(const struct page *page)
{
    return page_word_order(load_relaxed(&page->word));
}

static always_inline unsigned page_zone(const struct page *page)
{
    return page_word_zone(load_relaxed(&page->word));
}

/* A free block of this order and zone starts at the frame; or one in state PCP, and so on. */
static always_inline bool page_is(const struct page *page, enum pyslab_page_state state,
                                  unsigned order, uint32_t zone)
{
    return (load_relaxed(&page->word) & PAGE_WORD_MASK) == PAGE_WORD(state, order, zone);
}

/* Makes the frame the head of a block without flags (UNLISTED: of none). */
static always_inline void page_set(struct page *page, enum pyslab_page_state state, unsigned order,
                                   uint32_t zone)
{
    store_relaxed(&page->word, PAGE_WORD(state, order, zone));
}

/* --- the frame class map, and addresses ---------------------------------- */

#define CLASS_NONE 0u     /* no allocation starts in this frame */
#define CLASS_MAX 249u    /* cache ids up to here are their own class byte */
#define CLASS_LOOKUP 250u /* slab frame of a cache with a larger id: see its struct page */
#define CLASS_LARGE 251u  /* head of a large kmalloc block */
#define NR_CLASSES 252u   /* values a class byte can have */

/* The free bits of a slab's objects behind its first 64 (slab/slab.c), of which only objects below
 * 64 bytes have so many in a frame: words for objects of 16 bytes, and more for those of 8. A page
 * of them is touched only if one of its frames is in such a slab. */
#define FREE_WORDS_NEAR 3u
#define FREE_WORDS_FAR 4u

/* Where the frames and their records are. Pointers, so process-local. */
struct frame_map {
    char *base;                  /* address of frame 0 */
    struct page *pages;          /* nr_pages records */
    uint8_t *classes;            /* nr_pages bytes */
    _Atomic uint64_t *free_near; /* FREE_WORDS_NEAR words per frame */
    _Atomic uint64_t *free_far;  /* FREE_WORDS_FAR words per frame */
    size_t bytes;                /* of the frames that have an address */
    uint32_t nr_pages;           /* frames of the arena */
    uint32_t nr_mapped;          /* frames with an address: the first ones */
    struct os_file *high; /* the others are in this file, from its offset 0 on; NULL: none are */
    struct os_file *low;  /* those with an address show this file, which other processes may map;
                             NULL: they are memory of this process alone */
    bool dump_follows;    /* frames come into core dumps when frame_map_open opens their records */
};

/* The frames without an address outlive the arena, in a file whose blocks stay allocated. */
static inline bool frame_map_is_on_disk(const struct frame_map *map)
{
    return map->high != NULL && map->high->is_disk;
}

/* The class byte of a frame. Other threads may change those of other blocks' frames, and that of a
 * live block's from its fast class to CLASS_LOOKUP and back.
 * pre: pfn < nr_pages (unchecked: the fast paths have just tested the address) */
static always_inline uint8_t frame_class(const uint8_t *classes, size_t pfn)
{
    return __atomic_load_n(&classes[pfn], __ATOMIC_RELAXED);
}

static inline void frame_class_set(const struct frame_map *map, uint32_t pfn, uint8_t class)
{
    CHECK(pfn < map->nr_pages);
    __atomic_store_n(&map->classes[pfn], class, __ATOMIC_RELAXED);
}

/* False, with nothing changed, if the frame has another class by now. */
static inline bool frame_class_change(const struct frame_map *map, uint32_t pfn, uint8_t from,
                                      uint8_t to)
{
    CHECK(pfn < map->nr_pages);
    return __atomic_compare_exchange_n(&map->classes[pfn], &from, to, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* pre: pfn < nr_pages (unchecked: loops and list heads name the record before they look at it) */
static always_inline struct page *pfn_to_page(const struct frame_map *map, uint32_t pfn)
{
    return &map->pages[pfn];
}

static always_inline bool pfn_has_address(const struct frame_map *map, uint32_t pfn)
{
    return likely(pfn < map->nr_mapped);
}

/* pre: pfn_has_address */
static always_inline void *pfn_to_virt(const struct frame_map *map, uint32_t pfn)
{
    CHECK(pfn_has_address(map, pfn));
    return map->base + ((size_t)pfn << PAGE_SHIFT);
}

/* The address under which tools outside the arena know a block: the block's own, so that all that
 * is told of it is of one block. High memory has none: then it is that of the first frame's struct
 * page. */
static inline void *pfn_to_place(const struct frame_map *map, uint32_t pfn)
{
    return pfn_has_address(map, pfn) ? pfn_to_virt(map, pfn) : (void *)pfn_to_page(map, pfn);
}

/* Where the frame is in the file. pre: !pfn_has_address */
static inline uint64_t pfn_to_offset(const struct frame_map *map, uint32_t pfn)
{
    CHECK(!pfn_has_address(map, pfn) && pfn < map->nr_pages);
    return (uint64_t)(pfn - map->nr_mapped) << PAGE_SHIFT;
}

/* PFN_NONE for an address outside the arena. */
static always_inline uint32_t virt_to_pfn(const struct frame_map *map, const void *p)
{
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    return offset < map->bytes ? (uint32_t)(offset >> PAGE_SHIFT) : PFN_NONE;
}

static inline struct index_view page_links(const struct frame_map *map)
{
    return (struct index_view){(char *)&map->pages[0].link, sizeof(struct page)};
}

static inline enum residency page_residency(const struct page *page, unsigned order)
{
    return (enum residency)((page->buddy.residency >> (2 * order)) & 3);
}

static inline void page_set_residency(struct page *page, unsigned order, enum residency state)
{
    page->buddy.residency &= ~((uint64_t)3 << (2 * order));
    page->buddy.residency |= (uint64_t)state << (2 * order);
}

/* Frames of the block that page heads; 0 if it heads none. */
uint32_t page_block_pages(const struct page *page);

/* Bytes of metadata that nr_pages frames need. */
size_t frame_map_bytes(uint32_t nr_pages);
/* The part of it that every frame in use has: its record and its class byte. */
size_t frame_map_record_bytes(uint32_t nr_pages);

/* Every frame has an address until frame_map_set_high.
 * pre: metadata is aligned to the page, and is frame_map_bytes(nr_pages) of zeroed memory (that
 * is unchecked: looking at it would touch it). */
void frame_map_init(struct frame_map *map, void *base, uint32_t nr_pages, void *metadata);
/* The frames behind the first nr_mapped are in a file; NULL: there are none.
 * pre: nr_mapped <= nr_pages */
void frame_map_set_high(struct frame_map *map, uint32_t nr_mapped, struct os_file *high);

/* Takes the right to write away from all that frame_map_init placed, and it and the frames out of
 * core dumps: what was never used costs nothing then, even where mlockall makes resident all that
 * can be written. They read zero. pre: they do so already (unchecked: to look makes them
 * resident). EOS */
int frame_map_close(struct frame_map *map);
/* Gives it back for the frames from start to end of a zone that ends at zone_end, for those that
 * were never used: the pages of the system that have their entries become new ones. A page with
 * entries of two zones is not touched: frame_map_open_border has opened it.
 * pre: start < end <= zone_end <= nr_pages. EOS */
int frame_map_open(const struct frame_map *map, uint32_t start, uint32_t end, uint32_t zone_end);
/* Gives it back for the pages that have the entries of pfn, the first frame of a zone, and of
 * frames before it. pre: pfn < nr_pages. EOS */
int frame_map_open_border(const struct frame_map *map, uint32_t pfn);

/* Writes the class byte of a block's frames. pre: they are frames of the map. */
void frame_map_set_class(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages,
                         uint8_t class);

/* Makes frames read zero: by writing, or, without an address, by emptying the file. */
void frames_clear(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages);
/* Gives frames' memory back to the system; they read zero afterwards. EOS */
int frames_discard(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages);

/* Clears what may be non-zero in the first nr_pages frames of the block of this order
 * at pfn, going by the residency its records kept. Returns frames cleared.
 * pre: nr_pages <= 1 << order */
uint32_t page_clear_block(const struct frame_map *map, uint32_t pfn, unsigned order,
                          uint32_t nr_pages);

#endif
