/* os_stack.c - see os_stack.h. */
#include "os/os_stack.h"

#include "base/compiler.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#if defined(__GLIBC__)
#include <execinfo.h>
#endif

#define OS_BACKTRACE_MAX 64 /* addresses that one call looks at */

void os_backtrace_prime(void)
{
    uintptr_t address;

    (void)os_backtrace(&address, 1);
}

slow_path unsigned os_backtrace(uintptr_t *addresses, unsigned max)
{
#if defined(__GLIBC__)
    void *found[OS_BACKTRACE_MAX + 1];
    unsigned wanted = max < OS_BACKTRACE_MAX ? max : OS_BACKTRACE_MAX;
    int nr = backtrace(found, (int)wanted + 1);

    /* found[0] is in this function. */
    for (int i = 1; i < nr; i++)
        addresses[i - 1] = (uintptr_t)found[i];
    return nr > 1 ? (unsigned)nr - 1 : 0;
#else
    (void)addresses;
    (void)max;
    return 0;
#endif
}

/* --- modules -------------------------------------------------------------- */

struct module_search {
    uintptr_t address;      /* an address of the module that is wanted */
    struct os_module found; /* its range, once it was met */
};

static int module_is_it(struct dl_phdr_info *info, size_t bytes, void *context)
{
    struct module_search *search = context;
    struct os_module module = {.start = UINTPTR_MAX};
    bool inside = false;

    (void)bytes;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;

        if (segment->p_type != PT_LOAD)
            continue;
        inside = inside || (search->address >= start && search->address < end);
        module.start = start < module.start ? start : module.start;
        module.end = end > module.end ? end : module.end;
    }
    if (inside)
        search->found = module;
    return inside;
}

struct os_module os_module_of(uintptr_t address)
{
    struct module_search search = {.address = address};

    dl_iterate_phdr(module_is_it, &search);
    return search.found;
}

struct os_module os_module_of_program(void)
{
    return os_module_of((uintptr_t)getauxval(AT_ENTRY));
}

bool os_symbol_find(uintptr_t address, struct os_symbol *out)
{
    Dl_info info;

    if (dladdr((const void *)address, &info) == 0 || info.dli_fname == NULL)
        return false;
    *out = (struct os_symbol){.module = info.dli_fname,
                              .module_at = address - (uintptr_t)info.dli_fbase,
                              .name = info.dli_sname};
    if (info.dli_sname != NULL)
        out->name_offset = address - (uintptr_t)info.dli_saddr;
    return true;
}
