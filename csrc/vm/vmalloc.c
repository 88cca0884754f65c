/* vmalloc.c - the areas of vmalloc.h. Order of the text: budget, recount, addresses, frames,
 * areas, calls, figures. What it is not: windows (pkmap.c). Lock: vm->lock. */
#include "vm/vmalloc.h"
#include "vm/vm_blocks.h"
#include "vm/vm_debug.h"

#include "os/os.h"
#include "os/os_heap.h"

#include <errno.h>

#define GUARD_BYTES PAGE_SIZE
#define LAZY_PAGES_PER_CPU_BIT ((uint64_t)(32u << 20) >> PAGE_SHIFT) /* the kernel's 32 MiB */

/* --- budget of mappings, of the whole process --------------------------- */

static _Atomic uint64_t mappings_in_use; /* of the areas of all arenas, freed ones included */
static _Atomic uint64_t mappings_lazy;   /* of these, of areas on lazy lists */

/* Three quarters of the mappings that the system allows the process. The program keeps the
 * rest for itself. */
static uint64_t mappings_budget(void)
{
    static _Atomic uint64_t budget;

    if (load_relaxed(&budget) == 0)
        store_relaxed(&budget, os_max_mappings() / 4 * 3);
    return load_relaxed(&budget);
}

/* How many of them may belong to freed areas. It is little, because an arena that runs short can
 * unmap the freed areas of its own, but not those of another arena. */
static uint64_t mappings_lazy_max(void)
{
    return mappings_budget() / 8;
}

static bool budget_charge(uint64_t nr)
{
    if (atomic_fetch_add(&mappings_in_use, nr) + nr > mappings_budget()) {
        atomic_fetch_sub(&mappings_in_use, nr);
        return false;
    }
    return true;
}

static void budget_uncharge(uint64_t nr)
{
    atomic_fetch_sub(&mappings_in_use, nr);
}

/* --- recount ------------------------------------------------------------ */

/* The sums of vmalloc.h's invariant, over the table and the lazy list. */
struct vm_sums {
    uint64_t nr_areas;
    uint64_t nr_pages;
    uint64_t nr_mappings;
    uint64_t lazy_pages;
    bool chains_agree; /* each chain is as long as nr_hashed says */
};

static struct vm_sums vm_sum_locked(const struct vm *vm)
{
    struct vm_sums sums = {.chains_agree = true};

    lock_assert_held(&vm->lock);
    for (uint32_t i = 0; i < VM_HASH_SIZE; i++) {
        uint32_t nr = 0;

        for (const struct vm_area *area = vm->hash[i]; area != NULL; area = area->next) {
            nr++;
            sums.nr_pages += area->nr_pages;
            sums.nr_mappings += area->nr_mappings;
        }
        sums.nr_areas += nr;
        sums.chains_agree &= nr == vm->nr_hashed[i];
    }
    for (const struct vm_area *area = vm->lazy; area != NULL; area = area->next) {
        sums.nr_mappings += area->nr_mappings;
        sums.lazy_pages += vm_area_bytes(area) >> PAGE_SHIFT;
    }
    return sums;
}

static bool vm_adds_up_locked(const struct vm *vm, struct finding *f)
{
    struct vm_sums sums;

    lock_assert_held(&vm->lock);
    sums = vm_sum_locked(vm);
    if (sums.chains_agree && sums.nr_areas == vm->nr_areas && sums.nr_pages == vm->nr_pages &&
        sums.nr_mappings == vm->nr_mappings && sums.lazy_pages == vm->lazy_pages)
        return true;
    return finding_report(f, "vm: %llu areas with %llu mappings, %llu lazy pages: counters differ",
                          (unsigned long long)sums.nr_areas, (unsigned long long)sums.nr_mappings,
                          (unsigned long long)sums.lazy_pages);
}

bool vm_check(struct vm *vm, struct finding *f)
{
    bool ok;

    lock_acquire(&vm->lock);
    ok = vm_adds_up_locked(vm, f);
    lock_release(&vm->lock);
    return ok && vm_debug_validate(vm, f);
}

/* At check level 2, on the way out of each call that changed the areas. One in 16: a test makes
 * thousands of areas. */
