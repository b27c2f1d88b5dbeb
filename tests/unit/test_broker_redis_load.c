/* The Redis broker under load and in bad company: very many members, a flood at a Redis that has
 * stopped, links that are cut again and again, subscribers that Redis throws out.
 *
 * Thread: main. Owns: a redis-server per test.
 */
#include "channels/broker_redis.c"

#include "tests/unit/redis_testing.h"

static uint32_t client_count(uint32_t node, const char *channel) {
    struct broker *b = test_nodes[node].broker;
    struct presence_reply p = {.reply = reply_to(node, 1)};
    b->ops->presence(b, str_of(channel), &p);
    struct mail mail = next_mail(node, 1, MAIL_REPLY);
    return mail.reply->result == BROKER_OK ? p.client_count : UINT32_MAX;
}

/* --- very many -------------------------------------------------------------------------------- */

static int start_patient(void **state) {
    (void)state;
    broker_io_ms = IO_TIMEOUT_MAX_MS;
    broker_beat_ms = REDIS_BEAT_MS;
    return start_all(1);
}

/* Reading them is a call with a deadline, and the Redis thread does nothing else meanwhile. */
static void very_many_members_come_are_read_and_leave_at_once(void **state) {
    enum { MANY = 100000, STEP = 10000 };
    char client[16];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(client, sizeof(client), "%d", i);
        join_as(0, "crowd", client, "u", MEMBER_KEEP);
        if ((i + 1) % STEP == 0)
            assert_int_equal(client_count(0, "crowd"), i + 1);
    }
    expect_counts(0, "crowd", MANY, 1);
    for (int i = 0; i < MANY; i++) {
        snprintf(client, sizeof(client), "%d", i);
        leave_as(0, "crowd", client, "u", MEMBER_KEEP);
    }
    expect_counts(0, "crowd", 0, 0);
    assert_int_equal(counters_of(0)->reconnects, 0);
    assert_int_equal(counters_of(0)->garbage, 0);
}

static void a_flood_at_a_redis_that_has_stopped_is_bounded_and_answered(void **state) {
    enum { MANY = 100000 };
    static struct reply replies[MANY];
    struct broker_redis *b = of(test_nodes[0].broker);
    unsigned results[3] = {0};
    (void)state;
    redis_server_signal(&server, SIGSTOP);
    for (int i = 0; i < MANY; i++) {
        replies[i] = reply_to(0, 1);
        send_text(0, "flood", "\"0123456789\"", &replies[i]);
    }
    for (int i = 0; i < MANY; i++) {
        struct reply *r = next_mail(0, 1, MAIL_REPLY).reply;
        assert_non_null(r->to); /* not answered yet */
        r->to = NULL;
        results[r->result]++;
    }
    assert_int_equal(results[BROKER_OK], 0);
    assert_true(results[BROKER_UNKNOWN] <= b->inbox.max_count);
    assert_true(results[BROKER_UNAVAILABLE] >= MANY - b->inbox.max_count);
    assert_int_equal(b->inbox.open_count, 0);
    assert_int_equal(b->inbox.open_bytes, 0);
    WAIT_UNTIL(trouble_of(0));
    redis_server_signal(&server, SIGCONT);
    wait_until_up(0);
    publish_ok(0, "flood", "1");
}

/* --- the end ---------------------------------------------------------------------------------- */

enum { CALLERS = 2, CALLS = 20000 };

struct caller {
    pthread_t thread;
    struct reply publications[CALLS], attaches[CALLS];
};
static struct caller callers[CALLERS];
static atomic_int call_count;

static void *call(void *arg) {
    struct caller *c = arg;
    struct broker *b = test_nodes[0].broker;
    char text[32];
    for (int i = 0; i < CALLS; i++) {
        snprintf(text, sizeof(text), "%zu-%d", (size_t)(c - callers), i);
        c->publications[i] = reply_to(0, 0);
        c->attaches[i] = reply_to(0, 0);
        send_text(0, "news", "1", &c->publications[i]);
        join_as(0, "room", text, "u", KEEP_ANNOUNCE);
        b->ops->attach(b, str_of(text), &c->attaches[i]);
        leave_as(0, "room", text, "u", KEEP_ANNOUNCE);
        atomic_fetch_add(&call_count, 1);
    }
    return NULL;
}

