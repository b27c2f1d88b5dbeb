/* See client.h: what a client does in channels: subscribe, unsubscribe, publish.
 *
 * Subscribing: rules -> hub -> (first of this worker) fanout and broker -> wait until the broker
 * confirms
 * -> reply, then the messages that came meanwhile, then live. The waiting subscribers of a channel
 * are those of its subscribers that are still syncing; one answer of the broker serves them all.
 *
 * Thread: the worker of the client.
 */
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <assert.h>

enum { HELD_MAX_COUNT = 4096, HELD_MAX_BYTES = 1 << 20 };

struct held {
    uint32_t count, capacity;
    size_t size_bytes;
    struct msg **messages;
};

static void held_free(struct held *h) {
    if (!h)
        return;
    for (uint32_t i = 0; i < h->count; i++)
        msg_unref(h->messages[i]);
    mem_free(h->messages);
    mem_free(h);
}

/* False when the bound is reached. */
static bool hold(struct subscription *sub, struct msg *m) {
    struct held *h = sub->held;
    if (!h)
        h = sub->held = mem_zalloc(sizeof(*h));
    if (h->count == HELD_MAX_COUNT || h->size_bytes > HELD_MAX_BYTES)
        return false;
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 8;
        h->messages = mem_realloc(h->messages, h->capacity * sizeof(*h->messages));
    }
    h->messages[h->count++] = msg_ref(m);
    h->size_bytes += m->size_bytes;
    return true;
}

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
    });
}

static unsigned member_flags(const struct channel_options *o) {
    return (o->presence ? MEMBER_KEEP : 0u) | (o->join_leave ? MEMBER_ANNOUNCE : 0u);
}

static void tell_join(struct subscription *sub) {
    struct broker *broker = sub->client->sessions->broker;
    unsigned flags = member_flags(sub->options);
    if (!flags)
        return;
    sub->is_member = true;
    broker->ops->join(broker, member_message(sub, MSG_JOIN), flags);
}

static void tell_leave(struct subscription *sub) {
    struct broker *broker = sub->client->sessions->broker;
    if (!sub->is_member)
        return;
    sub->is_member = false;
    broker->ops->leave(broker, member_message(sub, MSG_LEAVE), member_flags(sub->options));
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
    held_free(sub->held);
    mem_free(sub);
    metrics_set(s->metrics, METRIC_SUBSCRIPTIONS, s->hub.sub_count);
}

/* Then what came meanwhile: no client sees a message before its subscribe is answered. */
static void go_live(struct subscription *sub) {
    struct client *c = sub->client;
    struct held *h = sub->held;
    sub->held = NULL;
    sub->state = SUBSCRIPTION_LIVE;
    if (!sub->is_server_side)
        c->protocol->event(
            c, &(struct event){.kind = EVENT_SUBSCRIBED, .command_id = sub->command_id});
    for (uint32_t i = 0; h && i < h->count && c->state == CLIENT_CONNECTED; i++)
        if (sub->wants_joins || h->messages[i]->parts.kind == MSG_PUBLICATION)
            client_send(c, c->protocol->encode(h->messages[i]));
    held_free(h);
    if (c->state == CLIENT_CONNECTED) /* else it is gone, and sub with it */
        tell_join(sub);
}

/* A connecting client's subscriptions go live together, after the reply to connect. */
static void server_side_attached(struct client *c) {
    uint32_t command_id = 0;
    list_for_each(l, &c->subscriptions) {
        struct subscription *sub = list_entry(l, struct subscription, in_client);
        command_id = sub->command_id;
        if (!sub->is_attached)
            return;
    }
    client_connected(c, command_id);
    /* What was held may be more than the client's queue takes: then it is closed on the way, and
     * all its subscriptions are gone. */
    list_for_each(l, &c->subscriptions) {
        go_live(list_entry(l, struct subscription, in_client));
        if (c->state != CLIENT_CONNECTED)
            return;
    }
}

