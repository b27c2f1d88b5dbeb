/* Options of channels that must fit together: what is refused, what is warned about, what is fine,
 * in channel.without_namespace and in namespaces alike.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_channels.c"

#include "tests/unit/config_testing.h"

#include "server/base/buf.h"

#define HISTORY "\"history_size\":10,\"history_ttl\":\"60s\""
#define CACHE ",\"force_recovery_mode\":\"cache\""

struct row {
    const char *options; /* members of a JSON object */
    const char *option;  /* which of them there is something to say about; NULL: all is fine */
    const char *words;
    bool is_warning;
};

static const struct row rows[] = {
    {"", NULL, NULL, false},
    /* history */
    {HISTORY, NULL, NULL, false},
    {"\"history_size\":10", "history_size", "needs history_ttl", false},
    {"\"history_ttl\":\"1s\"", "history_ttl", "needs history_size", false},
    {"\"history_size\":10,\"history_ttl\":\"720h\"", NULL, NULL, false},
    {"\"history_size\":10,\"history_ttl\":\"721h\"", "history_ttl", "channel.history_meta_ttl",
     false},
    {"\"history_size\":10,\"history_ttl\":\"721h\",\"history_meta_ttl\":\"721h\"", NULL, NULL,
     false},
    {HISTORY ",\"history_meta_ttl\":\"59s\"", "history_ttl", "longer than history_meta_ttl", false},
    {"\"history_ttl\":\"1500ms\"", "history_ttl", "whole seconds", false},
    {"\"history_size\":-1", "history_size", "found -1", false},
    /* what history is for */
    {"\"force_recovery\":true", "force_recovery", "needs history_size and history_ttl", false},
    {"\"allow_recovery\":true", "allow_recovery", "has no effect", true},
    {"\"force_positioning\":true", "force_positioning", "has no effect", true},
    {"\"allow_positioning\":true", "allow_positioning", "has no effect", true},
    {"\"delta_publish\":true", "delta_publish", "has no effect", true},
    {"\"allowed_delta_types\":[\"fossil\"]", "allowed_delta_types", "has no effect", true},
    {"\"allow_history_for_client\":true", "allow_history_for_client", "has no effect", true},
    {"\"allow_history_for_subscriber\":true", "allow_history_for_subscriber", "has no effect",
     true},
    {HISTORY ",\"force_recovery\":true,\"force_positioning\":true,\"delta_publish\":true,"
             "\"allowed_delta_types\":[\"fossil\"],\"allow_history_for_client\":true",
     NULL, NULL, false},
    /* cache mode */
    {HISTORY ",\"force_recovery\":true" CACHE ",\"auto_cache_recover\":true", NULL, NULL, false},
    {HISTORY ",\"force_recovery\":true,\"auto_cache_recover\":true", "auto_cache_recover",
     "needs force_recovery, and", false},
    {HISTORY CACHE ",\"auto_cache_recover\":true", "auto_cache_recover", "needs force_recovery",
     false},
    {"\"auto_cache_recover\":true", "auto_cache_recover", "needs force_recovery", false},
    /* words */
    {"\"force_recovery_mode\":\"stream\"", NULL, NULL, false},
    {"\"force_recovery_mode\":\"\"", NULL, NULL, false},
    {"\"force_recovery_mode\":\"map\"", "force_recovery_mode",
     "found \"map\", allowed is one of empty, stream, cache", false},
    {"\"allowed_delta_types\":[\"fossil\",\"x\"]", "allowed_delta_types",
     "found \"x\", allowed is a list, each item one of fossil", false},
    {"\"allowed_delta_types\":[]", NULL, NULL, false},
    {"\"publication_data_format\":\"json\"", NULL, NULL, false},
    {"\"publication_data_format\":\"binary\"", "publication_data_format",
     "allowed is one of empty, json", false},
    /* conflation */
    {"\"conflation\":true", NULL, NULL, false},
    {HISTORY ",\"conflation\":true", NULL, NULL, false},
    {HISTORY ",\"conflation\":true,\"force_recovery\":true" CACHE, NULL, NULL, false},
    {HISTORY ",\"conflation\":true,\"force_recovery\":true", "conflation",
     "contradicts force_recovery", false},
    {HISTORY ",\"conflation\":true,\"allow_recovery\":true", "conflation",
     "contradicts allow_recovery", false},
    {HISTORY ",\"conflation\":true,\"force_positioning\":true", "conflation",
     "contradicts force_positioning", false},
    {HISTORY ",\"conflation\":true,\"allow_positioning\":true", "conflation",
     "contradicts allow_positioning", false},
    {HISTORY ",\"conflation\":true,\"allowed_delta_types\":[\"fossil\"]" CACHE, "conflation",
     "contradicts allowed_delta_types", false},
    {HISTORY ",\"conflation\":true,\"delta_publish\":true", "conflation",
     "contradicts delta_publish", false},
    /* joins */
    {"\"join_leave\":true,\"join_leave_max_members\":100,\"join_leave_interval\":\"500ms\"", NULL,
     NULL, false},
    {"\"join_leave_max_members\":100", "join_leave_max_members", "without join_leave", true},
    {"\"join_leave_interval\":\"1s\"", "join_leave_interval", "without join_leave", true},
    {"\"join_leave_interval\":\"2h\"", "join_leave_interval", "from 0s to 1h", false},
    /* names */
    {"\"channel_regex\":\"^[a-z]+$\"", NULL, NULL, false},
    {"\"channel_regex\":\"\"", NULL, NULL, false},
    {"\"channel_regex\":\"a(\"", "channel_regex",
     "found \"a(\", allowed is a regular expression in Go's syntax: a ( is not closed", false},
    {"\"channel_regex\":\"(?i)a\"", "channel_regex", "not supported", false},
};

