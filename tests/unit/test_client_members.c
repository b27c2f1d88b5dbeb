/* Who is in a channel: joins and leaves, and the subscriptions that a token gives at connect.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/client_channels.c"

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

/* --- joins and leaves ------------------------------------------------------------------------- */

static void announce_members(void) {
    bench.config->rules.without_namespace.join_leave = true;
}

static void who_asks_is_told_of_joins_and_leaves(void **state) {
    (void)state;
    announce_members();
    struct wire *asks = open_connected(), *does_not = open_subscribed("news");
    say(asks, "2 sub news joins");
    turn();
    expect_lines(asks, "2 subscribed\nnews joined\n"); /* its own */
    struct wire *third = open_subscribed("news");
    arrives("news", "hello");
    turn();
    expect_lines(asks, "news joined\nnews hello\n");
    wire_gone(third, CLOSE_PEER);
    turn();
    expect_lines(asks, "news left\n");
    expect_lines(does_not, "news hello\n");
}

static void where_it_is_forced_everybody_is_told(void **state) {
    (void)state;
    announce_members();
    bench.config->rules.without_namespace.force_push_join_leave = true;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    answer();
    expect_lines(w, "2 subscribed\nnews joined\n");
}

static void who_may_not_see_who_is_there_is_not_told(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    announce_members();
    bench.config->rules.is_insecure = false;
    o->allow_subscribe_for_client = o->allow_subscribe_for_anonymous = true;
    struct wire *w = open_connected();
    say(w, "2 sub news joins");
    answer();
    expect_lines(w, "2 subscribed\n");
}

static void joins_that_come_while_it_waits_are_for_those_who_asked(void **state) {
    (void)state;
    struct wire *asks = open_connected(), *does_not = open_connected();
    announce_members();
    say(asks, "2 sub news joins");
    say(does_not, "2 sub news");
    for (int i = 0; i < 2; i++) {
        struct msg *m = msg_create(&(struct msg_parts){
            .kind = i ? MSG_LEAVE : MSG_JOIN, .channel = STR("news"), .client = STR("x")});
        fanout_post(bench.fanout, m);
        msg_unref(m);
    }
    arrives("news", "1");
    stub_answer(stub());
    take_mail();
    flush();
    struct str news = wire_news(asks);
    assert_true(str_starts(news, STR("2 subscribed\nnews joined\nnews left\nnews 1\n")));
    expect_lines(does_not, "2 subscribed\nnews 1\n");
    turn();
}

static void every_way_out_is_a_leave(void **state) {
    (void)state;
    announce_members();
    bench.config->rules.without_namespace.presence = true;
    struct wire *watcher = open_connected();
    say(watcher, "2 sub news joins");
    answer();
    wire_news(watcher);
    struct wire *w[4];
    for (int i = 0; i < 4; i++)
        w[i] = open_subscribed("news");
    assert_int_equal(stub()->members.member_count, 5);
    wire_news(watcher);
    say(w[0], "3 unsub news");
    client_close(w[1]->client, CLOSE_SHUTDOWN);
    wire_gone(w[2], CLOSE_LOST);
    w[3]->is_dead = true;
    say(w[3], "5 nothing");
    turn();
    turn();
    expect_lines(watcher, "news left\nnews left\nnews left\nnews left\n");
    assert_int_equal(stub()->members.member_count, 1);
}

static void who_never_was_in_does_not_leave(void **state) {
    (void)state;
    announce_members();
    bench.config->rules.without_namespace.presence = true;
    struct wire *failed = open_connected(), *gone = open_connected();
    say(failed, "2 sub news");
    say(gone, "2 sub news");
    wire_gone(gone, CLOSE_PEER);
    refuse(); /* the stub checks that each leave had its join */
    expect_lines(failed, "2 error internal server error\n");
    assert_int_equal(stub()->members.member_count, 0);
}

/* --- subscriptions of the token --------------------------------------------------------------- */

static struct wire *connect_to(const struct str *channels, size_t count) {
    struct wire *w = wire_open(&plain_protocol);
    give_channels(w->client, channels, count);
    turn();
    return w;
}

static const struct str two[] = {{"a", 1}, {"b", 1}};

static void connect_is_answered_when_all_its_channels_are_confirmed(void **state) {
    (void)state;
    struct wire *w = connect_to(two, 2);
    assert_int_equal(w->client->state, CLIENT_CONNECTING);
    arrives("b", "1");
    arrives("a", "2");
    stub_answer_at(stub(), 1, BROKER_OK);
    turn();
    arrives("b", "3");
    turn();
    expect_lines(w, "");
    answer();
    expect_lines(w, "1 connected\na 2\nb 1\nb 3\n");
    assert_int_equal(w->client->open_calls, 0);
}

