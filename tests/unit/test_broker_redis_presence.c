/* Presence over nodes that share a Redis: nodes that are frozen, killed or stopped, a Redis that
 * forgets, and foreign things under our keys. Time is real here.
 *
 * A node that can be killed is this program once more, started with "node".
 *
 * Thread: main. Owns: a redis-server per test.
 */
#include "channels/broker_redis.c"

#include "tests/unit/redis_testing.h"

enum { GHOSTS = 250 };

static const char *program; /* the path of this one */

/* --- a node of its own process ---------------------------------------------------------------- */

static void run_node(const char *socket_path) {
    snprintf(server.socket, sizeof(server.socket), "%s", socket_path);
    uid_stem = "process";
    start_node(0);
    struct broker *b = test_nodes[0].broker;
    while (b->ops->trouble(b))
        short_pause();
    for (int i = 0; i < GHOSTS; i++) {
        char client[16];
        snprintf(client, sizeof(client), "g%d", i);
        join_as(0, "ghosts", client, i % 2 ? "odd" : "even", KEEP_ANNOUNCE);
    }
    for (;;)
        pause();
}

static pid_t start_process(void) {
    return start_program((const char *const[]){program, "node", server.socket, NULL});
}

static void expect_ghosts(uint32_t node, enum msg_kind kind) {
    bool is_seen[GHOSTS] = {false};
    for (int i = 0; i < GHOSTS; i++) {
        struct msg *m = next_msg(node, 0);
        uint64_t number;
        assert_int_equal(m->parts.kind, kind);
        assert_true(str_to_u64(str_slice(m->parts.client, 1, 10), &number) && number < GHOSTS);
        assert_false(is_seen[number]);
        is_seen[number] = true;
        msg_unref(m);
    }
}

/* Nothing else has come: the next message is this one. */
static void expect_silence(const char *channel) {
    publish_ok(0, channel, "\"silence\"");
    for (uint32_t n = 0; n < node_count; n++)
        expect_msg(n, 0, MSG_PUBLICATION, "\"silence\"");
}

static void listen_all(const char *channel) {
    for (uint32_t n = 0; n < node_count; n++)
        listen_on(n, 0, channel);
}

static void stop_all_listening(const char *channel) {
    for (uint32_t n = 0; n < node_count; n++)
        stop_listening(n, 0, channel);
}

static bool are_counts(uint32_t node, const char *channel, uint32_t clients) {
    struct broker *b = test_nodes[node].broker;
    struct presence_reply p = {.reply = reply_to(node, 1)};
    b->ops->presence(b, str_of(channel), &p);
    struct mail mail = next_mail(node, 1, MAIL_REPLY);
    return mail.reply->result == BROKER_OK && p.client_count == clients;
}

static void members_of_a_silent_node_leave_once_and_come_back_with_it(void **state) {
    (void)state;
    listen_all("ghosts");
    pid_t pid = start_process();
    expect_ghosts(0, MSG_JOIN);
    expect_ghosts(1, MSG_JOIN);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    uint64_t start_ms = clock_now_ms();
    expect_ghosts(0, MSG_LEAVE);
    uint64_t left_ms = clock_now_ms() - start_ms;
    expect_ghosts(1, MSG_LEAVE);
    print_message("a frozen node's members left after %llu ms\n", (unsigned long long)left_ms);
    assert_in_range(left_ms, 9 * BEAT_MS, 13 * BEAT_MS);
    expect_silence("ghosts");
    expect_counts(1, "ghosts", 0, 0);

    assert_int_equal(kill(pid, SIGCONT), 0);
    expect_ghosts(0, MSG_JOIN);
    expect_ghosts(1, MSG_JOIN);
    expect_counts(0, "ghosts", GHOSTS, 2);

    assert_int_equal(kill(pid, SIGKILL), 0);
    waitpid(pid, NULL, 0);
    start_ms = clock_now_ms();
    expect_ghosts(0, MSG_LEAVE);
    left_ms = clock_now_ms() - start_ms;
    expect_ghosts(1, MSG_LEAVE);
    print_message("a killed node's members left after %llu ms\n", (unsigned long long)left_ms);
    assert_in_range(left_ms, 9 * BEAT_MS, 13 * BEAT_MS);
    expect_silence("ghosts");
    WAIT_UNTIL(redis_server_do(&server, "HLEN " TEST_BASE "nodes") == 2);
    stop_all_listening("ghosts");
}

