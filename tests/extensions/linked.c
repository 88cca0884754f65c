/* linked.c - a program without Python that links libpyslab.so: all families of calls.
 * Its exit status is 0, or it says which family failed in which line. */
#include <stdio.h>

#include <pyslab.h>

#include "families.h"

int main(void)
{
    if (pyslab_import() != PYSLAB_OK || pyslab_import() != PYSLAB_OK)
        return 1;
    for (int i = 0; i < NR_FAMILIES; i++) {
        int line = families[i].run();

        if (line != 0) {
            fprintf(stderr, "%s: line %d\n", families[i].name, line);
            return 2;
        }
    }
    puts("alive");
    return 0;
}
