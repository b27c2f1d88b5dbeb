/* See sse.h.
 *
 * Thread: the worker of the client. No state.
 */
#include "server/protocol/sse.h"

#include "server/base/json_scan.h"
#include "server/protocol/sse_id.h"
#include "server/session/sessions.h"

#include <sodium.h>

enum { RETRY_MS = 1000, RETRY_JITTER_MS = 1000, SHUTDOWN_RETRY_JITTER_MS = 5000 };

static void add_retry(struct buf *b, uint32_t jitter_ms) {
    buf_printf(b, "retry: %u\n", RETRY_MS + randombytes_uniform(jitter_ms));
}

void sse_add_preamble(struct buf *b) {
    buf_add_z(b, ": carillon\n");
    add_retry(b, RETRY_JITTER_MS);
    buf_add_char(b, '\n');
}

void sse_find_position(const void *positions, struct str channel, struct client_subscribe *out) {
    const struct str *last_id = positions;
    out->wants_recoverable = true;
    out->recovers = last_id->n > 0;
    if (out->recovers && !sse_id_find(*last_id, channel, &out->since))
        position_set_epoch(&out->since, STR("?")); /* no channel has it */
}

/* Keeps for later what cannot run now: this channel and all behind it. */
static void wait(struct client *c, struct str last_id, struct str channel, struct str rest) {
    struct buf b = {0};
    buf_add(&b, last_id);
    buf_add_char(&b, '\0');
    buf_add(&b, channel);
    buf_add_char(&b, '\0');
    buf_add(&b, rest);
    client_defer(c, buf_str(&b));
    buf_fini(&b);
}

static void receive(struct client *c, struct str message) {
    struct str last_id = STR_NONE, channel;
    str_cut(&message, '\0', &last_id);
    while (c->state < CLIENT_CLOSING && str_cut(&message, '\0', &channel)) {
        struct client_subscribe q = {.channel = channel};
        if (!client_may_run(c, channel)) {
            wait(c, last_id, channel, message);
            return;
        }
        if (client_find(c, channel))
            continue;
        sse_find_position(&last_id, channel, &q);
        client_subscribe(c, &q);
    }
}

/* Is it no event of our own, nor of EventSource itself, nor more than one line? */
static bool may_name_event(struct str name) {
    static const struct str own[] = {
        {"lost", 4}, {"error", 5}, {"disconnect", 10}, {"unsubscribed", 12}, {"open", 4}};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (str_equal(name, own[i]))
            return false;
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ')
            return false;
    return true;
}

/* The end of an event: what is the same for all. */
static void add_publication(struct buf *b, const struct msg *m, bool is_named) {
    if (is_named && may_name_event(m->parts.channel)) {
        buf_add_z(b, "event: ");
        buf_add(b, m->parts.channel);
        buf_add_char(b, '\n');
    }
    buf_add_z(b, "data: ");
    buf_add(b, m->parts.data);
    buf_add_z(b, "\n\n");
}

static struct frame *take(struct buf *b) {
    struct frame *f = frame_create_plain(buf_str(b));
    buf_fini(b);
    return f;
}

/* --- places ----------------------------------------------------------------------------------- */

/* Where a subscription stands, for who comes back; NULL: nowhere. One that is not live yet is where
 * it came from, unless nobody knows. */
static const struct position *place_of(const struct subscription *sub) {
    const struct position *p = NULL;
    if (sub->state == SUBSCRIPTION_LIVE)
        p = sub->is_positioned && !conflate_waits(sub) ? &sub->position : NULL;
    else if (sub->sync && sub->sync->wants_recovery)
        p = &sub->sync->since;
    return p && p->epoch[EPOCH_BYTES - 1] ? p : NULL;
}

/* Channels that still wait to be subscribed to stand where the client came from: see wait(). */
static void add_waiting(struct buf *b, size_t start, const struct client *c) {
    struct str rest = buf_str(&c->deferred), last_id, channel;
    struct position p = {0};
    if (!str_cut(&rest, '\0', &last_id))
        return;
    while (str_cut(&rest, '\0', &channel))
        if (!client_find(c, channel) && sse_id_find(last_id, channel, &p) &&
            !sse_id_add(b, start, channel, &p))
            return;
}

/* The id of a stream; one subscription stands `at` another place than it says, unless NULL. Entries
 * beyond the limit are left out: their channels are told that something may be lost. */
static void add_id(struct buf *b, const struct client *c, const struct subscription *at,
                   const struct position *place) {
    buf_add_z(b, "id: ");
    size_t start = b->n;
    list_for_each(l, &c->subscriptions) {
        const struct subscription *sub = list_entry(l, struct subscription, in_client);
        const struct position *p = place && sub == at ? place : place_of(sub);
        if (p && !sse_id_add(b, start, sub->hub.channel->node.key, p))
            break;
    }
    add_waiting(b, start, c);
    buf_add_char(b, '\n');
}

static struct frame *place(const struct client *c) {
    struct buf b = {0};
    add_id(&b, c, NULL, NULL);
    struct frame *f = take(&b);
    f->is_open = true; /* the event follows */
    return f;
}

/* A resume may have more to send than the queue takes: it is written meanwhile. When the socket
 * takes no more, the stream ends behind what is queued, and is resumed from there; half of the
 * queue is left to what comes live. */
static void send_first(struct client *c, struct frame *f) {
    const size_t max_bytes = c->sessions->config->client_queue_max_size_bytes / 2;
    if (c->queue.size_bytes + (size_t)f->total_bytes > max_bytes)
        client_flush(c);
    if (c->queue.size_bytes && c->queue.size_bytes + (size_t)f->total_bytes > max_bytes) {
        frame_unref(f);
        client_close(c, CLOSE_INSUFFICIENT_STATE);
        return;
    }
    client_send(c, f);
}

