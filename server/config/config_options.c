/* THE table of options: see config_options.h.
 *
 * A row is: name, type, field, smallest and largest value (of a text: its length), default, text.
 * Adding an option is adding a row here and a field in config.h; the default is parsed like any
 * other value, so a default out of its own range stops every test.
 *
 * Names and defaults are Centrifugo's where it has the same option; rows marked OPTION_OWN are
 * ours.
 *
 * Owns: nothing. Thread: any.
 */
#include "server/config/config_options.h"

#include "server/config/config_checks.h"
#include "server/config/config_value.h"

#include <assert.h>
#include <ctype.h>

#define AT(field) offsetof(struct config, field)

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define YEAR (UINT64_C(8760) * HOUR)
#define KIB 1024u
#define MIB (1024 * KIB)

#define TEXT_BYTES 4096u
#define PERSONAL "client.subscribe_to_user_personal_channel."
#define PREFIX_BYTES 200u
#define PEM_BYTES (64 * KIB)

/* A TLS client. A value of PEM_ROW is the text of a PEM file, base64 of it, or a path. */
#define PEM_ROW(section, field, flags_, text_)                                                     \
    {                                                                                              \
        section, OPTION_TEXT, AT(field), 0, PEM_BYTES, "",                                         \
            .text = text_, .check = config_check_pem, .flags = OPTION_LINES | (flags_)             \
    }
#define TLS_ROWS(section, field, peer)                                                             \
    {section ".enabled",                                                                           \
     OPTION_BOOL,                                                                                  \
     AT(field.enabled),                                                                            \
     0,                                                                                            \
     0,                                                                                            \
     "false",                                                                                      \
     .text = "TLS 1.2 or newer to " peer "."},                                                     \
        PEM_ROW(section ".server_ca_pem", field.server_ca_pem, 0,                                  \
                "Who may sign the certificate of " peer "; empty = whom the system trusts."),      \
        PEM_ROW(section ".cert_pem", field.cert_pem, 0,                                            \
                "Our own certificate, with those between it and its CA; empty = none."),           \
        PEM_ROW(section ".key_pem", field.key_pem, OPTION_SECRET,                                  \
                "The key of our own certificate."),                                                \
        {section ".server_name",                                                                   \
         OPTION_TEXT,                                                                              \
         AT(field.server_name),                                                                    \
         0,                                                                                        \
         253,                                                                                      \
         "",                                                                                       \
         .text = "Host name or IP address that the certificate of " peer                           \
                 " must be for; empty = the host we connect to.",                                  \
         .check = config_check_host},                                                              \
    {                                                                                              \
        section ".insecure_skip_verify", OPTION_BOOL, AT(field.insecure_skip_verify), 0, 0,        \
            "false",                                                                               \
            .text = "Takes any certificate of " peer                                               \
                    ": whoever is in between can read and change all."                             \
    }

