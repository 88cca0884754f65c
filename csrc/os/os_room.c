/* os_room.c - how much memory the process may take: by its own limits, and by its cgroup's.
 * What it is not: the limits as numbers (os_address_space_bytes in os.c), or what the machine has.
 * Lock: none; each call reads anew. Nothing is allocated. */
#include "os/os.h"

#include "os/os_limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads a file's first bytes as text. False: there is no such file, or it is empty. */
static bool read_text(const char *path, char *text, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, bytes - 1) : 0;

    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static uint64_t min_bytes(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- the limits of the process ------------------------------------------ */

/* What a limit leaves of a resource of which `used` bytes are taken; UINT64_MAX: no limit. */
static uint64_t limit_room(int resource, uint64_t used)
{
    struct rlimit limit;

    if (os_limit(0, resource, NULL, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

uint64_t os_room_bytes(void)
{
    /* statm: all addresses, resident, shared, code, 0, data with stacks; in host pages */
    unsigned long long addresses = 0, data = 0;
    char text[128];

    if (read_text("/proc/self/statm", text, sizeof text) &&
        sscanf(text, "%llu %*u %*u %*u %*u %llu", &addresses, &data) != 2)
        addresses = data = 0;
    return min_bytes(limit_room(RLIMIT_AS, addresses * os_statm_page_bytes()),
                     limit_room(RLIMIT_DATA, data * os_statm_page_bytes()));
}

/* --- the limit of the cgroup -------------------------------------------- */

#define PATH_BYTES 1024

/* The number in a file; UINT64_MAX: no file, or no number in it, as "max" is none. */
static uint64_t read_number(const char *path)
{
    char text[32];
    char *end = text;
    unsigned long long number;

    if (!read_text(path, text, sizeof text))
        return UINT64_MAX;
    number = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : number;
}

/* The least of the limits of a cgroup and of all that it lies in: each has a folder with the
 * file `name` in it, down from `mount`. In a container the group's own path may not be there;
 * what is there of the way up to `mount` counts. */
static uint64_t tree_limit(const char *mount, const char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    char folder[PATH_BYTES], path[PATH_BYTES];
    size_t root = strlen(mount);

    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder)
        return least;
    for (;;) {
        char *slash = strrchr(folder + root, '/');

        if (snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path)
            least = min_bytes(least, read_number(path));
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

/* True if `names`, up to a colon, has "memory" as one of its words with commas between. */
static bool has_memory(const char *names)
{
    for (;;) {
        size_t length = strcspn(names, ",:");

        if (length == 6 && strncmp(names, "memory", 6) == 0)
            return true;
        if (names[length] != ',')
            return false;
        names += length + 1;
    }
}

uint64_t os_cgroup_bytes(const char *groups, const char *mount)
{
    uint64_t least = UINT64_MAX;
    char text[4096], v1[PATH_BYTES];
    char *rest = text, *line;

    if (!read_text(groups, text, sizeof text))
        return least;
    snprintf(v1, sizeof v1, "%s/memory", mount);
    /* A line of version 1 is "4:memory:/group", that of version 2 "0::/group". */
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *names = strchr(line, ':');
        char *group = names != NULL ? strchr(names + 1, ':') : NULL;

        if (group == NULL)
            continue;
        if (has_memory(names + 1))
            least = min_bytes(least, tree_limit(v1, group + 1, "memory.limit_in_bytes"));
        else if (strncmp(line, "0::", 3) == 0)
            least = min_bytes(least, tree_limit(mount, group + 1, "memory.max"));
    }
    return least;
}
