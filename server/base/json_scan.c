/* The strict scanner of json_scan.h: json_scan() and json_scan_all(). Reading what has been scanned
 * is in json_read.c.
 *
 * One pass, no recursion and no allocation: a bitmap remembers for each open level whether it is an
 * object. Functions that scan something take a pointer to where it begins and return the pointer
 * behind it, or NULL after fail(). Strings are most of the bytes, so skip_plain() looks at eight at
 * a time; UTF-8 is checked only where a byte has its high bit set.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/base/json_scan.h"

#include <endian.h>
#include <string.h>

typedef const unsigned char *cursor;

struct scan {
    cursor begin, end;
    struct json_fault fault;
    bool has_escape;
    bool has_newline;
    bool in_object;                          /* the innermost open level is an object */
    unsigned depth;                          /* open levels */
    uint64_t is_object[JSON_DEPTH_MAX / 64]; /* one bit per open level */
};

static cursor fail(struct scan *s, const char *what, cursor at) {
    s->fault = (struct json_fault){what, (size_t)(at - s->begin)};
    return NULL;
}

/* What stands at p cannot be there. */
static cursor fail_unexpected(struct scan *s, cursor p) {
    return fail(s, p == s->end ? "unexpected end" : "unexpected character", p);
}

static cursor skip_space(struct scan *s, cursor p) {
    for (; p < s->end && *p <= ' '; p++) {
        if (*p == '\n' || *p == '\r')
            s->has_newline = true;
        else if (*p != ' ' && *p != '\t')
            break;
    }
    return p;
}

/* Sets the high bit of each byte of a little-endian word that ends or interrupts a plain run:
 * quote, backslash, below 0x20, above 0x7f. A borrow can only set a bit above one that is rightly
 * set, so the lowest bit set is exact. */
static uint64_t mark_special(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = (word ^ (ones * '"')) - ones;
    uint64_t backslash = (word ^ (ones * '\\')) - ones;
    uint64_t control = word - ones * 0x20;
    return (quote | backslash | control | word) & (ones * 0x80);
}

