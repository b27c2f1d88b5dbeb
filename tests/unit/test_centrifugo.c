/* The Centrifugo protocol, byte for byte: every command, its replies, errors and disconnects, many
 * commands in one message, and what is refused.
 *
 * The expected texts follow Centrifugo's schema and codes (centrifugal/protocol 0.19). Thread:
 * main. Owns: nothing.
 */
#include "server/protocol/centrifugo.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/version.h"
#include "tests/unit/centrifugo_testing.h"

static int start(void **state) {
    (void)state;
    bench_start(broker_memory_create);
    return 0;
}

static int start_with_stub(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

struct row {
    const char *message, *lines;
};

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_answer(rows[i].message, rows[i].lines);
}

#define EXPECT_ROWS(rows) expect_rows(rows, sizeof(rows) / sizeof((rows)[0]))

/* --- connect ---------------------------------------------------------------------------------- */

#define CONNECTED                                                                                  \
    "{\"id\":1,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION                      \
    "\",\"ping\":25,\"pong\":true}}\n"

static void connect_names_the_client_and_the_pings(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{}}");
    turn();
    expect_frames(w, CONNECTED);
}

static void the_ping_interval_is_told_in_whole_seconds_rounded_up(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    bench.config->client_ping_interval_ms = 1001;
    say(w, "{\"id\":9,\"connect\":{}}");
    turn();
    expect_frames(w, "{\"id\":9,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION
                     "\",\"ping\":2,\"pong\":true}}\n");
}

static void connect_tells_the_time_when_configured(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    char lines[256];
    bench.config->client_connect_include_server_time = true;
    say(w, "{\"id\":1,\"connect\":{}}");
    turn();
    snprintf(lines, sizeof(lines),
             "{\"id\":1,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION
             "\",\"ping\":25,\"pong\":true,\"time\":%lld}}\n",
             (long long)clock_wall_ms());
    expect_frames(w, lines);
}

static void what_sdks_send_with_connect_is_taken(void **state) {
    (void)state;
    const char *const messages[] = {
        "{\"connect\":{\"name\":\"js\"},\"id\":1}",
        "{\"id\":1,\"connect\":{\"token\":\"\",\"data\":{\"a\":[1]},\"version\":\"1\"}}",
        "{\"id\":1,\"connect\":{\"headers\":{\"X\":\"y\"},\"subs\":{\"a\":{\"recover\":true}}}}",
        "{\"id\":1,\"connect\":{\"token\":null,\"data\":null,\"flag\":7,\"unknown\":1}}",
        " {\"id\":1,\"connect\":{}}\n",
        "{\"id\":1,\"connect\":{}}\r\n",
        "{\"id\":1,\"method\":\"x\",\"connect\":{\"token\":\"\"}}",
        "{\"\\u0069d\":1,\"c\\u006fnnect\":{}}",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct wire *w = wire_open(&protocol_centrifugo_ws);
        say(w, messages[i]);
        turn();
        expect_frames(w, CONNECTED);
    }
}

static void what_may_not_come_first_is_a_bad_request(void **state) {
    (void)state;
    const char *const messages[] = {
        "",
        "\n",
        "{}",
        "{\"id\":1}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}",
        "{\"id\":1,\"ping\":{}}",
        "{\"send\":{\"data\":1}}",
        "{\"connect\":{}}",
        "{\"id\":0,\"connect\":{}}",
        "{\"id\":1,\"connect\":1}",
        "{\"id\":1,\"connect\":[]}",
        "{\"id\":\"1\",\"connect\":{}}",
        "{\"id\":1.0,\"connect\":{}}",
        "{\"id\":-1,\"connect\":{}}",
        "{\"id\":4294967296,\"connect\":{}}",
        "{\"id\":1,\"id\":1,\"connect\":{}}",
        "{\"id\":1,\"connect\":{},\"connect\":{}}",
        "{\"id\":1,\"connect\":{\"token\":1}}",
        "{\"id\":1,\"connect\":{\"token\":\"\",\"token\":\"\"}}",
        "{\"id\":1,\"connect\":{\"subs\":[]}}",
        "{\"id\":1,\"connect\":{\"headers\":{\"a\":1}}}",
        "[{\"id\":1,\"connect\":{}}]",
        "{\"id\":1,\"connect\":{}",
        "{'id':1,'connect':{}}",
        "null",
        "\"connect\"",
        "x",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct wire *w = wire_open(&protocol_centrifugo_ws);
        say(w, messages[i]);
        turn();
        expect_frames(w, BAD_REQUEST);
    }
}

