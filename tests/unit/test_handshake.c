/* The checks before an upgrade: every row of the handshake table that is decided here, and the
 * origins, with the tricks that must not work.
 *
 * A row changes one thing of a good request. Thread: main. Owns: nothing.
 */
#include "server/net/handshake.c"

#include "server/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define GOOD_LINE "GET /connection/websocket HTTP/1.1"
#define REST                                                                                       \
    "Host: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY    \
    "\r\nSec-WebSocket-Version: 13\r\n"

enum { UPGRADE = -1 }; /* status 0, and it becomes a WebSocket */

static char *origins[] = {"https://good.com", "https://*.wild.com", "http://localhost:*",
                          "https://ab?.com", "https://[::1]:8000"};
static struct config config = {
    .websocket_handler_prefix = "/connection/websocket",
    .client_allowed_origins = {origins, sizeof(origins) / sizeof(origins[0])},
};

static struct handshake_answer check_text(struct str text) {
    struct head head;
    enum head_result result = head_parse(text, &head);
    return result == HEAD_OK ? handshake_check(&head, &config) : handshake_broken(result);
}

/* The lines of a good request, but for those that begin like a changed one. */
static void add_rest_without(struct buf *b, const char *changed) {
    struct str rest = str_of(REST);
    size_t name_bytes = str_find(str_of(changed), ':') + 1;
    while (rest.n) {
        size_t end = str_find(rest, '\n') + 1;
        struct str line = str_slice(rest, 0, end);
        if (!*changed || !str_equal_nocase(str_slice(line, 0, name_bytes),
                                           str_slice(str_of(changed), 0, name_bytes)))
            buf_add(b, line);
        rest = str_slice(rest, end, rest.n);
    }
}

/* line: the request line; without: a header's name with a colon, to be left out; lines: to be
 * added. */
struct row {
    const char *line, *without, *lines;
    int status;
};

static void expect_row(const struct row *r) {
    struct buf b = {0};
    buf_printf(&b, "%s\r\n", r->line);
    add_rest_without(&b, r->without);
    buf_printf(&b, "%s\r\n", r->lines);
    struct handshake_answer a = check_text(buf_str(&b));
    int status = a.is_upgrade ? UPGRADE : a.status;
    if (status != r->status)
        print_error("%d, not %d, for\n%.*s", status, r->status, STR_ARG(buf_str(&b)));
    assert_int_equal(status, r->status);
    assert_true(a.status == 0 ? !a.is_upgrade || a.text == NULL : a.text && *a.text);
    assert_non_null(a.headers);
    buf_fini(&b);
}

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_row(&rows[i]);
}

#define EXPECT_ROWS(rows) expect_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void a_good_request_becomes_a_websocket(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "", "", UPGRADE},
        {"GET /connection/websocket?cf_protocol_version=v2&x HTTP/1.1", "", "", UPGRADE},
        {GOOD_LINE, "Connection:", "Connection: keep-alive, Upgrade\r\n", UPGRADE},
        {GOOD_LINE, "Connection:", "Connection: upgrade\r\n", UPGRADE},
        {GOOD_LINE, "Upgrade:", "Upgrade: WebSocket\r\n", UPGRADE},
        {GOOD_LINE, "Upgrade:", "UPGRADE: WEBSOCKET\r\n", UPGRADE},
        {GOOD_LINE, "Host:", "Host:\r\n", UPGRADE},
        {GOOD_LINE, "", "Sec-WebSocket-Protocol: centrifuge-json\r\n", UPGRADE},
        {GOOD_LINE, "", "Sec-WebSocket-Protocol: other, centrifuge-json\r\n", UPGRADE},
        {GOOD_LINE, "",
         "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n", UPGRADE},
        {GOOD_LINE, "", "Origin: https://good.com\r\n", UPGRADE},
        {GOOD_LINE, "", "Cookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n", UPGRADE},
    };
    EXPECT_ROWS(rows);
}

static void the_method_must_be_get(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"POST /connection/websocket HTTP/1.1", "", "", 405},
        {"HEAD /connection/websocket HTTP/1.1", "", "", 405},
        {"PUT /connection/websocket HTTP/1.1", "", "", 405},
        {"get2 /connection/websocket HTTP/1.1", "", "", 0}, /* not HTTP at all: just closed */
        {"BREW /connection/websocket HTTP/1.1", "", "", 501},
    };
    EXPECT_ROWS(rows);
}

static void the_http_version_must_be_1_1(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"GET /connection/websocket HTTP/1.0", "", "", 505},
        {"GET /connection/websocket HTTP/1.2", "", "", 505},
        {"GET /connection/websocket HTTP/0.9", "", "", 505},
        {"GET /connection/websocket HTTP/3.0", "", "", 505},
        {"GET /connection/websocket HTTP/2.0", "", "", 400},
        {"PRI * HTTP/2.0", "", "", 400}, /* the preface of HTTP/2 */
    };
    EXPECT_ROWS(rows);
}

