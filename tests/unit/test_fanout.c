/* The fanout: which workers get a channel's messages, against a model, and one order for all of
 * them while threads publish at once.
 *
 * Thread: main; the last tests also in four threads. Owns: nothing.
 */
#include "channels/fanout.c"

#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { WORKERS = FANOUT_WORKERS_MAX, THREADS = 4, POSTS = 20000, MODEL_CHANNELS = 200 };

#include "tests/unit/many_mailboxes.h"

static struct fanout *fanout;

static int start(void **state) {
    (void)state;
    boxes_init();
    fanout = fanout_create(box_list, WORKERS);
    return 0;
}

static int stop(void **state) {
    (void)state;
    fanout_destroy(fanout);
    boxes_fini();
    return 0;
}

static struct msg *message(struct str channel, struct str data) {
    return msg_create(&(struct msg_parts){.channel = channel, .data = data});
}

static void post(struct str channel) {
    struct msg *m = message(channel, STR("1"));
    fanout_post(fanout, m);
    msg_unref(m);
}

/* The workers that got a message of the channel, exactly one each, as bits. */
static uint64_t receivers(struct str channel) {
    uint64_t bits = 0;
    struct mail mail;
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (!mailbox_take(&boxes[i], &mail))
            continue;
        assert_int_equal(mail.kind, MAIL_MSG);
        assert_true(str_equal(mail.msg->parts.channel, channel));
        bits |= UINT64_C(1) << i;
        msg_unref(mail.msg);
        assert_false(mailbox_take(&boxes[i], &mail));
    }
    return bits;
}

static void a_channel_nobody_wants_is_posted_to_nobody(void **state) {
    (void)state;
    struct msg *m = message(STR("lonely"), STR("1"));
    fanout_add(fanout, STR("other"), 3);
    fanout_post(fanout, m);
    assert_int_equal(m->refs, 1);
    assert_true(receivers(STR("lonely")) == 0);
    msg_unref(m);
    fanout_remove(fanout, STR("other"), 3);
}

