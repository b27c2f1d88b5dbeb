/* See redis_sentinel.h.
 *
 * Two commands make one question: SENTINEL MASTER for the epoch and GET-MASTER-ADDR-BY-NAME for the
 * address, which during a fail-over is already that of the new master. A user who may not use the
 * first has epoch 0 everywhere.
 *
 * An answer is believed as long as its link is open: a Sentinel that freezes loses the link.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_sentinel.h"

#include "channels/redis_shared.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

/* GRACE_MS: after the first answer, the others may have a better one. */
enum { POLL_MS = 1000, RETRY_MS = 1000, IO_TIMEOUT_MS = 1000, GRACE_MS = 300 };

static const char unknown_name[] = "sentinel does not know this master name";
static const char none_answers[] = "no sentinel answers";

struct one {
    struct redis_sentinel *all;
    struct redis_link *link;
    const struct redis_endpoint *endpoint;
    bool is_closed;
    bool has_answer;    /* of this connection */
    bool is_waited_for; /* it may still answer what was asked */
    uint64_t epoch, next_epoch;
    char host[REDIS_HOST_MAX_BYTES + 1]; /* of the master; "": it knows none */
    uint32_t port;
    const char *refusal; /* why it does not say; NULL: it says */
    bool has_refused;    /* it said so itself */
    bool is_unwelcome;   /* it refuses this connection */
    const char *logged;
    uint64_t poll_at_ms, retry_at_ms;
};

struct redis_sentinel {
    struct redis_sentinel_options options;
    struct redis_sentinel_hooks hooks;
    struct one ones[REDIS_SENTINELS_MAX];
    bool is_asked;
    uint64_t decide_at_ms; /* since the first answer; 0: none yet */
    char host[REDIS_HOST_MAX_BYTES + 1];
    uint32_t port; /* last found; 0: none */
    uint64_t epoch;
};

/* --- one Sentinel ----------------------------------------------------------------------------- */

static void log_trouble(struct one *o, const char *why) {
    if (o->logged == why)
        return;
    if (why)
        log_warn("sentinel is of no use address=%s:%u reason=\"%s\"", o->endpoint->host,
                 o->endpoint->port, why);
    else
        log_info("sentinel is of use again address=%s:%u", o->endpoint->host, o->endpoint->port);
    o->logged = why;
}

static void said(struct one *o, const char *refusal) {
    struct redis_sentinel *s = o->all;
    o->refusal = refusal;
    o->has_refused = refusal;
    o->has_answer = !refusal;
    o->epoch = o->next_epoch;
    log_trouble(o, refusal);
    if (s->is_asked && o->is_waited_for && !refusal && !s->decide_at_ms)
        s->decide_at_ms = clock_now_ms() + GRACE_MS;
    o->is_waited_for = false;
}

/* The value of a flat list of names and values. */
static struct str value_of(const redisReply *list, struct str name) {
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        if (str_equal(redis_text(list->element[i]), name))
            return redis_text(list->element[i + 1]);
    return STR_NONE;
}

static void epoch_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct one *o = arg;
    o->next_epoch = 0;
    if (outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_ARRAY)
        str_to_u64(value_of(reply, STR("config-epoch")), &o->next_epoch);
}

static bool take_address(struct one *o, struct str host, struct str port) {
    uint64_t n;
    if (host.n == 0 || host.n > REDIS_HOST_MAX_BYTES || memchr(host.p, '\0', host.n) ||
        !str_to_u64(port, &n) || n == 0 || n > 65535)
        return false;
    memcpy(o->host, host.p, host.n);
    o->host[host.n] = '\0';
    o->port = (uint32_t)n;
    return true;
}

static void address_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct one *o = arg;
    if (outcome != REDIS_ANSWERED)
        return; /* the link is down: that is told */
    if (reply->type == REDIS_REPLY_NIL || redis_is_error(reply, "ERR No such master"))
        said(o, unknown_name);
    else if (reply->type == REDIS_REPLY_ERROR)
        said(o, redis_error_words(reply));
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
             take_address(o, redis_text(reply->element[0]), redis_text(reply->element[1])))
        said(o, NULL);
    else
        said(o, "sentinel answers nonsense");
}

static void say(struct one *o, redis_answer_fn *fn, const char *const *words) {
    struct redis_args args = {.count = 0};
    for (; *words; words++)
        redis_args_add(&args, str_of(*words));
    redis_link_send_args(o->link, &args, (struct redis_waiter){fn, o, 1});
}

