/* Environment variables, namespaces, secrets: what is read, refused, passed over, and never shown.
 *
 * Files are made in a folder of the test's own and removed again.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_env.c"

#include "tests/unit/config_testing.h"

#include "server/config/config_value.h"
#include "tests/unit/test_folder.h"

#define KEY "0123456789abcdef0123456789abcdef"

/* ---- environment ---- */

static void unknown_variables_are_warned_about(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL,
         LIST("CARILLON_WORKER=3", "CARILLON_CLIENT_ALLOWED_ORIGIN=x", "CARILLON_ZZZZZZZZZZZZZ=1",
              "CARILLON_", "CARILLON", "carillon_workers=5", "XCARILLON_WORKERS=5", "=", ""),
         NONE);
    expect_counts(&l, 0, 4);
    expect_note(&l.warnings, "CARILLON_WORKER", "did you mean CARILLON_WORKERS");
    expect_note(&l.warnings, "CARILLON_CLIENT_ALLOWED_ORIGIN", "CARILLON_CLIENT_ALLOWED_ORIGINS");
    expect_note(&l.warnings, "CARILLON_ZZZZZZZZZZZZZ", "means no option, ignored");
    config_loader_fini(&l);
}

static void wrong_variables_are_refused(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL,
         LIST("CARILLON_WORKERS=", "CARILLON_CLIENT_INSECURE=yes",
              "CARILLON_CLIENT_PING_INTERVAL=5", "CARILLON_CHANNEL_NAMESPACES=x",
              "CARILLON_HTTP_SERVER_PORT=-1"),
         NONE);
    expect_counts(&l, 5, 0);
    assert_string_equal(l.problems.items[0].source, "environment CARILLON_CHANNEL_NAMESPACES");
    expect_note(&l.problems, "client.insecure", "found \"yes\", allowed is true or false");
    config_loader_fini(&l);
}

static void what_kubernetes_adds_is_passed_over(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL,
         LIST("CARILLON_SERVICE_HOST=10.0.0.1", "CARILLON_SERVICE_PORT=8000",
              "CARILLON_SERVICE_PORT_HTTP=8000", "CARILLON_PORT=tcp://10.0.0.1:8000",
              "CARILLON_PORT_8000_TCP=tcp://10.0.0.1:8000", "CARILLON_PORT_8000_TCP_PROTO=tcp",
              "CARILLON_PORT_8000_TCP_PORT=8000", "CARILLON_PORT_8000_TCP_ADDR=10.0.0.1",
              "CARILLON_REDIS_PORT=udp://10.0.0.1:1", "CARILLON_A_PORT_53_UDP_ADDR=10.0.0.1",
              "CARILLON_HTTP_SERVER_PORT=tcp://10.0.0.1:8000", "CENTRIFUGO_SERVICE_HOST=10.0.0.1"),
         NONE);
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->http_server_port, 8000);
    config_loader_fini(&l);
    load(&l, NULL,
         LIST("CARILLON_PORT=8000", "CARILLON_PORT_X_TCP=1", "CARILLON_HTTP_SERVER_PORT=7"), NONE);
    expect_counts(&l, 0, 2);
    assert_int_equal(l.config->http_server_port, 7);
    config_loader_fini(&l);
}

static void variables_of_centrifugo_are_pointed_out_once(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, LIST("CENTRIFUGO_HTTP_API_KEY=abc", "CENTRIFUGO_ADMIN_PASSWORD=def"), NONE);
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "", "CENTRIFUGO_HTTP_API_KEY are not read");
    expect_no_word(&l, "abc");
    config_loader_fini(&l);
}

/* ---- namespaces ---- */

