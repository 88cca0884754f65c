/* suite.cpp - every class of pyslab.hpp, used as a client uses it.
 *
 * What it is: functions without Python that tests/extensions/test_hpp.py calls by name, each in
 * a process of its own: 0, or the line of the first check that failed. Those of `misuse_` end
 * the process, and never return 0.
 * What it is not: tests of the calls below (tests/c/ has them).
 */
#define PYSLAB_NO_PYTHON
#include <pyslab.hpp>

#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

#define THROWS(type, the_code, statement)                                                          \
    do {                                                                                           \
        int code_ = PYSLAB_OK;                                                                     \
        try {                                                                                      \
            statement;                                                                             \
        } catch (const type &caught) {                                                             \
            code_ = caught.code();                                                                 \
            if (std::strlen(caught.what()) < 5)                                                    \
                return __LINE__;                                                                   \
        }                                                                                          \
        CHECK(code_ == (the_code));                                                                \
    } while (0)

#define EXPORT extern "C" __attribute__((visibility("default")))

extern "C" void *second_unit(pyslab_arena *arena);

namespace {

constexpr std::size_t MIB = 1 << 20;
volatile std::size_t too_much = SIZE_MAX; /* which the compiler may not see */

struct alignas(512) Wide {
    char bytes[512];
};

struct Counted {
    static int live;
    int value;
    explicit Counted(int of) : value(of) { live++; }
    Counted(const Counted &) = delete;
    Counted &operator=(const Counted &) = delete;
    ~Counted() { live--; }
};

int Counted::live = 0;

struct Refuses {
    Refuses() { throw 7; }
    char bytes[40];
};

pyslab_arena_stats stats_of(const pyslab::arena_ref &arena)
{
    pyslab_arena_stats stats;

    pyslab_arena_stats_read(arena.get(), &stats);
    return stats;
}

/* What callers hold: slab objects, large blocks, page blocks. */
std::uint64_t in_hands(const pyslab::arena_ref &arena)
{
    pyslab_arena_stats stats = stats_of(arena);

    return stats.live_objects + stats.large_count + stats.block_pages;
}

bool is_aligned(const void *p, std::size_t align)
{
    return reinterpret_cast<std::uintptr_t>(p) % align == 0;
}

template <class T>
using vector = std::vector<T, pyslab::allocator<T>>;

} // namespace

EXPORT int use_table(const void *table)
{
    return pyslab_set_api(table);
}

EXPORT int arena_refs()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(16 * MIB), none, other;

    CHECK(arena && !none && none.get() == nullptr);
    CHECK(pyslab_arena_size(arena.get()) == 16 * MIB);
    none.reset();
    other = arena;
    CHECK(other == arena && other != none);
    CHECK(pyslab_arena_destroy(arena.get()) == PYSLAB_EBUSY); /* two references */
    pyslab::arena_ref moved = std::move(other);
    other = std::move(moved);
    CHECK(other == arena && !moved); // NOLINT: what a move leaves is said
    other = *&other;
    CHECK(other == arena);
    pyslab_arena *raw = arena.get();
    other.reset();
    arena = pyslab::arena_ref(raw); /* of itself */
    CHECK(pyslab_kfree(raw, pyslab_kmalloc(raw, 10, PYSLAB_GFP_KERNEL)) == PYSLAB_OK);
    CHECK(pyslab::arena_ref::process_default().get() == pyslab_default_arena());
    THROWS(pyslab::error, PYSLAB_EINVAL, (void)pyslab::arena_ref::create(0));
    return 0;
}

