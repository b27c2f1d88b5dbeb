/* See user_wire.h.
 *
 *     u8        action
 *     u8        flags
 *     u8        overridden options, a bit each; with FLAG_OWN_OPTIONS
 *     u16       code of a disconnect
 *     u64       expires_at_s
 *     u64, 8    since: offset, epoch
 *     7 texts   user, client, session, channel, data, info, text
 *     u32       ids of the whitelist, then these ids
 *
 * Thread: any.
 */
#include "server/session/user_wire.h"

#include "server/base/json_scan.h"
#include "server/base/mem.h"
#include "server/base/pack.h"
#include "server/session/client.h"

#include <string.h>

enum { FLAG_OWN_OPTIONS = 1, FLAG_RECOVERS = 2, FLAG_EXPIRED = 4 };
enum { FLAGS = FLAG_OWN_OPTIONS | FLAG_RECOVERS | FLAG_EXPIRED, OVERRIDES = 5, TEXTS = 7 };
enum { TEXT_MAX_BYTES = 4 << 20, CODE_MIN = 3000, CODE_MAX = 4999 };

static const int64_t time_max_s = INT64_C(1) << 40;

struct overrides {
    bool *list[OVERRIDES];
};

static struct overrides overrides_of(struct channel_options *o) {
    return (struct overrides){{&o->presence, &o->join_leave, &o->force_push_join_leave,
                               &o->force_positioning, &o->force_recovery}};
}

struct texts {
    struct str *list[TEXTS];
};

static struct texts texts_of(struct user_call *q) {
    return (struct texts){
        {&q->user, &q->client, &q->session, &q->channel, &q->data, &q->info, &q->text}};
}

/* --- writing ---------------------------------------------------------------------------------- */

static uint8_t override_bits(const struct user_call *q) {
    uint8_t bits = 0;
    if (!q->is_own_options)
        return 0;
    struct channel_options copy = *q->options;
    struct overrides all = overrides_of(&copy);
    for (int i = 0; i < OVERRIDES; i++)
        bits |= (uint8_t)(*all.list[i] << i);
    return bits;
}

void user_wire_add(struct buf *b, const struct user_call *q) {
    struct user_call copy = *q;
    struct texts texts = texts_of(&copy);
    pack_u8(b, (uint8_t)q->action);
    pack_u8(b, (uint8_t)((q->is_own_options ? FLAG_OWN_OPTIONS : 0) |
                         (q->recovers ? FLAG_RECOVERS : 0) | (q->is_expired ? FLAG_EXPIRED : 0)));
    pack_u8(b, override_bits(q));
    pack_u16(b, q->code);
    pack_u64(b, (uint64_t)q->expires_at_s);
    pack_u64(b, q->since.offset);
    buf_add(b, (struct str){q->since.epoch, EPOCH_BYTES});
    for (int i = 0; i < TEXTS; i++)
        pack_str(b, *texts.list[i]);
    pack_u32(b, (uint32_t)q->whitelist_count);
    for (size_t i = 0; i < q->whitelist_count; i++)
        buf_add(b, q->whitelist[i]);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Raw newlines would break the frames of JSON clients. */
static bool is_json(struct str s) {
    struct json_value value;
    struct json_fault fault;
    return s.n == 0 || (json_scan_all(s, &value, &fault) && !value.has_newline);
}

static bool are_sound(struct user_call *q) {
    struct texts texts = texts_of(q);
    for (int i = 0; i < TEXTS; i++)
        if (!str_is_utf8(*texts.list[i]))
            return false;
    return q->action <= USER_REFRESH && is_json(q->data) && is_json(q->info) &&
           q->text.n <= USER_CALL_REASON_MAX && q->expires_at_s >= 0 &&
           q->expires_at_s <= time_max_s &&
           (q->code == 0 || (q->code >= CODE_MIN && q->code <= CODE_MAX));
}

static bool find_options(struct user_wire *w, const struct rules *rules, uint8_t bits) {
    struct user_call *q = &w->call;
    if (q->is_own_options && q->action != USER_SUBSCRIBE)
        return false;
    if (q->action != USER_SUBSCRIBE && q->action != USER_UNSUBSCRIBE)
        return true;
    if (q->channel.n == 0 || rules_find(rules, q->channel, &q->options) != RULES_OK)
        return false;
    if (!q->is_own_options)
        return true;
    w->options = *q->options;
    q->options = &w->options;
    struct overrides all = overrides_of(&w->options);
    for (int i = 0; i < OVERRIDES; i++)
        *all.list[i] = bits >> i & 1;
    return true;
}

static void read_whitelist(struct unpack *u, struct user_wire *w) {
    size_t count = unpack_u32(u);
    if (u->is_bad || count > u->rest.n / CLIENT_ID_BYTES || count > USER_CALL_WHITELIST_MAX) {
        u->is_bad = true;
        return;
    }
    w->whitelist = mem_array(count + 1, sizeof(*w->whitelist));
    for (size_t i = 0; i < count; i++)
        w->whitelist[i] = unpack_bytes(u, CLIENT_ID_BYTES);
    w->call.whitelist = w->whitelist;
    w->call.whitelist_count = count;
}

bool user_wire_read(struct str bytes, const struct rules *rules, struct user_wire *out) {
    struct unpack u = {.rest = bytes};
    *out = (struct user_wire){0};
    struct user_call *q = &out->call;
    struct texts texts = texts_of(q);
    q->action = (enum user_action)unpack_u8(&u);
    uint8_t flags = unpack_u8(&u), bits = unpack_u8(&u);
    q->is_own_options = flags & FLAG_OWN_OPTIONS;
    q->recovers = flags & FLAG_RECOVERS;
    q->is_expired = flags & FLAG_EXPIRED;
    q->code = unpack_u16(&u);
    q->expires_at_s = (int64_t)unpack_u64(&u);
    q->since.offset = unpack_u64(&u);
    struct str epoch = unpack_bytes(&u, EPOCH_BYTES);
    if (epoch.n)
        memcpy(q->since.epoch, epoch.p, epoch.n);
    for (int i = 0; i < TEXTS; i++)
        *texts.list[i] = unpack_str(&u, TEXT_MAX_BYTES);
    read_whitelist(&u, out);
    return unpack_is_over(&u) && !(flags & ~FLAGS) && are_sound(q) &&
           find_options(out, rules, bits);
}

void user_wire_fini(struct user_wire *w) {
    mem_free(w->whitelist);
    w->whitelist = NULL;
}
