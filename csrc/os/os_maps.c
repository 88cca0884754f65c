/* os_maps.c - which file an address is mapped from, asked by system calls alone.
 *
 * What it is: os_symbol_find for a signal handler, where the C library's own search is forbidden:
 * it takes the loader's lock, which the interrupted thread may hold. It reads what the system
 * shows in /proc/self/maps, line by line, and then the symbols of the file (os_elf.h).
 * Lock: the caller's; the text lies in one static buffer.
 */
#include "os/os_elf.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCESS_BYTES 6u  /* " r-xp ", which stands before the offset */
#define LINE_BYTES 4352u /* a path of 4095 bytes, and what stands before it */

static struct {
    char line[LINE_BYTES];   /* that is being read; NUL-terminated when it is whole */
    char module[LINE_BYTES]; /* path of the mapping of the line before, and of what is found */
    uintptr_t module_start;  /* where the first mapping of that file begins */
    uint64_t offset;         /* of the address in that file, once it is found */
} maps;

/* One line: "start-end access offset device inode path". True: the address is in its mapping. */
static bool line_has(uintptr_t address)
{
    char *at = maps.line;
    uintptr_t start = strtoull(at, &at, 16), end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
    const char *path = strchr(maps.line, '/');

    if (path == NULL || strlen(at) < ACCESS_BYTES)
        return false;
    maps.offset = strtoull(at + ACCESS_BYTES, NULL, 16) + (address - start);
    if (strcmp(path, maps.module) != 0) {
        memcpy(maps.module, path, strlen(path) + 1);
        maps.module_start = start;
    }
    return address >= start && address < end;
}

/* True: a line of the file has the address. */
static bool lines_have(int fd, uintptr_t address)
{
    char some[512];
    size_t length = 0;
    ssize_t got;

    while ((got = read(fd, some, sizeof some)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (some[i] != '\n') {
                maps.line[length] = some[i];
                length += length + 1 < sizeof maps.line;
                continue;
            }
            maps.line[length] = '\0';
            length = 0;
            if (line_has(address))
                return true;
        }
    return false;
}

bool os_symbol_find_plainly(uintptr_t address, struct os_symbol *out)
{
    bool found;
    int fd, state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    maps.module[0] = '\0';
    fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    found = fd >= 0 && lines_have(fd, address);
    if (fd >= 0)
        close(fd);
    *out = (struct os_symbol){.module = maps.module, .module_at = address - maps.module_start};
    if (found && os_elf_address(maps.module, maps.offset, &out->module_at))
        os_elf_name(maps.module, out);
    pthread_setcancelstate(state, NULL);
    return found;
}