static void a_redis_that_forgot_everything_makes_nobody_leave(void **state) {
    (void)state;
    listen_all("room");
    join_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    join_as(1, "room", "c2", "bob", KEEP_ANNOUNCE);
    for (uint32_t n = 0; n < 2; n++)
        for (int i = 0; i < 2; i++) {
            struct msg *m = next_msg(n, 0);
            assert_int_equal(m->parts.kind, MSG_JOIN);
            msg_unref(m);
        }
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));
    redis_server_start(&server);
    wait_until_up(0);
    wait_until_up(1);
    WAIT_UNTIL(are_counts(0, "room", 2));
    expect_silence("room");
    redis_server_do(&server, "FLUSHALL"); /* and while the links stay */
    WAIT_UNTIL(are_counts(1, "room", 2));
    expect_silence("room");
    stop_all_listening("room");
}

static void freeze(void) {
    redis_server_signal(&server, SIGSTOP);
}

static void thaw(void) {
    redis_server_signal(&server, SIGCONT);
}

static void kill_redis(void) {
    redis_server_kill(&server);
}

static void start_redis(void) {
    redis_server_start(&server);
}

static void change_while_away(void (*go_away)(void), void (*come_back)(void)) {
    listen_on(1, 0, "room");
    join_as(0, "room", "stays", "u", KEEP_ANNOUNCE);
    join_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    expect_msg(1, 0, MSG_JOIN, "stays");
    expect_msg(1, 0, MSG_JOIN, "goes");
    go_away();
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));
    leave_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    join_as(0, "room", "comes", "u", KEEP_ANNOUNCE);
    join_as(0, "room", "flits", "u", KEEP_ANNOUNCE);
    leave_as(0, "room", "flits", "u", KEEP_ANNOUNCE);
    come_back();
    unsigned seen = 0;
    for (int i = 0; i < 2; i++) {
        struct msg *m = next_msg(1, 0);
        bool is_join = m->parts.kind == MSG_JOIN;
        assert_true(str_equal(m->parts.client, is_join ? STR("comes") : STR("goes")));
        seen |= 1u << m->parts.kind;
        msg_unref(m);
    }
    assert_int_equal(seen, 1u << MSG_JOIN | 1u << MSG_LEAVE);
    expect_counts(1, "room", 2, 1);
    publish_ok(0, "room", "\"silence\"");
    expect_msg(1, 0, MSG_PUBLICATION, "\"silence\"");
    stop_listening(1, 0, "room");
}

static void what_changed_while_redis_was_away_is_made_good(void **state) {
    (void)state;
    change_while_away(freeze, thaw);
}

static void so_it_is_when_redis_comes_back_without_its_data(void **state) {
    (void)state;
    change_while_away(kill_redis, start_redis);
}

/* Many are being entered again: one that leaves meanwhile was known to be there. */
static void who_leaves_while_all_are_entered_again_is_announced(void **state) {
    enum { MANY = 3000 };
    char client[16];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(client, sizeof(client), "%d", i);
        join_as(0, "crowd", client, "u", MEMBER_KEEP);
    }
    listen_on(1, 0, "room");
    join_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    expect_msg(1, 0, MSG_JOIN, "goes");
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));
    redis_server_start(&server);
    wait_until_up(0);
    wait_until_up(1);
    leave_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    expect_msg(1, 0, MSG_LEAVE, "goes");
    WAIT_UNTIL(are_counts(1, "crowd", MANY));
    stop_listening(1, 0, "room");
    for (int i = 0; i < MANY; i++) {
        snprintf(client, sizeof(client), "%d", i);
        leave_as(0, "crowd", client, "u", MEMBER_KEEP);
    }
    WAIT_UNTIL(are_counts(1, "crowd", 0));
}

