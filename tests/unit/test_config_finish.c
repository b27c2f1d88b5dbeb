/* Checks between options, computed values, and suggestions.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_finish.c"

#include "tests/unit/config_testing.h"

#define KEY "0123456789abcdef0123456789abcdef"

/* ---- checks between options ---- */

struct cross_row {
    const char *arg, *more, *option, *words; /* option NULL: fine */
    bool is_warning;
};

static void options_must_fit_together(void **state) {
    static const struct cross_row rows[] = {
        {"--client.pong_timeout=25s", NULL, "client.pong_timeout", "less than", false},
        {"--client.pong_timeout=24999ms", NULL, NULL, NULL, false},
        {"--client.ping_interval=8s", NULL, "client.pong_timeout", "less than", false},
        {"--health.handler_prefix=/api", NULL, "health.handler_prefix",
         "is the same path as http_api.handler_prefix", false},
        {"--health.handler_prefix=/api", "--http_api.disabled", NULL, NULL, false},
        {"--health.handler_prefix=/api", "--health.enabled=false", NULL, NULL, false},
        {"--health.ready_handler_prefix=/health", NULL, "health.ready_handler_prefix", "health",
         false},
        {"--plain_sse.handler_prefix=/metrics", NULL, "prometheus.handler_prefix", "plain_sse",
         false},
        {"--channel.user_boundary=:", NULL, "channel.user_boundary", "channel.namespace_boundary",
         false},
        {"--channel.user_boundary=", "--channel.private_prefix=", NULL, NULL, false},
        {"--channel.user_separator=#", NULL, "channel.user_separator", "channel.user_boundary",
         false},
        {"--channel.namespaces=[{\"name\":\"a.b\"}]", "--channel.namespace_boundary=.",
         "channel.namespaces[0].name", "no channel could be in it", false},
        {"--engine.redis.address=a:1,b:2", NULL, "engine.redis.address",
         "sharding is not supported", false},
        {"--client.insecure", NULL, "client.insecure", "everybody who reaches", true},
        {"--client.insecure", "--address=127.0.0.1", NULL, NULL, false},
        {"--client.insecure", "--address=localhost", NULL, NULL, false},
        {"--client.insecure", "--address=unix:/run/c.sock", NULL, NULL, false},
        {"--http_api.insecure", NULL, "http_api.insecure", "may publish", true},
        {"--http_api.insecure", "--http_api.disabled", NULL, NULL, false},
        {"--http_api.insecure", "--address=::1", NULL, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct cross_row *r = &rows[i];
        struct config_loader l;
        load(&l, NULL, NONE, LIST((char *)(uintptr_t)r->arg, (char *)(uintptr_t)r->more));
        expect_counts(&l, r->option && !r->is_warning, r->option && r->is_warning);
        if (r->option)
            expect_note(r->is_warning ? &l.warnings : &l.problems, r->option, r->words);
        config_loader_fini(&l);
    }
}

static void a_short_token_key_is_warned_about(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, LIST("CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY=0123456789abcdef0123456789abcde"),
         NONE);
    expect_counts(&l, 0, 1);
    config_loader_fini(&l);
    load(&l, NULL, LIST("CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY=" KEY), NONE);
    expect_counts(&l, 0, 0);
    config_loader_fini(&l);
}

static void a_burst_is_twice_the_rate_if_nobody_says_more(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE,
         LIST("--client.command_rate_limit=50", "--client.bytes_rate_limit=1073741824",
              "--client.command_rate_burst=7"));
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->client_command_rate_burst, 7);
    assert_true(l.config->client_bytes_rate_burst == 2147483648u);
    config_loader_fini(&l);
    load(&l, NULL, NONE, LIST("--client.command_rate_limit=50"));
    assert_int_equal(l.config->client_command_rate_burst, 100);
    config_loader_fini(&l);
}

static void a_redis_address_is_split_and_loses_its_password(void **state) {
    struct config_loader l;
    const struct config *c;
    (void)state;
    load(&l, "{\"engine\": {\"redis\": {\"user\": \"x\", \"password\": \"y\", \"db\": 1}}}",
         LIST("CARILLON_ENGINE_REDIS_ADDRESS=redis://al:p%40ss@[::1]:6380/3"), NONE);
    expect_counts(&l, 0, 0);
    c = l.config;
    assert_string_equal(c->engine_redis_host, "::1");
    assert_int_equal(c->engine_redis_port, 6380);
    assert_string_equal(c->engine_redis_user, "al");
    assert_string_equal(c->engine_redis_password, "p@ss");
    assert_int_equal(c->engine_redis_db, 3);
    assert_string_equal(c->engine_redis_address.items[0], "redis://[::1]:6380");
    expect_no_word(&l, "ss@");
    config_loader_fini(&l);
    load(&l, "{\"engine\": {\"redis\": {\"user\": \"x\", \"password\": \"y\", \"db\": 1}}}",
         LIST("CARILLON_ENGINE_REDIS_ADDRESS=h:1"), NONE);
    c = l.config;
    assert_string_equal(c->engine_redis_address.items[0], "redis://h:1");
    assert_string_equal(c->engine_redis_user, "x");
    assert_string_equal(c->engine_redis_password, "y");
    assert_int_equal(c->engine_redis_db, 1);
    config_loader_fini(&l);
}

static void did_you_mean_knows_the_nearest(void **state) {
    static const struct {
        const char *json, *words;
    } rows[] = {
        {"{\"ping_interval\": 1}", "did you mean client.ping_interval?"},
        {"{\"client\": {\"pingInterval\": 1}}", "did you mean client.ping_interval?"},
        {"{\"clinet\": {}}", "there is no such option"},
        {"{\"worker\": 1}", "did you mean workers?"},
        {"{\"http_api\": {\"api_key\": \"\"}}", "there is no such option"},
        {"{\"http_api\": {\"keys\": \"\"}}", "did you mean http_api.key?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load_json(&l, rows[i].json);
        expect_counts(&l, 1, 0);
        expect_note(&l.problems, NULL, rows[i].words);
        config_loader_fini(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_must_fit_together),
        cmocka_unit_test(a_short_token_key_is_warned_about),
        cmocka_unit_test(a_burst_is_twice_the_rate_if_nobody_says_more),
        cmocka_unit_test(a_redis_address_is_split_and_loses_its_password),
        cmocka_unit_test(did_you_mean_knows_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
