/* debug_report.c - what happens to a corruption that was found: it is counted and handed to the
 * arena's handler; or it is written to the standard error, and the process aborts.
 *
 * What it is: the text, in the kernel's words: which cache and object, what was found where, the
 * bytes around it, the stacks of the allocation and of the free.
 * What it is not: detection (debug_check.c). It allocates nothing, because the malloc library
 * reports from inside malloc.
 * Lock: none; the counts are atomic, and so is the handler. In a signal handler a thread waits for
 * another one's report, but not for ever: it may have interrupted itself.
 */
#include "slab/debug.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "os/os.h"
#include "os/os_report.h"
#include "stack/depot.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_BYTES 8192 /* of the text that is written to the standard error */
#define ROW_BYTES 16u     /* of a line of the hexdump */

/* --- text --------------------------------------------------------------- */

struct text {
    char *out;    /* where the text goes */
    size_t room;  /* bytes there, with the NUL */
    size_t bytes; /* of the whole text, also of what has no room */
};

static printf_like(2, 3) void put(struct text *text, const char *format, ...)
{
    size_t at = text->bytes < text->room ? text->bytes : text->room;
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    bytes = vsnprintf(text->out + at, text->room - at, format, arguments);
    va_end(arguments);
    text->bytes += bytes > 0 ? (size_t)bytes : 0;
}

static const char *access_word(const pyslab_corruption *found)
{
    switch (found->access) {
    case PYSLAB_ACCESS_READ:
        return "a read";
    case PYSLAB_ACCESS_WRITE:
        return "a write";
    default:
        return "a read or a write";
    }
}

static void put_out_of_bounds(struct text *text, const pyslab_corruption *found)
{
    int64_t past = found->offset - (int64_t)found->object_size + 1;

    put(text, "out of bounds, %s", access_word(found));
    if (found->object == NULL)
        put(text, " of a page that has no object yet");
    else if (found->offset < 0)
        put(text, " %" PRId64 " bytes before the start", -found->offset);
    else
        put(text, " %" PRId64 " bytes past the end", past);
}

static void put_what(struct text *text, const pyslab_corruption *found)
{
    int64_t past = found->offset + (int64_t)found->nr_bytes - (int64_t)found->object_size;

    switch (found->kind) {
    case PYSLAB_CORRUPTION_LEFT_REDZONE:
        put(text, "left red zone overwritten, %" PRId64 " bytes before the start", -found->offset);
        break;
    case PYSLAB_CORRUPTION_RIGHT_REDZONE:
        put(text, "right red zone overwritten, %" PRId64 " bytes past the end", past);
        break;
    case PYSLAB_CORRUPTION_POISON:
        put(text, "poison overwritten: written to after it was freed");
        break;
    case PYSLAB_CORRUPTION_PADDING:
        put(text, "padding overwritten, behind the last object of a slab");
        break;
    case PYSLAB_CORRUPTION_DOUBLE_FREE:
        put(text, "object already free");
        break;
    case PYSLAB_CORRUPTION_WRONG_CACHE:
        put(text, "wrong cache: freed to another one than its own");
        break;
    case PYSLAB_CORRUPTION_OUT_OF_BOUNDS:
        put_out_of_bounds(text, found);
        break;
    case PYSLAB_CORRUPTION_USE_AFTER_FREE:
        put(text, "use after free, %s", access_word(found));
        break;
    default:
        put(text, "invalid object pointer %p freed", found->address);
        break;
    }
}

/* Which part of an object and its surroundings the row begins in. */
static const char *row_label(const pyslab_corruption *found, const char *row)
{
    const char *object = found->object;

    if (object == NULL)
        return "bytes";
    if (row + ROW_BYTES <= object)
        return "before";
    return row >= object + found->object_size ? "behind" : "object";
}

static void put_row(struct text *text, const pyslab_corruption *found, size_t from)
{
    const char *at = (const char *)found->dump_at + from;
    const unsigned char *row = found->dump + from;
    size_t nr = found->dump_bytes - from < ROW_BYTES ? found->dump_bytes - from : ROW_BYTES;

    put(text, "  %s %p:", row_label(found, at), (const void *)at);
    for (size_t i = 0; i < ROW_BYTES; i++)
        if (i < nr)
            put(text, " %02x", row[i]);
        else
            put(text, "   ");
    put(text, "  ");
    for (size_t i = 0; i < nr; i++)
        put(text, "%c", row[i] >= 0x20 && row[i] < 0x7f ? row[i] : '.');
    put(text, "\n");
}

static void put_frame(const char *line, size_t bytes, void *context)
{
    put(context, "%.*s", (int)bytes, line);
}

