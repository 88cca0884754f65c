/* nodes.c - a large tree of small nodes, built and dropped over and over.
 *
 * What it is: one thread builds a full binary tree of 24-byte nodes, walks it once, and frees it
 * from the leaves up; then it does so again.
 * What it stresses: many objects of one size that all come, and later all go: whole slabs that
 * fill and empty, free objects that are cold when they are handed out again.
 * Data structure: a binary tree. Invariant: a node's key is its place in the order of building.
 * Lock: none; one thread.
 */
#include "workload.h"

enum { LEVELS_MAX = 28 };

static uint64_t levels = 19, times = 12;
static uint64_t seed = 1;

static const struct argument arguments[] = {
    {"levels", &levels, "of the tree, at most 28; n levels have 2^n - 1 nodes"},
    {"times", &times, "that the tree is built and dropped"},
    {"seed", &seed, "added to every key"},
};

struct node {
    struct node *left, *right;
    uint64_t key;
};

static struct node *build(uint64_t height, uint64_t *next_key)
{
    struct node *node;

    if (height == 0)
        return NULL;
    node = must(malloc(sizeof(*node)));
    node->key = (*next_key)++;
    node->left = build(height - 1, next_key);
    node->right = build(height - 1, next_key);
    return node;
}

static uint64_t walk(const struct node *node, uint64_t depth)
{
    if (node == NULL)
        return 0;
    return node->key * depth + walk(node->left, depth + 1) + walk(node->right, depth + 1);
}

static uint64_t drop(struct node *node)
{
    uint64_t sum;

    if (node == NULL)
        return 0;
    sum = drop(node->left) + drop(node->right) + node->key;
    free(node);
    return sum;
}

int main(int argc, char **argv)
{
    uint64_t sum = 0, next_key;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (levels > LEVELS_MAX)
        workload_die("--levels above 28");
    next_key = seed;
    for (uint64_t n = 0; n < times; n++) {
        struct node *root = build(levels, &next_key);

        sum += walk(root, 1);
        sum += drop(root);
    }
    workload_report("nodes", sum);
    return 0;
}
