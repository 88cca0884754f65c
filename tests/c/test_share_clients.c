/* test_share_clients.c - several processes and one shared heap: attaching, signs of life, deaths of
 * clients and owners. */
#include "rig_share.h"

#include <errno.h>

/* A client, forked from the owner, attaches the owner's heap and opens a block, says so, and waits
 * until it is told to go on, or killed. */
struct client {
    pid_t pid;
    int said; /* the client writes a byte when it has got so far */
    int told; /* and reads one when it may go on */
};

typedef void (*client_fn)(pyslab_heap *heap, const pyslab_handle *handle, int said, int told);

static void say(int fd)
{
    EXPECT_EQ(write(fd, "x", 1), 1);
}

static bool hear(int fd)
{
    char c;

    return read(fd, &c, 1) == 1;
}

static struct client client_start(pyslab_arena *arena, const pyslab_handle *handle,
                                  uint32_t writable, client_fn run)
{
    int said[2], told[2], heap_fd, table_fd;
    struct client client = {0};

    if (pipe(said) != 0 || pipe(told) != 0)
        abort();
    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    client.pid = fork();
    if (client.pid == 0) {
        pyslab_heap *heap = NULL;

        close(said[0]);
        close(told[1]);
        if (pyslab_share_attach(heap_fd, table_fd, writable, &heap) != PYSLAB_OK)
            _exit(2);
        close(heap_fd);
        close(table_fd);
        run(heap, handle, said[1], told[0]);
        _exit(check_nr_failures != 0);
    }
    close(said[1]);
    close(told[0]);
    close(heap_fd);
    close(table_fd);
    client.said = said[0];
    client.told = told[1];
    return client;
}

static int client_end(struct client *client)
{
    int status = -1;

    close(client->told);
    waitpid(client->pid, &status, 0);
    close(client->said);
    return status;
}

static void client_kill(struct client *client)
{
    int status;

    kill(client->pid, SIGKILL);
    waitpid(client->pid, &status, 0);
    close(client->told);
    close(client->said);
}

static uint32_t nr_holders(pyslab_arena *arena, const void *p)
{
    uint32_t nr_clients = 0, nr_handles = 0;

    (void)pyslab_share_holders(arena, p, &nr_clients, &nr_handles);
    return nr_clients;
}

/* --- what clients do ------------------------------------------------------ */

static void open_and_wait(pyslab_heap *heap, const pyslab_handle *handle, int said, int told)
{
    pyslab_shared_block block;

    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_EBUSY);
    say(said);
    (void)hear(told);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
}

static void write_once(pyslab_heap *heap, const pyslab_handle *handle, int said, int told)
{
    pyslab_shared_block block;

    (void)heap;
    (void)said;
    (void)told;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would end the process its own way */
    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    *(volatile char *)block.address = 1;
}

static void close_everything(pyslab_heap *heap, const pyslab_handle *handle, int said, int told)
{
    pyslab_shared_block block;

    (void)heap;
    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    for (int fd = 3; fd < 4096; fd++)
        if (fd != said && fd != told)
            close(fd);
    say(said);
    (void)hear(told);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
}

/* Leaves a child behind that lives on: it holds the block as well. */
static void fork_a_child(pyslab_heap *heap, const pyslab_handle *handle, int said, int told)
{
    pyslab_shared_block block;
    pid_t child;

    (void)heap;
    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    child = fork();
    if (child == 0) {
        say(said);
        (void)hear(told);
        _exit(!rig_is_filled(block.address, MIB, 0x33));
    }
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    kill(getpid(), SIGKILL);
}

static void run_another_program(pyslab_heap *heap, const pyslab_handle *handle, int said, int told)
{
    pyslab_shared_block block;

    (void)heap;
    (void)told;
    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    say(said);
    execl("/bin/sleep", "sleep", "100", (char *)NULL);
}

/* --- tests ------------------------------------------------------------------ */

static void *filled(pyslab_arena *arena, uint32_t uses, pyslab_handle *handle)
{
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);

    memset(p, 0x33, MIB);
    EXPECT_EQ(pyslab_share_export(arena, p, uses, handle), PYSLAB_OK);
    return p;
}

