/* Centrifugo's options: all are known, a file with nothing but defaults is silent, and what
 * Carillon does not have is warned about or refused, as decided here row by row.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_foreign.c"

#include "tests/unit/centrifugo_options.h"
#include "tests/unit/config_testing.h"

#include "server/base/mem.h"
#include "server/config/config_names.h"
#include "server/config/config_options.h"

/* ---- building a file around one option ---- */

/* Appends {"a":{"b":[{"c":VALUE}]}} for a.b[].c. */
static void add_nested(struct buf *out, const char *name, const char *value) {
    const char *ends[32];
    size_t end_count = 0;
    while (true) {
        size_t n = strcspn(name, ".");
        bool is_list = n > 2 && !strncmp(name + n - 2, "[]", 2);
        bool is_last = !name[n];
        buf_printf(out, "{\"%.*s\":%s", (int)(is_list ? n - 2 : n), name, is_list ? "[" : "");
        ends[end_count++] = is_list ? "]}" : "}";
        if (is_last)
            break;
        name += n + 1;
    }
    buf_add_z(out, value);
    while (end_count > 0)
        buf_add_z(out, ends[--end_count]);
}

static void load_one(struct config_loader *l, const char *name, const char *value, char **argv) {
    struct buf json = {0};
    add_nested(&json, name, value);
    load(l, config_z(&json), NONE, argv);
    buf_fini(&json);
}

/* The JSON of an option's default. */
static void add_preset(struct buf *out, const struct centrifugo_option *o) {
    bool is_set = *o->preset != '\0';
    switch (o->type) {
    case BOOL:
        buf_add_z(out, "false");
        return;
    case INT:
        buf_add_z(out, is_set ? o->preset : "0");
        return;
    case DURATION:
        buf_printf(out, "\"%s\"", is_set ? o->preset : "0s");
        return;
    case TEXT:
        buf_printf(out, "\"%s\"", o->preset);
        return;
    case LIST:
        buf_printf(out, is_set ? "[\"%s\"]" : "[]", o->preset);
        return;
    case MAP:
        buf_add_z(out, "{}");
        return;
    }
}

/* Some value that is not the default. */
static const char *other_value(const struct centrifugo_option *o) {
    static const char *const values[] = {
        [TEXT] = "\"unlike\"",  [BOOL] = "true",         [INT] = "77",
        [DURATION] = "\"77s\"", [LIST] = "[\"unlike\"]", [MAP] = "{\"a\": \"b\"}",
    };
    return values[o->type];
}

static bool is_namespace_option(const char *name) {
    return !strncmp(name, "channel.namespaces[].", 21);
}

/* A namespace without a name is a problem of its own. */
static size_t expected_problems(const char *name) {
    return is_namespace_option(name) && strcmp(name, "channel.namespaces[].name") != 0;
}

static bool is_own(const char *name) {
    if (is_namespace_option(name))
        return config_option_find(config_channel_options, str_of(name + 21));
    return config_option_find(config_options, str_of(name));
}

/* ---- tests ---- */

static void every_option_of_centrifugo_is_known(void **state) {
    size_t own_count = 0;
    (void)state;
    assert_true(CENTRIFUGO_OPTION_COUNT > 280);
    for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT; i++) {
        const char *name = centrifugo_options[i].name;
        bool is_foreign = config_foreign_find(str_of(name)).row != NULL;
        if (is_own(name) == is_foreign)
            fail_msg("%s is known %s", name, is_foreign ? "twice" : "nowhere");
        own_count += is_own(name);
    }
    assert_true(own_count >= 50);
}

