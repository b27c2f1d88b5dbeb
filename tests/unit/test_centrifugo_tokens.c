/* The Centrifugo protocol for subscription tokens, capabilities and tokens with options: what is
 * answered, and when a subscription ends, on a clock that is moved by hand.
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

static const struct str secret = {"a secret of at least 32 bytes, so that", 38};

static int start(void **state) {
    (void)state;
    bench_start(broker_memory_create);
    bench.config->client_insecure = false; /* there, tokens do not expire */
    bench.config->rules.is_insecure = false;
    bench.config->client_ping_interval_ms = 3600000;
    bench.sessions.keys.hmac_secret = secret;
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

/* The command with its one % replaced by a token of these claims, whose one @ is the client's id
 * and whose one # is the time so many seconds from now. */
static void say_token(struct wire *w, const char *command, const char *claims, int64_t seconds) {
    struct buf payload = {0}, message = {0};
    fake_us += 1000000 - fake_us % 1000000; /* tokens know whole seconds only */
    turn();
    for (const char *at = claims; *at; at++)
        if (*at == '@')
            buf_add(&payload, (struct str){w->client->id, CLIENT_ID_BYTES});
        else if (*at == '#')
            buf_printf(&payload, "%lld", (long long)(clock_wall_ms() / 1000 + seconds));
        else
            buf_add_char(&payload, *at);
    for (const char *at = command; *at; at++)
        if (*at == '%')
            jws_sign(buf_str(&payload), secret, &message);
        else
            buf_add_char(&message, *at);
    wire_receive(w, buf_str(&message));
    turn();
    buf_fini(&payload);
    buf_fini(&message);
}

#define CONNECT "{\"id\":1,\"connect\":{\"token\":\"%\"}}"
#define SUBSCRIBE "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"%\"}}"
#define REFRESH "{\"id\":3,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"%\"}}"
#define ANSWER(id, code, text)                                                                     \
    "{\"id\":" id ",\"error\":{\"code\":" code ",\"message\":\"" text "\"}}\n"
#define ENDED                                                                                      \
    "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2501,\"reason\":\"subscription "       \
    "expired\"}}}\n"
#define INVALID "CLOSE 3500 invalid token\n"

static struct wire *open_with(const char *claims) {
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, CONNECT, claims, 0);
    wire_news(w);
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    return w;
}

#define ALICE "{\"sub\":\"alice\"}"

static void a_token_is_for_one_channel_user_and_client(void **state) {
    (void)state;
    static const struct {
        const char *claims, *frames;
    } rows[] = {
        {"{\"sub\":\"alice\",\"channel\":\"a\"}", "{\"id\":2,\"subscribe\":{}}\n"},
        {"{\"sub\":\"alice\",\"channel\":\"a\",\"client\":\"@\"}", "{\"id\":2,\"subscribe\":{}}\n"},
        {"{\"sub\":\"alice\",\"channel\":\"b\"}", INVALID},
        {"{\"sub\":\"alice\",\"channel\":\"aa\"}", INVALID},
        {"{\"sub\":\"bob\",\"channel\":\"a\"}", INVALID},
        {"{\"channel\":\"a\"}", INVALID},
        {"{\"sub\":\"alice\",\"channel\":\"a\",\"client\":\"x\"}", INVALID},
        {"{\"sub\":\"alice\"}", ANSWER("2", "103", "permission denied")},
        {"{\"sub\":\"alice\",\"channel\":\"\"}", ANSWER("2", "103", "permission denied")},
        {"{\"sub\":\"alice\",\"channel\":\"a\",\"exp\":#}", ANSWER("2", "109", "token expired")},
        {"{\"sub\":\"bob\",\"channel\":\"a\",\"exp\":#}", ANSWER("2", "109", "token expired")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *w = open_with(ALICE);
        say_token(w, SUBSCRIBE, rows[i].claims, 0);
        expect_frames(w, rows[i].frames);
        wire_free(w);
    }
}

static void a_token_of_nobody_is_for_nobody(void **state) {
    (void)state;
    struct wire *w = open_with("{}");
    say_token(w, SUBSCRIBE, "{\"channel\":\"a\"}", 0);
    expect_frames(w, "{\"id\":2,\"subscribe\":{}}\n");
    w = open_with("{}");
    say_token(w, SUBSCRIBE, "{\"channel\":\"a\",\"sub\":\"alice\"}", 0);
    expect_frames(w, INVALID);
}

#define UNTIL "{\"sub\":\"alice\",\"channel\":\"a\",\"exp\":#}"

static void a_subscription_ends_some_time_after_its_token(void **state) {
    (void)state;
    struct wire *w = open_with(ALICE);
    say_token(w, SUBSCRIBE, UNTIL, 100);
    expect_frames(w, "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":100}}\n");
    pass_ms(100000 + 25000 - WHEEL_TICK_MS);
    expect_frames(w, "");
    pass_ms(3 * WHEEL_TICK_MS);
    expect_frames(w, ENDED);
    assert_int_equal(w->client->subscription_count, 0);
    say_token(w, SUBSCRIBE, UNTIL, 100); /* with a new token it comes back */
    expect_frames(w, "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":100}}\n");
}

