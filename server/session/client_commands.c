/* See client.h: commands: reading, waiting, limits, and connect with its token.
 *
 * Thread: the worker of the client.
 */
#include "auth/capabilities.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include "server/session/user_index.h"

#include <assert.h>
#include <string.h>

/* How many refused commands are answered, per second and at once, before the client is closed. */
static const struct rate patience = {.per_s = 10, .burst = 50};

/* --- limits ----------------------------------------------------------------------------------- */

static void charge_bytes(struct client *c, size_t n) {
    const struct config *config = c->sessions->config;
    const struct rate r = {config->client_bytes_rate_limit, config->client_bytes_rate_burst};
    c->is_over_bytes = r.per_s && !bucket_take(&c->bytes, r, (uint32_t)n, clock_now_us());
}

static bool is_over_limit(struct client *c) {
    const struct config *config = c->sessions->config;
    const struct rate r = {config->client_command_rate_limit, config->client_command_rate_burst};
    if (c->is_over_bytes) {
        metrics_add(c->sessions->metrics, METRIC_LIMITED_BYTES, 1);
        return true;
    }
    if (r.per_s == 0 || bucket_take(&c->commands, r, 1, clock_now_us()))
        return false;
    metrics_add(c->sessions->metrics, METRIC_LIMITED_COMMANDS, 1);
    return true;
}

bool client_admit(struct client *c, uint32_t command_id) {
    if (!is_over_limit(c))
        return true;
    if (bucket_take(&c->patience, patience, 1, clock_now_us()))
        client_fail(c, command_id, ERROR_TOO_MANY_REQUESTS);
    else
        client_close(c, CLOSE_TOO_MANY_REQUESTS);
    return false;
}

/* --- reading and waiting ---------------------------------------------------------------------- */

void client_receive(struct client *c, struct str message) {
    struct sessions *s = c->sessions;
    if (c->state >= CLIENT_CLOSING)
        return;
    metrics_add_for(s->metrics, c->protocol->transport, WIRE_MESSAGES_RECEIVED, 1);
    metrics_add_for(s->metrics, c->protocol->transport, WIRE_BYTES_RECEIVED, message.n);
    charge_bytes(c, message.n);
    if (c->deferred.n == 0) {
        c->protocol->receive(c, message);
        return;
    }
    /* Reading is paused, but the transport had this one in its buffer already. */
    if (c->deferred.n > 4u * s->config->websocket_message_size_limit_bytes) {
        client_close(c, CLOSE_TOO_MANY_REQUESTS);
        return;
    }
    buf_add_char(&c->deferred, '\n');
    buf_add(&c->deferred, message);
}

bool client_may_run(const struct client *c, struct str channel) {
    if (c->open_calls >= CLIENT_CALLS_MAX || c->state == CLIENT_CONNECTING)
        return false;
    if (!c->open_calls || !channel.n)
        return true;
    const struct subscription *sub = client_find(c, channel);
    return !sub || sub->state == SUBSCRIPTION_LIVE;
}

void client_defer(struct client *c, struct str rest) {
    assert(c->deferred.n == 0);
    buf_add(&c->deferred, rest);
    if (!c->is_paused) {
        c->is_paused = true;
        c->transport->pause(c->conn, true);
    }
}

void client_call_answered(struct client *c) {
    assert(c->open_calls > 0);
    c->open_calls--;
    if (c->state >= CLIENT_CLOSING)
        return;
    if (c->deferred.n) {
        struct buf waiting = c->deferred;
        c->deferred = (struct buf){0};
        c->protocol->receive(c, buf_str(&waiting));
        buf_fini(&waiting);
    }
    if (c->is_paused && c->deferred.n == 0 && c->state < CLIENT_CLOSING) {
        c->is_paused = false;
        c->transport->pause(c->conn, false);
    }
}

void client_fail(struct client *c, uint32_t command_id, enum client_error error) {
    counter_add(&c->sessions->metrics->errors[error], 1);
    c->protocol->event(
        c, &(struct event){.kind = EVENT_ERROR, .command_id = command_id, .error = error});
}

/* --- connect ---------------------------------------------------------------------------------- */

static bool is_anonymous_allowed(const struct client *c, bool has_token) {
    const struct config *config = c->sessions->config;
    if (config->client_insecure)
        return true;
    return has_token ? !config->client_disallow_anonymous_connection_tokens
                     : config->client_allow_anonymous_connect_without_token;
}

