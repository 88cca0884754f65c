/* kfence.c - see kfence.h: the pool, from its making to its recount. */
#include "kfence/kfence.h"

#include "kfence/canary.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "stack/depot.h"

#include <string.h>

#define NEARLY_FULL_PERCENT 75u /* the kernel's default */

static size_t record_bytes(uint32_t nr)
{
    return sizeof(struct kfence) + nr * sizeof(struct kfence_object);
}

/* --- making and ending ---------------------------------------------------- */

static void free_list_add_locked(struct kfence *k, uint32_t index)
{
    lock_assert_held(&k->lock);
    k->object[index].next = KFENCE_NONE;
    if (k->last_free == KFENCE_NONE)
        k->first_free = index;
    else
        k->object[k->last_free].next = index;
    k->last_free = index;
    k->nr_free++;
}

static bool map_pool(struct kfence *k)
{
    void *base;

    k->page_bytes = os_page_bytes();
    k->bytes = 2 * ((size_t)k->nr + 1) * k->page_bytes;
    if (os_reserve(k->bytes, k->page_bytes, &base) != PYSLAB_OK)
        return false;
    k->base = base;
    return true;
}

struct kfence *kfence_create(uint32_t nr, uint32_t sample_ms, uint64_t seed,
                             kfence_on_fault on_fault, void *context)
{
    struct kfence *k = os_heap_alloc(record_bytes(nr));

    CHECK(nr >= 1 && nr <= PYSLAB_KFENCE_MAX_OBJECTS);
    if (k == NULL)
        return NULL;
    memset(k, 0, record_bytes(nr));
    k->nr = nr;
    k->sample_ms = sample_ms;
    k->on_fault = on_fault;
    k->context = context;
    k->random = seed | 1;
    k->first_free = k->last_free = KFENCE_NONE;
    if (!map_pool(k)) {
        os_heap_free(k, record_bytes(nr));
        return NULL;
    }
    lock_init(&k->lock, LOCK_RANK_FENCE);
    lock_acquire(&k->lock);
    for (uint32_t i = 0; i < nr; i++)
        free_list_add_locked(k, i);
    lock_release(&k->lock);
    stack_start();
    if (kfence_watch(k))
        return k;
    kfence_destroy(k);
    return NULL;
}

void kfence_destroy(struct kfence *k)
{
    kfence_unwatch(k);
    os_release(k->base, k->bytes);
    lock_destroy(&k->lock);
    os_heap_free(k, record_bytes(k->nr));
}

/* --- places --------------------------------------------------------------- */

char *kfence_page(const struct kfence *k, const struct kfence_object *object)
{
    return k->base + (2 + 2 * (size_t)(object - k->object)) * k->page_bytes;
}

/* The object whose page this is; NULL for a page without one. */
static struct kfence_object *object_at(struct kfence *k, const void *p)
{
    size_t page = ((uintptr_t)p - (uintptr_t)k->base) / k->page_bytes;

    CHECK(kfence_has(k, p));
    return page >= 2 && page % 2 == 0 ? &k->object[page / 2 - 1] : NULL;
}

struct kfence_object *kfence_find(struct kfence *k, const void *p)
{
    struct kfence_object *object = kfence_has(k, p) ? object_at(k, p) : NULL;

    return object != NULL && object->p == p && load_acquire(&object->state) == KFENCE_LIVE ? object
                                                                                           : NULL;
}

/* --- handing out ------------------------------------------------------------- */

/* xorshift64 (Marsaglia). The state is never 0. */
static uint64_t random_locked(struct kfence *k)
{
    lock_assert_held(&k->lock);
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return k->random;
}

uint64_t kfence_random_below(struct kfence *k, uint64_t n)
{
    uint64_t number;

    CHECK(n > 0);
    lock_acquire(&k->lock);
    number = (random_locked(k) >> 16) % n;
    lock_release(&k->lock);
    return number;
}

/* The pool is nearly full, and has a live object of the same stack: what is left is for others. */
static bool is_known_locked(const struct kfence *k, uint32_t stack)
{
    lock_assert_held(&k->lock);
    if (stack == 0 || (uint64_t)k->nr_live * 100 < (uint64_t)k->nr * NEARLY_FULL_PERCENT)
        return false;
    for (uint32_t i = 0; i < k->nr; i++)
        if (load_relaxed(&k->object[i].state) == KFENCE_LIVE && k->object[i].allocated_at == stack)
            return true;
    return false;
}

