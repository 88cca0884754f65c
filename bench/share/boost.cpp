/* boost.cpp - shared memory of Boost.Interprocess beside a shared arena of pyslab: how long a block
 * takes, and whether the others go on when a process is killed.
 *
 * With Boost all processes allocate from one segment, under one lock. With pyslab each has a heap
 * of its own; what they have in common is the table of who holds a block. So the victims do what
 * processes do to each other there: with Boost they allocate and deallocate; with pyslab they open
 * a block of the survivor's and close it. The survivor allocates, exports and frees meanwhile.
 * What it is not: a comparison of the libraries' other containers. */
#define PYSLAB_NO_PYTHON
#include <pyslab.h>

#include <boost/interprocess/managed_shared_memory.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

namespace ipc = boost::interprocess;

constexpr unsigned hang_seconds = 2;
constexpr std::size_t segment_bytes = 16u << 20;

/* What both contenders do. */
struct Contender {
    virtual ~Contender() = default;
    virtual void survivor_turn() = 0;
    virtual void victim_turn() = 0;
    virtual void victim_starts() {}
};

class Segment : public Contender {
public:
    Segment() : name_("pyslab-bench-" + std::to_string(getpid()))
    {
        ipc::shared_memory_object::remove(name_.c_str());
        memory_ = new ipc::managed_shared_memory(ipc::create_only, name_.c_str(), segment_bytes);
        ipc::shared_memory_object::remove(name_.c_str()); /* goes with the last mapping */
    }
    ~Segment() override { delete memory_; }
    Segment(const Segment &) = delete;
    Segment &operator=(const Segment &) = delete;

    void survivor_turn() override { memory_->deallocate(memory_->allocate(64)); }
    void victim_turn() override { survivor_turn(); }

private:
    std::string name_;
    ipc::managed_shared_memory *memory_;
};

class Arena : public Contender {
public:
    Arena()
    {
        pyslab_arena_options options = {};

        options.struct_size = sizeof options;
        options.max_order = PYSLAB_DEFAULT_ORDER;
        options.size_bytes = segment_bytes;
        options.shared = PYSLAB_SHARE_READ;
        if (pyslab_arena_create(&options, &arena_) != PYSLAB_OK ||
            pyslab_share_descriptors(arena_, &heap_fd_, &table_fd_) != PYSLAB_OK)
            throw std::bad_alloc();
        void *pinned = pyslab_kmalloc(arena_, 65536, PYSLAB_GFP_KERNEL);
        if (pyslab_share_export(arena_, pinned, PYSLAB_USES_PINNED, &pin_) != PYSLAB_OK)
            throw std::bad_alloc();
    }
    ~Arena() override
    {
        close(heap_fd_);
        close(table_fd_);
        pyslab_arena_destroy(arena_);
    }
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;

    void pair() { pyslab_kfree(arena_, pyslab_kmalloc(arena_, 64, PYSLAB_GFP_KERNEL)); }
    void survivor_turn() override
    {
        void *p = pyslab_kmalloc(arena_, 65536, PYSLAB_GFP_KERNEL);
        pyslab_handle handle;

        pair();
        if (pyslab_share_export(arena_, p, 1, &handle) == PYSLAB_OK)
            pyslab_share_revoke(&handle);
        pyslab_kfree(arena_, p);
        pyslab_share_reap(arena_);
    }
    void victim_starts() override
    {
        pyslab_heap *heap;

        if (pyslab_share_attach(heap_fd_, table_fd_, 0, &heap) != PYSLAB_OK)
            _exit(1);
    }
    void victim_turn() override
    {
        pyslab_shared_block block;

        if (pyslab_share_open(&pin_, &block) != PYSLAB_OK)
            _exit(1);
        pyslab_share_close(&block);
    }

private:
    pyslab_arena *arena_ = nullptr;
    int heap_fd_ = -1, table_fd_ = -1;
    pyslab_handle pin_ = {};
};

double seconds_since(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/* Kills one victim after the other, at random moments, and takes a turn after each. */
void survive(Contender &contender, unsigned nr_kills, volatile unsigned *nr_survived)
{
    for (unsigned i = 0; i < nr_kills; i++) {
        pid_t victim = fork();

        if (victim == 0) {
            contender.victim_starts();
            for (;;)
                contender.victim_turn();
        }
        usleep(1000 + static_cast<unsigned>(std::rand()) % 2000);
        kill(victim, SIGKILL);
        waitpid(victim, nullptr, 0);
        alarm(hang_seconds); /* ends this process if it waits for ever */
        contender.survivor_turn();
        alarm(0);
        *nr_survived = i + 1;
    }
}

template <typename Kind>
unsigned kills_survived(unsigned nr_kills)
{
    void *p = mmap(nullptr, sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    auto *nr_survived = static_cast<volatile unsigned *>(p);
    pid_t survivor = fork();

    if (survivor == 0) {
        Kind contender;

        survive(contender, nr_kills, nr_survived);
        _exit(0);
    }
    waitpid(survivor, nullptr, 0);
    unsigned nr = *nr_survived;
    munmap(p, sizeof(unsigned));
    return nr;
}

template <typename Turn>
double nanoseconds(unsigned nr, Turn turn)
{
    auto start = std::chrono::steady_clock::now();

    for (unsigned i = 0; i < nr; i++)
        turn();
    return seconds_since(start) * 1e9 / nr;
}

} // namespace

EXPORT int use_table(const void *table)
{
    return pyslab_set_api(table);
}

/* Nanoseconds to allocate and deallocate 64 bytes. */
EXPORT double boost_pair(unsigned nr)
{
    static Segment segment;

    return nanoseconds(nr, [] { segment.survivor_turn(); });
}

EXPORT double pyslab_pair(unsigned nr)
{
    static Arena arena;

    return nanoseconds(nr, [] { arena.pair(); });
}

/* After how many kills the survivor still went on; less than nr_kills: then it hung. */
EXPORT unsigned boost_survives(unsigned nr_kills)
{
    return kills_survived<Segment>(nr_kills);
}

EXPORT unsigned pyslab_survives(unsigned nr_kills)
{
    return kills_survived<Arena>(nr_kills);
}
