/* What every broker must remember: the same tests run against memory and Redis, with one node or
 * more. Each has a channel of its own.
 *
 * Include once, after broker_suite.h. Thread: main. Owns: nothing.
 */
#ifndef CARILLON_TESTS_HISTORY_SUITE_H
#define CARILLON_TESTS_HISTORY_SUITE_H

#include "tests/unit/history_calls.h"

static void offsets_count_from_one_in_one_epoch_on_all_nodes(void **state) {
    (void)state;
    struct position first = publish_kept(0, "o", "1", &ten);
    struct position second = publish_kept(LAST_NODE, "o", "2", &ten);
    struct history_reply h = read_all(LAST_NODE, "o");
    assert_int_equal(first.offset, 1);
    assert_int_equal(second.offset, 2);
    assert_memory_equal(first.epoch, second.epoch, EPOCH_BYTES);
    expect_items(&h, "1 2");
    assert_int_equal(h.top.offset, 2);
    assert_memory_equal(h.top.epoch, first.epoch, EPOCH_BYTES);
    history_reply_fini(&h);
}

static void a_publication_arrives_with_its_position(void **state) {
    (void)state;
    listen_on(LAST_NODE, 0, "arrive");
    for (int i = 1; i <= 3; i++) {
        struct position p = publish_kept(0, "arrive", "7", &ten);
        struct msg *m = next_msg(LAST_NODE, 0);
        assert_int_equal(m->position.offset, i);
        assert_memory_equal(&m->position, &p, sizeof(p));
        msg_unref(m);
    }
    stop_listening(LAST_NODE, 0, "arrive");
}

static void every_part_of_a_publication_is_remembered(void **state) {
    const struct msg_parts sent = {.channel = STR("parts"),
                                   .data = STR("{\"a\": \"\xe2\x82\xac\"}"),
                                   .tags = STR("{\"lang\":\"fr\"}"),
                                   .user = STR("J\xc3\xbcrgen"),
                                   .client = STR("6f0b0b52-0000-4000-8000-000000000001"),
                                   .conn_info = STR("[1]"),
                                   .chan_info = STR("null")};
    struct reply r = reply_to(0, 1);
    struct broker *b = test_nodes[0].broker;
    (void)state;
    b->ops->publish(b, msg_create(&sent), &(struct publish_options){.keep = ten}, &r);
    expect_result(0, 1, &r, BROKER_OK);
    struct history_reply h = read_all(LAST_NODE, "parts");
    assert_int_equal(h.count, 1);
    const struct msg_parts *got = &h.items[0]->parts;
    assert_true(str_equal(got->channel, sent.channel));
    assert_true(str_equal(got->data, sent.data));
    assert_true(str_equal(got->tags, sent.tags));
    assert_true(str_equal(got->user, sent.user));
    assert_true(str_equal(got->client, sent.client));
    assert_true(str_equal(got->conn_info, sent.conn_info));
    assert_true(str_equal(got->chan_info, sent.chan_info));
    history_reply_fini(&h);
}

static void the_oldest_are_forgotten(void **state) {
    const struct keep three = {3, 60000, 60000};
    (void)state;
    publish_many(0, "old", 10, &three);
    struct history_reply h = read_all(LAST_NODE, "old");
    expect_items(&h, "8 9 10");
    assert_int_equal(h.items[0]->position.offset, 8);
    history_reply_fini(&h);
}

static void a_range_is_read_forward_and_backward(void **state) {
    (void)state;
    publish_many(0, "range", 9, &ten);
    struct position since = read_top(0, "range");
    since.offset = 4;
    for (uint32_t n = 0; n < node_count; n++) {
        expect_range(n, "range", "1 2 3", &(struct history_reply){.limit = 3});
        expect_range(n, "range", "5 6 7 8 9",
                     &(struct history_reply){.limit = 100, .has_since = true, .since = since});
        expect_range(n, "range", "5 6",
                     &(struct history_reply){.limit = 2, .has_since = true, .since = since});
        expect_range(n, "range", "9 8", &(struct history_reply){.limit = 2, .is_reverse = true});
        expect_range(n, "range", "3 2 1",
                     &(struct history_reply){
                         .limit = 100, .has_since = true, .since = since, .is_reverse = true});
        expect_range(n, "range", "", &(struct history_reply){.limit = 0});
    }
}

