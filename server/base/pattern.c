/* Compiling regular expressions: see pattern.h. A parser by recursive descent that writes
 * operations as it goes; what is repeated is copied, so the number of operations is limited.
 *
 * Thread: any (no state). Owns: see pattern.h.
 */
#include "server/base/pattern.h"

#include "server/base/mem.h"
#include "server/base/pattern_ops.h"

#include <string.h>

#define REPEAT_MAX 1000u /* Go's */
#define DEPTH_MAX 100u
#define ENDLESS UINT32_MAX

/* ---- compiling ---- */

struct compiler {
    struct pattern *p;
    struct str rest;
    uint32_t depth;
    const char *why; /* NULL: good so far */
};

static bool fail(struct compiler *c, const char *why) {
    if (!c->why)
        c->why = why;
    return false;
}

/* Moves what is at index and behind to make room for one operation. */
static void insert(struct compiler *c, uint32_t index, struct pattern_op op) {
    struct pattern *p = c->p;
    if (p->op_count == PATTERN_OPS_MAX) {
        fail(c, "it is too large, or repeats too much");
        return;
    }
    p->ops = mem_realloc(p->ops, (p->op_count + 1) * sizeof(p->ops[0]));
    memmove(&p->ops[index + 1], &p->ops[index], (p->op_count - index) * sizeof(p->ops[0]));
    p->ops[index] = op;
    p->op_count++;
}

static void emit(struct compiler *c, struct pattern_op op) {
    insert(c, c->p->op_count, op);
}

static void add_range(struct compiler *c, uint32_t first, uint32_t last) {
    struct pattern *p = c->p;
    p->ranges = mem_realloc(p->ranges, (p->range_count + 1) * sizeof(p->ranges[0]));
    p->ranges[p->range_count++] = (struct pattern_range){first, last};
}

/* A set of the ranges added since the first. */
static void emit_set(struct compiler *c, uint32_t first, bool is_negated) {
    int32_t count = (int32_t)(c->p->range_count - first);
    emit(c, (struct pattern_op){PATTERN_SET, is_negated, (int32_t)first, count});
}

static bool is_next(const struct compiler *c, char byte) {
    return c->rest.n && c->rest.p[0] == byte;
}

static void skip(struct compiler *c, size_t n) {
    c->rest = str_slice(c->rest, n, c->rest.n);
}

static bool accept(struct compiler *c, const char *word) {
    if (!str_starts(c->rest, str_of(word)))
        return false;
    skip(c, strlen(word));
    return true;
}

/* ---- classes ---- */

struct class {
    const char *name;               /* \d has the name d */
    struct pattern_range ranges[4]; /* in order; ends at 4 or with a zero */
};