static void a_redis_that_forgets_scripts_confuses_no_order(void **state) {
    (void)state;
    char client[16];
    listen_on(1, 0, "room");
    for (int i = 0; i < 300; i++) {
        snprintf(client, sizeof(client), "%d", i);
        if (i % 30 == 0)
            redis_server_do(&server, "SCRIPT FLUSH");
        join_as(0, "room", client, "u", KEEP_ANNOUNCE);
        leave_as(0, "room", client, "u", KEEP_ANNOUNCE);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(client, sizeof(client), "%d", i);
        expect_msg(1, 0, MSG_JOIN, client);
        expect_msg(1, 0, MSG_LEAVE, client);
    }
    assert_int_equal(counters_of(0)->reconnects, 0);
    stop_listening(1, 0, "room");
}

static void a_node_that_stops_takes_its_members_with_it(void **state) {
    (void)state;
    char client[16];
    listen_on(0, 0, "ghosts");
    for (int i = 0; i < GHOSTS; i++) {
        snprintf(client, sizeof(client), "g%d", i);
        join_as(1, "ghosts", client, "u", KEEP_ANNOUNCE);
    }
    join_as(0, "ghosts", "mine", "u", MEMBER_KEEP);
    expect_ghosts(0, MSG_JOIN);
    test_nodes[1].broker->ops->stop(test_nodes[1].broker);
    expect_ghosts(0, MSG_LEAVE);
    expect_counts(0, "ghosts", 1, 1);
    assert_int_equal(redis_server_do(&server, "HEXISTS " TEST_BASE "nodes node-1"), 0);
    assert_int_equal(redis_server_do(&server, "EXISTS " TEST_BASE "members:node-1"), 0);
    test_nodes[0].broker->ops->stop(test_nodes[0].broker);
    assert_int_equal(redis_server_do(&server, "DEL " TEST_BASE "era"), 1);
    assert_int_equal(redis_server_do(&server, "DBSIZE"), 0);
    stop_listening(0, 0, "ghosts");
}

static void foreign_things_under_our_keys_are_counted_and_left_alone(void **state) {
    (void)state;
    redis_server_do(&server, "SET " TEST_BASE "presence:taken x");
    redis_server_do(&server, "HSET " TEST_BASE "presence:room a 1 b %b", "node-9 ACRN1J\0\0\0\xff",
                    (size_t)17);
    redis_server_do(&server, "HSET " TEST_BASE "nodes %s x", "not a uid");
    join_as(0, "taken", "c1", "ann", KEEP_ANNOUNCE);
    join_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    expect_counts(0, "room", 1, 1);
    assert_int_equal(counters_of(0)->garbage, 3); /* two members, one batch */

    struct broker *b = test_nodes[0].broker;
    for (int wants = 0; wants < 2; wants++) {
        struct presence_reply p = {.reply = reply_to(0, 0), .wants_members = wants};
        b->ops->presence(b, STR("taken"), &p);
        expect_result(0, 0, &p.reply, BROKER_UNAVAILABLE);
        presence_reply_fini(&p);
    }
    leave_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    expect_counts(0, "room", 0, 0);
    WAIT_UNTIL(counters_of(0)->garbage > 7 + 1); /* the name in the registry, with a beat */
    assert_int_equal(redis_server_do(&server, "HLEN " TEST_BASE "presence:room"), 2);
    assert_null(trouble_of(0));
}

static void a_foreign_registry_of_nodes_does_not_stop_messages(void **state) {
    (void)state;
    listen_on(0, 0, "news");
    redis_server_do(&server, "DEL " TEST_BASE "nodes");
    redis_server_do(&server, "SET " TEST_BASE "nodes x");
    WAIT_UNTIL(counters_of(0)->garbage > 1);
    publish_ok(0, "news", "1");
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    assert_null(trouble_of(0));
    redis_server_do(&server, "DEL " TEST_BASE "nodes");
    join_as(0, "news", "c1", "ann", KEEP_ANNOUNCE);
    expect_msg(0, 0, MSG_JOIN, "c1");
    WAIT_UNTIL(redis_server_do(&server, "HEXISTS " TEST_BASE "nodes node-0") == 1);
    expect_counts(0, "news", 1, 1);
    assert_int_equal(counters_of(0)->reconnects, 0);
    stop_listening(0, 0, "news");
}

