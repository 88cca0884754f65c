/* api_table.h - the table that the capsule pyslab._C_API holds. */
#ifndef API_API_TABLE_H
#define API_API_TABLE_H

#include "pyslab.h"

/* Constant once python/ has set `python`, before it is published. */
extern pyslab_api api_table;

#endif
