/* The table of channels wanted from Redis, against a Redis that is a queue in this test: calls and
 * answers interleave at random, and the link breaks now and then.
 *
 * Rules: an attach is answered OK only while Redis has the channel, every attach is answered once,
 * and in the end Redis has exactly what is attached.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/redis_subs.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CHANNELS = 12, WORKERS = 3, STEPS = 200000, PENDING_MAX = 4096 };

static struct redis_shared shared;
static struct redis_subs subs;
static uint64_t now_ms;
static bool is_link_open;
static const char *link_fault;

uint64_t clock_now_ms(void) {
    return now_ms;
}

/* --- Redis ------------------------------------------------------------------------------------ */

/* One name of a command that Redis has not seen yet. */
struct pending {
    struct redis_waiter waiter;
    char name[48];
};
static struct pending pending[PENDING_MAX];
static size_t pending_first, pending_last;
static bool has_channel[CHANNELS]; /* what Redis sends us */
static unsigned longest_command;

static bool is_number(const char *name, int *number) {
    return sscanf(name, "carillon:1:test:ch:c%d", number) == 1;
}

bool redis_link_is_open(const struct redis_link *link) {
    (void)link;
    return is_link_open;
}

void redis_link_fail(struct redis_link *link, const char *why) {
    (void)link;
    link_fault = why;
}

bool redis_link_send_args(struct redis_link *link, struct redis_args *args,
                          struct redis_waiter waiter) {
    (void)link;
    if (!is_link_open)
        return false;
    assert_int_equal(waiter.answer_count, args->count - 1);
    if (args->count > longest_command)
        longest_command = (unsigned)args->count;
    for (size_t i = 1; i < args->count; i++) {
        struct pending *p = &pending[pending_last++ % PENDING_MAX];
        assert_true(pending_last - pending_first <= PENDING_MAX);
        p->waiter = waiter;
        snprintf(p->name, sizeof(p->name), "%.*s", (int)args->sizes[i], args->texts[i]);
    }
    return true;
}

static void answer_next(void) {
    struct pending *p = &pending[pending_first++ % PENDING_MAX];
    redisReply word = {.type = REDIS_REPLY_STRING};
    redisReply name = {.type = REDIS_REPLY_STRING, .str = p->name, .len = strlen(p->name)};
    redisReply count = {.type = REDIS_REPLY_INTEGER};
    redisReply *elements[] = {&word, &name, &count};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = elements};
    int number;
    if (is_number(p->name, &number))
        has_channel[number] = p->waiter.answer == subscribed;
    p->waiter.answer(p->waiter.arg, REDIS_ANSWERED, &reply);
}

static void break_link(void) {
    is_link_open = false;
    memset(has_channel, 0, sizeof(has_channel));
    for (; pending_first != pending_last; pending_first++) {
        struct pending *p = &pending[pending_first % PENDING_MAX];
        p->waiter.answer(p->waiter.arg, REDIS_LOST, NULL);
    }
    redis_subs_lost(&subs);
}

/* --- workers ---------------------------------------------------------------------------------- */

enum worker_state { DETACHED, WAITING, ATTACHED };

struct worker_channel {
    struct reply reply;
    enum worker_state state;
};
static struct worker_channel workers[WORKERS][CHANNELS];
static struct mailbox box;

static void no_wake(void *arg) {
    (void)arg;
}

static struct str channel_name(int channel, char text[8]) {
    snprintf(text, 8, "c%d", channel);
    return str_of(text);
}

static void read_answers(void) {
    struct mail mail;
    while (mailbox_take(&box, &mail)) {
        struct worker_channel *w = list_entry(mail.reply, struct worker_channel, reply);
        int channel = (int)((w - workers[0]) % CHANNELS);
        assert_int_equal(w->state, WAITING);
        w->state = mail.reply->result == BROKER_OK ? ATTACHED : DETACHED;
        if (w->state == ATTACHED)
            assert_true(has_channel[channel]);
    }
}

static void toggle(struct worker_channel *w, int channel) {
    char text[8];
    if (w->state == DETACHED && is_link_open) {
        w->state = WAITING;
        w->reply = (struct reply){.to = &box};
        redis_subs_attach(&subs, channel_name(channel, text), &w->reply, now_ms);
    } else if (w->state == ATTACHED) {
        w->state = DETACHED;
        redis_subs_detach(&subs, channel_name(channel, text), now_ms);
    }
}

static void connect_link(void) {
    is_link_open = true;
    redis_subs_connected(&subs);
}

static void answer_all(void) {
    redis_subs_turn_end(&subs);
    while (pending_first != pending_last)
        answer_next();
    read_answers();
}

