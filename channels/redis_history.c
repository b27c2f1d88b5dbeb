/* See redis_history.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_history.h"

#include "channels/broker.h"
#include "channels/history.h"
#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { RUN_ID_BYTES = 40 };
enum { OPEN_MAX = 64 };
/* Of one call: Redis does nothing else meanwhile. */
enum { CALL_MAX_COUNT = 1000 };
#define CALL_MAX_BYTES "1048576"
/* The answer: five numbers and texts, a flag, then publications. */
enum { A_TOP, A_EPOCH, A_PREVIOUS_TOP, A_PREVIOUS_EPOCH, A_TTL, A_IS_CUT, A_ITEMS };

struct str redis_new_epoch(char out[EPOCH_BYTES]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < EPOCH_BYTES; i++)
        out[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
    return (struct str){out, EPOCH_BYTES};
}

/* --- meeting ---------------------------------------------------------------------------------- */

static void fail(struct redis_history *h, const redisReply *reply) {
    const char *words = redis_error_words(reply);
    h->fail(h->arg, words ? words : "redis does not say which run of it this is");
}

static void met(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_history *h = arg;
    if (outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_INTEGER)
        h->has_met = true;
    else if (outcome == REDIS_ANSWERED)
        fail(h, reply);
}

static void got_info(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_history *h = arg;
    struct redis_args args;
    char era[EPOCH_BYTES];
    if (outcome != REDIS_ANSWERED)
        return;
    const char *id = redis_text(reply).n ? strstr(reply->str, "run_id:") : NULL;
    if (!id || strlen(id) < 7 + RUN_ID_BYTES) {
        fail(h, reply);
        return;
    }
    redis_script_begin(h->shared, SCRIPT_MEET, &args);
    redis_args_add(&args, (struct str){id + 7, RUN_ID_BYTES});
    redis_args_add(&args, redis_new_epoch(era));
    redis_link_send_args(h->link, &args, (struct redis_waiter){met, h, 1});
}

void redis_history_connected(struct redis_history *h) {
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("INFO"));
    redis_args_add(&args, STR("server"));
    redis_link_send_args(h->link, &args, (struct redis_waiter){got_info, h, 1});
}

void redis_history_init(struct redis_history *h, struct redis_shared *shared,
                        struct redis_link *link) {
    *h = (struct redis_history){.shared = shared, .link = link};
    list_init(&h->waiting);
    list_init(&h->open);
}

/* --- positions -------------------------------------------------------------------------------- */

bool redis_position_is_in(const struct position *p, const struct position *top,
                          const struct position *previous) {
    return !p->epoch[0] || position_is_same_epoch(p, top) ||
           (position_is_same_epoch(p, previous) && p->offset <= previous->offset);
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool read_position(const redisReply *epoch, const redisReply *offset, struct position *out) {
    *out = (struct position){0};
    position_set_epoch(out, redis_text(epoch));
    return str_to_u64(redis_text(offset), &out->offset);
}

static bool read_head(struct redis_reading *r, const redisReply *a) {
    return a->type == REDIS_REPLY_ARRAY && a->elements >= A_ITEMS &&
           read_position(a->element[A_EPOCH], a->element[A_TOP], &r->top) && r->top.epoch[0] &&
           read_position(a->element[A_PREVIOUS_EPOCH], a->element[A_PREVIOUS_TOP], &r->previous);
}

static void add_item(struct redis_reading *r, struct msg *m) {
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 16;
        r->items = mem_realloc(r->items, r->capacity * sizeof(*r->items));
    }
    r->items[r->count++] = m;
}

/* NULL for garbage. The epoch is the present one: in it, older offsets are as good. */
static struct msg *make_item(const struct redis_reading *r, struct str text) {
    struct msg_parts parts = {.channel = r->channel};
    struct redis_place place;
    if (!redis_place_read(&text, &place) || place.position.offset == 0 ||
        !redis_envelope_read(text, &parts) || parts.kind != MSG_PUBLICATION)
        return NULL;
    struct msg *m = msg_create(&parts);
    m->position = r->top;
    m->position.offset = place.position.offset;
    return m;
}

