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

#include "auth/token.h"
#include "channels/broker.h"
#include "channels/hub.h"
#include "channels/rules.h"
#include "server/protocol/protocol.h"
#include "server/session/conflate.h"
#include "server/session/limits.h"
#include "server/session/outq.h"
#include "server/session/sync.h"
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

/* What few subscriptions have. */
struct subscription_extra {
    char *chan_info, *data;         /* JSON, or NULL */
    uint64_t expires_ms;            /* monotonic; 0: never */
    unsigned permissions;           /* bits of enum permission, from its token */
    struct channel_options options; /* of this subscription alone */
};

enum subscription_state {
    SUBSCRIPTION_SYNCING, /* waits for the broker; messages are held: sync.h */
    SUBSCRIPTION_LIVE,
};

struct subscription {
    /* What a delivery touches, on one cache line. */
    struct hub_sub hub;
    struct client *client;
    const struct channel_options *options;
    union {
        uint32_t command_id;   /* syncing: the subscribe to be answered */
        uint32_t members_seen; /* live: for member_batch.c */
    };
    enum subscription_state state : 8;
    bool is_server_side : 1; /* given at connect, or by the back end */
    bool is_late : 1;        /* given to a connected client, which is not told of it yet */
    bool is_doomed : 1;      /* to be taken away as soon as it is live */
    bool is_attached : 1;    /* confirmed by the broker */
    bool is_synced : 1;      /* nothing to wait for; a server-side one waits for the others then */
    bool wants_joins : 1;    /* gets join and leave messages */
    bool is_member : 1;      /* its join was handed to the broker */
    bool is_positioned : 1;  /* each publication must be the next one */
    bool is_recoverable : 1;
    bool has_delta : 1;       /* negotiated */
    bool has_base : 1;        /* it has the publication that the next patch is made for */
    struct position position; /* of the last publication it got; when positioned */
    /* The rest. */
    struct list in_client;
    struct sync *sync;                /* NULL when live */
    struct subscription_extra *extra; /* NULL: none */
};

