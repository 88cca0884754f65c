/* dumped.c - prints the MiB of mappings that gcore would write: those without the flag "dd" in
 * /proc/self/smaps, of whatever access. With an argument it then waits to be dumped. */
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