/* Keys of one kind of tokens. */
#define KEYS_ROWS(section, field)                                                                  \
    {section ".hmac_previous_secret_key",                                                          \
     OPTION_TEXT,                                                                                  \
     AT(field.hmac_previous_secret_key),                                                           \
     0,                                                                                            \
     TEXT_BYTES,                                                                                   \
     "",                                                                                           \
     .text = "The HMAC key before this one, whose tokens are still good; empty = none.",           \
     .flags = OPTION_SECRET},                                                                      \
        {section ".hmac_previous_secret_key_valid_until",                                          \
         OPTION_COUNT,                                                                             \
         AT(field.hmac_previous_secret_key_valid_until_s),                                         \
         0,                                                                                        \
         UINT32_MAX,                                                                               \
         "0",                                                                                      \
         .text = "Until when, in seconds since 1970; 0 = as long as the option is there."},        \
        PEM_ROW(section ".rsa_public_key", field.rsa_public_key, 0,                                \
                "Key of RS256, RS384, RS512, PS256, PS384 and PS512 tokens, at least 2048 bits."), \
        PEM_ROW(                                                                                   \
            section ".ecdsa_public_key", field.ecdsa_public_key, 0,                                \
            "Key of ES256 (P-256), ES384 (P-384) or ES512 (P-521) tokens: its curve decides."),    \
        PEM_ROW(section ".ed25519_public_key", field.ed25519_public_key, OPTION_OWN,               \
                "Key of EdDSA tokens."),                                                           \
        {section ".jwks_file",                                                                     \
         OPTION_TEXT,                                                                              \
         AT(field.jwks_file),                                                                      \
         0,                                                                                        \
         1000,                                                                                     \
         "",                                                                                       \
         .text = "Path of a JSON Web Key Set, read at the start; `kid` of a token names its key. " \
                 "The keys above are not used then.",                                              \
         .flags = OPTION_OWN},                                                                     \
        {section ".jwks_public_endpoint",                                                          \
         OPTION_TEXT,                                                                              \
         AT(field.jwks_public_endpoint),                                                           \
         0,                                                                                        \
         1000,                                                                                     \
         "",                                                                                       \
         .text = "URL of a JSON Web Key Set, fetched now and then, and when a token names a key "  \
                 "that is not in it. The keys above are not used then."},                          \
        {section ".insecure_skip_jwks_endpoint_safety_check",                                      \
         OPTION_BOOL,                                                                              \
         AT(field.insecure_skip_jwks_endpoint_safety_check),                                       \
         0,                                                                                        \
         0,                                                                                        \
         "false",                                                                                  \
         .text = "Takes an http:// URL of another machine: whoever is in between can give keys "   \
                 "of their own."},                                                                 \
        {section ".jwks_refresh_interval",                                                         \
         OPTION_DURATION,                                                                          \
         AT(field.jwks_refresh_interval_ms),                                                       \
         1 * SECOND,                                                                               \
         24 * HOUR,                                                                                \
         "10m",                                                                                    \
         .text = "How often the set is fetched. A key taken out of it is good until then.",        \
         .flags = OPTION_OWN},                                                                     \
    {                                                                                              \
        section ".jwks_retry_interval", OPTION_DURATION, AT(field.jwks_retry_interval_ms), 100,    \
            1 * HOUR, "10s",                                                                       \
            .text =                                                                                \
                "The shortest time between two fetches: after a failure, or for unknown keys.",    \
            .flags = OPTION_OWN                                                                    \
    }

/* What the claims of a kind of tokens must be. */
#define SUBSCRIPTION_TOKEN "client.subscription_token"
#define CLAIM_ROW(section, field, text_)                                                           \
    { section, OPTION_TEXT, AT(field), 0, 1000, "", .text = text_ }
#define CLAIMS_ROWS(section, field)                                                                \
    CLAIM_ROW(section ".audience", field.audience,                                                 \
              "What the claim `aud` of a token must be, or hold; empty = anything."),              \
        CLAIM_ROW(section ".audience_regex", field.audience_regex,                                 \
                  "The same as a pattern, in Go's syntax, for a part of it: ^ and $ mean all."),   \
        CLAIM_ROW(section ".issuer", field.issuer,                                                 \
                  "What the claim `iss` must be; empty = anything."),                              \
        CLAIM_ROW(section ".issuer_regex", field.issuer_regex, "The same as a pattern."),          \
        CLAIM_ROW(                                                                                 \
            section ".user_id_claim", field.user_id_claim,                                         \
            "The claim with the user's id, `a.b` for one inside of another; empty = `sub`."),      \
    {                                                                                              \
        section ".leeway", OPTION_SECONDS, AT(field.leeway_s), 0, 60 * SECOND, "0",                \
            .text = "How far `exp`, `nbf` and `expire_at` may be off, where clocks are.",          \
            .flags = OPTION_OWN                                                                    \
    }

