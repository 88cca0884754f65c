/* trees.c - trees built and torn down.
 *
 * What it is: two threads. Each holds a search tree of keyed records (a treap: node, key and
 * value are objects of their own) that takes insertions and removals, and beside it builds and
 * frees short-lived binary trees, as a compiler's or an interpreter's passes do.
 * What it stresses: many small objects of few sizes with one lifetime, freed in the order of a
 * walk, between long-lived ones; locality of what is allocated together.
 * Data structure: a treap per thread. Invariant: keys in order, priorities in heap order; a
 * record's value carries its key as tag. Lock: none.
 */
#include "workload.h"

enum { THREADS = 2, KEY_BYTES = 24, VALUE_BYTES_MAX = 160, TREES_EVERY = 2000 };

static uint64_t keys = 60000, operations = 400000, depth = 12, seed = 1;

static const struct argument arguments[] = {
    {"keys", &keys, "that a record may have; about half are there at any time"},
    {"ops", &operations, "insertions and removals of each of two threads"},
    {"depth", &depth, "of the short-lived trees, at most 24"},
    {"seed", &seed, "of the generator"},
};

struct node {
    struct node *left, *right;
    uint64_t priority;
    char *key;   /* decimal digits, with leading zeros */
    void *value; /* value_bytes of them */
    size_t value_bytes;
};

struct leaf {
    struct leaf *left, *right;
    uint64_t depth;
};

struct worker {
    uint64_t number, sum;
    struct node *root;
};

static struct leaf *leaf_tree(uint64_t levels)
{
    struct leaf *leaf = must(malloc(sizeof(*leaf)));

    leaf->depth = levels;
    leaf->left = levels > 0 ? leaf_tree(levels - 1) : NULL;
    leaf->right = levels > 0 ? leaf_tree(levels - 1) : NULL;
    return leaf;
}

static uint64_t leaf_tree_free(struct leaf *leaf)
{
    uint64_t sum = leaf->depth + 1;

    if (leaf->left != NULL)
        sum += leaf_tree_free(leaf->left) + leaf_tree_free(leaf->right);
    free(leaf);
    return sum;
}

static struct node *node_new(uint64_t key, const char *text, struct rng *rng)
{
    struct node *node = must(malloc(sizeof(*node)));

    *node = (struct node){.priority = rng_next(rng), .key = must(strdup(text))};
    node->value_bytes = rng_between(rng, OBJECT_BYTES_MIN, VALUE_BYTES_MAX);
    node->value = object_new(node->value_bytes, key);
    return node;
}

static uint64_t node_free(struct node *node)
{
    uint64_t sum = object_check(node->value, node->value_bytes, strtoull(node->key, NULL, 10));

    free(node->value);
    free(node->key);
    free(node);
    return sum;
}

/* Everything before the key to the left, the rest to the right. */
static void split(struct node *node, const char *key, struct node **left, struct node **right)
{
    while (node != NULL) {
        if (strcmp(node->key, key) < 0) {
            *left = node;
            left = &node->right;
            node = node->right;
        } else {
            *right = node;
            right = &node->left;
            node = node->left;
        }
    }
    *left = *right = NULL;
}

static struct node *merge(struct node *left, struct node *right)
{
    struct node *root = NULL, **place = &root;

    while (left != NULL && right != NULL) {
        if (left->priority > right->priority) {
            *place = left;
            place = &left->right;
            left = left->right;
        } else {
            *place = right;
            place = &right->left;
            right = right->left;
        }
    }
    *place = left != NULL ? left : right;
    return root;
}

/* Removes the record if it is there; inserts it if not. */
static uint64_t toggle(struct worker *worker, uint64_t key, struct rng *rng)
{
    struct node **place = &worker->root, *node;
    char text[KEY_BYTES];

    snprintf(text, sizeof(text), "%010llu", (unsigned long long)key);
    while (*place != NULL) {
        int order = strcmp(text, (*place)->key);

        if (order == 0) {
            node = *place;
            *place = merge(node->left, node->right);
            return node_free(node);
        }
        place = order < 0 ? &(*place)->left : &(*place)->right;
    }
    node = node_new(key, text, rng);
    place = &worker->root;
    while (*place != NULL && (*place)->priority > node->priority)
        place = strcmp(text, (*place)->key) < 0 ? &(*place)->left : &(*place)->right;
    split(*place, text, &node->left, &node->right);
    *place = node;
    return key;
}

static uint64_t teardown(struct node *node)
{
    uint64_t sum;

    if (node == NULL)
        return 0;
    sum = teardown(node->left) + teardown(node->right);
    return sum + node_free(node);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(seed, worker->number);

    for (uint64_t done = 0; done < operations; done++) {
        worker->sum += toggle(worker, rng_below(&rng, keys), &rng);
        if (done % TREES_EVERY == 0)
            worker->sum += leaf_tree_free(leaf_tree(depth));
    }
    worker->sum += teardown(worker->root);
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker workers[THREADS] = {{.number = 0}, {.number = 1}};
    pthread_t threads[THREADS];
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (depth > 24)
        workload_die("--depth above 24");
    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = thread_start(work, &workers[i]);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += workers[i].sum;
    }
    workload_report("trees", sum);
    return 0;
}