static int start(void **state) {
    (void)state;
    now_ms = 1000000;
    link_fault = NULL;
    pending_first = pending_last = 0;
    memset(workers, 0, sizeof(workers));
    memset(has_channel, 0, sizeof(has_channel));
    mailbox_init(&box, SIZE_MAX, no_wake, NULL);
    redis_shared_init(&shared, "test", "me", 0);
    redis_subs_init(&subs, &shared, NULL, NULL);
    connect_link();
    return 0;
}

static int stop(void **state) {
    (void)state;
    break_link();
    read_answers();
    redis_subs_fini(&subs);
    redis_shared_fini(&shared);
    mailbox_fini(&box);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void step(void) {
    int channel = rand() % CHANNELS, worker = rand() % WORKERS;
    switch (rand() % 8) {
    case 0:
    case 1:
        toggle(&workers[worker][channel], channel);
        break;
    case 2:
        redis_subs_turn_end(&subs);
        break;
    case 3:
        now_ms += (uint64_t)(rand() % 400);
        redis_subs_tick(&subs, now_ms);
        break;
    case 4:
        if (rand() % 200 == 0 && is_link_open)
            break_link();
        else if (!is_link_open)
            connect_link();
        break;
    default:
        if (pending_first != pending_last)
            answer_next();
    }
    read_answers();
}

static void whatever_happens_redis_has_what_is_attached(void **state) {
    (void)state;
    srand(20261124);
    for (int i = 0; i < STEPS; i++)
        step();
    if (!is_link_open)
        connect_link();
    for (int i = 0; i < 10; i++) { /* until all is confirmed and nothing lingers */
        answer_all();
        now_ms += LINGER_MS;
        redis_subs_tick(&subs, now_ms);
    }
    answer_all();
    assert_true(redis_subs_are_settled(&subs));
    assert_null(link_fault);
    size_t wanted = 0;
    for (int c = 0; c < CHANNELS; c++) {
        bool is_attached = false;
        for (int w = 0; w < WORKERS; w++) {
            assert_int_not_equal(workers[w][c].state, WAITING);
            is_attached |= workers[w][c].state == ATTACHED;
        }
        assert_int_equal(has_channel[c], is_attached);
        wanted += is_attached;
    }
    assert_int_equal(subs.channels.count, wanted);
}

static void an_attach_that_is_not_confirmed_in_time_is_unavailable(void **state) {
    (void)state;
    toggle(&workers[0][0], 0);
    redis_subs_turn_end(&subs);
    now_ms += ATTACH_MS - 1;
    redis_subs_tick(&subs, now_ms);
    read_answers();
    assert_int_equal(workers[0][0].state, WAITING);
    now_ms += 1;
    redis_subs_tick(&subs, now_ms);
    read_answers();
    assert_int_equal(workers[0][0].state, DETACHED);
    assert_null(redis_subs_live_stream(&subs, STR("c0")));
    answer_all();
    assert_true(has_channel[0]); /* late; it lingers, then goes */
    now_ms += LINGER_MS;
    redis_subs_tick(&subs, now_ms);
    answer_all();
    assert_false(has_channel[0]);
    assert_int_equal(subs.channels.count, 0);
}

static void names_are_asked_for_in_bounded_batches(void **state) {
    (void)state;
    enum { MANY = 3 * BATCH_MAX + 1 };
    static struct reply replies[MANY];
    char name[16];
    longest_command = 0;
    answer_all();
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        replies[i] = (struct reply){.to = &box};
        redis_subs_attach(&subs, str_of(name), &replies[i], now_ms);
    }
    assert_int_equal(pending_last - pending_first, 0); /* not before the end of the turn */
    redis_subs_turn_end(&subs);
    assert_int_equal(pending_last - pending_first, MANY);
    assert_int_equal(longest_command, 1 + BATCH_MAX);
    while (pending_first != pending_last)
        answer_next();
    for (int i = 0; i < MANY; i++) {
        struct mail mail;
        assert_true(mailbox_take(&box, &mail));
        assert_ptr_equal(mail.reply, &replies[i]);
        assert_int_equal(mail.reply->result, BROKER_OK);
    }
}

static void an_error_of_redis_breaks_the_link(void **state) {
    (void)state;
    char text[] = "NOPERM no";
    redisReply error = {.type = REDIS_REPLY_ERROR, .str = text, .len = sizeof(text) - 1};
    subscribed(&subs, REDIS_ANSWERED, &error);
    assert_string_equal(link_fault, "the user lacks a permission in redis");
}

#define SUBS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        SUBS_TEST(whatever_happens_redis_has_what_is_attached),
        SUBS_TEST(an_attach_that_is_not_confirmed_in_time_is_unavailable),
        SUBS_TEST(names_are_asked_for_in_bounded_batches),
        SUBS_TEST(an_error_of_redis_breaks_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
