/* SHA-256 (FIPS 180-4) in lower-case hexadecimal. */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>

enum { SHA256_TEXT = 65 }; /* characters, with the NUL */

void sha256(const void *data, size_t size, char out[SHA256_TEXT]);

#endif
