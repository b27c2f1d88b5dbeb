/* What a configuration asks of tokens of both kinds: audience, issuer, the claim with the user, the
 * leeway; row by row, with a frozen clock, for each algorithm.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/token.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/token_testing.h"

#define NOW INT64_C(1700000000)

static const struct jws_keys keys = {.hmac_secret = {SECRET_TEXT, sizeof(SECRET_TEXT) - 1}};

/* Free *c. */
static enum token_result claim(const struct test_algorithm *a, const char *claims,
                               struct token_policy policy, int64_t now_s, struct token_claims *c) {
    struct buf token = {0};
    policy.keys = &keys;
    make_token(&token, a, STR("{\"alg\":\"@\",\"typ\":\"JWT\"}"), str_of(claims));
    enum token_result result = token_verify(buf_str(&token), &policy, now_s, c);
    buf_fini(&token);
    assert_true((result == TOKEN_OK) == !c->fault);
    return result;
}

struct row {
    const char *claims;
    enum token_result result;
};

/* fault: a word of it, for those that are refused. */
static void expect_rows(struct token_policy policy, const struct row *rows, size_t count,
                        const char *fault) {
    for_each_algorithm(a) {
        for (size_t i = 0; i < count; i++) {
            struct token_claims c;
            enum token_result result = claim(a, rows[i].claims, policy, NOW, &c);
            if (result != rows[i].result || (c.fault && !strstr(c.fault, fault)))
                fail_msg("result %d, because %s: %s", result, c.fault, rows[i].claims);
            token_claims_fini(&c);
        }
    }
}

#define EXPECT(policy, rows, fault) expect_rows(policy, rows, sizeof(rows) / sizeof(rows[0]), fault)

static struct pattern *pattern_of(const char *source) {
    const char *why = NULL;
    struct pattern *p = pattern_create(str_of(source), &why);
    assert_non_null(p);
    return p;
}

/* --- aud and iss ------------------------------------------------------------------------------ */

static void the_audience_is_compared_exactly(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"aud\":\"chat\"}", TOKEN_OK},
        {"{\"aud\":\"\\u0063hat\"}", TOKEN_OK},
        {"{\"aud\":[\"chat\"]}", TOKEN_OK},
        {"{\"aud\":[\"other\",\"chat\"]}", TOKEN_OK},
        {"{}", TOKEN_INVALID},
        {"{\"aud\":null}", TOKEN_INVALID},
        {"{\"aud\":\"\"}", TOKEN_INVALID},
        {"{\"aud\":[]}", TOKEN_INVALID},
        {"{\"aud\":\"chat2\"}", TOKEN_INVALID},
        {"{\"aud\":\"cha\"}", TOKEN_INVALID},
        {"{\"aud\":\"Chat\"}", TOKEN_INVALID},
        {"{\"aud\":\"chat \"}", TOKEN_INVALID},
        {"{\"aud\":\"chat\\u0000\"}", TOKEN_INVALID},
        {"{\"aud\":\"other chat\"}", TOKEN_INVALID},
        {"{\"aud\":7}", TOKEN_INVALID},
        {"{\"aud\":true}", TOKEN_INVALID},
        {"{\"aud\":{\"chat\":1}}", TOKEN_INVALID},
        {"{\"aud\":[\"other\"]}", TOKEN_INVALID},
        {"{\"aud\":[\"chat\",7]}", TOKEN_INVALID}, /* one bad element is too many */
        {"{\"aud\":[null,\"chat\"]}", TOKEN_INVALID},
        {"{\"aud\":[[\"chat\"]]}", TOKEN_INVALID},
        {"{\"aud\":[\"chat\",[\"chat\"]]}", TOKEN_INVALID},
        {"{\"AUD\":\"chat\"}", TOKEN_INVALID},
        {"{\"aud\":\"other\",\"exp\":1}", TOKEN_INVALID}, /* not "expired": it is not ours */
    };
    static const struct row expired[] = {{"{\"aud\":\"chat\",\"exp\":1}", TOKEN_EXPIRED}};
    EXPECT(((struct token_policy){.audience = STR("chat")}), rows, "aud");
    EXPECT(((struct token_policy){.audience = STR("chat")}), expired, "exp");
}

