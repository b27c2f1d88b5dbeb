/* Loading the configuration: sources and their order, files, and what is printed.
 *
 * Everything but the tests of config_load() itself runs from memory.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config.c"

#include "tests/unit/config_testing.h"
#include "tests/unit/test_folder.h"

#include "server/base/mem.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sources ---- */

static void everything_has_its_default(void **state) {
    struct config_loader l;
    const struct config *c;
    (void)state;
    load(&l, NULL, NONE, NONE);
    expect_counts(&l, 0, 0);
    c = l.config;
    assert_string_equal(c->http_server_address, "");
    assert_int_equal(c->http_server_port, 8000);
    assert_string_equal(c->log_level, "info");
    assert_string_equal(c->log_format, "text");
    assert_string_equal(c->engine_type, "memory");
    assert_int_equal(c->engine_redis_address.count, 1);
    assert_string_equal(c->engine_redis_address.items[0], "redis://127.0.0.1:6379");
    assert_string_equal(c->engine_redis_host, "127.0.0.1");
    assert_int_equal(c->engine_redis_port, 6379);
    assert_int_equal(c->client_allowed_origins.count, 0);
    assert_string_equal(c->client_token_hmac_secret_key, "");
    assert_string_equal(c->http_api_key, "");
    assert_false(c->client_insecure || c->http_api_insecure || c->demo_enabled);
    assert_int_equal(c->client_ping_interval_ms, 25000);
    assert_int_equal(c->client_pong_timeout_ms, 8000);
    assert_int_equal(c->client_stale_close_delay_ms, 10000);
    assert_int_equal(c->client_channel_limit, 128);
    assert_int_equal(c->client_queue_max_size_bytes, 1048576);
    assert_int_equal(c->client_command_rate_limit, 0);
    assert_int_equal(c->client_command_rate_burst, 0);
    assert_int_equal(c->websocket_message_size_limit_bytes, 65536);
    assert_int_equal(c->websocket_fragment_limit, 1024);
    assert_int_equal(c->http_api_max_request_body_bytes, 1114112);
    assert_string_equal(c->websocket_handler_prefix, "/connection/websocket");
    assert_true(c->sse_plain_enabled && c->prometheus_enabled && c->health_enabled);
    assert_string_equal(c->sse_plain_handler_prefix, "/sse");
    assert_int_equal(c->sse_plain_heartbeat_interval_ms, 15000);
    assert_string_equal(c->health_ready_handler_prefix, "/ready");
    assert_string_equal(c->demo_path, "web-demo");
    assert_int_equal(c->shutdown_timeout_ms, 30000);
    assert_string_equal(c->rules.private_prefix, "$");
    assert_string_equal(c->rules.namespace_boundary, ":");
    assert_string_equal(c->rules.user_boundary, "#");
    assert_string_equal(c->rules.user_separator, ",");
    assert_int_equal(c->rules.name_max_bytes, 255);
    assert_int_equal(c->rules.namespace_count, 0);
    assert_false(c->rules.without_namespace.allow_subscribe_for_client);
    assert_null(c->rules.without_namespace.name);
    config_loader_fini(&l);
}

static void workers_follow_the_cores_and_the_node_is_named(void **state) {
    struct config_loader l;
    char host[256] = "", expected[300];
    cpu_set_t set;
    (void)state;
    load(&l, NULL, NONE, LIST("--port", "8123"));
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    int cores = CPU_COUNT(&set);
    assert_int_equal(l.config->workers, cores > 64 ? 64 : cores);
    gethostname(host, sizeof(host) - 1);
    snprintf(expected, sizeof(expected), "%s_8123", host);
    assert_string_equal(l.config->node_name, expected);
    config_loader_fini(&l);
    load(&l, NULL, NONE, LIST("--workers", "64", "--node.name", "n1"));
    assert_int_equal(l.config->workers, 64);
    assert_string_equal(l.config->node_name, "n1");
    config_loader_fini(&l);
}

