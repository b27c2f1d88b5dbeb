/* The Redis broker when Redis fails: it is killed, frozen, restarted, guarded by a password, or
 * full of garbage. Time is real here: what is tested are deadlines.
 *
 * Thread: main, and a publisher. Owns: a redis-server per test.
 */
#include "channels/broker_redis.c"

#include "tests/unit/redis_testing.h"

#include <netinet/in.h>
#include <sys/resource.h>

static void while_redis_is_away_calls_fail_at_once_and_subscriptions_survive(void **state) {
    (void)state;
    struct reply r = reply_to(0, 0), attach_reply = reply_to(0, 0);
    struct presence_reply p = {.reply = reply_to(0, 0)};
    struct broker *b = test_nodes[0].broker;
    listen_on(0, 0, "news");
    listen_on(1, 1, "news");
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));

    uint64_t start_ms = clock_now_ms();
    send_text(0, "news", "1", &r);
    expect_result(0, 0, &r, BROKER_UNAVAILABLE);
    b->ops->attach(b, STR("more"), &attach_reply);
    expect_result(0, 0, &attach_reply, BROKER_UNAVAILABLE);
    b->ops->presence(b, STR("news"), &p);
    expect_result(0, 0, &p.reply, BROKER_UNAVAILABLE);
    assert_true(clock_now_ms() - start_ms < slowly(500));
    assert_int_equal(counters_of(0)->dropped, 1);

    redis_server_start(&server);
    start_ms = clock_now_ms();
    wait_until_up(0);
    wait_until_up(1);
    assert_true(clock_now_ms() - start_ms < BACK_MS);
    publish_ok(0, "news", "2");
    expect_msg(0, 0, MSG_PUBLICATION, "2");
    expect_msg(1, 1, MSG_PUBLICATION, "2");
    assert_int_equal(counters_of(0)->reconnects, 1);
    stop_listening(0, 0, "news");
    stop_listening(1, 1, "news");
}

static uint64_t cpu_ms(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* A second is the subject here, not a guess. */
static void while_redis_is_away_the_processor_rests(void **state) {
    (void)state;
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0));
    uint64_t before_ms = cpu_ms(), start_ms = clock_now_ms();
    WAIT_UNTIL(clock_now_ms() - start_ms > 1000);
    assert_true(cpu_ms() - before_ms < slowly(200)); /* our own waiting is part of it */
    redis_server_start(&server);
    wait_until_up(0);
}

enum { FLOOD_COUNT = 20000 };
static struct reply flood_replies[FLOOD_COUNT];
static unsigned answer_count[FLOOD_COUNT];

static void *flood(void *arg) {
    char text[16];
    (void)arg;
    for (int i = 0; i < FLOOD_COUNT; i++) {
        flood_replies[i] = reply_to(0, 1);
        snprintf(text, sizeof(text), "%d", i);
        send_text(0, "flood", text, &flood_replies[i]);
        if (i % 50 == 0)
            short_pause();
    }
    return NULL;
}

static void when_redis_is_killed_under_load_no_reply_is_lost_or_doubled(void **state) {
    (void)state;
    pthread_t thread;
    uint64_t last = 0, number = 0;
    unsigned results[3] = {0};
    struct mail mail;
    struct worker_box *box = &test_nodes[1].workers[0];
    memset(answer_count, 0, sizeof(answer_count));
    listen_on(1, 0, "flood");
    assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
    for (int i = 0; i < 3; i++) {
        WAIT_UNTIL(counters_of(0)->published > (uint64_t)i * 4000 + 1000);
        redis_server_kill(&server);
        WAIT_UNTIL(trouble_of(0));
        redis_server_start(&server);
        wait_until_up(0);
        wait_until_up(1);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < FLOOD_COUNT; i++) {
        mail = next_mail(0, 1, MAIL_REPLY);
        answer_count[mail.reply - flood_replies]++;
        results[mail.reply->result]++;
    }
    for (int i = 0; i < FLOOD_COUNT; i++)
        assert_int_equal(answer_count[i], 1);
    publish_ok(0, "flood", "99999999");
    while (number != 99999999) { /* what arrived is in order and not doubled */
        struct msg *m = next_msg(1, 0);
        assert_true(str_to_u64(m->parts.data, &number));
        assert_true(number > last || (number == 0 && last == 0));
        last = number;
        msg_unref(m);
    }
    print_message("killed 3 times: ok=%u unavailable=%u unknown=%u\n", results[0], results[1],
                  results[2]);
    assert_true(results[BROKER_OK] > 3000 && results[BROKER_UNAVAILABLE] > 0);
    store_all(box);
    assert_true(list_is_empty(&box->waiting));
    stop_listening(1, 0, "flood");
}

