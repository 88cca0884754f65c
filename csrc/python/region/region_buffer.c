/* region_buffer.c - the Buffers of a Region: a kind of Buffer whose memory the region gives back.
 *
 * `keep` is the Region and `place` the Buffer's entry there. Views are counted in the region and
 * in all its parents, which refuse to go back over a Buffer that has some.
 */
#include "python/region/region_buffer.h"

#include "python/region/region_end.h"

static int region_buffer_give_back(const BufferObject *self, void *p)
{
    (void)self, (void)p;
    return PYSLAB_OK; /* the region gives it back, with all the others */
}

static size_t region_buffer_capacity(const BufferObject *self)
{
    return (size_t)self->nbytes;
}

static int region_buffer_free(BufferObject *self, const char *call)
{
    (void)self;
    PyErr_Format(objects.invalid_pointer,
                 "%s: the Buffer belongs to a region, which frees all of it at once", call);
    return -1;
}

/* The end of `with buffer`: it cannot be used any more, and its memory stays in the region. */
static int region_buffer_exit(BufferObject *self)
{
    if (self->exports != 0) {
        PyErr_Format(PyExc_BufferError, "%zd exported view%s of the Buffer still alive",
                     self->exports, self->exports == 1 ? "" : "s");
        return -1;
    }
    region_end_buffer(region_of(self->keep), self);
    return 0;
}

static void region_buffer_held(BufferObject *self)
{
    for (RegionObject *region = region_of(self->keep); region != NULL; region = region->parent)
        region->nr_exported++;
}

static void region_buffer_let_go(BufferObject *self)
{
    for (RegionObject *region = region_of(self->keep); region != NULL; region = region->parent) {
        CHECK(region->nr_exported > 0);
        region->nr_exported--;
    }
    region_close_waiting(region_of(self->keep));
}

/* One that was released while others may know the address is the last to keep its memory. */
static void region_buffer_died(BufferObject *self)
{
    RegionObject *region = region_of(self->keep);

    if (self->place != SLOT_NONE)
        (void)entry_take(region, self->place);
    if (self->released && self->ever_exported) {
        CHECK(region->nr_lingering > 0);
        region->nr_lingering--;
        region_settle(region);
    }
}

const struct buffer_ops region_buffer_ops = {
    .give_back = region_buffer_give_back,
    .capacity = region_buffer_capacity,
    .free = region_buffer_free,
    .exit = region_buffer_exit,
    .held = region_buffer_held,
    .let_go = region_buffer_let_go,
    .died = region_buffer_died,
    .in_arena = true,
    .made_by = "a region",
    .freed_by = "kfree",
};
