/* See client.h: commands on a channel that the broker answers: publish, presence, history.
 *
 * An answer may come long after the client is gone, so a call names it by handle.
 *
 * Thread: the worker of the client.
 */
#include "auth/capabilities.h"
#include "auth/scopes.h"
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <string.h>

enum client_error client_lookup(const struct client *c, struct str channel,
                                const struct channel_options **o) {
    switch (rules_find(&c->sessions->config->rules, channel, o)) {
    case RULES_OK:
        return ERROR_NONE;
    case RULES_UNKNOWN_NAMESPACE:
        return ERROR_UNKNOWN_CHANNEL;
    case RULES_BAD_NAME:
        break;
    }
    return ERROR_BAD_REQUEST;
}

bool client_find_options(struct client *c, uint32_t command_id, struct str channel,
                         const struct channel_options **o) {
    enum client_error error = client_lookup(c, channel, o);
    if (error)
        client_fail(c, command_id, error);
    return !error;
}

struct rules_actor client_actor(const struct client *c, struct str channel,
                                const struct subscription *sub) {
    unsigned permitted = capabilities_in(c->capabilities, channel) |
                         scopes_in(c->sessions->connection_tokens.scopes, c->scopes, channel);
    if (sub && sub->extra)
        permitted |= sub->extra->permissions;
    return (struct rules_actor){str_of(c->user), sub != NULL, permitted};
}

/* One open call to the broker. */
struct call {
    struct sessions *sessions;
    struct client_handle client;
    uint32_t command_id;
};

static struct call open_call(struct client *c, uint32_t command_id) {
    c->open_calls++;
    return (struct call){c->sessions, {c->slot, c->generation}, command_id};
}

/* The client that waits for it, or NULL. */
static struct client *waiting(const struct call *call) {
    struct client *c = sessions_find(call->sessions, call->client);
    return c && c->state == CLIENT_CONNECTED ? c : NULL;
}

/* --- publish ---------------------------------------------------------------------------------- */

struct publish_call {
    struct reply reply;
    struct call call;
};

static void publish_done(struct reply *r) {
    struct publish_call *call = list_entry(r, struct publish_call, reply);
    struct client *c = waiting(&call->call);
    uint32_t command_id = call->call.command_id;
    if (c) {
        if (r->result == BROKER_OK)
            c->protocol->event(c,
                               &(struct event){.kind = EVENT_PUBLISHED, .command_id = command_id});
        else
            client_fail(c, command_id, ERROR_INTERNAL);
        client_call_answered(c);
    }
    mem_free(call);
}

struct keep channel_keep(const struct channel_options *o) {
    return (struct keep){.size = o->history_size,
                         .ttl_ms = o->history_ttl_s * UINT64_C(1000),
                         .meta_ttl_ms = o->history_meta_ttl_s * UINT64_C(1000)};
}

uint32_t publication_max_bytes(const struct config *config) {
    uint32_t quarter = config->client_queue_max_size_bytes / 4;
    return quarter < PUBLICATION_MAX_BYTES ? quarter : PUBLICATION_MAX_BYTES;
}

static void publish(struct client *c, uint32_t command_id, struct msg_parts parts,
                    const struct channel_options *o) {
    struct sessions *s = c->sessions;
    const struct publish_options options = {.keep = channel_keep(o),
                                            .makes_delta = o->delta_publish};
    struct publish_call *call = mem_zalloc(sizeof(*call));
    call->reply = (struct reply){.to = s->mailbox, .done = publish_done};
    call->call = open_call(c, command_id);
    metrics_add(s->metrics, METRIC_PUBLISHED, 1);
    s->broker->ops->publish(s->broker, msg_create(&parts), &options, &call->reply);
}

void client_publish(struct client *c, uint32_t command_id, struct str channel, struct str data) {
    const struct config *config = c->sessions->config;
    const struct channel_options *o;
    const struct subscription *sub = client_find(c, channel);
    struct rules_actor actor = client_actor(c, channel, sub);

    if (data.n == 0 || data.n > publication_max_bytes(config)) {
        client_fail(c, command_id, ERROR_BAD_REQUEST);
        return;
    }
    if (!client_find_options(c, command_id, channel, &o))
        return;
    if (!rules_may_publish(&config->rules, o, &actor))
        client_fail(c, command_id, ERROR_PERMISSION_DENIED);
    else
        publish(c, command_id,
                (struct msg_parts){
                    .kind = MSG_PUBLICATION,
                    .channel = channel,
                    .data = data,
                    .user = str_of(c->user),
                    .client = {c->id, CLIENT_ID_BYTES},
                    .conn_info = str_of(c->conn_info),
                    .chan_info = subscription_info(sub),
                },
                o);
}

