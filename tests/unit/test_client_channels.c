/* What a client does in channels: subscribe, wait for the broker, publish, leave. The broker is a
 * stub that answers when the test says so.
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

static struct hub_channel *find_channel(const char *name) {
    return hub_find(&bench.sessions.hub, str_of(name), map_hash(str_of(name)));
}

static void expect_attached(const char *name, bool is_attached) {
    assert_int_equal(stub_find(stub(), str_of(name)) != NULL, is_attached);
    assert_int_equal(find_channel(name) != NULL, is_attached);
}

/* --- subscribe -------------------------------------------------------------------------------- */

static void a_subscribe_waits_until_the_broker_confirms(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    turn();
    expect_lines(w, "");
    assert_int_equal(stub()->call_count, 1);
    assert_string_equal(list_entry(stub()->calls.next, struct stub_call, link)->channel, "news");
    answer();
    expect_lines(w, "2 subscribed\n");
    assert_int_equal(metric(METRIC_SUBSCRIPTIONS), 1);
    assert_int_equal(metric(METRIC_CHANNELS), 1);
}

static void a_worker_attaches_a_channel_once(void **state) {
    (void)state;
    struct wire *a = open_connected(), *b = open_connected();
    say(a, "2 sub news");
    say(b, "2 sub news");
    assert_int_equal(stub()->call_count, 1);
    answer();
    expect_lines(a, "2 subscribed\n");
    expect_lines(b, "2 subscribed\n");
    struct wire *c = open_connected();
    say(c, "2 sub news"); /* confirmed already: answered at once */
    turn();
    expect_lines(c, "2 subscribed\n");
    assert_int_equal(stub()->attaches_total, 1);
}

static void the_last_to_leave_detaches(void **state) {
    (void)state;
    struct wire *a = open_subscribed("news"), *b = open_subscribed("news");
    say(a, "3 unsub news");
    turn();
    expect_lines(a, "3 unsubscribed\n");
    expect_attached("news", true);
    wire_gone(b, CLOSE_PEER);
    expect_attached("news", false);
    assert_int_equal(stub()->detaches_total, 1);
    assert_int_equal(metric(METRIC_SUBSCRIPTIONS), 0);
    assert_int_equal(metric(METRIC_CHANNELS), 0);
}

static void leaving_and_coming_back_attaches_anew(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    say(w, "3 unsub news\n4 sub news");
    answer();
    expect_lines(w, "3 unsubscribed\n4 subscribed\n");
    assert_int_equal(stub()->attaches_total, 2);
    arrives("news", "hello");
    turn();
    expect_lines(w, "news hello\n");
}

static void messages_that_come_while_it_waits_come_after_the_reply_in_order(void **state) {
    (void)state;
    struct wire *a = open_connected(), *b = open_connected();
    say(a, "2 sub news");
    arrives("news", "1");
    say(b, "2 sub news");
    arrives("news", "2");
    arrives("other", "x");
    arrives("news", "3");
    turn();
    expect_lines(a, "");
    answer();
    arrives("news", "4");
    turn();
    expect_lines(a, "2 subscribed\nnews 1\nnews 2\nnews 3\nnews 4\n");
    expect_lines(b, "2 subscribed\nnews 2\nnews 3\nnews 4\n");
}

static void who_waits_longer_than_the_bound_is_closed_as_slow(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    for (int i = 0; i < SYNC_HELD_MAX_COUNT; i++)
        arrives("news", "x");
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    arrives("news", "x");
    turn();
    expect_lines(w, "bye slow\n");
    answer(); /* nobody is left: detached again */
    expect_attached("news", false);
}

static void what_waits_is_bounded_in_bytes_too(void **state) {
    (void)state;
    static char data[100001];
    struct wire *w = open_connected();
    memset(data, 'x', sizeof(data) - 1);
    say(w, "2 sub news");
    for (int i = 0; i < SYNC_HELD_MAX_BYTES / 100000 + 1; i++)
        arrives("news", data);
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    arrives("news", data);
    turn();
    expect_lines(w, "bye slow\n");
    answer();
}

