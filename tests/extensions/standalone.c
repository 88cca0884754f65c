/* standalone.c - a library without Python.h that gets the table by its address. */
#define PYSLAB_NO_PYTHON
#include <pyslab.h>

#include "families.h"

#ifdef __cplusplus
#define EXPORTED extern "C" __attribute__((visibility("default")))
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

EXPORTED int use_table(const void *table);
EXPORTED int run_families(void);

int use_table(const void *table)
{
    return pyslab_set_api(table);
}

int run_families(void)
{
    for (int i = 0; i < NR_FAMILIES; i++) {
        int line = families[i].run();

        if (line != 0)
            return line;
    }
    return 0;
}
