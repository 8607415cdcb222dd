/* What a policy learns on, as vectors, and the gradient steps that change them (finetune.tflite). */
#ifndef TRAINING_H
#define TRAINING_H

#include <stddef.h>

#include "bundle.h"

enum { MOST_VECTORS = 8 };

typedef struct {
    char name[64];
    size_t start, size; /* in floats */
} Vector;

typedef struct {
    size_t count, size; /* size is that of all vectors */
    Vector vectors[MOST_VECTORS];
    float *values; /* one vector after another, as in params.bin */
} Learned;

/* The vectors that `path` holds, or the bundle's params.bin if it is NULL; fails if they do not fit. */
Learned learned_load(const Bundle *bundle, const char *path);
const Vector *learned_vector(const Learned *learned, const char *name);

/* One gradient step for each row of `minibatches`: its tensors in the order of finetune.minibatch in the
 * manifest. Steps whose result is not finite are not taken. Gives the number of steps, and of those not taken
 * in `dropped`. */
size_t train(const Bundle *bundle, Learned *learned, const char *minibatches, size_t *dropped);

#endif