static void later_sources_win(void **state) {
    const char *json =
        "{\"client\": {\"ping_interval\": \"11s\", \"allowed_origins\": [\"http://f\"],"
        "\"insecure\": true}, \"http_server\": {\"port\": 1}}";
    struct config_loader l;
    (void)state;
    load(&l, json, NONE, NONE);
    assert_int_equal(l.config->client_ping_interval_ms, 11000);
    config_loader_fini(&l);
    load(&l, json, LIST("CARILLON_CLIENT_PING_INTERVAL=12s", "PATH=/x"), NONE);
    assert_int_equal(l.config->client_ping_interval_ms, 12000);
    assert_int_equal(l.config->http_server_port, 1);
    config_loader_fini(&l);
    load(&l, json,
         LIST("CARILLON_CLIENT_PING_INTERVAL=12s", "CARILLON_CLIENT_ALLOWED_ORIGINS=http://e"),
         LIST("serve", "--client.ping_interval=13s", "--client.insecure=false", "-p", "0",
              "--address", "127.0.0.1"));
    expect_counts(&l, 0, 0);
    assert_int_equal(l.config->client_ping_interval_ms, 13000);
    assert_int_equal(l.config->client_allowed_origins.count, 1);
    assert_string_equal(l.config->client_allowed_origins.items[0], "http://e");
    assert_false(l.config->client_insecure || l.config->rules.is_insecure);
    assert_int_equal(l.config->http_server_port, 0);
    assert_string_equal(l.config->http_server_address, "127.0.0.1");
    config_loader_fini(&l);
}

static void a_file_that_is_named_last_is_read_first(void **state) {
    const char *json = "{\"workers\": 2, \"http_server\": {\"port\": 2, \"backlog\": 2}}";
    struct folder f;
    struct config *c = NULL;
    (void)state;
    make_folder(&f);
    write_file(&f, json, strlen(json), 0600);
    char **argv = LIST("carillon", "serve", "--port=4", "--config", f.file);
    assert_int_equal(config_load(5, argv, LIST("CARILLON_WORKERS=3"), &c), CONFIG_RUN);
    assert_int_equal(c->backlog, 2);
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->http_server_port, 4);
    config_destroy(c);
    remove_folder(&f);
}

/* Each option through its own variable: the mapping of names has no hole. */
static void every_option_has_a_variable_and_an_argument(void **state) {
    (void)state;
    for (const struct option *o = config_options; o->name; o++) {
        struct buf env = {0}, arg = {0};
        struct config_loader l;
        config_env_name(&env, "", o->name);
        buf_printf(&env, "=%s", o->preset);
        buf_printf(&arg, "--%s=%s", o->name, o->preset);
        bool is_secret = o->flags & OPTION_SECRET;
        load(&l, NULL, LIST((char *)(uintptr_t)config_z(&env)),
             LIST((char *)(uintptr_t)config_z(&arg)));
        expect_counts(&l, is_secret, 0);
        assert_int_equal(l.used.count, is_secret ? 1 : 2);
        assert_string_equal(l.used.items[0].option, o->name);
        config_loader_fini(&l);
        buf_fini(&env);
        buf_fini(&arg);
    }
}

static void arguments_come_in_several_forms(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE,
         LIST("--demo.enabled", "--plain_sse.enabled", "false", "--health.enabled=0",
              "--log-level=debug", "-a", "::1", "--engine.redis.prefix", "-x"));
    expect_counts(&l, 0, 0);
    assert_true(l.config->demo_enabled);
    assert_false(l.config->sse_plain_enabled || l.config->health_enabled);
    assert_string_equal(l.config->log_level, "debug");
    assert_string_equal(l.config->http_server_address, "::1");
    assert_string_equal(l.config->engine_redis_prefix, "-x");
    config_loader_fini(&l);
    load(&l, NULL, NONE, LIST("--client.insecure", "--port", "9"));
    assert_true(l.config->client_insecure && l.config->rules.is_insecure);
    assert_int_equal(l.config->http_server_port, 9);
    config_loader_fini(&l);
}

static void wrong_arguments_are_all_reported(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE,
         LIST("serve", "serve", "--", "-x", "--port", "--portt=3", "--workers=65", "--config"));
    expect_counts(&l, 7, 0);
    expect_note(&l.problems, "serve", "unexpected");
    expect_note(&l.problems, "--", "unexpected");
    expect_note(&l.problems, "-x", "unexpected");
    expect_note(&l.problems, "http_server.port", "needs a value");
    expect_note(&l.problems, "portt", "did you mean http_server.port");
    expect_note(&l.problems, "workers", "found \"65\", allowed is a whole number from 0 to 64");
    expect_note(&l.problems, "config", "needs a value");
    config_loader_fini(&l);
}

