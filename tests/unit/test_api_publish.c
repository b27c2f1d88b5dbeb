/* POST /api/publish and /api/broadcast: what is published, byte for byte, when the answer comes,
 * and what is refused.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_publish.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

#define OK "{\"result\":{}}"

/* The only call that is open. */
static const struct stub_call *open_publish(void) {
    assert_int_equal(stub()->call_count, 1);
    return list_entry(stub()->calls.next, struct stub_call, link);
}

static void answer_all(void) {
    while (stub()->call_count)
        stub_answer(stub());
    turn();
}

/* Published with exactly this data and these tags, and answered well. */
static void expect_published(const char *body, const char *data, const char *tags) {
    assert_non_null(post("/api/publish", body));
    const struct msg_parts *p = &open_publish()->msg->parts;
    assert_int_equal(p->kind, MSG_PUBLICATION);
    assert_true(str_equal(p->channel, STR("news")));
    if (!str_equal(p->data, str_of(data)))
        print_error("%.*s\n", STR_ARG(p->data));
    assert_true(str_equal(p->data, str_of(data)));
    assert_true(str_equal(p->tags, str_of(tags)));
    assert_int_equal(p->client.n + p->user.n, 0);
    answer_all();
    expect_response(200, OK);
}

static void expect_refused(const char *body, int status, const char *answer) {
    assert_null(post("/api/publish", body));
    expect_response(status, answer);
    assert_int_equal(stub()->publishes_total, 0);
}

/* --- publish ---------------------------------------------------------------------------------- */

static void it_is_answered_when_the_broker_has_it(void **state) {
    (void)state;
    assert_non_null(post("/api/publish", "{\"channel\":\"news\",\"data\":1}"));
    turn();
    assert_int_equal(answer_count, 0);
    assert_int_equal(metric(METRIC_PUBLISHED), 1);
    answer_all();
    assert_int_equal(answer_count, 1);
    expect_response(200, OK);
    assert_string_equal(response.content_type, "application/json");
}

static void subscribers_get_it(void **state) {
    (void)state;
    struct wire *w = open_connected();
    say(w, "2 sub news");
    answer_all();
    expect_lines(w, "2 subscribed\n");
    post("/api/publish", "{\"channel\":\"news\",\"data\":{\"a\":1}}");
    answer_all();
    expect_lines(w, "news {\"a\":1}\n");
}

static void payloads_pass_byte_for_byte(void **state) {
    (void)state;
    expect_published("{\"channel\":\"news\",\"data\":{}}", "{}", "");
    expect_published("{\"channel\":\"news\",\"data\": [ 1 ,\t2 ] }", "[ 1 ,\t2 ]", "");
    expect_published("{\"data\":\"\\u00e9\\n\xc3\xa9\",\"channel\":\"news\"}",
                     "\"\\u00e9\\n\xc3\xa9\"", "");
    expect_published("{\"channel\":\"news\",\"data\":1e999}", "1e999", "");
    expect_published("{\"channel\":\"news\",\"data\":{\"b\":1,\"b\":2}}", "{\"b\":1,\"b\":2}", "");
    expect_published("{\"channel\":\"news\",\"data\":{\n \"a\":\r\n[1,\n2]}}", "{ \"a\":[1,2]}",
                     "");
    expect_published("{\"channel\":\"n\\u0065ws\",\"data\":false}", "false", "");
    expect_published("\n{\"channel\":\"news\",\"data\":0}\n", "0", "");
}

static void unknown_members_are_let_through(void **state) {
    (void)state;
    expect_published("{\"channel\":\"news\",\"data\":1,\"unknown\":{}}", "1", "");
}

static void tags_are_an_object_of_strings(void **state) {
    (void)state;
    expect_published("{\"channel\":\"news\",\"data\":1,\"tags\":{\"a\":\"b\",\"c\":\"\"}}", "1",
                     "{\"a\":\"b\",\"c\":\"\"}");
    expect_published("{\"channel\":\"news\",\"data\":1,\"tags\":{}}", "1", "");
    expect_published("{\"channel\":\"news\",\"data\":1,\"tags\":null}", "1", "");
    expect_published("{\"channel\":\"news\",\"data\":1,\"tags\":{\n\"a\":\r\n\"b\"}}", "1",
                     "{\"a\":\"b\"}");
}