const struct option config_options[] = {
    {"workers", OPTION_COUNT, AT(workers), 0, 64, "0",
     .text = "Worker threads, each with its own event loop; 0 = one per core this process may use "
             "(at most "
             "64).",
     .flags = OPTION_OWN},

    {"http_server.address", OPTION_TEXT, AT(http_server_address), 0, 112, "",
     .text = "Address to listen on: empty = all, an IP address, `localhost` (127.0.0.1) or "
             "`unix:/path`.",
     .check = config_check_address},
    {"http_server.port", OPTION_COUNT, AT(http_server_port), 0, 65535, "8000",
     .text = "TCP port; 0 = the kernel picks a free one."},
    {"http_server.backlog", OPTION_COUNT, AT(backlog), 1, 65535, "1024",
     .text = "Connections the kernel queues for each worker before they are accepted.",
     .flags = OPTION_OWN},

    {"log.level", OPTION_WORD, AT(log_level), 0, 0, "info",
     .text = "The least important lines to log. `trace` is the same as debug, `fatal` as error.",
     .words = "debug info warn error none trace fatal"},
    {"log.format", OPTION_WORD, AT(log_format), 0, 0, "text",
     .text = "Lines for people, or one JSON object per line.", .words = "text json",
     .flags = OPTION_OWN},

    {"engine.type", OPTION_WORD, AT(engine_type), 0, 0, "memory",
     .text =
         "Where messages pass: inside this process, or through Redis, which several nodes share.",
     .words = "memory redis"},
    {"engine.redis.address", OPTION_LIST, AT(engine_redis_address), 1, 500,
     "redis://127.0.0.1:6379",
     .text =
         "The Redis server: `host:port`, `redis://[user:password@]host:port[/db]`, the same with "
         "`rediss://` for TLS, or `unix://[user:password@]/path[?db=N]`. One only: sharding is "
         "not supported. What it names wins over the options below.",
     .check = config_check_redis_address, .flags = OPTION_QUIET},
    {"engine.redis.prefix", OPTION_TEXT, AT(engine_redis_prefix), 1, 100, "centrifugo",
     .text = "Part of every key and channel in Redis; nodes with the same prefix are one server.",
     .check = config_check_redis_prefix},
    {"engine.redis.user", OPTION_TEXT, AT(engine_redis_user), 0, 200, "",
     .text = "User of a Redis ACL; empty = the default user."},
    {"engine.redis.password", OPTION_TEXT, AT(engine_redis_password), 0, TEXT_BYTES, "",
     .text = "Password for Redis; empty = none.", .flags = OPTION_SECRET},
    {"engine.redis.db", OPTION_COUNT, AT(engine_redis_db), 0, 65535, "0",
     .text = "Number of the Redis database."},
    {"engine.redis.connect_timeout", OPTION_DURATION, AT(engine_redis_connect_timeout_ms), 10,
     10 * MINUTE, "1s", .text = "Time to connect to Redis."},
    {"engine.redis.io_timeout", OPTION_DURATION, AT(engine_redis_io_timeout_ms), 10, 10 * MINUTE,
     "4s", .text = "Time in which Redis must answer before the link counts as broken."},
    TLS_ROWS("engine.redis.tls", engine_redis_tls, "Redis"),
    {"engine.redis.sentinel_address", OPTION_LIST, AT(engine_redis_sentinel_address), 1, 500, "",
     .text = "The Redis Sentinels, which name the Redis server: `host:port` each. With them "
             "`engine.redis.address` is not used.",
     .check = config_check_sentinel_address},
    {"engine.redis.sentinel_master_name", OPTION_TEXT, AT(engine_redis_sentinel_master_name), 0,
     200, "", .text = "The name under which Sentinel watches the Redis server."},
    {"engine.redis.sentinel_user", OPTION_TEXT, AT(engine_redis_sentinel_user), 0, 200, "",
     .text = "User of Sentinel's ACL; empty = the default user."},
    {"engine.redis.sentinel_password", OPTION_TEXT, AT(engine_redis_sentinel_password), 0,
     TEXT_BYTES, "", .text = "Password for Sentinel; empty = none.", .flags = OPTION_SECRET},
    TLS_ROWS("engine.redis.sentinel_tls", engine_redis_sentinel_tls, "Sentinel"),

    {"client.allowed_origins", OPTION_LIST, AT(client_allowed_origins), 1, 300, "",
     .text = "Origins of web pages that may connect, as `scheme://host[:port]`; `*` stands for "
             "anything, `?` "
             "for one character. Empty = no page may; clients that are no browsers send no Origin "
             "and may.",
     .check = config_check_origin},
    {"client.token.hmac_secret_key", OPTION_TEXT, AT(client_token_hmac_secret_key), 0, TEXT_BYTES,
     "",
     .text = "Key of HS256, HS384 and HS512 connection tokens; empty = such tokens are refused.",
     .flags = OPTION_SECRET},
    KEYS_ROWS("client.token", client_token_keys),
    CLAIMS_ROWS("client.token", client_token_claims),
    {"client.token.scopes", OPTION_LIST, AT(client_token_claims.scopes), 1, 500, "",
     .text = "What the words of the claim `scope` permit, a line each: SCOPE=PERMISSIONS=CHANNELS, "
             "such as `chat.read=sub+hst=chat:*`.",
     .check = config_check_scope, .flags = OPTION_OWN},
    {SUBSCRIPTION_TOKEN ".enabled", OPTION_BOOL, AT(client_subscription_token_enabled), 0, 0,
     "false",
     .text = "Subscription tokens have keys and claims of their own, the options below; else those "
             "of `client.token` count for them, too."},
    {SUBSCRIPTION_TOKEN ".hmac_secret_key", OPTION_TEXT,
     AT(client_subscription_token_hmac_secret_key), 0, TEXT_BYTES, "",
     .text = "Key of HS256, HS384 and HS512 subscription tokens; empty = such tokens are refused.",
     .flags = OPTION_SECRET},
    KEYS_ROWS(SUBSCRIPTION_TOKEN, client_subscription_token_keys),
    CLAIMS_ROWS(SUBSCRIPTION_TOKEN, client_subscription_token_claims),
    {"client.insecure", OPTION_BOOL, AT(client_insecure), 0, 0, "false",
     .text = "Everybody may connect and do everything. For development only."},
    {"client.allow_anonymous_connect_without_token", OPTION_BOOL,
     AT(client_allow_anonymous_connect_without_token), 0, 0, "false",
     .text = "Clients without a token may connect, as anonymous."},
    {"client.disallow_anonymous_connection_tokens", OPTION_BOOL,
     AT(client_disallow_anonymous_connection_tokens), 0, 0, "false",
     .text = "Refuses tokens that name no user."},
    {"client.ping_interval", OPTION_DURATION, AT(client_ping_interval_ms), 1 * SECOND, 1 * HOUR,
     "25s", .text = "Time between pings to a client."},
    {"client.pong_timeout", OPTION_DURATION, AT(client_pong_timeout_ms), 100, 10 * MINUTE, "8s",
     .text = "Time in which a client must answer a ping; less than the ping interval."},
    {"client.stale_close_delay", OPTION_DURATION, AT(client_stale_close_delay_ms), 100, 10 * MINUTE,
     "10s", .text = "Time in which a new connection must send its connect command."},
    {"client.expired_close_delay", OPTION_DURATION, AT(client_expired_close_delay_ms), 0, 24 * HOUR,
     "25s", .text = "Time a client has to refresh an expired token before it is closed."},
    {"client.expired_sub_close_delay", OPTION_DURATION, AT(client_expired_sub_close_delay_ms), 0,
     24 * HOUR, "25s",
     .text = "Time a client has to refresh an expired subscription before it ends."},
    {"client.channel_limit", OPTION_COUNT, AT(client_channel_limit), 1, 1000000, "128",
     .text = "Channels one connection may be subscribed to."},
    {"client.queue_max_size", OPTION_BYTES, AT(client_queue_max_size_bytes), 4 * KIB, 1024 * MIB,
     "1048576", .text = "Unsent bytes a connection may have before it is closed as slow."},
    {"client.connection_limit", OPTION_COUNT, AT(client_connection_limit), 0, 10000000, "0",
     .text = "Connections of this node; 0 = what the descriptor limit allows."},
    {"client.connection_rate_limit", OPTION_COUNT, AT(client_connection_rate_limit), 0, 1000000,
     "0", .text = "New connections per second of this node; 0 = no limit."},
    {"client.presence_update_interval", OPTION_DURATION, AT(client_presence_update_interval_ms),
     1 * SECOND, 1 * HOUR, "27s", .text = "Time between refreshes of presence entries."},
    {"client.connect_include_server_time", OPTION_BOOL, AT(client_connect_include_server_time), 0,
     0, "false", .text = "The connect reply carries the server's time."},
    {"client.channel_position_check_delay", OPTION_DURATION,
     AT(client_channel_position_check_delay_ms), 100, 24 * HOUR, "40s",
     .text = "Time after the last publication before the position of a subscriber is checked."},
    {"client.history_max_publication_limit", OPTION_COUNT, AT(client_history_max_publication_limit),
     0, 1000000, "300",
     .text = "Publications a client gets from one history command; 0 = no limit."},
    {"client.recovery_max_publication_limit", OPTION_COUNT,
     AT(client_recovery_max_publication_limit), 0, 1000000, "300",
     .text = "Missed publications that can be recovered at once; 0 = no limit."},
    {PERSONAL "enabled", OPTION_BOOL, AT(rules.has_personal_channels), 0, 0, "false",
     .text = "Subscribes every user to a channel of their own: `#USER` or `NAMESPACE:#USER`."},
    {PERSONAL "personal_channel_namespace", OPTION_TEXT, AT(rules.personal_namespace), 0, 100, "",
     .text = "Namespace of these channels; empty = none.", .check = config_check_namespace},
    {PERSONAL "single_connection", OPTION_BOOL, AT(client_personal_channel_single_connection), 0, 0,
     "false", .text = "A user's new connection closes the older ones; needs `presence` there."},
    {"client.command_rate_limit", OPTION_COUNT, AT(client_command_rate_limit), 0, 1000000, "0",
     .text = "Commands per second of one connection; 0 = no limit.", .flags = OPTION_OWN},
    {"client.command_rate_burst", OPTION_COUNT, AT(client_command_rate_burst), 0, 2000000, "0",
     .text = "Commands a connection may send at once after a pause; 0 = twice the rate.",
     .flags = OPTION_OWN},
    {"client.bytes_rate_limit", OPTION_BYTES, AT(client_bytes_rate_limit), 0, 1024 * MIB, "0",
     .text = "Bytes per second received from one connection; 0 = no limit.", .flags = OPTION_OWN},
    {"client.bytes_rate_burst", OPTION_BYTES, AT(client_bytes_rate_burst), 0, 2048 * MIB, "0",
     .text = "Bytes a connection may send at once after a pause; 0 = twice the rate.",
     .flags = OPTION_OWN},

    {"channel.max_length", OPTION_COUNT, AT(rules.name_max_bytes), 1, 4096, "255",
     .text = "Longest channel name, in bytes."},
    {"channel.private_prefix", OPTION_TEXT, AT(rules.private_prefix), 0, 8, "$",
     .text = "A channel whose name starts so needs a subscription token; empty = off.",
     .check = config_check_boundary},
    {"channel.namespace_boundary", OPTION_TEXT, AT(rules.namespace_boundary), 0, 8, ":",
     .text = "Ends the namespace in a channel name; empty = no namespaces.",
     .check = config_check_boundary},
    {"channel.user_boundary", OPTION_TEXT, AT(rules.user_boundary), 0, 8, "#",
     .text = "What follows it in a name is the list of users that may subscribe; empty = off.",
     .check = config_check_boundary},
    {"channel.user_separator", OPTION_TEXT, AT(rules.user_separator), 0, 8, ",",
     .text = "Separates the users in that list; empty = one user only.",
     .check = config_check_boundary},
    {"channel.history_meta_ttl", OPTION_SECONDS, AT(rules.history_meta_ttl_s), SECOND, 10 * YEAR,
     "720h", .text = "How long offset and epoch of a channel are kept after its last publication."},
    {"channel.publication_data_format", OPTION_WORD, AT(rules.publication_data_format), 0, 0, "",
     .text = "Payloads are JSON, whatever this says.", .words = " json"},

    {"http_api.disabled", OPTION_BOOL, AT(http_api_disabled), 0, 0, "false",
     .text = "No publish API at all."},
    {"http_api.handler_prefix", OPTION_TEXT, AT(http_api_handler_prefix), 2, PREFIX_BYTES, "/api",
     .text = "Path of the API: `/api/publish` and so on.", .check = config_check_prefix},
    {"http_api.key", OPTION_TEXT, AT(http_api_key), 0, TEXT_BYTES, "",
     .text = "Key that callers of the API send as `X-API-Key`; empty = every call is answered with "
             "401.",
     .flags = OPTION_SECRET},
    {"http_api.keys_file", OPTION_TEXT, AT(http_api_keys_file), 0, TEXT_BYTES, "",
     .text =
         "JSON file with more keys, as hashes, each with a name and scopes; `carillon key hash` "
         "makes them. Read again on SIGHUP.",
     .flags = OPTION_OWN},
    {"http_api.insecure", OPTION_BOOL, AT(http_api_insecure), 0, 0, "false",
     .text = "The API needs no key. For development only."},
    {"http_api.max_request_body_size", OPTION_BYTES, AT(http_api_max_request_body_bytes), 1 * KIB,
     64 * MIB, "1114112", .text = "Largest body of an API request.", .flags = OPTION_OWN},

    {"websocket.disabled", OPTION_BOOL, AT(websocket_disabled), 0, 0, "false",
     .text = "No WebSocket endpoint."},
    {"websocket.handler_prefix", OPTION_TEXT, AT(websocket_handler_prefix), 2, PREFIX_BYTES,
     "/connection/websocket", .text = "Path of the WebSocket endpoint.",
     .check = config_check_prefix},
    {"websocket.message_size_limit", OPTION_BYTES, AT(websocket_message_size_limit_bytes), 128,
     64 * MIB, "65536", .text = "Largest message a client may send."},
    {"websocket.fragment_limit", OPTION_COUNT, AT(websocket_fragment_limit), 1, 131072, "1024",
     .text = "Fragments one message may come in.", .flags = OPTION_OWN},

    {"sse.enabled", OPTION_BOOL, AT(sse_enabled), 0, 0, "true",
     .text = "Server-Sent Events for SDKs, where WebSocket cannot go (Centrifugo's default is "
             "false)."},
    {"sse.handler_prefix", OPTION_TEXT, AT(sse_handler_prefix), 2, PREFIX_BYTES, "/connection/sse",
     .text = "Path of that endpoint.", .check = config_check_prefix},
    {"sse.max_request_body_size", OPTION_BYTES, AT(sse_max_request_body_bytes), 128, MIB, "65536",
     .text = "Largest body of a POST there."},
    {"http_stream.enabled", OPTION_BOOL, AT(http_stream_enabled), 0, 0, "true",
     .text = "HTTP streaming for SDKs (Centrifugo's default is false)."},
    {"http_stream.handler_prefix", OPTION_TEXT, AT(http_stream_handler_prefix), 2, PREFIX_BYTES,
     "/connection/http_stream", .text = "Path of that endpoint.", .check = config_check_prefix},
    {"http_stream.max_request_body_size", OPTION_BYTES, AT(http_stream_max_request_body_bytes), 128,
     MIB, "65536", .text = "Largest body of a request there."},
    {"emulation.handler_prefix", OPTION_TEXT, AT(emulation_handler_prefix), 2, PREFIX_BYTES,
     "/emulation", .text = "Path where clients of the two above send their commands.",
     .check = config_check_prefix},
    {"emulation.max_request_body_size", OPTION_BYTES, AT(emulation_max_request_body_bytes), 128,
     MIB, "65536", .text = "Largest body of such a request."},

    {"uni_sse.enabled", OPTION_BOOL, AT(uni_sse_enabled), 0, 0, "false",
     .text = "Unidirectional Server-Sent Events: a connect in the URL, then pushes."},
    {"uni_sse.handler_prefix", OPTION_TEXT, AT(uni_sse_handler_prefix), 2, PREFIX_BYTES,
     "/connection/uni_sse", .text = "Path of that endpoint.", .check = config_check_prefix},
    {"uni_sse.max_request_body_size", OPTION_BYTES, AT(uni_sse_max_request_body_bytes), 128, MIB,
     "65536", .text = "Largest body of a POST there."},

    {"plain_sse.enabled", OPTION_BOOL, AT(sse_plain_enabled), 0, 0, "true",
     .text = "Server-Sent Events without an SDK: `GET /sse?channel=NAME`.", .flags = OPTION_OWN},
    {"plain_sse.handler_prefix", OPTION_TEXT, AT(sse_plain_handler_prefix), 2, PREFIX_BYTES, "/sse",
     .text = "Path of that endpoint.", .check = config_check_prefix, .flags = OPTION_OWN},
    {"plain_sse.max_request_body_size", OPTION_BYTES, AT(sse_plain_max_request_body_bytes), 128,
     MIB, "65536", .text = "Largest body of a POST there.", .flags = OPTION_OWN},
    {"plain_sse.heartbeat_interval", OPTION_DURATION, AT(sse_plain_heartbeat_interval_ms),
     1 * SECOND, 10 * MINUTE, "15s", .text = "Time between comment lines that keep a stream open.",
     .flags = OPTION_OWN},

    {"prometheus.enabled", OPTION_BOOL, AT(prometheus_enabled), 0, 0, "true",
     .text = "Metrics for Prometheus (Centrifugo's default is false)."},
    {"prometheus.handler_prefix", OPTION_TEXT, AT(prometheus_handler_prefix), 2, PREFIX_BYTES,
     "/metrics", .text = "Path of the metrics.", .check = config_check_prefix},
    {"health.enabled", OPTION_BOOL, AT(health_enabled), 0, 0, "true",
     .text = "Health and readiness checks (Centrifugo's default is false)."},
    {"health.handler_prefix", OPTION_TEXT, AT(health_handler_prefix), 2, PREFIX_BYTES, "/health",
     .text = "Path that answers 200 while the process serves.", .check = config_check_prefix},
    {"health.ready_handler_prefix", OPTION_TEXT, AT(health_ready_handler_prefix), 2, PREFIX_BYTES,
     "/ready", .text = "Path that answers 503 while the node drains or lacks its engine.",
     .check = config_check_prefix, .flags = OPTION_OWN},

    {"demo.enabled", OPTION_BOOL, AT(demo_enabled), 0, 0, "false",
     .text = "Serves the demo page at `/`. For development only.", .flags = OPTION_OWN},
    {"demo.path", OPTION_TEXT, AT(demo_path), 1, TEXT_BYTES, "web-demo",
     .text = "Folder of the demo page, the one with index.html.", .flags = OPTION_OWN},

    {"node.name", OPTION_TEXT, AT(node_name), 0, 200, "",
     .text = "Name of this node; empty = host name and port, `host_8000`."},
    {"shutdown.timeout", OPTION_DURATION, AT(shutdown_timeout_ms), 0, 1 * HOUR, "30s",
     .text = "Time to send what is queued after SIGTERM."},
    {"pid_file", OPTION_TEXT, AT(pid_file), 0, TEXT_BYTES, "",
     .text = "File to write the process id to; empty = none."},
    {.name = NULL},
};

