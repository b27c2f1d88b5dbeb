/* See capabilities.h. The entries are flattened: one item for each name.
 *
 * Thread: any (no state).
 */
#include "auth/capabilities.h"

#include "server/base/glob.h"
#include "server/base/mem.h"
#include "server/base/pattern.h"

enum match { MATCH_EXACT, MATCH_WILDCARD, MATCH_REGEX };

struct item {
    char *name;
    size_t bytes;
    struct pattern *pattern; /* of MATCH_REGEX */
    enum match match;
    unsigned allow;
};

struct capabilities {
    uint32_t count;
    size_t regex_bytes;
    struct item items[];
};

void capabilities_destroy(struct capabilities *c) {
    if (!c)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        mem_free(c->items[i].name);
        pattern_destroy(c->items[i].pattern);
    }
    mem_free(c);
}

static bool is_absent(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

unsigned capability_named(struct str name) {
    static const struct {
        struct str name;
        unsigned bit;
    } known[] = {{{"sub", 3}, PERMIT_SUBSCRIBE},
                 {{"pub", 3}, PERMIT_PUBLISH},
                 {{"prs", 3}, PERMIT_PRESENCE},
                 {{"hst", 3}, PERMIT_HISTORY}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_equal(name, known[i].name))
            return known[i].bit;
    return 0;
}

bool capabilities_read_allow(struct json_value list, unsigned *permissions) {
    struct json_value word;
    struct buf scratch = {0};
    bool is_good = is_absent(list) || list.kind == JSON_KIND_ARRAY;
    *permissions = 0;
    for (size_t at = 0;
         is_good && list.kind == JSON_KIND_ARRAY && json_each(list, &at, NULL, &word);) {
        struct str name = word.kind == JSON_KIND_STRING ? json_decode(word, &scratch) : STR_NONE;
        unsigned bit = capability_named(name);
        is_good = bit != 0;
        *permissions |= bit;
    }
    buf_fini(&scratch);
    return is_good;
}

/* "match". False when it is none. */
static bool read_match(struct json_value v, enum match *match) {
    static const struct str words[] = {{"", 0}, {"wildcard", 8}, {"regex", 5}};
    struct buf scratch = {0};
    bool is_found = is_absent(v);
    *match = MATCH_EXACT;
    struct str word = v.kind == JSON_KIND_STRING ? json_decode(v, &scratch) : STR("?");
    for (size_t i = 0; !is_found && i < sizeof(words) / sizeof(words[0]); i++)
        if (str_equal(word, words[i])) {
            *match = (enum match)i;
            is_found = true;
        }
    buf_fini(&scratch);
    return is_found;
}

/* NULL, or what is wrong with the name. */
static const char *add_item(struct capabilities *c, struct str name, enum match match,
                            unsigned allow) {
    const char *why = NULL;
    struct pattern *pattern = NULL;
    if (name.n == 0)
        return "caps has an empty name of a channel";
    if (c->count == CAPABILITIES_CHANNELS_MAX)
        return "caps has more than 256 names of channels";
    if (match == MATCH_WILDCARD && glob_fault(name))
        return "caps has a wildcard that is none";
    if (match == MATCH_REGEX && (c->regex_bytes += name.n) > CAPABILITIES_REGEX_MAX_BYTES)
        return "caps has more than 1000 bytes of regular expressions";
    if (match == MATCH_REGEX && !(pattern = pattern_create(name, &why)))
        return "caps has a regular expression that is none, or not supported";
    c->items[c->count++] = (struct item){.name = mem_strndup(name.p, name.n),
                                         .bytes = name.n,
                                         .pattern = pattern,
                                         .match = match,
                                         .allow = allow};
    return NULL;
}

static const char *add_names(struct capabilities *c, struct json_value list, enum match match,
                             unsigned allow) {
    struct json_value item;
    struct buf scratch = {0};
    const char *fault = NULL;
    if (list.kind != JSON_KIND_ARRAY)
        return "caps needs \"channels\", a list of strings";
    for (size_t at = 0; !fault && json_each(list, &at, NULL, &item);)
        fault = item.kind == JSON_KIND_STRING
                    ? add_item(c, json_decode(item, &scratch), match, allow)
                    : "caps needs \"channels\", a list of strings";
    buf_fini(&scratch);
    return fault;
}

static const char *add_entry(struct capabilities *c, struct json_value entry) {
    struct json_field f[] = {JSON_FIELD("channels"), JSON_FIELD("match"), JSON_FIELD("allow")};
    struct json_fault ignored;
    enum match match;
    unsigned allow;
    if (entry.kind != JSON_KIND_OBJECT || !json_fields(entry, f, 3, &ignored))
        return "caps is not a list of objects";
    if (!read_match(f[1].value, &match))
        return "caps has a \"match\" that is not \"\", \"wildcard\" or \"regex\"";
    if (!capabilities_read_allow(f[2].value, &allow))
        return "caps has an \"allow\" that is not a list of sub, pub, prs and hst";
    return add_names(c, f[0].value, match, allow);
}

struct capabilities *capabilities_read(struct json_value claim, const char **fault) {
    struct json_value entry;
    const char *found = NULL;
    if (is_absent(claim))
        return NULL;
    struct capabilities *c =
        mem_zalloc(sizeof(*c) + CAPABILITIES_CHANNELS_MAX * sizeof(c->items[0]));
    if (claim.kind != JSON_KIND_ARRAY)
        found = "caps is not a list of objects";
    for (size_t at = 0; !found && json_each(claim, &at, NULL, &entry);)
        found = add_entry(c, entry);
    if (found)
        *fault = found;
    if (!found && c->count)
        return mem_realloc(c, sizeof(*c) + c->count * sizeof(c->items[0]));
    capabilities_destroy(c);
    return NULL;
}

static bool matches(const struct item *item, struct str channel) {
    struct str name = {item->name, item->bytes};
    switch (item->match) {
    case MATCH_EXACT:
        break;
    case MATCH_WILDCARD:
        return glob_matches(name, channel);
    case MATCH_REGEX:
        return pattern_matches(item->pattern, channel);
    }
    return str_equal(name, channel);
}

unsigned capabilities_in(const struct capabilities *c, struct str channel) {
    unsigned permissions = 0;
    for (uint32_t i = 0; c && i < c->count; i++)
        if ((c->items[i].allow & ~permissions) && matches(&c->items[i], channel))
            permissions |= c->items[i].allow;
    return permissions;
}
