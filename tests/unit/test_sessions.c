/* All clients of a worker: handles, delivery to many, and the flush: when it is due, in which
 * order, and that nobody waits for a fan-out to thousands.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/sessions.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"

enum { MANY = SESSIONS_BULK_SUBSCRIBERS + 1 };

static int start(void **state) {
    (void)state;
    bench_start(broker_memory_create);
    plain_encode_count = 0;
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

static void open_many(struct wire **wires, int count, const char *channel) {
    for (int i = 0; i < count; i++)
        wires[i] = open_subscribed(channel);
}

static struct client_handle handle_of(const struct client *c) {
    return (struct client_handle){c->slot, c->generation};
}

/* --- handles ---------------------------------------------------------------------------------- */

static void a_handle_finds_its_client_until_it_is_gone(void **state) {
    (void)state;
    struct wire *w = open_connected();
    struct client_handle h = handle_of(w->client);
    assert_ptr_equal(sessions_find(&bench.sessions, h), w->client);
    client_close(w->client, CLOSE_SHUTDOWN);
    assert_ptr_equal(sessions_find(&bench.sessions, h), w->client);
    wire_gone(w, CLOSE_PEER);
    assert_null(sessions_find(&bench.sessions, h));
    turn();
    assert_null(sessions_find(&bench.sessions, h));
}

static void a_handle_is_stale_when_another_client_has_the_slot(void **state) {
    (void)state;
    struct client_handle old[50];
    for (int i = 0; i < 50; i++) {
        struct wire *w = open_connected();
        old[i] = handle_of(w->client);
        for (int j = 0; j < i; j++) {
            assert_int_equal(old[j].slot, old[i].slot);
            assert_null(sessions_find(&bench.sessions, old[j]));
        }
        assert_ptr_equal(sessions_find(&bench.sessions, old[i]), w->client);
        wire_gone(w, CLOSE_PEER);
        turn();
    }
}

static void handles_survive_that_the_table_grows(void **state) {
    (void)state;
    static struct client_handle handles[1000];
    static struct client *clients[1000];
    for (int i = 0; i < 1000; i++) {
        clients[i] = wire_open(&plain_protocol)->client;
        handles[i] = handle_of(clients[i]);
    }
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(sessions_find(&bench.sessions, handles[i]), clients[i]);
    assert_int_equal(bench.sessions.client_count, 1000);
}

static void a_handle_from_nowhere_finds_nothing(void **state) {
    (void)state;
    open_connected();
    assert_null(sessions_find(&bench.sessions, (struct client_handle){0, 0}));
    assert_null(sessions_find(&bench.sessions, (struct client_handle){63, 1}));
    assert_null(sessions_find(&bench.sessions, (struct client_handle){UINT32_MAX, 1}));
}

/* --- delivery --------------------------------------------------------------------------------- */

static void a_message_is_encoded_once_for_all(void **state) {
    (void)state;
    struct wire *wires[MANY];
    open_many(wires, MANY, "news");
    arrives("news", "hello");
    assert_int_equal(plain_encode_count, 1);
    turn();
    for (int i = 0; i < MANY; i++)
        expect_lines(wires[i], "news hello\n");
    assert_int_equal(metric(METRIC_DELIVERED), MANY);
}

static void only_subscribers_get_it(void **state) {
    (void)state;
    struct wire *a = open_subscribed("a"), *b = open_subscribed("b"), *none = open_connected();
    arrives("a", "1");
    arrives("b", "2");
    turn();
    expect_lines(a, "a 1\n");
    expect_lines(b, "b 2\n");
    expect_lines(none, "");
}

static void a_message_for_a_channel_just_left_is_dropped(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("news"), .data = STR("late")});
    fanout_post(bench.fanout, m); /* in the mailbox when the last subscriber leaves */
    say(w, "3 unsub news");
    turn();
    expect_lines(w, "3 unsubscribed\n");
    assert_int_equal(m->refs, 1);
    msg_unref(m);
}

static void control_runs_once_with_the_sessions(struct control *c, void *reader) {
    assert_ptr_equal(reader, &bench.sessions);
    c->run = NULL;
}

