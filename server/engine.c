/* See engine.h.
 *
 * Thread: main.
 */
#include "server/engine.h"

#include "channels/broker_memory.h"
#include "channels/broker_redis.h"
#include "channels/redis_tls.h"
#include "server/base/log.h"
#include "server/config/config.h"

#include <string.h>

_Static_assert((int)CONFIG_SENTINELS_MAX <= (int)BROKER_REDIS_SENTINELS_MAX, "they fit");

/* False when it is on and cannot be used, though the configuration found it good. */
static bool make_tls(const struct config_tls *c, struct redis_tls **tls) {
    const struct redis_tls_options options = {
        .server_ca_pem = c->server_ca_pem,
        .cert_pem = c->cert_pem,
        .key_pem = c->key_pem,
        .server_name = c->server_name,
        .insecure_skip_verify = c->insecure_skip_verify,
    };
    *tls = c->enabled ? redis_tls_create(&options) : NULL;
    if (c->enabled && !*tls)
        log_error("cannot start error=\"the certificates or the key for TLS cannot be used\"");
    return *tls || !c->enabled;
}

static void name_sentinels(const struct config *c, struct broker_redis_options *o) {
    o->sentinel_count = c->engine_redis_sentinel_count;
    for (uint32_t i = 0; i < o->sentinel_count; i++)
        o->sentinels[i] = (struct broker_redis_sentinel){c->engine_redis_sentinels[i].host,
                                                         c->engine_redis_sentinels[i].port};
}

static struct broker *create_redis(const struct server *s) {
    const struct config *c = s->config;
    struct broker_redis_options options = {
        .host = c->engine_redis_host,
        .port = c->engine_redis_port,
        .unix_path = c->engine_redis_unix_path,
        .user = c->engine_redis_user,
        .password = c->engine_redis_password,
        .db = c->engine_redis_db,
        .sentinel_master_name = c->engine_redis_sentinel_master_name,
        .sentinel_user = c->engine_redis_sentinel_user,
        .sentinel_password = c->engine_redis_sentinel_password,
        .prefix = c->engine_redis_prefix,
        .uid = s->node.uid,
        .name = c->node_name,
        .sink = cluster_sink(s->cluster),
        .connect_timeout_ms = c->engine_redis_connect_timeout_ms,
        .io_timeout_ms = c->engine_redis_io_timeout_ms,
        .quiet_ms = c->client_channel_position_check_delay_ms,
    };
    name_sentinels(c, &options);
    if (!make_tls(&c->engine_redis_tls, &options.tls))
        return NULL;
    if (!make_tls(&c->engine_redis_sentinel_tls, &options.sentinel_tls)) {
        redis_tls_destroy(options.tls);
        return NULL;
    }
    struct broker *b = broker_redis_create(&options, s->fanout);
    if (!b)
        log_error("cannot start error=\"no thread or descriptor for the link to Redis\"");
    return b;
}

struct broker *engine_create(const struct server *s) {
    bool is_memory = strcmp(s->config->engine_type, "memory") == 0;
    return is_memory ? broker_memory_create(s->fanout) : create_redis(s);
}
