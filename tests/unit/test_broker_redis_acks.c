/* What Redis has acknowledged, over a real redis-server: it is seen by who asks, and when Redis has
 * lost it all the same, offsets are not given twice and nobody goes on as if nothing had happened.
 *
 * Thread: main, and the brokers' own. Owns: a redis-server and nodes per test.
 */
#include "channels/broker_redis.c"

#include "tests/unit/redis_testing.h"

#include "tests/unit/redis_history_calls.h"

/* Redis comes back as it was some publications ago, and the node that made them lives. */
static void offsets_are_not_used_twice_when_redis_is_rolled_back(void **state) {
    struct position since;
    (void)state;
    listen_on(1, 0, "a");
    for (int i = 1; i <= 3; i++)
        publish_n(0, "a", i);
    redis_server_do(&server, "SAVE");
    publish_n(0, "a", 4);
    publish_n(0, "a", 5);
    since = read_top(0, "a");
    expect_run(1, 1, 5);
    redis_server_kill(&server);
    redis_server_start(&server);
    wait_until_up(0);
    wait_until_up(1);
    struct position next = publish_with(0, "a", "\"new\"", &KEEP);
    assert_int_equal(next.offset, 4);
    assert_memory_not_equal(next.epoch, since.epoch, EPOCH_BYTES);
    /* Those who had the fifth are told, perhaps by both nodes, before anything new comes. */
    assert_int_equal(expect_top(1).offset, 3);
    struct msg *m = next_msg(1, 0);
    for (; m->parts.kind == MSG_TOP; m = next_msg(1, 0))
        msg_unref(m);
    assert_true(str_equal(m->parts.data, STR("\"new\"")));
    msg_unref(m);
    struct history_reply h = {.limit = 10, .has_since = true, .since = since};
    for (uint32_t n = 0; n < 2; n++) {
        read_history_of(n, "a", &h);
        assert_true(h.is_other_epoch); /* the fifth was lost */
        history_reply_fini(&h);
    }
    /* Who has not seen the third must not go on either: the fourth was acknowledged and is gone. */
    since.offset = 2;
    for (uint32_t n = 0; n < 2; n++) {
        read_history_of(n, "a", &h);
        assert_true(h.is_other_epoch);
        history_reply_fini(&h);
    }
    stop_listening(1, 0, "a");
}

/* A fail-over and back, in which nobody published, but what this Redis had last may be gone. */
static void after_another_redis_was_in_charge_a_new_epoch_begins(void **state) {
    (void)state;
    publish_n(0, "a", 1);
    struct position before = read_top(0, "a");
    redis_server_do(&server, "SET %s %s", TEST_BASE "era",
                    "0123456789012345678901234567890123456789 otherera");
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    WAIT_UNTIL(trouble_of(0));
    wait_until_up(0);
    struct position next = publish_with(0, "a", "2", &KEEP);
    assert_int_equal(next.offset, 2);
    assert_memory_not_equal(next.epoch, before.epoch, EPOCH_BYTES);
    expect_range(0, "a", "2",
                 &(struct history_reply){.limit = 10, .has_since = true, .since = before});
    /* And while it is the same one, the epoch stays. */
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    WAIT_UNTIL(trouble_of(0));
    wait_until_up(0);
    assert_memory_equal(publish_with(0, "a", "3", &KEEP).epoch, next.epoch, EPOCH_BYTES);
}

/* --- what was acknowledged -------------------------------------------------------------------- */

/* A master that died had not passed on its last publication, and nobody had received it. */
static void an_acknowledged_publication_that_is_lost_is_told_to_all_once(void **state) {
    (void)state;
    listen_on(1, 0, "a");
    publish_n(0, "a", 1);
    expect_run(1, 1, 1);
    struct position before = read_top(1, "a");
    publish_n(0, "b", 1); /* which is not lost */
    listen_on(1, 1, "b");
    read_top(1, "b");
    stop_listening(1, 0, "a"); /* the second one reaches nobody */
    WAIT_UNTIL(redis_server_do(&server, "PUBLISH %s x", TEST_BASE "ch:a") == 0);
    publish_n(0, "a", 2);
    listen_on(1, 0, "a");
    redis_server_do(&server, "EVAL %s 2 %s %s",
                    "redis.call('HSET', KEYS[1], 's', 1)\n"
                    "local first = redis.call('XRANGE', KEYS[2], '1-0', '1-0')[1][2][2]\n"
                    "redis.call('DEL', KEYS[2])\n"
                    "redis.call('XADD', KEYS[2], '1-0', 'm', first)\n",
                    META "a", STREAM "a");
    expect_range(
        1, "a", "",
        &(struct history_reply){.limit = 10, .has_since = true, .since = before, .may_lag = true});
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    struct position top = expect_top(1);
    assert_int_equal(top.offset, 1);
    assert_memory_not_equal(top.epoch, before.epoch, EPOCH_BYTES);
    struct history_reply h = {.limit = 10, .has_since = true, .since = before};
    wait_until_up(1);
    read_history_of(1, "a", &h);
    assert_true(h.is_other_epoch);
    history_reply_fini(&h);
    WAIT_UNTIL(COUNT_OF(0, acks_lost) == 1);
    assert_int_equal(COUNT_OF(1, acks_lost), 0);
    /* Once: the next reconnect finds it told. */
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    WAIT_UNTIL(trouble_of(0));
    wait_until_up(0);
    wait_until_up(1);
    assert_int_equal(publish_with(0, "a", "2", &KEEP).offset, 2);
    expect_run(1, 2, 2);
    assert_int_equal(COUNT_OF(0, acks_lost), 1);
    stop_listening(1, 0, "a");
    stop_listening(1, 1, "b");
}

/* The back end that published asks at once: it must see what it has published. */
static void who_asks_for_the_newest_gets_what_was_acknowledged_before(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 2; n++)
        listen_on(n, 0, "a");
    for (int i = 1; i <= 300; i++) {
        publish_n(i % 2, "a", i);
        for (uint32_t n = 0; n < 2; n++) {
            struct history_reply h = {.limit = 0};
            read_history_of(n, "a", &h);
            assert_int_equal(h.top.offset, i);
        }
    }
    for (uint32_t n = 0; n < 2; n++) {
        expect_run(n, 1, 300);
        stop_listening(n, 0, "a");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(offsets_are_not_used_twice_when_redis_is_rolled_back, 2),
        REDIS_TEST(after_another_redis_was_in_charge_a_new_epoch_begins, 1),
        REDIS_TEST(an_acknowledged_publication_that_is_lost_is_told_to_all_once, 2),
        REDIS_TEST(who_asks_for_the_newest_gets_what_was_acknowledged_before, 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
