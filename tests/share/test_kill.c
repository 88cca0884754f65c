/* test_kill.c - holds down what the table of holders promises about death: a process is killed
 * before each of its stores to the table, and the others go on. It is also stopped before each
 * access, the others do all that they can, and it goes on. */
#include "../c/check.h"
#include "kill_points.h"
#include "kill_world.h"

#include <signal.h>

/* --- the operations of the victim ---------------------------------------------- */

static void op_export(void)
{
    struct share_block out;

    share_export(&world.table, 5, 5 * WORLD_PAGE, WORLD_PAGE, &out);
}

static void op_ticket(void)
{
    world_ticket(OWNER, 2);
}

static void op_open(void)
{
    EXPECT_EQ(world_open(VICTIM, &world.taken), PYSLAB_OK);
}

static void op_open_stale(void)
{
    EXPECT_EQ(world_open(VICTIM, &world.taken), PYSLAB_ESTALE);
    EXPECT_EQ(*share_count(&world.table, VICTIM, world.block.slot), 0);
}

static void op_close(void)
{
    EXPECT_EQ(share_close(&world.table, VICTIM, world.block.slot), PYSLAB_OK);
}

static void op_pass_on(void)
{
    world_ticket(VICTIM, 1);
    share_close(&world.table, VICTIM, world.block.slot);
}

static void op_unpin(void)
{
    share_pins_end(&world.table, VICTIM, world.block.slot);
    share_close(&world.table, VICTIM, world.block.slot);
}

static void op_end_ticket(void)
{
    EXPECT_EQ(share_ticket_end(&world.table, &world.taken), PYSLAB_OK);
}

static void op_retire(void)
{
    share_retire(&world.table, world.block.slot);
}

static void op_reap(void)
{
    world_reap();
}

static void op_attach(void)
{
    share_row_enter(&world.table, VICTIM);
}

static void op_detach(void)
{
    share_row_clear(&world.table, VICTIM);
}

static void op_inherit(void)
{
    world_reap();
    world_inherit();
}

/* --- what is there before ------------------------------------------------------- */

static void before_none(void) {}

static void before_taken(void)
{
    world.taken = world_ticket(OWNER, 1);
}

/* As the owner leaves it that is stopped, or dies, while it looks. */
static void before_closing(void)
{
    before_taken();
    world.table.slots[world.block.slot].word = SHARE_SLOT_WORD(world.block.generation,
                                                               SHARE_SLOT_CLOSING);
}

static void before_used(void)
{
    before_taken();
    EXPECT_EQ(world_open(HOLDER, &world.taken), PYSLAB_OK);
    share_close(&world.table, HOLDER, world.block.slot);
}

static void before_held(void)
{
    before_taken();
    EXPECT_EQ(world_open(VICTIM, &world.taken), PYSLAB_OK);
}

static void before_pinned(void)
{
    before_held();
    world_ticket(VICTIM, SHARE_MAX_USES);
}

static void before_orphan(void)
{
    before_taken();
    EXPECT(!share_retire(&world.table, world.block.slot));
    EXPECT_EQ(share_ticket_end(&world.table, &world.taken), PYSLAB_OK);
}

/* A client that holds, has sent, has pinned and was claiming an entry when it died. */
static void before_dead_client(void)
{
    before_pinned();
    world_ticket(VICTIM, 1);
    world.table.tickets[world.table.nr_tickets - 1].word = SHARE_TICKET_WORD(1, VICTIM, 0,
                                                                             SHARE_TICKET_CLAIMED);
    world.dead[VICTIM] = true;
}

static void before_dead_owner(void)
{
    struct share_block other;

    share_export(&world.table, 7, 7 * WORLD_PAGE, WORLD_PAGE, &other);
    block_fill(&other);
    before_dead_client();
    world.dead[OWNER] = true;
}

struct operation {
    const char *name;
    void (*before)(void);
    void (*run)(void);
    uint32_t dies;       /* row of the one who runs it */
    unsigned points_min; /* stores that it must have at least, so that none has got lost */
};

static const struct operation OPERATIONS[] = {
    {"export", before_none, op_export, OWNER, 3},
    {"ticket", before_none, op_ticket, OWNER, 5},
    {"open", before_taken, op_open, VICTIM, 4},
    {"open while closing", before_closing, op_open, VICTIM, 5},
    {"open a used ticket", before_used, op_open_stale, VICTIM, 0},
    {"close", before_held, op_close, VICTIM, 1},
    {"pass on", before_held, op_pass_on, VICTIM, 6},
    {"unpin", before_pinned, op_unpin, VICTIM, 2},
    {"end a ticket", before_taken, op_end_ticket, OWNER, 1},
    {"free", before_none, op_retire, OWNER, 2},
    {"look again", before_orphan, op_retire, OWNER, 2},
    {"reap", before_dead_client, op_reap, HOLDER, 5},
    {"attach", before_dead_client, op_attach, VICTIM, 7},
    {"detach", before_pinned, op_detach, VICTIM, 4},
    {"inherit", before_dead_owner, op_inherit, NR_CLIENTS, 10},
};