static const struct class classes[] = {
    {"d", {{'0', '9'}}},
    {"s", {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}},
    {"w", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
    {"ascii", {{0, 0x7f}}},
    {"blank", {{'\t', '\t'}, {' ', ' '}}},
    {"cntrl", {{0, 0x1f}, {0x7f, 0x7f}}},
    {"digit", {{'0', '9'}}},
    {"graph", {{'!', '~'}}},
    {"lower", {{'a', 'z'}}},
    {"print", {{' ', '~'}}},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
    {"space", {{'\t', '\r'}, {' ', ' '}}},
    {"upper", {{'A', 'Z'}}},
    {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
};

/* Adds the ranges of the class, or those between them. False when there is none of the name. */
static bool add_class(struct compiler *c, struct str name, bool is_negated) {
    uint32_t next = 0;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        const struct pattern_range *r = classes[i].ranges;
        if (!str_equal(name, str_of(classes[i].name)))
            continue;
        for (size_t k = 0; k < 4 && r[k].last; k++) {
            if (!is_negated)
                add_range(c, r[k].first, r[k].last);
            else if (r[k].first > next)
                add_range(c, next, r[k].first - 1);
            next = r[k].last + 1;
        }
        if (is_negated)
            add_range(c, next, PATTERN_CODE_POINT_MAX);
        return true;
    }
    return false;
}

/* \d and so on; \D is what is not \d. */
static bool accept_short_class(struct compiler *c) {
    if (c->rest.n < 2 || c->rest.p[0] != '\\' || !strchr("dDsSwW", c->rest.p[1]) || !c->rest.p[1])
        return false;
    char letter = (char)(c->rest.p[1] | 0x20);
    add_class(c, (struct str){&letter, 1}, letter != c->rest.p[1]);
    skip(c, 2);
    return true;
}

static bool is_alnum(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}

static bool accept_hex_digit(struct compiler *c, uint32_t *value) {
    static const char digits[] = "0123456789abcdef";
    char byte = c->rest.n ? c->rest.p[0] : 0;
    if (byte >= 'A' && byte <= 'F')
        byte = (char)(byte | 0x20);
    const char *at = byte ? strchr(digits, byte) : NULL;
    if (!at)
        return false;
    *value = *value << 4 | (uint32_t)(at - digits);
    skip(c, 1);
    return true;
}

/* What follows \x: two digits, or some in braces. */
static bool parse_hex(struct compiler *c, uint32_t *out) {
    uint32_t value = 0;
    bool is_braced = accept(c, "{");
    size_t count = 0, max = is_braced ? 8 : 2;
    while (count < max && accept_hex_digit(c, &value))
        count++;
    bool is_good =
        is_braced ? count > 0 && value <= PATTERN_CODE_POINT_MAX && accept(c, "}") : count == max;
    *out = value;
    return is_good || fail(c, "\\x needs two digits, or digits in {}");
}

/* What follows the backslash. */
static bool parse_escape(struct compiler *c, uint32_t *out) {
    static const char letters[] = "afnrtv", meanings[] = "\a\f\n\r\t\v";
    char byte = c->rest.n ? c->rest.p[0] : 0;
    const char *letter = byte ? strchr(letters, byte) : NULL;
    if (!byte || (unsigned char)byte >= 0x80)
        return fail(c, "\\ stands before nothing that it could mean");
    skip(c, 1);
    if (byte == 'x')
        return parse_hex(c, out);
    if (byte == 'p' || byte == 'P')
        return fail(c, "\\p, a class of Unicode, is not supported; write ranges, [a-zà-ü]");
    if (is_alnum(byte) && !letter)
        return fail(c, "\\ stands before a letter or digit that has no such meaning here");
    *out = (uint8_t)(letter ? meanings[letter - letters] : byte);
    return true;
}

static bool parse_character(struct compiler *c, uint32_t *out) {
    size_t length;
    if (accept(c, "\\"))
        return parse_escape(c, out);
    *out = pattern_decode(c->rest, &length);
    skip(c, length);
    return true;
}

/* [:alpha:] and [:^alpha:] inside of a class. False when there is none; it may have failed. */
static bool accept_named_class(struct compiler *c) {
    const char *end =
        str_starts(c->rest, STR("[:")) ? memmem(c->rest.p + 2, c->rest.n - 2, ":]", 2) : NULL;
    if (!end)
        return false;
    struct str name = str_slice(c->rest, 2, (size_t)(end - c->rest.p));
    bool is_negated = str_starts(name, STR("^"));
    skip(c, name.n + 4);
    if (!add_class(c, str_slice(name, is_negated, name.n), is_negated) || name.n - is_negated < 2)
        fail(c, "there is no such class as between [: and :]");
    return true;
}

/* One character or a range of them. */
static bool parse_class_range(struct compiler *c) {
    uint32_t first, last;
    if (!parse_character(c, &first))
        return false;
    last = first;
    if (c->rest.n >= 2 && is_next(c, '-') && c->rest.p[1] != ']') {
        skip(c, 1);
        if (!parse_character(c, &last))
            return false;
    }
    if (last < first)
        return fail(c, "a range in [] ends before it begins");
    add_range(c, first, last);
    return true;
}

/* What follows the [. */
static bool parse_class(struct compiler *c) {
    uint32_t first = c->p->range_count;
    bool is_negated = accept(c, "^");
    for (bool is_first = true; is_first || !is_next(c, ']'); is_first = false) {
        if (c->rest.n == 0)
            return fail(c, "a [ is not closed");
        if (!accept_named_class(c) && !accept_short_class(c) && !parse_class_range(c))
            return false;
        if (c->why)
            return false;
    }
    skip(c, 1);
    emit_set(c, first, is_negated);
    return true;
}

/* ---- atoms ---- */

static bool parse_alternatives(struct compiler *c);

/* What follows the (. */
static bool parse_group(struct compiler *c) {
    if (is_next(c, '?') && !accept(c, "?:"))
        return fail(c, "(? begins something that is not supported (flags, names, looking ahead); "
                       "( and (?: begin groups");
    if (++c->depth > DEPTH_MAX)
        return fail(c, "it has too many groups in each other");
    if (!parse_alternatives(c))
        return false;
    c->depth--;
    return accept(c, ")") || fail(c, "a ( is not closed");
}

/* Places instead of characters. */
static bool accept_place(struct compiler *c) {
    static const struct {
        const char *text;
        enum pattern_op_type type;
    } places[] = {{"^", PATTERN_BEGIN}, {"$", PATTERN_END},    {"\\A", PATTERN_BEGIN},
                  {"\\z", PATTERN_END}, {"\\b", PATTERN_EDGE}, {"\\B", PATTERN_NO_EDGE}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (accept(c, places[i].text)) {
            emit(c, (struct pattern_op){.type = places[i].type});
            return true;
        }
    }
    return false;
}

static bool parse_atom(struct compiler *c) {
    uint32_t character, first = c->p->range_count;
    if (accept(c, "("))
        return parse_group(c);
    if (accept(c, "["))
        return parse_class(c);
    if (accept_place(c))
        return true;
    if (accept(c, ".")) {
        add_range(c, '\n', '\n');
        emit_set(c, first, true);
        return true;
    }
    if (!accept_short_class(c)) {
        if (!parse_character(c, &character))
            return false;
        add_range(c, character, character);
    }
    emit_set(c, first, false);
    return true;
}

/* ---- repeating ---- */

struct repeat {
    uint32_t min, max;
};

/* Decimal digits; too many of them are just a large number. */
static bool accept_number(struct str *s, uint32_t *out) {
    size_t n = 0;
    uint64_t value = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        value = value > REPEAT_MAX ? value : value * 10 + (uint64_t)(s->p[n] - '0');
    *s = str_slice(*s, n, s->n);
    *out = (uint32_t)value;
    return n > 0;
}

/* {2}, {2,} or {2,5}; anything else that begins with { is text. */
static bool accept_braces(struct compiler *c, struct repeat *r) {
    struct str s = c->rest;
    if (s.n == 0 || s.p[0] != '{')
        return false;
    s = str_slice(s, 1, s.n);
    if (!accept_number(&s, &r->min))
        return false;
    r->max = r->min;
    if (str_starts(s, STR(","))) {
        s = str_slice(s, 1, s.n);
        if (!accept_number(&s, &r->max))
            r->max = ENDLESS;
    }
    if (!str_starts(s, STR("}")))
        return false;
    c->rest = str_slice(s, 1, s.n);
    return true;
}

static bool accept_repeat(struct compiler *c, struct repeat *r) {
    if (accept(c, "*"))
        *r = (struct repeat){0, ENDLESS};
    else if (accept(c, "+"))
        *r = (struct repeat){1, ENDLESS};
    else if (accept(c, "?"))
        *r = (struct repeat){0, 1};
    else if (!accept_braces(c, r))
        return false;
    return true;
}

static void emit_copy(struct compiler *c, const struct pattern_op *ops, uint32_t count) {
    for (uint32_t i = 0; i < count && !c->why; i++)
        emit(c, ops[i]);
}

/* Replaces the operations from start on by as many copies as asked for. */
static void repeat(struct compiler *c, uint32_t start, struct repeat r) {
    uint32_t count = c->p->op_count - start;
    struct pattern_op *ops = mem_array(count + 1, sizeof(ops[0]));
    int32_t far = (int32_t)count;
    if (count)
        memcpy(ops, &c->p->ops[start], count * sizeof(ops[0]));
    c->p->op_count = start;
    for (uint32_t i = 0; i < r.min && !c->why; i++)
        emit_copy(c, ops, count);
    if (r.max == ENDLESS) {
        emit(c, (struct pattern_op){PATTERN_SPLIT, false, 1, far + 2});
        emit_copy(c, ops, count);
        emit(c, (struct pattern_op){PATTERN_JUMP, false, -far - 1, 0});
    }
    for (uint32_t i = r.min; r.max != ENDLESS && i < r.max && !c->why; i++) {
        emit(c, (struct pattern_op){PATTERN_SPLIT, false, 1, far + 1});
        emit_copy(c, ops, count);
    }
    mem_free(ops);
}

/* An atom and how often. */
static bool parse_piece(struct compiler *c) {
    uint32_t start = c->p->op_count;
    struct repeat r;
    if (accept_repeat(c, &r))
        return fail(c, "a repetition such as * has nothing before it");
    if (!parse_atom(c))
        return false;
    if (!accept_repeat(c, &r))
        return true;
    accept(c, "?");
    if (r.min > REPEAT_MAX || (r.max != ENDLESS && (r.max > REPEAT_MAX || r.max < r.min)))
        return fail(c, "{} must be two numbers in order, at most 1000");
    repeat(c, start, r);
    if (accept_repeat(c, &r))
        return fail(c, "a repetition such as * stands behind another");
    return true;
}

static bool parse_alternatives(struct compiler *c) {
    uint32_t start = c->p->op_count;
    while (c->rest.n && !is_next(c, '|') && !is_next(c, ')'))
        if (!parse_piece(c) || c->why)
            return false;
    if (!accept(c, "|"))
        return true;
    int32_t length = (int32_t)(c->p->op_count - start);
    insert(c, start, (struct pattern_op){PATTERN_SPLIT, false, 1, length + 2});
    uint32_t jump = c->p->op_count;
    emit(c, (struct pattern_op){.type = PATTERN_JUMP});
    if (c->why || !parse_alternatives(c))
        return false;
    c->p->ops[jump].a = (int32_t)(c->p->op_count - jump);
    return true;
}

struct pattern *pattern_create(struct str source, const char **why) {
    struct compiler c = {.p = mem_zalloc(sizeof(struct pattern)), .rest = source};
    if (!str_is_utf8(source))
        fail(&c, "it is no UTF-8");
    else if (parse_alternatives(&c) && c.rest.n)
        fail(&c, "a ) closes nothing");
    emit(&c, (struct pattern_op){.type = PATTERN_MATCH});
    if (!c.why)
        return c.p;
    *why = c.why;
    pattern_destroy(c.p);
    return NULL;
}

void pattern_destroy(struct pattern *p) {
    if (!p)
        return;
    mem_free(p->ops);
    mem_free(p->ranges);
    mem_free(p);
}
