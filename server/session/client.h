/* One connection without its wire: identity, subscriptions, commands, output queue, time limits.
 *
 * A transport (net/ws.c) makes a client, feeds it whole messages and writes what it is told to. A
 * protocol turns messages into the client_* calls below and events into frames. A client that ends
 * is only marked; its memory goes at the end of the loop turn, when nobody up the stack still holds
 * it.
 *
 * Commands of one client run in the order in which they came. A command that must wait (for the
 * connect to finish, for a subscribe of the same channel, or because CLIENT_CALLS_MAX broker calls
 * are open) waits with everything behind it, and the transport stops reading meanwhile.
 *
 * Thread: the worker of the client.
 */
#ifndef CARILLON_SESSION_CLIENT_H
#define CARILLON_SESSION_CLIENT_H

#include "channels/broker.h"
#include "channels/hub.h"
#include "channels/rules.h"
#include "server/protocol/protocol.h"
#include "server/session/limits.h"
#include "server/session/outq.h"
#include "server/session/wheel.h"

struct sessions;

struct config;

#define CLIENT_CALLS_MAX 32
#define PUBLICATION_MAX_BYTES (1u << 20)
#define CLIENT_ID_BYTES 36 /* UUID version 4 as text */

/* What a client needs of its wire. `conn` is the transport's own. */
struct transport_ops {
    /* Writes whole frames, now; what the socket does not take is kept by the transport, which is
     * then blocked. False: the connection is dead (client_gone() follows later, from the loop). */
    bool (*write)(void *conn, const char *bytes, size_t n);
    /* True while the rest of an earlier write waits. The transport calls client_writable() after.
     */
    bool (*is_blocked)(void *conn);
    /* Stops or resumes reading. */
    void (*pause)(void *conn, bool is_paused);
    /* The farewell is written: ends our side, and reads on until the peer closes. */
    void (*finish)(void *conn);
    /* Ends the connection without another byte, soon, from the loop. */
    void (*kill)(void *conn);
    /* Writes the peer's address as text to out (cap bytes), for logs. */
    void (*peer)(void *conn, char *out, size_t cap);
};

enum client_state {
    CLIENT_NEW,        /* no connect command yet */
    CLIENT_CONNECTING, /* its server-side subscriptions wait for the broker */
    CLIENT_CONNECTED,
    CLIENT_REFUSED, /* connect was answered with an error: any further command is a bad request */
    CLIENT_CLOSING, /* farewell queued; waits for the peer to close */
    CLIENT_GONE,    /* no transport any more; freed at the end of the turn */
};

enum subscription_state {
    SUBSCRIPTION_SYNCING, /* waits for the broker; messages are held */
    SUBSCRIPTION_LIVE,
};

struct held; /* messages that came while a subscription was syncing */

struct subscription {
    struct hub_sub hub;
    struct client *client;
    struct list in_client;
    struct held *held; /* NULL when live */
    const struct channel_options *options;
    uint32_t command_id;
    enum subscription_state state : 8;
    bool is_server_side : 1; /* given at connect, by the token */
    bool is_attached : 1; /* confirmed by the broker; a server-side one waits for the others then */
    bool wants_joins : 1; /* gets join and leave messages */
    bool is_member : 1;   /* its join was handed to the broker */
};

struct client {
    /* What a delivery touches, on as few cache lines as possible. */
    struct sessions *sessions;
    const struct protocol *protocol;
    struct list in_flush; /* in one of the flush lists of sessions, or alone */
    struct outq queue;
    enum client_state state : 8;
    enum close_reason reason : 8;
    uint8_t open_calls;
    bool is_urgent : 1;  /* in the urgent flush list */
    bool is_blocked : 1; /* waits for client_writable() */
    bool owes_pong : 1;
    bool is_paused : 1;
    bool has_farewell : 1;  /* queued or written: nothing may follow */
    bool is_admitted : 1;   /* the command that waits was within the limits */
    bool is_over_bytes : 1; /* the message in hand exceeds the limit on bytes */
    bool is_finished : 1;   /* the farewell is written */
    const struct transport_ops *transport;
    void *conn; /* NULL once the transport is gone */
    /* The rest. */
    struct list in_sessions;
    struct list subscriptions;
    struct wheel_entry timer;
    char *user;          /* NULL: anonymous */
    char *conn_info;     /* JSON of the token's "info", or NULL */
    struct buf deferred; /* messages that wait; reading is paused */
    uint64_t opened_ms, ping_sent_ms, ping_due_ms;
    uint64_t expires_ms; /* monotonic; 0: never */
    struct bucket commands, bytes, patience;
    uint32_t slot, generation; /* of its handle */
    uint32_t subscription_count;
    char id[CLIENT_ID_BYTES];
};

