/* library.c - libpyslab.so: the core for programs without Python.
 *
 * What it is: the one function that the library exports. Programs reach all others through the
 * table that it gives, as modules of Python do, so that a program runs with every later library
 * of the same major version (pyslab/functions.h says how the table grows).
 * What it is not: the malloc library; this one replaces nothing. A process that has both this
 * library and the Python module has two cores, each with arenas of its own.
 */
#include "api/api_table.h"

extern __attribute__((visibility("default"))) const pyslab_api *pyslab_library_api(void);

const pyslab_api *pyslab_library_api(void)
{
    return &api_table;
}
