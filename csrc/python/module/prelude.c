/* prelude.c - what cffi puts before the wrapper it generates. */
#define PYSLAB_PROTOTYPES
#include "pyslab.h"
