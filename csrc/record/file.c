/* file.c - see file.h. */
#include "record/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REGION_BLOCKS 64u /* that a thread gets at once */
#define REGION_BYTES ((size_t)REGION_BLOCKS * RECORD_BLOCK_BYTES)
#define NR_PIECES 16u /* by which a region is filled with zeros */
#define MOST_SPARE 256u
#define MOST_NAMES 100000u /* numbers that are tried behind a name */
#define HIGH_DESCRIPTOR 900
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct region {
    struct record_block *first; /* mapped and empty from here */
    struct record_block *end;
};

/* What the process knows of its file. Constant while it is open, but for the last four fields. */
static struct {
    int fd;
    dev_t device; /* with inode: what fd named when it was opened */
    ino_t inode;
    bool open;         /* begun by this process, or by the parent that it was forked from */
    char path[4096];   /* of the file */
    uint64_t id;       /* struct record_head's */
    pthread_key_t key; /* whose destructor ends a thread's writer */
    bool has_key;
    uint32_t generation;             /* of the newest file */
    uint32_t nr_spare;               /* of spare[] */
    uint64_t bytes;                  /* of the file that are taken */
    struct region spare[MOST_SPARE]; /* what ended threads have left */
} file = {.fd = -1};

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool stopped;        /* nothing is recorded any more */
static _Atomic uint32_t nr_threads; /* numbers that were given */
static _Atomic uint64_t nr_blocks;  /* that were begun */
/* A bit for each owner, less 1, that a thread has. */
static _Atomic uint64_t owners_taken[(FILE_MOST_OWNERS + 63) / 64];

/* On a page of its own, which madvise can name. */
struct file_shared file_shared __attribute__((aligned(65536)));
_Atomic uint8_t file_owners[FILE_OWNER_LINES][FILE_OWNER_LINE_PAGES] __attribute__((aligned(64)));
static char shared_page_rest[65536 - sizeof(struct file_shared)] __attribute__((unused));

/* --- what is said ---------------------------------------------------------------- */

/* Ends the recording; why: NULL: silently. */
static void stop(const char *why)
{
    char text[sizeof file.path + 256];
    int length;

    atomic_store(&stopped, true);
    store_relaxed(&file_shared.generation, 0);
    if (why == NULL)
        return;
    length = snprintf(
        text, sizeof text,
        "pyslab record: %s: %s; recording of process %d stops here; the program goes on\n",
        file.path, why, (int)getpid());
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
        return; /* nobody to tell */
}

static void stop_with_errno(void)
{
    stop(strerror(errno));
}

/* --- the descriptor --------------------------------------------------------------- */

static bool names_the_file(int fd)
{
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == file.device &&
           status.st_ino == file.inode;
}

/* The descriptor, opened again if the program has closed it; -1: the file is gone. */
static int descriptor(void)
{
    int fd;

    if (names_the_file(file.fd))
        return file.fd;
    fd = open(file.path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && !names_the_file(fd)) {
        close(fd);
        errno = ESTALE;
        fd = -1;
    }
    file.fd = fd;
    return fd;
}

/* To a number that programs do not reach when they count up from the first. */
static int moved_high(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);

    if (high < 0)
        return fd;
    close(fd);
    return high;
}

/* Makes a file that was not there, and leaves its name in file.path; -1: errno tells. */
static int create(const char *wanted)
{
    int fd = -1, length = snprintf(file.path, sizeof file.path, "%s", wanted);

    if (length < 0 || (size_t)length + 32 > sizeof file.path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (unsigned i = 0; fd < 0 && i < MOST_NAMES; i++) {
        if (i == 1)
            snprintf(file.path, sizeof file.path, "%s.%d", wanted, (int)getpid());
        else if (i > 1)
            snprintf(file.path, sizeof file.path, "%s.%d.%u", wanted, (int)getpid(), i);
        fd = open(file.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 && errno != EEXIST)
            return -1;
    }
    return fd < 0 ? -1 : moved_high(fd);
}

/* --- room in the file --------------------------------------------------------------- */

/* False: errno tells. A limit that the kernel would answer with SIGXFSZ is looked at first. */
static bool reserve(int fd, uint64_t offset, size_t bytes)
{
    static const char zeros[RECORD_BLOCK_BYTES];
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        offset + bytes > limit.rlim_cur) {
        errno = EFBIG;
        return false;
    }
    if (fallocate(fd, 0, (off_t)offset, (off_t)bytes) == 0)
        return true;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return false;
    for (size_t done = 0; done < bytes; done += sizeof zeros)
        if (pwrite(fd, zeros, sizeof zeros, (off_t)(offset + done)) != (ssize_t)sizeof zeros)
            return false;
    return true;
}

/* Three calls in the place of a fault for each page. To write zeros first is for speed alone: the
 * system then makes pages of the file many at a time, and not one by one (on ext4 this takes a
 * third of the time). MADV_POPULATE_WRITE is Linux 5.14's. */