/* Skips ASCII that needs no second look. */
static cursor skip_plain(cursor p, cursor end) {
    for (uint64_t word; end - p >= 8; p += 8) {
        memcpy(&word, p, sizeof(word));
        uint64_t marks = mark_special(le64toh(word));
        if (marks)
            return p + __builtin_ctzll(marks) / 8;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static cursor scan_utf8(struct scan *s, cursor p) {
    do {
        size_t length = str_utf8_length((struct str){(const char *)p, (size_t)(s->end - p)});
        if (length == 0)
            return fail(s, "invalid UTF-8", p);
        p += length;
    } while (p < s->end && *p >= 0x80);
    return p;
}

/* The value of four hex digits, or -1. */
static int hex4(cursor p, cursor end) {
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 0x20;
        if (p[i] >= '0' && p[i] <= '9')
            value = value * 16 + p[i] - '0';
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + c - 'a' + 10;
        else
            return -1;
    }
    return value;
}

/* p is at the backslash. A high surrogate must be followed by an escaped low one. */
static cursor scan_escape(struct scan *s, cursor p) {
    s->has_escape = true;
    if (s->end - p < 2)
        return fail(s, "unexpected end", s->end);
    if (p[1] != 'u')
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? p + 2 : fail(s, "invalid escape", p);
    int unit = hex4(p + 2, s->end);
    if (unit < 0)
        return fail(s, "invalid escape", p);
    if (unit < 0xd800 || unit > 0xdfff)
        return p + 6;
    bool has_pair = unit < 0xdc00 && s->end - p >= 12 && p[6] == '\\' && p[7] == 'u';
    int low = has_pair ? hex4(p + 8, s->end) : -1;
    return low >= 0xdc00 && low <= 0xdfff ? p + 12 : fail(s, "lone surrogate", p);
}

/* p is after the opening quote. */
static cursor scan_string(struct scan *s, cursor p) {
    while (p) {
        p = skip_plain(p, s->end);
        if (p == s->end)
            return fail(s, "unexpected end", p);
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p = scan_escape(s, p);
        else if (*p >= 0x80)
            p = scan_utf8(s, p);
        else
            return fail(s, "control character in a string", p);
    }
    return NULL;
}

/* At least one digit. */
static cursor scan_digits(struct scan *s, cursor p) {
    cursor start = p;
    while (p < s->end && *p >= '0' && *p <= '9')
        p++;
    if (p == start)
        return fail(s, p == s->end ? "unexpected end" : "invalid number", p);
    return p;
}

static cursor scan_number(struct scan *s, cursor p) {
    if (*p == '-')
        p++;
    p = p < s->end && *p == '0' ? p + 1 : scan_digits(s, p);
    if (p && p < s->end && *p == '.')
        p = scan_digits(s, p + 1);
    if (p && p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(s, p);
    }
    return p;
}

static cursor scan_word(struct scan *s, cursor p, struct str word) {
    for (size_t i = 0; i < word.n; i++)
        if (p + i == s->end || p[i] != (unsigned char)word.p[i])
            return fail_unexpected(s, p + i);
    return p + word.n;
}

static cursor scan_scalar(struct scan *s, cursor p) {
    switch (*p) {
    case '"':
        return scan_string(s, p + 1);
    case 't':
        return scan_word(s, p, STR("true"));
    case 'f':
        return scan_word(s, p, STR("false"));
    case 'n':
        return scan_word(s, p, STR("null"));
    default:
        if (*p == '-' || (*p >= '0' && *p <= '9'))
            return scan_number(s, p);
        return fail_unexpected(s, p);
    }
}

/* A member's name, the colon, and the white space around them. */
static cursor scan_name(struct scan *s, cursor p) {
    p = skip_space(s, p);
    if (p == s->end || *p != '"')
        return fail_unexpected(s, p);
    p = scan_string(s, p + 1);
    if (!p)
        return NULL;
    p = skip_space(s, p);
    if (p == s->end || *p != ':')
        return fail_unexpected(s, p);
    return p + 1;
}

static void push(struct scan *s, bool is_object) {
    uint64_t bit = (uint64_t)1 << (s->depth % 64);
    uint64_t *word = &s->is_object[s->depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    s->in_object = is_object;
    s->depth++;
}

static void pop(struct scan *s) {
    s->depth--;
    unsigned top = s->depth - 1;
    s->in_object = s->depth && (s->is_object[top / 64] >> (top % 64) & 1);
}

/* p is at an opening bracket. Stops where the first value of the level is due, or behind the
 * closing bracket when there is none. */
static cursor scan_open(struct scan *s, cursor p, bool *is_empty) {
    bool is_object = *p == '{';
    if (s->depth == JSON_DEPTH_MAX)
        return fail(s, "nested too deep", p);
    p = skip_space(s, p + 1);
    *is_empty = p < s->end && *p == (is_object ? '}' : ']');
    if (*is_empty)
        return p + 1;
    push(s, is_object);
    return is_object ? scan_name(s, p) : p;
}

/* Behind a value: closes levels until one goes on with a comma, and stops where its next value is
 * due; or closes the last one. */
static cursor scan_rest(struct scan *s, cursor p) {
    while (s->depth) {
        p = skip_space(s, p);
        if (p == s->end)
            return fail_unexpected(s, p);
        if (*p == ',')
            return s->in_object ? scan_name(s, p + 1) : p + 1;
        if (*p != (s->in_object ? '}' : ']'))
            return fail_unexpected(s, p);
        pop(s);
        p++;
    }
    return p;
}

/* One value that starts at p, with all that is inside. */
static cursor scan_value(struct scan *s, cursor p) {
    do {
        p = skip_space(s, p);
        if (p == s->end)
            return fail_unexpected(s, p);
        bool is_complete = true;
        if (*p == '{' || *p == '[')
            p = scan_open(s, p, &is_complete);
        else
            p = scan_scalar(s, p);
        if (p && is_complete)
            p = scan_rest(s, p);
    } while (p && s->depth);
    return p;
}

size_t json_scan(struct str text, struct json_value *out, struct json_fault *fault) {
    struct scan s = {.begin = (cursor)(text.n ? text.p : "")};
    s.end = s.begin + text.n;
    cursor start = skip_space(&s, s.begin);
    /* Only what comes from inside the value counts. */
    s.has_newline = s.has_escape = false;
    cursor end = scan_value(&s, start);
    if (!end) {
        *fault = s.fault;
        return 0;
    }
    enum json_kind kind = json_kind_of((char)*start);
    *out = (struct json_value){
        .text = {(const char *)start, (size_t)(end - start)},
        .kind = kind,
        .has_escape = kind == JSON_KIND_STRING && s.has_escape,
        .has_newline = s.has_newline,
    };
    return (size_t)(end - s.begin);
}

bool json_scan_all(struct str text, struct json_value *out, struct json_fault *fault) {
    struct json_value value;
    size_t at = json_scan(text, &value, fault);
    if (at == 0)
        return false;
    while (at < text.n && memchr(" \t\r\n", text.p[at], 4))
        at++;
    if (at < text.n) {
        *fault = (struct json_fault){"unexpected character", at};
        return false;
    }
    *out = value;
    return true;
}
