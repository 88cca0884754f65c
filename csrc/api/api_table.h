/* api_table.h - the table of functions that the capsule pyslab._C_API holds.
 * What it is not: for clients, which have pyslab/api.h. */
#ifndef API_API_TABLE_H
#define API_API_TABLE_H

#include "pyslab.h"

/* csrc/python fills the field `python` before it publishes the table. After that it is
 * constant, but that api_profile.h exchanges functions. */
extern pyslab_api api_table;

#endif
