/* What the tests of clients share: a worker without its loop and sockets. The clock is moved by
 * hand, a wire keeps what is written to it, a turn is a function.
 *
 * A wire checks what a transport may expect: no write while it is blocked, none after a failed
 * write or after the end, and nothing at all once the client is gone.
 *
 * Include once, after <cmocka.h> or tests/fuzz/fuzz_asserts.h. Thread: one. Owns: the bench, and
 * the wires until wire_free() or bench_stop().
 */
#ifndef CARILLON_TESTS_SESSION_TESTING_H
#define CARILLON_TESTS_SESSION_TESTING_H

#include "channels/broker_memory.h"
#include "server/session/node_calls.h"
#include "server/session/sessions.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/stub_broker.h"

#include "server/base/mem.h"

#include <stdio.h>
#include <string.h>

/* --- wires ------------------------------------------------------------------------------------ */

struct wire {
    struct list link;
    struct client *client; /* NULL once gone */
    struct buf out;        /* all that was written */
    size_t read_at;        /* what a test has seen of it */
    uint32_t write_count;
    uint32_t last_write;     /* its number among the writes of all wires */
    bool is_blocked;         /* the socket takes no more */
    bool blocks_after_write; /* it takes one more write */
    bool is_dead;            /* writes fail */
    bool is_paused, is_finished, is_killed;
};

static struct bench {
    struct config *config;
    struct metrics metrics;
    struct mailbox mailbox;
    struct mailbox *boxes[1];
    struct fanout *fanout;
    struct users *users;
    struct revocations *revocations;
    struct broker *broker;
    struct cluster *cluster;
    struct sessions sessions;
    struct list wires;
    uint32_t write_total;
    uint32_t write_cost_us; /* time that a write takes */
    bool is_woken;
} bench;

static bool wire_write(void *conn, const char *bytes, size_t n) {
    struct wire *w = conn;
    assert_true(w->client && !w->is_blocked && !w->is_finished && !w->is_killed);
    assert_true(n > 0);
    fake_us += bench.write_cost_us;
    if (w->is_dead)
        return false;
    buf_add(&w->out, (struct str){bytes, n});
    w->write_count++;
    w->last_write = ++bench.write_total;
    w->is_blocked = w->blocks_after_write;
    return true;
}

static bool wire_is_blocked(void *conn) {
    const struct wire *w = conn;
    assert_non_null(w->client);
    return w->is_blocked;
}

static void wire_pause(void *conn, bool is_paused) {
    struct wire *w = conn;
    assert_non_null(w->client);
    w->is_paused = is_paused;
}

static void wire_finish(void *conn) {
    struct wire *w = conn;
    assert_true(w->client && !w->is_blocked && !w->is_finished);
    w->is_finished = true;
    w->is_paused = false;
}

static void wire_kill(void *conn) {
    struct wire *w = conn;
    assert_non_null(w->client);
    w->is_killed = true;
}

static void wire_peer(void *conn, char *out, size_t cap) {
    const struct wire *w = conn;
    assert_non_null(w->client);
    snprintf(out, cap, "192.0.2.7");
}

static inline struct wire *wire_open(const struct protocol *protocol) {
    static const struct transport_ops ops = {
        .write = wire_write,
        .is_blocked = wire_is_blocked,
        .pause = wire_pause,
        .finish = wire_finish,
        .kill = wire_kill,
        .peer = wire_peer,
    };
    struct wire *w = mem_zalloc(sizeof(*w));
    list_append(&bench.wires, &w->link);
    w->client = client_create(&bench.sessions, protocol, &ops, w);
    return w;
}

/* The socket is closed. */
static inline void wire_gone(struct wire *w, enum close_reason reason) {
    struct client *c = w->client;
    if (c)
        client_gone(c, reason);
    w->client = NULL;
}

/* For a wire that is not needed any more. */
static inline void wire_free(struct wire *w) {
    wire_gone(w, CLOSE_LOST);
    list_remove(&w->link);
    buf_fini(&w->out);
    mem_free(w);
}

/* The socket takes bytes again. */
static inline void wire_unblock(struct wire *w) {
    w->is_blocked = w->blocks_after_write = false;
    if (w->client)
        client_writable(w->client);
}

/* For the message of a failed test. */
static char last_received[256];

static inline void note_received(struct str text) {
    size_t n = text.n < sizeof(last_received) ? text.n : sizeof(last_received) - 1;
    if (n)
        memcpy(last_received, text.p, n);
    last_received[n] = '\0';
}

/* One message, in a heap block of its own so that reading behind it is noticed. */
static inline void wire_receive(struct wire *w, struct str message) {
    char *copy = mem_alloc(message.n);
    note_received(message);
    if (message.n)
        memcpy(copy, message.p, message.n);
    client_receive(w->client, (struct str){copy, message.n});
    mem_free(copy);
}

static inline void say(struct wire *w, const char *message) {
    wire_receive(w, str_of(message));
}