static void the_issuer_is_compared_exactly(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"iss\":\"https://a.example\"}", TOKEN_OK},
        {"{\"iss\":\"https:\\/\\/a.example\"}", TOKEN_OK},
        {"{}", TOKEN_INVALID},
        {"{\"iss\":null}", TOKEN_INVALID},
        {"{\"iss\":\"\"}", TOKEN_INVALID},
        {"{\"iss\":\"https://a.example/\"}", TOKEN_INVALID},
        {"{\"iss\":\"HTTPS://a.example\"}", TOKEN_INVALID},
        {"{\"iss\":\"https://A.example\"}", TOKEN_INVALID},
        {"{\"iss\":\"http://a.example\"}", TOKEN_INVALID},
        {"{\"iss\":[\"https://a.example\"]}", TOKEN_INVALID}, /* of aud only */
        {"{\"iss\":1}", TOKEN_INVALID},
    };
    EXPECT(((struct token_policy){.issuer = STR("https://a.example")}), rows, "iss");
}

static void patterns_stand_for_many(void **state) {
    (void)state;
    static const struct row audiences[] = {
        {"{\"aud\":\"chat-eu\"}", TOKEN_OK},          {"{\"aud\":[\"x\",\"chat-us\"]}", TOKEN_OK},
        {"{\"aud\":\"chat-\"}", TOKEN_INVALID},       {"{\"aud\":\"a chat-eu\"}", TOKEN_INVALID},
        {"{\"aud\":\"chat-eu\\n\"}", TOKEN_INVALID},  {"{\"aud\":[]}", TOKEN_INVALID},
        {"{\"aud\":[\"chat-eu\",1]}", TOKEN_INVALID}, {"{}", TOKEN_INVALID},
    };
    static const struct row issuers[] = {
        {"{\"iss\":\"https://eu.login.example\"}", TOKEN_OK},
        {"{\"iss\":\"https://login.example.evil\"}", TOKEN_INVALID},
        {"{\"iss\":\"https://xlogin.example\"}", TOKEN_INVALID},
        {"{\"iss\":[\"https://eu.login.example\"]}", TOKEN_INVALID},
        {"{}", TOKEN_INVALID},
    };
    struct pattern *audience = pattern_of("^chat-(eu|us)$");
    struct pattern *issuer = pattern_of("^https://([a-z]+\\.)?login\\.example$");
    EXPECT(((struct token_policy){.audience_pattern = audience}), audiences, "aud");
    EXPECT(((struct token_policy){.issuer_pattern = issuer}), issuers, "iss");
    pattern_destroy(audience);
    pattern_destroy(issuer);
}

static void what_is_not_asked_for_is_not_looked_at(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"aud\":7,\"iss\":[]}", TOKEN_OK},
        {"{\"aud\":\"x\",\"iss\":\"y\"}", TOKEN_OK},
        {"{\"channel\":\"a\",\"aud\":7}", TOKEN_INVALID},
    };
    EXPECT(((struct token_policy){.leeway_s = 0}), rows, "subscription token");
}

/* --- who -------------------------------------------------------------------------------------- */

