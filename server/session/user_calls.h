/* What a back end does to all connections of a user, wherever they are: subscribe, unsubscribe,
 * disconnect, refresh.
 *
 * A call goes to the workers that have the user, on this node or on all, is done there client by
 * client, and is answered when all have done it. "Done" means: what is published, sent or asked
 * from then on finds it so; a client may still wait for the broker, and is told in the right order.
 *
 * Thread: the worker that calls; the answer comes there in a later turn.
 */
#ifndef CARILLON_SESSION_USER_CALLS_H
#define CARILLON_SESSION_USER_CALLS_H

#include "channels/broker.h"
#include "channels/rules.h"
#include "server/session/node_calls.h"

struct sessions;
struct client;

enum {
    USER_CALL_WHITELIST_MAX = 1000,
    USER_CALL_REASON_MAX = 123, /* bytes of a WebSocket close frame */
};

enum user_action { USER_SUBSCRIBE, USER_UNSUBSCRIBE, USER_DISCONNECT, USER_REFRESH };

/* One request; what an action does not need is not looked at. */
struct user_call {
    enum user_action action;
    struct str user;    /* empty: the anonymous ones */
    struct str client;  /* only this one; empty: all */
    struct str session; /* only the one with this id of emulated.h; empty: all */
    /* subscribe, unsubscribe: */
    struct str channel;
    /* subscribe: */
    const struct channel_options *options; /* constant, unless is_own_options */
    bool is_own_options;
    struct str data;
    bool recovers; /* from `since` */
    struct position since;
    /* subscribe: chan_info; refresh: a new conn_info. One JSON value, or empty. */
    struct str info;
    /* subscribe, refresh: wall clock; 0: never */
    int64_t expires_at_s;
    /* refresh: the connection is over */
    bool is_expired;
    /* disconnect: */
    const struct str *whitelist; /* client ids to spare */
    size_t whitelist_count;
    uint16_t code; /* 0: "force disconnect", and no text */
    struct str text;
};

typedef void user_call_done_fn(void *arg, enum broker_result result);

/* On this node. Copies all of q. `done` is called once, in a later turn; NULL: nobody waits. */
void user_call_start(struct sessions *s, const struct user_call *q, user_call_done_fn *done,
                     void *arg);

/* On all nodes, which answer without a body. Copies all of q. */
void user_call_everywhere(struct sessions *s, const struct user_call *q, node_call_fn *done,
                          void *arg);

/* The handler of NODE_USER. */
cluster_run_fn user_call_run;

#endif
