/* os_pretend.c - a host with larger pages, pretended: for builds with PYSLAB_PRETEND_PAGE_KIB.
 *
 * What it is: what Linux does with mappings where a page has 16 or 64 KiB, as some aarch64 systems
 * have it. The linker puts these functions in place of the system's (--wrap), so that the core is
 * compiled as always. An address or an offset inside a page is EINVAL; a length is rounded up to
 * whole pages, with all that this does to what lies behind; a new mapping begins at a page.
 * What it is not: part of an ordinary build; an emulation of processors. The system's own figures
 * in /proc count real pages: os_process.c and os_room.c ask os_statm_page_bytes.
 *
 * Lock: none.
 */
#include "os/os.h"

#include "base/bits.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES ((size_t)PYSLAB_PRETEND_PAGE_KIB << 10)

void *__real_mmap(void *p, size_t bytes, int access, int flags, int fd, off_t offset);
void *__real_mremap(void *p, size_t old_bytes, size_t bytes, int flags, ...);
int __real_munmap(void *p, size_t bytes);
int __real_mprotect(void *p, size_t bytes, int access);
int __real_madvise(void *p, size_t bytes, int advice);
long __real_sysconf(int name);

void *__wrap_mmap(void *p, size_t bytes, int access, int flags, int fd, off_t offset);
void *__wrap_mremap(void *p, size_t old_bytes, size_t bytes, int flags, ...);
int __wrap_munmap(void *p, size_t bytes);
int __wrap_mprotect(void *p, size_t bytes, int access);
int __wrap_madvise(void *p, size_t bytes, int advice);
long __wrap_sysconf(int name);

static bool is_inside_a_page(uint64_t place)
{
    if (place % PAGE_BYTES == 0)
        return false;
    errno = EINVAL;
    return true;
}

static size_t whole_pages(size_t bytes)
{
    return (size_t)align_up(bytes, PAGE_BYTES);
}

/* A mapping without access from the start of a page, to be put another one in place of. */
static char *own_place(size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *got = __real_mmap(NULL, bytes + PAGE_BYTES, PROT_NONE, flags, -1, 0), *start;

    if (got == MAP_FAILED)
        return NULL;
    start = got + (align_up((uintptr_t)got, PAGE_BYTES) - (uintptr_t)got);
    if (start != got)
        __real_munmap(got, (size_t)(start - got));
    __real_munmap(start + bytes, (size_t)(got + PAGE_BYTES - start));
    return start;
}

void *__wrap_mmap(void *p, size_t bytes, int access, int flags, int fd, off_t offset)
{
    bool is_chosen = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;

    if (is_inside_a_page((uint64_t)offset) || (is_chosen && is_inside_a_page((uintptr_t)p)))
        return MAP_FAILED;
    if (bytes == 0 || whole_pages(bytes) < bytes)
        return __real_mmap(p, bytes, access, flags, fd, offset); /* an error */
    bytes = whole_pages(bytes);
    if (is_chosen)
        return __real_mmap(p, bytes, access, flags, fd, offset);
    p = own_place(bytes);
    return p == NULL ? MAP_FAILED : __real_mmap(p, bytes, access, flags | MAP_FIXED, fd, offset);
}

/* As the core calls it: to a place that is told. */
void *__wrap_mremap(void *p, size_t old_bytes, size_t bytes, int flags, ...)
{
    va_list arguments;
    void *place;

    va_start(arguments, flags);
    place = va_arg(arguments, void *);
    va_end(arguments);
    if (is_inside_a_page((uintptr_t)p) || is_inside_a_page((uintptr_t)place))
        return MAP_FAILED;
    return __real_mremap(p, whole_pages(old_bytes), whole_pages(bytes), flags, place);
}

int __wrap_munmap(void *p, size_t bytes)
{
    return is_inside_a_page((uintptr_t)p) ? -1 : __real_munmap(p, whole_pages(bytes));
}

int __wrap_mprotect(void *p, size_t bytes, int access)
{
    return is_inside_a_page((uintptr_t)p) ? -1 : __real_mprotect(p, whole_pages(bytes), access);
}

int __wrap_madvise(void *p, size_t bytes, int advice)
{
    return is_inside_a_page((uintptr_t)p) ? -1 : __real_madvise(p, whole_pages(bytes), advice);
}

long __wrap_sysconf(int name)
{
    long real = __real_sysconf(name);

    if (name == _SC_PAGESIZE)
        return (long)PAGE_BYTES;
    if (name == _SC_PHYS_PAGES || name == _SC_AVPHYS_PAGES)
        return real / ((long)PAGE_BYTES / __real_sysconf(_SC_PAGESIZE));
    return real;
}
