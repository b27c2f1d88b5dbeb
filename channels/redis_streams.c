/* See redis_streams.h. A stream has at most one reading under way: to fill a hole, or for those who
 * ask. Holes come first; who asks meanwhile waits.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_streams.h"

#include "channels/redis_scripts.h"
#include "channels/redis_stream_answers.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

enum { TAILS_MAX_BYTES = 64 << 20, COMPARED_PER_TICK = 2000 };
enum { COMPARE_BATCH = 170, OPEN_COMPARES_MAX = 4, OPEN_HEALS_MAX = 32 };
enum { ANSWER_MS = BROKER_DEADLINE_MS - 300 };
enum { HEAL_MAX_COUNT = 1000, HEAL_MAX_BYTES = 1 << 20 };
_Static_assert(3 * COMPARE_BATCH + 5 <= REDIS_ARGS_MAX, "a batch is one command");

void redis_streams_init(struct redis_streams *s, struct redis_shared *shared,
                        struct fanout *fanout) {
    *s = (struct redis_streams){.context = {.shared = shared, .fanout = fanout}};
    list_init(&s->all);
    list_init(&s->tails);
    list_init(&s->to_compare);
    list_init(&s->to_heal);
}

void redis_streams_fini(struct redis_streams *s) {
    assert(list_is_empty(&s->all));
    buf_fini(&s->context.patch);
}

static struct redis_stream *make(struct redis_streams *s, struct str channel) {
    struct redis_stream *t = mem_zalloc(sizeof(*t));
    s->count++;
    t->owner = s;
    t->channel = channel;
    t->heard_ms = clock_now_ms();
    list_append(&s->all, &t->in_all);
    list_init(&t->in_tails);
    list_init(&t->in_queue);
    redis_call_queue_init(&t->waiting);
    return t;
}

void redis_streams_end(struct redis_stream *t) {
    redis_stream_drop_held(t, &t->owner->context);
    t->owner->tail_bytes -= t->tail.bytes;
    redis_tail_clear(&t->tail);
    redis_stream_answers_end(t);
    list_remove(&t->in_all);
    list_remove(&t->in_tails);
    list_remove(&t->in_queue);
    t->owner->count--;
    mem_free(t);
}

/* --- tails ------------------------------------------------------------------------------------ */

/* After something that may have changed the tail, which had so many bytes before. */
void redis_streams_note_tail(struct redis_stream *t, size_t bytes_before) {
    struct redis_streams *s = t->owner;
    s->tail_bytes += t->tail.bytes;
    s->tail_bytes -= bytes_before;
    list_remove(&t->in_tails);
    if (t->tail.count)
        list_append(&s->tails, &t->in_tails);
    while (s->tail_bytes > TAILS_MAX_BYTES && !list_is_empty(&s->tails)) {
        struct redis_stream *oldest = list_entry(s->tails.next, struct redis_stream, in_tails);
        s->tail_bytes -= oldest->tail.bytes;
        redis_tail_clear(&oldest->tail);
        list_remove(&oldest->in_tails);
    }
}

static void heard(struct redis_stream *t) {
    t->heard_ms = clock_now_ms();
    list_remove(&t->in_all);
    list_append(&t->owner->all, &t->in_all);
}

/* --- holes ------------------------------------------------------------------------------------ */

static void start_heals(struct redis_streams *s);

static void want_heal(struct redis_stream *t) {
    t->is_broken = true;
    list_remove(&t->in_queue);
    list_append(&t->owner->to_heal, &t->in_queue);
    start_heals(t->owner);
}

/* The history cannot be read: what is held goes on, and the subscribers see the hole. */
static void give_up(struct redis_stream *t) {
    struct redis_stream_context *x = &t->owner->context;
    redis_count(&x->shared->counters.lost);
    t->reads_again = false;
    do {
        for (uint32_t i = 0; i < t->held_count; i++)
            if (t->held[i]->position.offset) {
                t->last = t->held[i]->position;
                t->last.offset--;
                break;
            }
    } while (!redis_stream_release(t, x));
}

/* Nothing was read of the epoch in force: it goes on with the first that came of it. */
static struct position find_end(const struct redis_stream *t, const struct position *top) {
    struct position end = *top;
    for (uint32_t i = 0; i < t->held_count; i++) {
        const struct position *p = &t->held[i]->position;
        if (position_is_same_epoch(p, top) && p->offset <= end.offset)
            end.offset = p->offset - 1;
    }
    return end;
}

/* False: nothing was read of it. */
static bool enter_epoch(struct redis_stream *t, const struct redis_reading *r) {
    struct redis_stream_context *x = &t->owner->context;
    const struct position end = find_end(t, &r->top);
    if (r->count)
        redis_stream_change_epoch(t, x, &r->items[0]->position);
    else
        redis_stream_jump(t, x, &end);
    t->previous = r->previous;
    return r->count > 0;
}

