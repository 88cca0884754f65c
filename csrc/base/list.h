/* list.h - doubly linked lists whose links are indices into one array.
 *
 * What it is: the list of free blocks, of slabs and whatever else lives in an array
 * of records. Links are 32-bit indices, so a list means the same in every process
 * that maps the array, at whatever address.
 * What it is not: owner of the records, or of a lock.
 *
 * Data structure: struct index_link inside each record; struct index_list has the
 * first and last index and the count. A view (struct index_view) tells where the
 * links of record i lie: base + i * stride.
 * Invariant: nr == number of records reachable from first, and from last backwards.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/config.h"

#define INDEX_NONE 0xffffffffu

struct index_link {
    uint32_t next; /* index of the following record, or INDEX_NONE */
    uint32_t prev; /* index of the preceding record, or INDEX_NONE */
};

/* All-zero memory is not an empty list: call index_list_init. */
struct index_list {
    uint32_t first; /* index of the first record, or INDEX_NONE */
    uint32_t last;  /* index of the last record, or INDEX_NONE */
    uint32_t nr;    /* records on the list */
};

struct index_view {
    char *base;    /* address of record 0's link */
    size_t stride; /* bytes from one record to the next */
};

static inline struct index_link *index_link_at(struct index_view view, uint32_t i)
{
    return (struct index_link *)(void *)(view.base + (size_t)i * view.stride);
}

static inline void index_list_init(struct index_list *list)
{
    list->first = INDEX_NONE;
    list->last = INDEX_NONE;
    list->nr = 0;
}

static inline void index_list_add_head(struct index_list *list, struct index_view view, uint32_t i)
{
    struct index_link *link = index_link_at(view, i);

    link->prev = INDEX_NONE;
    link->next = list->first;
    if (list->first != INDEX_NONE)
        index_link_at(view, list->first)->prev = i;
    else
        list->last = i;
    list->first = i;
    list->nr++;
}

static inline void index_list_add_tail(struct index_list *list, struct index_view view, uint32_t i)
{
    struct index_link *link = index_link_at(view, i);

    link->next = INDEX_NONE;
    link->prev = list->last;
    if (list->last != INDEX_NONE)
        index_link_at(view, list->last)->next = i;
    else
        list->first = i;
    list->last = i;
    list->nr++;
}

static inline void index_list_remove(struct index_list *list, struct index_view view, uint32_t i)
{
    struct index_link *link = index_link_at(view, i);

    if (link->prev != INDEX_NONE)
        index_link_at(view, link->prev)->next = link->next;
    else
        list->first = link->next;
    if (link->next != INDEX_NONE)
        index_link_at(view, link->next)->prev = link->prev;
    else
        list->last = link->prev;
    list->nr--;
}

#endif