/* The object that has been free for longest, for a caller with this stack; NULL: none. */
static struct kfence_object *take_locked(struct kfence *k, uint32_t stack)
{
    struct kfence_object *object;

    lock_assert_held(&k->lock);
    if (k->first_free == KFENCE_NONE) {
        k->skipped_full++;
        return NULL;
    }
    if (is_known_locked(k, stack)) {
        k->skipped_known++;
        return NULL;
    }
    object = &k->object[k->first_free];
    k->first_free = object->next;
    if (k->first_free == KFENCE_NONE)
        k->last_free = KFENCE_NONE;
    k->nr_free--;
    k->nr_moving++;
    store_relaxed(&object->state, KFENCE_MOVING);
    return object;
}

/* At the end of its page or at the start. */
static char *place(const struct kfence *k, const struct kfence_object *object,
                   const struct kfence_request *request, bool at_end)
{
    char *page = kfence_page(k, object);

    return at_end ? page + ((k->page_bytes - request->size) & ~(request->align - 1)) : page;
}

static void object_set(struct kfence_object *object, const struct kfence_request *request, char *p,
                       uint32_t stack)
{
    size_t length = strlen(request->name);

    CHECK(length < sizeof object->name);
    object->p = p;
    object->size = request->size;
    object->owner = request->owner;
    memcpy(object->name, request->name, length + 1);
    object->allocated_at = stack;
    object->freed_at = 0;
}

void *kfence_alloc(struct kfence *k, const struct kfence_request *request)
{
    uint32_t stack = stack_save();
    struct kfence_object *object;
    char *page, *p = NULL;
    bool at_end;

    CHECK(request->size >= 1 && request->size <= kfence_max_bytes());
    CHECK(is_power_of_two(request->align) && request->align <= k->page_bytes);
    lock_acquire(&k->lock);
    object = take_locked(k, stack);
    at_end = (random_locked(k) >> 32 & 1) != 0;
    lock_release(&k->lock);
    if (object == NULL)
        return NULL;
    page = kfence_page(k, object);
    if (os_commit(page, k->page_bytes, true) == PYSLAB_OK) {
        p = place(k, object, request, at_end);
        canary_fill(page, p);
        canary_fill(p + request->size, page + k->page_bytes);
        object_set(object, request, p, stack);
    }
    lock_acquire(&k->lock);
    k->nr_moving--;
    if (p != NULL) {
        k->nr_live++;
        k->nr_allocs++;
        store_release(&object->state, KFENCE_LIVE);
    } else {
        store_release(&object->state, object->p != NULL ? KFENCE_FREED : KFENCE_UNUSED);
        free_list_add_locked(k, (uint32_t)(object - k->object));
    }
    lock_release(&k->lock);
    return p;
}

/* --- freeing ------------------------------------------------------------------ */

int kfence_free_begin(struct kfence *k, const void *p, const void *owner,
                      struct kfence_object **object)
{
    struct kfence_object *o = object_at(k, p);
    int error = PYSLAB_OK;

    CHECK(kfence_has(k, p));
    *object = o != NULL && o->p != NULL ? o : NULL;
    lock_acquire(&k->lock);
    if (*object == NULL || o->p != p)
        error = PYSLAB_EPOINTER;
    else if (load_relaxed(&o->state) != KFENCE_LIVE)
        error = PYSLAB_EDOUBLE;
    else if (owner != NULL && owner != o->owner)
        error = PYSLAB_ECACHE;
    if (error == PYSLAB_OK) {
        store_relaxed(&o->state, KFENCE_MOVING);
        k->nr_live--;
        k->nr_moving++;
    }
    lock_release(&k->lock);
    return error;
}

void kfence_free_end(struct kfence *k, struct kfence_object *object, uint32_t stack)
{
    CHECK(load_relaxed(&object->state) == KFENCE_MOVING);
    object->freed_at = stack;
    store_release(&object->state, KFENCE_FREED);
    /* Where the system refuses to map, it may still take the access away. */
    if (os_uncommit(kfence_page(k, object), k->page_bytes) != PYSLAB_OK)
        (void)os_deny(kfence_page(k, object), k->page_bytes);
    lock_acquire(&k->lock);
    k->nr_moving--;
    k->nr_frees++;
    free_list_add_locked(k, (uint32_t)(object - k->object));
    lock_release(&k->lock);
}

