/* See redis_pair.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_pair.h"

#include "channels/redis_shared.h"
#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/log.h"

#include <hiredis/hiredis.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char other_master[] = "sentinel names another master";

enum { PAUSE_MIN_MS = 100, PAUSE_EARLY_MS = 1000, PAUSE_LATE_MS = 5000, EARLY_MS = 60000 };

/* --- pauses ----------------------------------------------------------------------------------- */

static uint32_t pause_ms(const struct redis_pair *p, uint64_t now_ms) {
    uint32_t max = now_ms - p->down_since_ms < EARLY_MS ? PAUSE_EARLY_MS : PAUSE_LATE_MS;
    uint32_t pause = PAUSE_MIN_MS << (p->fail_count < 6 ? p->fail_count : 6);
    if (pause > max)
        pause = max;
    return pause / 2 + randombytes_uniform(pause / 2 + 1);
}

static void log_fault(struct redis_pair *p, const char *why) {
    if (p->logged == why)
        return;
    log_warn("redis is away reason=\"%s\"", why);
    p->logged = why;
}

static void both_closed(struct redis_pair *p) {
    uint64_t now_ms = clock_now_ms();
    if (p->fail_count == 0)
        p->down_since_ms = now_ms;
    log_fault(p, p->fault);
    p->retry_at_ms = p->fault == other_master ? now_ms : now_ms + pause_ms(p, now_ms);
    p->fail_count++;
    bool was_connected = p->is_connected;
    p->is_connected = false;
    p->hooks.lost(p->hooks.arg, p->fault, was_connected);
}

/* --- saying hello ----------------------------------------------------------------------------- */

/* After a fail-over that we followed. */
static void note_master(struct redis_pair *p) {
    char master[sizeof(p->master)];
    snprintf(master, sizeof(master), "%s:%u", p->host, p->port);
    if (*p->master && strcmp(p->master, master) != 0) {
        log_info("redis has a new master address=%s was=%s", master, p->master);
        p->hooks.moved(p->hooks.arg);
    }
    memcpy(p->master, master, sizeof(master));
}

static void side_ready(struct redis_side *side) {
    struct redis_pair *p = side->pair;
    side->is_ready = true;
    if (p->fault || !p->commands.is_ready || !p->messages.is_ready)
        return;
    if (p->sentinel)
        note_master(p);
    p->is_connected = true;
    p->hooks.connected(p->hooks.arg);
}

static void hello_answered(struct redis_side *side, enum redis_outcome outcome, const char *words) {
    if (outcome != REDIS_ANSWERED)
        return;
    if (words)
        redis_pair_fail(side->pair, words);
    else if (--side->hello_left == 0)
        side_ready(side);
}

static void needed(void *arg, enum redis_outcome outcome, const struct redisReply *reply) {
    hello_answered(arg, outcome, reply ? redis_error_words(reply) : NULL);
}

/* Errors that every command would get. */
static const char *general_words(const struct redisReply *reply) {
    bool is_general =
        reply && (redis_is_error(reply, "NOAUTH") || redis_is_error(reply, "LOADING") ||
                  redis_is_error(reply, "ERR max"));
    return is_general ? redis_error_words(reply) : NULL;
}

/* A name for CLIENT LIST is nice to have; not every user may set it. */
static void nice_to_have(void *arg, enum redis_outcome outcome, const struct redisReply *reply) {
    hello_answered(arg, outcome, general_words(reply));
}

/* Not every user may ask, nor does every server say: then writing will show it. */
static void role_answered(void *arg, enum redis_outcome outcome, const struct redisReply *reply) {
    const char *words = general_words(reply);
    struct str role = STR_NONE;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        role = redis_text(reply->element[0]);
    if (str_equal(role, STR("slave")))
        words = "this redis is a read-only replica";
    else if (str_equal(role, STR("sentinel")))
        words = "this is a sentinel, not a redis";
    hello_answered(arg, outcome, words);
}

static void say(struct redis_side *side, redis_answer_fn *fn, const char *const *words) {
    struct redis_args args = {.count = 0};
    for (; *words; words++)
        redis_args_add(&args, str_of(*words));
    side->hello_left++;
    redis_link_send_args(side->link, &args, (struct redis_waiter){fn, side, 1});
}

static void say_hello(void *arg) {
    struct redis_side *side = arg;
    const struct redis_pair_options *o = &side->pair->options;
    char db[12], name[REDIS_UID_MAX_BYTES + 32];

    snprintf(db, sizeof(db), "%u", o->db);
    snprintf(name, sizeof(name), "carillon-%s-%s", o->uid,
             side == &side->pair->commands ? "commands" : "messages");
    side->hello_left = 0;
    if (*o->user) /* it may need no password */
        say(side, needed, (const char *const[]){"AUTH", o->user, o->password, NULL});
    else if (*o->password)
        say(side, needed, (const char *const[]){"AUTH", o->password, NULL});
    if (o->db)
        say(side, needed, (const char *const[]){"SELECT", db, NULL});
    if (side == &side->pair->commands)
        say(side, role_answered, (const char *const[]){"ROLE", NULL});
    say(side, nice_to_have, (const char *const[]){"CLIENT", "SETNAME", name, NULL});
}

