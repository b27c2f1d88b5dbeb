/* History over a real redis-server when something goes wrong: what does not come is read from the
 * history, in order, before anything behind it; what cannot be read is told; and who comes back
 * does not cost Redis a question each.
 *
 * Thread: main, and the brokers' own. Owns: a redis-server and nodes per test.
 */
#include "channels/broker_redis.c"

#include "channels/redis_scripts.h"
#include "tests/unit/redis_testing.h"

#include "tests/unit/redis_history_calls.h"

/* --- holes ------------------------------------------------------------------------------------ */

static void a_hole_is_filled_in_order_before_what_follows(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    publish_unheard("a", "2");
    publish_unheard("a", "3");
    publish_n(0, "a", 4);
    publish_n(0, "a", 5);
    expect_run(1, 1, 5);
    assert_int_equal(COUNT_OF(1, gaps), 1);
    assert_in_range(COUNT_OF(1, refilled), 3, 4); /* the fourth was read, too */
    assert_int_equal(COUNT_OF(1, lost), 0);
    stop_listening(1, 0, "a");
}

static void a_long_hole_is_filled_in_several_readings(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    redis_server_do(&server, "PING");
    for (int i = 2; i <= 2500; i++) {
        char data[12];
        snprintf(data, sizeof(data), "%d", i);
        publish_unheard("a", data);
    }
    const struct publish_options all = {.keep = {10000, 60000, 60000}};
    assert_int_equal(publish_with(0, "a", "2501", &all).offset, 2501);
    expect_run(1, 1, 2501);
    assert_in_range(COUNT_OF(1, history_reads), 3, 4);
    stop_listening(1, 0, "a");
}

static void what_has_no_position_waits_for_the_hole(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    publish_unheard("a", "2");
    redis_server_signal(&server, SIGSTOP); /* so that these come together */
    struct reply r = reply_to(0, 1);
    struct broker *b = test_nodes[0].broker;
    b->ops->publish(b, msg_create(&(struct msg_parts){.channel = STR("a"), .data = STR("3")}),
                    &KEEP, &r);
    send_text(0, "a", "\"plain\"", NULL);
    redis_server_signal(&server, SIGCONT);
    expect_result(0, 1, &r, BROKER_OK);
    expect_run(1, 1, 3);
    expect_msg(1, 0, MSG_PUBLICATION, "\"plain\"");
    stop_listening(1, 0, "a");
}

static void a_hole_that_is_gone_shows_in_the_offsets_and_is_counted(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    publish_unheard("a", "2");
    redis_server_do(&server, "DEL %s", STREAM "a");
    publish_n(0, "a", 3);
    expect_run(1, 1, 1);
    expect_run(1, 3, 3);
    assert_int_equal(COUNT_OF(1, lost), 1);
    stop_listening(1, 0, "a");
}

static void the_end_of_a_silent_channel_is_found(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    publish_unheard("a", "2");
    expect_run(1, 2, 2); /* when the silence is compared */
    publish_n(0, "a", 3);
    expect_run(1, 3, 3);
    stop_listening(1, 0, "a");
}

static void a_silent_end_that_is_gone_is_told(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    publish_unheard("a", "2");
    redis_server_do(&server, "DEL %s", STREAM "a");
    assert_int_equal(expect_top(1).offset, 2);
    publish_n(0, "a", 3);
    expect_run(1, 3, 3);
    stop_listening(1, 0, "a");
}

static int start_2_quick(void **state) {
    broker_quiet_ms = slowly(300);
    return start_2(state);
}

/* --- links that break ------------------------------------------------------------------------- */

/* Until it is certain: the key keeps it from being there twice. */
static void publish_surely(uint32_t node, const char *channel, int n) {
    struct broker *b = test_nodes[node].broker;
    struct reply r;
    char data[12];
    snprintf(data, sizeof(data), "%d", n);
    struct publish_options o = KEEP;
    o.idempotency_key = str_of(data);
    do {
        r = reply_to(node, 1);
        WAIT_UNTIL(!trouble_of(node));
        b->ops->publish(
            b, msg_create(&(struct msg_parts){.channel = str_of(channel), .data = str_of(data)}),
            &o, &r);
        next_mail(node, 1, MAIL_REPLY);
    } while (r.result != BROKER_OK);
    assert_int_equal(r.position.offset, n);
}

