/* See http_target.h.
 *
 * Thread: any (no state).
 */
#include "server/net/http_target.h"

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of an escape at s.p[at], or -1. */
static int escape_at(struct str s, size_t at) {
    if (s.p[at] != '%' || at + 2 >= s.n)
        return -1;
    int high = hex(s.p[at + 1]), low = hex(s.p[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool http_target_path(struct str target, struct buf *out) {
    size_t end = str_find(target, '?');
    for (size_t i = 0; i < end; i++) {
        int byte = (unsigned char)target.p[i];
        if (byte == '%') {
            byte = escape_at(str_slice(target, 0, end), i);
            i += 2;
        }
        if (byte <= 0)
            return false;
        buf_add_char(out, (char)byte);
    }
    return true;
}

static bool add_pair(struct str pair, struct buf *out) {
    for (size_t i = 0; i < pair.n; i++) {
        int byte = escape_at(pair, i);
        if (byte == 0)
            return false;
        if (byte > 0)
            i += 2;
        else
            byte = pair.p[i] == '+' ? ' ' : pair.p[i];
        buf_add_char(out, (char)byte);
    }
    buf_add_char(out, '\0');
    return true;
}

bool http_target_query(struct str target, struct buf *out) {
    size_t mark = str_find(target, '?');
    struct str rest = str_slice(target, mark < target.n ? mark + 1 : mark, target.n);
    while (rest.n) {
        size_t end = str_find(rest, '&');
        if (end > 0 && !add_pair(str_slice(rest, 0, end), out))
            return false;
        rest = str_slice(rest, end < rest.n ? end + 1 : end, rest.n);
    }
    return true;
}
