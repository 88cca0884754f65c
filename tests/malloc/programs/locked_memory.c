/* locked_memory.c - mlockall of all that is mapped and will be, then a little work: prints the
 * KiB that are resident, or "refused" where the process may not lock that much. */
#include "require.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static long resident_kib(void)
{
    char line[200];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");

    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

int main(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        puts("refused");
        return 0;
    }
    for (size_t i = 1; i <= 1000; i++) {
        char *p = malloc(i * 8);

        REQUIRE(p != NULL);
        memset(p, 1, i * 8);
        if (i % 2 == 0)
            free(p);
    }
    printf("%ld\n", resident_kib());
    return 0;
}