/* --- the links -------------------------------------------------------------------------------- */

static bool are_closed(const struct redis_pair *p) {
    return p->commands.is_closed && p->messages.is_closed;
}

static void side_down(void *arg, const char *why) {
    struct redis_side *side = arg;
    struct redis_pair *p = side->pair;
    side->is_closed = true;
    redis_pair_fail(p, why);
    if (are_closed(p))
        both_closed(p);
}

static void side_message(void *arg, struct str channel, struct str payload) {
    const struct redis_side *side = arg;
    const struct redis_pair *p = side->pair;
    p->hooks.message(p->hooks.arg, channel, payload);
}

static void open_side(struct redis_side *side) {
    side->is_ready = side->is_closed = false;
    redis_link_open(side->link);
}

static void open_both(struct redis_pair *p) {
    p->fault = NULL;
    open_side(&p->commands);
    open_side(&p->messages);
}

/* --- Sentinel --------------------------------------------------------------------------------- */

static void aim(struct redis_pair *p, const struct redis_endpoint *master) {
    snprintf(p->host, sizeof(p->host), "%s", master->host);
    p->port = master->port;
    const struct redis_target target = {.host = p->host, .port = p->port};
    redis_link_aim(p->commands.link, &target);
    redis_link_aim(p->messages.link, &target);
}

static void found(void *arg, const struct redis_endpoint *master) {
    struct redis_pair *p = arg;
    p->is_asking = false;
    if (p->port != master->port || strcmp(p->host, master->host) != 0)
        aim(p, master);
    open_both(p);
}

static void not_found(void *arg, const char *why) {
    struct redis_pair *p = arg;
    p->is_asking = false;
    p->fault = why;
    both_closed(p);
}

static void changed(void *arg) {
    struct redis_pair *p = arg;
    if (are_closed(p))
        p->retry_at_ms = 0;
    else
        redis_pair_fail(p, other_master);
}

static void init_side(struct redis_pair *p, struct redis_side *side, struct redis_loop *loop) {
    struct redis_link_hooks hooks = {.connected = say_hello, .down = side_down, .arg = side};
    if (side == &p->messages)
        hooks.message = side_message;
    side->pair = p;
    side->link = redis_link_create(loop, &p->options.link, &hooks);
    side->is_closed = true;
}

void redis_pair_init(struct redis_pair *p, struct redis_loop *loop,
                     const struct redis_pair_options *options,
                     const struct redis_pair_hooks *hooks) {
    *p = (struct redis_pair){.options = *options, .hooks = *hooks};
    init_side(p, &p->commands, loop);
    init_side(p, &p->messages, loop);
    const struct redis_sentinel_hooks sentinel_hooks = {
        .found = found, .failed = not_found, .changed = changed, .arg = p};
    if (options->sentinel.count)
        p->sentinel = redis_sentinel_create(loop, &options->sentinel, &sentinel_hooks);
}

void redis_pair_close(struct redis_pair *p) {
    redis_link_close(p->commands.link);
    redis_link_close(p->messages.link);
    if (p->sentinel)
        redis_sentinel_close(p->sentinel);
}

void redis_pair_fini(struct redis_pair *p) {
    redis_link_destroy(p->commands.link);
    redis_link_destroy(p->messages.link);
    redis_sentinel_destroy(p->sentinel);
}

void redis_pair_tick(struct redis_pair *p, uint64_t now_ms) {
    if (p->sentinel)
        redis_sentinel_tick(p->sentinel, now_ms);
    if (!are_closed(p) || p->is_asking || now_ms < p->retry_at_ms)
        return;
    if (!p->sentinel) {
        open_both(p);
        return;
    }
    p->is_asking = true;
    redis_sentinel_ask(p->sentinel, now_ms);
}

void redis_pair_fail(struct redis_pair *p, const char *why) {
    if (!p->fault)
        p->fault = why;
    redis_link_fail(p->commands.link, why);
    redis_link_fail(p->messages.link, why);
}

void redis_pair_works(struct redis_pair *p) {
    p->fail_count = 0;
    p->logged = NULL;
}

bool redis_pair_is_open(const struct redis_pair *p) {
    return p->is_connected && redis_link_is_open(p->commands.link) &&
           redis_link_is_open(p->messages.link);
}
