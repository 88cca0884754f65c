/* page.c - see page.h. */
#include "page/page.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_limits.h"

#include <string.h>

uint32_t page_block_pages(const struct page *page)
{
    uint32_t word = load_relaxed(&page->word);

    if (page_word_state(word) == PYSLAB_PAGE_UNLISTED)
        return 0;
    if (page_word_tells_length(word))
        return load_relaxed(&page->large.nr_pages);
    return 1u << page_word_order(word);
}

/* Each array starts at a page of the host, so that opening a part of one changes no other. */
static size_t array_bytes(uint32_t nr_pages, size_t bytes_each)
{
    return (size_t)align_up((uint64_t)nr_pages * bytes_each, os_page_bytes());
}

size_t frame_map_record_bytes(uint32_t nr_pages)
{
    return array_bytes(nr_pages, 1) + array_bytes(nr_pages, sizeof(struct page));
}

size_t frame_map_bytes(uint32_t nr_pages)
{
    return frame_map_record_bytes(nr_pages) +
           array_bytes(nr_pages, FREE_WORDS_NEAR * sizeof(uint64_t)) +
           array_bytes(nr_pages, FREE_WORDS_FAR * sizeof(uint64_t));
}

void frame_map_init(struct frame_map *map, void *base, uint32_t nr_pages, void *metadata)
{
    char *pages = (char *)metadata + array_bytes(nr_pages, 1);
    char *near = pages + array_bytes(nr_pages, sizeof(struct page));
    char *far = near + array_bytes(nr_pages, FREE_WORDS_NEAR * sizeof(uint64_t));

    CHECK(((uintptr_t)metadata & (PAGE_SIZE - 1)) == 0);
    *map = (struct frame_map){
        .base = base,
        .pages = (struct page *)(void *)pages,
        .classes = metadata,
        .free_near = (_Atomic uint64_t *)(void *)near,
        .free_far = (_Atomic uint64_t *)(void *)far,
        .nr_pages = nr_pages,
    };
    frame_map_set_high(map, nr_pages, NULL);
}

void frame_map_set_high(struct frame_map *map, uint32_t nr_mapped, struct os_file *high)
{
    CHECK(nr_mapped <= map->nr_pages);
    map->nr_mapped = nr_mapped;
    map->bytes = (size_t)nr_mapped << PAGE_SHIFT;
    map->high = high;
}

/* Whole host pages. */
struct page_span {
    char *start;
    size_t bytes;
};

static char *page_floor(void *p)
{
    return (char *)p - ((uintptr_t)p & (os_page_bytes() - 1));
}

static char *page_ceiling(void *p)
{
    return page_floor((char *)p + os_page_bytes() - 1);
}

static struct page_span span_between(char *start, char *end)
{
    return (struct page_span){start, end > start ? (size_t)(end - start) : 0};
}

int frame_map_close(struct frame_map *map)
{
    _Atomic uint64_t *end = map->free_far + (size_t)map->nr_pages * FREE_WORDS_FAR;
    struct page_span all = span_between(page_floor(map->classes), page_ceiling(end));
    int error = os_deny_writes(all.start, all.bytes);

    if (error != PYSLAB_OK)
        return error;
    os_dump(all.start, all.bytes, false);
    os_dump(map->base, map->bytes, false);
    map->dump_follows = true;
    return PYSLAB_OK;
}

/* The pages that begin among some entries of a zone; that of the last ones is left out if the next
 * zone's first entries are in it too. */
static struct page_span span_of_entries(void *first, void *behind, bool shared)
{
    return span_between(page_ceiling(first), shared ? page_floor(behind) : page_ceiling(behind));
}

static int span_open(struct page_span span)
{
    return span.bytes != 0 ? os_open_fresh(span.start, span.bytes) : PYSLAB_OK;
}

/* The arrays of a frame map: where an entry of each is. */
struct map_array {
    char *start;  /* of its first entry */
    size_t bytes; /* of an entry */
};

#define NR_MAP_ARRAYS 4u

