/* The memory broker: messages go to the fanout, every call with a reply is answered once, by
 * mailbox.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/broker_memory.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct mailbox box;
static struct mailbox *box_list[] = {&box};
static struct fanout *fanout;
static struct broker *broker;
static unsigned woken_count;

static void count_wake(void *arg) {
    (void)arg;
    woken_count++;
}

static int start(void **state) {
    (void)state;
    woken_count = 0;
    mailbox_init(&box, SIZE_MAX, count_wake, NULL);
    fanout = fanout_create(box_list, 1);
    broker = broker_memory_create(fanout);
    return 0;
}

static int stop_all(void **state) {
    struct mail mail;
    (void)state;
    while (mailbox_take(&box, &mail)) /* what a failed test left */
        if (mail.kind == MAIL_MSG)
            msg_unref(mail.msg);
    broker->ops->stop(broker);
    broker->ops->destroy(broker);
    fanout_destroy(fanout);
    mailbox_fini(&box);
    return 0;
}

static struct msg *message(void) {
    return msg_create(&(struct msg_parts){.channel = STR("news"), .data = STR("1")});
}

static void expect_reply(struct reply *r, enum broker_result result) {
    struct mail mail;
    assert_true(mailbox_take(&box, &mail));
    assert_int_equal(mail.kind, MAIL_REPLY);
    assert_ptr_equal(mail.reply, r);
    assert_int_equal(r->result, result);
}

static void expect_nothing(void) {
    struct mail mail;
    assert_false(mailbox_take(&box, &mail));
}

static void a_publication_reaches_the_subscribers_then_the_answer_comes(void **state) {
    (void)state;
    struct reply r = {.to = &box, .result = BROKER_UNKNOWN};
    struct msg *m = message();
    struct mail mail;
    fanout_add(fanout, STR("news"), 0);
    broker->ops->publish(broker, m, NULL, &r);
    assert_int_equal(woken_count, 1);
    assert_true(mailbox_take(&box, &mail));
    assert_int_equal(mail.kind, MAIL_MSG);
    assert_ptr_equal(mail.msg, m);
    assert_int_equal(m->refs, 1); /* it took ours, the mailbox's is left */
    msg_unref(mail.msg);
    expect_reply(&r, BROKER_OK);
    expect_nothing();
    fanout_remove(fanout, STR("news"), 0);
}

static void a_publication_nobody_wants_is_answered_and_freed(void **state) {
    (void)state;
    struct reply r = {.to = &box};
    struct msg *m = msg_ref(message());
    broker->ops->publish(broker, m, NULL, &r);
    assert_int_equal(m->refs, 1);
    expect_reply(&r, BROKER_OK);
    expect_nothing();
    msg_unref(m);
}

static void a_publication_needs_no_reply(void **state) {
    (void)state;
    struct mail mail;
    fanout_add(fanout, STR("news"), 0);
    broker->ops->publish(broker, message(), NULL, NULL);
    assert_true(mailbox_take(&box, &mail));
    assert_int_equal(mail.kind, MAIL_MSG);
    msg_unref(mail.msg);
    expect_nothing();
    fanout_remove(fanout, STR("news"), 0);
}

static void an_attach_is_answered_at_once(void **state) {
    (void)state;
    struct reply r = {.to = &box, .result = BROKER_UNKNOWN};
    broker->ops->attach(broker, STR("news"), &r);
    expect_reply(&r, BROKER_OK);
    broker->ops->detach(broker, STR("news"));
    expect_nothing();
}

static void answers_come_in_the_order_of_the_calls(void **state) {
    (void)state;
    struct reply replies[50];
    for (int i = 0; i < 50; i++) {
        replies[i] = (struct reply){.to = &box};
        if (i % 2)
            broker->ops->attach(broker, STR("a"), &replies[i]);
        else
            broker->ops->publish(broker, message(), NULL, &replies[i]);
    }
    for (int i = 0; i < 50; i++)
        expect_reply(&replies[i], BROKER_OK);
    expect_nothing();
}

/* --- members ---------------------------------------------------------------------------------- */

static void member(enum msg_kind kind, const char *client, const struct member_options *o) {
    struct msg *m = msg_create(
        &(struct msg_parts){.kind = kind, .channel = STR("news"), .client = str_of(client)});
    if (kind == MSG_JOIN)
        broker->ops->join(broker, m, o);
    else
        broker->ops->leave(broker, m, o);
}

