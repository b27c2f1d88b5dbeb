/* Joins and leaves in batches: what each subscriber hears, and what bounds a batch.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/member_batch.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"
#include "tests/unit/random_json.h"

enum { INTERVAL_MS = 1000, UNTIL_DUE_MS = INTERVAL_MS + 2 * WHEEL_TICK_MS };

static int start(void **state) {
    (void)state;
    bench_start(broker_memory_create);
    bench.config->rules.without_namespace.join_leave = true;
    bench.config->rules.without_namespace.join_leave_interval_ms = INTERVAL_MS;
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

/* A member on another worker comes or goes. */
static void member(enum msg_kind kind, const char *client, const char *info) {
    struct msg *m = msg_create(&(struct msg_parts){
        .kind = kind, .channel = STR("news"), .client = str_of(client), .chan_info = str_of(info)});
    fanout_post(bench.fanout, m);
    msg_unref(m);
    take_mail();
}

static void comes(const char *client) {
    member(MSG_JOIN, client, "");
}

static void goes(const char *client) {
    member(MSG_LEAVE, client, "");
}

static void expect_frame(struct wire *w, const char *format, const struct wire *named) {
    char line[256];
    snprintf(line, sizeof(line), format, CLIENT_ID_BYTES, named->client->id);
    expect_lines(w, line);
}

/* In the middle of a batch, if there is one. */
static struct wire *open_watcher(void) {
    struct wire *w = open_connected();
    say(w, "2 sub news joins");
    turn();
    expect_lines(w, "2 subscribed\n");
    return w;
}

/* It has heard of its own join. */
static struct wire *open_settled(void) {
    struct wire *w = open_watcher();
    pass_ms(UNTIL_DUE_MS);
    expect_frame(w, "news joined %.*s\n", w);
    plain_encode_count = 0;
    return w;
}

static size_t open_batches(void) {
    return bench.sessions.member_batches.channels.count;
}

/* --- what is in a batch ----------------------------------------------------------------------- */

static void what_happens_in_an_interval_comes_in_one_frame(void **state) {
    (void)state;
    struct wire *first = open_settled(), *asks_not = open_subscribed("news"), *second;
    pass_ms(UNTIL_DUE_MS);
    wire_news(first);
    second = open_settled();
    wire_news(first);
    comes("a");
    pass_ms(INTERVAL_MS / 2);
    comes("b");
    goes("c");
    arrives("news", "hello");
    turn();
    expect_lines(first, "news hello\n");
    pass_ms(INTERVAL_MS / 2 - WHEEL_TICK_MS);
    expect_lines(first, "");
    uint64_t before = metric(METRIC_DELIVERED);
    pass_ms(3 * WHEEL_TICK_MS);
    expect_lines(first, "news joined a, joined b, left c\n");
    expect_lines(second, "news hello\nnews joined a, joined b, left c\n");
    expect_lines(asks_not, "news hello\n");
    assert_int_equal(metric(METRIC_DELIVERED) - before, 6);
    assert_int_equal(plain_encode_count, 2); /* one of them the publication */
    comes("d");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(first, "news joined d\n");
    assert_int_equal(open_batches(), 0);
}

static void without_an_interval_nothing_waits(void **state) {
    (void)state;
    struct wire *w = open_settled();
    bench.config->rules.without_namespace.join_leave_interval_ms = 0;
    comes("a");
    turn();
    expect_lines(w, "news joined\n");
    assert_int_equal(open_batches(), 0);
}

static void who_comes_and_goes_is_not_mentioned(void **state) {
    (void)state;
    struct wire *w = open_settled();
    comes("a");
    comes("b");
    goes("a");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "news joined b\n");
    comes("a");
    goes("a");
    comes("a");
    goes("a");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "");
    assert_int_equal(open_batches(), 0);
}

static void who_returns_the_same_is_not_mentioned(void **state) {
    (void)state;
    struct wire *w = open_settled();
    goes("b");
    comes("b");
    member(MSG_LEAVE, "x", "[1]");
    member(MSG_JOIN, "x", "[2]"); /* changed */
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "news left x, joined x\n");
    member(MSG_LEAVE, "x", "[2]");
    member(MSG_JOIN, "x", "[3]");
    member(MSG_LEAVE, "x", "[3]");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "news left x\n");
}

/* --- who comes in the middle ------------------------------------------------------------------ */