struct client {
    /* What a delivery touches, on as few cache lines as possible. */
    struct sessions *sessions;
    const struct protocol *protocol;
    struct list in_flush; /* in one of the flush lists of sessions, or alone */
    struct outq queue;
    enum client_state state : 8;
    enum close_reason reason : 8;
    bool is_urgent : 1;  /* in the urgent flush list */
    bool is_blocked : 1; /* waits for client_writable() */
    bool owes_pong : 1;
    bool is_paused : 1;
    bool has_farewell : 1;    /* queued or written: nothing may follow */
    bool is_admitted : 1;     /* the command that waits was within the limits */
    bool is_over_bytes : 1;   /* the message in hand exceeds the limit on bytes */
    bool is_finished : 1;     /* the farewell is written */
    bool is_token_bearer : 1; /* it came with a token */
    bool is_claiming : 1;     /* its number was asked for */
    const struct transport_ops *transport;
    void *conn; /* NULL once the transport is gone */
    /* The rest. */
    struct list in_sessions;
    struct list in_user; /* see user_index.h */
    struct list subscriptions;
    struct conflated *conflated; /* conflate.h; NULL for who keeps up */
    struct wheel_entry timer;
    const char *user;          /* NULL: anonymous; user_index.h owns it */
    char *conn_info;           /* JSON of the token's "info", or NULL */
    char *token_id;            /* its "jti", or NULL */
    char *session;             /* emulated.h; NULL: its wire goes both ways */
    int64_t token_issued_at_s; /* its "iat"; 0: none */
    struct buf deferred;       /* messages that wait; reading is paused */
    uint64_t opened_ms, ping_sent_ms, ping_due_ms;
    uint64_t expires_ms;               /* monotonic; 0: never */
    uint64_t subs_end_ms;              /* no subscription ends before; UINT64_MAX: none ends */
    uint64_t token_channels;           /* a hash of those that its token gave it */
    struct capabilities *capabilities; /* of its token; NULL: none */
    uint64_t scopes;                   /* of its token: scopes.h */
    uint64_t number; /* of a user who may have one connection only: single_connection.h */
    struct bucket commands, bytes, patience;
    uint32_t slot, generation; /* of its handle */
    uint32_t subscription_count;
    uint32_t open_calls; /* that the broker has not answered */
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

/* Sends the farewell behind what is queued (for CLOSE_SLOW instead of it, but for the rest of an
 * event that is written in part), and ends. */
void client_close(struct client *c, enum close_reason reason);

/* The same, as CLOSE_FORCED, with a code and a reason of the back end's own. */
void client_close_with(struct client *c, uint16_t code, struct str text);

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

struct client_subscribe {
    uint32_t command_id;
    struct str channel; /* not empty */
    struct str token;   /* empty: none */
    bool wants_join_leave, wants_position, wants_recoverable, wants_delta;
    bool recovers; /* from `since`, whose epoch is empty when the client knows none */
    bool fails_unrecoverable;
    struct position since;
};

/* Fills what the client knows of a channel, if anything: recovers, since, wants_delta. */
typedef void client_find_position_fn(const void *positions, struct str channel,
                                     struct client_subscribe *out);

struct client_connect {
    uint32_t command_id;
    struct str token;                       /* empty: none */
    client_find_position_fn *find_position; /* of the channels the server will give; may be NULL */
    const void *positions;
    bool keeps_token; /* it comes again with this one: a key that is awaited is no end of it */
    const struct str *wanted; /* channels to be given, too, as far as it may subscribe to them */
    size_t wanted_count;
};
void client_connect(struct client *c, const struct client_connect *q);

/* A new token for the live connection. */
void client_refresh(struct client *c, uint32_t command_id, struct str token);

/* A new token for a subscription. */
void client_sub_refresh(struct client *c, uint32_t command_id, struct str channel,
                        struct str token);

/* The connection ends some time after this moment unless a new token comes; 0: never. */
void client_set_expiry(struct client *c, uint64_t expires_ms);

/* A moment of the wall clock as one of the monotonic clock, for the above. */
uint64_t client_expiry_ms(const struct client *c, int64_t expires_at_s);

/* Seconds until the client must have refreshed; 0: it need not. */
uint32_t client_ttl_s(const struct client *c);

/* Seconds to a monotonic moment, at least 1; 0 for 0. */
uint32_t client_seconds_to(const struct client *c, uint64_t at_ms);

/* The same for a subscription. 0 for one that the server gave, too: it is not the client's. */
uint32_t subscription_ttl_s(const struct subscription *sub);

void client_subscribe(struct client *c, const struct client_subscribe *q);

/* Would a subscribe be refused, and why? ERROR_NONE: it would not. */
enum client_error client_check_subscribe(const struct client *c, struct str channel,
                                         const struct channel_options **o);

void client_unsubscribe(struct client *c, uint32_t command_id, struct str channel);

/* data is one JSON value without raw newlines between tokens; empty: the command had none. */
void client_publish(struct client *c, uint32_t command_id, struct str channel, struct str data);

/* Who is in a channel: EVENT_PRESENCE, with counts only or with the members. */
void client_presence(struct client *c, uint32_t command_id, struct str channel, bool wants_members);

/* How the channel's publications are kept. */
struct keep channel_keep(const struct channel_options *o);

struct client_history {
    uint32_t command_id;
    struct str channel;
    int32_t limit; /* negative: all that the server gives at once */
    bool has_since, is_reverse;
    struct position since;
};
void client_history(struct client *c, const struct client_history *q);

/* The largest publication: PUBLICATION_MAX_BYTES or a quarter of a client's queue, whichever is
 * less. */
uint32_t publication_max_bytes(const struct config *config);

/* What a back end gives to a client, itself or in a token. */
struct client_gift {
    struct str channel;
    const struct channel_options *options; /* constant, or copied when is_own_options */
    bool is_own_options;
    struct token_override override; /* of the options */
    unsigned permissions;           /* bits of enum permission */
    struct str info, data;          /* JSON, or empty */
    uint64_t expires_ms;            /* monotonic; 0: never */
    bool recovers;                  /* from `since` */
    struct position since;
};

/* Subscribes the client; the channel is server-side then. Nothing changes for one that is
 * subscribed already. */
void client_give(struct client *c, const struct client_gift *g);

/* Takes the subscription away, if there is one, and tells the client in any case. A subscribe that
 * is under way is answered first. */
void client_take_away(struct client *c, struct str channel);

/* What the subscription says of its subscriber, as JSON; or empty. */
struct str subscription_info(const struct subscription *sub);

/* Monotonic; the connection ends at some time after that. UINT64_MAX: it need not. */
uint64_t subscription_end_ms(const struct subscription *sub);

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

/* The client as the rules see it in a channel, with its subscription there, or NULL. */
struct rules_actor client_actor(const struct client *c, struct str channel,
                                const struct subscription *sub);

/* token_verify(), what the configuration asks beyond that, and a line in the log when it is
 * refused. */
enum token_result client_verify(const struct client *c, struct str token,
                                const struct token_policy *policy, struct token_claims *claims);

/* Sets what tokens must be, from the configuration. */
void client_tokens_init(struct sessions *s);

/* As client_subscribe(), when there is a token: it permits what options do not. */
void client_subscribe_with_token(struct client *c, const struct client_subscribe *q);

/* May one more channel be subscribed to, permissions aside? */
enum client_error client_check_room(const struct client *c, struct str channel,
                                    const struct channel_options **o);

/* Subscribes to the channels that the server gives; the reply to connect follows when all are
 * confirmed (at once when there are none). */
struct client_join_all {
    uint32_t command_id;
    struct client_gift *gifts; /* their options are looked up */
    size_t gift_count;
    client_find_position_fn *find_position; /* NULL: nothing is recovered */
    const void *positions;
};
void client_join_all(struct client *c, const struct client_join_all *q);

/* The subscription's sync is over: the reply can be made, or the error. */
void sync_done(struct subscription *sub, enum client_error error);

/* Enters the hub; the broker is asked when this is the worker's first subscriber. */
struct subscription *subscription_enter(struct client *c, struct str channel,
                                        const struct channel_options *o, uint32_t command_id);

/* The same for one that is given, with all that is given. */
struct subscription *subscription_enter_given(struct client *c, const struct client_gift *g,
                                              uint32_t command_id);

/* When the subscription expires; 0: never. */
void subscription_set_expiry(struct subscription *sub, uint64_t expires_ms);

/* A subscription of this client ends at that moment: its timer must know. */
void client_note_end(struct client *c, uint64_t end_ms);

/* What it gets of joins and history, of what the client asked for. */
void subscription_negotiate(struct subscription *sub, const struct client_subscribe *q);

/* Tells the client that its live subscription is over, and ends it. */
void subscription_take_away(struct subscription *sub, enum unsubscribe_reason why);

/* NULL is fine. */
void subscription_extra_free(struct subscription_extra *x);

/* Something is missing, and the client must know: takes the subscription away, or ends the
 * connection when the server gave it. */
void subscription_insufficient(struct subscription *sub);

/* Connected: tells the client and lets its pings begin. */
void client_connected(struct client *c, uint32_t command_id);

/* Takes all its subscriptions away. */
void client_leave_all(struct client *c);

/* A call of this client was answered: runs what waited. */
void client_call_answered(struct client *c);

/* How this subscriber gets the message. Call once per delivery: the answer counts as delivered. */
enum encoding subscription_encoding(struct subscription *sub, const struct msg *m);

/* Queues a frame for a live subscriber; borrows it. A client that is over its limit is closed,
 * which takes this subscription (and no other one of this channel) away. */
void subscription_deliver(struct subscription *sub, struct frame *f, bool is_urgent);

/* Frees it; conn must be gone. */
void client_destroy(struct client *c);

#endif
