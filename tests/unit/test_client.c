/* A client's life: connect, pings, farewell, and its output queue; with a plain protocol and a fake
 * wire. What it does in channels is in test_client_channels.c.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/client.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"

static int start(void **state) {
    (void)state;
    bench_start(broker_memory_create);
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

static void send_text(struct wire *w, const char *text) {
    client_send(w->client, plain_line(text));
}

static void an_id_is_a_random_uuid(void **state) {
    (void)state;
    char ids[100][CLIENT_ID_BYTES];
    for (int i = 0; i < 100; i++) {
        memcpy(ids[i], wire_open(&plain_protocol)->client->id, CLIENT_ID_BYTES);
        for (int at = 0; at < CLIENT_ID_BYTES; at++) {
            bool is_dash = at == 8 || at == 13 || at == 18 || at == 23;
            assert_non_null(strchr(is_dash ? "-" : "0123456789abcdef", ids[i][at]));
        }
        assert_int_equal(ids[i][14], '4');
        assert_non_null(strchr("89ab", ids[i][19]));
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(ids[i], ids[j], CLIENT_ID_BYTES);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

static void who_does_not_connect_is_stale(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    pass_ms(9990);
    expect_lines(w, "");
    pass_ms(10 + 2 * WHEEL_TICK_MS);
    expect_lines(w, "bye stale\n");
}

static void who_connects_in_time_is_not_stale(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    pass_ms(9900);
    say(w, "1 connect");
    pass_ms(1000);
    expect_lines(w, "1 connected\n");
}

static uint64_t ms_until_ping(struct wire *w) {
    uint64_t start_ms = clock_now_ms();
    pass_until_write(w);
    expect_lines(w, "ping\n");
    return clock_now_ms() - start_ms;
}

static void the_first_ping_comes_in_the_second_half_of_the_interval(void **state) {
    (void)state;
    struct wire *w = open_connected();
    uint64_t ms = ms_until_ping(w);
    assert_in_range(ms, 12500, 25000 + 2 * WHEEL_TICK_MS);
}

static void clients_that_connected_together_are_not_pinged_together(void **state) {
    (void)state;
    unsigned early_count = 0;
    struct wire *wires[200];
    for (int i = 0; i < 200; i++)
        wires[i] = open_connected();
    pass_ms(18750); /* three quarters */
    for (int i = 0; i < 200; i++)
        early_count += wire_news(wires[i]).n > 0;
    assert_in_range(early_count, 50, 150); /* odds of failing: 1 in 10^11 */
}

static void pings_come_each_interval_while_they_are_answered(void **state) {
    (void)state;
    struct wire *w = open_connected();
    ms_until_ping(w);
    for (int i = 0; i < 20; i++) {
        pass_ms(500);
        say(w, "pong");
        uint64_t ms = ms_until_ping(w);
        assert_in_range(ms, 24500 - WHEEL_TICK_MS, 24500 + 2 * WHEEL_TICK_MS);
    }
}

static void a_client_that_does_not_answer_a_ping_is_closed(void **state) {
    (void)state;
    struct wire *w = open_connected();
    ms_until_ping(w);
    pass_ms(8000 - 2 * WHEEL_TICK_MS);
    expect_lines(w, "");
    pass_ms(4 * WHEEL_TICK_MS);
    expect_lines(w, "bye no pong\n");
}

static void a_late_pong_is_in_time(void **state) {
    (void)state;
    struct wire *w = open_connected();
    ms_until_ping(w);
    pass_ms(8000 - 2 * WHEEL_TICK_MS);
    say(w, "pong");
    pass_ms(10000);
    expect_lines(w, "");
}

static void other_messages_are_no_pong(void **state) {
    (void)state;
    struct wire *w = open_connected();
    ms_until_ping(w);
    for (int i = 0; i < 9; i++) {
        pass_ms(1000);
        if (w->client->state == CLIENT_CONNECTED)
            say(w, "5 nothing");
    }
    assert_int_equal(w->client->reason, CLOSE_NO_PONG);
}

static void a_ping_permits_one_pong(void **state) {
    (void)state;
    struct wire *w = open_connected();
    ms_until_ping(w);
    say(w, "pong");
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    say(w, "pong");
    turn();
    expect_lines(w, "bye bad request\n");
}

