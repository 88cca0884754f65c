/* second.cpp - another unit of the library that suite.cpp is: it calls pyslab, and imports
 * nothing.
 */
#define PYSLAB_NO_PYTHON
#include <pyslab.hpp>

extern "C" void *second_unit(pyslab_arena *arena);

extern "C" void *second_unit(pyslab_arena *arena)
{
    return pyslab::arena_resource(arena).allocate(100);
}
