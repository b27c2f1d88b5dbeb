/* The options of Centrifugo v6 that Carillon does not have: see config_foreign.h.
 *
 * When an option becomes ours, its row moves from here to config_options.c. A new row needs a
 * decision: would somebody who set it be less safe without it? Then it is a guard.
 *
 * Owns: nothing. Thread: any.
 */
#include "server/config/config_foreign.h"

#define HARMLESS FOREIGN_HARMLESS
#define GUARD FOREIGN_GUARD

#define NO_MAP "map subscriptions are not supported"
#define NO_POLL "shared poll subscriptions are not supported"
#define NO_COMPRESSION "messages are not compressed"
#define NO_UNI "of the unidirectional transports only uni_sse is served"
#define NO_ADMIN "there is no admin page"
#define NO_PUBLIC_SPLIT "the API, metrics and health checks would be on the public port"
#define NO_PROXY "the application would not be asked"

static const struct foreign server_rows[] = {
    {"http_server.internal_address", FOREIGN_TEXT, GUARD, "", NO_PUBLIC_SPLIT},
    {"http_server.internal_port", FOREIGN_TEXT, GUARD, "", NO_PUBLIC_SPLIT},
    {"http_server.tls_external", FOREIGN_BOOL, GUARD, "", "TLS is not spoken"},
    {"http_server.tls_autocert", FOREIGN_SECTION, GUARD, "", "TLS is not spoken"},
    {"http_server.h2c_external", FOREIGN_BOOL, HARMLESS, "", "clients use HTTP/1.1"},
    {"http_server.http3", FOREIGN_SECTION, HARMLESS, "", "clients use HTTP/1.1"},
    {"log.file", FOREIGN_TEXT, HARMLESS, "", "the log goes to stderr"},
    {"node.info_metrics_aggregate_interval", FOREIGN_DURATION, HARMLESS, "60s",
     "nodes do not exchange metrics"},
    {"enable_unreleased_features", FOREIGN_BOOL, HARMLESS, "", "there are none"},
    {"prometheus.instrument_http_handlers", FOREIGN_BOOL, HARMLESS, "", "no such metrics"},
    {"prometheus.recovered_publications_histogram", FOREIGN_BOOL, HARMLESS, "", "no such metrics"},
    {"prometheus.native_histograms", FOREIGN_BOOL, HARMLESS, "", "histograms have fixed buckets"},
    {"init.enabled", FOREIGN_BOOL, HARMLESS, "", "there is no such endpoint"},
    {"init.handler_prefix", FOREIGN_TEXT, HARMLESS, "/connection/init",
     "there is no such endpoint"},
    {"http_api.error_mode", FOREIGN_TEXT, HARMLESS, "", "API errors have one form only"},
    {"http_api.external", FOREIGN_BOOL, HARMLESS, "", "the API is on the only port anyway"},
    {"admin.enabled", FOREIGN_BOOL, HARMLESS, "", NO_ADMIN},
    {"admin.handler_prefix", FOREIGN_TEXT, HARMLESS, "", NO_ADMIN},
    {"admin.password", FOREIGN_TEXT, HARMLESS, "", NO_ADMIN},
    {"admin.secret", FOREIGN_TEXT, HARMLESS, "", NO_ADMIN},
    {"admin.insecure", FOREIGN_BOOL, HARMLESS, "", NO_ADMIN},
    {"admin.web_path", FOREIGN_TEXT, HARMLESS, "", NO_ADMIN},
    {"admin.web_proxy_address", FOREIGN_TEXT, HARMLESS, "", NO_ADMIN},
    {"admin.external", FOREIGN_BOOL, HARMLESS, "", NO_ADMIN},
    {"broker", FOREIGN_SECTION, HARMLESS, "", "messages pass through engine.type only"},
    {"presence_manager", FOREIGN_SECTION, HARMLESS, "", "presence is kept by engine.type only"},
    {"map_broker", FOREIGN_SECTION, HARMLESS, "", NO_MAP},
    {"controller", FOREIGN_SECTION, HARMLESS, "", "nodes talk through engine.type only"},
    {"shared_poll", FOREIGN_SECTION, HARMLESS, "", NO_POLL},
    {"grpc_api", FOREIGN_SECTION, HARMLESS, "", "the API is served over HTTP only"},
    {"uni_grpc", FOREIGN_SECTION, HARMLESS, "", NO_UNI},
    {"consumers", FOREIGN_SECTION, HARMLESS, "", "nothing is consumed from other systems"},
    {"webtransport", FOREIGN_SECTION, HARMLESS, "", "clients use WebSocket"},
    {"swagger", FOREIGN_SECTION, HARMLESS, "", "there is no such page"},
    {"debug", FOREIGN_SECTION, HARMLESS, "", "there are no profiling pages"},
    {"opentelemetry", FOREIGN_SECTION, HARMLESS, "", "no traces are sent"},
    {"graphite", FOREIGN_SECTION, HARMLESS, "", "metrics are for Prometheus only"},
    {"usage_stats", FOREIGN_SECTION, HARMLESS, "", "no usage statistics are ever sent"},
    {.name = NULL},
};

