/* Acts and learns with a bundle: the C port of synthjax/deploy/runtime.py.
 *
 *     host [options] infer FOLDER observations.f32 actions.f32
 *     host [options] step FOLDER sensors.f32 controls.f32
 *     host [options] train FOLDER minibatches.f32 learned.f32
 *
 * FOLDER is an unpacked bundle or a folder of installations. Files hold rows of raw float32 numbers: `infer`
 * takes observations and gives actions; `step` takes what the simulator says, one control step a row, each
 * input of `observe.inputs` in the manifest after the other in their order there (without previous_action
 * and carried), and gives motor inputs. `train` takes minibatches, one gradient step a row, each tensor of
 * `finetune.minibatch` in the same way, and gives what was learned, laid out as params.bin. Everything is
 * deterministic.
 *
 *     --library libLiteRt.so    where LiteRT is
 *     --layout HASH             the observation.hash that the observations are of; another one is refused
 *     --learned FILE            acts with what `train` gave, or goes on from it */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "fail.h"
#include "json.h"
#include "model.h"
#include "rows.h"
#include "training.h"

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

static Model *load(const Bundle *bundle, const char *name, const char *signature)
{
    size_t size;
    void *data = bundle_file(bundle, name, &size);
    return model_load(name, data, size, signature);
}

static void check_layout(const Bundle *bundle, const char *layout)
{
    char own[64];
    if (!json_string(json_field(json_field(bundle->manifest, "observation"), "hash"), own, sizeof own))
        fail("The manifest does not say how the observation is laid out: export the bundle again.");
    if (strcmp(own, layout))
        fail("The bundle's observations are laid out as %s, the host's as %s: export the policy of a run with the "
             "host's layout, or build the host for this one.", own, layout);
}

/* The policy as it was exported, or as it was `learned`. */
static Policy policy_load(const Bundle *bundle, const Learned *learned, bool observes)
{
    Policy policy = {0};
    double size;
    policy.infer = load(bundle, learned ? "finetune.tflite" : "policy.tflite", "infer");
    if (learned) {
        const Vector *params = learned_vector(learned, "params");
        model_set(policy.infer, "params", learned->values + params->start, params->size);
    }
    policy.observation_dim = model_input_size(policy.infer, "observation");
    policy.action_dim = model_output_size(policy.infer, "action");
    if (!json_number(json_field(json_field(bundle->manifest, "observation"), "size"), &size) ||
        size != (double)policy.observation_dim || !policy.observation_dim || !policy.action_dim)
        fail("The policy does not fit the manifest of its bundle: export it again.");
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

static FILE *open_output(const char *path)
{
    FILE *out = fopen(path, "wb");
    if (!out) fail("Cannot write '%s'.", path);
    return out;
}

static void write_numbers(FILE *out, const char *path, const float *values, size_t count)
{
    if (fwrite(values, sizeof *values, count, out) != count) fail("Cannot write '%s'.", path);
}

static void act_on_rows(const Bundle *bundle, const Learned *learned, bool steps, char **paths)
{
    Policy policy = policy_load(bundle, learned, steps);
    Row row = {0};
    if (steps) row = row_of(json_field(json_field(bundle->manifest, "observe"), "inputs"), policy.observe);
    size_t size = steps ? row.size : policy.observation_dim, rows;
    float *data = read_rows(paths[0], size, &rows), *control = numbers(policy.action_dim);
    FILE *out = open_output(paths[1]);
    for (size_t t = 0; t < rows; t++) {
        const float *given = data + t * size;
        if (steps) {
            row_set(&row, policy.observe, given);
            observe(&policy);
        } else {
            memcpy(policy.observation, given, size * sizeof *given);
        }
        act(&policy);
        for (size_t i = 0; i < policy.action_dim; i++)
            control[i] = steps ? policy.base[i] + policy.offset[i] : policy.action[i];
        write_numbers(out, paths[1], control, policy.action_dim);
    }
    if (fclose(out)) fail("Cannot write '%s'.", paths[1]);
    printf("%zu rows of %zu numbers, %lu observations that were not finite\n", rows, policy.action_dim,
           policy.repeated);
    model_free(policy.observe);
    model_free(policy.infer);
}

static void learn(const Bundle *bundle, Learned *learned, char **paths)
{
    size_t dropped, steps = train(bundle, learned, paths[0], &dropped);
    FILE *out = open_output(paths[1]);
    write_numbers(out, paths[1], learned->values, learned->size);
    if (fclose(out)) fail("Cannot write '%s'.", paths[1]);
    printf("%zu gradient steps on %zu numbers, %zu that were not finite\n", steps, learned->size, dropped);
}

int main(int argc, char **argv)
{
    const char *library = "libLiteRt.so", *path = NULL, *layout = NULL;
    for (; argc > 2 && !strncmp(argv[1], "--", 2); argc -= 2, argv += 2) {
        if (!strcmp(argv[1], "--library")) library = argv[2];
        else if (!strcmp(argv[1], "--learned")) path = argv[2];
        else if (!strcmp(argv[1], "--layout")) layout = argv[2];
        else fail("There is no option %s.", argv[1]);
    }
    const char *verb = argc == 5 ? argv[1] : "";
    bool trains = !strcmp(verb, "train"), steps = !strcmp(verb, "step");
    if (!trains && !steps && strcmp(verb, "infer"))
        fail("host [--library libLiteRt.so] [--layout HASH] [--learned FILE] infer|step|train FOLDER input.f32 output.f32");
    Bundle bundle = bundle_open(argv[2]);
    if (layout) check_layout(&bundle, layout);
    runtime_load(library);
    Learned learned = {0};
    if (trains || path) learned = learned_load(&bundle, path);
    if (trains)
        learn(&bundle, &learned, argv + 3);
    else
        act_on_rows(&bundle, path ? &learned : NULL, steps, argv + 3);
    return 0;
}
