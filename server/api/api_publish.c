/* The methods publish and broadcast: a back end publishes to one or many channels.
 *
 * The payload is sliced out of the request and passed on byte by byte. One call to the broker per
 * channel; a broadcast is answered when the last one came back. In channels with history the result
 * is the position of the publication.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/mem.h"

enum { CHANNELS_MAX = 10000 };

/* --- one channel ------------------------------------------------------------------------------ */

/* What is published, and how. */
struct publish_request {
    struct json_value target; /* "channel" or "channels" */
    struct str data;          /* one JSON value on one line */
    struct str tags;          /* the same */
    struct publish_options options;
    struct buf raw, line, tags_line, key, version_epoch; /* hold what had to be changed */
};

struct publishing {
    struct reply reply;
    struct api_command *command;
};

static void published(struct reply *reply) {
    struct publishing *p = list_entry(reply, struct publishing, reply);
    struct api_command *c = p->command;
    if (reply->result != BROKER_OK) {
        api_fail(c, API_INTERNAL);
    } else {
        if (reply->position.offset)
            buf_printf(&c->result, "{\"offset\":%llu,\"epoch\":\"%.*s\"}",
                       (unsigned long long)reply->position.offset, EPOCH_BYTES,
                       reply->position.epoch);
        api_done(c);
    }
    mem_free(p);
}

static void publish_to(struct api_command *c, const struct publish_request *q,
                       struct json_value channel) {
    struct broker *broker = c->sessions->broker;
    struct publish_options options = q->options;
    const struct channel_options *o;
    struct buf scratch = {0};
    struct str name;
    if (api_channel(c, channel, &scratch, &name, &o)) {
        struct msg_parts parts = {
            .kind = MSG_PUBLICATION, .channel = name, .data = q->data, .tags = q->tags};
        struct publishing *p = mem_zalloc(sizeof(*p));
        p->reply = (struct reply){.to = c->sessions->mailbox, .done = published};
        p->command = c;
        options.keep = channel_keep(o);
        options.makes_delta |= o->delta_publish;
        metrics_add(c->sessions->metrics, METRIC_PUBLISHED, 1);
        broker->ops->publish(broker, msg_create(&parts), &options, &p->reply);
    }
    buf_fini(&scratch);
}

/* --- request ---------------------------------------------------------------------------------- */

static const char *read_data(struct publish_request *q, struct json_value data,
                             struct json_value b64) {
    if (api_is_missing(data) && api_is_missing(b64))
        return "\"data\" is missing";
    if (api_is_missing(data) && !api_b64(b64, &q->raw, &data))
        return "\"b64data\" must be JSON in base64";
    q->data = api_line(data, &q->line);
    return NULL;
}

static const char *read_tags(struct publish_request *q, struct json_value tags) {
    static const char why[] = "\"tags\" must be an object of strings";
    struct json_value key, value;
    size_t at = 0;
    if (api_is_missing(tags))
        return NULL;
    if (tags.kind != JSON_KIND_OBJECT)
        return why;
    while (json_each(tags, &at, &key, &value)) {
        q->tags = tags.text; /* not of an empty object */
        if (value.kind != JSON_KIND_STRING)
            return why;
    }
    if (q->tags.n)
        q->tags = api_line(tags, &q->tags_line);
    return NULL;
}

enum {
    F_DATA = 1, /* after the target */
    F_B64DATA,
    F_TAGS,
    F_SKIP_HISTORY,
    F_DELTA,
    F_IDEMPOTENCY_KEY,
    F_VERSION,
    F_VERSION_EPOCH,
    F_COUNT
};

static const char *read_options(struct publish_request *q, const struct json_field *f) {
    struct publish_options *o = &q->options;
    if (!api_bool(f[F_SKIP_HISTORY].value, &o->skips_history))
        return "\"skip_history\" must be true or false";
    if (!api_bool(f[F_DELTA].value, &o->makes_delta))
        return "\"delta\" must be true or false";
    if (!api_is_string(f[F_IDEMPOTENCY_KEY].value))
        return "\"idempotency_key\" must be a string";
    if (!api_u64(f[F_VERSION].value, UINT64_MAX, &o->version))
        return "\"version\" must be a number, 0 to 2^64-1, without sign and fraction";
    if (!api_is_string(f[F_VERSION_EPOCH].value))
        return "\"version_epoch\" must be a string";
    o->idempotency_key = api_text(f[F_IDEMPOTENCY_KEY].value, &q->key);
    o->version_epoch = api_text(f[F_VERSION_EPOCH].value, &q->version_epoch);
    return NULL;
}

