/* What claims mean: row by row, with a frozen clock, for each algorithm; and the tokens made here.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/token.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>

#include "tests/unit/token_testing.h"

#define NOW INT64_C(1700000000)

static const struct test_algorithm *const hs256 = &test_algorithms[0];

static enum token_result verify_at(struct str token, int64_t now_s, struct token_claims *c) {
    static const struct jws_keys keys = {.hmac_secret = {SECRET_TEXT, sizeof(SECRET_TEXT) - 1}};
    return token_verify(token, &(struct token_policy){.keys = &keys}, now_s, c);
}

/* Signs these claims and verifies the token; free *c. */
static enum token_result claim(const struct test_algorithm *a, struct str claims, int64_t now_s,
                               struct token_claims *c) {
    struct buf token = {0};
    make_token(&token, a, STR("{\"alg\":\"@\",\"typ\":\"JWT\"}"), claims);
    enum token_result result = verify_at(buf_str(&token), now_s, c);
    buf_fini(&token);
    assert_true((result == TOKEN_OK) == !c->fault);
    return result;
}

/* --- good ones -------------------------------------------------------------------------------- */

struct good_row {
    struct str claims;
    struct str user, info;
    int64_t expires_at_s;
};

static const struct good_row good[] = {
    {STR("{}"), STR(""), STR(""), 0},
    {STR(" \r\n{ } "), STR(""), STR(""), 0},
    /* sub */
    {STR("{\"sub\":\"\"}"), STR(""), STR(""), 0},
    {STR("{\"sub\":\"alice\"}"), STR("alice"), STR(""), 0},
    {STR("{\"sub\":\"42\"}"), STR("42"), STR(""), 0},
    {STR("{\"\\u0073ub\":\"\\u0061\\/\\\"\\\\\"}"), STR("a/\"\\"), STR(""), 0},
    {STR("{\"sub\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}"),
     STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), STR(""), 0},
    {STR("{\"sub\":\"\\u00e9\\u20ac\\ud83d\\ude00\"}"), STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
     STR(""), 0},
    {STR("{\"sub\":\"\\u00a0\xc2\xa0\"}"), STR("\xc2\xa0\xc2\xa0"), STR(""), 0}, /* no C1 */
    {STR("{\"sub\":\"*#:,$ \"}"), STR("*#:,$ "), STR(""), 0},
    {STR("{\"SUB\":1,\"Sub\":2,\"sub\":\"a\"}"), STR("a"), STR(""), 0},
    /* times */
    {STR("{\"exp\":1700000001}"), STR(""), STR(""), NOW + 1},
    {STR("{\"exp\":1700000001.999}"), STR(""), STR(""), NOW + 1},
    {STR("{\"exp\":1.7000005e9}"), STR(""), STR(""), 1700000500},
    {STR("{\"exp\":17000005E2}"), STR(""), STR(""), 1700000500},
    {STR("{\"exp\":2147483648}"), STR(""), STR(""), INT64_C(2147483648)},     /* after 2038 */
    {STR("{\"exp\":253402300799}"), STR(""), STR(""), INT64_C(253402300799)}, /* year 9999 */
    {STR("{\"exp\":999999999999}"), STR(""), STR(""), INT64_C(999999999999)},
    {STR("{\"nbf\":1700000000}"), STR(""), STR(""), 0},
    {STR("{\"nbf\":1699999999.5}"), STR(""), STR(""), 0},
    {STR("{\"nbf\":0,\"iat\":0}"), STR(""), STR(""), 0},
    {STR("{\"nbf\":-0}"), STR(""), STR(""), 0},
    {STR("{\"iat\":1700009999}"), STR(""), STR(""), 0}, /* whose clock is wrong? not checked */
    {STR("{\"exp\":1700000001,\"expire_at\":1700000500}"), STR(""), STR(""), NOW + 500},
    {STR("{\"exp\":1700000500,\"expire_at\":1700000001}"), STR(""), STR(""), NOW + 1},
    {STR("{\"exp\":1700000500,\"expire_at\":0}"), STR(""), STR(""), 0},
    {STR("{\"expire_at\":1700000001}"), STR(""), STR(""), NOW + 1},
    /* info: byte for byte, but on one line */
    {STR("{\"info\":{\"a\": [1.50, 1e400, 123456789012345678901234567890, \"\\u00e9\\/\"]}}"),
     STR(""), STR("{\"a\": [1.50, 1e400, 123456789012345678901234567890, \"\\u00e9\\/\"]}"), 0},
    {STR("{\"info\":{\"a\":\r\n\t[1,\n2]\r}\n,\"sub\":\"b\"}"), STR("b"), STR("{\"a\":\t[1,2]}"),
     0},
    {STR("{\"info\":{\"x\":1,\"x\":2,\"z\":\"\\u0000\"}}"), STR(""),
     STR("{\"x\":1,\"x\":2,\"z\":\"\\u0000\"}"), 0},
    {STR("{\"info\":\"text\"}"), STR(""), STR("\"text\""), 0},
    {STR("{\"info\":-0.0}"), STR(""), STR("-0.0"), 0},
    {STR("{\"info\":false}"), STR(""), STR("false"), 0},
    {STR("{\"info\":[]}"), STR(""), STR("[]"), 0},
    {STR("{\"info\":\"\"}"), STR(""), STR("\"\""), 0},
    {STR("{\"info\":null}"), STR(""), STR(""), 0},
    /* others are ignored, whatever is in them */
    {STR("{\"aud\":1,\"iss\":[],\"meta\":null,\"caps\":null,\"labels\":2,\"subs\":null,"
         "\"client\":5,\"allow\":6,\"data\":7,\"override\":8,\"b64data\":\"***\","
         "\"b64info\":null,\"user\":4,\"https://example.com/roles\":[\"admin\"]}"),
     STR(""), STR(""), 0},
};

