/* profile.c - see profile.h. Order of the text: the filter, the table, sums, calls, start. */
#include "profile/profile.h"

#include "base/check.h"
#include "base/lock.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "profile/raw.h"

#include <errno.h>
#include <string.h>

#define LEAST_SAMPLES 1024u
#define MOST_SAMPLES (1u << 26)
#define FILTER_BYTES_A_SAMPLE 16u /* that many hashes: one free in 16 looks in vain, at worst */
#define FILTER_FULL 255u          /* a count that is never taken down */

struct live {
    uintptr_t p;           /* the address; 0: free */
    uint64_t bytes;        /* as asked for */
    uint64_t begun_ns;     /* when */
    struct raw_site *site; /* where */
    uint32_t next;         /* in its chain, or among the free ones; 0: none */
};

_Thread_local struct sampler profile_thread __attribute__((tls_model("initial-exec")));

static struct {
    struct profile_filter filter;
    _Atomic uint8_t counts[2];
} any_address = {{.shift = 63}, {FILTER_FULL, FILTER_FULL}};
_Atomic(struct profile_filter *) profile_filter = &any_address.filter;
_Atomic uint32_t profile_run;

static struct {
    const char *start;     /* NULL: there are none */
    size_t (*bytes)(void); /* from there on */
} always;                  /* constant while a profile is on; see profile_set_always */

static struct {
    struct lock lock;    /* guards what follows */
    struct raw raw;      /* the file; none is open while no profile is on */
    uint64_t every;      /* as it was asked for */
    uint64_t seed;       /* 0: random ones */
    struct live *live;   /* nr_places of them; the first is nobody's */
    uint32_t *chain;     /* nr_places, a power of two: the first sample of each hash */
    uint32_t nr_places;  /* 0: there are none yet */
    uint32_t nr_live;    /* samples in the table */
    uint32_t free;       /* the first free place; 0: none */
    uint32_t nr_threads; /* that began to count */
} profile;

static pthread_once_t profile_once = PTHREAD_ONCE_INIT;

static void profile_init(void)
{
    lock_init(&profile.lock, LOCK_RANK_PROFILE);
}

