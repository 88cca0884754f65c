/* join.c - see join.h. */
#include "profiler/join.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "profile/profile.h"

#include <dlfcn.h>
#include <string.h>

#define FIRST_LOOKS 256u /* a look at each of the first samples; */
#define LOOK_EVERY 64u   /* then at one of so many */
#define MOST_ASKED 1000u /* how often an interpreter is asked that has not answered */

static _Atomic uint32_t nr_looks, nr_asked;
static _Atomic bool waits; /* a call is pending */
static _Atomic(join_collect) joined;

/* Functions of the interpreter, as far as the process has one. */
static struct {
    int (*is_initialized)(void);
    int (*add_pending_call)(int (*call)(void *), void *context);
    int (*run)(const char *code, void *flags);
    void *(*get)(const char *name); /* of sys */
} python;

/* In a scope of its own; whatever goes wrong is nobody's business. Not in the middle of an import:
 * importlib's locks are not made for one that comes in between. The module finds the folder of this
 * pyslab in the environment, where it is not on the path. */
static const char code[] = "exec('''\n"
                           "try:\n"
                           "    import sys\n"
                           "    frame = sys._getframe()\n"
                           "    while frame and 'importlib' not in frame.f_code.co_filename:\n"
                           "        frame = frame.f_back\n"
                           "    if not frame and 'pyslab' not in sys.modules:\n"
                           "        import os\n"
                           "        path = os.environ['PYSLAB_PROFILE_PACKAGE']\n"
                           "        sys.path.append(path)\n"
                           "        try:\n"
                           "            import pyslab\n"
                           "        except ImportError:\n"
                           "            sys._has_no_pyslab = True\n"
                           "        finally:\n"
                           "            sys.path.remove(path)\n"
                           "except BaseException:\n"
                           "    pass\n"
                           "''', {})\n";

/* What the import allocates is not the program's. */
static int import_pyslab(void *unused)
{
    (void)unused;
    profile_thread.busy = true;
    (void)python.run(code, NULL);
    if (python.get("_has_no_pyslab") != NULL)
        store_relaxed(&nr_asked, MOST_ASKED);
    profile_thread.busy = false;
    profile_thread_draw();
    atomic_store(&waits, false);
    return 0;
}

static void find(void *to, const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);

    memcpy(to, &found, sizeof found);
}

static bool is_ready(void)
{
    if (python.run == NULL) {
        find(&python.is_initialized, "Py_IsInitialized");
        find(&python.add_pending_call, "Py_AddPendingCall");
        find(&python.get, "PySys_GetObject");
        find(&python.run, "PyRun_SimpleStringFlags");
    }
    return python.is_initialized != NULL && python.add_pending_call != NULL && python.run != NULL &&
           python.get != NULL && python.is_initialized() != 0;
}

static bool is_time(void)
{
    uint32_t nr = atomic_fetch_add(&nr_looks, 1);

    return nr < FIRST_LOOKS || nr % LOOK_EVERY == 0;
}

void join_ask(void)
{
    if (load_relaxed(&joined) != NULL || load_relaxed(&nr_asked) >= MOST_ASKED ||
        load_relaxed(&waits) || !is_time() || !is_ready())
        return;
    add_relaxed(&nr_asked, 1);
    atomic_store(&waits, true);
    if (python.add_pending_call(import_pyslab, NULL) != 0)
        atomic_store(&waits, false);
}

static unsigned collect_python(struct stack_packed *out, unsigned max)
{
    return load_relaxed(&joined)(out, max, stack_pack_python);
}

__attribute__((visibility("default"))) void pyslab_profiler_join(join_collect collect,
                                                                 uintptr_t interpreter)
{
    atomic_store(&joined, collect);
    stack_set_python_hook(collect_python, interpreter);
}