/* What was caught in the act is told in a signal handler. */
static void put_stack(struct text *text, const pyslab_corruption *found, const char *what,
                      uint32_t stack)
{
    if (stack == 0)
        return;
    put(text, "  %s by\n", what);
    if (found->access == PYSLAB_ACCESS_NONE)
        stack_print_named(stack, put_frame, text);
    else
        stack_print_plainly(stack, put_frame, text);
}

size_t debug_report_text(const pyslab_corruption *found, char *out, size_t bytes)
{
    char nowhere[1];
    struct text text = {bytes != 0 ? out : nowhere, bytes != 0 ? bytes : sizeof nowhere, 0};

    put(&text, "BUG %s: ", found->cache);
    put_what(&text, found);
    if (found->object != NULL)
        put(&text, "\n  object %p of %zu bytes", found->object, found->object_size);
    if (found->nr_bytes != 0)
        put(&text, ": %zu bytes from offset %" PRId64 " (%p), the first is 0x%02x and not 0x%02x",
            found->nr_bytes, found->offset, found->address, found->found, found->expected);
    else if (found->object != NULL && found->address != found->object)
        put(&text, ": %p is at offset %" PRId64, found->address, found->offset);
    put(&text, "\n");
    for (size_t from = 0; from < found->dump_bytes; from += ROW_BYTES)
        put_row(&text, found, from);
    put_stack(&text, found, "allocated", found->allocated_at);
    put_stack(&text, found, "freed", found->freed_at);
    return text.bytes;
}

/* --- reporting ---------------------------------------------------------- */

void debug_copy_dump(struct debug_found *found, const char *start, const char *end)
{
    const char *address = found->what.address;
    const char *from = address - ((uintptr_t)address & (ROW_BYTES - 1)) - 3 * ROW_BYTES;
    size_t bytes;

    if (from < start || from > end)
        from = start;
    bytes = (size_t)(end - from) < DEBUG_DUMP_BYTES ? (size_t)(end - from) : DEBUG_DUMP_BYTES;
    memcpy(found->dump, from, bytes);
    found->what.dump = found->dump;
    found->what.dump_at = from;
    found->what.dump_bytes = bytes;
}

/* ends: the process does, with this text. */
static void write_text(const pyslab_corruption *found, bool ends, char text[REPORT_BYTES])
{
    static const char prefix[] = "pyslab: ";
    size_t bytes;

    memcpy(text, prefix, sizeof prefix);
    bytes = sizeof prefix - 1 +
            debug_report_text(found, text + sizeof prefix - 1, REPORT_BYTES - sizeof prefix + 1);
    if (bytes >= REPORT_BYTES)
        bytes = REPORT_BYTES - 1;
    if (ends)
        (void)os_report_end(text, bytes);
    else
        (void)os_report_error(text, bytes);
}

void debug_report(struct arena_debug *debug, struct debug_found *found, bool validating)
{
    pyslab_on_corruption handler = atomic_load(&debug->handler);
    char text[REPORT_BYTES];

    CHECK(lock_none_is_held());
    if (found->what.kind == 0)
        return;
    found->what.struct_size = sizeof found->what;
    atomic_fetch_add(&debug->nr_found, 1);
    if (handler != NULL) {
        handler(&found->what, atomic_load(&debug->context));
        return;
    }
    write_text(&found->what, !validating, text);
    if (!validating)
        abort();
}

#define REPORT_WAIT_MS 1000u /* for another thread's report */

void debug_report_fault(struct arena_debug *debug, const pyslab_corruption *found)
{
    static _Atomic bool is_taken;
    static char text[REPORT_BYTES]; /* a signal's stack may be small */
    pyslab_on_corruption handler = atomic_load(&debug->handler);

    for (unsigned ms = 0; atomic_exchange(&is_taken, true); ms++) {
        if (ms == REPORT_WAIT_MS)
            return;
        os_sleep_ms(1);
    }
    atomic_fetch_add(&debug->nr_found, 1);
    write_text(found, true, text);
    if (handler != NULL)
        handler(found, atomic_load(&debug->context));
    atomic_store(&is_taken, false);
}

void debug_tell_finding(const struct debug_found *found, struct finding *f)
{
    char text[sizeof f->text];

    if (f == NULL)
        return;
    (void)debug_report_text(&found->what, text, sizeof text);
    (void)finding_report(f, "%.*s", (int)strcspn(text, "\n"), text);
}

void debug_report_all(struct arena_debug *debug, struct debug_found *found, uint32_t nr,
                      struct finding *f)
{
    for (uint32_t i = 0; i < nr; i++) {
        debug_tell_finding(&found[i], f);
        debug_report(debug, &found[i], true);
    }
}

uint32_t debug_kind_of_free(int error)
{
    if (error == PYSLAB_EDOUBLE)
        return PYSLAB_CORRUPTION_DOUBLE_FREE;
    return error == PYSLAB_ECACHE ? PYSLAB_CORRUPTION_WRONG_CACHE : PYSLAB_CORRUPTION_INVALID_FREE;
}
