/* smt.c - the Z3 solver on a problem read from a file, where there is libz3 but no z3.
 *
 * What it is: `smt FILE` runs the SMT-LIB commands of FILE and prints what they print.
 * What it stresses: a real C++ program of many small objects, hash tables and vectors.
 * Data structure, lock: Z3's. Invariant: the answer does not depend on the allocator.
 * Built where CMake finds libz3 and its header.
 */
#include <stdio.h>
#include <stdlib.h>
#include <z3.h>

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    long bytes = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        bytes = ftell(file);
    if (bytes >= 0 && fseek(file, 0, SEEK_SET) == 0)
        text = calloc((size_t)bytes + 1, 1);
    if (text == NULL || fread(text, 1, (size_t)bytes, file) != (size_t)bytes) {
        fprintf(stderr, "smt: cannot read %s\n", path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    Z3_config config;
    Z3_context context;
    char *text;

    if (argc != 2) {
        fprintf(stderr, "usage: smt FILE\n");
        return 2;
    }
    text = read_file(argv[1]);
    config = Z3_mk_config();
    context = Z3_mk_context(config);
    fputs(Z3_eval_smtlib2_string(context, text), stdout);
    Z3_del_context(context);
    Z3_del_config(config);
    free(text);
    return 0;
}