static void sections_without_a_list_of_options_are_known(void **state) {
    static const char *const sections[] = {"map_broker",
                                           "broker",
                                           "presence_manager",
                                           "controller",
                                           "shared_poll",
                                           "grpc_api",
                                           "uni_grpc",
                                           "consumers",
                                           "webtransport",
                                           "swagger",
                                           "debug",
                                           "opentelemetry",
                                           "graphite",
                                           "usage_stats",
                                           "http_server.http3",
                                           "http_server.tls_autocert",
                                           "client.proxy.connect.grpc",
                                           "proxies[].grpc",
                                           "rpc.proxy.grpc",
                                           "channel.proxy.subscribe.grpc"};
    (void)state;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        struct foreign_option f = config_foreign_find(str_of(sections[i]));
        if (!f.row || f.row->type != FOREIGN_SECTION)
            fail_msg("%s is no section", sections[i]);
    }
    assert_true(config_names_is_section(STR("http_server.internal_tls")));
}

static void an_option_at_its_default_is_passed_over_in_silence(void **state) {
    (void)state;
    for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT; i++) {
        const struct centrifugo_option *o = &centrifugo_options[i];
        const char *const spelled[] = {NULL, "null"};
        if (!strcmp(o->name, "channel.namespaces[].name"))
            continue; /* has no default */
        for (size_t s = 0; s < 2; s++) {
            struct buf value = {0};
            struct config_loader l;
            add_preset(&value, o);
            load_one(&l, o->name, spelled[s] ? spelled[s] : config_z(&value), NONE);
            if (l.problems.count != expected_problems(o->name) || l.warnings.count)
                print_error("%s\n", o->name);
            expect_counts(&l, expected_problems(o->name), 0);
            config_loader_fini(&l);
            buf_fini(&value);
        }
    }
}

static void defaults_are_those_of_centrifugo(void **state) {
    struct config_loader l;
    (void)state;
    config_loader_init(&l);
    for (const struct option *o = config_options; o->name; o++) {
        for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT; i++) {
            const struct centrifugo_option *c = &centrifugo_options[i];
            bool is_different =
                !strcmp(o->name, "prometheus.enabled") || !strcmp(o->name, "health.enabled") ||
                !strcmp(o->name, "sse.enabled") || !strcmp(o->name, "http_stream.enabled");
            if (strcmp(o->name, c->name) != 0)
                continue;
            assert_false(o->flags & OPTION_OWN);
            const char *preset = *c->preset || c->type == TEXT || c->type == LIST ? c->preset
                                 : c->type == BOOL                                ? "false"
                                                                                  : "0";
            if (!is_different)
                assert_string_equal(o->preset, preset);
        }
    }
    config_loader_fini(&l);
}

static void options_of_centrifugo_and_our_own_are_told_apart(void **state) {
    (void)state;
    for (const struct option *o = config_options; o->name; o++) {
        bool is_theirs = false;
        for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT && !is_theirs; i++)
            is_theirs = !strcmp(o->name, centrifugo_options[i].name);
        if (is_theirs == ((o->flags & OPTION_OWN) != 0))
            fail_msg("%s has the wrong flag", o->name);
    }
}

/* What protects, limits or authenticates. Pinned here, so that a change is a decision. */
static bool is_expected_guard(const char *name) {
    static const char *const guards[] = {"http_server.internal_address",
                                         "http_server.internal_port",
                                         "http_server.tls_external",
                                         "http_server.tls.enabled",
                                         "http_server.tls.cert_pem",
                                         "http_server.tls.key_pem",
                                         "http_server.tls.server_ca_pem",
                                         "http_server.tls.client_ca_pem",
                                         "engine.redis.cluster_address",
                                         "engine.redis.tls.client_ca_pem",
                                         "engine.redis.sentinel_tls.client_ca_pem",
                                         "client.proxy.connect.enabled",
                                         "client.proxy.connect.endpoint",
                                         "client.proxy.connect.http.tls.enabled",
                                         "client.proxy.connect.http.tls.cert_pem",
                                         "client.proxy.connect.http.tls.key_pem",
                                         "client.proxy.connect.http.tls.server_ca_pem",
                                         "client.proxy.connect.http.tls.client_ca_pem",
                                         "channel.proxy.publish.endpoint",
                                         "channel.proxy.publish.http.tls.enabled",
                                         "channel.proxy.publish.http.tls.cert_pem",
                                         "channel.proxy.publish.http.tls.key_pem",
                                         "channel.proxy.publish.http.tls.server_ca_pem",
                                         "channel.proxy.publish.http.tls.client_ca_pem",
                                         "client.user_connection_limit",
                                         "client.user_id_http_header",
                                         "channel.namespaces[].subscribe_proxy_enabled",
                                         "channel.namespaces[].publish_proxy_enabled",
                                         "channel.namespaces[].sub_refresh_proxy_enabled",
                                         "channel.namespaces[].subscribe_stream_proxy_enabled",
                                         "channel.namespaces[].subscription_type",
                                         "rpc.without_namespace.proxy_enabled",
                                         "rpc.namespaces[].proxy_enabled"};
    for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++)
        if (!strcmp(name, guards[i]))
            return true;
    return false;
}

