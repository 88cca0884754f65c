/* pyslab.hpp - pyslab.h for C++17 and later: owners, allocators, memory resources.
 *
 * What it is: thin classes over the C calls, all in namespace pyslab:
 *
 *     arena_ref        a reference to an arena (pyslab_arena_get, pyslab_arena_put)
 *     allocator<T>     for std::vector<T, pyslab::allocator<T>> and the like
 *     arena_resource   a std::pmr::memory_resource: blocks of an arena
 *     region           a pyslab_region and its objects; region_scope, a mark and its rewind
 *     region_resource  a std::pmr::memory_resource of a region: it frees nothing by itself
 *     cache<T>         a kmem_cache of T: make, destroy, unique_ptr
 *
 * What it is not: a second interface. get() gives the C handle for all that has no method
 * here. Nothing here is Python's: PYSLAB_NO_PYTHON before the include works as for pyslab.h.
 *
 * Data structure: each class is a handle or two; the table of the C API is shared by all units
 * of a library (pyslab/client.h), so that one pyslab_import() serves them.
 * Invariant: an owner (arena_ref, region, cache, arena_resource) keeps its arena mapped. An
 * allocator and a region_resource do not, as std::pmr::polymorphic_allocator does not keep
 * its resource: they are copied with every node type of a container.
 * Lock: none. arena_ref, allocator, arena_resource and cache may be used by all threads at
 * once; a region, its scopes and its resource have one owner at a time.
 *
 * Errors are exceptions: pyslab::bad_alloc (a std::bad_alloc) where there is no memory, and
 * pyslab::error for the rest, both with the code of pyslab.h. Calls that may not throw
 * (deallocate, destructors, deleters) end the process with a message for what only misuse
 * brings about: a wrong or freed pointer. It needs exceptions and RTTI: it does not compile with
 * -fno-exceptions or -fno-rtti.
 */
#ifndef PYSLAB_HPP
#define PYSLAB_HPP

#if __cplusplus < 201703L
#error "pyslab.hpp needs C++17"
#endif

#include "pyslab.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace pyslab {

/* --- errors ------------------------------------------------------------- */

/* There is no memory. what() is pyslab_strerror's sentence. */
class bad_alloc : public std::bad_alloc {
public:
    const char *what() const noexcept override { return pyslab_strerror(PYSLAB_ENOMEM); }
    int code() const noexcept { return PYSLAB_ENOMEM; }
};

/* Any other enum pyslab_error. what() is "<call>: <sentence>". */
class error : public std::runtime_error {
public:
    /* call: a string literal; only its address is kept. */
    error(int code, const char *call)
        : std::runtime_error(std::string(call) + ": " + pyslab_strerror(code)),
          code_(code),
          call_(call)
    {
    }
    int code() const noexcept { return code_; }
    const char *call() const noexcept { return call_; }

private:
    int code_;
    const char *call_;
};

/* Throws what belongs to a code of pyslab.h; PYSLAB_OK throws nothing. */
inline void check(int code, const char *call)
{
    if (code == PYSLAB_ENOMEM)
        throw bad_alloc();
    if (code != PYSLAB_OK)
        throw error(code, call);
}

namespace detail {

/* For functions that may not throw: an error, which only misuse can bring about, ends the process
 * with a message, as free() does. */
inline void must(int code, const char *call) noexcept
{
    if (__builtin_expect(code != PYSLAB_OK, 0)) {
        std::fprintf(stderr, "pyslab: %s: %s\n", call, pyslab_strerror(code));
        std::abort();
    }
}

inline void *memory(void *p)
{
    if (__builtin_expect(p == nullptr, 0))
        throw bad_alloc();
    return p;
}

/* kmalloc aligns to 16; with the linux size classes objects of 8 bytes are aligned to 8. */
inline void *allocate(pyslab_arena *arena, std::size_t size, std::size_t align)
{
    if (align <= 16 && size >= align)
        return memory(pyslab_kmalloc(arena, size, PYSLAB_GFP_KERNEL));
    return memory(pyslab_kmalloc_aligned(arena, size < 1 ? 1 : size, align, PYSLAB_GFP_KERNEL));
}

inline pyslab_arena *default_arena()
{
    return static_cast<pyslab_arena *>(memory(pyslab_default_arena()));
}

/* A handle that may not be NULL. */
template <class Handle>
Handle *given(Handle *handle, const char *whose)
{
    if (handle == nullptr)
        throw error(PYSLAB_EINVAL, whose);
    return handle;
}

inline std::uint64_t mark(pyslab_region *region)
{
    std::uint64_t mark = pyslab_region_mark(region);

    return mark != 0 ? mark : throw bad_alloc();
}

} // namespace detail