static void expect_row(const struct row *r, const char *json, const char *path) {
    struct config_loader l;
    struct buf option = {0};
    load_json(&l, json);
    if (l.problems.count != (r->option && !r->is_warning) ||
        l.warnings.count != (r->option && r->is_warning))
        print_error("%s\n", json);
    expect_counts(&l, r->option && !r->is_warning, r->option && r->is_warning);
    if (r->option) {
        const struct config_notes *notes = r->is_warning ? &l.warnings : &l.problems;
        buf_printf(&option, "%s.%s", path, r->option);
        expect_note(notes, config_z(&option), r->words);
        assert_string_equal(notes->items[0].source, "test.json");
    }
    buf_fini(&option);
    config_loader_fini(&l);
}

static void options_of_channels_must_fit_together(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf json = {0};
        buf_printf(&json, "{\"channel\":{\"without_namespace\":{%s}}}", rows[i].options);
        expect_row(&rows[i], config_z(&json), "channel.without_namespace");
        buf_clear(&json);
        buf_printf(&json,
                   "{\"channel\":{\"namespaces\":[{\"name\":\"aa\"},{\"name\":\"bb\"%s%s}]}}",
                   *rows[i].options ? "," : "", rows[i].options);
        expect_row(&rows[i], config_z(&json), "channel.namespaces[1]");
        buf_fini(&json);
    }
}

static void history_is_kept_over_redis_too(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, "{\"channel\":{\"without_namespace\":{" HISTORY ",\"conflation\":true}}}", NONE,
         LIST("--engine.type=redis"));
    expect_counts(&l, 0, 0);
    config_loader_fini(&l);
}

static void what_needs_all_nodes_is_fine_over_redis(void **state) {
    struct config_loader l;
    (void)state;
    load(&l,
         "{\"client\":{\"subscribe_to_user_personal_channel\":{\"enabled\":true,"
         "\"single_connection\":true}},\"channel\":{\"without_namespace\":{\"presence\":true,"
         "\"join_leave\":true,\"join_leave_max_members\":5}}}",
         NONE, LIST("--engine.type=redis"));
    expect_counts(&l, 0, 0);
    config_loader_fini(&l);
}

static void a_namespace_keeps_offsets_as_long_as_it_or_the_server_says(void **state) {
    struct config_loader l;
    (void)state;
    load_json(&l, "{\"channel\":{\"namespaces\":[{\"name\":\"aa\"},"
                  "{\"name\":\"bb\",\"history_meta_ttl\":\"2160h\"}]}}");
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->rules.without_namespace.history_meta_ttl_s, 720 * 3600);
    assert_int_equal(l.config->rules.namespaces[0].history_meta_ttl_s, 720 * 3600);
    assert_int_equal(l.config->rules.namespaces[1].history_meta_ttl_s, 2160 * 3600);
    config_loader_fini(&l);
    load_json(&l, "{\"channel\":{\"history_meta_ttl\":\"90s\",\"namespaces\":[{\"name\":\"aa\","
                  "\"history_size\":3,\"history_ttl\":\"91s\"}]}}");
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "channel.namespaces[0].history_ttl", "longer");
    assert_int_equal(l.config->rules.namespaces[0].history_meta_ttl_s, 90);
    config_loader_fini(&l);
}

static void everything_about_channels_is_off_by_default(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE, NONE);
    const struct channel_options *o = &l.config->rules.without_namespace;
    assert_int_equal(o->history_size + o->history_ttl_s + o->allowed_delta_types, 0);
    assert_int_equal(o->join_leave_max_members + o->join_leave_interval_ms, 0);
    assert_false(o->force_recovery || o->allow_recovery || o->force_positioning ||
                 o->allow_positioning || o->auto_cache_recover || o->delta_publish ||
                 o->conflation);
    assert_false(rules_keep_history(o) || rules_is_cache_mode(o));
    assert_string_equal(o->channel_regex, "");
    assert_null(o->pattern);
    assert_int_equal(l.config->client_channel_position_check_delay_ms, 40000);
    assert_int_equal(l.config->client_history_max_publication_limit, 300);
    assert_int_equal(l.config->client_recovery_max_publication_limit, 300);
    assert_false(l.config->rules.has_personal_channels);
    config_loader_fini(&l);
}

