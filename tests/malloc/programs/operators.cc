/* operators.cc - C++'s operators new and delete in all their forms, their handler and their
 * exceptions. Prints ok. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

static unsigned nr_calls;
static void *kept;

/* Lets go of what was kept for it, then gives up. */
static void handler()
{
    nr_calls++;
    if (nr_calls == 3)
        std::set_new_handler(nullptr);
    std::free(kept);
    kept = nullptr;
}

static volatile std::size_t huge = PTRDIFF_MAX;

template <class Call>
static bool throws(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

struct alignas(256) Wide {
    char bytes[300];
};

static bool aligned(const void *p, std::size_t align)
{
    return reinterpret_cast<std::uintptr_t>(p) % align == 0;
}

static void forms()
{
    for (std::size_t size = 0; size < 5000; size += 37) {
        void *p = ::operator new(size), *q = ::operator new[](size);
        void *r = ::operator new(size, std::nothrow), *s = ::operator new[](size, std::nothrow);

        REQUIRE(p && q && r && s && aligned(p, 16) && aligned(q, 16));
        std::memset(p, 1, size);
        ::operator delete(p);
        ::operator delete[](q);
        ::operator delete(r, std::nothrow);
        ::operator delete[](s, std::nothrow);
        p = ::operator new(size);
        q = ::operator new[](size);
        ::operator delete(p, size);
        ::operator delete[](q, size);
    }
    for (std::size_t align = 1; align <= 8192; align *= 2) {
        auto al = std::align_val_t(align);
        void *p = ::operator new(100, al), *q = ::operator new[](100, al);
        void *r = ::operator new(100, al, std::nothrow);
        void *s = ::operator new[](100, al, std::nothrow);

        REQUIRE(aligned(p, align) && aligned(q, align) && aligned(r, align) && aligned(s, align));
        ::operator delete(p, al);
        ::operator delete[](q, 100, al);
        ::operator delete(r, al, std::nothrow);
        ::operator delete[](s, al, std::nothrow);
        p = ::operator new(100, al);
        ::operator delete(p, 100, al);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, std::size_t(9));
    delete new Wide;
    delete[] new Wide[7];
}

static void failures()
{
    REQUIRE(throws([] { ::operator new(huge); }));
    REQUIRE(throws([] { ::operator new[](huge); }));
    REQUIRE(throws([] { ::operator new(huge, std::align_val_t(64)); }));
    REQUIRE(throws([] { new int[huge / 2]; })); /* std::bad_array_new_length */
    REQUIRE(::operator new(huge, std::nothrow) == nullptr);
    REQUIRE(::operator new[](huge, std::align_val_t(64), std::nothrow) == nullptr);
    kept = std::malloc(100);
    std::set_new_handler(handler);
    REQUIRE(throws([] { ::operator new(huge); }));
    REQUIRE(nr_calls == 3);
    nr_calls = 0;
    std::set_new_handler(handler);
    REQUIRE(::operator new(huge, std::nothrow) == nullptr);
    REQUIRE(nr_calls == 3);
    std::set_new_handler([] { throw std::bad_alloc(); });
    REQUIRE(throws([] { ::operator new(huge); }));
    REQUIRE(::operator new(huge, std::nothrow) == nullptr);
    std::set_new_handler(nullptr);
}

static void containers()
{
    std::map<std::string, std::vector<std::unique_ptr<std::string>>> map;
    std::vector<std::thread> threads;

    for (int i = 0; i < 20000; i++)
        map[std::to_string(i % 700)].push_back(
            std::make_unique<std::string>(std::size_t(i % 90), 'x'));
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&map, t] {
            for (int i = t; i < 700; i += 4)
                map[std::to_string(i)].clear();
        });
    for (auto &thread : threads)
        thread.join();
    REQUIRE(map.size() == 700);
}

int main()
{
    forms();
    failures();
    containers();
    std::puts("ok");
}
