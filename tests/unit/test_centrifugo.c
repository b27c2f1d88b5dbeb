/* The Centrifugo protocol, byte for byte: every command, its replies, errors and disconnects, many commands
 * in one message, and what is refused.
 *
 * The expected texts follow Centrifugo's schema and codes (centrifugal/protocol 0.19). Thread: main. Owns:
 * nothing.
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
        "{\"id\":1,\"connect\":{\"token\":\"\",\"data\":{\"a\":[1]},\"name\":\"js\",\"version\":\"1\"}}",
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
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"\",\"recover\":true,\"epoch\":\"x\","
         "\"offset\":18446744073709551615,\"delta\":\"fossil\",\"type\":0,\"flag\":1,"
         "\"positioned\":true,\"recoverable\":true,\"join_leave\":true,\"data\":{}}}",
         "{\"id\":2,\"subscribe\":{}}\n"},
        {"{\"id\":2,\"subscribe\":null,\"unsubscribe\":{\"channel\":\"a\"}}",
         "{\"id\":2,\"unsubscribe\":{}}\n"},
    };
    EXPECT_ROWS(rows);
}

#define ERROR_REPLY(code, message) "{\"id\":2,\"error\":{\"code\":" code ",\"message\":\"" message "\"}}\n"

static void each_failure_has_its_code(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"id\":2,\"subscribe\":{\"channel\":\"no:such\"}}", ERROR_REPLY("102", "unknown channel")},
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
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
                  "{\"id\":1,\"subscribe\":{}}\n" ERROR_REPLY("105", "already subscribed"));
    bench.config->client_channel_limit = 1;
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"b\"}}",
                  ERROR_REPLY("106", "limit exceeded") "{\"id\":1,\"subscribe\":{}}\n");
    expect_answer("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":2,\"sub_refresh\":{\"channel\":\"a\"}}",
                  "{\"id\":1,\"subscribe\":{}}\n" ERROR_REPLY("107", "bad request"));
    bench.config->client_queue_max_size_bytes = 4096;
    char message[1200];
    int n = snprintf(message, sizeof(message), "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":\"");
    memset(message + n, 'x', 1023);
    strcpy(message + n + 1023, "\"}}");
    expect_answer(message, ERROR_REPLY("107", "bad request"));
    strcpy(message + n + 1022, "\"}}");
    expect_answer(message, "{\"id\":2,\"publish\":{}}\n");
}

static void a_name_may_be_as_long_as_the_limit(void **state) {
    (void)state;
    bench.config->rules.name_max_bytes = 10;
    expect_answer("{\"id\":2,\"subscribe\":{\"channel\":\"1234567890\"}}", "{\"id\":2,\"subscribe\":{}}\n");
    expect_answer("{\"id\":2,\"subscribe\":{\"channel\":\"12345678901\"}}",
                  ERROR_REPLY("107", "bad request"));
}

static void a_failed_broker_is_a_temporary_error(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"b\",\"data\":1}}");
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
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"offset\":18446744073709551616}}", BAD_REQUEST},
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

/* --- many commands ---------------------------------------------------------------------------- */

#define SUBSCRIBE_2 "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}"
#define UNSUBSCRIBE_3 "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}"

static void commands_are_separated_by_newlines_and_other_space(void **state) {
    (void)state;
    static const struct row rows[] = {
        {SUBSCRIBE_2 "\n" UNSUBSCRIBE_3, "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"},
        {SUBSCRIBE_2 "\n" UNSUBSCRIBE_3 "\n",
         "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"},
        {"\r\n " SUBSCRIBE_2 "\r\n\n " UNSUBSCRIBE_3 "\r\n",
         "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"},
        {"{\n\"id\"\n:\n2,\"subscribe\":\r\n{\"channel\"\t:\"a\"\n}}",
         "{\"id\":2,\"subscribe\":{}}\n"},
    };
    EXPECT_ROWS(rows);
}

