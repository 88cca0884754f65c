/* settings.h - what the environment variable PYSLAB_MALLOC asks of the library.
 *
 * What it is: words with commas between them, see the struct. A word that is none of them is told
 * in one line on stderr and otherwise ignored, so that a misspelling is not taken for protection.
 * What it is not: a way for users to change what a program does that runs with more rights
 * than they have: in such a process (AT_SECURE) the variable is not read.
 *
 * Lock: none: read once by the thread that makes the arena, constant afterwards.
 */
#ifndef MALLOC_SETTINGS_H
#define MALLOC_SETTINGS_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_PATH_BYTES 4096

struct malloc_settings {
    bool stats;                           /* "stats": a report at exit on the standard error */
    bool hardened;                        /* "hardened": hardened.h serves every call */
    bool init_on_alloc;                   /* "init_on_alloc": malloc's memory reads zero */
    bool init_on_free;                    /* "init_on_free": what is freed is zeroed at once */
    bool background_purge;                /* "background_purge": a thread for idle times */
    bool keep_deepbind;                   /* "keep_deepbind": deepbind.c does nothing */
    uint32_t kfence_ms;                   /* "kfence", "kfence=TIME:OBJECTS": time between samples;
                                             0: no KFENCE */
    uint32_t kfence_objects;              /* of it */
    char stats_file[SETTINGS_PATH_BYTES]; /* "stats=FILE": the report goes there, absolute; "" */
};

extern struct malloc_settings malloc_settings;

/* Allocates nothing. */
void settings_read(void);
/* Writes a report where the settings want it: to_file, to stats_file if there is one. What the
 * standard error cannot take because the program has put another file there goes to stats_file
 * too, or nowhere. */
void settings_report(const char *text, size_t bytes, bool to_file);

#endif
