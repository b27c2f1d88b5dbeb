/* One message of a channel: a publication, a join or a leave. Immutable once it is shared, counted
 * atomically, so that all workers hold the same bytes.
 *
 * All its texts lie in one block behind the struct. Who creates a message may set its position and
 * its delta until it hands the message on; after that nobody writes.
 *
 * Owns: its bytes. Thread: any; the count is atomic.
 */
#ifndef CARILLON_CHANNELS_MSG_H
#define CARILLON_CHANNELS_MSG_H

#include "server/base/str.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum msg_kind {
    MSG_PUBLICATION,
    MSG_JOIN,
    MSG_LEAVE,
    /* For no client: the channel stands at `position`, and who is elsewhere by now has missed
     * something that cannot be had any more. */
    MSG_TOP,
};

/* The parts of a message; in a draft they are borrowed from the caller. */
struct msg_parts {
    enum msg_kind kind;
    struct str channel;
    struct str data; /* publication: one JSON value, no raw newlines between its tokens */
    struct str tags; /* publication: a JSON object, or empty */
    /* Who published, joined or left; `client` is empty when a back end published. */
    struct str user;
    struct str client;
    struct str conn_info; /* JSON, or empty */
    struct str chan_info; /* JSON, or empty */
};

/* Where a publication is in its channel's history: the epoch is opaque, 8 letters, and changes when
 * the offsets begin again. */
enum { EPOCH_BYTES = 8 };

struct position {
    uint64_t offset;         /* the first publication of an epoch has 1 */
    char epoch[EPOCH_BYTES]; /* not terminated; all zero: none */
};

/* The epoch as a client or a back end names it. An empty text is none; one that cannot be an epoch
 * gives one that no channel has. */
void position_set_epoch(struct position *p, struct str epoch);

static inline bool position_is_same_epoch(const struct position *a, const struct position *b) {
    return memcmp(a->epoch, b->epoch, EPOCH_BYTES) == 0;
}

struct msg {
    atomic_uint refs;
    uint64_t channel_hash; /* map_hash(channel) */
    struct msg_parts parts;
    struct position
        position;      /* offset 0: the channel keeps no history, or the message is not in it */
    struct str delta;  /* a fossil patch that makes data of the data before it; or empty */
    size_t size_bytes; /* of the whole block */
    char bytes[];
};

/* Gives a message with one reference; copies the parts. */
struct msg *msg_create(const struct msg_parts *parts);

/* Copies the patch. Once, before the message is shared. */
void msg_set_delta(struct msg *m, struct str patch);

struct msg *msg_ref(struct msg *m);

/* Takes one reference. */
void msg_unref(struct msg *m);

#endif