static void what_waited_may_be_too_much_for_the_queue(void **state) {
    (void)state;
    struct wire *slow = open_connected(), *fine = open_connected();
    bench.config->client_queue_max_size_bytes = 1000;
    say(slow, "2 sub news");
    for (int i = 0; i < 200; i++)
        arrives("news", "12345");
    say(fine, "2 sub news");
    answer();
    expect_lines(slow, "bye slow\n");
    expect_lines(fine, "2 subscribed\n");
    arrives("news", "on");
    turn();
    expect_lines(fine, "news on\n");
}

/* --- the broker fails ------------------------------------------------------------------------- */

static void a_failed_attach_fails_all_who_wait_and_a_retry_works(void **state) {
    (void)state;
    struct wire *a = open_connected(), *b = open_connected();
    say(a, "2 sub news");
    say(b, "3 sub news");
    refuse();
    expect_lines(a, "2 error internal server error\n");
    expect_lines(b, "3 error internal server error\n");
    expect_attached("news", false);
    assert_int_equal(fanout_channel_count(bench.fanout), 0);
    assert_int_equal(a->client->subscription_count, 0);
    say(a, "4 sub news");
    answer();
    expect_lines(a, "4 subscribed\n");
}

static void an_attach_without_answer_fails_like_one_refused(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    stub_answer_at(stub(), 0, BROKER_UNKNOWN);
    turn();
    expect_lines(w, "2 error internal server error\n");
    expect_attached("news", false);
}

static void messages_held_for_a_failed_subscribe_are_dropped(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    arrives("news", "1");
    refuse();
    expect_lines(w, "2 error internal server error\n");
}

/* The retry was sent before the first attempt had failed: it runs in the very answer, and the
 * channel must survive that answer. */
static void a_retry_that_waited_behind_the_failure_attaches_again(void **state) {
    (void)state;
    struct wire *a = open_connected(), *b = open_connected();
    say(a, "2 sub news\n3 sub news");
    say(b, "2 sub news\n3 sub news");
    refuse();
    expect_lines(a, "2 error internal server error\n");
    expect_lines(b, "2 error internal server error\n");
    assert_int_equal(stub()->call_count, 1);
    arrives("news", "1");
    answer();
    expect_lines(a, "3 subscribed\nnews 1\n");
    expect_lines(b, "3 subscribed\nnews 1\n");
    assert_int_equal(find_channel("news")->pin_count, 0);
}

/* --- leaving while waiting -------------------------------------------------------------------- */

static void a_channel_nobody_waits_for_any_more_is_detached_when_confirmed(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    wire_gone(w, CLOSE_PEER);
    turn(); /* its memory is gone, the call is open */
    assert_non_null(find_channel("news"));
    answer();
    expect_attached("news", false);
    assert_int_equal(stub()->detaches_total, 1);
}

static void a_channel_nobody_waits_for_any_more_is_forgotten_when_refused(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    wire_gone(w, CLOSE_PEER);
    turn();
    refuse();
    expect_attached("news", false);
    assert_int_equal(stub()->detaches_total, 0);
}

static void one_of_two_who_wait_may_go(void **state) {
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct wire *w[2] = {open_connected(), open_connected()};
        say(w[0], "2 sub news");
        say(w[1], "2 sub news");
        wire_gone(w[who], CLOSE_PEER);
        turn();
        answer();
        expect_lines(w[1 - who], "2 subscribed\n");
        assert_int_equal(find_channel("news")->sub_count, 1);
        wire_gone(w[1 - who], CLOSE_PEER);
        expect_attached("news", false);
    }
}

static void who_is_closed_while_waiting_gets_no_reply(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news\n3 unsub news");
    client_close(w->client, CLOSE_SHUTDOWN);
    answer();
    expect_lines(w, "bye shutdown\n");
    expect_attached("news", false);
}

static void a_newcomer_joins_those_who_wait_for_a_deserted_channel(void **state) {
    (void)state;
    struct wire *first = open_connected(), *second = open_connected();
    say(first, "2 sub news");
    wire_gone(first, CLOSE_PEER);
    say(second, "2 sub news");
    assert_int_equal(stub()->call_count, 1);
    answer();
    expect_lines(second, "2 subscribed\n");
    expect_attached("news", true);
}

/* --- rules ------------------------------------------------------------------------------------ */