static void vm_recount_locked(const struct vm *vm)
{
    struct finding f = {{0}};

    lock_assert_held(&vm->lock);
    CHECK_RECOUNT(16, vm_adds_up_locked(vm, &f), &f);
}

/* --- addresses ---------------------------------------------------------- */

static void addresses_release(const struct vm_area *area)
{
    os_release(area->base - GUARD_BYTES, vm_area_bytes(area) + 2 * GUARD_BYTES);
}

/* Takes over the addresses of a freed area of this length; the old area is deleted. */
static char *addresses_reuse(struct vm *vm, size_t bytes)
{
    struct vm_area **at, *found;
    char *base;

    lock_acquire(&vm->lock);
    for (at = &vm->lazy; *at != NULL && vm_area_bytes(*at) != bytes; at = &(*at)->next)
        continue;
    found = *at;
    if (found != NULL) {
        *at = found->next;
        vm->lazy_pages -= bytes >> PAGE_SHIFT;
        vm->nr_mappings -= found->nr_mappings;
    }
    vm_recount_locked(vm);
    lock_release(&vm->lock);
    if (found == NULL)
        return NULL;
    base = found->base;
    atomic_fetch_sub(&mappings_lazy, found->nr_mappings);
    budget_uncharge(found->nr_mappings);
    os_heap_free(found, sizeof *found);
    return base;
}

static int addresses_take(struct vm *vm, struct vm_area *area)
{
    size_t bytes = vm_area_bytes(area);
    void *base;
    int error;

    area->base = addresses_reuse(vm, bytes);
    if (area->base != NULL)
        return PYSLAB_OK;
    error = os_reserve(bytes + 2 * GUARD_BYTES, PAGE_SIZE, &base);
    area->base = (char *)base + GUARD_BYTES;
    return error;
}

uint64_t vm_purge(struct vm *vm)
{
    uint64_t nr_mappings = 0;
    struct vm_area *lazy;

    lock_acquire(&vm->lock);
    lazy = vm->lazy;
    vm->lazy = NULL;
    vm->lazy_pages = 0;
    for (const struct vm_area *area = lazy; area != NULL; area = area->next)
        nr_mappings += area->nr_mappings;
    vm->nr_mappings -= nr_mappings;
    vm_recount_locked(vm);
    lock_release(&vm->lock);
    while (lazy != NULL) {
        struct vm_area *next = lazy->next;

        addresses_release(lazy);
        os_heap_free(lazy, sizeof *lazy);
        lazy = next;
    }
    atomic_fetch_sub(&mappings_lazy, nr_mappings);
    budget_uncharge(nr_mappings);
    return nr_mappings;
}

/* --- areas -------------------------------------------------------------- */

static size_t area_record_bytes(uint32_t nr_blocks)
{
    return sizeof(struct vm_area) + nr_blocks * sizeof(struct vm_block);
}

static void area_delete(struct vm_area *area, uint32_t nr_blocks)
{
    os_heap_free(area, area_record_bytes(nr_blocks));
}

/* Maps the frames of an area's blocks at its addresses, each copy behind the one before. */
static int area_map(struct vm *vm, const struct vm_area *area)
{
    char *at = area->base;

    for (uint32_t copy = 0; copy < area->nr_copies; copy++)
        for (uint32_t i = 0; i < area->nr_blocks;) {
            uint32_t pfn, nr_pages = area_next_run(area, &i, &pfn);
            size_t bytes = (size_t)nr_pages << PAGE_SHIFT;
            int error = os_file_map(vm->pages->map.high, at, pfn_to_offset(&vm->pages->map, pfn),
                                    bytes, OS_FILE_SHARED);

            if (error != PYSLAB_OK)
                return error;
            at += bytes;
        }
    return PYSLAB_OK;
}

static struct vm_area **hash_slot(struct vm *vm, const void *p)
{
    return &vm->hash[vm_hash_index(p)];
}

/* Puts an area that is mapped into the table. */
static void area_enter(struct vm *vm, struct vm_area *area)
{
    struct vm_area **slot = hash_slot(vm, area->base);

    lock_acquire(&vm->lock);
    area->next = *slot;
    *slot = area;
    vm->nr_hashed[vm_hash_index(area->base)]++;
    vm->nr_areas++;
    vm->nr_pages += area->nr_pages;
    vm->nr_mappings += area->nr_mappings;
    vm_recount_locked(vm);
    lock_release(&vm->lock);
}

