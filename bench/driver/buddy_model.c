/* buddy_model.c - the bare binary buddy that fragmentation.c compares with.
 *
 * What it is: split, merge, and a count of whole free pages; see buddy_model.h.
 * What it is not: fast beyond need, or safe against pointers that are not its own.
 *
 * A tag is 0 where no block begins; else the order of the block, with TAG_FREE if
 * it is free.
 */
#include "driver.h"
#include "buddy_model.h"
#include <sys/mman.h>

enum { TAG_FREE = 0x80 };

static const size_t model_bytes = (size_t)1 << BUDDY_ORDER_MAX;
static const size_t tags_bytes = (size_t)1 << (BUDDY_ORDER_MAX - BUDDY_ORDER_MIN);

static unsigned char *tag_of(const struct buddy_model *model, size_t offset)
{
    return &model->tags[offset >> BUDDY_ORDER_MIN];
}

static void count_free(struct buddy_model *model, unsigned order, bool is_free)
{
    uint64_t bytes = order < BUDDY_ORDER_PAGE ? 0 : (uint64_t)1 << order;

    if (is_free)
        model->free_page_bytes += bytes;
    else
        model->free_page_bytes -= bytes;
}

static void block_put(struct buddy_model *model, size_t offset, unsigned order)
{
    struct buddy_block *block = (void *)(model->base + offset);

    block->previous = NULL;
    block->next = model->free[order];
    if (block->next)
        block->next->previous = block;
    model->free[order] = block;
    *tag_of(model, offset) = (unsigned char)(order | TAG_FREE);
    count_free(model, order, true);
}

static void block_take(struct buddy_model *model, size_t offset, unsigned order)
{
    struct buddy_block *block = (void *)(model->base + offset);

    if (block->previous)
        block->previous->next = block->next;
    else
        model->free[order] = block->next;
    if (block->next)
        block->next->previous = block->previous;
    *tag_of(model, offset) = 0;
    count_free(model, order, false);
}

void buddy_model_create(struct buddy_model *model)
{
    void *memory = mmap(NULL, model_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        bench_die("cannot map %zu bytes", model_bytes);
    *model = (struct buddy_model){.base = memory, .tags = bench_map(tags_bytes)};
    block_put(model, 0, BUDDY_ORDER_MAX);
}

void buddy_model_destroy(struct buddy_model *model)
{
    bench_unmap(model->base, model_bytes);
    bench_unmap(model->tags, tags_bytes);
}

static unsigned order_for(size_t bytes)
{
    unsigned order = BUDDY_ORDER_MIN;

    while (order <= BUDDY_ORDER_MAX && ((size_t)1 << order) < bytes)
        order++;
    return order;
}

void *buddy_model_alloc(struct buddy_model *model, size_t bytes)
{
    unsigned wanted = order_for(bytes);
    unsigned order = wanted;
    size_t offset;

    while (order <= BUDDY_ORDER_MAX && !model->free[order])
        order++;
    if (order > BUDDY_ORDER_MAX)
        bench_die("the bare buddy has no block of %zu bytes", bytes);
    offset = (size_t)((unsigned char *)model->free[order] - model->base);
    block_take(model, offset, order);
    while (order > wanted) {
        order--;
        block_put(model, offset + ((size_t)1 << order), order);
    }
    *tag_of(model, offset) = (unsigned char)wanted;
    return model->base + offset;
}

void buddy_model_release(struct buddy_model *model, void *p)
{
    size_t offset = (size_t)((unsigned char *)p - model->base);
    unsigned order = *tag_of(model, offset);

    *tag_of(model, offset) = 0;
    while (order < BUDDY_ORDER_MAX) {
        size_t buddy = offset ^ (size_t)1 << order;

        if (*tag_of(model, buddy) != (order | TAG_FREE))
            break;
        block_take(model, buddy, order);
        offset &= ~((size_t)1 << order);
        order++;
    }
    block_put(model, offset, order);
}

uint64_t buddy_model_held(const struct buddy_model *model)
{
    return model_bytes - model->free_page_bytes;
}