static void connect_has_its_own_ends(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{\"token\":\"a.b.c\"}}");
    turn();
    expect_frames(w, "CLOSE 3500 invalid token\n");
    expect_answer("{\"id\":2,\"connect\":{}}", BAD_REQUEST);
    bench.config->client_insecure = false;
    w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{}}");
    turn();
    expect_frames(w, BAD_REQUEST);
}

/* As centrifuge-js does it: the whole start in one message. */
static void connect_and_what_follows_may_come_in_one_message(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
           "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
           "{\"id\":4,\"publish\":{\"channel\":\"a\",\"data\":{\"x\":1}}}");
    turn();
    expect_frames(w, CONNECTED "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"subscribe\":{}}\n"
                               "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"x\":1},"
                               "\"info\":{\"user\":\"\",\"client\":\"@\"}}}}\n"
                               "{\"id\":4,\"publish\":{}}\n");
}

/* --- commands --------------------------------------------------------------------------------- */

static void each_command_is_answered(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}", "{\"id\":2,\"subscribe\":{}}\n"},
        {"{\"id\":4294967295,\"subscribe\":{\"channel\":\"a\"}}",
         "{\"id\":4294967295,\"subscribe\":{}}\n"},
        {"{\"id\":2,\"unsubscribe\":{\"channel\":\"a\"}}", "{\"id\":2,\"unsubscribe\":{}}\n"},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}", "{\"id\":2,\"publish\":{}}\n"},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":false,\"type\":0,\"key\":\"\"}}",
         "{\"id\":2,\"publish\":{}}\n"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"\",\"recover\":true,\"epoch\":"
         "\"x\","
         "\"offset\":18446744073709551615,\"delta\":\"fossil\",\"type\":0,\"flag\":1,"
         "\"positioned\":true,\"recoverable\":true,\"join_leave\":true,\"data\":{}}}",
         "{\"id\":2,\"subscribe\":{}}\n"},
        {"{\"id\":2,\"subscribe\":null,\"unsubscribe\":{\"channel\":\"a\"}}",
         "{\"id\":2,\"unsubscribe\":{}}\n"},
    };
    EXPECT_ROWS(rows);
}

#define ERROR_REPLY(code, message)                                                                 \
    "{\"id\":2,\"error\":{\"code\":" code ",\"message\":\"" message "\"}}\n"

static void each_failure_has_its_code(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"id\":2,\"subscribe\":{\"channel\":\"no:such\"}}",
         ERROR_REPLY("102", "unknown channel")},
        {"{\"id\":2,\"publish\":{\"channel\":\"no:such\",\"data\":1}}",
         ERROR_REPLY("102", "unknown channel")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"$a\"}}", ERROR_REPLY("103", "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"x.y.z\"}}",
         ERROR_REPLY("103", "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":1}}",
         ERROR_REPLY("103", "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":-1}}",
         ERROR_REPLY("103", "permission denied")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"\\u00e9\"}}", ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\\u0000b\"}}", ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"op\":\"\"}}}",
         ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\"}}", ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":null}}",
         ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1,\"type\":1}}",
         ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1,\"type\":-1}}",
         ERROR_REPLY("107", "bad request")},
        {"{\"id\":2,\"presence\":{\"channel\":\"a\"}}", ERROR_REPLY("108", "not available")},
        {"{\"id\":2,\"presence_stats\":{\"channel\":\"a\"}}", ERROR_REPLY("108", "not available")},
        {"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":-1,\"since\":{\"offset\":1}}}",
         ERROR_REPLY("108", "not available")},
        {"{\"id\":2,\"history\":{\"channel\":\"no:such\"}}", ERROR_REPLY("102", "unknown channel")},
        {"{\"id\":2,\"rpc\":{\"method\":\"m\",\"data\":{}}}", ERROR_REPLY("108", "not available")},
        {"{\"id\":2,\"rpc\":{}}", ERROR_REPLY("108", "not available")},
        {"{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"x\"}}",
         ERROR_REPLY("103", "permission denied")},
    };
    EXPECT_ROWS(rows);
}

static void some_errors_need_a_state(void **state) {
    (void)state;
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"subscribe\":{"
                  "\"channel\":\"a\"}}",
                  "{\"id\":1,\"subscribe\":{}}\n" ERROR_REPLY("105", "already subscribed"));
    bench.config->client_channel_limit = 1;
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"subscribe\":{"
                  "\"channel\":\"b\"}}",
                  ERROR_REPLY("106", "limit exceeded") "{\"id\":1,\"subscribe\":{}}\n");
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"sub_refresh\":{"
                  "\"channel\":\"a\"}}",
                  "{\"id\":1,\"subscribe\":{}}\n" ERROR_REPLY("107", "bad request"));
    bench.config->client_queue_max_size_bytes = 4096;
    char message[1200];
    int n =
        snprintf(message, sizeof(message), "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":\"");
    memset(message + n, 'x', 1023);
    strcpy(message + n + 1023, "\"}}");
    expect_answer(message, ERROR_REPLY("107", "bad request"));
    strcpy(message + n + 1022, "\"}}");
    expect_answer(message, "{\"id\":2,\"publish\":{}}\n");
}

