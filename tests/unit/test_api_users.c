/* The API methods on a user's connections: what they refuse. What they do is in test_user_calls.c,
 * what other nodes do in test_api_nodes.c.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_users.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

static const char *const methods[] = {"/api/subscribe", "/api/unsubscribe", "/api/disconnect",
                                      "/api/refresh", "/api/channels"};
enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

static void they_answer_when_it_is_done(void **state) {
    (void)state;
    for (size_t i = 0; i < METHODS; i++) {
        unsigned before = answer_count;
        assert_non_null(post(methods[i], "{\"user\":\"ann\",\"channel\":\"news\"}"));
        assert_int_equal(answer_count, before);
        turn();
        assert_int_equal(answer_count, before + 1);
        expect_response(200,
                        i + 1 < METHODS ? "{\"result\":{}}" : "{\"result\":{\"channels\":{}}}");
    }
}

static void nobody_waits_for_an_abandoned_answer(void **state) {
    (void)state;
    for (size_t i = 0; i < METHODS; i++) {
        struct api_call *call = post(methods[i], "{\"channel\":\"news\"}");
        assert_non_null(call);
        api_abandon(call);
        turn();
    }
    assert_int_equal(answer_count, 0);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        const char *path, *body, *why;
    } rows[] = {
        {"subscribe", "{\"channel\":\"\"}", "channel"},
        {"subscribe", "{\"channel\":\"a\",\"user\":1}", "user"},
        {"subscribe", "{\"channel\":\"a\",\"client\":[]}", "client"},
        {"subscribe", "{\"channel\":\"a\",\"b64info\":\"ew==\"}", "b64info"},
        {"subscribe", "{\"channel\":\"a\",\"b64data\":1}", "b64data"},
        {"subscribe", "{\"channel\":\"a\",\"expire_at\":1}", "future"},
        {"subscribe", "{\"channel\":\"a\",\"expire_at\":9223372036854775807}", "expire_at"},
        {"subscribe", "{\"channel\":\"a\",\"recover_since\":[]}", "recover_since"},
        {"subscribe", "{\"channel\":\"a\",\"recover_since\":{\"offset\":-1}}", "recover_since"},
        {"subscribe", "{\"channel\":\"a\",\"override\":{\"presence\":{\"value\":1}}}", "override"},
        {"unsubscribe", "{}", "channel"},
        {"unsubscribe", "{\"channel\":\"a\",\"session\":1}", "session"},
        {"disconnect", "{\"disconnect\":{}}", "code"},
        {"disconnect", "{\"disconnect\":{\"code\":65536}}", "code"},
        {"disconnect", "{\"disconnect\":{\"code\":4000,\"reason\":1}}", "reason"},
        {"disconnect", "{\"whitelist\":{}}", "whitelist"},
        {"disconnect", "{\"whitelist\":[\"a\",null]}", "whitelist"},
        {"refresh", "{\"expired\":\"yes\"}", "expired"},
        {"refresh", "{\"expire_at\":1.5}", "expire_at"},
        {"refresh", "{\"user\":\"a\",\"user\":\"b\"}", "twice"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[32];
        snprintf(path, sizeof(path), "/api/%s", rows[i].path);
        assert_null(post(path, rows[i].body));
        if (!response_has("{\"error\":{\"code\":107,") || !response_has(rows[i].why))
            fail_msg("%s %s: %.*s", path, rows[i].body, STR_ARG(buf_str(&response.body)));
    }
}

/* An id that is written with escapes is the same id. */
static void a_whitelist_is_decoded(void **state) {
    (void)state;
    struct wire *spared = open_connected(), *other = open_connected();
    struct buf body = {0};
    buf_add_z(&body, "{\"whitelist\":[\"short\",\"\\u00");
    buf_printf(&body, "%02x%.*s\"]}", (unsigned)spared->client->id[0], CLIENT_ID_BYTES - 1,
               spared->client->id + 1);
    post_bytes("/api/disconnect", buf_str(&body));
    buf_fini(&body);
    turn();
    expect_response(200, "{\"result\":{}}");
    expect_lines(spared, "");
    expect_lines(other, "bye force disconnect\n");
}

#define API_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_memory, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(they_answer_when_it_is_done),
        API_TEST(nobody_waits_for_an_abandoned_answer),
        API_TEST(what_is_wrong_is_said),
        API_TEST(a_whitelist_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
