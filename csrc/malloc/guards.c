/* guards.c - see guards.h. */
#include "malloc/guards.h"

#include "base/atomic.h"
#include "base/check.h"
#include "os/os.h"

#define BUDGET_SHARE 5u
#define MAPPINGS_PER_BLOCK 4u /* each of its two guards is one, and splits the one around it */

static uint64_t budget; /* constant after guards_init */
static _Atomic uint64_t count;

void guards_init(void)
{
    budget = os_max_mappings() / BUDGET_SHARE;
}

static bool charge(void)
{
    if (atomic_fetch_add(&count, MAPPINGS_PER_BLOCK) + MAPPINGS_PER_BLOCK <= budget)
        return true;
    atomic_fetch_sub(&count, MAPPINGS_PER_BLOCK);
    return false;
}

static void uncharge(void)
{
    uint64_t before = atomic_fetch_sub(&count, MAPPINGS_PER_BLOCK);

    CHECK(before >= MAPPINGS_PER_BLOCK && before <= budget + MAPPINGS_PER_BLOCK);
    (void)before;
}

bool guards_place(char *base, size_t front, size_t bytes)
{
    CHECK(((uintptr_t)base & (PAGE_SIZE - 1)) == 0 && (front & (PAGE_SIZE - 1)) == 0);
    CHECK(front + PAGE_SIZE < bytes);
    if (!charge())
        return false;
    if (os_uncommit(base, front) != PYSLAB_OK) {
        uncharge();
        return false;
    }
    /* Refused: the block has the guard before it alone, and counts in full. */
    (void)os_uncommit(base + bytes - PAGE_SIZE, PAGE_SIZE);
    return true;
}

bool guards_close(char *base, size_t bytes, bool had)
{
    if (had || charge()) {
        if (os_uncommit(base, bytes) == PYSLAB_OK)
            return true;
        if (!had)
            uncharge();
    }
    (void)os_discard(base, bytes);
    return had;
}

bool guards_open(char *base, size_t bytes)
{
    if (os_commit(base, bytes, true) != PYSLAB_OK)
        return false;
    os_advise_hugepages(base, bytes, false);
    uncharge();
    return true;
}
