/* gil.h - who holds Python's lock, as a condition that checked builds test.
 *
 * What it is: gil_assert_held(), the first statement of functions that others than the
 * interpreter call, or call back: there the rule that the caller holds the GIL is not plain.
 * What it is not: the GIL of another interpreter: the module is in the main one alone.
 */
#ifndef PYTHON_GIL_H
#define PYTHON_GIL_H

#include "python/module/objects.h"

#include "base/check.h"

/* Nothing in release builds (check level 0). */
#define gil_assert_held() CHECK(PyGILState_Check())

/* Clearing or copying this much is done without the GIL. */
#define LONG_WORK_BYTES ((size_t)1 << 20)

#endif