static void another_claim_may_name_the_user(void **state) {
    (void)state;
    static const struct {
        const char *path, *claims, *user; /* NULL: refused */
    } rows[] = {
        {"uid", "{\"uid\":\"7\",\"sub\":\"x\"}", "7"},
        {"uid", "{\"sub\":\"x\"}", ""}, /* as without sub: anonymous */
        {"uid", "{\"uid\":7}", NULL},
        {"uid", "{\"uid\":null}", NULL},
        {"uid", "{\"uid\":\"a\\u0000\"}", NULL},
        {"uid", "{\"uid\":\"7\",\"sub\":5}", "7"},
        {"app.uid", "{\"app\":{\"uid\":\"7\"}}", "7"},
        {"app.uid", "{\"app\":{\"uid\":{\"x\":1}}}", NULL},
        {"app.uid", "{\"app\":\"7\"}", ""},
        {"app.uid", "{\"app\":[\"uid\"]}", ""},
        {"app.uid", "{\"app\":{\"uid\":\"1\",\"uid\":\"2\"}}", ""}, /* no one knows who */
        {"app.uid", "{\"app.uid\":\"8\",\"app\":{\"uid\":\"7\"}}", "8"},
        {"https://a.example/uid", "{\"https://a.example/uid\":\"7\"}", "7"},
        {"info.id", "{\"info\":{\"id\":\"0123456789\"},\"jti\":\"0123456789\"}", "0123456789"},
        {"jti", "{\"jti\":\"0123456789\"}", "0123456789"},
        {"a..b", "{\"a\":{\"\":{\"b\":\"7\"}}}", "7"},
        {"exp", "{\"exp\":1800000000}", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct token_claims c;
        struct token_policy policy = {.user_id_claim = str_of(rows[i].path)};
        enum token_result result = claim(&test_algorithms[0], rows[i].claims, policy, NOW, &c);
        assert_int_equal(result, rows[i].user ? TOKEN_OK : TOKEN_INVALID);
        assert_true(!rows[i].user || str_equal(c.user, str_of(rows[i].user)));
        token_claims_fini(&c);
    }
}

/* --- when ------------------------------------------------------------------------------------- */

static void leeway_moves_both_edges_and_no_further(void **state) {
    (void)state;
    static const struct {
        const char *claims;
        int64_t first_good, last_good; /* relative to NOW; -1000, 1000: no end */
    } rows[] = {
        {"{\"exp\":1700000000}", -1000, -1},
        {"{\"exp\":1700000000.9}", -1000, -1},
        {"{\"nbf\":1700000000}", 0, 1000},
        {"{\"nbf\":1699999999.1}", 0, 1000},
        {"{\"expire_at\":1700000000}", -1000, -1},
        {"{\"nbf\":1700000000,\"exp\":1700000100}", 0, 99},
        {"{\"iat\":1700000500}", -1000, 1000},
    };
    static const int64_t leeways[] = {0, 1, 59, 60};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(leeways) / sizeof(leeways[0]); k++) {
            struct token_policy policy = {.leeway_s = leeways[k]};
            for (int64_t at = -200; at <= 200; at++) {
                struct token_claims c;
                bool is_good =
                    at >= rows[i].first_good - leeways[k] && at <= rows[i].last_good + leeways[k];
                assert_int_equal(claim(&test_algorithms[0], rows[i].claims, policy, NOW + at, &c),
                                 is_good ? TOKEN_OK : TOKEN_EXPIRED);
                assert_true(c.expires_at_s == 0 || !is_good || c.expires_at_s > NOW + at);
                token_claims_fini(&c);
            }
        }
    }
}

/* --- subscription tokens ---------------------------------------------------------------------- */