/* ---- files ---- */

static void mistakes_in_a_file_are_all_reported(void **state) {
    struct config_loader l;
    (void)state;
    load_json(&l, "{\"http_server\": {\"port\": 65536}, \"client\": {\"ping_interval\": 10,"
                  "\"alowed_origins\": [], \"token\": 7}, \"log\": {\"level\": \"loud\"},"
                  "\"allowed_origins\": [], \"nothing\": {\"like\": \"it\"}, \"workers\": \"4\"}");
    expect_counts(&l, 8, 0);
    expect_note(&l.problems, "http_server.port", "found 65536");
    expect_note(&l.problems, "client.ping_interval", "found 10, allowed is a duration such as");
    expect_note(&l.problems, "client.alowed_origins", "did you mean client.allowed_origins?");
    expect_note(&l.problems, "client.token", "this is a section, allowed is an object");
    expect_note(&l.problems, "log.level", "one of debug, info, warn, error, none");
    expect_note(&l.problems, "allowed_origins", "did you mean client.allowed_origins?");
    expect_note(&l.problems, "nothing", "there is no such option");
    expect_note(&l.problems, "workers", "found \"4\"");
    for (size_t i = 0; i < l.problems.count; i++)
        assert_string_equal(l.problems.items[i].source, "test.json");
    config_loader_fini(&l);
}

static void a_file_that_is_no_json_is_refused_with_its_position(void **state) {
    static const struct {
        const char *json, *source, *words;
    } rows[] = {
        {"{\n  \"workers\": 2,\n}", "test.json:3:1", "no valid JSON: string or '}' expected"},
        {"{\"workers\": 2, \"workers\": 3}", "test.json:1:24", "duplicate object key"},
        {"", "test.json:1:0", "no valid JSON"},
        {"[]", "test.json", "allowed is a JSON object"},
        {"{\"a\": \"\\u0000\"}", "test.json:1:14", "no valid JSON"},
        {"{} {}", "test.json:1:4", "no valid JSON"},
        {"{\"workers\": 99999999999999999999}", "test.json:1:32", "too big integer"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load_json(&l, rows[i].json);
        expect_counts(&l, 1, 0);
        assert_string_equal(l.problems.items[0].source, rows[i].source);
        expect_note(&l.problems, "", rows[i].words);
        config_loader_fini(&l);
    }
}

static void names_are_nested_not_dotted(void **state) {
    struct config_loader l;
    (void)state;
    load_json(&l, "{\"client.insecure\": true, \"\": 1, \"channel\": {\"namespaces[0]\": {}}}");
    expect_counts(&l, 3, 0);
    expect_note(&l.problems, "client.insecure", "objects in objects");
    assert_false(l.config->client_insecure);
    config_loader_fini(&l);
}

static void files_that_cannot_be_read_are_one_line(void **state) {
    struct folder f;
    struct config_loader l;
    (void)state;
    make_folder(&f);
    config_loader_init(&l);
    config_loader_file(&l, f.file);
    expect_note(&l.problems, "", "cannot be read: No such file");
    config_loader_file(&l, f.path);
    expect_note(&l.problems, "", "cannot be read: is a directory");
    write_file(&f, "{}\0{}", 5, 0600);
    config_loader_file(&l, f.file);
    expect_note(&l.problems, "", "cannot be read: has a zero byte");
    struct buf large = {0};
    memset(buf_reserve(&large, 1024 * 1024 + 1), ' ', 1024 * 1024 + 1);
    large.p[0] = '{';
    large.p[1024 * 1024] = '}';
    write_file(&f, large.p, 1024 * 1024 + 1, 0600);
    config_loader_file(&l, f.file);
    expect_note(&l.problems, "", "cannot be read: is too large");
    assert_int_equal(l.problems.count, 4);
    large.p[1024 * 1024 - 1] = '}';
    write_file(&f, large.p, 1024 * 1024, 0600);
    config_loader_file(&l, f.file);
    assert_int_equal(l.problems.count, 4);
    buf_fini(&large);
    config_loader_fini(&l);
    remove_folder(&f);
}

/* ---- what is printed ---- */

/* Runs config_load() with stdout and stderr going to files; gives what was written. */
static enum config_action run_printing(char **argv, char **env, char **text_out, char **text_err) {
    enum config_action action;
    struct config *c = NULL;
    FILE *files[2] = {tmpfile(), tmpfile()};
    char **texts[2] = {text_out, text_err};
    int saved[2], argc = 0;
    while (argv[argc])
        argc++;
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(i + 1);
        dup2(fileno(files[i]), i + 1);
    }
    action = config_load(argc, argv, env, &c);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
        struct stat st;
        assert_int_equal(fstat(fileno(files[i]), &st), 0);
        *texts[i] = mem_zalloc((size_t)st.st_size + 1);
        assert_int_equal(pread(fileno(files[i]), *texts[i], (size_t)st.st_size, 0), st.st_size);
        fclose(files[i]);
    }
    assert_int_equal(c != NULL, action == CONFIG_RUN);
    config_destroy(c);
    log_setup(LOG_INFO, false);
    return action;
}

