/* growing.c - strings that grow by a few bytes at a time, few of them alive.
 *
 * What it is: a handful of strings under construction, in turn. Each append calls realloc for
 * exactly what the string now needs, and writes a short piece at its end; a string that has
 * reached its length is checked and freed, and a new one begins. `strings.c` has thousands of
 * strings in hand, which are cold; these stay in the CPU's cache, so that realloc makes up the
 * time.
 * What it stresses: realloc within the slack of a size class, and from one class into the next.
 * Data structure: an array of {text, length, limit}. Invariant: every byte of a string is the
 * low byte of its number. Lock: none; one thread.
 */
#include "workload.h"

enum { LIVE_MAX = 1024, LIMIT_MIN = 1024, LIMIT_DOUBLINGS = 5 };

static uint64_t live = 8, operations = 20000000, piece = 24, seed = 1;

static const struct argument arguments[] = {
    {"live", &live, "strings under construction, at most 1024"},
    {"ops", &operations, "pieces appended"},
    {"piece", &piece, "bytes of the longest piece"},
    {"seed", &seed, "of the generator"},
};

struct string {
    unsigned char *text;
    size_t length, limit; /* limit: length at which it is finished */
    uint64_t number;
};

static void string_start(struct string *string, uint64_t number, struct rng *rng)
{
    size_t limit = rng_log_size(rng, LIMIT_MIN, LIMIT_DOUBLINGS);

    *string = (struct string){.limit = limit, .number = number};
}

static void string_append(struct string *string, size_t bytes)
{
    string->text = must(realloc(string->text, string->length + bytes));
    memset(string->text + string->length, (int)(string->number & 0xff), bytes);
    string->length += bytes;
}

static uint64_t string_finish(struct string *string)
{
    for (size_t i = 0; i < string->length; i++)
        if (string->text[i] != (unsigned char)string->number)
            workload_die("a string lost its content");
    free(string->text);
    return string->number * string->length;
}

int main(int argc, char **argv)
{
    static struct string strings[LIVE_MAX];
    struct rng rng;
    uint64_t sum = 0, number = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (live > LIVE_MAX)
        workload_die("--live above 1024");
    rng = rng_make(seed, live);
    for (uint64_t i = 0; i < live; i++)
        string_start(&strings[i], ++number, &rng);
    for (uint64_t done = 0; done < operations; done++) {
        struct string *string = &strings[done % live];

        string_append(string, rng_between(&rng, 1, piece));
        if (string->length >= string->limit) {
            sum += string_finish(string);
            string_start(string, ++number, &rng);
        }
    }
    for (uint64_t i = 0; i < live; i++)
        sum += string_finish(&strings[i]);
    workload_report("growing", sum);
    return 0;
}
