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

static void remove_subscription(struct subscription *sub) {
    struct client *c = sub->client;
    struct sessions *s = c->sessions;
    struct hub_channel *hc = sub->hub.channel;
    if (hub_leave(&s->hub, &sub->hub))
        client_channel_idle(s, hc);
    list_remove(&sub->in_client);
    c->subscription_count--;
    held_free(sub->held);
    mem_free(sub);
    metrics_set(s->metrics, METRIC_SUBSCRIPTIONS, s->hub.sub_count);
}

/* Reply first, then what came meanwhile: no client sees a message before its subscribe is answered.
 */
static void go_live(struct subscription *sub) {
    struct client *c = sub->client;
    struct held *h = sub->held;
    sub->held = NULL;
    sub->state = SUBSCRIPTION_LIVE;
    c->protocol->event(c, &(struct event){.kind = EVENT_SUBSCRIBED, .command_id = sub->command_id});
    for (uint32_t i = 0; h && i < h->count && c->state == CLIENT_CONNECTED; i++) {
        struct frame *f = c->protocol->encode(h->messages[i]);
        if (f)
            client_send(c, f);
    }
    held_free(h);
}

static void attach_failed(struct subscription *sub) {
    struct client *c = sub->client;
    uint32_t command_id = sub->command_id;
    remove_subscription(sub);
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
        if (sub->state != SUBSCRIPTION_SYNCING)
            continue;
        answered[count++] = sub->client;
        if (is_ok)
            go_live(sub);
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

/* True when the command may go on; else it was answered. */
static bool find_options(struct client *c, uint32_t command_id, struct str channel,
                         const struct channel_options **o) {
    switch (rules_find(&c->sessions->config->rules, channel, o)) {
    case RULES_OK:
        return true;
    case RULES_UNKNOWN_NAMESPACE:
        client_fail(c, command_id, ERROR_UNKNOWN_CHANNEL);
        return false;
    case RULES_BAD_NAME:
        break;
    }
    client_fail(c, command_id, ERROR_BAD_REQUEST);
    return false;
}

static struct rules_actor actor_of(const struct client *c, bool is_subscribed) {
    return (struct rules_actor){.user = str_of(c->user), .is_subscribed = is_subscribed};
}

static void add_subscription(struct client *c, const struct client_subscribe *q) {
    struct sessions *s = c->sessions;
    struct subscription *sub = mem_zalloc(sizeof(*sub));
    sub->client = c;
    sub->command_id = q->command_id;
    list_append(&c->subscriptions, &sub->in_client);
    c->subscription_count++;
    struct hub_channel *hc = hub_join(&s->hub, q->channel, &sub->hub);
    metrics_set(s->metrics, METRIC_CHANNELS, s->hub.channels.count);
    metrics_set(s->metrics, METRIC_SUBSCRIPTIONS, s->hub.sub_count);

    if (hc->state == HUB_ATTACHED) {
        go_live(sub);
        return;
    }
    sub->state = SUBSCRIPTION_SYNCING;
    c->open_calls++;
    if (hc->state == HUB_NEW)
        start_attach(s, hc);
}

void client_subscribe(struct client *c, const struct client_subscribe *q) {
    const struct config *config = c->sessions->config;
    const struct channel_options *o;
    struct rules_actor actor = actor_of(c, false);
    enum client_error error = ERROR_NONE;

    if (!find_options(c, q->command_id, q->channel, &o))
        return;
    if (client_find(c, q->channel))
        error = ERROR_ALREADY_SUBSCRIBED;
    else if (c->subscription_count >= config->client_channel_limit)
        error = ERROR_LIMIT_EXCEEDED;
    else if (!rules_may_subscribe(&config->rules, o, q->channel, &actor))
        error = ERROR_PERMISSION_DENIED;
    if (error)
        client_fail(c, q->command_id, error);
    else
        add_subscription(c, q);
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

struct publish_call {
    struct reply reply;
    struct sessions *sessions;
    struct client_handle client;
    uint32_t command_id;
};

static void publish_done(struct reply *r) {
    struct publish_call *call = list_entry(r, struct publish_call, reply);
    struct client *c = sessions_find(call->sessions, call->client);
    if (c && c->state == CLIENT_CONNECTED) {
        if (r->result == BROKER_OK)
            c->protocol->event(
                c, &(struct event){.kind = EVENT_PUBLISHED, .command_id = call->command_id});
        else
            client_fail(c, call->command_id, ERROR_INTERNAL);
        client_call_answered(c);
    }
    mem_free(call);
}

uint32_t publication_max_bytes(const struct config *config) {
    uint32_t quarter = config->client_queue_max_size_bytes / 4;
    return quarter < PUBLICATION_MAX_BYTES ? quarter : PUBLICATION_MAX_BYTES;
}

static void publish(struct client *c, uint32_t command_id, struct str channel, struct str data) {
    struct sessions *s = c->sessions;
    struct publish_call *call = mem_zalloc(sizeof(*call));
    call->reply = (struct reply){.to = s->mailbox, .done = publish_done};
    call->sessions = s;
    call->client = (struct client_handle){c->slot, c->generation};
    call->command_id = command_id;
    c->open_calls++;
    metrics_add(s->metrics, METRIC_PUBLISHED, 1);
    s->broker->ops->publish(s->broker,
                            msg_create(&(struct msg_parts){
                                .kind = MSG_PUBLICATION,
                                .channel = channel,
                                .data = data,
                                .user = str_of(c->user),
                                .client = {c->id, CLIENT_ID_BYTES},
                            }),
                            &call->reply);
}

void client_publish(struct client *c, uint32_t command_id, struct str channel, struct str data) {
    const struct config *config = c->sessions->config;
    const struct channel_options *o;
    struct rules_actor actor = actor_of(c, client_find(c, channel) != NULL);

    if (data.n == 0 || data.n > publication_max_bytes(config)) {
        client_fail(c, command_id, ERROR_BAD_REQUEST);
        return;
    }
    if (!find_options(c, command_id, channel, &o))
        return;
    if (!rules_may_publish(&config->rules, o, &actor))
        client_fail(c, command_id, ERROR_PERMISSION_DENIED);
    else
        publish(c, command_id, channel, data);
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
