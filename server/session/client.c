/* See client.h: life, queue and deadlines of a client. Its commands are in client_commands.c,
 * client_channels.c and client_calls.c.
 *
 * Thread: the worker of the client.
 */
#include "server/session/client.h"

#include "auth/capabilities.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/session/sessions.h"
#include "server/session/single_connection.h"
#include "server/session/user_index.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* How long a closed client may take to read its farewell and to close. */
enum { FAREWELL_MS = 5000 };

/* RFC 9562 section 5.4. */
static void make_id(char *id) {
    uint8_t b[16];
    char hex[33];
    randombytes_buf(b, sizeof(b));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    sodium_bin2hex(hex, sizeof(hex), b, sizeof(b));
    for (int from = 0, to = 0; from < 32; from++) {
        if (from == 8 || from == 12 || from == 16 || from == 20)
            id[to++] = '-';
        id[to++] = hex[from];
    }
}

static void set_timer(struct client *c, uint64_t due_ms) {
    wheel_set(&c->sessions->wheel, &c->timer, due_ms);
}

struct client *client_create(struct sessions *s, const struct protocol *protocol,
                             const struct transport_ops *transport, void *conn) {
    struct client *c = mem_zalloc(sizeof(*c));
    c->sessions = s;
    c->protocol = protocol;
    c->transport = transport;
    c->conn = conn;
    c->opened_ms = s->now_ms;
    c->subs_end_ms = UINT64_MAX;
    list_init(&c->in_flush);
    list_init(&c->in_user);
    list_init(&c->subscriptions);
    wheel_entry_init(&c->timer);
    make_id(c->id);
    sessions_add(s, c);
    set_timer(c, s->now_ms + s->config->client_stale_close_delay_ms);
    return c;
}

void client_destroy(struct client *c) {
    assert(c->state == CLIENT_GONE && list_is_empty(&c->subscriptions) && !c->user);
    mem_free(c->conn_info);
    mem_free(c->token_id);
    mem_free(c->session);
    capabilities_destroy(c->capabilities);
    mem_free(c);
}

/* The first reason counts. */
static void set_reason(struct client *c, enum close_reason reason) {
    if (c->reason != CLOSE_NONE)
        return;
    c->reason = reason;
    counter_add(&c->sessions->metrics->closes[c->protocol->transport][reason], 1);
}

/* --- output ----------------------------------------------------------------------------------- */

void client_send(struct client *c, struct frame *f) {
    struct sessions *s = c->sessions;
    if (c->has_farewell || c->state == CLIENT_GONE) {
        frame_unref(f);
        return;
    }
    if ((size_t)c->queue.size_bytes + f->total_bytes > s->config->client_queue_max_size_bytes) {
        frame_unref(f);
        client_close(c, CLOSE_SLOW);
        return;
    }
    outq_push(&c->queue, &s->pool, f);
    sessions_note_pending(s, f->total_bytes);
    sessions_touch(s, c, true);
    frame_unref(f);
}

static void log_closed(const struct client *c, uint16_t code, struct str text) {
    bool was_ours = c->reason > CLOSE_WRITE_ERROR && c->reason != CLOSE_SHUTDOWN;
    enum log_level level = was_ours ? LOG_INFO : LOG_DEBUG;
    char peer[64] = "";
    if (!log_is_on(level))
        return;
    c->transport->peer(c->conn, peer, sizeof(peer));
    log_line(level,
             "client closed id=%.*s user=\"%s\" transport=%s peer=%s reason=\"%.*s\" code=%u "
             "open_ms=%llu queued_bytes=%u",
             CLIENT_ID_BYTES, c->id, c->user ? c->user : "", transport_text(c->protocol->transport),
             peer, STR_ARG(text), code, (unsigned long long)(c->sessions->now_ms - c->opened_ms),
             c->queue.size_bytes);
}

static void log_gone(const struct client *c) {
    log_closed(c, c->protocol->close_code(c->reason), str_of(close_reason_text(c->reason)));
}

static void write_failed(struct client *c) {
    set_reason(c, CLOSE_WRITE_ERROR);
    if (c->state != CLIENT_CLOSING)
        log_gone(c);
    c->state = CLIENT_CLOSING;
    c->has_farewell = c->is_finished = true;
    outq_clear(&c->queue, &c->sessions->pool);
    client_leave_all(c);
    user_index_remove(c);
    c->transport->kill(c->conn);
}