static void namespaces_come_from_the_file(void **state) {
    struct config_loader l;
    const struct rules *r;
    (void)state;
    load_json(&l, "{\"channel\": {\"max_length\": 100, \"private_prefix\": \"\","
                  "\"without_namespace\": {\"presence\": true},"
                  "\"namespaces\": [{\"name\": \"chat\", \"allow_publish_for_client\": true,"
                  "\"allow_user_limited_channels\": true}, {\"join_leave\": true,"
                  "\"name\": \"news\"}]}}");
    expect_counts(&l, 0, 0);
    r = &l.config->rules;
    assert_int_equal(r->name_max_bytes, 100);
    assert_string_equal(r->private_prefix, "");
    assert_true(r->without_namespace.presence);
    assert_int_equal(r->namespace_count, 2);
    assert_string_equal(r->namespaces[0].name, "chat");
    assert_true(r->namespaces[0].allow_publish_for_client);
    assert_true(r->namespaces[0].allow_user_limited_channels);
    assert_false(r->namespaces[0].presence || r->namespaces[0].join_leave);
    assert_string_equal(r->namespaces[1].name, "news");
    assert_true(r->namespaces[1].join_leave);
    config_loader_fini(&l);
}

/* Some value that is not the default, as text, JSON and printed. */
struct sample {
    const char *text, *json, *printed;
};

static struct sample sample_of(const struct option *o) {
    switch (o->type) {
    case OPTION_BOOL:
        return (struct sample){"true", "true", "true"};
    case OPTION_COUNT:
    case OPTION_BYTES:
        return (struct sample){"7", "7", "7"};
    case OPTION_DURATION:
    case OPTION_SECONDS:
        return (struct sample){"90s", "\"90s\"", "1m30s"};
    case OPTION_WORD:
        return !strcmp(o->name, "force_recovery_mode")
                   ? (struct sample){"cache", "\"cache\"", "\"cache\""}
                   : (struct sample){"json", "\"json\"", "\"json\""};
    case OPTION_WORDS:
    case OPTION_LIST:
        return (struct sample){"fossil", "[\"fossil\"]", "[\"fossil\"]"};
    case OPTION_TEXT:
        return (struct sample){"^a$", "\"^a$\"", "\"^a$\""};
    }
    return (struct sample){"", "", ""};
}

static void expect_printed(const void *base, const struct option *o, const char *expected) {
    struct buf printed = {0};
    option_print(base, o, &printed);
    assert_string_equal(config_z(&printed), expected);
    buf_fini(&printed);
}

/* Some need others beside them, which is a problem of its own (test_config_channels.c). */
static void every_option_of_channels_can_be_set(void **state) {
    (void)state;
    for (const struct option *o = config_channel_options + 1; o->name; o++) {
        struct sample sample = sample_of(o);
        struct buf json = {0}, env = {0}, arg = {0};
        struct config_loader l;
        buf_printf(&json, "{\"channel\": {\"namespaces\": [{\"name\": \"chat\", \"%s\": %s}]}}",
                   o->name, sample.json);
        config_env_name(&env, "channel.namespaces.chat", o->name);
        buf_printf(&env, "=%s", sample.text);
        buf_printf(&arg, "--channel.without_namespace.%s=%s", o->name, sample.text);
        load(&l, config_z(&json), LIST((char *)(uintptr_t)config_z(&env)),
             LIST((char *)(uintptr_t)config_z(&arg)));
        assert_int_equal(l.used.count, 4);
        expect_printed(&l.config->rules.namespaces[0], o, sample.printed);
        expect_printed(&l.config->rules.without_namespace, o, sample.printed);
        config_loader_fini(&l);
        buf_fini(&json);
        buf_fini(&env);
        buf_fini(&arg);
    }
}

