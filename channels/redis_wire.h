/* The bytes between a link and its socket: what is unsent, plain or through TLS.
 *
 * Owns: the socket, the TLS stream and the unsent bytes. Thread: its link's.
 */
#ifndef CARILLON_CHANNELS_REDIS_WIRE_H
#define CARILLON_CHANNELS_REDIS_WIRE_H

#include "channels/redis_tls.h"

#include <stdint.h>

struct redis_wire {
    int fd;                       /* -1: none */
    struct redis_tls_stream *tls; /* NULL: plain */
    struct buf out, sealed;
    size_t out_at, sealed_at; /* of `out` and `sealed`, what has gone on already */
    uint64_t written_bytes;   /* plain ones that have left `out`, ever */
};

void redis_wire_init(struct redis_wire *w);

/* Closes the socket, if there is one; what is unsent stays. */
void redis_wire_close(struct redis_wire *w);

/* Drops what is unsent. */
void redis_wire_clear(struct redis_wire *w);

/* Copies. */
void redis_wire_add(struct redis_wire *w, struct str bytes);

/* Plain bytes that have not left. */
size_t redis_wire_unsent(const struct redis_wire *w);

/* Where the next byte that is added stands in all that ever left. */
uint64_t redis_wire_position(const struct redis_wire *w);

/* Writes as much as the socket takes; false when the connection broke. */
bool redis_wire_flush(struct redis_wire *w);

/* Something waits for the socket. */
bool redis_wire_wants_write(const struct redis_wire *w);

#endif