/* Gives an area whose blocks are known its addresses. The record and the frames stay the
 * caller's on an error. */
static int area_open(struct vm *vm, struct vm_area *area)
{
    int error;

    area->nr_mappings = area_count_runs(area) * area->nr_copies + 2;
    if (!budget_charge(area->nr_mappings) &&
        (vm_purge(vm) == 0 || !budget_charge(area->nr_mappings)))
        return PYSLAB_EMAPS;
    error = addresses_take(vm, area);
    if (error == PYSLAB_OK) {
        error = area_map(vm, area);
        if (error != PYSLAB_OK)
            addresses_release(area);
    }
    if (error != PYSLAB_OK)
        budget_uncharge(area->nr_mappings);
    else
        area_enter(vm, area);
    return error;
}

/* Takes the area that starts at p out of the table; NULL: there is none. */
static struct vm_area *area_take(struct vm *vm, const void *p)
{
    struct vm_area **at = hash_slot(vm, p), *area;

    lock_acquire(&vm->lock);
    while (*at != NULL && (*at)->base != p)
        at = &(*at)->next;
    area = *at;
    if (area != NULL) {
        *at = area->next;
        vm->nr_hashed[vm_hash_index(p)]--;
        vm->nr_areas--;
        vm->nr_pages -= area->nr_pages;
        vm->nr_mappings -= area->nr_mappings;
    }
    vm_recount_locked(vm);
    lock_release(&vm->lock);
    return area;
}

/* Puts the addresses of an area whose frames are returned on the lazy list, where the next area
 * of its length or the next purge takes them; with the debug flag P, unmaps them at once. The
 * area's record stays the caller's. */
static void area_retire(struct vm *vm, const struct vm_area *area)
{
    bool at_once = (vm->debug_flags & PYSLAB_DEBUG_POISON) != 0;
    struct vm_area *lazy = at_once ? NULL : os_heap_alloc(sizeof *lazy);
    bool purge = false;

    if (lazy == NULL) {
        addresses_release(area);
        budget_uncharge(area->nr_mappings);
        return;
    }
    *lazy = *area;
    lazy->nr_blocks = 0;
    lock_acquire(&vm->lock);
    lazy->next = vm->lazy;
    vm->lazy = lazy;
    vm->lazy_pages += vm_area_bytes(lazy) >> PAGE_SHIFT;
    vm->nr_mappings += lazy->nr_mappings;
    purge = vm->lazy_pages > vm->lazy_max_pages;
    purge |= atomic_fetch_add(&mappings_lazy, lazy->nr_mappings) + lazy->nr_mappings >
             mappings_lazy_max();
    vm_recount_locked(vm);
    lock_release(&vm->lock);
    if (purge)
        vm_purge(vm);
}

/* --- calls -------------------------------------------------------------- */

void vm_init(struct vm *vm, struct page_alloc *pages)
{
    *vm = (struct vm){.pages = pages};
    vm->lazy_max_pages = fls64(os_nr_cpus()) * LAZY_PAGES_PER_CPU_BIT;
    lock_init(&vm->lock, LOCK_RANK_VM);
}

void vm_destroy(struct vm *vm)
{
    if (vm->pages == NULL)
        return;
    for (uint32_t i = 0; i < VM_HASH_SIZE; i++)
        while (vm->hash[i] != NULL) {
            struct vm_area *area = vm->hash[i];

            area = area_take(vm, area->base);
            addresses_release(area);
            budget_uncharge(area->nr_mappings);
            area_delete(area, area->nr_blocks);
        }
    vm_purge(vm);
    lock_destroy(&vm->lock);
}

/* A copy of the area in a record that is no longer than its blocks need. NULL: no memory. */
static struct vm_area *area_fitted(const struct vm_area *area)
{
    struct vm_area *fitting = os_heap_alloc(area_record_bytes(area->nr_blocks));

    if (fitting == NULL)
        return NULL;
    *fitting = *area;
    for (uint32_t i = 0; i < area->nr_blocks; i++)
        fitting->block[i] = area->block[i];
    return fitting;
}

