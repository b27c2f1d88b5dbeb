/* Looking up and judging Centrifugo options that Carillon does not have: see config_foreign.h. The
 * rows are in config_foreign_rows.c.
 *
 * Thread: any. Owns: nothing.
 */
#include "server/config/config_foreign.h"

#include "server/config/config_value.h"

#include <string.h>

/* "name" itself, or for a section anything below it. */
static bool is_row_of(const struct foreign *row, struct str name) {
    struct str own = str_of(row->name);
    if (str_equal(own, name))
        return true;
    return row->type == FOREIGN_SECTION && name.n > own.n && str_starts(name, own) &&
           (name.p[own.n] == '.' || name.p[own.n] == '[');
}

struct foreign_option config_foreign_find(struct str path) {
    for (const struct foreign_group *g = config_foreign_groups; g->rows; g++) {
        struct str prefix = str_of(g->prefix);
        if (!str_starts(path, prefix))
            continue;
        for (const struct foreign *row = g->rows; row->name; row++)
            if (is_row_of(row, str_slice(path, prefix.n, path.n)))
                return (struct foreign_option){g, row};
    }
    return (struct foreign_option){NULL, NULL};
}

bool config_foreign_is_guard(struct foreign_option f) {
    return f.group->is_guard || f.row->class == FOREIGN_GUARD;
}

const char *config_foreign_consequence(struct foreign_option f) {
    return f.row->consequence ? f.row->consequence : f.group->consequence;
}

/* ---- defaults ---- */

/* Nothing is set in v: null, false, 0, "", and containers of such. */
static bool is_nothing(const json_t *v) {
    const char *key;
    const json_t *member;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)(uintptr_t)v, key,
                            member) if (!is_nothing(member)) return false;
        return true;
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_nothing(json_array_get(v, i)))
            return false;
    if (json_is_string(v))
        return !*json_string_value(v);
    return json_is_array(v) || json_is_null(v) || json_is_false(v) ||
           (json_is_integer(v) && json_integer_value(v) == 0);
}

static bool is_same_duration(const char *a, struct str b) {
    uint64_t a_ms, b_ms;
    return duration_parse(str_of(a), &a_ms) && duration_parse(b, &b_ms) && a_ms == b_ms;
}

/* b is one of the row's defaults, not empty. */
static bool is_same(enum foreign_type type, const json_t *v, struct str b) {
    const char *text = json_string_value(v);
    uint64_t n;
    if (type == FOREIGN_INT)
        return json_is_integer(v) && json_integer_value(v) >= 0 && str_to_u64(b, &n) &&
               (uint64_t)json_integer_value(v) == n;
    if (type == FOREIGN_DURATION)
        return text && is_same_duration(text, b);
    return text && str_equal(str_of(text), b);
}

static bool is_zero_of(enum foreign_type type, const json_t *v) {
    if (type == FOREIGN_DURATION && json_is_string(v))
        return is_same_duration(json_string_value(v), STR("0"));
    return is_nothing(v);
}

bool config_foreign_is_default(struct foreign_option f, const json_t *value) {
    if (json_is_null(value) || f.row->type == FOREIGN_NAME)
        return true;
    if (f.row->type == FOREIGN_SECTION)
        return is_nothing(value) || json_is_false(json_object_get(value, "enabled"));
    struct str rest = str_of(f.row->preset);
    do {
        size_t end = str_find(rest, '|');
        struct str preset = str_slice(rest, 0, end);
        if (preset.n ? is_same(f.row->type, value, preset) : is_zero_of(f.row->type, value))
            return true;
        rest = str_slice(rest, end + 1, rest.n);
    } while (rest.n);
    return false;
}

json_t *config_foreign_from_text(struct foreign_option f, const char *text) {
    json_error_t error;
    uint64_t n;
    if (f.row->type == FOREIGN_BOOL && (!strcmp(text, "true") || !strcmp(text, "1")))
        return json_true();
    if (f.row->type == FOREIGN_BOOL && (!strcmp(text, "false") || !strcmp(text, "0")))
        return json_false();
    if (f.row->type == FOREIGN_INT && str_to_u64(str_of(text), &n) && n <= INT64_MAX)
        return json_integer((json_int_t)n);
    json_t *v = NULL;
    if (*text == '{' || *text == '[' || f.row->type == FOREIGN_SECTION)
        v = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!v) /* NULL when it is no UTF-8: then it is certainly not the default */
        v = json_string(text);
    return v ? v : json_true();
}
