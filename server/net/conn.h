/* What hangs on a libwebsockets connection (its "user space"). libwebsockets zeroes it and may hand
 * it to callbacks before anything was established.
 *
 * Thread: its worker.
 */
#ifndef CARILLON_NET_CONN_H
#define CARILLON_NET_CONN_H

#include "server/base/buf.h"
#include "server/base/utf8.h"

struct client;

struct conn {
    struct client *client;
    struct buf *partial;     /* a WebSocket message that came in pieces, so far */
    uint32_t fragment_count; /* of it */
    struct utf8 utf8;        /* of it */
};

#endif
