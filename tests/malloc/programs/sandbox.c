/* sandbox.c - allocates where the system ends a process for every call but those that an
 * allocator cannot do without, and the few that this program itself makes. Prints ok. */
#include "require.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define ALLOW(name)                                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1),                                        \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void enter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(write),      /* this program's last word */
        ALLOW(exit_group), /* and its end */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void use(size_t bytes)
{
    char *p = malloc(bytes), *q = calloc(1, bytes), *r = aligned_alloc(4096, bytes);

    REQUIRE(p != NULL && q != NULL && r != NULL);
    memset(p, 1, bytes);
    memset(r, 1, bytes);
    for (size_t i = 0; i < bytes; i += 4096)
        REQUIRE(q[i] == 0);
    p = realloc(p, bytes * 2 + 1);
    REQUIRE(p != NULL && p[bytes - 1] == 1);
    free(p);
    free(q);
    free(r);
}

int main(void)
{
    static char *kept[2000];

    enter();
    for (size_t bytes = 1; bytes < (size_t)100 << 20; bytes *= 3)
        use(bytes);
    for (int i = 0; i < 2000; i++) {
        kept[i] = malloc(100000);
        REQUIRE(kept[i] != NULL);
        memset(kept[i], 1, 100000);
        free(malloc(0));
    }
    for (int i = 0; i < 2000; i++)
        free(kept[i]);
    REQUIRE(malloc((size_t)1 << 60) == NULL);
    (void)malloc_trim(0);
    (void)mallinfo2();
    if (write(STDOUT_FILENO, "ok\n", 3) != 3)
        return 1;
    return 0;
}
