/* settings.h - what the environment variable PYSLAB_MALLOC asks of the library.
 *
 * What it is: words with commas between them: "stats" prints a report when the process ends,
 * "hardened" trades speed for detection (hardened.h). A word that is neither is told in one
 * line on stderr and otherwise ignored, so that a misspelling is not taken for protection.
 * What it is not: a way for users to change what a program does that runs with more rights
 * than they have: in such a process (AT_SECURE) the variable is not read.
 *
 * Lock: none: read once by the thread that makes the arena, constant afterwards.
 */
#ifndef MALLOC_SETTINGS_H
#define MALLOC_SETTINGS_H

#include "base/compiler.h"

#include <stdbool.h>

struct malloc_settings {
    bool stats;            /* report at exit */
    bool background_purge; /* a thread gives memory back while the program is idle */
    bool hardened;         /* hardened.h serves every call */
};

extern struct malloc_settings malloc_settings;

/* Allocates nothing. */
void settings_read(void);

#endif
