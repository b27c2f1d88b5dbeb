/* See redis_publish.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_publish.h"

#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "server/base/log.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_BYTES = 21, REFUSALS_MAX = 3 };

void redis_publisher_init(struct redis_publisher *p, struct redis_shared *shared,
                          struct redis_link *link, struct redis_inbox *inbox) {
    *p = (struct redis_publisher){.shared = shared, .link = link, .inbox = inbox};
    redis_call_queue_init(&p->refused);
    redis_call_queue_init(&p->waiting);
}

void redis_publisher_fini(struct redis_publisher *p) {
    buf_fini(&p->scratch);
    buf_fini(&p->name);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void end(struct redis_publisher *p, struct redis_call *c, enum broker_result result) {
    struct broker_redis_counters *n = &p->shared->counters;
    redis_count(result == BROKER_OK        ? &n->published
                : result == BROKER_UNKNOWN ? &n->unknown
                                           : &n->dropped);
    redis_call_end(p->inbox, c, result);
}

void redis_publish_refuse(struct redis_publisher *p, struct redis_call *c) {
    end(p, c, BROKER_UNAVAILABLE);
}

static void refused(struct redis_publisher *p, struct redis_call *c, const redisReply *reply) {
    static struct log_limit limit;
    const char *words = reply ? redis_error_words(reply) : NULL;
    if (reply)
        log_limited(&limit, LOG_WARN, "redis refuses a publication reason=\"%s\"",
                    words ? words : "redis answers nonsense");
    end(p, c, BROKER_UNAVAILABLE);
}

static void published(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *c = arg;
    struct redis_publisher *p = c->owner;
    if (outcome == REDIS_LOST)
        end(p, c, BROKER_UNKNOWN);
    else if (outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_INTEGER)
        end(p, c, BROKER_OK);
    else
        refused(p, c, reply);
}

/* --- plainly ---------------------------------------------------------------------------------- */

static bool send_plain(struct redis_publisher *p, struct redis_call *c) {
    struct redis_args args = {.count = 0};
    buf_clear(&p->scratch);
    if (!redis_envelope_add(&p->scratch, &c->msg->parts))
        return false;
    redis_args_add(&args, STR("PUBLISH"));
    redis_args_add(&args, redis_name(p->shared, &p->name, REDIS_CHANNEL, redis_call_channel(c)));
    redis_args_add(&args, buf_str(&p->scratch));
    return redis_link_send_args(p->link, &args, (struct redis_waiter){published, c, 1});
}

/* --- with the script -------------------------------------------------------------------------- */

static void load(struct redis_publisher *p);

/* "<epoch> <offset>"; without history the epoch is empty. */
static bool read_place(const redisReply *reply, struct position *out) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return false;
    struct str text = redis_text(reply->element[1]);
    size_t space = str_find(text, ' ');
    position_set_epoch(out, str_slice(text, 0, space));
    return str_to_u64(str_slice(text, space + 1, text.n), &out->offset);
}

/* One of the same channel came through, which was sent behind those that were refused. */
static void give_up_overtaken(struct redis_publisher *p, struct str channel) {
    for (struct redis_call *c = redis_call_queue_take(&p->refused), *next; c; c = next) {
        next = c->next;
        if (str_equal(redis_call_channel(c), channel))
            end(p, c, BROKER_UNAVAILABLE);
        else
            redis_call_queue_add(&p->refused, c);
    }
}

/* Once more, when the script is there again. */
static void take_refused(struct redis_publisher *p, struct redis_call *c, const redisReply *reply) {
    if (++c->attempts > REFUSALS_MAX) {
        refused(p, c, reply); /* this Redis keeps nothing */
        return;
    }
    redis_call_queue_add(&p->refused, c);
    if (p->is_loaded)
        load(p);
}

static void numbered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *c = arg;
    struct redis_publisher *p = c->owner;
    struct position place = {0};
    if (outcome == REDIS_LOST) {
        end(p, c, BROKER_UNKNOWN);
    } else if (outcome == REDIS_ANSWERED && redis_is_error(reply, "NOSCRIPT")) {
        take_refused(p, c, reply);
    } else if (outcome == REDIS_ANSWERED && read_place(reply, &place)) {
        if (p->refused.first)
            give_up_overtaken(p, redis_call_channel(c));
        if (place.offset && reply->element[0]->integer == 0)
            redis_acks_note(p->acks, redis_call_channel(c), &place);
        if (c->reply)
            c->reply->position = place;
        end(p, c, BROKER_OK);
    } else {
        refused(p, c, reply);
    }
}