/* --- arenas ------------------------------------------------------------- */

/* A reference to an arena, or to none. Copies take another one each; the last reference of
 * all unmaps the arena, but for the default one. */
class arena_ref {
public:
    arena_ref() noexcept = default;
    /* One more reference to an arena that somebody else has: pyslab_arena_from_object(),
     * pyslab_default_arena(). NULL is none. */
    explicit arena_ref(pyslab_arena *arena) noexcept : arena_(arena)
    {
        if (arena_ != nullptr)
            pyslab_arena_get(arena_);
    }
    /* Takes over the caller's own reference, as pyslab_arena_create() gives one. */
    static arena_ref adopt(pyslab_arena *arena) noexcept
    {
        arena_ref mine;

        mine.arena_ = arena;
        return mine;
    }
    /* A new arena: of these options, or of so many bytes and the defaults of pyslab.h.
     * Throws error: EINVAL, ELIMIT, EOS. */
    static arena_ref create(const pyslab_arena_options &options)
    {
        pyslab_arena *arena = nullptr;

        check(pyslab_arena_create(&options, &arena), "pyslab_arena_create");
        return adopt(arena);
    }
    static arena_ref create(std::uint64_t size_bytes)
    {
        pyslab_arena_options options{};

        options.struct_size = sizeof options;
        options.size_bytes = size_bytes;
        options.max_order = PYSLAB_DEFAULT_ORDER;
        return create(options);
    }
    static arena_ref process_default() { return arena_ref(detail::default_arena()); }

    arena_ref(const arena_ref &other) noexcept : arena_ref(other.arena_) {}
    arena_ref(arena_ref &&other) noexcept : arena_(std::exchange(other.arena_, nullptr)) {}
    arena_ref &operator=(arena_ref other) noexcept
    {
        std::swap(arena_, other.arena_);
        return *this;
    }
    ~arena_ref() { reset(); }

    /* Ends the reference; it is one to no arena then. */
    void reset() noexcept
    {
        pyslab_arena *arena = std::exchange(arena_, nullptr);

        if (arena != nullptr)
            detail::must(pyslab_arena_put(arena), "pyslab_arena_put");
    }
    pyslab_arena *get() const noexcept { return arena_; }
    explicit operator bool() const noexcept { return arena_ != nullptr; }
    friend bool operator==(const arena_ref &a, const arena_ref &b) noexcept
    {
        return a.arena_ == b.arena_;
    }
    friend bool operator!=(const arena_ref &a, const arena_ref &b) noexcept
    {
        return a.arena_ != b.arena_;
    }

private:
    pyslab_arena *arena_ = nullptr;
};

/* --- the allocator of containers ---------------------------------------- */

/* Memory of an arena, which somebody else keeps: an arena_ref beside the container and, in a
 * class, declared before it. Without an arena it is the default one.
 *
 * A copied container lives in the same arena. Move assignment and swap take the arena along,
 * so that they move no element and cannot throw; copy assignment leaves each where it is. */