static void namespaces_come_from_the_environment_and_the_command_line(void **state) {
    const char *json =
        "{\"channel\": {\"namespaces\": [{\"name\": \"a-b.c\"}, {\"name\": \"xx\"}]}}";
    struct config_loader l;
    (void)state;
    load(&l, json,
         LIST("CARILLON_CHANNEL_NAMESPACES_A_B_C_PRESENCE=true",
              "CARILLON_CHANNEL_NAMESPACES_XX_SUBSCRIPTION_TYPE=map",
              "CARILLON_CHANNEL_NAMESPACES_YY_PRESENCE=true"),
         LIST("--channel.namespaces[1].join_leave", "--channel.namespaces[2].join_leave=true"));
    expect_counts(&l, 2, 1);
    assert_true(l.config->rules.namespaces[0].presence);
    assert_true(l.config->rules.namespaces[1].join_leave);
    expect_note(&l.problems, "channel.namespaces[1].subscription_type", "plain streams");
    expect_note(&l.problems, "channel.namespaces[2].join_leave", "no such option");
    expect_note(&l.warnings, "CARILLON_CHANNEL_NAMESPACES_YY_PRESENCE", "means no option");
    config_loader_fini(&l);
    load(&l, json,
         LIST("CARILLON_CHANNEL_NAMESPACES_NN_PRESENCE=true",
              "CARILLON_CHANNEL_NAMESPACES=[{\"name\": \"nn\"}]"),
         NONE);
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->rules.namespace_count, 1);
    assert_true(l.config->rules.namespaces[0].presence);
    config_loader_fini(&l);
    load(&l, json, NONE, LIST("--channel.namespaces", "[]"));
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->rules.namespace_count, 0);
    config_loader_fini(&l);
}

static void wrong_namespaces_are_refused(void **state) {
    static const struct {
        const char *list, *option, *words;
    } rows[] = {
        {"{}", "channel.namespaces", "a list of at most 1000 objects"},
        {"[3]", "channel.namespaces[0]", "an object"},
        {"[{}]", "channel.namespaces[0].name", "is missing"},
        {"[{\"name\": \"\"}]", "channel.namespaces[0].name", "is missing"},
        {"[{\"name\": \"a\"}]", "channel.namespaces[0].name", "two or more letters"},
        {"[{\"name\": \"a:b\"}]", "channel.namespaces[0].name", "two or more letters"},
        {"[{\"name\": 4}]", "channel.namespaces[0].name", "found 4"},
        {"[{\"name\": \"ab\"}, {\"name\": \"ab\"}]", "channel.namespaces[1].name", "of another"},
        {"[{\"name\": \"ab\", \"presense\": true}]", "channel.namespaces[0].presense",
         "did you mean channel.namespaces[].presence?"},
        {"[{\"name\": \"ab\", \"presence\": 1}]", "channel.namespaces[0].presence",
         "true or false"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf json = {0};
        struct config_loader l;
        buf_printf(&json, "{\"channel\": {\"namespaces\": %s}}", rows[i].list);
        load_json(&l, config_z(&json));
        bool is_nameless = !strcmp(rows[i].list, "[3]"); /* counts as one without a name, too */
        expect_counts(&l, 1 + is_nameless, 0);
        expect_note(&l.problems, rows[i].option, rows[i].words);
        config_loader_fini(&l);
        buf_fini(&json);
    }
}

static void there_are_at_most_1000_namespaces(void **state) {
    (void)state;
    for (int count = 1000; count <= 1001; count++) {
        struct buf json = {0};
        struct config_loader l;
        buf_add_z(&json, "{\"channel\": {\"namespaces\": [");
        for (int i = 0; i < count; i++)
            buf_printf(&json, "%s{\"name\": \"n%d\"}", i ? "," : "", i);
        buf_add_z(&json, "]}}");
        load_json(&l, config_z(&json));
        expect_counts(&l, count > 1000, 0);
        assert_int_equal(l.config->rules.namespace_count, count > 1000 ? 0 : 1000);
        config_loader_fini(&l);
        buf_fini(&json);
    }
}

/* ---- secrets ---- */

static void secrets_are_refused_on_the_command_line_and_never_repeated(void **state) {
    struct config_loader l;
    (void)state;
    load(
        &l,
        "{\"http_api\": {\"key\": [\"hush1\"]}, \"client\": {\"token\": {\"hmac_secret_key\": {}}},"
        "\"engine\": {\"redis\": {\"address\": [\"redis://u:hush2@h\", 1]}}}",
        LIST("CARILLON_ENGINE_REDIS_ADDRESS=redis://u:hush3@h", "CARILLON_HTTP_API_KEY=hush4"),
        LIST("--http_api.key=hush5", "--client.token.hmac_secret_key", "hush6",
             "--engine.redis.password=hush7", "--engine.redis.address=redis://u:hush8@h:1"));
    expect_counts(&l, 8, 0);
    expect_note(&l.problems, "http_api.key", "CARILLON_HTTP_API_KEY");
    expect_note(&l.problems, "engine.redis.address", "everybody on this machine");
    expect_no_word(&l, "hush");
    assert_string_equal(l.config->http_api_key, "hush4");
    config_loader_fini(&l);
}

static void a_broken_file_is_not_quoted(void **state) {
    struct config_loader l;
    (void)state;
    load_json(&l, "{\"http_api\": {\"key\" \"hush\"}}");
    expect_counts(&l, 1, 0);
    expect_no_word(&l, "hush");
    config_loader_fini(&l);
}

static void a_secret_comes_from_a_file_of_its_own(void **state) {
    static const struct {
        const char *content, *key; /* NULL: refused */
    } rows[] = {{KEY "\n", KEY},    {KEY, KEY}, {KEY "\r\n", KEY},
                {" a b ", " a b "}, {"", NULL}, {"\n", NULL}};
    struct folder f;
    char variable[128];
    (void)state;
    make_folder(&f);
    snprintf(variable, sizeof(variable), "CARILLON_HTTP_API_KEY_FILE=%s", f.file);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        write_file(&f, rows[i].content, strlen(rows[i].content), 0600);
        load(&l, NULL, LIST(variable), NONE);
        expect_counts(&l, rows[i].key == NULL, 0);
        assert_string_equal(l.config->http_api_key, rows[i].key ? rows[i].key : "");
        config_loader_fini(&l);
    }
    remove_folder(&f);
}

