/* The suite of broker_suite.h against memory, against Redis with one node, and with two.
 *
 * Thread: main. Owns: a redis-server.
 */
#include "channels/broker_redis.c"

#include "channels/broker_memory.h"
#include "tests/unit/broker_suite.h"
#include "tests/unit/history_suite.h"
#include "tests/unit/redis_server.h"

static struct redis_server server;
static bool is_memory;

static struct broker *make_broker(struct fanout *f, uint32_t node) {
    char uid[16];
    if (is_memory)
        return broker_memory_create(f);
    snprintf(uid, sizeof(uid), "node-%u", node);
    struct broker *b =
        broker_redis_create(&(struct broker_redis_options){.unix_path = server.socket,
                                                           .prefix = "suite",
                                                           .uid = uid,
                                                           .connect_timeout_ms = 5000,
                                                           .io_timeout_ms = 5000},
                            f);
    for (int i = 0; i < PATIENCE_S * 200 && b->ops->trouble(b); i++)
        short_pause();
    return b;
}

static int start_nodes(uint32_t count) {
    node_count = count;
    for (uint32_t i = 0; i < count; i++)
        start_node(i);
    return 0;
}

static int start_memory(void **state) {
    (void)state;
    is_memory = true;
    return start_nodes(1);
}

static int start_one(void **state) {
    (void)state;
    is_memory = false;
    redis_server_do(&server, "FLUSHALL");
    return start_nodes(1);
}

static int start_two(void **state) {
    (void)state;
    is_memory = false;
    redis_server_do(&server, "FLUSHALL");
    return start_nodes(2);
}

static int stop_nodes(void **state) {
    (void)state;
    for (uint32_t i = 0; i < node_count; i++)
        stop_node(i);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {HISTORY_SUITE, BROKER_SUITE};
    int failed;
    redis_server_start(&server);
    failed = cmocka_run_group_tests_name("memory", tests, start_memory, stop_nodes);
    failed += cmocka_run_group_tests_name("redis, one node", tests, start_one, stop_nodes);
    failed += cmocka_run_group_tests_name("redis, two nodes", tests, start_two, stop_nodes);
    redis_server_end(&server);
    return failed;
}
