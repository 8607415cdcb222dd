#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 }; /* containers in each other, so that no text overflows the stack */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        if ((unsigned char)*at < 0x20) return NULL;
    }
    return at + 1;
}

static const char *skip_number(const char *at)
{
    const char *begin = at += *at == '-';
    at += strspn(at, "0123456789");
    if (at == begin || (*begin == '0' && at > begin + 1)) return NULL;
    if (*at == '.') {
        size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0) return NULL;
        at += 1 + digits;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        size_t digits = strspn(at, "0123456789");
        if (digits == 0) return NULL;
        at += digits;
    }
    return at;
}

/* The place after a value, or NULL if it is malformed. */
static const char *skip(const char *at, int depth)
{
    if (*at == '"') return skip_string(at);
    if (*at == '-' || (*at >= '0' && *at <= '9')) return skip_number(at);
    if (!strncmp(at, "true", 4) || !strncmp(at, "null", 4)) return at + 4;
    if (!strncmp(at, "false", 5)) return at + 5;
    if ((*at != '{' && *at != '[') || depth == DEEPEST) return NULL;
    bool object = *at == '{';
    char end = object ? '}' : ']';
    at = skip_space(at + 1);
    if (*at == end) return at + 1;
    for (;;) {
        if (object) {
            if (*at != '"' || !(at = skip_string(at))) return NULL;
            at = skip_space(at);
            if (*at++ != ':') return NULL;
            at = skip_space(at);
        }
        if (!(at = skip(at, depth + 1))) return NULL;
        at = skip_space(at);
        if (*at == end) return at + 1;
        if (*at++ != ',') return NULL;
        at = skip_space(at);
    }
}

const char *json_parse(const char *text)
{
    const char *value = skip_space(text), *end = skip(value, 0);
    return end && *skip_space(end) == '\0' ? value : NULL;
}

const char *json_first(const char *container)
{
    if (!container || (*container != '{' && *container != '[')) return NULL;
    const char *at = skip_space(container + 1);
    return *at == '}' || *at == ']' ? NULL : at;
}

const char *json_value(const char *key)
{
    return key ? skip_space(skip_space(skip_string(key)) + 1) : NULL;
}

const char *json_next(const char *value)
{
    if (!value) return NULL;
    const char *at = skip_space(skip(value, 0));
    if (*at == ':') at = skip_space(skip(skip_space(at + 1), 0));
    return *at == ',' ? skip_space(at + 1) : NULL;
}

const char *json_field(const char *object, const char *key)
{
    if (!object || *object != '{') return NULL;
    const char *found = NULL;
    size_t length = strlen(key);
    for (const char *at = json_first(object); at; at = json_next(at))
        if (!strncmp(at + 1, key, length) && at[1 + length] == '"') found = json_value(at);
    return found;
}

bool json_string(const char *value, char *out, size_t size)
{
    if (!value || *value != '"') return false;
    size_t length = strcspn(value + 1, "\"\\");
    if (value[1 + length] != '"' || length >= size) return false;
    memcpy(out, value + 1, length);
    out[length] = '\0';
    return true;
}

bool json_number(const char *value, double *out)
{
    if (!value || (*value != '-' && (*value < '0' || *value > '9'))) return false;
    *out = strtod(value, NULL);
    return true;
}