static void ask_one(struct one *o, uint64_t now_ms) {
    const char *name = o->all->options.master_name;
    o->poll_at_ms = now_ms + POLL_MS;
    say(o, epoch_answered, (const char *const[]){"SENTINEL", "MASTER", name, NULL});
    say(o, address_answered,
        (const char *const[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME", name, NULL});
}

static void auth_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct one *o = arg;
    if (outcome != REDIS_ANSWERED || reply->type != REDIS_REPLY_ERROR)
        return;
    o->is_unwelcome = true;
    redis_link_fail(o->link, redis_error_words(reply));
}

static void one_connected(void *arg) {
    struct one *o = arg;
    const struct redis_sentinel_options *so = &o->all->options;
    if (*so->user)
        say(o, auth_answered, (const char *const[]){"AUTH", so->user, so->password, NULL});
    else if (*so->password)
        say(o, auth_answered, (const char *const[]){"AUTH", so->password, NULL});
    ask_one(o, clock_now_ms());
}

static void one_down(void *arg, const char *why) {
    struct one *o = arg;
    o->is_closed = true;
    o->has_answer = o->is_waited_for = false;
    o->refusal = why;
    o->has_refused = o->is_unwelcome;
    o->retry_at_ms = clock_now_ms() + RETRY_MS;
    log_trouble(o, why);
}

static void open_one(struct one *o) {
    o->is_closed = o->has_refused = o->is_unwelcome = false;
    o->next_epoch = 0;
    redis_link_open(o->link);
}

static void tick_one(struct one *o, uint64_t now_ms) {
    if (o->is_closed && now_ms >= o->retry_at_ms)
        open_one(o);
    else if (redis_link_is_open(o->link) && now_ms >= o->poll_at_ms)
        ask_one(o, now_ms);
}

/* --- all together ----------------------------------------------------------------------------- */

static bool is_known(const struct redis_sentinel *s, const struct one *o) {
    return o->port == s->port && !strcmp(o->host, s->host);
}

/* The highest epoch; among equals the master we know. NULL when none says one. */
static const struct one *best_of(const struct redis_sentinel *s) {
    const struct one *best = NULL;
    for (uint32_t i = 0; i < s->options.count; i++) {
        const struct one *o = &s->ones[i];
        if (o->has_answer && (!best || o->epoch > best->epoch ||
                              (o->epoch == best->epoch && is_known(s, o) && !is_known(s, best))))
            best = o;
    }
    return best;
}

static bool must_wait(const struct redis_sentinel *s, uint64_t now_ms) {
    if (s->decide_at_ms && now_ms >= s->decide_at_ms)
        return false;
    for (uint32_t i = 0; i < s->options.count; i++)
        if (s->ones[i].is_waited_for)
            return true;
    return false;
}

/* What one of them said tells more than that others are away. */
static const char *why_none(const struct redis_sentinel *s) {
    for (uint32_t i = 0; i < s->options.count; i++)
        if (s->ones[i].has_refused)
            return s->ones[i].refusal;
    return s->options.count == 1 && s->ones[0].refusal ? s->ones[0].refusal : none_answers;
}

static void decide(struct redis_sentinel *s) {
    const struct one *best = best_of(s);
    s->is_asked = false;
    if (!best) {
        s->hooks.failed(s->hooks.arg, why_none(s));
        return;
    }
    if (!is_known(s, best))
        log_info("sentinel names the master address=%s:%u sentinel=%s:%u", best->host, best->port,
                 best->endpoint->host, best->endpoint->port);
    memcpy(s->host, best->host, sizeof(s->host));
    s->port = best->port;
    s->epoch = best->epoch;
    s->hooks.found(s->hooks.arg, &(struct redis_endpoint){s->host, s->port});
}

/* A lower epoch is that of a Sentinel that was cut off while the others are away. Should they
 * really have begun anew, the old master goes or refuses, and who asks then takes what there is. */
void redis_sentinel_tick(struct redis_sentinel *s, uint64_t now_ms) {
    for (uint32_t i = 0; i < s->options.count; i++)
        tick_one(&s->ones[i], now_ms);
    const struct one *best = best_of(s);
    if (s->is_asked && !must_wait(s, now_ms))
        decide(s);
    else if (!s->is_asked && s->port && best && !is_known(s, best) && best->epoch >= s->epoch)
        s->hooks.changed(s->hooks.arg);
}

void redis_sentinel_ask(struct redis_sentinel *s, uint64_t now_ms) {
    s->is_asked = true;
    s->decide_at_ms = 0;
    for (uint32_t i = 0; i < s->options.count; i++) {
        struct one *o = &s->ones[i];
        o->is_waited_for = true;
        if (o->is_closed)
            open_one(o);
        else if (redis_link_is_open(o->link))
            ask_one(o, now_ms);
    }
}

struct redis_sentinel *redis_sentinel_create(struct redis_loop *loop,
                                             const struct redis_sentinel_options *options,
                                             const struct redis_sentinel_hooks *hooks) {
    struct redis_sentinel *s = mem_zalloc(sizeof(*s));
    assert(options->count > 0 && options->count <= REDIS_SENTINELS_MAX);
    s->options = *options;
    s->hooks = *hooks;
    for (uint32_t i = 0; i < options->count; i++) {
        struct one *o = &s->ones[i];
        *o = (struct one){.all = s, .endpoint = &s->options.items[i], .is_closed = true};
        const struct redis_link_hooks link_hooks = {
            .connected = one_connected, .down = one_down, .arg = o};
        const struct redis_link_options link_options = {
            .target = {.host = o->endpoint->host, .port = o->endpoint->port},
            .tls = options->tls,
            .connect_timeout_ms = options->connect_timeout_ms,
            .io_timeout_ms = IO_TIMEOUT_MS,
        };
        o->link = redis_link_create(loop, &link_options, &link_hooks);
    }
    return s;
}

void redis_sentinel_close(struct redis_sentinel *s) {
    for (uint32_t i = 0; i < s->options.count; i++)
        redis_link_close(s->ones[i].link);
}

void redis_sentinel_destroy(struct redis_sentinel *s) {
    if (!s)
        return;
    for (uint32_t i = 0; i < s->options.count; i++)
        redis_link_destroy(s->ones[i].link);
    mem_free(s);
}