static const struct foreign engine_rows[] = {
    {"client_name", FOREIGN_TEXT, HARMLESS, "", "links to Redis are named by the node"},
    {"force_resp2", FOREIGN_BOOL, HARMLESS, "", "RESP2 is always used"},
    {"cluster_address", FOREIGN_LIST, GUARD, "", "engine.redis.address would be used instead"},
    {"sentinel_client_name", FOREIGN_TEXT, HARMLESS, "", "links to Sentinel have no name"},
    {"replica_client.enabled", FOREIGN_BOOL, HARMLESS, "", "replicas are not read"},
    {"history_use_lists", FOREIGN_BOOL, HARMLESS, "", "the layout in Redis is our own"},
    {"presence_ttl", FOREIGN_DURATION, HARMLESS, "60s", "presence entries have a fixed life time"},
    {"presence_hash_field_ttl", FOREIGN_BOOL, HARMLESS, "", "the layout in Redis is our own"},
    {"presence_user_mapping", FOREIGN_BOOL, HARMLESS, "", "the layout in Redis is our own"},
    {.name = NULL},
};

static const struct foreign client_rows[] = {
    {"concurrency", FOREIGN_INT, HARMLESS, "", "commands of one connection run one by one"},
    {"channel_position_max_time_lag", FOREIGN_DURATION, HARMLESS, "",
     "only client.channel_position_check_delay counts"},
    {"user_connection_limit", FOREIGN_INT, GUARD, "",
     "one user could open any number of connections"},
    {"insecure_skip_token_signature_verify", FOREIGN_BOOL, HARMLESS, "",
     "signatures are always verified"},
    {"user_id_http_header", FOREIGN_TEXT, GUARD, "",
     "users named by that header would be taken for anonymous"},
    {"connect_code_to_unidirectional_disconnect.enabled", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {"connect_code_to_unidirectional_disconnect.transforms", FOREIGN_SECTION, HARMLESS, "", NO_UNI},
    {.name = NULL},
};

static const struct foreign tls_rows[] = {
    {"enabled", FOREIGN_BOOL, GUARD, "", NULL},
    {"cert_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"key_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"server_ca_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"client_ca_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"insecure_skip_verify", FOREIGN_BOOL, HARMLESS, "", "TLS is not spoken"},
    {"server_name", FOREIGN_TEXT, HARMLESS, "", "TLS is not spoken"},
    {.name = NULL},
};

/* Where TLS is spoken, as a client. */
static const struct foreign tls_client_rows[] = {
    {"client_ca_pem", FOREIGN_TEXT, GUARD, "",
     "it is for servers; server_ca_pem says who may sign the other side's certificate"},
    {.name = NULL},
};

static const struct foreign proxy_rows[] = {
    {"endpoint", FOREIGN_TEXT, GUARD, "", NULL},
    {"timeout", FOREIGN_DURATION, HARMLESS, "1s", NULL},
    {"http_headers", FOREIGN_LIST, HARMLESS, "", NULL},
    {"grpc_metadata", FOREIGN_LIST, HARMLESS, "", NULL},
    {"emulated_headers", FOREIGN_LIST, HARMLESS, "", NULL},
    {"binary_encoding", FOREIGN_BOOL, HARMLESS, "", NULL},
    {"include_connection_meta", FOREIGN_BOOL, HARMLESS, "", NULL},
    {"http.tls.enabled", FOREIGN_BOOL, GUARD, "", NULL},
    {"http.tls.cert_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"http.tls.key_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"http.tls.server_ca_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"http.tls.client_ca_pem", FOREIGN_TEXT, GUARD, "", NULL},
    {"http.tls.insecure_skip_verify", FOREIGN_BOOL, HARMLESS, "", "TLS is not spoken"},
    {"http.tls.server_name", FOREIGN_TEXT, HARMLESS, "", "TLS is not spoken"},
    {"http.static_headers", FOREIGN_SECTION, HARMLESS, "", NULL},
    {"http.status_to_code_transforms", FOREIGN_SECTION, HARMLESS, "", NULL},
    {"grpc", FOREIGN_SECTION, HARMLESS, "", NULL},
    {.name = NULL},
};

static const struct foreign switch_rows[] = {
    {"enabled", FOREIGN_BOOL, GUARD, "", NULL},
    {.name = NULL},
};

static const struct foreign name_rows[] = {
    {"name", FOREIGN_NAME, HARMLESS, "", NULL},
    {.name = NULL},
};

static const struct foreign rpc_rows[] = {
    {"proxy_enabled", FOREIGN_BOOL, GUARD, "", "RPC calls are answered with error 108"},
    {"proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_PROXY},
    {.name = NULL},
};

static const struct foreign rpc_general_rows[] = {
    {"ping.enabled", FOREIGN_BOOL, HARMLESS, "", "RPC calls are answered with error 108"},
    {"ping.method", FOREIGN_TEXT, HARMLESS, "ping", "RPC calls are answered with error 108"},
    {"namespace_boundary", FOREIGN_TEXT, HARMLESS, ":", "RPC calls are answered with error 108"},
    {.name = NULL},
};

static const struct foreign namespace_rows[] = {
    {"map_clients_presence_channel_prefix", FOREIGN_TEXT, HARMLESS, "", NO_MAP},
    {"map_users_presence_channel_prefix", FOREIGN_TEXT, HARMLESS, "", NO_MAP},
    {"allow_tags_filter", FOREIGN_BOOL, HARMLESS, "", "filters of clients are refused"},
    {"subscribe_proxy_enabled", FOREIGN_BOOL, GUARD, "", NO_PROXY " who may subscribe"},
    {"subscribe_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_PROXY},
    {"publish_proxy_enabled", FOREIGN_BOOL, GUARD, "", NO_PROXY " who may publish what"},
    {"publish_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_PROXY},
    {"sub_refresh_proxy_enabled", FOREIGN_BOOL, GUARD, "", NO_PROXY " who may stay subscribed"},
    {"sub_refresh_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_PROXY},
    {"subscribe_stream_proxy_enabled", FOREIGN_BOOL, GUARD, "", NO_PROXY " who may subscribe"},
    {"subscribe_stream_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_PROXY},
    {"subscribe_stream_proxy_bidirectional", FOREIGN_BOOL, HARMLESS, "", NO_PROXY},
    {"subscription_type", FOREIGN_TEXT, GUARD, "|stream", "channels would be plain streams"},
    {"map.mode", FOREIGN_TEXT, HARMLESS, "", NO_MAP},
    {"map.key_ttl", FOREIGN_DURATION, HARMLESS, "", NO_MAP},
    {"map.stream_size", FOREIGN_INT, HARMLESS, "", NO_MAP},
    {"map.stream_ttl", FOREIGN_DURATION, HARMLESS, "", NO_MAP},
    {"map.meta_ttl", FOREIGN_DURATION, HARMLESS, "", NO_MAP},
    {"map.remove_client_on_unsubscribe", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.client_key", FOREIGN_TEXT, HARMLESS, "", NO_MAP},
    {"map.allow_publish_for_client", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.allow_publish_for_subscriber", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.allow_publish_for_anonymous", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.allow_remove_for_client", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.allow_remove_for_subscriber", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.allow_remove_for_anonymous", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.publish_proxy_enabled", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.publish_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_MAP},
    {"map.remove_proxy_enabled", FOREIGN_BOOL, HARMLESS, "", NO_MAP},
    {"map.remove_proxy_name", FOREIGN_TEXT, HARMLESS, "|default", NO_MAP},
    {"map.default_page_size", FOREIGN_INT, HARMLESS, "", NO_MAP},
    {"map.min_page_size", FOREIGN_INT, HARMLESS, "", NO_MAP},
    {"map.max_page_size", FOREIGN_INT, HARMLESS, "", NO_MAP},
    {"map.live_transition_max_publication_limit", FOREIGN_INT, HARMLESS, "", NO_MAP},
    {"map.subscribe_catch_up_timeout", FOREIGN_DURATION, HARMLESS, "", NO_MAP},
    {"shared_poll.proxy_name", FOREIGN_TEXT, HARMLESS, "", NO_POLL},
    {"shared_poll.refresh_interval", FOREIGN_DURATION, HARMLESS, "", NO_POLL},
    {"shared_poll.refresh_batch_size", FOREIGN_INT, HARMLESS, "", NO_POLL},
    {"shared_poll.max_keys_per_connection", FOREIGN_INT, HARMLESS, "", NO_POLL},
    {"shared_poll.mode", FOREIGN_TEXT, HARMLESS, "", NO_POLL},
    {"shared_poll.channel_shutdown_delay", FOREIGN_DURATION, HARMLESS, "", NO_POLL},
    {"shared_poll.track_expired_extra_delay", FOREIGN_DURATION, HARMLESS, "", NO_POLL},
    {"shared_poll.publish_enabled", FOREIGN_BOOL, HARMLESS, "", NO_POLL},
    {.name = NULL},
};

static const struct foreign websocket_rows[] = {
    {"compression", FOREIGN_BOOL, HARMLESS, "", NO_COMPRESSION},
    {"compression_min_size", FOREIGN_INT, HARMLESS, "", NO_COMPRESSION},
    {"compression_level", FOREIGN_INT, HARMLESS, "1", NO_COMPRESSION},
    {"read_buffer_size", FOREIGN_INT, HARMLESS, "", "buffers have fixed sizes"},
    {"use_write_buffer_pool", FOREIGN_BOOL, HARMLESS, "", "buffers have fixed sizes"},
    {"write_buffer_size", FOREIGN_INT, HARMLESS, "", "buffers have fixed sizes"},
    {"write_timeout", FOREIGN_DURATION, HARMLESS, "1000ms",
     "slow readers are closed by client.queue_max_size and client.pong_timeout"},
    {"decompressed_message_size_limit", FOREIGN_INT, HARMLESS, "", NO_COMPRESSION},
    {.name = NULL},
};

static const struct foreign transport_rows[] = {
    {"uni_sse.connect_code_to_http_response", FOREIGN_SECTION, HARMLESS, "",
     "a refused connect is a disconnect push in the stream"},
    {"uni_http_stream.enabled", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {"uni_http_stream.handler_prefix", FOREIGN_TEXT, HARMLESS, "/connection/uni_http_stream",
     NO_UNI},
    {"uni_http_stream.max_request_body_size", FOREIGN_INT, HARMLESS, "65536", NO_UNI},
    {"uni_http_stream.connect_code_to_http_response", FOREIGN_SECTION, HARMLESS, "", NO_UNI},
    {"uni_websocket.enabled", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {"uni_websocket.handler_prefix", FOREIGN_TEXT, HARMLESS, "/connection/uni_websocket", NO_UNI},
    {"uni_websocket.message_size_limit", FOREIGN_INT, HARMLESS, "65536", NO_UNI},
    {"uni_websocket.disable_closing_handshake", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {"uni_websocket.disable_disconnect_push", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {"uni_websocket.join_push_messages", FOREIGN_BOOL, HARMLESS, "", NO_UNI},
    {.name = NULL},
};

#define CONNECT_PROXY NO_PROXY " who may connect"

const struct foreign_group config_foreign_groups[] = {
    {"", server_rows, NULL, false},
    {"", transport_rows, NULL, false},
    {"websocket.", websocket_rows, NULL, false},
    {"uni_websocket.", websocket_rows, NULL, false},
    {"http_server.tls.", tls_rows, "clients would talk in clear text", false},
    {"http_server.internal_tls.", tls_rows, "API calls would be in clear text", false},
    {"engine.redis.", engine_rows, NULL, false},
    {"engine.redis.tls.", tls_client_rows, NULL, false},
    {"engine.redis.sentinel_tls.", tls_client_rows, NULL, false},
    {"client.", client_rows, NULL, false},
    {"client.proxy.connect.", switch_rows, CONNECT_PROXY, false},
    {"client.proxy.connect.", proxy_rows, CONNECT_PROXY, false},
    {"client.proxy.refresh.", switch_rows, NO_PROXY " who may stay", false},
    {"client.proxy.refresh.", proxy_rows, NO_PROXY " who may stay", false},
    {"channel.without_namespace.", namespace_rows, NULL, false},
    {"channel.namespaces[].", namespace_rows, NULL, false},
    {"channel.proxy.subscribe.", proxy_rows, NO_PROXY " who may subscribe", false},
    {"channel.proxy.publish.", proxy_rows, NO_PROXY " who may publish what", false},
    {"channel.proxy.sub_refresh.", proxy_rows, NO_PROXY " who may stay subscribed", false},
    {"channel.proxy.subscribe_stream.", proxy_rows, NO_PROXY " who may subscribe", false},
    {"channel.proxy.map_publish.", proxy_rows, NO_MAP, false},
    {"channel.proxy.map_remove.", proxy_rows, NO_MAP, false},
    {"channel.proxy.shared_poll_refresh.", proxy_rows, NO_POLL, false},
    {"rpc.", rpc_general_rows, NULL, false},
    {"rpc.without_namespace.", rpc_rows, NULL, false},
    {"rpc.namespaces[].", name_rows, "", false},
    {"rpc.namespaces[].", rpc_rows, NULL, false},
    {"rpc.proxy.", proxy_rows, "RPC calls are answered with error 108", false},
    {"proxies[].", name_rows, "", false},
    {"proxies[].", proxy_rows, NO_PROXY, false},
    {.rows = NULL},
};