static void good_claims_row_by_row(void **state) {
    (void)state;
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
            struct token_claims c;
            if (claim(a, good[i].claims, NOW, &c) != TOKEN_OK)
                fail_msg("refused, because %s: %.*s", c.fault, STR_ARG(good[i].claims));
            assert_true(str_equal(c.user, good[i].user));
            assert_true(str_equal(c.info, good[i].info));
            assert_int_equal(c.expires_at_s, good[i].expires_at_s);
            assert_true(c.channel_count == 0 && !c.channels);
            token_claims_fini(&c);
        }
    }
}

static void channels_are_a_list_of_names(void **state) {
    (void)state;
    static const struct {
        struct str claims;
        const char *joined;
    } rows[] = {
        {STR("{\"channels\":[\"a\"]}"), "a "},
        {STR("{\"channels\" : [ \"a\" , \"news:b\" ] , \"sub\":\"x\"}"), "a news:b "},
        {STR("{\"channels\":[\"\\u0061\\/\",\"\xc3\xa9\",\"\\u00e9\"]}"), "a/ \xc3\xa9 \xc3\xa9 "},
        {STR("{\"channels\":[\"a\",\"a\"],\"info\":[1]}"), "a a "},
        {STR("{\"channels\":[]}"), ""},
        {STR("{\"channels\":null}"), ""}};
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct token_claims c;
            struct buf joined = {0};
            assert_int_equal(claim(a, rows[i].claims, NOW, &c), TOKEN_OK);
            for (size_t n = 0; n < c.channel_count; n++) {
                buf_add(&joined, c.channels[n]);
                buf_add_char(&joined, ' ');
            }
            assert_true(str_equal(buf_str(&joined), str_of(rows[i].joined)));
            buf_fini(&joined);
            token_claims_fini(&c);
        }
    }
}

/* --- bad ones --------------------------------------------------------------------------------- */

