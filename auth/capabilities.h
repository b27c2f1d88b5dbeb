/* The claim "caps" of a connection token: in which channels its bearer may do what, whatever the
 * options of the channels say.
 *
 *   [{"channels": ["news:*"], "match": "wildcard", "allow": ["sub", "hst"]}]
 *
 * "match" says how names are held against "channels": "" or missing, exactly; "wildcard", with *
 * for anything, as glob.h says; "regex", as pattern.h says. What matches is united.
 *
 * A name is matched for each command on it, so what a token may make us do is bounded: at most
 * CAPABILITIES_CHANNELS_MAX names, and so many bytes of regular expressions.
 *
 * Owns: its texts and patterns. Thread: any, once it is made.
 */
#ifndef CARILLON_AUTH_CAPABILITIES_H
#define CARILLON_AUTH_CAPABILITIES_H

#include "server/base/json_scan.h"
#include "server/base/permissions.h"

#define CAPABILITIES_CHANNELS_MAX 256u
#define CAPABILITIES_REGEX_MAX_BYTES 1000u

struct capabilities;

/* Gives what the claim says; NULL for null, or for an empty list. On failure NULL with a static
 * text in *fault, which is left alone otherwise. */
struct capabilities *capabilities_read(struct json_value claim, const char **fault);

void capabilities_destroy(struct capabilities *c);

/* Bits of enum permission; c may be NULL. */
unsigned capabilities_in(const struct capabilities *c, struct str channel);

/* The bit of "sub", "pub", "prs" or "hst"; 0: it is none of these. */
unsigned capability_named(struct str name);

/* The value of "allow": a list of "sub", "pub", "prs" and "hst". False when it is none; null and a
 * missing one are an empty list. */
bool capabilities_read_allow(struct json_value list, unsigned *permissions);

#endif