static void what_stands_before_the_broken_command_is_done(void **state) {
    (void)state;
    static const struct row rows[] = {
        {UNSUBSCRIBE_3 "\n{\"id\":3", "{\"id\":3,\"unsubscribe\":{}}\n" BAD_REQUEST},
        {UNSUBSCRIBE_3 "\nx\n" SUBSCRIBE_2, "{\"id\":3,\"unsubscribe\":{}}\n" BAD_REQUEST},
        {UNSUBSCRIBE_3 "\n{\"send\":{}}\n" SUBSCRIBE_2,
         "{\"id\":3,\"unsubscribe\":{}}\nCLOSE 3508 not available\n"},
    };
    EXPECT_ROWS(rows);
}

static void commands_are_counted(void **state) {
    (void)state;
    struct wire *w = open_connected();
    uint64_t before = metric(METRIC_COMMANDS);
    say(w, SUBSCRIBE_2 "\n" UNSUBSCRIBE_3 "\n{\"id\":4,\"rpc\":{}}");
    turn();
    assert_int_equal(metric(METRIC_COMMANDS), before + 3);
    assert_int_equal(bench.metrics.errors[ERROR_NOT_AVAILABLE], 1);
}

static void commands_wait_for_the_subscribe_and_run_in_order(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, SUBSCRIBE_2 "\n" UNSUBSCRIBE_3 "\n{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}\n"
           "{\"id\":5,\"rpc\":{}}");
    say(w, "{\"id\":6,\"rpc\":{}}");
    turn();
    expect_frames(w, "");
    assert_true(w->is_paused);
    stub_answer(stub());
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"
                     "{\"id\":4,\"subscribe\":{}}\n"
                     "{\"id\":5,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
                     "{\"id\":6,\"error\":{\"code\":108,\"message\":\"not available\"}}\n");
    assert_false(w->is_paused);
}

/* A command that has to wait is tried again; it must not be charged again. */
static void a_command_that_waits_counts_once(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_command_rate_limit = 1;
    bench.config->client_command_rate_burst = 3;
    say(w, SUBSCRIBE_2 "\n" UNSUBSCRIBE_3 "\n{\"id\":4,\"rpc\":{}}\n{\"id\":5,\"rpc\":{}}");
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"
                     "{\"id\":4,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
                     "{\"id\":5,\"error\":{\"code\":111,\"message\":\"too many requests\","
                     "\"temporary\":true}}\n");
}

/* --- publications ----------------------------------------------------------------------------- */

static void payloads_pass_byte_for_byte(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{}", "{}"},
        {"[]", "[]"},
        {"\"\"", "\"\""},
        {"0", "0"},
        {"-0.0e+00", "-0.0e+00"},
        {"9007199254740993", "9007199254740993"},
        {"true", "true"},
        {"{\"b\":1,\"a\":2,\"b\":3}", "{\"b\":1,\"a\":2,\"b\":3}"},
        {"\"\\u00e9\\/\\n\\ud83d\\ude00\xc3\xa9\"", "\"\\u00e9\\/\\n\\ud83d\\ude00\xc3\xa9\""},
        {"\"\\u0000\"", "\"\\u0000\""},
        {"\"</script>&\xe2\x80\xa8\"", "\"</script>&\xe2\x80\xa8\""},
        {"{ \"a\" :\t[ 1 , 2 ] }", "{ \"a\" :\t[ 1 , 2 ] }"},
        {"{\n  \"a\": \"x\\ny\",\r\n  \"b\": [1,\n2]\n}", "{  \"a\": \"x\\ny\",  \"b\": [1,2]}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *reader = open_connected(), *writer = open_connected();
        struct buf message = {0}, lines = {0};
        say(reader, SUBSCRIBE_2);
        turn();
        wire_news(reader);
        buf_printf(&message, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":%s}}", rows[i].message);
        wire_receive(writer, buf_str(&message));
        turn();
        expect_frames(writer, "{\"id\":2,\"publish\":{}}\n");
        buf_printf(&lines,
                   "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":%s,"
                   "\"info\":{\"user\":\"\",\"client\":\"@\"}}}}\n",
                   rows[i].lines);
        buf_add_char(&lines, '\0');
        expect_frames_of(reader, lines.p, writer->client->id);
        buf_fini(&message);
        buf_fini(&lines);
        wire_gone(reader, CLOSE_PEER);
    }
}

