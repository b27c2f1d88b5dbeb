/* The HTTP side: which request gets where, by path, method and key.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/secret.h"
#include "tests/unit/api_testing.h"

/* The status of the check alone; 0: go on. */
static int check(const char *method, const char *path) {
    forget_response();
    return api_precheck(&bench.sessions, &node,
                        &(struct http_request){.method = str_of(method), .path = str_of(path)},
                        &response);
}

static void expect_method(const char *path, const char *allow) {
    static const char *const verbs[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        bool is_good = strstr(allow, verbs[i]) != NULL;
        assert_int_equal(check(verbs[i], path), is_good ? 0 : 405);
        assert_string_equal(response.allow, is_good ? "" : allow);
    }
}

static void each_path_has_its_methods(void **state) {
    (void)state;
    char path[64];
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        snprintf(path, sizeof(path), "/api/%.*s", STR_ARG(methods[i].name));
        expect_method(path, "POST");
    }
    expect_method("/health", "GET, HEAD");
    expect_method("/ready", "GET, HEAD");
    expect_method("/metrics", "GET, HEAD");
    bench.config->demo_enabled = true;
    expect_method("/", "GET, HEAD");
    expect_method("/anything.js", "GET, HEAD");
}

/* Their lengths are counted by hand. */
static void names_are_found(void **state) {
    (void)state;
    for (size_t i = 0; i < METHOD_COUNT; i++)
        assert_ptr_equal(api_find_method(str_of(methods[i].name.p)), &methods[i]);
    assert_null(api_find_method(STR("")));
}

static void other_paths_are_not_found(void **state) {
    (void)state;
    static const char *const paths[] = {"/",         "",         "/x",           "/apis/publish",
                                        "/api2",     "/health/", "/Health",      "/healthz",
                                        "/metricsx", "//health", "/API/publish", "api/publish"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(check("GET", paths[i]), 404);
        assert_int_equal(check("POST", paths[i]), 404);
    }
}

static void what_is_switched_off_is_not_found(void **state) {
    (void)state;
    bench.config->http_api_disabled = true;
    bench.config->health_enabled = false;
    bench.config->prometheus_enabled = false;
    assert_int_equal(check("POST", "/api/publish"), 404);
    assert_int_equal(check("GET", "/health"), 404);
    assert_int_equal(check("GET", "/ready"), 404);
    assert_int_equal(check("GET", "/metrics"), 404);
}

static void an_unknown_method_of_the_api_is_told_with_those_there_are(void **state) {
    (void)state;
    static const char *const paths[] = {"/api", "/api/", "/api/rpc", "/api/publish/",
                                        "/api/Publish"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_null(request("POST", paths[i]));
        assert_int_equal(response.status, 404);
        assert_true(response_has("{\"error\":{\"code\":104,\"message\":\"method not found\"},"
                                 "\"methods\":[\"publish\",\"broadcast\","));
        for (size_t m = 0; m < METHOD_COUNT; m++)
            assert_true(response_has(methods[m].name.p));
    }
}

/* --- keys ------------------------------------------------------------------------------------- */

enum way { BY_HEADER, BY_AUTHORIZATION, BY_QUERY, WAYS };

static int check_key(enum way way, struct str given) {
    struct http_request q = {.method = STR("POST"), .path = STR("/api/publish")};
    if (way == BY_HEADER)
        q.api_key = given;
    else if (way == BY_AUTHORIZATION)
        q.authorization = given;
    else
        q.query = given;
    forget_response();
    return api_precheck(&bench.sessions, &node, &q, &response);
}

static void use_key(const char *key) {
    secret_free(bench.config->http_api_key);
    bench.config->http_api_key = secret_copy(str_of(key));
    bench.config->http_api_insecure = false;
}