EXPORT int allocators()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(64 * MIB);
    pyslab::arena_ref other = pyslab::arena_ref::create(16 * MIB);
    using ints = pyslab::allocator<int>;
    using traits = std::allocator_traits<ints>;

    static_assert(!traits::is_always_equal::value);
    static_assert(traits::propagate_on_container_move_assignment::value);
    static_assert(traits::propagate_on_container_swap::value);
    static_assert(!traits::propagate_on_container_copy_assignment::value);
    static_assert(std::is_nothrow_move_assignable_v<vector<int>>);
    {
        vector<int> a(ints{arena}), b(ints{other});

        for (int i = 0; i < 100000; i++)
            a.push_back(i);
        CHECK(in_hands(arena) == 1 && in_hands(other) == 0);
        b = a; /* each stays where it is */
        CHECK(in_hands(other) == 1 && b.get_allocator().arena() == other.get());
        vector<int> copy(a);
        CHECK(copy.get_allocator() == a.get_allocator() && copy[99999] == 99999);
        swap(a, b);
        CHECK(a.get_allocator().arena() == other.get() && a.size() == 100000);
        const int *data = b.data();
        a = std::move(b); /* takes its arena along, and moves no element */
        CHECK(a.data() == data && a.get_allocator().arena() == arena.get());
        CHECK(in_hands(other) == 0);
        CHECK(ints(arena) == pyslab::allocator<char>(arena) && ints(arena) != ints(other));

        vector<Wide> wide(3, Wide{}, pyslab::allocator<Wide>(arena));
        CHECK(is_aligned(wide.data(), 512));
        using pair = std::pair<const int, long>;
        std::unordered_map<int, long, std::hash<int>, std::equal_to<>, pyslab::allocator<pair>> map{
            pyslab::allocator<pair>(arena)};
        std::map<int, long, std::less<>, pyslab::allocator<pair>> tree{
            pyslab::allocator<pair>(arena)};
        std::list<char, pyslab::allocator<char>> list{pyslab::allocator<char>(arena)};
        std::basic_string<char, std::char_traits<char>, pyslab::allocator<char>> text(
            1000, 'x', pyslab::allocator<char>(arena));
        for (int i = 0; i < 1000; i++) {
            map[i] = tree[i] = i;
            list.push_back('c');
        }
        auto shared = std::allocate_shared<Counted>(pyslab::allocator<char>(arena), 3);
        std::weak_ptr<Counted> weak = shared;
        shared.reset();
        CHECK(weak.expired() && Counted::live == 0);
        CHECK(map.at(999) == 999 && tree.at(500) == 500 && list.size() == 1000);
        CHECK(in_hands(arena) > 3000);
    }
    CHECK(in_hands(arena) == 0 && in_hands(other) == 0);
    vector<int> implicit{1, 2, 3};
    CHECK(implicit.get_allocator().arena() == pyslab_default_arena());
    return 0;
}

EXPORT int allocators_refuse()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(16 * MIB), none;
    pyslab::allocator<Wide> wide(arena);
    bool overflow = false;

    for (std::size_t nr : {SIZE_MAX, SIZE_MAX / 512, SIZE_MAX / 512 + 2, SIZE_MAX / 1024 + 2}) {
        overflow = false;
        try {
            wide.deallocate(wide.allocate(nr), nr);
        } catch (const std::bad_array_new_length &) {
            overflow = true;
        }
        CHECK(overflow);
    }
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)wide.allocate(MIB));
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM,
           vector<int>(40 * MIB, 1, pyslab::allocator<int>(arena)));
    THROWS(pyslab::error, PYSLAB_EINVAL, (void)pyslab::allocator<int>(none));
    THROWS(pyslab::error, PYSLAB_EINVAL, (void)pyslab::arena_resource(none));
    THROWS(pyslab::error, PYSLAB_EINVAL, (void)pyslab::region_resource(nullptr));
    Wide *nothing = wide.allocate(0);
    wide.deallocate(nothing, 0);
    CHECK(in_hands(arena) == 0);
    return 0;
}

EXPORT int arena_resources()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(64 * MIB);
    pyslab::arena_ref other = pyslab::arena_ref::create(16 * MIB);
    pyslab_arena_options linux_classes{};
    pyslab::arena_resource a(arena), same(arena.get()), b(other), preset;

    CHECK(a == same && a != b && a != *std::pmr::new_delete_resource());
    CHECK(preset.arena().get() == pyslab_default_arena());
    a.deallocate(same.allocate(100), 100);
    linux_classes.struct_size = sizeof linux_classes;
    linux_classes.size_bytes = 16 * MIB;
    linux_classes.max_order = 10;
    linux_classes.kmalloc_classes = PYSLAB_CLASSES_LINUX;
    pyslab::arena_resource narrow(pyslab::arena_ref::create(linux_classes));
    for (std::pmr::memory_resource *from : {&a, &narrow})
        for (std::size_t align = 1; align <= 65536; align *= 2)
            for (std::size_t size : {0, 1, 7, 8, 9, 24, 100, 5000, 300000}) {
                void *p = from->allocate(size, align), *q = from->allocate(size, align);

                CHECK(p != nullptr && is_aligned(p, align) && (p != q || size == 0));
                std::memset(p, 1, size);
                from->deallocate(p, size, align);
                from->deallocate(q, size, align);
            }
    {
        std::pmr::vector<std::pmr::string> words(&a);

        for (int i = 0; i < 1000; i++)
            words.emplace_back("a word too long for a string to hold by itself");
        CHECK(words.back().get_allocator().resource() == &a && in_hands(arena) == 1001);
    }
    CHECK(in_hands(arena) == 0 && in_hands(narrow.arena()) == 0);
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)b.allocate(100 * MIB));
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)b.allocate(too_much, 64));
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)b.allocate(10, std::size_t{1} << 40));
    arena.reset(); /* the resource keeps it */
    a.deallocate(a.allocate(100), 100);
    return 0;
}