/* The numbers among the arguments. */
struct numbers {
    char size[NUMBER_BYTES], ttl[NUMBER_BYTES], meta_ttl[NUMBER_BYTES], version[NUMBER_BYTES];
};

static void write_numbers(struct numbers *n, const struct redis_call *c) {
    const struct keep *k = &c->publish.keep;
    uint64_t meta_ttl_ms = k->meta_ttl_ms > k->ttl_ms ? k->meta_ttl_ms : k->ttl_ms;
    snprintf(n->size, NUMBER_BYTES, "%u", c->is_kept ? k->size : 0);
    snprintf(n->ttl, NUMBER_BYTES, "%llu", (unsigned long long)k->ttl_ms);
    snprintf(n->meta_ttl, NUMBER_BYTES, "%llu", (unsigned long long)meta_ttl_ms);
    snprintf(n->version, NUMBER_BYTES, "%llu", (unsigned long long)c->publish.version);
}

static bool send_numbered(struct redis_publisher *p, struct redis_call *c) {
    const struct publish_options *o = &c->publish;
    struct redis_args args = {.count = 0};
    struct numbers n;
    char epoch[EPOCH_BYTES], tail[REDIS_PLACE_TAIL_BYTES];
    buf_clear(&p->scratch);
    if (!redis_envelope_add(&p->scratch, &c->msg->parts))
        return false;
    write_numbers(&n, c);
    redis_args_add(&args, STR("EVALSHA"));
    redis_args_add(&args, str_of(p->sha));
    redis_args_add(&args, STR("0"));
    redis_args_add(&args, str_of(p->shared->base));
    redis_args_add(&args, str_of(p->shared->uid));
    redis_args_add(&args, redis_call_channel(c));
    redis_args_add(&args, redis_new_epoch(epoch));
    redis_args_add(&args, str_of(n.size));
    redis_args_add(&args, str_of(n.ttl));
    redis_args_add(&args, str_of(n.meta_ttl));
    redis_args_add(&args, redis_place_tail(o->makes_delta ? REDIS_PLACE_DELTA : 0, o->keep.ttl_ms,
                                           o->keep.size, tail));
    redis_args_add(&args, buf_str(&p->scratch));
    redis_args_add(&args, o->idempotency_key);
    redis_args_add(&args, str_of(n.version));
    redis_args_add(&args, o->version_epoch);
    return redis_link_send_args(p->link, &args, (struct redis_waiter){numbered, c, 1});
}

/* --- the script ------------------------------------------------------------------------------- */

/* Redis answers in order: those that it refused for want of the script are all here now. */
static void send_queue(struct redis_publisher *p, struct redis_call_queue *queue) {
    for (struct redis_call *c = redis_call_queue_take(queue), *next; c; c = next) {
        next = c->next;
        if (!send_numbered(p, c))
            end(p, c, BROKER_UNAVAILABLE);
    }
}

static void loaded(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_publisher *p = arg;
    if (outcome != REDIS_ANSWERED)
        return; /* redis_publisher_lost() follows */
    struct str sha = redis_text(reply);
    if (sha.n != REDIS_SHA_BYTES) {
        const char *words = redis_error_words(reply);
        p->fail(p->arg, words ? words : "redis does not load scripts as it should");
        return;
    }
    memcpy(p->sha, sha.p, sha.n);
    p->is_loaded = true;
    send_queue(p, &p->refused);
    send_queue(p, &p->waiting);
}

static void load(struct redis_publisher *p) {
    struct redis_args args = {.count = 0};
    p->is_loaded = false;
    redis_args_add(&args, STR("SCRIPT"));
    redis_args_add(&args, STR("LOAD"));
    redis_args_add(&args, redis_script_text(SCRIPT_PUBLISH));
    redis_link_send_args(p->link, &args, (struct redis_waiter){loaded, p, 1});
}

void redis_publisher_connected(struct redis_publisher *p) {
    load(p);
}

/* The link is closed: they are refused. */
void redis_publisher_lost(struct redis_publisher *p) {
    p->is_loaded = false;
    send_queue(p, &p->refused);
    send_queue(p, &p->waiting);
}

void redis_publish(struct redis_publisher *p, struct redis_call *c) {
    bool is_numbered = c->is_kept || c->publish.idempotency_key.n > 0;
    c->owner = p;
    if (is_numbered && !p->is_loaded)
        redis_call_queue_add(&p->waiting, c);
    else if (!(is_numbered ? send_numbered(p, c) : send_plain(p, c)))
        redis_publish_refuse(p, c);
}
