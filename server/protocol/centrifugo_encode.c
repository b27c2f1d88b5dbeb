/* See centrifugo_encode.h.
 *
 * Thread: any; no state.
 */
#include "server/protocol/centrifugo_encode.h"

#include "server/base/clock.h"
#include "server/base/json_scan.h"
#include "server/base/version.h"
#include "server/session/client.h"
#include "server/session/client_info.h"
#include "server/session/sessions.h"

#include <assert.h>

uint16_t centrifugo_close_code(enum close_reason r) {
    static const uint16_t codes[CLOSE_REASON_COUNT] = {
        [CLOSE_SHUTDOWN] = 3001,
        [CLOSE_INTERNAL] = 3004,
        [CLOSE_EXPIRED] = 3005,
        [CLOSE_SUBSCRIPTION_EXPIRED] = 3006,
        [CLOSE_SLOW] = 3008,
        [CLOSE_WRITE_ERROR] = 3009,
        [CLOSE_INSUFFICIENT_STATE] = 3010,
        [CLOSE_NO_PONG] = 3012,
        [CLOSE_TOO_MANY_REQUESTS] = 3013,
        [CLOSE_INVALID_TOKEN] = 3500,
        [CLOSE_BAD_REQUEST] = 3501,
        [CLOSE_STALE] = 3502,
        [CLOSE_FORCED] = 3503,
        [CLOSE_CONNECTION_LIMIT] = 3504,
        [CLOSE_CHANNEL_LIMIT] = 3505,
        [CLOSE_NOT_AVAILABLE] = 3508,
        /* RFC 6455 section 7.4.1 */
        [CLOSE_MESSAGE_TOO_BIG] = 1009,
        [CLOSE_TOO_MANY_FRAGMENTS] = 1009,
        [CLOSE_BAD_CLOSE_FRAME] = 1002,
        [CLOSE_NOT_TEXT] = 1003,
        [CLOSE_NOT_UTF8] = 1007,
    };
    return codes[r];
}

uint16_t centrifugo_unsubscribe_code(enum unsubscribe_reason r) {
    static const uint16_t codes[UNSUBSCRIBE_REASON_COUNT] = {
        [UNSUBSCRIBE_SERVER] = 2000,
        [UNSUBSCRIBE_INSUFFICIENT_STATE] = 2500,
        [UNSUBSCRIBE_EXPIRED] = 2501,
    };
    return codes[r];
}

struct wire_error {
    uint16_t code;
    bool is_temporary; /* SDKs try again by themselves */
};

static struct wire_error wire_error_of(enum client_error e) {
    static const struct wire_error errors[CLIENT_ERROR_COUNT] = {
        [ERROR_INTERNAL] = {100, true},           [ERROR_UNKNOWN_CHANNEL] = {102, false},
        [ERROR_PERMISSION_DENIED] = {103, false}, [ERROR_ALREADY_SUBSCRIBED] = {105, false},
        [ERROR_LIMIT_EXCEEDED] = {106, false},    [ERROR_BAD_REQUEST] = {107, false},
        [ERROR_NOT_AVAILABLE] = {108, false},     [ERROR_TOKEN_EXPIRED] = {109, false},
        [ERROR_EXPIRED] = {110, false},           [ERROR_TOO_MANY_REQUESTS] = {111, true},
        [ERROR_UNRECOVERABLE] = {112, false},
    };
    assert(errors[e].code);
    return errors[e];
}

static void add_error(struct buf *b, enum client_error e) {
    struct wire_error w = wire_error_of(e);
    buf_add(b, STR(",\"error\":{\"code\":"));
    buf_add_u64(b, w.code);
    buf_add(b, STR(",\"message\":\""));
    buf_add_z(b, client_error_text(e));
    buf_add_char(b, '"');
    if (w.is_temporary)
        buf_add(b, STR(",\"temporary\":true"));
    buf_add_char(b, '}');
}

/* 0: it never ends, or the client cannot do anything about it. */
static void add_ttl(struct buf *b, uint32_t ttl_s) {
    if (!ttl_s)
        return;
    buf_add(b, STR(",\"expires\":true,\"ttl\":"));
    buf_add_u64(b, ttl_s);
}