static bool is_next(const struct redis_reading *r, const struct msg *m) {
    if (r->count == 0)
        return true;
    uint64_t before = r->items[r->count - 1]->position.offset;
    return m->position.offset == (r->is_reverse ? before - 1 : before + 1);
}

/* False: there is no more to be had, or no more wanted. */
static bool take_item(struct redis_reading *r, struct str text) {
    struct msg *m = make_item(r, text);
    if (!m) {
        redis_count(&r->owner->shared->counters.garbage);
        return true;
    }
    r->bytes += m->size_bytes - sizeof(*m) + HISTORY_FRAME_BYTES;
    bool is_too_much = r->max_bytes && r->bytes > r->max_bytes && r->count;
    if (r->count == r->limit || is_too_much || !is_next(r, m)) {
        r->is_cut |= is_too_much || !is_next(r, m);
        msg_unref(m);
        return false;
    }
    add_item(r, m);
    return true;
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Outlives its reading when that is over before Redis has answered. */
struct reading_call {
    struct redis_history *owner;
    struct redis_reading *reading; /* NULL: it is over */
};

static bool ask(struct redis_reading *r);

static void start_waiting(struct redis_history *h);

static void end(struct redis_reading *r, enum redis_outcome outcome, const redisReply *reply) {
    static struct log_limit limit;
    struct redis_history *h = r->owner;
    if (outcome == REDIS_ANSWERED && reply) {
        const char *words = redis_error_words(reply);
        redis_count(&r->owner->shared->counters.garbage);
        log_limited(&limit, LOG_WARN, "cannot read a history reason=\"%s\"",
                    words ? words : "redis answers nonsense");
        outcome = REDIS_LOST;
    }
    list_remove(&r->in_history);
    r->done(r, outcome);
    start_waiting(h);
}

/* The history was removed between two calls: what follows what was read first is gone. */
static bool ends_early(const struct redis_reading *r) {
    return !r->is_reverse && r->count && r->count < r->limit &&
           r->items[r->count - 1]->position.offset != r->top.offset;
}

static void take_answer(struct redis_reading *r, enum redis_outcome outcome,
                        const redisReply *reply) {
    const struct position before = r->top;
    const uint32_t count_before = r->count;
    bool goes_on = true;
    if (outcome != REDIS_ANSWERED || !read_head(r, reply)) {
        end(r, outcome, reply);
        return;
    }
    if (r->count &&
        !position_is_same_epoch(&before, &r->top)) { /* it began again between two calls */
        r->top = before;
        r->is_cut = true;
        end(r, outcome, NULL);
        return;
    }
    if (r->count && r->is_reverse)
        r->top = before; /* what came since then is not in here */
    size_t n = reply->elements - A_ITEMS;
    r->ttl_ms = reply->element[A_TTL]->integer > 0 ? (uint64_t)reply->element[A_TTL]->integer : 0;
    r->is_other_epoch = r->has_since && !redis_position_is_in(&r->since, &r->top, &r->previous);
    for (size_t i = 0; i < n && goes_on && !r->is_other_epoch; i++)
        goes_on = take_item(r, redis_text(reply->element[A_ITEMS + i]));
    bool is_more = n == CALL_MAX_COUNT || reply->element[A_IS_CUT]->integer;
    if (goes_on && is_more && r->count < r->limit && !r->is_other_epoch) {
        if (r->count > count_before) {
            if (!ask(r))
                end(r, REDIS_LOST, NULL);
            return;
        }
        r->is_cut = true; /* behind much that is not ours: there is no way around it */
    }
    r->is_cut |= ends_early(r);
    end(r, outcome, NULL);
}

static void answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct reading_call *call = arg;
    struct redis_history *h = call->owner;
    struct redis_reading *r = call->reading;
    mem_free(call);
    h->open_count--;
    if (r)
        take_answer(r, outcome, reply);
    else
        start_waiting(h);
}

