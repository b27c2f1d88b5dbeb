/* Matching: see pattern.h. A walk over the text that keeps the set of operations the pattern could
 * be at (Thompson's method): no way is tried twice, so nothing takes exponential time.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/base/pattern_ops.h"

#include <string.h>

#define NO_CHARACTER UINT32_MAX

uint32_t pattern_decode(struct str s, size_t *length) {
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *length = str_utf8_length(s);
    if (*length == 0) { /* not well-formed: stands for itself */
        *length = 1;
        return PATTERN_CODE_POINT_MAX;
    }
    uint32_t c = (uint8_t)s.p[0] & masks[*length];
    for (size_t i = 1; i < *length; i++)
        c = c << 6 | ((uint8_t)s.p[i] & 0x3f);
    return c;
}

static bool is_word(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

struct walk {
    const struct pattern *p;
    uint32_t before, after; /* the characters around this place */
    bool is_matched;
    uint16_t todo_count, at_count;
    uint16_t todo[PATTERN_OPS_MAX];   /* reached, not looked at */
    uint16_t at[PATTERN_OPS_MAX];     /* sets that want the next character */
    bool is_reached[PATTERN_OPS_MAX]; /* at this place */
};

static void reach(struct walk *w, uint32_t op) {
    if (w->is_reached[op])
        return;
    w->is_reached[op] = true;
    w->todo[w->todo_count++] = (uint16_t)op;
}

static bool holds(const struct walk *w, enum pattern_op_type place) {
    if (place == PATTERN_BEGIN)
        return w->before == NO_CHARACTER;
    if (place == PATTERN_END)
        return w->after == NO_CHARACTER;
    bool is_edge = is_word(w->before) != is_word(w->after);
    return is_edge == (place == PATTERN_EDGE);
}

/* Follows everything that needs no character. */
static void settle(struct walk *w) {
    while (w->todo_count > 0) {
        uint16_t index = w->todo[--w->todo_count];
        const struct pattern_op *op = &w->p->ops[index];
        if (op->type == PATTERN_MATCH) {
            w->is_matched = true;
        } else if (op->type == PATTERN_SET) {
            w->at[w->at_count++] = index;
        } else if (op->type == PATTERN_JUMP || op->type == PATTERN_SPLIT) {
            reach(w, (uint32_t)(index + op->a));
            if (op->type == PATTERN_SPLIT)
                reach(w, (uint32_t)(index + op->b));
        } else if (holds(w, op->type)) {
            reach(w, index + 1u);
        }
    }
}

static bool is_in_set(const struct pattern *p, const struct pattern_op *set, uint32_t c) {
    const struct pattern_range *r = &p->ranges[set->a];
    bool is_in = false;
    for (int32_t i = 0; i < set->b && !is_in; i++)
        is_in = c >= r[i].first && c <= r[i].last;
    return is_in != set->is_negated;
}

/* From all places the pattern could be at to those behind the next character. */
static void step(struct walk *w) {
    uint16_t at_count = w->at_count;
    w->at_count = 0;
    memset(w->is_reached, 0, w->p->op_count);
    for (uint16_t i = 0; i < at_count; i++)
        if (is_in_set(w->p, &w->p->ops[w->at[i]], w->after))
            reach(w, w->at[i] + 1u);
}

bool pattern_matches(const struct pattern *p, struct str text) {
    struct walk w;
    w.p = p;
    w.is_matched = false;
    w.todo_count = w.at_count = 0;
    w.after = NO_CHARACTER;
    memset(w.is_reached, 0, p->op_count);
    for (;;) {
        size_t length = 0;
        w.before = w.after;
        w.after = text.n ? pattern_decode(text, &length) : NO_CHARACTER;
        reach(&w, 0); /* a match may begin anywhere */
        settle(&w);
        if (w.is_matched || text.n == 0)
            return w.is_matched;
        text = str_slice(text, length, text.n);
        step(&w);
    }
}
