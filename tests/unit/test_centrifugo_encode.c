/* What the Centrifugo protocol writes: pushes and replies byte for byte, and its tables of codes,
 * complete.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/protocol/centrifugo_encode.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct buf text;

static int stop(void **state) {
    (void)state;
    buf_fini(&text);
    return 0;
}

static void expect_text(const char *expected) {
    struct json_value value;
    struct json_fault fault;
    if (!str_equal(buf_str(&text), str_of(expected)))
        print_error("written:  %.*s\nexpected: %s\n", STR_ARG(buf_str(&text)), expected);
    assert_true(str_equal(buf_str(&text), str_of(expected)));
    assert_true(json_scan_all(buf_str(&text), &value, &fault));
}

/* Both ways: to one-way clients it is the same without {"push":...}. */
static void expect_push(const struct msg_parts *parts, const char *expected) {
    struct msg *m = msg_create(parts);
    struct buf bare = {0};
    buf_clear(&text);
    centrifugo_add_push(&text, m, ENCODING_PLAIN);
    centrifugo_add_bare_push(&bare, m, ENCODING_PLAIN);
    msg_unref(m);
    assert_true(str_equal(buf_str(&bare), str_slice(buf_str(&text), 8, text.n - 1)));
    buf_fini(&bare);
    expect_text(expected);
}

/* A client with a session id, unless it is NULL; one_way: the bare push. */
static void expect_event(struct event e, char *session, bool is_one_way, const char *expected) {
    static const struct protocol both_ways = {.expects_pong = true}, one_way = {0};
    struct config config = {.client_ping_interval_ms = 25000};
    struct sessions sessions = {.config = &config, .node_uid = "n1"};
    struct client c = {
        .sessions = &sessions, .protocol = is_one_way ? &one_way : &both_ways, .session = session};
    list_init(&c.subscriptions);
    memcpy(c.id, "01234567-89ab-4cde-8f01-23456789abcd", CLIENT_ID_BYTES);
    buf_clear(&text);
    if (is_one_way)
        centrifugo_add_bare_event(&text, &c, &e);
    else
        centrifugo_add_reply(&text, &c, &e);
    expect_text(expected);
}

static void expect_reply(struct event e, const char *expected) {
    expect_event(e, NULL, false, expected);
}

/* --- pushes ----------------------------------------------------------------------------------- */

static void a_publication_of_a_back_end_has_no_info(void **state) {
    (void)state;
    expect_push(&(struct msg_parts){.channel = STR("news"), .data = STR("{\"a\":1}")},
                "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"a\":1}}}}");
}

static void a_publication_of_a_client_says_who(void **state) {
    (void)state;
    expect_push(&(struct msg_parts){.channel = STR("news"), .data = STR("1"), .client = STR("c1")},
                "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,"
                "\"info\":{\"user\":\"\",\"client\":\"c1\"}}}}");
    expect_push(&(struct msg_parts){.channel = STR("news"),
                                    .data = STR("1"),
                                    .user = STR("alice"),
                                    .client = STR("c1"),
                                    .conn_info = STR("{\"n\":1}"),
                                    .chan_info = STR("[2]")},
                "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"info\":{\"user\":\"alice\","
                "\"client\":\"c1\",\"conn_info\":{\"n\":1},\"chan_info\":[2]}}}}");
}

static void tags_are_passed_on(void **state) {
    (void)state;
    expect_push(
        &(struct msg_parts){
            .channel = STR("news"), .data = STR("1"), .tags = STR("{\"lang\":\"en\"}")},
        "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"tags\":{\"lang\":\"en\"}}}}");
}

static void joins_and_leaves_say_who(void **state) {
    (void)state;
    struct msg_parts p = {
        .kind = MSG_JOIN, .channel = STR("room"), .user = STR("bob"), .client = STR("c2")};
    expect_push(&p, "{\"push\":{\"channel\":\"room\",\"join\":{\"info\":{\"user\":\"bob\","
                    "\"client\":\"c2\"}}}}");
    p.kind = MSG_LEAVE;
    expect_push(&p, "{\"push\":{\"channel\":\"room\",\"leave\":{\"info\":{\"user\":\"bob\","
                    "\"client\":\"c2\"}}}}");
}

