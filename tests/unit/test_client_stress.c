/* Clients under random schedules: they connect, subscribe, publish, block, die and vanish while the
 * broker answers in any order, late, or with a failure. A model watches every line that a client
 * gets:
 *
 *   - each command is answered once; subscribes and unsubscribes of one channel in their order;
 *   - a subscriber sees the channel's messages in the one order, with no hole, from its reply to
 * its end;
 *   - nobody gets a message before "subscribed" or after "unsubscribed", nor anything after "bye";
 *   - in the end no call, no subscription and no byte is left.
 *
 * The schedule depends on the seed alone. Thread: main. Owns: nothing.
 */
#include "server/session/client_channels.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"
#include "tests/unit/random_json.h"

enum {
    GIVEN_MAX = 3,
    PEERS = 40,
    CHANNELS = 24,
    COMMANDS_MAX = 400,
    STEPS = 12000,
    NUMBERS_MAX = STEPS * 4
};

struct asked {
    uint8_t channel;
    bool is_publish;
    bool is_answered;
};

struct peer {
    struct wire *wire; /* NULL: not there */
    struct asked asked[COMMANDS_MAX];
    uint32_t asked_count;
    uint32_t last_answered[CHANNELS]; /* of its subscribes and unsubscribes */
    bool is_subscribed[CHANNELS];
    uint32_t next[CHANNELS];  /* in the channel's log: must not come later than this */
    bool has_seen[CHANNELS];  /* then next is exact */
    uint8_t given[GIVEN_MAX]; /* channels of its token */
    uint32_t given_count;
    bool owes_pong, is_over;
};

static struct random chance;
static struct peer peers[PEERS];
static uint32_t peer_count, channel_count; /* of this schedule: a crowd, or a few who come and go */
/* All messages have numbers of their own; a channel's log is their order. */
static uint32_t log_count[CHANNELS];
static uint32_t attached_at[CHANNELS]; /* log_count when the worker last began to listen */
static struct {
    uint8_t channel;
    uint32_t index;
} numbers[NUMBERS_MAX];
static uint32_t number_count;
static uint64_t lines_seen, messages_seen;

static uint32_t below(uint32_t n) {
    return random_below(&chance, n);
}

static bool odds(uint32_t of_thousand) {
    return below(1000) < of_thousand;
}

/* --- what a client gets ----------------------------------------------------------------------- */

static void see_message(struct peer *p, uint32_t channel, uint32_t number) {
    assert_true(channel < CHANNELS && number < number_count);
    assert_int_equal(numbers[number].channel, channel);
    assert_true(p->is_subscribed[channel]);
    uint32_t index = numbers[number].index;
    /* Who leaves and comes back while messages wait in the mailbox gets those, too; then comes what
     * was published since. Between the two there may be a hole, after them never. */
    if (!p->has_seen[channel])
        assert_true(index <= p->next[channel]);
    else if (index != p->next[channel])
        assert_true(index > p->next[channel] && index <= attached_at[channel]);
    p->has_seen[channel] = true;
    p->next[channel] = index + 1;
    messages_seen++;
}

static void begin_subscription(struct peer *p, uint32_t channel) {
    p->is_subscribed[channel] = true;
    p->has_seen[channel] = false;
    p->next[channel] = log_count[channel];
}

/* With the channels of its token, if it came with any. */
static void see_connected(struct peer *p, struct str what) {
    if (!str_equal(what, STR("connected"))) {
        assert_true(p->given_count > 0 && str_equal(what, STR("error internal server error")));
        return;
    }
    for (uint32_t i = 0; i < p->given_count; i++)
        begin_subscription(p, p->given[i]);
}

static void see_answer(struct peer *p, uint32_t id, struct str what) {
    assert_true(id >= 1 && id <= p->asked_count);
    struct asked *a = &p->asked[id - 1];
    assert_false(a->is_answered);
    a->is_answered = true;
    if (id == 1) {
        see_connected(p, what);
        return;
    }
    if (!a->is_publish) {
        assert_true(id > p->last_answered[a->channel]);
        p->last_answered[a->channel] = id;
    }
    if (str_equal(what, STR("subscribed"))) {
        assert_false(a->is_publish || p->is_subscribed[a->channel]);
        begin_subscription(p, a->channel);
    } else if (str_equal(what, STR("unsubscribed"))) {
        p->is_subscribed[a->channel] = false;
    } else {
        assert_true(str_equal(what, STR("published")) || str_starts(what, STR("error ")));
    }
}

