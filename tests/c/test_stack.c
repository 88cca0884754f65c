/* test_stack.c - holds down stack/: equal stacks have one number, also when threads save them at
 * the same time; memory that is refused; fork; what is read back, and the lines of a report. */
#include "stack/depot.h"

#include "base/compiler.h"
#include "base/fault.h"
#include "base/lock.h"
#include "os/os_elf.h"
#include "os/os_heap.h"
#include "stack/store.h"

#include "check.h"

#include <elf.h>
#include <pthread.h>
#include <unistd.h>

#define NR_THREADS 8u
#define NR_NAMES 3000u

/* --- a Python that has two frames ------------------------------------------- */

static uint32_t python_line; /* of the inner frame */

static unsigned two_frames(struct stack_packed *out, unsigned max)
{
    if (max < 2)
        abort();
    out[0] = stack_pack_python("/home/user/script.py", "inner", python_line);
    out[1] = stack_pack_python("/home/user/script.py", "<module>", 40);
    return 2;
}

static void set_python(uint32_t line)
{
    python_line = line;
    stack_set_python_hook(two_frames, 0);
}

/* --- tests ------------------------------------------------------------------- */

/* The same bytes have one number, others another, and each number gives its bytes back. */
static void texts_are_kept_once(void)
{
    static uint32_t id[NR_NAMES];
    char text[64];
    uint32_t bytes;

    for (unsigned i = 0; i < NR_NAMES; i++) {
        snprintf(text, sizeof text, "name %u of %.*s", i, (int)(i % 32),
                 "abcdefghijklmnopqrstuvwxyz");
        id[i] = store_put(text, (uint32_t)strlen(text) + 1);
        EXPECT_NE(id[i], 0);
    }
    for (unsigned i = 0; i < NR_NAMES; i++) {
        snprintf(text, sizeof text, "name %u of %.*s", i, (int)(i % 32),
                 "abcdefghijklmnopqrstuvwxyz");
        EXPECT_EQ(store_put(text, (uint32_t)strlen(text) + 1), id[i]);
        EXPECT_EQ(strcmp(store_get(id[i], &bytes), text), 0);
        EXPECT_EQ(bytes, strlen(text) + 1);
    }
    EXPECT_PTR(store_get(0, &bytes), NULL);
    EXPECT_EQ(bytes, 0);
}

