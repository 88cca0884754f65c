/* test_random_death.c - four processes make, send, open, pass on, drop and free blocks of shared
 * arenas, while they are killed and replaced at random moments, stopped and continued, and end in
 * the ordinary way. In the end all that is left gives everything back.
 *   test_random_death           300 deaths
 *   test_random_death NUMBER    so many
 * The clock that tickets end by runs a thousand times as fast (--wrap=os_time_ns). */
#include "death_board.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t __real_os_time_ns(void);
uint64_t __wrap_os_time_ns(void);
uint64_t __wrap_os_time_ns(void)
{
    return __real_os_time_ns() * 1000;
}

static struct board *board;
static pid_t pids[WORKERS];
static unsigned failures;

static void worker_start(int number)
{
    static uint64_t seed = 12345;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    atomic_store(&board->leave[number], 0);
    fflush(NULL);
    pids[number] = fork();
    if (pids[number] == 0)
        _exit(worker_run(board, number, seed));
}

/* Waits for a worker's end, and lets go of the messages that it was at. */
static void worker_wait(int number)
{
    int status = 0;
    bool waited = waitpid(pids[number], &status, 0) == pids[number];

    if (!waited || (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0)) {
        fprintf(stderr, "worker %d ended with status %d\n", number, status);
        failures++;
    }
    for (unsigned i = 0; i < MESSAGES; i++) {
        uint32_t written = WRITING(number), read = READING(number);

        atomic_compare_exchange_strong(&board->messages[i].word, &written, 0);
        atomic_compare_exchange_strong(&board->messages[i].word, &read, FULL);
    }
}

/* One event: what happens, and to whom. Returns how many died by it. */
static unsigned event(unsigned kind, int number)
{
    int other = (number + 1) % WORKERS;

    switch (kind % 10) {
    case 0: /* stopped for a while */
        kill(pids[number], SIGSTOP);
        usleep(2000);
        kill(pids[number], SIGCONT);
        return 0;
    case 1: /* an ordinary end */
        atomic_store(&board->leave[number], 1);
        break;
    case 2: /* two at once */
        kill(pids[number], SIGKILL);
        kill(pids[other], SIGKILL);
        worker_wait(other);
        worker_wait(number);
        worker_start(other);
        worker_start(number);
        return 2;
    case 3: /* killed while it is stopped */
        kill(pids[number], SIGSTOP);
        usleep(1000);
        kill(pids[number], SIGKILL);
        break;
    default:
        kill(pids[number], SIGKILL);
    }
    worker_wait(number);
    worker_start(number);
    return 1;
}

/* It has ended; how, is for worker_wait. */
static bool worker_is_gone(int number)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pids[number], &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

/* Tells all to do the next thing, and waits until they have, or are gone. */
static void phase_enter(enum phase phase)
{
    atomic_store(&board->phase, phase);
    for (int i = 0; phase != END && i < WORKERS; i++)
        while (atomic_load(&board->ready[i]) < (int)phase && !worker_is_gone(i))
            usleep(1000);
}

/* Until so many more blocks were opened, or a thousand acts came to fewer. */
static void wait_for_opens(unsigned nr)
{
    uint64_t until = atomic_load(&board->opened) + nr, most = atomic_load(&board->acts) + 1000;

    while (atomic_load(&board->opened) < until && atomic_load(&board->acts) < most)
        usleep(500);
}

int main(int argc, char **argv)
{
    unsigned deaths = 0, wanted = argc > 1 ? (unsigned)atoi(argv[1]) : 300;

    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    for (int i = 0; i < WORKERS; i++)
        worker_start(i);
    srand(1);
    while (deaths < wanted && failures == 0) {
        wait_for_opens((unsigned)rand() % 8);
        deaths += event((unsigned)rand(), rand() % WORKERS);
    }
    phase_enter(DROP);
    phase_enter(FREE);
    phase_enter(END);
    for (int i = 0; i < WORKERS; i++)
        worker_wait(i);
    printf("%u deaths; %llu blocks opened, %llu passed on, %llu stale; %u failures\n", deaths,
           (unsigned long long)board->opened, (unsigned long long)board->passed_on,
           (unsigned long long)board->stale, failures);
    return failures != 0 || board->opened < deaths;
}