enum { NR_OPERATIONS = sizeof OPERATIONS / sizeof *OPERATIONS };

/* --- the others go on ------------------------------------------------------------ */

/* If the block is held, and named by a ticket, nobody may free it, and the ticket opens it. */
static void others_act(const struct operation *op, bool held)
{
    if (held)
        EXPECT(block_is_whole(&world.block));
    if (held)
        EXPECT_EQ(world_open(READER, &world.sent), PYSLAB_OK);
    if (held && op->dies != OWNER && op->dies != NR_CLIENTS)
        EXPECT(!share_retire(&world.table, world.block.slot));
    if (held)
        EXPECT(block_is_whole(&world.block));
}

/* Tickets that were sent by those who live, and that nobody opens any more. */
static void tickets_lose(void)
{
    for (uint32_t i = 0; i < world.table.nr_tickets; i++) {
        struct share_key key = {world.table.tickets[i].id, i};

        (void)share_ticket_end(&world.table, &key);
    }
}

static void take_back(void)
{
    world_reap();
    if (world.dead[OWNER])
        world_inherit();
    else
        for (uint32_t slot = 0; slot < world.table.nr_slots; slot++)
            (void)share_retire(&world.table, slot);
}

static void check_after(const struct operation *op, bool held)
{
    others_act(op, held);
    take_back();
    if (held) {
        EXPECT(block_is_whole(&world.block));
        EXPECT_EQ(share_close(&world.table, READER, world.block.slot), PYSLAB_OK);
        take_back();
        if (!world.dead[HOLDER]) {
            EXPECT(block_is_whole(&world.block));
            EXPECT_EQ(share_close(&world.table, HOLDER, world.block.slot), PYSLAB_OK);
        }
    }
    tickets_lose();
    take_back();
    EXPECT_EQ(world_left(), 0);
    if (world.dead[OWNER])
        EXPECT(heap_is_zero());
}

/* --- one point of one operation ---------------------------------------------------- */

static void scene_make(const struct operation *op, bool held)
{
    world_make();
    if (held) {
        struct share_key key = world_ticket(OWNER, 1);

        EXPECT_EQ(world_open(HOLDER, &key), PYSLAB_OK);
        world.sent = world_ticket(HOLDER, 1);
    }
    op->before();
}

static pid_t victim_start(const struct operation *op, enum point_kind kind, unsigned point)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid == 0) {
        check_nr_failures = 0;
        points_arm(kind, point);
        op->run();
        points_arm(POINT_NONE, 0);
        fflush(NULL);
        _exit(check_nr_failures != 0);
    }
    return pid;
}

/* True if there was such a point. */
static bool kill_at(const struct operation *op, bool held, unsigned point)
{
    int status = 0;

    scene_make(op, held);
    pid_t pid = victim_start(op, POINT_KILL, point);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status);
    if (!killed)
        EXPECT_EQ(status, 0);
    if (op->dies < NR_CLIENTS)
        world.dead[op->dies] = true;
    check_after(op, held);
    world_end();
    return killed;
}

/* The victim is stopped at a point, the others act, and it goes on to its end. */
static bool stop_around(const struct operation *op, unsigned point, void (*act)(void))
{
    int status = 0;
    pid_t pid = victim_start(op, POINT_STOP, point);

    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    bool stopped = WIFSTOPPED(status);
    act();
    if (stopped) {
        kill(pid, SIGCONT);
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
    }
    EXPECT_EQ(status, 0);
    EXPECT(block_is_whole(&world.block));
    if (op->dies < NR_CLIENTS)
        world.dead[op->dies] = true;
    return stopped;
}

static void act_open(void)
{
    EXPECT_EQ(world_open(READER, &world.sent), PYSLAB_OK);
}

static void act_open_and_free(void)
{
    act_open();
    EXPECT(!share_retire(&world.table, world.block.slot));
}

static bool stop_and_open(const struct operation *op, bool held, unsigned point)
{
    bool owner_acts = op->dies != OWNER && op->dies != NR_CLIENTS;

    scene_make(op, held);
    bool stopped = stop_around(op, point, owner_acts ? act_open_and_free : act_open);
    EXPECT_EQ(share_close(&world.table, READER, world.block.slot), PYSLAB_OK);
    world.sent = world_ticket(HOLDER, 1);
    check_after(op, held);
    world_end();
    return stopped;
}