EXPORT int regions()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(64 * MIB), none;
    {
        pyslab::region region(arena, 10000);
        CHECK(region.stats().reserved_bytes >= 10000 && region.arena() == arena);
        char *first = static_cast<char *>(region.alloc(32));
        std::uint64_t mark = region.mark();
        CHECK(region.alloc(1) == first + 32 && is_aligned(region.alloc(10, 4096), 4096));
        CHECK(region.make<Counted>(5)->value == 5 && Counted::live == 1);
        CHECK(is_aligned(region.make<Wide>(), 512));
        for (int i = 0; i < 10; i++)
            (void)region.make<Counted>(i);
        CHECK(Counted::live == 11);
        region.rewind(mark);
        CHECK(Counted::live == 0 && region.alloc(1) == first + 32);
        {
            pyslab::region_scope outer(region);
            (void)region.make<Counted>(1);
            {
                pyslab::region_scope inner(region.get());
                (void)region.make<Counted>(2);
                CHECK(Counted::live == 2);
            }
            CHECK(Counted::live == 1);
            (void)region.make<Counted>(3);
            outer.rewind();
            CHECK(Counted::live == 0);
            (void)region.make<Counted>(4);
            pyslab::region_scope kept(region);
            (void)region.make<Counted>(5);
            kept.release();
        }
        CHECK(Counted::live == 0);
        {
            pyslab::region_scope late(region);
            region.reset(); /* quicker: the scope's end is no error */
            THROWS(pyslab::error, PYSLAB_EINVAL, late.rewind());
        }
        THROWS(pyslab::error, PYSLAB_EINVAL, region.rewind(mark));
        THROWS(pyslab::error, PYSLAB_EINVAL, region.rewind(0));
        THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)region.alloc(100 * MIB));
        THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)region.alloc(too_much));
        THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)region.alloc(8, 3));
        void *p = region.alloc(64);
        CHECK(pyslab_kfree(arena.get(), p) == PYSLAB_EPOINTER);
        (void)region.make<Counted>(6);
        pyslab::region moved(std::move(region));
        region = std::move(moved);
        CHECK(region.get() != nullptr && Counted::live == 1);
    }
    CHECK(Counted::live == 0 && in_hands(arena) == 0);
    THROWS(pyslab::error, PYSLAB_EINVAL, pyslab::region{none});
    pyslab::region last(arena.get());
    arena.reset(); /* the region keeps it */
    CHECK(last.alloc(100) != nullptr);
    return 0;
}

EXPORT int region_resources()
{
    pyslab::region region(pyslab::arena_ref::create(64 * MIB));
    pyslab::region_resource resource(region.get()), other(region.get());

    CHECK(resource == resource && resource != other && resource.get() == region.get());
    for (int round = 0; round < 3; round++) {
        pyslab::region_scope scope(region);
        std::pmr::unordered_map<std::pmr::string, int> counts(&resource);

        for (int i = 0; i < 10000; i++)
            counts[std::pmr::string("a key that is too long to be short: ") +
                   std::to_string(i).c_str()]++;
        CHECK(counts.size() == 10000);
        CHECK(counts.begin()->first.get_allocator().resource() == &resource);
    }
    for (std::size_t align = 1; align <= 65536; align *= 2)
        for (std::size_t size : {0, 1, 15, 16, 17, 70000})
            CHECK(is_aligned(resource.allocate(size, align), align <= 16 || size ? align : 16));
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)resource.allocate(100 * MIB));
    THROWS(pyslab::bad_alloc, PYSLAB_ENOMEM, (void)resource.allocate(too_much, 64));
    return 0;
}

