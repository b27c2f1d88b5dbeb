/* From history to live: whatever comes late, overlaps or is lost on the way, a client that keeps a
 * position gets every publication once and in order, or is told that it did not.
 *
 * Random walks: publications, messages dropped before they reach the worker, history answers in no
 * hurry, subscribes with and without recovery, unsubscribes. The protocol of the test is the judge:
 * it looks at each event and each publication as an SDK does.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/client_sync.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "channels/broker_memory.h"
#include "tests/unit/random_json.h"
#include "tests/unit/session_testing.h"

static const struct keep keep = {.size = 40, .ttl_ms = 3600000, .meta_ttl_ms = 3600000};
#define CHANNEL STR("news")

/* --- a broker that reads history when it is told to, and answers when it is told to ------------
 */

enum { WAITING_MAX = 64 };

static struct late_broker {
    struct broker broker;
    struct broker *memory;
    struct broker_ops ops;
    struct history_reply *waiting[WAITING_MAX];
    uint32_t waiting_count;
    struct history_reply *read[WAITING_MAX]; /* but not yet answered */
    uint32_t read_count;
} late;

static void late_history(struct broker *b, struct str channel, struct history_reply *r) {
    (void)b;
    assert_true(str_equal(channel, CHANNEL) && late.waiting_count < WAITING_MAX);
    late.waiting[late.waiting_count++] = r;
}

static void ignore_wake(void *arg) {
    (void)arg;
}

static void read_one(uint32_t i) {
    struct history_reply *r = late.waiting[i];
    struct mailbox *to = r->reply.to, aside;
    struct mail mail;
    mailbox_init(&aside, SIZE_MAX, ignore_wake, NULL);
    r->reply.to = &aside;
    late.waiting[i] = late.waiting[--late.waiting_count];
    late.memory->ops->history(late.memory, CHANNEL, r);
    assert_true(mailbox_take(&aside, &mail));
    mailbox_fini(&aside);
    r->reply.to = to;
    late.read[late.read_count++] = r;
}

static void answer_one(uint32_t i) {
    struct history_reply *r = late.read[i];
    late.read[i] = late.read[--late.read_count];
    broker_answer(&r->reply, r->reply.result);
}

static void read_all(void) {
    while (late.waiting_count)
        read_one(late.waiting_count - 1);
    while (late.read_count)
        answer_one(late.read_count - 1);
}

static void late_publish(struct broker *b, struct msg *m, const struct publish_options *o,
                         struct reply *r) {
    (void)b;
    late.memory->ops->publish(late.memory, m, o, r);
}

static void late_attach(struct broker *b, struct str channel, struct reply *r) {
    (void)b;
    late.memory->ops->attach(late.memory, channel, r);
}

static void late_detach(struct broker *b, struct str channel) {
    (void)b;
    late.memory->ops->detach(late.memory, channel);
}

static void late_stop(struct broker *b) {
    (void)b;
    read_all();
    late.memory->ops->stop(late.memory);
}

static void late_destroy(struct broker *b) {
    (void)b;
    late.memory->ops->destroy(late.memory);
}

static struct broker *late_create(struct fanout *fanout) {
    late = (struct late_broker){.memory = broker_memory_create(fanout)};
    late.ops = (struct broker_ops){.name = "late",
                                   .publish = late_publish,
                                   .attach = late_attach,
                                   .detach = late_detach,
                                   .history = late_history,
                                   .stop = late_stop,
                                   .destroy = late_destroy};
    late.broker.ops = &late.ops;
    return &late.broker;
}

/* --- a client as an SDK is ----------------------------------------------------------------------
 */

static struct sdk {
    struct wire *wire;
    bool is_subscribed, is_waiting;
    bool has_position; /* from an earlier subscription */
    struct position position;
    uint64_t got, recovered, refused, told, removed; /* how often */
} sdk;

static struct random dice;