/* --- for transports --------------------------------------------------------------------------- */

/* Gives a client that lives until client_gone(). */
struct client *client_create(struct sessions *s, const struct protocol *protocol,
                             const struct transport_ops *transport, void *conn);

/* One whole message. */
void client_receive(struct client *c, struct str message);

/* The transport is no longer blocked. */
void client_writable(struct client *c);

/* The transport is gone, or must not be written to any more; the client's memory goes at the end of
 * the turn. reason counts only when nobody gave one before. */
void client_gone(struct client *c, enum close_reason reason);

/* --- for protocols ---------------------------------------------------------------------------- */

/* Sends the farewell behind what is queued (for CLOSE_SLOW instead of it), and ends. */
void client_close(struct client *c, enum close_reason reason);

/* Queues a frame; takes one reference. A client that is over its queue limit is closed instead. */
void client_send(struct client *c, struct frame *f);

/* May a command that concerns this channel (STR_NONE: none) run now? If not, hand the rest of the
 * message, this command first, to client_defer(). */
bool client_may_run(const struct client *c, struct str channel);
void client_defer(struct client *c, struct str rest);

/* False, and the client is closed, when it was not asked for a pong. */
bool client_pong(struct client *c);

/* May this command run, or is the client over its limits? False: it was answered with "too many
 * requests", or the client was closed because it went on all the same. */
bool client_admit(struct client *c, uint32_t command_id);

struct client_connect {
    uint32_t command_id;
    struct str token; /* empty: none */
};
void client_connect(struct client *c, const struct client_connect *q);

/* A new token for the live connection. */
void client_refresh(struct client *c, uint32_t command_id, struct str token);

/* The connection ends some time after this moment unless a new token comes; 0: never. */
void client_set_expiry(struct client *c, uint64_t expires_ms);

/* Seconds until the client must have refreshed; 0: it need not. */
uint32_t client_ttl_s(const struct client *c);

struct client_subscribe {
    uint32_t command_id;
    struct str channel; /* not empty */
    bool wants_join_leave;
};
void client_subscribe(struct client *c, const struct client_subscribe *q);

/* Would a subscribe be refused, and why? ERROR_NONE: it would not. */
enum client_error client_check_subscribe(const struct client *c, struct str channel,
                                         const struct channel_options **o);

void client_unsubscribe(struct client *c, uint32_t command_id, struct str channel);

/* data is one JSON value without raw newlines between tokens; empty: the command had none. */
void client_publish(struct client *c, uint32_t command_id, struct str channel, struct str data);

/* Who is in a channel: EVENT_PRESENCE, with counts only or with the members. */
void client_presence(struct client *c, uint32_t command_id, struct str channel, bool wants_members);

/* The largest publication: PUBLICATION_MAX_BYTES or a quarter of a client's queue, whichever is
 * less. */
uint32_t publication_max_bytes(const struct config *config);

/* NULL when not subscribed. */
struct subscription *client_find(const struct client *c, struct str channel);

/* Answers with an error, and counts it. */
void client_fail(struct client *c, uint32_t command_id, enum client_error error);

/* --- for sessions ----------------------------------------------------------------------------- */

/* Writes what is queued until the transport blocks. */
void client_flush(struct client *c);

/* A deadline of the client passed. */
void client_timer(struct client *c, uint64_t now_ms);

/* Nobody on this worker wants the channel any more: tells fanout and broker, forgets it. */
void client_channel_idle(struct sessions *s, struct hub_channel *hc);

/* The options of a channel, or why it has none. */
enum client_error client_lookup(const struct client *c, struct str channel,
                                const struct channel_options **o);

/* The same for a command: false when it was answered with that error. */
bool client_find_options(struct client *c, uint32_t command_id, struct str channel,
                         const struct channel_options **o);

/* The client as the rules see it. */
struct rules_actor client_actor(const struct client *c, bool is_subscribed);

/* Subscribes to the channels of the token; the reply to connect follows when all are confirmed (at
 * once when there are none). */
void client_join_all(struct client *c, uint32_t command_id, const struct str *channels,
                     size_t channel_count);

/* Connected: tells the client and lets its pings begin. */
void client_connected(struct client *c, uint32_t command_id);

/* Takes all its subscriptions away. */
void client_leave_all(struct client *c);

/* A call of this client was answered: runs what waited. */
void client_call_answered(struct client *c);

/* Queues a message of a channel for one subscriber, or holds it while the subscriber is syncing;
 * borrows both. A client that is over its limit is closed, which takes this subscription (and no
 * other one of this channel) away. */
void subscription_deliver(struct subscription *sub, struct msg *m, struct frame *f, bool is_urgent);

/* Frees it; conn must be gone. */
void client_destroy(struct client *c);

#endif