/* False when the command was answered. */
static bool read_request(struct api_command *c, struct json_value params, const char *target,
                         struct publish_request *q) {
    struct json_field f[F_COUNT] = {
        {.name = str_of(target)},      JSON_FIELD("data"),
        JSON_FIELD("b64data"),         JSON_FIELD("tags"),
        JSON_FIELD("skip_history"),    JSON_FIELD("delta"),
        JSON_FIELD("idempotency_key"), JSON_FIELD("version"),
        JSON_FIELD("version_epoch"),
    };
    const char *why;
    if (!api_fields(c, params, f, F_COUNT))
        return false;
    q->target = f[0].value;
    if ((why = read_data(q, f[F_DATA].value, f[F_B64DATA].value)) ||
        (why = read_tags(q, f[F_TAGS].value)) || (why = read_options(q, f))) {
        api_refuse(c, why);
    } else if (q->data.n > publication_max_bytes(c->sessions->config)) {
        c->status = 413;
        api_refuse(c, "the publication is too large: at most 1 MiB and a quarter of "
                      "client.queue_max_size");
    } else {
        return true;
    }
    return false;
}

static void request_fini(struct publish_request *q) {
    buf_fini(&q->raw);
    buf_fini(&q->line);
    buf_fini(&q->tags_line);
    buf_fini(&q->key);
    buf_fini(&q->version_epoch);
}

void api_publish(struct api_command *c, struct json_value params) {
    struct publish_request q = {0};
    if (read_request(c, params, "channel", &q))
        publish_to(c, &q, q.target);
    request_fini(&q);
}

/* --- broadcast -------------------------------------------------------------------------------- */

/* A publish of its own for each channel. */
struct broadcast_item {
    struct api_command command;
    struct broadcast *broadcast;
};

struct broadcast {
    struct api_command *command;
    uint32_t count;
    uint32_t open_count; /* and one more until all are begun */
    struct broadcast_item items[];
};

static void item_over(struct broadcast *b) {
    struct api_command *c = b->command;
    if (--b->open_count > 0)
        return;
    buf_add_z(&c->result, "{\"responses\":[");
    for (uint32_t i = 0; i < b->count; i++) {
        if (i)
            buf_add_char(&c->result, ',');
        api_add_answer(&c->result, &b->items[i].command, STR("result"));
        buf_fini(&b->items[i].command.result);
    }
    buf_add_z(&c->result, "]}");
    mem_free(b);
    api_done(c);
}

static void item_done(struct api_command *c) {
    item_over(list_entry(c, struct broadcast_item, command)->broadcast);
}

static uint32_t count_items(struct json_value array) {
    struct json_value item;
    uint32_t count = 0;
    if (array.kind != JSON_KIND_ARRAY)
        return 0;
    for (size_t at = 0; count <= CHANNELS_MAX && json_each(array, &at, NULL, &item);)
        count++;
    return count;
}

static void broadcast(struct api_command *c, const struct publish_request *q) {
    uint32_t count = count_items(q->target);
    struct json_value channel;
    size_t at = 0;
    if (count == 0 || count > CHANNELS_MAX) {
        api_refuse(c, "\"channels\" must be a list of 1 to 10000 channels");
        return;
    }
    struct broadcast *b = mem_zalloc(sizeof(*b) + count * sizeof(b->items[0]));
    b->command = c;
    b->count = count;
    b->open_count = count + 1;
    for (uint32_t i = 0; json_each(q->target, &at, NULL, &channel); i++) {
        struct broadcast_item *item = &b->items[i];
        item->command =
            (struct api_command){.sessions = c->sessions, .node = c->node, .done = item_done};
        item->broadcast = b;
        publish_to(&item->command, q, channel);
    }
    item_over(b);
}

void api_broadcast(struct api_command *c, struct json_value params) {
    struct publish_request q = {0};
    if (read_request(c, params, "channels", &q))
        broadcast(c, &q);
    request_fini(&q);
}