const struct option *config_option_find(const struct option *list, struct str name) {
    for (const struct option *o = list; o->name; o++)
        if (str_equal(str_of(o->name), name))
            return o;
    return NULL;
}

void config_options_preset(const struct option *list, void *base) {
    for (const struct option *o = list; o->name; o++) {
        struct buf why = {0};
        bool is_set = option_set_text(base, o, o->preset, &why);
        assert(is_set && "a default must be in its own range");
        buf_fini(&why);
    }
}

void config_options_clear(const struct option *list, void *base) {
    for (const struct option *o = list; o->name; o++)
        option_clear(base, o);
}

/* Dots, dashes and brackets become "_". */
static char env_char(char c) {
    return isalnum((unsigned char)c) ? (char)toupper((unsigned char)c) : '_';
}

void config_env_name(struct buf *out, const char *section, const char *name) {
    buf_add_z(out, CONFIG_ENV_PREFIX);
    for (const char *c = section; *c; c++)
        buf_add_char(out, env_char(*c));
    if (*section)
        buf_add_char(out, '_');
    for (const char *c = name; *c; c++)
        buf_add_char(out, env_char(*c));
}

/* Takes part off the front of the variable; false when it does not begin so. */
static bool skip_part(struct str *variable, const char *part) {
    size_t n = 0;
    for (; part[n]; n++)
        if (n >= variable->n || variable->p[n] != env_char(part[n]))
            return false;
    *variable = str_slice(*variable, n, variable->n);
    return true;
}

/* The same as comparing with config_env_name(), without building it: a variable is compared with
 * some hundred names. */
bool config_env_matches(struct str variable, const char *section, const char *name, bool is_below) {
    return skip_part(&variable, CONFIG_ENV_PREFIX) && skip_part(&variable, section) &&
           (!*section || skip_part(&variable, ".")) && skip_part(&variable, name) &&
           (variable.n == 0 || (is_below && variable.p[0] == '_'));
}
