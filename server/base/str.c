/* Borrowed text: see str.h.
 *
 * Nothing here reads a byte at or after s.p + s.n, and nothing hands a NULL pointer to memcmp() and
 * its like, which is undefined even for no bytes.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/base/str.h"

#include <string.h>

struct str str_of(const char *z) {
    return z ? (struct str){z, strlen(z)} : STR_NONE;
}

bool str_equal(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Not tolower(): that one asks the locale. */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_equal_nocase(struct str a, struct str b) {
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_equal((struct str){s.p, prefix.n}, prefix);
}

size_t str_find(struct str s, char c) {
    const char *found = s.n ? memchr(s.p, c, s.n) : NULL;
    return found ? (size_t)(found - s.p) : s.n;
}

struct str str_slice(struct str s, size_t from, size_t to) {
    if (to > s.n)
        to = s.n;
    if (from >= to)
        return STR_NONE;
    return (struct str){s.p + from, to - from};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

bool str_cut(struct str *rest, char separator, struct str *piece) {
    if (rest->n == 0)
        return false;
    size_t end = str_find(*rest, separator);
    *piece = str_slice(*rest, 0, end);
    *rest = str_slice(*rest, end < rest->n ? end + 1 : end, rest->n);
    return true;
}

bool str_cut_line(struct str *rest, struct str *line) {
    size_t end = str_find(*rest, '\n');
    if (end == rest->n)
        return false;
    size_t n = end > 0 && rest->p[end - 1] == '\r' ? end - 1 : end;
    *line = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, end + 1, rest->n);
    return true;
}

struct str str_trim(struct str s) {
    size_t from = 0, to = s.n;
    while (from < to && is_blank(s.p[from]))
        from++;
    while (to > from && is_blank(s.p[to - 1]))
        to--;
    return str_slice(s, from, to);
}

bool str_to_u64(struct str s, uint64_t *out) {
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static bool is_between(unsigned char c, unsigned char low, unsigned char high) {
    return c >= low && c <= high;
}

/* The table of well-formed sequences of RFC 3629, section 4: only the second byte depends on the
 * first. */
size_t str_utf8_length(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    unsigned char first = p[0];
    if (first < 0x80)
        return 1;
    if (!is_between(first, 0xc2, 0xf4))
        return 0;
    if (first < 0xe0)
        return s.n >= 2 && is_between(p[1], 0x80, 0xbf) ? 2 : 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    size_t length = first < 0xf0 ? 3 : 4;
    if (s.n < length || !is_between(p[1], low, high) || !is_between(p[2], 0x80, 0xbf))
        return 0;
    return length == 3 || is_between(p[3], 0x80, 0xbf) ? length : 0;
}

/* Text is mostly ASCII: eight bytes at a time as long as none has its high bit set. */
size_t str_ascii_length(struct str s) {
    size_t i = 0;
    for (uint64_t word; s.n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, s.p + i, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    while (i < s.n && !(s.p[i] & 0x80))
        i++;
    return i;
}

bool str_is_utf8(struct str s) {
    size_t i = 0;
    while (i < s.n) {
        i += str_ascii_length((struct str){s.p + i, s.n - i});
        while (i < s.n && (s.p[i] & 0x80)) {
            size_t length = str_utf8_length((struct str){s.p + i, s.n - i});
            if (length == 0)
                return false;
            i += length;
        }
    }
    return true;
}
