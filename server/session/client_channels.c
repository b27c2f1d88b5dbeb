/* See client.h: how a client subscribes and unsubscribes.
 *
 * Subscribing: rules -> hub -> (first of this worker) fanout and broker -> wait until the broker
 * confirms -> sync.h -> reply, then the messages that came meanwhile, then live. The subscribers
 * that wait for the broker are those of the channel that are still syncing; one answer serves them
 * all.
 *
 * Thread: the worker of the client.
 */
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <assert.h>

struct subscription *client_find(const struct client *c, struct str channel) {
    const struct hub *hub = &c->sessions->hub;
    struct hub_channel *hc = hub_find(hub, channel, map_hash(channel));
    if (!hc)
        return NULL;
    list_for_each(l, &c->subscriptions) {
        struct subscription *sub = list_entry(l, struct subscription, in_client);
        if (sub->hub.channel == hc)
            return sub;
    }
    return NULL;
}

/* --- the worker's side of attach -------------------------------------------------------------- */

struct attach {
    struct reply reply;
    struct sessions *sessions;
    struct hub_channel *channel; /* pinned */
};

static struct str name_of(const struct hub_channel *hc) {
    return hc->node.key;
}

/* Nobody here wants the channel any more. */
void client_channel_idle(struct sessions *s, struct hub_channel *hc) {
    if (hc->state != HUB_NEW)
        fanout_remove(s->fanout, name_of(hc), s->worker);
    if (hc->state == HUB_ATTACHED)
        s->broker->ops->detach(s->broker, name_of(hc));
    hub_forget(&s->hub, hc);
    metrics_set(s->metrics, METRIC_CHANNELS, s->hub.channels.count);
}

/* Who joins: a message to the channel and an entry of its presence. */
static struct msg *member_message(const struct subscription *sub, enum msg_kind kind) {
    const struct client *c = sub->client;
    return msg_create(&(struct msg_parts){
        .kind = kind,
        .channel = name_of(sub->hub.channel),
        .user = str_of(c->user),
        .client = {c->id, CLIENT_ID_BYTES},
        .conn_info = str_of(c->conn_info),
        .chan_info = subscription_info(sub),
    });
}

static struct member_options member_options(const struct channel_options *o) {
    return (struct member_options){
        .flags = (o->presence ? MEMBER_KEEP : 0u) | (o->join_leave ? MEMBER_ANNOUNCE : 0u),
        .max_members = o->join_leave_max_members,
    };
}

static void tell_join(struct subscription *sub) {
    struct broker *broker = sub->client->sessions->broker;
    const struct member_options options = member_options(sub->options);
    if (!options.flags)
        return;
    sub->is_member = true;
    broker->ops->join(broker, member_message(sub, MSG_JOIN), &options);
}

static void tell_leave(struct subscription *sub) {
    struct broker *broker = sub->client->sessions->broker;
    const struct member_options options = member_options(sub->options);
    if (!sub->is_member)
        return;
    sub->is_member = false;
    broker->ops->leave(broker, member_message(sub, MSG_LEAVE), &options);
}

static void remove_subscription(struct subscription *sub) {
    struct client *c = sub->client;
    struct sessions *s = c->sessions;
    struct hub_channel *hc = sub->hub.channel;
    tell_leave(sub);
    if (hub_leave(&s->hub, &sub->hub))
        client_channel_idle(s, hc);
    list_remove(&sub->in_client);
    c->subscription_count--;
    sync_end(sub);
    conflate_forget(sub);
    subscription_extra_free(sub->extra);
    mem_free(sub);
    metrics_set(s->metrics, METRIC_SUBSCRIPTIONS, s->hub.sub_count);
}

/* Sends what was held and is not part of the reply. */
static void send_held(struct subscription *sub, const struct sync *y) {
    struct client *c = sub->client;
    for (uint32_t i = 0; c->state == CLIENT_CONNECTED && i < y->held_count; i++) {
        struct msg *m = y->held[i];
        if (sub->wants_joins || m->parts.kind == MSG_PUBLICATION)
            client_send(c, c->protocol->encode(m, subscription_encoding(sub, m)));
    }
}

