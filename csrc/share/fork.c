/* fork.c - see fork.h. Order of the text: signs, marking, keeping, collecting, around fork(). The
 * child's side is inherit.c. */
#include "share/fork.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_file.h"
#include "share/divert.h"

#include <string.h>

#define PILE_SHARE (PAGE_SIZE / 4) /* bytes a frame of the heap: a quarter of it */
#define LOOK_MS 4u /* how old the answer may be that a free gets to whether children live */

static struct page_alloc *pages_of(const struct share *share)
{
    return share->kmalloc->slabs.pages;
}

/* --- signs of life ------------------------------------------------------------- */

static uint64_t byte_of(uint32_t number)
{
    return SHARE_FORK_BYTE + (uint64_t)number;
}

/* A child of one of these forks lives. */
static bool any_alive(int fd, uint32_t first, uint32_t last)
{
    return os_sign_any_alive(fd, byte_of(first), (uint64_t)last - first + 1);
}

/* The last fork up to this one with a child that lives; 0: none has. */
static uint32_t newest_alive(int fd, uint32_t last)
{
    uint32_t first = 1;

    if (last == 0 || !any_alive(fd, 1, last))
        return 0;
    if (any_alive(fd, last, last))
        return last;
    while (first < last) {
        uint32_t middle = first + (last - first + 1) / 2;

        if (any_alive(fd, middle, last))
            first = middle;
        else
            last = middle - 1;
    }
    return last;
}

/* Looks which children live, unless that was done a moment ago. Where it is not to be found out
 * all count as alive. */
static uint32_t look_locked(struct share *share, bool now)
{
    struct share_fork *fork = &share->fork;
    uint32_t newest = load_relaxed(&fork->newest), ms = os_time_ms();
    int fd;

    lock_assert_held(share_mutex());
    if (newest == 0 || (!now && ms - load_relaxed(&fork->look_ms) < LOOK_MS))
        return newest;
    store_relaxed(&fork->look_ms, ms);
    fd = share_heap_fd(&share->heap);
    if (fd < 0)
        return newest;
    newest = newest_alive(fd, newest);
    if (newest != load_relaxed(&fork->newest))
        store_relaxed(&fork->is_due, true);
    store_relaxed(&fork->newest, newest);
    return newest;
}

/* --- marking -------------------------------------------------------------------- */

/* Other threads go on with their fast paths meanwhile, and need no lock for them: a mark is set
 * by compare-and-swap, so that what they have just freed gets none. */

static void number_frame(struct share_fork *fork, uint32_t pfn, bool again)
{
    _Atomic uint32_t *number = load_relaxed(&fork->number);

    if (!again || load_relaxed(&number[pfn]) == 0)
        store_relaxed(&number[pfn], fork->nr_forks);
}

static void mark_slab(struct share *share, uint32_t pfn, uint32_t nr)
{
    const struct frame_map *map = &pages_of(share)->map;

    for (uint32_t i = pfn; i < pfn + nr; i++) {
        uint8_t class = frame_class(map->classes, i);

        if (class == CLASS_LOOKUP)
            number_frame(&share->fork, i, true);
        else if (class != CLASS_NONE && class < CLASS_LOOKUP &&
                 frame_class_change(map, i, class, CLASS_LOOKUP))
            number_frame(&share->fork, i, false);
    }
}

static void mark_pages(struct share *share, uint32_t pfn, uint32_t word)
{
    struct page *page = pfn_to_page(&pages_of(share)->map, pfn);
    bool again = (word & PAGE_FLAG_SHOWN) != 0;

    if (again || atomic_compare_exchange_strong(&page->word, &word, word | PAGE_FLAG_SHOWN))
        number_frame(&share->fork, pfn, again);
}

/* Marks what starts at a frame; returns how many frames it is. The block's thread may just be
 * making a slab of it, and write other fields of the union: then the number is of no block. */
