/* See redis_stream_answers.h. A question that one reading did not answer waits for a second one,
 * and then is asked alone, so that it does not wait for ever.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_stream_answers.h"

#include "channels/redis_scripts.h"
#include "channels/redis_streams.h"
#include "server/base/clock.h"
#include "server/base/mem.h"

#include <hiredis/hiredis.h>
#include <string.h>

enum { FILL_MAX_COUNT = 1000, FILL_MAX_BYTES = 1 << 20, ATTEMPTS_MAX = 2 };

struct stream_read *stream_read_create(struct redis_stream *t,
                                       void (*done)(struct redis_reading *r,
                                                    enum redis_outcome outcome)) {
    struct stream_read *read = mem_zalloc(sizeof(*read) + t->channel.n);
    memcpy(read->channel, t->channel.p, t->channel.n);
    read->reading.channel = (struct str){read->channel, t->channel.n};
    read->reading.done = done;
    read->owner = t->owner;
    read->stream = t;
    read->asked = t->last;
    read->held_count = t->held_count;
    return read;
}

void stream_read_free(struct stream_read *read) {
    redis_reading_fini(&read->reading);
    mem_free(read);
}

bool stream_read_start(struct stream_read *read) {
    if (!redis_history_read(read->owner->history, &read->reading)) {
        stream_read_free(read);
        return false;
    }
    read->stream->read = read;
    return true;
}

bool stream_read_is_outdated(const struct stream_read *read) {
    const struct redis_stream *t = read->stream;
    return t->is_known && !position_is_same_epoch(&t->last, &read->asked) &&
           !position_is_same_epoch(&t->last, &read->reading.top);
}

struct history_reply *redis_stream_question(const struct redis_call *c) {
    return list_entry(c->reply, struct history_reply, reply);
}

/* --- one question, one reading ---------------------------------------------------------------- */

struct single {
    struct redis_reading reading;
    struct redis_streams *owner;
    struct redis_call *call;
};

static void single_done(struct redis_reading *r, enum redis_outcome outcome) {
    struct single *single = list_entry(r, struct single, reading);
    struct history_reply *h = redis_stream_question(single->call);
    h->top = r->top;
    h->is_other_epoch = r->is_other_epoch;
    h->is_cut = r->is_cut;
    h->items = r->items;
    h->count = r->count;
    redis_call_end(single->owner->inbox, single->call,
                   outcome == REDIS_ANSWERED ? BROKER_OK : BROKER_UNAVAILABLE);
    mem_free(single);
}

void redis_stream_ask_redis(struct redis_streams *s, struct redis_call *c) {
    const struct history_reply *h = redis_stream_question(c);
    struct single *single = mem_zalloc(sizeof(*single));
    single->owner = s;
    single->call = c;
    single->reading = (struct redis_reading){
        .channel = redis_call_channel(c),
        .is_reverse = h->is_reverse,
        .has_since = h->has_since,
        .since = h->since,
        .limit = h->limit,
        .max_bytes = h->max_bytes,
        .deadline_ms = c->reply->deadline_ms,
        .done = single_done,
    };
    if (redis_history_read(s->history, &single->reading))
        return;
    redis_call_end(s->inbox, c, BROKER_UNAVAILABLE);
    mem_free(single);
}

/* --- removing --------------------------------------------------------------------------------- */

static void removed(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *c = arg;
    struct redis_streams *s = c->owner;
    bool is_done = outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_INTEGER;
    enum broker_result otherwise = outcome == REDIS_LOST ? BROKER_UNKNOWN : BROKER_UNAVAILABLE;
    redis_call_end(s->inbox, c, is_done ? BROKER_OK : otherwise);
}

void redis_streams_remove(struct redis_streams *s, struct redis_call *c) {
    struct redis_stream **slot = redis_subs_live_stream(s->subs, redis_call_channel(c));
    struct redis_args args;
    if (slot)
        redis_streams_removed(slot); /* who asks next asks Redis */
    c->owner = s;
    redis_script_begin(s->context.shared, SCRIPT_REMOVE, &args);
    redis_args_add(&args, redis_call_channel(c));
    if (!redis_link_send_args(s->history->link, &args, (struct redis_waiter){removed, c, 1}))
        redis_call_end(s->inbox, c, BROKER_UNAVAILABLE);
}

