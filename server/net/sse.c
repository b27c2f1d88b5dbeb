/* See sse.h.
 *
 * Thread: the worker.
 */
#include "server/net/sse.h"

#include "server/net/stream.h"
#include "server/protocol/sse.h"
#include "server/protocol/sse_id.h"

/* --- answers ---------------------------------------------------------------------------------- */

bool sse_is_for(const struct config *config, struct str path) {
    return config->sse_plain_enabled && str_equal(path, str_of(config->sse_plain_handler_prefix));
}

/* --- token ------------------------------------------------------------------------------------ */

static struct str cookie_value(struct str cookies, struct str name) {
    struct str pair;
    while (str_cut(&cookies, ';', &pair)) {
        pair = str_trim(pair);
        if (str_starts(pair, name))
            return str_slice(pair, name.n, pair.n);
    }
    return STR_NONE;
}

static struct str find_token(const struct http_request *q) {
    static const struct str bearer = {"bearer ", 7};
    struct str scheme = str_slice(q->authorization, 0,
                                  q->authorization.n < bearer.n ? q->authorization.n : bearer.n);
    if (str_equal_nocase(scheme, bearer))
        return str_trim(str_slice(q->authorization, bearer.n, q->authorization.n));
    struct str cookie = cookie_value(q->cookie, STR("carillon_token="));
    return cookie.n ? cookie : http_query_value(q->query, "token", 0);
}

/* --- the stream ------------------------------------------------------------------------------- */

struct refusal {
    int status; /* 0: none */
    const char *text;
};

static struct refusal why_not_connected(const struct client *c) {
    if (c->state == CLIENT_CONNECTED || c->state == CLIENT_CONNECTING)
        return (struct refusal){0, NULL};
    if (c->state == CLIENT_REFUSED)
        return (struct refusal){401, "the token has expired"};
    if (c->reason == CLOSE_CHANNEL_LIMIT)
        return (struct refusal){403, "the token names too many channels"};
    return (struct refusal){401,
                            c->reason == CLOSE_INVALID_TOKEN
                                ? "the token is not valid"
                                : "a token is needed: Authorization: Bearer TOKEN, or ?token="};
}

static struct refusal why_not_subscribed(enum client_error e) {
    switch (e) {
    case ERROR_BAD_REQUEST:
        return (struct refusal){400, "not a channel name"};
    case ERROR_UNKNOWN_CHANNEL:
        return (struct refusal){404, "unknown channel"};
    case ERROR_LIMIT_EXCEEDED:
        return (struct refusal){403, "too many channels"};
    case ERROR_PERMISSION_DENIED:
        return (struct refusal){403, "no permission for this channel"};
    default:
        return (struct refusal){0, NULL};
    }
}

static struct refusal check_channels(const struct client *c, const struct http_request *q) {
    uint32_t limit = c->sessions->config->client_channel_limit;
    const struct channel_options *o;
    struct str channel;
    for (size_t i = 0; (channel = http_query_value(q->query, "channel", i)).n; i++) {
        struct refusal r = why_not_subscribed(client_check_subscribe(c, channel, &o));
        if (!r.status && i >= limit)
            r = why_not_subscribed(ERROR_LIMIT_EXCEEDED);
        if (r.status)
            return r;
    }
    return (struct refusal){0, NULL};
}

/* A browser that comes back sends the header, while its URL still has what it began with. */
static struct str find_last_id(const struct http_request *q) {
    if (q->last_event_id.n)
        return q->last_event_id; /* a header has no NUL */
    struct str id = http_query_value(q->query, "last_event_id", 0);
    if (!id.n)
        id = http_query_value(q->query, "lastEventId", 0);
    return str_slice(id, 0, str_find(id, '\0'));
}

/* For receive() of protocol/sse.h. */
static struct buf make_ask(const struct http_request *q) {
    struct buf b = {0};
    struct str channel;
    buf_add(&b, find_last_id(q));
    buf_add_char(&b, '\0');
    for (size_t i = 0; (channel = http_query_value(q->query, "channel", i)).n; i++) {
        buf_add(&b, channel);
        buf_add_char(&b, '\0');
    }
    return b;
}

static void start(struct http_conn *c, struct client *client, const struct http_request *q) {
    struct buf ask = make_ask(q), preamble = {0};
    sse_add_preamble(&preamble);
    stream_begin(c, client, q, "text/event-stream", buf_str(&preamble));
    client->protocol->receive(client, buf_str(&ask));
    buf_fini(&ask);
    buf_fini(&preamble);
    http_exchange_drop(c);
}

static void open_stream(struct http_conn *c, const struct http_request *q) {
    struct client *client = client_create(c->http->sessions, &protocol_sse, &stream_transport, c);
    const struct str last_id = find_last_id(q);
    client_connect(client, &(struct client_connect){.token = find_token(q),
                                                    .find_position = sse_find_position,
                                                    .positions = &last_id});
    struct refusal r = why_not_connected(client);
    if (!r.status)
        r = check_channels(client, q);
    if (!r.status) {
        start(c, client, q);
        return;
    }
    client_gone(client, CLOSE_BAD_REQUEST);
    stream_refuse(c, q, r.status, r.text);
}

void sse_begin(struct http_conn *c, const struct http_request *q) {
    if (!stream_may_run(c, q, "GET"))
        return;
    if (!http_query_value(q->query, "channel", 0).n)
        stream_refuse(c, q, 400, "name one channel or more: ?channel=NAME");
    else if (find_last_id(q).n > SSE_ID_MAX_BYTES)
        stream_refuse(c, q, 400, "Last-Event-ID, or last_event_id, has at most 1024 bytes");
    else
        open_stream(c, q);
}