static void the_websocket_version_must_be_13(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "Sec-WebSocket-Version:", "", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 12\r\n", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 8\r\n", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 14\r\n", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 013\r\n", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 13, 8\r\n", 426},
        {GOOD_LINE, "Sec-WebSocket-Version:", "Sec-WebSocket-Version:\r\n", 426},
        {GOOD_LINE, "", "Sec-WebSocket-Version: 13\r\n", 426}, /* twice */
    };
    EXPECT_ROWS(rows);
    /* RFC 6455 section 4.2.2: the answer says which version would do. */
    struct handshake_answer a = check_text(
        STR(GOOD_LINE "\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    assert_non_null(strstr(a.headers, "Sec-WebSocket-Version: 13\r\n"));
}

static void the_key_must_be_16_bytes_in_base64(void **state) {
    (void)state;
    static char long_key[400];
    static const struct row rows[] = {
        {GOOD_LINE, "Sec-WebSocket-Key:", "", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key:\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: short\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBs-SBub25jZQ==\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBs=SBub25jZQ==\r\n", 400},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBs SBub25jZQ==\r\n", 400},
        {GOOD_LINE, "", "Sec-WebSocket-Key: " KEY "\r\n", 400}, /* twice */
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
         UPGRADE},
        {GOOD_LINE, "Sec-WebSocket-Key:", "Sec-WebSocket-Key: +/+/+/+/+/+/+/+/+/+/+w==\r\n",
         UPGRADE},
    };
    EXPECT_ROWS(rows);
    int n = snprintf(long_key, sizeof(long_key), "Sec-WebSocket-Key: ");
    memset(long_key + n, 'A', 300);
    strcpy(long_key + n + 300, "\r\n");
    expect_row(&(struct row){GOOD_LINE, "Sec-WebSocket-Key:", long_key, 400});
}

static void the_upgrade_must_be_asked_for(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "Connection:", "", 400},
        {GOOD_LINE, "Connection:", "Connection: keep-alive\r\n", 400},
        {GOOD_LINE, "Connection:", "Connection: Upgraded\r\n", 400},
        {GOOD_LINE, "Upgrade:", "", 400}, /* a plain GET of the WebSocket's path */
        {GOOD_LINE, "Upgrade:", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", 400},
        {GOOD_LINE, "Upgrade:", "Upgrade: foo\r\n", 400},
        {GOOD_LINE, "Upgrade:", "Upgrade:\r\n", 400},
        {GOOD_LINE, "Upgrade:", "Upgrade: websocket, h2c\r\n", 400},
        {GOOD_LINE, "", "Upgrade: websocket\r\n", 400}, /* twice */
        {"GET / HTTP/1.1", "Upgrade:", "Upgrade: h2c\r\n", 400},
        {"GET / HTTP/1.1", "Upgrade:", "Upgrade: TLS/1.0\r\n", 400},
    };
    EXPECT_ROWS(rows);
}

static void there_is_no_websocket_elsewhere(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"GET / HTTP/1.1", "", "", 404},
        {"GET /connection/websocket/ HTTP/1.1", "", "", 404},
        {"GET /connection/websockets HTTP/1.1", "", "", 404},
        {"GET /Connection/WebSocket HTTP/1.1", "", "", 404},
        {"GET /api/publish HTTP/1.1", "", "", 404},
    };
    EXPECT_ROWS(rows);
    config.websocket_disabled = true;
    expect_row(&(struct row){GOOD_LINE, "", "", 404});
    config.websocket_disabled = false;
}

static void the_subprotocol_must_be_ours_or_none(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "", "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n", 400},
        {GOOD_LINE, "", "Sec-WebSocket-Protocol: chat, superchat\r\n", 400},
        {GOOD_LINE, "", "Sec-WebSocket-Protocol:\r\n", 400},
        /* RFC 6455 section 11.3.4: names are case-sensitive, and what is compared behind us is. */
        {GOOD_LINE, "", "Sec-WebSocket-Protocol: Centrifuge-JSON\r\n", 400},
    };
    EXPECT_ROWS(rows);
}

static void a_handshake_has_no_body(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "", "Content-Length: 5\r\n", 400},
        {GOOD_LINE, "", "Content-Length: 0\r\n", 400},
        {GOOD_LINE, "", "Transfer-Encoding: chunked\r\n", 400},
    };
    EXPECT_ROWS(rows);
}