__attribute__((no_sanitize("thread"))) static uint32_t mark_block(struct share *share, uint32_t pfn)
{
    struct page *page = pfn_to_page(&pages_of(share)->map, pfn);
    uint32_t word = load_relaxed(&page->word), nr = 1u << page_word_order(word);

    if (page_word_tells_length(word))
        nr = min_uint(load_relaxed(&page->large.nr_pages), nr);
    switch (page_word_state(word)) {
    case PYSLAB_PAGE_UNLISTED:
        return 1;
    case PYSLAB_PAGE_ALLOC:
        mark_pages(share, pfn, word);
        break;
    case PYSLAB_PAGE_LARGE:
        number_frame(&share->fork, pfn, true);
        break;
    case PYSLAB_PAGE_SLAB:
        mark_slab(share, pfn, nr);
        break;
    default: /* free */
        break;
    }
    return max_uint(nr, 1);
}

/* --- keeping ---------------------------------------------------------------------- */

static uint64_t *kept_words(const struct share *share, uint32_t pfn)
{
    return share->fork.kept + (size_t)pfn * SHARE_KEPT_WORDS;
}

static bool has_kept(const uint64_t words[SHARE_KEPT_WORDS])
{
    uint64_t all = 0;

    for (uint32_t i = 0; i < SHARE_KEPT_WORDS; i++)
        all |= words[i];
    return all != 0;
}

/* Where the bit of a block is: in a word of those of its frame. */
struct place {
    uint32_t pfn;
    uint32_t word;
    uint64_t bit;
};

static struct place place_of(const struct share *share, const void *p)
{
    uint32_t index = (uint32_t)((uintptr_t)p & (PAGE_SIZE - 1)) / 8;

    return (struct place){virt_to_pfn(&pages_of(share)->map, p), index / 64,
                          (uint64_t)1 << index % 64};
}

bool share_fork_keeps(struct share *share, const void *p)
{
    struct place at = place_of(share, p);
    bool keeps;

    if (load_acquire(&share->fork.number) == NULL)
        return false;
    share_lock();
    keeps = (kept_words(share, at.pfn)[at.word] & at.bit) != 0;
    share_unlock();
    return keeps;
}

void (*_Atomic share_fork_on_pile)(void);

/* Tells that much is kept. */
static void tell_pile(void)
{
    void (*told)(void) = load_relaxed(&share_fork_on_pile);

    if (told != NULL)
        told();
}

/* Sets the block's bit. EDOUBLE: it is set */
static int keep_locked(struct share *share, const void *p)
{
    struct share_fork *fork = &share->fork;
    struct place at = place_of(share, p);
    uint64_t *words = kept_words(share, at.pfn);

    lock_assert_held(share_mutex());
    if ((words[at.word] & at.bit) != 0)
        return PYSLAB_EDOUBLE;
    if (!has_kept(words)) {
        fork->next[at.pfn] = fork->first_kept;
        fork->first_kept = at.pfn;
    }
    words[at.word] |= at.bit;
    fork->nr_kept++;
    fork->kept_bytes += share_block_bytes(share, p);
    if (!fork->is_told && fork->kept_bytes / PILE_SHARE >= fork->nr_pages) {
        fork->is_told = true; /* once is enough */
        tell_pile();
    }
    return PAGE_KEPT;
}

/* No child has what is in these frames: the block at p is in use still, so that the marks may be
 * taken away. */
static void forget_frames_locked(struct share *share, const void *p)
{
    struct share_frames frames = share_frames_around(share, p);
    _Atomic uint32_t *number = load_relaxed(&share->fork.number);

    lock_assert_held(share_mutex());
    for (uint32_t i = 0; i < frames.nr; i++)
        store_relaxed(&number[frames.pfn + i], 0);
    share_divert_end_locked(share, p);
}

/* p is free, and was so at the fork. */
static bool is_free_object(struct share *share, const void *p)
{
    struct kmem_cache *cache = slab_cache_of(&share->kmalloc->slabs, p);

    return cache != NULL && cache->debug == NULL && object_is_marked(cache, (void *)(uintptr_t)p);
}