/* --- many questions --------------------------------------------------------------------------- */

/* Answers those that the view can, in their order; the others wait on. */
static void answer_from(struct redis_stream *t, const struct redis_view *v) {
    for (struct redis_call *c = redis_call_queue_take(&t->waiting), *next; c; c = next) {
        struct redis_view own = *v;
        own.is_fresh &= c->is_read_for;
        next = c->next;
        if (redis_view_answer(&own, redis_stream_question(c)))
            redis_call_end(t->owner->inbox, c, BROKER_OK);
        else
            redis_call_queue_add(&t->waiting, c);
    }
}

/* Also while something is missing: what is told is where the subscribers are, and they get the rest
 * as everybody does. */
static void answer_from_tail(struct redis_stream *t) {
    if (!t->is_known)
        return;
    if (t->tail.count && clock_now_ms() >= t->tail_due_ms) {
        size_t bytes_before = t->tail.bytes;
        redis_tail_clear(&t->tail);
        redis_streams_note_tail(t, bytes_before);
    }
    const struct msg *first = t->tail.count ? t->tail.items[t->tail.first] : NULL;
    const struct redis_view view = {
        .top = t->last,
        .previous = t->previous,
        .items = t->tail.items + t->tail.first,
        .count = t->tail.count,
        .from = first ? first->position.offset - 1 : t->last.offset,
        .knows_newest = first != NULL,
    };
    answer_from(t, &view);
}

/* What was read, and behind it what this node has seen since. */
struct joined {
    struct msg **items; /* borrowed */
    uint32_t count;
    struct position top;
    bool is_joined; /* else something between both is missing here */
};

static void join(struct joined *j, const struct redis_stream *t, const struct redis_reading *r) {
    j->items = mem_array((size_t)r->count + t->tail.count + 1, sizeof(struct msg *));
    for (uint32_t i = 0; i < r->count; i++)
        j->items[j->count++] = r->items[r->is_reverse ? r->count - 1 - i : i];
    j->top = r->top;
    j->is_joined = true;
    if (!position_is_same_epoch(&t->last, &r->top) || t->last.offset <= r->top.offset)
        return;
    j->is_joined =
        t->tail.count && t->tail.items[t->tail.first]->position.offset <= r->top.offset + 1;
    for (uint32_t i = 0; i < t->tail.count && j->is_joined; i++) {
        struct msg *m = t->tail.items[t->tail.first + i];
        if (m->position.offset > r->top.offset)
            j->items[j->count++] = m;
    }
    if (j->is_joined)
        j->top = t->last;
}

/* Keeps what was read as the tail, when that reaches further back. */
static void keep_as_tail(struct redis_stream *t, const struct joined *j, uint64_t ttl_ms) {
    struct redis_tail tail = {0};
    const struct msg *first = t->tail.count ? t->tail.items[t->tail.first] : NULL;
    if (!j->is_joined || !position_is_same_epoch(&t->last, &j->top) || j->count == 0 ||
        (first && first->position.offset <= j->items[0]->position.offset))
        return;
    for (uint32_t i = 0; i < j->count && j->items[i]->position.offset <= t->last.offset; i++)
        redis_tail_push(&tail, j->items[i], t->size);
    const struct msg *last = redis_tail_last(&tail);
    if (!last || last->position.offset != t->last.offset) {
        redis_tail_clear(&tail);
        return;
    }
    size_t bytes_before = t->tail.bytes;
    redis_tail_clear(&t->tail);
    t->tail = tail;
    t->tail_due_ms = clock_now_ms() + ttl_ms;
    redis_streams_note_tail(t, bytes_before);
}

