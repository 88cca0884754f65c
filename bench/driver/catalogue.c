/* catalogue.c - the list of all timed workloads.
 *
 * What it is: a table: which contenders meet in which workload, with what
 * argument and how many operations. The counts make a round last milliseconds.
 * What it is not: code; the methods are in malloc_template.h and pages.c.
 */
#include "driver.h"

enum {
    OPS_PAIR = 400000,   /* operations that cost about ten nanoseconds */
    OPS_BLOCK = 40000,   /* ... about a hundred */
    OPS_SYSCALL = 2000,  /* ... about a microsecond */
    OPS_FAULT = 2000,    /* page faults per round */
    QUEUE_DEPTH = 1000,  /* blocks in the LIFO and FIFO workloads */
    LIVE_SMALL = 1000,   /* blocks of a live set that the caches hold */
    LIVE_LARGE = 100000, /* ... that they do not: about 400 MB */
};

/* clang-format off */
#define BLOCKS(method_, argument_, ops_) \
    {{"libc", &bench_libc_methods.method_, argument_, ops_, BENCH_LIBC}, \
     {"pyslab", &bench_pyslab_methods.method_, argument_, ops_, BENCH_PYSLAB}}

#define PAGES(order_) \
    {"pages", "order " #order_, \
     {{"mmap", &bench_pages_mmap, order_, OPS_SYSCALL, BENCH_MMAP}, \
      {"pyslab", &bench_pages_pyslab, order_, OPS_BLOCK, BENCH_PYSLAB}}}

#define PAGES_TOUCH(order_) \
    {"pages", "order " #order_ " touched", \
     {{"mmap", &bench_pages_touch_mmap, order_, (OPS_FAULT >> (order_)) + 1, BENCH_MMAP}, \
      {"pyslab", &bench_pages_touch_pyslab, order_, (OPS_BLOCK >> (order_)) + 1, BENCH_PYSLAB}}}
/* clang-format on */

const struct bench_workload bench_catalogue[] = {
    {"pair",
     "pair",
     {{"libc 64", &bench_libc_methods.churn, 64, OPS_PAIR, BENCH_LIBC},
      {"kmalloc 64", &bench_pyslab_methods.churn, 64, OPS_PAIR, BENCH_PYSLAB},
      {"order 0", &bench_pages_touch_pyslab, 0, OPS_PAIR, BENCH_PYSLAB},
      {"order 9", &bench_pages_pyslab, 9, OPS_BLOCK, BENCH_PYSLAB}}},
    {"blocks", "churn 16", BLOCKS(churn, 16, OPS_PAIR)},
    {"blocks", "churn 64", BLOCKS(churn, 64, OPS_PAIR)},
    {"blocks", "churn 256", BLOCKS(churn, 256, OPS_PAIR)},
    {"blocks", "churn 1024", BLOCKS(churn, 1024, OPS_PAIR)},
    {"blocks", "churn 4096", BLOCKS(churn, 4096, OPS_PAIR)},
    {"blocks", "churn 65536", BLOCKS(churn, 65536, OPS_PAIR)},
    {"blocks", "random sizes, 1e3 live", BLOCKS(random, LIVE_SMALL, OPS_BLOCK)},
    {"blocks", "random sizes, 1e5 live", BLOCKS(random, LIVE_LARGE, OPS_BLOCK)},
    {"blocks", "LIFO", BLOCKS(lifo, QUEUE_DEPTH, OPS_PAIR)},
    {"blocks", "FIFO", BLOCKS(fifo, QUEUE_DEPTH, OPS_PAIR)},
    {"blocks", "producer/consumer", BLOCKS(handoff, 64, OPS_BLOCK)},
    PAGES(0),
    PAGES(1),
    PAGES(2),
    PAGES(3),
    PAGES(4),
    PAGES(5),
    PAGES(6),
    PAGES(7),
    PAGES(8),
    PAGES(9),
    PAGES(10),
    PAGES_TOUCH(0),
    PAGES_TOUCH(1),
    PAGES_TOUCH(2),
    PAGES_TOUCH(3),
    PAGES_TOUCH(4),
    PAGES_TOUCH(5),
    PAGES_TOUCH(6),
    PAGES_TOUCH(7),
    PAGES_TOUCH(8),
    PAGES_TOUCH(9),
    PAGES_TOUCH(10),
};

const size_t bench_catalogue_length = sizeof(bench_catalogue) / sizeof(bench_catalogue[0]);