static size_t line_count(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void help_and_version_go_to_stdout(void **state) {
    char *out, *err;
    (void)state;
    assert_int_equal(run_printing(LIST("carillon", "--version", "--bad"), NONE, &out, &err),
                     CONFIG_EXIT_OK);
    assert_string_equal(out, "carillon " CARILLON_VERSION "\n");
    assert_string_equal(err, "");
    mem_free(out);
    mem_free(err);
    assert_int_equal(run_printing(LIST("carillon", "serve", "-h"), NONE, &out, &err),
                     CONFIG_EXIT_OK);
    assert_non_null(strstr(out, "Usage:"));
    for (const struct option *o = config_options; o->name; o++)
        assert_non_null(strstr(out, o->name));
    assert_string_equal(err, "");
    mem_free(out);
    mem_free(err);
}

static void problems_go_to_stderr_one_per_line(void **state) {
    char *out, *err;
    (void)state;
    assert_int_equal(run_printing(LIST("carillon", "--port=x", "--log.level=loud", "--nope=1"),
                                  LIST("CARILLON_NOPE=1"), &out, &err),
                     CONFIG_EXIT_BAD);
    assert_string_equal(out, "");
    assert_int_equal(line_count(err), 3);
    assert_non_null(strstr(err, "carillon: command line: http_server.port: found \"x\", allowed is "
                                "a whole number from 0 to 65535\n"));
    mem_free(out);
    mem_free(err);
}

static void warnings_go_through_the_log(void **state) {
    char *out, *err;
    (void)state;
    assert_int_equal(run_printing(LIST("carillon", "--log.format=json", "--log.file=/x"),
                                  LIST("CARILLON_NOPE=1"), &out, &err),
                     CONFIG_RUN);
    assert_string_equal(out, "");
    assert_int_equal(line_count(err), 2);
    assert_non_null(strstr(err, "\"level\":\"warn\",\"message\":\"command line: log.file: not "
                                "supported, ignored: the log goes to stderr\"}"));
    mem_free(out);
    mem_free(err);
    assert_int_equal(run_printing(LIST("carillon"), NONE, &out, &err), CONFIG_RUN);
    assert_string_equal(err, "");
    mem_free(out);
    mem_free(err);
}

static char *read_stream(FILE *f) {
    struct buf text = {0};
    char *copy;
    rewind(f);
    for (int c = fgetc(f); c != EOF; c = fgetc(f))
        buf_add_char(&text, (char)c);
    copy = mem_strndup(config_z(&text), text.n);
    buf_fini(&text);
    fclose(f);
    return copy;
}

static char *check_text(const char *path, int expected) {
    FILE *out = tmpfile();
    assert_int_equal(config_print_check(path, out), expected);
    return read_stream(out);
}

static void check_prints_three_lists(void **state) {
    const char *json = "{\"client\": {\"ping_interval\": \"10s\", \"user_connection_limit\": 3},"
                       "\"http_api\": {\"key\": \"hush\"}, \"log\": {\"file\": \"/x\"}}";
    struct folder f;
    char *text;
    (void)state;
    make_folder(&f);
    write_file(&f, json, strlen(json), 0600);
    text = check_text(f.file, 1);
    assert_non_null(strstr(text, "used (2):\n  client.ping_interval = 10s\n"
                                 "  http_api.key = (secret)\nwarned about (2):\n  log.file: "));
    assert_non_null(strstr(text, "refuses the start (1):\n  client.user_connection_limit: "));
    assert_non_null(strstr(text, "c.json: would not start\n"));
    assert_null(strstr(text, "hush"));
    mem_free(text);
    write_file(&f, "{\"workers\": 3}", 14, 0600);
    text = check_text(f.file, 0);
    assert_non_null(strstr(text, "c.json: would start\n"));
    mem_free(text);
    text = check_text("/nowhere/at/all", 1);
    assert_non_null(strstr(text, "/nowhere/at/all: cannot be read"));
    mem_free(text);
    remove_folder(&f);
}

static void init_prints_a_config_that_starts_and_keeps_strangers_out(void **state) {
    char *texts[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        FILE *out = tmpfile(), *hints = tmpfile();
        assert_int_equal(config_print_init(out, hints), 0);
        texts[i] = read_stream(out);
        char *hint = read_stream(hints);
        assert_non_null(strstr(hint, "allowed_origins"));
        mem_free(hint);
    }
    assert_string_not_equal(texts[0], texts[1]);
    struct config_loader l;
    load_json(&l, texts[0]);
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "http_api.key", "plain text");
    const struct config *c = l.config;
    assert_int_equal(strlen(c->http_api_key), 64);
    assert_int_equal(strlen(c->client_token_hmac_secret_key), 64);
    assert_string_not_equal(c->http_api_key, c->client_token_hmac_secret_key);
    assert_int_equal(c->client_allowed_origins.count, 0);
    assert_false(c->client_allow_anonymous_connect_without_token || c->prometheus_enabled);
    assert_false(c->rules.without_namespace.allow_subscribe_for_client);
    assert_true(c->rules.namespace_count > 0);
    for (uint32_t i = 0; i < c->rules.namespace_count; i++)
        assert_false(c->rules.namespaces[i].allow_subscribe_for_anonymous ||
                     c->rules.namespaces[i].allow_publish_for_anonymous ||
                     c->rules.namespaces[i].allow_publish_for_client);
    config_loader_fini(&l);
    mem_free(texts[0]);
    mem_free(texts[1]);
}

