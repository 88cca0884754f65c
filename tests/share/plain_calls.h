/* plain_calls.h - what the compiler calls for -fsanitize=thread, but for atomic accesses: nothing.
 *
 * What it is: definitions; one file of a program includes it, and has those of atomics itself.
 * Plain accesses are to the process's own memory, because in the table all is atomic. */
#ifndef PLAIN_CALLS_H
#define PLAIN_CALLS_H

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);

void __tsan_init(void) {}
void __tsan_func_entry(void *caller)
{
    (void)caller;
}
void __tsan_func_exit(void) {}

#define PLAIN(name)                                                                                \
    void name(void *address);                                                                      \
    void name(void *address)                                                                       \
    {                                                                                              \
        (void)address;                                                                             \
    }
PLAIN(__tsan_read1)
PLAIN(__tsan_read2)
PLAIN(__tsan_read4)
PLAIN(__tsan_read8)
PLAIN(__tsan_read16)
PLAIN(__tsan_write1)
PLAIN(__tsan_write2)
PLAIN(__tsan_write4)
PLAIN(__tsan_write8)
PLAIN(__tsan_write16)

#define RANGE(name)                                                                                \
    void name(void *address, unsigned long bytes);                                                 \
    void name(void *address, unsigned long bytes)                                                  \
    {                                                                                              \
        (void)address;                                                                             \
        (void)bytes;                                                                               \
    }
RANGE(__tsan_read_range)
RANGE(__tsan_write_range)

#endif
