/* How a message travels through Redis, and lies in a stream there: an envelope of fixed layout,
 * whose channel is the Redis channel it came on.
 *
 *     byte  0   "CRN1"    magic and version of the layout
 *     byte  4   kind      'P' publication, 'J' join, 'L' leave
 *     byte  5   3 bytes   zero
 *     byte  8   6 x u32   little endian: bytes of data, tags, user, client, conn_info, chan_info
 *     byte 32   the six texts, in this order, one after the other, and nothing behind them
 *
 * A publication that is in the history has its place in front of that, which the script writes that
 * numbers it:
 *
 *     byte  0   "CRN2"
 *     byte  4   u32       bytes up to the envelope: 36; what a later layout puts behind the 36 is
 *                         skipped here
 *     byte  8   u64       offset
 *     byte 16   8 letters epoch
 *     byte 24   u32       flags: 1: who wants patches gets one; 2: there is no envelope, but the
 *                         history up to here was removed; 4: the next message of this channel is
 *                         the same without a place, for nodes that do not know places; 8: there is
 *                         no envelope, but something was lost, and this is where it goes on
 *     byte 28   u32       seconds that the history lives without a new publication
 *     byte 32   u32       publications that it keeps
 *
 * What comes from Redis is input, and anybody who may publish there may send anything: the lengths
 * must add up, data must be JSON, tags a JSON object, the infos JSON, user and client UTF-8, a
 * publication must have data, a join or leave a client. Everything else is garbage.
 *
 * The scripts in redis_scripts.c know this layout: they turn a join into a leave, and read the
 * user.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_REDIS_ENVELOPE_H
#define CARILLON_CHANNELS_REDIS_ENVELOPE_H

#include "channels/msg.h"
#include "server/base/buf.h"

/* Larger ones are neither sent nor believed. */
enum { REDIS_ENVELOPE_DATA_MAX = 8 << 20, REDIS_ENVELOPE_TEXT_MAX = 1 << 20 };

/* Appends the envelope; false, and nothing is appended, when a part is too large. */
bool redis_envelope_add(struct buf *b, const struct msg_parts *parts);

/* Bytes of the envelope. */
size_t redis_envelope_bytes(const struct msg_parts *parts);

/* Reads an envelope; the parts borrow from it, but `channel` is left alone. False for garbage. */
bool redis_envelope_read(struct str envelope, struct msg_parts *out);

/* --- in the history --------------------------------------------------------------------------- */

enum { REDIS_PLACE_BYTES = 36, REDIS_PLACE_TAIL_BYTES = 12 };
enum {
    REDIS_PLACE_DELTA = 1,
    REDIS_PLACE_REMOVED = 2,
    REDIS_PLACE_COPIED = 4,
    REDIS_PLACE_BROKEN = 8
};

struct redis_place {
    struct position position; /* offset 0: not in the history */
    uint32_t flags, ttl_s, size;
};

/* The last bytes of a place, which the script cannot know. */
struct str redis_place_tail(uint32_t flags, uint64_t ttl_ms, uint32_t size,
                            char out[REDIS_PLACE_TAIL_BYTES]);

/* Reads the place, if there is one, and cuts it off: the envelope is left. False for garbage. */
bool redis_place_read(struct str *text, struct redis_place *out);

#endif
