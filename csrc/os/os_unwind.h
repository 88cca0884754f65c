/* os_unwind.h - return addresses of the calling thread, several times as fast as the compiler's
 * unwinder finds them.
 *
 * What it is: that unwinder (libgcc_s) reads, for each frame, the call frame information that
 * compilers leave in each module: where the return address lies, and the caller's rbp. For one
 * place in the code this is always the same. So it is read once for each place, by the rules of
 * DWARF, and remembered, as far as it is simple: counted from rsp or rbp, by a number.
 * What it is not: for frames that are anything else (signal handlers, code that realigns its stack
 * by an expression), or for processors other than x86-64: then os_backtrace asks libgcc_s.
 *
 * Data structure: a table by address of the code, each entry four words, of which one is a sum of
 * the address and the others, so that parts of two entries fit to no address. The module is part of
 * that: a library that was unloaded may have another build of it in its place. They differ by the
 * id that the linker made of their content; where there is none, the entry has the place and a sum
 * of the information that it was read from, which is compared each time.
 * Lock: none, nor the loader's, which may be held for ever in a forked child.
 */
#ifndef OS_OS_UNWIND_H
#define OS_OS_UNWIND_H

#include "os/os_cfi.h"
#include "os/os_stack.h"

#include <stdbool.h>

/* What glibc's _dl_find_object fills, since 2.35: a struct that headers of before lack. */
struct os_found_module {
    uint64_t flags;
    uintptr_t start, end;   /* of its segments */
    uintptr_t map;          /* the loader's record of it */
    uintptr_t descriptions; /* where its call frame information is */
    uint64_t reserved[16];  /* more than there are today */
};
/* That function: the module that has this address, without a lock; 0 if there is one. */
typedef int (*os_find_module)(void *address, struct os_found_module *out);

/* Before the first call of the other; NULL: there is no such function. */
void os_unwind_load(os_find_description description, os_find_module module);
/* As os_backtrace, but from the caller's caller on. False: a frame is not simple, or no information
 * is there for it, and what was written is worth nothing. */
bool os_unwind(uintptr_t *addresses, unsigned max, const struct os_module *end, unsigned *nr);

#endif
