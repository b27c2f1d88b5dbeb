/* The mailbox: order, waking, the bound on messages, and four writers against one reader.
 *
 * Thread: main; the last tests also in writer threads. Owns: nothing.
 */
#include "channels/mailbox.c"

#include "channels/broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MARK_BYTES = 4096, WRITERS = 4, POSTS = 100000 };

static unsigned woken_count;
static struct mailbox box;

static void count_wake(void *arg) {
    assert_ptr_equal(arg, &box);
    woken_count++;
}

static int start(void **state) {
    (void)state;
    woken_count = 0;
    mailbox_init(&box, MARK_BYTES, count_wake, &box);
    return 0;
}

/* Without a bound on messages. */
static int start_unbounded(void **state) {
    (void)state;
    woken_count = 0;
    mailbox_init(&box, SIZE_MAX, count_wake, &box);
    return 0;
}

static int stop(void **state) {
    (void)state;
    mailbox_fini(&box);
    return 0;
}

/* A message whose block has exactly this size. */
static struct msg *message_of(size_t size_bytes) {
    static const char zeros[4 * MARK_BYTES];
    return msg_create(&(struct msg_parts){.channel = STR("c"),
                                          .data = {zeros, size_bytes - sizeof(struct msg) - 1}});
}

/* False when it was dropped; either way only the mailbox holds it. */
static bool post_message(size_t size_bytes) {
    struct msg *m = message_of(size_bytes);
    bool is_in = mailbox_post_msg(&box, m);
    assert_int_equal(m->refs, is_in ? 2 : 1);
    msg_unref(m);
    return is_in;
}

static void take_message(void) {
    struct mail mail;
    assert_true(mailbox_take(&box, &mail));
    assert_int_equal(mail.kind, MAIL_MSG);
    assert_int_equal(mail.msg->refs, 1);
    msg_unref(mail.msg);
}

static void expect_nothing(void) {
    struct mail mail;
    assert_false(mailbox_take(&box, &mail));
    assert_true(mailbox_is_empty(&box));
}

static void expect_number(int number, struct msg **messages, struct reply *replies,
                          struct control *controls) {
    struct mail mail;
    int i = number / 3;
    assert_true(mailbox_take(&box, &mail));
    switch (number % 3) {
    case 0:
        assert_int_equal(mail.kind, MAIL_REPLY);
        assert_ptr_equal(mail.reply, &replies[i]);
        break;
    case 1:
        assert_int_equal(mail.kind, MAIL_MSG);
        assert_ptr_equal(mail.msg, messages[i]);
        msg_unref(mail.msg);
        break;
    default:
        assert_int_equal(mail.kind, MAIL_CONTROL);
        assert_ptr_equal(mail.control, &controls[i]);
    }
}

static void mails_come_in_the_order_of_posting(void **state) {
    (void)state;
    struct reply replies[200];
    struct control controls[200];
    struct msg *messages[200];
    int taken = 0;
    for (int i = 0; i < 200; i++) {
        messages[i] = message_of(sizeof(struct msg) + 1);
        mailbox_post_reply(&box, &replies[i]);
        assert_true(mailbox_post_msg(&box, messages[i]));
        mailbox_post_control(&box, &controls[i]);
        if (i % 2) /* the reader is in the middle of a batch while others post */
            expect_number(taken++, messages, replies, controls);
    }
    while (taken < 600)
        expect_number(taken++, messages, replies, controls);
    expect_nothing();
    for (int i = 0; i < 200; i++)
        msg_unref(messages[i]);
}

static void the_reader_is_woken_only_when_it_was_empty(void **state) {
    (void)state;
    struct control a, b, c;
    struct mail mail;
    mailbox_post_control(&box, &a);
    assert_int_equal(woken_count, 1);
    mailbox_post_control(&box, &b);
    mailbox_post_control(&box, &c);
    assert_int_equal(woken_count, 1);
    for (int i = 0; i < 3; i++)
        assert_true(mailbox_take(&box, &mail));
    expect_nothing();
    assert_int_equal(woken_count, 1);
    mailbox_post_control(&box, &a);
    assert_int_equal(woken_count, 2);
    assert_true(mailbox_take(&box, &mail));
}

static void each_kind_of_mail_wakes(void **state) {
    (void)state;
    struct reply r;
    struct control c;
    struct mail mail;
    assert_true(post_message(100 + sizeof(struct msg)));
    assert_int_equal(woken_count, 1);
    take_message();
    mailbox_post_reply(&box, &r);
    assert_int_equal(woken_count, 2);
    assert_true(mailbox_take(&box, &mail));
    mailbox_post_control(&box, &c);
    assert_int_equal(woken_count, 3);
    assert_true(mailbox_take(&box, &mail));
}

