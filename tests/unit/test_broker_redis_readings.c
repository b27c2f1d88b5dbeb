/* Reading histories over a real redis-server, where it is about what happens at which moment: who
 * asks while a reading is under way, what is published between two calls of one, and a Redis that
 * answers but refuses to write.
 *
 * Thread: main, and the brokers' own. Owns: a redis-server and nodes per test.
 */
#include "channels/broker_redis.c"

#include "channels/redis_scripts.h"
#include "tests/unit/redis_testing.h"

#include "tests/unit/redis_history_calls.h"

#include <semaphore.h>

static void publish_run(uint32_t node, const char *channel, int first, int last) {
    for (int n = first; n <= last; n++)
        publish_n(node, channel, n);
}

/* --- moments ---------------------------------------------------------------------------------- */

/* A node's Redis thread, held in the middle of an answer. What its links and its inbox get
 * meanwhile is taken afterwards, in the order in which they began to have something. */
struct hold {
    struct mailbox mailbox;
    sem_t begun, ended;
    struct history_reply question;
};

static void hold_wake(void *arg) {
    struct hold *h = arg;
    sem_post(&h->begun);
    sem_wait(&h->ended);
}

/* Everything that was asked before has been sent to Redis. */
static void hold_begin(struct hold *h, uint32_t node) {
    struct broker *b = test_nodes[node].broker;
    *h = (struct hold){.question = {.reply = {.to = &h->mailbox}, .may_lag = true}};
    sem_init(&h->begun, 0, 0);
    sem_init(&h->ended, 0, 0);
    mailbox_init(&h->mailbox, SIZE_MAX, hold_wake, h);
    read_top(node, "held"); /* the turn after that sends */
    b->ops->history(b, STR("held"), &h->question);
    sem_wait(&h->begun);
}

static void hold_end(struct hold *h) {
    struct mail mail;
    sem_post(&h->ended);
    assert_true(mailbox_take(&h->mailbox, &mail));
    mailbox_fini(&h->mailbox);
}

static int start_2_held(void **state) {
    start_2(state);
    listen_on(1, 0, "held");
    read_top(1, "held"); /* from now on it is answered without Redis */
    return 0;
}

/* --- who asks while a reading is under way ---------------------------------------------------- */

static void a_reading_is_not_enough_for_who_knows_more_and_came_later(void **state) {
    struct broker *b = test_nodes[1].broker;
    static struct hold hold;
    (void)state;
    publish_run(0, "a", 1, 9);
    struct position since = read_top(0, "a");
    struct history_reply first = {
        .reply = reply_to(1, 1), .limit = 10, .has_since = true, .since = since, .may_lag = true};
    struct history_reply other = {.reply = reply_to(1, 1), .may_lag = true};
    struct history_reply later = {
        .reply = reply_to(1, 1), .limit = 10, .has_since = true, .may_lag = true};
    listen_on(1, 0, "a");
    redis_server_signal(&server, SIGSTOP);
    b->ops->history(b, STR("a"), &first);
    hold_begin(&hold, 1);
    b->ops->history(b, STR("held"), &other); /* calls are taken before Redis' answer */
    redis_server_signal(&server, SIGCONT);
    redis_server_do(&server, "PING"); /* the first one has its answer */
    publish_run(0, "a", 10, 10);
    later.since = read_top(0, "a");
    assert_int_equal(later.since.offset, 10);
    b->ops->history(b, STR("a"), &later);
    hold_end(&hold);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next_mail(1, 1, MAIL_REPLY).reply->result, BROKER_OK);
    assert_int_equal(later.top.offset, 10);
    assert_int_equal(later.count, 0);
    history_reply_fini(&first);
    stop_listening(1, 0, "a");
}