static void who_names_another_epoch_is_told(void **state) {
    struct position since = {2, "nonsense"};
    (void)state;
    publish_many(0, "epoch", 3, &ten);
    struct history_reply h = {.limit = 10, .has_since = true, .since = since};
    read_history_of(LAST_NODE, "epoch", &h);
    assert_true(h.is_other_epoch);
    assert_int_equal(h.count, 0);
    assert_int_equal(h.top.offset, 3);
    memset(since.epoch, 0, EPOCH_BYTES); /* any */
    expect_range(LAST_NODE, "epoch", "3",
                 &(struct history_reply){.limit = 10, .has_since = true, .since = since});
}

static void an_answer_ends_before_it_is_too_large(void **state) {
    (void)state;
    publish_many(0, "large", 9, &ten);
    struct history_reply h = {.limit = UINT32_MAX, .max_bytes = 3 * 96 + 20};
    read_history_of(LAST_NODE, "large", &h);
    assert_true(h.is_cut);
    assert_in_range(h.count, 1, 3);
    history_reply_fini(&h);
    h = (struct history_reply){.limit = UINT32_MAX, .max_bytes = 1};
    read_history_of(LAST_NODE, "large", &h);
    expect_items(&h, "1"); /* who asks for the rest gets on */
    history_reply_fini(&h);
}

static void a_channel_that_never_was_has_an_epoch_which_its_first_publication_keeps(void **state) {
    (void)state;
    struct position before = read_top(LAST_NODE, "unborn");
    struct position first = publish_kept(0, "unborn", "1", &ten);
    assert_int_equal(before.offset, 0);
    assert_int_not_equal(before.epoch[0], 0);
    assert_memory_equal(before.epoch, first.epoch, EPOCH_BYTES);
}

static void a_removed_history_goes_on_with_its_offsets(void **state) {
    struct reply r = reply_to(LAST_NODE, 1);
    struct broker *b = test_nodes[LAST_NODE].broker;
    (void)state;
    listen_on(0, 0, "removed");
    publish_many(0, "removed", 4, &ten);
    b->ops->history_remove(b, STR("removed"), &r);
    expect_result(LAST_NODE, 1, &r, BROKER_OK);
    expect_range(LAST_NODE, "removed", "", &(struct history_reply){.limit = 10});
    assert_int_equal(publish_kept(0, "removed", "5", &ten).offset, 5);
    expect_range(LAST_NODE, "removed", "5", &(struct history_reply){.limit = 10});
    for (int i = 0; i < 5; i++)
        msg_unref(next_msg(0, 0));
    stop_listening(0, 0, "removed");
}

static void what_skips_the_history_has_no_position(void **state) {
    const struct publish_options o = {.keep = ten, .skips_history = true};
    (void)state;
    listen_on(LAST_NODE, 0, "skip");
    assert_int_equal(publish_with(0, "skip", "1", &o).offset, 0);
    struct msg *m = next_msg(LAST_NODE, 0);
    assert_int_equal(m->position.offset, 0);
    msg_unref(m);
    expect_range(0, "skip", "", &(struct history_reply){.limit = 10});
    stop_listening(LAST_NODE, 0, "skip");
}

static void the_same_key_publishes_once_whoever_sends_it(void **state) {
    const struct publish_options o = {.keep = ten, .idempotency_key = STR("k:1 \xc3\xbc")};
    const struct publish_options other = {.keep = ten, .idempotency_key = STR("k:2")};
    (void)state;
    listen_on(0, 0, "once");
    struct position first = publish_with(0, "once", "1", &o);
    struct position second = publish_with(LAST_NODE, "once", "2", &o);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_int_equal(publish_with(0, "once", "3", &other).offset, 2);
    assert_int_equal(publish_with(0, "once2", "4", &o).offset, 1); /* keys are of a channel */
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    expect_msg(0, 0, MSG_PUBLICATION, "3");
    stop_listening(0, 0, "once");
}

static void the_same_key_publishes_once_without_history_too(void **state) {
    const struct publish_options o = {.idempotency_key = STR("k")};
    (void)state;
    listen_on(0, 0, "bare");
    assert_int_equal(publish_with(0, "bare", "1", &o).offset, 0);
    assert_int_equal(publish_with(LAST_NODE, "bare", "2", &o).offset, 0);
    publish_ok(0, "bare", "3");
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    expect_msg(0, 0, MSG_PUBLICATION, "3");
    stop_listening(0, 0, "bare");
}

