/* Acts with a bundle: the C port of synthjax/deploy/runtime.py.
 *
 *     host [--library libLiteRt.so] infer FOLDER observations.f32 actions.f32
 *     host [--library libLiteRt.so] step FOLDER sensors.f32 controls.f32
 *
 * FOLDER is an unpacked bundle or a folder of installations. Files hold rows of raw float32 numbers: `infer`
 * takes observations and gives actions; `step` takes what the simulator says, one control step a row, each
 * input of `observe.inputs` in the manifest after the other in their order there (without previous_action
 * and carried), and gives motor inputs. Everything is deterministic. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "fail.h"
#include "json.h"
#include "model.h"

enum { MOST_INPUTS = 16, LONGEST_NAME = 64 };

typedef struct {
    Model *infer, *observe; /* observe is NULL if the bundle has none, or it is not used */
    size_t observation_dim, action_dim, carried_dim;
    float *observation, *action, *offset, *base, *carried, *carried_next, *base_next;
    unsigned long repeated; /* observations that were not finite */
} Policy;

void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(2);
}

static float *numbers(size_t count)
{
    float *values = calloc(count ? count : 1, sizeof *values);
    if (!values) fail("No memory is left.");
    return values;
}

static int all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return 0;
    return 1;
}

static Model *load(const Bundle *bundle, const char *name, const char *signature)
{
    size_t size;
    void *data = bundle_file(bundle, name, &size);
    return model_load(name, data, size, signature);
}

static Policy policy_load(const Bundle *bundle, int observes)
{
    Policy policy = {0};
    double size;
    policy.infer = load(bundle, "policy.tflite", "infer");
    policy.observation_dim = model_input_size(policy.infer, "observation");
    policy.action_dim = model_output_size(policy.infer, "action");
    if (!json_number(json_field(json_field(bundle->manifest, "observation"), "size"), &size) ||
        size != (double)policy.observation_dim || !policy.observation_dim || !policy.action_dim)
        fail("policy.tflite does not fit the manifest of its bundle: export it again.");
    policy.observation = numbers(policy.observation_dim);
    policy.action = numbers(policy.action_dim); /* zero until there is one */
    policy.offset = numbers(policy.action_dim);
    policy.base = numbers(policy.action_dim);
    policy.base_next = numbers(policy.action_dim);
    if (!observes) return policy;
    const char *observe = json_field(bundle->manifest, "observe");
    if (!observe || *observe != '{') fail("The bundle has no observe.tflite: compute observations yourself.");
    policy.observe = load(bundle, "observe.tflite", "observe");
    policy.carried_dim = model_input_size(policy.observe, "carried");
    policy.carried = numbers(policy.carried_dim);
    policy.carried_next = numbers(policy.carried_dim);
    const char *start = json_first(json_field(json_field(observe, "carried"), "start"));
    for (size_t i = 0; i < policy.carried_dim; i++, start = json_next(start)) {
        double value;
        if (!json_number(start, &value)) fail("The manifest does not say where the task starts.");
        policy.carried[i] = (float)value;
    }
    return policy;
}

/* An observation that is not finite repeats the last action. */
static void act(Policy *policy)
{
    if (!all_finite(policy->observation, policy->observation_dim)) {
        policy->repeated++;
        return;
    }
    model_set(policy->infer, "observation", policy->observation, policy->observation_dim);
    model_run(policy->infer);
    model_get(policy->infer, "action", policy->action, policy->action_dim);
    model_get(policy->infer, "offset", policy->offset, policy->action_dim);
}

/* What the task remembers goes on, unless it would not be finite. */
static void observe(Policy *policy)
{
    model_set(policy->observe, "previous_action", policy->action, policy->action_dim);
    if (policy->carried_dim) model_set(policy->observe, "carried", policy->carried, policy->carried_dim);
    model_run(policy->observe);
    model_get(policy->observe, "observation", policy->observation, policy->observation_dim);
    model_get(policy->observe, "base", policy->base_next, policy->action_dim);
    if (policy->carried_dim)
        model_get(policy->observe, "carried_next", policy->carried_next, policy->carried_dim);
    if (all_finite(policy->base_next, policy->action_dim) &&
        all_finite(policy->carried_next, policy->carried_dim)) {
        memcpy(policy->base, policy->base_next, policy->action_dim * sizeof(float));
        if (policy->carried_dim)
            memcpy(policy->carried, policy->carried_next, policy->carried_dim * sizeof(float));
    }
}

/* The inputs that the host gives, in the order of the manifest: their names and how many numbers each has. */
static size_t sensors(const Bundle *bundle, const Policy *policy, char names[][LONGEST_NAME], size_t *sizes)
{
    size_t count = 0;
    const char *inputs = json_field(json_field(bundle->manifest, "observe"), "inputs");
    for (const char *key = json_first(inputs); key; key = json_next(key)) {
        if (count == MOST_INPUTS || !json_string(key, names[count], LONGEST_NAME))
            fail("The manifest lists inputs that this program cannot take.");
        if (!strcmp(names[count], "previous_action") || !strcmp(names[count], "carried")) continue;
        if (!(sizes[count] = model_input_size(policy->observe, names[count])))
            fail("observe.tflite has no input '%s': export it again.", names[count]);
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    const char *library = "libLiteRt.so";
    if (argc > 2 && !strcmp(argv[1], "--library")) {
        library = argv[2];
        argc -= 2;
        argv += 2;
    }
    int steps = argc > 1 && !strcmp(argv[1], "step");
    if (argc != 5 || (!steps && strcmp(argv[1], "infer")))
        fail("host [--library libLiteRt.so] infer|step FOLDER input.f32 output.f32");
    Bundle bundle = bundle_open(argv[2]);
    runtime_load(library);
    Policy policy = policy_load(&bundle, steps);

    char names[MOST_INPUTS][LONGEST_NAME] = {"observation"};
    size_t sizes[MOST_INPUTS] = {policy.observation_dim}, inputs = 1, row = 0, bytes;
    if (steps) inputs = sensors(&bundle, &policy, names, sizes);
    for (size_t i = 0; i < inputs; i++) row += sizes[i];
    char *data = read_file(argv[3], &bytes);
    if (!data) fail("Cannot read '%s'.", argv[3]);
    size_t rows = bytes / (row * sizeof(float));
    if (rows * row * sizeof(float) != bytes) fail("'%s' has no rows of %zu float32 numbers.", argv[3], row);
    FILE *out = fopen(argv[4], "wb");
    if (!out) fail("Cannot write '%s'.", argv[4]);

    float *control = numbers(policy.action_dim);
    for (size_t t = 0; t < rows; t++) {
        const float *given = (const float *)data + t * row;
        if (steps) {
            for (size_t i = 0; i < inputs; given += sizes[i++])
                model_set(policy.observe, names[i], given, sizes[i]);
            observe(&policy);
        } else {
            memcpy(policy.observation, given, row * sizeof *given);
        }
        act(&policy);
        for (size_t i = 0; i < policy.action_dim; i++)
            control[i] = steps ? policy.base[i] + policy.offset[i] : policy.action[i];
        if (fwrite(control, sizeof *control, policy.action_dim, out) != policy.action_dim)
            fail("Cannot write '%s'.", argv[4]);
    }
    if (fclose(out)) fail("Cannot write '%s'.", argv[4]);
    printf("%zu rows of %zu numbers, %lu observations that were not finite\n", rows, policy.action_dim,
           policy.repeated);
    model_free(policy.observe);
    model_free(policy.infer);
    return 0;
}