/* Opens an area for so many bytes, of the blocks in this one. Its record had room for one block a
 * frame; mostly there are few, and a smaller record stays. On an error the blocks are the
 * caller's. */
static int area_open_fitted(struct vm *vm, const struct vm_area *area, size_t bytes, void **out)
{
    struct vm_area *fitting = area_fitted(area);
    int error;

    if (fitting == NULL)
        return PYSLAB_ENOMEM;
    error = area_open(vm, fitting);
    if (error != PYSLAB_OK) {
        area_delete(fitting, area->nr_blocks);
        return error;
    }
    if (vm->debug_flags != 0)
        vm_debug_made(vm, fitting, bytes);
    *out = fitting->base;
    return PYSLAB_OK;
}

/* Frames are mapped one by one, which a system with larger pages cannot do. */
static int can_map(const struct page_alloc *pa)
{
    if (pa->forked)
        return PYSLAB_EFORKED;
    if (os_page_bytes() <= PAGE_SIZE)
        return PYSLAB_OK;
    errno = ENOTSUP;
    return PYSLAB_EOS;
}

static int alloc_copies(struct vm *vm, size_t bytes, uint32_t nr_copies, uint32_t gfp, void **out)
{
    struct page_alloc *pa = vm->pages;
    uint64_t nr_pages = bytes_to_pages(bytes);
    struct vm_area *area;
    int error;

    if (!gfp_valid(gfp) || bytes == 0)
        return PYSLAB_EINVAL;
    error = can_map(pa);
    if (error != PYSLAB_OK)
        return error;
    error = PYSLAB_ENOMEM;
    if (nr_pages > pa->map.nr_pages - pa->map.nr_mapped ||
        should_fail(pa->faults, NULL, nr_pages << PAGE_SHIFT, gfp))
        return PYSLAB_ENOMEM;
    area = os_heap_alloc(area_record_bytes((uint32_t)nr_pages));
    if (area == NULL)
        return PYSLAB_ENOMEM;
    area->nr_blocks = blocks_buy(pa, (uint32_t)nr_pages, gfp, area->block);
    area->nr_pages = (uint32_t)nr_pages;
    area->nr_copies = nr_copies;
    if (blocks_pages(area->block, area->nr_blocks) == nr_pages) {
        blocks_sort(area->block, area->nr_blocks);
        error = area_open_fitted(vm, area, bytes * nr_copies, out);
    }
    if (error != PYSLAB_OK)
        blocks_return(pa, area->block, area->nr_blocks);
    area_delete(area, (uint32_t)nr_pages);
    return error;
}

int vm_alloc(struct vm *vm, size_t bytes, uint32_t gfp, void **out)
{
    return alloc_copies(vm, bytes, 1, gfp, out);
}

int vm_ring(struct vm *vm, size_t bytes, uint32_t gfp, void **out)
{
    CHECK(bytes % PAGE_SIZE == 0);
    return alloc_copies(vm, bytes, 2, gfp, out);
}

/* Takes a reference on each block; on an error none is left. */
static int blocks_hold(struct page_alloc *pa, const uint32_t *pfns, uint32_t nr,
                       struct vm_block *block)
{
    int error = PYSLAB_OK;
    uint32_t i;

    for (i = 0; i < nr && error == PYSLAB_OK; i++) {
        if (pfns[i] >= pa->map.nr_pages || pfn_has_address(&pa->map, pfns[i]))
            error = PYSLAB_EINVAL;
        else
            error = page_get(pa, pfns[i]);
        if (error == PYSLAB_OK) {
            const struct page *page = pfn_to_page(&pa->map, pfns[i]);

            block[i] = (struct vm_block){pfns[i], page_block_pages(page), page_order(page)};
        }
    }
    if (error != PYSLAB_OK)
        blocks_return(pa, block, i - 1);
    return error;
}

