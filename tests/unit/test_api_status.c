/* How the node is: /health, /ready, /metrics and /api/info.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_status.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

static void health_is_200_while_the_process_serves(void **state) {
    (void)state;
    stub()->trouble = "the engine is on fire";
    node.is_draining = true;
    assert_null(request("GET", "/health"));
    expect_response(200, "{}");
}

static void ready_is_200_when_all_is_well(void **state) {
    (void)state;
    assert_null(request("GET", "/ready"));
    expect_response(200, "{\"ready\":true}");
}

static void ready_is_503_and_says_why(void **state) {
    (void)state;
    stub()->trouble = "no \"Redis\"";
    request("GET", "/ready");
    expect_response(503, "{\"ready\":false,\"reason\":\"no \\\"Redis\\\"\"}");
    node.is_draining = true;
    request("GET", "/ready");
    expect_response(503, "{\"ready\":false,\"reason\":\"draining\"}");
    stub()->trouble = NULL;
    request("GET", "/ready");
    assert_int_equal(response.status, 503);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void expect_metric(const char *line) {
    struct buf wanted = {0};
    buf_printf(&wanted, "\n%s\n", line);
    buf_add_char(&wanted, '\0');
    bool is_there = response_has(wanted.p);
    if (!is_there)
        print_error("no line: %s\n", line);
    buf_fini(&wanted);
    assert_true(is_there);
}

static void metrics_count_what_happens(void **state) {
    (void)state;
    struct wire *a = open_connected(), *b = open_connected();
    say(a, "2 sub news\n3 sub $private");
    stub_answer(stub());
    turn();
    client_close(b->client, CLOSE_BAD_REQUEST);
    turn();
    assert_null(request("GET", "/metrics"));
    assert_int_equal(response.status, 200);
    assert_string_equal(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    expect_metric("carillon_node_num_clients 2");
    expect_metric("carillon_node_num_subscriptions 1");
    expect_metric("carillon_node_num_channels 1");
    expect_metric("carillon_client_connections_accepted{transport=\"websocket\"} 2");
    expect_metric("carillon_transport_messages_received{transport=\"websocket\"} 3");
    expect_metric("carillon_client_closes_total{reason=\"bad request\",transport=\"websocket\"} 1");
    expect_metric("carillon_client_closes_total{reason=\"slow\",transport=\"websocket\"} 0");
    expect_metric("carillon_client_num_reply_errors{error=\"permission denied\"} 1");
    expect_metric("carillon_mailbox_dropped_total{worker=\"0\"} 0");
}

static void metrics_are_sums_over_the_workers(void **state) {
    (void)state;
    static struct metrics other_metrics;
    struct sessions other = {.metrics = &other_metrics, .mailbox = &bench.mailbox};
    struct sessions *both[] = {&bench.sessions, &other};
    node.sessions = both;
    node.worker_count = 2;
    metrics_set(&other_metrics, METRIC_CLIENTS, 40);
    other_metrics.closes[TRANSPORT_WEBSOCKET][CLOSE_SLOW] = 3;
    bench.metrics.closes[TRANSPORT_WEBSOCKET][CLOSE_SLOW] = 4;
    other_metrics.errors[ERROR_INTERNAL] = 5;
    other_metrics.lag_last_us = 1500;
    other_metrics.lag_max_us = 2500000;
    open_connected();
    request("GET", "/metrics");
    expect_metric("carillon_node_num_clients 41");
    expect_metric("carillon_client_closes_total{reason=\"slow\",transport=\"websocket\"} 7");
    expect_metric("carillon_client_num_reply_errors{error=\"internal server error\"} 5");
    expect_metric("carillon_worker_loop_lag_seconds{worker=\"0\"} 0.000000");
    expect_metric("carillon_worker_loop_lag_seconds{worker=\"1\"} 0.001500");
    expect_metric("carillon_worker_loop_lag_max_seconds{worker=\"1\"} 2.500000");
}

/* name{labels} value, or a comment; each family has one TYPE, before its values, and no name twice.
 */
