/* heap.c - see heap.h. Order of the text: the list, rows, attaching, blocks, fork. */
#include "share/heap.h"

#include "base/check.h"
#include "base/lock.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "share/heir.h"

#include <errno.h>

struct share_events share_events;
void (*_Atomic share_on_idle)(void);

/* --- the list ---------------------------------------------------------------- */

static struct {
    struct lock lock;          /* guards the list, and this process's rows */
    struct pyslab_heap *heaps; /* all that this process has a part in */
} list;

static pthread_once_t list_once = PTHREAD_ONCE_INIT;

static void list_init(void)
{
    lock_init(&list.lock, LOCK_RANK_SHARE);
}

void share_lock(void)
{
    pthread_once(&list_once, list_init);
    lock_acquire(&list.lock);
}

void share_unlock(void)
{
    lock_release(&list.lock);
}

const struct lock *share_mutex(void)
{
    return &list.lock;
}

void share_list_add_locked(struct pyslab_heap *heap)
{
    lock_assert_held(&list.lock);
    heap->fork_fd = -1;
    heap->next = list.heaps;
    list.heaps = heap;
}

void share_list_remove_locked(struct pyslab_heap *heap)
{
    struct pyslab_heap **at = &list.heaps;

    lock_assert_held(&list.lock);
    while (*at != NULL && *at != heap)
        at = &(*at)->next;
    if (*at == heap)
        *at = heap->next;
}

struct pyslab_heap *share_heap_next_locked(const struct pyslab_heap *heap)
{
    lock_assert_held(&list.lock);
    return heap == NULL ? list.heaps : heap->next;
}

struct pyslab_heap *share_heap_find_locked(const uint64_t id[2])
{
    struct pyslab_heap *heap = list.heaps;

    lock_assert_held(&list.lock);
    while (heap != NULL && (heap->table.heap_id[0] != id[0] || heap->table.heap_id[1] != id[1]))
        heap = heap->next;
    return heap;
}

struct pyslab_heap *share_heap_around_locked(const void *p)
{
    struct pyslab_heap *heap = list.heaps;

    lock_assert_held(&list.lock);
    while (heap != NULL && (uintptr_t)p - (uintptr_t)heap->base >= heap->table.heap_bytes)
        heap = heap->next;
    return heap;
}

/* --- rows -------------------------------------------------------------------- */

int share_heap_fd(const struct pyslab_heap *heap)
{
    struct os_share_file file;

    if (heap->table_fd < 0 || os_share_look(heap->table_fd, &file) != PYSLAB_OK ||
        file.device != heap->table_file.device || file.inode != heap->table_file.inode) {
        errno = EBADF;
        return -1;
    }
    return heap->table_fd;
}

bool share_row_is_alive(void *context, uint32_t row)
{
    struct pyslab_heap *heap = context;
    int fd = share_heap_fd(heap);

    return fd < 0 || os_sign_is_alive(fd, row);
}

/* Locks the first free row, by a descriptor that has the lock. ELIMIT: none is free; EOS */
static int row_lock(struct pyslab_heap *heap, uint32_t first, uint32_t end, uint32_t *row, int *out)
{
    int fd = share_heap_fd(heap);

    for (*row = first; fd >= 0 && *row < end; ++*row) {
        if (os_sign_is_alive(fd, *row))
            continue;
        if (os_sign_lock(fd, *row, out) == PYSLAB_OK)
            return PYSLAB_OK;
        if (errno != EAGAIN && errno != EACCES)
            return PYSLAB_EOS;
    }
    return fd < 0 ? PYSLAB_EOS : PYSLAB_ELIMIT;
}

int share_heap_enter_locked(struct pyslab_heap *heap, uint32_t first_row, uint32_t end_row)
{
    int locked, error = row_lock(heap, first_row, end_row, &heap->row, &locked);

    lock_assert_held(&list.lock);
    if (error != PYSLAB_OK)
        return error;
    /* Whoever had the row died with it. */
    add_relaxed(&share_events.nr_deaths, load_acquire(&heap->table.rows[heap->row].in_use) != 0);
    share_row_enter(&heap->table, heap->row);
    heap->sign = os_sign_keep(locked);
    return heap->sign != NULL ? PYSLAB_OK : PYSLAB_EOS;
}

void share_heap_leave_locked(struct pyslab_heap *heap)
{
    lock_assert_held(&list.lock);
    share_row_clear(&heap->table, heap->row);
    os_sign_end(heap->sign);
    heap->sign = NULL;
}

