/* What the parts of the Redis broker share: names of keys and channels, counters, and the words for
 * Redis' errors.
 *
 * Names in Redis, behind carillon:1:<prefix>: :
 *
 *     ch:<channel>        pub/sub  envelopes of a channel
 *     beat:<uid>          pub/sub  a node's heartbeat to itself
 *     ctl                 pub/sub  notes to all nodes (cluster_envelope.h)
 *     ctl:<uid>           pub/sub  notes to one node
 *     presence:<channel>  HASH     client -> "<uid> <A or -><envelope of the join>", A: announced
 *     limits              HASH     channel -> join_leave_max_members, while somebody is there
 *     number              STRING   the last number that was given to a node
 *     members:<uid>       SET      "<client> <channel>" of all members of a node
 *     nodes               HASH     uid -> number of the node's last beat
 *     names               HASH     uid -> node.name
 *     swept:<uid>         STRING   the node's members were removed by others; expires in a day
 *     stream:<channel>    STREAM   publications, id = offset; expires with the history
 *     meta:<channel>      HASH     e epoch, s top offset, r era in which it was numbered,
 *                                  p and q the epoch before and its top, b an epoch that has lost
 *                                  something, v and w version and its epoch, t ms to live
 *     era                 STRING   "<run id of this Redis> <era>", 8 letters
 *     kept                HASH     bytes -> wall clock until which they are kept
 *     legacy              STRING   a node is there that does not know CRN2; expires in 5 s
 *     once:<bytes of channel>:<channel>:<key>
 *                         STRING   "<epoch> <offset>" of the publication with this idempotency key
 *
 * Owns: the names. Thread: the Redis thread, constant; the counters any.
 */
#ifndef CARILLON_CHANNELS_REDIS_SHARED_H
#define CARILLON_CHANNELS_REDIS_SHARED_H

#include "channels/broker_redis.h"
#include "channels/redis_link.h"
#include "server/base/buf.h"

#define REDIS_CHANNEL "ch:"
#define REDIS_BEAT "beat:"
#define REDIS_PRESENCE "presence:"
#define REDIS_MEMBERS "members:"
#define REDIS_CONTROL "ctl"
#define REDIS_CONTROL_ONE "ctl:"
#define REDIS_LIMITS "limits"
#define REDIS_NAMES "names"
#define REDIS_NODES "nodes"
#define REDIS_NUMBER "number"
#define REDIS_SWEPT "swept:"
#define REDIS_STREAM "stream:"
#define REDIS_META "meta:"
#define REDIS_ONCE "once:"
#define REDIS_ERA "era"
#define REDIS_LEGACY "legacy"
#define REDIS_KEPT "kept"

enum { REDIS_UID_MAX_BYTES = 64, REDIS_BEAT_MS = 1000 };

struct redis_shared {
    char *base; /* carillon:1:<prefix>: */
    char *uid;
    char *name; /* node.name, or empty */
    uint32_t beat_ms;
    struct broker_redis_counters counters;
};

/* beat_ms may be 0, for the usual one. */
void redis_shared_init(struct redis_shared *s, const char *prefix, const char *uid,
                       uint32_t beat_ms);

/* Copies it; NULL is empty. */
void redis_shared_set_name(struct redis_shared *s, const char *name);
void redis_shared_fini(struct redis_shared *s);

bool redis_uid_is_valid(struct str uid);

/* Builds base + kind + rest in the buffer, which is cleared first, and borrows it. */
struct str redis_name(const struct redis_shared *s, struct buf *b, const char *kind,
                      struct str rest);

/* Cuts base + kind off a name; false when it does not start so. */
bool redis_name_rest(const struct redis_shared *s, struct str name, const char *kind,
                     struct str *rest);

void redis_count(_Atomic uint64_t *counter);

/* All of them as the metrics take them; gives how many. Thread: any. */
size_t redis_counters_list(const struct broker_redis_counters *n,
                           struct broker_counter out[BROKER_COUNTERS_MAX]);

/* --- replies ---------------------------------------------------------------------------------- */

/* The text of a string or status reply, else STR_NONE. */
struct str redis_text(const struct redisReply *reply);

/* True when the reply is an error that begins with this word. */
bool redis_is_error(const struct redisReply *reply, const char *word);

/* Why Redis answered an error, in clear, static words; NULL for a reply that is none. The text of
 * Redis itself is not passed on: it may repeat what was sent, also a password. */
const char *redis_error_words(const struct redisReply *reply);

#endif
