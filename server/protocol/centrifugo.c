/* See centrifugo.h: reads commands and runs them.
 *
 * A message is scanned command by command; each is validated whole, then its members are sliced
 * out, and no tree is built. A command that must wait is handed back with everything behind it
 * (client_defer). Broken JSON, a wrong type or a command nobody knows ends the connection with "bad
 * request", as SDKs expect; bad values get an error reply.
 *
 * Thread: the worker of the client. No state.
 */
#include "server/protocol/centrifugo.h"

#include "server/base/json_scan.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/protocol/centrifugo_command.h"
#include "server/protocol/centrifugo_encode.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

/* --- commands --------------------------------------------------------------------------------- */

enum outcome {
    RAN,    /* answered, or will be */
    WAITS,  /* not now: hand it back */
    BROKEN, /* not a command of this protocol: close */
};

typedef enum outcome command_fn(struct client *c, const struct command *q);

/* Every command on a channel starts alike: the name must be there, and its turn must have come. */
static enum outcome read_channel(struct client *c, const struct command *q, struct str *channel) {
    *channel = command_string(q, 0, &c->sessions->scratch);
    if (channel->n == 0)
        return BROKEN;
    return client_may_run(c, *channel) ? RAN : WAITS;
}

/* Looks a channel up in the "subs" of a connect; they were checked to be objects. */
static void find_position(const void *subs, struct str channel, struct client_subscribe *out) {
    struct json_value key, item;
    struct buf name = {0};
    bool is_found = false;
    for (size_t at = 0; !is_found && json_each(*(const struct json_value *)subs, &at, &key, &item);)
        is_found = str_equal(json_decode(key, &name), channel);
    if (is_found && item.kind == JSON_KIND_OBJECT)
        command_read_position(item, &out->since, &out->recovers);
    buf_fini(&name);
}

/* All of them, before any is used. */
static bool are_positions(struct json_value subs) {
    struct json_value key, item;
    struct position ignored;
    bool recovers;
    for (size_t at = 0; json_each(subs, &at, &key, &item);)
        if (item.kind == JSON_KIND_OBJECT && !command_read_position(item, &ignored, &recovers))
            return false;
    return true;
}

static enum outcome run_connect(struct client *c, const struct command *q) {
    const struct json_value *subs = &q->values[CONNECT_SUBS];
    struct client_connect connect = {
        .command_id = q->id,
        .token = command_string(q, CONNECT_TOKEN, &c->sessions->scratch),
    };
    if (command_has(q, CONNECT_SUBS)) {
        if (!are_positions(*subs))
            return BROKEN;
        connect.find_position = find_position;
        connect.positions = subs;
    }
    client_connect(c, &connect);
    return RAN;
}

enum { FLAG_FAILS_UNRECOVERABLE = 2 };

static void read_wishes(const struct command *q, struct client_subscribe *out,
                        struct buf *scratch) {
    out->wants_join_leave = command_is_true(q, SUBSCRIBE_JOIN_LEAVE);
    out->wants_position = command_is_true(q, SUBSCRIBE_POSITIONED);
    out->wants_recoverable = command_is_true(q, SUBSCRIBE_RECOVERABLE);
    out->recovers = command_is_true(q, SUBSCRIBE_RECOVER);
    out->fails_unrecoverable = command_i64(q, SUBSCRIBE_FLAG) & FLAG_FAILS_UNRECOVERABLE;
    out->since.offset = command_u64(q, SUBSCRIBE_OFFSET);
    position_set_epoch(&out->since, command_string(q, SUBSCRIBE_EPOCH, scratch));
}

static enum outcome run_subscribe(struct client *c, const struct command *q) {
    struct client_subscribe subscribe = {.command_id = q->id};
    enum client_error error = ERROR_NONE;
    enum outcome turn = read_channel(c, q, &subscribe.channel);
    if (turn != RAN)
        return turn;
    struct str delta = command_string(q, SUBSCRIBE_DELTA, &c->sessions->scratch2);
    if (delta.n && !str_equal(delta, STR("fossil")))
        return BROKEN;
    subscribe.wants_delta = delta.n > 0;
    read_wishes(q, &subscribe, &c->sessions->scratch2);
    if (command_has(q, SUBSCRIBE_FILTER))
        error = ERROR_BAD_REQUEST; /* no namespace allows a tags filter */
    else if (command_i64(q, SUBSCRIBE_TYPE) != 0)
        error = ERROR_PERMISSION_DENIED; /* only stream subscriptions */
    subscribe.token = command_string(q, SUBSCRIBE_TOKEN, &c->sessions->scratch2);
    if (error)
        client_fail(c, q->id, error);
    else
        client_subscribe(c, &subscribe);
    return RAN;
}

