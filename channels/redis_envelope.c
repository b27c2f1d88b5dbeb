/* See redis_envelope.h.
 *
 * Thread: any.
 */
#include "channels/redis_envelope.h"

#include "server/base/json_scan.h"

#include <ctype.h>
#include <string.h>

enum { HEADER_BYTES = 32, TEXTS = 6, TEXT_DATA = 0 };
/* Of a place: */
enum { AT_BYTES = 4, AT_OFFSET = 8, AT_EPOCH = 16, AT_FLAGS = 24, AT_TTL = 28, AT_SIZE = 32 };

static const char magic[] = "CRN1", place_magic[] = "CRN2";

struct texts {
    struct str list[TEXTS];
};

static struct texts texts_of(const struct msg_parts *p) {
    return (struct texts){{p->data, p->tags, p->user, p->client, p->conn_info, p->chan_info}};
}

static size_t max_bytes(int text) {
    return text == TEXT_DATA ? REDIS_ENVELOPE_DATA_MAX : REDIS_ENVELOPE_TEXT_MAX;
}

static char kind_letter(enum msg_kind kind) {
    return "PJL"[kind];
}

static bool kind_of(char letter, enum msg_kind *kind) {
    switch (letter) {
    case 'P':
        *kind = MSG_PUBLICATION;
        return true;
    case 'J':
        *kind = MSG_JOIN;
        return true;
    case 'L':
        *kind = MSG_LEAVE;
        return true;
    default:
        return false;
    }
}

size_t redis_envelope_bytes(const struct msg_parts *p) {
    return HEADER_BYTES + p->data.n + p->tags.n + p->user.n + p->client.n + p->conn_info.n +
           p->chan_info.n;
}

static void put_u32(char *at, size_t v) {
    for (int i = 0; i < 4; i++)
        at[i] = (char)(v >> (8 * i) & 0xff);
}

static uint64_t get_u64(const char *at) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return v;
}

static size_t get_u32(const char *at) {
    size_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= (size_t)(unsigned char)at[i] << (8 * i);
    return v;
}

bool redis_envelope_add(struct buf *b, const struct msg_parts *p) {
    struct texts texts = texts_of(p);
    char header[HEADER_BYTES] = {0};
    memcpy(header, magic, 4);
    header[4] = kind_letter(p->kind);
    for (int i = 0; i < TEXTS; i++) {
        if (texts.list[i].n > max_bytes(i))
            return false;
        put_u32(header + 8 + 4 * i, texts.list[i].n);
    }
    buf_reserve(b, redis_envelope_bytes(p));
    buf_add(b, (struct str){header, HEADER_BYTES});
    for (int i = 0; i < TEXTS; i++)
        buf_add(b, texts.list[i]);
    return true;
}

/* Cuts white space off a JSON value that fits in one line: raw newlines would break the frames of
 * JSON clients. */
static bool take_json(struct str *s, enum json_kind *kind) {
    struct json_value value;
    struct json_fault fault;
    if (!json_scan_all(*s, &value, &fault) || value.has_newline)
        return false;
    *s = value.text;
    *kind = value.kind;
    return true;
}

static bool take_info(struct str *s) {
    enum json_kind kind;
    return s->n == 0 || take_json(s, &kind);
}

static bool take_tags(struct str *s) {
    enum json_kind kind;
    return s->n == 0 || (take_json(s, &kind) && kind == JSON_KIND_OBJECT);
}

static bool check_parts(struct msg_parts *p) {
    enum json_kind kind;
    if (!str_is_utf8(p->user) || !str_is_utf8(p->client) || !take_info(&p->conn_info) ||
        !take_info(&p->chan_info))
        return false;
    if (p->kind == MSG_PUBLICATION)
        return take_json(&p->data, &kind) && take_tags(&p->tags);
    return p->data.n == 0 && p->tags.n == 0 && p->client.n > 0;
}

static bool split(struct str envelope, struct texts *out) {
    size_t at = HEADER_BYTES;
    for (int i = 0; i < TEXTS; i++) {
        size_t n = get_u32(envelope.p + 8 + 4 * i);
        if (n > max_bytes(i) || n > envelope.n - at)
            return false;
        out->list[i] = (struct str){envelope.p + at, n};
        at += n;
    }
    return at == envelope.n;
}

bool redis_envelope_read(struct str e, struct msg_parts *out) {
    struct msg_parts p = {.channel = out->channel};
    struct texts texts;
    if (e.n < HEADER_BYTES || memcmp(e.p, magic, 4) != 0 || !kind_of(e.p[4], &p.kind) || e.p[5] ||
        e.p[6] || e.p[7] || !split(e, &texts))
        return false;
    p.data = texts.list[0];
    p.tags = texts.list[1];
    p.user = texts.list[2];
    p.client = texts.list[3];
    p.conn_info = texts.list[4];
    p.chan_info = texts.list[5];
    if (!check_parts(&p))
        return false;
    *out = p;
    return true;
}

struct str redis_place_tail(uint32_t flags, uint64_t ttl_ms, uint32_t size,
                            char out[REDIS_PLACE_TAIL_BYTES]) {
    uint64_t ttl_s = (ttl_ms + 999) / 1000;
    put_u32(out, flags);
    put_u32(out + 4, ttl_s < UINT32_MAX ? ttl_s : UINT32_MAX);
    put_u32(out + 8, size);
    return (struct str){out, REDIS_PLACE_TAIL_BYTES};
}

static bool is_epoch(const char *epoch) {
    for (int i = 0; i < EPOCH_BYTES; i++)
        if (!isalnum((unsigned char)epoch[i]))
            return false;
    return true;
}

bool redis_place_read(struct str *text, struct redis_place *out) {
    struct redis_place place = {0};
    const char *p = text->p;
    if (text->n < 4 || memcmp(p, place_magic, 4) != 0) {
        *out = place;
        return true;
    }
    if (text->n < REDIS_PLACE_BYTES || get_u32(p + AT_BYTES) < REDIS_PLACE_BYTES ||
        get_u32(p + AT_BYTES) > text->n)
        return false;
    place.position.offset = get_u64(p + AT_OFFSET);
    memcpy(place.position.epoch, p + AT_EPOCH, EPOCH_BYTES);
    place.flags = (uint32_t)get_u32(p + AT_FLAGS);
    place.ttl_s = (uint32_t)get_u32(p + AT_TTL);
    place.size = (uint32_t)get_u32(p + AT_SIZE);
    bool is_alone = place.flags & (REDIS_PLACE_REMOVED | REDIS_PLACE_BROKEN);
    if (!is_epoch(place.position.epoch) || (place.position.offset == 0 && !is_alone))
        return false;
    *text = str_slice(*text, get_u32(p + AT_BYTES), text->n);
    *out = place;
    return true;
}