static struct map_array map_array(const struct frame_map *map, unsigned which)
{
    switch (which) {
    case 0:
        return (struct map_array){(char *)map->pages, sizeof map->pages[0]};
    case 1:
        return (struct map_array){(char *)map->classes, sizeof map->classes[0]};
    case 2:
        return (struct map_array){(char *)map->free_near, FREE_WORDS_NEAR * sizeof(uint64_t)};
    default:
        return (struct map_array){(char *)map->free_far, FREE_WORDS_FAR * sizeof(uint64_t)};
    }
}

static void *map_entry(struct map_array array, uint32_t pfn)
{
    return array.start + array.bytes * pfn;
}

int frame_map_open(const struct frame_map *map, uint32_t start, uint32_t end, uint32_t zone_end)
{
    bool shared = end == zone_end && end != map->nr_pages;
    uint32_t last = min_uint(end, map->nr_mapped);

    CHECK(start < end && end <= zone_end && zone_end <= map->nr_pages);
    for (unsigned i = 0; i < NR_MAP_ARRAYS; i++) {
        struct map_array array = map_array(map, i);

        if (span_open(span_of_entries(map_entry(array, start), map_entry(array, end), shared)) !=
            PYSLAB_OK)
            return PYSLAB_EOS;
    }
    if (map->dump_follows && start < last)
        os_dump(pfn_to_virt(map, start), (size_t)(last - start) << PAGE_SHIFT, true);
    return PYSLAB_OK;
}

/* The page that has an entry and others before it; none if the entry is the first of a page. */
static int page_open_across(void *entry)
{
    char *page = page_floor(entry);

    if (page == (char *)entry)
        return PYSLAB_OK;
    if (os_allow(page, os_page_bytes()) != PYSLAB_OK)
        return PYSLAB_EOS;
    os_dump(page, os_page_bytes(), true);
    return PYSLAB_OK;
}

int frame_map_open_border(const struct frame_map *map, uint32_t pfn)
{
    CHECK(pfn < map->nr_pages);
    for (unsigned i = 0; i < NR_MAP_ARRAYS; i++)
        if (page_open_across(map_entry(map_array(map, i), pfn)) != PYSLAB_OK)
            return PYSLAB_EOS;
    return PYSLAB_OK;
}

void frames_clear(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages)
{
    size_t bytes = (size_t)nr_pages << PAGE_SHIFT;

    if (pfn_has_address(map, pfn))
        memset(pfn_to_virt(map, pfn), 0, bytes);
    else
        os_file_clear(map->high, pfn_to_offset(map, pfn), bytes);
}

int frames_discard(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages)
{
    size_t bytes = (size_t)nr_pages << PAGE_SHIFT;

    if (pfn_has_address(map, pfn) && map->low != NULL)
        return os_file_discard(map->low, (uint64_t)pfn << PAGE_SHIFT, bytes);
    if (pfn_has_address(map, pfn))
        return os_discard(pfn_to_virt(map, pfn), bytes);
    return os_file_discard(map->high, pfn_to_offset(map, pfn), bytes);
}

void frame_map_set_class(const struct frame_map *map, uint32_t pfn, uint32_t nr_pages,
                         uint8_t class)
{
    CHECK(pfn < map->nr_pages && nr_pages <= map->nr_pages - pfn);
    for (uint32_t i = 0; i < nr_pages; i++)
        frame_class_set(map, pfn + i, class);
}

uint32_t page_clear_block(const struct frame_map *map, uint32_t pfn, unsigned order,
                          uint32_t nr_pages)
{
    enum residency state = page_residency(pfn_to_page(map, pfn), order);
    uint32_t half, cleared;

    CHECK(order <= MAX_ORDER && nr_pages <= 1u << order);
    if (state == RESIDENCY_UNTOUCHED || state == RESIDENCY_ZEROED)
        return 0;
    if (state == RESIDENCY_DIRTY) {
        frames_clear(map, pfn, nr_pages);
        return nr_pages;
    }
    half = 1u << (order - 1);
    if (nr_pages <= half)
        return page_clear_block(map, pfn, order - 1, nr_pages);
    cleared = page_clear_block(map, pfn, order - 1, half);
    return cleared + page_clear_block(map, pfn + half, order - 1, nr_pages - half);
}
