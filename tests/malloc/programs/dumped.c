/* dumped.c - prints the MiB of the mappings in /proc/self/smaps that have no flag "dd" (left out of
 * core dumps): as much as gcore may write. With an argument it then waits to be dumped. */
#include "require.h"

#include <stdlib.h>
#include <string.h>

static unsigned long dumped_kib(void)
{
    char line[4096];
    unsigned long total = 0, kib = 0;
    FILE *file = fopen("/proc/self/smaps", "r");

    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "Size: %lu", &kib);
        if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd") == NULL)
            total += kib;
    }
    fclose(file);
    return total;
}

int main(int argc, char **argv)
{
    char *small = malloc(100), *large = malloc(5000000);

    REQUIRE(small != NULL && large != NULL);
    strcpy(small, "something in a small block");
    memset(large, 7, 5000000);
    printf("%lu\n", dumped_kib() >> 10);
    fflush(stdout);
    if (argc > 1)
        pause();
    free(large);
    free(small);
    return argv == NULL;
}