static uint64_t hash_of(const void *p)
{
    return ((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15);
}

/* --- the filter ------------------------------------------------------------ */

static _Atomic uint8_t *count_of(const void *p)
{
    struct profile_filter *filter = load_relaxed(&profile_filter);

    return &filter->counts[hash_of(p) >> filter->shift];
}

static void filter_add_locked(const void *p)
{
    _Atomic uint8_t *count = count_of(p);

    lock_assert_held(&profile.lock);
    if (load_relaxed(count) != FILTER_FULL)
        add_owner(count, 1);
}

/* Of a new one. */
static void filter_mark_always_locked(struct profile_filter *filter)
{
    size_t bytes = always.start != NULL ? always.bytes() : 0;

    lock_assert_held(&profile.lock);
    for (size_t at = 0; at < bytes; at += 16)
        store_relaxed(&filter->counts[hash_of(always.start + at) >> filter->shift], FILTER_FULL);
}

void profile_set_always(const char *start, size_t (*bytes)(void))
{
    always.start = start;
    always.bytes = bytes;
}

static void filter_remove_locked(const void *p)
{
    _Atomic uint8_t *count = count_of(p);

    lock_assert_held(&profile.lock);
    if (load_relaxed(count) != FILTER_FULL)
        add_owner(count, (uint8_t)-1);
}

/* --- the table ------------------------------------------------------------- */

static uint32_t *chain_of(const void *p)
{
    return &profile.chain[hash_of(p) >> 32 & (profile.nr_places - 1)];
}

#if PYSLAB_CHECK_LEVEL >= 2
/* The invariant of profile.h. */
static bool live_is_whole_locked(struct finding *f)
{
    uint32_t nr = 0;

    lock_assert_held(&profile.lock);
    for (uint32_t i = 0; i < profile.nr_places; i++)
        for (uint32_t at = profile.chain[i]; at != 0; at = profile.live[at].next) {
            const void *p = (const void *)profile.live[at].p;

            nr++;
            if (chain_of(p) != &profile.chain[i] || load_relaxed(count_of(p)) == 0)
                return finding_report(f, "profile: the sample at %p is not found", p);
        }
    if (nr == profile.nr_live)
        return true;
    return finding_report(f, "profile: %u samples, %u counted", nr, profile.nr_live);
}
#endif

static void profile_recount_locked(void)
{
    lock_assert_held(&profile.lock);
#if PYSLAB_CHECK_LEVEL >= 2
    struct finding f = {{0}};

    CHECK_RECOUNT(256, live_is_whole_locked(&f), &f);
#endif
}

static void link_locked(uint32_t at)
{
    const void *p = (const void *)profile.live[at].p;
    uint32_t *chain = chain_of(p);

    lock_assert_held(&profile.lock);
    profile.live[at].next = *chain;
    *chain = at;
    filter_add_locked(p);
}

static struct profile_filter *filter_new(uint32_t nr_samples)
{
    uint32_t nr = nr_samples * FILTER_BYTES_A_SAMPLE;
    struct profile_filter *filter = os_heap_alloc(sizeof *filter + nr);

    if (filter != NULL)
        filter->shift = 64u - (unsigned)__builtin_ctz(nr);
    return filter;
}

/* A table and a filter for twice as many samples; those there are move. False: no memory. */
static bool table_grow_locked(void)
{
    uint32_t nr_old = profile.nr_places, nr = nr_old == 0 ? LEAST_SAMPLES : 2 * nr_old;
    struct live *live = nr > MOST_SAMPLES ? NULL : os_heap_alloc(nr * sizeof *live);
    uint32_t *chain = live == NULL ? NULL : os_heap_alloc(nr * sizeof *chain);
    struct profile_filter *filter = chain == NULL ? NULL : filter_new(nr);

    lock_assert_held(&profile.lock);
    if (filter == NULL) {
        os_heap_free(chain, nr * sizeof *chain);
        os_heap_free(live, nr * sizeof *live);
        return false;
    }
    if (nr_old != 0)
        memcpy(live, profile.live, nr_old * sizeof *live);
    os_heap_free(profile.live, nr_old * sizeof *live);
    os_heap_free(profile.chain, nr_old * sizeof *chain);
    profile.live = live;
    profile.chain = chain;
    profile.nr_places = nr;
    filter_mark_always_locked(filter);
    atomic_store(&profile_filter, filter);
    for (uint32_t i = nr - 1; i > 0; i--) {
        if (i < nr_old) {
            link_locked(i); /* it was full: none of these is free */
        } else {
            live[i].next = profile.free;
            profile.free = i;
        }
    }
    return true;
}

static bool live_put_locked(const void *p, const struct profile_moving *what)
{
    uint32_t at;

    lock_assert_held(&profile.lock);
    if (profile.free == 0 && !table_grow_locked())
        return false;
    at = profile.free;
    profile.free = profile.live[at].next;
    profile.live[at] = (struct live){
        .p = (uintptr_t)p, .bytes = what->bytes, .begun_ns = what->begun_ns, .site = what->site};
    link_locked(at);
    profile.nr_live++;
    profile_recount_locked();
    return true;
}

/* Takes a sample out of the table; false: the address is none's. */
static bool live_take_locked(const void *p, struct profile_moving *out)
{
    struct live *live;
    uint32_t *link, at;

    lock_assert_held(&profile.lock);
    if (profile.nr_places == 0)
        return false;
    for (link = chain_of(p); *link != 0; link = &profile.live[*link].next)
        if (profile.live[*link].p == (uintptr_t)p)
            break;
    at = *link;
    if (at == 0)
        return false;
    live = &profile.live[at];
    *out = (struct profile_moving){live->bytes, live->begun_ns, live->site};
    *link = live->next;
    *live = (struct live){.next = profile.free};
    profile.free = at;
    filter_remove_locked(p);
    profile.nr_live--;
    profile_recount_locked();
    return true;
}

/* Forgets all samples. */
static void table_clear_locked(void)
{
    struct profile_filter *filter = load_relaxed(&profile_filter);
    uint32_t nr = profile.nr_places;

    lock_assert_held(&profile.lock);
    profile.nr_live = profile.free = 0;
    if (nr == 0)
        return;
    memset(profile.chain, 0, nr * sizeof *profile.chain);
    memset(profile.live, 0, nr * sizeof *profile.live);
    for (uint32_t i = nr - 1; i > 0; i--) {
        profile.live[i].next = profile.free;
        profile.free = i;
    }
    for (size_t i = 0; i < (size_t)1 << (64 - filter->shift); i++)
        if (load_relaxed(&filter->counts[i]) != FILTER_FULL)
            store_relaxed(&filter->counts[i], 0);
}

/* --- sums ------------------------------------------------------------------ */

static double live_bytes_of(const struct raw_site *site)
{
    return site->allocated_bytes - site->freed_bytes;
}

/* Before a site's sums change: notes what they were at the peak, if it has come since they did. */
static void peak_note_locked(struct raw_site *site)
{
    struct raw_header *header = raw_header(&profile.raw);

    lock_assert_held(&profile.lock);
    if (site->nr_peaks == header->nr_peaks)
        return;
    site->nr_peaks = header->nr_peaks;
    site->peak_objects = site->allocated_objects - site->freed_objects;
    site->peak_bytes = live_bytes_of(site);
}

static void sum_alloc_locked(struct raw_site *site, uint64_t bytes, uint64_t now_ns)
{
    struct raw_header *header = raw_header(&profile.raw);
    double weight = sampler_weight(bytes, profile.every);

    lock_assert_held(&profile.lock);
    peak_note_locked(site);
    site->allocated_objects += weight;
    site->allocated_bytes += weight * (double)bytes;
    if (live_bytes_of(site) > site->own_peak_bytes)
        site->own_peak_bytes = live_bytes_of(site);
    header->nr_samples++;
    header->last_ns = now_ns;
    header->live_bytes += weight * (double)bytes;
    if (header->live_bytes > header->peak_bytes) {
        header->peak_bytes = header->live_bytes;
        header->peak_ns = now_ns;
        header->nr_peaks++;
    }
}

static void sum_free_locked(const struct profile_moving *gone)
{
    struct raw_header *header = raw_header(&profile.raw);
    uint64_t now_ns = os_time_ns(), lifetime_ns = now_ns - gone->begun_ns;
    double weight = sampler_weight(gone->bytes, profile.every);
    struct raw_site *site = gone->site;

    lock_assert_held(&profile.lock);
    peak_note_locked(site);
    site->freed_objects += weight;
    site->freed_bytes += weight * (double)gone->bytes;
    site->lifetime_ns += weight * (double)lifetime_ns;
    if (lifetime_ns > site->longest_ns)
        site->longest_ns = lifetime_ns;
    header->live_bytes -= weight * (double)gone->bytes;
    header->last_ns = now_ns;
}

/* --- calls ----------------------------------------------------------------- */

static bool is_on_locked(void)
{
    lock_assert_held(&profile.lock);
    return os_record_is_here(&profile.raw.file);
}

/* Lets this thread count for the profile that is on, from its first allocation there. */
static void thread_begin(struct sampler *thread, uint32_t run)
{
    uint64_t seed;

    lock_acquire(&profile.lock);
    seed = profile.seed != 0 ? profile.seed + 0x10001u * profile.nr_threads : os_random64();
    profile.nr_threads++;
    sampler_begin(thread, run, profile.every, seed);
    lock_release(&profile.lock);
}

void profile_thread_renew_slow(void)
{
    thread_begin(&profile_thread, load_relaxed(&profile_run));
}

/* The loader's lock is the outer one of the two: it is held by who walks over modules, and such a
 * walker may allocate. */
static void module_add(const struct os_loaded *loaded, void *context)
{
    (void)context;
    lock_acquire(&profile.lock);
    if (is_on_locked())
        raw_module_put(&profile.raw, loaded);
    lock_release(&profile.lock);
}

/* Sees to it that the file has the modules of a stack that is new. */
static void modules_add(uint32_t stack)
{
    bool known;

    lock_acquire(&profile.lock);
    known = !is_on_locked() || raw_knows_modules(&profile.raw, stack);
    lock_release(&profile.lock);
    if (!known)
        os_modules_each(module_add, NULL);
}

static void sample_put(const void *p, size_t size, uint32_t stack)
{
    struct profile_moving sample = {.bytes = size, .begun_ns = os_time_ns()};

    modules_add(stack);
    lock_acquire(&profile.lock);
    if (is_on_locked()) {
        sample.site = raw_site(&profile.raw, stack);
        if (sample.site != NULL && live_put_locked(p, &sample))
            sum_alloc_locked(sample.site, size, sample.begun_ns);
        else
            raw_header(&profile.raw)->nr_lost++;
    }
    lock_release(&profile.lock);
}

slow_path void profile_alloc_slow(const void *p, size_t size)
{
    struct sampler *thread = &profile_thread;
    uint32_t run = load_relaxed(&profile_run);
    int error = errno;

    CHECK(lock_none_is_held());
    if (thread->busy || run == 0)
        return;
    thread->busy = true;
    if (thread->run != run) {
        thread_begin(thread, run);
        if (!sampler_takes(thread, size))
            goto done;
    }
    sample_put(p, size, stack_save());
    sampler_draw(thread, profile.every); /* what was allocated meanwhile did not count */
done:
    thread->busy = false;
    errno = error;
}

void profile_thread_draw(void)
{
    if (profile_thread.run != 0)
        sampler_draw(&profile_thread, profile.every);
}

slow_path bool profile_detach(const void *p, struct profile_moving *out)
{
    bool found;

    if (load_relaxed(&profile_run) == 0)
        return false; /* there was no profile yet, nor is there a lock */
    lock_acquire(&profile.lock);
    found = is_on_locked() && live_take_locked(p, out);
    lock_release(&profile.lock);
    return found;
}

void profile_attach(const void *p, const struct profile_moving *moving)
{
    lock_acquire(&profile.lock);
    if (is_on_locked() && !live_put_locked(p, moving))
        sum_free_locked(moving);
    lock_release(&profile.lock);
}

void profile_gone(const struct profile_moving *moving)
{
    lock_acquire(&profile.lock);
    if (is_on_locked())
        sum_free_locked(moving);
    lock_release(&profile.lock);
}

slow_path void profile_free_slow(const void *p)
{
    struct profile_moving gone;

    if (load_relaxed(&profile_run) == 0)
        return;
    lock_acquire(&profile.lock);
    if (is_on_locked() && live_take_locked(p, &gone))
        sum_free_locked(&gone);
    lock_release(&profile.lock);
}

/* --- start and stop --------------------------------------------------------- */

static int start_locked(const char *path, uint64_t every, uint64_t seed)
{
    int error;

    lock_assert_held(&profile.lock);
    if (is_on_locked())
        return PYSLAB_EBUSY;
    raw_close(&profile.raw); /* of a parent process */
    table_clear_locked();
    error = raw_open(&profile.raw, path, every);
    if (error != PYSLAB_OK)
        return error;
    if (profile.nr_places == 0)
        (void)table_grow_locked(); /* without memory for it the first sample tries again */
    profile.every = every;
    profile.seed = seed;
    profile.nr_threads = 0;
    add_relaxed(&profile_run, 1);
    return PYSLAB_OK;
}

int profile_start(const char *path, uint64_t every, uint64_t seed)
{
    int error;

    CHECK(every != 0 && lock_none_is_held());
    pthread_once(&profile_once, profile_init);
    stack_start();
    lock_acquire(&profile.lock);
    error = start_locked(path, every, seed);
    lock_release(&profile.lock);
    return error;
}

bool profile_is_on(void)
{
    bool on;

    pthread_once(&profile_once, profile_init);
    lock_acquire(&profile.lock);
    on = is_on_locked();
    lock_release(&profile.lock);
    return on;
}

void profile_stop(void)
{
    pthread_once(&profile_once, profile_init);
    lock_acquire(&profile.lock);
    raw_close(&profile.raw);
    table_clear_locked();
    lock_release(&profile.lock);
}

void profile_fork_prepare(void)
{
    pthread_once(&profile_once, profile_init);
    lock_acquire_for_fork(&profile.lock);
}

void profile_fork_done(void)
{
    lock_assert_held(&profile.lock);
    lock_release_after_fork(&profile.lock);
}
