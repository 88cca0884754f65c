// linked.cpp - the classes of pyslab.hpp in a program without Python.
#include <cstdio>
#include <vector>

#include <pyslab.hpp>

int main()
{
    if (pyslab_import() != PYSLAB_OK)
        return 1;
    pyslab_arena *arena = pyslab_default_arena();
    std::vector<int, pyslab::allocator<int>> numbers{pyslab::allocator<int>(arena)};
    for (int i = 0; i < 100000; i++)
        numbers.push_back(i);
    std::puts(numbers.back() == 99999 && pyslab_arena_used(arena) >= 400000 ? "alive" : "lost");
}
