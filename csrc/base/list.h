/* list.h - doubly linked lists whose links are indices into one array.
 *
 * What it is: the lists of free blocks, of slabs, and of whatever else lives in an array
 * of records. Links are 32-bit indices and not addresses, so that a list means the same
 * in every process that maps the array, wherever it is mapped.
 * What it is not: it owns no records, and has no lock: that of the records' owner is held.
 *
 * Data structure: each record contains a struct index_link; struct index_list has the
 * first and the last index, and the count. A view (struct index_view) says where the
 * link of record i lies: at base + i * stride.
 * Invariant (index_list_adds_up): nr is the number of records that are reached from first
 * along next, and each record's prev is the one that it was reached from.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/check.h"

#define INDEX_NONE 0xffffffffu

struct index_link {
    uint32_t next; /* index of the following record, or INDEX_NONE */
    uint32_t prev; /* index of the preceding record, or INDEX_NONE */
};

/* Memory that is all zero is not an empty list: call index_list_init. */
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

/* What comes before record i, and what comes after it, leads back to i: it is on this list. */
static inline bool index_list_has(const struct index_list *list, struct index_view view, uint32_t i)
{
    const struct index_link *link = index_link_at(view, i);
    uint32_t after = link->prev != INDEX_NONE ? index_link_at(view, link->prev)->next : list->first;
    uint32_t before = link->next != INDEX_NONE ? index_link_at(view, link->next)->prev : list->last;

    return list->nr != 0 && after == i && before == i;
}

/* pre: index_list_has */
static inline void index_list_remove(struct index_list *list, struct index_view view, uint32_t i)
{
    struct index_link *link = index_link_at(view, i);

    CHECK(index_list_has(list, view, i));
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

/* The invariant: walks the whole list, and no further than nr records. */
static inline bool index_list_adds_up(const struct index_list *list, struct index_view view)
{
    uint32_t nr = 0, before = INDEX_NONE;

    for (uint32_t i = list->first; i != INDEX_NONE; i = index_link_at(view, i)->next) {
        if (nr++ == list->nr || index_link_at(view, i)->prev != before)
            return false;
        before = i;
    }
    return nr == list->nr && before == list->last;
}

#endif