static void a_client_reads_what_its_owner_freed(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = filled(arena, 1, &handle), *q;
    struct client client = client_start(arena, &handle, 0, open_and_wait);

    EXPECT(hear(client.said));
    EXPECT_EQ(nr_holders(arena, p), 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    q = pyslab_kmalloc(arena, MIB, KERNEL);
    EXPECT(q != p);
    memset(q, 0x44, MIB);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(client_end(&client), 0);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    rig_end(arena);
}

static void a_client_cannot_write(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = filled(arena, 1, &handle);
    struct client client = client_start(arena, &handle, 0, write_once);
    int status = client_end(&client);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT(rig_is_filled(p, MIB, 0x33));
    client = client_start(arena, &handle, 1, write_once);
    EXPECT_EQ(WEXITSTATUS(client_end(&client)), 2);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

static void a_client_may_write_if_both_agree(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_WRITE);
    pyslab_handle handle;
    char *p = filled(arena, 1, &handle);
    struct client client = client_start(arena, &handle, 1, write_once);

    EXPECT_EQ(client_end(&client), 0);
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* A killed client's holds are taken back, and not before it is dead. */
static void check_death(client_fn run)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = filled(arena, 1, &handle);
    struct client client = client_start(arena, &handle, 0, run);

    EXPECT(hear(client.said));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(nr_holders(arena, p), 1);
    client_kill(&client);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

static void a_client_is_killed(void)
{
    check_death(open_and_wait);
}

static void a_client_closes_all_descriptors(void)
{
    check_death(close_everything);
}

/* The parent is dead, its child lives and has a row of its own. */
static void a_client_forks(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = filled(arena, 1, &handle);
    struct client client = client_start(arena, &handle, 0, fork_a_child);
    int status;

    EXPECT(hear(client.said));
    waitpid(client.pid, &status, 0);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(nr_holders(arena, p), 1);
    close(client.told); /* the child ends: its end of the pipe is closed by the system */
    EXPECT(!hear(client.said));
    while (pyslab_share_reap(arena) == 0)
        os_sleep_ms(1);
    close(client.said);
    rig_end(arena);
}

static void a_client_runs_another_program(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = filled(arena, 1, &handle);
    struct client client = client_start(arena, &handle, 0, run_another_program);

    EXPECT(hear(client.said));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    while (pyslab_share_reap(arena) == 0) /* until it has come to exec */
        os_sleep_ms(1);
    EXPECT_EQ(waitpid(client.pid, NULL, WNOHANG), 0);
    client_kill(&client);
    rig_end(arena);
}

/* --- an owner dies ------------------------------------------------------------ */

struct owner {
    pid_t pid;
    int from; /* the owner writes its handle and waits to be killed */
    pyslab_handle handle;
};

static void owner_run(uint32_t shared, int fd)
{
    pyslab_arena *arena = share_rig_arena(shared);
    pyslab_handle handle, other;

    (void)filled(arena, 1, &handle);
    (void)filled(arena, 1, &other);
    EXPECT_EQ(pyslab_share_revoke(&other), PYSLAB_OK);
    EXPECT_EQ(write(fd, &handle, sizeof handle), (long long)sizeof handle);
    for (;;)
        pause();
}

static struct owner owner_start(uint32_t shared)
{
    struct owner owner;
    int fds[2];

    if (pipe(fds) != 0)
        abort();
    owner.pid = fork();
    if (owner.pid == 0) {
        close(fds[0]);
        owner_run(shared, fds[1]);
    }
    close(fds[1]);
    owner.from = fds[0];
    EXPECT_EQ(read(fds[0], &owner.handle, sizeof owner.handle), (long long)sizeof owner.handle);
    return owner;
}

static void owner_kill(struct owner *owner)
{
    kill(owner->pid, SIGKILL);
    waitpid(owner->pid, NULL, 0);
    close(owner->from);
}

static void check_owner_death(uint32_t shared, uint32_t writable)
{
    struct owner owner = owner_start(shared);
    const uint64_t wrong[2] = {1, 2};
    pyslab_heap *heap = NULL, *again = NULL;
    pyslab_shared_block block;
    uint64_t bytes = 1;

    EXPECT_EQ(pyslab_share_attach_process(owner.pid, wrong, 0, &heap), PYSLAB_ESTALE);
    REQUIRE(pyslab_share_attach_process(owner.pid, owner.handle.heap_id, writable, &heap) ==
            PYSLAB_OK);
    EXPECT_EQ(pyslab_share_attach_process(owner.pid, NULL, writable, &again), PYSLAB_OK);
    EXPECT(again == heap);
    EXPECT_EQ(pyslab_share_open(&owner.handle, &block), PYSLAB_OK);
    EXPECT(pyslab_share_owner_is_alive(heap));
    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
    EXPECT_EQ(bytes, 0);
    owner_kill(&owner);
    EXPECT(!pyslab_share_owner_is_alive(heap));
    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), writable ? PYSLAB_OK : PYSLAB_EOS);
    EXPECT_EQ(bytes, writable ? 31 * MIB : 0);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), writable ? PYSLAB_OK : PYSLAB_EOS);
    EXPECT_EQ(bytes, writable ? 32 * MIB : 0);
    EXPECT_EQ(pyslab_share_open(&owner.handle, &block), PYSLAB_ESTALE);
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
}

static void an_owner_is_killed(void)
{
    check_owner_death(PYSLAB_SHARE_READ, 0);
}

static void an_owner_has_an_heir(void)
{
    check_owner_death(PYSLAB_SHARE_WRITE, 1);
}

/* --- fork of the owner ----------------------------------------------------------- */

static void a_forked_child_of_the_owner(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    char *p = filled(arena, 1, &handle), *small = pyslab_kmalloc(arena, 64, KERNEL);
    pid_t child;
    int status = -1;

    memset(small, 5, 64);
    child = fork();
    if (child == 0) {
        EXPECT(rig_is_filled(p, MIB, 0x33));
        memset(p, 0x55, MIB);
        memset(small, 6, 64);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
        EXPECT(rig_is_filled(p, MIB, 0x55));
        EXPECT(pyslab_alloc_pages(arena, 10, KERNEL) != PYSLAB_PFN_NONE);
        EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_EFORKED);
        EXPECT_EQ(pyslab_share_reap(arena), 0);
        _exit(check_nr_failures != 0);
    }
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT(rig_is_filled(p, MIB, 0x33));
    EXPECT(rig_is_filled(small, 64, 5));
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(a_client_reads_what_its_owner_freed),
    TEST(a_client_cannot_write),
    TEST(a_client_may_write_if_both_agree),
    TEST(a_client_is_killed),
    TEST(a_client_closes_all_descriptors),
    TEST(a_client_forks),
    TEST(a_client_runs_another_program),
    TEST(an_owner_is_killed),
    TEST(an_owner_has_an_heir),
    TEST(a_forked_child_of_the_owner),
};

TEST_MAIN(tests)
