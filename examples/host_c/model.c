#include "model.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

/* What is used of LiteRT 2.3, which its wheel brings without headers. All handles are opaque; each function
 * returns 0 for success but for those that destroy. */
typedef void *Handle;

enum { CPU = 1, FLOAT32 = 1, FOR_READING = 0, FOR_WRITING = 1 };
enum { ACCELERATORS = 24, LEAST_SEVERITY = 25, INTEGER = 2, WARNING = 2 };

typedef struct {
    int32_t tag;
    struct {
        int32_t type;
        int64_t number;
    } value;
} EnvironmentOption;

typedef struct {
    int32_t element;
    struct {
        unsigned rank : 7;
        unsigned has_strides : 1;
        int32_t sizes[8];
        uint32_t strides[8];
    } layout;
} TensorType;

#define FUNCTIONS(X)                                                                     \
    X(int, LiteRtCreateEnvironment, (int count, const EnvironmentOption *, Handle *environment)) \
    X(int, LiteRtCreateModelFromBuffer, (Handle environment, const void *, size_t, Handle *model)) \
    X(int, LiteRtCreateOptions, (Handle *options))                                       \
    X(int, LiteRtSetOptionsHardwareAccelerators, (Handle options, int accelerators))     \
    X(void, LiteRtDestroyOptions, (Handle options))                                      \
    X(int, LiteRtCreateCompiledModel, (Handle environment, Handle model, Handle options, Handle *compiled)) \
    X(int, LiteRtGetNumModelSignatures, (Handle model, size_t *))                        \
    X(int, LiteRtGetModelSignature, (Handle model, size_t index, Handle *signature))     \
    X(int, LiteRtGetSignatureKey, (Handle signature, const char **))                     \
    X(int, LiteRtGetNumSignatureInputs, (Handle signature, size_t *))                    \
    X(int, LiteRtGetNumSignatureOutputs, (Handle signature, size_t *))                   \
    X(int, LiteRtGetSignatureInputName, (Handle signature, size_t index, const char **)) \
    X(int, LiteRtGetSignatureOutputName, (Handle signature, size_t index, const char **)) \
    X(int, LiteRtGetSignatureInputTensor, (Handle signature, const char *name, Handle *tensor)) \
    X(int, LiteRtGetSignatureOutputTensor, (Handle signature, const char *name, Handle *tensor)) \
    X(int, LiteRtGetRankedTensorType, (Handle tensor, TensorType *))                     \
    X(int, LiteRtGetCompiledModelInputBufferRequirements,                                \
      (Handle compiled, size_t signature, size_t index, Handle *requirements))           \
    X(int, LiteRtGetCompiledModelOutputBufferRequirements,                               \
      (Handle compiled, size_t signature, size_t index, Handle *requirements))           \
    X(int, LiteRtCreateManagedTensorBufferFromRequirements,                              \
      (Handle environment, const TensorType *, Handle requirements, Handle *buffer))     \
    X(int, LiteRtGetTensorBufferPackedSize, (Handle buffer, size_t *bytes))              \
    X(int, LiteRtLockTensorBuffer, (Handle buffer, void **address, int mode))            \
    X(int, LiteRtUnlockTensorBuffer, (Handle buffer))                                    \
    X(int, LiteRtRunCompiledModel,                                                       \
      (Handle compiled, size_t signature, size_t inputs, Handle *, size_t outputs, Handle *)) \
    X(void, LiteRtDestroyTensorBuffer, (Handle buffer))                                  \
    X(void, LiteRtDestroyCompiledModel, (Handle compiled))                               \
    X(void, LiteRtDestroyModel, (Handle model))

#define DECLARE(result, name, arguments) static result(*name) arguments;
FUNCTIONS(DECLARE)

static Handle environment;

enum { MOST = 16 }; /* tensors on either side */

typedef struct {
    size_t count;
    const char *names[MOST];
    size_t sizes[MOST]; /* in floats */
    Handle buffers[MOST];
} Side;

struct Model {
    const char *name;
    Handle model, compiled;
    size_t signature; /* its index */
    Side inputs, outputs;
};

static void check(int status, const char *model, const char *what)
{
    if (status) fail("%s: LiteRT cannot %s (status %d): export it again.", model, what, status);
}

