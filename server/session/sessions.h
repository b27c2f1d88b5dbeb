/* All clients of one worker, and the way of messages to them: deliver, collect, flush.
 *
 * Messages that arrive are queued at their subscribers at once but written later, when the loop has
 * read all input that is there ("drain, then flush"), so that a burst costs one write per client.
 * Clients touched by replies and small channels are flushed before those touched by large channels,
 * so nobody waits for a fan-out to thousands; each list gets at least half of a flush's time.
 *
 * Invariant: sessions_has_pending() => the loop must not sleep.
 *
 * Owns: its clients, hub, timers. Thread: its worker.
 */
#ifndef CARILLON_SESSION_SESSIONS_H
#define CARILLON_SESSION_SESSIONS_H

#include "auth/revocations.h"
#include "auth/token.h"
#include "channels/broker.h"
#include "channels/fanout.h"
#include "channels/hub.h"
#include "channels/users.h"
#include "server/config/config.h"
#include "server/session/client.h"
#include "server/session/member_batch.h"
#include "server/session/metrics.h"
#include "server/session/single_connection.h"

/* A channel with more subscribers than this on one worker is flushed behind everybody else. */
#define SESSIONS_BULK_SUBSCRIBERS 64
/* A flush waits for more input at most this long, longer when it will take long itself: a
 * microsecond or two for each client that is to be written to; and until this much is pending. */
#define SESSIONS_DRAIN_MAX_US 300
#define SESSIONS_DRAIN_PER_CLIENT_US 2
#define SESSIONS_DRAIN_LIMIT_US 5000
#define SESSIONS_DRAIN_MAX_BYTES 65536
/* One turn's flush. */
#define SESSIONS_FLUSH_MAX_US 2000

/* Names a client from elsewhere: stale once it is gone. */
struct client_handle {
    uint32_t slot, generation;
};

struct sessions_slot {
    struct client *client; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct sessions {
    const struct config *config;
    uint32_t worker;
    const char *node_uid;
    struct mailbox *mailbox;
    struct fanout *fanout;
    struct users *users;
    struct revocations *revocations; /* of all workers; NULL: none */
    struct broker *broker;
    struct cluster *cluster;
    struct metrics *metrics;
    struct jws_keys keys, subscription_keys;
    struct token_policy connection_tokens, subscription_tokens;

    struct hub hub;
    struct wheel wheel;
    struct member_batches member_batches;
    struct outq_pool pool;
    struct list clients;
    struct map user_clients;       /* of user_index.c */
    struct list worker_calls;      /* open ones: worker_calls.h */
    _Atomic size_t emulated_bytes; /* on their way to other workers: emulated.h */
    struct single_connections single;
    struct list gone;          /* clients to be freed at the end of the turn */
    struct list urgent, bulk;  /* clients with something to write */
    size_t touched_count;      /* put there since the last flush was over */
    uint64_t pending_since_us; /* when the oldest unflushed message was queued; 0: none */
    size_t pending_bytes;      /* of the messages queued since, each counted once */
    uint64_t now_ms;           /* of this turn */
    size_t client_count;
    struct frame *pings[PROTOCOL_COUNT];
    struct sessions_slot *slots;
    uint32_t slot_count, first_free_slot;
    struct buf scratch, scratch2, reply; /* for protocols, within one call */
    bool is_draining;                    /* shutting down: new connections are refused */
};

void sessions_init(struct sessions *s);

/* All clients must be gone. */
void sessions_fini(struct sessions *s);

/* A message or a reply from the mailbox; takes it. */
void sessions_take(struct sessions *s, struct mail mail);

bool sessions_has_pending(const struct sessions *s);

/* True when it is time to write: nothing new came in this turn, or what is pending is old or much.
 */
bool sessions_flush_is_due(const struct sessions *s, bool had_input);

/* Writes to clients for at most SESSIONS_FLUSH_MAX_US. */
void sessions_flush(struct sessions *s);

/* At the end of each loop turn: frees clients that are gone, takes the time. */
void sessions_turn_end(struct sessions *s);

/* Every WHEEL_TICK_MS: deadlines. */
void sessions_tick(struct sessions *s);

/* Begins to close up to max_count clients with a reason; false when none was left. */
bool sessions_close_some(struct sessions *s, size_t max_count, enum close_reason reason);

/* NULL when that client is gone. */
struct client *sessions_find(const struct sessions *s, struct client_handle h);

/* --- for client.c ----------------------------------------------------------------------------- */

void sessions_add(struct sessions *s, struct client *c);
void sessions_gone(struct sessions *s, struct client *c);

/* c has something to write. */
void sessions_touch(struct sessions *s, struct client *c, bool is_urgent);

/* A message of this size is on its way to clients. */
void sessions_note_pending(struct sessions *s, size_t bytes);

#endif