/* The reader has a batch in hand and may be about to sleep after it: one wake-up, not one per mail.
 */
static void what_comes_while_a_batch_is_read_wakes_once(void **state) {
    (void)state;
    struct control controls[4];
    struct mail mail;
    mailbox_post_control(&box, &controls[0]);
    mailbox_post_control(&box, &controls[1]);
    assert_true(mailbox_take(&box, &mail));
    mailbox_post_control(&box, &controls[2]);
    mailbox_post_control(&box, &controls[3]);
    assert_int_equal(woken_count, 2);
    for (int i = 1; i < 4; i++) {
        assert_false(mailbox_is_empty(&box));
        assert_true(mailbox_take(&box, &mail));
        assert_ptr_equal(mail.control, &controls[i]);
    }
    expect_nothing();
}

static void a_message_over_the_mark_is_dropped_and_counted(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_true(post_message(MARK_BYTES / 4));
    assert_int_equal(mailbox_dropped_count(&box), 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_false(post_message(MARK_BYTES / 4));
        assert_int_equal(mailbox_dropped_count(&box), i);
    }
    for (int i = 0; i < 4; i++)
        take_message();
    expect_nothing();
}

static void a_message_larger_than_the_mark_passes_an_empty_mailbox(void **state) {
    (void)state;
    assert_true(post_message(3 * MARK_BYTES));
    assert_false(post_message(200));
    take_message();
    expect_nothing();
    assert_true(post_message(3 * MARK_BYTES));
    take_message();
}

static void a_dropped_message_wakes_nobody(void **state) {
    (void)state;
    struct mail mail;
    assert_true(post_message(2 * MARK_BYTES));
    assert_true(mailbox_take(&box, &mail)); /* in hand: its bytes still count */
    assert_int_equal(woken_count, 1);
    assert_false(post_message(200));
    assert_int_equal(woken_count, 1);
    msg_unref(mail.msg);
}

static void bytes_are_free_when_the_reader_has_moved_on(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_true(post_message(MARK_BYTES / 4));
    for (int i = 0; i < 4; i++) {
        take_message();
        assert_false(post_message(200)); /* the batch is not done */
    }
    expect_nothing(); /* now it is */
    for (int i = 0; i < 4; i++)
        assert_true(post_message(MARK_BYTES / 4));
    assert_false(post_message(200));
    assert_int_equal(box.msg_bytes, MARK_BYTES);
    for (int i = 0; i < 4; i++)
        take_message();
    expect_nothing();
    assert_int_equal(box.msg_bytes, 0);
}

static void replies_and_control_are_accepted_over_the_mark(void **state) {
    (void)state;
    struct reply r;
    struct control c;
    struct mail mail;
    assert_true(post_message(2 * MARK_BYTES));
    for (int i = 0; i < 1000; i++) {
        assert_false(post_message(200));
        mailbox_post_reply(&box, &r);
        mailbox_post_control(&box, &c);
    }
    take_message();
    for (int i = 0; i < 2000; i++)
        assert_true(mailbox_take(&box, &mail));
    expect_nothing();
    assert_int_equal(mailbox_dropped_count(&box), 1000);
}

static void replies_cost_no_message_bytes(void **state) {
    (void)state;
    struct reply r;
    struct mail mail;
    for (int i = 0; i < 10000; i++)
        mailbox_post_reply(&box, &r);
    assert_true(post_message(MARK_BYTES));
    for (int i = 0; i < 10000; i++)
        assert_true(mailbox_take(&box, &mail));
    take_message();
}

static void the_memory_of_a_burst_is_given_back(void **state) {
    (void)state;
    struct control c;
    struct mail mail;
    for (int i = 0; i < 100000; i++)
        mailbox_post_control(&box, &c);
    for (int i = 0; i < 100000; i++)
        assert_true(mailbox_take(&box, &mail));
    for (int i = 0; i < 2; i++)
        expect_nothing();
    assert_true(box.capacity <= 4096 && box.taken_capacity <= 4096);
}

static void a_steady_flow_allocates_nothing(void **state) {
    (void)state;
    struct control c;
    struct mail mail;
    struct mail *arrays[2] = {NULL, NULL};
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 50; i++)
            mailbox_post_control(&box, &c);
        if (round == 2)
            arrays[0] = box.items, arrays[1] = box.taken;
        if (round > 2)
            assert_true(box.items == arrays[0] || box.items == arrays[1]);
        for (int i = 0; i < 50; i++)
            assert_true(mailbox_take(&box, &mail));
        assert_true(mailbox_is_empty(&box));
    }
}