struct bad_row {
    struct str claims;
    const char *words; /* of the fault */
};

#define NAMES "different names"
#define TIMES "must be numbers"
#define CONTROL "control characters"

static const struct bad_row invalid[] = {
    /* no JSON object, or one of which two readers may see two */
    {STR("[]"), NAMES},
    {STR("null"), NAMES},
    {STR("\"{}\""), NAMES},
    {STR("1"), NAMES},
    {STR(" "), NAMES},
    {STR("{"), NAMES},
    {STR("{}{}"), NAMES},
    {STR("{}\0"), NAMES},
    {STR("\xef\xbb\xbf{}"), NAMES},
    {STR("{\"sub\":\"a\",}"), NAMES},
    {STR("{\"sub\":\"a\"/**/}"), NAMES},
    {STR("{\"sub\":\"\xff\"}"), NAMES},
    {STR("{\"sub\":\"\xc0\x80\"}"), NAMES},
    {STR("{\"sub\":\"\xed\xa0\x80\"}"), NAMES},
    {STR("{\"sub\":\"\\ud800\"}"), NAMES},
    {STR("{\"sub\":\"a\nb\"}"), NAMES},
    {STR("{\"exp\":NaN}"), NAMES},
    {STR("{\"exp\":Infinity}"), NAMES},
    {STR("{\"exp\":+1800000000}"), NAMES},
    {STR("{\"exp\":01800000000}"), NAMES},
    {STR("{\"exp\":0x6b49d200}"), NAMES},
    {STR("{\"exp\":1800000000.}"), NAMES},
    {STR("{\"sub\":\"a\",\"sub\":\"a\"}"), NAMES},
    {STR("{\"sub\":\"a\",\"\\u0073ub\":\"b\"}"), NAMES},
    {STR("{\"exp\":1,\"exp\":1800000000}"), NAMES},
    {STR("{\"exp\":1800000000,\"e\\u0078p\":1}"), NAMES},
    {STR("{\"x\":1,\"sub\":\"a\",\"x\":2}"), NAMES},
    {STR("{\"jti\":1,\"jti\":1}"), NAMES},
    /* a channel token is no connection token */
    {STR("{\"channel\":\"news\"}"), "subscription token"},
    {STR("{\"sub\":\"a\",\"channel\":\"\"}"), "subscription token"},
    {STR("{\"channel\":null}"), "subscription token"},
    {STR("{\"channel\":[\"a\"]}"), "subscription token"},
    {STR("{\"chan\\u006eel\":\"a\",\"exp\":1}"), "subscription token"},
    /* times */
    {STR("{\"exp\":\"123\"}"), TIMES},
    {STR("{\"exp\":\"1800000000\"}"), TIMES},
    {STR("{\"exp\":null}"), TIMES},
    {STR("{\"exp\":true}"), TIMES},
    {STR("{\"exp\":false}"), TIMES},
    {STR("{\"exp\":[1800000000]}"), TIMES},
    {STR("{\"exp\":{}}"), TIMES},
    {STR("{\"exp\":-1}"), TIMES},
    {STR("{\"exp\":-1800000000}"), TIMES},
    {STR("{\"exp\":-0.1}"), TIMES},
    {STR("{\"exp\":0.5}"), TIMES},
    {STR("{\"exp\":1e400}"), TIMES},
    {STR("{\"exp\":-1e400}"), TIMES},
    {STR("{\"exp\":1e12}"), TIMES},
    {STR("{\"exp\":1000000000000}"), TIMES},
    {STR("{\"exp\":1800000000000}"), TIMES}, /* milliseconds */
    {STR("{\"exp\":18446744073709551616}"), TIMES},
    {STR("{\"exp\":18446744075509551616}"), TIMES}, /* 2^64 + 1800000000 */
    {STR("{\"exp\":9223372036854775808}"), TIMES},
    {STR("{\"exp\":1800000000.00000000000000000000000000000}"), TIMES}, /* 40 characters */
    {STR("{\"nbf\":\"1\"}"), TIMES},
    {STR("{\"nbf\":null}"), TIMES},
    {STR("{\"nbf\":-1}"), TIMES},
    {STR("{\"nbf\":1e400}"), TIMES},
    {STR("{\"iat\":\"1\"}"), TIMES},
    {STR("{\"iat\":null}"), TIMES},
    {STR("{\"iat\":-1}"), TIMES},
    {STR("{\"expire_at\":\"0\"}"), TIMES},
    {STR("{\"expire_at\":null}"), TIMES},
    {STR("{\"expire_at\":-1}"), TIMES},
    {STR("{\"expire_at\":0.5}"), TIMES},
    {STR("{\"expire_at\":1e400}"), TIMES},
    /* sub */
    {STR("{\"sub\":null}"), "sub is not a string"},
    {STR("{\"sub\":42}"), "sub is not a string"},
    {STR("{\"sub\":true}"), "sub is not a string"},
    {STR("{\"sub\":[\"a\"]}"), "sub is not a string"},
    {STR("{\"sub\":{\"a\":1}}"), "sub is not a string"},
    {STR("{\"sub\":\"\\u0000\"}"), CONTROL},
    {STR("{\"sub\":\"a\\u0000b\"}"), CONTROL},
    {STR("{\"sub\":\"a\\nb\"}"), CONTROL},
    {STR("{\"sub\":\"a\\u001b[31m\"}"), CONTROL},
    {STR("{\"sub\":\"\\u001f\"}"), CONTROL},
    {STR("{\"sub\":\"\\u007f\"}"), CONTROL},
    {STR("{\"sub\":\"\x7f\"}"), CONTROL},
    {STR("{\"sub\":\"\\u0080\"}"), CONTROL},
    {STR("{\"sub\":\"\\u009b\"}"), CONTROL},
    {STR("{\"sub\":\"\xc2\x9f\"}"), CONTROL},
    /* channels */
    {STR("{\"channels\":\"a\"}"), "channels is not a list"},
    {STR("{\"channels\":{\"a\":1}}"), "channels is not a list"},
    {STR("{\"channels\":1}"), "channels is not a list"},
    {STR("{\"channels\":false}"), "channels is not a list"},
    {STR("{\"channels\":[1]}"), "not a string"},
    {STR("{\"channels\":[\"a\",null]}"), "not a string"},
    {STR("{\"channels\":[[\"a\"]]}"), "not a string"},
    {STR("{\"channels\":[{\"channel\":\"a\"}]}"), "not a string"},
    {STR("{\"channels\":[\"\"]}"), "empty or has control"},
    {STR("{\"channels\":[\"a\",\"\"]}"), "empty or has control"},
    {STR("{\"channels\":[\"a\\u0000\"]}"), "empty or has control"},
    {STR("{\"channels\":[\"a\\r\\nb\"]}"), "empty or has control"},
};

