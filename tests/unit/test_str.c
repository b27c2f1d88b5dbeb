/* Borrowed text: comparing, slicing, numbers, and UTF-8 checked against a decoder by the book.
 *
 * UTF-8 is tried exhaustively: every sequence of up to three bytes, and every four-byte one up to
 * the last byte, which is tried at its borders.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/str.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_str(struct str got, const char *want) {
    if (!str_equal(got, str_of(want)))
        fail_msg("got \"%.*s\", not \"%s\"", STR_ARG(got), want);
}

static void nothing_is_an_empty_text(void **state) {
    (void)state;
    assert_null(str_of(NULL).p);
    assert_int_equal(str_of(NULL).n, 0);
    assert_true(str_equal(STR_NONE, STR("")));
    assert_true(str_equal_nocase(STR_NONE, STR("")));
    assert_true(str_starts(STR_NONE, STR_NONE));
    assert_true(str_starts(STR("a"), STR_NONE));
    assert_int_equal(str_find(STR_NONE, 'a'), 0);
    assert_int_equal(str_slice(STR_NONE, 0, 5).n, 0);
    assert_int_equal(str_trim(STR_NONE).n, 0);
    assert_true(str_is_utf8(STR_NONE));
    assert_int_equal(str_utf8_length(STR_NONE), 0);
}

static void compares_bytes(void **state) {
    (void)state;
    assert_true(str_equal(STR("a\0b"), STR("a\0b")));
    assert_false(str_equal(STR("a\0b"), STR("a\0c")));
    assert_false(str_equal(STR("a"), STR("ab")));
    assert_false(str_equal(STR("a"), STR("A")));
    assert_true(str_equal_nocase(STR("WebSocket"), STR("wEBsOCKET")));
    assert_false(str_equal_nocase(STR("a"), STR("b")));
    assert_false(str_equal_nocase(STR("a"), STR("ab")));
    /* The letters' neighbours are no letters, nor is what Latin-1 has above them. */
    assert_false(str_equal_nocase(STR("@["), STR("`{")));
    assert_false(str_equal_nocase(STR("\xc9"), STR("\xe9")));
}

static void finds_and_slices(void **state) {
    (void)state;
    struct str s = STR("news:a:b");
    assert_true(str_starts(s, STR("news:")));
    assert_false(str_starts(s, STR("news:a:b:")));
    assert_false(str_starts(s, STR("ews")));
    assert_int_equal(str_find(s, ':'), 4);
    assert_int_equal(str_find(s, 'x'), s.n);
    assert_str(str_slice(s, 5, 6), "a");
    assert_str(str_slice(s, 5, 100), "a:b");
    assert_str(str_slice(s, 0, 0), "");
    assert_str(str_slice(s, 6, 5), "");
    assert_str(str_slice(s, 100, 200), "");
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(STR("\na\r")), "\na\r");
}

static void reads_decimal_numbers(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1a",
        "0x1",
        "1.0",
        "18446744073709551616",
        "18446744073709551620",
        "99999999999999999999",
        "184467440737095516150",
        "\xd9\xa1",
    };
    uint64_t v = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(str_to_u64(str_of(bad[i]), &v));
    assert_int_equal(v, 42);
    assert_true(str_to_u64(STR("0"), &v) && v == 0);
    assert_true(str_to_u64(STR("007"), &v) && v == 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
}

/* Decodes by arithmetic, then refuses what the arithmetic lets through: another way than str.c's.
 */