/* The push that says "subscribed" has no room for what was missed, as the reply has. */
static void tell_given(struct subscription *sub) {
    struct client *c = sub->client;
    sub->is_late = false;
    c->protocol->event(c, &(struct event){.kind = EVENT_GIVEN, .subscription = sub});
    for (uint32_t i = 0; c->state == CLIENT_CONNECTED && sub->sync && i < sub->sync->result.count;
         i++) {
        struct msg *m = sub->sync->result.items[i];
        client_send(c, c->protocol->encode(m, subscription_encoding(sub, m)));
    }
}

void subscription_take_away(struct subscription *sub, enum unsubscribe_reason why) {
    struct client *c = sub->client;
    c->protocol->event(c, &(struct event){.kind = EVENT_REMOVED,
                                          .channel = name_of(sub->hub.channel),
                                          .removed_for = why});
    if (c->state == CLIENT_CONNECTED)
        remove_subscription(sub);
}

/* The reply comes first: no client sees a message of a channel before its subscribe is answered. */
static void go_live(struct subscription *sub) {
    struct client *c = sub->client;
    bool is_cut = sub->sync && sub->sync->result.is_cut;
    sub->state = SUBSCRIPTION_LIVE;
    if (sub->is_late)
        tell_given(sub);
    else if (!sub->is_server_side || c->protocol->place)
        c->protocol->event(c, &(struct event){.kind = EVENT_SUBSCRIBED,
                                              .command_id = sub->command_id,
                                              .subscription = sub});
    if (c->state == CLIENT_CONNECTED && sub->sync)
        send_held(sub, sub->sync);
    if (c->state != CLIENT_CONNECTED)
        return; /* it is gone, and sub with it */
    if (sub->is_doomed) {
        subscription_take_away(sub, UNSUBSCRIBE_SERVER);
        return;
    }
    sync_end(sub);
    member_batch_enter(sub);
    tell_join(sub);
    if (is_cut)
        subscription_insufficient(sub); /* it comes back for the rest */
}

/* A connecting client's subscriptions go live together, after the reply to connect. */
static void server_side_synced(struct client *c) {
    uint32_t command_id = 0;
    list_for_each(l, &c->subscriptions) {
        struct subscription *sub = list_entry(l, struct subscription, in_client);
        command_id = sub->command_id;
        if (!sub->is_synced)
            return;
    }
    client_connected(c, command_id);
    /* What was held may be more than the client's queue takes: then it is closed on the way, and
     * all its subscriptions are gone. */
    list_for_each_safe(l, &c->subscriptions) {
        if (c->state != CLIENT_CONNECTED)
            return;
        go_live(list_entry(l, struct subscription, in_client));
        if (c->state != CLIENT_CONNECTED)
            return;
    }
}

static void sync_failed(struct subscription *sub, enum client_error error) {
    struct client *c = sub->client;
    uint32_t command_id = sub->command_id;
    if (sub->is_late) { /* the client never heard of it */
        log_debug("cannot subscribe id=%.*s error=\"%s\"", CLIENT_ID_BYTES, c->id,
                  client_error_text(error));
        remove_subscription(sub);
        return;
    }
    if (sub->is_server_side) { /* connect cannot succeed without it */
        client_leave_all(c);
        c->state = CLIENT_REFUSED;
    } else {
        remove_subscription(sub);
    }
    client_fail(c, command_id, error);
}

void sync_done(struct subscription *sub, enum client_error error) {
    sub->is_synced = !error;
    if (error)
        sync_failed(sub, error);
    else if (sub->is_server_side && sub->client->state == CLIENT_CONNECTING)
        server_side_synced(sub->client);
    else
        go_live(sub);
}

static void attached(struct subscription *sub) {
    sub->is_attached = true;
    sync_start(sub);
}

/* Answers all who wait for this channel, then runs what waited behind it. In two steps, because
 * those commands may join and leave this very channel. Clients live at least until the turn ends.
 */
static void answer_waiting(struct hub_channel *hc, bool is_ok) {
    struct client **answered = mem_array(hc->sub_count, sizeof(*answered));
    uint32_t count = 0;
    for (uint32_t i = hc->sub_count; i-- > 0;) {
        struct subscription *sub = list_entry(hc->subs[i], struct subscription, hub);
        if (sub->state != SUBSCRIPTION_SYNCING || sub->is_attached)
            continue;
        answered[count++] = sub->client;
        if (is_ok)
            attached(sub);
        else
            sync_failed(sub, ERROR_INTERNAL);
    }
    for (uint32_t i = count; i-- > 0;)
        client_call_answered(answered[i]);
    mem_free(answered);
}