static void a_new_token_prolongs_a_subscription(void **state) {
    (void)state;
    struct wire *w = open_with(ALICE);
    say_token(w, SUBSCRIBE, UNTIL, 100);
    wire_news(w);
    pass_ms(110000);
    say_token(w, REFRESH, UNTIL, 200);
    expect_frames(w, "{\"id\":3,\"sub_refresh\":{\"expires\":true,\"ttl\":200}}\n");
    pass_ms(200000 + 20000);
    expect_frames(w, "");
    pass_ms(6000);
    expect_frames(w, ENDED);
    say_token(w, SUBSCRIBE, UNTIL, 100);
    wire_news(w);
    say_token(w, REFRESH, "{\"sub\":\"alice\",\"channel\":\"a\"}", 0);
    expect_frames(w, "{\"id\":3,\"sub_refresh\":{}}\n"); /* it does not end any more */
    pass_ms(200000);
    expect_frames(w, "");
}

static void expire_at_counts_instead_of_exp(void **state) {
    (void)state;
    struct wire *w = open_with(ALICE);
    say_token(w, SUBSCRIBE,
              "{\"sub\":\"alice\",\"channel\":\"a\",\"exp\":9999999999,\"expire_at\":#}", 50);
    expect_frames(w, "{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":50}}\n");
    say_token(w, "{\"id\":3,\"subscribe\":{\"channel\":\"b\",\"token\":\"%\"}}",
              "{\"sub\":\"alice\",\"channel\":\"b\",\"exp\":#,\"expire_at\":0}", 50);
    expect_frames(w, "{\"id\":3,\"subscribe\":{}}\n");
    pass_ms(90000);
    expect_frames(w, ENDED);
    assert_int_equal(w->client->subscription_count, 1);
}

static void sub_refresh_is_answered_row_by_row(void **state) {
    (void)state;
    static const struct {
        const char *claims, *frames;
    } rows[] = {
        {"{\"sub\":\"alice\",\"channel\":\"a\",\"exp\":#}", ANSWER("3", "110", "expired")},
        {"{\"sub\":\"alice\",\"channel\":\"b\"}", INVALID},
        {"{\"sub\":\"bob\",\"channel\":\"a\"}", INVALID},
        {"{\"sub\":\"alice\"}", INVALID},
        {"{\"sub\":\"alice\",\"channel\":\"a\",\"client\":\"x\"}", INVALID},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *w = open_with(ALICE);
        say_token(w, SUBSCRIBE, UNTIL, 100);
        wire_news(w);
        say_token(w, REFRESH, rows[i].claims, 0);
        expect_frames(w, rows[i].frames);
        wire_free(w);
    }
    struct wire *w = open_with("{\"sub\":\"alice\",\"channels\":[\"a\"]}");
    say_token(w, REFRESH, UNTIL, 100); /* the server's, not the client's */
    expect_frames(w, ANSWER("3", "103", "permission denied"));
    say_token(w, "{\"id\":4,\"sub_refresh\":{\"channel\":\"b\",\"token\":\"%\"}}", UNTIL, 100);
    expect_frames(w, ANSWER("4", "103", "permission denied"));
    say(w, "{\"id\":5,\"sub_refresh\":{\"channel\":\"a\"}}");
    turn();
    expect_frames(w, ANSWER("5", "103", "permission denied"));
}