static void a_channel_name_is_decoded_once(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "{\"id\":2,\"subscribe\":{\"channel\":\"\\u0061\\/\\\\\\\"\"}}\n"
           "{\"id\":3,\"publish\":{\"channel\":\"a/\\\\\\\"\",\"data\":1}}");
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n"
                     "{\"push\":{\"channel\":\"a/\\\\\\\"\",\"pub\":{\"data\":1,"
                     "\"info\":{\"user\":\"\",\"client\":\"@\"}}}}\n{\"id\":3,\"publish\":{}}\n");
}

static void a_long_publication_comes_in_fragments(void **state) {
    (void)state;
    struct wire *w = open_connected();
    struct buf data = {0}, whole = {0};
    struct ws_frame f = {0};
    size_t frame_count = 0;
    say(w, SUBSCRIBE_2);
    turn();
    wire_news(w);
    buf_add_char(&data, '"');
    for (int i = 0; i < 200000; i++)
        buf_add_char(&data, (char)('a' + i % 26));
    buf_add_char(&data, '"');
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("a"), .data = buf_str(&data)});
    fanout_post(bench.fanout, m);
    msg_unref(m);
    turn();
    for (struct str news = wire_news(w); news.n; frame_count++) {
        assert_true(ws_next(&news, &f));
        assert_int_equal(f.opcode, frame_count == 0 ? WS_TEXT : WS_CONTINUATION);
        assert_int_equal(f.is_final, news.n == 0);
        buf_add(&whole, f.payload);
    }
    assert_int_equal(frame_count, 4);
    assert_true(str_starts(buf_str(&whole), STR("{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":\"")));
    assert_non_null(memmem(whole.p, whole.n, data.p, data.n));
    buf_fini(&data);
    buf_fini(&whole);
}

/* --- pings ------------------------------------------------------------------------------------ */

static void a_ping_is_empty_and_so_is_its_answer(void **state) {
    (void)state;
    struct wire *w = open_connected();
    pass_until_write(w);
    expect_frames(w, "{}\n");
    say(w, "{}");
    pass_ms(9000);
    expect_frames(w, "");
    say(w, "{}");
    turn();
    expect_frames(w, BAD_REQUEST);
}

static void a_pong_may_come_with_commands(void **state) {
    (void)state;
    struct wire *w = open_connected();
    pass_until_write(w);
    expect_frames(w, "{}\n");
    say(w, "{}\n" SUBSCRIBE_2);
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n");
}

static void silence_ends_with_no_pong_and_stale(void **state) {
    (void)state;
    struct wire *w = open_connected(), *mute = wire_open(&protocol_centrifugo_ws);
    pass_ms(10000 + 2 * WHEEL_TICK_MS);
    expect_frames(mute, "CLOSE 3502 stale\n");
    pass_ms(24000);
    struct buf lines = {0};
    frames_to_lines(wire_news(w), &lines);
    assert_true(str_equal(buf_str(&lines), STR("{}\nCLOSE 3012 no pong\n")));
    buf_fini(&lines);
}

static void a_slow_reader_is_told_3008(void **state) {
    (void)state;
    struct wire *w = open_connected();
    bench.config->client_queue_max_size_bytes = 200;
    w->is_blocked = true;
    for (int i = 0; i < 20; i++)
        if (w->client->state == CLIENT_CONNECTED)
            say(w, "{\"id\":2,\"rpc\":{}}");
    turn();
    wire_unblock(w);
    expect_frames(w, "CLOSE 3008 slow\n");
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
        PROTOCOL_TEST(commands_are_separated_by_newlines_and_other_space),
        PROTOCOL_TEST(what_stands_before_the_broken_command_is_done),
        PROTOCOL_TEST(commands_are_counted),
        PROTOCOL_TEST(a_command_that_waits_counts_once),
        STUB_TEST(commands_wait_for_the_subscribe_and_run_in_order),
        PROTOCOL_TEST(payloads_pass_byte_for_byte),
        PROTOCOL_TEST(a_channel_name_is_decoded_once),
        PROTOCOL_TEST(a_long_publication_comes_in_fragments),
        PROTOCOL_TEST(a_ping_is_empty_and_so_is_its_answer),
        PROTOCOL_TEST(a_pong_may_come_with_commands),
        PROTOCOL_TEST(silence_ends_with_no_pong_and_stale),
        PROTOCOL_TEST(a_slow_reader_is_told_3008),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