/* What was written since the last look. */
static inline struct str wire_news(struct wire *w) {
    struct str news = str_slice(buf_str(&w->out), w->read_at, w->out.n);
    w->read_at = w->out.n;
    return news;
}

/* --- the worker ------------------------------------------------------------------------------- */

static void bench_wake(void *arg) {
    (void)arg;
    bench.is_woken = true;
}

static inline struct stub_broker *stub(void) {
    return stub_of(bench.broker);
}

/* Everybody may do everything; tests change options in bench.config. */
static inline void bench_start(struct broker *(*create)(struct fanout *)) {
    char *argv[] = {"carillon", "--client.insecure=true", "--address=127.0.0.1"};
    char *no_environment[] = {NULL};
    bench = (struct bench){0};
    assert_int_equal(config_load(3, argv, no_environment, &bench.config), CONFIG_RUN);
    list_init(&bench.wires);
    mailbox_init(&bench.mailbox, SIZE_MAX, bench_wake, NULL);
    bench.boxes[0] = &bench.mailbox;
    bench.fanout = fanout_create(bench.boxes, 1);
    bench.users = users_create(bench.boxes, 1);
    bench.revocations = revocations_create();
    bench.broker = create(bench.fanout);
    bench.cluster = cluster_create("bench-node", "bench", bench.boxes, 1);
    node_calls_register(bench.cluster);
    cluster_set_broker(bench.cluster, bench.broker);
    bench.sessions = (struct sessions){
        .config = bench.config,
        .mailbox = &bench.mailbox,
        .fanout = bench.fanout,
        .users = bench.users,
        .revocations = bench.revocations,
        .broker = bench.broker,
        .cluster = bench.cluster,
        .metrics = &bench.metrics,
    };
    sessions_init(&bench.sessions);
}

static inline void take_mail(void) {
    struct mail mail;
    while (mailbox_take(&bench.mailbox, &mail))
        sessions_take(&bench.sessions, mail);
}

static inline void flush(void) {
    while (sessions_has_pending(&bench.sessions))
        sessions_flush(&bench.sessions);
}

/* One turn of the loop in which all is done that is to do. */
static inline void turn(void) {
    take_mail();
    flush();
    list_for_each(l, &bench.wires) {
        struct wire *w = list_entry(l, struct wire, link);
        if (w->is_killed)
            wire_gone(w, CLOSE_LOST);
    }
    sessions_turn_end(&bench.sessions);
}

/* The oldest open call of a stub broker succeeds. */
static inline void answer(void) {
    stub_answer(stub());
    turn();
}

/* It fails. */
static inline void refuse(void) {
    stub_fail(stub());
    turn();
}

/* Time passes, in steps as the worker's timer makes them. */
static inline void pass_ms(uint64_t ms) {
    while (ms > 0) {
        uint64_t step_ms = ms < WHEEL_TICK_MS ? ms : WHEEL_TICK_MS;
        fake_us += step_ms * 1000;
        sessions_tick(&bench.sessions);
        turn();
        ms -= step_ms;
    }
}

/* Until something is written to the wire, such as a ping. */
static inline void pass_until_write(struct wire *w) {
    uint32_t writes = w->write_count;
    while (w->write_count == writes)
        pass_ms(WHEEL_TICK_MS);
}

/* Ends as a worker ends: broker first, then clients, and nothing may be left. */
static inline void bench_stop(void) {
    bench.broker->ops->stop(bench.broker);
    cluster_stop(bench.cluster);
    while (!list_is_empty(&bench.wires))
        wire_free(list_entry(bench.wires.next, struct wire, link));
    take_mail();
    assert_int_equal(bench.sessions.client_count, 0);
    assert_int_equal(bench.sessions.hub.sub_count, 0);
    assert_int_equal(fanout_channel_count(bench.fanout), 0);
    assert_int_equal(users_count(bench.users), 0);
    assert_false(sessions_has_pending(&bench.sessions));
    sessions_fini(&bench.sessions);
    bench.broker->ops->destroy(bench.broker);
    cluster_destroy(bench.cluster);
    fanout_destroy(bench.fanout);
    users_destroy(bench.users);
    revocations_destroy(bench.revocations);
    mailbox_fini(&bench.mailbox);
    config_destroy(bench.config);
}

/* As a good token does it that gives these channels. */
static inline void give_channels(struct client *c, const struct str *channels, size_t count) {
    struct client_gift gifts[8] = {{.channel = STR_NONE}};
    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++)
        gifts[i].channel = channels[i];
    client_join_all(c, &(struct client_join_all){1, gifts, count, NULL, NULL});
}

static inline uint64_t metric(enum metric id) {
    return metrics_get(&bench.metrics, id);
}

/* Of clients of the tests, which are all of one transport. */
static inline uint64_t wire_metric(enum wire_metric id) {
    return bench.metrics.wires[TRANSPORT_WEBSOCKET][id];
}

static inline uint64_t closes(enum close_reason reason) {
    uint64_t total = 0;
    for (int t = 0; t < TRANSPORT_COUNT; t++)
        total += bench.metrics.closes[t][reason];
    return total;
}

#endif