/* From the last item on, or where the asker wants to begin. */
static struct str begin(const struct redis_reading *r, char out[24]) {
    if (!r->has_since && r->count == 0)
        return STR_NONE;
    uint64_t at = r->count ? r->items[r->count - 1]->position.offset : r->since.offset;
    snprintf(out, 24, "%llu", (unsigned long long)at);
    return str_of(out);
}

static bool ask(struct redis_reading *r) {
    struct redis_args args;
    char epoch[EPOCH_BYTES], since[24], count[12];
    uint32_t left = r->limit - r->count;
    snprintf(count, sizeof(count), "%u", left < CALL_MAX_COUNT ? left : CALL_MAX_COUNT);
    redis_script_begin(r->owner->shared, SCRIPT_READ, &args);
    redis_args_add(&args, r->channel);
    redis_args_add(&args, redis_new_epoch(epoch));
    redis_args_add(&args, r->is_reverse ? STR("r") : STR("f"));
    redis_args_add(&args, begin(r, since));
    redis_args_add(&args, str_of(count));
    redis_args_add(&args, STR(CALL_MAX_BYTES));
    r->call = mem_zalloc(sizeof(*r->call));
    *r->call = (struct reading_call){r->owner, r};
    if (!redis_link_send_args(r->owner->link, &args, (struct redis_waiter){answered, r->call, 1})) {
        mem_free(r->call);
        return false;
    }
    r->owner->open_count++;
    return true;
}

static bool start(struct redis_reading *r) {
    if (!ask(r))
        return false;
    list_append(&r->owner->open, &r->in_history);
    redis_count(&r->owner->shared->counters.history_reads);
    return true;
}

static struct redis_reading *first_waiting(const struct redis_history *h) {
    return list_is_empty(&h->waiting)
               ? NULL
               : list_entry(h->waiting.next, struct redis_reading, in_history);
}

static void start_waiting(struct redis_history *h) {
    struct redis_reading *r;
    while (h->open_count < OPEN_MAX && redis_link_is_open(h->link) && (r = first_waiting(h))) {
        list_remove(&r->in_history);
        start(r);
    }
}

static void give_up(struct redis_reading *r, enum redis_outcome outcome) {
    list_remove(&r->in_history);
    r->done(r, outcome);
}

static bool is_due(const struct redis_reading *r, uint64_t now_ms) {
    return r->deadline_ms && now_ms >= r->deadline_ms;
}

void redis_history_tick(struct redis_history *h, uint64_t now_ms) {
    list_for_each_safe(l, &h->open) {
        struct redis_reading *r = list_entry(l, struct redis_reading, in_history);
        if (!is_due(r, now_ms))
            continue;
        r->call->reading = NULL;
        give_up(r, REDIS_LOST);
    }
    list_for_each_safe(l, &h->waiting) {
        struct redis_reading *r = list_entry(l, struct redis_reading, in_history);
        if (is_due(r, now_ms))
            give_up(r, REDIS_UNSENT);
        else if (r->deadline_ms)
            break;
    }
}

void redis_history_lost(struct redis_history *h) {
    struct redis_reading *r;
    assert(h->open_count == 0);
    h->has_met = false;
    while ((r = first_waiting(h)))
        give_up(r, REDIS_UNSENT);
}

bool redis_history_read(struct redis_history *h, struct redis_reading *r) {
    r->owner = h;
    list_init(&r->in_history);
    if (h->open_count < OPEN_MAX)
        return start(r);
    if (!redis_link_is_open(h->link))
        return false;
    if (r->deadline_ms)
        list_append(&h->waiting, &r->in_history);
    else
        list_insert_before(h->waiting.next, &r->in_history);
    return true;
}

void redis_reading_fini(struct redis_reading *r) {
    for (uint32_t i = 0; i < r->count; i++)
        msg_unref(r->items[i]);
    mem_free(r->items);
    r->items = NULL;
    r->count = r->capacity = 0;
}