static void a_pong_nobody_asked_for_is_a_bad_request(void **state) {
    (void)state;
    struct wire *fresh = open_connected(), *unconnected = wire_open(&plain_protocol);
    say(fresh, "pong");
    say(unconnected, "pong");
    turn();
    expect_lines(fresh, "bye bad request\n");
    expect_lines(unconnected, "bye bad request\n");
}

/* --- the end ---------------------------------------------------------------------------------- */

static void a_farewell_comes_behind_what_is_queued_and_nothing_after_it(void **state) {
    (void)state;
    struct wire *w = open_connected();
    send_text(w, "a");
    send_text(w, "b");
    client_close(w->client, CLOSE_SHUTDOWN);
    send_text(w, "c");
    client_close(w->client, CLOSE_BAD_REQUEST); /* the first reason stays */
    say(w, "5 nothing");
    turn();
    expect_lines(w, "a\nb\nbye shutdown\n");
    assert_int_equal(w->client->reason, CLOSE_SHUTDOWN);
}

static void reading_pauses_until_the_farewell_is_out(void **state) {
    (void)state;
    struct wire *w = open_connected();
    w->is_blocked = true;
    client_close(w->client, CLOSE_SHUTDOWN);
    turn();
    assert_true(w->is_paused);
    assert_false(w->is_finished);
    wire_unblock(w);
    expect_lines(w, "bye shutdown\n");
    assert_true(w->is_finished);
    assert_false(w->is_paused);
}

static void our_side_ends_when_the_socket_has_taken_the_farewell(void **state) {
    (void)state;
    struct wire *w = open_connected();
    w->blocks_after_write = true; /* the rest of the farewell waits in the transport */
    client_close(w->client, CLOSE_SHUTDOWN);
    turn();
    expect_lines(w, "bye shutdown\n");
    assert_false(w->is_finished);
    wire_unblock(w);
    assert_true(w->is_finished);
}

static void who_does_not_close_after_the_farewell_is_killed_after_5_s(void **state) {
    (void)state;
    struct wire *w = open_connected();
    client_close(w->client, CLOSE_SHUTDOWN);
    pass_ms(4990);
    assert_false(w->is_killed);
    pass_ms(10 + 2 * WHEEL_TICK_MS);
    assert_true(w->is_killed);
    assert_null(w->client); /* the turn after it */
    assert_int_equal(bench.sessions.client_count, 0);
    assert_int_equal(closes(CLOSE_SHUTDOWN), 1);
}

static void who_does_not_even_read_the_farewell_is_killed_after_5_s(void **state) {
    (void)state;
    struct wire *w = open_connected();
    w->is_blocked = true;
    client_close(w->client, CLOSE_SHUTDOWN);
    pass_ms(5000 + 2 * WHEEL_TICK_MS);
    assert_true(w->is_killed);
    expect_lines(w, "");
}

static void who_closes_after_the_farewell_is_not_killed(void **state) {
    (void)state;
    struct wire *w = open_connected();
    client_close(w->client, CLOSE_SHUTDOWN);
    turn();
    wire_gone(w, CLOSE_PEER);
    pass_ms(10000);
    assert_false(w->is_killed);
}

static void a_client_is_freed_at_the_end_of_the_turn_not_before(void **state) {
    (void)state;
    struct wire *w = open_connected();
    struct client *c = w->client;
    wire_gone(w, CLOSE_PEER);
    assert_int_equal(c->state, CLIENT_GONE); /* whoever is up the stack may still look */
    assert_int_equal(metric(METRIC_CLIENTS), 0);
    client_gone(c, CLOSE_LOST); /* twice is fine */
    client_close(c, CLOSE_SHUTDOWN);
    client_send(c, plain_line("x"));
    client_receive(c, STR("5 nothing"));
    client_flush(c);
    client_timer(c, clock_now_ms());
    assert_int_equal(closes(CLOSE_PEER), 1);
    assert_int_equal(closes(CLOSE_LOST), 0);
    turn();
}

