/* test_unwind.c - holds down os_unwind: it finds the return addresses that the C library's
 * backtrace() finds by the compiler's unwinder, whatever the frames, or says that it cannot. */
#include "os/os_unwind.h"

#include "base/compiler.h"

#include "check.h"

#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* Elsewhere nothing is walked: on other processors, and with C libraries that cannot be asked for
 * the module of an address, as musl. */
#if defined(__x86_64__) && defined(__GLIBC__)
#include <execinfo.h>
#define MOST 60

static _Thread_local unsigned nr_walked; /* stacks that os_unwind could walk */
static _Thread_local volatile int depth; /* keeps the compiler from knowing how deep it goes */

static __attribute__((noinline)) bool walk(uintptr_t *found, unsigned max, unsigned *nr)
{
    bool simple = os_unwind(found, max, NULL, nr);

    __asm__ volatile("" ::: "memory"); /* no tail call */
    return simple;
}

/* Both walks, from the caller of this function on. */
static __attribute__((noinline)) void compare(bool must_be_simple)
{
    uintptr_t found[MOST];
    void *expected[MOST];
    unsigned nr = 0, skip = 1;
    int nr_expected = backtrace(expected, MOST);
    bool simple = walk(found, MOST, &nr);

    EXPECT(simple || !must_be_simple);
    if (!simple)
        return;
    nr_walked++;
    /* The first is in this function, in two places; before that a sanitizer may have its own. */
    while (skip < 4 && (uintptr_t)expected[skip] != found[1])
        skip++;
    EXPECT_EQ(nr - 1, (unsigned)nr_expected - skip);
    for (unsigned i = 1; i < nr; i++)
        EXPECT_EQ(found[i], (uintptr_t)expected[skip + i - 1]);
}

static __attribute__((noinline)) void recurse(int left)
{
    if (left > 0)
        recurse(left - 1);
    else
        compare(true);
    depth++;
}

/* Its frame is known by rbp alone. */
static __attribute__((noinline)) void with_alloca(size_t bytes)
{
    char *volatile room = alloca(bytes + 1 + (size_t)depth % 64);

    room[0] = 1;
    recurse((int)(bytes % 5));
    depth += room[0];
}

static __attribute__((noinline, optimize("no-omit-frame-pointer"))) void with_frame_pointer(int n)
{
    if (n > 0)
        with_alloca((size_t)n * 100);
    recurse(n);
    depth++;
}

static int in_qsort(const void *a, const void *b)
{
    with_frame_pointer(2);
    return *(const int *)a - *(const int *)b;
}

static void all_kinds_of_frames(void)
{
    int numbers[] = {3, 1, 2};

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 30; i++)
            recurse(i);
        for (size_t i = 1; i < 3000; i += 177)
            with_alloca(i);
        with_frame_pointer(3);
        qsort(numbers, ARRAY_SIZE(numbers), sizeof numbers[0], in_qsort);
    }
    EXPECT_GE(nr_walked, 150);
}

static void *in_thread(void *argument)
{
    for (int i = 0; i < 200; i++)
        with_alloca((size_t)i * 7);
    return argument;
}

static void threads_at_once(void)
{
    pthread_t thread[4];

    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, in_thread, NULL) == 0);
    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_join(thread[i], NULL);
}

static void on_signal(int number)
{
    (void)number;
    compare(false);
}

/* A handler's frame is not simple: it must say so, or be right. */
static void in_a_signal_handler(void)
{
    REQUIRE(signal(SIGUSR1, on_signal) != SIG_ERR);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
}

static void as_many_as_there_is_room_for(void)
{
    uintptr_t all[MOST], some[3];
    unsigned nr_all, nr;

    REQUIRE(walk(all, MOST, &nr_all) && nr_all > 3);
    REQUIRE(walk(some, 3, &nr));
    EXPECT_EQ(nr, 3);
    EXPECT_EQ(some[2], all[2]);
}

/* Code that is made at run time, and says so to libgcc_s: it saves rbp, and has its second argument
 * there while it calls the first one. Or it has a frame pointer there. Both are 9 bytes. */
static const unsigned char made_without[] = {0x55, 0x48, 0x89, 0xf5, 0xff, 0xd7, 0x5d, 0xc3, 0x90};
static const unsigned char made_with[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3, 0x90};

/* As a module has them: a CIE, an FDE, and the end. */
static struct __attribute__((packed)) description {
    uint32_t cie_bytes, cie_id;
    unsigned char cie[12];
    uint32_t fde_bytes, fde_cie;
    uint64_t function, bytes;
    unsigned char fde[8];
    uint32_t end;
} made = {
    .cie_bytes = 16,
    .cie = {1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1}, /* the CFA is rsp + 8 */
    .fde_bytes = 28,
    .fde_cie = 24,
    .bytes = sizeof made_with,
};

static __attribute__((noinline)) void compare_in_made_code(void)
{
    compare(false);
    depth++;
}

