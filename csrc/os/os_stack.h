/* os_stack.h - the calls that led here, and what an address in a program is called.
 *
 * What it is: return addresses of the calling thread, by the compiler's unwinder (libgcc_s, which
 * glibc's own backtrace() loads in the same way); the range of addresses of a loaded module (the
 * program or a library); and symbols, as far as a module exports them.
 * What it is not: a reader of debug information: addr2line turns a place in a module into a line.
 * Lock: none of ours. The C library may take the loader's, so callers hold no lock of the core.
 */
#ifndef OS_OS_STACK_H
#define OS_OS_STACK_H

#include "base/config.h"

struct os_symbol {
    const char *module;    /* path of the program or library; lives as long as it is loaded */
    uintptr_t module_at;   /* the address in the module's file, as addr2line takes it */
    const char *name;      /* the symbol that the address is in; NULL: none is known */
    uintptr_t name_offset; /* the address, counted from that symbol */
    char text[256];        /* room for the name, which is cut if it is longer */
};

struct os_module {
    uintptr_t start; /* first address of its segments */
    uintptr_t end;   /* behind the last one; 0: not known */
};

/* A program or library as it is loaded. */
struct os_loaded {
    struct os_module range; /* of its segments */
    uintptr_t bias;         /* added to the addresses in its file */
    const char *path;       /* of the file */
};
typedef void (*os_loaded_fn)(const struct os_loaded *loaded, void *context);

/* Loads the unwinder, which allocates; without this call os_backtrace finds nothing. Once, and
 * before any other thread calls os_backtrace. */
void os_backtrace_load(void);
/* Return addresses, the innermost first, which is in the caller of this function, as far as the
 * first one in `end`, if that is not NULL; how many they are. 0 where there is no unwinder. */
unsigned os_backtrace(uintptr_t *addresses, unsigned max, const struct os_module *end);
/* Whether the address is in the module. */
bool os_module_has(const struct os_module *module, uintptr_t address);
/* The module that the address is in; end is 0 if there is none. */
struct os_module os_module_of(uintptr_t address);
/* The module of the program itself. */
struct os_module os_module_of_program(void);
/* Calls fn for the program and each library that is loaded, under the loader's lock. */
void os_modules_each(os_loaded_fn fn, void *context);
/* False: the address is in no module, or in none that is still loaded. Functions that are not
 * exported have no name. */
bool os_symbol_find(uintptr_t address, struct os_symbol *out);
/* The same, but other functions have names, too, which are read from the module's file; so it
 * takes as long as some hundred reads. */
bool os_symbol_find_any(uintptr_t address, struct os_symbol *out);
/* The same for a signal handler: system calls only. out's module lasts until the next call. One
 * thread at a time. */
bool os_symbol_find_plainly(uintptr_t address, struct os_symbol *out);

#endif
