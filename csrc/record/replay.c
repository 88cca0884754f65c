/* replay.c - pyslab_replay, the program that `pyslab replay` starts once for each allocator:
 *   pyslab_replay [--nothing] [--describe] [--arenas] [--touch=none|pages|all] -- FILE
 * Its malloc is what LD_PRELOAD has given it. Prints one line of JSON. Exit status: 1 for a file
 * that is no recording, 2 for wrong usage, 3 if there is no memory.
 * What it is not: a judge of what it has read: it tells what is wrong with the file (read.h), and
 * the command has the words for it.
 */
#include "record/play.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct wanted {
    const char *path;
    enum play_on on;
    enum play_touch touch;
    bool describe; /* read, and play nothing */
    bool arenas;   /* blocks of arenas, too */
};

static const char usage[] =
    "usage: pyslab_replay [--nothing] [--describe] [--arenas] [--touch=none|pages|all] -- FILE\n";

/* False: usage is wrong. */
static bool read_arguments(struct wanted *wanted, int argc, char **argv)
{
    static const char *const touches[] = {"--touch=none", "--touch=pages", "--touch=all"};

    *wanted = (struct wanted){.touch = PLAY_TOUCH_PAGES};
    for (int i = 1; i < argc; i++) {
        bool known = true;

        if (strcmp(argv[i], "--nothing") == 0)
            wanted->on = PLAY_NOTHING;
        else if (strcmp(argv[i], "--describe") == 0)
            wanted->describe = true;
        else if (strcmp(argv[i], "--arenas") == 0)
            wanted->arenas = true;
        else if (strcmp(argv[i], "--") == 0 && i + 2 == argc)
            wanted->path = argv[++i]; /* whatever it begins with */
        else
            known = false;
        for (unsigned touch = 0; touch < ARRAY_SIZE(touches); touch++)
            if (strcmp(argv[i], touches[touch]) == 0) {
                wanted->touch = (enum play_touch)touch;
                known = true;
            }
        if (!known)
            return false;
    }
    return wanted->path != NULL;
}

/* Text in JSON's quotes: other bytes than printable ones of ASCII become \u escapes. */
static void print_text(const char *name, const char *text, size_t most)
{
    dprintf(STDOUT_FILENO, "\"%s\": \"", name);
    for (size_t i = 0; i < most && text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            dprintf(STDOUT_FILENO, "\\u%04x", c);
        else
            dprintf(STDOUT_FILENO, "%c", c);
    }
    dprintf(STDOUT_FILENO, "\", ");
}

static void print_number(const char *name, uint64_t n)
{
    dprintf(STDOUT_FILENO, "\"%s\": %llu, ", name, (unsigned long long)n);
}

static void print_recording(const struct recording *r)
{
    const struct read_faults *faults = &r->faults;

    print_text("command", r->head->command, sizeof r->head->command);
    print_number("pid", r->head->pid);
    print_number("parent_pid", r->head->parent_pid);
    print_number("unix_ns", r->head->unix_ns);
    print_number("threads", r->nr_threads);
    print_number("events", r->nr_events);
    print_number("recorded_ns", r->end_ns - r->begin_ns);
    print_number("ended", faults->has_end);
    print_number("user_us", r->end.user_us);
    print_number("system_us", r->end.system_us);
    print_number("recorded_peak_rss_bytes", r->end.peak_rss_bytes);
    print_number("damaged_blocks", faults->nr_damaged);
    print_number("foreign_blocks", faults->nr_foreign);
    print_number("doubled_blocks", faults->nr_doubled);
    print_number("missing_blocks", faults->nr_missing);
    print_number("open_blocks", faults->nr_open);
    print_number("unsure_events", faults->nr_unsure);
}

static void print_counts(const struct plan_counts *counts)
{
    print_number("allocations", counts->nr_allocs);
    print_number("frees", counts->nr_frees);
    print_number("reallocs", counts->nr_reallocs);
    print_number("between_threads", counts->nr_between);
    print_number("unknown_frees", counts->nr_unknown);
    print_number("implied_frees", counts->nr_implied);
    print_number("total_bytes", counts->total_bytes);
    print_number("live_bytes", counts->live_bytes);
    print_number("live_blocks", counts->nr_live);
    print_number("peak_live_bytes", counts->peak_bytes);
    print_number("peak_live_blocks", counts->peak_blocks);
    print_number("arena_allocations", counts->nr_arena_allocs);
    print_number("arena_frees", counts->nr_arena_frees);
    print_number("arena_bytes", counts->arena_bytes);
}

static void print_result(const struct play_result *result)
{
    Dl_info info = {0};
    void *found = dlsym(RTLD_DEFAULT, "malloc");

    if (found != NULL && dladdr(found, &info) != 0 && info.dli_fname != NULL)
        print_text("malloc_of", info.dli_fname, SIZE_MAX);
    print_number("wall_ns", result->wall_ns);
    print_number("cpu_ns", result->cpu_ns);
    print_number("refused", result->nr_refused);
    print_number("faults", result->nr_faults);
    print_number("baseline_bytes", result->baseline_bytes);
    print_number("peak_bytes", result->peak_bytes);
    print_number("end_bytes", result->end_bytes);
}

/* NULL, after a message: it cannot be read. */
static const void *map_file(const char *path, size_t *bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &status) == 0) {
        *bytes = (size_t)status.st_size;
        if (*bytes == 0 || !S_ISREG(status.st_mode)) {
            dprintf(STDERR_FILENO, "%s: this is no record file\n", path);
            exit(1);
        }
        data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (data == MAP_FAILED)
        dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return data == MAP_FAILED ? NULL : data;
}

int main(int argc, char **argv)
{
    struct wanted wanted;
    struct recording recording;
    struct plan plan;
    struct play_result result;
    const char *wrong;
    const void *data;
    size_t bytes = 0;

    if (!read_arguments(&wanted, argc, argv)) {
        dprintf(STDERR_FILENO, "%s", usage);
        return 2;
    }
    data = map_file(wanted.path, &bytes);
    if (data == NULL)
        return 1;
    wrong = recording_open(&recording, data, bytes);
    if (wrong != NULL) {
        dprintf(STDERR_FILENO, "%s: %s\n", wanted.path, wrong);
        return 1;
    }
    plan_make(&plan, &recording, wanted.arenas);
    dprintf(STDOUT_FILENO, "{");
    print_recording(&recording);
    print_counts(&plan.counts);
    print_number("arenas", wanted.arenas);
    recording_close(&recording);
    munmap((void *)data, bytes);
    if (!wanted.describe) {
        play(&plan, wanted.on, wanted.touch, &result);
        print_result(&result);
    }
    dprintf(STDOUT_FILENO, "\"format\": %u}\n", RECORD_VERSION);
    return 0;
}
