/* paths_malloc.c - malloc and free of the library it is linked with, again and again, for callgrind
 * to count. `paths_malloc N` */
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    uint64_t nr = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;

    for (uint64_t i = 0; i < nr; i++) {
        void *volatile p = malloc(64); /* volatile: or the compiler would leave out both calls */

        free(p);
    }
    return nr == 0 ? 2 : 0;
}
