/* os_elf.h - which function of a program or library an address of its file is in, asked by system
 * calls alone, so that a signal handler may ask, too.
 *
 * What it is: a reader of the file's table of symbols. Functions that are not exported have names
 * there, unless the file was stripped of them.
 * What it is not: a reader of debug information, or of files that hold it apart from the program.
 * Data structure: none but the caller's. A file that is damaged does no harm: each number out of
 * it is only a place to read at.
 * Lock: none.
 */
#ifndef OS_OS_ELF_H
#define OS_OS_ELF_H

#include "os/os_stack.h"

/* Sets the name, and the offset from it, of the function that out's module_at is in; leaves out as
 * it is if the file does not tell. */
void os_elf_name(const char *path, struct os_symbol *out);
/* The address that the linker gave to the byte at this offset of the file. False: to none. */
bool os_elf_address(const char *path, uint64_t offset, uintptr_t *address);

#endif