static void attach_done(struct reply *r) {
    struct attach *a = list_entry(r, struct attach, reply);
    struct sessions *s = a->sessions;
    struct hub_channel *hc = a->channel;
    bool is_ok = r->result == BROKER_OK;
    mem_free(a);

    assert(hc->state == HUB_ATTACHING);
    if (is_ok) {
        hc->state = HUB_ATTACHED;
    } else {
        fanout_remove(s->fanout, name_of(hc), s->worker);
        hc->state = HUB_NEW;
    }
    answer_waiting(hc, is_ok);
    if (hub_unpin(hc))
        client_channel_idle(s, hc);
}

static void start_attach(struct sessions *s, struct hub_channel *hc) {
    struct attach *a = mem_zalloc(sizeof(*a));
    a->reply = (struct reply){.to = s->mailbox, .done = attach_done};
    a->sessions = s;
    a->channel = hc;
    hc->state = HUB_ATTACHING;
    hub_pin(hc);
    fanout_add(s->fanout, name_of(hc), s->worker);
    s->broker->ops->attach(s->broker, name_of(hc), &a->reply);
}

/* --- commands --------------------------------------------------------------------------------- */

/* Enters the hub; the broker is asked when this is the worker's first subscriber. */
struct subscription *subscription_enter(struct client *c, struct str channel,
                                        const struct channel_options *o, uint32_t command_id) {
    struct sessions *s = c->sessions;
    struct subscription *sub = mem_zalloc(sizeof(*sub));
    sub->client = c;
    sub->options = o;
    sub->command_id = command_id;
    sub->state = SUBSCRIPTION_SYNCING;
    list_append(&c->subscriptions, &sub->in_client);
    c->subscription_count++;
    struct hub_channel *hc = hub_join(&s->hub, channel, &sub->hub);
    metrics_set(s->metrics, METRIC_CHANNELS, s->hub.channels.count);
    metrics_set(s->metrics, METRIC_SUBSCRIPTIONS, s->hub.sub_count);
    sub->is_attached = hc->state == HUB_ATTACHED;
    if (!sub->is_attached)
        c->open_calls++;
    if (hc->state == HUB_NEW)
        start_attach(s, hc);
    return sub;
}

/* Join and leave messages go to those who ask and may see who is there, or to all where forced. */
static bool wants_joins(const struct subscription *sub, const struct rules_actor *actor,
                        bool is_asked) {
    const struct client *c = sub->client;
    const struct channel_options *o = sub->options;
    if (!o->join_leave || !c->protocol->has_members)
        return false;
    return o->force_push_join_leave ||
           (is_asked && rules_may_read_presence(&c->sessions->config->rules, o, actor));
}

enum client_error client_check_room(const struct client *c, struct str channel,
                                    const struct channel_options **o) {
    enum client_error error = client_lookup(c, channel, o);
    if (error)
        return error;
    if (client_find(c, channel))
        return ERROR_ALREADY_SUBSCRIBED;
    return c->subscription_count >= c->sessions->config->client_channel_limit ? ERROR_LIMIT_EXCEEDED
                                                                              : ERROR_NONE;
}

enum client_error client_check_subscribe(const struct client *c, struct str channel,
                                         const struct channel_options **o) {
    const struct config *config = c->sessions->config;
    const struct rules_actor actor = client_actor(c, channel, NULL);
    enum client_error error = client_check_room(c, channel, o);
    if (error)
        return error;
    return rules_may_subscribe(&config->rules, *o, channel, &actor) ? ERROR_NONE
                                                                    : ERROR_PERMISSION_DENIED;
}

void subscription_negotiate(struct subscription *sub, const struct client_subscribe *q) {
    const struct client *c = sub->client;
    const struct rules_actor actor = client_actor(c, name_of(sub->hub.channel), sub);
    const struct rules_grant asked = {.is_positioned = q->wants_position,
                                      .is_recoverable = q->wants_recoverable,
                                      .delta_types = q->wants_delta ? RULES_DELTA_FOSSIL : 0};
    const struct rules_grant given =
        rules_grant(&c->sessions->config->rules, sub->options, &actor, asked);
    sub->wants_joins = wants_joins(sub, &actor, q->wants_join_leave);
    sub->is_positioned = given.is_positioned;
    sub->is_recoverable = given.is_recoverable;
    sub->has_delta = given.delta_types & RULES_DELTA_FOSSIL;
    if (!sub->is_recoverable || !q->recovers)
        return;
    struct sync *y = sync_of(sub);
    y->wants_recovery = true;
    y->fails_unrecoverable = q->fails_unrecoverable;
    y->since = q->since;
}

