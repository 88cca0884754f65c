/* misused.c - a program that misuses one kind of block among many good ones: "over" reads behind
 * it, "after" reads it when it is freed, "beside" writes behind what it asked for, where nothing
 * else lies; "good" does not.
 * It ends by itself after 30 seconds. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NR_KEPT 256

static volatile char *sink;

static unsigned next(unsigned *state)
{
    return (*state = *state * 1664525 + 1013904223) >> 16;
}

static void misuse(const char *how, char *p)
{
    sink = p;
    if (strcmp(how, "over") == 0)
        (void)sink[112];
    if (strcmp(how, "beside") == 0)
        sink[100] = 'A';
    free(p);
    if (strcmp(how, "after") == 0)
        (void)sink[7];
}

int main(int argc, char **argv)
{
    static char *kept[NR_KEPT];
    unsigned state = 12345;
    time_t start = time(NULL);

    for (unsigned i = 0; time(NULL) - start < (strcmp(argv[1], "good") == 0 ? 1 : 30); i++)
        for (unsigned j = 0; j < 1000; j++) {
            unsigned at = next(&state) % NR_KEPT;
            size_t size = 1 + next(&state) % 3000;

            free(kept[at]);
            kept[at] = realloc(malloc(size), size + next(&state) % 300);
            memset(kept[at], (int)at, size);
            if (j % 10 == 0) {
                size_t bytes = strcmp(argv[1], "beside") == 0 ? 100 : 112;
                char *many[40];

                for (int k = 0; k < 40; k++)
                    many[k] = memset(malloc(bytes), k, bytes);
                for (int k = 0; k < 40; k++)
                    misuse(argv[1], many[k]);
            }
        }
    return 0;
}
