/* See handlers.h: what a method was given, and whether it can be run here.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"

#include <sodium.h>

bool api_is_missing(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

bool api_fields(struct api_command *c, struct json_value params, struct json_field *f,
                size_t count) {
    struct json_fault fault;
    if (!json_fields(params, f, count, &fault)) {
        api_refuse(c, "a member is there twice");
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (f[i].value.kind == JSON_KIND_NULL)
            f[i].value = (struct json_value){0};
    return true;
}

bool api_is_string(struct json_value v) {
    return api_is_missing(v) || v.kind == JSON_KIND_STRING;
}

bool api_bool(struct json_value v, bool *out) {
    if (api_is_missing(v))
        return true;
    *out = v.kind == JSON_KIND_TRUE;
    return v.kind == JSON_KIND_TRUE || v.kind == JSON_KIND_FALSE;
}

bool api_u64(struct json_value v, uint64_t max, uint64_t *out) {
    return api_is_missing(v) || (v.kind == JSON_KIND_NUMBER && json_u64(v, max, out));
}

bool api_i64(struct json_value v, int64_t min, int64_t max, int64_t *out) {
    int64_t i;
    if (api_is_missing(v))
        return true;
    if (v.kind != JSON_KIND_NUMBER || !json_i64(v, &i) || i < min || i > max)
        return false;
    *out = i;
    return true;
}

struct str api_text(struct json_value v, struct buf *scratch) {
    return v.kind == JSON_KIND_STRING ? json_decode(v, scratch) : STR_NONE;
}

struct str api_line(struct json_value v, struct buf *line) {
    if (!v.has_newline)
        return v.text;
    json_add_line(line, v);
    return buf_str(line);
}

bool api_b64(struct json_value v, struct buf *raw, struct json_value *out) {
    struct json_fault fault;
    struct buf text = {0};
    struct str s = api_text(v, &text);
    char *to = buf_reserve(raw, s.n + 1);
    size_t n = 0;
    /* libsodium 1.0.18 takes any byte from 0x80 up for a base64 digit. */
    bool is_good = str_ascii_length(s) == s.n &&
                   sodium_base642bin((unsigned char *)to, s.n + 1, s.p, s.n, NULL, &n, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) == 0 &&
                   json_scan_all((struct str){to, n}, out, &fault);
    raw->n = n;
    buf_fini(&text);
    return is_good;
}

bool api_position(struct json_value v, struct position *out) {
    struct json_field f[] = {JSON_FIELD("offset"), JSON_FIELD("epoch")};
    struct json_fault fault;
    struct buf scratch = {0};
    *out = (struct position){0};
    if (v.kind != JSON_KIND_OBJECT || !json_fields(v, f, 2, &fault) ||
        !api_u64(f[0].value, UINT64_MAX, &out->offset) || !api_is_string(f[1].value))
        return false;
    position_set_epoch(out, api_text(f[1].value, &scratch));
    buf_fini(&scratch);
    return true;
}

bool api_channel(struct api_command *c, struct json_value v, struct buf *scratch, struct str *name,
                 const struct channel_options **o) {
    *name = api_text(v, scratch);
    if (name->n == 0) {
        api_refuse(c, "\"channel\" must be a string that is not empty");
        return false;
    }
    switch (rules_find(&c->sessions->config->rules, *name, o)) {
    case RULES_OK:
        return true;
    case RULES_BAD_NAME:
        api_refuse(c, "this is no name for a channel here");
        return false;
    case RULES_UNKNOWN_NAMESPACE:
        break;
    }
    api_fail(c, API_UNKNOWN_CHANNEL);
    return false;
}

bool api_has_room(struct api_command *c) {
    if (c->room_bytes)
        return true;
    api_refuse(c, "the answers of this batch are too large already; ask again for this one");
    return false;
}
