/* deep_plugin.c - a plugin that deepbind.c loads. With CALLS_DLOPEN it is a library between the
 * two, which loads the plugin from a folder that only its own RUNPATH names. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#ifdef CALLS_DLOPEN

void *middle_open(const char *name);

void *middle_open(const char *name)
{
    void *plugin = dlopen(name, RTLD_NOW | RTLD_DEEPBIND);

    return plugin; /* a variable, so that the call is one whatever the compiler does */
}

#else

char *plugin_copy(const char *text);
void plugin_free(void *p);
void *plugin_malloc_address(void);

char *plugin_copy(const char *text)
{
    return strcpy(malloc(strlen(text) + 1), text);
}

void plugin_free(void *p)
{
    free(p);
}

void *plugin_malloc_address(void)
{
    return (void *)malloc;
}

#endif
