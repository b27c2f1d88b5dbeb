/* Regular expressions for names of channels and for claims of tokens, in Go's syntax, because
 * files written for Centrifugo have them.
 *
 * Not libc's: that one takes a lock for each match, knows bytes instead of characters, and keeps
 * the states it has met, so that names of strangers make it grow (some patterns to 100 MB). Here a
 * match takes time in proportion to pattern times name, whatever either says, and no heap.
 *
 * Not there: flags such as (?i), named groups, classes of Unicode properties, \Q and \C. Groups
 * capture nothing, and "lazy" means nothing, as only a yes or no is asked for.
 *
 * Owns: the compiled pattern. Thread: any, it is constant.
 */
#ifndef CARILLON_BASE_PATTERN_H
#define CARILLON_BASE_PATTERN_H

#include "server/base/str.h"

#include <stdbool.h>

struct pattern;

/* Gives the compiled source; NULL, and *why in words, when it is none. */
struct pattern *pattern_create(struct str source, const char **why);

void pattern_destroy(struct pattern *p);

/* True when some part of the text matches, all of it only with ^ and $. The text is UTF-8. */
bool pattern_matches(const struct pattern *p, struct str text);

#endif