static void bad_tags_are_refused(void **state) {
    (void)state;
    static const char why[] = REFUSED("\\\"tags\\\" must be an object of strings");
    expect_refused("{\"channel\":\"news\",\"data\":1,\"tags\":{\"a\":1}}", 200, why);
    expect_refused("{\"channel\":\"news\",\"data\":1,\"tags\":{\"a\":\"b\",\"c\":null}}", 200, why);
    expect_refused("{\"channel\":\"news\",\"data\":1,\"tags\":[\"a\"]}", 200, why);
    expect_refused("{\"channel\":\"news\",\"data\":1,\"tags\":\"a\"}", 200, why);
}

static void base64_is_taken_when_it_holds_json(void **state) {
    (void)state;
    expect_published("{\"channel\":\"news\",\"b64data\":\"eyJhIjoxfQ==\"}", "{\"a\":1}", "");
    expect_published("{\"channel\":\"news\",\"b64data\":\"IDEg\"}", "1", ""); /* " 1 " */
    expect_published("{\"channel\":\"news\",\"data\":null,\"b64data\":\"MQ==\"}", "1", "");
    expect_published("{\"channel\":\"news\",\"data\":2,\"b64data\":\"MQ==\"}", "2", "");
    expect_published("{\"channel\":\"news\",\"b64data\":\"WwoxXQ==\"}", "[1]", ""); /* a newline */
}

static void other_base64_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",         "eyJhIjoxfQ", "eyJhIjoxfQ=",   "!!!!",
                                        "aGVsbG8=", "AAAA",       "eyJhIjox fQ==", "gA=="};
    static const char why[] = REFUSED("\\\"b64data\\\" must be JSON in base64");
    char body[100];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        snprintf(body, sizeof(body), "{\"channel\":\"news\",\"b64data\":\"%s\"}", texts[i]);
        expect_refused(body, 200, why);
    }
    expect_refused("{\"channel\":\"news\",\"b64data\":1}", 200, why);
    expect_refused("{\"channel\":\"news\",\"b64data\":{}}", 200, why);
}

static void what_is_missing_or_wrong_is_a_bad_request(void **state) {
    (void)state;
    static const char no_data[] = REFUSED("\\\"data\\\" is missing");
    static const char no_channel[] = REFUSED("\\\"channel\\\" must be a string that is not empty");
    static const char bad_name[] = REFUSED("this is no name for a channel here");
    expect_refused("{}", 200, no_data);
    expect_refused("{\"channel\":\"news\"}", 200, no_data);
    expect_refused("{\"channel\":\"news\",\"data\":null}", 200, no_data);
    expect_refused("{\"data\":1}", 200, no_channel);
    expect_refused("{\"channel\":\"\",\"data\":1}", 200, no_channel);
    expect_refused("{\"channel\":5,\"data\":1}", 200, no_channel);
    expect_refused("{\"channel\":null,\"data\":1}", 200, no_channel);
    expect_refused("{\"channel\":[\"news\"],\"data\":1}", 200, no_channel);
    expect_refused("{\"channel\":\"\\u00e9\",\"data\":1}", 200, bad_name);
    expect_refused("{\"channel\":\"a\\nb\",\"data\":1}", 200, bad_name);
}

static void a_member_that_is_there_twice_is_refused(void **state) {
    (void)state;
    static const char twice[] = REFUSED("a member is there twice");
    expect_refused("{\"channel\":\"a\",\"channel\":\"b\",\"data\":1}", 200, twice);
    expect_refused("{\"channel\":\"a\",\"data\":1,\"d\\u0061ta\":1}", 200, twice);
    expect_refused("{\"channel\":\"a\",\"data\":1,\"version\":1,\"version\":1}", 200, twice);
}