void client_subscribe(struct client *c, const struct client_subscribe *q) {
    const struct channel_options *o;
    if (q->token.n) {
        client_subscribe_with_token(c, q);
        return;
    }
    enum client_error error = client_check_subscribe(c, q->channel, &o);
    if (error) {
        client_fail(c, q->command_id, error);
        return;
    }
    struct subscription *sub = subscription_enter(c, q->channel, o, q->command_id);
    subscription_negotiate(sub, q);
    if (sub->is_attached)
        sync_start(sub);
}

/* The token says so: no permission is asked, but the names must be good. `positions` are what the
 * client had of these channels before. */
static bool enter_all(struct client *c, const struct client_join_all *q) {
    const struct channel_options *o;
    for (size_t i = 0; i < q->gift_count; i++) {
        struct client_gift *g = &q->gifts[i];
        struct client_subscribe position = {0};
        enum client_error error = client_lookup(c, g->channel, &o);
        if (error) {
            client_leave_all(c);
            c->state = CLIENT_REFUSED; /* first: the answer may close it */
            client_fail(c, q->command_id, error);
            return false;
        }
        if (client_find(c, g->channel))
            continue;
        g->options = o;
        struct subscription *sub = subscription_enter_given(c, g, q->command_id);
        sub->is_server_side = true;
        if (q->find_position)
            q->find_position(q->positions, g->channel, &position);
        subscription_negotiate(sub, &position);
    }
    return true;
}

/* Those that need not wait for the broker to attach them. One that fails takes all of them away. */
static void sync_attached(struct client *c) {
    list_for_each_safe(l, &c->subscriptions) {
        struct subscription *sub = list_entry(l, struct subscription, in_client);
        if (sub->is_attached)
            sync_start(sub);
    }
}

void client_join_all(struct client *c, const struct client_join_all *q) {
    if (q->gift_count > c->sessions->config->client_channel_limit) {
        client_close(c, CLOSE_CHANNEL_LIMIT);
        return;
    }
    c->state = CLIENT_CONNECTING;
    if (!enter_all(c, q))
        return;
    if (q->gift_count)
        sync_attached(c);
    else
        client_connected(c, q->command_id);
}

void client_unsubscribe(struct client *c, uint32_t command_id, struct str channel) {
    struct subscription *sub = client_find(c, channel);
    if (sub)
        remove_subscription(sub);
    c->protocol->event(c, &(struct event){.kind = EVENT_UNSUBSCRIBED, .command_id = command_id});
}

void client_leave_all(struct client *c) {
    while (!list_is_empty(&c->subscriptions))
        remove_subscription(list_entry(c->subscriptions.next, struct subscription, in_client));
}

void subscription_insufficient(struct subscription *sub) {
    struct client *c = sub->client;
    if (sub->is_server_side) {
        client_close(c, CLOSE_INSUFFICIENT_STATE);
        return;
    }
    subscription_take_away(sub, UNSUBSCRIBE_INSUFFICIENT_STATE);
}

/* --- delivery --------------------------------------------------------------------------------- */

/* A patch is for the publication before it in the history. One that is not in the history replaces
 * what the client has, and is no base. */
enum encoding subscription_encoding(struct subscription *sub, const struct msg *m) {
    if (!sub->has_delta || m->parts.kind != MSG_PUBLICATION)
        return ENCODING_PLAIN;
    bool is_patch = sub->has_base && m->delta.n;
    sub->has_base = m->position.offset > 0;
    return is_patch ? ENCODING_PATCH : ENCODING_WHOLE;
}

void subscription_deliver(struct subscription *sub, struct frame *f, bool is_urgent) {
    struct client *c = sub->client;
    struct sessions *s = c->sessions;
    if ((size_t)c->queue.size_bytes + f->total_bytes > s->config->client_queue_max_size_bytes) {
        client_close(c, CLOSE_SLOW);
        return;
    }
    outq_push(&c->queue, &s->pool, f);
    sessions_touch(s, c, is_urgent);
}