static void subscription_claims_row_by_row(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"channel\":\"a\"}", TOKEN_OK},
        {"{\"channel\":\"$a:b#c,d*\",\"sub\":\"x\",\"client\":\"y\"}", TOKEN_OK},
        {"{\"channel\":\"a\",\"channels\":7,\"subs\":7,\"caps\":7,\"meta\":7}", TOKEN_OK},
        {"{\"channel\":\"a\",\"info\":null,\"data\":null,\"allow\":null,\"override\":null}",
         TOKEN_OK},
        {"{\"channel\":\"a\",\"allow\":[\"sub\",\"pub\",\"prs\",\"hst\",\"sub\"]}", TOKEN_OK},
        {"{\"channel\":\"a\",\"override\":{\"presence\":{\"value\":true},\"other\":1}}", TOKEN_OK},
        {"{}", TOKEN_INVALID},
        {"{\"sub\":\"x\",\"channels\":[\"a\"]}", TOKEN_INVALID}, /* a connection token */
        {"{\"channel\":\"\"}", TOKEN_INVALID},
        {"{\"channel\":null}", TOKEN_INVALID},
        {"{\"channel\":7}", TOKEN_INVALID},
        {"{\"channel\":[\"a\"]}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"channel\":\"b\"}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"client\":null}", TOKEN_INVALID}, /* lost by the back end */
        {"{\"channel\":\"a\",\"client\":\"\"}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"client\":7}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"sub\":null}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"exp\":\"1800000000\"}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"exp\":null}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"jti\":7}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"allow\":\"sub\"}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"allow\":[\"admin\"]}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"allow\":[\"sub\",1]}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"b64info\":\"***\"}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"b64data\":7}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"override\":[]}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"override\":{\"presence\":true}}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"override\":{\"presence\":{}}}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"override\":{\"presence\":{\"value\":1}}}", TOKEN_INVALID},
        {"{\"channel\":\"a\",\"exp\":1700000000}", TOKEN_EXPIRED},
        {"{\"channel\":\"a\",\"nbf\":1700000001}", TOKEN_EXPIRED},
        {"{\"channel\":\"a\",\"expire_at\":1}", TOKEN_EXPIRED},
        {"{\"channel\":\"a\",\"exp\":1,\"expire_at\":0}", TOKEN_EXPIRED},
    };
    EXPECT(((struct token_policy){.kind = TOKEN_SUBSCRIPTION}), rows, "");
}

static void a_subscription_token_says_all_of_this(void **state) {
    (void)state;
    struct token_claims c;
    static const char claims[] =
        "{\"sub\":\"al\",\"channel\":\"n\\u0065ws\",\"client\":\"c1\",\"jti\":\"id\",\"iat\":5.5,"
        "\"info\":{\"a\":\n1},\"b64data\":\"WzEsDQoyXQ==\",\"allow\":[\"hst\",\"pub\"],"
        "\"expire_at\":1700000007,\"override\":{\"join_leave\":{\"value\":true},"
        "\"force_recovery\":{\"value\":false}}}";
    struct token_policy policy = {.kind = TOKEN_SUBSCRIPTION, .leeway_s = 3};
    assert_int_equal(claim(&test_algorithms[2], claims, policy, NOW, &c), TOKEN_OK);
    assert_true(str_equal(c.user, STR("al")) && str_equal(c.sub.channel, STR("news")));
    assert_true(str_equal(c.client, STR("c1")) && str_equal(c.id, STR("id")));
    assert_true(str_equal(c.sub.info, STR("{\"a\":1}")) && str_equal(c.sub.data, STR("[1,2]")));
    assert_int_equal(c.allow, PERMIT_HISTORY | PERMIT_PUBLISH);
    assert_int_equal(c.issued_at_s, 5);
    assert_int_equal(c.expires_at_s, NOW + 10);
    assert_int_equal(c.sub.override.given, TOKEN_JOIN_LEAVE | TOKEN_FORCE_RECOVERY);
    assert_int_equal(c.sub.override.on, TOKEN_JOIN_LEAVE);
    token_claims_fini(&c);
}

