/* parts.c - see parts.h. */
#include "profiler/parts.h"

#include "os/os.h"
#include "profile/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t every;    /* bytes between samples */
static char folder[3072]; /* where the files go */

bool parts_wanted(void)
{
    char value[sizeof folder + 32], *colon;

    if (!os_environment("PYSLAB_PROFILE_PARTS", value, sizeof value))
        return false;
    every = strtoull(value, &colon, 10);
    if (every == 0 || *colon != ':' || colon[1] != '/' || strlen(colon + 1) >= sizeof folder)
        return false;
    memcpy(folder, colon + 1, strlen(colon + 1) + 1);
    return true;
}

void part_begin(void)
{
    char path[sizeof folder + 64];

    snprintf(path, sizeof path, "%s/%ld-%llx.malloc", folder, (long)getpid(),
             (unsigned long long)os_time_ns());
    (void)profile_start(path, every, 0);
    profile_thread.left = SAMPLER_LOOK; /* this thread counts for it from its next allocation on */
}
