/* sanitize.h - tells AddressSanitizer or valgrind's memcheck which bytes of an arena are in use.
 *
 * What it is: one set of calls for both tools. Nobody may touch "closed" bytes, and the tool
 * reports whoever does; bytes are opened when they are handed out. ASan is there if its functions
 * are in the process, which weak symbols tell, so that an ordinary build of this library works with
 * an extension that was built with ASan. Memcheck is asked by client requests: instructions that do
 * nothing elsewhere. They are in the build if valgrind's header was on the machine that made it.
 * What it is not: what finds errors without a tool; nothing here looks at memory.
 * Not in a core that is itself built with ASan: it keeps words in free objects, and reads them.
 * Invariant: an arena never changes its mode, and a mode other than NONE has no fast paths.
 * Lock: none.
 */
#ifndef SANITIZE_SANITIZE_H
#define SANITIZE_SANITIZE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sanitize_mode {
    SANITIZE_NONE = 0,     /* no tool watches this process */
    SANITIZE_ASAN = 1,     /* AddressSanitizer does */
    SANITIZE_MEMCHECK = 2, /* valgrind's memcheck does */
};

/* Bytes behind each object of a watched cache or region that stay closed, at least. */
#define SANITIZE_RED_BYTES ((size_t)16)

/* The tool that watches this process. */
enum sanitize_mode sanitize_mode(void);
/* From now on sanitize_mode says NONE: for the malloc library, whose blocks the tools know as
 * malloc's. Not while another thread makes an arena. */
void sanitize_decline(void);

/* Nobody may touch these bytes any more. */
void sanitize_close(enum sanitize_mode mode, const void *p, size_t bytes);
/* They may be touched. defined: they have a value; else memcheck reports who depends on it. */
void sanitize_open(enum sanitize_mode mode, const void *p, size_t bytes, bool defined);
/* Closed bytes become an object in a caller's hands, and go back. Memcheck keeps the stacks of
 * both, and names them in its reports. */
void sanitize_object_alloc(enum sanitize_mode mode, const void *p, size_t bytes, bool defined);
void sanitize_object_free(enum sanitize_mode mode, const void *p, size_t bytes);
/* The caller asked for fewer bytes than the object has: closes the rest. pre: wanted <= bytes */
void sanitize_object_trim(enum sanitize_mode mode, const void *p, size_t bytes, size_t wanted);

/* How many of these bytes are open, up to the first that is closed; those behind it are, too. */
size_t sanitize_open_bytes(enum sanitize_mode mode, const void *p, size_t bytes);

/* LeakSanitizer looks for pointers in these bytes from now on; and no longer. Memcheck looks in all
 * memory anyway. */
void sanitize_root(enum sanitize_mode mode, const void *p, size_t bytes);
void sanitize_unroot(enum sanitize_mode mode, const void *p, size_t bytes);

#endif
