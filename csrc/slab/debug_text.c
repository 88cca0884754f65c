/* debug_text.c - an arena's text of debug flags: letters, then names of caches, see types.h.
 *
 * What it is: groups with `;` between them, as on the kernel's command line. A group is letters,
 * and behind each comma the name of a cache, or the start of names and a `*`. "-" stands for no
 * letter, so that some caches can be left out. Small letters are the same, as for the kernel. The
 * last group that names a cache counts for it; if none does, the last without names.
 * What it is not: a change of flags while an arena is there. Lock: none; it is read only.
 */
#include "slab/debug.h"

#include "os/os.h"
#include "os/os_report.h"

#include <stdio.h>
#include <string.h>

#define VARIABLE "PYSLAB_DEBUG"

const char debug_text_keyed[] = "ZP";

/* The flag of a letter; 0: it is none. */
static uint32_t flag_of(char letter)
{
    switch (letter | 0x20) {
    case 'f':
        return PYSLAB_DEBUG_CHECKS;
    case 'z':
        return PYSLAB_DEBUG_REDZONE;
    case 'p':
        return PYSLAB_DEBUG_POISON;
    case 'u':
        return PYSLAB_DEBUG_USER;
    default:
        return 0;
    }
}

/* Reads letters up to a comma, a semicolon or the end; returns where. NULL: there is none, or one
 * is no flag. */
static const char *read_letters(const char *text, uint32_t *flags)
{
    const char *start = text;

    *flags = 0;
    for (; *text != '\0' && *text != ',' && *text != ';'; text++) {
        if (*text != '-' && flag_of(*text) == 0)
            return NULL;
        *flags |= flag_of(*text);
    }
    return text != start ? text : NULL;
}

/* The name is what the pattern says. */
static bool matches(const char *name, const char *pattern, size_t length)
{
    if (length != 0 && pattern[length - 1] == '*')
        return strncmp(name, pattern, length - 1) == 0;
    return strlen(name) == length && memcmp(name, pattern, length) == 0;
}

/* One group of the text. */
struct group {
    uint32_t flags;
    bool has_names;
    bool names_it; /* and one of them is the name that is looked for */
};

/* Reads one group; returns where it ends. name: NULL, or what is looked for. NULL: it has no
 * letters, or one that is no flag, or an empty name. */
static const char *read_group(const char *text, const char *name, struct group *group)
{
    *group = (struct group){0};
    text = read_letters(text, &group->flags);
    while (text != NULL && *text == ',') {
        size_t length = strcspn(++text, ",;");

        if (length == 0)
            return NULL;
        group->has_names = true;
        group->names_it |= name != NULL && matches(name, text, length);
        text += length;
    }
    return text;
}

/* The groups of the environment, or none if there is a mistake in them: a program that makes an
 * arena is not to fail for it. */
static void read_environment(struct arena_debug *debug)
{
    char text[DEBUG_TEXT_BYTES];

    if (os_environment(VARIABLE, text, sizeof text) && debug_init(debug, text) != PYSLAB_OK) {
        static const char line[] = "pyslab: " VARIABLE ": not flags (F, Z, P, U) and names\n";

        os_report_start(false);
        (void)os_report_error(line, sizeof line - 1);
    }
}

int debug_init(struct arena_debug *debug, const char *text)
{
    const char *at = text;
    struct group group;

    if (text == NULL) {
        read_environment(debug);
        return PYSLAB_OK;
    }
    if (strlen(text) >= sizeof debug->text)
        return PYSLAB_EINVAL;
    while (*at != '\0') {
        at = read_group(at, NULL, &group);
        if (at == NULL || (*at == ';' && at[1] == '\0'))
            return PYSLAB_EINVAL;
        at += *at == ';';
    }
    memcpy(debug->text, text, strlen(text) + 1);
    debug->flags = debug_flags_for(debug, "");
    debug->any = text[0] != '\0';
    debug->keyed = text == debug_text_keyed;
    if (debug->any)
        os_report_start(false);
    return PYSLAB_OK;
}

uint32_t debug_flags_for(const struct arena_debug *debug, const char *name)
{
    uint32_t all = 0, named = 0;
    bool is_named = false;

    for (const char *at = debug->text; *at != '\0'; at += *at == ';') {
        struct group group;

        at = read_group(at, name, &group);
        if (!group.has_names)
            all = group.flags;
        if (group.names_it)
            named = group.flags;
        is_named |= group.names_it;
    }
    return is_named ? named : all;
}