template <class T>
class allocator {
public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    allocator() : arena_(detail::default_arena()) {}
    /* Throws error (EINVAL) without an arena. */
    explicit allocator(pyslab_arena *arena) : arena_(detail::given(arena, "pyslab::allocator")) {}
    explicit allocator(const arena_ref &arena) : allocator(arena.get()) {}
    template <class U>
    allocator(const allocator<U> &other) noexcept : arena_(other.arena())
    {
    }

    /* Aligned for T, whatever that asks for. bad_array_new_length, bad_alloc. */
    [[nodiscard]] T *allocate(std::size_t nr)
    {
        if (nr > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T))
            throw std::bad_array_new_length();
        return static_cast<T *>(detail::allocate(arena_, nr * sizeof(T), alignof(T)));
    }
    void deallocate(T *p, std::size_t) noexcept
    {
        detail::must(pyslab_kfree(arena_, p), "pyslab::allocator::deallocate");
    }
    pyslab_arena *arena() const noexcept { return arena_; }

private:
    pyslab_arena *arena_;
};

template <class T, class U>
bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.arena() == b.arena();
}

template <class T, class U>
bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.arena() != b.arena();
}

/* --- memory resources --------------------------------------------------- */

/* Blocks of an arena, which it keeps. Two of one arena are equal: either frees what the other
 * gave. */
class arena_resource : public std::pmr::memory_resource {
public:
    /* Throws error (EINVAL) without an arena. */
    explicit arena_resource(arena_ref arena = arena_ref::process_default())
        : arena_(std::move(arena))
    {
        (void)detail::given(arena_.get(), "pyslab::arena_resource");
    }
    explicit arena_resource(pyslab_arena *arena) : arena_resource(arena_ref(arena)) {}
    arena_resource(const arena_resource &) = delete;
    arena_resource &operator=(const arena_resource &) = delete;

    const arena_ref &arena() const noexcept { return arena_; }

private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        return detail::allocate(arena_.get(), bytes, align);
    }
    void do_deallocate(void *p, std::size_t, std::size_t) override
    {
        detail::must(pyslab_kfree(arena_.get(), p), "pyslab::arena_resource::deallocate");
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *same = dynamic_cast<const arena_resource *>(&other);

        return same != nullptr && same->arena_ == arena_;
    }

    arena_ref arena_;
};

/* Allocation moves the region's pointer; deallocate does nothing. The memory goes with the region's
 * rewind, reset or end, which is the caller's, and so must be what lies in it. It refers to
 * the region, be it one of C++, C or Python. */
class region_resource final : public std::pmr::memory_resource {
public:
    /* Throws error (EINVAL) without a region. */
    explicit region_resource(pyslab_region *region)
        : region_(detail::given(region, "pyslab::region_resource"))
    {
    }
    region_resource(const region_resource &) = delete;
    region_resource &operator=(const region_resource &) = delete;

    pyslab_region *get() const noexcept { return region_; }

private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        if (align <= PYSLAB_REGION_ALIGN)
            return detail::memory(pyslab_region_alloc(region_, bytes));
        return detail::memory(pyslab_region_alloc_aligned(region_, bytes < 1 ? 1 : bytes, align));
    }
    void do_deallocate(void *, std::size_t, std::size_t) noexcept override {}
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }

    pyslab_region *region_;
};

/* --- regions ------------------------------------------------------------ */

/* A region and a reference to its arena. A moved-from one may only be assigned to or destroyed.
 * Child regions are a matter of C (pyslab_region_create_child): they end with their parent,
 * whoever has a handle. */
class region {
public:
    /* size_hint bytes are had at once; 0: with the first object. Throws bad_alloc, error. */
    explicit region(arena_ref arena, std::size_t size_hint = 0) : arena_(std::move(arena))
    {
        check(arena_ ? pyslab_region_create(arena_.get(), size_hint, &region_) : PYSLAB_EINVAL,
              "pyslab_region_create");
    }
    explicit region(pyslab_arena *arena, std::size_t size_hint = 0)
        : region(arena_ref(arena), size_hint)
    {
    }
    region(region &&other) noexcept
        : arena_(std::move(other.arena_)), region_(std::exchange(other.region_, nullptr))
    {
    }
    region &operator=(region other) noexcept
    {
        std::swap(arena_, other.arena_);
        std::swap(region_, other.region_);
        return *this;
    }
    ~region() { detail::must(pyslab_region_destroy(region_), "pyslab_region_destroy"); }

