/* The head of an HTTP/1 request: what is read, what is refused and how, and that a head which comes
 * byte by byte is the same head.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/net/head.c"

#include "server/base/buf.h"
#include "server/base/mem.h"
#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct head head;

/* Parses a copy that ends where the text ends, so that reading behind it is noticed. */
static enum head_result parse_bytes(struct str text) {
    static char *copy; /* the head's spans lie in it */
    mem_free(copy);
    copy = mem_alloc(text.n);
    if (text.n)
        memcpy(copy, text.p, text.n);
    return head_parse((struct str){copy, text.n}, &head);
}

static enum head_result parse(const char *text) {
    return parse_bytes(str_of(text));
}

static void expect_header(uint32_t i, const char *name, const char *value) {
    assert_true(i < head.header_count);
    assert_true(str_equal(head.headers[i].name, str_of(name)));
    assert_true(str_equal(head.headers[i].value, str_of(value)));
}

#define GET "GET / HTTP/1.1\r\n"

static void a_request_is_read(void **state) {
    (void)state;
    const char *text = "POST /api/publish?a=b HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\n"
                       "Content-Length: 5\r\n\r\nbody\n";
    assert_int_equal(parse(text), HEAD_OK);
    assert_true(str_equal(head.method, STR("POST")));
    assert_true(str_equal(head.target, STR("/api/publish?a=b")));
    assert_int_equal(head.major, 1);
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.header_count, 3);
    expect_header(0, "Host", "example.com");
    expect_header(1, "X-Empty", "");
    expect_header(2, "Content-Length", "5");
    assert_int_equal(head.size_bytes, strlen(text) - 5);
}

static void a_request_may_have_no_headers(void **state) {
    (void)state;
    assert_int_equal(parse(GET "\r\n"), HEAD_OK);
    assert_int_equal(head.header_count, 0);
    assert_int_equal(head.size_bytes, 18);
}

static void versions_are_read_not_judged(void **state) {
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), HEAD_OK);
    assert_int_equal(head.minor, 0);
    assert_int_equal(parse("PRI * HTTP/2.0\r\n\r\n"), HEAD_OK);
    assert_int_equal(head.major, 2);
    assert_int_equal(parse("GET / HTTP/9.9\r\n\r\n"), HEAD_OK);
    assert_int_equal(head.major, 9);
}

static void values_are_trimmed(void **state) {
    (void)state;
    assert_int_equal(parse(GET "A:b\r\nC: \t d e \t\r\nF :g\r\nH \t: i\r\nJ:k:l\r\n\r\n"), HEAD_OK);
    expect_header(0, "A", "b");
    expect_header(1, "C", "d e");
    expect_header(2, "F", "g"); /* white space before the colon: accepted */
    expect_header(3, "H", "i");
    expect_header(4, "J", "k:l");
}

static void lines_may_end_in_a_bare_newline(void **state) {
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\nA: b\nC: d\r\n\n"), HEAD_OK);
    expect_header(0, "A", "b");
    expect_header(1, "C", "d");
}

static void values_may_hold_bytes_above_ascii(void **state) {
    (void)state;
    assert_int_equal(parse(GET "A: \xc3\xa9\xff\ttab\r\n\r\n"), HEAD_OK);
    expect_header(0, "A", "\xc3\xa9\xff\ttab");
}

static void every_token_character_may_be_in_a_name(void **state) {
    (void)state;
    assert_int_equal(parse("M!#$%&'*+-.^_`|~09aZ / HTTP/1.1\r\nx!#$%&'*+-.^_`|~09aZ: y\r\n\r\n"),
                     HEAD_OK);
    expect_header(0, "x!#$%&'*+-.^_`|~09aZ", "y");
}

struct row {
    const char *text;
    enum head_result result;
};

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        enum head_result result = parse(rows[i].text);
        if (result != rows[i].result)
            print_error("%s\n", rows[i].text);
        assert_int_equal(result, rows[i].result);
    }
}

