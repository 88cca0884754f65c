/* os_report.h - where the process's own reports go: to the standard error as it was when the
 * process started, or to a file that is named.
 *
 * What it is: descriptor 2, and a duplicate of it, each used only if it is still the file that
 * it was at the start (its device and inode number). A program may close all descriptors and
 * open a database, which then has number 2: not a byte goes there.
 * What it is not: a log; each report is one text.
 *
 * Data structure: the identity, and the duplicate's number.
 * Lock: none; os_report_start runs before the first report. No function is a cancellation point.
 */
#ifndef OS_OS_REPORT_H
#define OS_OS_REPORT_H

#include "base/config.h"

/* Remembers which file descriptor 2 is. keep: also makes a duplicate, for programs that close
 * their standard error before they end. */
void os_report_start(bool keep);
/* False: neither of the two is what it was; nothing was written. */
bool os_report_error(const char *text, size_t bytes);
/* Appends to a file, which is made if it is not there. False: it cannot be opened. */
bool os_report_file(const char *path, const char *text, size_t bytes);
/* Copies path, with the current directory before it unless it is absolute. False: it does not
 * fit, or there is no such directory. */
bool os_absolute_path(const char *path, char *out, size_t bytes);

#endif
