/* The table of options Carillon has: name, type, range, default, text. Everything that reads,
 * checks, prints or documents configuration walks this table; nobody compares option names by hand.
 *
 * There are two lists of rows: fields of struct config, and fields of struct channel_options, which
 * exist once for channel.without_namespace and once per entry of channel.namespaces[].
 *
 * Owns: nothing, the rows are static. Thread: any.
 */
#ifndef CARILLON_CONFIG_OPTIONS_H
#define CARILLON_CONFIG_OPTIONS_H

#include "server/config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_BOOL,     /* bool */
    OPTION_COUNT,    /* uint32_t */
    OPTION_BYTES,    /* uint32_t, a size */
    OPTION_DURATION, /* uint32_t, milliseconds; written "1m30s" */
    OPTION_SECONDS,  /* uint32_t, seconds; written like a duration, min and max in milliseconds */
    OPTION_TEXT,     /* char * */
    OPTION_WORD,     /* char *, one of .words */
    OPTION_WORDS,    /* uint32_t, a list of some of .words: bit 0 is the first of them */
    OPTION_LIST,     /* struct config_strings */
};

enum option_flag {
    OPTION_OWN = 1,    /* Centrifugo does not have it */
    OPTION_SECRET = 2, /* never printed, refused on the command line, has a ..._FILE variable */
    OPTION_QUIET = 4,  /* may hold a secret: never printed */
    OPTION_LINES = 8,  /* a text of several lines will do */
};

/* Whether a text, or one item of a list, will do. May normalise it in place (same length). Always
 * sets *allowed to what will do. */
typedef bool (*option_check_fn)(char *value, const char **allowed);

struct option {
    const char *name;
    enum option_type type;
    uint32_t offset;    /* of the field in struct config or struct channel_options */
    uint64_t min, max;  /* the number, the milliseconds, or the length of a text or list item */
    const char *preset; /* the default, as on the command line */
    const char *text;   /* for people */
    const char *words;  /* what is allowed, separated by spaces; " a b" allows empty, too */
    option_check_fn check;
    unsigned flags;
};

#define CONFIG_WITHOUT_NAMESPACE "channel.without_namespace"
#define CONFIG_NAMESPACES "channel.namespaces"
#define CONFIG_NAMESPACES_MAX 1000

/* Fields of struct config. The list ends with a row without a name. */
extern const struct option config_options[];

/* Fields of struct channel_options; names without the section. The first row is the name of a
 * namespace, which channel.without_namespace does not have. */
extern const struct option config_channel_options[];

/* NULL when there is none. */
const struct option *config_option_find(const struct option *list, struct str name);

/* Gives every field of the list its default; base is a zeroed struct. */
void config_options_preset(const struct option *list, void *base);

/* Frees what the fields of the list own; secrets are wiped. */
void config_options_clear(const struct option *list, void *base);

#define CONFIG_ENV_PREFIX "CARILLON_"

/* Appends the name of an option's environment variable. section may be "". */
void config_env_name(struct buf *out, const char *section, const char *name);

/* True when the variable is that of the option; with is_below also when it only begins like it:
 * CARILLON_A_B_C is below a.b. */
bool config_env_matches(struct str variable, const char *section, const char *name, bool is_below);

#endif
