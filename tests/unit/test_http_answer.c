/* Answers to a GET: each row whole, and cut at every byte.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/http_answer.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <stdlib.h>

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *text, *body; /* NULL: refused, */
    const char *fault;       /* with these words */
    bool is_until_end;       /* its body ends with the connection */
} rows[] = {
    {OK "Content-Length: 5\r\n\r\nhello", "hello", NULL, false},
    {OK "content-length:5 \r\nX: y\r\n\r\nhello", "hello", NULL, false},
    {OK "Content-Length: 0\r\n\r\n", "", NULL, false},
    {"HTTP/1.1 200 \r\nContent-Length: 1\n\nx", "x", NULL, false},
    {OK "\r\nto the end", "to the end", NULL, true},
    {"HTTP/1.0 200 OK\r\n\r\nx", "x", NULL, true},
    {CHUNKED "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", NULL, false},
    {CHUNKED "0\r\n", "", NULL, false},
    {OK "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", "x", NULL, false},
    {OK "Content-Length: 6\r\n\r\nhello", NULL, "too early", false},
    {OK "Content-Length: 21\r\n\r\n", NULL, "too large", false},
    {OK "Content-Length: 99999999999999999999\r\n\r\n", NULL, "no number", false},
    {OK "Content-Length: -1\r\n\r\n", NULL, "no number", false},
    {OK "Content-Length: 0x5\r\n\r\nhello", NULL, "no number", false},
    {OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", NULL, "two", false},
    {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", NULL, "both", false},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n", NULL, "Transfer-Encoding", false},
    {OK "Content-Encoding: gzip\r\n\r\nx", NULL, "compressed", false},
    {OK "\r\n012345678901234567890", NULL, "too large", true},
    {CHUNKED "x\r\n", NULL, "size of a chunk", false},
    {CHUNKED "\r\n", NULL, "size of a chunk", false},
    {CHUNKED "-1\r\n", NULL, "size of a chunk", false},
    {CHUNKED "123456789\r\n", NULL, "size of a chunk", false},
    {CHUNKED "ffffffff\r\n", NULL, "too large", false},
    {CHUNKED "A\r\n0123456789\r\nB\r\n01234567890\r\n0\r\n", NULL, "too large", false},
    {CHUNKED "1\r\nabc\r\n0\r\n", NULL, "longer than it says", false},
    {"HTTP/1.1 404 Not Found\r\n\r\nx", NULL, "status", false},
    {"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", NULL, "status", false},
    {"HTTP/1.1 2000 OK\r\n\r\n", NULL, "no HTTP", false},
    {"HTTP/2 200\r\n\r\n", NULL, "no HTTP", false},
    {"SSH-2.0-OpenSSH\r\n", NULL, "no HTTP", false},
    {OK "no colon\r\n\r\n", NULL, "no header field", false},
    {OK " folded: x\r\n\r\n", NULL, "no header field", false},
    {OK ": x\r\n\r\n", NULL, "no header field", false},
    {"", NULL, "too early", false},
};

static enum http_answer_state read_exact(struct str text, bool is_end, struct buf *body,
                                         const char **fault) {
    char *copy = malloc(text.n ? text.n : 1); /* exactly as long as ASan lets it be read */
    if (text.n)
        memcpy(copy, text.p, text.n);
    enum http_answer_state state =
        http_answer_read((struct str){copy, text.n}, is_end, 20, body, fault);
    free(copy);
    return state;
}

static void answers_are_judged_row_by_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf body = {0};
        const char *fault = NULL;
        buf_add_z(&body, "-");
        enum http_answer_state s = read_exact(str_of(rows[i].text), true, &body, &fault);
        if (rows[i].body) {
            assert_int_equal(s, HTTP_ANSWER_DONE);
            assert_true(str_equal(str_slice(buf_str(&body), 1, body.n), str_of(rows[i].body)));
        } else {
            assert_int_equal(s, HTTP_ANSWER_BAD);
            if (!strstr(fault, rows[i].fault))
                fail_msg("%s: %s", rows[i].text, fault);
            assert_int_equal(body.n, 1);
        }
        buf_fini(&body);
    }
}

/* Whatever has come so far never gives another body, and an early end is one. */
static void pieces_give_what_the_whole_gives(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str whole = str_of(rows[i].text);
        for (size_t n = 0; n < whole.n; n++) {
            struct buf body = {0};
            const char *fault = NULL;
            enum http_answer_state s = read_exact(str_slice(whole, 0, n), false, &body, &fault);
            if (s == HTTP_ANSWER_MORE)
                assert_int_equal(body.n, 0);
            if (s == HTTP_ANSWER_DONE)
                assert_true(rows[i].body && str_equal(buf_str(&body), str_of(rows[i].body)));
            if (s == HTTP_ANSWER_BAD)
                assert_null(rows[i].body);
            buf_clear(&body);
            s = read_exact(str_slice(whole, 0, n), true, &body, &fault);
            assert_int_not_equal(s, HTTP_ANSWER_MORE);
            buf_fini(&body);
        }
    }
}

static void heads_are_at_most_16_kib(void **state) {
    (void)state;
    for (int is_one_line = 0; is_one_line < 2; is_one_line++) {
        struct buf text = {0}, body = {0};
        const char *fault = NULL;
        buf_add_z(&text, is_one_line ? "HTTP/1.1 200 " : OK);
        while (text.n <= HTTP_ANSWER_HEAD_BYTES_MAX)
            buf_add_z(&text, is_one_line ? "xxxxxxxx" : "X: 45\r\n");
        assert_int_equal(read_exact(buf_str(&text), false, &body, &fault), HTTP_ANSWER_BAD);
        assert_non_null(strstr(fault, "head is too long"));
        buf_fini(&text);
        buf_fini(&body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_judged_row_by_row),
        cmocka_unit_test(pieces_give_what_the_whole_gives),
        cmocka_unit_test(heads_are_at_most_16_kib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