/* "a[].b" as messages show it: a[0].b. */
static void add_shown(struct buf *out, const char *name) {
    for (; *name; name++) {
        buf_add_char(out, *name);
        if (*name == '[')
            buf_add_char(out, '0');
    }
}

static void expect_class(const struct centrifugo_option *o, bool is_guard) {
    struct config_loader l;
    size_t more = expected_problems(o->name);
    load_one(&l, o->name, other_value(o), NONE);
    if (l.problems.count != more + is_guard || l.warnings.count != !is_guard)
        print_error("%s\n", o->name);
    expect_counts(&l, more + is_guard, !is_guard);
    if (is_guard) {
        struct buf shown = {0};
        add_shown(&shown, o->name);
        expect_note(&l.problems, config_z(&shown), "not supported, and without it ");
        expect_note(&l.problems, config_z(&shown), config_z(&shown)); /* --ignore NAME */
        assert_string_equal(l.problems.items[0].source, "test.json");
        buf_fini(&shown);
    } else {
        expect_note(&l.warnings, NULL, "not supported, ignored: ");
    }
    config_loader_fini(&l);
}

static void an_option_we_lack_is_warned_about_or_refused(void **state) {
    size_t guard_count = 0;
    (void)state;
    for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT; i++) {
        const struct centrifugo_option *o = &centrifugo_options[i];
        bool is_guard = is_expected_guard(o->name);
        if (is_own(o->name) || !strcmp(o->name, "rpc.namespaces[].name"))
            continue;
        expect_class(o, is_guard);
        guard_count += is_guard;
    }
    assert_int_equal(guard_count, 33);
}

static void ignore_turns_one_guard_into_a_warning(void **state) {
    (void)state;
    for (size_t i = 0; i < CENTRIFUGO_OPTION_COUNT; i++) {
        const struct centrifugo_option *o = &centrifugo_options[i];
        struct config_loader l;
        if (!is_expected_guard(o->name))
            continue;
        load_one(&l, o->name, other_value(o), LIST("--ignore", (char *)(uintptr_t)o->name));
        expect_counts(&l, expected_problems(o->name), 1);
        expect_note(&l.warnings, NULL, "let pass by --ignore");
        config_loader_fini(&l);
    }
}

