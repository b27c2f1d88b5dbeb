/* See redis_options.h.
 *
 * Thread: one.
 */
#include "channels/redis_options.h"

#include "server/base/mem.h"
#include "server/base/secret.h"

#include <assert.h>
#include <string.h>

_Static_assert(IO_TIMEOUT_MAX_MS + 300 < BROKER_DEADLINE_MS, "a tick or two may pass");
_Static_assert((int)BROKER_REDIS_SENTINELS_MAX == (int)REDIS_SENTINELS_MAX, "they fit");

static const char *copy(const char *z) {
    return z ? mem_strndup(z, strlen(z)) : NULL;
}

static const char *copy_or_empty(const char *z) {
    return copy(z ? z : "");
}

static const char *copy_secret(const char *z) {
    return secret_copy(str_of(z ? z : ""));
}

static void drop(const char *z) {
    mem_free((char *)(uintptr_t)z);
}

static void wipe(const char *z) {
    secret_free((char *)(uintptr_t)z);
}

static void init_link(struct redis_link_options *to, const struct broker_redis_options *from) {
    *to = (struct redis_link_options){
        .target = {.host = copy(from->host),
                   .port = from->port,
                   .unix_path = copy(from->unix_path)},
        .tls = from->tls,
        .connect_timeout_ms = from->connect_timeout_ms,
        .io_timeout_ms =
            from->io_timeout_ms < IO_TIMEOUT_MAX_MS ? from->io_timeout_ms : IO_TIMEOUT_MAX_MS,
    };
}

static void init_sentinel(struct redis_sentinel_options *to,
                          const struct broker_redis_options *from) {
    *to = (struct redis_sentinel_options){
        .count = from->sentinel_count,
        .master_name = copy_or_empty(from->sentinel_master_name),
        .user = copy_or_empty(from->sentinel_user),
        .password = copy_secret(from->sentinel_password),
        .tls = from->sentinel_tls,
        .connect_timeout_ms = from->connect_timeout_ms,
    };
    assert(from->sentinel_count <= REDIS_SENTINELS_MAX);
    for (uint32_t i = 0; i < from->sentinel_count; i++)
        to->items[i] =
            (struct redis_endpoint){copy(from->sentinels[i].host), from->sentinels[i].port};
}

void redis_options_init(struct redis_pair_options *to, const struct broker_redis_options *from,
                        const char *uid) {
    init_link(&to->link, from);
    init_sentinel(&to->sentinel, from);
    to->user = copy_or_empty(from->user);
    to->password = copy_secret(from->password);
    to->db = from->db;
    to->uid = uid;
}

void redis_options_fini(struct redis_pair_options *o) {
    drop(o->link.target.host);
    drop(o->link.target.unix_path);
    drop(o->user);
    wipe(o->password);
    drop(o->sentinel.master_name);
    drop(o->sentinel.user);
    wipe(o->sentinel.password);
    for (uint32_t i = 0; i < o->sentinel.count; i++)
        drop(o->sentinel.items[i].host);
    redis_tls_destroy((struct redis_tls *)(uintptr_t)o->link.tls);
    redis_tls_destroy((struct redis_tls *)(uintptr_t)o->sentinel.tls);
}
