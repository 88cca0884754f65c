/* fork_pile.h - a ResourceWarning when much of a shared arena waits for forked children. */
#ifndef PYTHON_MODULE_FORK_PILE_H
#define PYTHON_MODULE_FORK_PILE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Once, when the module is imported. */
void fork_pile_watch(void);

#endif