static void a_pattern_is_compiled_for_its_namespace(void **state) {
    struct config_loader l;
    const struct channel_options *o;
    (void)state;
    load_json(&l, "{\"channel\":{\"namespaces\":[{\"name\":\"aa\",\"channel_regex\":\"^\\\\d+$\"},"
                  "{\"name\":\"bb\"}]}}");
    expect_counts(&l, 0, 0);
    assert_int_equal(rules_find(&l.config->rules, STR("aa:12"), &o), RULES_OK);
    assert_int_equal(rules_find(&l.config->rules, STR("aa:x"), &o), RULES_BAD_NAME);
    assert_int_equal(rules_find(&l.config->rules, STR("bb:x"), &o), RULES_OK);
    config_loader_fini(&l);
}

static void personal_channels_need_a_place(void **state) {
    static const struct {
        const char *personal, *channel, *option, *words;
        bool is_warning;
    } cases[] = {
        {"\"enabled\":true", "", NULL, NULL, false},
        {"\"enabled\":true,\"personal_channel_namespace\":\"me\"",
         "\"namespaces\":[{\"name\":\"me\"}]", NULL, NULL, false},
        {"\"enabled\":true,\"personal_channel_namespace\":\"me\"", "", "personal_channel_namespace",
         "not in channel.namespaces", false},
        {"\"personal_channel_namespace\":\"me\"", "", NULL, NULL, false},
        {"\"enabled\":true,\"single_connection\":true", "", "single_connection", "needs presence",
         false},
        {"\"enabled\":true,\"single_connection\":true", "\"without_namespace\":{\"presence\":true}",
         NULL, NULL, false},
        {"\"enabled\":true,\"single_connection\":true,\"personal_channel_namespace\":\"me\"",
         "\"without_namespace\":{\"presence\":true},\"namespaces\":[{\"name\":\"me\"}]",
         "single_connection", "needs presence", false},
        {"\"single_connection\":true", "", "single_connection", "no effect", true},
        {"\"enabled\":true", "\"user_boundary\":\"\"", "enabled", "channel.user_boundary", false},
        {"\"enabled\":true", "\"without_namespace\":{\"allow_subscribe_for_client\":true}",
         "enabled", "allow_user_limited_channels", true},
        {"\"enabled\":true",
         "\"without_namespace\":{\"allow_subscribe_for_client\":true,"
         "\"allow_user_limited_channels\":true}",
         NULL, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf json = {0}, option = {0};
        struct config_loader l;
        bool is_said = cases[i].option != NULL;
        buf_printf(&json,
                   "{\"client\":{\"subscribe_to_user_personal_channel\":{%s}},\"channel\":{%s}}",
                   cases[i].personal, cases[i].channel);
        load_json(&l, config_z(&json));
        expect_counts(&l, is_said && !cases[i].is_warning, is_said && cases[i].is_warning);
        if (is_said) {
            buf_printf(&option, PERSONAL "%s", cases[i].option);
            expect_note(cases[i].is_warning ? &l.warnings : &l.problems, config_z(&option),
                        cases[i].words);
        }
        config_loader_fini(&l);
        buf_fini(&json);
        buf_fini(&option);
    }
}

static void without_namespaces_there_is_no_namespace_of_personal_channels(void **state) {
    struct config_loader l;
    (void)state;
    load_json(&l, "{\"client\":{\"subscribe_to_user_personal_channel\":{\"enabled\":true,"
                  "\"personal_channel_namespace\":\"me\"}},"
                  "\"channel\":{\"namespace_boundary\":\"\",\"namespaces\":[{\"name\":\"me\"}]}}");
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, PERSONAL "personal_channel_namespace", "channel.namespace_boundary");
    config_loader_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_channels_must_fit_together),
        cmocka_unit_test(history_is_kept_over_redis_too),
        cmocka_unit_test(what_needs_all_nodes_is_fine_over_redis),
        cmocka_unit_test(a_namespace_keeps_offsets_as_long_as_it_or_the_server_says),
        cmocka_unit_test(everything_about_channels_is_off_by_default),
        cmocka_unit_test(a_pattern_is_compiled_for_its_namespace),
        cmocka_unit_test(personal_channels_need_a_place),
        cmocka_unit_test(without_namespaces_there_is_no_namespace_of_personal_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