static void run_made_code(void *place, const unsigned char *code, bool has_frame_pointer)
{
    static const unsigned char with[] = {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6};
    static const unsigned char without[] = {0x41, 0x0e, 16, 0x86, 2, 0, 0, 0};
    void *library = dlopen("libgcc_s.so.1", RTLD_NOW), *symbol[2];
    void (*note[2])(void *);
    void (*function)(void (*)(void), uintptr_t);

    symbol[0] = dlsym(library, "__register_frame");
    symbol[1] = dlsym(library, "__deregister_frame");
    REQUIRE(symbol[0] != NULL && symbol[1] != NULL);
    memcpy(note, symbol, sizeof note);
    memcpy(place, code, sizeof made_with);
    memcpy(made.fde, has_frame_pointer ? with : without, sizeof made.fde);
    made.function = (uintptr_t)place;
    note[0](&made);
    memcpy(&function, &place, sizeof function);
    for (int i = 0; i < 2; i++)
        function(compare_in_made_code, UINT64_C(0x7ffffffff000)); /* where no memory is */
    note[1](&made);
}

/* Other code comes to the same place, and no library was loaded or unloaded meanwhile. */
static void code_that_was_made_at_run_time(void)
{
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);

    REQUIRE(place != MAP_FAILED);
    for (int i = 0; i < 3; i++) {
        run_made_code(place, made_with, true);
        run_made_code(place, made_without, false);
    }
    munmap(place, 4096);
}

static void run_plugin(const char *path)
{
    void *library = dlopen(path, RTLD_NOW), *symbol;
    void (*function)(void (*)(void), uintptr_t);

    REQUIRE(library != NULL);
    symbol = dlsym(library, "unwind_plugin");
    REQUIRE(symbol != NULL);
    memcpy(&function, &symbol, sizeof function);
    for (int i = 0; i < 2; i++)
        function(compare_in_made_code, UINT64_C(0x7ffffffff000)); /* where no memory is */
    EXPECT_EQ(dlclose(library), 0);
}

/* As a rule the second one comes to the place of the first, and as large. */
static void another_build_of_a_library(void)
{
    for (int i = 0; i < 3; i++) {
        run_plugin(UNWIND_PLUGIN_WITH);
        run_plugin(UNWIND_PLUGIN_LESS);
    }
    for (int i = 0; i < 3; i++) {
        run_plugin(UNWIND_PLUGIN_WITH_ID);
        run_plugin(UNWIND_PLUGIN_LESS_ID);
    }
}

/* on_stack(fn, top): calls fn on another stack; the information has a rule for the caller's rsp. */
void on_stack(void (*fn)(void), void *top);
__asm__(".text\n"
        ".globl on_stack\n"
        ".type on_stack, @function\n"
        "on_stack:\n"
        ".cfi_startproc\n"
        "    leaq 8(%rsp), %rax\n"
        "    movq (%rsp), %rdx\n"
        "    movq %rdx, -8(%rsi)\n"
        "    movq %rax, -24(%rsi)\n"
        "    leaq -32(%rsi), %rsp\n"
        "    .cfi_def_cfa %rsp, 32\n"
        "    .cfi_offset %rip, -8\n"
        "    .cfi_offset %rsp, -24\n"
        "    call *%rdi\n"
        "    movq 24(%rsp), %rdx\n"
        "    movq 8(%rsp), %rsp\n"
        "    .cfi_def_cfa %rsp, 0\n"
        "    .cfi_register %rip, %rdx\n"
        "    .cfi_same_value %rsp\n"
        "    jmp *%rdx\n"
        ".cfi_endproc\n"
        ".size on_stack, . - on_stack\n");

static char other_stack[1 << 16] __attribute__((aligned(16)));

static void a_stack_that_was_switched(void)
{
    for (int i = 0; i < 3; i++)
        on_stack(compare_in_made_code, other_stack + sizeof other_stack);
}

static void in_a_coroutine(void)
{
    for (size_t i = 0; i < 5; i++)
        compare_in_made_code();
}

static void coroutines(void)
{
    static ucontext_t here, there;

    REQUIRE(getcontext(&there) == 0);
    there.uc_stack.ss_sp = other_stack;
    there.uc_stack.ss_size = sizeof other_stack;
    there.uc_link = &here;
    makecontext(&there, in_a_coroutine, 0);
    REQUIRE(swapcontext(&here, &there) == 0);
}

static _Atomic bool enough;

static void *walk_on(void *argument)
{
    uintptr_t found[MOST];
    unsigned nr;

    while (!enough)
        (void)walk(found, MOST, &nr);
    return argument;
}

/* In the child: what takes the loader's lock must find it free. */
static int child_of_fork(void)
{
    uintptr_t found[MOST];
    unsigned nr;

    alarm(20);
    (void)walk(found, MOST, &nr);
    return os_module_of_program().end != 0 ? 0 : 1;
}

static void fork_while_others_walk(void)
{
    pthread_t thread[3];

    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, walk_on, NULL) == 0);
    for (unsigned i = 0; i < 300; i++) {
        pid_t child;
        int status = -1;

        child = fork();
        if (child == 0)
            _exit(child_of_fork());
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    enough = true;
    for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_join(thread[i], NULL);
}

static const struct test tests[] = {
    TEST(code_that_was_made_at_run_time),
    TEST(another_build_of_a_library),
    TEST(a_stack_that_was_switched),
    TEST(coroutines),
    TEST(fork_while_others_walk),
    TEST(all_kinds_of_frames),
    TEST(threads_at_once),
    TEST(in_a_signal_handler),
    TEST(as_many_as_there_is_room_for),
};

int main(int argc, char **argv)
{
    os_backtrace_load();
    return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
#else
int main(void)
{
    return 0;
}
#endif
