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
 */
#ifndef OS_OS_H
#define OS_OS_H

#include "base/config.h"

/* pre: bytes > 0, a multiple of the page; align is a power of two >= the page.
 * Address space of that size and alignment, inaccessible. EOS. */
int os_reserve(size_t bytes, size_t align, void **out);

/* pre: inside a reservation. Private zero-filled memory, readable and writable.
 * overcommit: do not count it against the machine's commit limit. EOS. */
int os_commit(void *p, size_t bytes, bool overcommit);

/* pre: inside a reservation, both multiples of the huge page size.
 * As os_commit, from the reserved huge pages. EOS when there are too few. */
int os_commit_hugetlb(void *p, size_t bytes);

/* pre: inside a reservation. Maps bytes of file fd from offset, shared. EOS. */
int os_commit_file(void *p, size_t bytes, int fd, uint64_t offset);
/* The same, and every page of it becomes resident now, as far as there is memory. EOS. */
int os_commit_file_resident(void *p, size_t bytes, int fd, uint64_t offset);

/* pre: inside a reservation. Back to what os_reserve made of it: inaccessible. EOS. */
int os_uncommit(void *p, size_t bytes);

/* pre: committed. Takes the access away, and gives it back; the content stays. EOS. */
int os_deny(void *p, size_t bytes);
int os_allow(void *p, size_t bytes);

/* pre: p and bytes describe a whole reservation, or a part cut at pages. */
void os_release(void *p, size_t bytes);

/* pre: committed, whole pages. The memory goes back; it reads as zero afterwards.
 * Only for private memory; for a file see os_file_discard. EOS. */
int os_discard(void *p, size_t bytes);

/* Asks for transparent huge pages on a range, or forbids them there. A kernel
 * without them is not an error. */
void os_advise_hugepages(void *p, size_t bytes, bool wanted);

/* pre: committed. Makes every page resident now, writable, all zero. EOS. */
int os_prefault(void *p, size_t bytes);
/* pre: committed. Makes every page resident and keeps it so. EOS (RLIMIT_MEMLOCK). */
int os_lock_memory(void *p, size_t bytes);

/* A file in memory without a name, of this size, all zero. EOS. */
int os_memfd_create(const char *name, uint64_t bytes, int *fd);
/* Gives the memory of a range of it back; it reads as zero afterwards. EOS. */
int os_file_discard(int fd, uint64_t offset, uint64_t bytes);
/* Opens, or makes, a file on disk of exactly this size with all its blocks allocated, and
 * locks it against other arenas. *fresh: it was made now, or was empty. Errors: EOS (errno
 * tells; ESTALE stands for another size, EWOULDBLOCK for another arena's file). */
int os_disk_file_open(const char *path, uint64_t bytes, int *fd, bool *fresh);
/* Waits until what was written is on the disk. EOS. */
int os_file_sync(int fd);
/* Makes a range read zero. keep_blocks: without giving its blocks back. */
void os_file_clear(int fd, uint64_t offset, uint64_t bytes, bool keep_blocks);
/* Gives the first bytes of the file memory now. EOS. */
int os_file_prefault(int fd, uint64_t bytes);
void os_file_close(int fd);

/* Bytes of physical memory; 0 if unknown. */
uint64_t os_physical_bytes(void);
/* Bytes of private memory that the process may map: the smaller of RLIMIT_AS, which counts
 * all addresses, and RLIMIT_DATA; UINT64_MAX: no limit. */
uint64_t os_address_space_bytes(void);
/* Bytes of addresses that the process has mapped; 0 if unknown. */
uint64_t os_mapped_bytes(void);
/* Copies the value of an environment variable, as far as it fits, without allocating and
 * before the C library is ready. False: it is not set, or the process runs with other rights
 * than its user's. */
bool os_environment(const char *name, char *value, size_t bytes);
/* Bytes of one host page. */
size_t os_page_bytes(void);
/* Bytes of one huge page of the host, 0 if it has none. */
size_t os_hugepage_bytes(void);
/* Online when it was first asked. */
unsigned os_nr_cpus(void);
/* Milliseconds of a monotonic clock that is cheap to read (resolution about 4 ms).
 * Wraps after 49 days: compare differences only. */
uint32_t os_time_ms(void);
/* Nanoseconds of the same clock at its full resolution. */
uint64_t os_time_ns(void);
/* Mappings that a process may have (vm.max_map_count). */
uint64_t os_max_mappings(void);
/* Lets another thread run. */
void os_yield(void);
void os_sleep_ms(uint32_t ms);
/* 64 random bits, good enough for keys that a stray write must not guess. */
uint64_t os_random64(void);

#endif
