/* Requests of the server API as such: bodies that are no parameters, and errors as bodies or as
 * HTTP statuses.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_call.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

/* Answers as it is told: with the error that the parameters name. */
static void echo(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("error"), JSON_FIELD("status")};
    uint64_t error = 0, status = 0;
    assert_true(api_fields(c, params, f, 2));
    assert_true(api_u64(f[0].value, 1000, &error) && api_u64(f[1].value, 1000, &status));
    c->status = (int)status;
    if (error)
        api_fail(c, (enum api_error)error);
    else
        api_done(c);
}

static const struct api_method echo_method = {{"echo", 4}, echo, 0, false};
static const struct api_method lazy_method = {{"echo", 4}, echo, 0, true};

static void ask(const struct api_method *m, const char *body, const char *mode) {
    forget_response();
    const struct http_request q = {.body = str_of(body), .error_mode = str_of(mode)};
    const struct api_context x = {
        &bench.sessions, &node, &q, &response, {keep_answer, &answer_count}};
    assert_null(api_run(&x, m, &(struct api_caller){.scopes = API_SCOPES_EVERY}));
    assert_int_equal(answer_count, 0);
}

static void a_result_without_members_is_an_empty_object(void **state) {
    (void)state;
    ask(&echo_method, "{}", "");
    expect_response(200, "{\"result\":{}}");
    assert_string_equal(response.content_type, "application/json");
}

static void errors_have_centrifugos_form(void **state) {
    (void)state;
    static const struct {
        const char *question;
        int status;
        const char *body;
    } rows[] = {
        {"{\"error\":100}", 500,
         "{\"error\":{\"code\":100,\"message\":\"internal server error\"}}"},
        {"{\"error\":102}", 404, "{\"error\":{\"code\":102,\"message\":\"unknown channel\"}}"},
        {"{\"error\":104}", 404, "{\"error\":{\"code\":104,\"message\":\"not found\"}}"},
        {"{\"error\":107}", 400, "{\"error\":{\"code\":107,\"message\":\"bad request\"}}"},
        {"{\"error\":108}", 400, "{\"error\":{\"code\":108,\"message\":\"not available\"}}"},
        {"{\"error\":112}", 416,
         "{\"error\":{\"code\":112,\"message\":\"unrecoverable position\"}}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(&echo_method, rows[i].question, "");
        expect_response(200, rows[i].body);
        ask(&echo_method, rows[i].question, "transport");
        expect_response(rows[i].status, rows[i].body);
        ask(&echo_method, rows[i].question, "TransPort");
        expect_response(rows[i].status, rows[i].body);
        ask(&echo_method, rows[i].question, "transports");
        expect_response(200, rows[i].body);
    }
}

static void a_method_may_have_a_status_of_its_own(void **state) {
    (void)state;
    ask(&echo_method, "{\"error\":107,\"status\":413}", "");
    assert_int_equal(response.status, 413);
    ask(&echo_method, "{\"error\":107,\"status\":413}", "transport");
    assert_int_equal(response.status, 413);
}

static void why_it_is_refused_is_json(void **state) {
    (void)state;
    struct buf b = {0};
    api_add_error(&b, API_BAD_REQUEST, "a \"quoted\" word");
    assert_true(str_equal(
        buf_str(&b), STR("{\"code\":107,\"message\":\"bad request: a \\\"quoted\\\" word\"}")));
    buf_fini(&b);
}

static void what_is_no_json_is_told_so_with_the_place(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "{\"channel\":\"a\",\"data\":1}x",
                                        "{\"channel\":\"a\",\"data\":01}",
                                        "{\"channel\":\"a\",\"data\":\"\xff\"}",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ask(&echo_method, texts[i], "");
        assert_int_equal(response.status, 400);
        assert_true(str_starts(buf_str(&response.body), STR("the body is not valid JSON: ")));
        assert_true(response_has(" at byte "));
    }
}

static void what_is_no_object_is_told_so(void **state) {
    (void)state;
    static const char *const texts[] = {"[]", "\"x\"", "1", "null", "true"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ask(&echo_method, texts[i], "");
        expect_response(400, "the body must be a JSON object\n");
    }
}

static void a_method_may_need_no_body(void **state) {
    (void)state;
    ask(&lazy_method, "", "");
    expect_response(200, "{\"result\":{}}");
    ask(&lazy_method, " ", "");
    assert_int_equal(response.status, 400);
}

static void a_late_error_has_its_status_too(void **state) {
    (void)state;
    assert_non_null(request_as(&(struct http_request){.method = STR("POST"),
                                                      .path = STR("/api/publish"),
                                                      .body = STR("{\"channel\":\"a\",\"data\":1}"),
                                                      .error_mode = STR("transport")}));
    stub_fail(stub());
    turn();
    assert_int_equal(answer_count, 1);
    expect_response(500, "{\"error\":{\"code\":100,\"message\":\"internal server error\"}}");
}

#define CALL_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_stub, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CALL_TEST(a_result_without_members_is_an_empty_object),
        CALL_TEST(errors_have_centrifugos_form),
        CALL_TEST(a_method_may_have_a_status_of_its_own),
        CALL_TEST(why_it_is_refused_is_json),
        CALL_TEST(what_is_no_json_is_told_so_with_the_place),
        CALL_TEST(what_is_no_object_is_told_so),
        CALL_TEST(a_method_may_need_no_body),
        CALL_TEST(a_late_error_has_its_status_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