static void ignore_is_one_by_one(void **state) {
    struct config_loader l;
    const char *json =
        "{\"client\":{\"user_connection_limit\":1,\"user_id_http_header\":\"x\"},"
        "\"channel\":{\"namespaces\":[{\"name\":\"aa\",\"publish_proxy_enabled\":true},"
        "{\"name\":\"bb\",\"publish_proxy_enabled\":true}]}}";
    (void)state;
    load(&l, json, NONE, LIST("--ignore=client.user_id_http_header"));
    expect_counts(&l, 3, 1);
    expect_note(&l.problems, "client.user_connection_limit", "any number");
    config_loader_fini(&l);
    load(&l, json, NONE,
         LIST("--ignore=client.user_id_http_header", "--ignore", "client.user_connection_limit",
              "--ignore=channel.namespaces[1].publish_proxy_enabled"));
    expect_counts(&l, 1, 3);
    expect_note(&l.problems, "channel.namespaces[0].publish_proxy_enabled", "who may publish");
    config_loader_fini(&l);
    load(&l, json, NONE,
         LIST("--ignore=client.user_id_http_header", "--ignore", "client.user_connection_limit",
              "--ignore=channel.namespaces[].publish_proxy_enabled"));
    expect_counts(&l, 0, 4);
    config_loader_fini(&l);
}

static void ignore_takes_only_what_we_lack(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE,
         LIST("--ignore", "client.allowed_origins", "--ignore", "client.audience", "--ignore",
              "client.user_connection_limit"));
    expect_counts(&l, 2, 0);
    expect_note(&l.problems, "client.allowed_origins", "cannot ignore");
    expect_note(&l.problems, "client.audience", "no such option");
    config_loader_fini(&l);
    load(&l, NULL, NONE, LIST("--ignore"));
    expect_note(&l.problems, "ignore", "needs a value");
    config_loader_fini(&l);
}

static void guards_are_guards_from_every_source(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL,
         LIST("CARILLON_CLIENT_USER_ID_HTTP_HEADER=a", "CARILLON_HTTP_SERVER_TLS_ENABLED=1"),
         LIST("--client.user_connection_limit=3", "--http_server.tls_external"));
    expect_counts(&l, 4, 0);
    config_loader_fini(&l);
    load(&l, NULL,
         LIST("CARILLON_CLIENT_USER_ID_HTTP_HEADER=", "CARILLON_HTTP_SERVER_TLS_ENABLED=false"),
         LIST("--client.user_connection_limit=0", "--http_server.tls_external", "false"));
    expect_counts(&l, 0, 0);
    config_loader_fini(&l);
    load(&l, NULL, LIST("CARILLON_CLIENT_USER_ID_HTTP_HEADER=\xff\xfe"), NONE); /* no UTF-8 */
    expect_counts(&l, 1, 0);
    config_loader_fini(&l);
}

static void guards_reach_every_proxy_and_token_section(void **state) {
    static const char *const names[] = {"client.proxy.refresh.enabled",
                                        "client.proxy.refresh.endpoint",
                                        "channel.proxy.subscribe.endpoint",
                                        "channel.proxy.sub_refresh.endpoint",
                                        "channel.proxy.subscribe_stream.endpoint",
                                        "rpc.proxy.endpoint",
                                        "proxies[].endpoint",
                                        "channel.without_namespace.publish_proxy_enabled",
                                        "channel.without_namespace.subscribe_proxy_enabled",
                                        "http_server.internal_tls.enabled"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct config_loader l;
        bool is_switch = strstr(names[i], "enabled") != NULL;
        load_one(&l, names[i], is_switch ? "true" : "\"x\"", NONE);
        expect_counts(&l, 1, 0);
        config_loader_fini(&l);
    }
}

