/* Reads WebSocket frames as a strict client would (RFC 6455 section 5): what a server may not send
 * is refused.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_TESTS_WS_FRAMES_H
#define CARILLON_TESTS_WS_FRAMES_H

#include "server/base/str.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

struct ws_frame {
    enum ws_opcode opcode;
    bool is_final;
    struct str payload;
};

static inline uint64_t ws_number(struct str s, size_t at, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)s.p[at + i];
    return v;
}

/* Cuts the first frame off *rest. False when it is incomplete or may not come from a server: RSV
 * bits, a mask, a length that is not in its shortest form, an unknown opcode, a long or fragmented
 * control frame. */
static inline bool ws_next(struct str *rest, struct ws_frame *f) {
    if (rest->n < 2)
        return false;
    unsigned first = (unsigned char)rest->p[0], second = (unsigned char)rest->p[1];
    size_t length_bytes = second == 126 ? 2 : second == 127 ? 8 : 0;
    uint64_t n = second;
    if ((first & 0x70) || (second & 0x80) || rest->n < 2 + length_bytes)
        return false;
    if (length_bytes)
        n = ws_number(*rest, 2, length_bytes);
    if ((length_bytes == 2 && n < 126) || (length_bytes == 8 && n < 65536))
        return false;
    if (rest->n - 2 - length_bytes < n)
        return false;
    f->opcode = (enum ws_opcode)(first & 0x0f);
    f->is_final = first & 0x80;
    f->payload = str_slice(*rest, 2 + length_bytes, 2 + length_bytes + (size_t)n);
    *rest = str_slice(*rest, 2 + length_bytes + (size_t)n, rest->n);
    if (f->opcode >= WS_CLOSE)
        return f->opcode <= WS_PONG && f->is_final && n <= 125;
    return f->opcode <= WS_BINARY;
}

#endif
