/* A TFLite model with float32 tensors by name, on LiteRT's C API. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>

typedef struct Model Model;

/* Loads LiteRT itself from the shared library `path`; once, before all else. */
void runtime_load(const char *path);

/* The model in `data`, which has to outlive it, called by `signature`; `name` is for messages. */
Model *model_load(const char *name, const void *data, size_t size, const char *signature);
void model_free(Model *model);

/* Number of floats of a tensor; 0 if there is none of that name. */
size_t model_input_size(const Model *model, const char *name);
size_t model_output_size(const Model *model, const char *name);

void model_set(Model *model, const char *name, const float *values, size_t count);
void model_run(Model *model);
void model_get(const Model *model, const char *name, float *values, size_t count);

#endif