static void add_expiry(struct buf *b, const struct client *c) {
    add_ttl(b, client_ttl_s(c));
}

static void add_epoch(struct buf *b, const struct position *p) {
    buf_add(b, STR(",\"epoch\":\""));
    buf_add(b, (struct str){p->epoch, EPOCH_BYTES});
    buf_add_char(b, '"');
}

static void add_offset(struct buf *b, uint64_t offset) {
    buf_add(b, STR(",\"offset\":"));
    buf_add_u64(b, offset);
}

/* Where patches may come, all data are strings: a payload's text, or a patch. */
static void add_data(struct buf *b, const struct msg *m, enum encoding how) {
    switch (how) {
    case ENCODING_WHOLE:
        json_add_string(b, m->parts.data);
        break;
    case ENCODING_PATCH:
        json_add_string(b, m->delta);
        buf_add(b, STR(",\"delta\":true"));
        break;
    default:
        buf_add(b, m->parts.data);
    }
}

/* A Publication object. The epoch is told with the first of its publications, for those who came
 * before there was any. */
static void add_publication(struct buf *b, const struct msg *m, enum encoding how) {
    const struct msg_parts *p = &m->parts;
    buf_add(b, STR("{\"data\":"));
    add_data(b, m, how);
    if (p->client.n) {
        buf_add(b, STR(",\"info\":"));
        client_info_add(b, p);
    }
    if (m->position.offset)
        add_offset(b, m->position.offset);
    if (m->position.offset == 1)
        add_epoch(b, &m->position);
    if (p->tags.n) {
        buf_add(b, STR(",\"tags\":"));
        buf_add(b, p->tags);
    }
    buf_add_char(b, '}');
}

static void add_publications(struct buf *b, struct msg *const *items, uint32_t count,
                             enum encoding how) {
    for (uint32_t i = 0; i < count; i++) {
        buf_add_z(b, i ? "," : "\"publications\":[");
        add_publication(b, items[i], how);
    }
    buf_add_z(b, count ? "]" : "\"publications\":[]");
}

static void add_recovery(struct buf *b, const struct subscription *sub,
                         const struct sync_result *r) {
    add_epoch(b, &r->position);
    if (r->position.offset)
        add_offset(b, r->position.offset);
    if (r->count) {
        buf_add_char(b, ',');
        add_publications(b, r->items, r->count, sub->has_delta ? ENCODING_WHOLE : ENCODING_PLAIN);
    }
    if (r->is_recovered)
        buf_add(b, STR(",\"recovered\":true"));
    if (r->was_recovering)
        buf_add(b, STR(",\"was_recovering\":true"));
}

/* Ends an object whose members were written from `start` on, each with a comma before it. */
static void close_object(struct buf *b, size_t start) {
    if (b->n == start)
        buf_add_char(b, '{');
    else
        b->p[start] = '{';
    buf_add_char(b, '}');
}

/* What the token or the back end says to the subscriber. */
static void add_given_data(struct buf *b, const struct subscription *sub) {
    struct str data = sub->extra ? str_of(sub->extra->data) : STR_NONE;
    if (!data.n)
        return;
    buf_add(b, STR(",\"data\":"));
    buf_add(b, data);
}

/* A SubscribeResult object. */
static void add_subscribe_result(struct buf *b, const struct subscription *sub) {
    size_t start = b->n;
    add_ttl(b, subscription_ttl_s(sub));
    if (sub->is_recoverable)
        buf_add(b, STR(",\"recoverable\":true"));
    if (sub->is_positioned)
        buf_add(b, STR(",\"positioned\":true"));
    if (sub->sync && sub->sync->result.position.epoch[0])
        add_recovery(b, sub, &sub->sync->result);
    if (sub->has_delta)
        buf_add(b, STR(",\"delta\":true"));
    add_given_data(b, sub);
    close_object(b, start);
}

