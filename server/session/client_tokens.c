/* See client.h: subscription tokens, and what tokens of both kinds must be.
 *
 * A token permits one subscription: to one channel, for one user, perhaps for one client. A bad one
 * is an error, because it may be old; a good one of somebody else, or for another channel, ends the
 * connection, because no honest client has it.
 *
 * Thread: the worker of the client.
 */
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

/* The keys are copied, so that they lie with the rest of what a worker reads. */
void client_tokens_init(struct sessions *s) {
    const struct config *c = s->config;
    s->keys = c->client_token_keys.jws;
    s->subscription_keys = c->client_subscription_token_keys.jws;
    s->connection_tokens = config_token_policy(c, TOKEN_CONNECTION);
    s->subscription_tokens = config_token_policy(c, TOKEN_SUBSCRIPTION);
    s->connection_tokens.keys = &s->keys;
    s->subscription_tokens.keys =
        c->client_subscription_token_enabled ? &s->subscription_keys : &s->keys;
}

enum verdict { VERDICT_GOOD, VERDICT_BAD, VERDICT_EXPIRED, VERDICT_FOREIGN };

static enum verdict judge(const struct client *c, struct str channel, struct str token,
                          struct token_claims *claims) {
    const struct str id = {c->id, CLIENT_ID_BYTES};
    switch (client_verify(c, token, &c->sessions->subscription_tokens, claims)) {
    case TOKEN_OK:
        break;
    case TOKEN_EXPIRED:
        return VERDICT_EXPIRED;
    case TOKEN_INVALID:
        return VERDICT_BAD;
    }
    bool is_ours = str_equal(claims->sub.channel, channel) &&
                   str_equal(claims->user, str_of(c->user)) &&
                   (!claims->client.n || str_equal(claims->client, id));
    return is_ours ? VERDICT_GOOD : VERDICT_FOREIGN;
}

static void enter(struct client *c, const struct client_subscribe *q,
                  const struct channel_options *o, const struct token_claims *claims) {
    const struct client_gift gift = {
        .channel = q->channel,
        .options = o,
        .override = claims->sub.override,
        .permissions = claims->allow,
        .info = claims->sub.info,
        .data = claims->sub.data,
        .expires_ms = client_expiry_ms(c, claims->expires_at_s),
    };
    struct subscription *sub = subscription_enter_given(c, &gift, q->command_id);
    subscription_negotiate(sub, q);
    if (sub->is_attached)
        sync_start(sub);
}

void client_subscribe_with_token(struct client *c, const struct client_subscribe *q) {
    struct token_claims claims = {0};
    const struct channel_options *o;
    enum client_error error = client_check_room(c, q->channel, &o);
    if (error) {
        client_fail(c, q->command_id, error);
        return;
    }
    switch (judge(c, q->channel, q->token, &claims)) {
    case VERDICT_GOOD:
        enter(c, q, o, &claims);
        break;
    case VERDICT_BAD:
        client_fail(c, q->command_id, ERROR_PERMISSION_DENIED);
        break;
    case VERDICT_EXPIRED:
        client_fail(c, q->command_id, ERROR_TOKEN_EXPIRED);
        break;
    case VERDICT_FOREIGN:
        client_close(c, CLOSE_INVALID_TOKEN);
        break;
    }
    token_claims_fini(&claims);
}

/* What was negotiated stays; what the token says of the subscriber is new. */
static void renew(struct subscription *sub, uint32_t command_id,
                  const struct token_claims *claims) {
    struct client *c = sub->client;
    if (!sub->extra)
        sub->extra = mem_zalloc(sizeof(*sub->extra));
    if (claims->sub.info.n) {
        mem_free(sub->extra->chan_info);
        sub->extra->chan_info = mem_strndup(claims->sub.info.p, claims->sub.info.n);
    }
    sub->extra->permissions = claims->allow;
    subscription_set_expiry(sub, client_expiry_ms(c, claims->expires_at_s));
    c->protocol->event(c, &(struct event){.kind = EVENT_SUB_REFRESHED,
                                          .command_id = command_id,
                                          .subscription = sub});
}

void client_sub_refresh(struct client *c, uint32_t command_id, struct str channel,
                        struct str token) {
    struct token_claims claims = {0};
    struct subscription *sub = client_find(c, channel);
    if (!sub || sub->is_server_side) {
        client_fail(c, command_id, ERROR_PERMISSION_DENIED);
        return;
    }
    if (!token.n) {
        client_fail(c, command_id, ERROR_BAD_REQUEST);
        return;
    }
    switch (judge(c, channel, token, &claims)) {
    case VERDICT_GOOD:
        renew(sub, command_id, &claims);
        break;
    case VERDICT_EXPIRED: /* or its key is not known yet: the SDK tries again */
        client_fail(c, command_id,
                    claims.fault == jws_key_awaited ? ERROR_INTERNAL : ERROR_EXPIRED);
        break;
    case VERDICT_BAD:
    case VERDICT_FOREIGN:
        client_close(c, CLOSE_INVALID_TOKEN);
        break;
    }
    token_claims_fini(&claims);
}
