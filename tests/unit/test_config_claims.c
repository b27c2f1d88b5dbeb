/* What the configuration says of claims: patterns are compiled, contradictions refused.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/config/config_claims.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_testing.h"

static void nothing_is_asked_for_by_default(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, "{}", NONE, NONE);
    expect_counts(&l, 0, 0);
    const struct config_claims *c = &l.config->client_token_claims;
    assert_string_equal(c->audience, "");
    assert_string_equal(c->issuer, "");
    assert_string_equal(c->user_id_claim, "");
    assert_true(!c->audience_pattern && !c->issuer_pattern && c->leeway_s == 0);
    assert_false(l.config->client_subscription_token_enabled);
    config_loader_fini(&l);
}

static void both_kinds_of_tokens_have_them(void **state) {
    struct config_loader l;
    (void)state;
    load(&l,
         "{\"client\":{\"token\":{\"audience\":\"a\",\"issuer_regex\":\"^i$\",\"leeway\":\"60s\"},"
         "\"subscription_token\":{\"enabled\":true,\"audience_regex\":\"b+\",\"issuer\":\"j\","
         "\"user_id_claim\":\"app.uid\"}}}",
         NONE, NONE);
    expect_counts(&l, 0, 0);
    const struct config_claims *c = &l.config->client_token_claims;
    const struct config_claims *s = &l.config->client_subscription_token_claims;
    assert_string_equal(c->audience, "a");
    assert_true(pattern_matches(c->issuer_pattern, STR("i")) && !c->audience_pattern);
    assert_int_equal(c->leeway_s, 60);
    assert_true(pattern_matches(s->audience_pattern, STR("abba")) && !s->issuer_pattern);
    assert_string_equal(s->issuer, "j");
    assert_string_equal(s->user_id_claim, "app.uid");
    config_loader_fini(&l);
}

static void what_cannot_be_meant_is_refused(void **state) {
    static const struct {
        const char *json, *option, *words;
    } rows[] = {
        {"{\"client\":{\"token\":{\"audience\":\"a\",\"audience_regex\":\"a\"}}}",
         "client.token.audience_regex", "contradicts audience"},
        {"{\"client\":{\"token\":{\"issuer\":\"a\",\"issuer_regex\":\"a\"}}}",
         "client.token.issuer_regex", "contradicts issuer"},
        {"{\"client\":{\"token\":{\"audience_regex\":\"(\"}}}", "client.token.audience_regex",
         "not a regular expression"},
        {"{\"client\":{\"subscription_token\":{\"enabled\":true,\"issuer_regex\":\"[\"}}}",
         "client.subscription_token.issuer_regex", "not a regular expression"},
        {"{\"client\":{\"token\":{\"leeway\":\"61s\"}}}", "client.token.leeway", "1m"},
        {"{\"client\":{\"token\":{\"leeway\":\"500ms\"}}}", "client.token.leeway", "whole seconds"},
        {"{\"client\":{\"token\":{\"scopes\":[\"a=sub=b\",\"a=all=b\"]}}}", "client.token.scopes",
         "SCOPE=PERMISSIONS=CHANNELS"},
        {"{\"client\":{\"token\":{\"audience\":[\"a\"]}}}", "client.token.audience", "text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load(&l, rows[i].json, NONE, NONE);
        expect_note(&l.problems, rows[i].option, rows[i].words);
        config_loader_fini(&l);
    }
}

static void options_without_effect_are_warned_about(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, "{\"client\":{\"subscription_token\":{\"audience\":\"a\"}}}", NONE, NONE);
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "client.subscription_token", "no effect without enabled");
    config_loader_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for_by_default),
        cmocka_unit_test(both_kinds_of_tokens_have_them),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(options_without_effect_are_warned_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