void client_flush(struct client *c) {
    struct sessions *s = c->sessions;
    while (c->conn && (!outq_is_empty(&c->queue) || conflate_resume(c))) {
        uint32_t frame_count;
        if (c->transport->is_blocked(c->conn)) {
            c->is_blocked = true;
            return;
        }
        struct str bytes = outq_peek(&c->queue, &s->pool, &frame_count);
        metrics_add(s->metrics, METRIC_WRITES, 1);
        metrics_add_for(s->metrics, c->protocol->transport, WIRE_MESSAGES_SENT, frame_count);
        metrics_add_for(s->metrics, c->protocol->transport, WIRE_BYTES_SENT, bytes.n);
        if (!c->transport->write(c->conn, bytes.p, bytes.n)) {
            write_failed(c);
            return;
        }
        outq_pop(&c->queue, &s->pool, frame_count);
    }
    if (c->conn && c->has_farewell && !c->is_finished) {
        c->is_blocked = c->transport->is_blocked(c->conn);
        if (c->is_blocked)
            return;
        c->is_finished = true;
        c->transport->finish(c->conn);
    }
}

void client_writable(struct client *c) {
    c->is_blocked = false;
    client_flush(c);
}

/* --- end -------------------------------------------------------------------------------------- */

/* Takes the farewell, which may be NULL. */
static void end(struct client *c, struct frame *f) {
    struct sessions *s = c->sessions;
    client_leave_all(c);
    user_index_remove(c);
    buf_fini(&c->deferred);
    if (f) {
        outq_push(&c->queue, &s->pool, f);
        sessions_note_pending(s, f->total_bytes);
        frame_unref(f);
    }
    c->has_farewell = true;
    sessions_touch(s, c, true);
    set_timer(c, s->now_ms + FAREWELL_MS);
    /* Until the farewell is out: what comes now is not answered. */
    c->transport->pause(c->conn, true);
}

void client_close(struct client *c, enum close_reason reason) {
    if (c->state >= CLIENT_CLOSING)
        return;
    set_reason(c, reason);
    c->state = CLIENT_CLOSING;
    log_gone(c);
    if (reason == CLOSE_SLOW)
        outq_cut(&c->queue, &c->sessions->pool);
    end(c, c->protocol->farewell(reason));
}

void client_close_with(struct client *c, uint16_t code, struct str text) {
    if (!c->protocol->farewell_with) {
        client_close(c, CLOSE_FORCED);
        return;
    }
    if (c->state >= CLIENT_CLOSING)
        return;
    set_reason(c, CLOSE_FORCED);
    c->state = CLIENT_CLOSING;
    log_closed(c, code, text);
    end(c, c->protocol->farewell_with(code, text));
}

void client_gone(struct client *c, enum close_reason reason) {
    if (c->state == CLIENT_GONE)
        return;
    set_reason(c, reason);
    if (c->state != CLIENT_CLOSING)
        log_gone(c);
    c->state = CLIENT_GONE;
    c->conn = NULL;
    client_leave_all(c);
    user_index_remove(c);
    outq_clear(&c->queue, &c->sessions->pool);
    buf_fini(&c->deferred);
    wheel_cancel(&c->timer);
    list_remove(&c->in_flush);
    sessions_gone(c->sessions, c);
}

/* --- time ------------------------------------------------------------------------------------- */

bool client_pong(struct client *c) {
    if (!c->owes_pong) {
        client_close(c, CLOSE_BAD_REQUEST);
        return false;
    }
    c->owes_pong = false;
    return true;
}

static void send_ping(struct client *c) {
    struct sessions *s = c->sessions;
    struct frame **ping = &s->pings[c->protocol->id];
    if (!*ping)
        *ping = c->protocol->ping();
    c->owes_pong = c->protocol->expects_pong;
    c->ping_sent_ms = s->now_ms;
    c->ping_due_ms = s->now_ms + c->protocol->ping_interval_ms(s->config);
    client_send(c, frame_ref(*ping));
}

static uint64_t pong_by_ms(const struct client *c) {
    return c->ping_sent_ms + c->sessions->config->client_pong_timeout_ms;
}

