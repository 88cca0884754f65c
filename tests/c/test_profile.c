/* test_profile.c - samples and what they stand for; the file; fork and kill.
 *
 * The statistics. The sum over samples of small allocations, T bytes of them in all, is T with a
 * variance of T * EVERY; large ones, each of which is a sample, are exact. A run here allocates
 * 18.7 MB in each of six sizes or so, half of them small: the deviation of its sum is 1 MB, or 1 %.
 * So 5 % are 5 deviations: not one run in a million is further off. The mean of 100 runs has a
 * tenth of that deviation: half a percent is 5 again. The seeds are fixed, so that what passes once
 * passes always.
 */
#include "check.h"

#include "os/os_heap.h"
#include "profile/profile.h"
#include "profile/raw.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>

#define EVERY (16u << 10)
#define NR_RUNS 100u
#define RUN_BYTES UINT64_C(18700000) /* of each size */

static const uint64_t sizes[] = {1, 16, 200, 4096, 16384, 100000, 1 << 20};

struct sums {
    double bytes, objects;         /* what the samples stand for */
    double all_bytes, all_objects; /* what there was */
};

/* One run: of each size as many bytes, fewer of the smallest, which take the longest. */
static void run_sizes(uint64_t seed, struct sums sums[ARRAY_SIZE(sizes)])
{
    struct sampler sampler = {0};

    sampler_begin(&sampler, 1, EVERY, seed * 7919 + 1);
    for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
        uint64_t nr = RUN_BYTES / (sizes[k] < 200 ? 200 : sizes[k]);

        for (uint64_t i = 0; i < nr; i++) {
            if (sampler_takes(&sampler, sizes[k])) {
                double weight = sampler_weight(sizes[k], EVERY);

                sampler_draw(&sampler, EVERY);
                sums[k].bytes += weight * (double)sizes[k];
                sums[k].objects += weight;
            }
        }
        sums[k].all_bytes += (double)(nr * sizes[k]);
        sums[k].all_objects += (double)nr;
    }
}

static double off(double found, double exact)
{
    return fabs(found / exact - 1);
}

static void sums_are_right(void)
{
    struct sums whole[ARRAY_SIZE(sizes)] = {{0}};
    double bytes = 0, all = 0;

    for (unsigned run = 0; run < NR_RUNS; run++) {
        struct sums one[ARRAY_SIZE(sizes)] = {{0}};
        double found = 0, exact = 0;

        run_sizes(run, one);
        for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
            found += one[k].bytes;
            exact += one[k].all_bytes;
            whole[k].bytes += one[k].bytes;
            whole[k].objects += one[k].objects;
            whole[k].all_bytes += one[k].all_bytes;
            whole[k].all_objects += one[k].all_objects;
        }
        EXPECT(off(found, exact) < 0.05);
        bytes += found;
        all += exact;
    }
    EXPECT(off(bytes, all) < 0.005);
    /* Each size alone: 570 samples of 1 byte in all runs, 4 % of deviation, and 4.5 times that. */
    for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
        EXPECT(off(whole[k].bytes, whole[k].all_bytes) < (sizes[k] < 200 ? 0.18 : 0.02));
        EXPECT(off(whole[k].objects, whole[k].all_objects) < (sizes[k] < 200 ? 0.18 : 0.02));
    }
}

static void weights_are_those_of_the_formula(void)
{
    for (double x = 1e-7; x < 100; x *= 1.7) {
        uint64_t every = UINT64_C(1) << 40, size = (uint64_t)(x * (double)every);

        EXPECT(off(sampler_weight(size, every), 1 / -expm1(-(double)size / (double)every)) < 1e-6);
    }
    EXPECT(sampler_weight(0, EVERY) == 1);
    EXPECT(sampler_weight(5, SAMPLER_ALL) == 1);
}

/* The mean distance is `every`, its median that times ln 2. */
static void distances_are_exponential(void)
{
    struct sampler sampler = {0};
    double sum = 0;
    unsigned nr_below = 0;

    sampler_begin(&sampler, 1, 1000000, 42);
    for (unsigned i = 0; i < 1000000; i++) {
        sampler_draw(&sampler, 1000000);
        EXPECT(sampler.left >= 0);
        sum += (double)sampler.left;
        nr_below += sampler.left < 693147;
    }
    EXPECT(off(sum / 1e6, 1e6) < 0.005);      /* 5 deviations */
    EXPECT(off(nr_below / 1e6, 0.5) < 0.005); /* the same */
}

/* --- the file ---------------------------------------------------------------------- */

static char path[128];

static void path_new(void)
{
    snprintf(path, sizeof path, "/tmp/pyslab-test-profile-%d-%d", (int)getppid(), (int)getpid());
    unlink(path);
}

/* The header of the file as another process sees it. */
static struct raw_header header_read(void)
{
    struct raw_header header = {0};
    int fd = open(path, O_RDONLY);

