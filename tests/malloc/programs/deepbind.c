/* deepbind.c - loads a plugin with RTLD_DEEPBIND, and exchanges memory with it. Prints whether the
 * plugin's malloc is the program's. Arguments: the plugin's path; `exchange`, `compare`, `apart`
 * (by dlmopen); or the path of the library between the two and `runpath`. */
#define _GNU_SOURCE
#include "require.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void *plugin;

static void *symbol(const char *name)
{
    void *found = dlsym(plugin, name);

    REQUIRE(found != NULL);
    return found;
}

static void exchange(void)
{
    char *(*copy)(const char *);
    void (*of_plugin_free)(void *);

    *(void **)&copy = symbol("plugin_copy");
    *(void **)&of_plugin_free = symbol("plugin_free");
    for (int i = 0; i < 100; i++) {
        char *p = copy("text");

        REQUIRE(strcmp(p, "text") == 0);
        free(realloc(p, 100));
        of_plugin_free(strdup("text"));
    }
}

static void compare(void)
{
    void *(*address)(void);

    *(void **)&address = symbol("plugin_malloc_address");
    puts(address() == (void *)malloc ? "same" : "other");
}

/* What the library between the two finds by its RUNPATH this program does not find. */
static void runpath(const char *middle)
{
    void *library = dlopen(middle, RTLD_NOW);
    void *(*middle_open)(const char *);

    REQUIRE(library != NULL);
    *(void **)&middle_open = dlsym(library, "middle_open");
    REQUIRE(dlopen("libonly_there.so", RTLD_NOW) == NULL);
    REQUIRE(strstr(dlerror(), "libonly_there.so") != NULL);
    plugin = middle_open("libonly_there.so");
    REQUIRE(plugin != NULL);
    exchange();
    compare();
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 3);
    if (strcmp(argv[2], "runpath") == 0) {
        runpath(argv[1]);
        return 0;
    }
    plugin = strcmp(argv[2], "apart") == 0 ? dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW)
                                           : dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
    REQUIRE(plugin != NULL);
    if (strcmp(argv[2], "exchange") == 0)
        exchange();
    compare();
    return 0;
}