static enum outcome run_unsubscribe(struct client *c, const struct command *q) {
    struct str channel;
    enum outcome turn = read_channel(c, q, &channel);
    if (turn == RAN)
        client_unsubscribe(c, q->id, channel);
    return turn;
}

static enum outcome run_publish(struct client *c, const struct command *q) {
    struct json_value data = q->values[PUBLISH_DATA];
    struct buf *line = &c->sessions->scratch2;
    struct str channel, text = data.text;
    enum outcome turn = read_channel(c, q, &channel);
    if (turn != RAN)
        return turn;
    if (command_i64(q, PUBLISH_TYPE) != 0) {
        client_fail(c, q->id, ERROR_BAD_REQUEST); /* map publications: no such namespace */
        return RAN;
    }
    if (data.has_newline) {
        buf_clear(line);
        json_add_line(line, data);
        text = buf_str(line);
    }
    client_publish(c, q->id, channel, text);
    return RAN;
}

static enum outcome run_presence(struct client *c, const struct command *q) {
    struct str channel;
    enum outcome turn = read_channel(c, q, &channel);
    if (turn == RAN)
        client_presence(c, q->id, channel, q->kind == COMMAND_PRESENCE);
    return turn;
}

static enum outcome run_history(struct client *c, const struct command *q) {
    struct client_history history = {
        .command_id = q->id,
        .limit = (int32_t)command_i64(q, HISTORY_LIMIT),
        .has_since = command_has(q, HISTORY_SINCE),
        .is_reverse = command_is_true(q, HISTORY_REVERSE),
    };
    bool ignored;
    enum outcome turn = read_channel(c, q, &history.channel);
    if (turn != RAN)
        return turn;
    if (history.has_since &&
        !command_read_position(q->values[HISTORY_SINCE], &history.since, &ignored))
        return BROKEN;
    client_history(c, &history);
    return RAN;
}

static enum outcome run_rpc(struct client *c, const struct command *q) {
    client_fail(c, q->id, ERROR_NOT_AVAILABLE); /* no handler of any method: 108, not 104 */
    return RAN;
}

static enum outcome run_send(struct client *c, const struct command *q) {
    (void)q;
    client_close(c, CLOSE_NOT_AVAILABLE);
    return RAN;
}

static enum outcome run_refresh(struct client *c, const struct command *q) {
    struct str token = command_string(q, REFRESH_TOKEN, &c->sessions->scratch);
    if (token.n == 0)
        return BROKEN;
    client_refresh(c, q->id, token);
    return RAN;
}

static enum outcome run_sub_refresh(struct client *c, const struct command *q) {
    struct str channel;
    enum outcome turn = read_channel(c, q, &channel);
    if (turn == RAN)
        client_sub_refresh(c, q->id, channel,
                           command_string(q, SUB_REFRESH_TOKEN, &c->sessions->scratch2));
    return turn;
}

static enum outcome run_pong(struct client *c, const struct command *q) {
    (void)q;
    client_pong(c);
    return RAN;
}

/* NULL: exists in the schema only. */
static command_fn *const handlers[COMMAND_KINDS] = {
    [COMMAND_PONG] = run_pong,
    [COMMAND_CONNECT] = run_connect,
    [COMMAND_PING] = NULL,
    [COMMAND_SUBSCRIBE] = run_subscribe,
    [COMMAND_UNSUBSCRIBE] = run_unsubscribe,
    [COMMAND_PUBLISH] = run_publish,
    [COMMAND_PRESENCE] = run_presence,
    [COMMAND_PRESENCE_STATS] = run_presence,
    [COMMAND_HISTORY] = run_history,
    [COMMAND_RPC] = run_rpc,
    [COMMAND_SEND] = run_send,
    [COMMAND_REFRESH] = run_refresh,
    [COMMAND_SUB_REFRESH] = run_sub_refresh,
};

static enum outcome run_command(struct client *c, struct json_value text) {
    struct command q;
    if (!command_read(text, &q) || !handlers[q.kind])
        return BROKEN;
    bool is_first = q.kind == COMMAND_CONNECT || q.kind == COMMAND_PONG;
    if (c->state == CLIENT_CONNECTING)
        return WAITS;
    if (!is_first && c->state != CLIENT_CONNECTED)
        return BROKEN;
    if (!is_first && !c->is_admitted && !client_admit(c, q.id))
        return RAN;
    enum outcome outcome = handlers[q.kind](c, &q);
    c->is_admitted = outcome == WAITS; /* it comes again, and is charged once */
    return outcome;
}