static void a_control_message_is_run(void **state) {
    (void)state;
    struct control c = {.run = control_runs_once_with_the_sessions};
    mailbox_post_control(&bench.mailbox, &c);
    assert_true(bench.is_woken);
    take_mail();
    assert_null(c.run);
}

static void a_slow_reader_is_closed_and_the_others_are_unharmed(void **state) {
    (void)state;
    enum { COUNT = 9 };
    struct wire *wires[COUNT];
    open_many(wires, COUNT, "news");
    bench.config->client_queue_max_size_bytes = 1000;
    for (int i = 0; i < COUNT; i += 4)
        wires[i]->is_blocked = true;
    for (int round = 0; round < 101; round++) {
        arrives("news", "four"); /* 10 bytes with name and newline */
        turn();
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(wires[i]->client->state == CLIENT_CLOSING, i % 4 == 0);
        if (i % 4 == 0) {
            wire_unblock(wires[i]);
            expect_lines(wires[i], "bye slow\n");
        } else {
            assert_int_equal(wire_news(wires[i]).n, 1010);
        }
    }
    arrives("news", "on");
    turn();
    expect_lines(wires[1], "news on\n");
}

static void all_may_be_slow_at_once(void **state) {
    (void)state;
    struct wire *wires[100];
    open_many(wires, 100, "news");
    bench.config->client_queue_max_size_bytes = 100;
    for (int i = 0; i < 100; i++)
        wires[i]->is_blocked = true;
    for (int round = 0; round < 11; round++)
        arrives("news", "four");
    assert_int_equal(fanout_channel_count(bench.fanout),
                     0); /* the last one took the channel along */
    assert_int_equal(metric(METRIC_SUBSCRIPTIONS), 0);
    for (int i = 0; i < 100; i++) {
        wire_unblock(wires[i]);
        expect_lines(wires[i], "bye slow\n");
    }
}

/* --- when a flush is due ---------------------------------------------------------------------- */

static void a_flush_waits_while_input_comes_but_not_for_long(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    assert_false(sessions_has_pending(&bench.sessions));
    arrives("news", "1");
    assert_true(sessions_has_pending(&bench.sessions));
    assert_false(sessions_flush_is_due(&bench.sessions, true));
    assert_true(sessions_flush_is_due(&bench.sessions, false));
    fake_us += SESSIONS_DRAIN_MAX_US - 1;
    arrives("news", "2"); /* the age is that of the oldest */
    assert_false(sessions_flush_is_due(&bench.sessions, true));
    fake_us += 1 + 4 * SESSIONS_DRAIN_PER_CLIENT_US;
    assert_true(sessions_flush_is_due(&bench.sessions, true));
    sessions_flush(&bench.sessions);
    expect_lines(w, "news 1\nnews 2\n");
    assert_false(sessions_has_pending(&bench.sessions));
    arrives("news", "3"); /* counts anew */
    assert_false(sessions_flush_is_due(&bench.sessions, true));
}

static void much_that_is_pending_makes_a_flush_due(void **state) {
    (void)state;
    static char data[SESSIONS_DRAIN_MAX_BYTES / 2];
    open_subscribed("news");
    memset(data, 'x', sizeof(data) - 1);
    arrives("news", data);
    assert_false(sessions_flush_is_due(&bench.sessions, true));
    arrives("news", data);
    assert_true(sessions_flush_is_due(&bench.sessions, true));
    turn();
}

static void even_a_flush_to_thousands_does_not_wait_longer_than_the_limit(void **state) {
    (void)state;
    static struct wire *wires[5000];
    open_many(wires, 5000, "news");
    arrives("news", "1");
    fake_us += SESSIONS_DRAIN_LIMIT_US;
    assert_true(sessions_flush_is_due(&bench.sessions, true));
}

static void a_burst_is_one_write_per_client(void **state) {
    (void)state;
    struct wire *wires[10];
    open_many(wires, 10, "news");
    uint32_t writes = bench.write_total;
    for (int i = 0; i < 16; i++)
        arrives("news", "x");
    turn();
    assert_int_equal(bench.write_total, writes + 10);
}