static void take_publication(const struct msg *m) {
    assert_true(sdk.is_subscribed || sdk.is_waiting);
    assert_int_equal(m->position.offset, sdk.position.offset + 1);
    assert_memory_equal(m->position.epoch, sdk.position.epoch, EPOCH_BYTES);
    sdk.position = m->position;
    sdk.got++;
}

static void take_result(const struct sync_result *r) {
    sdk.is_waiting = false;
    sdk.is_subscribed = true;
    if (r->was_recovering && r->is_recovered)
        assert_int_equal(r->position.offset, sdk.position.offset);
    sdk.recovered += r->is_recovered;
    sdk.told += r->was_recovering && !r->is_recovered;
    sdk.position = r->position;
    for (uint32_t i = 0; i < r->count; i++)
        take_publication(r->items[i]);
    sdk.has_position = true;
}

static void on_event(struct client *c, const struct event *e) {
    (void)c;
    if (e->kind == EVENT_SUBSCRIBED) {
        assert_true(sdk.is_waiting && !sdk.is_subscribed);
        take_result(&e->subscription->sync->result);
    } else if (e->kind == EVENT_REMOVED) {
        assert_true(sdk.is_subscribed);
        sdk.is_subscribed = false;
        sdk.removed++;
    } else if (e->kind == EVENT_ERROR) {
        assert_int_equal(e->error, ERROR_UNRECOVERABLE);
        sdk.is_waiting = false;
        sdk.has_position = false;
        sdk.refused++;
    }
}

/* The one client is the only one to get it. */
static struct frame *encode(const struct msg *m, enum encoding how) {
    assert_int_equal(how, ENCODING_PLAIN);
    assert_true(sdk.is_subscribed);
    take_publication(m);
    return frame_create_plain(STR("x"));
}

static uint32_t ping_interval_ms(const struct config *config) {
    (void)config;
    return 25000;
}

static struct frame *ping(void) {
    return frame_create_plain(STR("p"));
}

static struct frame *farewell(enum close_reason r) {
    (void)r;
    return NULL;
}

static uint16_t close_code(enum close_reason r) {
    return (uint16_t)r;
}

static const struct protocol judge = {
    .event = on_event,
    .encode = encode,
    .ping = ping,
    .ping_interval_ms = ping_interval_ms,
    .farewell = farewell,
    .close_code = close_code,
};

/* --- what happens -------------------------------------------------------------------------------
 */

static uint64_t published;

static void publish(void) {
    const struct publish_options o = {.keep = keep};
    char data[24];
    snprintf(data, sizeof(data), "%llu", (unsigned long long)++published);
    late.memory->ops->publish(
        late.memory, msg_create(&(struct msg_parts){.channel = CHANNEL, .data = str_of(data)}), &o,
        NULL);
}

/* The next message is dropped as by a mailbox that is over its mark. */
static void lose(void) {
    struct mailbox *box = &bench.mailbox;
    size_t mark_bytes = box->mark_bytes;
    box->mark_bytes = 0;
    publish();
    box->mark_bytes = mark_bytes;
}

static void subscribe(void) {
    struct client_subscribe q = {.command_id = 1, .channel = CHANNEL};
    if (sdk.is_subscribed || sdk.is_waiting)
        return;
    q.recovers = sdk.has_position && random_below(&dice, 8) > 0;
    q.fails_unrecoverable = random_below(&dice, 4) == 0;
    q.since = sdk.position;
    if (!q.recovers)
        sdk.has_position = false;
    sdk.is_waiting = true;
    client_subscribe(sdk.wire->client, &q);
}

static void unsubscribe(void) {
    if (!sdk.is_subscribed)
        return;
    sdk.is_subscribed = false;
    client_unsubscribe(sdk.wire->client, 2, CHANNEL);
}

static void take_some_mail(void) {
    struct mail mail;
    for (uint32_t n = random_below(&dice, 6); n-- > 0 && mailbox_take(&bench.mailbox, &mail);)
        sessions_take(&bench.sessions, mail);
}

