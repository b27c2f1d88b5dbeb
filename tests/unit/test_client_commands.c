/* Commands of a client: connect, what must wait for the broker and for its turn, and the limits.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/client_commands.c"

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

/* --- connect ---------------------------------------------------------------------------------- */

static void connect_is_answered(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    assert_int_equal(w->client->state, CLIENT_NEW);
    say(w, "7 connect");
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    assert_int_equal(w->write_count, 0); /* not before the turn's flush */
    turn();
    expect_lines(w, "7 connected\n");
    assert_int_equal(metric(METRIC_CLIENTS), 1);
    assert_int_equal(wire_metric(WIRE_CLIENTS_ACCEPTED), 1);
    assert_int_equal(wire_metric(WIRE_MESSAGES_RECEIVED), 1);
    assert_int_equal(wire_metric(WIRE_BYTES_RECEIVED), 9);
}

static void a_second_connect_is_a_bad_request(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 connect");
    turn();
    expect_lines(w, "bye bad request\n");
    wire_gone(w, CLOSE_PEER);
    assert_int_equal(closes(CLOSE_BAD_REQUEST), 1); /* the first reason counts, and once */
    assert_int_equal(closes(CLOSE_PEER), 0);
}

static void a_command_before_connect_is_a_bad_request(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    say(w, "1 sub news");
    turn();
    expect_lines(w, "bye bad request\n");
}

static void a_token_without_a_key_is_invalid(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    say(w, "1 connect secret");
    turn();
    expect_lines(w, "bye invalid token\n");
    assert_null(strstr(last_log, "secret"));
}

static void anonymous_needs_permission(void **state) {
    (void)state;
    bench.config->client_insecure = false;
    struct wire *refused = wire_open(&plain_protocol);
    say(refused, "1 connect");
    bench.config->client_allow_anonymous_connect_without_token = true;
    struct wire *allowed = wire_open(&plain_protocol);
    say(allowed, "1 connect");
    turn();
    expect_lines(refused, "bye bad request\n");
    expect_lines(allowed, "1 connected\n");
}

/* --- what must wait --------------------------------------------------------------------------- */

static void commands_on_a_channel_wait_for_its_subscribe_and_run_in_order(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news\n3 unsub news\n4 sub news\n5 nothing");
    turn();
    expect_lines(w, "");
    assert_true(w->is_paused);
    answer(); /* the channel is confirmed now, so the second subscribe need not wait */
    expect_lines(w, "2 subscribed\n3 unsubscribed\n4 subscribed\n5 ok\n");
    assert_false(w->is_paused);
    assert_int_equal(stub()->attached_count, 1);
}

static void commands_on_other_channels_do_not_wait(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub a\n3 sub b\n4 unsub c\n5 nothing");
    turn();
    expect_lines(w, "4 unsubscribed\n5 ok\n");
    assert_false(w->is_paused);
    stub_answer_at(stub(), 1, BROKER_OK);
    turn();
    expect_lines(w, "3 subscribed\n");
    answer();
    expect_lines(w, "2 subscribed\n");
}

static void messages_the_transport_had_read_already_wait_behind(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub a\n3 unsub a");
    assert_true(w->is_paused);
    say(w, "4 sub b");
    say(w, "5 unsub b\n5 nothing");
    assert_int_equal(stub()->call_count, 1); /* b is not even asked for */
    answer();
    expect_lines(w, "2 subscribed\n3 unsubscribed\n");
    assert_true(w->is_paused); /* now for b */
    answer();
    expect_lines(w, "4 subscribed\n5 unsubscribed\n5 ok\n");
    assert_false(w->is_paused);
    assert_null(w->client->deferred.p);
}

static void a_client_that_sends_on_without_end_is_closed(void **state) {
    (void)state;
    struct wire *w = open_connected();
    static char lines[65000];
    for (size_t i = 0; i + 20 < sizeof(lines); i += 10)
        memcpy(lines + i, "9 nothing\n", 10);
    say(w, "2 sub a\n3 unsub a");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(w->client->state, CLIENT_CONNECTED);
        say(w, lines);
    }
    say(w, lines);
    turn();
    expect_lines(w, "bye too many requests\n");
    assert_null(w->client->deferred.p);
    answer();
}

static void at_most_32_calls_are_open(void **state) {
    (void)state;
    struct wire *w = open_connected();
    for (int i = 0; i < 40; i++)
        say(w, "3 pub news x");
    turn();
    assert_int_equal(stub()->call_count, CLIENT_CALLS_MAX);
    assert_true(w->is_paused);
    for (int i = 0; i < 8; i++) {
        answer();
        expect_lines(w, "3 published\n");
        assert_int_equal(stub()->call_count, CLIENT_CALLS_MAX);
    }
    assert_false(w->is_paused);
    for (uint32_t left = CLIENT_CALLS_MAX; left > 0; left--)
        answer();
    assert_int_equal(w->client->open_calls, 0);
    assert_int_equal(stub()->publishes_total, 40);
}

static void a_closed_client_forgets_what_waited(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news\n3 unsub news\n4 pub news x");
    wire_gone(w, CLOSE_PEER);
    answer();
    assert_int_equal(stub()->publishes_total, 0);
}

