/* What every broker must do: the same tests run against memory and Redis, with one node or more.
 *
 * Include once. Thread: main, and publishers of a test. Owns: nothing.
 */
#ifndef CARILLON_TESTS_BROKER_SUITE_H
#define CARILLON_TESTS_BROKER_SUITE_H

#include "tests/unit/broker_testing.h"

#define LAST_NODE (node_count - 1)

static void a_publication_reaches_all_subscribers_on_all_nodes_and_is_answered(void **state) {
    (void)state;
    for (uint32_t n = 0; n < node_count; n++)
        for (uint32_t w = 0; w < WORKERS; w++)
            listen_on(n, w, "news");
    publish_ok(0, "news", "{\"a\":1}");
    publish_ok(LAST_NODE, "news", "[2]");
    for (uint32_t n = 0; n < node_count; n++)
        for (uint32_t w = 0; w < WORKERS; w++) {
            expect_msg(n, w, MSG_PUBLICATION, "{\"a\":1}");
            expect_msg(n, w, MSG_PUBLICATION, "[2]");
            stop_listening(n, w, "news");
        }
}

static void every_part_of_a_publication_arrives_as_it_was_sent(void **state) {
    (void)state;
    const struct msg_parts sent = {.channel = STR("chat:room#1 of {all}"),
                                   .data =
                                       STR("{\"text\":\"\xe2\x82\xac \\u0000 \\ud83d\\ude00\"}"),
                                   .tags = STR("{\"lang\":\"fr\"}"),
                                   .user = STR("J\xc3\xbcrgen \"x\""),
                                   .client = STR("6f0b0b52-0000-4000-8000-000000000001"),
                                   .conn_info = STR("{\"n\": [1, 2]}"),
                                   .chan_info = STR("null")};
    struct test_node *n = &test_nodes[0];
    listen_on(LAST_NODE, 0, "chat:room#1 of {all}");
    n->broker->ops->publish(n->broker, msg_create(&sent), NULL, NULL);
    struct msg *m = next_msg(LAST_NODE, 0);
    assert_true(str_equal(m->parts.channel, sent.channel));
    assert_true(str_equal(m->parts.data, sent.data));
    assert_true(str_equal(m->parts.tags, sent.tags));
    assert_true(str_equal(m->parts.user, sent.user));
    assert_true(str_equal(m->parts.client, sent.client));
    assert_true(str_equal(m->parts.conn_info, sent.conn_info));
    assert_true(str_equal(m->parts.chan_info, sent.chan_info));
    msg_unref(m);
    stop_listening(LAST_NODE, 0, "chat:room#1 of {all}");
}

static void a_publication_of_a_megabyte_arrives(void **state) {
    (void)state;
    size_t n = 1 << 20;
    char *text = mem_alloc(n + 1);
    memset(text, 'x', n);
    text[0] = text[n - 1] = '"';
    text[n] = 0;
    listen_on(LAST_NODE, 1, "big");
    publish_ok(0, "big", text);
    expect_msg(LAST_NODE, 1, MSG_PUBLICATION, text);
    stop_listening(LAST_NODE, 1, "big");
    mem_free(text);
}