/* What was read goes to the subscribers. False: there is more to be read. */
static bool refill(struct redis_stream *t, const struct redis_reading *r, uint64_t asked_offset) {
    struct redis_stream_context *x = &t->owner->context;
    bool is_same_epoch = position_is_same_epoch(&r->top, &t->last);
    if (!is_same_epoch && !enter_epoch(t, r))
        return true;
    if (is_same_epoch && r->top.offset < asked_offset) {
        redis_stream_jump(t, x, &r->top);
        t->previous = r->previous;
        return true;
    }
    for (uint32_t i = 0; i < r->count; i++)
        redis_stream_refill(t, x, r->items[i]);
    if (r->count && (r->is_cut || r->count == HEAL_MAX_COUNT))
        return false;
    if (r->top.offset > t->last.offset)
        redis_stream_jump(t, x, &r->top);
    return true;
}

static void healed(struct redis_stream *t, const struct stream_read *read,
                   enum redis_outcome outcome) {
    struct redis_stream_context *x = &t->owner->context;
    const struct redis_reading *r = &read->reading;
    size_t bytes_before = t->tail.bytes;
    bool is_whole = true;
    if (outcome == REDIS_ANSWERED) {
        redis_stream_drop_outdated(t, x, read->held_count, &r->top);
        is_whole = refill(t, r, read->asked.offset);
    } else {
        give_up(t);
    }
    t->tail_due_ms = clock_now_ms() + r->ttl_ms;
    is_whole = redis_stream_release(t, x) && is_whole;
    redis_streams_note_tail(t, bytes_before);
    t->is_broken = false;
    if (!is_whole)
        want_heal(t);
    redis_stream_answer(t);
}

static void heal_done(struct redis_reading *r, enum redis_outcome outcome) {
    struct stream_read *read = list_entry(r, struct stream_read, reading);
    struct redis_stream *t = read->stream;
    struct redis_streams *s = read->owner;
    s->open_heals--;
    if (t) {
        t->read = NULL;
        if (outcome == REDIS_ANSWERED && stream_read_is_outdated(read))
            want_heal(t);
        else if (outcome == REDIS_ANSWERED || redis_link_is_open(s->history->link))
            healed(t, read, outcome);
    }
    stream_read_free(read);
    start_heals(s);
}

static bool start_heal(struct redis_stream *t) {
    struct stream_read *read = stream_read_create(t, heal_done);
    read->reading.has_since = true;
    read->reading.since.offset = t->last.offset; /* in whatever epoch it is by now */
    read->reading.limit = HEAL_MAX_COUNT;
    read->reading.max_bytes = HEAL_MAX_BYTES;
    t->owner->open_heals++;
    if (stream_read_start(read))
        return true;
    t->owner->open_heals--;
    return false;
}

static void start_heals(struct redis_streams *s) {
    while (s->open_heals < OPEN_HEALS_MAX && !list_is_empty(&s->to_heal)) {
        struct redis_stream *t = list_entry(s->to_heal.next, struct redis_stream, in_queue);
        if (t->read) { /* somebody asked: after that */
            list_remove(&t->in_queue);
            continue;
        }
        if (!start_heal(t))
            return; /* redis_streams_lost() follows */
        list_remove(&t->in_queue);
    }
}

void redis_stream_reading_over(struct redis_stream *t) {
    if (t->is_broken)
        want_heal(t);
}

/* --- comparing -------------------------------------------------------------------------------- */

static void start_compares(struct redis_streams *s);

static void take_different(struct redis_streams *s, struct str channel) {
    struct redis_stream **slot = redis_subs_live_stream(s->subs, channel);
    struct redis_stream *t = slot ? *slot : NULL;
    if (!t || !t->is_known || t->is_broken)
        return;
    redis_count(&s->context.shared->counters.gaps);
    want_heal(t);
}

static void compared(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_streams *s = arg;
    static struct log_limit limit;
    s->open_compares--;
    if (outcome != REDIS_ANSWERED)
        return;
    if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++)
            take_different(s, redis_text(reply->element[i]));
    } else {
        const char *words = redis_error_words(reply);
        redis_count(&s->context.shared->counters.garbage);
        log_limited(&limit, LOG_WARN, "cannot compare histories reason=\"%s\"",
                    words ? words : "redis answers nonsense");
    }
    start_compares(s);
}

/* The arguments are borrowed until the command is made. */
static bool compare_batch(struct redis_streams *s) {
    struct redis_args args;
    char offsets[COMPARE_BATCH][24];
    redis_script_begin(s->context.shared, SCRIPT_COMPARE, &args);
    for (uint32_t n = 0; n < COMPARE_BATCH && !list_is_empty(&s->to_compare);) {
        struct redis_stream *t = list_entry(s->to_compare.next, struct redis_stream, in_queue);
        list_remove(&t->in_queue);
        if (!t->is_known || t->is_broken)
            continue;
        snprintf(offsets[n], sizeof(offsets[n]), "%llu", (unsigned long long)t->last.offset);
        redis_args_add(&args, t->channel);
        redis_args_add(&args, (struct str){t->last.epoch, EPOCH_BYTES});
        redis_args_add(&args, str_of(offsets[n++]));
    }
    return redis_link_send_args(s->history->link, &args, (struct redis_waiter){compared, s, 1});
}

