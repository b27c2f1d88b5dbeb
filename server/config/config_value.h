/* Values of options: from text or JSON into a field, and back into text.
 *
 * Texts are what stands on the command line and in the environment: `true`, `42`, `1m30s`, lists
 * separated by commas or spaces. JSON is strict: true, 42, "1m30s", ["a", "b"]; null is "not set",
 * as Centrifugo's own tools write it.
 *
 * Thread: any. Owns: nothing; a field owns its text.
 */
#ifndef CARILLON_CONFIG_VALUE_H
#define CARILLON_CONFIG_VALUE_H

#include "server/config/config_options.h"

#include <jansson.h>

/* Longest of what was found that an error repeats. */
#define CONFIG_SHOWN_BYTES 60

/* Sets the field of option o in *base and frees what was there. False leaves it alone and appends
 * to *why what was found (unless it is a secret) and what is allowed. */
bool option_set_text(void *base, const struct option *o, const char *text, struct buf *why);
bool option_set_json(void *base, const struct option *o, const json_t *value, struct buf *why);

/* Sets a field back to zero; frees what it owns and wipes secrets. */
void option_clear(void *base, const struct option *o);

/* Appends the field's value for people; "(secret)" for a secret that is set. */
void option_print(const void *base, const struct option *o, struct buf *out);

/* Appends what is allowed: "true or false", "a duration such as "10s", from 1s to 1h". */
void option_print_allowed(const struct option *o, struct buf *out);

/* Hours, minutes, seconds, milliseconds and so on in any order: "1h30m", "1.5s"; also a plain "0".
 * False when it is none, is no whole number of milliseconds, or is longer than 10 years. */
bool duration_parse(struct str text, uint64_t *ms);
void duration_print(uint64_t ms, struct buf *out);

/* Appends at most max_bytes of s, all but printable ASCII as \xNN. */
void config_print_safe(struct buf *out, struct str s, size_t max_bytes);

/* Borrows the content with a zero after it. */
const char *config_z(struct buf *b);

void config_strings_add(struct config_strings *list, struct str item);
void config_strings_fini(struct config_strings *list);

#endif
