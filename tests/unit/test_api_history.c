/* The methods history and history_remove, with the memory engine: what is answered in all shapes of
 * the question, and what is refused.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_history.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "channels/broker_memory.h"
#include "tests/unit/api_testing.h"

static char epoch[EPOCH_BYTES + 1];

static void start_with(struct broker *(*create)(struct fanout *)) {
    api_start(create);
    struct channel_options *o = &bench.config->rules.without_namespace;
    o->history_size = 5;
    o->history_ttl_s = 60;
    o->history_meta_ttl_s = 3600;
}

static int start(void **state) {
    (void)state;
    start_with(broker_memory_create);
    return 0;
}

static int start_stub(void **state) {
    (void)state;
    start_with(stub_broker_create);
    return 0;
}

/* Asks and gets an answer. */
static void ask(const char *path, const char *body) {
    answer_count = 0;
    if (post(path, body)) {
        turn();
        assert_int_equal(answer_count, 1);
    }
}

static void publish(const char *data) {
    char body[100];
    snprintf(body, sizeof(body), "{\"channel\":\"news\",\"data\":%s}", data);
    ask("/api/publish", body);
    const char *at = memmem(response.body.p, response.body.n, "\"epoch\":\"", 9);
    assert_non_null(at);
    memcpy(epoch, at + 9, EPOCH_BYTES);
}

static void publish_seven(void) {
    char data[2] = {0};
    for (data[0] = '1'; data[0] <= '7'; data[0]++)
        publish(data);
}

/* "56" stands for the publications 5 and 6, in this order; EPOCH in a question for the epoch. */
static void expect_items(const char *question, const char *digits, unsigned top) {
    char body[200];
    struct buf expected = {0};
    const char *at = strstr(question, "EPOCH");
    int before = at ? (int)(at - question) : (int)strlen(question);
    snprintf(body, sizeof(body), "{\"channel\":\"news\"%.*s%s%s}", before, question,
             at ? epoch : "", at ? at + 5 : "");
    buf_add_z(&expected, "{\"result\":{\"publications\":[");
    for (const char *d = digits; *d; d++)
        buf_printf(&expected, "%s{\"data\":%c,\"offset\":%c}", d == digits ? "" : ",", *d, *d);
    buf_printf(&expected, "],\"epoch\":\"%s\",\"offset\":%u}}%c", epoch, top, '\0');
    ask("/api/history", body);
    expect_response(200, expected.p);
    buf_fini(&expected);
}

/* --- history ---------------------------------------------------------------------------------- */

static void limit_0_is_the_position_only(void **state) {
    (void)state;
    publish_seven();
    expect_items("", "", 7);
    expect_items(",\"limit\":0", "", 7);
    expect_items(",\"limit\":null,\"since\":null,\"reverse\":null", "", 7);
    expect_items(",\"limit\":0,\"since\":{\"offset\":3,\"epoch\":\"EPOCH\"}", "", 7);
}

static void a_limit_is_a_number_of_publications(void **state) {
    (void)state;
    publish_seven();
    expect_items(",\"limit\":2", "34", 7);
    expect_items(",\"limit\":5", "34567", 7);
    expect_items(",\"limit\":2147483647", "34567", 7);
    expect_items(",\"limit\":-1", "34567", 7);
    expect_items(",\"limit\":-2147483648", "34567", 7);
}

static void reverse_is_newest_first(void **state) {
    (void)state;
    publish_seven();
    expect_items(",\"limit\":2,\"reverse\":true", "76", 7);
    expect_items(",\"limit\":-1,\"reverse\":true", "76543", 7);
    expect_items(",\"limit\":-1,\"reverse\":false", "34567", 7);
}

static void since_is_exclusive(void **state) {
    (void)state;
    publish_seven();
    expect_items(",\"limit\":-1,\"since\":{\"offset\":4,\"epoch\":\"EPOCH\"}", "567", 7);
    expect_items(",\"limit\":1,\"since\":{\"offset\":4,\"epoch\":\"EPOCH\"}", "5", 7);
    expect_items(",\"limit\":-1,\"reverse\":true,\"since\":{\"offset\":6,\"epoch\":\"EPOCH\"}",
                 "543", 7);
    expect_items(",\"limit\":-1,\"since\":{\"offset\":4}", "567", 7); /* of any epoch */
    expect_items(",\"limit\":-1,\"since\":{}", "34567", 7);
}