static void step(void) {
    switch (random_below(&dice, 18)) {
    case 0:
        lose();
        break;
    case 1:
    case 2:
        subscribe();
        break;
    case 3:
        if (random_below(&dice, 3) == 0)
            unsubscribe();
        break;
    case 4:
    case 5:
    case 6:
        if (late.waiting_count)
            read_one(random_below(&dice, late.waiting_count));
        break;
    case 7:
    case 8:
    case 9:
        if (late.read_count)
            answer_one(random_below(&dice, late.read_count));
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        take_some_mail();
        break;
    default:
        publish();
    }
    if (random_below(&dice, 8) == 0)
        turn();
}

static void forget_history(void) {
    late.memory->ops->history_remove(late.memory, CHANNEL, NULL);
}

/* Until the client is subscribed and nothing is under way. */
static void settle_down(void) {
    for (int i = 0; i < 20; i++) {
        subscribe();
        read_all();
        turn();
    }
    assert_true(sdk.is_subscribed);
}

static void begin(void) {
    bench_start(late_create);
    struct channel_options *o = &bench.config->rules.without_namespace;
    o->history_size = keep.size;
    o->history_ttl_s = 3600;
    o->history_meta_ttl_s = 3600;
    o->force_recovery = true;
    sdk = (struct sdk){.wire = wire_open(&judge)};
    client_connect(sdk.wire->client, &(struct client_connect){.command_id = 1});
    turn();
    published = 0;
}

static void random_walks_end_with_every_publication(void **state) {
    uint64_t recovered = 0, told = 0, removed = 0, refused = 0;
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        dice.state = seed * UINT64_C(0x9e3779b97f4a7c15);
        begin();
        for (int i = 0; i < 1000; i++) {
            step();
            if (random_below(&dice, 400) == 0)
                forget_history();
        }
        settle_down();
        publish(); /* one more: if something is missing before it, it shows now */
        turn();
        if (!sdk.is_subscribed)
            settle_down();
        assert_int_equal(sdk.position.offset, published);
        recovered += sdk.recovered;
        told += sdk.told;
        removed += sdk.removed;
        refused += sdk.refused;
        bench_stop();
    }
    /* The walks went everywhere. */
    assert_true(recovered > 1000 && told > 100 && removed > 500 && refused > 20);
}

static void a_silent_channel_is_compared_with_its_history(void **state) {
    (void)state;
    dice.state = 1;
    begin();
    settle_down();
    publish();
    turn();
    lose(); /* and nothing comes after it */
    pass_ms(bench.config->client_channel_position_check_delay_ms + 26000);
    assert_int_equal(late.waiting_count, 1);
    read_all();
    turn();
    assert_int_equal(sdk.removed, 1);
    settle_down();
    assert_int_equal(sdk.position.offset, 2);
    assert_int_equal(sdk.told, 0);
    bench_stop();
}

static void an_answer_that_finds_nobody_is_dropped(void **state) {
    (void)state;
    dice.state = 1;
    begin();
    subscribe();
    turn();
    assert_int_equal(late.waiting_count, 1);
    wire_gone(sdk.wire, CLOSE_LOST);
    turn();
    read_all();
    turn();
    bench_stop();
}

static void too_much_while_waiting_is_read_again(void **state) {
    (void)state;
    dice.state = 1;
    begin();
    subscribe();
    turn();
    for (int i = 0; i < SYNC_HELD_MAX_COUNT + 10; i++)
        publish();
    take_mail();
    read_all();
    turn();
    assert_int_equal(late.waiting_count, 1); /* asked again */
    assert_true(sdk.is_waiting);
    read_all();
    turn();
    assert_true(sdk.is_subscribed);
    assert_int_equal(sdk.position.offset, published);
    bench_stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_walks_end_with_every_publication),
        cmocka_unit_test(a_silent_channel_is_compared_with_its_history),
        cmocka_unit_test(an_answer_that_finds_nobody_is_dropped),
        cmocka_unit_test(too_much_while_waiting_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
