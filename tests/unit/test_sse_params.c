/* What a request for a plain stream asks for: forms, JSON, queries, and what is wrong with them.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/net/sse_params.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char form[] = "application/x-www-form-urlencoded", json[] = "application/json";
static struct sse_params params;

static struct http_request post_of(const char *type, struct str body) {
    return (struct http_request){.method = STR("POST"), .content_type = str_of(type), .body = body};
}

static void expect_list(const struct http_request *q, struct str list) {
    sse_params_read(q, &params);
    assert_null(params.why);
    assert_int_equal(params.status, 0);
    assert_true(str_equal(buf_str(&params.list), list));
    sse_params_fini(&params);
}

static void expect_refusal(const struct http_request *q, int status, const char *text) {
    sse_params_read(q, &params);
    assert_int_equal(params.status, status);
    assert_non_null(strstr(params.why, text));
    sse_params_fini(&params);
}

static void a_get_has_them_in_its_query(void **state) {
    struct http_request q = {.method = STR("GET"),
                             .query = STR("channel=a\0channel=b\0"),
                             .body = STR("channel=c"),
                             .content_type = str_of(form)};
    (void)state;
    expect_list(&q, q.query);
    q.query = STR("channel=\0");
    expect_refusal(&q, 400, "name one channel");
    q.query = STR("channel=a\0channel=\0channel=b\0");
    expect_refusal(&q, 400, "it is empty");
}

static void a_post_has_them_in_its_body_and_then_in_its_query(void **state) {
    struct http_request q = post_of(form, STR("channel=a%2Fb&&last_event_id=1&event=channel"));
    (void)state;
    q.query = STR("channel=c\0last_event_id=2\0");
    expect_list(&q, STR("channel=a/b\0last_event_id=1\0event=channel\0channel=c\0"
                        "last_event_id=2\0"));
    q = post_of("Application/JSON ; charset=utf-8",
                STR("{\"event\":null,\"token\":\"t\",\"channels\":[\"a&b=c\",\"\\u00e9\"],\"x\":1,"
                    "\"last_event_id\":\"1\"}"));
    expect_list(&q, STR("channel=a&b=c\0channel=\xc3\xa9\0last_event_id=1\0token=t\0"));
}

static void other_types_are_refused(void **state) {
    static const char *const types[] = {"", "text/plain", ";", "application/json2",
                                        "application/x-www-form-urlencoded, text/plain"};
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct http_request q = post_of(types[i], STR("channel=a"));
        expect_refusal(&q, 415, "the Content-Type of a POST is");
    }
}

static void a_bad_body_is_refused_with_its_shape(void **state) {
    static const char *const bodies[] = {"",
                                         "[]",
                                         "{",
                                         "{}",
                                         "{\"channels\":{}}",
                                         "{\"channels\":[1]}",
                                         "{\"channels\":[null]}",
                                         "{\"channels\":[\"a\"]}{}",
                                         "{\"channels\":[\"a\\u0000b\"]}",
                                         "{\"channels\":[\"a\"],\"token\":[]}",
                                         "{\"channels\":[\"a\"],\"last_event_id\":1}",
                                         "{\"channels\":[\"a\"],\"event\":true}",
                                         "{\"channels\":[\"\xff\"]}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const struct http_request q = post_of(json, str_of(bodies[i]));
        expect_refusal(&q, 400, "the body is {\"channels\"");
    }
    const struct http_request nul = post_of(form, STR("channel=a\0b")),
                              encoded = post_of(form, STR("channel=a%00"));
    expect_refusal(&nul, 400, "NUL");
    expect_refusal(&encoded, 400, "NUL");
}

static void the_header_is_over_the_parameters(void **state) {
    struct http_request q = post_of(form, STR("channel=a&lastEventId=2"));
    (void)state;
    sse_params_read(&q, &params);
    assert_true(str_equal(sse_params_last_id(&params, &q), STR("2")));
    q.last_event_id = STR("3");
    assert_true(str_equal(sse_params_last_id(&params, &q), STR("3")));
    assert_false(sse_params_names_events(&params));
    sse_params_fini(&params);
}

static void long_ids_and_other_events_are_refused(void **state) {
    char id[SSE_ID_MAX_BYTES + 2];
    struct http_request q = post_of(form, STR("channel=a"));
    (void)state;
    memset(id, 'a', sizeof(id));
    q.last_event_id = (struct str){id, SSE_ID_MAX_BYTES};
    expect_list(&q, STR("channel=a\0"));
    q.last_event_id.n++;
    expect_refusal(&q, 400, "at most 1024 bytes");
    q = post_of(form, STR("channel=a&event=Channel"));
    expect_refusal(&q, 400, "event can only be channel");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_has_them_in_its_query),
        cmocka_unit_test(a_post_has_them_in_its_body_and_then_in_its_query),
        cmocka_unit_test(other_types_are_refused),
        cmocka_unit_test(a_bad_body_is_refused_with_its_shape),
        cmocka_unit_test(the_header_is_over_the_parameters),
        cmocka_unit_test(long_ids_and_other_events_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
