/* See token_texts.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/token_texts.h"

#include "server/base/mem.h"

#include <assert.h>
#include <sodium.h>

static bool is_absent(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

bool token_has_control(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        unsigned char next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return true;
    }
    return false;
}

static struct str added(struct token_claims *c, size_t from) {
    return (struct str){c->texts.p + from, c->texts.n - from};
}

struct str token_add_text(struct token_claims *c, struct json_value string) {
    struct buf scratch = {0};
    size_t from = c->texts.n;
    struct str s = json_decode(string, &scratch);
    assert(s.n <= c->texts.cap - c->texts.n);
    buf_add(&c->texts, s);
    buf_fini(&scratch);
    return added(c, from);
}

/* Base64 of JSON: all that clients of a JSON protocol can be given. libsodium 1.0.18 takes any byte
 * from 0x80 up for a digit, so only ASCII gets there. */
static const char *read_base64(struct token_claims *c, struct json_value b64, struct str *out) {
    struct buf scratch = {0}, raw = {0};
    struct json_value v;
    struct json_fault ignored;
    size_t n = 0, from = c->texts.n;
    struct str s = b64.kind == JSON_KIND_STRING ? json_decode(b64, &scratch) : STR("-");
    char *to = buf_reserve(&raw, s.n + 1);
    bool is_good = str_ascii_length(s) == s.n &&
                   sodium_base642bin((unsigned char *)to, s.n + 1, s.p, s.n, NULL, &n, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) == 0 &&
                   json_scan_all((struct str){to, n}, &v, &ignored);
    if (is_good) {
        assert(v.text.n <= c->texts.cap - c->texts.n);
        json_add_line(&c->texts, v);
        *out = added(c, from);
    }
    buf_fini(&scratch);
    buf_fini(&raw);
    return is_good ? NULL : "b64info and b64data must be base64 of JSON";
}

const char *token_read_json(struct token_claims *c, struct json_value v, struct json_value b64,
                            struct str *out) {
    size_t from = c->texts.n;
    if (!is_absent(b64))
        return read_base64(c, b64, out);
    if (is_absent(v))
        return NULL;
    json_add_line(&c->texts, v);
    *out = added(c, from);
    return NULL;
}

static size_t count_items(struct json_value container) {
    struct json_value key, item;
    size_t count = 0;
    for (size_t at = 0; json_each(container, &at, &key, &item);)
        count++;
    return count;
}

const char *token_read_channels(struct token_claims *c, struct json_value v) {
    struct json_value item;
    if (is_absent(v))
        return NULL;
    if (v.kind != JSON_KIND_ARRAY)
        return "channels is not a list";
    size_t count = count_items(v);
    if (count > TOKEN_CHANNELS_MAX)
        return "channels has more than 1024 names";
    c->channels = count ? mem_array(count, sizeof(*c->channels)) : NULL;
    for (size_t at = 0; json_each(v, &at, NULL, &item);) {
        if (item.kind != JSON_KIND_STRING)
            return "channels has an item that is not a string";
        struct str name = token_add_text(c, item);
        if (name.n == 0 || token_has_control(name))
            return "channels has a name that is empty or has control characters";
        c->channels[c->channel_count++] = name;
    }
    return NULL;
}

const char *token_read_override(struct json_value v, struct token_override *out) {
    static const char why[] = "override is not an object of {\"value\":true} or false";
    struct json_field f[] = {JSON_FIELD("presence"), JSON_FIELD("join_leave"),
                             JSON_FIELD("force_push_join_leave"), JSON_FIELD("force_positioning"),
                             JSON_FIELD("force_recovery")};
    struct json_fault ignored;
    if (is_absent(v))
        return NULL;
    if (v.kind != JSON_KIND_OBJECT || !json_fields(v, f, 5, &ignored))
        return why;
    for (unsigned i = 0; i < 5; i++) {
        struct json_field value[] = {JSON_FIELD("value")};
        if (is_absent(f[i].value))
            continue;
        if (f[i].value.kind != JSON_KIND_OBJECT || !json_fields(f[i].value, value, 1, &ignored))
            return why;
        enum json_kind kind = value[0].value.kind;
        if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE)
            return why;
        out->given |= (uint8_t)(1u << i);
        out->on |= kind == JSON_KIND_TRUE ? (uint8_t)(1u << i) : 0;
    }
    return NULL;
}

static const char *read_sub(struct token_claims *c, struct json_value key, struct json_value v,
                            struct token_sub *out) {
    struct json_field f[] = {JSON_FIELD("info"), JSON_FIELD("b64info"), JSON_FIELD("data"),
                             JSON_FIELD("b64data"), JSON_FIELD("override")};
    struct json_fault ignored;
    out->channel = token_add_text(c, key);
    if (out->channel.n == 0 || token_has_control(out->channel))
        return "subs has a name that is empty or has control characters";
    if (v.kind != JSON_KIND_OBJECT || !json_fields(v, f, 5, &ignored))
        return "subs is not an object of objects";
    const char *fault = token_read_json(c, f[0].value, f[1].value, &out->info);
    if (!fault)
        fault = token_read_json(c, f[2].value, f[3].value, &out->data);
    return fault ? fault : token_read_override(f[4].value, &out->override);
}

const char *token_read_subs(struct token_claims *c, struct json_value v) {
    struct json_value key, item;
    const char *fault = NULL;
    if (is_absent(v))
        return NULL;
    if (v.kind != JSON_KIND_OBJECT)
        return "subs is not an object of objects";
    size_t count = count_items(v);
    if (count > TOKEN_CHANNELS_MAX)
        return "subs has more than 1024 names";
    if (count == 0)
        return NULL;
    c->subs = mem_array(count, sizeof(*c->subs));
    for (size_t at = 0; !fault && json_each(v, &at, &key, &item);)
        fault = read_sub(c, key, item, &c->subs[c->sub_count++]);
    return fault;
}
