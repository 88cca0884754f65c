/* recorded.c - see recorded.h. */
#include "profile/recorded.h"

#include <dlfcn.h>

#ifndef RTLD_DEFAULT
#define RTLD_DEFAULT ((void *)0)
#endif

_Atomic(const struct recorder *) recorded_by;

bool recorded_start(void)
{
    const struct recorder *found = dlsym(RTLD_DEFAULT, RECORDED_SYMBOL);

    atomic_store(&recorded_by, found);
    return found != NULL;
}