uint32_t share_reap_rows_locked(struct pyslab_heap *heap)
{
    int fd = share_heap_fd(heap), locked;
    uint32_t nr = 0;

    lock_assert_held(&list.lock);
    for (uint32_t row = 0; fd >= 0 && row < SHARE_ROWS; row++) {
        if (row == heap->row || load_acquire(&heap->table.rows[row].in_use) == 0 ||
            os_sign_is_alive(fd, row) || os_sign_lock(fd, row, &locked) != PYSLAB_OK)
            continue;
        share_row_clear(&heap->table, row);
        os_share_close(locked);
        nr++;
    }
    add_relaxed(&share_events.nr_deaths, nr);
    return nr;
}

/* --- attaching ---------------------------------------------------------------- */

static void heap_unmap(struct pyslab_heap *heap)
{
    opened_destroy(&heap->opened);
    if (heap->base != NULL)
        os_share_unmap(heap->base, heap->table.heap_bytes);
    if (heap->table.base != NULL)
        os_share_unmap(heap->table.base, heap->table_file.bytes);
    if (share_heap_fd(heap) >= 0)
        os_share_close(heap->table_fd);
}

/* Maps the frames by a descriptor of its own, so that a read-only one cannot be made more. */
static int map_frames(struct pyslab_heap *heap, int heap_fd, uint64_t bytes, bool writable)
{
    void *base = NULL;
    int fd, error = os_share_reopen(heap_fd, writable, &fd);

    if (error != PYSLAB_OK)
        return error;
    error = os_share_map(fd, bytes, writable, &base);
    os_share_close(fd);
    heap->base = base;
    heap->writable = writable;
    return error;
}

static int attach_files(struct pyslab_heap *heap, int heap_fd, int table_fd, bool writable)
{
    struct os_share_file frames;
    void *base = NULL;
    int error = os_share_look(heap_fd, &frames);

    if (error == PYSLAB_OK)
        error = os_share_look(table_fd, &heap->table_file);
    if (error == PYSLAB_OK)
        error = os_share_reopen(table_fd, true, &heap->table_fd);
    if (error != PYSLAB_OK)
        return error;
    if (heap->table_file.bytes < sizeof(struct share_header))
        return PYSLAB_EINVAL;
    error = os_share_map(heap->table_fd, heap->table_file.bytes, true, &base);
    if (error != PYSLAB_OK)
        return error;
    heap->table.base = base; /* so that it is unmapped after an error */
    error = share_table_bind(&heap->table, base, heap->table_file.bytes, frames.bytes,
                             frames.device, frames.inode);
    if (error == PYSLAB_OK && writable && (heap->table.flags & SHARE_WRITABLE) == 0)
        error = PYSLAB_EINVAL;
    if (error == PYSLAB_OK)
        error = opened_init(&heap->opened, frames.bytes);
    return error != PYSLAB_OK ? error : map_frames(heap, heap_fd, frames.bytes, writable);
}

/* EBUSY: the heap is attached already. If it is for reading, and is to be for writing now, the new
 * mapping takes the place of the old one: what is open there stays where it is. EOS */
static int attach_again_locked(struct pyslab_heap *have, struct pyslab_heap *again)
{
    lock_assert_held(&list.lock);
    if (!again->writable || have->writable)
        return PYSLAB_EBUSY;
    if (os_share_move(again->base, again->table.heap_bytes, have->base) != PYSLAB_OK)
        return PYSLAB_EOS;
    again->base = NULL;
    have->writable = true;
    return PYSLAB_EBUSY;
}

/* The heap that was attached already, or made here; else enters the new one. */
static int attach_locked(struct pyslab_heap *heap, struct pyslab_heap **out)
{
    int error;

    lock_assert_held(&list.lock);
    *out = share_heap_find_locked(heap->table.heap_id);
    if (*out != NULL)
        return attach_again_locked(*out, heap);
    error = share_heap_enter_locked(heap, SHARE_OWNER_ROW + 1, SHARE_ROWS);
    if (error != PYSLAB_OK)
        return error;
    share_list_add_locked(heap);
    *out = heap;
    return PYSLAB_OK;
}

int share_attach(int heap_fd, int table_fd, bool writable, bool asked, struct pyslab_heap **out)
{
    struct pyslab_heap *heap = os_heap_alloc(sizeof *heap), *got = NULL;
    int error;

    if (heap == NULL)
        return PYSLAB_ENOMEM;
    heap->table_fd = -1;
    share_lock();
    error = attach_files(heap, heap_fd, table_fd, writable);
    if (error == PYSLAB_OK)
        error = attach_locked(heap, &got);
    if (error != PYSLAB_OK) {
        heap_unmap(heap);
        os_heap_free(heap, sizeof *heap);
    }
    if (error == PYSLAB_EBUSY) /* it is there already */
        error = PYSLAB_OK;
    if (error == PYSLAB_OK) {
        CHECK(got != NULL);
        got->is_asked = got->is_asked || asked;
        *out = got;
    }
    share_unlock();
    return error;
}

