/* wrong.c - an extension whose functions each make one error with memory of an arena. A tool that
 * watches the process is to report it at the line that makes it.
 */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include "no_gil.h"

#include <string.h>

static pyslab_arena *arena;
static volatile char sink;

static int overrun_by(size_t size, size_t offset)
{
    char *p = pyslab_kmalloc(arena, size, PYSLAB_GFP_KERNEL);
    char *neighbour = pyslab_kmalloc(arena, size, PYSLAB_GFP_KERNEL);

    ((volatile char *)p)[size + offset] = 1;
    (void)pyslab_kfree(arena, neighbour);
    return pyslab_kfree(arena, p);
}

static int overrun_1(void)
{
    return overrun_by(60, 0);
}

static int overrun_full_class(void)
{
    return overrun_by(64, 0);
}

static int overrun_large(void)
{
    return overrun_by((size_t)1 << 20, 0);
}

static int overrun_64(void)
{
    return overrun_by(100, 14);
}

static int underrun(void)
{
    char *below = pyslab_kmalloc(arena, 48, PYSLAB_GFP_KERNEL);
    char *p = pyslab_kmalloc(arena, 48, PYSLAB_GFP_KERNEL);

    ((volatile char *)p)[-1] = 1;
    (void)pyslab_kfree(arena, below);
    return pyslab_kfree(arena, p);
}

static int write_after_free(void)
{
    char *p = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);

    (void)pyslab_kfree(arena, p);
    ((volatile char *)p)[40] = 1;
    return 0;
}

static int read_after_free(void)
{
    char *p = pyslab_kzalloc(arena, 5000, PYSLAB_GFP_KERNEL);

    (void)pyslab_kfree(arena, p);
    sink = ((volatile char *)p)[4000];
    return 0;
}

static int frames_after_free(void)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 1, PYSLAB_GFP_KERNEL);
    volatile char *p = pyslab_page_address(arena, pfn);

    (void)pyslab_free_pages(arena, pfn, 1);
    p[5000] = 1;
    return 0;
}

static int cache_after_free(void)
{
    pyslab_kmem_cache *cache;
    volatile char *p;

    if (pyslab_kmem_cache_create(arena, "wrong", 72, NULL, &cache) != PYSLAB_OK)
        return -1;
    p = pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL);
    (void)pyslab_kmem_cache_free(cache, (void *)(uintptr_t)p);
    p[71] = 1;
    return 0;
}

static int overrun_region(void)
{
    pyslab_region *region;
    volatile char *p;

    if (pyslab_region_create(arena, 0, &region) != PYSLAB_OK)
        return -1;
    p = pyslab_region_alloc(region, 32);
    (void)pyslab_region_alloc(region, 32);
    p[32] = 1;
    return pyslab_region_destroy(region);
}

static int region_after_reset(void)
{
    pyslab_region *region;
    volatile char *p;

    if (pyslab_region_create(arena, 0, &region) != PYSLAB_OK)
        return -1;
    p = pyslab_region_alloc(region, 32);
    (void)pyslab_region_reset(region);
    p[8] = 1;
    return pyslab_region_destroy(region);
}

static int double_free(void)
{
    char *p = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);

    (void)pyslab_kfree(arena, p);
    return pyslab_kfree(arena, p) == PYSLAB_EDOUBLE ? 0 : -1;
}

static int interior_free(void)
{
    char *p = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);
    int error = pyslab_kfree(arena, p + 16);

    (void)pyslab_kfree(arena, p);
    return error == PYSLAB_EPOINTER ? 0 : -1;
}

static int foreign_free(void)
{
    char local[64];

    return pyslab_kfree(arena, local) == PYSLAB_EPOINTER ? 0 : -1;
}

static int wrong_cache(void)
{
    char *p = pyslab_kmalloc(arena, 72, PYSLAB_GFP_KERNEL);
    pyslab_kmem_cache *cache;
    int error;

    if (pyslab_kmem_cache_create(arena, "wrong", 72, NULL, &cache) != PYSLAB_OK)
        return -1;
    error = pyslab_kmem_cache_free(cache, p);
    (void)pyslab_kfree(arena, p);
    return error == PYSLAB_ECACHE ? pyslab_kmem_cache_destroy(cache) : -1;
}