static void there_must_be_one_host(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "Host:", "", 400},
        {GOOD_LINE, "", "Host: other.com\r\n", 400},
        {"GET / HTTP/1.1", "Upgrade:", "", 0},
    };
    EXPECT_ROWS(rows);
    assert_int_equal(check_text(STR("GET / HTTP/1.1\r\n\r\n")).status, 400);
    assert_int_equal(check_text(STR("GET / HTTP/1.0\r\n\r\n")).status, 0);
}

static void a_foreign_page_is_refused(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GOOD_LINE, "", "Origin: https://evil.com\r\n", 403},
        {GOOD_LINE, "", "Origin: null\r\n", 403},
        {GOOD_LINE, "", "Origin:\r\n", 403},
        {GOOD_LINE, "", "Origin: https://good.com\r\nOrigin: https://good.com\r\n", 400},
    };
    EXPECT_ROWS(rows);
}

/* --- origins ---------------------------------------------------------------------------------- */

static void origins_are_matched_as_patterns(void **state) {
    (void)state;
    static const char *const allowed[] = {
        "https://good.com",     "HTTPS://GOOD.COM",  "https://Good.com",      "https://a.wild.com",
        "https://a.b.wild.com", "https://.wild.com", "http://localhost:3000", "http://localhost:1",
        "https://abc.com",      "https://ab-.com",   "https://[::1]:8000",
    };
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        assert_true(handshake_origin_is_allowed(&config, str_of(allowed[i])));
}

static void tricks_with_origins_do_not_work(void **state) {
    (void)state;
    static const char *const refused[] = {
        "",
        "null",
        "*",
        "good.com",
        "//good.com",
        "https:good.com",
        "https:/good.com",
        "https://",
        "://good.com",
        "http://good.com",
        "https://good.com:443",
        "https://good.com:8443",
        "https://good.com/",
        "https://good.com.",
        "https://good.com.evil.com",
        "https://evilgood.com",
        "https://evil.com/https://good.com",
        "https://evil.com?https://good.com",
        "https://evil.com#https://good.com",
        "https://evil.com/x.wild.com",
        "https://evil.com?x.wild.com",
        "https://evil.com#x.wild.com",
        "https://evil.com\\x.wild.com",
        "https://evil.com\\.wild.com",
        "https://user@x.wild.com",
        "https://evil.com@x.wild.com",
        "https://evil.com https://x.wild.com",
        "https://evil.com\tx.wild.com",
        "https://evil.com,https://x.wild.com",
        "https://evil.com:80https://x.wild.com",
        "https://wild.com",
        "https://xwild.com",
        "https://a.wild.com.evil.com",
        "https://a.wild.com:444",
        "http://localhost",
        "http://localhost.evil.com:80",
        "https://localhost:3000",
        "https://ab.com",
        "https://abcd.com",
        "https://[::1]",
        "https://[::2]:8000",
        "https://a\xc3\xa9.wild.com",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        bool is_allowed = handshake_origin_is_allowed(&config, str_of(refused[i]));
        if (is_allowed)
            print_error("allowed: %s\n", refused[i]);
        assert_false(is_allowed);
    }
    assert_false(handshake_origin_is_allowed(&config, STR("https://good.com\0")));
    assert_false(handshake_origin_is_allowed(&config, STR("https://\0.wild.com")));
}

static bool matches(const char *pattern, const char *origin) {
    char text[100];
    char *items[] = {text};
    struct config c = {.client_allowed_origins = {items, 1}};
    snprintf(text, sizeof(text), "%s", pattern);
    return handshake_origin_is_allowed(&c, str_of(origin));
}

static void a_star_alone_allows_every_page_but_null(void **state) {
    (void)state;
    assert_true(matches("*", "https://anything.example:99"));
    assert_true(matches("*", "chrome-extension://abcdef"));
    assert_false(matches("*", "null"));
    assert_false(matches("*", ""));
}

static void stars_match_any_text(void **state) {
    (void)state;
    assert_true(matches("*://good.com", "http://good.com"));
    assert_true(matches("*://good.com*", "http://good.com:99"));
    assert_true(matches("https://*a*a*.com", "https://xaxaax.com"));
    assert_false(matches("https://*a*a*a.com", "https://xaxax.com"));
    assert_true(matches("https://**.com", "https://x.com"));
    assert_true(matches("https://?*.com", "https://x.com"));
    assert_false(matches("https://?*.com", "https://.com"));
}

/* A pattern with many stars must not take for ever. */
static void a_hard_pattern_is_decided_quickly(void **state) {
    (void)state;
    char origin[4096] = "https://";
    memset(origin + 8, 'a', sizeof(origin) - 9);
    assert_false(matches("https://a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", origin));
}

static void without_origins_no_page_may(void **state) {
    (void)state;
    struct config none = {0};
    assert_false(handshake_origin_is_allowed(&none, STR("https://good.com")));
}