static void names_are_escaped(void **state) {
    (void)state;
    expect_push(&(struct msg_parts){.channel = STR("a\"b\\c"),
                                    .data = STR("1"),
                                    .user = STR("\n\x01\xc3\xa9"),
                                    .client = STR("c")},
                "{\"push\":{\"channel\":\"a\\\"b\\\\c\",\"pub\":{\"data\":1,"
                "\"info\":{\"user\":\"\\n\\u0001\xc3\xa9\",\"client\":\"c\"}}}}");
}

/* --- replies ---------------------------------------------------------------------------------- */

static void replies_carry_the_id_of_their_command(void **state) {
    const struct subscription plain = {0};
    (void)state;
    expect_reply((struct event){.kind = EVENT_SUBSCRIBED, .command_id = 1, .subscription = &plain},
                 "{\"id\":1,\"subscribe\":{}}");
    expect_reply((struct event){.kind = EVENT_UNSUBSCRIBED, .command_id = 4294967295u},
                 "{\"id\":4294967295,\"unsubscribe\":{}}");
    expect_reply((struct event){.kind = EVENT_PUBLISHED, .command_id = 7},
                 "{\"id\":7,\"publish\":{}}");
    expect_reply((struct event){.kind = EVENT_CONNECTED, .command_id = 2},
                 "{\"id\":2,\"connect\":{\"client\":\"01234567-89ab-4cde-8f01-23456789abcd\","
                 "\"version\":\"" CARILLON_VERSION "\",\"ping\":25,\"pong\":true}}");
}

static void who_sends_elsewhere_is_told_where_and_who_sends_nothing_is_not(void **state) {
    const struct event connected = {.kind = EVENT_CONNECTED, .command_id = 1};
    char session[] = "s1";
    (void)state;
    expect_event(connected, session, false,
                 "{\"id\":1,\"connect\":{\"client\":\"01234567-89ab-4cde-8f01-23456789abcd\","
                 "\"version\":\"" CARILLON_VERSION
                 "\",\"ping\":25,\"pong\":true,\"session\":\"s1\",\"node\":\"n1\"}}");
    expect_event(connected, session, true,
                 "{\"connect\":{\"client\":\"01234567-89ab-4cde-8f01-23456789abcd\","
                 "\"version\":\"" CARILLON_VERSION "\",\"ping\":25,\"session\":\"s1\"}}");
}

static void what_the_server_does_is_a_push_bare_to_one_way_clients(void **state) {
    const struct event removed = {.kind = EVENT_REMOVED, .channel = STR("a\"b")};
    const struct event renewed = {.kind = EVENT_RENEWED};
    (void)state;
    expect_event(removed, NULL, false,
                 "{\"push\":{\"channel\":\"a\\\"b\",\"unsubscribe\":{\"code\":2000,\"reason\":"
                 "\"server unsubscribe\"}}}");
    expect_event(removed, NULL, true,
                 "{\"channel\":\"a\\\"b\",\"unsubscribe\":{\"code\":2000,\"reason\":"
                 "\"server unsubscribe\"}}");
    expect_event(renewed, NULL, false, "{\"push\":{\"refresh\":{}}}");
    expect_event(renewed, NULL, true, "{\"refresh\":{}}");
}

