/* What tests of the Redis broker share: nodes on a redis-server of the test.
 *
 * Time is real but fast: a heartbeat comes every 200 ms, so a node is gone after 2 s, and Redis
 * must answer within 600 ms. CARILLON_TEST_SLOW=n makes all of it n times as long (at most 5); with
 * a sanitizer it is 3.
 *
 * Include once, after broker_redis.c. Thread: main. Owns: the server.
 */
#ifndef CARILLON_TESTS_REDIS_TESTING_H
#define CARILLON_TESTS_REDIS_TESTING_H

#include "server/base/clock.h"
#include "tests/unit/broker_testing.h"
#include "tests/unit/redis_server.h"

#define TEST_BASE "carillon:1:test:"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define USUAL_SLOWNESS 3
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define USUAL_SLOWNESS 3
#endif
#endif
#ifndef USUAL_SLOWNESS
#define USUAL_SLOWNESS 1
#endif

static inline uint32_t slowly(uint32_t ms) {
    const char *text = getenv("CARILLON_TEST_SLOW");
    int times = text ? atoi(text) : USUAL_SLOWNESS;
    return ms * (uint32_t)(times < 1 ? 1 : times > 5 ? 5 : times);
}

#define BEAT_MS slowly(200)
#define IO_MS slowly(600)
#define BACK_MS slowly(2000) /* in which everything works again after Redis is back */

static struct redis_server server;
/* For the next node: */
static const char *broker_user, *broker_password;
static uint32_t broker_io_ms, broker_beat_ms; /* 0: IO_MS, BEAT_MS */
static uint32_t broker_quiet_ms;
static uint32_t broker_db;
static const char *broker_name;
static const struct control_sink *broker_sink;
static const char *uid_stem = "node";

static inline struct broker *create_broker(struct fanout *f, const char *uid) {
    return broker_redis_create(
        &(struct broker_redis_options){.unix_path = server.socket,
                                       .user = broker_user,
                                       .password = broker_password,
                                       .db = broker_db,
                                       .prefix = "test",
                                       .uid = uid,
                                       .name = broker_name,
                                       .sink = broker_sink,
                                       .connect_timeout_ms = 1000,
                                       .io_timeout_ms = broker_io_ms ? broker_io_ms : IO_MS,
                                       .beat_ms = broker_beat_ms ? broker_beat_ms : BEAT_MS,
                                       .quiet_ms = broker_quiet_ms},
        f);
}

static inline struct broker *make_broker(struct fanout *f, uint32_t node) {
    char uid[16];
    snprintf(uid, sizeof(uid), "%s-%u", uid_stem, node);
    return create_broker(f, uid);
}

/* Waits for a condition that another thread or process brings about. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t end_ms = clock_now_ms() + PATIENCE_S * 1000;                                      \
        while (!(condition)) {                                                                     \
            if (clock_now_ms() > end_ms)                                                           \
                fail_msg("never: %s", #condition);                                                 \
            short_pause();                                                                         \
        }                                                                                          \
    } while (0)

static inline const char *trouble_of(uint32_t node) {
    struct broker *b = test_nodes[node].broker;
    return b->ops->trouble(b);
}

static inline void wait_until_up(uint32_t node) {
    WAIT_UNTIL(!trouble_of(node));
}

static inline const struct broker_redis_counters *counters_of(uint32_t node) {
    return broker_redis_counters(test_nodes[node].broker);
}

/* Starts the server and this many nodes. */
static inline int start_all(uint32_t count) {
    node_count = count;
    broker_user = broker_password = NULL;
    redis_server_start(&server);
    for (uint32_t i = 0; i < count; i++)
        start_node(i);
    for (uint32_t i = 0; i < count; i++)
        wait_until_up(i);
    return 0;
}

static inline int start_1(void **state) {
    (void)state;
    return start_all(1);
}

static inline int start_2(void **state) {
    (void)state;
    return start_all(2);
}

static inline int stop_all(void **state) {
    (void)state;
    for (uint32_t i = 0; i < node_count; i++)
        stop_node(i);
    broker_io_ms = broker_beat_ms = broker_quiet_ms = broker_db = 0;
    redis_server_end(&server);
    memset(&server, 0, sizeof(server));
    return 0;
}

#define REDIS_TEST(f, nodes) cmocka_unit_test_setup_teardown(f, start_##nodes, stop_all)

#endif