static void publications_of_a_channel_keep_their_order_and_are_answered_in_it(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    static struct reply replies[COUNT];
    char text[16];
    listen_on(LAST_NODE, 0, "order");
    for (int i = 0; i < COUNT; i++) {
        replies[i] = reply_to(0, 1);
        snprintf(text, sizeof(text), "%d", i);
        send_text(0, "order", text, &replies[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "%d", i);
        expect_msg(LAST_NODE, 0, MSG_PUBLICATION, text);
        expect_result(0, 1, &replies[i], BROKER_OK);
    }
    stop_listening(LAST_NODE, 0, "order");
}

enum { RACE_COUNT = 1000 };

struct racer {
    uint32_t number;
    pthread_t thread;
    struct reply replies[RACE_COUNT];
};

static void *race(void *arg) {
    struct racer *r = arg;
    char text[32];
    for (int i = 0; i < RACE_COUNT; i++) {
        r->replies[i] = reply_to(r->number % node_count, 1);
        snprintf(text, sizeof(text), "[%u,%d]", r->number, i);
        send_text(r->number % node_count, "race", text, &r->replies[i]);
    }
    return NULL;
}

static void all_subscribers_see_one_order_of_publishers_that_race(void **state) {
    (void)state;
    static struct racer racers[2];
    for (uint32_t n = 0; n < node_count; n++)
        listen_on(n, 0, "race");
    for (uint32_t i = 0; i < 2; i++) {
        racers[i].number = i;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 2 * RACE_COUNT; i++) {
        struct msg *first = next_msg(0, 0);
        for (uint32_t n = 1; n < node_count; n++) {
            struct msg *other = next_msg(n, 0);
            assert_true(str_equal(first->parts.data, other->parts.data));
            msg_unref(other);
        }
        msg_unref(first);
    }
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(racers[i].thread, NULL);
    for (uint32_t i = 0; i < 2 * RACE_COUNT; i++) {
        struct mail mail = next_mail(i / RACE_COUNT % node_count, 1, MAIL_REPLY);
        assert_int_equal(mail.reply->result, BROKER_OK);
    }
    for (uint32_t n = 0; n < node_count; n++)
        stop_listening(n, 0, "race");
}

static void a_worker_gets_only_what_it_listens_to(void **state) {
    (void)state;
    listen_on(0, 0, "mine");
    listen_on(0, 1, "yours");
    publish_ok(LAST_NODE, "yours", "1");
    publish_ok(LAST_NODE, "nobodys", "2");
    publish_ok(LAST_NODE, "mine", "3");
    expect_msg(0, 0, MSG_PUBLICATION, "3");
    expect_msg(0, 1, MSG_PUBLICATION, "1");
    stop_listening(0, 0, "mine");
    stop_listening(0, 1, "yours");
}

static void when_one_worker_detaches_the_other_goes_on(void **state) {
    (void)state;
    listen_on(0, 0, "shared");
    listen_on(0, 1, "shared");
    stop_listening(0, 0, "shared");
    publish_ok(LAST_NODE, "shared", "1");
    expect_msg(0, 1, MSG_PUBLICATION, "1");
    stop_listening(0, 1, "shared");
    for (int i = 0; i < 50; i++) { /* on and off again: it must always be certain */
        listen_on(0, 0, "shared");
        publish_ok(LAST_NODE, "shared", "2");
        expect_msg(0, 0, MSG_PUBLICATION, "2");
        stop_listening(0, 0, "shared");
    }
}

static void joins_and_leaves_are_announced_once_and_only_when_something_changed(void **state) {
    (void)state;
    listen_on(LAST_NODE, 0, "room");
    join_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    join_as(0, "room", "c1", "ann", KEEP_ANNOUNCE); /* once more: no news */
    join_as(0, "room", "c2", "bob", MEMBER_KEEP);   /* silent */
    join_as(0, "room", "c3", "cyd", MEMBER_ANNOUNCE);
    leave_as(0, "room", "nobody", "x", KEEP_ANNOUNCE);
    leave_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    leave_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    leave_as(0, "room", "c2", "bob", MEMBER_KEEP);
    leave_as(0, "room", "c3", "cyd", MEMBER_ANNOUNCE);
    expect_msg(LAST_NODE, 0, MSG_JOIN, "c1");
    expect_msg(LAST_NODE, 0, MSG_JOIN, "c3");
    expect_msg(LAST_NODE, 0, MSG_LEAVE, "c1");
    expect_msg(LAST_NODE, 0, MSG_LEAVE, "c3");
    expect_counts(0, "room", 0, 0);
    stop_listening(LAST_NODE, 0, "room");
}

static void a_join_and_a_leave_say_who(void **state) {
    (void)state;
    listen_on(LAST_NODE, 0, "who");
    join_as(0, "who", "c1", "ann", KEEP_ANNOUNCE);
    leave_as(0, "who", "c1", "ann", KEEP_ANNOUNCE);
    for (int i = 0; i < 2; i++) {
        struct msg *m = next_msg(LAST_NODE, 0);
        assert_int_equal(m->parts.kind, i ? MSG_LEAVE : MSG_JOIN);
        assert_true(str_equal(m->parts.channel, STR("who")));
        assert_true(str_equal(m->parts.user, STR("ann")));
        assert_true(str_equal(m->parts.conn_info, STR("{\"name\":\"\xc3\xa9\"}")));
        assert_true(str_equal(m->parts.chan_info, STR("[1]")));
        msg_unref(m);
    }
    stop_listening(LAST_NODE, 0, "who");
}

static void above_its_limit_a_channel_announces_no_joins_and_leaves(void **state) {
    (void)state;
    listen_on(0, 0, "few");
    join_limited(0, "few", "c1", 2);
    expect_counts(0, "few", 1, 1);
    join_limited(LAST_NODE, "few", "c2", 2);
    expect_counts(LAST_NODE, "few", 2, 1);
    join_limited(0, "few", "c3", 2);
    join_limited(0, "few", "c3", 2); /* once more: nothing changes */
    join_limited(0, "free", "c1", 0);
    expect_counts(0, "few", 3, 1);
    leave_limited(0, "few", "c3", 2);
    leave_limited(0, "few", "c3", 2);
    expect_counts(0, "few", 2, 1);
    leave_limited(LAST_NODE, "few", "c2", 2);
    expect_counts(LAST_NODE, "few", 1, 1);
    join_limited(0, "few", "c4", 2);
    leave_limited(0, "few", "c4", 2);
    leave_limited(0, "few", "c1", 2);
    leave_limited(0, "free", "c1", 0);
    static const struct {
        enum msg_kind kind;
        const char *client;
    } heard[] = {{MSG_JOIN, "c1"}, {MSG_JOIN, "c2"},  {MSG_LEAVE, "c2"},
                 {MSG_JOIN, "c4"}, {MSG_LEAVE, "c4"}, {MSG_LEAVE, "c1"}};
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
        expect_msg(0, 0, heard[i].kind, heard[i].client);
    expect_counts(0, "few", 0, 0);
    stop_listening(0, 0, "few");
}

static void presence_tells_members_of_all_nodes(void **state) {
    (void)state;
    struct broker *b = test_nodes[0].broker;
    join_as(0, "here", "c1", "ann", MEMBER_KEEP);
    join_as(0, "here", "c2", "ann", MEMBER_KEEP);
    join_as(LAST_NODE, "here", "c3", "bob", MEMBER_KEEP);
    join_as(LAST_NODE, "there", "c3", "bob", MEMBER_KEEP);
    expect_counts(LAST_NODE, "there", 1, 1); /* after what that node was told before */
    expect_counts(0, "here", 3, 2);
    struct presence_reply p = {.reply = reply_to(0, 0), .wants_members = true};
    b->ops->presence(b, STR("here"), &p);
    expect_result(0, 0, &p.reply, BROKER_OK);
    unsigned seen = 0;
    for (uint32_t i = 0; i < p.client_count; i++) {
        const struct msg_parts *parts = &p.members[i]->parts;
        assert_int_equal(parts->kind, MSG_JOIN);
        assert_true(str_equal(parts->chan_info, STR("[1]")));
        assert_true(str_equal(parts->user, parts->client.p[1] == '3' ? STR("bob") : STR("ann")));
        seen |= 1u << (parts->client.p[1] - '1');
    }
    assert_int_equal(seen, 7);
    presence_reply_fini(&p);
    leave_as(0, "here", "c1", "ann", MEMBER_KEEP);
    expect_counts(0, "here", 2, 2);
    leave_as(0, "here", "c2", "ann", MEMBER_KEEP);
    leave_as(LAST_NODE, "here", "c3", "bob", MEMBER_KEEP);
    leave_as(LAST_NODE, "there", "c3", "bob", MEMBER_KEEP);
    expect_counts(LAST_NODE, "there", 0, 0);
    expect_counts(0, "here", 0, 0);
}

static void calls_for_a_channel_take_effect_in_order(void **state) {
    (void)state;
    char text[16];
    listen_on(LAST_NODE, 0, "mixed");
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "%d", i);
        join_as(0, "mixed", text, "u", KEEP_ANNOUNCE);
        send_text(0, "mixed", text, NULL);
        leave_as(0, "mixed", text, "u", KEEP_ANNOUNCE);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "%d", i);
        expect_msg(LAST_NODE, 0, MSG_JOIN, text);
        expect_msg(LAST_NODE, 0, MSG_PUBLICATION, text);
        expect_msg(LAST_NODE, 0, MSG_LEAVE, text);
    }
    stop_listening(LAST_NODE, 0, "mixed");
}

