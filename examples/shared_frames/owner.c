/* owner.c - makes a block in a shared heap, and writes its handle to the standard output. It then
 * waits for the end of its standard input, or to be killed. */
#include <pyslab.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .size_bytes = (uint64_t)16 << 20,
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .shared = PYSLAB_SHARE_READ};
    pyslab_arena *heap = NULL;
    pyslab_handle handle;
    char *block;

    if (pyslab_import() < 0 || pyslab_arena_create(&options, &heap) != PYSLAB_OK)
        return 1;
    block = pyslab_kmalloc(heap, 8192, PYSLAB_GFP_KERNEL);
    if (block == NULL || pyslab_share_export(heap, block, 1, &handle) != PYSLAB_OK)
        return 1;
    strcpy(block, "hello");
    if (fwrite(&handle, sizeof handle, 1, stdout) != 1 || fflush(stdout) != 0)
        return 1;
    while (getchar() != EOF)
        continue;
    return 0;
}