static void the_key_may_come_in_three_ways(void **state) {
    (void)state;
    use_key("s3cret");
    assert_int_equal(check_key(BY_HEADER, STR("s3cret")), 0);
    assert_int_equal(check_key(BY_AUTHORIZATION, STR("apikey s3cret")), 0);
    assert_int_equal(check_key(BY_AUTHORIZATION, STR("ApiKey  s3cret ")), 0);
    assert_int_equal(check_key(BY_QUERY, STR("api_key=s3cret\0")), 0);
    assert_int_equal(check_key(BY_QUERY, STR("a=b\0api_key=s3cret\0c=d\0")), 0);
}

static void any_other_key_is_refused(void **state) {
    (void)state;
    static const struct {
        enum way way;
        struct str given;
    } rows[] = {
        {BY_HEADER, {NULL, 0}},
        {BY_HEADER, {"", 0}},
        {BY_HEADER, {"s3cre", 5}},
        {BY_HEADER, {"s3cretx", 7}},
        {BY_HEADER, {"S3CRET", 6}},
        {BY_HEADER, {"s3cret\0", 7}},
        {BY_AUTHORIZATION, {"s3cret", 6}},
        {BY_AUTHORIZATION, {"Bearer s3cret", 13}},
        {BY_AUTHORIZATION, {"apikey", 6}},
        {BY_AUTHORIZATION, {"apikey ", 7}},
        {BY_AUTHORIZATION, {"apikeys3cret", 12}},
        {BY_QUERY, {"api_key=\0", 9}},
        {BY_QUERY, {"api_key\0", 8}},
        {BY_QUERY, {"xapi_key=s3cret\0", 16}},
        {BY_QUERY, {"API_KEY=s3cret\0", 15}},
        {BY_QUERY, {"a=api_key=s3cret\0", 17}},
        {BY_QUERY, {"api_key=wrong\0api_key=s3cret\0", 29}}, /* the first counts */
    };
    use_key("s3cret");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(check_key(rows[i].way, rows[i].given), 401);
    assert_string_equal(response.headers, "WWW-Authenticate: apikey\r\n");
    assert_false(response_has("s3cret"));
}

static void a_wrong_key_is_not_made_good_by_another(void **state) {
    (void)state;
    use_key("s3cret");
    struct http_request q = {.method = STR("POST"),
                             .path = STR("/api/publish"),
                             .api_key = STR("wrong"),
                             .authorization = STR("apikey s3cret"),
                             .query = STR("api_key=s3cret\0")};
    forget_response();
    assert_int_equal(api_precheck(&bench.sessions, &node, &q, &response), 401);
}

static void without_a_configured_key_nobody_may(void **state) {
    (void)state;
    use_key("");
    for (int way = 0; way < WAYS; way++)
        assert_int_equal(check_key((enum way)way, STR("")), 401);
    assert_int_equal(check_key(BY_QUERY, STR("api_key=\0")), 401);
}

static void who_has_no_key_learns_nothing(void **state) {
    (void)state;
    use_key("s3cret");
    assert_int_equal(check("POST", "/api/publish"), 401);
    assert_int_equal(check("GET", "/api/publish"), 401);
    assert_int_equal(check("POST", "/api/no_such_method"), 401);
    assert_int_equal(check("POST", "/api"), 401);
    assert_int_equal(check("GET", "/health"), 0); /* needs none */
    assert_int_equal(check("GET", "/metrics"), 0);
}

static void an_insecure_api_needs_no_key(void **state) {
    (void)state;
    use_key("s3cret");
    bench.config->http_api_insecure = true;
    assert_int_equal(check_key(BY_HEADER, STR("wrong")), 0);
    assert_int_equal(check_key(BY_HEADER, STR_NONE), 0);
}

/* --- responses -------------------------------------------------------------------------------- */

static void a_text_replaces_what_was_there(void **state) {
    (void)state;
    http_response_json(&response, 200, STR("{\"a\":1}"));
    assert_string_equal(response.content_type, "application/json");
    http_response_text(&response, 500, "no");
    expect_response(500, "no\n");
    assert_string_equal(response.content_type, "text/plain; charset=utf-8");
}

/* --- keys of the file ------------------------------------------------------------------------- */

#define PUBLISHER "publisher-key-0123456789abcdefghi"
#define READER "reader-key-0123456789abcdefghijkl"
#define MASTER "master-key-0123456789abcdefghijkl"