static void what_waited_may_close_the_client(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news\n3 unsub news\n4 gibberish\n5 nothing");
    answer();
    expect_lines(w, "2 subscribed\n3 unsubscribed\nbye bad request\n");
}

/* --- limits ----------------------------------------------------------------------------------- */

/* Sends so many commands, one by one; how many were done? The others were refused with an error. */
static uint32_t count_done(struct wire *w, uint32_t commands) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < commands; i++) {
        say(w, "5 nothing");
        turn();
        struct str news = wire_news(w);
        bool is_done = str_equal(news, STR("5 ok\n"));
        assert_true(is_done || str_equal(news, STR("5 error too many requests\n")));
        done += is_done;
    }
    return done;
}

static void commands_are_limited_to_a_burst_and_a_rate(void **state) {
    (void)state;
    bench.config->client_command_rate_limit = 10;
    bench.config->client_command_rate_burst = 5;
    struct wire *w = open_connected();
    assert_int_equal(count_done(w, 8), 5);
    fake_us += 99999;
    assert_int_equal(count_done(w, 1), 0);
    fake_us += 1;
    assert_int_equal(count_done(w, 2), 1); /* a tenth of a second: one more */
    fake_us += 300000;
    assert_int_equal(count_done(w, 5), 3);
    fake_us += 60000000;
    assert_int_equal(count_done(w, 8), 5); /* no more than a burst, however long the pause */
    assert_int_equal(metric(METRIC_LIMITED_COMMANDS), 3 + 1 + 1 + 2 + 3);
}

static void without_a_burst_it_is_twice_the_rate(void **state) {
    (void)state;
    bench.config->client_command_rate_limit = 4;
    bench.config->client_command_rate_burst = 0;
    assert_int_equal(count_done(open_connected(), 12), 8);
}

static void each_client_has_its_own_limit(void **state) {
    (void)state;
    bench.config->client_command_rate_limit = 1;
    bench.config->client_command_rate_burst = 2;
    struct wire *a = open_connected(), *b = open_connected();
    assert_int_equal(count_done(a, 5), 2);
    assert_int_equal(count_done(b, 5), 2);
}

static void who_goes_on_all_the_same_is_closed(void **state) {
    (void)state;
    bench.config->client_command_rate_limit = 1;
    bench.config->client_command_rate_burst = 1;
    struct wire *w = open_connected();
    assert_int_equal(count_done(w, 51), 1); /* and 50 times an error */
    say(w, "5 nothing");
    turn();
    expect_lines(w, "bye too many requests\n");
    assert_int_equal(closes(CLOSE_TOO_MANY_REQUESTS), 1);
}

static void bytes_are_limited_by_the_message(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_bytes_rate_limit = 10;
    bench.config->client_bytes_rate_burst = 18;
    say(w, "5 nothing"); /* 9 bytes */
    say(w, "5 nothing");
    say(w, "5 nothing");
    turn();
    expect_lines(w, "5 ok\n5 ok\n5 error too many requests\n");
    assert_int_equal(metric(METRIC_LIMITED_BYTES), 1);
    fake_us += 900000;
    say(w, "5 nothing");
    turn();
    expect_lines(w, "5 ok\n");
}

static void a_message_larger_than_the_burst_may_pass_alone(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_bytes_rate_limit = 10;
    bench.config->client_bytes_rate_burst = 10;
    say(w, "5 nothing of much importance");
    turn();
    expect_lines(w, "5 ok\n");
    say(w, "5 nothing");
    turn();
    expect_lines(w, "5 error too many requests\n");
}

static void connect_and_pongs_are_not_limited(void **state) {
    (void)state;
    bench.config->client_command_rate_limit = 1;
    bench.config->client_command_rate_burst = 1;
    struct wire *w = open_connected();
    pass_until_write(w);
    expect_lines(w, "ping\n");
    assert_int_equal(count_done(w, 3), 1);
    say(w, "pong");
    turn();
    expect_lines(w, "");
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
}

#define COMMAND_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        COMMAND_TEST(connect_is_answered),
        COMMAND_TEST(a_second_connect_is_a_bad_request),
        COMMAND_TEST(a_command_before_connect_is_a_bad_request),
        COMMAND_TEST(a_token_without_a_key_is_invalid),
        COMMAND_TEST(anonymous_needs_permission),
        COMMAND_TEST(commands_on_a_channel_wait_for_its_subscribe_and_run_in_order),
        COMMAND_TEST(commands_on_other_channels_do_not_wait),
        COMMAND_TEST(messages_the_transport_had_read_already_wait_behind),
        COMMAND_TEST(a_client_that_sends_on_without_end_is_closed),
        COMMAND_TEST(at_most_32_calls_are_open),
        COMMAND_TEST(a_closed_client_forgets_what_waited),
        COMMAND_TEST(what_waited_may_close_the_client),
        COMMAND_TEST(commands_are_limited_to_a_burst_and_a_rate),
        COMMAND_TEST(without_a_burst_it_is_twice_the_rate),
        COMMAND_TEST(each_client_has_its_own_limit),
        COMMAND_TEST(who_goes_on_all_the_same_is_closed),
        COMMAND_TEST(bytes_are_limited_by_the_message),
        COMMAND_TEST(a_message_larger_than_the_burst_may_pass_alone),
        COMMAND_TEST(connect_and_pongs_are_not_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
