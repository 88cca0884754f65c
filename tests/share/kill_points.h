/* kill_points.h - each access of csrc/share/ to the table is a point at which its process can be
 * killed or stopped.
 *
 * csrc/share/protocol.c is compiled with -fsanitize=thread, unchanged: the compiler then calls a
 * function for each access to memory and each atomic operation. The functions here stand in for
 * the thread sanitizer's own. Those that read an atomic do so; those that write one count a point
 * first. Invariant: points passed == accesses of the armed kind since it was armed. */
#ifndef TESTS_SHARE_KILL_POINTS_H
#define TESTS_SHARE_KILL_POINTS_H

#include <stdbool.h>

enum point_kind {
    POINT_NONE, /* run on */
    POINT_KILL, /* before a store: SIGKILL */
    POINT_STOP  /* before any access: SIGSTOP, and on after SIGCONT. Zeros in a row are one */
};

/* From now on, at the access of this number, counted from 0. */
void points_arm(enum point_kind kind, unsigned number);
/* A point of the test's own, such as before a system call. */
void point_store(void);

#endif