int share_fork_ask_locked(struct share *share, const void *p)
{
    uint32_t number = share_fork_of(&share->fork, share_frames_around(share, p).pfn);

    lock_assert_held(share_mutex());
    if (number == 0)
        return PYSLAB_OK;
    if (is_free_object(share, p))
        return PYSLAB_EDOUBLE;
    if (number <= look_locked(share, false))
        return keep_locked(share, p);
    forget_frames_locked(share, p);
    return PYSLAB_OK;
}

bool share_fork_shows(struct share *share, const void *p)
{
    uint32_t number = share_fork_of(&share->fork, share_frames_around(share, p).pfn);
    bool shows;

    if (number == 0 || share->forked)
        return number != 0;
    share_lock();
    shows = number <= look_locked(share, true);
    share_unlock();
    return shows;
}

/* --- collecting --------------------------------------------------------------------- */

/* Takes the first frame off the list of frames at *list; puts it back if a child may have it. False
 * if there is none to be freed. */
static bool next_frame_locked(struct share *share, uint32_t *list, uint32_t *pfn,
                              uint64_t words[SHARE_KEPT_WORDS])
{
    struct share_fork *fork = &share->fork;
    uint32_t newest = load_relaxed(&fork->newest);

    lock_assert_held(share_mutex());
    while ((*pfn = *list) != PFN_NONE) {
        *list = fork->next[*pfn];
        if (share_fork_of(fork, *pfn) > newest || share_fork_of(fork, *pfn) == 0) {
            memcpy(words, kept_words(share, *pfn), SHARE_KEPT_WORDS * sizeof *words);
            memset(kept_words(share, *pfn), 0, SHARE_KEPT_WORDS * sizeof *words);
            return true;
        }
        fork->next[*pfn] = fork->first_kept;
        fork->first_kept = *pfn;
    }
    return false;
}

/* Frees what has a bit in words; returns its bytes. */
static uint64_t free_kept(struct share *share, uint32_t pfn, const uint64_t words[SHARE_KEPT_WORDS],
                          uint32_t *nr)
{
    char *start = pfn_to_virt(&pages_of(share)->map, pfn);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < SHARE_KEPT_WORDS; i++)
        for (uint64_t word = words[i]; word != 0; word &= word - 1) {
            char *p = start + ((size_t)i * 64 + ctz64(word)) * 8;

            bytes += share_block_bytes(share, p);
            ++*nr;
            (void)share_block_free(share, p);
        }
    return bytes;
}

/* The list of frames with kept blocks, if there is something to do for this thread. */
static uint32_t start_collecting(struct share *share)
{
    struct share_fork *fork = &share->fork;
    uint32_t list = PFN_NONE;

    share_lock();
    (void)look_locked(share, true);
    if (!fork->is_collecting && load_relaxed(&fork->is_due)) {
        store_relaxed(&fork->is_due, false);
        list = fork->first_kept;
        fork->first_kept = PFN_NONE;
        fork->is_collecting = list != PFN_NONE;
    }
    share_unlock();
    return list;
}

uint64_t share_fork_collect(struct share *share)
{
    uint64_t words[SHARE_KEPT_WORDS], bytes = 0;
    uint32_t list, pfn, nr = 0;
    bool more;

    if (load_acquire(&share->fork.number) == NULL || (list = start_collecting(share)) == PFN_NONE)
        return 0;
    for (;;) {
        share_lock();
        more = next_frame_locked(share, &list, &pfn, words);
        if (!more)
            share->fork.is_collecting = false;
        share_unlock();
        if (!more)
            break;
        bytes += free_kept(share, pfn, words, &nr);
    }
    share_lock();
    share->fork.nr_kept -= nr;
    share->fork.kept_bytes -= bytes;
    share_unlock();
    return bytes;
}

/* --- around fork() ------------------------------------------------------------------- */