/* A good token may still be one of nobody. */
enum token_result client_verify(const struct client *c, struct str token,
                                const struct token_policy *policy, struct token_claims *claims) {
    enum token_result result = token_verify(token, policy, clock_wall_ms() / 1000, claims);
    if (result == TOKEN_OK && policy->kind == TOKEN_CONNECTION && claims->user.n == 0 &&
        !is_anonymous_allowed(c, true)) {
        claims->fault = "it names no user";
        result = TOKEN_INVALID;
    }
    const struct token_identity identity = {claims->user, claims->id, claims->issued_at_s};
    if (result == TOKEN_OK &&
        revocations_refuse(c->sessions->revocations, &identity, clock_wall_ms() / 1000)) {
        claims->fault = "it was revoked";
        metrics_add(c->sessions->metrics, METRIC_REVOKED, 1);
        result = TOKEN_INVALID;
    }
    if (result != TOKEN_OK)
        log_debug("token refused id=%.*s result=%s fault=\"%s\"", CLIENT_ID_BYTES, c->id,
                  result == TOKEN_EXPIRED ? "expired" : "invalid", claims->fault);
    return result;
}

/* Tokens end by the wall clock, timers run by the monotonic one. At most a year. */
uint64_t client_expiry_ms(const struct client *c, int64_t expires_at_s) {
    static const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    int64_t left_ms = expires_at_s ? expires_at_s * 1000 - clock_wall_ms() : 0;
    if (!expires_at_s || c->sessions->config->client_insecure)
        return 0;
    if (left_ms < 1) /* the leeway let it pass */
        left_ms = 1;
    return c->sessions->now_ms + (uint64_t)(left_ms < year_ms ? left_ms : year_ms);
}

static char *copy_text(struct str s) {
    return s.n ? mem_strndup(s.p, s.n) : NULL;
}

/* The same for all tokens that give the same channels, in whatever order and however often. No more
 * than client.channel_limit are compared. */
static uint64_t hash_channels(const struct client_gift *gifts, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_new = true;
        for (size_t j = 0; j < i && is_new; j++)
            is_new = !str_equal(gifts[i].channel, gifts[j].channel);
        sum += is_new ? map_hash(gifts[i].channel) : 0;
    }
    return sum;
}

/* Those of the token, the ones with options first: what is given twice is given once. */
static size_t list_gifts(const struct token_claims *claims, struct client_gift *gifts) {
    size_t count = 0;
    for (size_t i = 0; i < claims->sub_count; i++) {
        const struct token_sub *s = &claims->subs[i];
        gifts[count++] = (struct client_gift){
            .channel = s->channel, .info = s->info, .data = s->data, .override = s->override};
    }
    for (size_t i = 0; i < claims->channel_count; i++)
        gifts[count++] = (struct client_gift){.channel = claims->channels[i]};
    return count;
}

/* With room for the personal one and `more`. */
static struct client_gift *gifts_for(const struct token_claims *claims, size_t more) {
    return mem_array(claims->sub_count + claims->channel_count + 1 + more,
                     sizeof(struct client_gift));
}

static bool is_given(const struct client_gift *gifts, size_t count, struct str channel) {
    for (size_t i = 0; i < count; i++)
        if (str_equal(gifts[i].channel, channel))
            return true;
    return false;
}

/* What it may subscribe to by itself, and wants to be given. The others are passed over, as
 * Centrifugo does; false: a namespace that does not exist. More than the limit are refused later.
 */
static bool add_wanted(const struct client *c, const struct client_connect *q,
                       struct client_gift *gifts, size_t *count) {
    const struct channel_options *o;
    for (size_t i = 0; i < q->wanted_count; i++) {
        if (*count > c->sessions->config->client_channel_limit)
            return true;
        enum client_error e = client_check_subscribe(c, q->wanted[i], &o);
        if (e == ERROR_UNKNOWN_CHANNEL)
            return false;
        if (!e && !is_given(gifts, *count, q->wanted[i]))
            gifts[(*count)++].channel = q->wanted[i];
    }
    return true;
}

