/* See sse.h.
 *
 * Thread: the worker.
 */
#include "server/net/sse.h"

#include "server/net/sse_params.h"
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

static struct str find_token(const struct http_request *q, struct str params) {
    static const struct str bearer = {"bearer ", 7};
    struct str scheme = str_slice(q->authorization, 0,
                                  q->authorization.n < bearer.n ? q->authorization.n : bearer.n);
    if (str_equal_nocase(scheme, bearer))
        return str_trim(str_slice(q->authorization, bearer.n, q->authorization.n));
    struct str cookie = cookie_value(q->cookie, STR("carillon_token="));
    return cookie.n ? cookie : http_query_value(params, "token", 0);
}

/* --- the stream ------------------------------------------------------------------------------- */

struct refusal {
    int status; /* 0: none */
    const char *text;
};

static struct refusal refuse_bad_connect(const struct client *c) {
    if (c->is_token_bearer)
        return (struct refusal){403, "the token names a channel of an unknown namespace, or what "
                                     "is no channel name"};
    return (struct refusal){401, "a token is needed: Authorization: Bearer TOKEN, or ?token="};
}

/* What may be good soon is told in the stream, as a status would be final. */
static struct refusal why_not_connected(const struct client *c) {
    switch (c->reason) {
    case CLOSE_EXPIRED:
        return (struct refusal){401, "the token has expired"};
    case CLOSE_INVALID_TOKEN:
        return (struct refusal){401, "the token is not valid"};
    case CLOSE_CHANNEL_LIMIT:
        return (struct refusal){403, "the token names too many channels"};
    case CLOSE_BAD_REQUEST:
        return refuse_bad_connect(c);
    default:
        return (struct refusal){0, NULL};
    }
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

static struct refusal check_channels(const struct client *c, const struct sse_params *p) {
    const uint32_t limit = c->sessions->config->client_channel_limit;
    uint32_t count = c->subscription_count; /* those of the token */
    const struct channel_options *o;
    struct str channel;
    for (size_t i = 0; (channel = sse_params_channel(p, i)).n; i++) {
        enum client_error error = client_check_subscribe(c, channel, &o);
        if (i >= limit || (!error && ++count > limit))
            error = ERROR_LIMIT_EXCEEDED;
        struct refusal r = why_not_subscribed(error);
        if (r.status)
            return r;
    }
    return (struct refusal){0, NULL};
}

/* For receive() of protocol/sse.h. */
static struct buf make_ask(const struct sse_params *p, struct str last_id) {
    struct buf b = {0};
    struct str channel;
    buf_add(&b, last_id);
    buf_add_char(&b, '\0');
    for (size_t i = 0; (channel = sse_params_channel(p, i)).n; i++) {
        buf_add(&b, channel);
        buf_add_char(&b, '\0');
    }
    return b;
}

static void start(struct http_conn *c, struct client *client, const struct http_request *q,
                  const struct sse_params *p) {
    struct buf ask = make_ask(p, sse_params_last_id(p, q)), preamble = {0};
    sse_add_preamble(&preamble);
    stream_begin(c, client, q, "text/event-stream", buf_str(&preamble));
    client->protocol->receive(client, buf_str(&ask));
    buf_fini(&ask);
    buf_fini(&preamble);
    http_exchange_drop(c);
}

static void open_stream(struct http_conn *c, const struct http_request *q,
                        const struct sse_params *p) {
    const struct protocol *protocol =
        sse_params_names_events(p) ? &protocol_sse_named : &protocol_sse;
    struct client *client = client_create(c->http->sessions, protocol, &stream_transport, c);
    const struct str last_id = sse_params_last_id(p, q);
    client_connect(client, &(struct client_connect){.token = find_token(q, buf_str(&p->list)),
                                                    .keeps_token = true,
                                                    .find_position = sse_find_position,
                                                    .positions = &last_id});
    struct refusal r = why_not_connected(client);
    if (!r.status && client->state < CLIENT_CLOSING)
        r = check_channels(client, p);
    if (!r.status) {
        start(c, client, q, p);
        return;
    }
    client_gone(client, CLOSE_BAD_REQUEST);
    stream_refuse(c, q, r.status, r.text);
}

void sse_begin(struct http_conn *c, const struct http_request *q) {
    struct sse_params p = {0};
    if (!stream_may_run(c, q, "GET, POST"))
        return;
    if (str_equal(q->last_event_id, STR(SSE_ID_STOP))) {
        stream_answer(c, q, &(struct http_response){.status = 204});
        return;
    }
    sse_params_read(q, &p);
    if (p.status)
        stream_refuse(c, q, p.status, p.why);
    else
        open_stream(c, q, &p);
    sse_params_fini(&p);
}
