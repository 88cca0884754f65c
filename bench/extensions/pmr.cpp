/* pmr.cpp - containers of std::pmr, built and torn down on each kind of memory resource.
 *
 * What it is: a library for pmr.py: measure(scenario, contender, n) gives the nanoseconds of one
 * round, in which n elements are put into a container and the container is destroyed, with
 * whatever the resource does before the next round can begin. It is a client of pyslab.hpp,
 * compiled as any is.
 * What it is not: a measurement of look-ups, or of containers that live long.
 *
 * Data structure: resources that a program would keep from round to round (the arena, a region,
 * a pool, a buffer) are made once; what it would make each time is made in the round.
 * Lock: none; one thread.
 */
#define PYSLAB_NO_PYTHON
#include <pyslab.hpp>

#include <chrono>
#include <cstring>
#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr std::size_t MIB = std::size_t{1} << 20;

/* Keeps the compiler from leaving work out. */
template <class T>
void use(T &value)
{
    __asm__ volatile("" : : "g"(&value) : "memory");
}

std::uint64_t scattered(std::size_t i)
{
    return i * 0x9e3779b97f4a7c15u;
}

/* --- scenarios: built here, torn down by leaving ----------------------------- */

void vectors(std::pmr::memory_resource *from, std::size_t n)
{
    std::pmr::vector<std::uint64_t> container(from);

    for (std::size_t i = 0; i < n; i++)
        container.push_back(i);
    use(container);
}

void lists(std::pmr::memory_resource *from, std::size_t n)
{
    std::pmr::list<std::uint64_t> container(from);

    for (std::size_t i = 0; i < n; i++)
        container.push_back(i);
    use(container);
}

void maps(std::pmr::memory_resource *from, std::size_t n)
{
    std::pmr::map<std::uint64_t, std::uint64_t> container(from);

    for (std::size_t i = 0; i < n; i++)
        container.emplace(scattered(i), i);
    use(container);
}

void unordered_maps(std::pmr::memory_resource *from, std::size_t n)
{
    std::pmr::unordered_map<std::uint64_t, std::uint64_t> container(from);

    for (std::size_t i = 0; i < n; i++)
        container.emplace(scattered(i), i);
    use(container);
}

void strings(std::pmr::memory_resource *from, std::size_t n)
{
    std::pmr::vector<std::pmr::string> container(from);

    for (std::size_t i = 0; i < n; i++)
        container.emplace_back(20 + scattered(i) % 80, 'x');
    use(container);
}

using scenario_function = void (*)(std::pmr::memory_resource *from, std::size_t n);

const struct {
    const char *name;
    scenario_function run;
} scenarios[] = {
    {"vector", vectors},  {"list", lists}, {"map", maps}, {"unordered_map", unordered_maps},
    {"strings", strings},
};

/* --- contenders: a resource for a round, and what follows it ------------------- */

pyslab::arena_ref the_arena()
{
    static pyslab::arena_ref arena = pyslab::arena_ref::create(1024 * MIB);

    return arena;
}

void with_default(scenario_function run, std::size_t n)
{
    run(std::pmr::new_delete_resource(), n);
}

void with_monotonic(scenario_function run, std::size_t n)
{
    std::pmr::monotonic_buffer_resource monotonic;

    run(&monotonic, n);
}

/* The same on a buffer that is kept and has been touched: its best case. */
void with_monotonic_kept(scenario_function run, std::size_t n)
{
    constexpr std::size_t bytes = 64 * MIB;
    static char *buffer = static_cast<char *>(std::memset(std::malloc(bytes), 1, bytes));
    std::pmr::monotonic_buffer_resource monotonic(buffer, bytes);

    run(&monotonic, n);
}

void with_pool(scenario_function run, std::size_t n)
{
    static std::pmr::unsynchronized_pool_resource pool;

    run(&pool, n);
}

void with_arena(scenario_function run, std::size_t n)
{
    static pyslab::arena_resource resource(the_arena());

    run(&resource, n);
}

void with_region(scenario_function run, std::size_t n)
{
    pyslab::region region(the_arena());
    pyslab::region_resource resource(region.get());

    run(&resource, n);
}

void with_region_kept(scenario_function run, std::size_t n)
{
    static pyslab::region region(the_arena());
    static pyslab::region_resource resource(region.get());

    run(&resource, n);
    region.reset();
}

const struct {
    const char *name;
    void (*run)(scenario_function run, std::size_t n);
} contenders[] = {
    {"default", with_default},
    {"monotonic", with_monotonic},
    {"monotonic, kept buffer", with_monotonic_kept},
    {"unsynchronized_pool", with_pool},
    {"pyslab arena_resource", with_arena},
    {"pyslab region_resource", with_region},
    {"pyslab region_resource, reset", with_region_kept},
};

} // namespace

EXPORT int use_table(const void *table)
{
    return pyslab_set_api(table);
}

/* The names by index, NULL past the end. */
EXPORT const char *scenario_name(std::size_t i)
{
    return i < std::size(scenarios) ? scenarios[i].name : nullptr;
}

EXPORT const char *contender_name(std::size_t i)
{
    return i < std::size(contenders) ? contenders[i].name : nullptr;
}

/* Nanoseconds; negative: an exception. */
EXPORT double measure(std::size_t scenario, std::size_t contender, std::size_t n)
{
    try {
        auto begin = std::chrono::steady_clock::now();

        contenders[contender].run(scenarios[scenario].run, n);
        return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin)
            .count();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", contenders[contender].name, error.what());
        return -1;
    }
}