static const struct bad_row expired[] = {
    {STR("{\"exp\":1700000000}"), "exp is in the past"}, /* now: that is too late */
    {STR("{\"exp\":1700000000.9}"), "exp is in the past"},
    {STR("{\"exp\":1699999999}"), "exp is in the past"},
    {STR("{\"exp\":1}"), "exp is in the past"},
    {STR("{\"exp\":0}"), "exp is in the past"},
    {STR("{\"exp\":-0}"), "exp is in the past"},
    {STR("{\"exp\":0.0e10}"), "exp is in the past"},
    {STR("{\"exp\":1e-400}"), "exp is in the past"}, /* rounds to 0 */
    {STR("{\"exp\":1e9}"), "exp is in the past"},
    {STR("{\"exp\":1,\"expire_at\":1800000000}"), "exp is in the past"},
    {STR("{\"exp\":1,\"expire_at\":0}"), "exp is in the past"},
    {STR("{\"nbf\":1700000001}"), "nbf is in the future"},
    {STR("{\"nbf\":1700000000.1}"), "nbf is in the future"},
    {STR("{\"nbf\":253402300799,\"exp\":253402300800}"), "nbf is in the future"},
    {STR("{\"exp\":1800000000,\"expire_at\":1700000000}"), "expire_at is in the past"},
    {STR("{\"expire_at\":1}"), "expire_at is in the past"},
};

