/* test_client.c - a client of the table, under the sanitizers and with the core's checks:
 * the families of tests/extensions, and who bumps a region. */
#undef PYSLAB_CORE
#define PYSLAB_NO_PYTHON
#include <pyslab.h>

#include "check.h"

#include "../extensions/families.h"

extern pyslab_api api_table;

/* Each gives the line of the first check that failed. */
static void every_family(void)
{
    REQUIRE(pyslab_set_api(&api_table) == PYSLAB_OK);
    for (int i = 0; i < NR_FAMILIES; i++)
        EXPECT_EQ(families[i].run(), 0);
}

/* A checked region shows clients no room, so that all they do is checked. */
static void checked_regions_come_in(void)
{
    pyslab_region_head *head;
    pyslab_region *region;
    pyslab_arena *arena;

    REQUIRE(pyslab_set_api(&api_table) == PYSLAB_OK);
    arena = make_arena(4 * MIB);
    REQUIRE(pyslab_region_create(arena, 0, &region) == PYSLAB_OK);
    REQUIRE(pyslab_region_alloc(region, 32) != NULL);
    head = (pyslab_region_head *)(void *)region;
    EXPECT_EQ(head->end - head->cur > 0, PYSLAB_CHECK_LEVEL == 0);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
}

#if PYSLAB_CHECK_LEVEL >= 1
static void write_after_reset(void)
{
    pyslab_region *region;
    char *p;

    check_quiet();
    REQUIRE(pyslab_region_create(make_arena(4 * MIB), 0, &region) == PYSLAB_OK);
    p = (char *)pyslab_region_alloc(region, 100);
    memset(p, 1, 100);
    (void)pyslab_region_reset(region);
    p[50] = 1;
    (void)pyslab_region_alloc(region, 100);
}

/* Where no allocation meets it, validation does. */
static void write_after_rewind(void)
{
    pyslab_arena *arena = make_arena(4 * MIB);
    char message[200] = "";
    pyslab_region *region;
    uint64_t mark;
    char *p;

    REQUIRE(pyslab_region_create(arena, 0, &region) == PYSLAB_OK);
    mark = pyslab_region_mark(region);
    p = (char *)pyslab_region_alloc(region, 100);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    p[50] = 1;
    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_ECORRUPT);
    EXPECT(strstr(message, "written to while it was not handed out") != NULL);
}
#endif

/* A client's write to what its region has taken back is found in checked builds. */
static void use_after_reset(void)
{
#if PYSLAB_CHECK_LEVEL >= 1
    REQUIRE(pyslab_set_api(&api_table) == PYSLAB_OK);
    EXPECT_EQ(WTERMSIG(check_child(write_after_reset)), SIGABRT);
    EXPECT_EQ(check_child(write_after_rewind), 0);
#endif
}

/* A table of another version, or none, is refused and changes nothing. */
static void tables_that_do_not_fit(void)
{
    pyslab_api other = api_table;

    EXPECT_EQ(pyslab_set_api(NULL), PYSLAB_EINVAL);
    other.abi_major++;
    EXPECT_EQ(pyslab_set_api(&other), PYSLAB_EINVAL);
    other = api_table;
    other.struct_size--;
    EXPECT_EQ(pyslab_set_api(&other), PYSLAB_EINVAL);
    other = api_table;
    other.abi_minor++;
    other.struct_size += sizeof(void *);
    EXPECT_EQ(pyslab_set_api(&other), PYSLAB_OK); /* a later minor version */
    EXPECT_EQ(pyslab_physical_bytes() > 0, true);
}

static const struct test tests[] = {
    TEST(every_family),
    TEST(checked_regions_come_in),
    TEST(use_after_reset),
    TEST(tables_that_do_not_fit),
};

TEST_MAIN(tests)
