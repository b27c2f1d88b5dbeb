/* The broker of many nodes: messages go through one Redis, which all of them share.
 *
 * Every key and channel in Redis starts with carillon:1:<prefix>: (1 is the version of the layout);
 * nothing else there is touched or believed. redis_shared.h lists the keys.
 *
 * Calls are posted to one thread, which talks to Redis over two connections. While Redis is away,
 * publish, attach and presence are answered BROKER_UNAVAILABLE at once, what is attached stays so
 * and is subscribed again later, and members stay members.
 *
 * Thread: any for the calls; create, stop and destroy one.
 */
#ifndef CARILLON_CHANNELS_BROKER_REDIS_H
#define CARILLON_CHANNELS_BROKER_REDIS_H

#include "channels/broker.h"
#include "channels/fanout.h"

enum { BROKER_REDIS_SENTINELS_MAX = 16 };

struct broker_redis_options {
    const char *host; /* a name or an IP address */
    uint32_t port;
    const char *unix_path; /* instead of host and port when not NULL */
    const char *user;      /* NULL or empty: the default user */
    const char *password;  /* NULL or empty: none */
    uint32_t db;
    struct redis_tls *tls; /* taken; NULL: none */
    /* With Sentinels, they say host and port. */
    struct broker_redis_sentinel {
        const char *host;
        uint32_t port;
    } sentinels[BROKER_REDIS_SENTINELS_MAX];
    uint32_t sentinel_count;
    const char *sentinel_master_name;
    const char *sentinel_user;      /* NULL or empty: the default user */
    const char *sentinel_password;  /* NULL or empty: none */
    struct redis_tls *sentinel_tls; /* taken; NULL: none */
    const char *prefix;
    const char *uid;  /* of this node and this run: 1 to 64 of 0-9 a-z A-Z - _ */
    const char *name; /* of this node, for whoever reads of it; NULL or empty: none */
    const struct control_sink *sink; /* borrowed until destroy; NULL: notes are not read */
    uint32_t connect_timeout_ms;
    uint32_t io_timeout_ms; /* more than 2,500 counts as 2,500: calls have a deadline */
    uint32_t beat_ms;       /* between heartbeats; a node is gone after 10; 0: 1,000 */
    /* After which silence a channel with history is compared with Redis; 0: 40,000. */
    uint32_t quiet_ms;
};

/* X(field, name, help): what the engine counts. */
#define BROKER_REDIS_COUNTERS(X)                                                                   \
    X(reconnects, "redis_reconnects_total", "Times Redis became reachable again.")                 \
    X(failovers, "redis_failovers_total", "Times another Redis than before was followed to.")      \
    X(garbage, "redis_garbage_total",                                                              \
      "Things found in our channels and keys of Redis that were not ours, and were ignored.")      \
    X(published, "redis_published_total", "Publications that Redis took.")                         \
    X(received, "redis_received_total", "Messages from Redis, this node's own included.")          \
    X(dropped, "redis_dropped_total",                                                              \
      "Publications refused: Redis was away, or too many were waiting.")                           \
    X(unknown, "redis_unanswered_total", "Publications sent to Redis and never answered.")         \
    X(history_reads, "redis_history_reads_total", "Times a history was read from Redis.")          \
    X(gaps, "redis_gaps_total", "Times publications of a channel did not come from Redis.")        \
    X(refilled, "redis_refilled_total", "Publications that did not come, read from the history.")  \
    X(lost, "redis_lost_total",                                                                    \
      "Times publications did not come and were gone from the history: subscribers were told.")    \
    X(duplicates, "redis_duplicates_total", "Publications that came and were read already.")       \
    X(acks_lost, "redis_acknowledged_lost_total",                                                  \
      "Channels that had lost an acknowledged publication: subscribers were told.")                \
    X(epoch_changes, "redis_epoch_changes_total",                                                  \
      "Times a channel in use began a new epoch: subscribers were told.")

/* The same for what is there now, taken ten times a second. */
#define BROKER_REDIS_GAUGES(X)                                                                     \
    X(channels, "redis_channels", "Channels that are subscribed in Redis.")                        \
    X(followed, "redis_followed_channels", "Those of them whose history is followed.")             \
    X(tail_bytes, "redis_tail_bytes", "Publications kept here for those who come back.")           \
    X(held_bytes, "redis_held_bytes", "Messages that wait for others which did not come.")         \
    X(open_calls, "redis_open_calls", "Calls that wait for Redis.")                                \
    X(open_bytes, "redis_open_bytes", "Bytes of these calls.")                                     \
    X(unanswered, "redis_unanswered_commands", "Commands that Redis has not answered yet.")

#define BROKER_REDIS_FIELD(field, name, help) _Atomic uint64_t field;
/* For the metrics. Thread: any. */
struct broker_redis_counters {
    BROKER_REDIS_COUNTERS(BROKER_REDIS_FIELD)
    BROKER_REDIS_GAUGES(BROKER_REDIS_FIELD)
};
#undef BROKER_REDIS_FIELD

/* Copies the options but for the sink, borrows the fanout, which must outlive the broker. Connects
 * in the background; NULL only when the process cannot have a thread or a descriptor for it. */
struct broker *broker_redis_create(const struct broker_redis_options *options,
                                   struct fanout *fanout);

/* Lives as long as the broker, which must be one of broker_redis_create(). */
const struct broker_redis_counters *broker_redis_counters(struct broker *b);

#endif
