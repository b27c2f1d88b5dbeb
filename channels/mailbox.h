/* Many writers, one reader: how threads hand things to a worker. Posting never blocks on the reader
 * and never fails.
 *
 * Replies and control messages are always accepted: their number is bounded by the calls that are
 * open. Messages are bounded in bytes: over the mark a message is dropped for this reader only and
 * counted, because a slow worker must hurt only itself. The reader is woken only when the mailbox
 * was empty, by a callback given at init, so that channels/ needs no event loop.
 *
 * Owns: one reference of each message inside. Thread: post from any, take from the reader.
 */
#ifndef CARILLON_CHANNELS_MAILBOX_H
#define CARILLON_CHANNELS_MAILBOX_H

#include "channels/msg.h"

#include <pthread.h>

struct reply;   /* channels/broker.h */
struct control; /* a note from another thread: `run` is called on the reader's thread, once */

typedef void control_fn(struct control *c, void *reader);
struct control {
    control_fn *run; /* frees it, or hands it back */
};

enum mail_kind { MAIL_MSG, MAIL_REPLY, MAIL_CONTROL };

struct mail {
    enum mail_kind kind;
    union {
        struct msg *msg;
        struct reply *reply;
        struct control *control;
    };
};

typedef void mailbox_wake_fn(void *arg);

struct mailbox {
    pthread_mutex_t lock;
    /* guarded by lock: */
    struct mail *items;
    size_t count, capacity;
    size_t msg_bytes;       /* of the messages inside, and of those the reader has in hand */
    uint64_t dropped_count; /* messages refused since start */
    /* of the reader: */
    struct mail *taken;
    size_t taken_count, taken_at, taken_capacity;
    size_t read_bytes; /* of the messages taken since the last look under the lock */
    /* constant: */
    size_t mark_bytes;
    mailbox_wake_fn *wake;
    void *wake_arg;
};

void mailbox_init(struct mailbox *m, size_t mark_bytes, mailbox_wake_fn *wake, void *wake_arg);

/* Must be empty of replies and control; messages inside are dropped. */
void mailbox_fini(struct mailbox *m);

/* Keeps a reference. False when it was dropped because the mailbox is over its mark. */
bool mailbox_post_msg(struct mailbox *m, struct msg *msg);

void mailbox_post_reply(struct mailbox *m, struct reply *r);
void mailbox_post_control(struct mailbox *m, struct control *c);

/* The next one, in the order of posting; false when there is none. Gives the reference of a
 * message. */
bool mailbox_take(struct mailbox *m, struct mail *out);

/* For the reader: anything left to take? */
bool mailbox_is_empty(struct mailbox *m);

uint64_t mailbox_dropped_count(struct mailbox *m);

#endif