static void channels_that_are_confirmed_already_need_no_waiting(void **state) {
    (void)state;
    open_subscribed("a");
    open_subscribed("b");
    struct wire *w = connect_to(two, 2);
    expect_lines(w, "1 connected\n");
    arrives("a", "1");
    turn();
    expect_lines(w, "a 1\n");
}

static void a_channel_named_twice_is_subscribed_once(void **state) {
    (void)state;
    const struct str same[] = {STR("a"), STR("a"), STR("b"), STR("a")};
    struct wire *w = connect_to(same, 4);
    answer();
    answer();
    expect_lines(w, "1 connected\n");
    assert_int_equal(w->client->subscription_count, 2);
}

static void commands_wait_until_it_is_connected(void **state) {
    (void)state;
    struct wire *w = wire_open(&plain_protocol);
    give_channels(w->client, two, 1);
    client_defer(w->client, STR("5 nothing\n6 unsub a"));
    assert_true(w->is_paused);
    answer();
    expect_lines(w, "1 connected\n5 ok\n6 unsubscribed\n");
    assert_false(w->is_paused);
}

static void connect_fails_when_one_of_its_channels_does(void **state) {
    (void)state;
    for (size_t which = 0; which < 2; which++) {
        struct wire *w = connect_to(two, 2);
        stub_answer_at(stub(), which, BROKER_UNAVAILABLE);
        turn();
        expect_lines(w, "1 error internal server error\n");
        assert_int_equal(w->client->state, CLIENT_REFUSED);
        assert_int_equal(w->client->subscription_count, 0);
        answer(); /* the other one, too late */
        expect_lines(w, "");
        assert_int_equal(stub()->attached_count, 0);
        say(w, "2 sub a");
        turn();
        expect_lines(w, "bye bad request\n");
    }
}

static void connect_fails_for_a_channel_that_cannot_be(void **state) {
    (void)state;
    const struct str bad[] = {STR("a"), STR("no:such")};
    struct wire *w = connect_to(bad, 2);
    expect_lines(w, "1 error unknown channel\n");
    assert_int_equal(w->client->state, CLIENT_REFUSED);
    answer();
    assert_int_equal(stub()->attached_count, 0);
    pass_ms(11000);
    expect_lines(w, "bye stale\n");
}

static void a_token_may_not_name_more_channels_than_the_limit(void **state) {
    (void)state;
    bench.config->client_channel_limit = 1;
    struct wire *w = connect_to(two, 2);
    expect_lines(w, "bye channel limit\n");
}

static void who_goes_while_connecting_leaves_nothing(void **state) {
    (void)state;
    struct wire *w = connect_to(two, 2);
    answer();
    wire_gone(w, CLOSE_PEER);
    answer();
    assert_int_equal(stub()->attached_count, 0);
    assert_int_equal(bench.sessions.hub.channels.count, 0);
}

/* What was held for the first channel is too much: the client closes, which takes the second one
 * away while both go live. */
static void what_was_held_for_a_connecting_client_may_be_too_much(void **state) {
    (void)state;
    bench.config->client_queue_max_size_bytes = 1000;
    struct wire *w = connect_to(two, 2);
    for (int i = 0; i < 200; i++)
        arrives("a", "1234567890");
    answer();
    answer();
    expect_lines(w, "bye slow\n");
    assert_int_equal(stub()->attached_count, 0);
}

#define MEMBER_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        MEMBER_TEST(who_asks_is_told_of_joins_and_leaves),
        MEMBER_TEST(where_it_is_forced_everybody_is_told),
        MEMBER_TEST(who_may_not_see_who_is_there_is_not_told),
        MEMBER_TEST(joins_that_come_while_it_waits_are_for_those_who_asked),
        MEMBER_TEST(every_way_out_is_a_leave),
        MEMBER_TEST(who_never_was_in_does_not_leave),
        MEMBER_TEST(connect_is_answered_when_all_its_channels_are_confirmed),
        MEMBER_TEST(channels_that_are_confirmed_already_need_no_waiting),
        MEMBER_TEST(a_channel_named_twice_is_subscribed_once),
        MEMBER_TEST(commands_wait_until_it_is_connected),
        MEMBER_TEST(connect_fails_when_one_of_its_channels_does),
        MEMBER_TEST(connect_fails_for_a_channel_that_cannot_be),
        MEMBER_TEST(a_token_may_not_name_more_channels_than_the_limit),
        MEMBER_TEST(who_goes_while_connecting_leaves_nothing),
        MEMBER_TEST(what_was_held_for_a_connecting_client_may_be_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
