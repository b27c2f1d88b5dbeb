/* What a broker must do: carry messages from whoever publishes to every node and worker that has
 * subscribers. broker_memory serves one process, broker_redis many.
 *
 * Calls return at once. Every call with a reply answers it exactly once, through the mailbox named
 * in it, within BROKER_DEADLINE_MS, also when the broker is unreachable or is destroyed meanwhile.
 * Messages of one channel reach the fanout in one order, the same for all subscribers everywhere.
 *
 * attach() says that a worker wants a channel's messages; it is answered when they are certain to
 * come. Each worker attaches a channel once and detaches it once; the broker counts. The worker
 * adds itself to the fanout before it attaches, and removes itself before it detaches.
 *
 * Thread: any for all calls.
 */
#ifndef CARILLON_CHANNELS_BROKER_H
#define CARILLON_CHANNELS_BROKER_H

#include "channels/mailbox.h"

#define BROKER_DEADLINE_MS 3000

enum broker_result {
    BROKER_OK,
    BROKER_UNAVAILABLE, /* nothing was done */
    BROKER_UNKNOWN,     /* it was sent and no answer came: done or not */
};

/* One open call. The caller allocates it inside a struct of its own; the broker fills the result
 * and posts it; the worker that takes it from its mailbox calls done, which frees it. */
struct reply {
    struct mailbox *to;
    void (*done)(struct reply *r);
    enum broker_result result;
    struct position position; /* of a publication; offset 0: it is not in the history */
    uint64_t deadline_ms;     /* for the broker's own use, monotonic */
    struct reply *next;       /* for the broker's own use */
};

/* What join() and leave() do; flags. */
enum {
    MEMBER_KEEP = 1,     /* enter into, or take from, the channel's presence */
    MEMBER_ANNOUNCE = 2, /* publish it to the channel as a message */
};

struct member_options {
    unsigned flags;
    /* With both flags: it is announced only while the channel has at most so many members, who
     * joins or leaves counted; 0: always. Without presence there is no count, and no limit. */
    uint32_t max_members;
};

/* What a channel remembers of its publications; size or ttl_ms 0: nothing. */
struct keep {
    uint32_t size;
    uint64_t ttl_ms;      /* of all of them, since the last one */
    uint64_t meta_ttl_ms; /* of epoch and offset, since it was last published to or read */
};

/* How a publication is published; all zero: to whoever listens, and forgotten. */
struct publish_options {
    struct keep keep;
    bool skips_history;
    bool makes_delta;           /* a patch for the publication before, for those who want patches */
    struct str idempotency_key; /* the same key in this channel, within five minutes: not again */
    uint64_t version;           /* not above that of the channel: not published; 0: none */
    struct str version_epoch;
};

/* Publications that a channel remembers. */
struct history_reply {
    struct reply reply;
    /* in: */
    struct position since; /* exclusive; used when has_since */
    bool has_since;
    bool is_reverse;    /* newest first */
    uint32_t limit;     /* 0: only the position; UINT32_MAX: all */
    uint32_t max_bytes; /* of all items together; 0: as many as there are */
    /* What was published last may be missing, if it comes to the fanout after this answer. */
    bool may_lag;
    /* out: */
    struct position top;
    bool is_other_epoch; /* `since` is of an epoch that is gone: there are no items */
    bool is_cut;         /* there are more, but for max_bytes */
    struct msg **items;  /* history_reply_fini() frees them */
    uint32_t count;
};

/* Who is in a channel. */
struct presence_reply {
    struct reply reply;
    bool wants_members;    /* in: false when the counts are enough */
    struct msg **members;  /* out: kind MSG_JOIN; presence_reply_fini() frees them */
    uint32_t client_count; /* out */
    uint32_t user_count;   /* out: distinct */
};

/* A node, as the engine knows it. */
struct control_node {
    char *uid;
    char *name; /* its node.name, or empty */
};

/* A note to all nodes, taken by the engine. */
struct control_reply {
    struct reply reply;
    /* out: all nodes there are, this one included; control_reply_fini() frees them */
    struct control_node *nodes;
    size_t count;
};