static void subs_of_a_connection_token_row_by_row(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"subs\":{}}", TOKEN_OK},
        {"{\"subs\":{\"a\":{}},\"meta\":{\"x\":[1]},\"jti\":\"\"}", TOKEN_OK},
        {"{\"subs\":[]}", TOKEN_INVALID},
        {"{\"subs\":\"a\"}", TOKEN_INVALID},
        {"{\"subs\":{\"a\":null}}", TOKEN_INVALID},
        {"{\"subs\":{\"a\":true}}", TOKEN_INVALID},
        {"{\"subs\":{\"\":{}}}", TOKEN_INVALID},
        {"{\"subs\":{\"a\\u0007\":{}}}", TOKEN_INVALID},
        {"{\"subs\":{\"a\":{\"info\":1,\"info\":2}}}", TOKEN_INVALID},
        {"{\"subs\":{\"a\":{\"b64info\":\"e30\"}}}", TOKEN_INVALID}, /* no padding */
        {"{\"subs\":{\"a\":{\"b64info\":\"e3\\u00e9=\"}}}", TOKEN_INVALID},
        {"{\"subs\":{\"a\":{\"override\":{\"presence\":1}}}}", TOKEN_INVALID},
        {"{\"b64info\":\"bm8=\"}", TOKEN_INVALID}, /* "no": no JSON */
        {"{\"meta\":[]}", TOKEN_INVALID},
        {"{\"meta\":\"x\"}", TOKEN_INVALID},
        {"{\"jti\":null}", TOKEN_INVALID},
        {"{\"jti\":7}", TOKEN_INVALID},
        {"{\"caps\":{}}", TOKEN_INVALID},
        {"{\"caps\":[{\"channels\":[\"(\"],\"match\":\"regex\",\"allow\":[]}]}", TOKEN_INVALID},
    };
    struct token_claims c;
    EXPECT(((struct token_policy){.kind = TOKEN_CONNECTION}), rows, "");
    assert_int_equal(
        claim(&test_algorithms[0],
              "{\"b64info\":\"e30=\",\"info\":1,\"subs\":{\"b\":{\"info\":[1],\"data\":\"x\","
              "\"override\":{\"presence\":{\"value\":true}}},\"a\":{\"b64info\":\"MQ==\"}}}",
              (struct token_policy){.kind = TOKEN_CONNECTION}, NOW, &c),
        TOKEN_OK);
    assert_true(str_equal(c.info, STR("{}")) && c.sub_count == 2);
    assert_true(str_equal(c.subs[0].channel, STR("b")) && str_equal(c.subs[0].info, STR("[1]")));
    assert_true(str_equal(c.subs[0].data, STR("\"x\"")) && c.subs[0].override.on == TOKEN_PRESENCE);
    assert_true(str_equal(c.subs[1].channel, STR("a")) && str_equal(c.subs[1].info, STR("1")));
    token_claims_fini(&c);
}

static void scopes_are_looked_at_where_there_is_a_table(void **state) {
    (void)state;
    char *lines[] = {"read=sub=chat:*", "write=pub=chat:*"};
    static const struct row rows[] = {
        {"{\"scope\":\"openid read\"}", TOKEN_OK},
        {"{\"scope\":\"\"}", TOKEN_OK},
        {"{\"scope\":null}", TOKEN_OK},
        {"{}", TOKEN_OK},
        {"{\"scope\":7}", TOKEN_INVALID},
        {"{\"scope\":[\"read\"]}", TOKEN_INVALID},
    };
    static const uint64_t expected[] = {1, 0, 0, 0};
    struct scopes *scopes = scopes_create(lines, 2);
    struct token_claims c;
    EXPECT(((struct token_policy){.scopes = scopes}), rows, "scope");
    for (size_t i = 0; i < 4; i++) {
        claim(&test_algorithms[0], rows[i].claims, (struct token_policy){.scopes = scopes}, NOW,
              &c);
        assert_int_equal(c.scopes, expected[i]);
        token_claims_fini(&c);
    }
    assert_int_equal(
        claim(&test_algorithms[0], "{\"scope\":7}", (struct token_policy){.scopes = NULL}, NOW, &c),
        TOKEN_OK);
    token_claims_fini(&c);
    scopes_destroy(scopes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_audience_is_compared_exactly),
        cmocka_unit_test(the_issuer_is_compared_exactly),
        cmocka_unit_test(patterns_stand_for_many),
        cmocka_unit_test(what_is_not_asked_for_is_not_looked_at),
        cmocka_unit_test(another_claim_may_name_the_user),
        cmocka_unit_test(leeway_moves_both_edges_and_no_further),
        cmocka_unit_test(subscription_claims_row_by_row),
        cmocka_unit_test(a_subscription_token_says_all_of_this),
        cmocka_unit_test(subs_of_a_connection_token_row_by_row),
        cmocka_unit_test(scopes_are_looked_at_where_there_is_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
