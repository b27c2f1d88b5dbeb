/* See client.h: the subscriptions that a back end gives to a client, and takes away.
 *
 * One that is given goes the way of all subscriptions (client_channels.c); a client that is still
 * connecting hears of it in the reply to connect, one that is connected by a push. One that is
 * taken away while it waits for the broker is answered first, because SDKs know nothing of a
 * subscription before its answer.
 *
 * Thread: the worker of the client.
 */
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <assert.h>

void subscription_extra_free(struct subscription_extra *x) {
    if (!x)
        return;
    mem_free(x->chan_info);
    mem_free(x->data);
    mem_free(x);
}

static void apply(struct token_override override, struct channel_options *o) {
    bool *const options[] = {&o->presence, &o->join_leave, &o->force_push_join_leave,
                             &o->force_positioning, &o->force_recovery};
    for (unsigned i = 0; i < 5; i++)
        if (override.given & 1u << i)
            *options[i] = override.on & 1u << i;
}

static struct subscription_extra *make_extra(const struct client_gift *g) {
    if (!g->info.n && !g->data.n && !g->expires_ms && !g->is_own_options && !g->override.given &&
        !g->permissions)
        return NULL;
    struct subscription_extra *x = mem_zalloc(sizeof(*x));
    x->chan_info = g->info.n ? mem_strndup(g->info.p, g->info.n) : NULL;
    x->data = g->data.n ? mem_strndup(g->data.p, g->data.n) : NULL;
    x->permissions = g->permissions;
    x->options = *g->options;
    apply(g->override, &x->options);
    return x;
}

struct subscription *subscription_enter_given(struct client *c, const struct client_gift *g,
                                              uint32_t command_id) {
    struct subscription_extra *x = make_extra(g);
    bool is_own = g->is_own_options || g->override.given;
    struct subscription *sub =
        subscription_enter(c, g->channel, is_own ? &x->options : g->options, command_id);
    sub->extra = x;
    if (g->expires_ms)
        subscription_set_expiry(sub, g->expires_ms);
    return sub;
}

/* One that is connecting is told by the reply to connect, which waits for this one, too. */
static uint32_t connect_command_id(const struct client *c) {
    assert(!list_is_empty(&c->subscriptions));
    return list_entry(c->subscriptions.next, struct subscription, in_client)->command_id;
}

static void enter_given(struct client *c, const struct client_gift *g) {
    bool is_late = c->state == CLIENT_CONNECTED;
    struct subscription *sub = subscription_enter_given(c, g, is_late ? 0 : connect_command_id(c));
    sub->is_server_side = true;
    sub->is_late = is_late;
    subscription_negotiate(sub,
                           &(struct client_subscribe){.recovers = g->recovers, .since = g->since});
    if (sub->is_attached)
        sync_start(sub);
}

void client_give(struct client *c, const struct client_gift *g) {
    struct subscription *sub = client_find(c, g->channel);
    if (c->state != CLIENT_CONNECTED && c->state != CLIENT_CONNECTING)
        return;
    if (sub)
        sub->is_doomed = false;
    else if (c->subscription_count >= c->sessions->config->client_channel_limit)
        client_close(c, CLOSE_CHANNEL_LIMIT);
    else
        enter_given(c, g);
}

void client_take_away(struct client *c, struct str channel) {
    struct subscription *sub = client_find(c, channel);
    if (sub && sub->state == SUBSCRIPTION_SYNCING)
        sub->is_doomed = true;
    else if (sub)
        subscription_take_away(sub, UNSUBSCRIBE_SERVER);
    else if (c->state == CLIENT_CONNECTED)
        c->protocol->event(c, &(struct event){.kind = EVENT_REMOVED,
                                              .channel = channel,
                                              .removed_for = UNSUBSCRIBE_SERVER});
}

struct str subscription_info(const struct subscription *sub) {
    return sub && sub->extra ? str_of(sub->extra->chan_info) : STR_NONE;
}

uint64_t subscription_end_ms(const struct subscription *sub) {
    const struct config *config = sub->client->sessions->config;
    return sub->extra && sub->extra->expires_ms
               ? sub->extra->expires_ms + config->client_expired_sub_close_delay_ms
               : UINT64_MAX;
}

void subscription_set_expiry(struct subscription *sub, uint64_t expires_ms) {
    if (!sub->extra && !expires_ms)
        return;
    if (!sub->extra)
        sub->extra = mem_zalloc(sizeof(*sub->extra));
    sub->extra->expires_ms = expires_ms;
    client_note_end(sub->client, subscription_end_ms(sub));
}

uint32_t subscription_ttl_s(const struct subscription *sub) {
    return sub->extra && !sub->is_server_side
               ? client_seconds_to(sub->client, sub->extra->expires_ms)
               : 0;
}