static void see_line(struct peer *p, struct str line) {
    uint64_t channel = 0, number = 0, id = 0;
    assert_false(p->is_over);
    lines_seen++;
    if (str_equal(line, STR("ping"))) {
        p->owes_pong = true;
    } else if (str_starts(line, STR("bye "))) {
        p->is_over = true;
    } else if (str_starts(line, STR("ch"))) {
        line = str_slice(line, 2, line.n);
        assert_true(str_to_u64(plain_word(&line, ' '), &channel) && channel < CHANNELS);
        if (str_to_u64(line, &number))
            see_message(p, (uint32_t)channel, (uint32_t)number);
        else
            assert_true(p->is_subscribed[channel] &&
                        (str_equal(line, STR("joined")) || str_equal(line, STR("left"))));
    } else {
        assert_true(str_to_u64(plain_word(&line, ' '), &id));
        see_answer(p, (uint32_t)id, line);
    }
}

/* Writes end between frames, so lines are whole. */
static void see_news(struct peer *p) {
    struct str news = wire_news(p->wire);
    while (news.n) {
        assert_true(str_find(news, '\n') < news.n);
        see_line(p, plain_word(&news, '\n'));
    }
}

static void forget(struct peer *p) {
    wire_free(p->wire);
    memset(p, 0, sizeof(*p));
}

static void see_all(void) {
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i].wire)
            continue;
        see_news(&peers[i]);
        if (!peers[i].wire->client)
            forget(&peers[i]);
    }
}

/* --- what happens ----------------------------------------------------------------------------- */

/* Numbers are given when a message is made; its place in the log when it is posted. */
static uint32_t new_number(void) {
    assert_true(number_count < NUMBERS_MAX);
    return number_count++;
}

static void enter_in_log(uint32_t channel, uint32_t number) {
    numbers[number].channel = (uint8_t)channel;
    numbers[number].index = log_count[channel]++;
}

static void elsewhere_somebody_publishes(void) {
    char name[16], data[16];
    uint32_t channel = below(channel_count), number = new_number();
    snprintf(name, sizeof(name), "ch%u", channel);
    snprintf(data, sizeof(data), "%u", number);
    struct msg *m = msg_create(&(struct msg_parts){.channel = str_of(name), .data = str_of(data)});
    enter_in_log(channel, number);
    fanout_post(bench.fanout, m);
    msg_unref(m);
}

static void add_command(struct peer *p, struct buf *message) {
    static const char *const words[] = {"sub", "sub", "sub", "unsub", "pub", "pub"};
    uint32_t channel = below(channel_count);
    const char *word = words[below(6)];
    struct asked *a = &p->asked[p->asked_count++];
    *a = (struct asked){.channel = (uint8_t)channel, .is_publish = word[0] == 'p'};
    buf_printf(message, "%u %s ch%u", p->asked_count, word, channel);
    if (a->is_publish)
        buf_printf(message, " %u", new_number());
    else if (word[0] == 's' && odds(500))
        buf_add_z(message, " joins");
    buf_add_char(message, '\n');
}

static void a_peer_talks(struct peer *p) {
    struct buf message = {0};
    if (p->wire->is_paused && !odds(100)) /* the transport has stopped reading, mostly */
        return;
    if (p->owes_pong && odds(900)) {
        p->owes_pong = false;
        buf_add_z(&message, "pong\n");
    }
    for (uint32_t i = below(5); i > 0 && p->asked_count < COMMANDS_MAX; i--)
        add_command(p, &message);
    if (odds(2))
        buf_add_z(&message, "gibberish");
    if (message.n)
        wire_receive(p->wire, buf_str(&message));
    buf_fini(&message);
}

static void a_peer_has_a_token(struct peer *p) {
    char names[GIVEN_MAX][16];
    struct str channels[GIVEN_MAX];
    p->asked_count = 1;
    p->given_count = 1 + below(GIVEN_MAX);
    for (uint32_t i = 0; i < p->given_count; i++) {
        p->given[i] = (uint8_t)below(channel_count);
        snprintf(names[i], sizeof(names[i]), "ch%u", p->given[i]);
        channels[i] = str_of(names[i]);
    }
    give_channels(p->wire->client, channels, p->given_count);
}

static void a_peer_comes(struct peer *p) {
    p->wire = wire_open(&plain_protocol);
    if (odds(200)) {
        a_peer_has_a_token(p);
    } else if (odds(950)) {
        p->asked_count = 1;
        say(p->wire, "1 connect");
    }
}

static void the_broker_answers(void) {
    const enum broker_result results[] = {BROKER_OK, BROKER_UNAVAILABLE, BROKER_UNKNOWN};
    if (!stub()->call_count)
        return;
    uint32_t which = below((uint32_t)stub()->call_count);
    struct list *l = stub()->calls.next;
    for (uint32_t i = 0; i < which; i++)
        l = l->next;
    const struct msg *m = list_entry(l, struct stub_call, link)->msg;
    uint32_t result = odds(800) ? 0 : 1 + below(2);
    if (m && result == 0) {
        uint64_t channel = 0, number = 0;
        assert_true(str_to_u64(str_slice(m->parts.channel, 2, m->parts.channel.n), &channel));
        assert_true(str_to_u64(m->parts.data, &number));
        enter_in_log((uint32_t)channel, (uint32_t)number);
    }
    stub_answer_at(stub(), which, results[result]);
}