/* What waits for a socket is not what the loop waits for. */
static void a_blocked_client_is_not_pending(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    w->is_blocked = true;
    arrives("news", "1");
    turn(); /* finds it blocked */
    arrives("news", "2");
    assert_false(sessions_has_pending(&bench.sessions));
    wire_unblock(w);
    expect_lines(w, "news 1\nnews 2\n");
}

/* --- order and time of a flush ---------------------------------------------------------------- */

static void small_channels_and_replies_go_before_large_channels(void **state) {
    (void)state;
    struct wire *crowd[MANY], *small = open_subscribed("small"), *talker = open_connected();
    open_many(crowd, MANY, "large");
    arrives("large", "x");
    arrives("small", "y");
    say(talker, "3 unsub nothing");
    turn();
    assert_true(small->last_write < talker->last_write);
    for (int i = 0; i < MANY; i++)
        assert_true(crowd[i]->last_write > talker->last_write);
}

static void a_channel_at_the_limit_is_still_small(void **state) {
    (void)state;
    struct wire *crowd[MANY], *first[SESSIONS_BULK_SUBSCRIBERS];
    open_many(crowd, MANY, "large");
    open_many(first, SESSIONS_BULK_SUBSCRIBERS, "small");
    arrives("large", "x");
    arrives("small", "y");
    uint32_t before = bench.write_total;
    turn();
    for (int i = 0; i < SESSIONS_BULK_SUBSCRIBERS; i++)
        assert_true(first[i]->last_write <= before + SESSIONS_BULK_SUBSCRIBERS);
}

static void a_member_of_a_crowd_gets_its_reply_first(void **state) {
    (void)state;
    struct wire *crowd[MANY];
    open_many(crowd, MANY, "large");
    arrives("large", "x");
    say(crowd[MANY / 2], "3 unsub nothing");
    arrives("large", "y"); /* does not put it back */
    uint32_t before = bench.write_total;
    turn();
    assert_int_equal(crowd[MANY / 2]->last_write, before + 1);
    expect_lines(crowd[MANY / 2], "large x\n3 unsubscribed\nlarge y\n");
    assert_int_equal(bench.write_total, before + MANY);
}

static uint32_t count_written(struct wire **wires, int count) {
    uint32_t written = 0;
    for (int i = 0; i < count; i++)
        written += wire_news(wires[i]).n > 0;
    return written;
}

static void a_flush_ends_after_its_time_and_goes_on_in_the_next_turn(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    static struct wire *crowd[COUNT];
    uint32_t written = 0;
    open_many(crowd, COUNT, "large");
    arrives("large", "x");
    bench.write_cost_us = 10;
    for (int turns = 0; turns < 4; turns++) {
        uint64_t start_us = fake_us;
        assert_true(sessions_has_pending(&bench.sessions));
        sessions_flush(&bench.sessions);
        assert_true(fake_us - start_us <= SESSIONS_FLUSH_MAX_US + 16 * 10);
        uint32_t now_written = count_written(crowd, COUNT);
        assert_true(now_written >= SESSIONS_FLUSH_MAX_US / 10);
        written += now_written;
    }
    flush();
    assert_int_equal(written + count_written(crowd, COUNT), COUNT);
}

static void each_kind_gets_at_least_half_of_a_flush(void **state) {
    (void)state;
    enum { COUNT = 400 };
    static struct wire *crowd[COUNT], *small[COUNT];
    char name[16];
    open_many(crowd, COUNT, "large");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "small-%d", i);
        small[i] = open_subscribed(name);
    }
    arrives("large", "x");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "small-%d", i);
        arrives(name, "y");
    }
    bench.write_cost_us = 10;
    sessions_flush(&bench.sessions);
    assert_true(count_written(small, COUNT) >= 100);
    assert_true(count_written(crowd, COUNT) >= 84); /* 100, less the overrun of the others */
    bench.write_cost_us = 0;
    flush();
}

static void a_client_that_goes_during_a_flush_is_no_trouble(void **state) {
    (void)state;
    struct wire *wires[40];
    open_many(wires, 40, "news");
    for (int i = 0; i < 40; i += 3)
        wires[i]->is_dead = true;
    arrives("news", "x");
    arrives("news", "y");
    turn();
    for (int i = 0; i < 40; i++) {
        assert_int_equal(wires[i]->client == NULL, i % 3 == 0);
        expect_lines(wires[i], i % 3 ? "news x\nnews y\n" : "");
    }
    assert_int_equal(closes(CLOSE_WRITE_ERROR), 14);
}