static void attached(struct subscription *sub) {
    sub->is_attached = true;
    if (sub->is_server_side)
        server_side_attached(sub->client);
    else
        go_live(sub);
}

static void attach_failed(struct subscription *sub) {
    struct client *c = sub->client;
    uint32_t command_id = sub->command_id;
    if (sub->is_server_side) { /* connect cannot succeed without it */
        client_leave_all(c);
        c->state = CLIENT_REFUSED;
    } else {
        remove_subscription(sub);
    }
    client_fail(c, command_id, ERROR_INTERNAL);
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
            attach_failed(sub);
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
static struct subscription *enter(struct client *c, struct str channel,
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
static bool wants_joins(const struct client *c, const struct channel_options *o, bool is_asked) {
    struct rules_actor actor = client_actor(c, true);
    if (!o->join_leave || !c->protocol->has_members)
        return false;
    return o->force_push_join_leave ||
           (is_asked && rules_may_read_presence(&c->sessions->config->rules, o, &actor));
}

enum client_error client_check_subscribe(const struct client *c, struct str channel,
                                         const struct channel_options **o) {
    const struct config *config = c->sessions->config;
    const struct rules_actor actor = client_actor(c, false);
    enum client_error error = client_lookup(c, channel, o);
    if (error)
        return error;
    if (client_find(c, channel))
        return ERROR_ALREADY_SUBSCRIBED;
    if (c->subscription_count >= config->client_channel_limit)
        return ERROR_LIMIT_EXCEEDED;
    return rules_may_subscribe(&config->rules, *o, channel, &actor) ? ERROR_NONE
                                                                    : ERROR_PERMISSION_DENIED;
}

void client_subscribe(struct client *c, const struct client_subscribe *q) {
    const struct channel_options *o;
    enum client_error error = client_check_subscribe(c, q->channel, &o);
    if (error) {
        client_fail(c, q->command_id, error);
        return;
    }
    struct subscription *sub = enter(c, q->channel, o, q->command_id);
    sub->wants_joins = wants_joins(c, o, q->wants_join_leave);
    if (sub->is_attached)
        go_live(sub);
}

/* The token says so: no permission is asked, but the names must be good. */
static bool enter_all(struct client *c, uint32_t command_id, const struct str *channels,
                      size_t count) {
    const struct channel_options *o;
    for (size_t i = 0; i < count; i++) {
        if (!client_find_options(c, command_id, channels[i], &o)) {
            client_leave_all(c);
            c->state = CLIENT_REFUSED;
            return false;
        }
        if (client_find(c, channels[i]))
            continue;
        struct subscription *sub = enter(c, channels[i], o, command_id);
        sub->is_server_side = true;
        sub->wants_joins = wants_joins(c, o, false);
    }
    return true;
}

void client_join_all(struct client *c, uint32_t command_id, const struct str *channels,
                     size_t channel_count) {
    if (channel_count > c->sessions->config->client_channel_limit) {
        client_close(c, CLOSE_CHANNEL_LIMIT);
        return;
    }
    c->state = CLIENT_CONNECTING;
    if (!enter_all(c, command_id, channels, channel_count))
        return;
    if (channel_count)
        server_side_attached(c);
    else
        client_connected(c, command_id);
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

/* --- delivery --------------------------------------------------------------------------------- */

void subscription_deliver(struct subscription *sub, struct msg *m, struct frame *f,
                          bool is_urgent) {
    struct client *c = sub->client;
    struct sessions *s = c->sessions;
    if (sub->state == SUBSCRIPTION_SYNCING) {
        if (!hold(sub, m))
            client_close(c, CLOSE_SLOW);
        return;
    }
    if ((size_t)c->queue.size_bytes + f->total_bytes > s->config->client_queue_max_size_bytes) {
        client_close(c, CLOSE_SLOW);
        return;
    }
    outq_push(&c->queue, &s->pool, f);
    sessions_touch(s, c, is_urgent);
}
