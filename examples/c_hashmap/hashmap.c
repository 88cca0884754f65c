/* hashmap.c - the module hashmap: a map from str to int64 in an arena's memory.
 *
 * What it is: an extension that gets all its memory from pyslab: nodes from a kmem_cache of
 * the map's own, keys from kmalloc, the table of buckets from kvmalloc.
 * What it is not: a quicker dict.
 *
 * Data structure: chains of nodes, in a table of a power of two buckets that grows to as many
 * as there are nodes.
 * Invariant: the map has a reference to its arena, so that the memory is there until the map
 * is gone, also after Arena.close().
 * Lock: map->lock guards table, size and nodes. add_words() holds it without the GIL, so whoever
 * finds it taken waits without the GIL too; nobody asks for the GIL with the lock in hand.
 */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include <pthread.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

struct node {
    struct node *next; /* of the chain */
    uint64_t hash;
    int64_t value;
    size_t length;
    char *key; /* length bytes of UTF-8, kmalloc */
};

typedef struct {
    PyObject_HEAD
    pthread_mutex_t lock;
    pyslab_arena *arena;      /* a reference; NULL: __init__ has not run */
    pyslab_kmem_cache *cache; /* of struct node */
    struct node **table;
    size_t nr_buckets;
    size_t size; /* nodes */
} HashMap;

/* --- the map, without Python -------------------------------------------- */

static uint64_t hash_of(const char *key, size_t length)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)key[i]) * 1099511628211u;
    return hash;
}

/* The link that points to the key's node, or where it would be. */
static struct node **find(HashMap *map, const char *key, size_t length, uint64_t hash)
{
    struct node **link = &map->table[hash & (map->nr_buckets - 1)];

    while (*link != NULL && ((*link)->hash != hash || (*link)->length != length ||
                             memcmp((*link)->key, key, length) != 0))
        link = &(*link)->next;
    return link;
}

static struct node **make_table(pyslab_arena *arena, size_t nr_buckets)
{
    return (struct node **)pyslab_kvmalloc(arena, nr_buckets * sizeof(struct node *),
                                           PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO);
}

/* Without memory for it the chains get longer. */
static void grow(HashMap *map)
{
    size_t nr = map->nr_buckets * 2;
    struct node **table = make_table(map->arena, nr);

    if (table == NULL)
        return;
    for (size_t i = 0; i < map->nr_buckets; i++)
        while (map->table[i] != NULL) {
            struct node *node = map->table[i];

            map->table[i] = node->next;
            node->next = table[node->hash & (nr - 1)];
            table[node->hash & (nr - 1)] = node;
        }
    (void)pyslab_kvfree(map->arena, map->table);
    map->table = table;
    map->nr_buckets = nr;
}

/* The key's node, a new one with value 0 if there is none; NULL: no memory, nothing changed. */
static struct node *find_or_add(HashMap *map, const char *key, size_t length)
{
    uint64_t hash = hash_of(key, length);
    struct node **link = find(map, key, length, hash), *node;

    if (*link != NULL)
        return *link;
    node = (struct node *)pyslab_kmem_cache_alloc(map->cache, PYSLAB_GFP_KERNEL);
    if (node == NULL)
        return NULL;
    node->key = (char *)pyslab_kmalloc(map->arena, length, PYSLAB_GFP_KERNEL);
    if (node->key == NULL) {
        (void)pyslab_kmem_cache_free(map->cache, node);
        return NULL;
    }
    memcpy(node->key, key, length);
    node->next = NULL;
    node->hash = hash;
    node->value = 0;
    node->length = length;
    *link = node;
    if (++map->size > map->nr_buckets)
        grow(map);
    return node;
}

static void remove_at(HashMap *map, struct node **link)
{
    struct node *node = *link;

    *link = node->next;
    map->size--;
    (void)pyslab_kfree(map->arena, node->key);
    (void)pyslab_kmem_cache_free(map->cache, node);
}

static void clear(HashMap *map)
{
    for (size_t i = 0; i < map->nr_buckets; i++)
        while (map->table[i] != NULL)
            remove_at(map, &map->table[i]);
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int add_words_of(HashMap *map, const char *text, size_t length)
{
    for (size_t i = 0, start; i < length;) {
        struct node *node;

        for (start = i; i < length && !is_space(text[i]);)
            i++;
        if (i == start) {
            i++;
            continue;
        }
        node = find_or_add(map, text + start, i - start);
        if (node == NULL)
            return PYSLAB_ENOMEM;
        node->value++;
    }
    return PYSLAB_OK;
}

/* --- the type ----------------------------------------------------------- */

/* Who has to wait lets others have the GIL. */
static void lock(HashMap *map)
{
    if (pthread_mutex_trylock(&map->lock) == 0)
        return;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&map->lock);
    Py_END_ALLOW_THREADS
}

static void unlock(HashMap *map)
{
    pthread_mutex_unlock(&map->lock);
}

