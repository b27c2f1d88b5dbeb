/* A wire protocol: turns text from a client into calls of session/client.h, and events into frames.
 *
 * An adapter holds no subscription, no permission and no socket; it neither includes another
 * protocol nor net/. Adding a protocol is one file and one line in `enum protocol_id`.
 *
 * Thread: the worker of the client.
 */
#ifndef CARILLON_PROTOCOL_H
#define CARILLON_PROTOCOL_H

#include "channels/msg.h"
#include "server/session/frame.h"
#include "server/session/reasons.h"

struct client;

enum event_kind {
    EVENT_ERROR,         /* the command failed: `error` */
    EVENT_CONNECTED,     /* reply to connect */
    EVENT_SUBSCRIBED,    /* reply to subscribe */
    EVENT_UNSUBSCRIBED,  /* reply to unsubscribe */
    EVENT_PUBLISHED,     /* reply to publish */
    EVENT_REFRESHED,     /* reply to refresh */
    EVENT_SUB_REFRESHED, /* reply to sub_refresh: `subscription` */
    EVENT_PRESENCE,      /* reply to presence or presence_stats: `presence` */
    EVENT_HISTORY,       /* reply to history: `history` */
    EVENT_REMOVED,       /* the server took a subscription away: `channel`, `removed_for` */
    EVENT_GIVEN,         /* the server subscribed a connected client: `subscription` */
    EVENT_RENEWED,       /* the server changed when the connection expires */
};

/* How a subscriber gets the data of publications. */
enum encoding {
    ENCODING_PLAIN, /* as it was published */
    ENCODING_WHOLE, /* the same, to one who may get patches */
    ENCODING_PATCH, /* as a patch for the publication before */
    ENCODING_COUNT
};

struct presence_reply;
struct history_reply;
struct subscription;
struct config;

/* Something to tell one client. Everything in it is borrowed for the call. */
struct event {
    enum event_kind kind;
    uint32_t command_id;
    enum client_error error;
    const struct presence_reply *presence;
    const struct history_reply *history;
    const struct subscription *subscription; /* also of EVENT_SUBSCRIBED */
    struct str channel;
    enum unsubscribe_reason removed_for;
};

enum protocol_id {
    PROTOCOL_CENTRIFUGO_WS,
    PROTOCOL_CENTRIFUGO_SSE,
    PROTOCOL_CENTRIFUGO_STREAM,
    PROTOCOL_CENTRIFUGO_UNI_SSE,
    PROTOCOL_SSE,
    PROTOCOL_SSE_NAMED,
    PROTOCOL_COUNT
};

struct protocol {
    enum protocol_id id;
    enum transport transport;
    /* One whole message from the client. NULL: clients of this protocol send none. */
    void (*receive)(struct client *c, struct str message);
    void (*event)(struct client *c, const struct event *e);
    /* Gives the frame of a channel's message, the same for all clients of the protocol that get it
     * in this encoding. */
    struct frame *(*encode)(const struct msg *m, enum encoding how);
    /* Gives the frame that says where a client stands; it goes before each publication that has a
     * position. NULL: publications say it themselves. Such a client is told of each subscription,
     * given ones too, with EVENT_SUBSCRIBED. */
    struct frame *(*place)(const struct client *c);
    /* Gives one frame with joins and leaves, in this order; at least one. NULL: it has_members not.
     */
    struct frame *(*encode_members)(struct msg *const *msgs, uint32_t count);
    /* Gives the frame of a ping, sent in this interval; is a pong owed for it? */
    struct frame *(*ping)(void);
    uint32_t (*ping_interval_ms)(const struct config *config);
    bool expects_pong;
    bool has_members; /* its clients can be told of joins and leaves */
    /* Gives the last frame before the connection ends; NULL for none. */
    struct frame *(*farewell)(enum close_reason r);
    /* The same with a code and a reason of the back end's own. NULL: as for CLOSE_FORCED. */
    struct frame *(*farewell_with)(uint16_t code, struct str text);
    /* The wire code of a reason, for logs and metrics. */
    uint16_t (*close_code)(enum close_reason r);
};

#endif