    EXPECT(fd >= 0 && read(fd, &header, sizeof header) == (ssize_t)sizeof header);
    close(fd);
    return header;
}

static char blocks[1 << 16]; /* addresses that nobody else has */

static void each_allocation_is_summed_up(void)
{
    struct raw_header header;

    path_new();
    EXPECT_EQ(profile_start(path, SAMPLER_ALL, 1), PYSLAB_OK);
    EXPECT_EQ(profile_start(path, SAMPLER_ALL, 1), PYSLAB_EBUSY);
    for (unsigned i = 0; i < 4000; i++)
        profile_alloc(&blocks[16 * i], 10);
    for (unsigned i = 0; i < 3000; i++)
        profile_free(&blocks[16 * i]);
    profile_free(&blocks[16 * 4001]); /* not allocated */
    header = header_read();
    EXPECT_EQ(header.state, RAW_RUNS);
    EXPECT_EQ(header.nr_samples, 4000);
    EXPECT_EQ(header.live_bytes, 10000);
    EXPECT_EQ(header.peak_bytes, 40000);
    EXPECT(profile_is_on());
    profile_stop();
    EXPECT(!profile_is_on());
    header = header_read();
    EXPECT_EQ(header.state, RAW_ENDED);
    EXPECT_EQ(header.nr_lost, 0);
    unlink(path);
}

static void a_block_that_is_resized(void)
{
    struct profile_moving moving;

    path_new();
    EXPECT_EQ(profile_start(path, SAMPLER_ALL, 1), PYSLAB_OK);
    profile_alloc(&blocks[0], 100);
    EXPECT(!profile_detach(&blocks[16], &moving));
    EXPECT(profile_detach(&blocks[0], &moving));
    EXPECT_EQ(header_read().live_bytes, 100);
    profile_attach(&blocks[0], &moving); /* refused: it stays */
    EXPECT(profile_detach(&blocks[0], &moving));
    profile_gone(&moving);
    EXPECT_EQ(header_read().live_bytes, 0);
    profile_stop();
    unlink(path);
}

static void a_child_has_no_profile(void)
{
    int status;

    path_new();
    EXPECT_EQ(profile_start(path, SAMPLER_ALL, 1), PYSLAB_OK);
    profile_alloc(&blocks[0], 100);
    profile_fork_prepare();
    os_heap_fork_prepare();
    if (fork() == 0) {
        os_heap_fork_done();
        profile_fork_done();
        profile_alloc(&blocks[16], 100);
        profile_free(&blocks[0]);
        profile_stop();
        _exit(profile_is_on() || check_nr_failures != 0);
    }
    os_heap_fork_done();
    profile_fork_done();
    wait(&status);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(header_read().live_bytes, 100);
    EXPECT_EQ(header_read().state, RAW_RUNS);
    profile_stop();
    unlink(path);
}

static void a_kill_loses_nothing(void)
{
    int status;
    pid_t child;

    path_new();
    child = fork();
    if (child == 0) {
        EXPECT_EQ(profile_start(path, SAMPLER_ALL, 1), PYSLAB_OK);
        profile_alloc(&blocks[0], 100);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, &status, 0);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(header_read().live_bytes, 100);
    EXPECT_EQ(header_read().state, RAW_RUNS);
    unlink(path);
}

static void a_file_that_cannot_be_made(void)
{
    EXPECT_EQ(profile_start("/nowhere/at/all", 1000, 0), PYSLAB_EOS);
    EXPECT(!profile_is_on());
    profile_alloc(&blocks[0], 100000);
    profile_stop();
}

/* --- threads ------------------------------------------------------------------------ */

static void *allocate_and_free(void *argument)
{
    char *own = argument;

    for (unsigned i = 0; i < 100000; i++) {
        profile_alloc(&own[16 * (i % 512)], 100);
        profile_free(&own[16 * (i % 512)]);
    }
    return NULL;
}

static void threads_at_once(void)
{
    pthread_t thread[4];

    path_new();
    EXPECT_EQ(profile_start(path, 1000, 3), PYSLAB_OK);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, allocate_and_free, &blocks[i * 8192]);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    EXPECT(fabs(header_read().live_bytes) < 1);
    EXPECT(off((double)header_read().nr_samples, 400000 * 0.0951626) < 0.05);
    profile_stop();
    unlink(path);
}

static const struct test tests[] = {
    TEST(sums_are_right),
    TEST(weights_are_those_of_the_formula),
    TEST(distances_are_exponential),
    TEST(each_allocation_is_summed_up),
    TEST(a_block_that_is_resized),
    TEST(a_child_has_no_profile),
    TEST(a_kill_loses_nothing),
    TEST(a_file_that_cannot_be_made),
    TEST(threads_at_once),
};

TEST_MAIN(tests)
