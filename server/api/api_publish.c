/* POST /api/publish and /api/broadcast: a back end publishes to one or many channels.
 *
 * The payload is sliced out of the request and passed on byte by byte. One call to the broker per
 * channel; the answer goes out when the last one came back.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/json_scan.h"
#include "server/base/mem.h"

#include <sodium.h>
#include <stdio.h>

enum { CHANNELS_MAX = 10000 };

struct item {
    struct reply reply;
    struct api_call *call;
    enum api_error error; /* 0: fine so far */
};

struct api_call {
    struct api_answer later; /* answer is NULL when abandoned */
    bool is_broadcast;
    bool is_transport_mode;
    uint32_t item_count, open_count;
    struct item items[];
};

void api_abandon(struct api_call *call) {
    call->later.answer = NULL;
}

/* --- answer ----------------------------------------------------------------------------------- */

static void add_item(struct buf *b, const struct item *i) {
    if (!i->error) {
        buf_add_z(b, "{\"result\":{}}");
        return;
    }
    buf_add_z(b, "{\"error\":");
    api_add_error(b, i->error);
    buf_add_char(b, '}');
}

static void respond(const struct api_call *call, struct http_response *r) {
    if (!call->is_broadcast && call->items[0].error) {
        api_respond_error(r, call->items[0].error, call->is_transport_mode);
        return;
    }
    http_response_json(r, 200, STR_NONE);
    if (!call->is_broadcast) {
        add_item(&r->body, &call->items[0]);
        return;
    }
    buf_add_z(&r->body, "{\"result\":{\"responses\":[");
    for (uint32_t i = 0; i < call->item_count; i++) {
        if (i)
            buf_add_char(&r->body, ',');
        add_item(&r->body, &call->items[i]);
    }
    buf_add_z(&r->body, "]}}");
}

static void item_done(struct reply *reply) {
    struct item *i = list_entry(reply, struct item, reply);
    struct api_call *call = i->call;
    if (reply->result != BROKER_OK)
        i->error = API_INTERNAL;
    if (--call->open_count > 0)
        return;
    if (call->later.answer) {
        struct http_response r = {0};
        respond(call, &r);
        call->later.answer(call->later.to, &r);
        buf_fini(&r.body);
    }
    mem_free(call);
}

/* --- request ---------------------------------------------------------------------------------- */

struct publish_request {
    struct json_value object;
    struct str data; /* one JSON value on one line */
    struct str tags;
    struct buf line; /* holds data when it had to be changed */
};

/* b64data is for binary clients; it is taken when it decodes to JSON, which is all we can deliver.
 */
static bool read_b64(struct publish_request *p, struct json_value v) {
    struct buf text = {0};
    struct json_value value;
    struct json_fault fault;
    size_t n = 0;
    bool is_read = false;
    if (v.kind == JSON_KIND_STRING) {
        struct str s = json_decode(v, &text);
        char *to = buf_reserve(&p->line, s.n + 1);
        /* libsodium 1.0.18 takes any byte from 0x80 up for a base64 digit. */
        is_read = str_ascii_length(s) == s.n &&
                  sodium_base642bin((unsigned char *)to, s.n + 1, s.p, s.n, NULL, &n, NULL,
                                    sodium_base64_VARIANT_ORIGINAL) == 0 &&
                  json_scan_all((struct str){to, n}, &value, &fault) && !value.has_newline;
        p->line.n = n;
        if (is_read)
            p->data = value.text;
    }
    buf_fini(&text);
    return is_read;
}

static bool read_data(struct publish_request *p, struct json_value data, struct json_value b64) {
    if (data.kind == JSON_KIND_MISSING || data.kind == JSON_KIND_NULL)
        return read_b64(p, b64);
    p->data = data.text;
    if (data.has_newline) {
        json_add_line(&p->line, data);
        p->data = buf_str(&p->line);
    }
    return true;
}

/* A JSON object of strings, without newlines. */
static bool read_tags(struct publish_request *p, struct json_value tags) {
    struct json_value key, value;
    size_t at = 0;
    if (tags.kind == JSON_KIND_MISSING || tags.kind == JSON_KIND_NULL)
        return true;
    if (tags.kind != JSON_KIND_OBJECT || tags.has_newline)
        return false;
    while (json_each(tags, &at, &key, &value))
        if (value.kind != JSON_KIND_STRING)
            return false;
    if (at > 2)
        p->tags = tags.text;
    return true;
}

