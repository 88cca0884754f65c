/* library.h - pyslab_import() for programs without Python, which link libpyslab.so.
 *
 * What it is: pyslab.h includes it where PYSLAB_LIBRARY is defined, as the flags of pkg-config
 * (libpyslab) and of CMake (pyslab::libpyslab) do.
 * What it is not: a second way to call anything. The same source compiles for a module of Python,
 * which asks the package for its table, and for a program, which asks the library it is linked to.
 */
#ifndef PYSLAB_LIBRARY_H
#define PYSLAB_LIBRARY_H

/* The one symbol of libpyslab.so: its table. */
extern const pyslab_api *pyslab_library_api(void);

#ifndef PYSLAB_NO_IMPORT

/* Takes the library's table; to be called first, in main or in a constructor, by each unit that
 * calls anything (see client.h). 0, or EINVAL: the library that the program runs with is older
 * than the pyslab.h it was compiled with, or of another major version. Calling it again does no
 * harm. */
static inline int pyslab_import(void)
{
    return pyslab_set_api(pyslab_library_api());
}

#endif
#endif
