/* All option names there are, ours and Centrifugo's: for "did you mean" and to tell sections from
 * mistakes.
 *
 * Names have "[]" where a list index stands: channel.namespaces[].presence.
 *
 * Owns: nothing. Thread: any.
 */
#ifndef CARILLON_CONFIG_NAMES_H
#define CARILLON_CONFIG_NAMES_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>

/* The longest of all names fits. */
#define CONFIG_NAME_BYTES 128

/* True when names start with path and a dot: path is a section, its value an object. */
bool config_names_is_section(struct str path);

/* True when names start with path and "[]": its value is a list of objects. */
bool config_names_is_list(struct str path);

/* Appends ", did you mean A, B?" with the names nearest to path; nothing when none is near. */
void config_names_suggest(struct str path, struct buf *out);

/* The same for the name of an environment variable. */
void config_names_suggest_env(struct str variable, struct buf *out);

#endif
