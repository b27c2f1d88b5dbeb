/* How nodes talk to each other: an envelope of fixed layout.
 *
 *     byte  0   "CRC1"    magic and version of the layout
 *     byte  4   kind      'Q' request, 'A' answer, 'T' told, which nobody answers
 *     byte  5   op        what is asked for; in an answer what was asked for
 *     byte  6   status    of an answer, enum cluster_status; else 0
 *     byte  7   1 byte    zero
 *     byte  8   u64       little endian: number of the request, which the asker chose; told: 0
 *     byte 16   2 x u32   little endian: bytes of uid and body
 *     byte 24   uid of the sender, then the body, and nothing behind it
 *
 * What comes from Redis is input: everything else is garbage. What is in the body, each operation
 * says and checks itself.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_CLUSTER_ENVELOPE_H
#define CARILLON_CHANNELS_CLUSTER_ENVELOPE_H

#include "server/base/buf.h"

enum { CLUSTER_BODY_MAX = 8 << 20, CLUSTER_UID_MAX = 64 };

enum cluster_kind { CLUSTER_ASKS, CLUSTER_ANSWERS, CLUSTER_TELLS };

struct cluster_envelope {
    enum cluster_kind kind;
    uint8_t op, status;
    uint64_t id;
    struct str from, body; /* borrowed */
};

/* Appends it; false, and nothing is appended, when the body is too large. */
bool cluster_envelope_add(struct buf *b, const struct cluster_envelope *e);

/* Borrows from the bytes. False for garbage. */
bool cluster_envelope_read(struct str bytes, struct cluster_envelope *out);

#endif
