/* publish.c - see publish.h. */
#include "publish/publish.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/bits.h"
#include "os/os.h"
#include "os/os_publish.h"
#include "os/os_thread.h"

#include <string.h>

#define ALL_PLACES ((1u << PUBLISH_ARENAS) - 1)

static struct {
    struct os_publish file; /* fd -1, or 0 before the first arena: there is none */
    uint32_t places;        /* bit i: place i is an arena's */
    uint32_t nr_unplaced;   /* arenas without a place */
} board = {.file = {.fd = -1}};

static size_t file_bytes(void)
{
    return (size_t)align_up(sizeof(struct publish_header) +
                                PUBLISH_ARENAS * sizeof(struct publish_arena),
                            os_page_bytes());
}

static struct publish_header *header(void)
{
    return (void *)os_publish_base(&board.file, os_page_bytes());
}

static struct publish_arena *arena_at(struct publish_header *head, uint32_t place)
{
    return (struct publish_arena *)(void *)(head + 1) + place;
}

/* --- the file ----------------------------------------------------------- */

static void write_header(void)
{
    struct publish_header *head = header();

    head->version = PUBLISH_VERSION;
    head->file_bytes = file_bytes();
    head->arenas_offset = sizeof *head;
    head->arena_bytes = sizeof(struct publish_arena);
    head->nr_arenas = PUBLISH_ARENAS;
    head->process = os_process_id();
    head->made_ns = os_time_ns();
    store_relaxed(&head->nr_unplaced, board.nr_unplaced);
    store_release(&head->magic, PUBLISH_MAGIC);
}

static bool is_wanted(bool unasked)
{
    char text[2];

    if (!os_environment("PYSLAB_TOP", text, sizeof text))
        return unasked;
    return strcmp(text, "0") != 0 && (unasked || strcmp(text, "1") == 0);
}

static void file_make(bool unasked)
{
    if (is_wanted(unasked) && os_publish_open(&board.file, PUBLISH_NAME, file_bytes()) == PYSLAB_OK)
        write_header();
}

void publish_fork_child(void)
{
    if (board.file.fd >= 0 && os_publish_renew(&board.file, PUBLISH_NAME) == PYSLAB_OK)
        write_header();
}

/* --- places ------------------------------------------------------------- */

static void note_unplaced(void)
{
    struct publish_header *head = header();

    if (head != NULL)
        store_relaxed(&head->nr_unplaced, board.nr_unplaced);
}

uint32_t publish_take(bool unasked)
{
    uint32_t place;

    if (board.file.fd < 0)
        file_make(unasked);
    if (board.places == ALL_PLACES || board.file.fd < 0) {
        board.nr_unplaced++;
        note_unplaced();
        return PUBLISH_NO_PLACE;
    }
    place = (uint32_t)__builtin_ctz(~board.places);
    board.places |= 1u << place;
    return place;
}

void publish_drop(uint32_t place)
{
    struct publish_picture *picture;

    if (place == PUBLISH_NO_PLACE) {
        CHECK(board.nr_unplaced != 0);
        board.nr_unplaced--;
        note_unplaced();
        return;
    }
    CHECK((board.places >> place & 1) != 0);
    board.places &= ~(1u << place);
    if (board.places == 0) {
        os_publish_close(&board.file);
        return;
    }
    picture = publish_begin(place);
    if (picture != NULL) {
        memset(picture, 0, offsetof(struct publish_picture, cache));
        publish_end(picture);
    }
}

/* --- pictures ----------------------------------------------------------- */

struct publish_picture *publish_begin(uint32_t place)
{
    struct publish_header *head = header();
    struct publish_arena *arena;

    if (head == NULL)
        return NULL;
    CHECK(place < PUBLISH_ARENAS);
    arena = arena_at(head, place);
    store_relaxed(&arena->sequence, load_relaxed(&arena->sequence) + 1);
    atomic_thread_fence(memory_order_release); /* odd before the first word is written */
    CHECK(load_relaxed(&arena->sequence) % 2 == 1);
    return &arena->picture;
}

static uint64_t sum_of_words(const void *words, size_t bytes)
{
    uint64_t sum = 0, word;

    for (size_t at = 0; at < bytes; at += sizeof word) {
        memcpy(&word, (const char *)words + at, sizeof word);
        sum += word;
    }
    return sum;
}

/* The sum of the picture's words, as far as they say something. */
static uint64_t sum_of(const struct publish_picture *picture)
{
    size_t head = offsetof(struct publish_picture, cache);

    CHECK(picture->nr_shown <= PUBLISH_CACHES && picture->nr_sites_shown <= PUBLISH_SITES);
    return sum_of_words(picture, head + picture->nr_shown * sizeof(struct publish_cache)) +
           sum_of_words(picture->site, picture->nr_sites_shown * sizeof(struct publish_site));
}

void publish_end(struct publish_picture *picture)
{
    struct publish_arena *arena = container_of(picture, struct publish_arena, picture);
    struct publish_header *head = header();

    store_relaxed(&arena->sum, sum_of(picture));
    store_release(&arena->sequence, load_relaxed(&arena->sequence) + 1);
    add_relaxed(&head->nr_published, 1);
}