static void after_a_cut_everything_comes_once_and_in_order(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    for (int n = 1; n <= 100; n++) {
        if (n % 20 == 10)
            redis_server_do(&server, "CLIENT KILL TYPE pubsub");
        publish_surely(0, "a", n);
    }
    expect_run(1, 1, 100);
    assert_int_equal(COUNT_OF(1, lost), 0);
    stop_listening(1, 0, "a");
}

static void a_redis_without_its_data_begins_a_new_epoch_and_says_so(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    struct position before = read_top(1, "a");
    expect_run(1, 1, 1);
    redis_server_kill(&server);
    redis_server_start(&server);
    wait_until_up(0);
    struct position top = expect_top(1);
    assert_int_equal(top.offset, 0);
    assert_memory_not_equal(top.epoch, before.epoch, EPOCH_BYTES);
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    assert_int_equal(COUNT_OF(1, epoch_changes), 1);
    stop_listening(1, 0, "a");
}

/* Publishes the first entry of the stream once more, as if it came from that place. */
static void publish_late(const char *epoch, char offset) {
    enum { OFFSET_AT = 8, EPOCH_AT = 16 };
    redisReply *r = redis_server_ask(&server, "XRANGE %s - + COUNT 1", STREAM "a");
    redisReply *text = r->element[0]->element[1]->element[1];
    text->str[OFFSET_AT] = offset;
    memcpy(text->str + EPOCH_AT, epoch, EPOCH_BYTES);
    freeReplyObject(
        redis_server_ask(&server, "PUBLISH %s %b", TEST_BASE "ch:a", text->str, text->len));
    freeReplyObject(r);
}

static void what_comes_late_from_an_epoch_that_is_over_reaches_nobody(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    publish_late("whenever", 1);
    publish_late("whenever", 2);
    publish_late("whenever", 3);
    publish_n(0, "a", 2);
    expect_run(1, 1, 2);
    WAIT_UNTIL(COUNT_OF(1, duplicates) >= 3); /* four, if the second was read, too */
    assert_int_equal(COUNT_OF(1, epoch_changes), 0);
    stop_listening(1, 0, "a");
}

static void the_first_of_a_new_epoch_comes_and_shows_it(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    redis_server_do(&server, "HSET %s e newepoch", META "a");
    publish_n(0, "a", 2);
    publish_n(0, "a", 3);
    expect_run(1, 2, 3);
    assert_memory_equal(read_top(1, "a").epoch, "newepoch", EPOCH_BYTES);
    assert_int_equal(COUNT_OF(1, epoch_changes), 1);
    stop_listening(1, 0, "a");
}

/* --- the script ------------------------------------------------------------------------------- */

