/* many_blocks.c - holds more large blocks than a process may have mappings, and starts threads and
 * maps memory of its own besides. Prints the mappings that it has with all blocks, then ok. */
#include "require.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NR_BLOCKS 17000 /* four mappings each would be too many */
#define BLOCK_BYTES ((size_t)200 << 10)
#define NR_THREADS 50

static char *block[NR_BLOCKS];
static pthread_barrier_t barrier;

static int nr_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int nr = 0, c;

    REQUIRE(maps != NULL);
    while ((c = getc(maps)) != EOF)
        nr += c == '\n';
    fclose(maps);
    return nr;
}

static void *wait(void *unused)
{
    pthread_barrier_wait(&barrier);
    return unused;
}

static void be_a_program(void)
{
    pthread_t thread[NR_THREADS];

    REQUIRE(pthread_barrier_init(&barrier, NULL, NR_THREADS + 1) == 0);
    for (int i = 0; i < NR_THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, wait, NULL) == 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < NR_THREADS; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < 1000; i++) { /* each one a mapping: the access differs */
        int access = i % 2 == 0 ? PROT_NONE : PROT_READ;

        REQUIRE(mmap(NULL, 4096, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    }
}

int main(void)
{
    for (int i = 0; i < NR_BLOCKS; i++) {
        block[i] = malloc(BLOCK_BYTES);
        REQUIRE(block[i] != NULL);
        block[i][0] = (char)i;
    }
    be_a_program();
    printf("%d\n", nr_mappings());
    for (int i = 0; i < NR_BLOCKS; i++) {
        REQUIRE(block[i][0] == (char)i);
        free(block[i]);
    }
    for (int i = 0; i < 1000; i++) /* through the quarantine, all of it */
        free(malloc(BLOCK_BYTES));
    REQUIRE(nr_mappings() < 10000);
    puts("ok");
    return 0;
}