static void a_namespace_must_exist(void **state) {
    (void)state;
    expect_refused("{\"channel\":\"no:such\",\"data\":1}", 200, ERROR("102", "unknown channel"));
}

/* A back end may publish where clients may not even subscribe. */
static void the_api_may_publish_everywhere(void **state) {
    (void)state;
    bench.config->rules.is_insecure = false;
    assert_non_null(post("/api/publish", "{\"channel\":\"$private#42\",\"data\":1}"));
    answer_all();
    expect_response(200, OK);
}

static void a_publication_has_a_limit(void **state) {
    (void)state;
    char body[1200];
    bench.config->client_queue_max_size_bytes = 4096;
    int n = snprintf(body, sizeof(body), "{\"channel\":\"news\",\"data\":\"");
    memset(body + n, 'x', 1023);
    strcpy(body + n + 1023, "\"}");
    assert_null(post("/api/publish", body));
    expect_response(413, REFUSED("the publication is too large: at most 1 MiB and a quarter of "
                                 "client.queue_max_size"));
    strcpy(body + n + 1022, "\"}"); /* 1024 bytes with the quotes */
    assert_non_null(post("/api/publish", body));
    answer_all();
    expect_response(200, OK);
}

static void a_broker_that_fails_is_an_internal_error(void **state) {
    (void)state;
    const enum broker_result results[] = {BROKER_UNAVAILABLE, BROKER_UNKNOWN};
    for (int i = 0; i < 2; i++) {
        post("/api/publish", "{\"channel\":\"news\",\"data\":1}");
        stub_answer_at(stub(), 0, results[i]);
        turn();
        expect_response(200, ERROR("100", "internal server error"));
    }
}

static void an_abandoned_call_is_not_answered(void **state) {
    (void)state;
    struct api_call *call = post("/api/publish", "{\"channel\":\"news\",\"data\":1}");
    api_abandon(call);
    answer_all();
    assert_int_equal(answer_count, 0);
}

/* --- options ---------------------------------------------------------------------------------- */

#define EPOCH_IN_ANSWER (sizeof("{\"result\":{\"offset\":1,\"epoch\":\"") - 1)

static void keep_history(void) {
    struct channel_options *o = &bench.config->rules.without_namespace;
    o->history_size = 3;
    o->history_ttl_s = 60;
    o->history_meta_ttl_s = 3600;
}

static void options_reach_the_broker(void **state) {
    (void)state;
    keep_history();
    post("/api/publish", "{\"channel\":\"news\",\"data\":1,\"skip_history\":true,\"delta\":true,"
                         "\"idempotency_key\":\"k\\u0065y\",\"version\":18446744073709551615,"
                         "\"version_epoch\":\"v\\n\"}");
    const struct publish_options *o = &open_publish()->options;
    assert_true(o->skips_history && o->makes_delta);
    assert_true(str_equal(o->idempotency_key, STR("key")));
    assert_true(o->version == UINT64_MAX);
    assert_true(str_equal(o->version_epoch, STR("v\n")));
    assert_int_equal(o->keep.size, 3);
    assert_int_equal(o->keep.ttl_ms, 60000);
    assert_int_equal(o->keep.meta_ttl_ms, 3600000);
    answer_all();
    expect_response(200, OK); /* it is not in the history */
}

static void options_that_are_not_given_are_not_set(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"channel\":\"news\",\"data\":1}",
        "{\"channel\":\"news\",\"data\":1,\"skip_history\":null,\"delta\":null,"
        "\"idempotency_key\":null,\"version\":null,\"version_epoch\":null}",
        "{\"channel\":\"news\",\"data\":1,\"skip_history\":false,\"delta\":false,"
        "\"idempotency_key\":\"\",\"version\":0,\"version_epoch\":\"\"}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        post("/api/publish", bodies[i]);
        const struct publish_options *o = &open_publish()->options;
        assert_false(o->skips_history || o->makes_delta || o->version || o->keep.size);
        assert_int_equal(o->idempotency_key.n + o->version_epoch.n, 0);
        answer_all();
    }
}