static void a_broker_that_works_has_no_trouble(void **state) {
    (void)state;
    for (uint32_t n = 0; n < node_count; n++)
        assert_null(test_nodes[n].broker->ops->trouble(test_nodes[n].broker));
}

/* The last test of a suite. */
static void after_stop_calls_answer_unavailable(void **state) {
    (void)state;
    struct broker *b = test_nodes[0].broker;
    struct reply publish_reply = reply_to(0, 0), attach_reply = reply_to(0, 0);
    struct presence_reply p = {.reply = reply_to(0, 0), .wants_members = true};
    listen_on(0, 0, "x");
    b->ops->stop(b);
    send_text(0, "x", "1", &publish_reply);
    expect_result(0, 0, &publish_reply, BROKER_UNAVAILABLE);
    b->ops->attach(b, STR("y"), &attach_reply);
    expect_result(0, 0, &attach_reply, BROKER_UNAVAILABLE);
    b->ops->presence(b, STR("x"), &p);
    expect_result(0, 0, &p.reply, BROKER_UNAVAILABLE);
    join_as(0, "x", "c", "u", MEMBER_KEEP); /* takes its message all the same */
    stop_listening(0, 0, "x");
}

#define BROKER_SUITE                                                                               \
    cmocka_unit_test(a_broker_that_works_has_no_trouble),                                          \
        cmocka_unit_test(a_publication_reaches_all_subscribers_on_all_nodes_and_is_answered),      \
        cmocka_unit_test(every_part_of_a_publication_arrives_as_it_was_sent),                      \
        cmocka_unit_test(a_publication_of_a_megabyte_arrives),                                     \
        cmocka_unit_test(publications_of_a_channel_keep_their_order_and_are_answered_in_it),       \
        cmocka_unit_test(all_subscribers_see_one_order_of_publishers_that_race),                   \
        cmocka_unit_test(a_worker_gets_only_what_it_listens_to),                                   \
        cmocka_unit_test(when_one_worker_detaches_the_other_goes_on),                              \
        cmocka_unit_test(joins_and_leaves_are_announced_once_and_only_when_something_changed),     \
        cmocka_unit_test(a_join_and_a_leave_say_who),                                              \
        cmocka_unit_test(above_its_limit_a_channel_announces_no_joins_and_leaves),                 \
        cmocka_unit_test(presence_tells_members_of_all_nodes),                                     \
        cmocka_unit_test(calls_for_a_channel_take_effect_in_order),                                \
        cmocka_unit_test(after_stop_calls_answer_unavailable)

#endif
