/* The Centrifugo protocol for who has a name: tokens, their channels and their end, presence,
 * joins.
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

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static const struct str secret = {"a secret of at least 32 bytes, so that", 38};

/* A connect or refresh command with a token that ends so many seconds from now; 0: never. */
static void say_token(struct wire *w, const char *command, struct str user, int64_t ttl_s) {
    static const struct str channels[] = {{"a", 1}, {"b", 1}};
    struct buf message = {0};
    fake_us += 1000000 - fake_us % 1000000; /* tokens know whole seconds only */
    turn();
    bench.config->client_insecure = false; /* there, tokens do not expire */
    bench.sessions.keys.hmac_secret = secret;
    buf_printf(&message, "{\"id\":1,\"%s\":{\"token\":\"", command);
    token_make(&(struct token_request){.user = user,
                                       .info = STR("{\"name\":\"Al\"}"),
                                       .channels = channels,
                                       .channel_count = 2,
                                       .issued_at_s = clock_wall_ms() / 1000,
                                       .expires_at_s = ttl_s ? clock_wall_ms() / 1000 + ttl_s : 0},
               secret, &message);
    buf_add_z(&message, "\"}}");
    wire_receive(w, buf_str(&message));
    buf_fini(&message);
    turn();
}

#define WITH_TOKEN(more)                                                                           \
    "{\"id\":1,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION                      \
    "\",\"ping\":25,\"pong\":true," more "\"subs\":{\"a\":{},\"b\":{}}}}\n"

static void a_token_gives_user_channels_and_an_end(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, "connect", STR("alice"), 100);
    expect_frames(w, WITH_TOKEN("\"expires\":true,\"ttl\":100,"));
    say(w, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    turn();
    bench.config->rules.is_insecure = false; /* its own channels it may read all the same */
    expect_frames(w,
                  "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1,\"info\":{\"user\":\"alice\","
                  "\"client\":\"@\",\"conn_info\":{\"name\":\"Al\"}}}}}\n"
                  "{\"id\":2,\"publish\":{}}\n");
}

static void a_token_may_have_no_end(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, "connect", STR("alice"), 0);
    expect_frames(w, WITH_TOKEN(""));
}

static void an_expired_token_is_an_error_not_an_end(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, "connect", STR("alice"), -1);
    expect_frames(w, "{\"id\":1,\"error\":{\"code\":109,\"message\":\"token expired\"}}\n");
    say(w, "{\"id\":2,\"rpc\":{}}"); /* but of no use any more */
    turn();
    expect_frames(w, BAD_REQUEST);
}

static void a_connection_ends_some_time_after_its_token(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    bench.config->client_ping_interval_ms = 3600000;
    say_token(w, "connect", STR("alice"), 100);
    wire_news(w);
    pass_ms(100000 + 25000 - WHEEL_TICK_MS);
    expect_frames(w, "");
    pass_ms(3 * WHEEL_TICK_MS);
    expect_frames(w, "CLOSE 3005 connection expired\n");
}

static void a_new_token_prolongs_the_connection(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    bench.config->client_ping_interval_ms = 3600000;
    say_token(w, "connect", STR("alice"), 100);
    wire_news(w);
    pass_ms(90000);
    say_token(w, "refresh", STR("alice"), 200);
    expect_frames(w, "{\"id\":1,\"refresh\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION
                     "\",\"expires\":true,\"ttl\":200}}\n");
    pass_ms(200000);
    expect_frames(w, "");
    say_token(w, "refresh", STR("alice"), -1);
    expect_frames(w, "CLOSE 3005 connection expired\n");
}

static void a_token_of_somebody_else_is_invalid(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, "connect", STR("alice"), 100);
    wire_news(w);
    say_token(w, "refresh", STR("bob"), 100);
    expect_frames(w, "CLOSE 3500 invalid token\n");
}

/* --- presence --------------------------------------------------------------------------------- */

static void presence_names_members_and_counts_them(void **state) {
    (void)state;
    bench.config->rules.without_namespace.presence = true;
    struct wire *w = open_connected();
    say(w, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"presence\":{\"channel\":"
           "\"a\"}}\n"
           "{\"id\":4,\"presence_stats\":{\"channel\":\"a\"}}\n"
           "{\"id\":5,\"presence\":{\"channel\":\"b\"}}\n"
           "{\"id\":6,\"presence_stats\":{\"channel\":\"b\"}}");
    turn();
    expect_frames(
        w, "{\"id\":2,\"subscribe\":{}}\n"
           "{\"id\":3,\"presence\":{\"presence\":{\"@\":{\"user\":\"\",\"client\":\"@\"}}}}\n"
           "{\"id\":4,\"presence_stats\":{\"num_clients\":1,\"num_users\":1}}\n"
           "{\"id\":5,\"presence\":{\"presence\":{}}}\n"
           "{\"id\":6,\"presence_stats\":{\"num_clients\":0,\"num_users\":0}}\n");
}

static void joins_are_pushed_to_who_asks(void **state) {
    (void)state;
    bench.config->rules.without_namespace.join_leave = true;
    struct wire *w = open_connected();
    say(w, "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"join_leave\":true}}");
    turn();
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n"
                     "{\"push\":{\"channel\":\"a\",\"join\":{\"info\":{\"user\":\"\","
                     "\"client\":\"@\"}}}}\n");
}

#define IDENTITY_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        IDENTITY_TEST(a_token_gives_user_channels_and_an_end),
        IDENTITY_TEST(a_token_may_have_no_end),
        IDENTITY_TEST(an_expired_token_is_an_error_not_an_end),
        IDENTITY_TEST(a_connection_ends_some_time_after_its_token),
        IDENTITY_TEST(a_new_token_prolongs_the_connection),
        IDENTITY_TEST(a_token_of_somebody_else_is_invalid),
        IDENTITY_TEST(presence_names_members_and_counts_them),
        IDENTITY_TEST(joins_are_pushed_to_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
