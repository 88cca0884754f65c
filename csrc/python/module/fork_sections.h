/* fork_sections.h - a forked child of a Python without a GIL can use the arenas that it finds. */
#ifndef PYTHON_MODULE_FORK_SECTIONS_H
#define PYTHON_MODULE_FORK_SECTIONS_H

/* Once, when the module is imported. */
void fork_sections_watch(void);

#endif
