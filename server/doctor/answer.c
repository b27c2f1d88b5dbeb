/* See answer.h.
 *
 * Thread: any (no state).
 */
#include "server/doctor/answer.h"

#include <string.h>

enum { CHUNK_LINE_BYTES_MAX = 256 };

/* --- the head --------------------------------------------------------------------------------- */

static bool read_status(struct str line, struct answer_head *h) {
    uint64_t status, minor;
    if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 || line.p[8] != ' ' ||
        (line.n > 12 && line.p[12] != ' ') || !str_to_u64(str_slice(line, 7, 8), &minor) ||
        !str_to_u64(str_slice(line, 9, 12), &status) || status < 100)
        return false;
    h->status = (int)status;
    h->minor = (int)minor;
    return true;
}

static const char *read_field(struct str line, struct answer_head *h) {
    size_t colon = str_find(line, ':');
    if (colon == 0 || colon == line.n || line.p[0] == ' ' || line.p[0] == '\t')
        return "a line of its head is no header field";
    if (h->field_count == ANSWER_FIELDS_MAX)
        return "its head has more than 100 fields";
    h->fields[h->field_count++] = (struct answer_field){
        .name = str_slice(line, 0, colon), .value = str_trim(str_slice(line, colon + 1, line.n))};
    return NULL;
}

/* What began as HTTP/1. may still become a status line. */
static bool may_begin(struct str in) {
    struct str start = str_slice(STR("HTTP/1."), 0, in.n);
    return str_starts(in, start);
}

static enum answer_state bad(const char **fault, const char *what) {
    *fault = what;
    return ANSWER_BAD;
}

enum answer_state answer_head_read(struct str in, struct answer_head *h, const char **fault) {
    const struct str text = str_slice(in, 0, ANSWER_HEAD_BYTES_MAX);
    struct str rest = text, line;
    h->field_count = 0;
    if (!may_begin(in))
        return bad(fault, "it is no HTTP/1.1");
    if (str_cut_line(&rest, &line)) {
        if (!read_status(line, h))
            return bad(fault, "it is no HTTP/1.1");
        while (str_cut_line(&rest, &line)) {
            if (line.n == 0) {
                h->size_bytes = text.n - rest.n;
                return ANSWER_DONE;
            }
            if ((*fault = read_field(line, h)))
                return ANSWER_BAD;
        }
    }
    return in.n >= ANSWER_HEAD_BYTES_MAX ? bad(fault, "its head is longer than 16 KiB")
                                         : ANSWER_MORE;
}

uint32_t answer_find(const struct answer_head *h, const char *name, struct str *value) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->field_count; i++)
        if (str_equal_nocase(h->fields[i].name, str_of(name)) && count++ == 0)
            *value = h->fields[i].value;
    return count;
}

/* --- the body --------------------------------------------------------------------------------- */

bool answer_body_begin(struct answer_body *b, const struct answer_head *h) {
    struct str length, coding;
    uint32_t lengths = answer_find(h, "content-length", &length);
    uint32_t codings = answer_find(h, "transfer-encoding", &coding);
    *b = (struct answer_body){.kind = BODY_TO_END};
    if (h->status < 200 || h->status == 204 || h->status == 304) {
        b->kind = BODY_LENGTH;
        b->is_done = true;
    } else if (codings) {
        b->kind = BODY_CHUNKS;
        return codings == 1 && !lengths && str_equal_nocase(coding, STR("chunked"));
    } else if (lengths) {
        b->kind = BODY_LENGTH;
        if (lengths > 1 || !str_to_u64(length, &b->left))
            return false;
        b->is_done = b->left == 0;
    }
    return true;
}

static void take(struct answer_body *b, struct buf *in, struct buf *out) {
    size_t n = in->n < b->left ? in->n : (size_t)b->left;
    buf_add(out, str_slice(buf_str(in), 0, n));
    buf_consume(in, n);
    b->left -= n;
}

/* Hexadecimal, up to 8 digits; extensions are passed over. */
static bool read_size(struct str line, uint64_t *size) {
    size_t digits = 0;
    *size = 0;
    for (; digits < line.n && digits <= 8; digits++) {
        char c = line.p[digits];
        if (!c || !strchr("0123456789abcdefABCDEF", c))
            break;
        *size = *size * 16 + (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return digits > 0 && digits <= 8 &&
           (digits == line.n || line.p[digits] == ';' || line.p[digits] == ' ');
}

/* One line between the data. False when it is broken; *is_short: not there yet. */
static bool feed_line(struct answer_body *b, struct buf *in, bool *is_short) {
    struct str rest = buf_str(in), line;
    *is_short = !str_cut_line(&rest, &line);
    if (*is_short)
        return in->n <= CHUNK_LINE_BYTES_MAX;
    bool is_good = true;
    if (b->at == CHUNK_SIZE) {
        is_good = read_size(line, &b->left);
        b->at = b->left ? CHUNK_DATA : CHUNK_TRAILER;
    } else if (b->at == CHUNK_DATA_END) {
        is_good = line.n == 0;
        b->at = CHUNK_SIZE;
    } else if (line.n == 0) {
        b->is_done = true;
    }
    buf_consume(in, in->n - rest.n);
    return is_good;
}

static bool feed_chunks(struct answer_body *b, struct buf *in, struct buf *out) {
    for (bool is_short = false; in->n && !is_short && !b->is_done;) {
        if (b->at != CHUNK_DATA) {
            if (!feed_line(b, in, &is_short))
                return false;
            continue;
        }
        take(b, in, out);
        if (b->left == 0)
            b->at = CHUNK_DATA_END;
    }
    return true;
}

bool answer_body_feed(struct answer_body *b, struct buf *in, struct buf *out) {
    if (b->is_done)
        return true;
    if (b->kind == BODY_CHUNKS)
        return feed_chunks(b, in, out);
    if (b->kind == BODY_TO_END)
        b->left = in->n;
    take(b, in, out);
    b->is_done = b->kind == BODY_LENGTH && b->left == 0;
    return true;
}
