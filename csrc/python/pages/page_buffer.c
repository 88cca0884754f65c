/* page_buffer.c - Buffers over a block of frames that has an address.
 *
 * Such a Buffer owns one reference on the block. Pages and other Buffers may own more: the frames
 * are free when the last reference goes.
 */
#include "python/pages/page_buffer.h"

static uint32_t first_frame(const ArenaObject *arena, const void *p)
{
    return virt_to_pfn(&arena->core->pages.map, p);
}

static struct page *first_page(const BufferObject *self, const void *p)
{
    return pfn_to_page(&self->arena->core->pages.map, first_frame(self->arena, p));
}

static int page_buffer_give_back(const BufferObject *self, void *p)
{
    return page_put(&self->arena->core->pages, first_frame(self->arena, p),
                    page_order(first_page(self, p)));
}

static size_t page_buffer_capacity(const BufferObject *self)
{
    return (size_t)page_block_pages(first_page(self, self->p)) << PAGE_SHIFT;
}

static bool page_buffer_is_shared(const BufferObject *self)
{
    return load_relaxed(&first_page(self, self->p)->refcount) > 1;
}

static const struct buffer_ops page_buffer_ops = {
    .give_back = page_buffer_give_back,
    .capacity = page_buffer_capacity,
    .is_shared = page_buffer_is_shared,
    .is_block = true,
    .made_by = "get_free_pages",
    .freed_by = "kfree",
};

PyObject *page_buffer_new(ArenaObject *arena, uint32_t pfn, Py_ssize_t nbytes)
{
    const struct frame_map *map = &arena->core->pages.map;

    CHECK(pfn_has_address(map, pfn));
    return buffer_new(arena, pfn_to_virt(map, pfn), nbytes, &page_buffer_ops, NULL);
}