static void add_sub_refresh_result(struct buf *b, const struct subscription *sub) {
    buf_add(b, STR(",\"sub_refresh\":"));
    size_t start = b->n;
    add_ttl(b, subscription_ttl_s(sub));
    close_object(b, start);
}

/* The channels that the token subscribed the client to. */
static void add_server_side(struct buf *b, const struct client *c) {
    bool is_first = true;
    list_for_each(l, &c->subscriptions) {
        const struct subscription *sub = list_entry(l, struct subscription, in_client);
        if (!sub->is_server_side)
            continue;
        buf_add_z(b, is_first ? ",\"subs\":{" : ",");
        json_add_string(b, sub->hub.channel->node.key);
        buf_add_char(b, ':');
        add_subscribe_result(b, sub);
        is_first = false;
    }
    if (!is_first)
        buf_add_char(b, '}');
}

static void add_connect_result(struct buf *b, const struct client *c) {
    const struct config *config = c->sessions->config;
    buf_add(b, STR("\"connect\":{\"client\":\""));
    buf_add(b, (struct str){c->id, CLIENT_ID_BYTES});
    buf_add(b, STR("\",\"version\":\"" CARILLON_VERSION "\",\"ping\":"));
    buf_add_u64(b, (config->client_ping_interval_ms + 999) / 1000);
    if (c->protocol->expects_pong)
        buf_add(b, STR(",\"pong\":true"));
    add_expiry(b, c);
    add_server_side(b, c);
    if (c->session)
        buf_printf(b, ",\"session\":\"%s\"", c->session);
    if (c->session && c->protocol->expects_pong) /* it may send, to this node */
        buf_printf(b, ",\"node\":\"%s\"", c->sessions->node_uid);
    if (config->client_connect_include_server_time) {
        buf_add(b, STR(",\"time\":"));
        buf_add_u64(b, (uint64_t)clock_wall_ms());
    }
    buf_add_char(b, '}');
}

static void add_refresh_result(struct buf *b, const struct client *c) {
    buf_add(b, STR(",\"refresh\":{\"client\":\""));
    buf_add(b, (struct str){c->id, CLIENT_ID_BYTES});
    buf_add(b, STR("\",\"version\":\"" CARILLON_VERSION "\""));
    add_expiry(b, c);
    buf_add_char(b, '}');
}

static void add_presence_result(struct buf *b, const struct presence_reply *p) {
    if (!p->wants_members) {
        buf_printf(b, ",\"presence_stats\":{\"num_clients\":%u,\"num_users\":%u}", p->client_count,
                   p->user_count);
        return;
    }
    buf_add(b, STR(",\"presence\":{\"presence\":{"));
    for (uint32_t i = 0; i < p->client_count; i++) {
        if (i)
            buf_add_char(b, ',');
        json_add_string(b, p->members[i]->parts.client);
        buf_add_char(b, ':');
        client_info_add(b, &p->members[i]->parts);
    }
    buf_add(b, STR("}}"));
}

static void add_history_result(struct buf *b, const struct history_reply *h) {
    buf_add(b, STR(",\"history\":{"));
    add_publications(b, h->items, h->count, ENCODING_PLAIN);
    add_epoch(b, &h->top);
    add_offset(b, h->top.offset);
    buf_add_char(b, '}');
}

static void add_removed_push(struct buf *b, const struct event *e) {
    buf_add(b, STR("{\"channel\":"));
    json_add_string(b, e->channel);
    buf_printf(b, ",\"unsubscribe\":{\"code\":%u,\"reason\":\"%s\"}}",
               centrifugo_unsubscribe_code(e->removed_for),
               unsubscribe_reason_text(e->removed_for));
}

/* The server subscribed the client. What it missed follows in pushes of its own. */
static void add_given_push(struct buf *b, const struct subscription *sub) {
    const struct position *p = sub->sync ? &sub->sync->result.position : NULL;
    buf_add(b, STR("{\"channel\":"));
    json_add_string(b, sub->hub.channel->node.key);
    buf_add(b, STR(",\"subscribe\":"));
    size_t start = b->n;
    if (sub->is_recoverable)
        buf_add(b, STR(",\"recoverable\":true"));
    if (p && p->epoch[0])
        add_epoch(b, p);
    if (p && p->offset)
        add_offset(b, p->offset);
    if (sub->is_positioned)
        buf_add(b, STR(",\"positioned\":true"));
    add_given_data(b, sub);
    close_object(b, start);
    buf_add_char(b, '}');
}

