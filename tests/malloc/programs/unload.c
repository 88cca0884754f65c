/* unload.c - loads the malloc library in a thread, uses it, unloads it, and lets the thread end:
 * the library's code runs once more then. Prints ok. Argument: the library's path. */
#include "require.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static const char *path;

static void *use_and_unload(void *unused)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *(*of_library_malloc)(size_t);
    void (*of_library_free)(void *);
    char *p;

    REQUIRE(library != NULL);
    *(void **)&of_library_malloc = dlsym(library, "malloc");
    *(void **)&of_library_free = dlsym(library, "free");
    p = of_library_malloc(1000);
    REQUIRE(p != NULL);
    memset(p, 1, 1000);
    of_library_free(p);
    REQUIRE(dlclose(library) == 0);
    return unused;
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    path = argv[1];
    for (int round = 0; round < 3; round++) {
        pthread_t thread;

        REQUIRE(pthread_create(&thread, NULL, use_and_unload, NULL) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    puts("ok");
    return 0;
}
