/* How a message travels through Redis: an envelope of fixed layout, whose channel is the Redis
 * channel it came on.
 *
 *     byte  0   "CRN1"    magic and version of the layout
 *     byte  4   kind      'P' publication, 'J' join, 'L' leave
 *     byte  5   3 bytes   zero
 *     byte  8   6 x u32   little endian: bytes of data, tags, user, client, conn_info, chan_info
 *     byte 32   the six texts, in this order, one after the other, and nothing behind them
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

#endif
