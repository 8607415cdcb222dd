#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "fail.h"
#include "json.h"

Row row_of(const char *object, const Model *model)
{
    Row row = {0};
    for (const char *key = json_first(object); key; key = json_next(key)) {
        char *name = row.names[row.tensors];
        if (row.tensors == MOST_TENSORS || !json_string(key, name, LONGEST_NAME))
            fail("The manifest lists tensors that this program cannot take.");
        if (!strcmp(name, "previous_action") || !strcmp(name, "carried")) continue;
        size_t size = model_input_size(model, name);
        if (!size) fail("A model of the bundle has no input '%s': export it again.", name);
        row.sizes[row.tensors++] = size;
        row.size += size;
    }
    return row;
}

void row_set(const Row *row, Model *model, const float *values)
{
    for (size_t i = 0; i < row->tensors; values += row->sizes[i++])
        model_set(model, row->names[i], values, row->sizes[i]);
}

float *read_rows(const char *path, size_t size, size_t *count)
{
    size_t bytes;
    char *data = read_file(path, &bytes);
    if (!data) fail("Cannot read '%s'.", path);
    *count = size ? bytes / (size * sizeof(float)) : 0;
    if (*count * size * sizeof(float) != bytes) fail("'%s' has no rows of %zu float32 numbers.", path, size);
    return (float *)data;
}

float *numbers(size_t count)
{
    float *values = calloc(count ? count : 1, sizeof *values);
    if (!values) fail("No memory is left.");
    return values;
}

bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}
