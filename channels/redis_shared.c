/* See redis_shared.h.
 *
 * Thread: the Redis thread; the counters any.
 */
#include "channels/redis_shared.h"

#include "server/base/mem.h"

#include <assert.h>
#include <ctype.h>
#include <hiredis/hiredis.h>
#include <string.h>

bool redis_uid_is_valid(struct str uid) {
    if (uid.n == 0 || uid.n > REDIS_UID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < uid.n; i++)
        if (!isalnum((unsigned char)uid.p[i]) && uid.p[i] != '-' && uid.p[i] != '_')
            return false;
    return true;
}

void redis_shared_init(struct redis_shared *s, const char *prefix, const char *uid,
                       uint32_t beat_ms) {
    struct buf base = {0};
    assert(redis_uid_is_valid(str_of(uid)));
    buf_printf(&base, "carillon:1:%s:", prefix);
    s->base = mem_strndup(base.p, base.n);
    s->uid = mem_strndup(uid, strlen(uid));
    s->name = mem_strndup("", 0);
    s->beat_ms = beat_ms ? beat_ms : REDIS_BEAT_MS;
    buf_fini(&base);
}

void redis_shared_set_name(struct redis_shared *s, const char *name) {
    mem_free(s->name);
    s->name = mem_strndup(name ? name : "", name ? strlen(name) : 0);
}

void redis_shared_fini(struct redis_shared *s) {
    mem_free(s->base);
    mem_free(s->uid);
    mem_free(s->name);
}

struct str redis_name(const struct redis_shared *s, struct buf *b, const char *kind,
                      struct str rest) {
    buf_clear(b);
    buf_add_z(b, s->base);
    buf_add_z(b, kind);
    buf_add(b, rest);
    return buf_str(b);
}

bool redis_name_rest(const struct redis_shared *s, struct str name, const char *kind,
                     struct str *rest) {
    struct str base = str_of(s->base), kind_text = str_of(kind);
    if (!str_starts(name, base) || !str_starts(str_slice(name, base.n, name.n), kind_text))
        return false;
    *rest = str_slice(name, base.n + kind_text.n, name.n);
    return true;
}

void redis_count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

size_t redis_counters_list(const struct broker_redis_counters *n,
                           struct broker_counter out[BROKER_COUNTERS_MAX]) {
#define COUNTER(field, metric, text) {metric, text, n->field, false},
#define GAUGE(field, metric, text) {metric, text, n->field, true},
    const struct broker_counter rows[] = {BROKER_REDIS_COUNTERS(COUNTER)
                                              BROKER_REDIS_GAUGES(GAUGE)};
#undef COUNTER
#undef GAUGE
    _Static_assert(sizeof(rows) / sizeof(*rows) <= BROKER_COUNTERS_MAX, "they fit");
    memcpy(out, rows, sizeof(rows));
    return sizeof(rows) / sizeof(*rows);
}

struct str redis_text(const redisReply *reply) {
    bool is_text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
    return is_text ? (struct str){reply->str, reply->len} : STR_NONE;
}

bool redis_is_error(const redisReply *reply, const char *word) {
    return reply->type == REDIS_REPLY_ERROR &&
           str_starts((struct str){reply->str, reply->len}, str_of(word));
}

const char *redis_error_words(const redisReply *reply) {
    static const struct {
        const char *start, *words;
    } known[] = {
        {"WRONGPASS", "redis refuses the user name or the password"},
        {"ERR invalid password", "redis refuses the user name or the password"},
        {"NOAUTH", "redis wants a password"},
        {"ERR AUTH", "redis has no password set, but one is configured here"},
        {"ERR Client sent AUTH", "redis has no password set, but one is configured here"},
        {"NOPERM", "the user lacks a permission in redis"},
        {"ERR The user executing the script can't", "the user lacks a permission in redis"},
        {"LOADING", "redis is loading its data"},
        {"READONLY", "this redis is a read-only replica"},
        {"MASTERDOWN", "this redis is a replica without its master"},
        {"NOREPLICAS", "redis lacks replicas and refuses writes"},
        {"OOM", "redis has no memory left (maxmemory)"},
        {"MISCONF", "redis cannot save its data and refuses writes"},
        {"BUSY", "redis is busy with a script"},
        {"ERR max number of clients", "redis has too many clients"},
        {"ERR DB index", "redis has no database of this number"},
        {"WRONGTYPE", "a key of ours in redis has a foreign type"},
        {"NOSCRIPT", "redis forgets its scripts"},
        {"ERR unknown command", "redis does not know a command that is needed"},
        {"MOVED", "this redis is a cluster, which is not supported"},
        {"CROSSSLOT", "this redis is a cluster, which is not supported"},
        {"CLUSTERDOWN", "this redis is a cluster, which is not supported"},
        {"ERR Script attempted to access", "this redis is a cluster, which is not supported"},
        {"ERR SELECT is not allowed", "this redis is a cluster, which is not supported"},
        {"DENIED", "redis is in protected mode: it wants a password"},
    };
    if (reply->type != REDIS_REPLY_ERROR)
        return NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (redis_is_error(reply, known[i].start))
            return known[i].words;
    return "redis answers with an error";
}
