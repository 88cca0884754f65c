/* raw.h - the file that a profile is kept in while the program runs.
 *
 * What it is: a header and records, each once: names, modules, and sites, which are places in the
 * program where memory is allocated. A site's sums are changed in place in the shared mapping
 * (os/os_record.h), so that the file is up to date whenever the program ends, and however.
 * src/pyslab/_profile/raw.py reads it, and writes the formats that other programs read.
 * What it is not: a log of what happened: it grows with the places of the program, not with time.
 *
 * Data structure: records follow one another from the header on, in multiples of 8 bytes; a table
 * of this process's own finds one by its kind and number.
 * Invariant: what lies before header.used is whole: used grows when a record has been filled.
 * Lock: that of profile.c.
 */
#ifndef PROFILE_RAW_H
#define PROFILE_RAW_H

#include "os/os_record.h"
#include "os/os_stack.h"
#include "stack/depot.h"

#define RAW_MAGIC "pyslab profile\n"
#define RAW_VERSION 1u
#define RAW_COMMAND_BYTES 1024u

enum raw_kind {
    RAW_TEXT = 1, /* a file or a function of Python: its characters and a NUL */
    RAW_MODULE,   /* struct raw_module */
    RAW_SITE,     /* struct raw_site */
};

enum raw_state {
    RAW_RUNS = 1, /* the program runs, or was ended without being asked */
    RAW_ENDED,    /* the profile was stopped, or the program came to its end */
};

struct raw_header {
    char magic[16];                  /* RAW_MAGIC */
    uint32_t version;                /* RAW_VERSION */
    uint32_t state;                  /* enum raw_state */
    uint64_t used;                   /* bytes of the header and all records */
    uint64_t every;                  /* see sampler.h */
    uint64_t started_s;              /* seconds since 1970 */
    uint64_t begun_ns;               /* the same moment, by the clock of the next two */
    uint64_t last_ns;                /* of the last change */
    uint64_t peak_ns;                /* when live_bytes was peak_bytes */
    uint64_t nr_peaks;               /* how often peak_bytes was raised */
    uint64_t nr_samples;             /* that were taken */
    uint64_t nr_lost;                /* for which there was no memory, or no room on the disk */
    double live_bytes;               /* what the samples that are live stand for */
    double peak_bytes;               /* the most of it at once */
    uint64_t pid;                    /* of the process */
    char command[RAW_COMMAND_BYTES]; /* its arguments, a NUL behind each */
};

struct raw_record {
    uint32_t kind;     /* enum raw_kind */
    uint32_t nr_bytes; /* of the record with this head, a multiple of 8 */
    uint32_t id;       /* its number among those of its kind */
    uint32_t next;     /* the record after it in its chain, in units of 8 bytes; 0: none */
};

struct raw_module {
    struct raw_record head;
    uint64_t start; /* first address of its segments */
    uint64_t end;   /* behind the last one */
    uint64_t bias;  /* what is added to the addresses in its file */
    char path[];    /* of the file, and a NUL */
};

struct raw_frame {
    uint64_t place; /* as in struct stack_packed */
    uint64_t line;  /* as there */
};

/* What the samples of one place stand for. live == allocated - freed, in both. */
struct raw_site {
    struct raw_record head;
    double allocated_objects;
    double allocated_bytes;
    double freed_objects;
    double freed_bytes;
    double lifetime_ns;    /* of all that were freed, added up */
    double peak_objects;   /* those live when the whole program had its peak; see nr_peaks */
    double peak_bytes;     /* and theirs */
    double own_peak_bytes; /* the most live bytes of this place alone */
    uint64_t nr_peaks;     /* header.nr_peaks when peak_objects and peak_bytes were noted; if the
                              header has more now, those live are those at the peak */
    uint64_t longest_ns;   /* the longest lifetime of one that was freed */
    uint64_t nr_frames;
    struct raw_frame frames[]; /* the innermost first */
};

struct raw {
    struct os_record file;
    uint32_t chain[4096]; /* the newest record of each chain, in units of 8 bytes */
    uint32_t nr_modules;  /* records of them */
};

static inline struct raw_header *raw_header(struct raw *raw)
{
    return (struct raw_header *)(void *)raw->file.base;
}

/* Makes the file. EOS, with errno. */
int raw_open(struct raw *raw, const char *path, uint64_t every);
void raw_close(struct raw *raw);
/* Whether the modules of a stack's frames are in the file, as far as its site is not. */
bool raw_knows_modules(struct raw *raw, uint32_t stack);
/* Adds a module, if it is new and there is room. */
void raw_module_put(struct raw *raw, const struct os_loaded *loaded);
/* The site of a stack (depot.h), new if need be; NULL: there is no room on the disk. */
struct raw_site *raw_site(struct raw *raw, uint32_t stack);

#endif
