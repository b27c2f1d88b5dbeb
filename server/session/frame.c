/* See frame.h.
 *
 * Thread: its worker.
 */
#include "server/session/frame.h"

#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

enum { FIN = 0x80, OP_CONTINUATION = 0x0, OP_TEXT = 0x1, OP_CLOSE = 0x8 };
enum { CLOSE_REASON_MAX_BYTES = 123 };

static size_t put_header(char *at, unsigned first, size_t n) {
    at[0] = (char)first;
    if (n < 126) {
        at[1] = (char)n;
        return 2;
    }
    if (n < 65536) {
        at[1] = 126;
        at[2] = (char)(n >> 8);
        at[3] = (char)n;
        return 4;
    }
    at[1] = 127;
    for (int i = 0; i < 8; i++)
        at[2 + i] = (char)((uint64_t)n >> (56 - 8 * i));
    return 10;
}

static struct frame *make(size_t capacity_bytes) {
    struct frame *f = mem_alloc(sizeof(*f) + capacity_bytes);
    f->refs = 1;
    f->size_bytes = f->total_bytes = 0;
    f->is_open = false;
    f->next = NULL;
    return f;
}

static struct frame *make_ws(unsigned first, struct str payload) {
    struct frame *f = make(FRAME_HEADER_MAX_BYTES + payload.n);
    size_t header_bytes = put_header(f->bytes, first, payload.n);
    if (payload.n)
        memcpy(f->bytes + header_bytes, payload.p, payload.n);
    f->size_bytes = (uint32_t)(header_bytes + payload.n);
    return f;
}

static struct frame *make_plain(struct str bytes) {
    struct frame *f = make(bytes.n);
    if (bytes.n)
        memcpy(f->bytes, bytes.p, bytes.n);
    f->size_bytes = (uint32_t)bytes.n;
    return f;
}

/* Builds the chain from its end, so that each part knows the total behind it. */
static struct frame *make_parts(struct str s, bool is_ws) {
    size_t part_count = s.n ? (s.n - 1) / FRAME_PART_MAX_BYTES + 1 : 1;
    struct frame *next = NULL;

    for (size_t i = part_count; i-- > 0;) {
        size_t from = i * FRAME_PART_MAX_BYTES;
        bool is_last = i + 1 == part_count;
        struct str part = str_slice(s, from, is_last ? s.n : from + FRAME_PART_MAX_BYTES);
        unsigned first = (is_last ? FIN : 0u) | (i == 0 ? OP_TEXT : OP_CONTINUATION);
        struct frame *f = is_ws ? make_ws(first, part) : make_plain(part);
        f->total_bytes = f->size_bytes + (next ? next->total_bytes : 0);
        f->is_open = !is_ws && !is_last;
        f->next = next;
        next = f;
    }
    return next;
}

struct frame *frame_create_text(struct str payload) {
    return make_parts(payload, true);
}

struct frame *frame_create_plain(struct str bytes) {
    return make_parts(bytes, false);
}

struct frame *frame_create_close(uint16_t code, struct str reason) {
    char payload[2 + CLOSE_REASON_MAX_BYTES];
    size_t n = reason.n < CLOSE_REASON_MAX_BYTES ? reason.n : CLOSE_REASON_MAX_BYTES;
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (n)
        memcpy(payload + 2, reason.p, n);
    struct frame *f = make_ws(FIN | OP_CLOSE, (struct str){payload, 2 + n});
    f->total_bytes = f->size_bytes;
    return f;
}

struct frame *frame_ref(struct frame *f) {
    f->refs++;
    return f;
}

void frame_unref(struct frame *f) {
    while (f) {
        struct frame *next = f->next;
        assert(f->refs > 0);
        if (--f->refs > 0)
            return;
        mem_free(f);
        f = next;
    }
}
