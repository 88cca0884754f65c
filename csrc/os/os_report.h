/* os_report.h - where the process's own reports go: to the standard error as it was when the
 * process started, or to a file that is named.
 *
 * What it is: descriptor 2, and a duplicate of it, each used only if it is still the file that
 * it was at the start (its device and inode number). A program may close all descriptors and
 * open a database, which then has number 2: not a byte goes there.
 * A text that the process ends with has a descriptor of its own, if one was set: pytest puts a
 * file in the place of the standard error, which is lost with the process.
 * What it is not: a log; each report is one text.
 *
 * Data structure: the identity, and the duplicate's number; the same of the other descriptor.
 * Lock: none; os_report_start runs before the first report, and os_report_end_to before the
 * process has other threads. No function is a cancellation point.
 */
#ifndef OS_OS_REPORT_H
#define OS_OS_REPORT_H

#include "base/config.h"

/* Remembers which file descriptor 2 is. keep: also makes a duplicate, for programs that close
 * their standard error before they end. */
void os_report_start(bool keep);
/* False: neither of the two is what it was; nothing was written. */
bool os_report_error(const char *text, size_t bytes);
/* Texts that the process ends with go to this descriptor, which stays the caller's, as long as it
 * is the file that it is now. -1: to where the others go. Returns what it was before, or -1. */
int os_report_end_to(int fd);
/* Writes a text that the process ends with. False: as os_report_error. */
bool os_report_end(const char *text, size_t bytes);
/* Appends to a file, which is made if it is not there. False: it cannot be opened. */
bool os_report_file(const char *path, const char *text, size_t bytes);
/* Copies path, with the current directory before it unless it is absolute. False: it does not
 * fit, or there is no such directory. */
bool os_absolute_path(const char *path, char *out, size_t bytes);

#endif