static void the_namespace_may_ask_for_deltas(void **state) {
    (void)state;
    bench.config->rules.without_namespace.delta_publish = true;
    post("/api/publish", "{\"channel\":\"news\",\"data\":1,\"delta\":false}");
    assert_true(open_publish()->options.makes_delta);
    answer_all();
}

static void the_position_is_told_where_there_is_history(void **state) {
    (void)state;
    char first[100];
    keep_history();
    post("/api/publish", "{\"channel\":\"news\",\"data\":1}");
    answer_all();
    snprintf(first, sizeof(first), "%.*s", STR_ARG(buf_str(&response.body)));
    assert_int_equal(strlen(first), EPOCH_IN_ANSWER + EPOCH_BYTES + 3);
    assert_true(response_has("{\"result\":{\"offset\":1,\"epoch\":\""));
    post("/api/publish", "{\"channel\":\"news\",\"data\":1}");
    answer_all();
    first[strlen("{\"result\":{\"offset\":")] = '2';
    expect_response(200, first);
}

static void options_of_a_wrong_type_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *option, *why;
    } rows[] = {
        {"\"skip_history\":1", REFUSED("\\\"skip_history\\\" must be true or false")},
        {"\"skip_history\":\"true\"", REFUSED("\\\"skip_history\\\" must be true or false")},
        {"\"delta\":\"fossil\"", REFUSED("\\\"delta\\\" must be true or false")},
        {"\"idempotency_key\":5", REFUSED("\\\"idempotency_key\\\" must be a string")},
        {"\"version_epoch\":5", REFUSED("\\\"version_epoch\\\" must be a string")},
    };
    static const char *const versions[] = {"-1",    "1.0", "1e3", "18446744073709551616",
                                           "\"1\"", "{}",  "true"};
    char body[100];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body), "{\"channel\":\"news\",\"data\":1,%s}", rows[i].option);
        expect_refused(body, 200, rows[i].why);
    }
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        snprintf(body, sizeof(body), "{\"channel\":\"news\",\"data\":1,\"version\":%s}",
                 versions[i]);
        expect_refused(body, 200,
                       REFUSED("\\\"version\\\" must be a number, 0 to 2^64-1, without sign and "
                               "fraction"));
    }
}

/* --- broadcast -------------------------------------------------------------------------------- */

static void a_broadcast_is_answered_when_the_last_one_is(void **state) {
    (void)state;
    assert_non_null(
        post("/api/broadcast", "{\"channels\":[\"a\",\"b\",\"c\"],\"data\":{\"x\":1}}"));
    assert_int_equal(stub()->call_count, 3);
    stub_answer_at(stub(), 2, BROKER_OK);
    stub_answer_at(stub(), 0, BROKER_OK);
    turn();
    assert_int_equal(answer_count, 0);
    stub_answer(stub());
    turn();
    assert_int_equal(answer_count, 1);
    expect_response(200, "{\"result\":{\"responses\":[" OK "," OK "," OK "]}}");
}

#define NO_CHANNEL REFUSED("\\\"channel\\\" must be a string that is not empty")
#define NO_CHANNELS REFUSED("\\\"channels\\\" must be a list of 1 to 10000 channels")

static void each_channel_of_a_broadcast_has_its_own_answer_in_order(void **state) {
    (void)state;
    assert_non_null(
        post("/api/broadcast", "{\"channels\":[\"a\",\"no:such\",\"\",\"b\",5,\"a\"],\"data\":1}"));
    assert_int_equal(stub()->call_count, 3);
    stub_answer_at(stub(), 1, BROKER_UNAVAILABLE); /* b */
    answer_all();
    expect_response(200, "{\"result\":{\"responses\":[" OK
                         "," ERROR("102", "unknown channel") "," NO_CHANNEL "," ERROR(
                             "100", "internal server error") "," NO_CHANNEL "," OK "]}}");
}

