/* api_profile.h - the C API's calls in a profile or a recording: while there is one, the table has
 * other functions.
 *
 * What it is: api_profile_set puts functions into the table that tell the profile
 * (profile/profile.h), and the recorder (profile/recorded.h), what extensions take and give back,
 * and takes them out again. So nothing is paid while neither is there. Clients go through the table
 * with each call (pyslab/client.h).
 * What it is not: for clients that have kept a pointer to a function, and for memory of regions,
 * which clients hand out themselves. These are not seen.
 * Lock: none; an entry is changed at once, and a call that has begun ends as it began.
 */
#ifndef API_API_PROFILE_H
#define API_API_PROFILE_H

#include <stdbool.h>

void api_profile_set(bool profiled, bool recorded);

#endif