static void a_broker_that_stops_while_others_call_answers_each_once(void **state) {
    struct broker *b = test_nodes[0].broker;
    (void)state;
    atomic_store(&call_count, 0);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    WAIT_UNTIL(atomic_load(&call_count) > CALLS / 4);
    b->ops->stop(b);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < 2 * CALLERS * CALLS; i++) {
        struct reply *r = next_mail(0, 0, MAIL_REPLY).reply;
        assert_non_null(r->to); /* not answered yet */
        r->to = NULL;
    }
    store_all(&test_nodes[0].workers[0]);
    assert_true(list_is_empty(&test_nodes[0].workers[0].waiting));
}

/* --- links that are cut ----------------------------------------------------------------------- */

static void a_node_that_redis_throws_out_for_reading_too_slowly_comes_back(void **state) {
    enum { BYTES = 2 << 20 };
    char *big = mem_alloc(BYTES);
    (void)state;
    memset(big, 'x', BYTES);
    listen_on(0, 0, "news");
    redis_server_do(&server, "CONFIG SET client-output-buffer-limit %s", "pubsub 1mb 1mb 1");
    redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %b", big, (size_t)BYTES);
    WAIT_UNTIL(counters_of(0)->reconnects == 1);
    publish_ok(0, "news", "1");
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    stop_listening(0, 0, "news");
    mem_free(big);
}

/* In bunches that the inbox takes. */
static void follow_many(struct reply *replies, struct history_reply *tops, uint32_t count) {
    enum { BUNCH = 10000 };
    struct broker *b = test_nodes[0].broker;
    char channel[16];
    for (uint32_t from = 0; from < count; from += BUNCH) {
        for (uint32_t i = from; i < from + BUNCH; i++) {
            snprintf(channel, sizeof(channel), "c%u", i);
            replies[i] = reply_to(0, 0);
            b->ops->attach(b, str_of(channel), &replies[i]);
        }
        for (uint32_t i = from; i < from + BUNCH; i++)
            assert_int_equal(next_mail(0, 0, MAIL_REPLY).reply->result, BROKER_OK);
        for (uint32_t i = from; i < from + BUNCH; i++) {
            snprintf(channel, sizeof(channel), "c%u", i);
            tops[i] = (struct history_reply){.reply = reply_to(0, 0), .may_lag = true};
            b->ops->history(b, str_of(channel), &tops[i]);
        }
        for (uint32_t i = from; i < from + BUNCH; i++)
            assert_int_equal(next_mail(0, 0, MAIL_REPLY).reply->result, BROKER_OK);
    }
}

/* Each with a history, one of them with something that was missed. */
static void a_hundred_thousand_channels_are_followed_again_after_a_cut(void **state) {
    enum { MANY = 100000 };
    static struct reply replies[MANY];
    static struct history_reply tops[MANY];
    struct broker *b = test_nodes[0].broker;
    char channel[16];
    (void)state;
    fanout_add(test_nodes[0].fanout, STR("c4711"), 0);
    follow_many(replies, tops, MANY);
    uint64_t start_ms = clock_now_ms();
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    WAIT_UNTIL(trouble_of(0));
    redis_server_do(&server, "EVAL %s 2 %s %s %s",
                    "redis.call('HSET', KEYS[1], 's', 1) redis.call('XADD', KEYS[2], '1-0', 'm',\n"
                    "'CRN2' .. struct.pack('<I4I8', 36, 1) .. redis.call('HGET', KEYS[1], 'e') ..\n"
                    "struct.pack('<I4I4I4', 0, 60, 10) .. ARGV[1] .. '\\0\\0\\0\\1' .. "
                    "string.rep('\\0', 23) .. '1')",
                    TEST_BASE "meta:c4711", TEST_BASE "stream:c4711", "CRN1P");
    wait_until_up(0);
    uint64_t up_ms = clock_now_ms() - start_ms;
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    print_message("100,000 channels again after %u ms, compared after %u ms\n", (unsigned)up_ms,
                  (unsigned)(clock_now_ms() - start_ms));
    for (int i = 0; i < MANY; i++) {
        snprintf(channel, sizeof(channel), "c%d", i);
        b->ops->detach(b, str_of(channel));
    }
    fanout_remove(test_nodes[0].fanout, STR("c4711"), 0);
}