static void a_client_may_go_in_any_state(void **state) {
    (void)state;
    struct wire *fresh = wire_open(&plain_protocol), *closing = open_connected();
    struct wire *blocked = open_connected(), *pending = open_connected();
    client_close(closing->client, CLOSE_STALE);
    blocked->is_blocked = true;
    send_text(blocked, "a");
    flush();
    send_text(pending, "b");
    wire_gone(fresh, CLOSE_LOST);
    wire_gone(closing, CLOSE_LOST);
    wire_gone(blocked, CLOSE_LOST);
    wire_gone(pending, CLOSE_LOST);
    assert_int_equal(closes(CLOSE_LOST), 3);
    assert_int_equal(closes(CLOSE_STALE), 1);
    pass_ms(60000);
}

static void the_log_says_why_with_the_id(void **state) {
    (void)state;
    char id[64];
    struct wire *closed = open_connected(), *gone = open_connected();
    snprintf(id, sizeof(id), "client closed id=%.36s ", closed->client->id);
    client_close(closed->client, CLOSE_BAD_REQUEST);
    assert_non_null(strstr(last_log, id));
    assert_non_null(strstr(last_log, "reason=\"bad request\""));
    assert_non_null(strstr(last_log, "peer=192.0.2.7"));
    snprintf(id, sizeof(id), "client closed id=%.36s ", gone->client->id);
    wire_gone(gone, CLOSE_PEER);
    assert_non_null(strstr(last_log, id));
    assert_non_null(strstr(last_log, "reason=\"closed by peer\""));
}

static void an_end_is_logged_once(void **state) {
    (void)state;
    struct wire *w = open_connected();
    client_close(w->client, CLOSE_BAD_REQUEST);
    last_log[0] = '\0';
    turn();
    wire_gone(w, CLOSE_PEER);
    assert_string_equal(last_log, "");
}

/* --- output ----------------------------------------------------------------------------------- */

static void many_frames_are_one_write(void **state) {
    (void)state;
    struct wire *w = open_connected();
    uint32_t writes = w->write_count;
    send_text(w, "a");
    send_text(w, "b");
    send_text(w, "c");
    turn();
    expect_lines(w, "a\nb\nc\n");
    assert_int_equal(w->write_count, writes + 1);
}

static void a_blocked_client_is_written_to_when_it_can_take_it(void **state) {
    (void)state;
    struct wire *w = open_connected();
    w->is_blocked = true;
    send_text(w, "a");
    turn();
    send_text(w, "b");
    turn();
    expect_lines(w, "");
    assert_false(sessions_has_pending(&bench.sessions));
    wire_unblock(w);
    expect_lines(w, "a\nb\n");
    send_text(w, "c");
    turn();
    expect_lines(w, "c\n");
}

static void a_client_that_blocks_in_the_middle_goes_on_there(void **state) {
    (void)state;
    struct wire *w = open_connected();
    static char text[40000];
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 4; i++) { /* four writes */
        text[0] = (char)('0' + i);
        client_send(w->client, frame_create_plain((struct str){text, sizeof(text)}));
    }
    w->blocks_after_write = true;
    for (int i = 0; i < 4; i++) {
        turn();
        struct str news = wire_news(w);
        assert_int_equal(news.n, sizeof(text));
        assert_int_equal(news.p[0], '0' + i);
        w->is_blocked = false;
        client_writable(w->client);
    }
}

static void a_failed_write_kills_without_another_byte(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    turn();
    expect_lines(w, "2 subscribed\n");
    w->is_dead = true;
    send_text(w, "a");
    flush();
    assert_true(w->is_killed);
    assert_int_equal(bench.sessions.hub.sub_count, 0); /* nobody delivers to it any more */
    send_text(w, "b");
    client_close(w->client, CLOSE_SHUTDOWN);
    turn();
    assert_int_equal(closes(CLOSE_WRITE_ERROR), 1);
}

static void a_failed_write_is_logged_as_the_end(void **state) {
    (void)state;
    struct wire *w = open_connected();
    w->is_dead = true;
    send_text(w, "a");
    last_log[0] = '\0';
    turn();
    assert_non_null(strstr(last_log, "reason=\"write error\""));
}