/* What the engine keeps for nodes that start later: texts of at most KEPT_BYTES_MAX bytes, each
 * until a time, at most KEPT_MAX of them. */
enum { KEPT_BYTES_MAX = 1000, KEPT_MAX = 50000 };

struct kept_item {
    char *bytes;
    size_t n;
    int64_t until_s; /* wall clock */
};

struct kept_reply {
    struct reply reply;
    /* out: kept_reply_fini() frees them */
    struct kept_item *items;
    size_t count;
};

/* Where notes of other nodes go; set when an engine is created. Thread: the engine's. */
struct control_sink {
    void (*take)(void *arg, struct str bytes); /* borrows; it may be garbage */
    void (*up)(void *arg); /* it can serve again; what was told before is lost */
    void *arg;
};

enum { BROKER_COUNTERS_MAX = 32 };

/* A number for the metrics. */
struct broker_counter {
    const char *name; /* static: Prometheus name without the program's prefix */
    const char *help; /* static */
    uint64_t value;
    bool is_gauge; /* else it only grows */
};

struct broker;

struct broker_ops {
    const char *name;
    /* Takes m, borrows the options, of which NULL is all zero; r may be NULL when nobody waits. */
    void (*publish)(struct broker *b, struct msg *m, const struct publish_options *o,
                    struct reply *r);
    /* Copies the name. */
    void (*attach)(struct broker *b, struct str channel, struct reply *r);
    void (*detach)(struct broker *b, struct str channel);
    /* A client is in a channel, or leaves it, on this node. m is of kind MSG_JOIN or MSG_LEAVE,
     * with user, client and infos; takes m. With both flags it is announced only if the presence
     * changed. Nobody waits for it, but calls for one channel take effect in order. Borrows the
     * options. */
    void (*join)(struct broker *b, struct msg *m, const struct member_options *o);
    void (*leave)(struct broker *b, struct msg *m, const struct member_options *o);
    void (*presence)(struct broker *b, struct str channel, struct presence_reply *r);
    void (*history)(struct broker *b, struct str channel, struct history_reply *r);
    /* Forgets the publications; epoch and offset stay. */
    void (*history_remove)(struct broker *b, struct str channel, struct reply *r);
    /* NULL for this and the next: there is no node but this one.
     * Sends bytes, which it copies, to the node `to`, or to all, this one included. r, which may be
     * NULL, says whether they were taken, and who is there; without it false means that they were
     * not. Notes of one node reach each other node in order. */
    bool (*control)(struct broker *b, struct str to, struct str bytes, struct control_reply *r);
    /* Gives, as position.offset, a number above all that any node was given before. */
    void (*next_number)(struct broker *b, struct reply *r);
    /* Frees what is over; to be called some times a second. NULL: there is nothing to do. */
    void (*tick)(struct broker *b);
    /* NULL when it can serve, else why not, for /ready (static text). */
    /* Keeps bytes until a time; the later one when they are kept already. position.offset of the
     * answer is 1 when there are too many. NULL, with the next: the engine lives only as long as
     * the process. */
    void (*keep)(struct broker *b, struct str bytes, int64_t until_s, struct reply *r);
    /* All that is kept. */
    void (*kept)(struct broker *b, struct kept_reply *r);
    const char *(*trouble)(struct broker *b);
    /* Fills the numbers of this engine; gives how many. NULL: it has none. */
    size_t (*counters)(const struct broker *b, struct broker_counter out[BROKER_COUNTERS_MAX]);
    /* Answers every open reply and stops its threads; mailboxes must still be open. Later calls are
     * allowed and do nothing but answer BROKER_UNAVAILABLE. */
    void (*stop)(struct broker *b);
    /* After stop, when nobody calls any more. */
    void (*destroy)(struct broker *b);
};

struct broker {
    const struct broker_ops *ops;
};

/* Free what an answer holds, not the struct. */
void presence_reply_fini(struct presence_reply *r);
void history_reply_fini(struct history_reply *r);
void control_reply_fini(struct control_reply *r);

/* Hands a filled reply to its mailbox; NULL is fine. For brokers. */
void broker_answer(struct reply *r, enum broker_result result);

void kept_reply_fini(struct kept_reply *r);

#endif
