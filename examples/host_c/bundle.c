#include "bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "json.h"
#include "sha256.h"

enum { FORMAT = 1 }; /* the newest that this program reads */

char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *data = NULL;
    if (!fseek(file, 0, SEEK_END)) {
        long length = ftell(file);
        rewind(file);
        if (length >= 0 && (data = malloc((size_t)length + 1))) {
            *size = fread(data, 1, (size_t)length, file);
            data[*size] = '\0';
        }
    }
    if (data && ferror(file)) {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

static char *read_in(const char *folder, const char *name, size_t *size)
{
    char path[4400];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return NULL;
    return read_file(path, size);
}

static void check_format(const char *path, const char *object)
{
    double format;
    if (json_number(json_field(object, "format"), &format) && format > FORMAT)
        fail("'%s' has format %g, this program reads up to %d: upgrade it.", path, format, FORMAT);
}

/* [0-9a-f]{16}-[1-9][0-9]*: anything else could lead elsewhere. */
static int is_installation(const char *name)
{
    if (strspn(name, "0123456789abcdef") != 16 || name[16] != '-') return 0;
    const char *number = name + 17;
    size_t digits = strspn(number, "0123456789");
    return digits > 0 && *number != '0' && number[digits] == '\0';
}

/* The folder of the bundle: `path` itself, or what current.json names there. */
static void find_folder(const char *path, char *folder, size_t room)
{
    size_t size;
    char *pointer = read_in(path, "current.json", &size), name[128];
    int length = snprintf(folder, room, "%s", path);
    if (pointer) {
        const char *object = strlen(pointer) == size ? json_parse(pointer) : NULL;
        check_format(path, object);
        if (!json_string(json_field(object, "folder"), name, sizeof name) || !is_installation(name))
            fail("No bundle is installed in '%s': install one with 'synthjax bundle install'.", path);
        length = snprintf(folder, room, "%s/%s", path, name);
        free(pointer);
    }
    if (length >= (int)room) fail("The path '%s' is too long.", path);
}

Bundle bundle_open(const char *path)
{
    Bundle bundle;
    find_folder(path, bundle.folder, sizeof bundle.folder);
    size_t size, line_size;
    char *text = read_in(bundle.folder, "manifest.json", &size);
    if (!text) fail("There is no bundle '%s': give its folder, unpacked, or a folder of installations.", path);
    char *line = read_in(bundle.folder, "manifest.sha256", &line_size);
    char digest[SHA256_TEXT], expected[SHA256_TEXT + 32];
    sha256(text, size, digest);
    snprintf(expected, sizeof expected, "%s  manifest.json\n", digest);
    if (!line || line_size != strlen(expected) || memcmp(line, expected, line_size))
        fail("Bundle '%s' is damaged (manifest.json does not fit manifest.sha256): copy it again.", path);
    free(line);
    bundle.manifest = strlen(text) == size ? json_parse(text) : NULL;
    check_format(path, bundle.manifest);
    double format;
    if (!json_number(json_field(bundle.manifest, "format"), &format) || format != FORMAT)
        fail("'%s' has a manifest.json that cannot be used: export it again.", path);
    return bundle;
}

void *bundle_file(const Bundle *bundle, const char *name, size_t *size)
{
    const char *row = json_first(json_field(bundle->manifest, "files"));
    char text[SHA256_TEXT], digest[SHA256_TEXT];
    while (row && !(json_string(json_field(row, "name"), text, sizeof text) && !strcmp(text, name)))
        row = json_next(row);
    if (!row) fail("The bundle '%s' has no %s: export it again.", bundle->folder, name);
    void *data = read_in(bundle->folder, name, size);
    if (!data && json_string(json_field(row, "part"), text, sizeof text) && !strcmp(text, "training"))
        fail("'%s' is left out of '%s': install the bundle with --with-training.", name, bundle->folder);
    if (!data) fail("Bundle '%s' is damaged (%s: missing): copy it again.", bundle->folder, name);
    sha256(data, *size, digest);
    double bytes;
    if (!json_number(json_field(row, "bytes"), &bytes) || bytes != (double)*size ||
        !json_string(json_field(row, "sha256"), text, sizeof text) || strcmp(text, digest))
        fail("Bundle '%s' is damaged (%s: altered): copy it again.", bundle->folder, name);
    return data;
}