void runtime_load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail("Cannot load LiteRT (%s): give the path of libLiteRt.so with --library.", dlerror());
#define RESOLVE(result, name, arguments)                                                               \
    if (!(name = (result(*) arguments)dlsym(library, #name)))                                          \
        fail("'%s' has no %s: take the libLiteRt.so of ai-edge-litert 2.3.", path, #name);
    FUNCTIONS(RESOLVE)
    /* Otherwise it tries to load those of a GPU, and writes a line for every call. */
    EnvironmentOption options[] = {{ACCELERATORS, {INTEGER, CPU}}, {LEAST_SEVERITY, {INTEGER, WARNING}}};
    if (LiteRtCreateEnvironment(2, options, &environment)) fail("LiteRT cannot begin.");
}

static void prepare(Model *model, Handle signature, Side *side, int is_input)
{
    check((is_input ? LiteRtGetNumSignatureInputs : LiteRtGetNumSignatureOutputs)(signature, &side->count),
          model->name, "list its tensors");
    if (side->count > MOST) fail("%s has more than %d tensors.", model->name, MOST);
    for (size_t i = 0; i < side->count; i++) {
        Handle tensor, requirements;
        TensorType type;
        size_t bytes;
        check((is_input ? LiteRtGetSignatureInputName : LiteRtGetSignatureOutputName)(
                  signature, i, &side->names[i]),
              model->name, "name its tensors");
        check((is_input ? LiteRtGetSignatureInputTensor : LiteRtGetSignatureOutputTensor)(
                  signature, side->names[i], &tensor),
              model->name, "find a tensor");
        check(LiteRtGetRankedTensorType(tensor, &type), model->name, "tell the shape of a tensor");
        if (type.element != FLOAT32) fail("%s: '%s' is not float32.", model->name, side->names[i]);
        check((is_input ? LiteRtGetCompiledModelInputBufferRequirements
                        : LiteRtGetCompiledModelOutputBufferRequirements)(
                  model->compiled, model->signature, i, &requirements),
              model->name, "tell what a tensor needs");
        check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements,
                                                              &side->buffers[i]),
              model->name, "make room for a tensor");
        check(LiteRtGetTensorBufferPackedSize(side->buffers[i], &bytes), model->name, "measure a tensor");
        side->sizes[i] = bytes / sizeof(float);
    }
}

Model *model_load(const char *name, const void *data, size_t size, const char *signature)
{
    Model *model = calloc(1, sizeof *model);
    if (!model) fail("No memory is left.");
    model->name = name;
    check(LiteRtCreateModelFromBuffer(environment, data, size, &model->model), name, "read it");
    Handle options, found = NULL;
    check(LiteRtCreateOptions(&options), name, "take options");
    check(LiteRtSetOptionsHardwareAccelerators(options, CPU), name, "run it on the CPU");
    check(LiteRtCreateCompiledModel(environment, model->model, options, &model->compiled), name, "run it");
    LiteRtDestroyOptions(options);
    size_t count;
    const char *key;
    check(LiteRtGetNumModelSignatures(model->model, &count), name, "list its signatures");
    for (size_t i = 0; i < count && !found; i++) {
        check(LiteRtGetModelSignature(model->model, i, &found), name, "read its signatures");
        check(LiteRtGetSignatureKey(found, &key), name, "read its signatures");
        if (strcmp(key, signature)) found = NULL;
        model->signature = i;
    }
    if (!found) fail("%s lacks the signature '%s': export it again.", name, signature);
    prepare(model, found, &model->inputs, 1);
    prepare(model, found, &model->outputs, 0);
    return model;
}

void model_free(Model *model)
{
    if (!model) return;
    for (size_t i = 0; i < model->inputs.count; i++) LiteRtDestroyTensorBuffer(model->inputs.buffers[i]);
    for (size_t i = 0; i < model->outputs.count; i++) LiteRtDestroyTensorBuffer(model->outputs.buffers[i]);
    LiteRtDestroyCompiledModel(model->compiled);
    LiteRtDestroyModel(model->model);
    free(model);
}

static size_t find(const Side *side, const char *name)
{
    size_t i = 0;
    while (i < side->count && strcmp(side->names[i], name)) i++;
    return i;
}

static size_t size_of(const Side *side, const char *name)
{
    size_t i = find(side, name);
    return i < side->count ? side->sizes[i] : 0;
}

size_t model_input_size(const Model *model, const char *name)
{
    return size_of(&model->inputs, name);
}

size_t model_output_size(const Model *model, const char *name)
{
    return size_of(&model->outputs, name);
}

static Handle buffer_of(const Model *model, const Side *side, const char *name, size_t count)
{
    size_t i = find(side, name);
    if (i == side->count) fail("%s has no tensor '%s': export it again.", model->name, name);
    if (side->sizes[i] != count)
        fail("%s: '%s' has %zu numbers instead of %zu.", model->name, name, side->sizes[i], count);
    return side->buffers[i];
}

void model_set(Model *model, const char *name, const float *values, size_t count)
{
    void *address;
    Handle buffer = buffer_of(model, &model->inputs, name, count);
    check(LiteRtLockTensorBuffer(buffer, &address, FOR_WRITING), model->name, "take in a tensor");
    memcpy(address, values, count * sizeof *values);
    check(LiteRtUnlockTensorBuffer(buffer), model->name, "take in a tensor");
}

void model_run(Model *model)
{
    check(LiteRtRunCompiledModel(model->compiled, model->signature, model->inputs.count,
                                 model->inputs.buffers, model->outputs.count, model->outputs.buffers),
          model->name, "run it");
}

void model_get(const Model *model, const char *name, float *values, size_t count)
{
    void *address;
    Handle buffer = buffer_of(model, &model->outputs, name, count);
    check(LiteRtLockTensorBuffer(buffer, &address, FOR_READING), model->name, "give out a tensor");
    memcpy(values, address, count * sizeof *values);
    check(LiteRtUnlockTensorBuffer(buffer), model->name, "give out a tensor");
}
