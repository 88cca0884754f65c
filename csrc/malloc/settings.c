/* settings.c - see settings.h. */
#include "malloc/settings.h"

#include "os/os.h"

#include <stdio.h>
#include <string.h>

struct malloc_settings malloc_settings;

#define VARIABLE "PYSLAB_MALLOC"

static void tell_unknown(const char *word, size_t length)
{
    char line[128];
    int bytes = snprintf(line, sizeof line, "pyslab: " VARIABLE ": no setting \"%.*s\"\n",
                         length < 40 ? (int)length : 40, word);

    os_write_error(line, (size_t)bytes);
}

static void apply(const char *word, size_t length)
{
    if (length == 5 && memcmp(word, "stats", length) == 0)
        malloc_settings.stats = true;
    else if (length == 8 && memcmp(word, "hardened", length) == 0)
        malloc_settings.hardened = true;
    else if (length == 16 && memcmp(word, "background_purge", length) == 0)
        malloc_settings.background_purge = true;
    else if (length != 0)
        tell_unknown(word, length);
}

void settings_read(void)
{
    char text[256];
    const char *word = text;

    if (!os_environment(VARIABLE, text, sizeof text))
        return;
    for (;;) {
        size_t length = strcspn(word, ", ");

        apply(word, length);
        if (word[length] == '\0')
            break;
        word += length + 1;
    }
    if (malloc_settings.stats)
        os_keep_error();
}
