/* The files of the demo page: what is served, and that nothing else can be reached.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_static.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

static char root[64], outside[64];

static const char *path_in(const char *folder, const char *name) {
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put_file(const char *folder, const char *name, const char *content) {
    FILE *f = fopen(path_in(folder, name), "w");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
}

static void remove_all(const char *folder) {
    char command[100];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static int start(void **state) {
    (void)state;
    strcpy(root, "/tmp/carillon-test-XXXXXX");
    strcpy(outside, "/tmp/carillon-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_non_null(mkdtemp(outside));
    put_file(root, "index.html", "<p>hello");
    put_file(root, "app.js", "let x;");
    put_file(outside, "secret.js", "secret");
    api_start(broker_memory_create);
    bench.config->demo_enabled = true;
    mem_free(bench.config->demo_path);
    bench.config->demo_path = mem_strndup(root, strlen(root));
    return 0;
}

static int stop(void **state) {
    (void)state;
    api_stop();
    remove_all(root);
    remove_all(outside);
    return 0;
}

static int get(const char *path) {
    assert_null(request("GET", path));
    return response.status;
}

static void a_file_is_served_with_its_type(void **state) {
    (void)state;
    static const struct {
        const char *name, *type;
    } rows[] = {
        {"a.html", "text/html; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.mjs", "text/javascript; charset=utf-8"},
        {"a.css", "text/css; charset=utf-8"},
        {"a.svg", "image/svg+xml"},
        {"a.png", "image/png"},
        {"a.min-1_2.js", "text/javascript; charset=utf-8"},
    };
    char path[32];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_file(root, rows[i].name, "content");
        snprintf(path, sizeof(path), "/%s", rows[i].name);
        assert_int_equal(get(path), 200);
        assert_string_equal(response.content_type, rows[i].type);
        expect_response(200, "content");
    }
}

static void the_root_is_the_index(void **state) {
    (void)state;
    get("/");
    expect_response(200, "<p>hello");
    get("/index.html");
    expect_response(200, "<p>hello");
    assert_non_null(strstr(response.headers, "Content-Security-Policy: default-src 'self'"));
}

static void only_pages_of_this_machine_may_frame_it(void **state) {
    (void)state;
    get("/");
    assert_non_null(strstr(response.headers, "; frame-src 'self' http://localhost:* "
                                             "http://127.0.0.1:*; frame-ancestors 'self' "
                                             "http://localhost:* http://127.0.0.1:*; "));
}

static void files_in_folders_are_served(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_in(root, "sub"), 0755), 0);
    put_file(root, "sub/b.css", "p{}");
    get("/sub/b.css");
    expect_response(200, "p{}");
}

static void an_empty_file_is_a_file(void **state) {
    (void)state;
    put_file(root, "empty.js", "");
    get("/empty.js");
    expect_response(200, "");
}

static void bytes_are_served_as_they_are(void **state) {
    (void)state;
    FILE *f = fopen(path_in(root, "a.png"), "w");
    fwrite("\x89PNG\0\r\n\xff", 1, 8, f);
    fclose(f);
    assert_int_equal(get("/a.png"), 200);
    assert_int_equal(response.body.n, 8);
    assert_memory_equal(response.body.p, "\x89PNG\0\r\n\xff", 8);
}

static void what_is_not_there_is_not_found(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_in(root, "folder.js"), 0755), 0);
    put_file(root, "README", "x");
    put_file(root, "config.json", "x");
    put_file(root, ".hidden.js", "x");
    assert_int_equal(mkdir(path_in(root, ".git"), 0755), 0);
    put_file(root, ".git/a.js", "x");
    static const char *const paths[] = {
        "/no.js",     "/folder.js", "/README",     "/config.json", "/.hidden.js",
        "/.git/a.js", "/app",       "/app.js/",    "/index.html/", "/app.JS",
        "/app.js~",   "//",         "/folder.js/", "/.",           "/.js",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(get(paths[i]), 404);
}

static void nothing_outside_the_folder_is_served(void **state) {
    (void)state;
    char path[200];
    const char *name = strrchr(outside, '/') + 1;
    snprintf(path, sizeof(path), "/../%s/secret.js", name);
    assert_int_equal(get(path), 404);
    snprintf(path, sizeof(path), "/./../%s/secret.js", name);
    assert_int_equal(get(path), 404);
    snprintf(path, sizeof(path), "/%s/secret.js", outside);
    assert_int_equal(get(path), 404);
    snprintf(path, sizeof(path), "%s/secret.js", outside);
    assert_int_equal(get(path), 404);
    assert_int_equal(get("/..\\x.js"), 404);
    assert_int_equal(get("/a%2e%2e/x.js"), 404);
    assert_null(
        request_as(&(struct http_request){.method = STR("GET"), .path = STR("/app.js\0.js")}));
    assert_int_equal(response.status, 404);
}

static void links_that_lead_outside_are_not_followed(void **state) {
    (void)state;
    char target[100];
    snprintf(target, sizeof(target), "%s/secret.js", outside);
    assert_int_equal(symlink(target, path_in(root, "link.js")), 0);
    assert_int_equal(symlink(outside, path_in(root, "folder")), 0);
    assert_int_equal(symlink("app.js", path_in(root, "inside.js")), 0);
    assert_int_equal(get("/link.js"), 404);
    assert_int_equal(get("/folder/secret.js"), 404);
    assert_int_equal(get("/inside.js"), 200);
}

/* A folder beside it whose name begins alike is not below it. */
static void a_folder_with_a_longer_name_is_outside(void **state) {
    (void)state;
    char longer[80];
    snprintf(longer, sizeof(longer), "%s-2", root);
    assert_int_equal(mkdir(longer, 0755), 0);
    put_file(longer, "x.js", "x");
    char target[100];
    snprintf(target, sizeof(target), "%s/x.js", longer);
    assert_int_equal(symlink(target, path_in(root, "x.js")), 0);
    assert_int_equal(get("/x.js"), 404);
    remove_all(longer);
}