static void answer_from_reading(struct redis_stream *t, const struct stream_read *read) {
    const struct redis_reading *r = &read->reading;
    struct joined j = {0};
    bool is_cut = !r->is_reverse && (r->is_cut || r->count == FILL_MAX_COUNT);
    if (!t->is_known) {
        redis_stream_begin(t, &r->top);
        t->previous = r->previous;
    }
    if (is_cut) {
        bool is_ahead = position_is_same_epoch(&t->last, &r->top) && t->last.offset > r->top.offset;
        const struct redis_view view = {.top = is_ahead ? t->last : r->top,
                                        .previous = r->previous,
                                        .items = r->items,
                                        .count = r->count,
                                        .from = r->since.offset,
                                        .is_fresh = true,
                                        .is_cut = true};
        answer_from(t, &view);
        return;
    }
    join(&j, t, r);
    if (j.is_joined) {
        const struct redis_view view = {
            .top = j.top,
            .previous = r->previous,
            .items = j.items,
            .count = j.count,
            .from = r->has_since ? r->since.offset
                    : j.count    ? j.items[0]->position.offset - 1
                                 : j.top.offset,
            .is_fresh = true,
            .knows_newest = r->limit > 0,
        };
        answer_from(t, &view);
        if (!read->is_stale)
            keep_as_tail(t, &j, r->ttl_ms);
    }
    mem_free(j.items);
}

/* Those that are still here have had a chance more. */
static void count_attempt(struct redis_stream *t, bool is_failure) {
    uint64_t now_ms = clock_now_ms();
    for (struct redis_call *c = redis_call_queue_take(&t->waiting), *next; c; c = next) {
        next = c->next;
        if (is_failure || now_ms >= c->reply->deadline_ms)
            redis_call_end(t->owner->inbox, c, BROKER_UNAVAILABLE);
        else if (++c->attempts >= ATTEMPTS_MAX)
            redis_stream_ask_redis(t->owner, c);
        else
            redis_call_queue_add(&t->waiting, c);
    }
}

static void fill_done(struct redis_reading *r, enum redis_outcome outcome) {
    struct stream_read *read = list_entry(r, struct stream_read, reading);
    struct redis_stream *t = read->stream;
    if (t) {
        t->read = NULL;
        if (outcome == REDIS_ANSWERED && !stream_read_is_outdated(read))
            answer_from_reading(t, read);
        count_attempt(t, outcome != REDIS_ANSWERED);
        redis_stream_reading_over(t);
        redis_stream_answer(t);
    }
    stream_read_free(read);
}

/* As little as answers all that wait. */
static void set_range(struct redis_reading *r, const struct redis_stream *t) {
    r->limit = 0;
    for (struct redis_call *c = t->waiting.first; c; c = c->next) {
        const struct history_reply *h = redis_stream_question(c);
        c->is_read_for = true;
        if (h->has_since && (!r->has_since || h->since.offset < r->since.offset)) {
            r->has_since = true;
            r->since.offset = h->since.offset; /* in whatever epoch */
        }
        if (h->limit > 0)
            r->limit = 1;
    }
    r->is_reverse = r->limit > 0 && !r->has_since; /* for the newest only */
    if (r->has_since) {
        r->limit = FILL_MAX_COUNT;
        r->max_bytes = FILL_MAX_BYTES;
    }
}

/* A hole is not a reason to wait for long: what is read is newer than it. */
static void ask_alone(struct redis_stream *t) {
    for (struct redis_call *c = redis_call_queue_take(&t->waiting), *next; c; c = next) {
        next = c->next;
        redis_stream_ask_redis(t->owner, c);
    }
}

void redis_stream_answer(struct redis_stream *t) {
    answer_from_tail(t);
    if (!t->waiting.first || t->read)
        return;
    if (t->is_broken) {
        ask_alone(t);
        return;
    }
    struct stream_read *read = stream_read_create(t, fill_done);
    set_range(&read->reading, t);
    read->reading.deadline_ms = redis_stream_question(t->waiting.first)->reply.deadline_ms;
    if (!stream_read_start(read))
        count_attempt(t, true);
}

void redis_stream_refuse(struct redis_stream *t) {
    count_attempt(t, true);
}

void redis_stream_answers_end(struct redis_stream *t) {
    if (t->read)
        t->read->stream = NULL;
    t->read = NULL;
    ask_alone(t);
}