/* A node heals so many channels at a time. */
static void the_top_of_a_channel_is_not_told_before_what_is_below(void **state) {
    enum { CHANNELS = 40 };
    struct broker *b = test_nodes[1].broker;
    struct history_reply calls[CHANNELS];
    uint64_t told[CHANNELS + 1] = {0};
    char name[8];
    static struct hold hold;
    (void)state;
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        fanout_add(test_nodes[1].fanout, str_of(name), 1);
        struct reply r = reply_to(1, 1);
        b->ops->attach(b, str_of(name), &r);
        expect_result(1, 1, &r, BROKER_OK);
        publish_run(0, name, 1, 1);
        msg_unref(next_msg(1, 1));
        publish_unheard(name, "2");
    }
    hold_begin(&hold, 1);
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        publish_run(0, name, 3, 3);
    }
    redis_server_do(&server, "PING"); /* everybody has the last one, too */
    redis_server_signal(&server, SIGSTOP);
    hold_end(&hold);
    WAIT_UNTIL(COUNT_OF(1, gaps) == CHANNELS);
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        calls[i] = (struct history_reply){.reply = reply_to(1, 1), .may_lag = true};
        b->ops->history(b, str_of(name), &calls[i]);
    }
    struct history_reply last = {.reply = reply_to(1, 0), .may_lag = true};
    b->ops->history(b, STR("held"), &last);
    expect_result(1, 0, &last.reply, BROKER_OK); /* all of them have been asked */
    redis_server_signal(&server, SIGCONT);
    for (int left = 3 * CHANNELS; left > 0; left--) {
        struct mail mail;
        while (!mailbox_take(test_nodes[1].boxes[1], &mail))
            wait_for_mail(&test_nodes[1].workers[1]);
        if (mail.kind == MAIL_MSG) {
            uint64_t number = CHANNELS;
            str_to_u64(mail.msg->parts.channel, &number);
            told[number] = mail.msg->position.offset;
            msg_unref(mail.msg);
            continue;
        }
        struct history_reply *h = list_entry(mail.reply, struct history_reply, reply);
        uint64_t before = told[h - calls] ? told[h - calls] : 1;
        assert_int_equal(h->reply.result, BROKER_OK);
        assert_in_range(h->top.offset, 1, before);
    }
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        fanout_remove(test_nodes[1].fanout, str_of(name), 1);
        b->ops->detach(b, str_of(name));
    }
}

/* --- readings of several calls ---------------------------------------------------------------- */

static void the_top_of_a_reverse_reading_is_where_it_began(void **state) {
    struct broker *b = test_nodes[1].broker;
    static struct hold hold;
    (void)state;
    publish_run(0, "a", 1, 1200);
    struct history_reply h = {.reply = reply_to(1, 1), .limit = 1100, .is_reverse = true};
    redis_server_signal(&server, SIGSTOP);
    b->ops->history(b, STR("a"), &h);
    hold_begin(&hold, 1);
    redis_server_signal(&server, SIGCONT);
    redis_server_do(&server, "PING");
    publish_run(0, "a", 1201, 1201);
    hold_end(&hold);
    expect_result(1, 1, &h.reply, BROKER_OK);
    assert_int_equal(h.count, 1100);
    assert_int_equal(h.items[0]->position.offset, 1200);
    assert_int_equal(h.top.offset, 1200); /* who continues from there misses nothing */
    history_reply_fini(&h);
}

/* Else what comes behind the top would be joined to what ends below it. */
static void a_reading_whose_rest_was_removed_meanwhile_says_so(void **state) {
    struct broker *b = test_nodes[1].broker;
    static struct hold hold;
    (void)state;
    publish_run(0, "a", 1, 1200);
    struct history_reply h = {.reply = reply_to(1, 1), .limit = UINT32_MAX};
    redis_server_signal(&server, SIGSTOP);
    b->ops->history(b, STR("a"), &h);
    hold_begin(&hold, 1);
    redis_server_signal(&server, SIGCONT);
    redis_server_do(&server, "DEL %s", STREAM "a"); /* the first answer is on its way */
    hold_end(&hold);
    expect_result(1, 1, &h.reply, BROKER_OK);
    assert_int_equal(h.count, 1000);
    assert_int_equal(h.top.offset, 1200);
    assert_true(h.is_cut);
    history_reply_fini(&h);
}

static void much_that_is_not_ours_does_not_keep_a_reading_for_ever(void **state) {
    (void)state;
    publish_run(0, "a", 1, 1);
    redis_server_do(&server, "EVAL %s 1 %s",
                    "for i = 1, 1500 do redis.call('XADD', KEYS[1], '1-' .. i, 'm', 'x') end",
                    STREAM "a");
    expect_range(0, "a", "1", &(struct history_reply){.limit = 5000});
    expect_range(0, "a", "1", &(struct history_reply){.limit = 5000});
}

/* --- a Redis that refuses --------------------------------------------------------------------- */

static int start_2_quick(void **state) {
    broker_quiet_ms = slowly(300);
    return start_2(state);
}