static void each_error_has_centrifugos_code_and_message(void **state) {
    (void)state;
    static const struct {
        enum client_error error;
        const char *text;
    } rows[] = {
        {ERROR_INTERNAL, "\"code\":100,\"message\":\"internal server error\",\"temporary\":true"},
        {ERROR_UNKNOWN_CHANNEL, "\"code\":102,\"message\":\"unknown channel\""},
        {ERROR_PERMISSION_DENIED, "\"code\":103,\"message\":\"permission denied\""},
        {ERROR_ALREADY_SUBSCRIBED, "\"code\":105,\"message\":\"already subscribed\""},
        {ERROR_LIMIT_EXCEEDED, "\"code\":106,\"message\":\"limit exceeded\""},
        {ERROR_BAD_REQUEST, "\"code\":107,\"message\":\"bad request\""},
        {ERROR_NOT_AVAILABLE, "\"code\":108,\"message\":\"not available\""},
        {ERROR_TOKEN_EXPIRED, "\"code\":109,\"message\":\"token expired\""},
        {ERROR_TOO_MANY_REQUESTS,
         "\"code\":111,\"message\":\"too many requests\",\"temporary\":true"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[200];
        snprintf(expected, sizeof(expected), "{\"id\":3,\"error\":{%s}}", rows[i].text);
        expect_reply((struct event){.kind = EVENT_ERROR, .command_id = 3, .error = rows[i].error},
                     expected);
    }
}

/* A new kind of error cannot be added without its code. */
static void no_error_is_without_a_code(void **state) {
    (void)state;
    for (int e = ERROR_NONE + 1; e < CLIENT_ERROR_COUNT; e++)
        assert_in_range(wire_error_of((enum client_error)e).code, 100, 1999);
}

/* --- close codes ------------------------------------------------------------------------------ */

static void each_reason_has_centrifugos_close_code(void **state) {
    (void)state;
    static const struct {
        enum close_reason reason;
        uint16_t code;
        const char *text;
    } rows[] = {
        {CLOSE_SHUTDOWN, 3001, "shutdown"},
        {CLOSE_INTERNAL, 3004, "internal server error"},
        {CLOSE_EXPIRED, 3005, "connection expired"},
        {CLOSE_SLOW, 3008, "slow"},
        {CLOSE_WRITE_ERROR, 3009, "write error"},
        {CLOSE_NO_PONG, 3012, "no pong"},
        {CLOSE_TOO_MANY_REQUESTS, 3013, "too many requests"},
        {CLOSE_INVALID_TOKEN, 3500, "invalid token"},
        {CLOSE_BAD_REQUEST, 3501, "bad request"},
        {CLOSE_STALE, 3502, "stale"},
        {CLOSE_CHANNEL_LIMIT, 3505, "channel limit"},
        {CLOSE_NOT_AVAILABLE, 3508, "not available"},
        {CLOSE_MESSAGE_TOO_BIG, 1009, NULL},
        {CLOSE_TOO_MANY_FRAGMENTS, 1009, NULL},
        {CLOSE_BAD_CLOSE_FRAME, 1002, NULL},
        {CLOSE_NOT_TEXT, 1003, NULL},
        {CLOSE_NOT_UTF8, 1007, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(centrifugo_close_code(rows[i].reason), rows[i].code);
        if (rows[i].text)
            assert_string_equal(close_reason_text(rows[i].reason), rows[i].text);
    }
}

/* SDKs look at a code only when there is a reason beside it, and a close frame holds 123 bytes of
 * it. */
static void every_reason_that_is_sent_has_a_code_and_a_text(void **state) {
    (void)state;
    for (int r = 0; r < CLOSE_REASON_COUNT; r++) {
        size_t n = str_of(close_reason_text((enum close_reason)r)).n;
        assert_in_range(n, 1, 123);
        if (r > CLOSE_LOST)
            assert_in_range(centrifugo_close_code((enum close_reason)r), 1000, 4999);
        else
            assert_int_equal(centrifugo_close_code((enum close_reason)r), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publication_of_a_back_end_has_no_info),
        cmocka_unit_test(a_publication_of_a_client_says_who),
        cmocka_unit_test(tags_are_passed_on),
        cmocka_unit_test(joins_and_leaves_say_who),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(replies_carry_the_id_of_their_command),
        cmocka_unit_test(who_sends_elsewhere_is_told_where_and_who_sends_nothing_is_not),
        cmocka_unit_test(what_the_server_does_is_a_push_bare_to_one_way_clients),
        cmocka_unit_test(each_error_has_centrifugos_code_and_message),
        cmocka_unit_test(no_error_is_without_a_code),
        cmocka_unit_test(each_reason_has_centrifugos_close_code),
        cmocka_unit_test(every_reason_that_is_sent_has_a_code_and_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, stop);
}