int share_detach_locked(struct pyslab_heap *heap)
{
    lock_assert_held(&list.lock);
    if (heap->is_own)
        return PYSLAB_EINVAL;
    if (heap->sign == NULL)
        return PYSLAB_EFORKED;
    if (heap->nr_held != 0)
        return PYSLAB_EBUSY;
    share_list_remove_locked(heap);
    share_heap_leave_locked(heap);
    heap_unmap(heap);
    os_heap_free(heap, sizeof *heap);
    return PYSLAB_OK;
}

int share_detach(struct pyslab_heap *heap)
{
    int error;

    share_lock();
    error = heap->object != NULL ? PYSLAB_EBUSY : share_detach_locked(heap);
    share_unlock();
    return error;
}

/* --- a process's files ---------------------------------------------------------- */

/* Looks through the tables of a process, and then through its frames. */
struct search {
    int pid;
    const uint64_t *heap_id; /* what is looked for; NULL: any */
    bool writable;
    bool asked;
    int table_fd; /* the table at hand */
    struct pyslab_heap *found;
    int error; /* why it was not found */
};

static bool try_frames(void *context, int fd)
{
    struct search *search = context;

    search->error = share_attach(fd, search->table_fd, search->writable, search->asked,
                                 &search->found);
    return search->error != PYSLAB_OK;
}

/* The heap id in a table, whether or not the rest of it is right. */
static bool table_is_of(int fd, const uint64_t *heap_id)
{
    struct os_share_file file;
    void *base;
    bool same;

    if (heap_id == NULL)
        return true;
    if (os_share_look(fd, &file) != PYSLAB_OK || file.bytes < sizeof(struct share_header) ||
        os_share_map(fd, file.bytes, false, &base) != PYSLAB_OK)
        return false;
    same = ((const struct share_header *)base)->heap_id[0] == heap_id[0] &&
           ((const struct share_header *)base)->heap_id[1] == heap_id[1];
    os_share_unmap(base, file.bytes);
    return same;
}

static bool try_table(void *context, int fd)
{
    struct search *search = context;

    if (!table_is_of(fd, search->heap_id))
        return true;
    search->table_fd = fd;
    (void)os_share_each_of(search->pid, "pyslab-heap", try_frames, search);
    return search->found == NULL;
}

int share_attach_process(int pid, const uint64_t heap_id[2], bool writable, bool asked,
                         struct pyslab_heap **out)
{
    struct search search = {.pid = pid,
                            .heap_id = heap_id,
                            .writable = writable,
                            .asked = asked,
                            .error = PYSLAB_ESTALE};
    int error;

    if (pid <= 0)
        return PYSLAB_EINVAL;
    error = os_share_each_of(pid, "pyslab-table", try_table, &search);
    if (error != PYSLAB_OK)
        return error;
    if (search.found == NULL)
        return search.error;
    if (!search.found->is_own)
        search.found->owner_pid = pid;
    *out = search.found;
    return PYSLAB_OK;
}

/* --- blocks -------------------------------------------------------------------- */

int share_handle_open(const pyslab_handle *handle, pyslab_shared_block *out)
{
    struct share_key key = {.id = handle->id, .ticket = handle->ticket};
    struct share_block block;
    struct pyslab_heap *heap;
    int error = PYSLAB_EPOINTER;

    share_lock();
    heap = share_heap_find_locked(handle->heap_id);
    if (heap != NULL)
        error = share_open(&heap->table, heap->row, &key, &block);
    if (error == PYSLAB_OK) {
        heap->nr_held++;
        if (!heap->is_own)
            opened_add(&heap->opened, block.offset, block.slot);
        *out = (pyslab_shared_block){.heap = heap,
                                     .address = heap->base + block.offset,
                                     .bytes = block.bytes,
                                     .slot = block.slot,
                                     .generation = block.generation,
                                     .writable = heap->writable};
    }
    share_unlock();
    add_relaxed(&share_events.nr_opens, error == PYSLAB_OK);
    add_relaxed(&share_events.nr_stale, error == PYSLAB_ESTALE);
    return error;
}

int share_handle_end(const pyslab_handle *handle)
{
    struct share_key key = {.id = handle->id, .ticket = handle->ticket};
    struct pyslab_heap *heap;
    int error = PYSLAB_EPOINTER;

    share_lock();
    heap = share_heap_find_locked(handle->heap_id);
    if (heap != NULL)
        error = share_ticket_end(&heap->table, &key);
    share_unlock();
    return error;
}

