/* compiler.h - the extensions of GCC and Clang that the core uses, under names of its own.
 *
 * Not here: anything that knows of memory or of allocation.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define always_inline inline __attribute__((always_inline))
/* For a function that is seldom called: never inlined, so that its callers stay short. */
#define slow_path __attribute__((noinline))
/* For a function that may be missing from the process: its address is NULL then. */
#define weak_symbol __attribute__((weak))
#define printf_like(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