/* --- presence --------------------------------------------------------------------------------- */

struct presence_call {
    struct presence_reply presence;
    struct call call;
    struct str channel;
    char name[];
};

/* What a subscriber hears of joins and leaves must fit to the answer. */
static void catch_up(struct client *c, struct str channel) {
    struct subscription *sub = client_find(c, channel);
    if (sub)
        member_batch_catch_up(sub);
}

static void presence_done(struct reply *r) {
    struct presence_reply *p = list_entry(r, struct presence_reply, reply);
    struct presence_call *call = list_entry(p, struct presence_call, presence);
    struct client *c = waiting(&call->call);
    uint32_t command_id = call->call.command_id;
    if (c) {
        catch_up(c, call->channel);
        if (r->result == BROKER_OK)
            c->protocol->event(
                c,
                &(struct event){.kind = EVENT_PRESENCE, .command_id = command_id, .presence = p});
        else
            client_fail(c, command_id, ERROR_INTERNAL);
        client_call_answered(c);
    }
    presence_reply_fini(p);
    mem_free(call);
}

static void ask_presence(struct client *c, uint32_t command_id, struct str channel,
                         bool wants_members) {
    struct broker *broker = c->sessions->broker;
    struct presence_call *call = mem_zalloc(sizeof(*call) + channel.n);
    memcpy(call->name, channel.p, channel.n);
    call->channel = (struct str){call->name, channel.n};
    call->presence.reply = (struct reply){.to = c->sessions->mailbox, .done = presence_done};
    call->presence.wants_members = wants_members;
    call->call = open_call(c, command_id);
    broker->ops->presence(broker, channel, &call->presence);
}

void client_presence(struct client *c, uint32_t command_id, struct str channel,
                     bool wants_members) {
    const struct rules *rules = &c->sessions->config->rules;
    const struct channel_options *o;
    struct rules_actor actor = client_actor(c, channel, client_find(c, channel));
    if (!client_find_options(c, command_id, channel, &o))
        return;
    if (!o->presence)
        client_fail(c, command_id, ERROR_NOT_AVAILABLE);
    else if (!rules_may_read_presence(rules, o, &actor))
        client_fail(c, command_id, ERROR_PERMISSION_DENIED);
    else
        ask_presence(c, command_id, channel, wants_members);
}

/* --- history ---------------------------------------------------------------------------------- */

struct read_call {
    struct history_reply history;
    struct call call;
};

static void history_read(struct reply *r) {
    struct history_reply *h = list_entry(r, struct history_reply, reply);
    struct read_call *call = list_entry(h, struct read_call, history);
    struct client *c = waiting(&call->call);
    uint32_t command_id = call->call.command_id;
    if (c) {
        if (r->result != BROKER_OK)
            client_fail(c, command_id, ERROR_INTERNAL);
        else if (h->is_other_epoch)
            client_fail(c, command_id, ERROR_UNRECOVERABLE);
        else
            c->protocol->event(
                c, &(struct event){.kind = EVENT_HISTORY, .command_id = command_id, .history = h});
        client_call_answered(c);
    }
    history_reply_fini(h);
    mem_free(call);
}

static void ask_history(struct client *c, const struct client_history *q) {
    const struct config *config = c->sessions->config;
    struct broker *broker = c->sessions->broker;
    uint32_t max = config->client_history_max_publication_limit;
    struct read_call *call = mem_zalloc(sizeof(*call));
    bool is_over = q->limit < 0 || (max && (uint32_t)q->limit > max); /* 0: no limit */
    call->history = (struct history_reply){
        .reply = {.to = c->sessions->mailbox, .done = history_read},
        .since = q->since,
        .has_since = q->has_since,
        .is_reverse = q->is_reverse,
        .limit = is_over ? max ? max : UINT32_MAX : (uint32_t)q->limit,
        .max_bytes = config->client_queue_max_size_bytes / 2,
    };
    call->call = open_call(c, q->command_id);
    broker->ops->history(broker, q->channel, &call->history);
}

void client_history(struct client *c, const struct client_history *q) {
    const struct rules *rules = &c->sessions->config->rules;
    const struct channel_options *o;
    struct rules_actor actor = client_actor(c, q->channel, client_find(c, q->channel));
    if (!client_find_options(c, q->command_id, q->channel, &o))
        return;
    if (!rules_keep_history(o))
        client_fail(c, q->command_id, ERROR_NOT_AVAILABLE);
    else if (!rules_may_read_history(rules, o, &actor))
        client_fail(c, q->command_id, ERROR_PERMISSION_DENIED);
    else if (q->has_since && q->is_reverse && q->since.offset == 0)
        client_fail(c, q->command_id, ERROR_BAD_REQUEST);
    else
        ask_history(c, q);
}
