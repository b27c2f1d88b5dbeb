/* See redis_stream.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_stream.h"

#include "channels/delta.h"
#include "server/base/mem.h"

#include <string.h>

enum { HELD_MAX_COUNT = 4096, HELD_MAX_BYTES = 1 << 20, ALL_HELD_MAX_BYTES = 32 << 20 };

void redis_stream_begin(struct redis_stream *t, const struct position *at) {
    t->is_known = true;
    t->last = *at;
    t->start_top = at->offset;
}

/* --- to the subscribers ----------------------------------------------------------------------- */

static void add_delta(struct redis_stream *t, struct redis_stream_context *x, struct msg *m) {
    const struct msg *base = redis_tail_last(&t->tail);
    if (!base || base->position.offset + 1 != m->position.offset || m->delta.n)
        return;
    buf_clear(&x->patch);
    if (delta_make(&x->patch, base->parts.data, m->parts.data))
        msg_set_delta(m, buf_str(&x->patch));
}

static void deliver(struct redis_stream *t, struct redis_stream_context *x, struct msg *m) {
    t->last = m->position;
    redis_tail_push(&t->tail, m, t->size);
    fanout_post(x->fanout, m);
}

static void change_epoch(struct redis_stream *t, struct redis_stream_context *x) {
    redis_count(&x->shared->counters.epoch_changes);
    t->previous = (struct position){0};
    t->start_top = 0;
    redis_tail_clear(&t->tail);
}

void redis_stream_change_epoch(struct redis_stream *t, struct redis_stream_context *x,
                               const struct position *first) {
    change_epoch(t, x);
    t->last = *first;
    t->last.offset--;
}

void redis_stream_jump(struct redis_stream *t, struct redis_stream_context *x,
                       const struct position *top) {
    if (position_is_same_epoch(&t->last, top))
        redis_count(&x->shared->counters.lost);
    else
        change_epoch(t, x);
    redis_tail_clear(&t->tail);
    t->last = *top;
    t->start_top = 0;
    struct msg *m = msg_create(&(struct msg_parts){.kind = MSG_TOP, .channel = t->channel});
    m->position = *top;
    fanout_post(x->fanout, m);
    msg_unref(m);
}

/* --- what comes ------------------------------------------------------------------------------- */

enum arrival { NEXT, TOO_FAR, EARLIER, REPEATED, OTHER_EPOCH };

static enum arrival judge(const struct redis_stream *t, const struct position *p) {
    if (!position_is_same_epoch(p, &t->last))
        return OTHER_EPOCH; /* newer, or over */
    if (p->offset == t->last.offset + 1)
        return NEXT;
    if (p->offset > t->last.offset)
        return TOO_FAR;
    return p->offset <= t->start_top ? EARLIER : REPEATED;
}

/* False: something is missing before it; nothing is done. */
static bool let_in(struct redis_stream *t, struct redis_stream_context *x, struct msg *m) {
    switch (judge(t, &m->position)) {
    case NEXT:
        deliver(t, x, m);
        return true;
    case EARLIER:
        fanout_post(x->fanout, m);
        return true;
    case REPEATED:
        redis_count(&x->shared->counters.duplicates);
        return true;
    case OTHER_EPOCH:
    case TOO_FAR:
        break;
    }
    return false;
}

bool redis_stream_take(struct redis_stream *t, struct redis_stream_context *x, struct msg *m,
                       bool makes_delta) {
    if (makes_delta)
        add_delta(t, x, m);
    if (!t->is_broken && let_in(t, x, m))
        return true;
    redis_stream_hold(t, x, m);
    return false;
}

/* --- holding ---------------------------------------------------------------------------------- */

void redis_stream_hold(struct redis_stream *t, struct redis_stream_context *x, struct msg *m) {
    if (t->held_count == HELD_MAX_COUNT || t->held_bytes + m->size_bytes > HELD_MAX_BYTES ||
        x->held_bytes + m->size_bytes > ALL_HELD_MAX_BYTES) {
        t->reads_again = true; /* what has a position is read again */
        if (!m->position.offset)
            redis_count(&x->shared->counters.lost);
        return;
    }
    if (t->held_count == t->held_capacity) {
        t->held_capacity = t->held_capacity ? t->held_capacity * 2 : 8;
        t->held = mem_realloc(t->held, t->held_capacity * sizeof(struct msg *));
    }
    t->held[t->held_count++] = msg_ref(m);
    t->held_bytes += m->size_bytes;
    x->held_bytes += m->size_bytes;
}

static void forget_held(struct redis_stream *t, struct redis_stream_context *x, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        x->held_bytes -= t->held[i]->size_bytes;
        t->held_bytes -= t->held[i]->size_bytes;
        msg_unref(t->held[i]);
    }
    t->held_count -= count;
    memmove(t->held, t->held + count, t->held_count * sizeof(struct msg *));
    if (t->held_count)
        return;
    mem_free(t->held);
    t->held = NULL;
    t->held_capacity = 0;
}

bool redis_stream_release(struct redis_stream *t, struct redis_stream_context *x) {
    uint32_t done = 0;
    bool is_whole = !t->reads_again;
    t->reads_again = false;
    for (; done < t->held_count; done++) {
        struct msg *m = t->held[done];
        if (!m->position.offset)
            fanout_post(x->fanout, m);
        else if (!let_in(t, x, m))
            break;
    }
    is_whole &= done == t->held_count;
    if (t->held)
        forget_held(t, x, done);
    return is_whole;
}

void redis_stream_drop_held(struct redis_stream *t, struct redis_stream_context *x) {
    for (uint32_t i = 0; i < t->held_count; i++)
        if (!t->held[i]->position.offset)
            fanout_post(x->fanout, t->held[i]);
    if (t->held)
        forget_held(t, x, t->held_count);
    t->reads_again = false;
}

static bool can_be(const struct msg *m, const struct position *top) {
    return !m->position.offset ||
           (position_is_same_epoch(&m->position, top) && m->position.offset <= top->offset);
}

void redis_stream_drop_outdated(struct redis_stream *t, struct redis_stream_context *x,
                                uint32_t count, const struct position *top) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->held_count; i++) {
        struct msg *m = t->held[i];
        if (i >= count || can_be(m, top)) {
            t->held[kept++] = m;
            continue;
        }
        redis_count(position_is_same_epoch(&m->position, top) ? &x->shared->counters.garbage
                                                              : &x->shared->counters.duplicates);
        x->held_bytes -= m->size_bytes;
        t->held_bytes -= m->size_bytes;
        msg_unref(m);
    }
    t->held_count = kept;
}

void redis_stream_refill(struct redis_stream *t, struct redis_stream_context *x, struct msg *m) {
    enum arrival arrival = judge(t, &m->position);
    if (arrival == TOO_FAR) /* those in between are gone; the subscribers see it by the offset */
        redis_count(&x->shared->counters.lost);
    if (arrival != NEXT && arrival != TOO_FAR)
        return;
    redis_count(&x->shared->counters.refilled);
    deliver(t, x, m);
}