/* Those of the token, and the personal one. */
static void join_channels(struct client *c, const struct client_connect *q,
                          const struct token_claims *claims) {
    const size_t limit = c->sessions->config->client_channel_limit;
    size_t wanted_max = q->wanted_count < limit ? q->wanted_count : limit + 1;
    struct client_gift *gifts = gifts_for(claims, wanted_max);
    size_t count = list_gifts(claims, gifts);
    struct buf personal = {0};
    if (count <= limit)
        c->token_channels = hash_channels(gifts, count);
    rules_personal_channel(&c->sessions->config->rules, claims->user, &personal);
    if (personal.n)
        gifts[count++].channel = buf_str(&personal);
    if (add_wanted(c, q, gifts, &count))
        client_join_all(c, &(struct client_join_all){q->command_id, gifts, count, q->find_position,
                                                     q->positions});
    else
        client_close(c, CLOSE_BAD_REQUEST);
    buf_fini(&personal);
    mem_free(gifts);
}

static bool has_same_channels(const struct client *c, const struct token_claims *claims) {
    struct client_gift *gifts = gifts_for(claims, 0);
    size_t count = list_gifts(claims, gifts);
    bool is_same = count <= c->sessions->config->client_channel_limit &&
                   hash_channels(gifts, count) == c->token_channels;
    mem_free(gifts);
    return is_same;
}

/* What a token says of a client, at connect and again at each refresh. */
static void take_claims(struct client *c, struct token_claims *claims) {
    if (claims->info.n) {
        mem_free(c->conn_info);
        c->conn_info = copy_text(claims->info);
    }
    mem_free(c->token_id);
    c->token_id = copy_text(claims->id);
    c->token_issued_at_s = claims->issued_at_s;
    capabilities_destroy(c->capabilities);
    c->capabilities = claims->capabilities;
    claims->capabilities = NULL;
    c->scopes = claims->scopes;
    client_set_expiry(c, client_expiry_ms(c, claims->expires_at_s));
}

/* Takes the identity of a good token. */
static void become(struct client *c, const struct client_connect *q, struct token_claims *claims) {
    user_index_add(c, claims->user);
    take_claims(c, claims);
    join_channels(c, q, claims);
}

static void connect_with_token(struct client *c, const struct client_connect *q) {
    struct token_claims claims = {0};
    switch (client_verify(c, q->token, &c->sessions->connection_tokens, &claims)) {
    case TOKEN_OK:
        c->is_token_bearer = true;
        become(c, q, &claims);
        break;
    case TOKEN_EXPIRED: /* an error, not a close: the SDK fetches a new token and tries again */
        c->state = CLIENT_REFUSED;
        client_fail(c, q->command_id,
                    q->keeps_token && claims.fault == jws_key_awaited ? ERROR_INTERNAL
                                                                      : ERROR_TOKEN_EXPIRED);
        break;
    case TOKEN_INVALID:
        client_close(c, CLOSE_INVALID_TOKEN);
        break;
    }
    token_claims_fini(&claims);
}

void client_connect(struct client *c, const struct client_connect *q) {
    if (c->state != CLIENT_NEW)
        client_close(c, CLOSE_BAD_REQUEST);
    else if (q->token.n)
        connect_with_token(c, q);
    else if (is_anonymous_allowed(c, false))
        become(c, q, &(struct token_claims){0});
    else
        client_close(c, CLOSE_BAD_REQUEST);
}

/* Server-side channels cannot change under a client that is told of them in the reply to connect
 * only: with other ones it connects again. */
void client_refresh(struct client *c, uint32_t command_id, struct str token) {
    struct token_claims claims = {0};
    enum token_result result = client_verify(c, token, &c->sessions->connection_tokens, &claims);
    if (result == TOKEN_OK && !str_equal(claims.user, str_of(c->user)))
        result = TOKEN_INVALID;
    if (result == TOKEN_EXPIRED && claims.fault == jws_key_awaited) {
        client_fail(c, command_id, ERROR_INTERNAL); /* temporary: the SDK tries again */
    } else if (result != TOKEN_OK) {
        client_close(c, result == TOKEN_EXPIRED ? CLOSE_EXPIRED : CLOSE_INVALID_TOKEN);
    } else if (!has_same_channels(c, &claims)) {
        client_close(c, CLOSE_INSUFFICIENT_STATE);
    } else {
        take_claims(c, &claims);
        c->protocol->event(c, &(struct event){.kind = EVENT_REFRESHED, .command_id = command_id});
    }
    token_claims_fini(&claims);
}

uint32_t client_seconds_to(const struct client *c, uint64_t at_ms) {
    uint64_t now_ms = c->sessions->now_ms;
    if (!at_ms)
        return 0;
    return at_ms > now_ms + 1000 ? (uint32_t)((at_ms - now_ms) / 1000) : 1;
}

uint32_t client_ttl_s(const struct client *c) {
    return client_seconds_to(c, c->expires_ms);
}
