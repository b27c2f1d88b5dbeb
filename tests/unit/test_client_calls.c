/* Commands that the broker answers: publish and presence. The client may be gone when the answer
 * comes.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/client_calls.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"

static int start(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

/* --- publish ---------------------------------------------------------------------------------- */

static void a_publish_is_answered_when_the_broker_has_it(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    say(w, "3 pub news hello world");
    turn();
    expect_lines(w, "");
    const struct msg_parts *p = &list_entry(stub()->calls.next, struct stub_call, link)->msg->parts;
    assert_int_equal(p->kind, MSG_PUBLICATION);
    assert_true(str_equal(p->data, STR("hello world")));
    assert_true(str_equal(p->client, (struct str){w->client->id, CLIENT_ID_BYTES}));
    assert_int_equal(p->user.n, 0);
    answer();
    expect_lines(w, "news hello world\n3 published\n");
    assert_int_equal(metric(METRIC_PUBLISHED), 1);
    assert_int_equal(metric(METRIC_DELIVERED), 1);
}

static void a_publish_needs_no_subscription(void **state) {
    (void)state;
    struct wire *w = open_connected(), *reader = open_subscribed("news");
    say(w, "3 pub news hi");
    answer();
    expect_lines(w, "3 published\n");
    expect_lines(reader, "news hi\n");
}

static void a_publish_that_fails_is_an_internal_error(void **state) {
    (void)state;
    const enum broker_result results[] = {BROKER_UNAVAILABLE, BROKER_UNKNOWN};
    struct wire *w = open_subscribed("news");
    for (int i = 0; i < 2; i++) {
        say(w, "3 pub news hi");
        stub_answer_at(stub(), 0, results[i]);
        turn();
        expect_lines(w, "3 error internal server error\n");
    }
    assert_int_equal(bench.metrics.errors[ERROR_INTERNAL], 2);
}

static void a_client_may_go_while_its_publish_is_open(void **state) {
    (void)state;
    struct wire *w = open_connected(), *reader = open_subscribed("news");
    say(w, "3 pub news hi");
    uint32_t slot = w->client->slot;
    wire_gone(w, CLOSE_PEER);
    turn();
    struct wire *next = open_connected(); /* in the same place */
    assert_int_equal(next->client->slot, slot);
    answer();
    expect_lines(next, "");
    expect_lines(reader, "news hi\n");
    assert_int_equal(next->client->open_calls, 0);
}

static void a_client_that_is_closing_gets_no_answer(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "3 pub news hi");
    client_close(w->client, CLOSE_SHUTDOWN);
    answer();
    expect_lines(w, "bye shutdown\n");
}

static void the_data_must_be_there_and_not_too_large(void **state) {
    (void)state;
    static char line[5000];
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 4096 * 4;
    say(w, "3 pub news");
    memcpy(line, "4 pub news ", 11);
    memset(line + 11, 'x', 4097);
    say(w, line);
    turn();
    expect_lines(w, "3 error bad request\n4 error bad request\n");
    line[11 + 4096] = '\0';
    say(w, line);
    answer();
    expect_lines(w, "4 published\n");
}

static void the_largest_publication_is_a_quarter_of_the_queue_and_at_most_a_mebibyte(void **state) {
    (void)state;
    struct config *c = bench.config;
    c->client_queue_max_size_bytes = 1 << 20;
    assert_int_equal(publication_max_bytes(c), 1 << 18);
    c->client_queue_max_size_bytes = 1 << 22;
    assert_int_equal(publication_max_bytes(c), 1 << 20);
    c->client_queue_max_size_bytes = 1 << 30;
    assert_int_equal(publication_max_bytes(c), 1 << 20);
}

/* --- presence --------------------------------------------------------------------------------- */

static void allow_presence(void) {
    bench.config->rules.without_namespace.presence = true;
}

static void presence_counts_who_is_there(void **state) {
    (void)state;
    allow_presence();
    struct wire *a = open_subscribed("news"), *b = open_subscribed("news");
    say(a, "6 who news");
    turn();
    expect_lines(a, "");
    answer();
    expect_lines(a, "6 2 clients 1 users\n"); /* both are the anonymous user */
    wire_gone(b, CLOSE_PEER);
    say(a, "6 who news");
    answer();
    expect_lines(a, "6 1 clients 1 users\n");
}

static void presence_gives_the_members_who_ask_for_them(void **state) {
    (void)state;
    allow_presence();
    struct wire *w = open_subscribed("news");
    client_presence(w->client, 6, STR("news"), true);
    answer();
    expect_lines(w, "6 1 clients 1 users\n");
}

static void presence_is_not_available_where_it_is_not_kept(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    say(w, "6 who news\n7 who no:such");
    turn();
    expect_lines(w, "6 error not available\n7 error unknown channel\n");
    assert_int_equal(stub()->members.member_count, 0);
}

static void presence_needs_permission(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    allow_presence();
    struct wire *w = open_subscribed("news");
    bench.config->rules.is_insecure = false;
    say(w, "6 who news");
    turn();
    expect_lines(w, "6 error permission denied\n");
    o->allow_presence_for_subscriber = o->allow_presence_for_anonymous = true;
    say(w, "6 who news\n7 who other");
    answer();
    expect_lines(w, "7 error permission denied\n6 1 clients 1 users\n");
}

static void a_presence_that_fails_is_an_internal_error(void **state) {
    (void)state;
    allow_presence();
    struct wire *w = open_connected();
    say(w, "6 who news");
    refuse();
    expect_lines(w, "6 error internal server error\n");
}

static void a_client_may_go_while_its_presence_is_open(void **state) {
    (void)state;
    allow_presence();
    struct wire *w = open_connected();
    open_subscribed("news");
    client_presence(w->client, 6, STR("news"), true);
    wire_gone(w, CLOSE_PEER);
    answer(); /* and the members are freed */
    assert_int_equal(stub()->call_count, 0);
}

#define CALL_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        CALL_TEST(a_publish_is_answered_when_the_broker_has_it),
        CALL_TEST(a_publish_needs_no_subscription),
        CALL_TEST(a_publish_that_fails_is_an_internal_error),
        CALL_TEST(a_client_may_go_while_its_publish_is_open),
        CALL_TEST(a_client_that_is_closing_gets_no_answer),
        CALL_TEST(the_data_must_be_there_and_not_too_large),
        CALL_TEST(the_largest_publication_is_a_quarter_of_the_queue_and_at_most_a_mebibyte),
        CALL_TEST(presence_counts_who_is_there),
        CALL_TEST(presence_gives_the_members_who_ask_for_them),
        CALL_TEST(presence_is_not_available_where_it_is_not_kept),
        CALL_TEST(presence_needs_permission),
        CALL_TEST(a_presence_that_fails_is_an_internal_error),
        CALL_TEST(a_client_may_go_while_its_presence_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