static void a_name_may_be_as_long_as_the_limit(void **state) {
    (void)state;
    bench.config->rules.name_max_bytes = 10;
    expect_answer("{\"id\":2,\"subscribe\":{\"channel\":\"1234567890\"}}",
                  "{\"id\":2,\"subscribe\":{}}\n");
    expect_answer("{\"id\":2,\"subscribe\":{\"channel\":\"12345678901\"}}",
                  ERROR_REPLY("107", "bad request"));
}

static void a_failed_broker_is_a_temporary_error(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"b\","
           "\"data\":1}}");
    stub_fail(stub());
    stub_fail(stub());
    turn();
    expect_frames(w, "{\"id\":2,\"error\":{\"code\":100,\"message\":\"internal server error\","
                     "\"temporary\":true}}\n"
                     "{\"id\":3,\"error\":{\"code\":100,\"message\":\"internal server error\","
                     "\"temporary\":true}}\n");
}

static void some_commands_end_the_connection(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"send\":{\"data\":{}}}", "CLOSE 3508 not available\n"},
        {"{\"id\":2,\"send\":{}}", "CLOSE 3508 not available\n"},
        {"{\"id\":2,\"refresh\":{\"token\":\"x\"}}", "CLOSE 3500 invalid token\n"},
        {"{\"id\":2,\"refresh\":{}}", BAD_REQUEST},
        {"{\"id\":2,\"refresh\":{\"token\":\"\"}}", BAD_REQUEST},
        {"{\"id\":2,\"ping\":{}}", BAD_REQUEST},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n"
         "{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"x\"}}",
         "{\"id\":1,\"subscribe\":{}}\nCLOSE 3500 invalid token\n"},
    };
    EXPECT_ROWS(rows);
}

/* Centrifugo's schema has these types; SDKs in typed languages rely on the answer. */
static void malformed_commands_are_bad_requests(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"id\":2}", BAD_REQUEST},
        {"{\"id\":2,\"unknown\":{}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"\"}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":null}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":5}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":[\"a\"]}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"channel\":\"b\"}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"ch\\u0061nnel\":\"b\"}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":\"a\"}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":\"other\"}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":{}}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"offset\":-1}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"offset\":18446744073709551616}}",
         BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"tf\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":\"1\"}}", BAD_REQUEST},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":2147483648}}", BAD_REQUEST},
        {"{\"id\":2,\"unsubscribe\":{\"channel\":\"\"}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"\",\"data\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"data\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1,\"data\":2}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1,\"type\":1.5}}", BAD_REQUEST},
        {"{\"id\":2,\"presence\":{}}", BAD_REQUEST},
        {"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":\"x\"}}", BAD_REQUEST},
        {"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"rpc\":[]}", BAD_REQUEST},
        {"{\"id\":2,\"rpc\":{\"method\":1}}", BAD_REQUEST},
        {"{\"id\":2,\"sub_refresh\":{}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":\"\xff\"}}", BAD_REQUEST},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":01}}", BAD_REQUEST},
        {"[]", BAD_REQUEST},
        {"1", BAD_REQUEST},
        {"", BAD_REQUEST},
    };
    EXPECT_ROWS(rows);
}

#define PROTOCOL_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define STUB_TEST(f) cmocka_unit_test_setup_teardown(f, start_with_stub, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        PROTOCOL_TEST(connect_names_the_client_and_the_pings),
        PROTOCOL_TEST(the_ping_interval_is_told_in_whole_seconds_rounded_up),
        PROTOCOL_TEST(connect_tells_the_time_when_configured),
        PROTOCOL_TEST(what_sdks_send_with_connect_is_taken),
        PROTOCOL_TEST(what_may_not_come_first_is_a_bad_request),
        PROTOCOL_TEST(connect_has_its_own_ends),
        PROTOCOL_TEST(connect_and_what_follows_may_come_in_one_message),
        PROTOCOL_TEST(each_command_is_answered),
        PROTOCOL_TEST(each_failure_has_its_code),
        PROTOCOL_TEST(some_errors_need_a_state),
        PROTOCOL_TEST(a_name_may_be_as_long_as_the_limit),
        STUB_TEST(a_failed_broker_is_a_temporary_error),
        PROTOCOL_TEST(some_commands_end_the_connection),
        PROTOCOL_TEST(malformed_commands_are_bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