static void names_are_checked(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub nowhere:news\n3 pub nowhere:news x\n4 sub n\xc3\xa4h\n5 pub n\xc3\xa4h x");
    turn();
    expect_lines(w, "2 error unknown channel\n3 error unknown channel\n"
                    "4 error bad request\n5 error bad request\n");
    assert_int_equal(stub()->attaches_total + stub()->publishes_total, 0);
}

static void permissions_are_checked(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    struct wire *w = open_connected();
    bench.config->rules.is_insecure = false;
    say(w, "2 sub news\n3 pub news x");
    turn();
    expect_lines(w, "2 error permission denied\n3 error permission denied\n");
    o->allow_subscribe_for_client = o->allow_subscribe_for_anonymous = true;
    o->allow_publish_for_subscriber = o->allow_publish_for_anonymous = true;
    say(w, "4 pub news x\n5 sub news");
    answer();
    expect_lines(w, "4 error permission denied\n5 subscribed\n");
    say(w, "6 pub news x"); /* as a subscriber */
    answer();
    expect_lines(w, "news x\n6 published\n");
    say(w, "7 sub $private");
    turn();
    expect_lines(w, "7 error permission denied\n");
}

static void a_channel_is_subscribed_once(void **state) {
    (void)state;
    struct wire *w = open_subscribed("news");
    say(w, "3 sub news");
    turn();
    expect_lines(w, "3 error already subscribed\n");
    assert_int_equal(find_channel("news")->sub_count, 1);
}

static void subscriptions_are_limited(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_channel_limit = 2;
    say(w, "2 sub a\n3 sub b\n4 sub c");
    turn();
    expect_lines(w, "4 error limit exceeded\n");
    answer();
    answer();
    expect_lines(w, "2 subscribed\n3 subscribed\n");
    say(w, "5 unsub a\n6 sub c");
    answer();
    expect_lines(w, "5 unsubscribed\n6 subscribed\n");
}

static void unsubscribing_from_nothing_is_fine(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 unsub news");
    turn();
    expect_lines(w, "2 unsubscribed\n");
}

static void a_client_is_found_in_its_channels_only(void **state) {
    (void)state;
    struct wire *a = open_subscribed("a"), *b = open_subscribed("b");
    assert_non_null(client_find(a->client, STR("a")));
    assert_null(client_find(a->client, STR("b")));
    assert_null(client_find(b->client, STR("a")));
    assert_null(client_find(b->client, STR("c")));
}

#define CHANNEL_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(a_subscribe_waits_until_the_broker_confirms),
        CHANNEL_TEST(a_worker_attaches_a_channel_once),
        CHANNEL_TEST(the_last_to_leave_detaches),
        CHANNEL_TEST(leaving_and_coming_back_attaches_anew),
        CHANNEL_TEST(messages_that_come_while_it_waits_come_after_the_reply_in_order),
        CHANNEL_TEST(who_waits_longer_than_the_bound_is_closed_as_slow),
        CHANNEL_TEST(what_waits_is_bounded_in_bytes_too),
        CHANNEL_TEST(what_waited_may_be_too_much_for_the_queue),
        CHANNEL_TEST(a_failed_attach_fails_all_who_wait_and_a_retry_works),
        CHANNEL_TEST(an_attach_without_answer_fails_like_one_refused),
        CHANNEL_TEST(messages_held_for_a_failed_subscribe_are_dropped),
        CHANNEL_TEST(a_retry_that_waited_behind_the_failure_attaches_again),
        CHANNEL_TEST(a_channel_nobody_waits_for_any_more_is_detached_when_confirmed),
        CHANNEL_TEST(a_channel_nobody_waits_for_any_more_is_forgotten_when_refused),
        CHANNEL_TEST(one_of_two_who_wait_may_go),
        CHANNEL_TEST(who_is_closed_while_waiting_gets_no_reply),
        CHANNEL_TEST(a_newcomer_joins_those_who_wait_for_a_deserted_channel),
        CHANNEL_TEST(names_are_checked),
        CHANNEL_TEST(permissions_are_checked),
        CHANNEL_TEST(a_channel_is_subscribed_once),
        CHANNEL_TEST(subscriptions_are_limited),
        CHANNEL_TEST(unsubscribing_from_nothing_is_fine),
        CHANNEL_TEST(a_client_is_found_in_its_channels_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