static void a_frozen_redis_is_noticed_and_nobody_leaves(void **state) {
    (void)state;
    struct reply r = reply_to(0, 0);
    listen_on(1, 0, "room");
    join_as(0, "room", "c1", "ann", KEEP_ANNOUNCE);
    expect_msg(1, 0, MSG_JOIN, "c1");
    redis_server_signal(&server, SIGSTOP);
    uint64_t start_ms = clock_now_ms();
    send_text(0, "room", "1", &r);
    expect_result(0, 0, &r, BROKER_UNKNOWN);
    assert_true(clock_now_ms() - start_ms <= IO_MS + slowly(400));
    WAIT_UNTIL(trouble_of(0) && trouble_of(1));
    uint64_t noticed_ms = clock_now_ms() - start_ms;
    print_message("frozen redis noticed after %llu ms\n", (unsigned long long)noticed_ms);
    assert_true(noticed_ms < IO_MS + slowly(1000));
    WAIT_UNTIL(clock_now_ms() - start_ms > 12 * BEAT_MS); /* a node would be gone by now */
    redis_server_signal(&server, SIGCONT);
    start_ms = clock_now_ms();
    wait_until_up(0);
    wait_until_up(1);
    print_message("there again after %llu ms\n", (unsigned long long)(clock_now_ms() - start_ms));
    assert_true(clock_now_ms() - start_ms < BACK_MS);
    publish_ok(0, "room", "2");
    for (;;) { /* the first one may have been done or not; a join or leave must not come */
        struct msg *m = next_msg(1, 0);
        assert_int_equal(m->parts.kind, MSG_PUBLICATION);
        bool is_last = str_equal(m->parts.data, STR("2"));
        msg_unref(m);
        if (is_last)
            break;
    }
    expect_counts(1, "room", 1, 1);
    assert_int_equal(counters_of(0)->unknown, 1);
    stop_listening(1, 0, "room");
}

static void too_many_open_publications_are_refused_at_once(void **state) {
    (void)state;
    static struct reply replies[12];
    struct broker_redis *b = of(test_nodes[0].broker);
    pthread_mutex_lock(&b->inbox.lock);
    b->inbox.max_count = 10;
    pthread_mutex_unlock(&b->inbox.lock);
    redis_server_signal(&server, SIGSTOP);
    for (int i = 0; i < 12; i++) {
        replies[i] = reply_to(0, i < 10 ? 0 : 1);
        send_text(0, "x", "1", &replies[i]);
    }
    expect_result(0, 1, &replies[10], BROKER_UNAVAILABLE);
    expect_result(0, 1, &replies[11], BROKER_UNAVAILABLE);
    redis_server_signal(&server, SIGCONT);
    for (int i = 0; i < 10; i++)
        expect_result(0, 0, &replies[i], BROKER_OK);
    publish_ok(0, "x", "1"); /* there is room again */
    assert_int_equal(counters_of(0)->dropped, 2);
}

static void stop_answers_every_open_call(void **state) {
    (void)state;
    enum { COUNT = 100 };
    static struct reply replies[COUNT], attaches[COUNT];
    static struct presence_reply reads[COUNT];
    struct broker *b = test_nodes[0].broker;
    char name[16];
    redis_server_signal(&server, SIGSTOP);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        replies[i] = reply_to(0, 0);
        attaches[i] = reply_to(0, 1);
        reads[i] = (struct presence_reply){.reply = reply_to(0, 1), .wants_members = true};
        send_text(0, name, "1", &replies[i]);
        b->ops->attach(b, str_of(name), &attaches[i]);
        b->ops->presence(b, str_of(name), &reads[i]);
    }
    uint64_t start_ms = clock_now_ms();
    b->ops->stop(b);
    assert_true(clock_now_ms() - start_ms < BACK_MS);
    for (int i = 0; i < COUNT; i++)
        expect_result(0, 0, &replies[i], BROKER_UNKNOWN);
    for (int i = 0; i < 2 * COUNT; i++)
        assert_int_equal(next_mail(0, 1, MAIL_REPLY).reply->result, BROKER_UNAVAILABLE);
}

static void count_of(struct redisReply *r, uint64_t *count) {
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    assert_int_equal(r->elements, 2);
    *count = (uint64_t)r->element[1]->integer;
    freeReplyObject(r);
}

static uint64_t subscriber_count(const char *channel) {
    uint64_t count = 0;
    count_of(redis_server_ask(&server, "PUBSUB NUMSUB " TEST_BASE "ch:%s", channel), &count);
    return count;
}

