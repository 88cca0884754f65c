/* require.h - what a program that the tests run preloaded says when something is not so: the
 * place and the condition; it ends at once, without destructors. */
#ifndef PROGRAMS_REQUIRE_H
#define PROGRAMS_REQUIRE_H

#include <stdio.h>
#include <unistd.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                 \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#endif
