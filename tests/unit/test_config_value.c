/* Values of options: every type, the edges of every range, wrong types, durations.
 *
 * The edges come from the table itself, so a new option is tested by being there.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_value.c"

#include "tests/unit/config_testing.h"

#include "server/config/config_checks.h"

/* ---- durations ---- */

static void durations_are_read_as_go_writes_them(void **state) {
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"10s", 10000},           {"1m30s", 90000}, {"500ms", 500},
        {"720h", 2592000000},     {"0", 0},         {"0s", 0},
        {"1h0m0s", 3600000},      {"1.5s", 1500},   {"0.25h", 900000},
        {"1000ms", 1000},         {"2000000ns", 2}, {"1500us", 0},
        {"3000\xc2\xb5s", 3},     {"1s1s", 2000},   {"30s1m", 90000},
        {"87600h", 315360000000}, {"0.001s", 1},    {"0.5m500ms", 30500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 77;
        bool is_whole = strcmp(good[i].text, "1500us") != 0; /* 1.5 ms is no whole number */
        assert_int_equal(duration_parse(str_of(good[i].text), &ms), is_whole);
        assert_int_equal(ms, is_whole ? good[i].ms : 77);
    }
}

static void other_texts_are_no_durations(void **state) {
    static const char *const bad[] = {
        "",
        "10",
        "s",
        "10 s",
        " 10s",
        "10s ",
        "-1s",
        "+1s",
        "1d",
        "1S",
        ".5s",
        "1.s",
        "1..5s",
        "1e3s",
        "10sec",
        "0x1s",
        "ten",
        "1ns",
        "999us",
        "0.1ms",
        "87601h",
        "1h2",
        "1s,",
        "\xc2s",
        "1\xc2",
        "1m30",
        "1.0000000s",
        "99999999999999999999h",
        "18446744073709551616ns",
        "9223372036854775807s",
        "87600h1ms",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms = 77;
        if (duration_parse(str_of(bad[i]), &ms))
            fail_msg("\"%s\" was taken for a duration", bad[i]);
        assert_int_equal(ms, 77);
    }
}

static void durations_are_printed_so_that_they_can_be_read(void **state) {
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},           {1, "1ms"},      {1000, "1s"},
                {90000, "1m30s"},    {3600000, "1h"}, {3661001, "1h1m1s1ms"},
                {2592000000, "720h"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        uint64_t ms;
        duration_print(rows[i].ms, &out);
        assert_string_equal(config_z(&out), rows[i].text);
        assert_true(duration_parse(buf_str(&out), &ms));
        assert_int_equal(ms, rows[i].ms);
        buf_fini(&out);
    }
}

/* ---- every option of the table ---- */

static bool is_duration(const struct option *o) {
    return o->type == OPTION_DURATION || o->type == OPTION_SECONDS;
}

static bool is_number(const struct option *o) {
    return o->type == OPTION_COUNT || o->type == OPTION_BYTES || is_duration(o);
}

/* What the field counts. */
static uint64_t unit_of(const struct option *o) {
    return o->type == OPTION_SECONDS ? 1000 : 1;
}

/* Sets through text and through JSON; both must agree. */
static bool sets_number(void *base, const struct option *o, uint64_t n) {
    struct buf text = {0}, why = {0};
    json_t *value;
    if (is_duration(o)) {
        buf_printf(&text, "%llums", (unsigned long long)n);
        value = json_string(config_z(&text));
    } else {
        buf_add_u64(&text, n);
        value = json_integer((json_int_t)n);
    }
    bool by_text = option_set_text(base, o, config_z(&text), &why);
    bool by_json = option_set_json(base, o, value, &why);
    assert_int_equal(by_text, by_json);
    if (by_text)
        assert_int_equal(*(uint32_t *)(void *)((char *)base + o->offset), n / unit_of(o));
    json_decref(value);
    buf_fini(&text);
    buf_fini(&why);
    return by_text;
}

static size_t check_edges(const struct option *list, void *base) {
    size_t seen = 0;
    for (const struct option *o = list; o->name; o++) {
        uint64_t unit = unit_of(o);
        if (!is_number(o))
            continue;
        assert_true(o->min <= o->max && o->max / unit <= UINT32_MAX);
        assert_true(sets_number(base, o, o->min));
        assert_true(sets_number(base, o, o->max));
        assert_false(sets_number(base, o, o->max + unit));
        assert_false(sets_number(base, o, (uint64_t)UINT32_MAX + 1 + o->min));
        if (o->min > 0)
            assert_false(sets_number(base, o, o->min - unit));
        if (unit > 1)
            assert_false(sets_number(base, o, o->max - 1));
        seen++;
    }
    return seen;
}

