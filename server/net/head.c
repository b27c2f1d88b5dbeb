/* See head.h.
 *
 * Thread: any (no state).
 */
#include "server/net/head.h"

#include <string.h>

/* RFC 9110 section 5.6.2. */
static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_alnum && !memchr("!#$%&'*+-.^_`|~", c, 15))
            return false;
    }
    return s.n > 0;
}

static bool is_value(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool parse_version(struct str s, struct head *out) {
    if (s.n != 8 || !str_starts(s, STR("HTTP/")) || s.p[6] != '.')
        return false;
    if (s.p[5] < '0' || s.p[5] > '9' || s.p[7] < '0' || s.p[7] > '9')
        return false;
    out->major = (uint32_t)(s.p[5] - '0');
    out->minor = (uint32_t)(s.p[7] - '0');
    return true;
}

static enum head_result parse_request_line(struct str line, struct head *out) {
    size_t method_end = str_find(line, ' ');
    out->method = str_slice(line, 0, method_end);
    if (method_end == line.n || !is_token(out->method))
        return HEAD_BAD;
    struct str rest = str_slice(line, method_end + 1, line.n);
    size_t target_end = str_find(rest, ' ');
    out->target = str_slice(rest, 0, target_end);
    if (out->target.n > HEAD_TARGET_MAX_BYTES)
        return HEAD_TARGET_TOO_LONG;
    if (target_end == rest.n || out->target.n == 0 || !is_value(out->target) ||
        str_find(out->target, '\t') < out->target.n)
        return HEAD_BAD;
    return parse_version(str_slice(rest, target_end + 1, rest.n), out) ? HEAD_OK : HEAD_BAD;
}

static enum head_result parse_header(struct str line, struct head *out) {
    size_t colon = str_find(line, ':');
    if (colon == line.n || line.p[0] == ' ' || line.p[0] == '\t')
        return HEAD_BAD;
    if (out->header_count == HEAD_MAX_HEADERS)
        return HEAD_TOO_LARGE;
    struct head_header h = {str_trim(str_slice(line, 0, colon)),
                            str_trim(str_slice(line, colon + 1, line.n))};
    if (!is_token(h.name) || !is_value(h.value))
        return HEAD_BAD;
    out->headers[out->header_count++] = h;
    return HEAD_OK;
}

enum head_result head_parse(struct str bytes, struct head *out) {
    struct str rest = bytes, line = STR_NONE;
    enum head_result result;

    out->header_count = 0;
    if (bytes.n && !(bytes.p[0] >= 'A' && bytes.p[0] <= 'Z'))
        return HEAD_NOT_HTTP;
    if (!str_cut_line(&rest, &line)) {
        if (bytes.n >= HEAD_MAX_BYTES)
            return HEAD_TARGET_TOO_LONG;
        return is_value(bytes) || bytes.p[bytes.n - 1] == '\r' ? HEAD_INCOMPLETE : HEAD_NOT_HTTP;
    }
    if ((result = parse_request_line(line, out)) != HEAD_OK)
        return result;
    while (str_cut_line(&rest, &line)) {
        if (line.n == 0) {
            out->size_bytes = bytes.n - rest.n;
            return HEAD_OK;
        }
        if ((result = parse_header(line, out)) != HEAD_OK)
            return result;
    }
    return bytes.n >= HEAD_MAX_BYTES ? HEAD_TOO_LARGE : HEAD_INCOMPLETE;
}

uint32_t head_find(const struct head *h, const char *name, struct str *value) {
    uint32_t count = 0;
    *value = STR_NONE;
    for (uint32_t i = 0; i < h->header_count; i++) {
        if (!str_equal_nocase(h->headers[i].name, str_of(name)))
            continue;
        if (count++ == 0)
            *value = h->headers[i].value;
    }
    return count;
}

static bool has_token(struct str value, const char *token) {
    struct str item;
    while (str_cut(&value, ',', &item))
        if (str_equal_nocase(str_trim(item), str_of(token)))
            return true;
    return false;
}

bool head_has_token(const struct head *h, const char *name, const char *token) {
    for (uint32_t i = 0; i < h->header_count; i++)
        if (str_equal_nocase(h->headers[i].name, str_of(name)) &&
            has_token(h->headers[i].value, token))
            return true;
    return false;
}