/* What was missed, each with its own id. */
static void send_missed(struct client *c, const struct subscription *sub) {
    const struct sync_result *r = &sub->sync->result;
    for (uint32_t i = 0; c->state == CLIENT_CONNECTED && i < r->count; i++) {
        struct buf b = {0};
        add_id(&b, c, sub, &r->items[i]->position);
        add_publication(&b, r->items[i], c->protocol == &protocol_sse_named);
        send_first(c, take(&b));
    }
}

/* The stream begins: it stands here, and has missed this, or what cannot be told any more. */
static void subscribed(struct client *c, const struct subscription *sub) {
    struct buf b = {0};
    const struct sync *y = sub->sync;
    if (!sub->is_positioned)
        return;
    if (y && y->result.count) {
        send_missed(c, sub);
        return;
    }
    add_id(&b, c, NULL, NULL);
    if (y && y->result.was_recovering && !y->result.is_recovered) {
        buf_add_z(&b, "event: lost\ndata: {\"channel\":");
        json_add_string(&b, sub->hub.channel->node.key);
        buf_add_z(&b, "}\n");
    }
    buf_add_char(&b, '\n');
    send_first(c, take(&b));
}

/* The stream goes on with its other channels. */
static void unsubscribed(struct client *c, const struct event *e) {
    struct buf b = {0};
    if (e->removed_for == UNSUBSCRIBE_INSUFFICIENT_STATE) {
        client_close(c, CLOSE_INSUFFICIENT_STATE); /* EventSource comes back */
        return;
    }
    buf_add_z(&b, "event: unsubscribed\ndata: {\"channel\":");
    json_add_string(&b, e->channel);
    buf_printf(&b, ",\"reason\":\"%s\"}\n\n", unsubscribe_reason_text(e->removed_for));
    client_send(c, take(&b));
}

/* EventSource comes back and tries again, unless the status stops it then (net/sse.c). */
static enum close_reason reason_of(enum client_error e) {
    if (e == ERROR_TOKEN_EXPIRED)
        return CLOSE_EXPIRED;
    return e == ERROR_UNKNOWN_CHANNEL || e == ERROR_BAD_REQUEST ? CLOSE_BAD_REQUEST
                                                                : CLOSE_INTERNAL;
}

/* Whoever may not listen is told. */
static void event(struct client *c, const struct event *e) {
    struct buf b = {0};
    if (e->kind == EVENT_SUBSCRIBED)
        subscribed(c, e->subscription);
    if (e->kind == EVENT_REMOVED)
        unsubscribed(c, e);
    if (e->kind != EVENT_ERROR)
        return;
    buf_add_z(&b, "event: error\ndata: {\"message\":");
    json_add_string(&b, str_of(client_error_text(e->error)));
    buf_add_z(&b, "}\n\n");
    client_send(c, take(&b));
    client_close(c, reason_of(e->error));
}

static struct frame *encode(const struct msg *m, enum encoding how) {
    struct buf b = {0};
    (void)how; /* never negotiated: plain */
    add_publication(&b, m, false);
    return take(&b);
}

static struct frame *encode_named(const struct msg *m, enum encoding how) {
    struct buf b = {0};
    (void)how;
    add_publication(&b, m, true);
    return take(&b);
}

/* A comment: the only way to notice a peer that is gone without a word. */
static struct frame *ping(void) {
    return frame_create_plain(STR(":\n\n"));
}

static uint32_t ping_interval_ms(const struct config *config) {
    return config->sse_plain_heartbeat_interval_ms;
}

static uint16_t close_code(enum close_reason r) {
    (void)r;
    return 0; /* there are none */
}

/* What an SDK would not come back after, either; a token that is not good any more is said by the
 * status when it does. */
static bool is_final(enum close_reason r) {
    return r == CLOSE_FORCED || r == CLOSE_CONNECTION_LIMIT || r == CLOSE_CHANNEL_LIMIT;
}

static bool is_final_code(uint16_t code) {
    return (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

static struct frame *farewell(enum close_reason r) {
    struct buf b = {0};
    if (r == CLOSE_SHUTDOWN)
        add_retry(&b, SHUTDOWN_RETRY_JITTER_MS);
    if (is_final(r))
        buf_add_z(&b, "id: " SSE_ID_STOP "\n");
    buf_printf(&b, "event: disconnect\ndata: {\"reason\":\"%s\"}\n\n", close_reason_text(r));
    return take(&b);
}

static struct frame *farewell_with(uint16_t code, struct str text) {
    struct buf b = {0};
    if (is_final_code(code))
        buf_add_z(&b, "id: " SSE_ID_STOP "\n");
    buf_printf(&b, "event: disconnect\ndata: {\"code\":%u,\"reason\":", code);
    json_add_string(&b, text);
    buf_add_z(&b, "}\n\n");
    return take(&b);
}

const struct protocol protocol_sse = {
    .id = PROTOCOL_SSE,
    .transport = TRANSPORT_SSE,
    .receive = receive,
    .event = event,
    .encode = encode,
    .place = place,
    .ping = ping,
    .ping_interval_ms = ping_interval_ms,
    .farewell = farewell,
    .farewell_with = farewell_with,
    .close_code = close_code,
};

const struct protocol protocol_sse_named = {
    .id = PROTOCOL_SSE_NAMED,
    .transport = TRANSPORT_SSE,
    .receive = receive,
    .event = event,
    .encode = encode_named,
    .place = place,
    .ping = ping,
    .ping_interval_ms = ping_interval_ms,
    .farewell = farewell,
    .farewell_with = farewell_with,
    .close_code = close_code,
};