static void numbers_are_taken_up_to_the_edges_of_their_range(void **state) {
    struct config_loader l;
    (void)state;
    config_loader_init(&l);
    assert_true(check_edges(config_options, l.config) >= 29);
    assert_int_equal(check_edges(config_channel_options + 1, &l.config->rules.without_namespace),
                     5);
    config_loader_fini(&l);
}

static void texts_are_taken_up_to_their_longest(void **state) {
    struct config_loader l;
    (void)state;
    config_loader_init(&l);
    for (const struct option *o = config_options; o->name; o++) {
        if (o->type != OPTION_TEXT || (o->check && o->check != config_check_prefix))
            continue;
        struct buf text = {0}, why = {0};
        memset(buf_reserve(&text, o->max + 1), 'x', o->max + 1);
        text.p[0] = '/'; /* fine for all, needed by some */
        text.n = o->max + 1;
        assert_false(option_set_text(l.config, o, config_z(&text), &why));
        text.n = o->max;
        assert_true(option_set_text(l.config, o, config_z(&text), &why));
        bool is_kept = option_set_text(l.config, o, "", &why);
        assert_int_equal(is_kept, o->min == 0 || !*o->preset);
        buf_fini(&text);
        buf_fini(&why);
    }
    config_loader_fini(&l);
}

static void a_list_of_one_needs_no_brackets_in_json(void **state) {
    struct config_loader l;
    struct buf why = {0};
    const struct option *o = config_option_find(config_options, STR("engine.redis.address"));
    json_t *text = json_string("redis://10.0.0.1:6380");
    (void)state;
    config_loader_init(&l);
    assert_true(option_set_json(l.config, o, text, &why));
    assert_int_equal(l.config->engine_redis_address.count, 1);
    assert_string_equal(l.config->engine_redis_address.items[0], "redis://10.0.0.1:6380");
    json_decref(text);
    buf_fini(&why);
    config_loader_fini(&l);
}

static bool is_type_of(enum option_type type, const json_t *v) {
    switch (type) {
    case OPTION_BOOL:
        return json_is_boolean(v);
    case OPTION_COUNT:
    case OPTION_BYTES:
        return json_is_integer(v);
    case OPTION_LIST:
        return json_is_array(v);
    default:
        return json_is_string(v);
    }
}

/* A refusal leaves the field alone and says what is allowed. */
static void expect_refusal(struct config *c, const struct option *o, const json_t *value) {
    struct buf before = {0}, after = {0}, why = {0}, allowed = {0};
    option_print(c, o, &before);
    assert_false(option_set_json(c, o, value, &why));
    option_print(c, o, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    option_print_allowed(o, &allowed);
    assert_true(allowed.n > 0);
    assert_non_null(strstr(config_z(&why), config_z(&allowed)));
    assert_non_null(strstr(config_z(&why), "found "));
    buf_fini(&before);
    buf_fini(&after);
    buf_fini(&why);
    buf_fini(&allowed);
}

static void every_wrong_type_is_refused_with_what_is_allowed(void **state) {
    static const char *const values[] = {"true", "7",   "1.5", "\"\\u0001\"",
                                         "{}",   "[7]", "-1",  "{\"a\": [1]}"};
    struct config_loader l;
    (void)state;
    config_loader_init(&l);
    for (const struct option *o = config_options; o->name; o++) {
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            json_t *v = json_loads(values[i], JSON_DECODE_ANY, NULL);
            bool is_secret_text = (o->flags & OPTION_SECRET) && json_is_string(v);
            if (!is_type_of(o->type, v) || json_is_array(v) || json_integer_value(v) < 0 ||
                (json_is_string(v) && !is_secret_text))
                expect_refusal(l.config, o, v);
            json_decref(v);
        }
        json_t *nothing = json_null();
        struct buf why = {0};
        assert_true(option_set_json(l.config, o, nothing, &why)); /* "not set" */
        buf_fini(&why);
    }
    config_loader_fini(&l);
}

