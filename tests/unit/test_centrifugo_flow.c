/* The Centrifugo protocol in motion: many commands in one message, publications byte for byte,
 * pings.
 *
 * Thread: main. Owns: nothing.
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

/* --- many commands ---------------------------------------------------------------------------- */

#define SUBSCRIBE_2 "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}"
#define UNSUBSCRIBE_3 "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}"

static void commands_are_separated_by_newlines_and_other_space(void **state) {
    (void)state;
    static const struct row rows[] = {
        {SUBSCRIBE_2 "\n" UNSUBSCRIBE_3,
         "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n"},
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
        buf_printf(&message, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":%s}}",
                   rows[i].message);
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
    assert_true(
        str_starts(buf_str(&whole), STR("{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":\"")));
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
        PROTOCOL_TEST(commands_are_separated_by_newlines_and_other_space),
        PROTOCOL_TEST(what_stands_before_the_broken_command_is_done),
        PROTOCOL_TEST(commands_are_counted),
        STUB_TEST(commands_wait_for_the_subscribe_and_run_in_order),
        PROTOCOL_TEST(a_command_that_waits_counts_once),
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