static void a_queue_may_be_full_to_the_last_byte(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 100;
    w->is_blocked = true;
    for (int i = 0; i < 10; i++)
        send_text(w, "123456789");
    turn();
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    assert_int_equal(w->client->queue.size_bytes, 100);
    send_text(w, "");
    assert_int_equal(w->client->state, CLIENT_CLOSING);
    assert_int_equal(w->client->reason, CLOSE_SLOW);
}

static void the_farewell_to_a_slow_client_replaces_its_queue(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 100;
    w->is_blocked = true;
    for (int i = 0; i < 11; i++)
        send_text(w, "123456789");
    turn();
    wire_unblock(w);
    expect_lines(w, "bye slow\n");
}

static void a_single_message_over_the_limit_closes_too(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 70000;
    static char text[70001];
    memset(text, 'x', sizeof(text));
    client_send(w->client, frame_create_plain((struct str){text, 70000})); /* two parts */
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    turn();
    client_send(w->client, frame_create_plain((struct str){text, 70001}));
    assert_int_equal(w->client->reason, CLOSE_SLOW);
    turn();
}

static void a_ping_that_finds_the_queue_full_closes_as_slow(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 100;
    w->is_blocked = true;
    for (int i = 0; i < 10; i++)
        send_text(w, "123456789");
    pass_ms(25000 + 2 * WHEEL_TICK_MS);
    assert_int_equal(closes(CLOSE_SLOW), 1);
    pass_ms(60000);
    assert_int_equal(closes(CLOSE_SLOW), 1);
}

static void an_idle_client_holds_no_queue_memory(void **state) {
    (void)state;
    struct wire *w = open_connected();
    send_text(w, "a");
    turn();
    expect_lines(w, "a\n");
    assert_null(w->client->queue.first);
    assert_null(w->client->deferred.p);
}

#define CLIENT_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(an_id_is_a_random_uuid),
        CLIENT_TEST(who_does_not_connect_is_stale),
        CLIENT_TEST(who_connects_in_time_is_not_stale),
        CLIENT_TEST(the_first_ping_comes_in_the_second_half_of_the_interval),
        CLIENT_TEST(clients_that_connected_together_are_not_pinged_together),
        CLIENT_TEST(pings_come_each_interval_while_they_are_answered),
        CLIENT_TEST(a_client_that_does_not_answer_a_ping_is_closed),
        CLIENT_TEST(a_late_pong_is_in_time),
        CLIENT_TEST(other_messages_are_no_pong),
        CLIENT_TEST(a_ping_permits_one_pong),
        CLIENT_TEST(a_pong_nobody_asked_for_is_a_bad_request),
        CLIENT_TEST(a_farewell_comes_behind_what_is_queued_and_nothing_after_it),
        CLIENT_TEST(reading_pauses_until_the_farewell_is_out),
        CLIENT_TEST(our_side_ends_when_the_socket_has_taken_the_farewell),
        CLIENT_TEST(who_does_not_close_after_the_farewell_is_killed_after_5_s),
        CLIENT_TEST(who_does_not_even_read_the_farewell_is_killed_after_5_s),
        CLIENT_TEST(who_closes_after_the_farewell_is_not_killed),
        CLIENT_TEST(a_client_is_freed_at_the_end_of_the_turn_not_before),
        CLIENT_TEST(a_client_may_go_in_any_state),
        CLIENT_TEST(the_log_says_why_with_the_id),
        CLIENT_TEST(an_end_is_logged_once),
        CLIENT_TEST(many_frames_are_one_write),
        CLIENT_TEST(a_blocked_client_is_written_to_when_it_can_take_it),
        CLIENT_TEST(a_client_that_blocks_in_the_middle_goes_on_there),
        CLIENT_TEST(a_failed_write_kills_without_another_byte),
        CLIENT_TEST(a_failed_write_is_logged_as_the_end),
        CLIENT_TEST(a_queue_may_be_full_to_the_last_byte),
        CLIENT_TEST(the_farewell_to_a_slow_client_replaces_its_queue),
        CLIENT_TEST(a_single_message_over_the_limit_closes_too),
        CLIENT_TEST(a_ping_that_finds_the_queue_full_closes_as_slow),
        CLIENT_TEST(an_idle_client_holds_no_queue_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
