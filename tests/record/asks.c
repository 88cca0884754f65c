/* asks.c - asks malloc for things, so that a recording of it is known in advance.
 *   asks rounds N     N rounds: see round_of_calls
 *   asks kill N       the same, then SIGKILL
 *   asks threads N    two pairs of threads: one allocates N blocks, the other frees them
 *   asks pass N       two threads pass one block to and fro: each frees it and allocates another
 *   asks arena N      two threads by turns, of blocks that lie in no memory: one resizes the block
 *                     that the other allocates, so that it moves away (profile/recorded.h)
 *   asks late N       the same, and the address is handed out anew before the resize is told
 *   asks refused N    two threads by turns: one frees; one is refused a realloc, and allocates
 *   asks crowd N      N threads one after the other: each frees main's block, and main allocates
 *   asks fork N       N rounds in the parent, and N in a child
 *   asks childless N  the same, but the child may open no file, and main prints its number
 *   asks close N      closes every descriptor, fills a file of its own with ones, then N rounds
 * A round is 2 allocations of 100 bytes, 1 of 300 bytes zeroed, 1 aligned to 256; a realloc of one
 * to 5000 bytes; and the frees of all 4. Nothing else is allocated after the first call of main.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void round_of_calls(void)
{
    char *a = malloc(100), *b = malloc(100), *c = calloc(3, 100), *d = aligned_alloc(256, 512);

    if (a == NULL || b == NULL || c == NULL || d == NULL)
        _exit(3);
    b = realloc(b, 5000);
    memset(b, 1, 5000);
    free(a);
    free(b);
    free(c);
    free(d);
}

static void rounds(int nr)
{
    for (int i = 0; i < nr; i++)
        round_of_calls();
}

/* --- two threads ---------------------------------------------------------- */

#define RING 64

struct pair {
    void *_Atomic ring[RING];
    int nr;
};

static void *make(void *argument)
{
    struct pair *pair = argument;

    for (int i = 0; i < pair->nr; i++) {
        while (pair->ring[i % RING] != NULL)
            sched_yield();
        pair->ring[i % RING] = malloc(50 + i % 200);
    }
    return NULL;
}

static void *take(void *argument)
{
    struct pair *pair = argument;

    for (int i = 0; i < pair->nr; i++) {
        while (pair->ring[i % RING] == NULL)
            sched_yield();
        free(pair->ring[i % RING]);
        pair->ring[i % RING] = NULL;
    }
    return NULL;
}