static void use_ring_of_three(void) {
    static const struct {
        const char *name, *scopes, *key;
    } rows[] = {{"publisher", "\"publish\"", PUBLISHER},
                {"reader", "\"read\"", READER},
                {"master", "\"all\"", MASTER}};
    struct buf text = {0}, why = {0};
    for (size_t i = 0; i < 3; i++) {
        buf_printf(&text, "%s{\"name\":\"%s\",\"scopes\":[%s],\"hash\":\"", i ? "," : "{\"keys\":[",
                   rows[i].name, rows[i].scopes);
        api_key_hash(str_of(rows[i].key), &text);
        buf_add_z(&text, "\"}");
    }
    buf_add_z(&text, "]}");
    struct api_keys *keys = api_keys_parse(buf_str(&text), &why);
    assert_non_null(keys);
    node.keyring = api_keyring_create();
    api_keyring_replace(node.keyring, keys);
    bench.config->http_api_insecure = false;
    buf_fini(&text);
}

static void forget_ring(void) {
    api_keyring_destroy(node.keyring);
    node.keyring = NULL;
}

static void each_method_needs_its_scope(void **state) {
    (void)state;
    use_ring_of_three();
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        char path[64];
        struct http_request q = {.method = STR("POST")};
        unsigned scope = methods[i].scope;
        snprintf(path, sizeof(path), "/api/%.*s", STR_ARG(methods[i].name));
        q.path = str_of(path);
        const struct {
            const char *key;
            bool is_good;
        } rows[] = {{PUBLISHER, !scope || scope == API_SCOPE_PUBLISH},
                    {READER, !scope || scope == API_SCOPE_READ},
                    {MASTER, true}};
        for (size_t k = 0; k < 3; k++) {
            q.api_key = str_of(rows[k].key);
            forget_response();
            assert_int_equal(api_precheck(&bench.sessions, &node, &q, &response),
                             rows[k].is_good ? 0 : 403);
            if (!rows[k].is_good)
                assert_true(response_has(api_scope_name(scope)));
        }
    }
    forget_ring();
}

static void a_batch_may_do_no_more_than_its_key(void **state) {
    (void)state;
    use_ring_of_three();
    request_as(&(struct http_request){
        .method = STR("POST"),
        .path = STR("/api/batch"),
        .api_key = STR(READER),
        .body = STR("{\"commands\":[{\"publish\":{\"channel\":\"a\",\"data\":1}},"
                    "{\"disconnect\":{\"user\":\"1\"}}]}")});
    expect_response(200, "{\"result\":{\"replies\":["
                         "{\"error\":{\"code\":103,\"message\":\"permission denied: this API key "
                         "lacks the scope \\\"publish\\\"\"}},"
                         "{\"error\":{\"code\":103,\"message\":\"permission denied: this API key "
                         "lacks the scope \\\"all\\\"\"}}]}}");
    request("GET", "/metrics");
    assert_true(
        response_has("carillon_api_key_calls_total{key=\"reader\",result=\"allowed\"} 1\n"));
    assert_true(response_has("carillon_api_key_calls_total{key=\"reader\",result=\"denied\"} 2\n"));
    assert_false(response_has(READER));
    forget_ring();
}

#define API_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_memory, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(each_path_has_its_methods),
        API_TEST(names_are_found),
        API_TEST(other_paths_are_not_found),
        API_TEST(what_is_switched_off_is_not_found),
        API_TEST(an_unknown_method_of_the_api_is_told_with_those_there_are),
        API_TEST(the_key_may_come_in_three_ways),
        API_TEST(any_other_key_is_refused),
        API_TEST(a_wrong_key_is_not_made_good_by_another),
        API_TEST(without_a_configured_key_nobody_may),
        API_TEST(who_has_no_key_learns_nothing),
        API_TEST(an_insecure_api_needs_no_key),
        API_TEST(each_method_needs_its_scope),
        API_TEST(a_batch_may_do_no_more_than_its_key),
        API_TEST(a_text_replaces_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
