/* The `id` of Server-Sent Events: where a stream stands in each of its channels that keep a
 * position. What came back as Last-Event-ID tells from where each channel is resumed.
 *
 *     9c2b41kX3vQ0aZ17.5d01c8mW8rT2bY402
 *
 * One entry per channel, a dot between them: 6 hexadecimal digits of a hash of the channel's name,
 * the 8 letters and digits of the epoch, and the offset. Only characters that CORS calls safe in a
 * header (Fetch, section 2.2.2), so that a browser that comes back needs no preflight. An entry is
 * found by its name: the channels of the URL may change. It is the same on all nodes.
 *
 * Thread: any. No state.
 */
#ifndef CARILLON_PROTOCOL_SSE_ID_H
#define CARILLON_PROTOCOL_SSE_ID_H

#include "channels/msg.h"
#include "server/base/buf.h"

#include <stdbool.h>

enum { SSE_ID_MAX_BYTES = 1024 };

/* The id of the last event of a stream to which the client is not to come back. It is no position:
 * where it is taken for one, nothing is known. */
#define SSE_ID_STOP "stop"

/* Appends an entry to an id that begins at `start` of b. False: the id has no room for it. */
bool sse_id_add(struct buf *b, size_t start, struct str channel, const struct position *p);

/* Fills the position of a channel, with an epoch of letters and digits. False, and *out is
 * untouched: the id has none of it. */
bool sse_id_find(struct str id, struct str channel, struct position *out);

#endif