static void metrics_are_what_prometheus_reads(void **state) {
    (void)state;
    struct buf seen = {0};
    char type[100] = "", key[100];
    fake_us += 12345000;
    request("GET", "/metrics");
    struct str rest = buf_str(&response.body);
    assert_true(rest.n && rest.p[rest.n - 1] == '\n');
    while (rest.n) {
        struct str line = plain_word(&rest, '\n');
        if (str_starts(line, STR("# TYPE "))) {
            line = str_slice(line, 7, line.n);
            struct str name = plain_word(&line, ' ');
            snprintf(type, sizeof(type), "%.*s", STR_ARG(name));
            assert_true(str_equal(line, STR("gauge")) || str_equal(line, STR("counter")));
        } else if (!str_starts(line, STR("# HELP "))) {
            size_t space = line.n;
            while (space > 0 && line.p[space] != ' ')
                space--;
            snprintf(key, sizeof(key), "\n%.*s ", (int)space, line.p);
            assert_true(str_starts(line, str_of(type)));
            assert_non_null(strchr("{ ", line.p[strlen(type)]));
            assert_null(seen.n ? memmem(seen.p, seen.n, key, strlen(key)) : NULL);
            buf_add_z(&seen, key);
        }
    }
    expect_metric("carillon_uptime_seconds 12.345");
    expect_metric("carillon_build_info{version=\"" CARILLON_VERSION "\"} 1");
    assert_true(response_has("\nprocess_resident_memory_bytes "));
    buf_fini(&seen);
}

/* --- info ------------------------------------------------------------------------------------- */

static void info_tells_about_the_node(void **state) {
    (void)state;
    struct wire *w = open_connected();
    mem_free(bench.config->node_name);
    bench.config->node_name = mem_strndup("my \"node\"", 9);
    say(w, "2 sub a\n3 sub b");
    stub_answer(stub());
    stub_answer(stub());
    turn();
    fake_us += 61 * 1000000;
    assert_non_null(post("/api/info", "{}"));
    turn();
    assert_int_equal(response.status, 200);
    json_t *tree = json_loadb(response.body.p, response.body.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(tree);
    const char *uid, *name, *version;
    int clients, users, subs, channels, uptime, rss;
    double cpu;
    assert_int_equal(
        json_unpack(tree, "{s:{s:[{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:{s:F,s:i!}!}!]!}!}", "result",
                    "nodes", "uid", &uid, "name", &name, "version", &version, "num_clients",
                    &clients, "num_users", &users, "num_subs", &subs, "num_channels", &channels,
                    "uptime", &uptime, "process", "cpu", &cpu, "rss", &rss),
        0);
    assert_string_equal(uid, "bench-node");
    assert_string_equal(name, "my \"node\"");
    assert_string_equal(version, CARILLON_VERSION);
    assert_int_equal(clients, 1);
    assert_int_equal(users, 1); /* the anonymous one */
    assert_int_equal(subs, 2);
    assert_int_equal(channels, 2);
    assert_int_equal(uptime, 61);
    assert_true(cpu >= 0 && rss > 100000);
    json_decref(tree);
}

static void info_needs_no_body(void **state) {
    (void)state;
    assert_non_null(post("/api/info", ""));
    turn();
    assert_int_equal(response.status, 200);
    assert_true(response_has("\"num_users\":0,"));
}

#define STATUS_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_stub, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        STATUS_TEST(health_is_200_while_the_process_serves),
        STATUS_TEST(ready_is_200_when_all_is_well),
        STATUS_TEST(ready_is_503_and_says_why),
        STATUS_TEST(metrics_count_what_happens),
        STATUS_TEST(metrics_are_sums_over_the_workers),
        STATUS_TEST(metrics_are_what_prometheus_reads),
        STATUS_TEST(info_tells_about_the_node),
        STATUS_TEST(info_needs_no_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