static PyObject *map_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"arena", NULL};
    pyslab_cache_options options = {.struct_size = sizeof options};
    PyObject *object = Py_None;
    pyslab_arena *arena;
    HashMap *map;
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &object))
        return NULL;
    arena = object == Py_None ? pyslab_default_arena() : pyslab_arena_from_object(object);
    if (arena == NULL)
        return PyErr_Occurred() ? NULL : (PyObject *)pyslab_raise(PYSLAB_ENOMEM, "HashMap");
    map = (HashMap *)type->tp_alloc(type, 0);
    if (map == NULL)
        return NULL;
    pthread_mutex_init(&map->lock, NULL);
    pyslab_arena_get(arena);
    map->arena = arena;
    error = pyslab_kmem_cache_create(arena, "hashmap node", sizeof(struct node), &options,
                                     &map->cache);
    map->table = error == PYSLAB_OK ? make_table(arena, FIRST_BUCKETS) : NULL;
    if (map->table == NULL) {
        Py_DECREF(map);
        return (PyObject *)pyslab_raise(error != PYSLAB_OK ? error : PYSLAB_ENOMEM, "HashMap");
    }
    map->nr_buckets = FIRST_BUCKETS;
    return (PyObject *)map;
}

static void map_dealloc(HashMap *map)
{
    PyTypeObject *type = Py_TYPE(map);

    clear(map);
    if (map->table != NULL)
        (void)pyslab_kvfree(map->arena, map->table);
    if (map->cache != NULL)
        (void)pyslab_kmem_cache_destroy(map->cache);
    if (map->arena != NULL) {
        (void)pyslab_arena_put(map->arena);
        pthread_mutex_destroy(&map->lock);
    }
    type->tp_free(map);
    Py_DECREF(type);
}

static Py_ssize_t map_length(HashMap *map)
{
    Py_ssize_t size;

    lock(map);
    size = (Py_ssize_t)map->size;
    unlock(map);
    return size;
}

static PyObject *map_get_item(HashMap *map, PyObject *key)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    const struct node *node;
    int64_t value = 0;

    if (text == NULL)
        return NULL;
    lock(map);
    node = *find(map, text, (size_t)length, hash_of(text, (size_t)length));
    if (node != NULL)
        value = node->value;
    unlock(map);
    if (node == NULL) {
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    }
    return PyLong_FromLongLong(value);
}

static int map_set_item(HashMap *map, PyObject *key, PyObject *value)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    long long number = text != NULL && value != NULL ? PyLong_AsLongLong(value) : 0;
    struct node *node, **link;

    if (PyErr_Occurred())
        return -1;
    lock(map);
    if (value == NULL) {
        link = find(map, text, (size_t)length, hash_of(text, (size_t)length));
        node = *link;
        if (node != NULL)
            remove_at(map, link);
    } else {
        node = find_or_add(map, text, (size_t)length);
        if (node != NULL)
            node->value = number;
    }
    unlock(map);
    if (node != NULL)
        return 0;
    if (value == NULL)
        PyErr_SetObject(PyExc_KeyError, key);
    else
        pyslab_raise(PYSLAB_ENOMEM, "HashMap");
    return -1;
}

static int map_contains(HashMap *map, PyObject *key)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    int there;

    if (text == NULL)
        return -1;
    lock(map);
    there = *find(map, text, (size_t)length, hash_of(text, (size_t)length)) != NULL;
    unlock(map);
    return there;
}

/* add_words(data): adds 1 to the value of each word. Without memory MemoryError; what came
 * before stays counted. */
static PyObject *map_add_words(HashMap *map, PyObject *args)
{
    Py_buffer data;
    int error;

    if (!PyArg_ParseTuple(args, "s*", &data))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&map->lock);
    error = add_words_of(map, (const char *)data.buf, (size_t)data.len);
    pthread_mutex_unlock(&map->lock);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    if (error != PYSLAB_OK)
        return (PyObject *)pyslab_raise(error, "add_words");
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"add_words", (PyCFunction)(void (*)(void))map_add_words, METH_VARARGS,
     "add_words(data): add 1 to the value of each word of a str or bytes-like object."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "HashMap(arena=None): a map from str to int (64 bits) in an arena's memory."},
    {Py_tp_new, map_new},
    {Py_tp_dealloc, map_dealloc},
    {Py_tp_methods, methods},
    {Py_mp_length, map_length},
    {Py_mp_subscript, map_get_item},
    {Py_mp_ass_subscript, map_set_item},
    {Py_sq_contains, map_contains},
    {0, NULL},
};

static PyType_Spec spec = {
    "hashmap.HashMap", sizeof(HashMap), 0, Py_TPFLAGS_DEFAULT, slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    "hashmap",
    "A map in an arena's memory.",
    -1,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC PyInit_hashmap(void)
{
    PyObject *it, *type;

    if (pyslab_import() < 0)
        return NULL;
    it = PyModule_Create(&module);
    type = it == NULL ? NULL : PyType_FromSpec(&spec);
    if (type == NULL || PyModule_AddObjectRef(it, "HashMap", type) < 0)
        Py_CLEAR(it);
    Py_XDECREF(type);
#ifdef Py_GIL_DISABLED
    /* Threads share maps, whose locks they take; an object of Python's is only looked at by its
     * own caller. */
    if (it != NULL && PyUnstable_Module_SetGIL(it, Py_MOD_GIL_NOT_USED) < 0)
        Py_CLEAR(it);
#endif
    return it;
}
