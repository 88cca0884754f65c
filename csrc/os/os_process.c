/* os_process.c - what the process can learn of itself and of its environment without allocating,
 * because the malloc library asks while nothing can be allocated yet; and stdio around fork().
 * What it is not: memory (os.c). Lock: none of its own. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* open and read are cancellation points, where pthread_cancel ends a thread. malloc must not be
 * one, so cancellation is off around them. Returns what cancel_restore takes. */
static int cancel_disable(void)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static void cancel_restore(int state)
{
    pthread_setcancelstate(state, NULL);
}

static ssize_t read_some(int fd, char *buffer, size_t bytes)
{
    ssize_t got;

    do
        got = read(fd, buffer, bytes);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The first number in a file of /proc; 0 if it cannot be read. */
static uint64_t read_number(const char *path)
{
    char text[64] = "";
    int state = cancel_disable();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read_some(fd, text, sizeof text - 1) : 0;

    if (fd >= 0)
        close(fd);
    cancel_restore(state);
    return got > 0 ? strtoull(text, NULL, 10) : 0;
}

uint64_t os_mapped_bytes(void)
{
    return read_number("/proc/self/statm") * os_statm_page_bytes();
}

uint64_t os_max_mappings(void)
{
    uint64_t nr = read_number("/proc/sys/vm/max_map_count");

    return nr != 0 ? nr : 65530; /* the kernel's own default */
}

void os_command_line(char *out, size_t bytes)
{
    int state = cancel_disable();
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

    memset(out, 0, bytes);
    if (fd >= 0) {
        (void)!read_some(fd, out, bytes - 1);
        close(fd);
    }
    cancel_restore(state);
}

/* --- the environment ---------------------------------------------------- */

/* A search through text that is read in pieces: entries "name=value", each ended by a NUL. */
struct scan {
    const char *name; /* of the variable that is looked for */
    size_t matched;   /* bytes of "name=" that this entry has matched */
    bool differs;     /* this entry is another variable's */
    char *value;      /* where the next byte of the value goes */
    size_t room;      /* bytes left for the value, with its NUL */
};

/* Takes the next byte of the text. True: it ended the value. */
static bool scan_byte(struct scan *scan, char c)
{
    size_t length = strlen(scan->name);

    if (scan->matched > length) {
        if (c != '\0' && scan->room > 1) {
            *scan->value++ = c;
            scan->room--;
        }
        *scan->value = '\0';
        return c == '\0';
    }
    if (c == '\0') {
        scan->matched = 0;
        scan->differs = false;
    } else if (!scan->differs) {
        char wanted = scan->matched == length ? '=' : scan->name[scan->matched];

        scan->differs = c != wanted;
        scan->matched += !scan->differs;
    }
    return false;
}

/* Looks in the environment that the process was started with, as the kernel shows it: for the
 * time before the C library has set up its own copy. */
static bool initial_environment(struct scan *scan)
{
    char buffer[512];
    int state = cancel_disable();
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    bool found = false;
    ssize_t got = 0;

    while (fd >= 0 && !found && (got = read_some(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < got && !found; i++)
            found = scan_byte(scan, buffer[i]);
    if (fd >= 0)
        close(fd);
    cancel_restore(state);
    return found;
}

bool os_environment(const char *name, char *value, size_t bytes)
{
    struct scan scan = {.name = name, .value = value, .room = bytes};
    const char *text;
    size_t length;

    if (getauxval(AT_SECURE) != 0)
        return false;
    if (environ == NULL)
        return initial_environment(&scan);
    text = getenv(name);
    if (text == NULL)
        return false;
    length = strlen(text) < bytes ? strlen(text) : bytes - 1;
    memcpy(value, text, length);
    value[length] = '\0';
    return true;
}

/* --- stdio around fork -------------------------------------------------- */

/* The lock of glibc's list of FILEs. It is recursive: a thread may take it several times. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

static bool has_stdio_list(void)
{
    return _IO_list_lock != NULL && _IO_list_unlock != NULL && _IO_list_resetlock != NULL;
}

void os_stdio_hold(void)
{
    if (has_stdio_list())
        _IO_list_lock();
}

void os_stdio_release(void)
{
    if (has_stdio_list())
        _IO_list_unlock();
}

/* glibc does so itself before the handlers of the child, but only in a process with threads. */
void os_stdio_reset(void)
{
    if (has_stdio_list())
        _IO_list_resetlock();
}
