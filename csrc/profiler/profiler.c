/* profiler.c - libpyslab_profiler.so: a profile of a whole program's calls of malloc.
 *
 * What it is: an interposer (interpose/calls.h) that tells the profile (profile/profile.h) of each
 * call, whichever malloc serves it, into files that parts.h has.
 * What it is not: an allocator, or a part of the malloc library: that one, where it serves the
 * program, can do the same for less (in_malloc.c).
 *
 * Cost: some twenty instructions for an allocation with its free, forwarding them included; a
 * sample takes some microseconds.
 * Fork: the child begins a file of its own, with nothing in it.
 * Lock: that of the profile.
 */
#include "interpose/early.h"
#include "interpose/interpose.h"
#include "os/os_heap.h"
#include "profile/profile.h"
#include "profiler/join.h"
#include "profiler/parts.h"

#include <errno.h>
#include <pthread.h>

/* --- hooks ------------------------------------------------------------------------ */

static always_inline bool hook_wanted(void)
{
    return true;
}

static slow_path void *take_sample(void *p, size_t size)
{
    int error = errno;

    interpose_enter();
    profile_alloc_slow(p, size);
    join_ask();
    interpose_leave();
    errno = error;
    return p;
}

static always_inline void *hook_allocated(enum interpose_call call, void *p, size_t size,
                                          size_t align)
{
    (void)call;
    (void)align;
    return take_sample(p, size);
}

static slow_path void free_sample(void *p)
{
    int error = errno;

    interpose_enter();
    profile_free_slow(p);
    interpose_leave();
    errno = error;
}

static always_inline void hook_freeing(void *p)
{
    free_sample(p);
}

/* The sample that realloc has in hand. No realloc is in another one. */
static _Thread_local struct profile_moving moving __attribute__((tls_model("initial-exec")));

static slow_path bool detach(void *p)
{
    bool found;

    interpose_enter();
    found = profile_detach(p, &moving);
    interpose_leave();
    return found;
}

static always_inline uint64_t hook_resizing(void *p)
{
    return unlikely(profile_may_have(p)) && detach(p);
}

static slow_path void settle(void *old, bool stays)
{
    int error = errno;

    interpose_enter();
    if (stays)
        profile_attach(old, &moving);
    else
        profile_gone(&moving);
    interpose_leave();
    errno = error;
}

static always_inline void hook_resized(uint64_t begun, void *old, void *p, size_t size)
{
    if (unlikely(begun))
        settle(old, p == NULL && size != 0);
    if (p != NULL && sampler_takes(&profile_thread, size))
        (void)take_sample(p, size);
}

/* All that a call costs which is no sample. An allocation of the profiler's own, as there is hardly
 * one, may use up the distance and make the program's next one a sample. */
#define CALLS_ALLOCATED_WANTED(size) sampler_takes(&profile_thread, size)
#define CALLS_FREEING_WANTED(p) unlikely(profile_may_have(p))

#include "interpose/calls.h"

/* --- start and end ---------------------------------------------------------------- */

static void before_fork(void)
{
    interpose_enter();
    profile_fork_prepare();
    os_heap_fork_prepare();
}

static void after_fork(void)
{
    os_heap_fork_done();
    profile_fork_done();
    interpose_leave();
}

static void in_child(void)
{
    os_heap_fork_done();
    profile_fork_done();
    profile_stop();
    part_begin();
    interpose_leave();
}

__attribute__((constructor)) static void profiler_load(void)
{
    void *p;

    interpose_enter();
    p = NEXT(malloc)(1); /* after this no block comes from the early buffer */
    NEXT(free)(p);
    profile_set_always(interpose_early, early_used);
    if (parts_wanted() && pthread_atfork(before_fork, after_fork, in_child) == 0)
        part_begin();
    interpose_leave();
}

__attribute__((destructor)) static void profiler_end(void)
{
    interpose_enter();
    profile_stop();
    interpose_leave();
}
