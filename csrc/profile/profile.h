/* profile.h - where memory comes from: a profile of the process, by call sites, sampled.
 *
 * What it is: whoever hands memory out calls profile_alloc, whoever takes it back profile_free,
 * while profile_is_on. Samples (sampler.h) get their stack (stack/depot.h), and are kept in a
 * table until they are freed; what they stand for is added up by site in a file (raw.h).
 * What it is not: always on, or a part of the allocator: it is told by Python's calls
 * (python/tracing/), and by a library that programs preload, each with a copy of
 * its own. It does not know blocks, only addresses.
 *
 * Data structure: a table of live samples, chained by address, and a filter: a byte for each hash
 * of an address says how many samples have it, so that a free of what is no sample is a load.
 * Invariant (live_is_whole_locked): each sample is in the chain of its address; a filter byte is
 * the number of samples with its hash, or 255 for ever. Sites: see raw.h.
 * Lock: profile.lock, of rank PROFILE, for all but the filter and the threads' counters. Stacks
 * are saved before it is taken. A filter that was replaced stays: a reader may be in it.
 */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include "base/atomic.h"
#include "profile/sampler.h"

struct profile_filter {
    unsigned shift;           /* 64 less the logarithm of the number of bytes */
    _Atomic uint8_t counts[]; /* 1 << (64 - shift) of them */
};

/* A sample that is not in the table. */
struct profile_moving {
    uint64_t bytes;    /* of the sample; */
    uint64_t begun_ns; /* when it was allocated; */
    void *site;        /* and where */
};

extern _Thread_local struct sampler profile_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* Never NULL: without a table it is one by which any address may be a sample's. */
extern _Atomic(struct profile_filter *) profile_filter __attribute__((visibility("hidden")));
/* Counts profiles; a thread counts bytes anew for each. */
extern _Atomic uint32_t profile_run __attribute__((visibility("hidden")));

/* Begins; every: bytes, or SAMPLER_ALL; seed: 0 for a random one, which differs by thread. EOS with
 * errno; EBUSY if a profile is on. path is from the root.
 * pre: no lock of the core is held, every != 0 */
int profile_start(const char *path, uint64_t every, uint64_t seed);
/* Ends it, and completes the file. In a forked child: forgets the parent's. */
void profile_stop(void);
/* False also in a forked child. */
bool profile_is_on(void);
/* Addresses for which profile_may_have shall always be true: multiples of 16 from start on, as many
 * bytes as there are when it is asked. To be called once, before the first profile. */
void profile_set_always(const char *start, size_t (*bytes)(void));
/* For fork handlers: the lock is held while the process is copied. */
void profile_fork_prepare(void);
void profile_fork_done(void);

/* Takes a sample out of the table before its block is resized, and remembers it; false: the block
 * is no sample. Then either the block is where it was and as large, or it has gone. */
bool profile_detach(const void *p, struct profile_moving *out);
void profile_attach(const void *p, const struct profile_moving *moving);
void profile_gone(const struct profile_moving *moving);

void profile_thread_renew_slow(void);
/* For callers that see several profiles: this thread counts for the one that is on. Others need not
 * call it: a thread that has never counted begins to with its first allocation. */
static always_inline void profile_thread_renew(void)
{
    if (unlikely(profile_thread.run != load_relaxed(&profile_run)))
        profile_thread_renew_slow();
}

/* This thread's counter took note of allocations that were none: it begins anew. */
void profile_thread_draw(void);

/* The slow halves of what follows. */
void profile_alloc_slow(const void *p, size_t size);
void profile_free_slow(const void *p);

/* Memory at p was handed out, by a thread that holds no lock of the core. False: it is no sample,
 * so that profile_free need not be told of it. */
static always_inline bool profile_alloc(const void *p, size_t size)
{
    if (!sampler_takes(&profile_thread, size))
        return false;
    profile_alloc_slow(p, size);
    return true;
}

/* Whether the address may be one of a sample. */
static always_inline bool profile_may_have(const void *p)
{
    const struct profile_filter *filter = load_acquire(&profile_filter);
    uint64_t hash = ((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15);

    return load_relaxed(&filter->counts[hash >> filter->shift]) != 0;
}

/* Memory at p goes back: called before anybody else can get it. */
static always_inline void profile_free(const void *p)
{
    if (unlikely(profile_may_have(p)))
        profile_free_slow(p);
}

/* profile_alloc for callers that see several profiles, and whose memory may go without a word, as
 * with its arena: what was known under this address is forgotten first. */
static inline bool profile_alloc_anew(const void *p, size_t size)
{
    profile_free(p);
    profile_thread_renew();
    return profile_alloc(p, size);
}

#endif
