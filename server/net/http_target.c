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

int http_target_escape(struct str s, size_t at) {
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
            byte = http_target_escape(str_slice(target, 0, end), i);
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
        int byte = http_target_escape(pair, i);
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

bool http_target_pairs(struct str form, struct buf *out) {
    struct str rest = form, pair;
    if (str_find(form, '\0') < form.n)
        return false;
    while (str_cut(&rest, '&', &pair))
        if (pair.n && !add_pair(pair, out))
            return false;
    return true;
}

bool http_target_query(struct str target, struct buf *out) {
    size_t mark = str_find(target, '?');
    return http_target_pairs(str_slice(target, mark < target.n ? mark + 1 : mark, target.n), out);
}
