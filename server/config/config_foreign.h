/* Options of Centrifugo v6 that Carillon does not have.
 *
 * Each is *harmless* (without it something is missing, and one warning says what) or a *guard* (it
 * protects, limits or authenticates: without it something would be open, so it refuses the start
 * unless it has its default value or is named by --ignore). An option at its default is passed over
 * in silence, so that a file with everything spelled out stays readable here.
 *
 * Rows are grouped by section: the same rows serve every proxy, every TLS section, both token
 * sections and all namespaces.
 *
 * Owns: nothing, the rows are static. Thread: any.
 */
#ifndef CARILLON_CONFIG_FOREIGN_H
#define CARILLON_CONFIG_FOREIGN_H

#include "server/base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum foreign_type {
    FOREIGN_BOOL,
    FOREIGN_INT,
    FOREIGN_TEXT,
    FOREIGN_DURATION,
    FOREIGN_LIST,
    FOREIGN_NAME,    /* of an entry in a list: says nothing by itself, always passed over */
    FOREIGN_SECTION, /* an object or a list of objects; every name below it is known */
};

enum foreign_class { FOREIGN_HARMLESS, FOREIGN_GUARD };

struct foreign {
    const char *name; /* without the group's prefix */
    enum foreign_type type;
    enum foreign_class class;
    const char *preset;      /* "" is false, 0 or empty; several ones are separated by "|" */
    const char *consequence; /* NULL: the group's */
};

struct foreign_group {
    const char *prefix; /* "channel.namespaces[]." */
    const struct foreign *rows;
    const char *consequence;
    bool is_guard; /* whatever the rows say */
};

/* The list ends with a group without rows. */
extern const struct foreign_group config_foreign_groups[];

struct foreign_option {
    const struct foreign_group *group; /* NULL: not found */
    const struct foreign *row;
};

/* path has "[]" for every index. Names below a section give the section. */
struct foreign_option config_foreign_find(struct str path);

bool config_foreign_is_guard(struct foreign_option f);
const char *config_foreign_consequence(struct foreign_option f);

/* True when the value is the default, or says "not set". A section is at its default when nothing
 * in it is set or it is switched off by "enabled": false. */
bool config_foreign_is_default(struct foreign_option f, const json_t *value);

/* Gives the value that a text from the environment or the command line means. */
json_t *config_foreign_from_text(struct foreign_option f, const char *text);

#endif