static size_t length_by_the_book(const unsigned char *p, size_t n) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80             ? 1
                    : (p[0] & 0xe0) == 0xc0 ? 2
                    : (p[0] & 0xf0) == 0xe0 ? 3
                    : (p[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (length == 0 || length > n)
        return 0;
    uint32_t c = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
    return c < smallest[length] || c > 0x10ffff || is_surrogate ? 0 : length;
}

static void knows_every_utf8_sequence(void **state) {
    (void)state;
    static const unsigned char lasts[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    unsigned char p[4];
    for (uint32_t head = 0; head < 1 << 24; head++) {
        p[0] = (unsigned char)(head >> 16);
        p[1] = (unsigned char)(head >> 8);
        p[2] = (unsigned char)head;
        for (size_t i = 0; i < (p[0] < 0xf0 ? 1 : sizeof(lasts)); i++) {
            p[3] = lasts[i];
            if (str_utf8_length((struct str){(char *)p, 4}) != length_by_the_book(p, 4))
                fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
        }
    }
}

static void a_cut_sequence_is_none(void **state) {
    (void)state;
    static const char *const whole[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 3; i++) {
        struct str s = str_of(whole[i]);
        assert_int_equal(str_utf8_length(s), s.n);
        for (size_t n = 0; n < s.n; n++)
            assert_int_equal(str_utf8_length(str_slice(s, 0, n)), 0);
    }
}

static void checks_utf8_at_any_offset(void **state) {
    (void)state;
    char text[48];
    for (size_t at = 0; at + 4 <= sizeof(text); at++) {
        memset(text, 'a', sizeof(text));
        memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        assert_true(str_is_utf8((struct str){text, sizeof(text)}));
        assert_false(str_is_utf8((struct str){text, at + 3}));
        text[at + 3] = 'a';
        assert_false(str_is_utf8((struct str){text, sizeof(text)}));
        memset(text, 'a', sizeof(text));
        text[at] = '\x80';
        assert_false(str_is_utf8((struct str){text, sizeof(text)}));
    }
    assert_true(str_is_utf8(STR("\0\x7f")));
}

static void lines_end_with_lf_or_crlf(void **state) {
    struct str rest = STR("a\r\n\nb\r\r\nrest"), line;
    (void)state;
    assert_true(str_cut_line(&rest, &line) && str_equal(line, STR("a")));
    assert_true(str_cut_line(&rest, &line) && line.n == 0);
    assert_true(str_cut_line(&rest, &line) && str_equal(line, STR("b\r")));
    assert_false(str_cut_line(&rest, &line));
    assert_true(str_equal(rest, STR("rest")) && str_equal(line, STR("b\r")));
}

static void a_list_is_cut_at_its_separators(void **state) {
    (void)state;
    static const char *const pieces[] = {"a", "", "b c"};
    struct str rest = STR("a,,b c,"), piece;
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_cut(&rest, ',', &piece));
        assert_true(str_equal(piece, str_of(pieces[i])));
    }
    assert_false(str_cut(&rest, ',', &piece));
    rest = STR("whole");
    assert_true(str_cut(&rest, ',', &piece));
    assert_true(str_equal(piece, STR("whole")));
    assert_false(str_cut(&rest, ',', &piece));
    rest = STR_NONE;
    assert_false(str_cut(&rest, ',', &piece));
}

static void ascii_ends_at_the_first_high_byte(void **state) {
    (void)state;
    char text[30];
    for (size_t at = 0; at < sizeof(text); at++) {
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = i == at ? '\x80' : 'a';
        assert_int_equal(str_ascii_length((struct str){text, sizeof(text)}), at);
    }
    assert_int_equal(str_ascii_length(STR("all of it")), 9);
    assert_int_equal(str_ascii_length(STR_NONE), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_an_empty_text),
        cmocka_unit_test(compares_bytes),
        cmocka_unit_test(finds_and_slices),
        cmocka_unit_test(reads_decimal_numbers),
        cmocka_unit_test(knows_every_utf8_sequence),
        cmocka_unit_test(a_cut_sequence_is_none),
        cmocka_unit_test(checks_utf8_at_any_offset),
        cmocka_unit_test(lines_end_with_lf_or_crlf),
        cmocka_unit_test(a_list_is_cut_at_its_separators),
        cmocka_unit_test(ascii_ends_at_the_first_high_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
