/* See reply.h.
 *
 * Thread: any (no state).
 */
#include "server/doctor/reply.h"

enum { NUMBER_MAX = 1000000000 };

static struct str text_of(struct json_value v) {
    return v.kind == JSON_KIND_STRING ? str_slice(v.text, 1, v.text.n - 1) : STR_NONE;
}

static uint64_t number_of(struct json_value v) {
    uint64_t n = 0;
    if (v.kind == JSON_KIND_NUMBER)
        json_u64(v, NUMBER_MAX, &n);
    return n;
}

/* False when it is no object, or has a member twice. */
static bool look(struct json_value object, struct json_field *fields, size_t count) {
    struct json_fault ignored;
    return object.kind == JSON_KIND_OBJECT && json_fields(object, fields, count, &ignored);
}

static void read_connect(struct json_value v, struct reply *out) {
    struct json_field f[] = {JSON_FIELD("client"),  JSON_FIELD("version"), JSON_FIELD("ping"),
                             JSON_FIELD("session"), JSON_FIELD("node"),    JSON_FIELD("ttl")};
    if (!look(v, f, 6))
        return;
    out->is_connected = f[0].value.kind == JSON_KIND_STRING;
    out->version = text_of(f[1].value);
    out->ping_s = number_of(f[2].value);
    out->session = text_of(f[3].value);
    out->node = text_of(f[4].value);
    out->ttl_s = number_of(f[5].value);
}

static uint64_t read_code(struct json_value v, const char *text_name, struct str *message) {
    struct json_field f[] = {JSON_FIELD("code"), {.name = str_of(text_name)}};
    if (!look(v, f, 2))
        return 0;
    *message = text_of(f[1].value);
    return number_of(f[0].value);
}

static void read(struct json_value v, struct reply *out) {
    struct json_field f[] = {JSON_FIELD("id"), JSON_FIELD("error"), JSON_FIELD("connect"),
                             JSON_FIELD("push")};
    struct json_field disconnect[] = {JSON_FIELD("disconnect")};
    if (!look(v, f, 4))
        return;
    out->is_ping = v.text.n == 2;
    out->id = number_of(f[0].value);
    out->error_code = read_code(f[1].value, "message", &out->message);
    read_connect(f[2].value, out);
    if (look(f[3].value, disconnect, 1))
        out->disconnect_code = read_code(disconnect[0].value, "reason", &out->message);
}

bool reply_cut(struct str *text, struct reply *out) {
    struct json_value v;
    struct json_fault ignored;
    size_t n = json_scan(*text, &v, &ignored);
    *out = (struct reply){0};
    if (!n)
        return false;
    read(v, out);
    *text = str_slice(*text, n, text->n);
    return true;
}
