/* strings.c - strings built piece by piece with realloc.
 *
 * What it is: a table of strings under construction. Each operation appends a piece to one of
 * them; a string grows to exactly what it needs, as asprintf-like code does, or by half, as
 * buffers do. A string that is long enough is copied, trimmed and freed.
 * What it stresses: realloc in place and with a move, by a few bytes and by half, from 16 bytes
 * to 256 KiB; the slack of size classes; strdup.
 * Data structure: an array of {text, length, capacity, limit, style}. Invariant: the byte at i
 * of string n is letter(n, i). Lock: none; one thread.
 */
#include "workload.h"

enum { PIECE_MAX = 48, LETTERS = 26, LIMIT_MIN = 64, LIMIT_DOUBLINGS = 12, SAMPLES = 8 };

static uint64_t live = 2000, operations = 8000000, seed = 1;

static const struct argument arguments[] = {
    {"live", &live, "strings under construction"},
    {"ops", &operations, "pieces appended"},
    {"seed", &seed, "of the generator"},
};

struct string {
    char *text;
    size_t length, capacity; /* capacity counts the 0 at the end */
    size_t limit;            /* length at which it is finished */
    int exact;               /* grows to what it needs, not by half */
};

static char letter(size_t n, size_t i)
{
    return (char)('a' + (n + i) % LETTERS);
}

static void string_start(struct string *string, struct rng *rng)
{
    *string = (struct string){
        .limit = rng_log_size(rng, LIMIT_MIN, 1 + (unsigned)rng_below(rng, LIMIT_DOUBLINGS)),
        .exact = rng_below(rng, 2) == 0,
    };
}

static void string_append(struct string *string, size_t n, const char *piece, size_t bytes)
{
    size_t need = string->length + bytes + 1;

    if (need > string->capacity) {
        string->capacity = string->exact ? need : need + string->capacity / 2;
        string->text = must(realloc(string->text, string->capacity));
    }
    memcpy(string->text + string->length, piece + (n + string->length) % LETTERS, bytes);
    string->length += bytes;
    string->text[string->length] = '\0';
}

/* A copy and a trimmed original, as a table of finished strings would hold. */
static uint64_t string_finish(struct string *string, size_t n)
{
    char *copy = must(strdup(string->text));
    char *text = must(realloc(string->text, string->length + 1));

    for (size_t i = 0; i < SAMPLES; i++) {
        size_t at = string->length * i / SAMPLES;

        if (text[at] != letter(n, at) || copy[at] != text[at])
            workload_die("a string lost its content");
    }
    if (strlen(copy) != string->length)
        workload_die("a string lost its end");
    free(copy);
    free(text);
    return (n + 1) * string->length;
}

int main(int argc, char **argv)
{
    char alphabet[PIECE_MAX + LETTERS];
    struct string *strings;
    struct rng rng;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    rng = rng_make(seed, live);
    for (size_t i = 0; i < sizeof(alphabet); i++)
        alphabet[i] = letter(0, i);
    strings = must(malloc(live * sizeof(*strings)));
    for (uint64_t n = 0; n < live; n++)
        string_start(&strings[n], &rng);
    for (uint64_t done = 0; done < operations; done++) {
        size_t n = rng_below(&rng, live);

        string_append(&strings[n], n, alphabet, rng_between(&rng, 1, PIECE_MAX));
        if (strings[n].length >= strings[n].limit) {
            sum += string_finish(&strings[n], n);
            string_start(&strings[n], &rng);
        }
    }
    for (uint64_t n = 0; n < live; n++)
        free(strings[n].text);
    free(strings);
    workload_report("strings", sum);
    return 0;
}
