/* See redis_tail.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_tail.h"

#include "channels/history.h"
#include "channels/redis_history.h"
#include "server/base/mem.h"

#include <string.h>

enum { TAIL_MAX_COUNT = 1000, TAIL_MAX_BYTES = 1 << 20 };

static void drop_first(struct redis_tail *t) {
    struct msg *m = t->items[t->first++];
    t->count--;
    t->bytes -= m->size_bytes;
    msg_unref(m);
}

void redis_tail_clear(struct redis_tail *t) {
    while (t->count)
        drop_first(t);
    mem_free(t->items);
    *t = (struct redis_tail){0};
}

static bool follows(const struct redis_tail *t, const struct msg *m) {
    const struct msg *last = redis_tail_last(t);
    return last && m->position.offset == last->position.offset + 1 &&
           position_is_same_epoch(&m->position, &last->position);
}

/* Room for one more: the items move to the front, or to more room. */
static void make_room(struct redis_tail *t) {
    if (t->first + t->count < t->capacity)
        return;
    if (t->first > t->capacity / 2) {
        memmove(t->items, t->items + t->first, t->count * sizeof(struct msg *));
    } else {
        uint32_t capacity = t->capacity ? t->capacity * 2 : 4;
        struct msg **items = mem_array(capacity, sizeof(*items));
        if (t->count)
            memcpy(items, t->items + t->first, t->count * sizeof(struct msg *));
        mem_free(t->items);
        t->items = items;
        t->capacity = capacity;
    }
    t->first = 0;
}

void redis_tail_push(struct redis_tail *t, struct msg *m, uint32_t max_count) {
    uint32_t max = max_count && max_count < TAIL_MAX_COUNT ? max_count : TAIL_MAX_COUNT;
    if (!follows(t, m))
        while (t->count)
            drop_first(t);
    make_room(t);
    t->items[t->first + t->count++] = msg_ref(m);
    t->bytes += m->size_bytes;
    while (t->count > 1 && (t->count > max || t->bytes > TAIL_MAX_BYTES))
        drop_first(t);
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool wants_newest(const struct history_reply *h) {
    return h->is_reverse && !h->has_since && h->limit == 1;
}

static bool wants_missed(const struct history_reply *h) {
    return !h->is_reverse && h->has_since;
}

bool redis_view_can_answer(const struct history_reply *h) {
    return wants_newest(h) || wants_missed(h) || (h->limit == 0 && !h->has_since);
}

/* From this item on, as many as the answer may have. */
static void give(const struct redis_view *v, struct history_reply *h, uint32_t first) {
    uint32_t count = v->count - first;
    size_t bytes = 0;
    bool is_all = count <= h->limit;
    if (!is_all)
        count = h->limit;
    h->is_cut = is_all && v->is_cut;
    if (count == 0)
        return;
    h->items = mem_array(count, sizeof(*h->items));
    for (; h->count < count; h->count++) {
        struct msg *m = v->items[first + h->count];
        bytes += m->size_bytes - sizeof(*m) + HISTORY_FRAME_BYTES;
        if (h->max_bytes && bytes > h->max_bytes && h->count) {
            h->is_cut = true;
            return;
        }
        h->items[h->count] = msg_ref(m);
    }
}

static bool give_missed(const struct redis_view *v, struct history_reply *h) {
    bool is_here = redis_position_is_in(&h->since, &v->top, &v->previous);
    uint32_t first = 0;
    if (!v->is_fresh && (!is_here || h->since.offset > v->top.offset))
        return false; /* who asks may know more than this node does yet */
    h->is_other_epoch = !is_here;
    if (!is_here || h->since.offset >= v->top.offset)
        return true;
    bool is_covered = h->since.offset >= v->from ||
                      (v->count && h->since.offset + 1 >= v->items[0]->position.offset);
    if (!is_covered)
        return false;
    while (first < v->count && v->items[first]->position.offset <= h->since.offset)
        first++;
    if (first == v->count && v->is_cut)
        return false; /* it ends before that */
    give(v, h, first);
    return true;
}

bool redis_view_answer(const struct redis_view *v, struct history_reply *h) {
    h->top = v->top;
    h->is_other_epoch = h->is_cut = false;
    h->items = NULL;
    h->count = 0;
    if (h->limit == 0 && !h->has_since)
        return true;
    if (wants_missed(h))
        return give_missed(v, h);
    if (!wants_newest(h) || !v->knows_newest)
        return false;
    if (v->count && v->items[v->count - 1]->position.offset == v->top.offset)
        give(v, h, v->count - 1);
    return true;
}