static void a_secret_file_is_checked(void **state) {
    struct folder f;
    struct config_loader l;
    char variable[128], large[64 * 1024 + 1];
    (void)state;
    make_folder(&f);
    snprintf(variable, sizeof(variable), "CARILLON_HTTP_API_KEY_FILE=%s", f.file);
    load(&l, NULL, LIST(variable), NONE);
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "http_api.key", "CARILLON_HTTP_API_KEY_FILE cannot be read: No such");
    config_loader_fini(&l);
    memset(large, 'x', sizeof(large));
    write_file(&f, large, sizeof(large), 0600);
    load(&l, NULL, LIST(variable), NONE);
    expect_note(&l.problems, "http_api.key", "is too large");
    config_loader_fini(&l);
    write_file(&f, KEY, 32, 0644);
    load(&l, NULL, LIST(variable), NONE);
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "http_api.key", "everybody on this machine can read or change");
    config_loader_fini(&l);
    load(&l, NULL, LIST(variable, "CARILLON_HTTP_API_KEY=" KEY), NONE);
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "http_api.key", "given both");
    config_loader_fini(&l);
    load(&l, NULL, LIST("CARILLON_LOG_LEVEL_FILE=/x"), NONE); /* no secret, no such variable */
    expect_counts(&l, 0, 1);
    config_loader_fini(&l);
    remove_folder(&f);
}