static void expect_rows(const struct bad_row *rows, size_t count, enum token_result result) {
    for_each_algorithm(a) {
        for (size_t i = 0; i < count; i++) {
            struct token_claims c;
            enum token_result found = claim(a, rows[i].claims, NOW, &c);
            if (found != result || !strstr(c.fault, rows[i].words))
                fail_msg("result %d, because %s: %.*s", found, c.fault, STR_ARG(rows[i].claims));
            token_claims_fini(&c);
        }
    }
}

static void invalid_claims_row_by_row(void **state) {
    (void)state;
    expect_rows(invalid, sizeof(invalid) / sizeof(invalid[0]), TOKEN_INVALID);
}

static void claims_at_another_time_row_by_row(void **state) {
    (void)state;
    expect_rows(expired, sizeof(expired) / sizeof(expired[0]), TOKEN_EXPIRED);
}

static void a_second_decides(void **state) {
    (void)state;
    static const struct {
        int64_t now_s;
        enum token_result result;
    } rows[] = {{0, TOKEN_EXPIRED},        {NOW - 1, TOKEN_EXPIRED},   {NOW, TOKEN_OK},
                {NOW + 99, TOKEN_OK},      {NOW + 100, TOKEN_EXPIRED}, {NOW + 101, TOKEN_EXPIRED},
                {INT64_MAX, TOKEN_EXPIRED}};
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct token_claims c;
            assert_int_equal(
                claim(a, STR("{\"nbf\":1700000000,\"exp\":1700000100}"), rows[i].now_s, &c),
                rows[i].result);
            token_claims_fini(&c);
        }
    }
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void users_have_at_most_255_bytes(void **state) {
    (void)state;
    struct buf claims = {0};
    for (int n = 1; n <= 300; n++) {
        struct token_claims c;
        buf_clear(&claims);
        buf_printf(&claims, "{\"sub\":\"%0*d\\u00e9\"}", n, 0); /* two bytes at the end */
        enum token_result result = claim(hs256, buf_str(&claims), NOW, &c);
        assert_int_equal(result, n + 2 <= 255 ? TOKEN_OK : TOKEN_INVALID);
        assert_true(result != TOKEN_OK || c.user.n == (size_t)n + 2);
        token_claims_fini(&c);
    }
    buf_fini(&claims);
}

static void at_most_1024_channels_may_be_named(void **state) {
    (void)state;
    struct buf claims = {0};
    for (size_t count = 1020; count <= 1030; count++) {
        struct token_claims c;
        buf_clear(&claims);
        for (size_t i = 0; i < count; i++)
            buf_printf(&claims, "%s\"%c\"", i ? "," : "{\"channels\":[", (char)('a' + i % 26));
        buf_add_z(&claims, "]}");
        enum token_result result = claim(hs256, buf_str(&claims), NOW, &c);
        assert_int_equal(result, count <= 1024 ? TOKEN_OK : TOKEN_INVALID);
        if (result == TOKEN_OK)
            assert_true(c.channel_count == count && c.channels[count - 1].n == 1);
        token_claims_fini(&c);
    }
    buf_fini(&claims);
}

