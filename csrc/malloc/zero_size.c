/* zero_size.c - see zero_size.h. */
#include "malloc/zero_size.h"

#include "malloc/heap.h"
#include "os/os.h"

#define PLACE_BYTES MALLOC_ALIGN
#define WORD_BITS 64u
#define MOST_WORDS 8u /* that one search looks at: to look at all would be slow */

static _Atomic(char *) places;                              /* the range; NULL: not made yet */
static _Atomic uint64_t live[ZERO_SIZE_BLOCKS / WORD_BITS]; /* a bit for each place */
static _Atomic uint32_t next_word;                          /* where the next search begins */

/* The range, made if need be. NULL: the system has no addresses. */
static char *reserve(void)
{
    char *start = atomic_load(&places);
    void *made;

    if (start != NULL ||
        os_reserve(ZERO_SIZE_BLOCKS * PLACE_BYTES, os_page_bytes(), &made) != PYSLAB_OK)
        return start;
    if (atomic_compare_exchange_strong(&places, &start, made))
        return made;
    os_release(made, ZERO_SIZE_BLOCKS * PLACE_BYTES); /* another thread was first */
    return start;
}

void *zero_size_alloc(void)
{
    char *start = reserve();
    uint32_t first = start != NULL ? atomic_fetch_add(&next_word, 1) : 0;

    for (uint32_t i = 0; start != NULL && i < MOST_WORDS; i++) {
        size_t word = (first + i) % ARRAY_SIZE(live);
        uint64_t bits = load_relaxed(&live[word]);

        while (bits != UINT64_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(~bits);

            if (!atomic_compare_exchange_weak(&live[word], &bits, bits | (uint64_t)1 << bit))
                continue;
            if (i != 0) /* the next search need not look again at the words that were full */
                store_relaxed(&next_word, first + i + 1);
            return start + (word * WORD_BITS + bit) * PLACE_BYTES;
        }
    }
    if (start != NULL)
        store_relaxed(&next_word, first + MOST_WORDS);
    return NULL;
}

static size_t place_of(const void *p)
{
    return ((uintptr_t)p - (uintptr_t)atomic_load(&places)) / PLACE_BYTES;
}

bool zero_size_is_place(const void *p)
{
    return atomic_load(&places) != NULL && place_of(p) < ZERO_SIZE_BLOCKS;
}

bool zero_size_is_live(const void *p)
{
    size_t place = place_of(p);

    return zero_size_is_place(p) && ((uintptr_t)p & (PLACE_BYTES - 1)) == 0 &&
           (atomic_load(&live[place / WORD_BITS]) >> (place % WORD_BITS) & 1) != 0;
}

bool zero_size_free(void *p)
{
    size_t place = place_of(p);
    uint64_t bit = (uint64_t)1 << (place % WORD_BITS);

    CHECK(zero_size_is_place(p));
    return ((uintptr_t)p & (PLACE_BYTES - 1)) == 0 &&
           (atomic_fetch_and(&live[place / WORD_BITS], ~bit) & bit) != 0;
}