static void a_channel_lingers_a_second_before_redis_is_told(void **state) {
    (void)state;
    listen_on(0, 0, "short");
    listen_on(0, 1, "short");
    stop_listening(0, 0, "short");
    assert_int_equal(subscriber_count("short"), 1);
    uint64_t start_ms = clock_now_ms();
    stop_listening(0, 1, "short");
    WAIT_UNTIL(subscriber_count("short") == 0);
    assert_true(clock_now_ms() - start_ms >= 1000);
    listen_on(0, 0, "short");
    assert_int_equal(subscriber_count("short"), 1);
    stop_listening(0, 0, "short");
}

static void garbage_on_our_channels_is_counted_and_ignored(void **state) {
    (void)state;
    static const char *const garbage[] = {
        "", "hello", "CRN1", "CRN2P", "{\"channel\":\"news\",\"data\":1}", "*3\r\n$7\r\nmessage",
    };
    char envelope[256];
    struct buf good = {0};
    listen_on(0, 0, "news");
    redis_envelope_add(&good, &(struct msg_parts){.data = STR("{\"a\":1}"), .user = STR("u")});
    for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++)
        redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %s", garbage[i]);
    for (size_t n = 0; n < good.n; n++) /* truncated */
        redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %b", good.p, n);
    memcpy(envelope, good.p, good.n);
    envelope[good.n] = 'x'; /* too long, then other data that is not JSON */
    redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %b", envelope, good.n + 1);
    envelope[32] = '[';
    redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %b", envelope, good.n);
    redis_server_do(&server, "PUBLISH " TEST_BASE "beat:node-0 %s", "18446744073709551615");
    redis_server_do(&server, "PUBLISH " TEST_BASE "beat:node-0 %s", "x");
    uint64_t expected = sizeof(garbage) / sizeof(*garbage) + good.n + 4;
    redis_server_do(&server, "PUBLISH " TEST_BASE "ch:news %b", good.p, good.n);
    expect_msg(0, 0, MSG_PUBLICATION, "{\"a\":1}");
    assert_int_equal(counters_of(0)->garbage, expected);
    assert_int_equal(counters_of(0)->received, 1);
    assert_null(trouble_of(0));
    buf_fini(&good);
    stop_listening(0, 0, "news");
}

static void ten_thousand_channels_are_subscribed_again(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    static struct reply replies[COUNT];
    char name[16];
    struct broker *b = test_nodes[0].broker;
    uint64_t start_ms = clock_now_ms();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        replies[i] = reply_to(0, 0);
        b->ops->attach(b, str_of(name), &replies[i]);
    }
    for (int i = 0; i < COUNT; i++)
        expect_result(0, 0, &replies[i], BROKER_OK);
    uint64_t first_ms = clock_now_ms() - start_ms;
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0));
    redis_server_start(&server);
    start_ms = clock_now_ms();
    wait_until_up(0);
    print_message("%d channels: attached in %llu ms, there again %llu ms after Redis\n", COUNT,
                  (unsigned long long)first_ms, (unsigned long long)(clock_now_ms() - start_ms));
    assert_int_equal(subscriber_count("c0"), 1);
    assert_int_equal(subscriber_count("c9999"), 1);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        b->ops->detach(b, str_of(name));
    }
}

/* --- users and passwords ---------------------------------------------------------------------- */

static int start_guarded(void **state) {
    (void)state;
    static const char *const options[] = {
        "--requirepass", "right",
        /* may do everything with our names */
        "--user", "limited", "on", ">secret", "~carillon:1:test:*", "&carillon:1:test:*", "+@all",
        /* not with ours */
        "--user", "stranger", "on", ">secret", "~other:*", "&other:*", "+@all",
        /* with any password */
        "--user", "open", "on", "nopass", "~carillon:1:test:*", "&carillon:1:test:*", "+@all"};
    node_count = 0;
    memcpy(server.options, options, sizeof(options));
    redis_server_start(&server);
    return 0;
}

static bool has_trouble(uint32_t node, const char *words) {
    const char *trouble = trouble_of(node);
    return trouble && !strcmp(trouble, words);
}

static void add_node(const char *user, const char *password) {
    broker_user = user;
    broker_password = password;
    start_node(node_count++);
}

static void a_wrong_or_missing_password_is_said_in_clear_words(void **state) {
    (void)state;
    add_node(NULL, "wrong");
    add_node(NULL, NULL);
    add_node("stranger", "secret");
    WAIT_UNTIL(has_trouble(0, "redis refuses the user name or the password"));
    WAIT_UNTIL(has_trouble(1, "redis wants a password"));
    WAIT_UNTIL(has_trouble(2, "the user lacks a permission in redis"));
}

