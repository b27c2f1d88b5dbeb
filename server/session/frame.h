/* Bytes ready for the wire, made once and written to many clients.
 *
 * A server's WebSocket frames are not masked (RFC 6455 section 5.1), so all clients of a worker get
 * the same bytes. A payload over FRAME_PART_MAX_BYTES becomes several WebSocket fragments
 * (section 5.4), each a whole frame of its own: a write never ends inside a frame, because the
 * library may put a pong after any write of ours.
 *
 * Owns: its bytes and the following parts. Thread: its worker; the count is plain.
 */
#ifndef CARILLON_SESSION_FRAME_H
#define CARILLON_SESSION_FRAME_H

#include "server/base/str.h"

#include <stdbool.h>

#define FRAME_PART_MAX_BYTES 65536u
/* RFC 6455 section 5.2: 2 bytes, and 2 or 8 for the length. */
#define FRAME_HEADER_MAX_BYTES 10u

struct frame {
    uint32_t refs;
    uint32_t size_bytes;  /* of this part */
    uint32_t total_bytes; /* of this part and all that follow */
    bool is_open;         /* it ends in the middle of what a reader takes for one */
    struct frame *next;   /* the next part of the same message, or NULL */
    char bytes[];
};

/* Gives a text message as one frame, or as a chain of fragments; copies the payload. */
struct frame *frame_create_text(struct str payload);

/* Gives a close frame (section 5.5.1); the reason is cut to 123 bytes. */
struct frame *frame_create_close(uint16_t code, struct str reason);

/* Gives bytes as they are. At most FRAME_PART_MAX_BYTES to a part, cut anywhere: all but the last
 * are open. (Fragments of a WebSocket message are not: a close frame may come between them.) */
struct frame *frame_create_plain(struct str bytes);

struct frame *frame_ref(struct frame *f);

/* Takes one reference; NULL is fine. */
void frame_unref(struct frame *f);

#endif