static void expect_announced(enum msg_kind kind, const char *client) {
    struct mail mail;
    assert_true(mailbox_take(&box, &mail));
    assert_int_equal(mail.kind, MAIL_MSG);
    assert_int_equal(mail.msg->parts.kind, kind);
    assert_true(str_equal(mail.msg->parts.client, str_of(client)));
    msg_unref(mail.msg);
}

static void above_its_limit_a_channel_announces_nobody(void **state) {
    const struct member_options two = {MEMBER_KEEP | MEMBER_ANNOUNCE, 2};
    (void)state;
    fanout_add(fanout, STR("news"), 0);
    member(MSG_JOIN, "a", &two);
    expect_announced(MSG_JOIN, "a");
    member(MSG_JOIN, "b", &two);
    expect_announced(MSG_JOIN, "b");
    member(MSG_JOIN, "c", &two); /* the third */
    member(MSG_JOIN, "d", &two);
    member(MSG_LEAVE, "a", &two);
    member(MSG_LEAVE, "c", &two); /* of three */
    expect_nothing();
    member(MSG_LEAVE, "d", &two); /* of two */
    expect_announced(MSG_LEAVE, "d");
    member(MSG_LEAVE, "d", &two); /* it was not there */
    member(MSG_JOIN, "b", &two);  /* it was there */
    expect_nothing();
    member(MSG_JOIN, "e", &two);
    expect_announced(MSG_JOIN, "e");
    member(MSG_LEAVE, "e", &two);
    member(MSG_LEAVE, "b", &two);
    expect_announced(MSG_LEAVE, "e");
    expect_announced(MSG_LEAVE, "b");
    expect_nothing();
    fanout_remove(fanout, STR("news"), 0);
}

/* Nobody is counted without presence; and without announcing there is nothing to limit. */
static void the_limit_needs_presence(void **state) {
    const struct member_options announced = {MEMBER_ANNOUNCE, 1}, kept = {MEMBER_KEEP, 1};
    (void)state;
    fanout_add(fanout, STR("news"), 0);
    for (int i = 0; i < 3; i++) {
        member(MSG_JOIN, "a", &announced);
        expect_announced(MSG_JOIN, "a");
        member(MSG_LEAVE, "b", &announced);
        expect_announced(MSG_LEAVE, "b");
    }
    member(MSG_JOIN, "c", &kept);
    member(MSG_LEAVE, "c", &kept);
    expect_nothing();
    fanout_remove(fanout, STR("news"), 0);
}

static void it_is_never_in_trouble(void **state) {
    (void)state;
    assert_null(broker->ops->trouble(broker));
    assert_string_equal(broker->ops->name, "memory");
}

/* broker.h: "Later calls are allowed and do nothing but answer BROKER_UNAVAILABLE." */
static void after_stop_calls_are_answered_with_unavailable(void **state) {
    (void)state;
    struct reply attach_reply = {.to = &box}, publish_reply = {.to = &box};
    struct msg *m = msg_ref(message());
    fanout_add(fanout, STR("news"), 0);
    broker->ops->stop(broker);
    broker->ops->attach(broker, STR("news"), &attach_reply);
    broker->ops->publish(broker, m, NULL, &publish_reply);
    broker->ops->detach(broker, STR("news"));
    fanout_remove(fanout, STR("news"), 0);
    expect_reply(&attach_reply, BROKER_UNAVAILABLE);
    expect_reply(&publish_reply, BROKER_UNAVAILABLE);
    expect_nothing();
    assert_int_equal(m->refs, 1);
    msg_unref(m);
}

static void an_answer_without_a_reply_is_nothing(void **state) {
    (void)state;
    broker_answer(NULL, BROKER_OK);
    expect_nothing();
}

#define BROKER_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop_all)

int main(void) {
    const struct CMUnitTest tests[] = {
        BROKER_TEST(a_publication_reaches_the_subscribers_then_the_answer_comes),
        BROKER_TEST(a_publication_nobody_wants_is_answered_and_freed),
        BROKER_TEST(a_publication_needs_no_reply),
        BROKER_TEST(an_attach_is_answered_at_once),
        BROKER_TEST(answers_come_in_the_order_of_the_calls),
        BROKER_TEST(above_its_limit_a_channel_announces_nobody),
        BROKER_TEST(the_limit_needs_presence),
        BROKER_TEST(it_is_never_in_trouble),
        BROKER_TEST(after_stop_calls_are_answered_with_unavailable),
        BROKER_TEST(an_answer_without_a_reply_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