static void a_newcomer_hears_what_follows(void **state) {
    (void)state;
    struct wire *old = open_settled();
    goes("before");
    comes("x");
    struct wire *young = open_watcher();
    goes("x"); /* the newcomer may have seen it */
    comes("y");
    pass_ms(UNTIL_DUE_MS);
    expect_frame(old, "news left before, joined %.*s, joined y\n", young);
    expect_frame(young, "news joined %.*s, left x, joined y\n", young);
    comes("z"); /* then it is as all others */
    pass_ms(UNTIL_DUE_MS);
    expect_lines(old, "news joined z\n");
    expect_lines(young, "news joined z\n");
}

static void who_asks_for_the_presence_hears_first_what_is_in_it(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    struct wire *asks = open_settled(), *other = open_settled();
    wire_news(asks);
    o->presence = true;
    comes("a");
    say(asks, "4 who news");
    turn();
    expect_lines(asks, "news joined a\n4 0 clients 0 users\n");
    say(asks, "5 who news");
    turn();
    expect_lines(asks, "5 0 clients 0 users\n");
    goes("a");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(asks, "news left a\n");
    expect_lines(other, "");
}

static void a_batch_whose_subscribers_have_left_is_not_for_the_next(void **state) {
    (void)state;
    struct wire *w = open_settled();
    comes("a");
    say(w, "3 unsub news");
    turn();
    expect_lines(w, "3 unsubscribed\n");
    assert_int_equal(open_batches(), 1);
    say(w, "4 sub news joins");
    turn();
    goes("a");
    pass_ms(UNTIL_DUE_MS);
    expect_frame(w, "4 subscribed\nnews joined %.*s, left a\n", w);
    comes("b");
    say(w, "5 unsub news");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "5 unsubscribed\n");
    assert_int_equal(open_batches(), 0);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void come_many(uint32_t count) {
    char client[16];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(client, sizeof(client), "m%u", i);
        comes(client);
    }
    flush();
}

static void a_batch_of_too_many_is_sent_early(void **state) {
    (void)state;
    struct wire *w = open_settled();
    bench.config->client_queue_max_size_bytes = 64 << 20;
    come_many(MEMBER_BATCH_MAX_COUNT - 1);
    expect_lines(w, "");
    comes("last");
    flush();
    struct str news = wire_news(w);
    assert_true(str_starts(news, STR("news joined m0, joined m1, ")));
    assert_int_equal(news.p[news.n - 1], '\n');
    assert_int_equal(open_batches(), 0);
    comes("next");
    pass_ms(UNTIL_DUE_MS);
    expect_lines(w, "news joined next\n");
}

static void no_batch_is_larger_than_a_publication(void **state) {
    (void)state;
    struct wire *w = open_settled();
    bench.config->client_queue_max_size_bytes = 40000; /* a publication: 10000 */
    come_many(150);
    assert_true(str_starts(wire_news(w), STR("news joined m0, joined m1, ")));
    assert_int_equal(closes(CLOSE_SLOW), 0);
}

static void too_many_newcomers_make_it_end_early(void **state) {
    (void)state;
    struct wire *w = open_settled();
    uint32_t count = 0;
    while (w->out.n == w->read_at) {
        say(open_connected(), "2 sub news joins");
        turn();
        assert_true(++count < 1000);
    }
    assert_true(count > 200);
}

static void who_is_slow_is_closed_and_the_others_get_it(void **state) {
    (void)state;
    struct wire *a = open_settled(), *slow = open_settled(), *b = open_settled();
    bench.config->client_queue_max_size_bytes = 4096;
    pass_ms(UNTIL_DUE_MS);
    slow->is_blocked = true;
    for (int i = 0; i < 40; i++) {
        if (slow->client->state == CLIENT_CONNECTED)
            arrives("news", "12345678901234567890123456789012345678901234567890"
                            "12345678901234567890123456789012345678901234567890");
        turn();
    }
    come_many(1);
    pass_ms(UNTIL_DUE_MS);
    come_many(9);
    pass_ms(UNTIL_DUE_MS);
    assert_int_equal(closes(CLOSE_SLOW), 1);
    assert_int_equal(slow->client->state, CLIENT_CLOSING);
    for (int i = 0; i < 2; i++) {
        struct str news = wire_news(i ? a : b);
        assert_true(str_find(news, 'm') < news.n);
    }
}

/* --- at random -------------------------------------------------------------------------------- */

enum { STRANGERS = 12, WATCHERS = 8, ALL = STRANGERS + WATCHERS, STEPS = 30000 };

