/* See glob.h. After a mismatch, the last star takes one character more; earlier stars need not be
 * tried again.
 *
 * Thread: any (no state).
 */
#include "server/base/glob.h"

/* What a pattern asks for at one place. */
struct step {
    size_t n;      /* bytes of the pattern */
    bool is_match; /* it takes the next character */
    size_t took;   /* bytes of that */
};

static size_t character_length(struct str s) {
    size_t n = str_utf8_length(s);
    return n ? n : 1;
}

/* The byte behind a backslash, if there is one; *at moves behind it. */
static unsigned char class_byte(struct str p, size_t *at) {
    if (p.p[*at] == '\\' && *at + 1 < p.n)
        ++*at;
    return (unsigned char)p.p[(*at)++];
}

/* p begins with a bracket; gives the bytes up to the closing one, 0 when there is none. */
static size_t class_length(struct str p) {
    size_t at = 1;
    if (at < p.n && (p.p[at] == '!' || p.p[at] == '^'))
        at++;
    for (size_t first = at; at < p.n;) {
        if (p.p[at] == ']' && at > first)
            return at + 1;
        class_byte(p, &at);
    }
    return 0;
}

static bool is_in_class(struct str p, unsigned char c) {
    bool is_negated = p.p[1] == '!' || p.p[1] == '^', is_in = false;
    for (size_t at = is_negated ? 2 : 1; at + 1 < p.n;) {
        unsigned char from = class_byte(p, &at), to = from;
        if (at + 2 < p.n && p.p[at] == '-') {
            at++;
            to = class_byte(p, &at);
        }
        is_in |= c >= from && c <= to;
    }
    return is_in != is_negated;
}

/* p is not empty and begins with no star. */
static struct step take_step(struct str p, struct str s) {
    if (p.p[0] == '?')
        return (struct step){1, s.n > 0, s.n ? character_length(s) : 0};
    if (p.p[0] == '[') {
        size_t n = class_length(p);
        bool is_match = s.n && is_in_class(str_slice(p, 0, n), (unsigned char)s.p[0]);
        return (struct step){n, is_match, s.n ? character_length(s) : 0};
    }
    size_t at = p.p[0] == '\\' && p.n > 1 ? 1 : 0;
    return (struct step){at + 1, s.n && s.p[0] == p.p[at], 1};
}

bool glob_matches(struct str pattern, struct str s) {
    struct str after_star = STR_NONE, retry = STR_NONE;
    bool has_star = false;
    while (pattern.n || s.n) {
        struct step step = {0};
        if (pattern.n && pattern.p[0] == '*') {
            after_star = pattern = str_slice(pattern, 1, pattern.n);
            retry = s;
            has_star = true;
            continue;
        }
        if (pattern.n)
            step = take_step(pattern, s);
        if (step.is_match) {
            pattern = str_slice(pattern, step.n, pattern.n);
            s = str_slice(s, step.took, s.n);
        } else if (has_star && retry.n) {
            retry = str_slice(retry, character_length(retry), retry.n);
            pattern = after_star;
            s = retry;
        } else {
            return false;
        }
    }
    return true;
}

static const char *class_fault(struct str class) {
    return str_ascii_length(class) < class.n ? "only ASCII characters may stand in brackets" : NULL;
}

const char *glob_fault(struct str pattern) {
    for (size_t at = 0; at < pattern.n; at++) {
        struct str rest = str_slice(pattern, at, pattern.n);
        if (rest.p[0] == '{')
            return "alternatives in braces are not supported";
        if (rest.p[0] == '\\' && rest.n == 1)
            return "nothing follows the backslash";
        if (rest.p[0] == '\\')
            at++;
        if (rest.p[0] != '[')
            continue;
        size_t n = class_length(rest);
        const char *fault = n ? class_fault(str_slice(rest, 0, n)) : "a bracket is not closed";
        if (fault)
            return fault;
        at += n - 1;
    }
    return NULL;
}
