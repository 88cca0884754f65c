/* depot.c - see depot.h: stacks are collected, cut to what is worth keeping, and read again. */
#include "stack/depot.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/lock.h"
#include "os/os_stack.h"
#include "stack/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
    _Atomic(stack_python_hook) hook; /* NULL: no interpreter has set one */
    _Atomic uintptr_t interpreter;   /* an address of its code */
} python;

/* Ranges of addresses, found once; an end of 0: none. */
static struct {
    _Atomic bool known;           /* C frames are collected */
    struct os_module core;        /* the module that the core is linked into, unless the program */
    struct os_module interpreter; /* the module of Python's code */
} modules;

static pthread_once_t modules_once = PTHREAD_ONCE_INIT;
/* This thread is in the Python hook, which may allocate and so come here again. */
static _Thread_local bool in_hook __attribute__((tls_model("initial-exec")));

/* --- what is left out ------------------------------------------------------- */

static void modules_find(void)
{
    struct os_module program = os_module_of_program();

    os_backtrace_load();
    modules.core = os_module_of((uintptr_t)stack_save);
    if (modules.core.start == program.start)
        modules.core.end = 0;
    if (load_relaxed(&python.interpreter) != 0)
        modules.interpreter = os_module_of(load_relaxed(&python.interpreter));
    atomic_store(&modules.known, true);
}

void stack_start(void)
{
    pthread_once(&modules_once, modules_find);
}

/* --- saving ---------------------------------------------------------------- */

void stack_set_python_hook(stack_python_hook hook, uintptr_t interpreter)
{
    atomic_store(&python.interpreter, interpreter);
    if (load_acquire(&modules.known)) /* who reads it has seen the hook */
        modules.interpreter = os_module_of(interpreter);
    atomic_store(&python.hook, hook);
}

/* Names are stored with their end, so that readers need no copy. */
static uint64_t name_put(const char *name)
{
    size_t bytes = strlen(name) + 1;
    char cut[STORE_MAX_BYTES];

    if (bytes <= sizeof cut)
        return store_put(name, (uint32_t)bytes);
    memcpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = 0;
    return store_put(cut, sizeof cut);
}

struct stack_packed stack_pack_python(const char *file, const char *function, uint32_t line)
{
    return (struct stack_packed){.place = name_put(file) << 32 | name_put(function), .line = line};
}

static unsigned python_collect(struct stack_packed *out)
{
    stack_python_hook hook = load_acquire(&python.hook);
    unsigned nr;

    if (hook == NULL || in_hook)
        return 0;
    in_hook = true;
    nr = hook(out, STACK_MAX_PYTHON);
    in_hook = false;
    return nr;
}

/* The C frames from the caller of stack_save out, without those of the core, to the interpreter;
 * to the end if has_python is false. */
static unsigned c_collect(struct stack_packed *out, uintptr_t caller, bool has_python)
{
    uintptr_t address[STACK_MAX_C];
    unsigned nr, first = 0;

    if (!load_acquire(&modules.known))
        return 0;
    nr = os_backtrace(address, STACK_MAX_C, has_python ? &modules.interpreter : NULL);
    while (first < nr && address[first] != caller)
        first++;
    while (first < nr && os_module_has(&modules.core, address[first]))
        first++;
    for (unsigned i = first; i < nr; i++)
        out[i - first] = (struct stack_packed){.place = address[i]};
    return nr - first;
}

slow_path uint32_t stack_save(void)
{
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    struct stack_packed frames[STACK_MAX_FRAMES], called[STACK_MAX_PYTHON];
    unsigned nr_python, nr;

    CHECK(lock_none_is_held());
    nr_python = python_collect(called);
    nr = c_collect(frames, caller, nr_python != 0);
    memcpy(&frames[nr], called, nr_python * sizeof called[0]);
    nr += nr_python;
    return nr == 0 ? 0 : store_put(frames, nr * (uint32_t)sizeof frames[0]);
}

/* --- reading --------------------------------------------------------------- */

static const char *name_get(uint32_t id)
{
    uint32_t bytes;
    const char *name = store_get(id, &bytes);

    return name != NULL ? name : "?";
}

unsigned stack_frames(uint32_t id, struct stack_frame *out, unsigned max)
{
    uint32_t bytes;
    const struct stack_packed *packed = store_get(id, &bytes);
    unsigned nr = bytes / (unsigned)sizeof *packed;

    nr = nr < max ? nr : max;
    for (unsigned i = 0; i < nr; i++) {
        if (packed[i].line == 0)
            out[i] = (struct stack_frame){.address = (uintptr_t)packed[i].place};
        else
            out[i] = (struct stack_frame){.file = name_get((uint32_t)(packed[i].place >> 32)),
                                          .function = name_get((uint32_t)packed[i].place),
                                          .line = (uint32_t)packed[i].line};
    }
    return nr;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

typedef bool (*symbol_finder)(uintptr_t address, struct os_symbol *out);

static size_t line_of(const struct stack_frame *frame, char text[STACK_LINE_BYTES],
                      symbol_finder find)
{
    struct os_symbol symbol;
    int length;

    if (frame->file != NULL)
        length = snprintf(text, STACK_LINE_BYTES, "%s:%u in %s", frame->file, frame->line,
                          frame->function);
    else if (!find(frame->address, &symbol))
        length = snprintf(text, STACK_LINE_BYTES, "%#zx (no module)", (size_t)frame->address);
    else if (symbol.name == NULL)
        length = snprintf(text, STACK_LINE_BYTES, "? (%s+%#zx)", base_name(symbol.module),
                          (size_t)symbol.module_at);
    else
        length = snprintf(text, STACK_LINE_BYTES, "%s+%#zx (%s+%#zx)", symbol.name,
                          (size_t)symbol.name_offset, base_name(symbol.module),
                          (size_t)symbol.module_at);
    if (length < 0)
        return 0;
    return (size_t)length < STACK_LINE_BYTES ? (size_t)length : STACK_LINE_BYTES - 1;
}

size_t stack_line(const struct stack_frame *frame, char text[STACK_LINE_BYTES])
{
    return line_of(frame, text, os_symbol_find);
}

static void print(uint32_t id, symbol_finder find, stack_write write, void *context)
{
    struct stack_frame frames[STACK_MAX_FRAMES];
    unsigned nr = stack_frames(id, frames, STACK_MAX_FRAMES);

    for (unsigned i = 0; i < nr; i++) {
        char line[4 + STACK_LINE_BYTES + 1] = "    ";
        size_t bytes = 4 + line_of(&frames[i], line + 4, find);

        line[bytes++] = '\n';
        write(line, bytes, context);
    }
}

void stack_print(uint32_t id, stack_write write, void *context)
{
    print(id, os_symbol_find, write, context);
}

void stack_print_named(uint32_t id, stack_write write, void *context)
{
    print(id, os_symbol_find_any, write, context);
}

void stack_print_plainly(uint32_t id, stack_write write, void *context)
{
    print(id, os_symbol_find_plainly, write, context);
}
