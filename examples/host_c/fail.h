/* Mistakes end the program: one sentence on stderr, exit code 2. */
#ifndef FAIL_H
#define FAIL_H

_Noreturn void fail(const char *format, ...);

#endif