static void words_are_only_those_of_the_table(void **state) {
    static const struct {
        const char *option, *word;
        bool is_good;
    } rows[] = {
        {"log.level", "debug", true},
        {"log.level", "fatal", true},
        {"log.level", "trace", true},
        {"log.level", "none", true},
        {"log.level", "", false},
        {"log.level", "INFO", false},
        {"log.level", "info warn", false},
        {"log.level", "inf", false},
        {"log.format", "json", true},
        {"log.format", "xml", false},
        {"engine.type", "redis", true},
        {"engine.type", "nats", false},
        {"channel.publication_data_format", "", true},
        {"channel.publication_data_format", "json", true},
        {"channel.publication_data_format", " json", false},
        {"channel.publication_data_format", "json_object", false},
    };
    struct config_loader l;
    (void)state;
    config_loader_init(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf why = {0};
        const struct option *o = config_option_find(config_options, str_of(rows[i].option));
        assert_int_equal(option_set_text(l.config, o, rows[i].word, &why), rows[i].is_good);
        buf_fini(&why);
    }
    config_loader_fini(&l);
}

static void a_list_of_words_is_a_set(void **state) {
    static const struct option o = {"x", OPTION_WORDS, 0, 0, 0, "", .words = "a bb c"};
    static const struct {
        const char *text;
        uint32_t set;
        const char *printed;
    } rows[] = {
        {"", 0, "[]"},
        {"a", 1, "[\"a\"]"},
        {"c,bb", 6, "[\"bb\", \"c\"]"},
        {"a a bb c", 7, "[\"a\", \"bb\", \"c\"]"},
    };
    uint32_t set = 0;
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(option_set_text(&set, &o, rows[i].text, &out));
        assert_int_equal(set, rows[i].set);
        option_print(&set, &o, &out);
        assert_string_equal(config_z(&out), rows[i].printed);
        buf_clear(&out);
    }
    assert_false(option_set_text(&set, &o, "a,b", &out));
    assert_string_equal(config_z(&out),
                        "found \"b\", allowed is a list, each item one of a, bb, c");
    assert_int_equal(set, 7);
    option_clear(&set, &o);
    assert_int_equal(set, 0);
    buf_fini(&out);
}

static void lists_of_texts_are_separated_by_commas_or_spaces(void **state) {
    struct config_loader l;
    struct buf why = {0};
    const struct option *o = config_option_find(config_options, STR("client.allowed_origins"));
    struct config_strings *list;
    (void)state;
    config_loader_init(&l);
    list = &l.config->client_allowed_origins;
    assert_true(option_set_text(l.config, o, " https://A.example,http://b:1 ,, *\t", &why));
    assert_int_equal(list->count, 3);
    assert_string_equal(list->items[0], "https://a.example");
    assert_string_equal(list->items[1], "http://b:1");
    assert_string_equal(list->items[2], "*");
    assert_false(option_set_text(l.config, o, "https://c.example,null", &why));
    assert_non_null(strstr(config_z(&why), "found \"null\""));
    assert_int_equal(list->count, 3);
    assert_true(option_set_text(l.config, o, "", &why));
    assert_int_equal(list->count, 0);
    o = config_option_find(config_options, STR("engine.redis.address"));
    assert_false(option_set_text(l.config, o, " ,", &why)); /* its default is not empty */
    config_loader_fini(&l);
    buf_fini(&why);
}

static void a_text_is_repeated_cut_and_without_control_bytes(void **state) {
    struct config_loader l;
    struct buf why = {0};
    char text[200];
    const struct option *o = config_option_find(config_options, STR("log.level"));
    (void)state;
    config_loader_init(&l);
    memset(text, 'y', sizeof(text));
    text[0] = '\n';
    text[1] = '\x1b';
    text[sizeof(text) - 1] = '\0';
    assert_false(option_set_text(l.config, o, text, &why));
    assert_non_null(strstr(config_z(&why), "\\x0a\\x1byyy"));
    assert_non_null(strstr(config_z(&why), "yyy..."));
    assert_true(why.n < 200);
    buf_fini(&why);
    config_loader_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_as_go_writes_them),
        cmocka_unit_test(other_texts_are_no_durations),
        cmocka_unit_test(durations_are_printed_so_that_they_can_be_read),
        cmocka_unit_test(numbers_are_taken_up_to_the_edges_of_their_range),
        cmocka_unit_test(texts_are_taken_up_to_their_longest),
        cmocka_unit_test(every_wrong_type_is_refused_with_what_is_allowed),
        cmocka_unit_test(words_are_only_those_of_the_table),
        cmocka_unit_test(a_list_of_one_needs_no_brackets_in_json),
        cmocka_unit_test(a_list_of_words_is_a_set),
        cmocka_unit_test(lists_of_texts_are_separated_by_commas_or_spaces),
        cmocka_unit_test(a_text_is_repeated_cut_and_without_control_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