static void while_redis_refuses_to_write_histories_are_read(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_run(0, "a", 1, 1);
    expect_msg(1, 0, MSG_PUBLICATION, "1");
    publish_unheard("a", "2");
    redis_server_do(&server, "CONFIG SET min-replicas-to-write 1");
    expect_msg(1, 0, MSG_PUBLICATION, "2"); /* the silence is compared */
    expect_range(0, "a", "1 2", &(struct history_reply){.limit = 10});
    stop_listening(1, 0, "a");
}

static void a_foreign_key_does_not_keep_other_channels_from_being_compared(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    listen_on(1, 0, "b");
    publish_run(0, "a", 1, 1);
    read_top(1, "b");
    redis_server_do(&server, "SET %s foreign", META "b");
    expect_msg(1, 0, MSG_PUBLICATION, "1");
    publish_unheard("a", "2");
    expect_msg(1, 0, MSG_PUBLICATION, "2");
    stop_listening(1, 0, "a");
    stop_listening(1, 0, "b");
}

/* --- what is not ours ------------------------------------------------------------------------- */

static void a_message_that_the_history_does_not_know_holds_up_nobody(void **state) {
    static const char script[] =
        "redis.call('PUBLISH', KEYS[1], 'CRN2' .. struct.pack('<I4I8', 36, 1000) ..\n"
        "    redis.call('HGET', KEYS[2], 'e') .. struct.pack('<I4I4I4', 0, 60, 1000) .. ARGV[1])\n";
    struct buf envelope = {0};
    (void)state;
    listen_on(1, 0, "a");
    publish_run(0, "a", 1, 1);
    expect_msg(1, 0, MSG_PUBLICATION, "1");
    redis_envelope_add(&envelope, &(struct msg_parts){.data = STR("\"forged\"")});
    redis_server_do(&server, "EVAL %s 2 %s %s %b", script, TEST_BASE "ch:a", META "a", envelope.p,
                    envelope.n);
    buf_fini(&envelope);
    publish_run(0, "a", 2, 3);
    expect_msg(1, 0, MSG_PUBLICATION, "2");
    expect_msg(1, 0, MSG_PUBLICATION, "3");
    WAIT_UNTIL(COUNT_OF(1, garbage) == 1);
    assert_in_range(COUNT_OF(1, history_reads), 1, 3); /* and Redis is not asked without end */
    stop_listening(1, 0, "a");
}

/* --- time ---------------------------------------------------------------------------------------
 */

/* A Redis that is frozen, serves some and is frozen again. */
static void who_waits_for_a_turn_is_answered_in_time(void **state) {
    enum { COUNT = 5000 };
    static struct history_reply calls[COUNT];
    struct broker *b = test_nodes[0].broker;
    uint64_t worst = 0;
    (void)state;
    publish_run(0, "a", 1, 1);
    redis_server_signal(&server, SIGSTOP);
    uint64_t start_ms = clock_now_ms();
    for (int i = 0; i < COUNT; i++) {
        calls[i] = (struct history_reply){.reply = reply_to(0, 1), .limit = 10};
        b->ops->history(b, STR("a"), &calls[i]);
    }
    while (clock_now_ms() < start_ms + 2000)
        short_pause();
    redis_server_signal(&server, SIGCONT);
    for (int i = 0; i < COUNT; i++) {
        next_mail(0, 1, MAIL_REPLY);
        if (i == 0)
            redis_server_signal(&server, SIGSTOP);
        worst = clock_now_ms() - start_ms;
    }
    redis_server_signal(&server, SIGCONT);
    for (int i = 0; i < COUNT; i++)
        history_reply_fini(&calls[i]);
    assert_in_range(worst, 0, BROKER_DEADLINE_MS);
}

static int start_1_usual(void **state) {
    broker_io_ms = 2500;
    broker_beat_ms = 1000;
    return start_1(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(who_waits_for_a_turn_is_answered_in_time, 1_usual),
        REDIS_TEST(a_reading_is_not_enough_for_who_knows_more_and_came_later, 2_held),
        REDIS_TEST(the_top_of_a_channel_is_not_told_before_what_is_below, 2_held),
        REDIS_TEST(the_top_of_a_reverse_reading_is_where_it_began, 2_held),
        REDIS_TEST(a_reading_whose_rest_was_removed_meanwhile_says_so, 2_held),
        REDIS_TEST(much_that_is_not_ours_does_not_keep_a_reading_for_ever, 1),
        REDIS_TEST(while_redis_refuses_to_write_histories_are_read, 2_quick),
        REDIS_TEST(a_foreign_key_does_not_keep_other_channels_from_being_compared, 2_quick),
        REDIS_TEST(a_message_that_the_history_does_not_know_holds_up_nobody, 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