static void a_socket_changes(struct peer *p) {
    struct wire *w = p->wire;
    if (w->is_blocked && odds(600))
        wire_unblock(w);
    else if (odds(700))
        w->blocks_after_write = true;
    else if (odds(60))
        w->is_dead = true;
    else if (odds(60))
        wire_gone(w, odds(500) ? CLOSE_PEER : CLOSE_LOST);
}

static void some_mail_is_taken(void) {
    struct mail mail;
    for (uint32_t i = below(20); i > 0 && mailbox_take(&bench.mailbox, &mail); i--)
        sessions_take(&bench.sessions, mail);
}

static void something_happens(void) {
    struct peer *p = &peers[below(peer_count)];
    uint32_t what = below(100);
    if (!p->wire)
        a_peer_comes(p);
    else if (what < 40 && p->wire->client)
        a_peer_talks(p);
    else if (what < 60)
        the_broker_answers();
    else if (what < 68)
        elsewhere_somebody_publishes();
    else if (what < 76 && p->wire->client)
        a_socket_changes(p);
    else if (what < 90)
        some_mail_is_taken();
    else if (what < 95 && sessions_has_pending(&bench.sessions))
        sessions_flush(&bench.sessions);
    else if (what < 99)
        turn();
    else if (odds(500))
        pass_ms(below(6000));
    else if (odds(50))
        sessions_close_some(&bench.sessions, 1 + below(5), CLOSE_SHUTDOWN);
    see_all();
}

static void the_worker_listens(struct str channel) {
    uint64_t number = 0;
    assert_true(str_to_u64(str_slice(channel, 2, channel.n), &number));
    attached_at[number] = log_count[number];
}

/* --- the end ---------------------------------------------------------------------------------- */

static void everything_settles(void) {
    for (int i = 0; i < PEERS; i++)
        if (peers[i].wire)
            wire_unblock(peers[i].wire);
    do {
        while (stub()->call_count)
            the_broker_answers();
        turn(); /* answers let commands run that waited */
    } while (stub()->call_count);
    see_all();
}

static void expect_settled(struct peer *p) {
    struct client *c = p->wire->client;
    assert_false(p->wire->is_paused);
    if (c->state != CLIENT_CONNECTED)
        return;
    assert_int_equal(c->open_calls, 0);
    assert_null(c->deferred.p);
    for (uint32_t i = 0; i < p->asked_count; i++)
        assert_true(p->asked[i].is_answered);
    uint32_t subscribed = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (!p->is_subscribed[channel])
            continue;
        subscribed++;
        assert_int_equal(p->next[channel], log_count[channel]);
    }
    assert_int_equal(c->subscription_count, subscribed);
}

static void run_schedule(uint64_t seed) {
    static const uint32_t peer_counts[] = {2, 5, 12, PEERS}, channel_counts[] = {1, 8, CHANNELS};
    chance.state = seed;
    peer_count = peer_counts[seed % 4];
    channel_count = channel_counts[seed % 3];
    number_count = 0;
    memset(peers, 0, sizeof(peers));
    memset(log_count, 0, sizeof(log_count));
    memset(attached_at, 0, sizeof(attached_at));
    bench_start(stub_broker_create);
    stub()->on_attach = the_worker_listens;
    bench.config->client_queue_max_size_bytes = 2000;
    bench.config->client_channel_limit = 10;
    bench.config->rules.without_namespace.presence = seed / 4 % 2;
    bench.config->rules.without_namespace.join_leave = seed / 2 % 2;
    bench.config->websocket_message_size_limit_bytes = 200; /* four times this may wait */
    for (int step = 0; step < STEPS; step++)
        something_happens();
    everything_settles();
    for (int i = 0; i < PEERS; i++)
        if (peers[i].wire)
            expect_settled(&peers[i]);
    bench_stop();
}

static void random_schedules_lose_nothing_and_leave_nothing(void **state) {
    (void)state;
    const char *seed = getenv("CARILLON_TEST_SEED"); /* to look at one, or at more */
    const char *count = getenv("CARILLON_TEST_SEEDS");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
    for (uint64_t i = 0; i < (count ? strtoull(count, NULL, 10) : seed ? 1 : 12); i++) {
        print_message("seed %llu\n", (unsigned long long)(first + i));
        run_schedule(first + i);
    }
    print_message("%llu lines, %llu of them messages\n", (unsigned long long)lines_seen,
                  (unsigned long long)messages_seen);
    /* The schedules must really do something. */
    assert_true(messages_seen > 1000 && lines_seen > messages_seen + 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_lose_nothing_and_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
