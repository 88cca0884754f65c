/* pace.c - makes so many allocations, each with some work, and prints the nanoseconds of
 * processor time that took: pace ALLOCATIONS WORK. WORK is the rounds of a hash for each
 * allocation; with 0 it allocates and frees as fast as it can. What it keeps is 4,000 blocks of 8
 * to 1,000 bytes, and each allocation takes the place of one of them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NR_KEPT 4000u

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static void *kept[NR_KEPT];
    uint64_t nr = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t work = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t sum = 0, start = now_ns();

    for (uint64_t i = 0; i < nr; i++) {
        uint64_t random = next();
        void **place = &kept[random % NR_KEPT];

        for (uint64_t round = 0; round < work; round++)
            sum = (sum ^ round) * 0x100000001b3u;
        free(*place);
        *place = malloc(8 + (random >> 32) % 993);
        if (*place == NULL)
            return 1;
        *(char *)*place = (char)sum;
    }
    printf("%llu\n", (unsigned long long)(now_ns() - start));
    return 0;
}
