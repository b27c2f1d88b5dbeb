/* URLs of documents that are fetched. Fetching itself: tests/integration/keys.test.mjs.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/http_get.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

static const struct {
    const char *url, *host, *port, *target; /* host NULL: refused */
    bool is_tls;
} urls[] = {
    {"https://example.com", "example.com", "443", "", true},
    {"http://example.com/", "example.com", "80", "/", false},
    {"https://a.b:8443/x/y?z=1/2", "a.b", "8443", "/x/y?z=1/2", true},
    {"https://a.b?z=/", "a.b", "443", "?z=/", true},
    {"http://[::1]:80/k", "::1", "80", "/k", false},
    {"http://[::1]", "::1", "80", "", false},
    {"", NULL, NULL, NULL, false},
    {"example.com", NULL, NULL, NULL, false},
    {"ftp://example.com/", NULL, NULL, NULL, false},
    {"HTTPS://example.com/", NULL, NULL, NULL, false},
    {"https://", NULL, NULL, NULL, false},
    {"https:///x", NULL, NULL, NULL, false},
    {"https://:443/x", NULL, NULL, NULL, false},
    {"https://a.b:/x", NULL, NULL, NULL, false},
    {"https://a.b:0/x", NULL, NULL, NULL, false},
    {"https://a.b:65536/x", NULL, NULL, NULL, false},
    {"https://a.b:443x/", NULL, NULL, NULL, false},
    {"https://[::1/x", NULL, NULL, NULL, false},
    {"https://[::1]x/", NULL, NULL, NULL, false},
    {"https://[]/", NULL, NULL, NULL, false},
    {"https://user@a.b/", NULL, NULL, NULL, false},
    {"https://user:p@a.b/", NULL, NULL, NULL, false},
    {"https://a.b/#x", NULL, NULL, NULL, false},
    {"https://a.b/ x", NULL, NULL, NULL, false},
    {"https://a.b/x\r\nHost: y", NULL, NULL, NULL, false},
    {"https://a.b/\xc3\xa9", NULL, NULL, NULL, false},
    {"https://{{x}}.b/", NULL, NULL, NULL, false},
};

static void urls_are_taken_apart_row_by_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_url u;
        bool is_good = http_url_parse(str_of(urls[i].url), &u);
        if (is_good != (urls[i].host != NULL))
            fail_msg("%s: %s", urls[i].url, is_good ? "taken" : "refused");
        if (!is_good)
            continue;
        assert_true(str_equal(u.host, str_of(urls[i].host)));
        assert_true(str_equal(u.port, str_of(urls[i].port)));
        assert_true(str_equal(u.target, str_of(urls[i].target)));
        assert_int_equal(u.is_tls, urls[i].is_tls);
    }
}

static void requests_name_the_host_as_it_was_written(void **state) {
    static const struct {
        const char *url, *start;
    } rows[] = {{"https://a.b", "GET / HTTP/1.1\r\nHost: a.b\r\n"},
                {"https://a.b:8443?x", "GET /?x HTTP/1.1\r\nHost: a.b:8443\r\n"},
                {"http://[::1]:80/k", "GET /k HTTP/1.1\r\nHost: [::1]:80\r\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_url u;
        struct buf request = {0};
        assert_true(http_url_parse(str_of(rows[i].url), &u));
        add_request(&u, &request);
        assert_true(str_starts(buf_str(&request), str_of(rows[i].start)));
        buf_fini(&request);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart_row_by_row),
        cmocka_unit_test(requests_name_the_host_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
