/* The methods history and history_remove: what a channel remembers of its publications.
 *
 * An answer is bounded: publications that do not fit are left out and "truncated" says so. Who
 * wants them asks again, since the position of the last one that came. Top offset and epoch are
 * always those of the channel.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/mem.h"
#include "server/session/client_info.h"

/* --- the answer ------------------------------------------------------------------------------- */

static void add_publication(struct buf *b, const struct msg *m) {
    const struct msg_parts *p = &m->parts;
    buf_add_z(b, "{\"data\":");
    buf_add(b, p->data);
    if (p->client.n) {
        buf_add_z(b, ",\"info\":");
        client_info_add(b, p);
    }
    if (m->position.offset) {
        buf_add_z(b, ",\"offset\":");
        buf_add_u64(b, m->position.offset);
    }
    if (p->tags.n) {
        buf_add_z(b, ",\"tags\":");
        buf_add(b, p->tags);
    }
    buf_add_char(b, '}');
}

static void add_history(struct buf *b, const struct history_reply *h) {
    buf_add_z(b, "{\"publications\":[");
    for (uint32_t i = 0; i < h->count; i++) {
        if (i)
            buf_add_char(b, ',');
        add_publication(b, h->items[i]);
    }
    buf_add_z(b, "],\"epoch\":\"");
    buf_add(b, (struct str){h->top.epoch, EPOCH_BYTES});
    buf_add_z(b, "\",\"offset\":");
    buf_add_u64(b, h->top.offset);
    if (h->is_cut)
        buf_add_z(b, ",\"truncated\":true");
    buf_add_char(b, '}');
}

/* --- history ---------------------------------------------------------------------------------- */

struct reading {
    struct history_reply history;
    struct api_command *command;
};

static void history_read(struct reply *reply) {
    struct history_reply *h = list_entry(reply, struct history_reply, reply);
    struct reading *r = list_entry(h, struct reading, history);
    struct api_command *c = r->command;
    if (reply->result != BROKER_OK) {
        api_fail(c, API_INTERNAL);
    } else if (h->is_other_epoch) {
        api_fail(c, API_UNRECOVERABLE);
    } else {
        add_history(&c->result, h);
        api_done(c);
    }
    history_reply_fini(h);
    mem_free(r);
}

enum { F_CHANNEL, F_LIMIT, F_SINCE, F_REVERSE, F_COUNT };

/* False when the command was answered. */
static bool read_question(struct api_command *c, const struct json_field *f,
                          struct history_reply *h) {
    int64_t limit = 0;
    h->has_since = !api_is_missing(f[F_SINCE].value);
    if (!api_i64(f[F_LIMIT].value, INT32_MIN, INT32_MAX, &limit))
        api_refuse(c, "\"limit\" must be a whole number of 32 bits");
    else if (!api_bool(f[F_REVERSE].value, &h->is_reverse))
        api_refuse(c, "\"reverse\" must be true or false");
    else if (h->has_since && !api_position(f[F_SINCE].value, &h->since))
        api_refuse(c, "\"since\" must be an object of offset and epoch");
    else if (h->is_reverse && h->has_since && h->since.offset == 0)
        api_refuse(c, "there is nothing before offset 0");
    else {
        h->limit = limit < 0 ? UINT32_MAX : (uint32_t)limit;
        return true;
    }
    return false;
}

/* False, and the command is answered, when the channel has no history. */
static bool find_history(struct api_command *c, struct json_value channel, struct buf *scratch,
                         struct str *name) {
    const struct channel_options *o;
    if (!api_channel(c, channel, scratch, name, &o))
        return false;
    if (rules_keep_history(o))
        return true;
    api_fail(c, API_NOT_AVAILABLE);
    return false;
}

void api_history(struct api_command *c, struct json_value params) {
    struct json_field f[F_COUNT] = {JSON_FIELD("channel"), JSON_FIELD("limit"), JSON_FIELD("since"),
                                    JSON_FIELD("reverse")};
    struct broker *broker = c->sessions->broker;
    struct history_reply h = {0};
    struct buf scratch = {0};
    struct str name;
    if (api_fields(c, params, f, F_COUNT) && find_history(c, f[F_CHANNEL].value, &scratch, &name) &&
        read_question(c, f, &h) && (h.limit == 0 || api_has_room(c))) {
        struct reading *r = mem_zalloc(sizeof(*r));
        h.reply = (struct reply){.to = c->sessions->mailbox, .done = history_read};
        h.max_bytes = c->room_bytes;
        r->history = h;
        r->command = c;
        broker->ops->history(broker, name, &r->history);
    }
    buf_fini(&scratch);
}

/* --- history_remove --------------------------------------------------------------------------- */

struct removing {
    struct reply reply;
    struct api_command *command;
};

static void history_removed(struct reply *reply) {
    struct removing *r = list_entry(reply, struct removing, reply);
    struct api_command *c = r->command;
    if (reply->result == BROKER_OK)
        api_done(c);
    else
        api_fail(c, API_INTERNAL);
    mem_free(r);
}

void api_history_remove(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("channel")};
    struct broker *broker = c->sessions->broker;
    struct buf scratch = {0};
    struct str name;
    if (api_fields(c, params, f, 1) && find_history(c, f[0].value, &scratch, &name)) {
        struct removing *r = mem_zalloc(sizeof(*r));
        r->reply = (struct reply){.to = c->sessions->mailbox, .done = history_removed};
        r->command = c;
        broker->ops->history_remove(broker, name, &r->reply);
    }
    buf_fini(&scratch);
}
