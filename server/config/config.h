/* Configuration: ONE table of options. The parser for file, environment and command line, --help,
 * range errors and docs/configuration.md come from it.
 *
 * Order, later wins: defaults, file (--config FILE, JSON), environment
 * (CARILLON_CLIENT_PING_INTERVAL for client.ping_interval), command line
 * (--client.ping_interval=10s; short names --port, --address,
 * --workers, --log-level). Options that hold a secret are refused on the command line.
 *
 * Option names are Centrifugo v6's wherever we have the same thing. Every other Centrifugo option
 * is known too, as harmless (a warning) or as a guard (refused unless it has its default value, or
 * --ignore OPTION is given). An option that nobody knows is refused.
 *
 * The result is constant: nobody changes a struct config after start.
 *
 * Owns: all its strings. Thread: made and destroyed by main, read by all.
 */
#ifndef CARILLON_CONFIG_H
#define CARILLON_CONFIG_H

#include "auth/api_keys.h"
#include "auth/token.h"
#include "channels/rules.h"
#include "server/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct config_strings {
    char **items;
    size_t count;
};

/* A connection that this server opens. */
struct config_tls {
    bool enabled;
    bool insecure_skip_verify;
    /* PEM itself, whatever they were in the configuration; "" for none. Checked: they can be used.
     */
    char *cert_pem, *key_pem, *server_ca_pem;
    char *server_name; /* what the certificate is for; "" for the host we connect to */
};

enum { CONFIG_SENTINELS_MAX = 16 };

/* What tokens of one kind are signed with: client.token or client.subscription_token. */
struct config_keys {
    char *hmac_previous_secret_key;
    uint32_t hmac_previous_secret_key_valid_until_s; /* 0: always */
    /* Whatever they were in the configuration, PEM afterwards. "" for none. */
    char *rsa_public_key, *ecdsa_public_key, *ed25519_public_key; /* the last is our own */
    char *jwks_file;                                              /* own */
    char *jwks_public_endpoint;
    bool insecure_skip_jwks_endpoint_safety_check;
    uint32_t jwks_refresh_interval_ms, jwks_retry_interval_ms; /* own */

    struct jws_keys jws; /* made of these and the HMAC secret; the keys in it belong to this */
};

/* What claims tokens of one kind must have: client.token or client.subscription_token. */
struct config_claims {
    char *audience, *audience_regex, *issuer, *issuer_regex; /* "" for not looked at */
    char *user_id_claim;                                     /* "" for "sub" */
    uint32_t leeway_s;
    struct config_strings scopes; /* own; lines as scopes.h has them, of client.token only */
    struct pattern *audience_pattern, *issuer_pattern; /* the regexes, compiled; NULL: none */
    struct scopes *scope_table;                        /* NULL: none */
};

struct config_endpoint {
    char *host; /* a name or an IP address */
    uint32_t port;
};

struct config {
    uint32_t workers; /* 0 became the number of cores */

    char *http_server_address; /* "" all; an IP address; or "unix:/path" */
    uint32_t http_server_port;
    uint32_t backlog; /* own: http_server.backlog, 1024 */

    char *log_level;  /* debug info warn error none (Centrifugo's trace, fatal accepted) */
    char *log_format; /* own: "text" or "json" */

    char *engine_type;                          /* "memory" or "redis" */
    struct config_strings engine_redis_address; /* without user and password: fit for the log */
    char *engine_redis_host;                    /* from the address: a name or an IP address */
    uint32_t engine_redis_port;
    char *engine_redis_unix_path; /* from the address, instead of host and port; or NULL */
    struct config_tls engine_redis_tls;
    char *engine_redis_prefix;
    char *engine_redis_user;
    char *engine_redis_password;
    uint32_t engine_redis_db;
    uint32_t engine_redis_connect_timeout_ms;
    uint32_t engine_redis_io_timeout_ms;
    struct config_strings engine_redis_sentinel_address;
    /* From it; none: engine_redis_host is the Redis, else Sentinel names it. */
    struct config_endpoint engine_redis_sentinels[CONFIG_SENTINELS_MAX];
    uint32_t engine_redis_sentinel_count;
    char *engine_redis_sentinel_master_name;
    char *engine_redis_sentinel_user;
    char *engine_redis_sentinel_password;
    struct config_tls engine_redis_sentinel_tls;