static void an_older_version_is_not_published(void **state) {
    (void)state;
    struct publish_options o = {.keep = ten, .version = UINT64_MAX - 1};
    assert_int_equal(publish_with(0, "version", "1", &o).offset, 1);
    o.version = 5; /* shorter, and above in letters */
    assert_int_equal(publish_with(LAST_NODE, "version", "2", &o).offset, 1);
    o.version = UINT64_MAX - 1;
    assert_int_equal(publish_with(LAST_NODE, "version", "3", &o).offset, 1);
    o.version = UINT64_MAX;
    assert_int_equal(publish_with(LAST_NODE, "version", "4", &o).offset, 2);
    o = (struct publish_options){.keep = ten, .version = 1, .version_epoch = STR("new")};
    assert_int_equal(publish_with(0, "version", "5", &o).offset, 3);
    expect_range(0, "version", "1 4 5", &(struct history_reply){.limit = 10});
}

static void a_patch_comes_with_what_follows(void **state) {
    static const char base[] =
        "{\"text\":\"a long text that stays as it was, but for its end: 1\"}";
    static const char next[] =
        "{\"text\":\"a long text that stays as it was, but for its end: 2\"}";
    const struct publish_options o = {.keep = ten, .makes_delta = true};
    struct buf made = {0};
    (void)state;
    listen_on(LAST_NODE, 0, "delta");
    publish_with(0, "delta", base, &o);
    publish_with(0, "delta", next, &o);
    msg_unref(next_msg(LAST_NODE, 0));
    struct msg *m = next_msg(LAST_NODE, 0);
    assert_true(m->delta.n > 0);
    assert_true(delta_apply(&made, str_of(base), m->delta));
    assert_true(str_equal(buf_str(&made), str_of(next)));
    msg_unref(m);
    buf_fini(&made);
    stop_listening(LAST_NODE, 0, "delta");
}

static void publications_that_expire_are_gone_and_the_epoch_stays(void **state) {
    const struct keep short_time = {10, 50, 60000};
    struct history_reply h = {0};
    (void)state;
    listen_on(LAST_NODE, 0, "expire");
    publish_kept(0, "expire", "1", &short_time);
    for (int i = 0; i < PATIENCE_S * 100; i++) {
        h = read_all(LAST_NODE, "expire");
        uint32_t count = h.count;
        history_reply_fini(&h);
        if (count == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_int_equal(h.top.offset, 1);
    assert_int_equal(publish_kept(0, "expire", "2", &short_time).offset, 2);
    for (int i = 0; i < 2; i++)
        msg_unref(next_msg(LAST_NODE, 0));
    stop_listening(LAST_NODE, 0, "expire");
}

#define HISTORY_SUITE                                                                              \
    cmocka_unit_test(offsets_count_from_one_in_one_epoch_on_all_nodes),                            \
        cmocka_unit_test(a_publication_arrives_with_its_position),                                 \
        cmocka_unit_test(every_part_of_a_publication_is_remembered),                               \
        cmocka_unit_test(the_oldest_are_forgotten),                                                \
        cmocka_unit_test(a_range_is_read_forward_and_backward),                                    \
        cmocka_unit_test(who_names_another_epoch_is_told),                                         \
        cmocka_unit_test(an_answer_ends_before_it_is_too_large),                                   \
        cmocka_unit_test(a_channel_that_never_was_has_an_epoch_which_its_first_publication_keeps), \
        cmocka_unit_test(a_removed_history_goes_on_with_its_offsets),                              \
        cmocka_unit_test(what_skips_the_history_has_no_position),                                  \
        cmocka_unit_test(the_same_key_publishes_once_whoever_sends_it),                            \
        cmocka_unit_test(the_same_key_publishes_once_without_history_too),                         \
        cmocka_unit_test(an_older_version_is_not_published),                                       \
        cmocka_unit_test(a_patch_comes_with_what_follows),                                         \
        cmocka_unit_test(publications_that_expire_are_gone_and_the_epoch_stays)

#endif
