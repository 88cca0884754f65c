/* settings.c - see settings.h. */
#include "malloc/settings.h"

#include "base/bits.h"
#include "kfence/kfence.h"
#include "os/os.h"
#include "os/os_report.h"

#include <pyslab.h>
#include <stdio.h>
#include <string.h>

struct malloc_settings malloc_settings;

#define VARIABLE "PYSLAB_MALLOC"
#define STATS_FILE "stats="
#define KFENCE "kfence="

static void tell(const char *what, const char *word, size_t length)
{
    char line[128];
    int bytes = snprintf(line, sizeof line, "pyslab: " VARIABLE ": %s \"%.*s\"\n", what,
                         length < 40 ? (int)length : 40, word);

    settings_report(line, (size_t)bytes, false);
}

static void apply_file(const char *path, size_t length)
{
    char text[SETTINGS_PATH_BYTES];

    memcpy(text, path, length);
    text[length] = '\0';
    if (length == 0 ||
        !os_absolute_path(text, malloc_settings.stats_file, sizeof malloc_settings.stats_file)) {
        malloc_settings.stats_file[0] = '\0';
        tell("no such file for stats", path, length);
    }
    malloc_settings.stats = true;
}

static void apply_kfence(const char *time, size_t length)
{
    char text[64];

    memcpy(text, time, min_uint((unsigned)length, sizeof text - 1));
    text[min_uint((unsigned)length, sizeof text - 1)] = '\0';
    if (!kfence_parse(text, &malloc_settings.kfence_ms, &malloc_settings.kfence_objects))
        tell("no time for kfence", time, length);
}

static bool is_word(const char *word, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(word, name, length) == 0;
}

/* What stands behind the name in the word; NULL: it has another name. */
static const char *value_of(const char *word, size_t length, const char *name)
{
    size_t prefix = strlen(name);

    return length >= prefix && memcmp(word, name, prefix) == 0 ? word + prefix : NULL;
}

static void apply(const char *word, size_t length)
{
    const char *end = word + length, *value;

    if (is_word(word, length, "stats"))
        malloc_settings.stats = true;
    else if (is_word(word, length, "hardened"))
        malloc_settings.hardened = true;
    else if (is_word(word, length, "guard"))
        malloc_settings.guard = PYSLAB_GUARD_ALL;
    else if (is_word(word, length, "guard=below"))
        malloc_settings.guard = PYSLAB_GUARD_BELOW;
    else if (is_word(word, length, "init_on_alloc"))
        malloc_settings.init_on_alloc = true;
    else if (is_word(word, length, "init_on_free"))
        malloc_settings.init_on_free = true;
    else if (is_word(word, length, "background_purge"))
        malloc_settings.background_purge = true;
    else if (is_word(word, length, "keep_deepbind"))
        malloc_settings.keep_deepbind = true;
    else if (is_word(word, length, "kfence") && malloc_settings.kfence_ms == 0)
        malloc_settings.kfence_ms = PYSLAB_KFENCE_SAMPLE_MS;
    else if (is_word(word, length, "kfence"))
        return; /* its time stands there already */
    else if ((value = value_of(word, length, KFENCE)) != NULL)
        apply_kfence(value, (size_t)(end - value));
    else if ((value = value_of(word, length, STATS_FILE)) != NULL)
        apply_file(value, (size_t)(end - value));
    else if (length != 0)
        tell("no setting", word, length);
}

static void apply_all(const char *word)
{
    for (;;) {
        size_t length = strcspn(word, ", ");

        apply(word, length);
        if (word[length] == '\0')
            break;
        word += length + 1;
    }
}

void settings_read(void)
{
    static char text[SETTINGS_PATH_BYTES]; /* one thread is here, once */
    bool any = os_environment(VARIABLE, text, sizeof text);

    malloc_settings.kfence_objects = PYSLAB_KFENCE_OBJECTS;
    os_report_start(any && text[0] != '\0');
    if (any)
        apply_all(text);
}

void settings_report(const char *text, size_t bytes, bool to_file)
{
    const char *path = malloc_settings.stats_file;

    if (to_file && path[0] != '\0' && os_report_file(path, text, bytes))
        return;
    if (!os_report_error(text, bytes) && path[0] != '\0')
        (void)os_report_file(path, text, bytes);
}
