/* frames.h - the running functions of a thread, as each version of the interpreter keeps them.
 *
 * What it is: from a thread's state to its innermost frame, from a frame to its caller's, and
 * a frame's code and line. Only reads: it makes no frame object, counts no reference and runs no
 * code, so that a thread may look at its own frames without the GIL, too. They cannot change
 * meanwhile: the thread itself is in C code.
 * What it is not: for other threads' frames, or for generators that are not running.
 * How: through the headers of the interpreter's own core, which it is compiled for. They differ
 * from version to version; the three functions at the end are what the rest of pyslab sees.
 */
#ifndef PYTHON_STACK_FRAMES_H
#define PYTHON_STACK_FRAMES_H

#include <Python.h>

#if PY_VERSION_HEX < 0x030B0000

#include <frameobject.h>

typedef PyFrameObject running_frame;

static inline running_frame *frame_of_thread(PyThreadState *thread)
{
    return thread->frame;
}

static inline running_frame *frame_caller(running_frame *frame)
{
    return frame->f_back;
}

static inline PyCodeObject *frame_code(running_frame *frame)
{
    return frame->f_code;
}

static inline int frame_instruction(running_frame *frame)
{
    return frame->f_lasti;
}

#else

/* Warnings in these headers are not ours. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#define Py_BUILD_CORE 1
#include <internal/pycore_code.h>
#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h>
#endif
#undef Py_BUILD_CORE

typedef _PyInterpreterFrame running_frame;

/* Frames that are not complete are of functions that have not begun, or the interpreter's own. */
static inline running_frame *frame_complete(running_frame *frame)
{
    while (frame != NULL && _PyFrame_IsIncomplete(frame))
        frame = frame->previous;
    return frame;
}

static inline running_frame *frame_of_thread(PyThreadState *thread)
{
#if PY_VERSION_HEX < 0x030D0000
    return frame_complete(thread->cframe->current_frame);
#else
    return frame_complete(thread->current_frame);
#endif
}

static inline running_frame *frame_caller(running_frame *frame)
{
    return frame_complete(frame->previous);
}

static inline PyCodeObject *frame_code(running_frame *frame)
{
#if PY_VERSION_HEX < 0x030D0000
    return frame->f_code;
#else
    return _PyFrame_GetCode(frame);
#endif
}

static inline int frame_instruction(running_frame *frame)
{
    return _PyInterpreterFrame_LASTI(frame);
}
#pragma GCC diagnostic pop

#endif

/* The line that the function is at; below 1: not known. */
static inline int frame_line(running_frame *frame)
{
    return PyCode_Addr2Line(frame_code(frame),
                            frame_instruction(frame) * (int)sizeof(_Py_CODEUNIT));
}

#endif
