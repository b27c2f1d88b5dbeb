/* WebSocket frames (RFC 6455 section 5) as a client writes and reads them.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_DOCTOR_WS_FRAME_H
#define CARILLON_DOCTOR_WS_FRAME_H

#include "server/doctor/answer.h"

enum {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

struct ws_frame {
    uint8_t opcode;
    bool is_last;
    struct str payload; /* borrows what it was read from */
    size_t size_bytes;  /* with its head */
};

/* Appends a whole message, masked. */
void ws_frame_add(struct buf *out, uint8_t opcode, struct str payload);

/* Reads the first frame. BAD: a server may not send that, or it is over max_bytes. */
enum answer_state ws_frame_read(struct str in, size_t max_bytes, struct ws_frame *out);

/* Sec-WebSocket-Accept for a key: 28 characters and a zero. */
void ws_accept_of(struct str key, char out[29]);

#endif