/* False when the response was made. */
static bool read_request(const struct api_context *x, struct publish_request *p, const char *target,
                         struct json_value *channels) {
    struct json_fault fault;
    struct json_field f[] = {
        {.name = str_of(target)}, JSON_FIELD("data"), JSON_FIELD("b64data"), JSON_FIELD("tags")};
    char text[160];
    if (!json_scan_all(x->request->body, &p->object, &fault)) {
        snprintf(text, sizeof(text), "the body is not valid JSON: %s at byte %zu", fault.what,
                 fault.at);
        http_response_text(x->response, 400, text);
        return false;
    }
    if (p->object.kind != JSON_KIND_OBJECT ||
        !json_fields(p->object, f, sizeof(f) / sizeof(f[0]), &fault)) {
        http_response_text(x->response, 400, "the body must be a JSON object, each member once");
        return false;
    }
    *channels = f[0].value;
    if (!read_data(p, f[1].value, f[2].value) || !read_tags(p, f[3].value)) {
        api_respond_error(x->response, API_BAD_REQUEST, api_wants_transport_errors(x->request));
        return false;
    }
    if (p->data.n > publication_max_bytes(x->sessions->config)) {
        http_response_text(x->response, 413,
                           "the publication is too large: at most 1 MiB and a "
                           "quarter of client.queue_max_size");
        return false;
    }
    return true;
}

static struct api_call *make_call(const struct api_context *x, uint32_t count, bool is_broadcast) {
    struct api_call *call = mem_zalloc(sizeof(*call) + count * sizeof(call->items[0]));
    call->later = x->later;
    call->is_broadcast = is_broadcast;
    call->is_transport_mode = api_wants_transport_errors(x->request);
    call->item_count = count;
    return call;
}

/* Publishes to one channel, or notes the error. */
static void publish_one(const struct api_context *x, struct api_call *call, uint32_t index,
                        const struct publish_request *p, struct json_value channel) {
    struct item *i = &call->items[index];
    const struct channel_options *o;
    struct buf scratch = {0};
    struct str name = channel.kind == JSON_KIND_STRING ? json_decode(channel, &scratch) : STR_NONE;
    struct broker *broker = x->sessions->broker;

    i->call = call;
    i->reply = (struct reply){.to = x->sessions->mailbox, .done = item_done};
    enum rules_verdict v =
        name.n ? rules_find(&x->sessions->config->rules, name, &o) : RULES_BAD_NAME;
    if (v != RULES_OK) {
        i->error = v == RULES_BAD_NAME ? API_BAD_REQUEST : API_UNKNOWN_CHANNEL;
    } else {
        struct msg_parts parts = {
            .kind = MSG_PUBLICATION, .channel = name, .data = p->data, .tags = p->tags};
        call->open_count++;
        metrics_add(x->sessions->metrics, METRIC_PUBLISHED, 1);
        broker->ops->publish(broker, msg_create(&parts), &i->reply);
    }
    buf_fini(&scratch);
}

/* The call when answers are awaited, else the response is made at once. */
static struct api_call *finish(const struct api_context *x, struct api_call *call) {
    if (call->open_count)
        return call;
    respond(call, x->response);
    mem_free(call);
    return NULL;
}

struct api_call *api_publish(const struct api_context *x) {
    struct publish_request p = {0};
    struct json_value channel;
    struct api_call *call = NULL;
    if (read_request(x, &p, "channel", &channel)) {
        call = make_call(x, 1, false);
        publish_one(x, call, 0, &p, channel);
        call = finish(x, call);
    }
    buf_fini(&p.line);
    return call;
}

static uint32_t count_items(struct json_value array) {
    struct json_value item;
    uint32_t count = 0;
    for (size_t at = 0; count <= CHANNELS_MAX && json_each(array, &at, NULL, &item);)
        count++;
    return count;
}

static struct api_call *broadcast(const struct api_context *x, const struct publish_request *p,
                                  struct json_value channels) {
    uint32_t count = channels.kind == JSON_KIND_ARRAY ? count_items(channels) : 0;
    struct json_value channel;
    size_t at = 0;
    if (count == 0 || count > CHANNELS_MAX) {
        api_respond_error(x->response, API_BAD_REQUEST, api_wants_transport_errors(x->request));
        return NULL;
    }
    struct api_call *call = make_call(x, count, true);
    for (uint32_t i = 0; json_each(channels, &at, NULL, &channel); i++)
        publish_one(x, call, i, p, channel);
    return finish(x, call);
}

struct api_call *api_broadcast(const struct api_context *x) {
    struct publish_request p = {0};
    struct json_value channels;
    struct api_call *call = NULL;
    if (read_request(x, &p, "channels", &channels))
        call = broadcast(x, &p, channels);
    buf_fini(&p.line);
    return call;
}