static void make_resident(int fd, void *p)
{
    static const char zeros[REGION_BYTES / NR_PIECES];
    struct iovec pieces[NR_PIECES];
    ssize_t written;

    for (unsigned i = 0; i < NR_PIECES; i++)
        pieces[i] = (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = sizeof zeros};
    written = pwritev(fd, pieces, NR_PIECES, (off_t)file.bytes);
    (void)written; /* what it did not do, faults will */
    (void)madvise(p, REGION_BYTES, MADV_POPULATE_WRITE);
}

static bool take_new(struct region *region)
{
    int fd = descriptor();
    void *p;

    if (fd < 0 || !reserve(fd, file.bytes, REGION_BYTES))
        return false;
    p = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)file.bytes);
    if (p == MAP_FAILED)
        return false;
    make_resident(fd, p);
    file.bytes += REGION_BYTES;
    region->first = p;
    region->end = region->first + REGION_BLOCKS;
    return true;
}

static bool take_region(struct region *region)
{
    bool ok = true;

    pthread_mutex_lock(&file_lock);
    if (file.nr_spare > 0)
        *region = file.spare[--file.nr_spare];
    else
        ok = take_new(region);
    if (!ok && !atomic_load(&stopped))
        stop_with_errno();
    pthread_mutex_unlock(&file_lock);
    return ok;
}

/* --- blocks ------------------------------------------------------------------------- */

static void seal(struct record_block *block, size_t used, uint32_t nr_events)
{
    if (used == 0)
        return; /* stays open, and empty */
    block->nr_events = nr_events;
    block->used = (uint32_t)used;
    block->sum = record_block_sum(block, RECORD_VERSION);
}

static void seal_current(struct writer *w)
{
    if (w->at != NULL)
        seal(w->block, (size_t)(w->at - w->block->events), w->nr_events);
}

static void begin(struct writer *w, struct record_block *block, enum record_block_kind kind,
                  uint64_t ticks)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    block->kind = kind;
    block->thread = w->thread;
    block->number = w->number++;
    block->ticks = ticks;
    block->ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    block->address = w->address;
    block->id = file.id;
    block->head_sum = record_block_head_sum(block);
    atomic_fetch_add(&nr_blocks, 1);
    w->block = block;
    w->ticks = ticks;
    w->at = block->events;
    w->last = block->events + sizeof block->events - (RECORD_MOST_EVENT_BYTES + 8);
    w->nr_events = 0;
    memset(w->regions, 0, sizeof w->regions);
}

/* The block after the writer's; false: there is no room. */
static bool advance(struct writer *w, enum record_block_kind kind, uint64_t ticks)
{
    struct region region;
    struct record_block *next = w->block + (w->block != NULL);

    if (w->block == NULL || next == w->end) {
        if (!take_region(&region))
            return false;
        if (w->first != NULL)
            munmap(w->first, (size_t)((char *)w->end - (char *)w->first));
        w->first = next = region.first;
        w->end = region.end;
    }
    begin(w, next, kind, ticks);
    return true;
}

/* --- owners ------------------------------------------------------------------------------ */

static uint16_t take_owner(void)
{
    for (unsigned i = 0; i < FILE_MOST_OWNERS; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;

        if ((atomic_fetch_or(&owners_taken[i / 64], bit) & bit) == 0)
            return (uint16_t)(i + 1);
    }
    return FILE_NO_OWNER;
}

/* pre: the writer's last block is sealed (unchecked: the caller has just done so) */
static void give_owner(struct writer *w)
{
    unsigned i = w->owner - 1u;

    w->owner = FILE_NO_OWNER;
    if (i < FILE_MOST_OWNERS)
        atomic_fetch_and(&owners_taken[i / 64], ~((uint64_t)1 << i % 64));
}

/* --- a thread's end --------------------------------------------------------------------- */

/* What it frees yet, in destructors that come later, begins a block again. */
static void end_thread(void *argument)
{
    struct writer *w = argument;

    if (!file_is_current(w) || w->block == NULL)
        return;
    seal_current(w);
    pthread_mutex_lock(&file_lock);
    if (w->block + 1 < w->end && file.nr_spare < MOST_SPARE)
        file.spare[file.nr_spare++] = (struct region){w->block + 1, w->end};
    pthread_mutex_unlock(&file_lock);
    w->block = w->first = w->end = NULL;
    w->at = w->last = NULL;
    give_owner(w);
}

/* --- a process's file -------------------------------------------------------------------- */

static void read_command(char *command, size_t bytes)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, command, bytes - 1) : 0;

    for (ssize_t i = 0; i + 1 < got; i++)
        if (command[i] == '\0')
            command[i] = ' ';
    if (fd >= 0)
        close(fd);
}