#define EXPECT_ROWS(rows) expect_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void what_is_no_request_is_refused(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"GET\r\n\r\n", HEAD_BAD},
        {"GET /\r\n\r\n", HEAD_BAD},
        {"GET / \r\n\r\n", HEAD_BAD},
        {"GET  / HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET /  HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/1.1 \r\n\r\n", HEAD_BAD},
        {"GET / a HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/1\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/11\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/1.1x\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/x.1\r\n\r\n", HEAD_BAD},
        {"GET / HTTP/1,1\r\n\r\n", HEAD_BAD},
        {"GET / http/1.1\r\n\r\n", HEAD_BAD},
        {"GET / ICAP/1.0\r\n\r\n", HEAD_BAD},
        {"G\"T / HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET /\x7f HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET /\x01 HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET /\ta HTTP/1.1\r\n\r\n", HEAD_BAD},
        {"GET /\r HTTP/1.1\r\n\r\n", HEAD_BAD},
    };
    EXPECT_ROWS(rows);
}

static void what_is_no_header_is_refused(void **state) {
    (void)state;
    static const struct row rows[] = {
        {GET "A\r\n\r\n", HEAD_BAD},
        {GET ": b\r\n\r\n", HEAD_BAD},
        {GET " : b\r\n\r\n", HEAD_BAD},
        {GET "A b: c\r\n\r\n", HEAD_BAD},
        {GET "A(: c\r\n\r\n", HEAD_BAD},
        {GET "\xc3\xa9: c\r\n\r\n", HEAD_BAD},
        {GET "A: b\x01\r\n\r\n", HEAD_BAD},
        {GET "A: b\x7f\r\n\r\n", HEAD_BAD},
        {GET "A: b\rC: d\r\n\r\n", HEAD_BAD}, /* a bare CR ends no line */
        {GET "A: b\r\r\n\r\n", HEAD_BAD},
        {GET "A: b\r\n c\r\n\r\n", HEAD_BAD}, /* folded */
        {GET "A: b\r\n\tc\r\n\r\n", HEAD_BAD},
        {GET " A: b\r\n\r\n", HEAD_BAD}, /* folded into the request line */
    };
    EXPECT_ROWS(rows);
}

static void a_nul_is_refused_wherever_it_is(void **state) {
    (void)state;
    static const struct str texts[] = {
        {"GET /\0 HTTP/1.1\r\n\r\n", 20},
        {"GET / HTTP/1.1\r\nA\0: b\r\n\r\n", 25},
        {"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", 25},
        {"GET / HTTP/1.1\0\r\n\r\n", 19},
    };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(parse_bytes(texts[i]), HEAD_BAD);
}

static void what_does_not_begin_like_http_is_not_http(void **state) {
    (void)state;
    static const struct str texts[] = {
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11}, /* a TLS hello */
        {"\x80\x2e\x01\x03\x01", 5},                          /* one of SSL 2 */
        {"\0\0\0\0", 4},
        {"\r\n", 2},
        {"get / HTTP/1.1\r\n\r\n", 18},
        {"*1\r\n$4\r\nPING\r\n", 14}, /* Redis */
        {"G\x01\x02", 3},
        {"SSH-2.0-x\x03y", 11},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(parse_bytes(texts[i]), HEAD_NOT_HTTP);
}

static void a_head_that_is_not_whole_is_incomplete(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"", HEAD_INCOMPLETE},
        {"G", HEAD_INCOMPLETE},
        {"GET / HTTP/1.1", HEAD_INCOMPLETE},
        {"GET / HTTP/1.1\r", HEAD_INCOMPLETE},
        {GET, HEAD_INCOMPLETE},
        {GET "A: b", HEAD_INCOMPLETE},
        {GET "A: b\r\n", HEAD_INCOMPLETE},
        {GET "A: b\r\n\r", HEAD_INCOMPLETE},
    };
    EXPECT_ROWS(rows);
}