/* A text of the greatest length, many of them, over the ends of pools. */
static void long_texts_fit(void)
{
    static char text[STORE_MAX_BYTES];
    uint32_t id[64], bytes;

    for (unsigned i = 0; i < ARRAY_SIZE(id); i++) {
        memset(text, 'a' + (int)(i % 26), sizeof text);
        text[0] = (char)i;
        id[i] = store_put(text, sizeof text);
        EXPECT_NE(id[i], 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(id); i++) {
        const char *kept = store_get(id[i], &bytes);

        EXPECT_EQ(bytes, STORE_MAX_BYTES);
        EXPECT_EQ(kept[0], (char)i);
        EXPECT_EQ(kept[STORE_MAX_BYTES - 1], 'a' + (int)(i % 26));
    }
}

static __attribute__((noinline)) uint32_t save_here(void)
{
    uint32_t id = stack_save();

    __asm__ volatile("" ::: "memory"); /* no tail call: this frame is in the stack */
    return id;
}

static __attribute__((noinline)) uint32_t save_there(void)
{
    uint32_t id = save_here();

    __asm__ volatile("" ::: "memory");
    return id;
}

/* The same call has the same number, another path another. Before stack_start there are no C
 * frames, and so there is no stack. */
static void c_stacks_are_kept_once(void)
{
    struct stack_frame frame[STACK_MAX_FRAMES];
    uint32_t id[2];

    EXPECT_EQ(save_here(), 0);
    stack_start();
    for (volatile unsigned i = 0; i < 2; i++) /* volatile: one place calls, twice */
        id[i] = save_here();
    if (!HAS_BACKTRACE) {
        EXPECT_EQ(id[0], 0);
        return;
    }
    EXPECT_NE(id[0], 0);
    EXPECT_EQ(id[0], id[1]);
    EXPECT_NE(id[0], save_there());
    EXPECT_GE(stack_frames(id[0], frame, STACK_MAX_FRAMES), 2);
    EXPECT_PTR(frame[0].file, NULL);
    EXPECT_GE(frame[0].address, (uintptr_t)save_here); /* the first frame is the caller's */
    EXPECT_LE(frame[0].address, (uintptr_t)save_here + 400);
    EXPECT_EQ(stack_frames(id[0], frame, 1), 1);
    EXPECT_EQ(stack_frames(0, frame, STACK_MAX_FRAMES), 0);
}

/* Python's frames come behind C's; names are copies. */
static void python_stacks_are_read_back(void)
{
    struct stack_frame frame[STACK_MAX_FRAMES];
    uint32_t id;

    set_python(12);
    id = save_here();
    EXPECT_EQ(id, save_here());
    REQUIRE(stack_frames(id, frame, STACK_MAX_FRAMES) == 2);
    EXPECT_EQ(strcmp(frame[0].file, "/home/user/script.py"), 0);
    EXPECT_EQ(strcmp(frame[0].function, "inner"), 0);
    EXPECT_EQ(frame[0].line, 12);
    EXPECT_EQ(strcmp(frame[1].function, "<module>"), 0);
    EXPECT_EQ(frame[1].line, 40);
    set_python(13);
    EXPECT_NE(id, save_here());
    stack_start();
    id = save_here();
    EXPECT_GE(stack_frames(id, frame, STACK_MAX_FRAMES), HAS_BACKTRACE ? 4 : 2);
}

/* A name longer than any text that is kept is cut, and has an end. */
static void long_names_are_cut(void)
{
    static char name[2 * STORE_MAX_BYTES];
    struct stack_packed packed;
    uint32_t bytes;

    memset(name, 'x', sizeof name - 1);
    packed = stack_pack_python(name, "f", 1);
    EXPECT_EQ(strlen(store_get((uint32_t)(packed.place >> 32), &bytes)), STORE_MAX_BYTES - 1);
}

static char report[4096];

static void report_add(const char *line, size_t bytes, void *context)
{
    EXPECT_PTR(context, report);
    EXPECT_EQ(line[bytes - 1], '\n');
    strncat(report, line, bytes);
}

/* A line a frame: file, line and function of Python; symbol and module of C. */
static void lines_name_the_place(void)
{
    struct stack_frame none = {.address = 16}, libc = {.address = (uintptr_t)&memmove};
    char line[STACK_LINE_BYTES];

    set_python(7);
    stack_print(save_here(), report_add, report);
    EXPECT_EQ(strcmp(report, "    /home/user/script.py:7 in inner\n"
                             "    /home/user/script.py:40 in <module>\n"),
              0);
    EXPECT_EQ(stack_line(&none, line), strlen(line));
    EXPECT_EQ(strcmp(line, "0x10 (no module)"), 0);
    EXPECT_EQ(stack_line(&libc, line), strlen(line));
    EXPECT(strstr(line, "+0x") != NULL && strchr(line, '(') != NULL);
}

/* The name of a function that no table exports, by both ways of asking; the place is the same. */
static void all_functions_have_names(void)
{
    uintptr_t address = (uintptr_t)save_there + 1;
    struct os_symbol any, plain;

    EXPECT(os_symbol_find_any(address, &any));
    EXPECT(os_symbol_find_plainly(address, &plain));
    EXPECT_EQ(strncmp(any.name, "save_there", strlen("save_there")), 0);
    EXPECT_EQ(strcmp(any.name, plain.name), 0);
    EXPECT_EQ(any.name_offset, 1);
    EXPECT_EQ(plain.name_offset, 1);
    EXPECT_EQ(any.module_at, plain.module_at);
    EXPECT(!os_symbol_find_any(16, &any));
    EXPECT(!os_symbol_find_plainly(16, &plain));
}

/* Overwrites some of the file's bytes by chance: of its head, or anywhere. */
static void damage(int fd, off_t bytes, unsigned *random)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = (unsigned)rand_r(random) % (i < 4 ? 64u : (unsigned)bytes);
        char byte = (char)rand_r(random);

        EXPECT_EQ(pwrite(fd, &byte, 1, at < 16 ? 16 : (off_t)at), 1);
    }
}

/* What a damaged file tells may be wrong; to read it does no harm, and names end. */
static void damaged_files_are_survived(void)
{
    FILE *whole = fopen("/proc/self/exe", "r"), *copy = tmpfile();
    char path[64], bytes[4096];
    unsigned random = 1;
    off_t length = 0;

    EXPECT(whole != NULL && copy != NULL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(copy));
    for (unsigned round = 0; round < 100; round++) {
        struct os_symbol symbol = {.module_at = (uintptr_t)rand_r(&random) % 100000};
        uintptr_t address;
        size_t got;

        rewind(whole);
        rewind(copy);
        for (length = 0; (got = fread(bytes, 1, sizeof bytes, whole)) > 0; length += (off_t)got)
            EXPECT_EQ(fwrite(bytes, 1, got, copy), got);
        fflush(copy);
        damage(fileno(copy), length, &random);
        os_elf_name(path, &symbol);
        (void)os_elf_address(path, (uint64_t)rand_r(&random), &address);
        EXPECT(symbol.name == NULL || strlen(symbol.name) < sizeof symbol.text);
    }
    EXPECT_EQ(ftruncate(fileno(copy), (off_t)sizeof(Elf32_Ehdr) / 2), 0);
    EXPECT(!os_elf_address(path, 0, &(uintptr_t){0}));
    EXPECT(!os_elf_address("/nowhere", 0, &(uintptr_t){0}));
    fclose(whole);
    fclose(copy);
}