static void threads(int nr)
{
    static struct pair pairs[2];
    pthread_t made[4];

    for (int i = 0; i < 4; i++) {
        pairs[i / 2].nr = nr;
        if (pthread_create(&made[i], NULL, i % 2 == 0 ? make : take, &pairs[i / 2]) != 0)
            _exit(3);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(made[i], NULL);
}

/* --- by turns ------------------------------------------------------------------- */

/* Has `first` and `second` done N times, each in a thread of its own, one after the other. */
static struct {
    void (*does[2])(void);
    _Atomic int turn;
    int nr;
} turns;

static void *take_turns(void *argument)
{
    int mine = argument != NULL;

    for (int i = 0; i < turns.nr; i++) {
        while (turns.turn != mine)
            sched_yield();
        turns.does[mine]();
        turns.turn = !mine;
    }
    return NULL;
}

static void by_turns(int nr, void (*first)(void), void (*second)(void))
{
    pthread_t other;

    turns.nr = nr;
    turns.does[0] = first;
    turns.does[1] = second;
    if (pthread_create(&other, NULL, take_turns, &turns) != 0)
        _exit(3);
    take_turns(NULL);
    pthread_join(other, NULL);
}

static void *block, *neighbour;

static void pass(void)
{
    free(block);
    block = malloc(100);
}

static void pass_to_and_fro(int nr)
{
    block = malloc(100);
    by_turns(nr, pass, pass);
    free(block);
}

/* struct recorder of csrc/profile/recorded.h. */
static const struct {
    void (*allocated)(const void *p, size_t size);
    void (*freeing)(const void *p);
    uint64_t (*resizing)(const void *p);
    void (*resized)(uint64_t begun, const void *old, const void *p, size_t size);
} *recorder;

#define HERE ((void *)0x700000000000)
#define THERE ((void *)0x700000100000)

static void arena_allocates(void)
{
    recorder->allocated(HERE, 100);
}

static void arena_resizes(void)
{
    uint64_t begun = recorder->resizing(HERE);

    recorder->resized(begun, HERE, THERE, 200);
    recorder->freeing(THERE);
}

static void arena(int nr, void (*resizes)(void))
{
    recorder = dlsym(RTLD_DEFAULT, "pyslab_record_arenas");
    if (recorder == NULL)
        _exit(3);
    by_turns(nr, arena_allocates, resizes);
}

static void arena_resizes_late(void)
{
    static uint64_t begun;

    if (begun != 0) {
        recorder->resized(begun, HERE, THERE, 200);
        recorder->freeing(THERE);
    }
    begun = recorder->resizing(HERE);
}

static void frees(void)
{
    free(block);
}

/* Both are in one page, so that the recorder takes them for one place. */
static void take_block_and_neighbour(void)
{
    do {
        block = malloc(2000);
        neighbour = malloc(2000);
    } while ((uintptr_t)block / 4096 != (uintptr_t)neighbour / 4096);
}

static void is_refused(void)
{
    if (block == NULL) {
        take_block_and_neighbour();
    } else {
        if (realloc(neighbour, PTRDIFF_MAX) != NULL)
            _exit(3);
        block = malloc(2000);
    }
}

static void refused(int nr)
{
    mallopt(M_ARENA_MAX, 1);
    by_turns(nr, frees, is_refused);
}

static void *free_one(void *argument)
{
    free(malloc(5000)); /* its first events */
    free(argument);
    return NULL;
}

static void crowd(int nr)
{
    pthread_t other;

    for (int i = 0; i < nr; i++) {
        if (pthread_create(&other, NULL, free_one, malloc(2000)) != 0)
            _exit(3);
        pthread_join(other, NULL);
    }
}

/* --- processes and descriptors ------------------------------------------------ */

static pid_t fork_and_wait(int nr)
{
    pid_t child = fork();

    rounds(nr);
    if (child == 0)
        exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child)
        _exit(3);
    return child;
}

static void fork_without_descriptors(int nr)
{
    struct rlimit none = {3, 3};

    rounds(1);
    setrlimit(RLIMIT_NOFILE, &none);
    dprintf(STDOUT_FILENO, "%d\n", (int)fork_and_wait(nr));
}

static void close_all(int nr)
{
    static char ones[8192];
    int fd;

    rounds(1);
    for (fd = 3; fd < 65536; fd++)
        close(fd);
    memset(ones, '1', sizeof ones);
    for (int i = 0; i < 1000; i++) { /* so that the recorder's number is taken, too */
        fd = open("own", O_RDWR | O_CREAT, 0644);
        if (fd < 0 || pwrite(fd, ones, sizeof ones, 0) != sizeof ones)
            _exit(3);
    }
    rounds(nr);
}

int main(int argc, char **argv)
{
    int nr = argc == 3 ? atoi(argv[2]) : 0;
    const char *what = argc == 3 ? argv[1] : "";

    if (strcmp(what, "threads") == 0)
        threads(nr);
    else if (strcmp(what, "pass") == 0)
        pass_to_and_fro(nr);
    else if (strcmp(what, "arena") == 0)
        arena(nr, arena_resizes);
    else if (strcmp(what, "late") == 0)
        arena(nr, arena_resizes_late);
    else if (strcmp(what, "refused") == 0)
        refused(nr);
    else if (strcmp(what, "crowd") == 0)
        crowd(nr);
    else if (strcmp(what, "fork") == 0)
        fork_and_wait(nr);
    else if (strcmp(what, "childless") == 0)
        fork_without_descriptors(nr);
    else if (strcmp(what, "close") == 0)
        close_all(nr);
    else
        rounds(nr);
    if (strcmp(what, "kill") == 0)
        kill(getpid(), SIGKILL);
    return 0;
}