static void the_right_user_works_with_access_to_our_names_only(void **state) {
    (void)state;
    add_node("limited", "secret");
    add_node("", "right");
    add_node("open", NULL);
    for (uint32_t i = 0; i < node_count; i++)
        wait_until_up(i);
    listen_on(0, 0, "news");
    publish_ok(1, "news", "1");
    publish_ok(0, "news", "2");
    expect_msg(0, 0, MSG_PUBLICATION, "1");
    expect_msg(0, 0, MSG_PUBLICATION, "2");
    join_as(0, "news", "c", "u", MEMBER_KEEP);
    expect_counts(0, "news", 1, 1);
    stop_listening(0, 0, "news");
}

/* Starts a server with two options and a node that cannot be up. */
static void expect_trouble(const char *option, const char *value, uint32_t db, const char *words) {
    node_count = 0;
    server.options[0] = option;
    server.options[1] = value;
    redis_server_start(&server);
    broker_db = db;
    add_node(NULL, NULL);
    WAIT_UNTIL(has_trouble(0, words));
}

static int start_nothing(void **state) {
    (void)state;
    return 0;
}

static void a_database_that_does_not_exist_is_said_in_clear_words(void **state) {
    (void)state;
    expect_trouble("--databases", "4", 4, "redis has no database of this number");
}

static uint32_t free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    getsockname(fd, (struct sockaddr *)&address, &n);
    close(fd);
    return ntohs(address.sin_port);
}

/* Also one without a port for clients has one for its bus. */
static void a_cluster_is_said_in_clear_words(void **state) {
    (void)state;
    char port[8];
    snprintf(port, sizeof(port), "%u", free_port());
    const char *const bus[] = {"--bind", "127.0.0.1", "--cluster-port", port};
    memcpy(server.options + 2, bus, sizeof(bus));
    expect_trouble("--cluster-enabled", "yes", 0,
                   "this redis is a cluster, which is not supported");
    redis_server_do(&server, "CLUSTER ADDSLOTSRANGE 0 8000");
    WAIT_UNTIL(has_trouble(0, "this redis is a cluster, which is not supported"));
}

static void a_redis_that_is_loading_its_data_is_waited_for(void **state) {
    static const char *const slow[] = {"--key-load-delay", "20000",
                                       "--loading-process-events-interval-bytes", "1024"};
    char value[2048];
    (void)state;
    memset(value, 'x', sizeof(value));
    redis_server_do(&server, "CONFIG SET rdbcompression no");
    for (int i = 0; i < 50; i++)
        redis_server_do(&server, "SET foreign:%d %b", i, value, sizeof(value));
    redis_server_do(&server, "SAVE");
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0));
    memcpy(server.options, slow, sizeof(slow));
    redis_server_start(&server);
    WAIT_UNTIL(has_trouble(0, "redis is loading its data"));
    wait_until_up(0);
    publish_ok(0, "news", "1");
}

static void a_replica_is_not_used(void **state) {
    (void)state;
    redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
    WAIT_UNTIL(trouble_of(0));
    WAIT_UNTIL(has_trouble(0, "this redis is a read-only replica") ||
               has_trouble(0, "this redis is a replica without its master"));
    redis_server_do(&server, "REPLICAOF NO ONE");
    wait_until_up(0);
}

static void a_redis_that_was_never_there_is_waited_for(void **state) {
    (void)state;
    redis_server_kill(&server);
    stop_node(0);
    start_node(0);
    WAIT_UNTIL(has_trouble(0, "the socket of redis does not exist") ||
               has_trouble(0, "redis refuses connections"));
    redis_server_start(&server);
    wait_until_up(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        REDIS_TEST(while_redis_is_away_calls_fail_at_once_and_subscriptions_survive, 2),
        REDIS_TEST(while_redis_is_away_the_processor_rests, 1),
        REDIS_TEST(when_redis_is_killed_under_load_no_reply_is_lost_or_doubled, 2),
        REDIS_TEST(a_frozen_redis_is_noticed_and_nobody_leaves, 2),
        REDIS_TEST(too_many_open_publications_are_refused_at_once, 1),
        REDIS_TEST(stop_answers_every_open_call, 1),
        REDIS_TEST(a_channel_lingers_a_second_before_redis_is_told, 1),
        REDIS_TEST(garbage_on_our_channels_is_counted_and_ignored, 1),
        REDIS_TEST(ten_thousand_channels_are_subscribed_again, 1),
        REDIS_TEST(a_wrong_or_missing_password_is_said_in_clear_words, guarded),
        REDIS_TEST(the_right_user_works_with_access_to_our_names_only, guarded),
        REDIS_TEST(a_database_that_does_not_exist_is_said_in_clear_words, nothing),
        REDIS_TEST(a_cluster_is_said_in_clear_words, nothing),
        REDIS_TEST(a_redis_that_is_loading_its_data_is_waited_for, 1),
        REDIS_TEST(a_replica_is_not_used, 1),
        REDIS_TEST(a_redis_that_was_never_there_is_waited_for, 1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
