/* See http_answer.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/http_answer.h"

#include <string.h>

struct head {
    struct str rest; /* what follows the head */
    uint64_t length; /* Content-Length */
    bool has_length, is_chunked;
};

static enum http_answer_state bad(const char **fault, const char *what) {
    *fault = what;
    return HTTP_ANSWER_BAD;
}

static const char *judge_status(struct str line) {
    struct str version = str_slice(line, 0, 9), code = str_slice(line, 9, line.n);
    uint64_t status;
    if (!(str_equal(version, STR("HTTP/1.1 ")) || str_equal(version, STR("HTTP/1.0 "))) ||
        !str_to_u64(str_slice(code, 0, 3), &status) || (code.n > 3 && code.p[3] != ' '))
        return "it is no HTTP answer";
    return status == 200 ? NULL : "its status is not 200";
}

static const char *read_field(struct str line, struct head *h) {
    size_t colon = str_find(line, ':');
    struct str name = str_slice(line, 0, colon);
    struct str value = str_trim(str_slice(line, colon + 1, line.n));
    if (colon == 0 || colon == line.n || line.p[0] == ' ' || line.p[0] == '\t')
        return "a line of its head is no header field";
    if (str_equal_nocase(name, STR("content-length"))) {
        if (h->has_length || !str_to_u64(value, &h->length))
            return "its Content-Length is no number, or there are two";
        h->has_length = true;
    } else if (str_equal_nocase(name, STR("transfer-encoding"))) {
        if (h->is_chunked || !str_equal_nocase(value, STR("chunked")))
            return "its Transfer-Encoding is another one than chunked";
        h->is_chunked = true;
    } else if (str_equal_nocase(name, STR("content-encoding")) &&
               !str_equal_nocase(value, STR("identity"))) {
        return "it is compressed, though nobody asked for that";
    }
    return NULL;
}

static enum http_answer_state read_head(struct str in, struct head *h, const char **fault) {
    struct str line;
    *fault = NULL;
    h->rest = in;
    if (!str_cut_line(&h->rest, &line))
        return in.n > HTTP_ANSWER_HEAD_BYTES_MAX ? bad(fault, "its head is too long")
                                                 : HTTP_ANSWER_MORE;
    if ((*fault = judge_status(line)))
        return HTTP_ANSWER_BAD;
    while (str_cut_line(&h->rest, &line)) {
        if (in.n - h->rest.n > HTTP_ANSWER_HEAD_BYTES_MAX)
            return bad(fault, "its head is too long");
        if (line.n == 0)
            return h->has_length && h->is_chunked
                       ? bad(fault, "it has both Content-Length and Transfer-Encoding")
                       : HTTP_ANSWER_DONE;
        if ((*fault = read_field(line, h)))
            return HTTP_ANSWER_BAD;
    }
    return in.n > HTTP_ANSWER_HEAD_BYTES_MAX ? bad(fault, "its head is too long")
                                             : HTTP_ANSWER_MORE;
}

/* Hexadecimal, up to 8 digits; extensions are passed over. */
static bool read_chunk_size(struct str line, size_t *out) {
    size_t size = 0, digits = 0;
    for (; digits < line.n && digits <= 8; digits++) {
        char c = line.p[digits];
        if (!c || !strchr("0123456789abcdefABCDEF", c))
            break;
        size = size * 16 + (size_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *out = size;
    return digits > 0 && digits <= 8 &&
           (digits == line.n || line.p[digits] == ';' || line.p[digits] == ' ');
}

static enum http_answer_state read_chunks(struct str rest, size_t max_bytes, struct buf *body,
                                          const char **fault) {
    const size_t before = body->n;
    struct str line;
    size_t size;
    enum http_answer_state state = HTTP_ANSWER_MORE;
    while (state == HTTP_ANSWER_MORE && str_cut_line(&rest, &line)) {
        if (!read_chunk_size(line, &size))
            state = bad(fault, "the size of a chunk is no number");
        else if (size > max_bytes - (body->n - before))
            state = bad(fault, "it is too large");
        else if (size == 0)
            state = HTTP_ANSWER_DONE; /* what follows it are trailers, which nobody reads */
        else if (rest.n < size + 2)
            break;
        else if (rest.p[size] != '\r' || rest.p[size + 1] != '\n')
            state = bad(fault, "a chunk is longer than it says");
        else {
            buf_add(body, str_slice(rest, 0, size));
            rest = str_slice(rest, size + 2, rest.n);
        }
    }
    if (state != HTTP_ANSWER_DONE)
        body->n = before;
    return state;
}

static enum http_answer_state read_body(const struct head *h, bool is_end, size_t max_bytes,
                                        struct buf *body, const char **fault) {
    if (h->is_chunked)
        return read_chunks(h->rest, max_bytes, body, fault);
    if (h->has_length ? h->length > max_bytes : h->rest.n > max_bytes)
        return bad(fault, "it is too large");
    if (h->has_length ? h->rest.n < h->length : !is_end)
        return HTTP_ANSWER_MORE;
    buf_add(body, h->has_length ? str_slice(h->rest, 0, (size_t)h->length) : h->rest);
    return HTTP_ANSWER_DONE;
}

enum http_answer_state http_answer_read(struct str in, bool is_end, size_t max_bytes,
                                        struct buf *body, const char **fault) {
    struct head h = {0};
    enum http_answer_state state = read_head(in, &h, fault);
    if (state == HTTP_ANSWER_DONE)
        state = read_body(&h, is_end, max_bytes, body, fault);
    if (state != HTTP_ANSWER_MORE)
        return state;
    if (in.n > HTTP_ANSWER_HEAD_BYTES_MAX + 4 * max_bytes) /* chunks of one byte are no use */
        return bad(fault, "it is too large");
    return is_end ? bad(fault, "it ends too early") : HTTP_ANSWER_MORE;
}
