/* How calls of any thread reach the Redis thread: a queue that never blocks and is bounded.
 *
 * Publications and questions are bounded in number and bytes from their post until they are
 * answered, so this is also the bound of what is under way; over it a post is refused. What must
 * not get lost (detach, join, leave) is always taken: it is bounded by what is attached and who is
 * there.
 *
 * Owns: the calls inside. Thread: post from any, the rest from the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_INBOX_H
#define CARILLON_CHANNELS_REDIS_INBOX_H

#include "channels/broker.h"

enum redis_call_kind {
    CALL_PUBLISH,
    CALL_ATTACH,
    CALL_DETACH,
    CALL_JOIN,
    CALL_LEAVE,
    CALL_PRESENCE,
    CALL_HISTORY,
    CALL_HISTORY_REMOVE,
    CALL_CONTROL, /* the message's channel is the node, its data the note */
    CALL_NUMBER,
    CALL_KEEP, /* the channel is the end, the data what is kept */
    CALL_KEPT,
};

struct redis_call {
    struct redis_call *next;
    enum redis_call_kind kind;
    struct member_options member; /* of join and leave */
    struct msg *msg;              /* a reference, or NULL */
    struct reply *reply;          /* NULL: nobody waits */
    void *owner;                  /* for whoever waits for Redis with it */
    /* Of a publication; the texts lie behind the channel: */
    struct publish_options publish;
    bool is_kept;
    uint8_t attempts;  /* so far: of a question about history, of a script that was not there */
    bool is_read_for;  /* the reading that is under way began after it came */
    size_t size_bytes; /* as counted; 0: not bounded */
    size_t channel_bytes;
    char channel[]; /* when there is no message; else the texts of `publish` */
};

/* Calls in an order. */
struct redis_call_queue {
    struct redis_call *first, **last;
};

struct redis_inbox {
    pthread_mutex_t lock;
    /* guarded by lock: */
    struct redis_call *first, **last;
    size_t open_count, open_bytes; /* of the bounded calls that are not answered */
    bool is_closed;
    /* constant: */
    size_t max_count, max_bytes;
    void (*wake)(void *arg);
    void *wake_arg;
};

void redis_inbox_init(struct redis_inbox *b, void (*wake)(void *arg), void *wake_arg);

/* Frees what nobody took. */
void redis_inbox_fini(struct redis_inbox *b);

/* Gives a call; takes msg (may be NULL), copies the channel. */
struct redis_call *redis_call_create(enum redis_call_kind kind, struct msg *msg, struct str channel,
                                     struct reply *reply);

/* Gives a call to publish; takes msg, copies the options; o may be NULL. */
struct redis_call *redis_call_create_publish(struct msg *msg, const struct publish_options *o,
                                             struct reply *reply);

struct str redis_call_channel(const struct redis_call *c);

/* Takes the call and its message. False when the inbox is full or closed: then it is freed and not
 * answered. Thread: any. */
bool redis_inbox_post(struct redis_inbox *b, struct redis_call *c);

/* Gives all calls, linked in the order of posting. */
struct redis_call *redis_inbox_take(struct redis_inbox *b);

void redis_call_queue_init(struct redis_call_queue *q);

/* Takes the call. */
void redis_call_queue_add(struct redis_call_queue *q, struct redis_call *c);

/* Gives all, linked, and leaves the queue empty. */
struct redis_call *redis_call_queue_take(struct redis_call_queue *q);

/* Answers a call that was taken, if somebody waits, and frees it. */
void redis_call_end(struct redis_inbox *b, struct redis_call *c, enum broker_result result);

/* Bounded calls that are not answered. Thread: any. */
void redis_inbox_open(struct redis_inbox *b, size_t *count, size_t *bytes);

/* From now on nothing is taken. */
void redis_inbox_close(struct redis_inbox *b);

#endif
