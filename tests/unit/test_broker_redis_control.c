/* Notes between nodes over a real Redis: who gets them, who is there, and numbers that only rise.
 *
 * Thread: main; notes come on the Redis threads. Owns: a redis-server per test.
 */
#include "channels/broker_redis.c"

#include "tests/unit/redis_testing.h"

/* --- what came -------------------------------------------------------------------------------- */

static struct heard {
    pthread_mutex_t lock;
    /* guarded by lock: */
    char last[64];
    unsigned count, up_count;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void take(void *arg, struct str bytes) {
    assert_ptr_equal(arg, &heard);
    pthread_mutex_lock(&heard.lock);
    snprintf(heard.last, sizeof(heard.last), "%.*s", STR_ARG(bytes));
    heard.count++;
    pthread_mutex_unlock(&heard.lock);
}

static void up(void *arg) {
    assert_ptr_equal(arg, &heard);
    pthread_mutex_lock(&heard.lock);
    heard.up_count++;
    pthread_mutex_unlock(&heard.lock);
}

static const struct control_sink sink = {take, up, &heard};

static unsigned count_of(const unsigned *field) {
    pthread_mutex_lock(&heard.lock);
    unsigned count = *field;
    pthread_mutex_unlock(&heard.lock);
    return count;
}

static int start_listeners(void **state) {
    (void)state;
    heard.count = heard.up_count = 0;
    broker_sink = &sink;
    broker_name = "n\xc3\xa9";
    return start_all(2);
}

static int stop_listeners(void **state) {
    broker_sink = NULL;
    broker_name = NULL;
    return stop_all(state);
}

/* --- notes ------------------------------------------------------------------------------------ */

/* Fills r, which control_reply_fini() ends. */
static void ask(uint32_t node, const char *text, struct control_reply *r,
                enum broker_result result) {
    struct broker *b = test_nodes[node].broker;
    *r = (struct control_reply){.reply = reply_to(node, 0)};
    b->ops->control(b, STR_NONE, str_of(text), r);
    expect_result(node, 0, &r->reply, result);
}

static const struct control_node *node_of(const struct control_reply *r, const char *uid) {
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->nodes[i].uid, uid))
            return &r->nodes[i];
    fail_msg("%s is not there", uid);
    return NULL;
}

static void expect_nodes(uint32_t node, const char *name) {
    struct control_reply r;
    unsigned before = count_of(&heard.count);
    ask(node, "who", &r, BROKER_OK);
    assert_int_equal(r.count, 2);
    assert_string_equal(node_of(&r, "node-0")->name, name);
    assert_string_equal(node_of(&r, "node-1")->name, name);
    control_reply_fini(&r);
    WAIT_UNTIL(count_of(&heard.count) == before + 2); /* both */
}

static void a_note_to_all_comes_to_all_and_says_who_they_are(void **state) {
    (void)state;
    assert_int_equal(count_of(&heard.up_count), 2);
    expect_nodes(0, "n\xc3\xa9");
    expect_nodes(1, "n\xc3\xa9");
    assert_string_equal(heard.last, "who");
}

static void a_note_to_one_comes_to_that_one(void **state) {
    (void)state;
    struct broker *b = test_nodes[0].broker;
    for (int i = 0; i < 100; i++)
        assert_true(b->ops->control(b, STR("node-1"), STR("one"), NULL));
    assert_true(b->ops->control(b, STR("nobody"), STR("none"), NULL));
    assert_true(b->ops->control(b, STR("node-1"), STR("last"), NULL));
    WAIT_UNTIL(count_of(&heard.count) == 101);
    assert_string_equal(heard.last, "last");
}

static long long first_node_beats(void) {
    return redis_server_do(&server, "EVAL %s 0",
                           "return tonumber(redis.call('HGET', '" TEST_BASE "nodes', 'node-0'))");
}

/* Until the first has read that the other is there. */
static void wait_for_beats(void) {
    long long beats = first_node_beats();
    WAIT_UNTIL(first_node_beats() >= beats + 2);
}

/* Redis has forgotten everybody; those who were there are not forgotten here, before they could
 * come back. */