static void a_redis_that_forgot_the_script_gets_it_again_and_the_order_stays(void **state) {
    enum { COUNT = 3000 };
    static struct reply replies[COUNT];
    struct broker *b = test_nodes[0].broker;
    (void)state;
    listen_on(1, 0, "a");
    for (int i = 0; i < COUNT; i++) {
        char data[12];
        snprintf(data, sizeof(data), "%d", i + 1);
        replies[i] = reply_to(0, 1);
        if (i % 500 == 0)
            redis_server_do(&server, "SCRIPT FLUSH");
        b->ops->publish(b,
                        msg_create(&(struct msg_parts){.channel = STR("a"), .data = str_of(data)}),
                        &(struct publish_options){.keep = {COUNT, 60000, 60000}}, &replies[i]);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(next_mail(0, 1, MAIL_REPLY).reply->result, BROKER_OK);
    expect_run(1, 1, COUNT);
    stop_listening(1, 0, "a");
}

/* --- those who come back ---------------------------------------------------------------------- */

static void many_who_ask_at_once_cost_redis_few_questions(void **state) {
    enum { COUNT = 5000 };
    static struct history_reply calls[COUNT];
    struct broker *b = test_nodes[1].broker;
    (void)state;
    for (int i = 1; i <= 100; i++)
        publish_n(0, "a", i);
    struct position since = read_top(0, "a");
    listen_on(1, 0, "a"); /* this node has seen nothing yet */
    uint64_t before = COUNT_OF(1, history_reads);
    for (int i = 0; i < COUNT; i++) {
        since.offset = (uint64_t)(i * 37 % 101);
        calls[i] = (struct history_reply){.may_lag = true,
                                          .reply = reply_to(1, 1),
                                          .limit = 300,
                                          .has_since = true,
                                          .since = since};
        b->ops->history(b, STR("a"), &calls[i]);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(next_mail(1, 1, MAIL_REPLY).reply->result, BROKER_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(calls[i].top.offset, 100);
        assert_int_equal(calls[i].count, 100 - calls[i].since.offset);
        for (uint32_t k = 0; k < calls[i].count; k++)
            assert_int_equal(calls[i].items[k]->position.offset, calls[i].since.offset + 1 + k);
        history_reply_fini(&calls[i]);
    }
    assert_in_range(COUNT_OF(1, history_reads) - before, 1, 10);
    print_message("%d questions, %d readings\n", COUNT, (int)(COUNT_OF(1, history_reads) - before));
    stop_listening(1, 0, "a");
}

static void who_comes_back_to_a_node_that_has_seen_it_all_asks_nobody(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    for (int i = 1; i <= 20; i++)
        publish_n(0, "a", i);
    expect_run(1, 1, 20);
    struct position since = read_top(1, "a");
    uint64_t before = COUNT_OF(1, history_reads);
    since.offset = 17;
    expect_range(
        1, "a", "18 19 20",
        &(struct history_reply){.limit = 300, .has_since = true, .since = since, .may_lag = true});
    expect_range(1, "a", "20",
                 &(struct history_reply){.limit = 1, .is_reverse = true, .may_lag = true});
    expect_range(1, "a", "", &(struct history_reply){.limit = 0, .may_lag = true});
    assert_int_equal(COUNT_OF(1, history_reads), before);
    stop_listening(1, 0, "a");
}

/* It had it from another node, whose messages travel faster. */
static void who_knows_more_than_this_node_is_believed(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    publish_unheard("a", "2");
    struct position since = read_top(0, "a");
    assert_int_equal(since.offset, 2);
    struct history_reply h = {.limit = 10, .has_since = true, .since = since, .may_lag = true};
    read_history_of(1, "a", &h);
    assert_int_equal(h.top.offset, 2);
    assert_false(h.is_other_epoch);
    history_reply_fini(&h);
    stop_listening(1, 0, "a");
}

/* --- what is not ours ------------------------------------------------------------------------- */

static void what_is_not_ours_in_a_stream_is_left_out(void **state) {
    (void)state;
    publish_n(0, "a", 1);
    redis_server_do(&server, "XADD %s 1-1 m nonsense", STREAM "a");
    redis_server_do(&server, "XADD %s 1-2 foo bar", STREAM "a");
    publish_n(0, "a", 2);
    expect_range(0, "a", "1 2", &(struct history_reply){.limit = 10});
    assert_in_range(COUNT_OF(0, garbage), 2, 2);
}

static void a_foreign_key_refuses_publications_and_readings_of_its_channel_only(void **state) {
    struct broker *b = test_nodes[0].broker;
    struct history_reply h = {.limit = 10, .reply = reply_to(0, 1)};
    struct reply r = reply_to(0, 1);
    (void)state;
    redis_server_do(&server, "SET %s foreign", META "a");
    b->ops->publish(b, msg_create(&(struct msg_parts){.channel = STR("a"), .data = STR("1")}),
                    &KEEP, &r);
    expect_result(0, 1, &r, BROKER_UNAVAILABLE);
    b->ops->history(b, STR("a"), &h);
    expect_result(0, 1, &h.reply, BROKER_UNAVAILABLE);
    publish_n(0, "b", 1);
    redis_server_do(&server, "SET %s foreign", STREAM "c");
    r = reply_to(0, 1);
    b->ops->publish(b, msg_create(&(struct msg_parts){.channel = STR("c"), .data = STR("1")}),
                    &KEEP, &r);
    expect_result(0, 1, &r, BROKER_OK); /* a stream without meta is begun again */
}

static void garbage_on_a_channel_is_counted_and_harms_nobody(void **state) {
    static const char *const texts[] = {"CRN2", "CRN2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                        "CRN2\x20", ""};
    (void)state;
    listen_on(1, 0, "a");
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        redis_server_do(&server, "PUBLISH %s %s", TEST_BASE "ch:a", texts[i]);
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    assert_int_equal(COUNT_OF(1, garbage), 4);
    stop_listening(1, 0, "a");
}

/* --- bounds and ends -------------------------------------------------------------------------- */

static void readings_that_are_under_way_outlive_their_channel(void **state) {
    struct broker *b = test_nodes[1].broker;
    (void)state;
    for (int i = 1; i <= 10; i++)
        publish_n(0, "a", i);
    for (int round = 0; round < 20; round++) {
        struct history_reply h = {
            .reply = reply_to(1, 1), .limit = 300, .has_since = true, .may_lag = true};
        listen_on(1, 0, "a");
        b->ops->history(b, STR("a"), &h);
        stop_listening(1, 0, "a");
        expect_result(1, 1, &h.reply, BROKER_OK);
        expect_items(&h, "1 2 3 4 5 6 7 8 9 10");
        history_reply_fini(&h);
    }
}

static void while_redis_is_frozen_who_asks_is_answered_in_time(void **state) {
    struct broker *b = test_nodes[0].broker;
    struct history_reply h = {.reply = reply_to(0, 1), .limit = 10};
    (void)state;
    publish_n(0, "a", 1);
    redis_server_signal(&server, SIGSTOP);
    uint64_t start_ms = clock_now_ms();
    b->ops->history(b, STR("a"), &h);
    expect_result(0, 1, &h.reply, BROKER_UNAVAILABLE);
    assert_in_range(clock_now_ms() - start_ms, 0, BROKER_DEADLINE_MS);
    WAIT_UNTIL(trouble_of(0));
    redis_server_signal(&server, SIGCONT);
    wait_until_up(0);
    b->ops->history(b, STR("a"), &h);
    expect_result(0, 1, &h.reply, BROKER_OK);
    history_reply_fini(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(a_hole_is_filled_in_order_before_what_follows, 2),
        REDIS_TEST(a_long_hole_is_filled_in_several_readings, 2),
        REDIS_TEST(what_has_no_position_waits_for_the_hole, 2),
        REDIS_TEST(a_hole_that_is_gone_shows_in_the_offsets_and_is_counted, 2),
        REDIS_TEST(the_end_of_a_silent_channel_is_found, 2_quick),
        REDIS_TEST(a_silent_end_that_is_gone_is_told, 2_quick),
        REDIS_TEST(after_a_cut_everything_comes_once_and_in_order, 2),
        REDIS_TEST(what_comes_late_from_an_epoch_that_is_over_reaches_nobody, 2),
        REDIS_TEST(the_first_of_a_new_epoch_comes_and_shows_it, 2),
        REDIS_TEST(a_redis_without_its_data_begins_a_new_epoch_and_says_so, 2),
        REDIS_TEST(a_redis_that_forgot_the_script_gets_it_again_and_the_order_stays, 2),
        REDIS_TEST(many_who_ask_at_once_cost_redis_few_questions, 2),
        REDIS_TEST(who_comes_back_to_a_node_that_has_seen_it_all_asks_nobody, 2),
        REDIS_TEST(who_knows_more_than_this_node_is_believed, 2),
        REDIS_TEST(what_is_not_ours_in_a_stream_is_left_out, 1),
        REDIS_TEST(a_foreign_key_refuses_publications_and_readings_of_its_channel_only, 1),
        REDIS_TEST(garbage_on_a_channel_is_counted_and_harms_nobody, 2),
        REDIS_TEST(readings_that_are_under_way_outlive_their_channel, 2),
        REDIS_TEST(while_redis_is_frozen_who_asks_is_answered_in_time, 1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
