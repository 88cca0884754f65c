/* foreign_descriptor.c - closes all its descriptors, as daemons do, opens a file of its own, which
 * gets number 2, and ends. Arguments: the file; `exit` (with a report), `abort` (by a double free)
 * or `redirect` (dup2 of the file to number 2, then exit). */
#include "require.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    void *volatile p = malloc(100);
    int fd;

    REQUIRE(argc == 3);
    if (strcmp(argv[2], "redirect") == 0) {
        fd = open(argv[1], O_WRONLY | O_CREAT, 0600);
        REQUIRE(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
        return 0;
    }
    for (fd = 2; fd < 1024; fd++)
        close(fd);
    fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    REQUIRE(fd == STDERR_FILENO && write(fd, "mine", 4) == 4);
    free(p);
    if (strcmp(argv[2], "abort") == 0)
        free(p);
    return 0;
}
