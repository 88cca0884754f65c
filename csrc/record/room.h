/* room.h - memory for what the replayer keeps, beside the malloc that it measures.
 *
 * What it is: mappings. A process without memory for them ends with a message.
 * Lock: none.
 */
#ifndef RECORD_ROOM_H
#define RECORD_ROOM_H

#include <stddef.h>

/* Zeroed. bytes may be 0. */
void *room_take(size_t bytes);
/* Contents stay, what is added reads zero. */
void *room_grow(void *p, size_t old, size_t bytes);
void room_drop(void *p, size_t bytes);

#endif
