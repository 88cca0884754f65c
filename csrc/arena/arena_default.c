/* arena_default.c - how large the process's own arena is, and making it.
 * What it is not: who has it (arena_life.c).
 *
 * It has the size of the machine's memory, reserved and not committed; less where the process
 * may not have so much: at most what its cgroup may use, and half of what its own limits
 * (RLIMIT_AS, RLIMIT_DATA) leave at this moment, because the program's other memory, its
 * threads and its libraries need their share.
 *
 * Lock: none.
 */
#include "arena/arena_default.h"

#include "base/bits.h"
#include "os/os.h"

#define LEAST_BYTES ((uint64_t)1 << 20)

static uint64_t default_bytes(uint64_t room)
{
    uint64_t bytes = os_physical_bytes();
    uint64_t group = os_cgroup_bytes("/proc/self/cgroup", "/sys/fs/cgroup");

    if (bytes > group)
        bytes = group;
    if (bytes > room / 2)
        bytes = room / 2;
    if (bytes > (uint64_t)MAX_ARENA_PAGES << PAGE_SHIFT)
        bytes = (uint64_t)MAX_ARENA_PAGES << PAGE_SHIFT;
    return bytes;
}

/* The base of an arena is aligned to its largest block, and to find such a place takes, for a
 * moment, the addresses of one block more. Under a limit that may be half the arena at most. */
static uint32_t default_order(uint64_t bytes, bool limited)
{
    uint32_t order = PYSLAB_DEFAULT_ORDER;

    while (limited && order > 0 && (uint64_t)PAGE_SIZE << order > bytes / 2)
        order--;
    return order;
}

int arena_default_make(struct pyslab_arena **out)
{
    pyslab_arena_options options = {
        .struct_size = sizeof options, .overcommit = 1, .hugepages = PYSLAB_HUGEPAGES_TRY};
    uint64_t room = os_room_bytes();
    int error = PYSLAB_EOS;

    /* The system may refuse for other reasons too: then less will do. */
    for (uint64_t bytes = default_bytes(room); bytes >= LEAST_BYTES; bytes -= bytes / 4) {
        options.size_bytes = bytes;
        options.max_order = default_order(bytes, room != UINT64_MAX);
        error = arena_create(&options, out);
        if (error == PYSLAB_OK)
            break;
    }
    return error;
}