void share_fork_init(struct share_fork *fork, uint32_t nr_pages)
{
    *fork = (struct share_fork){.nr_pages = nr_pages, .first_kept = PFN_NONE, .fd = -1};
}

static size_t words_bytes(const struct share_fork *fork, size_t bytes)
{
    return (size_t)align_up(fork->nr_pages * bytes, os_page_bytes());
}

static void release(void *p, size_t bytes)
{
    if (p != NULL)
        os_release(p, bytes);
}

void share_fork_destroy(struct share_fork *fork)
{
    if (fork->sign != NULL)
        os_sign_end(fork->sign);
    release((void *)load_relaxed(&fork->number), words_bytes(fork, sizeof(uint32_t)));
    release(fork->kept, words_bytes(fork, SHARE_KEPT_WORDS * sizeof *fork->kept));
    release(fork->next, words_bytes(fork, sizeof *fork->next));
}

/* At the first fork. ENOMEM, EOS */
static int map_all(struct share_fork *fork)
{
    void *number = NULL, *kept = NULL, *next = NULL;
    int error;

    if (load_relaxed(&fork->number) != NULL)
        return PYSLAB_OK;
    error = share_map_words(words_bytes(fork, sizeof(uint32_t)), &number);
    if (error == PYSLAB_OK)
        error = share_map_words(words_bytes(fork, SHARE_KEPT_WORDS * sizeof *fork->kept), &kept);
    if (error == PYSLAB_OK)
        error = share_map_words(words_bytes(fork, sizeof *fork->next), &next);
    if (error != PYSLAB_OK) {
        release(number, words_bytes(fork, sizeof(uint32_t)));
        release(kept, words_bytes(fork, SHARE_KEPT_WORDS * sizeof *fork->kept));
        return error;
    }
    fork->kept = kept;
    fork->next = next;
    atomic_store_explicit(&fork->number, number, memory_order_release);
    return PYSLAB_OK;
}

/* The sign is this process's next child's: of a new fork, or of the one that it has itself
 * inherited by. */
static int begin(struct share *share)
{
    struct share_fork *fork = &share->fork;
    int table = share_heap_fd(&share->heap), error = map_all(fork);

    if (error == PYSLAB_OK && !share->forked && fork->nr_forks == UINT32_MAX)
        error = PYSLAB_ELIMIT;
    if (error == PYSLAB_OK && !share->forked)
        fork->nr_forks++;
    if (error == PYSLAB_OK && table < 0)
        error = PYSLAB_EOS;
    if (error == PYSLAB_OK)
        error = os_sign_lock_shared(table, byte_of(fork->nr_forks), &fork->fd);
    return error;
}

void share_fork_begin_locked(struct share *share)
{
    struct share_fork *fork = &share->fork;

    lock_assert_held(share_mutex());
    fork->fd = -1;
    if (fork->choice == PYSLAB_FORK_REFUSE || (share->forked && fork->sign == NULL))
        return;
    if (begin(share) != PYSLAB_OK)
        fork->fd = -1;
    else if (!share->forked)
        store_relaxed(&fork->newest, fork->nr_forks);
}

void share_fork_mark_locked(struct share *share)
{
    const struct page_alloc *pages = pages_of(share);

    lock_assert_held(share_mutex());
    if (load_acquire(&share->fork.number) == NULL || share->forked)
        return;
    for (uint32_t i = 0; i < pages->nr_zones; i++) {
        const struct zone *zone = &pages->zone[i];

        lock_assert_held(&zone->lock);
        for (uint32_t pfn = zone->start_pfn;
             pfn < zone->frontier && pfn_has_address(&pages->map, pfn);)
            pfn += mark_block(share, pfn);
    }
}

void share_fork_end_locked(struct share *share)
{
    lock_assert_held(share_mutex());
    if (share->fork.fd >= 0)
        os_share_close(share->fork.fd);
    share->fork.fd = -1;
}