void centrifugo_receive(struct client *c, struct str message) {
    struct json_value command;
    struct json_fault fault = {"no command", 0};
    struct str rest = message;
    size_t n = 0;

    do {
        enum outcome outcome = BROKEN;
        n = json_scan(rest, &command, &fault);
        if (n)
            outcome = run_command(c, command);
        if (outcome == WAITS) {
            client_defer(c, rest);
            return;
        }
        if (outcome == BROKEN) {
            log_debug("bad request id=%.*s error=\"%s\" at_byte=%zu", CLIENT_ID_BYTES, c->id,
                      n ? "not a command" : fault.what, (size_t)(rest.p - message.p) + fault.at);
            client_close(c, CLOSE_BAD_REQUEST);
            return;
        }
        metrics_add(c->sessions->metrics, METRIC_COMMANDS, 1);
        rest = str_slice(rest, n, rest.n);
        while (rest.n && (rest.p[0] == '\n' || rest.p[0] == '\r' || rest.p[0] == ' '))
            rest = str_slice(rest, 1, rest.n);
    } while (rest.n && c->state < CLIENT_CLOSING);
}

/* --- one way ---------------------------------------------------------------------------------- */

static bool read_connect(struct str message, struct command *out) {
    struct json_value object;
    struct json_fault fault;
    return json_scan_all(message, &object, &fault) && command_read_connect(object, out) &&
           (!command_has(out, CONNECT_SUBS) || are_positions(out->values[CONNECT_SUBS]));
}

bool centrifugo_is_connect(struct str message) {
    struct command q;
    return read_connect(message, &q);
}

/* The channels named there; gives the array, whose texts are in `texts`. */
static struct str *list_wanted(struct json_value subs, struct buf *texts, size_t *count) {
    struct json_value key, item;
    struct buf scratch = {0};
    struct str *wanted = mem_array(subs.text.n / 2 + 1, sizeof(*wanted));
    buf_reserve(texts, subs.text.n); /* decoded they are no longer: it does not move */
    *count = 0;
    for (size_t at = 0; json_each(subs, &at, &key, &item);) {
        struct str name = json_decode(key, &scratch);
        wanted[(*count)++] = (struct str){texts->p + texts->n, name.n};
        buf_add(texts, name);
    }
    buf_fini(&scratch);
    return wanted;
}

void centrifugo_receive_connect(struct client *c, struct str message) {
    struct command q;
    struct buf texts = {0};
    struct str *wanted = NULL;
    if (!read_connect(message, &q)) {
        client_close(c, CLOSE_BAD_REQUEST);
        return;
    }
    metrics_add(c->sessions->metrics, METRIC_COMMANDS, 1);
    struct client_connect connect = {.token =
                                         command_string(&q, CONNECT_TOKEN, &c->sessions->scratch)};
    if (command_has(&q, CONNECT_SUBS)) {
        connect.find_position = find_position;
        connect.positions = &q.values[CONNECT_SUBS];
        connect.wanted = wanted =
            list_wanted(q.values[CONNECT_SUBS], &texts, &connect.wanted_count);
    }
    client_connect(c, &connect);
    mem_free(wanted);
    buf_fini(&texts);
}

/* --- frames ----------------------------------------------------------------------------------- */

static void event(struct client *c, const struct event *e) {
    struct buf *b = &c->sessions->reply;
    buf_clear(b);
    centrifugo_add_reply(b, c, e);
    client_send(c, frame_create_text(buf_str(b)));
}

static struct frame *encode(const struct msg *m, enum encoding how) {
    struct buf b = {0};
    buf_reserve(&b, m->size_bytes + 128);
    centrifugo_add_push(&b, m, how);
    struct frame *f = frame_create_text(buf_str(&b));
    buf_fini(&b);
    return f;
}

/* A frame may have several pushes, a line each. */
static struct frame *encode_members(struct msg *const *msgs, uint32_t count) {
    struct buf b = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(&b, '\n');
        centrifugo_add_push(&b, msgs[i], ENCODING_PLAIN);
    }
    struct frame *f = frame_create_text(buf_str(&b));
    buf_fini(&b);
    return f;
}

static uint32_t ping_interval_ms(const struct config *config) {
    return config->client_ping_interval_ms;
}

static struct frame *ping(void) {
    return frame_create_text(STR("{}"));
}

static struct frame *farewell(enum close_reason r) {
    uint16_t code = centrifugo_close_code(r);
    return code ? frame_create_close(code, str_of(close_reason_text(r))) : NULL;
}

static struct frame *farewell_with(uint16_t code, struct str text) {
    return frame_create_close(code, text);
}

const struct protocol protocol_centrifugo_ws = {
    .id = PROTOCOL_CENTRIFUGO_WS,
    .transport = TRANSPORT_WEBSOCKET,
    .receive = centrifugo_receive,
    .event = event,
    .encode = encode,
    .encode_members = encode_members,
    .ping = ping,
    .ping_interval_ms = ping_interval_ms,
    .expects_pong = true,
    .has_members = true,
    .farewell = farewell,
    .farewell_with = farewell_with,
    .close_code = centrifugo_close_code,
};