static void a_token_gives_data_info_and_options(void **state) {
    (void)state;
    bench.config->rules.without_namespace.history_size = 10;
    bench.config->rules.without_namespace.history_ttl_s = 60;
    struct wire *w = open_with(ALICE);
    say_token(w, SUBSCRIBE,
              "{\"sub\":\"alice\",\"channel\":\"a\",\"info\":{\"n\":1},\"data\":[2],\"allow\":"
              "[\"pub\",\"hst\"],\"override\":{\"join_leave\":{\"value\":true},"
              "\"force_push_join_leave\":{\"value\":true}}}",
              0);
    turn();
    expect_frames(w, "{\"id\":2,\"subscribe\":{\"data\":[2]}}\n"
                     "{\"push\":{\"channel\":\"a\",\"join\":{\"info\":{\"user\":\"alice\","
                     "\"client\":\"@\",\"chan_info\":{\"n\":1}}}}}\n");
    say(w, "{\"id\":3,\"presence\":{\"channel\":\"a\"}}\n{\"id\":4,\"publish\":{\"channel\":\"b\","
           "\"data\":1}}\n{\"id\":5,\"unsubscribe\":{\"channel\":\"a\"}}\n"
           "{\"id\":6,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    turn();
    expect_frames(
        w,
        ANSWER("3", "108", "not available") ANSWER(
            "4", "103",
            "permission denied") "{\"id\":5,\"unsubscribe\":{}}\n" /* and the permission is gone */
        ANSWER("6", "103", "permission denied"));
}

static void a_refreshed_token_says_anew_what_is_permitted(void **state) {
    (void)state;
    struct wire *w = open_with(ALICE);
    say_token(w, SUBSCRIBE, "{\"sub\":\"alice\",\"channel\":\"a\",\"allow\":[\"pub\"]}", 0);
    say(w, "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    turn();
    wire_news(w);
    say_token(w, REFRESH, "{\"sub\":\"alice\",\"channel\":\"a\",\"info\":7}", 0);
    expect_frames(w, "{\"id\":3,\"sub_refresh\":{}}\n");
    say(w, "{\"id\":4,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    turn();
    expect_frames(w, ANSWER("4", "103", "permission denied"));
    assert_true(str_equal(subscription_info(client_find(w->client, STR("a"))), STR("7")));
}

static void subs_come_with_their_options_in_the_reply(void **state) {
    (void)state;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, CONNECT,
              "{\"sub\":\"al\",\"channels\":[\"a\",\"b\"],\"subs\":{\"a\":{\"data\":{\"x\":1}}}}",
              0);
    expect_frames(w, "{\"id\":1,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION
                     "\",\"ping\":3600,\"pong\":true,\"subs\":{\"a\":{\"data\":{\"x\":1}},"
                     "\"b\":{}}}}\n");
}

static void other_channels_at_refresh_are_insufficient_state(void **state) {
    (void)state;
    static const struct {
        const char *claims;
        bool is_same;
    } rows[] = {
        {"{\"sub\":\"al\",\"channels\":[\"b\",\"a\",\"b\"]}", true},
        {"{\"sub\":\"al\",\"subs\":{\"a\":{},\"b\":{}},\"channels\":[\"b\"]}", true},
        {"{\"sub\":\"al\",\"channels\":[\"a\"]}", false},
        {"{\"sub\":\"al\"}", false},
        {"{\"sub\":\"al\",\"channels\":[\"a\",\"c\"]}", false},
        {"{\"sub\":\"al\",\"channels\":[\"a\",\"b\",\"c\"]}", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *w = open_with("{\"sub\":\"al\",\"channels\":[\"a\",\"b\"]}");
        say_token(w, "{\"id\":2,\"refresh\":{\"token\":\"%\"}}", rows[i].claims, 0);
        expect_frames(w, rows[i].is_same ? "{\"id\":2,\"refresh\":{\"client\":\"@\",\"version\":"
                                           "\"" CARILLON_VERSION "\"}}\n"
                                         : "CLOSE 3010 insufficient state\n");
        wire_free(w);
    }
}

static void a_token_within_the_leeway_is_good_until_the_leeway_is_over(void **state) {
    (void)state;
    bench.sessions.connection_tokens.leeway_s = 30;
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say_token(w, CONNECT, "{\"sub\":\"al\",\"exp\":#}", -10);
    expect_frames(w, "{\"id\":1,\"connect\":{\"client\":\"@\",\"version\":\"" CARILLON_VERSION
                     "\",\"ping\":3600,\"pong\":true,\"expires\":true,\"ttl\":20}}\n");
    pass_ms(20000 + 24000);
    expect_frames(w, "");
    pass_ms(2000);
    expect_frames(w, "CLOSE 3005 connection expired\n");
    w = wire_open(&protocol_centrifugo_ws);
    say_token(w, CONNECT, "{\"sub\":\"al\",\"exp\":#}", -30);
    expect_frames(w, ANSWER("1", "109", "token expired"));
}

#define TOKENS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TOKENS_TEST(a_token_is_for_one_channel_user_and_client),
        TOKENS_TEST(a_token_of_nobody_is_for_nobody),
        TOKENS_TEST(a_subscription_ends_some_time_after_its_token),
        TOKENS_TEST(a_new_token_prolongs_a_subscription),
        TOKENS_TEST(expire_at_counts_instead_of_exp),
        TOKENS_TEST(sub_refresh_is_answered_row_by_row),
        TOKENS_TEST(a_token_gives_data_info_and_options),
        TOKENS_TEST(a_refreshed_token_says_anew_what_is_permitted),
        TOKENS_TEST(subs_come_with_their_options_in_the_reply),
        TOKENS_TEST(other_channels_at_refresh_are_insufficient_state),
        TOKENS_TEST(a_token_within_the_leeway_is_good_until_the_leeway_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