static void each_worker_gets_what_it_wants(void **state) {
    (void)state;
    const uint32_t edges[] = {0, 1, 31, 32, 62, 63};
    for (size_t i = 0; i < 6; i++) {
        fanout_add(fanout, STR("c"), edges[i]);
        post(STR("c"));
        assert_true(receivers(STR("c")) == UINT64_C(1) << edges[i]);
        fanout_remove(fanout, STR("c"), edges[i]);
        post(STR("c"));
        assert_true(receivers(STR("c")) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        fanout_add(fanout, STR("c"), i);
    post(STR("c"));
    assert_true(receivers(STR("c")) == UINT64_MAX);
    for (uint32_t i = 0; i < WORKERS; i++)
        fanout_remove(fanout, STR("c"), i);
}

static void one_message_is_shared_by_all_workers(void **state) {
    (void)state;
    struct msg *m = message(STR("c"), STR("1"));
    struct mail mail;
    for (uint32_t i = 0; i < 8; i++)
        fanout_add(fanout, STR("c"), i);
    fanout_post(fanout, m);
    assert_int_equal(m->refs, 9);
    for (uint32_t i = 0; i < 8; i++) {
        assert_true(mailbox_take(&boxes[i], &mail));
        assert_ptr_equal(mail.msg, m);
        msg_unref(mail.msg);
        fanout_remove(fanout, STR("c"), i);
    }
    msg_unref(m);
}

static void wanting_twice_is_wanting_once(void **state) {
    (void)state;
    fanout_add(fanout, STR("c"), 5);
    fanout_add(fanout, STR("c"), 5);
    post(STR("c"));
    assert_true(receivers(STR("c")) == UINT64_C(1) << 5);
    fanout_remove(fanout, STR("c"), 5);
    assert_int_equal(fanout_channel_count(fanout), 0);
}

static void the_name_is_copied(void **state) {
    (void)state;
    char name[] = "channel";
    fanout_add(fanout, str_of(name), 2);
    name[0] = 'x';
    post(STR("channel"));
    assert_true(receivers(STR("channel")) == UINT64_C(1) << 2);
    fanout_remove(fanout, STR("channel"), 2);
}

static void channels_are_counted_over_all_shards(void **state) {
    (void)state;
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        fanout_add(fanout, str_of(name), (uint32_t)i % WORKERS);
        fanout_add(fanout, str_of(name), ((uint32_t)i + 1) % WORKERS);
        assert_int_equal(fanout_channel_count(fanout), i + 1);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        fanout_remove(fanout, str_of(name), (uint32_t)i % WORKERS);
        assert_int_equal(fanout_channel_count(fanout), 1000 - i);
        fanout_remove(fanout, str_of(name), ((uint32_t)i + 1) % WORKERS);
    }
    assert_int_equal(fanout_channel_count(fanout), 0);
}

static void a_full_mailbox_hurts_only_its_own_worker(void **state) {
    (void)state;
    mailbox_fini(&boxes[1]);
    mailbox_init(&boxes[1], 1, no_wake, NULL); /* takes one message, then none */
    for (uint32_t i = 0; i < 3; i++)
        fanout_add(fanout, STR("c"), i);
    for (int i = 0; i < 10; i++)
        post(STR("c"));
    for (uint32_t i = 0; i < 3; i++) {
        struct mail mail;
        int count = 0;
        for (; mailbox_take(&boxes[i], &mail); count++)
            msg_unref(mail.msg);
        assert_int_equal(count, i == 1 ? 1 : 10);
        assert_int_equal(mailbox_dropped_count(&boxes[i]), i == 1 ? 9 : 0);
        fanout_remove(fanout, STR("c"), i);
    }
}

static void behaves_like_an_array_of_bits(void **state) {
    (void)state;
    static uint64_t model[MODEL_CHANNELS];
    struct random r = {99};
    char name[16];
    for (int step = 0; step < 100000; step++) {
        uint32_t channel = random_below(&r, MODEL_CHANNELS), worker = random_below(&r, WORKERS);
        uint64_t bit = UINT64_C(1) << worker;
        snprintf(name, sizeof(name), "%u", channel);
        if (random_below(&r, 4) == 0) {
            post(str_of(name));
            assert_true(receivers(str_of(name)) == model[channel]);
        } else if (model[channel] & bit) {
            fanout_remove(fanout, str_of(name), worker);
            model[channel] &= ~bit;
        } else if (random_below(&r, 10) < (step / 10000 % 2 ? 1u : 9u)) {
            fanout_add(fanout, str_of(name), worker);
            model[channel] |= bit;
        }
    }
    size_t wanted_count = 0;
    for (uint32_t channel = 0; channel < MODEL_CHANNELS; channel++)
        wanted_count += model[channel] != 0;
    assert_int_equal(fanout_channel_count(fanout), wanted_count);
    for (uint32_t channel = 0; channel < MODEL_CHANNELS; channel++) {
        snprintf(name, sizeof(name), "%u", channel);
        for (; model[channel]; model[channel] &= model[channel] - 1)
            fanout_remove(fanout, str_of(name), (uint32_t)__builtin_ctzll(model[channel]));
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *publish_many(void *arg) {
    uint32_t thread = *(uint32_t *)arg;
    for (uint32_t i = 0; i < POSTS; i++) {
        uint32_t data[2] = {thread, i};
        struct msg *m = message(STR("c"), (struct str){(const char *)data, sizeof(data)});
        fanout_post(fanout, m);
        msg_unref(m);
    }
    return NULL;
}

static void run_threads(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, body, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void all_workers_see_the_messages_of_threads_in_one_order(void **state) {
    (void)state;
    uint32_t next[THREADS] = {0};
    for (uint32_t i = 0; i < 3; i++)
        fanout_add(fanout, STR("c"), i);
    run_threads(publish_many);
    for (uint32_t n = 0; n < THREADS * POSTS; n++) {
        struct mail mail[3];
        uint32_t data[2];
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(mailbox_take(&boxes[i], &mail[i]));
            assert_ptr_equal(mail[i].msg, mail[0].msg);
        }
        memcpy(data, mail[0].msg->parts.data.p, sizeof(data));
        assert_int_equal(data[1], next[data[0]]);
        next[data[0]]++;
        for (uint32_t i = 0; i < 3; i++)
            msg_unref(mail[i].msg);
    }
    for (uint32_t i = 0; i < 3; i++)
        fanout_remove(fanout, STR("c"), i);
}

/* Each thread is a worker that comes and goes on two channels, one of its own and one of all. While
 * it is in, it must get its own post. */
static void *come_and_go(void *arg) {
    uint32_t worker = *(uint32_t *)arg;
    char name[16];
    struct str own = {name, (size_t)snprintf(name, sizeof(name), "own-%u", worker)};
    uintptr_t missed = 0;
    for (uint32_t i = 0; i < POSTS / 4; i++) {
        struct mail mail;
        uint32_t own_count = 0;
        fanout_add(fanout, own, worker);
        fanout_add(fanout, STR("shared"), worker);
        post(own);
        post(STR("shared"));
        fanout_remove(fanout, own, worker);
        fanout_remove(fanout, STR("shared"), worker);
        post(own);
        while (mailbox_take(&boxes[worker], &mail)) {
            own_count += str_equal(mail.msg->parts.channel, own);
            msg_unref(mail.msg);
        }
        missed += own_count != 1;
    }
    return (void *)missed;
}

static void workers_come_and_go_while_others_post(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        void *missed;
        assert_int_equal(pthread_join(threads[i], &missed), 0);
        assert_null(missed);
    }
    assert_int_equal(fanout_channel_count(fanout), 0);
}

#define FANOUT_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        FANOUT_TEST(a_channel_nobody_wants_is_posted_to_nobody),
        FANOUT_TEST(each_worker_gets_what_it_wants),
        FANOUT_TEST(one_message_is_shared_by_all_workers),
        FANOUT_TEST(wanting_twice_is_wanting_once),
        FANOUT_TEST(the_name_is_copied),
        FANOUT_TEST(channels_are_counted_over_all_shards),
        FANOUT_TEST(a_full_mailbox_hurts_only_its_own_worker),
        FANOUT_TEST(behaves_like_an_array_of_bits),
        FANOUT_TEST(all_workers_see_the_messages_of_threads_in_one_order),
        FANOUT_TEST(workers_come_and_go_while_others_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