static void deep_and_wide_claims_are_refused_or_passed_on(void **state) {
    (void)state;
    struct buf claims = {0};
    struct token_claims c;
    for (int depth = 500; depth <= 520; depth++) {
        buf_clear(&claims);
        buf_add_z(&claims, "{\"info\":");
        for (int i = 0; i < depth; i++)
            buf_add_char(&claims, '[');
        for (int i = 0; i < depth; i++)
            buf_add_char(&claims, ']');
        buf_add_char(&claims, '}');
        enum token_result result = claim(hs256, buf_str(&claims), NOW, &c);
        assert_int_equal(result, depth < JSON_DEPTH_MAX ? TOKEN_OK : TOKEN_INVALID);
        assert_true(result != TOKEN_OK || c.info.n == 2 * (size_t)depth);
        token_claims_fini(&c);
    }
    buf_clear(&claims);
    for (int i = 0; i < 257; i++)
        buf_printf(&claims, "%c\"%d\":0", i ? ',' : '{', i);
    buf_add_char(&claims, '}');
    assert_int_equal(claim(hs256, buf_str(&claims), NOW, &c), TOKEN_INVALID);
    token_claims_fini(&c);
    buf_fini(&claims);
}

/* --- keys and the layer below ----------------------------------------------------------------- */

static void a_bad_signature_is_invalid_whatever_the_claims_say(void **state) {
    (void)state;
    struct buf token = {0};
    const struct jws_keys other_key = {.hmac_secret = STR("other")},
                          no_key = {.hmac_secret = STR("")};
    const struct token_policy other = {.keys = &other_key}, none = {.keys = &no_key};
    for_each_algorithm(a) {
        struct token_claims c;
        make_token(&token, a, STR("{\"alg\":\"@\"}"), STR("{\"exp\":1}"));
        assert_int_equal(token_verify(buf_str(&token), &other, NOW, &c), TOKEN_INVALID);
        assert_non_null(strstr(c.fault, "signature"));
        token_claims_fini(&c);
        assert_int_equal(token_verify(buf_str(&token), &none, NOW, &c), TOKEN_INVALID);
        assert_non_null(strstr(c.fault, "no key"));
        token_claims_fini(&c);
        assert_int_equal(token_verify(STR(""), &other, NOW, &c), TOKEN_INVALID);
        assert_non_null(c.fault);
        token_claims_fini(&c);
    }
    buf_fini(&token);
}

static void claims_that_mean_something_are_known(void **state) {
    (void)state;
    static const char *const both[] = {"sub",  "exp",     "nbf", "iat", "expire_at", "channel",
                                       "info", "b64info", "jti", "aud", "iss"};
    static const char *const of_connections[] = {"channels", "subs", "meta", "caps", "scope"};
    static const char *const of_subscriptions[] = {"client", "data", "b64data", "override",
                                                   "allow"};
    static const char *const others[] = {"", "labels", "SUB", "sub ", "scp"};
    for (size_t i = 0; i < 11; i++)
        assert_true(token_knows_claim(TOKEN_CONNECTION, str_of(both[i])) &&
                    token_knows_claim(TOKEN_SUBSCRIPTION, str_of(both[i])));
    for (size_t i = 0; i < 5; i++) {
        assert_true(token_knows_claim(TOKEN_CONNECTION, str_of(of_connections[i])) &&
                    !token_knows_claim(TOKEN_SUBSCRIPTION, str_of(of_connections[i])));
        assert_true(!token_knows_claim(TOKEN_CONNECTION, str_of(of_subscriptions[i])) &&
                    token_knows_claim(TOKEN_SUBSCRIPTION, str_of(of_subscriptions[i])));
        assert_false(token_knows_claim(TOKEN_CONNECTION, str_of(others[i])) ||
                     token_knows_claim(TOKEN_SUBSCRIPTION, str_of(others[i])));
    }
}

