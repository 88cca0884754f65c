/* track_report.c - the live allocations of a tracked arena as text, for callers in C.
 * What it is not: the table (track.c); Python's report (src/pyslab/leaks.py). Lock: none held. */
#include "page_alloc/track.h"

#include "os/os_heap.h"
#include "stack/depot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct report {
    char *out;    /* where the text goes */
    size_t room;  /* bytes there, with the NUL */
    size_t bytes; /* of the whole text, also of what has no room */
};

static void report_add(const char *text, size_t bytes, void *context)
{
    struct report *report = context;
    size_t left = report->bytes + 1 < report->room ? report->room - 1 - report->bytes : 0;

    if (left != 0)
        memcpy(report->out + report->bytes, text, bytes < left ? bytes : left);
    report->bytes += bytes;
}

static void report_head(struct report *report, const char *what, uint64_t bytes, uint64_t count)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%" PRIu64 " bytes in %" PRIu64 " allocation%s%s\n",
                          bytes, count, count == 1 ? "" : "s", what);

    report_add(line, (size_t)length, report);
}

size_t tracker_report(struct tracker *tracker, char *text, size_t bytes)
{
    struct report report = {text, bytes, 0};
    uint64_t lost, sum = 0, count = 0;
    uint32_t nr;
    struct track_group *group = tracker_groups(tracker, &nr, &lost);

    nr = group != NULL ? nr : 0;
    for (uint32_t i = 0; i < nr; i++) {
        sum += group[i].bytes;
        count += group[i].count;
    }
    if (nr != 0 || lost != 0)
        report_head(&report, " still in use", sum, count);
    if (lost != 0)
        report_head(&report, " found no memory to be recorded in", 0, lost);
    for (uint32_t i = 0; i < nr; i++) {
        report_head(&report, ":", group[i].bytes, group[i].count);
        stack_print(group[i].stack, report_add, &report);
    }
    os_heap_free(group, nr * sizeof *group);
    if (bytes != 0)
        text[report.bytes < bytes ? report.bytes : bytes - 1] = '\0';
    return report.bytes;
}
