/* HTTP answers as the doctor reads them: whole, in pieces, endless, nonsense.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/doctor/answer.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

static enum answer_state read_head(const char *text, struct answer_head *h) {
    const char *fault = NULL;
    enum answer_state state = answer_head_read(str_of(text), h, &fault);
    assert_int_equal(state == ANSWER_BAD, fault != NULL);
    return state;
}

static void a_head_is_taken_apart(void **state) {
    struct answer_head h;
    struct str value;
    (void)state;
    assert_int_equal(
        read_head("HTTP/1.1 101 Switching\r\nUpgrade:  websocket \r\nA:\r\na: 2\r\n\r\nx", &h),
        ANSWER_DONE);
    assert_int_equal(h.status, 101);
    assert_int_equal(h.minor, 1);
    assert_int_equal(
        h.size_bytes,
        strlen("HTTP/1.1 101 Switching\r\nUpgrade:  websocket \r\nA:\r\na: 2\r\n\r\n"));
    assert_int_equal(answer_find(&h, "upgrade", &value), 1);
    assert_true(str_equal(value, STR("websocket")));
    assert_int_equal(answer_find(&h, "a", &value), 2);
    assert_int_equal(value.n, 0);
    assert_int_equal(answer_find(&h, "b", &value), 0);
}

static void every_prefix_of_a_head_wants_more(void **state) {
    static const char text[] = "HTTP/1.0 200\r\nServer: x\r\n\r\n";
    struct answer_head h;
    const char *fault;
    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++)
        assert_int_equal(answer_head_read((struct str){text, n}, &h, &fault), ANSWER_MORE);
    assert_int_equal(read_head(text, &h), ANSWER_DONE);
    assert_int_equal(h.minor, 0);
}

static void what_is_no_head_is_refused(void **state) {
    static const char *const texts[] = {
        "SSH-2.0-x\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded: x\r\n\r\n",
    };
    struct answer_head h;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(read_head(texts[i], &h), ANSWER_BAD);
}

static void an_endless_head_ends(void **state) {
    struct buf b = {0};
    struct answer_head h;
    const char *fault;
    (void)state;
    buf_add_z(&b, "HTTP/1.1 200 OK\r\nX: ");
    while (b.n < ANSWER_HEAD_BYTES_MAX)
        buf_add_char(&b, 'x');
    assert_int_equal(answer_head_read(buf_str(&b), &h, &fault), ANSWER_BAD);
    buf_clear(&b);
    buf_add_z(&b, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i <= ANSWER_FIELDS_MAX; i++)
        buf_add_z(&b, "X: y\r\n");
    assert_int_equal(answer_head_read(buf_str(&b), &h, &fault), ANSWER_BAD);
    buf_fini(&b);
}

/* Feeds the text in pieces of that size; gives whether it was good and whole. */
static bool feed(struct answer_body cut, const char *text, size_t piece, struct buf *out) {
    struct buf in = {0};
    struct str rest = str_of(text);
    bool is_good = true;
    buf_clear(out);
    while (is_good && rest.n) {
        buf_add(&in, str_slice(rest, 0, piece));
        rest = str_slice(rest, piece, rest.n);
        is_good = answer_body_feed(&cut, &in, out);
    }
    buf_fini(&in);
    return is_good && cut.is_done;
}

static void bodies_come_in_any_pieces(void **state) {
    const struct answer_body chunks = {.kind = BODY_CHUNKS},
                             five = {.kind = BODY_LENGTH, .left = 5};
    struct buf out = {0};
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        assert_true(feed(chunks, "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: x\r\n\r\n", piece, &out));
        assert_true(str_equal(buf_str(&out), STR("abcde")));
        assert_true(feed(five, "abcdefgh", piece, &out));
        assert_true(str_equal(buf_str(&out), STR("abcde")));
        assert_false(feed(chunks, "2\r\nabX\r\n", piece, &out));
        assert_false(feed(chunks, "123456789\r\n", piece, &out));
        assert_false(feed(chunks, "z\r\n", piece, &out));
    }
    buf_fini(&out);
}

static void how_a_body_is_cut_must_be_beyond_doubt(void **state) {
    static const struct {
        const char *text;
        bool is_good;
    } heads[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\n\r\n", true},
        {"HTTP/1.1 204 x\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", false},
    };
    struct answer_head h;
    struct answer_body b;
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        assert_int_equal(read_head(heads[i].text, &h), ANSWER_DONE);
        assert_int_equal(answer_body_begin(&b, &h), heads[i].is_good);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_taken_apart),
        cmocka_unit_test(every_prefix_of_a_head_wants_more),
        cmocka_unit_test(what_is_no_head_is_refused),
        cmocka_unit_test(an_endless_head_ends),
        cmocka_unit_test(bodies_come_in_any_pieces),
        cmocka_unit_test(how_a_body_is_cut_must_be_beyond_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
