/* unfreed.c - writes beyond a block that it never frees: unfreed SIZE BYTES.
 *
 * So many bytes behind the block are changed, or if the number is negative, before it; 0: its own
 * last byte. Then main returns. Only a look at the live blocks when the process ends can find that.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    size_t size = argc == 3 ? (size_t)atol(argv[1]) : 1;
    long bytes = argc == 3 ? atol(argv[2]) : 0;
    volatile char *block = malloc(size), *wall = malloc(size);

    if (block == NULL || wall == NULL)
        return 2;
    memset((char *)block, 'x', size);
    for (long i = bytes; i <= 0; i++)
        block[i < 0 ? i : (long)size - 1] ^= 'A';
    for (long i = 0; i < bytes; i++)
        block[size + (size_t)i] ^= 'A';
    return write(STDOUT_FILENO, "end", 3) != 3;
}
