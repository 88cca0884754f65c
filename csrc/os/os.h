/* os.h - everything the core asks of the operating system.
 *
 * What it is: address space, files without a name, advice, clocks, randomness, each
 * as one function that returns 0 or a negative enum pyslab_error. os/ is the only
 * folder that includes headers from sys/.
 * What it is not: an allocator (os_heap.h is the small one the core itself needs).
 *
 * The life of a mapping: os_reserve takes address space without memory, os_commit
 * makes a part of it usable, os_discard gives the memory back and keeps the part
 * usable (it reads as zero again), os_release ends it.
 *
 * Ranges are whole pages of the host everywhere. "EOS" behind a description means that the
 * function returns PYSLAB_EOS when the system refuses; errno then says why.
 */
#ifndef OS_OS_H
#define OS_OS_H

#include "base/config.h"

/* Takes address space of that size and alignment, without access.
 * pre: bytes > 0, a multiple of the page; align is a power of two >= the page. EOS */
int os_reserve(size_t bytes, size_t align, void **out);

/* Makes a range private memory, readable and writable, that reads zero. overcommit: do not
 * count it against the machine's commit limit.
 * pre: whole pages; inside a reservation (unchecked: nobody keeps a list of those). EOS */
int os_commit(void *p, size_t bytes, bool overcommit);

/* As os_commit, from the huge pages that the administrator has set aside. EOS also when there
 * are too few of them.
 * pre: both multiples of the huge page; inside a reservation (unchecked: as os_commit) */
int os_commit_hugetlb(void *p, size_t bytes);

/* From here on a range is whole frames. Where the host's pages are larger, one that is not whole
 * pages is refused (EOS, and EINVAL in errno), or nothing is done if no error can be returned. */

/* Makes a range what os_reserve gave: address space without memory and without access.
 * pre: whole pages; inside a reservation (unchecked: as os_commit). EOS */
int os_uncommit(void *p, size_t bytes);

/* os_deny takes the access to a range away and os_allow gives it back; the content stays.
 * pre: whole pages; committed (unchecked: the system knows, and refuses). EOS */
int os_deny(void *p, size_t bytes);
int os_allow(void *p, size_t bytes);

/* Takes only the right to write away; os_allow gives it back. The content stays.
 * pre: whole pages; committed (unchecked: the system knows, and refuses). EOS */
int os_deny_writes(void *p, size_t bytes);

/* Leaves a range out of core dumps, the kernel's and gcore's, or takes it in again. The range
 * becomes a mapping of its own, unless its neighbour is like it in this and in its access. */
void os_dump(void *p, size_t bytes, bool wanted);

/* Ends a reservation, or a part of one.
 * pre: whole pages; nobody uses the range (unchecked: who does is not known here) */
void os_release(void *p, size_t bytes);

/* Gives the memory of a range back to the system; the range reads zero afterwards. For
 * private memory only: os_file_discard is for files.
 * pre: whole pages; committed (unchecked: the system knows, and refuses). EOS */
int os_discard(void *p, size_t bytes);

/* Asks for transparent huge pages on a range, or forbids them there. A kernel
 * without them is not an error. */
void os_advise_hugepages(void *p, size_t bytes, bool wanted);

/* Makes every page of a range resident now, writable, all zero.
 * pre: whole pages; committed (unchecked: the system knows, and refuses). EOS */
int os_prefault(void *p, size_t bytes);
/* Makes every page of a range resident and keeps it so. EOS, also over RLIMIT_MEMLOCK.
 * pre: whole pages; committed (unchecked: the system knows, and refuses) */
int os_lock_memory(void *p, size_t bytes);

/* Bytes of physical memory; 0 if unknown. */
uint64_t os_physical_bytes(void);
/* Bytes of private memory that the process may map: the smaller of RLIMIT_AS, which counts
 * all addresses, and RLIMIT_DATA; UINT64_MAX: no limit. */
uint64_t os_address_space_bytes(void);
/* Bytes of addresses that the process has mapped; 0 if unknown. */
uint64_t os_mapped_bytes(void);
/* Bytes of private memory that the process may still map beside what it has mapped, by the same
 * two limits; UINT64_MAX: no limit. */
uint64_t os_room_bytes(void);
/* Bytes of memory that the process's cgroup, and all that it lies in, may use; UINT64_MAX: no
 * limit. groups: "/proc/self/cgroup" or a file like it; mount: "/sys/fs/cgroup", where both
 * versions of cgroups are looked for. */
uint64_t os_cgroup_bytes(const char *groups, const char *mount);
/* Copies the value of an environment variable, as far as it fits. Allocates nothing, and works
 * before the C library has set up its own copy. False: the variable is not set, or the process
 * runs with other rights than its user's (set-user-id), and then no variable is believed. */
bool os_environment(const char *name, char *value, size_t bytes);
/* Copies the arguments that the process was started with, a NUL behind each, as far as they fit. */
void os_command_line(char *out, size_t bytes);
/* For fork handlers: the C library's list of open FILEs stays still from os_stdio_hold, which
 * comes before the first lock of ours, to os_stdio_release in the parent and os_stdio_reset in
 * the child. fork() itself takes that list, but only after the handlers: by then a thread may
 * hold it in fflush(NULL) while it waits for a FILE whose owner waits for a lock of ours. May be
 * nested. Nothing where the C library is not glibc. */
void os_stdio_hold(void);
void os_stdio_release(void);
void os_stdio_reset(void);
/* Bytes of one host page: one frame, or several. */
size_t os_page_bytes(void);
/* What /proc/PID/statm counts in: the same, but for builds that pretend larger pages. */
size_t os_statm_page_bytes(void);
/* Bytes of one huge page of the host, 0 if it has none. */
size_t os_hugepage_bytes(void);
/* CPUs that were online at the first call. */
unsigned os_nr_cpus(void);
/* Milliseconds of a monotonic clock that is cheap to read (resolution about 4 ms).
 * Wraps after 49 days: compare differences only. */
uint32_t os_time_ms(void);
/* Nanoseconds of the same clock at its full resolution. */
uint64_t os_time_ns(void);
/* The most mappings that a process may have (vm.max_map_count). */
uint64_t os_max_mappings(void);
/* Lets another thread run. */
void os_yield(void);
void os_sleep_ms(uint32_t ms);
/* 64 random bits, good enough for keys that a stray write must not guess. */
uint64_t os_random64(void);

#endif