    /* Lower case; of the patterns' characters only * (anything) and ? (one byte) are special. */
    struct config_strings client_allowed_origins;
    char *client_token_hmac_secret_key;
    struct config_keys client_token_keys, client_subscription_token_keys;
    struct config_claims client_token_claims;
    bool client_subscription_token_enabled; /* else the two above are for both kinds of tokens */
    char *client_subscription_token_hmac_secret_key;
    struct config_claims client_subscription_token_claims;
    bool client_insecure;
    bool client_allow_anonymous_connect_without_token;
    bool client_disallow_anonymous_connection_tokens;
    uint32_t client_ping_interval_ms;
    uint32_t client_pong_timeout_ms;
    uint32_t client_stale_close_delay_ms;
    uint32_t client_expired_close_delay_ms;
    uint32_t client_expired_sub_close_delay_ms;
    uint32_t client_channel_limit;
    uint32_t client_queue_max_size_bytes;
    uint32_t client_connection_limit;      /* per node; 0: what the descriptor limit allows */
    uint32_t client_connection_rate_limit; /* accepted per second and node; 0: no limit */
    uint32_t client_presence_update_interval_ms;
    bool client_connect_include_server_time;
    uint32_t client_channel_position_check_delay_ms;
    uint32_t client_history_max_publication_limit;  /* of one history command; 0: no limit */
    uint32_t client_recovery_max_publication_limit; /* of one recovery; 0: no limit */
    bool
        client_personal_channel_single_connection; /* client.subscribe_to_user_personal_channel.* */
    /* own: token buckets per connection; rate 0 = no limit, burst 0 became twice the rate */
    uint32_t client_command_rate_limit; /* client.command_rate_limit: commands/s */
    uint32_t client_command_rate_burst; /* client.command_rate_burst */
    uint32_t client_bytes_rate_limit;   /* client.bytes_rate_limit: bytes/s received */
    uint32_t client_bytes_rate_burst;   /* client.bytes_rate_burst */

    struct rules rules; /* channel.*, client.insecure, and the other options of personal channels */

    bool http_api_disabled;
    char *http_api_handler_prefix; /* "/api" */
    char *http_api_key;            /* secret */
    char *http_api_keys_file;      /* own: http_api.keys_file, see auth/api_keys.h */
    bool http_api_insecure;
    uint32_t
        http_api_max_request_body_bytes; /* own: http_api.max_request_body_size, 1 MiB + 64 KiB */

    bool websocket_disabled;
    char *websocket_handler_prefix;
    uint32_t websocket_message_size_limit_bytes;
    uint32_t websocket_fragment_limit; /* own: fragments of one message, 1024 */

    bool sse_enabled, http_stream_enabled, uni_sse_enabled; /* of SDKs; without one */
    char *sse_handler_prefix, *http_stream_handler_prefix, *emulation_handler_prefix,
        *uni_sse_handler_prefix;
    uint32_t sse_max_request_body_bytes, http_stream_max_request_body_bytes,
        emulation_max_request_body_bytes, uni_sse_max_request_body_bytes;

    bool sse_plain_enabled;                    /* own: plain_sse.enabled */
    char *sse_plain_handler_prefix;            /* own: plain_sse.handler_prefix, "/sse" */
    uint32_t sse_plain_max_request_body_bytes; /* own: plain_sse.max_request_body_size */
    uint32_t sse_plain_heartbeat_interval_ms;  /* own: plain_sse.heartbeat_interval, 15s */

    bool prometheus_enabled;
    char *prometheus_handler_prefix;
    bool health_enabled;
    char *health_handler_prefix; /* "/health"; readiness is own: health.ready_handler_prefix */
    char *health_ready_handler_prefix;

    bool demo_enabled; /* own: demo.enabled */
    char *demo_path;   /* own: demo.path, the folder with index.html */

    char *node_name; /* default: host name and port; with port 0 that says 0 */
    uint32_t shutdown_timeout_ms;
    char *pid_file;
};

enum config_action { CONFIG_RUN, CONFIG_EXIT_OK, CONFIG_EXIT_BAD };

/* Reads defaults, file, environment and command line. CONFIG_RUN gives *out (free with
 * config_destroy); --help and --version print to stdout and give CONFIG_EXIT_OK; anything wrong
 * prints one line per problem to stderr, naming source, option, what was found and what is allowed,
 * and gives CONFIG_EXIT_BAD. environ_list is a NULL-terminated "NAME=value" list. */
enum config_action config_load(int argc, char **argv, char **environ_list, struct config **out);

void config_destroy(struct config *c);

/* What a token of this kind must be; borrows from the configuration. */
struct token_policy config_token_policy(const struct config *c, enum token_kind kind);

/* Overwrites the values of variables that hold secrets, when they are read. */
void config_wipe_env(char **environ_list);

/* Gives the keys of http_api.keys_file; NULL with *why in words. *exposure says who else can read
 * the file; NULL: nobody. */
struct api_keys *config_read_api_keys(const char *path, const char **exposure, struct buf *why);

/* `carillon config check FILE`: prints what is used, what is ignored with a warning and what
 * refuses the start; the exit status, 0 when the file would start. */
int config_check(const char *path);

/* `carillon config init`: prints a configuration one can expose, with fresh random keys. */
int config_init(void);

/* `carillon config doc`: prints docs/configuration.md from the table. */
int config_doc(void);

#endif