static void add_renewed_push(struct buf *b, const struct client *c) {
    buf_add(b, STR("{\"refresh\":"));
    size_t start = b->n;
    add_expiry(b, c);
    close_object(b, start);
    buf_add_char(b, '}');
}

static void add_connect_push(struct buf *b, const struct client *c) {
    buf_add_char(b, '{');
    add_connect_result(b, c);
    buf_add_char(b, '}');
}

void centrifugo_add_bare_event(struct buf *b, const struct client *c, const struct event *e) {
    if (e->kind == EVENT_REMOVED)
        add_removed_push(b, e);
    else if (e->kind == EVENT_GIVEN)
        add_given_push(b, e->subscription);
    else if (e->kind == EVENT_RENEWED)
        add_renewed_push(b, c);
    else if (e->kind == EVENT_CONNECTED)
        add_connect_push(b, c);
}

static bool is_push(const struct event *e) {
    return e->kind == EVENT_REMOVED || e->kind == EVENT_GIVEN || e->kind == EVENT_RENEWED;
}

static void add_result(struct buf *b, const struct client *c, const struct event *e) {
    switch (e->kind) {
    case EVENT_ERROR:
        add_error(b, e->error);
        break;
    case EVENT_CONNECTED:
        buf_add_char(b, ',');
        add_connect_result(b, c);
        break;
    case EVENT_SUBSCRIBED:
        buf_add(b, STR(",\"subscribe\":"));
        add_subscribe_result(b, e->subscription);
        break;
    case EVENT_UNSUBSCRIBED:
        buf_add(b, STR(",\"unsubscribe\":{}"));
        break;
    case EVENT_PUBLISHED:
        buf_add(b, STR(",\"publish\":{}"));
        break;
    case EVENT_REFRESHED:
        add_refresh_result(b, c);
        break;
    case EVENT_SUB_REFRESHED:
        add_sub_refresh_result(b, e->subscription);
        break;
    case EVENT_PRESENCE:
        add_presence_result(b, e->presence);
        break;
    case EVENT_HISTORY:
        add_history_result(b, e->history);
        break;
    case EVENT_REMOVED:
    case EVENT_GIVEN:
    case EVENT_RENEWED:
        break;
    }
}

void centrifugo_add_reply(struct buf *b, const struct client *c, const struct event *e) {
    if (is_push(e)) {
        buf_add(b, STR("{\"push\":"));
        centrifugo_add_bare_event(b, c, e);
        buf_add_char(b, '}');
        return;
    }
    buf_add(b, STR("{\"id\":"));
    buf_add_u64(b, e->command_id);
    add_result(b, c, e);
    buf_add_char(b, '}');
}

void centrifugo_add_bare_push(struct buf *b, const struct msg *m, enum encoding how) {
    const struct msg_parts *p = &m->parts;
    buf_add(b, STR("{\"channel\":"));
    json_add_string(b, p->channel);
    switch (p->kind) {
    case MSG_PUBLICATION:
        buf_add(b, STR(",\"pub\":"));
        add_publication(b, m, how);
        break;
    case MSG_JOIN:
    case MSG_LEAVE:
        buf_add_z(b, p->kind == MSG_JOIN ? ",\"join\":{\"info\":" : ",\"leave\":{\"info\":");
        client_info_add(b, p);
        buf_add_char(b, '}');
        break;
    case MSG_TOP: /* for no client */
        assert(false);
    }
    buf_add_char(b, '}');
}

void centrifugo_add_push(struct buf *b, const struct msg *m, enum encoding how) {
    buf_add(b, STR("{\"push\":"));
    centrifugo_add_bare_push(b, m, how);
    buf_add_char(b, '}');
}
