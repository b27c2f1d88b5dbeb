/* Checks of texts: origins, addresses, paths, names. Tables of what is fine, and as what it is
 * kept, and of what is not.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_checks.c"

#include "server/base/mem.h"
#include "server/config/config_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

struct check_row {
    const char *text;
    bool is_good;
    const char *normal; /* NULL: unchanged */
};

static void run_checks(option_check_fn check, const struct check_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *allowed = NULL;
        char *copy = mem_strndup(rows[i].text, strlen(rows[i].text));
        if (check(copy, &allowed) != rows[i].is_good)
            fail_msg("\"%s\" should be %s", rows[i].text, rows[i].is_good ? "fine" : "refused");
        assert_non_null(allowed);
        if (rows[i].is_good)
            assert_string_equal(copy, rows[i].normal ? rows[i].normal : rows[i].text);
        mem_free(copy);
    }
}

#define CHECK_ALL(check, rows) run_checks(check, rows, sizeof(rows) / sizeof((rows)[0]))

static void origins_are_patterns_that_can_match(void **state) {
    static const struct check_row rows[] = {
        {"https://example.com", true, NULL},
        {"HTTPS://Example.COM:8443", true, "https://example.com:8443"},
        {"http://localhost:3000", true, NULL},
        {"https://*.example.com", true, NULL},
        {"http://192.168.0.?", true, NULL},
        {"http://[::1]:8000", true, NULL},
        {"http://[::1]", true, NULL},
        {"capacitor://localhost", true, NULL},
        {"*://localhost:*", true, NULL},
        {"*", true, NULL},
        {"*.example.com", true, NULL},
        {"null", false, NULL},
        {"NULL", false, NULL},
        {"", false, NULL},
        {"example.com", false, NULL},
        {"https://", false, NULL},
        {"://example.com", false, NULL},
        {"https://example.com/", false, NULL},
        {"https://example.com/app", false, NULL},
        {"https://user@example.com", false, NULL},
        {"https://{a,b}.example.com", false, NULL},
        {"https://[ab].example.com", false, NULL},
        {"https://exa\\mple.com", false, NULL},
        {"https://b\xc3\xbc"
         "cher.example",
         false, NULL},
        {"http://[::1", false, NULL},
        {"http://[::1]x", false, NULL},
    };
    (void)state;
    CHECK_ALL(config_check_origin, rows);
}

static void addresses_are_ip_or_unix(void **state) {
    static const struct check_row rows[] = {
        {"0.0.0.0", true, NULL},
        {"127.0.0.1", true, NULL},
        {"::", true, NULL},
        {"::1", true, NULL},
        {"localhost", true, "127.0.0.1"},
        {"unix:/run/c.sock", true, NULL},
        {"", false, NULL},
        {"[::1]", false, NULL},
        {"127.0.0.1:80", false, NULL},
        {"example.com", false, NULL},
        {"unix:", false, NULL},
        {"unix:relative", false, NULL},
        {"unix:/", false, NULL},
        {"127.1", false, NULL},
        {"1.2.3.256", false, NULL},
    };
    (void)state;
    CHECK_ALL(config_check_address, rows);
}

static void prefixes_are_plain_paths(void **state) {
    static const struct check_row rows[] = {
        {"/api", true, NULL},       {"/a/b-c_d.e~f", true, NULL}, {"/x", true, NULL},
        {"/", false, NULL},         {"api", false, NULL},         {"", false, NULL},
        {"/api/", false, NULL},     {"//api", false, NULL},       {"/a//b", false, NULL},
        {"/a b", false, NULL},      {"/a?b", false, NULL},        {"/a#b", false, NULL},
        {"/../a", false, NULL},     {"/a/./b", false, NULL},      {"/a%20", false, NULL},
        {"/\xc3\xbc", false, NULL},
    };
    (void)state;
    CHECK_ALL(config_check_prefix, rows);
}

static void boundaries_and_namespaces_are_plain_names(void **state) {
    static const struct check_row boundaries[] = {
        {":", true, NULL},  {"::", true, NULL},   {"#", true, NULL},     {"\"", true, NULL},
        {" ", false, NULL}, {"a b", false, NULL}, {"\x7f", false, NULL}, {"\xc3\xa4", false, NULL},
    };
    static const struct check_row namespaces[] = {
        {"chat", true, NULL}, {"A-b_c.9", true, NULL},   {"ab", true, NULL},
        {"a", false, NULL},   {"", false, NULL},         {"a:b", false, NULL},
        {"a b", false, NULL}, {"\xc3\xa4", false, NULL},
    };
    (void)state;
    CHECK_ALL(config_check_boundary, boundaries);
    CHECK_ALL(config_check_namespace, namespaces);
}

static void a_redis_prefix_cannot_reach_into_another(void **state) {
    static const struct check_row rows[] = {
        {"centrifugo", true, NULL}, {"-x", true, NULL},    {"my app/{1}", true, NULL},
        {"\xc3\xa9", true, NULL},   {"a:ch", false, NULL}, {"a:", false, NULL},
        {":", false, NULL},         {"a\nb", false, NULL}, {"a\x7f", false, NULL},
    };
    (void)state;
    CHECK_ALL(config_check_redis_prefix, rows);
}

static void only_loopback_addresses_are_loopback(void **state) {
    (void)state;
    assert_true(config_is_loopback("127.0.0.1"));
    assert_true(config_is_loopback("127.9.9.9"));
    assert_true(config_is_loopback("::1"));
    assert_true(config_is_loopback("unix:/run/c.sock"));
    assert_false(config_is_loopback(""));
    assert_false(config_is_loopback("0.0.0.0"));
    assert_false(config_is_loopback("::"));
    assert_false(config_is_loopback("128.0.0.1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_are_patterns_that_can_match),
        cmocka_unit_test(addresses_are_ip_or_unix),
        cmocka_unit_test(prefixes_are_plain_paths),
        cmocka_unit_test(boundaries_and_namespaces_are_plain_names),
        cmocka_unit_test(a_redis_prefix_cannot_reach_into_another),
        cmocka_unit_test(only_loopback_addresses_are_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
