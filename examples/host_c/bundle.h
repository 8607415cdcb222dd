/* A bundle as a folder, or the one that is installed in a folder of installations (docs/bundles.md). */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stddef.h>

typedef struct {
    char folder[4096];
    const char *manifest; /* the JSON object, verified */
} Bundle;

/* Opens what stands at `path`, and verifies the manifest; fails if it cannot be used. */
Bundle bundle_open(const char *path);

/* The content of a file of the bundle, verified against the manifest; fails if it is not whole. */
void *bundle_file(const Bundle *bundle, const char *name, size_t *size);

/* A whole file with a NUL after it, or NULL if it cannot be read. */
char *read_file(const char *path, size_t *size);

#endif
