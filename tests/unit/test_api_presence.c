/* The methods presence and presence_stats: who is in a channel, byte for byte, and what is refused.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_presence.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

static int start(void **state) {
    (void)state;
    api_start(stub_broker_create);
    bench.config->rules.without_namespace.presence = true;
    return 0;
}

static const char *const both[] = {"/api/presence", "/api/presence_stats"};

static void ask(const char *path, const char *body) {
    assert_non_null(post(path, body));
    assert_int_equal(stub()->call_count, 1);
    stub_answer(stub());
    turn();
    assert_int_equal(answer_count, 1);
    answer_count = 0;
}

static void enter(const char *user, const char *client, const char *conn_info,
                  const char *chan_info) {
    struct msg *m = msg_create(&(struct msg_parts){.kind = MSG_JOIN,
                                                   .channel = STR("news"),
                                                   .user = str_of(user),
                                                   .client = str_of(client),
                                                   .conn_info = str_of(conn_info),
                                                   .chan_info = str_of(chan_info)});
    presence_join(&stub()->members, m);
    msg_unref(m);
}

static void leave(const char *client) {
    presence_leave(&stub()->members, STR("news"), str_of(client));
}

static void nobody_is_an_empty_object(void **state) {
    (void)state;
    ask("/api/presence", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{\"presence\":{}}}");
    ask("/api/presence_stats", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{\"num_clients\":0,\"num_users\":0}}");
}

static void a_member_is_told_with_its_infos(void **state) {
    (void)state;
    enter("u\"1", "c1", "{\"n\":1}", "[2]");
    ask("/api/presence", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{\"presence\":{\"c1\":{\"user\":\"u\\\"1\",\"client\":\"c1\","
                         "\"conn_info\":{\"n\":1},\"chan_info\":[2]}}}}");
    leave("c1");
    enter("", "c2", "", "");
    ask("/api/presence", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{\"presence\":{\"c2\":{\"user\":\"\",\"client\":\"c2\"}}}}");
    leave("c2");
}

static void stats_count_users_once(void **state) {
    (void)state;
    enter("ann", "c1", "", "");
    enter("ann", "c2", "", "");
    enter("bob", "c3", "", "");
    ask("/api/presence_stats", "{\"channel\":\"news\"}");
    expect_response(200, "{\"result\":{\"num_clients\":3,\"num_users\":2}}");
    leave("c1");
    leave("c2");
    leave("c3");
}

static void only_channels_with_presence_have_it(void **state) {
    (void)state;
    bench.config->rules.without_namespace.presence = false;
    for (int i = 0; i < 2; i++) {
        assert_null(post(both[i], "{\"channel\":\"news\"}"));
        expect_response(200, ERROR("108", "not available"));
        assert_null(post(both[i], "{\"channel\":\"no:such\"}"));
        expect_response(200, ERROR("102", "unknown channel"));
        assert_null(post(both[i], "{\"channel\":7}"));
        expect_response(200,
                        ERROR("107", "bad request: \\\"channel\\\" must be a string that is not "
                                     "empty"));
    }
}

static void a_broker_that_fails_is_an_internal_error(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_non_null(post(both[i], "{\"channel\":\"news\"}"));
        stub_fail(stub());
        turn();
        expect_response(200, ERROR("100", "internal server error"));
    }
}

static void an_abandoned_call_is_not_answered(void **state) {
    (void)state;
    enter("ann", "c1", "", "");
    for (int i = 0; i < 2; i++) {
        api_abandon(post(both[i], "{\"channel\":\"news\"}"));
        stub_answer(stub());
        turn();
    }
    assert_int_equal(answer_count, 0);
    leave("c1");
}

#define PRESENCE_TEST(f) cmocka_unit_test_setup_teardown(f, start, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PRESENCE_TEST(nobody_is_an_empty_object),
        PRESENCE_TEST(a_member_is_told_with_its_infos),
        PRESENCE_TEST(stats_count_users_once),
        PRESENCE_TEST(only_channels_with_presence_have_it),
        PRESENCE_TEST(a_broker_that_fails_is_an_internal_error),
        PRESENCE_TEST(an_abandoned_call_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