int share_block_close(const pyslab_shared_block *block)
{
    struct pyslab_heap *heap = block->heap;
    void (*told)(void) = NULL;
    int error;

    if (block->slot >= heap->table.nr_slots)
        return PYSLAB_EINVAL;
    share_lock();
    if (heap->sign == NULL) { /* a forked child has no row there: it holds nothing */
        share_unlock();
        return PYSLAB_EFORKED;
    }
    if (load_relaxed(share_count(&heap->table, heap->row, block->slot)) == 1 && !heap->is_own) {
        share_pins_end(&heap->table, heap->row, block->slot);
        opened_remove(&heap->opened, (uint64_t)((char *)block->address - heap->base), block->slot);
    }
    error = share_close(&heap->table, heap->row, block->slot);
    if (error == PYSLAB_OK && --heap->nr_held == 0 && !heap->is_own)
        told = load_relaxed(&share_on_idle);
    share_unlock();
    if (told != NULL)
        told();
    return error;
}

int share_pass_on_locked(struct pyslab_heap *heap, uint32_t slot, uint32_t generation,
                         uint32_t uses, pyslab_handle *out)
{
    struct share_key key;
    int error = PYSLAB_EINVAL;

    lock_assert_held(&list.lock);
    CHECK(slot < heap->table.nr_slots);
    if (load_relaxed(share_count(&heap->table, heap->row, slot)) != 0)
        error = share_ticket_make(&heap->table, heap->row, slot, generation, uses,
                                  os_time_ns() / 1000000000u, &key);
    if (error == PYSLAB_OK)
        *out = (pyslab_handle){.heap_id = {heap->table.heap_id[0], heap->table.heap_id[1]},
                               .id = key.id,
                               .ticket = key.ticket};
    return error;
}

int share_block_pass_on(const pyslab_shared_block *block, uint32_t uses, pyslab_handle *out)
{
    struct pyslab_heap *heap = block->heap;
    int error;

    if (block->slot >= heap->table.nr_slots || uses == 0 || uses > SHARE_MAX_USES)
        return PYSLAB_EINVAL;
    share_lock();
    error = share_pass_on_locked(heap, block->slot, block->generation, uses, out);
    share_unlock();
    return error;
}

/* --- after an owner's death ------------------------------------------------------- */

bool share_heap_owner_is_alive(struct pyslab_heap *heap)
{
    bool alive;

    share_lock();
    alive = heap->is_own || share_row_is_alive(heap, SHARE_OWNER_ROW);
    share_unlock();
    return alive;
}

int share_heap_reap(struct pyslab_heap *heap, uint64_t *punched)
{
    int error = PYSLAB_OK;

    *punched = 0;
    share_lock();
    (void)share_reap_rows_locked(heap);
    if (!heap->is_own && !share_row_is_alive(heap, SHARE_OWNER_ROW))
        error = share_inherit_locked(heap, punched);
    share_unlock();
    return error;
}

/* --- fork ------------------------------------------------------------------------ */

/* A row for the child, which holds there what this process holds. */
static void child_row_make_locked(struct pyslab_heap *heap)
{
    const struct share_table *table = &heap->table;
    uint32_t reach;

    lock_assert_held(&list.lock);
    heap->fork_fd = -1;
    if (heap->is_own || row_lock(heap, SHARE_OWNER_ROW + 1, SHARE_ROWS, &heap->fork_row,
                                 &heap->fork_fd) != PYSLAB_OK)
        return;
    share_row_enter(table, heap->fork_row);
    reach = load_relaxed(&table->rows[heap->row].reach);
    reach = reach < table->nr_slots ? reach : table->nr_slots;
    store_relaxed(&table->rows[heap->fork_row].reach, reach);
    for (uint32_t slot = 0; slot < reach; slot++) {
        uint32_t count = load_relaxed(share_count(table, heap->row, slot));

        if (count != 0)
            store_relaxed(share_count(table, heap->fork_row, slot), count);
    }
}

void share_fork_prepare(void)
{
    pthread_once(&list_once, list_init);
    lock_acquire_for_fork(&list.lock);
    for (struct pyslab_heap *heap = list.heaps; heap != NULL; heap = heap->next)
        child_row_make_locked(heap);
}

void share_fork_parent(void)
{
    for (struct pyslab_heap *heap = list.heaps; heap != NULL; heap = heap->next)
        if (heap->fork_fd >= 0)
            os_share_close(heap->fork_fd);
    lock_release_after_fork(&list.lock);
}

void share_fork_child(void)
{
    struct pyslab_heap **at = &list.heaps;

    while (*at != NULL) {
        struct pyslab_heap *heap = *at;

        heap->sign = heap->fork_fd >= 0 ? os_sign_keep(heap->fork_fd) : NULL;
        heap->row = heap->fork_row;
        if (heap->sign != NULL) {
            at = &heap->next;
            continue;
        }
        if (!heap->is_own) /* nothing keeps its blocks for the child */
            os_share_deny(heap->base, heap->table.heap_bytes);
        *at = heap->next;
    }
    lock_release_after_fork(&list.lock);
}
