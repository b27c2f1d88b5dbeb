/* Rules: what a subscription gets of position, recovery and delta, by options, by what is asked for
 * and by who asks.
 *
 * Thread: one. Owns: nothing.
 */
#include "channels/rules.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

static void history_is_kept_with_a_size_and_a_time(void **state) {
    (void)state;
    assert_false(rules_keep_history(&(struct channel_options){0}));
    assert_false(rules_keep_history(&(struct channel_options){.history_size = 1}));
    assert_false(rules_keep_history(&(struct channel_options){.history_ttl_s = 1}));
    assert_true(
        rules_keep_history(&(struct channel_options){.history_size = 1, .history_ttl_s = 1}));
}

static void only_the_word_cache_is_cache_mode(void **state) {
    (void)state;
    assert_false(rules_is_cache_mode(&(struct channel_options){0}));
    assert_false(rules_is_cache_mode(&(struct channel_options){.force_recovery_mode = ""}));
    assert_false(rules_is_cache_mode(&(struct channel_options){.force_recovery_mode = "stream"}));
    assert_true(rules_is_cache_mode(&(struct channel_options){.force_recovery_mode = "cache"}));
}

/* "p" positioned, "r" recoverable, "d" delta; in this order. */
static struct rules_grant grant_of(const char *text) {
    return (struct rules_grant){strchr(text, 'p') != NULL, strchr(text, 'r') != NULL,
                                strchr(text, 'd') ? RULES_DELTA_FOSSIL : 0};
}

struct grant_row {
    struct channel_options o;
    const char *user, *asked, *granted;
};

static void run_grants(const struct grant_row *rows, size_t count, const struct rules *r) {
    for (size_t i = 0; i < count; i++) {
        struct rules_actor actor = {.user = str_of(rows[i].user)};
        struct channel_options o = rows[i].o;
        struct rules_grant wanted = grant_of(rows[i].granted);
        struct rules_grant got = rules_grant(r, &o, &actor, grant_of(rows[i].asked));
        if (got.is_positioned != wanted.is_positioned ||
            got.is_recoverable != wanted.is_recoverable || got.delta_types != wanted.delta_types)
            fail_msg("row %zu gives %s%s%s", i, got.is_positioned ? "p" : "",
                     got.is_recoverable ? "r" : "", got.delta_types ? "d" : "");
    }
}

#define KEPT .history_size = 10, .history_ttl_s = 60
#define GRANTS(r, rows) run_grants(rows, sizeof(rows) / sizeof((rows)[0]), r)

static void a_subscription_gets_what_is_forced_or_asked_for_and_allowed(void **state) {
    static const struct grant_row rows[] = {
        {{KEPT}, "alice", "", ""},
        {{KEPT}, "alice", "prd", ""},
        {{KEPT, .force_positioning = true}, "alice", "", "p"},
        {{KEPT, .force_positioning = true}, "alice", "pr", "p"},
        {{KEPT, .force_recovery = true}, "", "", "pr"},
        {{KEPT, .allow_positioning = true}, "alice", "", ""},
        {{KEPT, .allow_positioning = true}, "alice", "p", "p"},
        {{KEPT, .allow_positioning = true}, "alice", "pr", "p"},
        {{KEPT, .allow_positioning = true}, "alice", "r", ""},
        {{KEPT, .allow_recovery = true}, "alice", "r", "pr"},
        {{KEPT, .allow_recovery = true}, "alice", "p", ""},
        {{KEPT, .allow_recovery = true}, "", "r", "pr"},
        /* who may read history knows how to ask for it */
        {{KEPT, .allow_history_for_client = true}, "alice", "pr", "pr"},
        {{KEPT, .allow_history_for_client = true}, "alice", "p", "p"},
        {{KEPT, .allow_history_for_client = true}, "alice", "", ""},
        {{KEPT, .allow_history_for_client = true}, "", "pr", ""},
        {{KEPT, .allow_history_for_subscriber = true}, "alice", "pr", "pr"},
        {{KEPT, .allow_history_for_subscriber = true}, "", "pr", ""},
        {{KEPT, .allow_history_for_subscriber = true, .allow_history_for_anonymous = true},
         "",
         "pr",
         "pr"},
        {{KEPT, .allow_history_for_anonymous = true}, "", "pr", ""},
        /* delta */
        {{KEPT, .allowed_delta_types = RULES_DELTA_FOSSIL}, "alice", "d", "d"},
        {{KEPT, .allowed_delta_types = RULES_DELTA_FOSSIL}, "alice", "", ""},
        {{KEPT, .allowed_delta_types = RULES_DELTA_FOSSIL, .force_recovery = true}, "", "d", "prd"},
        /* without history nothing */
        {{.history_size = 10, .force_recovery = true, .force_positioning = true},
         "alice",
         "pr",
         ""},
        {{.allow_recovery = true, .allow_history_for_client = true}, "alice", "pr", ""},
        {{.allowed_delta_types = RULES_DELTA_FOSSIL}, "alice", "d", ""},
        /* conflation makes holes, unless only the newest counts anyway */
        {{KEPT, .conflation = true, .allow_history_for_client = true}, "alice", "prd", ""},
        {{KEPT, .conflation = true, .force_recovery = true, .force_recovery_mode = "cache",
          .allowed_delta_types = RULES_DELTA_FOSSIL},
         "alice",
         "d",
         "pr"},
    };
    struct rules r = {.name_max_bytes = 255};
    (void)state;
    GRANTS(&r, rows);
}

static void when_insecure_all_that_is_asked_for_is_granted(void **state) {
    static const struct grant_row rows[] = {
        {{KEPT}, "", "pr", "pr"},
        {{KEPT}, "", "", ""},
        {{KEPT}, "", "d", ""}, /* no permission, a feature */
        {{.history_ttl_s = 60}, "", "pr", ""},
        {{KEPT, .conflation = true}, "", "pr", ""},
    };
    struct rules r = {.name_max_bytes = 255};
    (void)state;
    r.is_insecure = true;
    GRANTS(&r, rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_is_kept_with_a_size_and_a_time),
        cmocka_unit_test(only_the_word_cache_is_cache_mode),
        cmocka_unit_test(a_subscription_gets_what_is_forced_or_asked_for_and_allowed),
        cmocka_unit_test(when_insecure_all_that_is_asked_for_is_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
