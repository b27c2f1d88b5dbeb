/* Reading what json_scan() found valid, and writing strings: the rest of json_scan.h.
 *
 * The text is known to be valid, so finding the end of a value needs no grammar: a string ends at
 * the next quote without a backslash before it, anything nested ends at its matching bracket.
 * Still, no byte behind the value is read, whatever the text.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/base/json_scan.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

typedef const char *cursor;

static cursor skip_space(cursor p, cursor end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* The next quote or backslash. For the arithmetic see mark_special() in json_scan.c; here bytes
 * above 0x7f are common and must not be marked. */
static cursor find_quote(cursor p, cursor end) {
    const uint64_t ones = 0x0101010101010101u;
    for (uint64_t word; end - p >= 8; p += 8) {
        memcpy(&word, p, sizeof(word));
        word = le64toh(word);
        uint64_t quote = (word ^ (ones * '"')) - ones;
        uint64_t backslash = (word ^ (ones * '\\')) - ones;
        uint64_t marks = (quote | backslash) & ~word & (ones * 0x80);
        if (marks)
            return p + __builtin_ctzll(marks) / 8;
    }
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* p is after the opening quote; stops after the closing one. */
static cursor skip_string(cursor p, cursor end, bool *has_escape) {
    *has_escape = false;
    for (;;) {
        p = find_quote(p, end);
        if (p == end)
            return p;
        if (*p == '"')
            return p + 1;
        *has_escape = true;
        p += end - p >= 2 ? 2 : 1;
    }
}

/* p is at an opening bracket; stops after the matching one. */
static cursor skip_nested(cursor p, cursor end) {
    size_t depth = 0;
    bool has_escape;
    do {
        char c = *p++;
        if (c == '"')
            p = skip_string(p, end, &has_escape);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
    } while (depth && p < end);
    return p;
}

/* A number, or one of the three words. */
static cursor skip_word(cursor p, cursor end) {
    while (p<end && * p> ' ' && *p != ',' && *p != ']' && *p != '}')
        p++;
    return p;
}

enum json_kind json_kind_of(char first) {
    switch (first) {
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case '"':
        return JSON_KIND_STRING;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case 'n':
        return JSON_KIND_NULL;
    default:
        return JSON_KIND_NUMBER;
    }
}

static bool has_newline(struct str s) {
    return str_find(s, '\n') < s.n || str_find(s, '\r') < s.n;
}

/* Takes the value at p, which is inside `of`; returns what is behind it. */
static cursor read_value(struct json_value of, cursor p, struct json_value *out) {
    cursor end = of.text.p + of.text.n, start = p;
    bool has_escape = false;
    enum json_kind kind = json_kind_of(*p);
    if (kind == JSON_KIND_STRING)
        p = skip_string(p + 1, end, &has_escape);
    else if (kind == JSON_KIND_OBJECT || kind == JSON_KIND_ARRAY)
        p = skip_nested(p, end);
    else
        p = skip_word(p, end);
    *out = (struct json_value){{start, (size_t)(p - start)}, kind, has_escape, false};
    /* Only what is nested can have white space inside. */
    if (of.has_newline && kind >= JSON_KIND_ARRAY)
        out->has_newline = has_newline(out->text);
    return p;
}

/* What stands between the quotes. */
static struct str inside_of(struct json_value string) {
    return (struct str){string.text.p + 1, string.text.n - 2};
}

bool json_each(struct json_value container, size_t *at, struct json_value *key,
               struct json_value *value) {
    assert(container.kind == JSON_KIND_ARRAY || container.kind == JSON_KIND_OBJECT);
    cursor p = container.text.p + *at, end = container.text.p + container.text.n;
    if (p == end)
        return false;
    /* At the opening bracket, or behind a value: then a comma or the closing bracket comes. */
    if (*at > 0)
        p = skip_space(p, end);
    p = skip_space(p + 1, end);
    if (p >= end || *p == ']' || *p == '}') {
        *at = container.text.n;
        return false;
    }
    if (container.kind == JSON_KIND_OBJECT) {
        p = skip_space(read_value(container, p, key), end);
        p = skip_space(p + 1, end); /* the colon */
    }
    p = read_value(container, p, value);
    *at = (size_t)(p - container.text.p);
    return true;
}

static struct json_field *find_field(struct str name, struct json_field *fields,
                                     size_t field_count) {
    for (size_t i = 0; i < field_count; i++)
        if (str_equal(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* The one of the fields that this key names, or NULL. */
static struct json_field *find_field_of(struct json_value key, struct json_field *fields,
                                        size_t field_count) {
    if (!key.has_escape)
        return find_field(inside_of(key), fields, field_count);
    struct buf scratch = {0};
    struct json_field *found = find_field(json_decode(key, &scratch), fields, field_count);
    buf_fini(&scratch);
    return found;
}

bool json_fields(struct json_value object, struct json_field *fields, size_t field_count,
                 struct json_fault *fault) {
    struct json_value key, value;
    assert(object.kind == JSON_KIND_OBJECT);
    for (size_t i = 0; i < field_count; i++)
        fields[i].value = (struct json_value){0};
    for (size_t at = 0; json_each(object, &at, &key, &value);) {
        struct json_field *field = find_field_of(key, fields, field_count);
        if (!field)
            continue;
        if (field->value.kind != JSON_KIND_MISSING) {
            *fault =
                (struct json_fault){"member occurs twice", (size_t)(key.text.p - object.text.p)};
            return false;
        }
        field->value = value;
    }
    return true;
}

static uint32_t hex4(cursor p) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value * 16 + (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return value;
}

static void add_utf8(struct buf *b, uint32_t c) {
    char *to = buf_reserve(b, 4);
    unsigned tail_count = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0x00, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(lead[tail_count] | (c >> 6 * tail_count));
    for (unsigned i = 1; i <= tail_count; i++)
        to[i] = (char)(0x80 | (c >> 6 * (tail_count - i) & 0x3f));
    b->n += tail_count + 1;
}

/* p is at the backslash; returns what is behind the escape. */
static cursor decode_escape(struct buf *b, cursor p) {
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    if (p[1] == 'u') {
        uint32_t c = hex4(p + 2);
        if (c < 0xd800 || c > 0xdfff) {
            add_utf8(b, c);
            return p + 6;
        }
        add_utf8(b, 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 8) - 0xdc00));
        return p + 12;
    }
    const char *letter = strchr(letters, p[1]);
    buf_add_char(b, letter ? bytes[letter - letters] : p[1]);
    return p + 2;
}

struct str json_decode(struct json_value string, struct buf *scratch) {
    assert(string.kind == JSON_KIND_STRING && string.text.n >= 2);
    struct str inside = inside_of(string);
    buf_clear(scratch);
    if (!string.has_escape)
        return inside;
    while (inside.n) {
        size_t plain = str_find(inside, '\\');
        buf_add(scratch, (struct str){inside.p, plain});
        inside = str_slice(inside, plain, inside.n);
        if (inside.n)
            inside =
                str_slice(inside, (size_t)(decode_escape(scratch, inside.p) - inside.p), inside.n);
    }
    return buf_str(scratch);
}

bool json_u64(struct json_value number, uint64_t max, uint64_t *out) {
    uint64_t v;
    if (number.kind != JSON_KIND_NUMBER || !str_to_u64(number.text, &v) || v > max)
        return false;
    *out = v;
    return true;
}

bool json_i64(struct json_value number, int64_t *out) {
    if (number.kind != JSON_KIND_NUMBER)
        return false;
    bool is_negative = number.text.p[0] == '-';
    struct str digits = str_slice(number.text, is_negative, number.text.n);
    uint64_t v;
    if (!str_to_u64(digits, &v) || v > (uint64_t)INT64_MAX + is_negative)
        return false;
    /* -2^63 has no positive counterpart, so the minus is applied before the cast. */
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static void add_escaped(struct buf *b, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    static const char bytes[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *known = c ? strchr(bytes, c) : NULL;
    buf_add_char(b, '\\');
    if (known) {
        buf_add_char(b, letters[known - bytes]);
        return;
    }
    buf_add(b, STR("u00"));
    buf_add_char(b, hex[c >> 4]);
    buf_add_char(b, hex[c & 15]);
}

void json_add_string(struct buf *b, struct str s) {
    size_t from = 0;
    buf_reserve(b, s.n + 2);
    buf_add_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(b, str_slice(s, from, i));
        add_escaped(b, c);
        from = i + 1;
    }
    buf_add(b, str_slice(s, from, s.n));
    buf_add_char(b, '"');
}

void json_add_line(struct buf *b, struct json_value value) {
    struct str rest = value.text;
    if (!value.has_newline) {
        buf_add(b, rest);
        return;
    }
    /* A string cannot have a raw CR or LF, so each one in the text is between tokens. */
    size_t from = 0;
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] != '\r' && rest.p[i] != '\n')
            continue;
        buf_add(b, str_slice(rest, from, i));
        from = i + 1;
    }
    buf_add(b, str_slice(rest, from, rest.n));
}