/* Everything that is allowed, up to the last byte. */
static int nothing(void)
{
    char *p = pyslab_kmalloc(arena, 61, PYSLAB_GFP_KERNEL);
    char *large = pyslab_kzalloc(arena, (size_t)1 << 20, PYSLAB_GFP_KERNEL);
    pyslab_region *region;

    if (p == NULL || large == NULL || large[(1 << 20) - 1] != 0)
        return -1;
    if (pyslab_ksize(arena, p) != 61 || pyslab_ksize(arena, large) != (size_t)1 << 20)
        return -1;
    memset(p, 'x', 61);
    p = pyslab_krealloc(arena, p, 300, PYSLAB_GFP_KERNEL);
    if (p == NULL || p[60] != 'x')
        return -1;
    memset(p, 'y', 300);
    large = pyslab_krealloc(arena, large, (size_t)3 << 20, PYSLAB_GFP_KERNEL);
    memset(large, 'z', (size_t)3 << 20);
    (void)pyslab_kfree(arena, large);
    if (pyslab_region_create(arena, 0, &region) != PYSLAB_OK)
        return -1;
    for (size_t size = 1; size < 70000; size = 3 * size + 1)
        memset(pyslab_region_alloc(region, size), 'r', size);
    (void)pyslab_region_reset(region);
    memset(pyslab_region_alloc(region, 100), 'r', 100);
    (void)pyslab_region_destroy(region);
    pyslab_kfree_sensitive(arena, p);
    return 0;
}

static pyslab_arena *arena_with(const char *debug, uint32_t shared)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .max_order = PYSLAB_MAX_ORDER,
                                    .size_bytes = (uint64_t)64 << 20,
                                    .debug = debug,
                                    .shared = shared};
    pyslab_arena *made;

    return pyslab_arena_create(&options, &made) == PYSLAB_OK ? made : NULL;
}

static void note_kind(const pyslab_corruption *found, void *kind)
{
    *(uint32_t *)kind = found->kind;
}

/* Caches with debug flags are not watched: their own checks find the overrun, and no tool takes
 * these checks for errors. */
static int debugged(void)
{
    pyslab_arena *other = arena_with("FZPU", PYSLAB_SHARE_NO);
    uint32_t kind = 0;
    char *p;

    if (other == NULL)
        return -1;
    pyslab_set_corruption_handler(other, note_kind, &kind);
    p = pyslab_kmalloc(other, 61, PYSLAB_GFP_KERNEL);
    memset(p, 'x', 61);
    p = pyslab_krealloc(other, p, 50, PYSLAB_GFP_KERNEL);
    p = pyslab_krealloc(other, p, 300, PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO);
    if (p == NULL || p[49] != 'x' || p[299] != 0)
        return -1;
    ((volatile char *)p)[300] = 1;
    if (pyslab_kfree(other, p) != PYSLAB_OK || kind != PYSLAB_CORRUPTION_RIGHT_REDZONE)
        return -1;
    return pyslab_arena_destroy(other);
}

/* A shared arena is not watched: other processes use its memory, too. */
static int shared(void)
{
    pyslab_arena *other = arena_with("", PYSLAB_SHARE_READ);
    char *p, *large;

    if (other == NULL)
        return -1;
    p = pyslab_kmalloc(other, 61, PYSLAB_GFP_KERNEL);
    ((volatile char *)p)[63] = 1;
    p = pyslab_krealloc(other, p, 62, PYSLAB_GFP_KERNEL);
    large = pyslab_kzalloc(other, (size_t)1 << 20, PYSLAB_GFP_KERNEL);
    if (p == NULL || large == NULL || large[(1 << 20) - 1] != 0)
        return -1;
    (void)pyslab_kfree(other, p);
    (void)pyslab_kfree(other, large);
    return pyslab_arena_destroy(other);
}

static const struct {
    const char *name;
    int (*run)(void);
} errors[] = {
    {"overrun_1", overrun_1},
    {"overrun_full_class", overrun_full_class},
    {"overrun_large", overrun_large},
    {"overrun_64", overrun_64},
    {"underrun", underrun},
    {"write_after_free", write_after_free},
    {"read_after_free", read_after_free},
    {"frames_after_free", frames_after_free},
    {"cache_after_free", cache_after_free},
    {"overrun_region", overrun_region},
    {"region_after_reset", region_after_reset},
    {"double_free", double_free},
    {"interior_free", interior_free},
    {"foreign_free", foreign_free},
    {"wrong_cache", wrong_cache},
    {"nothing", nothing},
    {"debugged", debugged},
    {"shared", shared},
};

static PyObject *run(PyObject *module, PyObject *name)
{
    const char *wanted = PyUnicode_AsUTF8(name);

    (void)module;
    for (size_t i = 0; wanted != NULL && i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, wanted) == 0)
            return PyLong_FromLong(errors[i].run());
    return PyErr_Format(PyExc_ValueError, "no error is called %R", name);
}

static PyMethodDef methods[] = {
    {"run", run, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "wrong", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_wrong(void);

PyMODINIT_FUNC PyInit_wrong(void)
{
    if (pyslab_import() < 0)
        return NULL;
    arena = pyslab_default_arena();
    return without_gil(PyModule_Create(&definition));
}