    /* bytes aligned to 16, or to a power of two up to the largest block. Throws bad_alloc. */
    [[nodiscard]] void *alloc(std::size_t size)
    {
        return detail::memory(pyslab_region_alloc(region_, size));
    }
    [[nodiscard]] void *alloc(std::size_t size, std::size_t align)
    {
        return detail::memory(pyslab_region_alloc_aligned(region_, size, align));
    }
    /* A T in the region, whose destructor, if it has one to run, runs when the region goes back
     * behind it: what was made last ends first. Destructors may not throw. */
    template <class T, class... Args>
    T *make(Args &&...args)
    {
        static_assert(std::is_nothrow_destructible_v<T>);
        T *p;

        p = static_cast<T *>(alignof(T) <= PYSLAB_REGION_ALIGN ? alloc(sizeof(T))
                                                               : alloc(sizeof(T), alignof(T)));
        ::new (static_cast<void *>(p)) T(std::forward<Args>(args)...);
        if constexpr (!std::is_trivially_destructible_v<T>) {
            int code = pyslab_region_on_exit(
                region_, [](void *object) { static_cast<T *>(object)->~T(); }, p);

            if (code != PYSLAB_OK)
                p->~T();
            check(code, "pyslab_region_on_exit");
        }
        return p;
    }
    /* Where the region is. Throws bad_alloc, also in the middle of a call on the region. */
    std::uint64_t mark() { return detail::mark(region_); }
    /* Gives back what came after the mark. Throws error: EINVAL, it is no mark of this region or
     * lies behind where that was rewound to; EBUSY, in the middle of a call on the region. */
    void rewind(std::uint64_t mark)
    {
        check(pyslab_region_rewind(region_, mark), "pyslab_region_rewind");
    }
    void reset() { check(pyslab_region_reset(region_), "pyslab_region_reset"); }
    pyslab_region_stats stats() const
    {
        pyslab_region_stats stats;

        pyslab_region_stats_read(region_, &stats);
        return stats;
    }
    pyslab_region *get() const noexcept { return region_; }
    const arena_ref &arena() const noexcept { return arena_; }

private:
    arena_ref arena_;
    pyslab_region *region_ = nullptr;
};

/* What a region hands out while it lives goes back with it. Scopes nest. Not for the handle of a
 * pyslab.Region: rewinding is that object's. */
class region_scope {
public:
    /* Throws bad_alloc, as region::mark() does. */
    explicit region_scope(pyslab_region *region) : region_(region), mark_(detail::mark(region)) {}
    explicit region_scope(const region &region) : region_scope(region.get()) {}
    region_scope(const region_scope &) = delete;
    region_scope &operator=(const region_scope &) = delete;
    /* That the mark is gone is no error: a rewind to an outer mark, or a reset, came first. */
    ~region_scope()
    {
        int code = region_ != nullptr ? pyslab_region_rewind(region_, mark_) : PYSLAB_OK;

        detail::must(code == PYSLAB_EINVAL ? PYSLAB_OK : code, "pyslab::region_scope");
    }
    /* Gives back now what came since. Throws error (EINVAL): the mark is gone. */
    void rewind() { check(pyslab_region_rewind(region_, mark_), "pyslab_region_rewind"); }
    /* From now on the destructor does nothing: what was allocated stays. */
    void release() noexcept { region_ = nullptr; }

private:
    pyslab_region *region_;
    std::uint64_t mark_;
};

/* --- caches ------------------------------------------------------------- */