static void act_pass_on(void)
{
    world.sent = world_ticket(HOLDER, 1);
    EXPECT_EQ(share_close(&world.table, HOLDER, world.block.slot), PYSLAB_OK);
}

/* The one holder passes the block on, so that there is first a hold and then a ticket. */
static bool stop_and_pass_on(const struct operation *op, bool held, unsigned point)
{
    scene_make(op, held);
    EXPECT_EQ(share_ticket_end(&world.table, &world.sent), PYSLAB_OK);
    bool stopped = stop_around(op, point, act_pass_on);
    EXPECT_EQ(world_open(READER, &world.sent), PYSLAB_OK);
    EXPECT_EQ(share_close(&world.table, READER, world.block.slot), PYSLAB_OK);
    tickets_lose();
    take_back();
    EXPECT_EQ(world_left(), 0);
    world_end();
    return stopped;
}

static unsigned each_point(bool (*at)(const struct operation *op, bool held, unsigned point),
                           const struct operation *op, bool held)
{
    unsigned point = 0;

    while (at(op, held, point) && check_nr_failures == 0)
        point++;
    if (check_nr_failures != 0)
        fprintf(stderr, "%s, %s, at point %u\n", op->name, held ? "held" : "not held", point);
    return point;
}

static void test_killed_before_each_store(void)
{
    unsigned total = 0;

    for (unsigned i = 0; i < NR_OPERATIONS && check_nr_failures == 0; i++)
        for (int held = 0; held < 2; held++) {
            unsigned nr = each_point(kill_at, &OPERATIONS[i], held != 0);

            EXPECT_GE(nr, OPERATIONS[i].points_min);
            printf("%-20s %s: killed at %u stores\n", OPERATIONS[i].name,
                   held ? "held    " : "not held", nr);
            total += nr;
        }
    printf("%u deaths\n", total);
}

static void test_stopped_before_each_access(void)
{
    unsigned total = 0;

    for (unsigned i = 0; i < NR_OPERATIONS && check_nr_failures == 0; i++) {
        total += each_point(stop_and_open, &OPERATIONS[i], true);
        total += each_point(stop_and_pass_on, &OPERATIONS[i], true);
    }
    printf("%u stops\n", total);
    EXPECT_GE(total, 500);
}

static void op_open_either(void)
{
    int error = world_open(VICTIM, &world.taken);

    EXPECT_EQ(*share_count(&world.table, VICTIM, world.block.slot), error == PYSLAB_OK);
}

static void act_take(void)
{
    (void)world_open(READER, &world.taken);
}

/* Two open a ticket of one use: one of them holds the block, and the other counts nothing. */
static bool stop_and_take(const struct operation *op, bool held, unsigned point)
{
    scene_make(op, held);
    bool stopped = stop_around(op, point, act_take);
    EXPECT_EQ(share_holders(&world.table, world.block.slot, &(uint64_t){0}), 1);
    world_end();
    return stopped;
}

static void test_one_ticket_two_openers(void)
{
    static const struct operation open = {"open", before_taken, op_open_either, NR_CLIENTS, 0};

    EXPECT_GE(each_point(stop_and_take, &open, false), 10);
}

/* --- many tickets ------------------------------------------------------------------ */

enum { NR_TICKETS = 1000000 };

/* A third is opened, a third is lost, a third is opened twice: the second time it is stale. */
static void test_a_million_tickets(void)
{
    unsigned opened = 0, stale = 0;

    world_make();
    for (unsigned i = 0; i < NR_TICKETS; i++) {
        struct share_key key = world_ticket(OWNER, 1);

        if (i % 3 != 0) {
            opened += world_open(READER, &key) == PYSLAB_OK;
            share_close(&world.table, READER, world.block.slot);
        }
        if (i % 3 == 1)
            stale += world_open(READER, &key) == PYSLAB_ESTALE;
        if (i % 300 == 299)
            tickets_lose();
    }
    tickets_lose();
    EXPECT_EQ(opened, NR_TICKETS - (NR_TICKETS + 2) / 3);
    EXPECT_EQ(stale, NR_TICKETS / 3);
    EXPECT(share_retire(&world.table, world.block.slot));
    EXPECT_EQ(world_left(), 0);
    world_end();
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(test_killed_before_each_store),
        TEST(test_stopped_before_each_access),
        TEST(test_one_ticket_two_openers),
        TEST(test_a_million_tickets),
    };

    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