static void nodes_are_remembered_when_redis_loses_them(void **state) {
    (void)state;
    struct control_reply r;
    wait_for_beats();
    redis_server_do(&server, "FLUSHALL");
    for (int i = 0; i < 200; i++) {
        ask(0, "who", &r, BROKER_OK);
        assert_int_equal(r.count, 2);
        control_reply_fini(&r);
    }
}

/* Also not when this one has just begun, and has never been in the registry before. */
static void a_node_that_says_goodbye_is_not_there(void **state) {
    (void)state;
    struct control_reply r;
    wait_for_beats();
    stop_node(1);
    node_count = 1;
    ask(0, "who", &r, BROKER_OK);
    assert_int_equal(r.count, 1);
    assert_int_equal(redis_server_do(&server, "HLEN " TEST_BASE "names"), 1);
    control_reply_fini(&r);
}

static void foreign_things_under_our_keys_are_no_nodes(void **state) {
    (void)state;
    struct control_reply r;
    redis_server_do(&server, "HSET " TEST_BASE "nodes not/an/uid 1");
    redis_server_do(&server, "DEL " TEST_BASE "names");
    redis_server_do(&server, "SET " TEST_BASE "names x");
    expect_nodes(0, "");
    redis_server_do(&server, "DEL " TEST_BASE "nodes");
    redis_server_do(&server, "SET " TEST_BASE "nodes x");
    unsigned before = count_of(&heard.count);
    ask(0, "refused", &r, BROKER_UNAVAILABLE);
    assert_int_equal(r.count, 0);
    struct broker *b = test_nodes[0].broker;
    b->ops->control(b, STR_NONE, STR("behind it"), NULL);
    WAIT_UNTIL(count_of(&heard.count) >= before + 2);
    assert_string_equal(heard.last, "behind it");
    assert_int_equal(heard.count, before + 2); /* what was refused came to nobody */
}

static void while_redis_is_away_notes_are_refused_at_once(void **state) {
    (void)state;
    struct broker *b = test_nodes[0].broker;
    struct control_reply r;
    struct reply number = reply_to(0, 0);
    redis_server_kill(&server);
    WAIT_UNTIL(trouble_of(0));
    ask(0, "x", &r, BROKER_UNAVAILABLE);
    assert_false(b->ops->control(b, STR("node-1"), STR("x"), NULL));
    b->ops->next_number(b, &number);
    expect_result(0, 0, &number, BROKER_UNAVAILABLE);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static uint64_t next(uint32_t node) {
    struct broker *b = test_nodes[node].broker;
    struct reply r = reply_to(node, 0);
    b->ops->next_number(b, &r);
    expect_result(node, 0, &r, BROKER_OK);
    return r.position.offset;
}

static void expect_rise(uint64_t *last) {
    for (uint32_t i = 0; i < 50; i++) {
        uint64_t number = next(i % 2);
        assert_true(number > *last);
        *last = number;
    }
}

static void numbers_rise_over_all_nodes_also_without_data_and_with_a_clock_set_back(void **state) {
    (void)state;
    uint64_t last = 0;
    expect_rise(&last);
    redis_server_do(&server, "FLUSHALL");
    expect_rise(&last);
    redis_server_do(&server, "SET " TEST_BASE "number 8000000000000000"); /* far ahead */
    last = 8000000000000000;
    expect_rise(&last);
    assert_int_equal(last, 8000000000000050);
    redis_server_do(&server, "SET " TEST_BASE "number nonsense");
    assert_true(next(0) < 8000000000000000);
    redis_server_do(&server, "DEL " TEST_BASE "number");
    redis_server_do(&server, "LPUSH " TEST_BASE "number x");
    assert_true(next(0) < next(1));
}

#define CONTROL_TEST(f) cmocka_unit_test_setup_teardown(f, start_listeners, stop_listeners)

int main(void) {
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(a_note_to_all_comes_to_all_and_says_who_they_are),
        CONTROL_TEST(a_note_to_one_comes_to_that_one),
        CONTROL_TEST(nodes_are_remembered_when_redis_loses_them),
        CONTROL_TEST(a_node_that_says_goodbye_is_not_there),
        CONTROL_TEST(foreign_things_under_our_keys_are_no_nodes),
        CONTROL_TEST(while_redis_is_away_notes_are_refused_at_once),
        CONTROL_TEST(numbers_rise_over_all_nodes_also_without_data_and_with_a_clock_set_back),
    };
    (void)start_1;
    (void)start_2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
