/* Random JSON texts for tests, valid or damaged.
 *
 * The sequence depends on the seed alone, so a failure can be repeated. Valid texts have all kinds
 * of values, white space, escapes and characters of 1 to 4 bytes; names within one object differ.
 *
 * Thread: one at a time. Owns: nothing.
 */
#ifndef CARILLON_TESTS_RANDOM_JSON_H
#define CARILLON_TESTS_RANDOM_JSON_H

#include "server/base/buf.h"

#include <string.h>

struct random {
    uint64_t state; /* not 0 */
};

/* xorshift64* */
static inline uint32_t random_below(struct random *r, uint32_t n) {
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 2685821657736338717u) >> 33) % n;
}

static inline void random_pick(struct random *r, struct buf *b, const char *const *from,
                               uint32_t n) {
    buf_add_z(b, from[random_below(r, n)]);
}

static inline void random_space(struct random *r, struct buf *b) {
    static const char *const spaces[] = {" ", "\t", "\n", "\r\n", "  "};
    if (random_below(r, 4) == 0)
        random_pick(r, b, spaces, 5);
}

static inline void random_number(struct random *r, struct buf *b) {
    static const char *const numbers[] = {
        "0",
        "-0",
        "7",
        "-12",
        "0.5",
        "-0.25",
        "1e3",
        "1E+2",
        "12e-4",
        "2.5E-7",
        "123456",
        "4294967",
        "9007199254740993",
    };
    random_pick(r, b, numbers, 13);
}

/* What stands between the quotes. */
static inline void random_text(struct random *r, struct buf *b) {
    static const char *const pieces[] = {
        "a",
        "Z",
        "channel:news",
        " ",
        "the quick brown fox",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\b\\f\\r\\t",
        "\\u20AC",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\xed\x9f\xbf\xee\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "\x7f",
        "{}[],:",
        "\xd0\xbf\xd1\x80",
    };
    for (uint32_t i = random_below(r, 7); i > 0; i--)
        random_pick(r, b, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

static inline void random_value(struct random *r, struct buf *b, uint32_t depth_max);

static inline void random_list(struct random *r, struct buf *b, uint32_t depth_max,
                               bool is_object) {
    buf_add_char(b, is_object ? '{' : '[');
    random_space(r, b);
    uint32_t count = random_below(r, 5);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(b, ',');
        random_space(r, b);
        if (is_object) {
            buf_printf(b, "\"%u", i);
            random_text(r, b);
            buf_add_char(b, '"');
            random_space(r, b);
            buf_add_char(b, ':');
            random_space(r, b);
        }
        random_value(r, b, depth_max);
        random_space(r, b);
    }
    buf_add_char(b, is_object ? '}' : ']');
}

/* Appends one valid value that nests at most depth_max deep. */
static inline void random_value(struct random *r, struct buf *b, uint32_t depth_max) {
    static const char *const words[] = {"true", "false", "null"};
    uint32_t kind = random_below(r, depth_max ? 8 : 4);
    if (kind == 0) {
        random_pick(r, b, words, 3);
    } else if (kind == 1) {
        random_number(r, b);
    } else if (kind < 4) {
        buf_add_char(b, '"');
        random_text(r, b);
        buf_add_char(b, '"');
    } else {
        random_list(r, b, depth_max - 1, kind < 6);
    }
}

/* Changes, drops or doubles a byte, or cuts the text. */
static inline void random_damage(struct random *r, struct buf *b) {
    static const char bytes[] = "\"\\{}[],:0-+.eEtfnu \n\t\x01\x1f\x7f\x80\xbf\xc0\xc2\xe0\xed"
                                "\xf0\xf4\xf5\xff/a";
    if (b->n == 0)
        return;
    size_t at = random_below(r, (uint32_t)b->n);
    switch (random_below(r, 4)) {
    case 0:
        b->n = at;
        break;
    case 1:
        memmove(b->p + at, b->p + at + 1, b->n - at - 1);
        b->n--;
        break;
    case 2:
        buf_add_char(b, 0);
        memmove(b->p + at + 1, b->p + at, b->n - at - 1);
        break;
    default:
        /* The zero byte at the end of the list is one of them. */
        b->p[at] = bytes[random_below(r, sizeof(bytes))];
    }
}

#endif