/* A kmem_cache of objects of type T, and a reference to its arena. Objects are constructed by
 * make and destructed by destroy (pyslab_ctor is for other uses). While any are live the cache
 * outlives its owner: its destructor then leaves it to the arena, and their unique_ptrs stay
 * good as long as the arena is. close() tells. */
template <class T>
class cache {
    static_assert(alignof(T) <= 4096, "a kmem_cache aligns to a page at most");
    static_assert(sizeof(T) <= 256 * 1024, "objects of a kmem_cache have at most 256 KiB");
    static_assert(std::is_nothrow_destructible_v<T>);

public:
    struct deleter {
        pyslab_kmem_cache *cache = nullptr;
        void operator()(T *p) const noexcept
        {
            p->~T();
            detail::must(pyslab_kmem_cache_free(cache, p), "pyslab::cache::deleter");
        }
    };
    using unique_ptr = std::unique_ptr<T, deleter>;

    /* name, as slabinfo shows it: 1 to 31 bytes. Throws bad_alloc; error: EINVAL, ELIMIT. */
    cache(arena_ref arena, const char *name, std::uint32_t flags = 0) : arena_(std::move(arena))
    {
        pyslab_cache_options options{};

        options.struct_size = sizeof options;
        options.flags = flags;
        options.align = alignof(T);
        check(arena_ ? pyslab_kmem_cache_create(arena_.get(), name, sizeof(T), &options, &cache_)
                     : PYSLAB_EINVAL,
              "pyslab_kmem_cache_create");
    }
    cache(pyslab_arena *arena, const char *name, std::uint32_t flags = 0)
        : cache(arena_ref(arena), name, flags)
    {
    }
    cache(cache &&other) noexcept
        : arena_(std::move(other.arena_)), cache_(std::exchange(other.cache_, nullptr))
    {
    }
    cache &operator=(cache other) noexcept
    {
        std::swap(arena_, other.arena_);
        std::swap(cache_, other.cache_);
        return *this;
    }
    ~cache()
    {
        int code = cache_ != nullptr ? pyslab_kmem_cache_destroy(cache_) : PYSLAB_OK;

        detail::must(code == PYSLAB_EBUSY ? PYSLAB_OK : code, "pyslab_kmem_cache_destroy");
    }

    /* A new T. Throws bad_alloc and what T's constructor throws. */
    template <class... Args>
    [[nodiscard]] T *make(Args &&...args)
    {
        void *p = detail::memory(pyslab_kmem_cache_alloc(cache_, PYSLAB_GFP_KERNEL));

        try {
            return ::new (p) T(std::forward<Args>(args)...);
        } catch (...) {
            detail::must(pyslab_kmem_cache_free(cache_, p), "pyslab::cache::make");
            throw;
        }
    }
    template <class... Args>
    [[nodiscard]] unique_ptr make_unique(Args &&...args)
    {
        return unique_ptr(make(std::forward<Args>(args)...), deleter{cache_});
    }
    /* The end of one. NULL is a no-op. Throws error, with nothing done, if it is not a live
     * object of this cache: EPOINTER, or ECACHE. */
    void destroy(T *p)
    {
        pyslab_kmem_cache *owner = p != nullptr ? pyslab_kmem_cache_of(arena_.get(), p) : cache_;

        if (owner != cache_)
            throw error(owner == nullptr ? PYSLAB_EPOINTER : PYSLAB_ECACHE,
                        "pyslab::cache::destroy");
        if (p != nullptr)
            deleter{cache_}(p);
    }
    /* Ends the cache. Throws error (EBUSY), with nothing changed, while objects are live. */
    void close()
    {
        if (cache_ != nullptr)
            check(pyslab_kmem_cache_destroy(cache_), "pyslab_kmem_cache_destroy");
        cache_ = nullptr;
    }
    pyslab_kmem_cache *get() const noexcept { return cache_; }
    const arena_ref &arena() const noexcept { return arena_; }

private:
    arena_ref arena_;
    pyslab_kmem_cache *cache_ = nullptr;
};

} // namespace pyslab

#endif