static void a_broadcast_of_errors_is_answered_at_once(void **state) {
    (void)state;
    assert_null(post("/api/broadcast", "{\"channels\":[\"no:such\"],\"data\":1}"));
    expect_response(200, "{\"result\":{\"responses\":[" ERROR("102", "unknown channel") "]}}");
}

static void a_broadcast_needs_channels(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"data\":1}",
        "{\"channels\":[],\"data\":1}",
        "{\"channels\":\"a\",\"data\":1}",
        "{\"channels\":{\"a\":\"b\"},\"data\":1}",
        "{\"channels\":null,\"data\":1}",
        "{\"channel\":\"a\",\"data\":1}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_null(post("/api/broadcast", bodies[i]));
        expect_response(200, NO_CHANNELS);
    }
    assert_null(post("/api/broadcast", "{\"channels\":[\"a\"]}"));
    expect_response(200, REFUSED("\\\"data\\\" is missing"));
    assert_int_equal(stub()->publishes_total, 0);
}

static void a_broadcast_has_a_limit_of_channels(void **state) {
    (void)state;
    struct buf body = {0};
    for (size_t count = CHANNELS_MAX; count <= CHANNELS_MAX + 1; count++) {
        buf_clear(&body);
        buf_add_z(&body, "{\"data\":1,\"channels\":[\"a\"");
        for (size_t i = 1; i < count; i++)
            buf_add_z(&body, ",\"a\"");
        buf_add_z(&body, "]}");
        struct api_call *call = post_bytes("/api/broadcast", buf_str(&body));
        assert_int_equal(call != NULL, count == CHANNELS_MAX);
        assert_int_equal(stub()->call_count, count == CHANNELS_MAX ? CHANNELS_MAX : 0);
        answer_all();
    }
    expect_response(200, NO_CHANNELS);
    buf_fini(&body);
}

static void an_abandoned_broadcast_is_not_answered(void **state) {
    (void)state;
    struct api_call *call = post("/api/broadcast", "{\"channels\":[\"a\",\"b\"],\"data\":1}");
    stub_answer(stub());
    turn();
    api_abandon(call);
    answer_all();
    assert_int_equal(answer_count, 0);
}

#define PUBLISH_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_stub, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PUBLISH_TEST(it_is_answered_when_the_broker_has_it),
        PUBLISH_TEST(subscribers_get_it),
        PUBLISH_TEST(payloads_pass_byte_for_byte),
        PUBLISH_TEST(unknown_members_are_let_through),
        PUBLISH_TEST(tags_are_an_object_of_strings),
        PUBLISH_TEST(bad_tags_are_refused),
        PUBLISH_TEST(base64_is_taken_when_it_holds_json),
        PUBLISH_TEST(other_base64_is_refused),
        PUBLISH_TEST(what_is_missing_or_wrong_is_a_bad_request),
        PUBLISH_TEST(a_namespace_must_exist),
        PUBLISH_TEST(the_api_may_publish_everywhere),
        PUBLISH_TEST(a_member_that_is_there_twice_is_refused),
        PUBLISH_TEST(a_publication_has_a_limit),
        PUBLISH_TEST(a_broker_that_fails_is_an_internal_error),
        PUBLISH_TEST(an_abandoned_call_is_not_answered),
        PUBLISH_TEST(options_reach_the_broker),
        PUBLISH_TEST(options_that_are_not_given_are_not_set),
        PUBLISH_TEST(the_namespace_may_ask_for_deltas),
        PUBLISH_TEST(the_position_is_told_where_there_is_history),
        PUBLISH_TEST(options_of_a_wrong_type_are_refused),
        PUBLISH_TEST(a_broadcast_is_answered_when_the_last_one_is),
        PUBLISH_TEST(each_channel_of_a_broadcast_has_its_own_answer_in_order),
        PUBLISH_TEST(a_broadcast_of_errors_is_answered_at_once),
        PUBLISH_TEST(a_broadcast_needs_channels),
        PUBLISH_TEST(a_broadcast_has_a_limit_of_channels),
        PUBLISH_TEST(an_abandoned_broadcast_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