static struct random dice = {7};
static bool is_in[ALL];
static char info_of[STRANGERS][4];
static struct wire *watchers[WATCHERS];
static bool sees[WATCHERS][ALL];
static char ids[ALL][CLIENT_ID_BYTES + 1];

static int find_id(struct str id) {
    for (int i = 0; i < ALL; i++)
        if (str_equal(id, str_of(ids[i])))
            return i;
    fail_msg("unknown member %.*s", STR_ARG(id));
    return -1;
}

/* One "joined x" or "left x": it must be news to this watcher. */
static void watch_one(int watcher, struct str text) {
    struct str verb = plain_word(&text, ' ');
    int who = find_id(text);
    bool joins = str_equal(verb, STR("joined"));
    assert_true(joins || str_equal(verb, STR("left")));
    assert_int_equal(sees[watcher][who], !joins);
    sees[watcher][who] = joins;
}

static void watch(int watcher) {
    struct str news = wire_news(watchers[watcher]);
    while (news.n) {
        struct str line = plain_word(&news, '\n');
        if (!str_equal(plain_word(&line, ' '), STR("news")))
            continue;
        while (line.n) {
            watch_one(watcher, plain_word(&line, ','));
            plain_word(&line, ' ');
        }
    }
}

static void watch_all(void) {
    for (int i = 0; i < WATCHERS; i++)
        if (watchers[i])
            watch(i);
}

static void stranger_moves(int i) {
    is_in[i] = !is_in[i];
    if (is_in[i] && random_below(&dice, 3) == 0)
        snprintf(info_of[i], sizeof(info_of[i]), "%u", random_below(&dice, 3));
    member(is_in[i] ? MSG_JOIN : MSG_LEAVE, ids[i], info_of[i]);
}

static void watcher_moves(int i) {
    int me = STRANGERS + i;
    if (watchers[i]) {
        wire_free(watchers[i]);
        watchers[i] = NULL;
        is_in[me] = false;
    } else {
        watchers[i] = open_connected();
        memcpy(watchers[i]->client->id, ids[me], CLIENT_ID_BYTES); /* as if it returned */
        say(watchers[i], "2 sub news joins");
        memcpy(sees[i], is_in, sizeof(is_in));
        is_in[me] = true;
    }
    turn();
}

static void watcher_asks(int i) {
    if (!watchers[i])
        return;
    say(watchers[i], "9 who news");
    turn();
    watch(i);
    assert_memory_equal(sees[i], is_in, sizeof(is_in));
}

static void every_watcher_hears_the_truth_each_thing_once(void **state) {
    (void)state;
    bench.config->rules.without_namespace.presence = true;
    bench.config->client_command_rate_limit = bench.config->client_bytes_rate_limit = 0;
    bench.config->client_ping_interval_ms = 1000000000;
    for (int i = 0; i < ALL; i++)
        snprintf(ids[i], sizeof(ids[i]), "%0*d", CLIENT_ID_BYTES, i);
    for (int step = 0; step < STEPS; step++) {
        uint32_t kind = random_below(&dice, 100);
        if (kind < 75)
            stranger_moves((int)random_below(&dice, STRANGERS));
        else if (kind < 90)
            watcher_moves((int)random_below(&dice, WATCHERS));
        else if (kind < 95)
            watcher_asks((int)random_below(&dice, WATCHERS));
        else
            pass_ms(random_below(&dice, 600));
        watch_all();
        if (open_batches() == 0)
            for (int i = 0; i < WATCHERS; i++)
                if (watchers[i])
                    assert_memory_equal(sees[i], is_in, sizeof(is_in));
    }
}

#define BATCH_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        BATCH_TEST(what_happens_in_an_interval_comes_in_one_frame),
        BATCH_TEST(without_an_interval_nothing_waits),
        BATCH_TEST(who_comes_and_goes_is_not_mentioned),
        BATCH_TEST(who_returns_the_same_is_not_mentioned),
        BATCH_TEST(a_newcomer_hears_what_follows),
        BATCH_TEST(who_asks_for_the_presence_hears_first_what_is_in_it),
        BATCH_TEST(a_batch_whose_subscribers_have_left_is_not_for_the_next),
        BATCH_TEST(a_batch_of_too_many_is_sent_early),
        BATCH_TEST(no_batch_is_larger_than_a_publication),
        BATCH_TEST(too_many_newcomers_make_it_end_early),
        BATCH_TEST(who_is_slow_is_closed_and_the_others_get_it),
        BATCH_TEST(every_watcher_hears_the_truth_each_thing_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
