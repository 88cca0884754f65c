/* first_touch.c - what the first touch of anonymous memory costs, with 4 KiB pages and with
 * transparent huge pages, right after the same memory was in use and after a pause.
 *
 * What it is: the measurement behind the huge-page trial (csrc/page_alloc/hugepage.h). It
 * uses mmap alone, no allocator.
 * Usage: cc -O2 first_touch.c -o first_touch && ./first_touch MIB PAUSE_SECONDS
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define PAGE 4096u
#define HUGE_PAGE ((size_t)2 << 20)

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds per 4 KiB page to touch a fresh mapping once. */
static double touch(size_t bytes, int advice)
{
    char *p = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *start;
    double begin, ns;

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    start = p + (HUGE_PAGE - (size_t)p % HUGE_PAGE);
    madvise(start, bytes, advice);
    begin = now();
    for (size_t i = 0; i < bytes; i += PAGE)
        start[i] = 1;
    ns = (now() - begin) / (double)(bytes / PAGE);
    munmap(p, bytes + HUGE_PAGE);
    return ns;
}

int main(int argc, char **argv)
{
    size_t bytes;
    unsigned pause;

    if (argc != 3) {
        fprintf(stderr, "usage: first_touch MIB PAUSE_SECONDS\n");
        return 2;
    }
    bytes = (size_t)atol(argv[1]) << 20;
    pause = (unsigned)atol(argv[2]);
    for (int round = 0; round < ROUNDS; round++) {
        double small, huge;

        sleep(pause);
        small = touch(bytes, MADV_NOHUGEPAGE);
        sleep(pause);
        huge = touch(bytes, MADV_HUGEPAGE);
        printf("4 KiB pages %7.0f ns, huge pages %7.0f ns per 4 KiB\n", small, huge);
    }
    return 0;
}