EXPORT int caches()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(64 * MIB), none;
    {
        pyslab::cache<Counted> cache(arena, "counted");
        pyslab::cache<Counted>::unique_ptr late;
        CHECK(std::strcmp(pyslab_kmem_cache_name(cache.get()), "counted") == 0);
        Counted *p = cache.make(7);
        CHECK(p->value == 7 && Counted::live == 1);
        {
            auto q = cache.make_unique(8);
            CHECK(q->value == 8 && Counted::live == 2);
            late = std::move(q);
        }
        THROWS(pyslab::error, PYSLAB_EBUSY, cache.close());
        cache.destroy(p);
        cache.destroy(nullptr);
        THROWS(pyslab::error, PYSLAB_EPOINTER, cache.destroy(p)); /* twice */
        CHECK(Counted::live == 1);
        pyslab::cache<Counted> other(arena.get(), "other");
        THROWS(pyslab::error, PYSLAB_ECACHE, other.destroy(late.get()));
        Counted outside(0);
        THROWS(pyslab::error, PYSLAB_EPOINTER, cache.destroy(&outside));
        {
            pyslab::cache<Counted> moved(std::move(cache));
            cache = std::move(moved);
        }
        { /* an object that outlives the owner */
            pyslab::cache<Counted> gone(std::move(cache));
        }
        CHECK(late->value == 8);
    }
    CHECK(Counted::live == 0 && in_hands(arena) == 0);
    const char *long_name = "a name that is longer than thirty-one bytes";
    THROWS(pyslab::error, PYSLAB_EINVAL, (pyslab::cache<Wide>{arena, long_name}));
    pyslab::cache<Wide> wide(arena, "wide", PYSLAB_SLAB_HWCACHE_ALIGN);
    CHECK(is_aligned(wide.make_unique().get(), 512));
    pyslab::cache<char> bytes(arena, "byte");
    auto byte = bytes.make_unique('a'), next = bytes.make_unique('b');
    CHECK(*byte == 'a' && *next == 'b');
    byte.reset();
    next.reset();
    pyslab::cache<Refuses> refuses(arena, "refuses");
    int thrown = 0;
    try {
        (void)refuses.make();
    } catch (int what) {
        thrown = what;
    }
    CHECK(thrown == 7 && in_hands(arena) == 0);
    THROWS(pyslab::error, PYSLAB_EINVAL, (pyslab::cache<Wide>{none, "none"}));
    wide.close();
    wide.close();
    return 0;
}

EXPORT int threads()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(64 * MIB);
    {
        pyslab::arena_resource resource(arena);
        pyslab::cache<Counted> cache(arena, "counted");
        std::vector<std::thread> all;

        for (int t = 0; t < 4; t++)
            all.emplace_back([&resource, arena] {
                pyslab::region region(arena);
                pyslab::region_resource bump(region.get());
                std::pmr::vector<int> mine(&resource), lent(&bump);

                for (int i = 0; i < 20000; i++) {
                    mine.push_back(i);
                    lent.push_back(i);
                }
            });
        for (std::thread &thread : all)
            thread.join();
    }
    CHECK(in_hands(arena) == 0);
    char message[200];
    CHECK(pyslab_arena_validate(arena.get(), message, sizeof message) == PYSLAB_OK);
    return 0;
}

/* A unit that called no pyslab_set_api() has the table that this one set. */
EXPORT int second_units()
{
    pyslab::arena_ref arena = pyslab::arena_ref::create(16 * MIB);

    CHECK(pyslab_kfree(arena.get(), second_unit(arena.get())) == PYSLAB_OK);
    return 0;
}

/* --- misuse: each ends the process ---------------------------------------- */

EXPORT int misuse_deallocate_twice()
{
    pyslab::allocator<int> ints;
    int *p = ints.allocate(10);

    ints.deallocate(p, 10);
    ints.deallocate(p, 10);
    return 0;
}

EXPORT int misuse_deallocate_of_another_arena()
{
    pyslab::arena_resource a(pyslab::arena_ref::create(16 * MIB)), b;

    b.deallocate(a.allocate(100), 100);
    return 0;
}

EXPORT int misuse_deallocate_an_object_of_a_region()
{
    pyslab::region region(pyslab::arena_ref::create(16 * MIB));
    pyslab::allocator<char> chars(region.arena());

    chars.deallocate(static_cast<char *>(region.alloc(100)), 100);
    return 0;
}

EXPORT int misuse_two_owners_of_an_object()
{
    pyslab::cache<int> cache(pyslab::arena_ref::create(16 * MIB), "int");
    auto one = cache.make_unique(1);
    pyslab::cache<int>::unique_ptr two(one.get(), one.get_deleter());

    two.reset();
    return 0;
}