static void verifying_keeps_no_memory(void **state) {
    (void)state;
    static const struct str claims[] = {
        STR("{\"sub\":\"al\\u0069ce\",\"exp\":1800000000,\"info\":{\"a\":1},\"channels\":[\"a\"]}"),
        STR("{\"sub\":\"alice\",\"channels\":[\"a\",1]}")};
    struct buf tokens[2] = {{0}, {0}};
    size_t before = 0;
    for (size_t i = 0; i < 2; i++)
        make_token(&tokens[i], hs256, STR("{\"alg\":\"@\"}"), claims[i]);
    for (int i = 0; i < 100000; i++) {
        struct token_claims c;
        enum token_result result = verify_at(buf_str(&tokens[i % 2]), NOW, &c);
        assert_int_equal(result, i % 2 ? TOKEN_INVALID : TOKEN_OK);
        token_claims_fini(&c);
        if (i == 1)
            before = mallinfo2().uordblks;
    }
    assert_int_equal(mallinfo2().uordblks, before);
    buf_fini(&tokens[0]);
    buf_fini(&tokens[1]);
}

/* --- making one ------------------------------------------------------------------------------- */

static void a_token_made_here_says_what_was_asked_for(void **state) {
    (void)state;
    static const struct str channels[] = {{"news", 4}, {"a\"b", 3}};
    const struct token_request all = {.user = STR("al\\ice"),
                                      .info = STR("{\"n\": 1}"),
                                      .channels = channels,
                                      .channel_count = 2,
                                      .issued_at_s = NOW,
                                      .expires_at_s = NOW + 60};
    struct buf token = {0}, payload = {0};
    struct token_claims c;
    const char *fault;
    buf_add_z(&token, ">");
    token_make(&all, SECRET, &token);
    struct str t = str_slice(buf_str(&token), 1, token.n);
    assert_true(jws_verify(t, &(struct jws_keys){.hmac_secret = SECRET}, &payload, &fault, 0));
    assert_true(str_equal(buf_str(&payload),
                          STR("{\"sub\":\"al\\\\ice\",\"iat\":1700000000,\"exp\":1700000060,"
                              "\"info\":{\"n\": 1},\"channels\":[\"news\",\"a\\\"b\"]}")));
    assert_int_equal(verify_at(t, NOW, &c), TOKEN_OK);
    assert_true(str_equal(c.user, all.user) && str_equal(c.info, all.info));
    assert_true(c.channel_count == 2 && str_equal(c.channels[1], channels[1]));
    assert_int_equal(c.expires_at_s, NOW + 60);
    token_claims_fini(&c);
    assert_int_equal(verify_at(t, NOW + 60, &c), TOKEN_EXPIRED);
    token_claims_fini(&c);
    buf_fini(&payload);
    buf_fini(&token);
}

static void a_token_may_be_asked_to_last_for_ever(void **state) {
    (void)state;
    struct buf token = {0};
    struct token_claims c;
    token_make(&(struct token_request){.issued_at_s = NOW}, SECRET, &token);
    assert_int_equal(verify_at(buf_str(&token), NOW + 2000000000, &c), TOKEN_OK);
    assert_true(c.expires_at_s == 0 && c.user.n == 0 && c.info.n == 0 && c.channel_count == 0);
    token_claims_fini(&c);
    buf_fini(&token);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_claims_row_by_row),
        cmocka_unit_test(channels_are_a_list_of_names),
        cmocka_unit_test(invalid_claims_row_by_row),
        cmocka_unit_test(claims_at_another_time_row_by_row),
        cmocka_unit_test(a_second_decides),
        cmocka_unit_test(users_have_at_most_255_bytes),
        cmocka_unit_test(at_most_1024_channels_may_be_named),
        cmocka_unit_test(deep_and_wide_claims_are_refused_or_passed_on),
        cmocka_unit_test(a_bad_signature_is_invalid_whatever_the_claims_say),
        cmocka_unit_test(claims_that_mean_something_are_known),
        cmocka_unit_test(verifying_keeps_no_memory),
        cmocka_unit_test(a_token_made_here_says_what_was_asked_for),
        cmocka_unit_test(a_token_may_be_asked_to_last_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