static void byte_by_byte_it_is_the_same_head(void **state) {
    (void)state;
    const struct str text =
        STR("GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            "Connection: keep-alive, Upgrade\r\nX: \r\n\r\n");
    for (size_t n = 0; n < text.n; n++)
        assert_int_equal(parse_bytes(str_slice(text, 0, n)), HEAD_INCOMPLETE);
    assert_int_equal(parse_bytes(text), HEAD_OK);
    assert_int_equal(head.size_bytes, text.n);
}

/* --- limits ----------------------------------------------------------------------------------- */

static struct buf built;

/* A request with a target of so many bytes and so many headers of so many bytes each, line ends
 * included. */
static enum head_result parse_built(size_t target_bytes, size_t header_count, size_t header_bytes) {
    buf_clear(&built);
    buf_add_z(&built, "GET /");
    for (size_t i = 1; i < target_bytes; i++)
        buf_add_char(&built, 'a');
    buf_add_z(&built, " HTTP/1.1\r\n");
    for (size_t i = 0; i < header_count; i++) {
        buf_add_z(&built, "X: ");
        for (size_t n = 5; n < header_bytes; n++)
            buf_add_char(&built, 'b');
        buf_add_z(&built, "\r\n");
    }
    buf_add_z(&built, "\r\n");
    return parse_bytes(buf_str(&built));
}

static void a_target_has_a_limit(void **state) {
    (void)state;
    assert_int_equal(parse_built(3000, 0, 0), HEAD_OK);
    assert_int_equal(parse_built(HEAD_TARGET_MAX_BYTES, 0, 0), HEAD_OK);
    assert_int_equal(head.target.n, HEAD_TARGET_MAX_BYTES);
    assert_int_equal(parse_built(HEAD_TARGET_MAX_BYTES + 1, 0, 0), HEAD_TARGET_TOO_LONG);
    assert_int_equal(parse_built(5000, 0, 0), HEAD_TARGET_TOO_LONG);
}

static void a_request_line_without_end_has_a_limit(void **state) {
    (void)state;
    buf_clear(&built);
    buf_add_z(&built, "GET /");
    while (built.n < HEAD_MAX_BYTES - 1)
        buf_add_char(&built, 'a');
    assert_int_equal(parse_bytes(buf_str(&built)), HEAD_INCOMPLETE);
    buf_add_char(&built, 'a');
    assert_int_equal(parse_bytes(buf_str(&built)), HEAD_TARGET_TOO_LONG);
}

static void headers_are_limited_in_number(void **state) {
    (void)state;
    assert_int_equal(parse_built(1, 100, 10), HEAD_OK);
    assert_int_equal(parse_built(1, HEAD_MAX_HEADERS, 10), HEAD_OK);
    assert_int_equal(head.header_count, HEAD_MAX_HEADERS);
    assert_int_equal(parse_built(1, HEAD_MAX_HEADERS + 1, 10), HEAD_TOO_LARGE);
    assert_int_equal(parse_built(1, 1000, 6), HEAD_TOO_LARGE);
}

static void a_head_without_end_has_a_limit(void **state) {
    (void)state;
    buf_clear(&built);
    buf_add_z(&built, GET "X: ");
    while (built.n < HEAD_MAX_BYTES - 1)
        buf_add_char(&built, 'a');
    assert_int_equal(parse_bytes(buf_str(&built)), HEAD_INCOMPLETE);
    buf_add_char(&built, 'a');
    assert_int_equal(parse_bytes(buf_str(&built)), HEAD_TOO_LARGE);
}

static int forget_built(void **state) {
    (void)state;
    buf_fini(&built);
    parse(""); /* and its copy is as small as can be */
    return 0;
}

/* --- looking for headers ---------------------------------------------------------------------- */

static void headers_are_found_without_case_and_counted(void **state) {
    (void)state;
    struct str value;
    assert_int_equal(parse(GET "HOST: a\r\nhost: b\r\nHostess: c\r\nEmpty:\r\n\r\n"), HEAD_OK);
    assert_int_equal(head_find(&head, "host", &value), 2);
    assert_true(str_equal(value, STR("a")));
    assert_int_equal(head_find(&head, "hostess", &value), 1);
    assert_int_equal(head_find(&head, "empty", &value), 1);
    assert_int_equal(value.n, 0);
    assert_int_equal(head_find(&head, "hos", &value), 0);
    assert_null(value.p);
}

static void a_token_is_found_in_a_list(void **state) {
    (void)state;
    static const struct {
        const char *value;
        bool has_it;
    } rows[] = {
        {"upgrade", true},
        {"Upgrade", true},
        {"UPGRADE", true},
        {"keep-alive, Upgrade", true},
        {"Upgrade,keep-alive", true},
        {" \tupgrade\t ,x", true},
        {",,upgrade,,", true},
        {"", false},
        {"x", false},
        {"upgrades", false},
        {"xupgrade", false},
        {"up grade", false},
        {"upgrade x", false},
        {"upgrade;q=1", false},
        {"\"upgrade\"", false},
        {",", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(has_token(str_of(rows[i].value), "upgrade"), rows[i].has_it);
}

/* --- at random -------------------------------------------------------------------------------- */

static bool lies_within(struct str part, struct str whole) {
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* Whatever comes: all spans lie in the text, a whole head stays what it is when more follows, and
 * one that was refused is never accepted later. */
static void damaged_heads_are_judged_for_good(void **state) {
    (void)state;
    struct random r = {17};
    for (int round = 0; round < 20000; round++) {
        struct buf b = {0};
        buf_add_z(&b, "GET /a?b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\nA : b\r\n\r\nrest");
        for (uint32_t i = random_below(&r, 4); i > 0; i--)
            random_damage(&r, &b);
        enum head_result whole = parse_bytes(buf_str(&b));
        size_t size_bytes = head.size_bytes;
        if (whole == HEAD_OK) {
            struct str copy = {head.method.p, size_bytes};
            assert_true(size_bytes <= b.n && lies_within(head.target, copy));
            for (uint32_t i = 0; i < head.header_count; i++)
                assert_true(lies_within(head.headers[i].name, copy) &&
                            lies_within(head.headers[i].value, copy));
            assert_int_equal(parse_bytes(str_slice(buf_str(&b), 0, size_bytes)), HEAD_OK);
            assert_int_equal(head.size_bytes, size_bytes);
        }
        enum head_result part =
            parse_bytes(str_slice(buf_str(&b), 0, random_below(&r, (uint32_t)b.n + 1)));
        if (part != HEAD_INCOMPLETE && part != HEAD_OK)
            assert_true(whole != HEAD_OK);
        buf_fini(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read),
        cmocka_unit_test(a_request_may_have_no_headers),
        cmocka_unit_test(versions_are_read_not_judged),
        cmocka_unit_test(values_are_trimmed),
        cmocka_unit_test(lines_may_end_in_a_bare_newline),
        cmocka_unit_test(values_may_hold_bytes_above_ascii),
        cmocka_unit_test(every_token_character_may_be_in_a_name),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(what_is_no_header_is_refused),
        cmocka_unit_test(a_nul_is_refused_wherever_it_is),
        cmocka_unit_test(what_does_not_begin_like_http_is_not_http),
        cmocka_unit_test(a_head_that_is_not_whole_is_incomplete),
        cmocka_unit_test(byte_by_byte_it_is_the_same_head),
        cmocka_unit_test(a_target_has_a_limit),
        cmocka_unit_test(a_request_line_without_end_has_a_limit),
        cmocka_unit_test(headers_are_limited_in_number),
        cmocka_unit_test(a_head_without_end_has_a_limit),
        cmocka_unit_test(headers_are_found_without_case_and_counted),
        cmocka_unit_test(a_token_is_found_in_a_list),
        cmocka_unit_test(damaged_heads_are_judged_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, forget_built);
}