static void since_may_be_gone_or_beyond_the_top(void **state) {
    (void)state;
    publish_seven();
    expect_items(",\"limit\":-1,\"since\":{\"offset\":1,\"epoch\":\"EPOCH\"}", "34567", 7);
    expect_items(",\"limit\":-1,\"since\":{\"offset\":7,\"epoch\":\"EPOCH\"}", "", 7);
    expect_items(",\"limit\":-1,\"since\":{\"offset\":18446744073709551615}", "", 7);
    expect_items(",\"limit\":-1,\"reverse\":true,\"since\":{\"offset\":1,\"epoch\":\"EPOCH\"}", "",
                 7);
}

static void another_epoch_is_unrecoverable(void **state) {
    (void)state;
    static const char *const epochs[] = {"AAAAAAAA", "x", "longer than ours is", "\\u0000"};
    char body[200];
    publish_seven();
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++)
        for (int limit = -1; limit < 2; limit++) {
            snprintf(
                body, sizeof(body),
                "{\"channel\":\"news\",\"limit\":%d,\"since\":{\"offset\":1,\"epoch\":\"%s\"}}",
                limit, epochs[i]);
            ask("/api/history", body);
            expect_response(200, ERROR("112", "unrecoverable position"));
        }
    publish("8"); /* the epoch is what it was */
    expect_items("", "", 8);
}

static void a_channel_that_never_was_has_an_epoch(void **state) {
    (void)state;
    char first[200];
    ask("/api/history", "{\"channel\":\"news\",\"limit\":-1}");
    assert_true(response_has("{\"result\":{\"publications\":[],\"epoch\":\""));
    assert_true(response_has("\",\"offset\":0}}"));
    snprintf(first, sizeof(first), "%.*s", STR_ARG(buf_str(&response.body)));
    ask("/api/history", "{\"channel\":\"news\",\"limit\":-1}");
    expect_response(200, first);
}

static void a_publication_tells_its_tags_and_who_published_it(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    o->allow_publish_for_client = true;
    struct wire *w = open_connected();
    ask("/api/publish", "{\"channel\":\"news\",\"data\":{\"a\":\n1},\"tags\":{\"t\":\"u\"}}");
    say(w, "2 pub news 2");
    turn();
    ask("/api/history", "{\"channel\":\"news\",\"limit\":-1}");
    assert_true(response_has("{\"data\":{\"a\":1},\"offset\":1,\"tags\":{\"t\":\"u\"}}"));
    assert_true(response_has("{\"data\":2,\"info\":{\"user\":\"\",\"client\":\""));
    assert_true(response_has("\"},\"offset\":2}"));
}

static void what_does_not_fit_is_left_out_and_told(void **state) {
    (void)state;
    struct history_reply h = {.is_cut = true, .top = {9, "ABCDEFGH"}};
    struct buf b = {0};
    add_history(&b, &h);
    assert_true(
        str_equal(buf_str(&b), STR("{\"publications\":[],\"epoch\":\"ABCDEFGH\",\"offset\":9,"
                                   "\"truncated\":true}")));
    buf_fini(&b);
}

/* 40 publications of 1 MiB are more than an answer may have. */
static void an_answer_is_bounded(void **state) {
    (void)state;
    struct buf body = {0};
    size_t megabyte = 1 << 20;
    bench.config->rules.without_namespace.history_size = 40;
    bench.config->client_queue_max_size_bytes = 8 << 20;
    buf_add_z(&body, "{\"channel\":\"news\",\"data\":\"");
    memset(buf_reserve(&body, megabyte), 'x', megabyte - 2);
    body.n += megabyte - 2;
    buf_add_z(&body, "\"}");
    for (int i = 0; i < 40; i++) {
        assert_non_null(post_bytes("/api/publish", buf_str(&body)));
        turn();
        assert_int_equal(response.status, 200);
    }
    buf_fini(&body);
    ask("/api/history", "{\"channel\":\"news\",\"limit\":-1}");
    assert_true(response.body.n > 14 * megabyte && response.body.n <= API_ANSWER_MAX_BYTES);
    assert_true(response_has(",\"offset\":40,\"truncated\":true}}"));
    ask("/api/history", "{\"channel\":\"news\",\"limit\":2,\"since\":{\"offset\":38}}");
    assert_true(response_has("\"offset\":39}") && response_has(",\"offset\":40}}"));
}

