#include "training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "json.h"
#include "model.h"
#include "rows.h"

Learned learned_load(const Bundle *bundle, const char *path)
{
    Learned learned = {0};
    const char *tuning = json_field(bundle->manifest, "finetune");
    const char *row = json_first(json_field(tuning, "vectors"));
    if (!row) fail("The bundle says nothing of fine-tuning: export it where the TFLite converter is installed.");
    for (; row; row = json_next(row)) {
        double start, size;
        Vector *vector = &learned.vectors[learned.count];
        if (learned.count++ == MOST_VECTORS ||
            !json_string(json_field(row, "name"), vector->name, sizeof vector->name) ||
            !json_number(json_field(row, "start"), &start) || start != (double)learned.size ||
            !json_number(json_field(row, "size"), &size) || !(size > 0.0 && size < 1e8))
            fail("The manifest lists vectors that this program cannot take.");
        vector->start = learned.size;
        vector->size = (size_t)size;
        learned.size += vector->size;
    }
    size_t bytes;
    char *data = path ? read_file(path, &bytes) : bundle_file(bundle, "params.bin", &bytes);
    const char *file = path ? path : "params.bin";
    if (!data) fail("Cannot read '%s'.", file);
    if (bytes != learned.size * sizeof(float))
        fail("'%s' does not hold the %zu float32 numbers of this bundle.", file, learned.size);
    learned.values = (float *)data;
    if (!all_finite(learned.values, learned.size)) fail("'%s' holds numbers that are not finite.", file);
    return learned;
}

const Vector *learned_vector(const Learned *learned, const char *name)
{
    for (size_t i = 0; i < learned->count; i++)
        if (!strcmp(learned->vectors[i].name, name)) return &learned->vectors[i];
    fail("The bundle has no vector '%s': export it again.", name);
}

size_t train(const Bundle *bundle, Learned *learned, const char *minibatches, size_t *dropped)
{
    size_t size, steps;
    void *content = bundle_file(bundle, "finetune.tflite", &size);
    Model *step = model_load("finetune.tflite", content, size, "train_step");
    Row row = row_of(json_field(json_field(bundle->manifest, "finetune"), "minibatch"), step);
    float *data = read_rows(minibatches, row.size, &steps), *next = numbers(learned->size);
    *dropped = 0;
    for (size_t t = 0; t < steps; t++) {
        for (size_t i = 0; i < learned->count; i++) {
            const Vector *vector = &learned->vectors[i];
            model_set(step, vector->name, learned->values + vector->start, vector->size);
        }
        row_set(&row, step, data + t * row.size);
        model_run(step);
        for (size_t i = 0; i < learned->count; i++) {
            const Vector *vector = &learned->vectors[i];
            char name[sizeof vector->name + 8];
            snprintf(name, sizeof name, "%s_next", vector->name);
            model_get(step, name, next + vector->start, vector->size);
        }
        if (all_finite(next, learned->size))
            memcpy(learned->values, next, learned->size * sizeof *next);
        else
            (*dropped)++;
    }
    free(next);
    free(data);
    model_free(step);
    free(content);
    return steps;
}