static void start_compares(struct redis_streams *s) {
    while (s->open_compares < OPEN_COMPARES_MAX && !list_is_empty(&s->to_compare)) {
        if (!compare_batch(s))
            return;
        s->open_compares++;
    }
}

static void want_compare(struct redis_stream *t) {
    heard(t);
    if (list_is_empty(&t->in_queue) && !t->is_broken)
        list_append(&t->owner->to_compare, &t->in_queue);
}

void redis_streams_connected(struct redis_streams *s) {
    struct list all;
    list_init(&all);
    list_splice(&all, &s->all);
    while (!list_is_empty(&all))
        want_compare(list_entry(all.next, struct redis_stream, in_all));
    start_compares(s);
}

void redis_streams_tick(struct redis_streams *s, uint64_t now_ms) {
    for (int i = 0; i < COMPARED_PER_TICK && !list_is_empty(&s->all); i++) {
        struct redis_stream *t = list_entry(s->all.next, struct redis_stream, in_all);
        if (now_ms - t->heard_ms < s->quiet_ms)
            break;
        want_compare(t);
    }
    start_compares(s);
}

void redis_streams_lost(struct redis_streams *s) {
    assert(s->open_heals == 0 && s->open_compares == 0);
    list_for_each(l, &s->all) {
        struct redis_stream *t = list_entry(l, struct redis_stream, in_all);
        redis_stream_drop_held(t, &s->context);
        redis_stream_refuse(t);
        t->is_broken = false; /* comparing will tell */
        t->start_top = 0;
        t->awaits_copy = false;
        list_remove(&t->in_queue);
    }
}

/* --- what comes ------------------------------------------------------------------------------- */

static void take_placed(struct redis_stream *t, struct msg *m, const struct redis_place *place) {
    struct redis_stream_context *x = &t->owner->context;
    size_t bytes_before = t->tail.bytes;
    bool was_broken = t->is_broken;
    if (!t->is_known) {
        struct position before = m->position;
        before.offset--;
        redis_stream_begin(t, &before);
    }
    heard(t);
    t->size = place->size;
    if (redis_stream_take(t, x, m, place->flags & REDIS_PLACE_DELTA)) {
        t->tail_due_ms = t->heard_ms + (uint64_t)place->ttl_s * 1000;
        redis_streams_note_tail(t, bytes_before);
    } else if (!was_broken) {
        redis_count(&x->shared->counters.gaps);
        want_heal(t);
    }
}

void redis_streams_take(struct redis_streams *s, struct redis_stream **slot, struct msg *m,
                        const struct redis_place *place) {
    if (m->position.offset) {
        if (!*slot)
            *slot = make(s, redis_subs_name(s->subs, m->parts.channel));
        take_placed(*slot, m, place);
        (*slot)->awaits_copy = place->flags & REDIS_PLACE_COPIED;
    } else if (*slot && (*slot)->awaits_copy) {
        (*slot)->awaits_copy = false;
    } else if (*slot && (*slot)->is_broken) {
        redis_stream_hold(*slot, &s->context, m);
    } else {
        fanout_post(s->context.fanout, m);
    }
    msg_unref(m);
}

void redis_streams_removed(struct redis_stream **slot) {
    struct redis_stream *t = *slot;
    if (!t)
        return;
    size_t bytes_before = t->tail.bytes;
    redis_tail_clear(&t->tail);
    redis_streams_note_tail(t, bytes_before);
    if (t->read)
        t->read->is_stale = true;
}

void redis_streams_broken(struct redis_stream **slot, const struct position *top) {
    struct redis_stream *t = *slot;
    if (!t || !t->is_known || position_is_same_epoch(&t->last, top))
        return;
    size_t bytes_before = t->tail.bytes;
    redis_stream_jump(t, &t->owner->context, top);
    t->previous = (struct position){0};
    redis_streams_note_tail(t, bytes_before);
    if (t->read)
        t->read->is_stale = true;
}

void redis_streams_ask(struct redis_streams *s, struct redis_call *c) {
    struct redis_stream **slot = redis_subs_live_stream(s->subs, redis_call_channel(c));
    c->reply->deadline_ms = clock_now_ms() + ANSWER_MS;
    if (!slot || !redis_stream_question(c)->may_lag ||
        !redis_view_can_answer(redis_stream_question(c))) {
        redis_stream_ask_redis(s, c);
        return;
    }
    if (!*slot)
        *slot = make(s, redis_subs_name(s->subs, redis_call_channel(c)));
    redis_call_queue_add(&(*slot)->waiting, c);
    redis_stream_answer(*slot);
}
