/* stack_hook.c - see stack_hook.h.
 *
 * What it is: a walk over the calling thread's frames of Python (frames.h), also while it has let
 * the GIL go, as around a call of ctypes or cffi. File and function names are copied into the
 * core's store, so nothing here keeps a frame or a code object alive.
 * The innermost frames that are in pyslab's own Python files are left out: the traceback ends
 * at the line that called pyslab. Those further out stay, as when the profiler calls a function.
 * What it is not: for threads that Python does not know, or while the interpreter starts or ends.
 * Then there are no Python frames.
 * Lock: none; a thread looks at its own frames.
 */
#include "python/stack/stack_hook.h"

#include "os/os_stack.h"
#include "python/stack/frames.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 1024 /* of a name that is not ASCII; longer ones are cut */

static char own_folder[1024]; /* of pyslab's Python files, with a slash behind */

/* One character as UTF-8; where its bytes end. */
static char *character_put(char *out, uint32_t c)
{
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    unsigned nr = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (unsigned i = nr - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(heads[nr > 1 ? nr : 0] | c);
    return out + nr;
}

/* Half of a pair of UTF-16: a string of Python may have one, a text may not. */
static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c < 0xe000;
}

/* The text of a name, cut where it does not fit; "?" if it is none. Written by hand: nothing may be
 * allocated here, for the call may come from malloc, and the thread may not have the GIL. */
static const char *name_text(PyObject *name, char room[NAME_BYTES])
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(name);
    char *at = room;

    if (PyUnicode_IS_COMPACT_ASCII(name))
        return PyUnicode_DATA(name);
    for (Py_ssize_t i = 0; i < length && at < room + NAME_BYTES - 4; i++) {
        uint32_t c = PyUnicode_READ_CHAR(name, i);

        if (is_surrogate(c))
            return "?";
        at = character_put(at, c);
    }
    *at = '\0';
    return room;
}

static bool is_own(const char *file)
{
    return strncmp(file, own_folder, strlen(own_folder)) == 0;
}

unsigned stack_hook_collect(struct stack_packed *out, unsigned max, stack_pack_fn pack)
{
    PyThreadState *thread = Py_IsInitialized() ? PyGILState_GetThisThreadState() : NULL;
    running_frame *frame = thread != NULL ? frame_of_thread(thread) : NULL;
    char file_room[NAME_BYTES], name_room[NAME_BYTES];
    unsigned nr = 0;

    for (; frame != NULL && nr < max; frame = frame_caller(frame)) {
        PyCodeObject *code = frame_code(frame);
        const char *file = name_text(code->co_filename, file_room);
        int line = frame_line(frame);

        if (nr == 0 && is_own(file))
            continue;
        out[nr++] = pack(file, name_text(code->co_name, name_room), line > 0 ? (uint32_t)line : 1);
    }
    return nr;
}

static unsigned frames_collect(struct stack_packed *out, unsigned max)
{
    return stack_hook_collect(out, max, stack_pack_python);
}

/* --- stacks as Python objects ------------------------------------------------- */

static PyObject *text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *c_frame_tuple(uintptr_t address)
{
    struct os_symbol symbol;
    char place[256];

    if (!os_symbol_find(address, &symbol))
        symbol = (struct os_symbol){.module = "?", .module_at = address};
    if (symbol.name != NULL)
        snprintf(place, sizeof place, "%s+%#zx", symbol.name, (size_t)symbol.name_offset);
    else
        snprintf(place, sizeof place, "%#zx", (size_t)symbol.module_at);
    return Py_BuildValue("(NiN)", text_of(symbol.module), 0, text_of(place));
}

PyObject *stack_list(uint32_t id)
{
    struct stack_frame frames[STACK_MAX_FRAMES];
    unsigned nr = stack_frames(id, frames, STACK_MAX_FRAMES);
    PyObject *list = PyList_New(nr);

    for (unsigned i = 0; list != NULL && i < nr; i++) {
        const struct stack_frame *frame = &frames[i];
        PyObject *item = frame->file == NULL ? c_frame_tuple(frame->address)
                                             : Py_BuildValue("(NIN)", text_of(frame->file),
                                                             frame->line, text_of(frame->function));

        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

/* --- set-up ------------------------------------------------------------------- */

/* Where pyslab's Python files are; the package is just being imported, so it knows. False: an
 * exception is set. */
static bool own_folder_find(void)
{
    PyObject *package = PyImport_AddModule("pyslab"); /* borrowed */
    PyObject *path = package == NULL ? NULL : PyObject_GetAttrString(package, "__path__");
    PyObject *folder = path == NULL ? NULL : PySequence_GetItem(path, 0);
    const char *text = folder == NULL ? NULL : PyUnicode_AsUTF8(folder);

    if (text != NULL)
        snprintf(own_folder, sizeof own_folder, "%s/", text);
    Py_XDECREF(folder);
    Py_XDECREF(path);
    return text != NULL;
}

bool stack_hook_add(void)
{
    if (!own_folder_find())
        return false;
    stack_set_python_hook(frames_collect, (uintptr_t)PyObject_Call);
    return true;
}
