/* size_class.c - how the lists of sizes, and the tables over them, are made; see size_class.h. */
#include "kmalloc/size_class.h"

#include <string.h>

static const uint32_t linux_sizes[] = {8,   16,  32,   64,   96,   128, 192,
                                       256, 512, 1024, 2048, 4096, 8192};

static void add_class(struct size_classes *sc, uint32_t bytes, size_t max_bytes)
{
    if (bytes <= max_bytes)
        sc->size[++sc->nr] = bytes;
}

/* 16 32 48 64, then each power of two in four steps to the next. */
static void add_fine_classes(struct size_classes *sc, size_t max_bytes)
{
    for (uint32_t bytes = 16; bytes < 64; bytes += 16)
        add_class(sc, bytes, max_bytes);
    for (uint32_t power = 64; power < SIZE_CLASS_MAX; power *= 2)
        for (uint32_t quarter = 0; quarter < 4; quarter++)
            add_class(sc, power + quarter * (power / 4), max_bytes);
    add_class(sc, SIZE_CLASS_MAX, max_bytes);
}

/* table[i] becomes the smallest class of at least i << shift bytes. */
static void fill_table(const struct size_classes *sc, uint8_t *table, size_t entries,
                       unsigned shift)
{
    unsigned class = 1;

    for (size_t i = 1; i < entries; i++) {
        while (class <= sc->nr && sc->size[class] < i << shift)
            class++;
        table[i] = class <= sc->nr ? (uint8_t)class : 0;
    }
}

/* The invariant of size_class.h, for every number of bytes. */
static bool size_classes_add_up(const struct size_classes *sc)
{
    unsigned smallest = 1;

    for (size_t bytes = 1; bytes <= SIZE_CLASS_MAX; bytes++) {
        while (smallest <= sc->nr && sc->size[smallest] < bytes)
            smallest++;
        if (size_class_of(sc, bytes) != (smallest <= sc->nr ? smallest : 0))
            return false;
    }
    return size_class_of(sc, 0) == 0;
}

void size_classes_init(struct size_classes *sc, uint32_t geometry, size_t max_bytes)
{
    memset(sc, 0, sizeof *sc);
    if (geometry == PYSLAB_CLASSES_LINUX)
        for (size_t i = 0; i < ARRAY_SIZE(linux_sizes); i++)
            add_class(sc, linux_sizes[i], max_bytes);
    else
        add_fine_classes(sc, max_bytes);
    fill_table(sc, sc->small, ARRAY_SIZE(sc->small), SIZE_CLASS_SMALL_SHIFT);
    fill_table(sc, sc->large, ARRAY_SIZE(sc->large), SIZE_CLASS_LARGE_SHIFT);
    CHECK_WALK(size_classes_add_up(sc));
}

unsigned size_class_aligned(const struct size_classes *sc, size_t bytes, size_t align)
{
    unsigned class = size_class_of(sc, bytes == 0 ? 1 : bytes);

    CHECK(is_power_of_two(align));
    if (class == 0 || align > PAGE_SIZE)
        return 0;
    while (class <= sc->nr && (sc->size[class] & (align - 1)) != 0)
        class++;
    return class <= sc->nr ? class : 0;
}
