/* os_stack.c - see os_stack.h. */
#include "os/os_stack.h"

#include "base/check.h"
#include "base/compiler.h"
#include "os/os_elf.h"
#include "os/os_unwind.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#include <unwind.h>

static struct {
    _Unwind_Reason_Code (*walk)(_Unwind_Trace_Fn, void *); /* NULL: there is no unwinder */
    _Unwind_Ptr (*address)(struct _Unwind_Context *);
} unwinder;

struct walk {
    uintptr_t *addresses;        /* room for max of them */
    unsigned max, nr;            /* nr were written */
    bool skipped;                /* the frame of os_backtrace itself is behind us */
    const struct os_module *end; /* NULL: to the outermost frame */
};

void os_backtrace_load(void)
{
    void *library = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
    void *walk = library != NULL ? dlsym(library, "_Unwind_Backtrace") : NULL;
    void *address = library != NULL ? dlsym(library, "_Unwind_GetIP") : NULL;
    void *found[] = {library != NULL ? dlsym(library, "_Unwind_Find_FDE") : NULL,
                     dlsym(RTLD_DEFAULT, "_dl_find_object")};
    os_find_description description;
    os_find_module module;

    memcpy(&description, &found[0], sizeof description);
    memcpy(&module, &found[1], sizeof module);
    os_unwind_load(description, module);
    if (walk == NULL || address == NULL)
        return;
    memcpy(&unwinder.address, &address, sizeof address);
    memcpy(&unwinder.walk, &walk, sizeof walk);
}

#define CHECKED_FRAMES 128u

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *argument)
{
    struct walk *walk = argument;
    uintptr_t address;

    if (!walk->skipped) {
        walk->skipped = true;
        return _URC_NO_REASON;
    }
    address = unwinder.address(context);
    if (address == 0 || walk->nr == walk->max ||
        (walk->end != NULL && os_module_has(walk->end, address)))
        return _URC_NORMAL_STOP;
    walk->addresses[walk->nr++] = address;
    return _URC_NO_REASON;
}

#if PYSLAB_CHECK_LEVEL >= 2
/* What os_unwind found is what libgcc_s finds; but the first is in the caller of either. */
static __attribute__((noinline)) bool unwinders_agree(const uintptr_t *addresses, unsigned nr,
                                                      unsigned max, const struct os_module *end)
{
    uintptr_t own[CHECKED_FRAMES];
    struct walk walk = {.addresses = own, .max = CHECKED_FRAMES, .end = end};

    if (unwinder.walk == NULL || nr < 2 || max > CHECKED_FRAMES - 1)
        return true;
    (void)unwinder.walk(walk_frame, &walk);
    for (unsigned i = 0; i < nr; i++) /* own[0] is in os_backtrace */
        if (i + 1 >= walk.nr || own[i + 1] != addresses[i])
            return false;
    return nr == max || walk.nr == nr + 1;
}
#endif

slow_path unsigned os_backtrace(uintptr_t *addresses, unsigned max, const struct os_module *end)
{
    struct walk walk = {.addresses = addresses, .max = max, .end = end};

    if (os_unwind(addresses, max, end, &walk.nr)) {
#if PYSLAB_CHECK_LEVEL >= 2
        CHECK(unwinders_agree(addresses, walk.nr, max, end));
#endif
        return walk.nr;
    }
    walk.nr = 0;
    if (unwinder.walk != NULL)
        (void)unwinder.walk(walk_frame, &walk);
    return walk.nr;
}

/* --- modules -------------------------------------------------------------- */

bool os_module_has(const struct os_module *module, uintptr_t address)
{
    return address >= module->start && address < module->end;
}

struct module_search {
    uintptr_t address;      /* an address of the module that is wanted */
    struct os_module found; /* its range, once it was met */
    uintptr_t bias;         /* added to the addresses in its file */
    bool is_program;        /* it is the program itself */
};

/* The range of a module's segments; *inside: whether the address is in one of them. */
static struct os_module module_range(const struct dl_phdr_info *info, uintptr_t address,
                                     bool *inside)
{
    struct os_module module = {.start = UINTPTR_MAX};

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;

        if (segment->p_type != PT_LOAD)
            continue;
        *inside = *inside || (address >= start && address < end);
        module.start = start < module.start ? start : module.start;
        module.end = end > module.end ? end : module.end;
    }
    return module;
}

/* The program itself has no name in the loader's list. */
static bool is_program(const struct dl_phdr_info *info)
{
    return info->dlpi_name == NULL || info->dlpi_name[0] == '\0';
}

static int module_is_it(struct dl_phdr_info *info, size_t bytes, void *context)
{
    struct module_search *search = context;
    bool inside = false;
    struct os_module module = module_range(info, search->address, &inside);

    (void)bytes;
    if (inside) {
        search->found = module;
        search->bias = info->dlpi_addr;
        search->is_program = is_program(info);
    }
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

struct module_visit {
    os_loaded_fn fn; /* what is called */
    void *context;   /* with this */
};

static int module_visit(struct dl_phdr_info *info, size_t bytes, void *context)
{
    const struct module_visit *visit = context;
    bool inside = false;
    char path[PATH_MAX];
    struct os_loaded loaded = {
        .range = module_range(info, 0, &inside), .bias = info->dlpi_addr, .path = info->dlpi_name};

    (void)bytes;
    if (is_program(info)) {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

        path[length > 0 ? length : 0] = '\0';
        loaded.path = path;
    }
    if (loaded.range.end != 0)
        visit->fn(&loaded, visit->context);
    return 0;
}

void os_modules_each(os_loaded_fn fn, void *context)
{
    struct module_visit visit = {fn, context};

    dl_iterate_phdr(module_visit, &visit);
}

static bool symbol_find(uintptr_t address, struct os_symbol *out, struct module_search *search)
{
    Dl_info info;

    *search = (struct module_search){.address = address};
    dl_iterate_phdr(module_is_it, search);
    if (search->found.end == 0 || dladdr((const void *)address, &info) == 0 ||
        info.dli_fname == NULL)
        return false;
    *out = (struct os_symbol){
        .module = info.dli_fname, .module_at = address - search->bias, .name = info.dli_sname};
    if (info.dli_sname != NULL)
        out->name_offset = address - (uintptr_t)info.dli_saddr;
    return true;
}

bool os_symbol_find(uintptr_t address, struct os_symbol *out)
{
    struct module_search search;

    return symbol_find(address, out, &search);
}

bool os_symbol_find_any(uintptr_t address, struct os_symbol *out)
{
    struct module_search search;

    if (!symbol_find(address, out, &search))
        return false;
    if (out->name == NULL)
        os_elf_name(search.is_program ? "/proc/self/exe" : out->module, out);
    return true;
}