static void what_is_left_at_the_end_is_dropped(void **state) {
    (void)state;
    struct msg *m = message_of(200);
    for (int i = 0; i < 10; i++)
        assert_true(mailbox_post_msg(&box, m));
    assert_int_equal(m->refs, 11);
    mailbox_fini(&box);
    assert_int_equal(m->refs, 1);
    msg_unref(m);
    mailbox_init(&box, MARK_BYTES, count_wake, &box);
}

/* --- threads ---------------------------------------------------------------------------------- */

struct note {
    struct control control;
    uint32_t writer, number;
};

/* One reader that sleeps until it is woken: a wake-up too few and the test hangs. */
static struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool is_woken;
    unsigned wake_count;
    struct note *notes[WRITERS];
    struct msg *shared;
    atomic_uint refused_count;
} meeting = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void wake_meeting(void *arg) {
    (void)arg;
    pthread_mutex_lock(&meeting.lock);
    meeting.is_woken = true;
    meeting.wake_count++;
    pthread_cond_signal(&meeting.came);
    pthread_mutex_unlock(&meeting.lock);
}

static void sleep_until_woken(void) {
    pthread_mutex_lock(&meeting.lock);
    while (!meeting.is_woken)
        pthread_cond_wait(&meeting.came, &meeting.lock);
    meeting.is_woken = false;
    pthread_mutex_unlock(&meeting.lock);
}

/* Every eighth note has a message before it, which may be refused. */
static void *write_notes(void *arg) {
    struct note *notes = arg;
    for (uint32_t i = 0; i < POSTS; i++) {
        if (i % 8 == 0 && !mailbox_post_msg(&box, meeting.shared))
            atomic_fetch_add(&meeting.refused_count, 1);
        mailbox_post_control(&box, &notes[i].control);
    }
    return NULL;
}

static void read_notes(uint32_t *message_count) {
    uint32_t next[WRITERS] = {0}, left = WRITERS * POSTS;
    struct mail mail;
    while (left > 0) {
        sleep_until_woken();
        while (mailbox_take(&box, &mail)) {
            if (mail.kind == MAIL_MSG) {
                ++*message_count;
                msg_unref(mail.msg);
                continue;
            }
            struct note *n = (struct note *)(void *)mail.control;
            assert_int_equal(n->number, next[n->writer]);
            next[n->writer]++;
            left--;
        }
    }
}

static void start_meeting(pthread_t *threads) {
    mailbox_init(&box, 64 * 1024, wake_meeting, NULL);
    meeting.is_woken = false;
    meeting.wake_count = 0;
    meeting.refused_count = 0;
    meeting.shared = message_of(1000);
    for (uint32_t w = 0; w < WRITERS; w++) {
        meeting.notes[w] = mem_array(POSTS, sizeof(struct note));
        for (uint32_t i = 0; i < POSTS; i++)
            meeting.notes[w][i] = (struct note){.writer = w, .number = i};
        assert_int_equal(pthread_create(&threads[w], NULL, write_notes, meeting.notes[w]), 0);
    }
}

static void four_writers_lose_nothing_and_keep_their_order(void **state) {
    (void)state;
    pthread_t threads[WRITERS];
    uint32_t message_count = 0;
    start_meeting(threads);
    read_notes(&message_count);
    for (uint32_t w = 0; w < WRITERS; w++) {
        assert_int_equal(pthread_join(threads[w], NULL), 0);
        mem_free(meeting.notes[w]);
    }
    expect_nothing();
    assert_int_equal(message_count + meeting.refused_count, WRITERS * POSTS / 8);
    assert_int_equal(mailbox_dropped_count(&box), meeting.refused_count);
    assert_int_equal(meeting.shared->refs, 1);
    msg_unref(meeting.shared);
    mailbox_fini(&box);
}

#define BOX_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mails_come_in_the_order_of_posting, start_unbounded, stop),
        BOX_TEST(the_reader_is_woken_only_when_it_was_empty),
        BOX_TEST(each_kind_of_mail_wakes),
        BOX_TEST(what_comes_while_a_batch_is_read_wakes_once),
        BOX_TEST(a_message_over_the_mark_is_dropped_and_counted),
        BOX_TEST(a_message_larger_than_the_mark_passes_an_empty_mailbox),
        BOX_TEST(a_dropped_message_wakes_nobody),
        BOX_TEST(bytes_are_free_when_the_reader_has_moved_on),
        BOX_TEST(replies_and_control_are_accepted_over_the_mark),
        BOX_TEST(replies_cost_no_message_bytes),
        BOX_TEST(the_memory_of_a_burst_is_given_back),
        BOX_TEST(a_steady_flow_allocates_nothing),
        BOX_TEST(what_is_left_at_the_end_is_dropped),
        cmocka_unit_test(four_writers_lose_nothing_and_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
