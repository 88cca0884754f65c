// camera.cpp - a producer: frames of 1 MiB in a shared heap of its own, a handle for each on the
// standard output. A byte on the standard input asks for the next one; the end of it ends the
// program. What the viewer still holds is kept for it, so the frames of the last rounds are reused
// only when nobody has them.
#include <pyslab.h>

#include <cstdio>
#include <cstring>

namespace {
constexpr size_t frame_bytes = size_t{1} << 20;

// Fills a frame as a camera would: every byte is the frame's number.
bool send_frame(pyslab_arena *heap, unsigned number)
{
    pyslab_handle handle;
    void *frame = pyslab_kmalloc(heap, frame_bytes, PYSLAB_GFP_KERNEL);

    if (frame == nullptr)
        return false;
    std::memset(frame, static_cast<int>(number % 256), frame_bytes);
    const bool sent = pyslab_share_export(heap, frame, 1, &handle) == PYSLAB_OK &&
                      std::fwrite(&handle, sizeof handle, 1, stdout) == 1 &&
                      std::fflush(stdout) == 0;
    // Freed here already: it stays until the viewer has let go of it.
    return pyslab_kfree(heap, frame) == PYSLAB_OK && sent;
}
} // namespace

int main()
{
    pyslab_arena_options options = {};
    pyslab_arena *heap = nullptr;
    bool works = pyslab_import() == 0;

    options.struct_size = sizeof options;
    options.size_bytes = size_t{64} << 20;
    options.max_order = PYSLAB_DEFAULT_ORDER;
    options.shared = PYSLAB_SHARE_READ;
    works = works && pyslab_arena_create(&options, &heap) == PYSLAB_OK;
    for (unsigned number = 0; works && std::getchar() != EOF; number++)
        works = send_frame(heap, number);
    if (heap != nullptr)
        pyslab_arena_destroy(heap);
    return works ? 0 : 1;
}