/* A client has some time beyond the end of its token to bring a new one. */
static uint64_t end_ms(const struct client *c) {
    return c->expires_ms ? c->expires_ms + c->sessions->config->client_expired_close_delay_ms
                         : UINT64_MAX;
}

static void set_next_deadline(struct client *c) {
    uint64_t due_ms = c->ping_due_ms;
    if (c->owes_pong && pong_by_ms(c) < due_ms)
        due_ms = pong_by_ms(c);
    if (end_ms(c) < due_ms)
        due_ms = end_ms(c);
    if (c->subs_end_ms < due_ms)
        due_ms = c->subs_end_ms;
    set_timer(c, due_ms);
}

static void check_subscriptions(struct client *c, uint64_t now_ms) {
    list_for_each(l, &c->subscriptions)
        sync_check(list_entry(l, struct subscription, in_client), now_ms);
}

/* One that the server gave takes the connection with it: its end is not the client's to know. One
 * that still waits for the broker ends when it is live. */
static void end_subscriptions(struct client *c, uint64_t now_ms) {
    c->subs_end_ms = UINT64_MAX;
    list_for_each_safe(l, &c->subscriptions) {
        struct subscription *sub = list_entry(l, struct subscription, in_client);
        uint64_t sub_end_ms = subscription_end_ms(sub);
        if (now_ms < sub_end_ms || sub->state == SUBSCRIPTION_SYNCING)
            c->subs_end_ms = sub_end_ms < c->subs_end_ms ? sub_end_ms : c->subs_end_ms;
        else if (sub->is_server_side)
            client_close(c, CLOSE_SUBSCRIPTION_EXPIRED);
        else
            subscription_take_away(sub, UNSUBSCRIBE_EXPIRED);
        if (c->state != CLIENT_CONNECTED)
            return;
    }
}

void client_note_end(struct client *c, uint64_t sub_end_ms) {
    if (sub_end_ms >= c->subs_end_ms)
        return;
    c->subs_end_ms = sub_end_ms;
    if (c->state == CLIENT_CONNECTED)
        set_next_deadline(c);
}

static void keep_alive(struct client *c, uint64_t now_ms) {
    if (now_ms >= end_ms(c)) {
        client_close(c, CLOSE_EXPIRED);
        return;
    }
    if (c->owes_pong && now_ms >= pong_by_ms(c)) {
        client_close(c, CLOSE_NO_PONG);
        return;
    }
    if (now_ms >= c->subs_end_ms)
        end_subscriptions(c, now_ms);
    if (c->state == CLIENT_CONNECTED && now_ms >= c->ping_due_ms) {
        check_subscriptions(c, now_ms);
        send_ping(c);
    }
    if (c->state == CLIENT_CONNECTED) /* and was not closed as slow just now */
        set_next_deadline(c);
}

/* The first ping comes at a random moment of the second half of the interval, so that clients
 * which connected together are not pinged together. */
void client_connected(struct client *c, uint32_t command_id) {
    uint32_t interval_ms = c->protocol->ping_interval_ms(c->sessions->config);
    c->state = CLIENT_CONNECTED;
    c->ping_due_ms =
        c->sessions->now_ms + interval_ms / 2 + randombytes_uniform(interval_ms / 2 + 1);
    set_next_deadline(c);
    log_debug("client connected id=%.*s user=\"%s\" transport=%s", CLIENT_ID_BYTES, c->id,
              c->user ? c->user : "", transport_text(c->protocol->transport));
    c->protocol->event(c, &(struct event){.kind = EVENT_CONNECTED, .command_id = command_id});
    single_connection_claim(c);
}

void client_set_expiry(struct client *c, uint64_t expires_ms) {
    c->expires_ms = expires_ms;
    if (c->state == CLIENT_CONNECTED)
        set_next_deadline(c);
}

void client_timer(struct client *c, uint64_t now_ms) {
    switch (c->state) {
    case CLIENT_NEW:
    case CLIENT_CONNECTING:
    case CLIENT_REFUSED:
        client_close(c, CLOSE_STALE);
        break;
    case CLIENT_CONNECTED:
        keep_alive(c, now_ms);
        break;
    case CLIENT_CLOSING:
        c->transport->kill(c->conn);
        break;
    case CLIENT_GONE:
        break;
    }
}
