/* What a back end does to all connections of a user, wherever they are: subscribe, unsubscribe,
 * disconnect, refresh.
 *
 * A call goes to the workers that have the user, is done there client by client, and is answered
 * when all have done it. "Done" means: what is published, sent or asked from then on finds it so; a
 * client may still wait for the broker, and is told in the right order.
 *
 * Thread: the worker that calls; the answer comes there in a later turn.
 */
#ifndef CARILLON_SESSION_USER_CALLS_H
#define CARILLON_SESSION_USER_CALLS_H

#include "channels/broker.h"
#include "channels/rules.h"

struct sessions;
struct client;

enum user_action { USER_SUBSCRIBE, USER_UNSUBSCRIBE, USER_DISCONNECT, USER_REFRESH };

/* One request; what an action does not need is not looked at. */
struct user_call {
    enum user_action action;
    struct str user;    /* empty: the anonymous ones */
    struct str client;  /* only this one; empty: all */
    struct str session; /* only the one with this session id, which none has; empty: all */
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
    bool is_older_only; /* only connections that came before this one: */
    uint32_t number;
};

typedef void user_call_done_fn(void *arg, enum broker_result result);

/* Copies all of q. `done` is called once, in a later turn; NULL: nobody waits. */
void user_call_start(struct sessions *s, const struct user_call *q, user_call_done_fn *done,
                     void *arg);

/* This connection is to be the only one of its user: closes those that came before it. */
void user_call_close_older(struct client *c);

#endif