int vm_map(struct vm *vm, const uint32_t *pfns, uint32_t nr, void **out)
{
    struct page_alloc *pa = vm->pages;
    struct vm_area *area;
    uint64_t nr_pages;
    int error;

    if (nr == 0)
        return PYSLAB_EINVAL;
    error = can_map(pa);
    if (error != PYSLAB_OK)
        return error;
    area = os_heap_alloc(area_record_bytes(nr));
    if (area == NULL)
        return PYSLAB_ENOMEM;
    error = blocks_hold(pa, pfns, nr, area->block);
    if (error == PYSLAB_OK) {
        nr_pages = blocks_pages(area->block, nr);
        area->nr_blocks = nr;
        area->nr_copies = 1;
        area->nr_pages = (uint32_t)nr_pages;
        area->is_map = true;
        error = nr_pages <= MAX_ARENA_PAGES ? area_open(vm, area) : PYSLAB_ELIMIT;
        if (error == PYSLAB_OK)
            *out = area->base;
        else
            blocks_return(pa, area->block, nr);
    }
    if (error != PYSLAB_OK)
        area_delete(area, nr);
    return error;
}

int vm_free(struct vm *vm, void *p)
{
    struct vm_area *area;
    uint32_t nr_blocks;

    if (vm->pages->forked)
        return PYSLAB_EFORKED;
    area = area_take(vm, p);
    if (area == NULL) {
        vm_debug_wrong_free(vm, p);
        return PYSLAB_EPOINTER;
    }
    if (vm->debug_flags != 0)
        vm_debug_freed(vm, area);
    nr_blocks = area->nr_blocks;
    blocks_return(vm->pages, area->block, nr_blocks);
    area_retire(vm, area);
    area_delete(area, nr_blocks);
    return PYSLAB_OK;
}

size_t vm_size(struct vm *vm, const void *p)
{
    const struct vm_area *area;
    size_t bytes = 0;

    lock_acquire(&vm->lock);
    for (area = *hash_slot(vm, p); area != NULL && area->base != p; area = area->next)
        continue;
    if (area != NULL)
        bytes = vm_area_bytes(area) - area->tail;
    lock_release(&vm->lock);
    return bytes;
}

/* --- figures ------------------------------------------------------------ */

/* Fills the public description of an area. */
static void area_tell(const struct vm_area *area, pyslab_vm_area *out)
{
    *out = (pyslab_vm_area){.struct_size = sizeof *out,
                            .nr_pages = area->nr_pages,
                            .nr_copies = area->nr_copies,
                            .nr_blocks = area->nr_blocks,
                            .nr_mappings = area->nr_mappings,
                            .is_map = area->is_map,
                            .address = (uintptr_t)area->base};
}

/* Skips chains by their lengths, so that a caller who asks for one index after the other does
 * not make it walk over all areas each time. */
bool vm_area_info(struct vm *vm, uint32_t index, pyslab_vm_area *out)
{
    const struct vm_area *area = NULL;
    uint32_t i = 0;

    lock_acquire(&vm->lock);
    while (i < VM_HASH_SIZE && index >= vm->nr_hashed[i])
        index -= vm->nr_hashed[i++];
    if (i < VM_HASH_SIZE) {
        area = vm->hash[i];
        while (index-- > 0)
            area = area->next;
        area_tell(area, out);
    }
    lock_release(&vm->lock);
    return area != NULL;
}

uint32_t vm_list_blocks(struct vm *vm, uint32_t *words, uint32_t nr)
{
    uint32_t found = 0;

    lock_acquire(&vm->lock);
    for (uint32_t i = 0; i < VM_HASH_SIZE; i++)
        for (const struct vm_area *area = vm->hash[i]; area != NULL; area = area->next)
            for (uint32_t at = 0; at < area->nr_blocks; at++, found++)
                if (found < nr) {
                    words[2 * found] = area->block[at].pfn;
                    words[2 * found + 1] = area->block[at].nr_pages;
                }
    lock_release(&vm->lock);
    return found;
}

void vm_stats(struct vm *vm, pyslab_vm_stats *out)
{
    *out = (pyslab_vm_stats){.struct_size = sizeof *out, .budget = mappings_budget()};
    lock_acquire(&vm->lock);
    out->nr_areas = vm->nr_areas;
    out->nr_pages = vm->nr_pages;
    out->nr_mappings = vm->nr_mappings;
    out->lazy_pages = vm->lazy_pages;
    lock_release(&vm->lock);
}
