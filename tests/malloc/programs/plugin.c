/* plugin.c - a library that early_and_late.c loads: it allocates while it is loaded, in
 * calls, in data of threads, and while it is unloaded. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static char *of_constructor;
static _Thread_local char *of_thread;

__attribute__((constructor)) static void begin(void)
{
    of_constructor = calloc(1, 1000);
}

__attribute__((destructor)) static void end(void)
{
    free(of_constructor);
    free(of_thread);
    free(malloc(100));
}

char *plugin_make(size_t bytes);

char *plugin_make(size_t bytes)
{
    char *p = malloc(bytes);

    if (of_thread == NULL)
        of_thread = strdup("of this thread");
    memset(p, of_constructor[0] + 5, bytes);
    return p;
}