static void a_flush_holds_no_frame_afterwards(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    arrives("news", "1");
    arrives("news", "2");
    turn();
    expect_lines(w, "news 1\nnews 2\n");
    assert_int_equal(bench.sessions.pool.joined_count, 0);
    assert_int_equal(bench.sessions.pending_bytes, 0);
    assert_int_equal(bench.sessions.pending_since_us, 0);
}

/* --- closing ---------------------------------------------------------------------------------- */

static void clients_are_closed_some_at_a_time(void **state) {
    (void)state;
    struct wire *wires[10];
    open_many(wires, 10, "news");
    client_close(wires[3]->client, CLOSE_BAD_REQUEST); /* on its way already */
    assert_true(sessions_close_some(&bench.sessions, 4, CLOSE_SHUTDOWN));
    turn();
    uint32_t said_bye = 0;
    for (int i = 0; i < 10; i++)
        said_bye += str_equal(wire_news(wires[i]), STR("bye shutdown\n"));
    assert_int_equal(said_bye, 4);
    assert_true(sessions_close_some(&bench.sessions, 4, CLOSE_SHUTDOWN));
    assert_false(sessions_close_some(&bench.sessions, 4, CLOSE_SHUTDOWN));
    assert_false(sessions_close_some(&bench.sessions, 4, CLOSE_SHUTDOWN));
    turn();
    for (int i = 0; i < 10; i++)
        assert_int_equal(wires[i]->client->reason, i == 3 ? CLOSE_BAD_REQUEST : CLOSE_SHUTDOWN);
}

static void nobody_to_close_is_none_left(void **state) {
    (void)state;
    assert_false(sessions_close_some(&bench.sessions, 10, CLOSE_SHUTDOWN));
    struct wire *w = wire_open(&plain_protocol);
    assert_true(sessions_close_some(&bench.sessions, 0, CLOSE_SHUTDOWN));
    assert_int_equal(w->client->state, CLIENT_NEW);
}

#define SESSIONS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        SESSIONS_TEST(a_handle_finds_its_client_until_it_is_gone),
        SESSIONS_TEST(a_handle_is_stale_when_another_client_has_the_slot),
        SESSIONS_TEST(handles_survive_that_the_table_grows),
        SESSIONS_TEST(a_handle_from_nowhere_finds_nothing),
        SESSIONS_TEST(a_message_is_encoded_once_for_all),
        SESSIONS_TEST(only_subscribers_get_it),
        SESSIONS_TEST(a_message_for_a_channel_just_left_is_dropped),
        SESSIONS_TEST(a_control_message_is_run),
        SESSIONS_TEST(a_slow_reader_is_closed_and_the_others_are_unharmed),
        SESSIONS_TEST(all_may_be_slow_at_once),
        SESSIONS_TEST(a_flush_waits_while_input_comes_but_not_for_long),
        SESSIONS_TEST(much_that_is_pending_makes_a_flush_due),
        SESSIONS_TEST(even_a_flush_to_thousands_does_not_wait_longer_than_the_limit),
        SESSIONS_TEST(a_burst_is_one_write_per_client),
        SESSIONS_TEST(a_blocked_client_is_not_pending),
        SESSIONS_TEST(small_channels_and_replies_go_before_large_channels),
        SESSIONS_TEST(a_channel_at_the_limit_is_still_small),
        SESSIONS_TEST(a_member_of_a_crowd_gets_its_reply_first),
        SESSIONS_TEST(a_flush_ends_after_its_time_and_goes_on_in_the_next_turn),
        SESSIONS_TEST(each_kind_gets_at_least_half_of_a_flush),
        SESSIONS_TEST(a_client_that_goes_during_a_flush_is_no_trouble),
        SESSIONS_TEST(a_flush_holds_no_frame_afterwards),
        SESSIONS_TEST(clients_are_closed_some_at_a_time),
        SESSIONS_TEST(nobody_to_close_is_none_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
