/* See json_object.h. Every name is compared with all before it: members_max bounds that, and is low
 * where strangers can make us do it (headers are read before the signature is checked).
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/json_object.h"

#include <assert.h>

struct names {
    struct str items[JSON_OBJECT_MEMBERS_MAX];
    size_t count;
    struct buf decoded; /* those that had escapes */
};

/* A decoded name is not longer than it was: with room for the whole object nothing ever moves. */
static struct str keep(struct buf *decoded, struct str name, size_t room_bytes) {
    if (!decoded->cap)
        buf_reserve(decoded, room_bytes);
    assert(name.n <= decoded->cap - decoded->n);
    struct str kept = {decoded->p + decoded->n, name.n};
    buf_add(decoded, name);
    return kept;
}

static bool is_known(const struct names *names, struct str name) {
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->items[i], name))
            return true;
    return false;
}

static bool names_differ(struct json_value object, size_t members_max) {
    struct json_value key, value;
    struct buf scratch = {0};
    struct names names = {.count = 0};
    bool is_good = true;
    for (size_t at = 0; is_good && json_each(object, &at, &key, &value);) {
        struct str name = json_decode(key, &scratch);
        is_good = names.count < members_max && !is_known(&names, name);
        if (is_good && key.has_escape)
            name = keep(&names.decoded, name, object.text.n);
        if (is_good)
            names.items[names.count++] = name;
    }
    buf_fini(&names.decoded);
    buf_fini(&scratch);
    return is_good;
}

bool json_object_read(struct str text, size_t members_max, struct json_value *out) {
    struct json_value object;
    struct json_fault fault;
    assert(members_max <= JSON_OBJECT_MEMBERS_MAX);
    if (!json_scan_all(text, &object, &fault) || object.kind != JSON_KIND_OBJECT ||
        !names_differ(object, members_max))
        return false;
    *out = object;
    return true;
}
