/* Shell patterns for names, as in Centrifugo's `channels`: `*` stands for any text, `?` for one
 * character, `[a-z_]` for one of these ASCII characters, `[!a-z]` for any other one, and `\` takes
 * the meaning from the character behind it. There are no alternatives: `{a,b}` is refused.
 *
 * A match takes at most the product of both lengths in steps.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_GLOB_H
#define CARILLON_GLOB_H

#include "server/base/str.h"

/* NULL, or what is wrong with it (static text). The pattern must be UTF-8. */
const char *glob_fault(struct str pattern);

/* The pattern must be without fault, s UTF-8. */
bool glob_matches(struct str pattern, struct str s);

#endif