static void sections_are_silent_when_empty_or_off(void **state) {
    static const struct {
        const char *json;
        size_t problems, warnings;
    } rows[] = {
        {"{\"consumers\": [], \"grpc_api\": {}, \"broker\": null, \"usage_stats\": false}", 0, 0},
        {"{\"broker\": {\"enabled\": false, \"type\": \"nats\", \"nats\": {\"url\": \"x\"}}}", 0,
         0},
        {"{\"opentelemetry\": {\"api\": false, \"x\": {\"y\": [], \"z\": 0}}}", 0, 0},
        {"{\"grpc_api\": {\"enabled\": true, \"port\": 1}}", 0, 1},
        {"{\"consumers\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}", 0, 1},
        {"{\"http_server\": {\"tls_autocert\": {\"enabled\": false, \"hosts\": [\"a\"]}}}", 0, 0},
        {"{\"http_server\": {\"tls_autocert\": {\"enabled\": true}}}", 1, 0},
        {"{\"http_server\": {\"tls_autocert\": true}}", 1, 0},
        {"{\"channel\": {\"without_namespace\": {\"subscription_type\": \"stream\","
         "\"publication_data_format\": \"json\", \"subscribe_proxy_name\": \"\"}}}",
         0, 0},
        {"{\"channel\": {\"publication_data_format\": \"json_object\"}}", 1, 0},
        {"{\"client\": {\"channel_position_max_time_lag\": \"1s\"}}", 0, 1},
        {"{\"websocket\": {\"write_timeout\": \"1s\"}}", 0, 0},
        {"{\"websocket\": {\"write_timeout\": \"1001ms\"}}", 0, 1},
        {"{\"http_server\": {\"internal_port\": 9000}}", 1, 0},
        {"{\"http_server\": {\"internal_port\": 0}}", 0, 0},
        {"{\"client\": {\"user_connection_limit\": \"5\"}}", 1, 0},
        {"{\"client\": {\"user_connection_limit\": -1}}", 1, 0},
        {"{\"client\": {\"user_connection_limit\": 0.5}}", 1, 0},
        {"{\"client\": {\"token\": {\"audience\": [\"a\"]}}}", 1, 0},
        {"{\"client\": {\"token\": {\"audience\": {\"a\": 1}}}}", 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load_json(&l, rows[i].json);
        if (l.problems.count != rows[i].problems || l.warnings.count != rows[i].warnings)
            print_error("%s\n", rows[i].json);
        expect_counts(&l, rows[i].problems, rows[i].warnings);
        config_loader_fini(&l);
    }
}

static void sections_in_the_environment_are_known_by_their_beginning(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL,
         LIST("CARILLON_GRPC_API_ENABLED=true", "CARILLON_USAGE_STATS_DISABLED=false",
              "CARILLON_CONSUMERS=[]",
              "CARILLON_PROXIES=[{\"name\":\"a\",\"endpoint\":\"http://b\"}]",
              "CARILLON_HTTP_SERVER_TLS_AUTOCERT_ENABLED=true"),
         NONE);
    expect_counts(&l, 2, 1);
    expect_note(&l.problems, "proxies[0].endpoint", "not be asked");
    expect_note(&l.problems, "http_server.tls_autocert.*", "TLS is not spoken");
    config_loader_fini(&l);
}

static void every_row_says_what_is_missing(void **state) {
    (void)state;
    for (const struct foreign_group *g = config_foreign_groups; g->rows; g++)
        for (const struct foreign *row = g->rows; row->name; row++) {
            const char *consequence = config_foreign_consequence((struct foreign_option){g, row});
            assert_non_null(consequence);
            assert_true(row->type == FOREIGN_NAME || *consequence);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_of_centrifugo_is_known),
        cmocka_unit_test(sections_without_a_list_of_options_are_known),
        cmocka_unit_test(an_option_at_its_default_is_passed_over_in_silence),
        cmocka_unit_test(defaults_are_those_of_centrifugo),
        cmocka_unit_test(options_of_centrifugo_and_our_own_are_told_apart),
        cmocka_unit_test(an_option_we_lack_is_warned_about_or_refused),
        cmocka_unit_test(ignore_turns_one_guard_into_a_warning),
        cmocka_unit_test(ignore_is_one_by_one),
        cmocka_unit_test(ignore_takes_only_what_we_lack),
        cmocka_unit_test(guards_are_guards_from_every_source),
        cmocka_unit_test(guards_reach_every_proxy_and_token_section),
        cmocka_unit_test(sections_are_silent_when_empty_or_off),
        cmocka_unit_test(sections_in_the_environment_are_known_by_their_beginning),
        cmocka_unit_test(every_row_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