static void bad_questions_are_refused(void **state) {
    (void)state;
    static const char limit[] = REFUSED("\\\"limit\\\" must be a whole number of 32 bits");
    static const char reverse[] = REFUSED("\\\"reverse\\\" must be true or false");
    static const char since[] = REFUSED("\\\"since\\\" must be an object of offset and epoch");
    static const char zero[] = REFUSED("there is nothing before offset 0");
    static const char twice[] = REFUSED("a member is there twice");
    static const struct {
        const char *question, *answer;
    } rows[] = {
        {"\"limit\":\"1\"", limit},
        {"\"limit\":1.5", limit},
        {"\"limit\":2147483648", limit},
        {"\"limit\":-2147483649", limit},
        {"\"limit\":true", limit},
        {"\"reverse\":1", reverse},
        {"\"since\":5", since},
        {"\"since\":[]", since},
        {"\"since\":{\"offset\":-1}", since},
        {"\"since\":{\"offset\":\"1\"}", since},
        {"\"since\":{\"offset\":18446744073709551616}", since},
        {"\"since\":{\"offset\":1,\"epoch\":5}", since},
        {"\"reverse\":true,\"since\":{\"offset\":0}", zero},
        {"\"reverse\":true,\"since\":{}", zero},
        {"\"limit\":1,\"limit\":1", twice},
        {"\"since\":{\"offset\":1,\"offset\":2}", since},
    };
    char body[200];
    publish_seven();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body), "{\"channel\":\"news\",%s}", rows[i].question);
        assert_null(post("/api/history", body));
        expect_response(200, rows[i].answer);
    }
}

/* --- both methods ----------------------------------------------------------------------------- */

static const char *const both[] = {"/api/history", "/api/history_remove"};

static void they_need_a_channel_with_history(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        ask(both[i], "{}");
        expect_response(200, REFUSED("\\\"channel\\\" must be a string that is not empty"));
        ask(both[i], "{\"channel\":\"a\\u0001\"}");
        expect_response(200, REFUSED("this is no name for a channel here"));
        ask(both[i], "{\"channel\":\"no:such\"}");
        expect_response(200, ERROR("102", "unknown channel"));
    }
    bench.config->rules.without_namespace.history_ttl_s = 0;
    for (int i = 0; i < 2; i++) {
        ask(both[i], "{\"channel\":\"news\"}");
        expect_response(200, ERROR("108", "not available"));
    }
}

static void what_is_removed_is_gone_but_the_position_stays(void **state) {
    (void)state;
    publish_seven();
    ask("/api/history_remove", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{}}");
    expect_items(",\"limit\":-1", "", 7);
    publish("8");
    expect_items(",\"limit\":-1", "8", 8);
}

static void a_broker_that_fails_is_an_internal_error(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_non_null(post(both[i], "{\"channel\":\"news\"}"));
        assert_int_equal(stub()->call_count, 1);
        stub_fail(stub());
        turn();
        expect_response(200, ERROR("100", "internal server error"));
    }
}

static void an_abandoned_call_is_not_answered(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        api_abandon(post(both[i], "{\"channel\":\"news\"}"));
        stub_answer(stub());
        turn();
    }
    assert_int_equal(answer_count, 0);
}

#define HISTORY_TEST(f) cmocka_unit_test_setup_teardown(f, start, api_teardown)
#define STUB_TEST(f) cmocka_unit_test_setup_teardown(f, start_stub, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(limit_0_is_the_position_only),
        HISTORY_TEST(a_limit_is_a_number_of_publications),
        HISTORY_TEST(reverse_is_newest_first),
        HISTORY_TEST(since_is_exclusive),
        HISTORY_TEST(since_may_be_gone_or_beyond_the_top),
        HISTORY_TEST(another_epoch_is_unrecoverable),
        HISTORY_TEST(a_channel_that_never_was_has_an_epoch),
        HISTORY_TEST(a_publication_tells_its_tags_and_who_published_it),
        HISTORY_TEST(what_does_not_fit_is_left_out_and_told),
        HISTORY_TEST(an_answer_is_bounded),
        HISTORY_TEST(bad_questions_are_refused),
        HISTORY_TEST(they_need_a_channel_with_history),
        HISTORY_TEST(what_is_removed_is_gone_but_the_position_stays),
        STUB_TEST(a_broker_that_fails_is_an_internal_error),
        STUB_TEST(an_abandoned_call_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
