/* os_cfi.h - call frame information: where a function's caller is found, at a place in the code.
 *
 * What it is: the compiler describes, for each instruction of a function, where the return address
 * and the caller's registers lie; the description is a program of a small machine, and this runs
 * it. For x86-64 only.
 * What it is not: a walk of a stack (os_unwind.h), or for DWARF's expressions: such a place is not
 * simple. The information is trusted, as libgcc_s trusts it.
 *
 * Data structure: struct row, a row of the table that the description stands for. A description is
 * an FDE (of a function), which names a CIE (what many functions have in common).
 * Lock: none.
 */
#ifndef OS_OS_CFI_H
#define OS_OS_CFI_H

#include <stdbool.h>
#include <stdint.h>

/* libgcc_s's _Unwind_Find_FDE: the description of the function that has this address. */
typedef const void *(*os_find_description)(void *address, void *bases);

enum { CFI_RBP = 6, CFI_RSP = 7, CFI_RETURN = 16 }; /* DWARF's numbers on x86-64 */

enum where { WHERE_SAME, WHERE_SAVED, WHERE_UNDEFINED, WHERE_COMPLEX };

/* Of a register of the caller's: at cfa + offset, if it is saved. */
struct saved {
    enum where where;
    int64_t offset;
};

/* A row of the table that call frame instructions describe. */
struct row {
    uint64_t cfa_register;
    int64_t cfa_offset;
    bool cfa_is_complex;
    struct saved rbp, address;
};

/* Before the first call of the other. */
void os_cfi_load(os_find_description description);
/* The row of an address, and the FDE, or NULL. False: it is not simple, or there is no FDE. */
bool os_cfi_row(uintptr_t address, struct row *row, const unsigned char **found);

#endif