static void a_huge_file_is_not_served(void **state) {
    (void)state;
    put_file(root, "big.js", "");
    assert_int_equal(truncate(path_in(root, "big.js"), FILE_MAX_BYTES + 1), 0);
    assert_int_equal(get("/big.js"), 404);
    assert_int_equal(truncate(path_in(root, "big.js"), FILE_MAX_BYTES), 0);
    assert_int_equal(get("/big.js"), 200);
    assert_int_equal(response.body.n, FILE_MAX_BYTES);
}

static void who_has_the_file_already_gets_304(void **state) {
    (void)state;
    char tag[48];
    struct http_request q = {.method = STR("GET"), .path = STR("/app.js")};
    request_as(&q);
    assert_int_equal(response.status, 200);
    strcpy(tag, response.etag);
    assert_int_equal(tag[0], '"');
    q.if_none_match = str_of(tag);
    request_as(&q);
    expect_response(304, "");
    assert_string_equal(response.etag, tag);
    put_file(root, "app.js", "let other;");
    request_as(&q);
    expect_response(200, "let other;");
    assert_string_not_equal(response.etag, tag);
    q.if_none_match = STR("\"x\"");
    request_as(&q);
    assert_int_equal(response.status, 200);
}

static void without_its_folder_there_is_nothing(void **state) {
    (void)state;
    mem_free(bench.config->demo_path);
    bench.config->demo_path = mem_strndup("/no/such/folder", 15);
    assert_int_equal(get("/"), 404);
}

#define STATIC_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        STATIC_TEST(a_file_is_served_with_its_type),
        STATIC_TEST(the_root_is_the_index),
        STATIC_TEST(only_pages_of_this_machine_may_frame_it),
        STATIC_TEST(files_in_folders_are_served),
        STATIC_TEST(an_empty_file_is_a_file),
        STATIC_TEST(bytes_are_served_as_they_are),
        STATIC_TEST(what_is_not_there_is_not_found),
        STATIC_TEST(nothing_outside_the_folder_is_served),
        STATIC_TEST(links_that_lead_outside_are_not_followed),
        STATIC_TEST(a_folder_with_a_longer_name_is_outside),
        STATIC_TEST(a_huge_file_is_not_served),
        STATIC_TEST(who_has_the_file_already_gets_304),
        STATIC_TEST(without_its_folder_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