/* Cuts one or both links of a node. */
static void cut(uint32_t node, bool is_both) {
    redisReply *list = redis_server_ask(&server, "CLIENT LIST");
    char wanted[48], *end = NULL;
    snprintf(wanted, sizeof(wanted), " name=carillon-node-%u-%s", node, is_both ? "" : "messages");
    for (char *line = strtok_r(list->str, "\n", &end); line; line = strtok_r(NULL, "\n", &end))
        if (strstr(line, wanted))
            redis_server_do(&server, "CLIENT KILL ID %d", atoi(line + strlen("id=")));
    freeReplyObject(list);
}

enum { CLIENTS = 40, STEPS = 6000, STEPS_PER_CUT = 400 };

/* Joins and leaves as they were published; each client by turns, beginning with a join. */
static void read_events(redisContext *witness, bool is_in[CLIENTS], unsigned *event_count) {
    for (;;) {
        redisReply *r = NULL;
        struct msg_parts parts = {.channel = STR("room")};
        uint64_t client = 0;
        int failed = redisGetReply(witness, (void **)&r);
        assert_int_equal(failed, REDIS_OK);
        assert_true(
            redis_envelope_read((struct str){r->element[2]->str, r->element[2]->len}, &parts));
        if (parts.kind == MSG_PUBLICATION) {
            freeReplyObject(r);
            return;
        }
        assert_true(str_to_u64(parts.client, &client) && client < CLIENTS);
        if (is_in[client] == (parts.kind == MSG_JOIN))
            fail_msg("client %d: second %s", (int)client, is_in[client] ? "join" : "leave");
        is_in[client] = !is_in[client];
        ++*event_count;
        freeReplyObject(r);
    }
}

/* Is exactly this the channel's presence? */
static bool is_presence(const bool is_member[CLIENTS]) {
    struct broker *b = test_nodes[0].broker;
    struct presence_reply p = {.reply = reply_to(0, 1), .wants_members = true};
    bool is_there[CLIENTS] = {false};
    b->ops->presence(b, STR("room"), &p);
    struct mail mail = next_mail(0, 1, MAIL_REPLY);
    for (uint32_t i = 0; i < p.client_count; i++) {
        uint64_t client = CLIENTS;
        assert_true(str_to_u64(p.members[i]->parts.client, &client) && client < CLIENTS);
        is_there[client] = true;
    }
    presence_reply_fini(&p);
    return mail.reply->result == BROKER_OK && !memcmp(is_there, is_member, sizeof(is_there));
}

static void whatever_is_cut_joins_and_leaves_are_announced_by_turns(void **state) {
    bool is_member[CLIENTS] = {false}, is_announced[CLIENTS] = {false};
    unsigned event_count = 0;
    char client[16];
    (void)state;
    redisContext *witness = redis_server_connect(&server);
    freeReplyObject(redisCommand(witness, "SUBSCRIBE " TEST_BASE "ch:room"));
    srand(20261124);
    for (int i = 0; i < STEPS; i++) {
        int c = rand() % CLIENTS;
        snprintf(client, sizeof(client), "%d", c);
        if (is_member[c])
            leave_as((uint32_t)c % 2, "room", client, "u", KEEP_ANNOUNCE);
        else
            join_as((uint32_t)c % 2, "room", client, "u", KEEP_ANNOUNCE);
        is_member[c] = !is_member[c];
        if (rand() % 20 == 0)
            short_pause();
        if (rand() % STEPS_PER_CUT == 0)
            cut((uint32_t)rand() % 2, rand() % 2);
    }
    wait_until_up(0);
    wait_until_up(1);
    WAIT_UNTIL(is_presence(is_member));
    publish_ok(0, "room", "\"end\"");
    read_events(witness, is_announced, &event_count);
    print_message("%u of %d calls were announced\n", event_count, STEPS);
    assert_memory_equal(is_member, is_announced, sizeof(is_member));
    redisFree(witness);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(very_many_members_come_are_read_and_leave_at_once, patient),
        REDIS_TEST(a_flood_at_a_redis_that_has_stopped_is_bounded_and_answered, 1),
        REDIS_TEST(a_broker_that_stops_while_others_call_answers_each_once, 1),
        REDIS_TEST(a_node_that_redis_throws_out_for_reading_too_slowly_comes_back, 1),
        REDIS_TEST(a_hundred_thousand_channels_are_followed_again_after_a_cut, patient),
        REDIS_TEST(whatever_is_cut_joins_and_leaves_are_announced_by_turns, 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