/* Run from the root of the repository, as CMake does. */
static void the_manual_in_docs_is_what_config_doc_prints(void **state) {
    FILE *out = tmpfile(), *docs = fopen("docs/configuration.md", "r");
    (void)state;
    if (!docs)
        fail_msg("docs/configuration.md is not there; run from the root of the repository");
    config_print_doc(out);
    char *printed = read_stream(out), *kept = read_stream(docs);
    if (strcmp(printed, kept) != 0)
        fail_msg("docs/configuration.md is stale: carillon config doc > docs/configuration.md");
    mem_free(printed);
    mem_free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_its_default),
        cmocka_unit_test(workers_follow_the_cores_and_the_node_is_named),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_file_that_is_named_last_is_read_first),
        cmocka_unit_test(every_option_has_a_variable_and_an_argument),
        cmocka_unit_test(arguments_come_in_several_forms),
        cmocka_unit_test(wrong_arguments_are_all_reported),
        cmocka_unit_test(mistakes_in_a_file_are_all_reported),
        cmocka_unit_test(a_file_that_is_no_json_is_refused_with_its_position),
        cmocka_unit_test(names_are_nested_not_dotted),
        cmocka_unit_test(files_that_cannot_be_read_are_one_line),
        cmocka_unit_test(help_and_version_go_to_stdout),
        cmocka_unit_test(problems_go_to_stderr_one_per_line),
        cmocka_unit_test(warnings_go_through_the_log),
        cmocka_unit_test(check_prints_three_lists),
        cmocka_unit_test(init_prints_a_config_that_starts_and_keeps_strangers_out),
        cmocka_unit_test(the_manual_in_docs_is_what_config_doc_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