static bool write_head(int fd, const char *command)
{
    union {
        struct record_head head;
        char bytes[RECORD_BLOCK_BYTES];
    } block = {.head = {.version = RECORD_VERSION, .block_bytes = RECORD_BLOCK_BYTES}};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (getrandom(&file.id, sizeof file.id, GRND_NONBLOCK) != (ssize_t)sizeof file.id)
        file.id = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)getpid();
    memcpy(block.head.magic, RECORD_MAGIC, sizeof block.head.magic);
    block.head.id = file.id;
    block.head.unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    block.head.pid = (uint32_t)getpid();
    block.head.parent_pid = (uint32_t)getppid();
    memcpy(block.head.command, command, sizeof block.head.command);
    block.head.sum = record_head_sum(&block.head);
    return reserve(fd, 0, sizeof block) &&
           pwrite(fd, &block, sizeof block, 0) == (ssize_t)sizeof block;
}

/* In a forked child: the descriptor, and the blocks, are its parent's. */
static void forget_parents(void)
{
    if (names_the_file(file.fd))
        close(file.fd);
    pthread_mutex_init(&file_lock, NULL);
    file.open = false;
    file.fd = -1;
    file.nr_spare = 0;
    atomic_store(&nr_threads, 0);
    atomic_store(&nr_blocks, 0);
    for (unsigned i = 0; i < sizeof owners_taken / sizeof *owners_taken; i++)
        atomic_store(&owners_taken[i], 0);
}

static void forked(void)
{
    store_relaxed(&file_shared.generation, 0);
}

static bool begin_file(const char *path, const char *command)
{
    struct stat status;
    int fd = create(path);

    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0 || !write_head(fd, command)) {
        close(fd);
        return false;
    }
    file.fd = fd;
    file.device = status.st_dev;
    file.inode = status.st_ino;
    file.bytes = RECORD_BLOCK_BYTES;
    if (!file.has_key && madvise(&file_shared, 65536, MADV_WIPEONFORK) != 0)
        pthread_atfork(NULL, NULL, forked); /* a kernel before 4.14 */
    if (!file.has_key)
        file.has_key = pthread_key_create(&file.key, end_thread) == 0;
    file.open = true;
    store_relaxed(&file_shared.untimed, FILE_TIMED_ONE - 1);
    store_relaxed(&file_shared.generation, ++file.generation);
    return true;
}

/* The process's first event, or a forked child's. False: nothing is recorded, or not yet. */
static bool open_file(void)
{
    char command[RECORD_COMMAND_BYTES] = "";
    const char *path;
    bool ok = true;

    if (environ == NULL)
        return false; /* the C library has not begun */
    if (file.open && load_relaxed(&file_shared.generation) == 0)
        forget_parents();
    read_command(command, sizeof command);
    pthread_mutex_lock(&file_lock);
    path = secure_getenv("PYSLAB_RECORD");
    if (path == NULL || *path == '\0') {
        stop(NULL);
        ok = false;
    } else if (!file.open && !begin_file(path, command)) {
        stop_with_errno();
        ok = false;
    }
    pthread_mutex_unlock(&file_lock);
    return ok;
}

/* A writer without a block in the file that is open. */
static void begin_writer(struct writer *w)
{
    uint32_t generation = load_relaxed(&file_shared.generation);

    if (w->generation != generation) {
        memset(w, 0, sizeof *w);
        w->generation = generation;
        w->thread = atomic_fetch_add(&nr_threads, 1);
        w->owner = take_owner();
        if (w->thread > 0)
            store_relaxed(&file_shared.untimed, FILE_TIMED_MANY - 1);
    }
    if (file.has_key)
        pthread_setspecific(file.key, w);
}

/* --- what file.h declares ------------------------------------------------------------------ */

bool file_next_block(struct writer *w, uint64_t ticks)
{
    int cancel;
    bool ok;

    if (atomic_load(&stopped))
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    ok = load_relaxed(&file_shared.generation) != 0 || open_file();
    if (ok) {
        if (file_is_current(w))
            seal_current(w);
        if (!file_is_current(w) || w->block == NULL)
            begin_writer(w);
        ok = advance(w, RECORD_BLOCK_EVENTS, ticks);
    }
    pthread_setcancelstate(cancel, NULL);
    return ok;
}

void file_end(struct writer *w)
{
    struct rusage usage;
    struct record_end end;

    if (atomic_load(&stopped) || !file_is_current(w) || w->generation == 0)
        return; /* it has recorded nothing, or is a forked child that did not */
    seal_current(w);
    if (!advance(w, RECORD_BLOCK_END, file_ticks()))
        return;
    getrusage(RUSAGE_SELF, &usage);
    end.nr_blocks = atomic_load(&nr_blocks);
    end.user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
    end.system_us = (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
    end.peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    memcpy(w->block->events, &end, sizeof end);
    seal(w->block, sizeof end, 0);
    w->at = w->last = NULL; /* what comes yet begins a block of its own */
}