static void when_redis_does_not_write_messages_go_on(void **state) {
    (void)state;
    listen_on(0, 0, "news");
    join_as(0, "news", "before", "u", MEMBER_KEEP);
    expect_counts(0, "news", 1, 1);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    join_as(0, "news", "during", "u", KEEP_ANNOUNCE);
    uint64_t start_ms = clock_now_ms();
    do {
        publish_ok(0, "news", "1");
        expect_msg(0, 0, MSG_PUBLICATION, "1");
    } while (clock_now_ms() - start_ms < 3 * BEAT_MS);
    assert_null(trouble_of(0));
    assert_int_equal(counters_of(0)->reconnects, 0);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    expect_msg(0, 0, MSG_JOIN, "during"); /* written again, later */
    expect_counts(0, "news", 2, 1);
    stop_listening(0, 0, "news");
}

static void who_left_meanwhile_is_taken_out_when_redis_writes_again(void **state) {
    (void)state;
    listen_on(1, 0, "room");
    join_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    expect_msg(1, 0, MSG_JOIN, "goes");
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    freeze();
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));
    leave_as(0, "room", "goes", "u", KEEP_ANNOUNCE);
    thaw();
    wait_until_up(0);
    wait_until_up(1);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    expect_msg(1, 0, MSG_LEAVE, "goes");
    expect_counts(1, "room", 0, 0);
    stop_listening(1, 0, "room");
}

/* Who takes them out does not know the limit of the node they were on: Redis does. */
static void members_of_a_node_that_goes_leave_within_the_limit(void **state) {
    (void)state;
    listen_on(0, 0, "few");
    for (int i = 0; i < 4; i++)
        join_limited(1, "few", (const char *const[]){"c1", "c2", "c3", "c4"}[i], 2);
    expect_counts(1, "few", 4, 1);
    for (int i = 0; i < 2; i++)
        msg_unref(next_msg(0, 0));
    assert_int_equal(redis_server_do(&server, "HLEN " TEST_BASE "limits"), 1);
    stop_node(1);
    node_count = 1;
    for (int i = 0; i < 2; i++) {
        struct msg *m = next_msg(0, 0);
        assert_int_equal(m->parts.kind, MSG_LEAVE);
        msg_unref(m);
    }
    expect_silence("few");
    assert_int_equal(redis_server_do(&server, "EXISTS " TEST_BASE "limits"), 0);
    stop_listening(0, 0, "few");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(members_of_a_node_that_goes_leave_within_the_limit, 2),
        REDIS_TEST(members_of_a_silent_node_leave_once_and_come_back_with_it, 2),
        REDIS_TEST(a_redis_that_forgot_everything_makes_nobody_leave, 2),
        REDIS_TEST(what_changed_while_redis_was_away_is_made_good, 2),
        REDIS_TEST(so_it_is_when_redis_comes_back_without_its_data, 2),
        REDIS_TEST(who_leaves_while_all_are_entered_again_is_announced, 2),
        REDIS_TEST(a_redis_that_forgets_scripts_confuses_no_order, 2),
        REDIS_TEST(a_node_that_stops_takes_its_members_with_it, 2),
        REDIS_TEST(foreign_things_under_our_keys_are_counted_and_left_alone, 1),
        REDIS_TEST(a_foreign_registry_of_nodes_does_not_stop_messages, 1),
        REDIS_TEST(when_redis_does_not_write_messages_go_on, 1),
        REDIS_TEST(who_left_meanwhile_is_taken_out_when_redis_writes_again, 2),
    };
    program = argv[0];
    if (argc == 3 && !strcmp(argv[1], "node"))
        run_node(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
