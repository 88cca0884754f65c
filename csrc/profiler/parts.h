/* parts.h - the files of `pyslab profile`: each process that is profiled writes one of its own.
 *
 * What it is: PYSLAB_PROFILE_PARTS=BYTES:FOLDER in the environment says how many bytes there are
 * between samples, and where the files go, which the command puts together; without it nothing is
 * to be done.
 * What it is not: what is in the files (profile/raw.h).
 * Lock: none; called while the process is loaded, and in a forked child.
 */
#ifndef PROFILER_PARTS_H
#define PROFILER_PARTS_H

#include <stdbool.h>

/* Reads the environment. False: no profile is wanted. */
bool parts_wanted(void);
/* Begins the process's profile. If that fails, there is no part.
 * pre: parts_wanted (unchecked: the caller has asked) */
void part_begin(void);

#endif
