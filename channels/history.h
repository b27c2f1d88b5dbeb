/* The publications that channels remember, of one shard of the memory engine.
 *
 * Each channel that ever had a publication is a stream: an epoch, the top offset and the newest
 * publications. Their number is bounded; they are forgotten together when the last one is ttl_ms
 * old, and epoch and offset meta_ttl_ms after the channel was last published to or read from.
 *
 * Epochs: a channel that never was has offset 0 and an epoch that is derived, not stored: a keyed
 * hash of its name and of a generation. So asking for a million names costs no memory, and who
 * subscribes before the first publication already has the epoch that this will have. What would be
 * lost silently is a channel that is forgotten and begins again with offset 1 in the same epoch; so
 * forgetting one moves its generation on. There is one generation for all names of a slot (of 1,024
 * in each shard), which bounds the memory of it. The price: a client that waits for the first
 * publication of a channel in the same slot is told "unrecoverable" and asks again, for nothing.
 * Streams that exist keep their epoch.
 *
 * Owns: copies of the publications, packed: not the messages. Thread: one at a time.
 */
#ifndef CARILLON_CHANNELS_HISTORY_H
#define CARILLON_CHANNELS_HISTORY_H

#include "channels/broker.h"
#include "channels/msg.h"
#include "server/base/map.h"

enum { HISTORY_GENERATIONS = 1024, HISTORY_SECRET_BYTES = 16 };

/* About what a protocol writes around the texts of one publication; counts towards max_bytes. */
enum { HISTORY_FRAME_BYTES = 96 };

struct history_due; /* a stream and when to look at it */

struct history {
    struct map streams;
    struct history_due *due; /* a heap, one entry per stream */
    uint32_t due_capacity;
    uint32_t generations[HISTORY_GENERATIONS];
    unsigned char
        secret[HISTORY_SECRET_BYTES]; /* of the epochs; no name's hash leaks through them */
    uint64_t message_count;
    uint64_t bytes;
};

/* For the metrics. */
struct history_counts {
    uint64_t channels; /* whose epoch is stored; with or without publications */
    uint64_t messages;
    uint64_t bytes; /* all that was asked of the allocator for them */
};

/* A publisher's own number of a publication, to leave out what comes late. */
struct history_version {
    uint64_t number;  /* 0: none */
    struct str epoch; /* the publisher numbers from 1 again in another one; empty: compare anyway */
};

void history_init(struct history *h);

void history_fini(struct history *h);

/* Numbers m (sets m->position) and keeps a copy of its texts; with size or ttl_ms 0 it is numbered
 * but cannot be read. False when the version is not above that of the last publication that had
 * one: nothing changes, m->position is the top, and m is to be dropped. Borrows all; v may be NULL.
 */
bool history_add(struct history *h, struct msg *m, const struct keep *k,
                 const struct history_version *v, uint64_t now_ms);

/* The data of the newest publication, STR_NONE when nothing is kept; for deltas, so ask before
 * history_add. Borrowed until the next call. */
struct str history_last_data(struct history *h, struct str channel, uint64_t now_ms);

void history_top(struct history *h, struct str channel, uint64_t now_ms, struct position *out);

/* Fills the answer: always top, and the items unless `since` is of another epoch (all zero: of
 * any). Forward starts behind since.offset, or with the oldest that is kept when that is gone.
 * Reverse starts before since.offset and gives nothing when that is gone or beyond the top.
 * max_bytes never keeps the first item out, so that who asks for the rest gets on. Never touches
 * r->reply. */
void history_read(struct history *h, struct str channel, struct history_reply *r, uint64_t now_ms);

/* Forgets the publications; epoch and offset stay. */
void history_remove(struct history *h, struct str channel);

/* Frees what is over, at most about `max` publications and streams. Gives how many: less than max
 * means that nothing is left to do. Calls above never see what is over, so this is for memory only.
 */
uint32_t history_expire(struct history *h, uint64_t now_ms, uint32_t max);

/* Adds this shard's numbers. */
void history_count(const struct history *h, struct history_counts *sum);

#endif
