/* parse.c - the text that asks for a KFENCE, in an environment variable or a setting.
 * What it is not: the option of Arena, which Python reads (src/pyslab/_arena/kfence.py). */
#include "kfence/kfence.h"

#include <string.h>

#define MAX_NUMBER 100000000u /* more than a day of milliseconds */

/* Reads digits; returns where they end. NULL: there are none, or the number is too large. */
static const char *read_number(const char *text, uint32_t *number)
{
    const char *start = text;

    *number = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        *number = *number * 10 + (uint32_t)(*text - '0');
        if (*number > MAX_NUMBER)
            return NULL;
    }
    return text != start ? text : NULL;
}

bool kfence_parse(const char *text, uint32_t *sample_ms, uint32_t *objects)
{
    uint32_t ms, nr = *objects;
    const char *at = read_number(text, &ms);

    if (at == NULL)
        return false;
    if (strncmp(at, "ms", 2) == 0) {
        at += 2;
    } else if (*at == 's') {
        at++;
        if (ms > MAX_NUMBER / 1000)
            return false;
        ms *= 1000;
    }
    if (*at == ',' || *at == ':') {
        at = read_number(at + 1, &nr);
        if (at == NULL || nr == 0 || nr > PYSLAB_KFENCE_MAX_OBJECTS)
            return false;
    }
    if (*at != '\0')
        return false;
    *sample_ms = ms;
    *objects = nr;
    return true;
}
