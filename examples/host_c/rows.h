/* Raw float32 numbers in files and in memory; a row holds inputs of a model one after another. */
#ifndef ROWS_H
#define ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "model.h"

enum { MOST_TENSORS = 16, LONGEST_NAME = 64 };

typedef struct {
    size_t tensors, size; /* size is that of all of them, in floats */
    char names[MOST_TENSORS][LONGEST_NAME];
    size_t sizes[MOST_TENSORS];
} Row;

/* The keys of the manifest's `object` that are inputs of `model`, in their order, without previous_action and
 * carried, which a host does not give. */
Row row_of(const char *object, const Model *model);
void row_set(const Row *row, Model *model, const float *values);

/* The rows of `size` numbers in a file; fails if they are not whole. */
float *read_rows(const char *path, size_t size, size_t *count);

/* `count` zeros. */
float *numbers(size_t count);
bool all_finite(const float *values, size_t count);

#endif