static void a_file_with_secrets_that_all_can_read_is_warned_about(void **state) {
    static const struct {
        const char *json;
        mode_t mode;
        size_t warnings;
    } rows[] = {
        {"{\"http_api\": {\"key\": \"" KEY "\"}}", 0644, 1},
        {"{\"http_api\": {\"key\": \"" KEY "\"}}", 0640, 1},
        {"{\"http_api\": {\"key\": \"" KEY "\"}}", 0600, 0},
        {"{\"http_api\": {\"key\": \"\"}}", 0644, 0},
        {"{\"engine\": {\"redis\": {\"address\": [\"redis://:pw@h:1\"]}}}", 0604, 1},
        {"{\"engine\": {\"redis\": {\"address\": [\"redis://h:1\"]}}}", 0644, 0},
        {"{\"client\": {\"token\": {\"hmac_secret_key\": \"" KEY "\"}}}", 0646, 1},
        {"{}", 0644, 0},
    };
    struct folder f;
    (void)state;
    make_folder(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        write_file(&f, rows[i].json, strlen(rows[i].json), rows[i].mode);
        config_loader_init(&l);
        config_loader_file(&l, f.file);
        expect_counts(&l, 0, rows[i].warnings);
        config_loader_fini(&l);
    }
    remove_folder(&f);
}

static void an_option_with_file_at_its_end_names_a_file(void **state) {
    struct folder f;
    struct config_loader l;
    char json[256], word[128];
    (void)state;
    make_folder(&f);
    write_file(&f, KEY "\n", strlen(KEY) + 1, 0600);
    for (const struct option *o = config_options; o->name; o++) {
        char arg[256];
        struct buf value = {0};
        if (!(o->flags & OPTION_SECRET))
            continue;
        snprintf(arg, sizeof(arg), "--%s_file=%s", o->name, f.file);
        load(&l, NULL, NONE, LIST(arg));
        option_print(l.config, o, &value);
        assert_true(str_equal(buf_str(&value), STR("(secret)")));
        expect_no_word(&l, KEY);
        buf_fini(&value);
        config_loader_fini(&l);
    }
    snprintf(json, sizeof(json), "{\"http_api\": {\"key_file\": \"%s\"}}", f.file);
    load_json(&l, json);
    expect_counts(&l, 0, 0);
    assert_string_equal(l.config->http_api_key, KEY);
    config_loader_fini(&l);
    snprintf(json, sizeof(json), "{\"http_api\": {\"key_file\": \"%s\", \"key\": \"x\"}}", f.file);
    load_json(&l, json);
    expect_counts(&l, 1, 1);
    expect_note(&l.problems, "http_api.key", "given both here and as http_api.key_file");
    config_loader_fini(&l);
    load_json(&l, "{\"http_api\": {\"key_file\": 1}}");
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "http_api.key_file", "path of a file");
    config_loader_fini(&l);
    snprintf(word, sizeof(word), "--http_api.key_file=%s.none", f.file);
    load(&l, NULL, NONE, LIST(word));
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "http_api.key", "cannot be read");
    config_loader_fini(&l);
    load_json(&l, "{\"http_api\": {\"prefix_file\": \"/x\"}, \"log\": {\"level_file\": \"/x\"}}");
    expect_counts(&l, 2, 0);
    config_loader_fini(&l);
    remove_folder(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_variables_are_warned_about),
        cmocka_unit_test(wrong_variables_are_refused),
        cmocka_unit_test(what_kubernetes_adds_is_passed_over),
        cmocka_unit_test(variables_of_centrifugo_are_pointed_out_once),
        cmocka_unit_test(namespaces_come_from_the_file),
        cmocka_unit_test(every_option_of_channels_can_be_set),
        cmocka_unit_test(namespaces_come_from_the_environment_and_the_command_line),
        cmocka_unit_test(wrong_namespaces_are_refused),
        cmocka_unit_test(there_are_at_most_1000_namespaces),
        cmocka_unit_test(secrets_are_refused_on_the_command_line_and_never_repeated),
        cmocka_unit_test(a_broken_file_is_not_quoted),
        cmocka_unit_test(a_secret_comes_from_a_file_of_its_own),
        cmocka_unit_test(a_secret_file_is_checked),
        cmocka_unit_test(an_option_with_file_at_its_end_names_a_file),
        cmocka_unit_test(a_file_with_secrets_that_all_can_read_is_warned_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