static void *save_all(void *names)
{
    uint32_t *id = names;
    char text[32];

    for (unsigned i = 0; i < NR_NAMES; i++) {
        snprintf(text, sizeof text, "shared name %u", i);
        id[i] = store_put(text, (uint32_t)strlen(text) + 1);
        (void)save_here();
    }
    return NULL;
}

/* Threads that put the same texts at the same time agree on their numbers. */
static void threads_agree(void)
{
    static uint32_t id[NR_THREADS][NR_NAMES];
    pthread_t thread[NR_THREADS];

    set_python(1);
    stack_start();
    for (unsigned i = 0; i < NR_THREADS; i++)
        if (pthread_create(&thread[i], NULL, save_all, id[i]) != 0)
            abort();
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 1; i < NR_THREADS; i++)
        EXPECT_EQ(memcmp(id[0], id[i], sizeof id[0]), 0);
    for (unsigned i = 0; i < NR_NAMES; i++)
        EXPECT_NE(id[0][i], 0);
}

static _Atomic bool stop;

static void *save_until_stopped(void *unused)
{
    for (unsigned i = 0; !stop; i++)
        (void)store_put(&i, sizeof i);
    return unused;
}

/* A child of a process whose other thread is amidst a save can save, and knows what was kept. */
static void forked_children_save(void)
{
    pthread_t thread;
    uint32_t known = store_put("known", 6);

    pthread_atfork(os_heap_fork_prepare, os_heap_fork_done, os_heap_fork_done); /* as arenas do */
    if (pthread_create(&thread, NULL, save_until_stopped, NULL) != 0)
        abort();
    for (unsigned i = 0; i < 50; i++) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
            _exit(store_put("known", 6) != known || store_put("of the child", 13) == 0);
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, 0);
    }
    stop = true;
    pthread_join(thread, NULL);
}

#if PYSLAB_CHECK_LEVEL >= 1
/* Without memory the number is 0, what was kept stays readable, and later saves work. */
static void refused_memory_is_survived(void)
{
    struct stack_frame frame[STACK_MAX_FRAMES];
    uint32_t bytes, id;

    set_python(1);
    fault_inject(1, true);
    EXPECT_EQ(store_put("text", 5), 0);
    id = save_here();
    EXPECT_EQ(id, 0);
    EXPECT_GE(fault_count(), 4);
    fault_inject(0, false);
    id = save_here();
    EXPECT_NE(id, 0);
    EXPECT_EQ(stack_frames(id, frame, STACK_MAX_FRAMES), 2);
    id = store_put("text", 5);
    EXPECT_EQ(strcmp(store_get(id, &bytes), "text"), 0);
}

/* A frame whose names could not be kept is still a frame. */
static void names_without_memory_are_question_marks(void)
{
    struct stack_packed packed;
    struct stack_frame frame;

    fault_inject(1, true);
    packed = stack_pack_python("file.py", "function", 3);
    fault_inject(0, false);
    REQUIRE(stack_frames(store_put(&packed, sizeof packed), &frame, 1) == 1);
    EXPECT_EQ(strcmp(frame.file, "?"), 0);
    EXPECT_EQ(frame.line, 3);
}

static struct lock some_lock;

static void save_under_a_lock(void)
{
    lock_init(&some_lock, LOCK_RANK_CACHE);
    lock_acquire(&some_lock);
    (void)stack_save();
}

static void locks_are_refused(void)
{
    EXPECT(check_stops(save_under_a_lock, "lock_none_is_held"));
}
#endif

static const struct test tests[] = {
    TEST(texts_are_kept_once),
    TEST(long_texts_fit),
    TEST(c_stacks_are_kept_once),
    TEST(python_stacks_are_read_back),
    TEST(long_names_are_cut),
    TEST(lines_name_the_place),
    TEST(all_functions_have_names),
    TEST(damaged_files_are_survived),
    TEST(threads_agree),
    TEST(forked_children_save),
#if PYSLAB_CHECK_LEVEL >= 1
    TEST(refused_memory_is_survived),
    TEST(names_without_memory_are_question_marks),
    TEST(locks_are_refused),
#endif
};

TEST_MAIN(tests)
