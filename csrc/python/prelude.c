/* prelude.c - what cffi puts before the wrapper it generates. */
#include "pyslab.h"
