/* Reads values out of a JSON text in place, without building a tree.
 *
 * Places are pointers to the first character of a value; NULL means that there is none, and every function
 * takes NULL and gives it back. The text has to end with a NUL. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

/* The value, if the whole text is one well-formed value. */
const char *json_parse(const char *text);
/* The value under `key` of an object; of two, the last, as in other readers. */
const char *json_field(const char *object, const char *key);
/* The first element of an array or key of an object, and the one after `value`. */
const char *json_first(const char *container);
const char *json_next(const char *value);
/* The value that belongs to a key of json_first and json_next. */
const char *json_value(const char *key);

/* False if it is no such value, or a string with escapes or longer than `size` - 1. */
bool json_string(const char *value, char *out, size_t size);
bool json_number(const char *value, double *out);

#endif