/* --- plain HTTP ------------------------------------------------------------------------------- */

static void plain_requests_go_on(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"GET / HTTP/1.1", "Upgrade:", "", 0},
        {"GET / HTTP/1.0", "Upgrade:", "", 0},
        {"HEAD /health HTTP/1.1", "Upgrade:", "", 0},
        {"OPTIONS /x HTTP/1.1", "Upgrade:", "", 0},
        {"DELETE /x HTTP/1.1", "Upgrade:", "", 0},
        {"POST /api/publish HTTP/1.1", "Upgrade:", "Content-Length: 12\r\n", 0},
        {"GET /a.b/c.js?x=../.. HTTP/1.1", "Upgrade:", "Origin: https://evil.com\r\n", 0},
    };
    EXPECT_ROWS(rows);
}

static void the_length_of_a_body_must_be_beyond_doubt(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"POST / HTTP/1.1", "Upgrade:", "Transfer-Encoding: chunked\r\n", 411},
        {"POST / HTTP/1.1", "Upgrade:", "Transfer-Encoding: identity\r\n", 411},
        {"POST / HTTP/1.1", "Upgrade:", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 5\r\nContent-Length: 6\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 5\r\nContent-Length: 5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 5, 5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: +5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: -5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 0x5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 5 5\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length:\r\n", 400},
        {"POST / HTTP/1.1", "Upgrade:", "Content-Length: 18446744073709551616\r\n", 400},
    };
    EXPECT_ROWS(rows);
}

static void a_path_that_climbs_names_nothing(void **state) {
    (void)state;
    static const char *const targets[] = {
        "/..",   "/../etc/passwd", "/a/../b", "/%2e%2e/x", "/%2E./x", "/.%2e/x",
        "/a\\b", "/%5c..%5c",      "/a%00b",  "/..%2f",    "/x/..?y", "/%2e%2e",
    };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "GET %s HTTP/1.1", targets[i]);
        expect_row(&(struct row){line, "Upgrade:", "", 404});
    }
}

static void the_target_must_be_a_path(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"GET http://example.com/ HTTP/1.1", "Upgrade:", "", 400},
        {"OPTIONS * HTTP/1.1", "Upgrade:", "", 400},
        {"GET x HTTP/1.1", "Upgrade:", "", 400},
        {"CONNECT example.com:443 HTTP/1.1", "Upgrade:", "", 501},
    };
    EXPECT_ROWS(rows);
}

/* --- heads that are none ---------------------------------------------------------------------- */

static void broken_heads_have_their_answers(void **state) {
    (void)state;
    static char many[20 + 1000 * 6 + 3] = "GET / HTTP/1.1\r\n", long_target[6000] = "GET /";
    for (int i = 0; i < 1000; i++)
        strcat(many, "a: b\r\n");
    strcat(many, "\r\n");
    memset(long_target + 5, 'a', 5000);
    strcat(long_target, " HTTP/1.1\r\n\r\n");
    assert_int_equal(check_text(str_of(many)).status, 431);
    assert_int_equal(check_text(str_of(long_target)).status, 414);
    assert_int_equal(check_text(STR("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n")).status, 400);
    assert_int_equal(check_text(STR("GET / HTTP/1.1\r\nA: \0\r\n\r\n")).status, 400);
    assert_int_equal(check_text(STR("\x16\x03\x01\x02\x00")).status, 0); /* just closed */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_becomes_a_websocket),
        cmocka_unit_test(the_method_must_be_get),
        cmocka_unit_test(the_http_version_must_be_1_1),
        cmocka_unit_test(the_websocket_version_must_be_13),
        cmocka_unit_test(the_key_must_be_16_bytes_in_base64),
        cmocka_unit_test(the_upgrade_must_be_asked_for),
        cmocka_unit_test(there_is_no_websocket_elsewhere),
        cmocka_unit_test(the_subprotocol_must_be_ours_or_none),
        cmocka_unit_test(a_handshake_has_no_body),
        cmocka_unit_test(there_must_be_one_host),
        cmocka_unit_test(a_foreign_page_is_refused),
        cmocka_unit_test(origins_are_matched_as_patterns),
        cmocka_unit_test(tricks_with_origins_do_not_work),
        cmocka_unit_test(a_star_alone_allows_every_page_but_null),
        cmocka_unit_test(stars_match_any_text),
        cmocka_unit_test(a_hard_pattern_is_decided_quickly),
        cmocka_unit_test(without_origins_no_page_may),
        cmocka_unit_test(plain_requests_go_on),
        cmocka_unit_test(the_length_of_a_body_must_be_beyond_doubt),
        cmocka_unit_test(a_path_that_climbs_names_nothing),
        cmocka_unit_test(the_target_must_be_a_path),
        cmocka_unit_test(broken_heads_have_their_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
