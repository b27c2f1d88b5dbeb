/* Words of a command line.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_WORD_H
#define CARILLON_WORD_H

#include <stdbool.h>

/* Takes "--name VALUE" or "--name=VALUE" at argv[*at], and moves *at to the last word that was
 * taken. False when it is something else. Where the value is missing, *value is NULL and argv[*at]
 * too: *at is argc then. */
bool word_take(char **argv, int *at, const char *name, const char **value);

#endif