/* --- looking at an object --------------------------------------------------- */

void kfence_describe(const struct kfence_object *object, const void *address,
                     pyslab_corruption *found)
{
    found->address = address;
    if (object == NULL) {
        memcpy(found->cache, "no object", sizeof "no object");
        return;
    }
    memcpy(found->cache, object->name, sizeof found->cache);
    found->object = object->p;
    found->object_size = object->size;
    found->offset = (const char *)address - object->p;
    found->allocated_at = object->allocated_at;
    found->freed_at = object->freed_at;
}

/* Fills found for the wrong bytes from `wrong` on and before `end`. */
static void tell_wrong(const struct kfence_object *object, const char *wrong, const char *end,
                       uint32_t kind, pyslab_corruption *found)
{
    kfence_describe(object, wrong, found);
    found->kind = kind;
    found->nr_bytes = (size_t)(canary_last_wrong(wrong, end) - wrong) + 1;
    found->expected = canary_byte(wrong);
    found->found = (uint8_t)*wrong;
}

bool kfence_is_whole(const struct kfence *k, const struct kfence_object *object,
                     pyslab_corruption *found)
{
    const char *page = kfence_page(k, object), *end = page + k->page_bytes;
    const char *wrong = canary_wrong(page, object->p);

    CHECK(load_relaxed(&object->state) == KFENCE_LIVE ||
          load_relaxed(&object->state) == KFENCE_MOVING);
    if (wrong != NULL) {
        tell_wrong(object, wrong, object->p, PYSLAB_CORRUPTION_LEFT_REDZONE, found);
        return false;
    }
    wrong = canary_wrong(object->p + object->size, end);
    if (wrong == NULL)
        return true;
    tell_wrong(object, wrong, end, PYSLAB_CORRUPTION_RIGHT_REDZONE, found);
    return false;
}

/* --- counting ----------------------------------------------------------------- */

size_t kfence_live_objects(struct kfence *k, const void *owner, void **p, size_t nr)
{
    size_t found = 0;

    lock_acquire(&k->lock);
    for (uint32_t i = 0; i < k->nr; i++)
        if (load_relaxed(&k->object[i].state) == KFENCE_LIVE && k->object[i].owner == owner) {
            if (found < nr)
                p[found] = k->object[i].p;
            found++;
        }
    lock_release(&k->lock);
    return found;
}

void kfence_stats(struct kfence *k, pyslab_kfence_stats *out)
{
    lock_acquire(&k->lock);
    out->sample_ms = k->sample_ms;
    out->nr_objects = k->nr;
    out->nr_live = k->nr_live;
    out->nr_allocs = k->nr_allocs;
    out->nr_frees = k->nr_frees;
    out->skipped_full = k->skipped_full;
    out->skipped_known = k->skipped_known;
    lock_release(&k->lock);
    out->nr_found = load_relaxed(&k->nr_found);
}

/* The list is as long as it says, and has no live object. */
static bool list_adds_up_locked(const struct kfence *k)
{
    uint32_t nr = 0;

    lock_assert_held(&k->lock);
    for (uint32_t i = k->first_free; i != KFENCE_NONE && nr <= k->nr; i = k->object[i].next, nr++)
        if (load_relaxed(&k->object[i].state) == KFENCE_LIVE)
            return false;
    return nr == k->nr_free && k->nr_free + k->nr_live + k->nr_moving == k->nr;
}

bool kfence_check(struct kfence *k, struct finding *f)
{
    bool ok;

    lock_acquire(&k->lock);
    ok = list_adds_up_locked(k);
    lock_release(&k->lock);
    if (!ok)
        return finding_report(f, "kfence: %u free, %u live and %u moving of %u objects", k->nr_free,
                              k->nr_live, k->nr_moving, k->nr);
    for (uint32_t i = 0; i < k->nr; i++) {
        pyslab_corruption found = {0};

        if (load_relaxed(&k->object[i].state) == KFENCE_LIVE &&
            !kfence_is_whole(k, &k->object[i], &found))
            return finding_report(f, "kfence: %s: %zu bytes beside object %p were written to",
                                  found.cache, found.nr_bytes, found.object);
    }
    return true;
}
