/* glibc_names.h - what glibc declares for users of malloc, also where it is another C library.
 *
 * What it is: the structs and functions that the library defines beside C's and POSIX's. musl
 * declares only C's functions and malloc_usable_size. The library has the names
 * there too, for a program that was compiled with declarations of its own.
 * What it is not: the names under which the functions are defined (exported.h).
 */
#ifndef MALLOC_GLIBC_NAMES_H
#define MALLOC_GLIBC_NAMES_H

#include <malloc.h>
#include <stdio.h>

#ifndef __GLIBC__

/* The fields and their order are glibc's. */
struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

#define M_MMAP_THRESHOLD (-3)
#define M_ARENA_MAX (-8)

void *pvalloc(size_t size);
int malloc_trim(size_t keep);
int mallopt(int parameter, int value);
struct mallinfo2 mallinfo2(void);
struct mallinfo mallinfo(void);
void malloc_stats(void);
int malloc_info(int options, FILE *file);

#endif

#endif
