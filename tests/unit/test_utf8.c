/* UTF-8 in pieces, against the check of whole texts.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/utf8.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Fed byte by byte and in two pieces: the same answer as for the whole. */
static bool is_valid_in_pieces(struct str s, size_t cut) {
    struct utf8 u = {0};
    return utf8_feed(&u, str_slice(s, 0, cut)) && utf8_feed(&u, str_slice(s, cut, s.n)) &&
           utf8_is_whole(&u);
}

static void every_code_point_is_as_good_in_pieces_as_whole(void **state) {
    (void)state;
    for (uint32_t lead = 0; lead < 256; lead++)
        for (uint32_t second = 0; second < 256; second++)
            for (uint32_t rest = 0; rest < 3; rest++) {
                const char bytes[] = {(char)lead, (char)second, (char)0x80, (char)0xbf};
                const struct str s = {bytes, 2 + rest};
                for (size_t cut = 0; cut <= s.n; cut++)
                    assert_int_equal(is_valid_in_pieces(s, cut), str_is_utf8(s));
            }
}

static void a_long_ascii_text_may_hold_a_code_point_anywhere(void **state) {
    (void)state;
    char text[40];
    for (size_t at = 0; at + 3 <= sizeof(text); at++) {
        memset(text, 'a', sizeof(text));
        memcpy(text + at, "\xe2\x82\xac", 3);
        for (size_t cut = 0; cut <= sizeof(text); cut++)
            assert_true(is_valid_in_pieces((struct str){text, sizeof(text)}, cut));
        text[at + 1] = 'a';
        assert_false(is_valid_in_pieces((struct str){text, sizeof(text)}, at));
    }
}

static void a_fault_shows_as_soon_as_it_is_certain(void **state) {
    (void)state;
    struct utf8 surrogate = {0}, overlong = {0}, large = {0};
    assert_true(utf8_feed(&surrogate, STR("\xed")));
    assert_false(utf8_feed(&surrogate, STR("\xa0")));
    assert_false(utf8_feed(&overlong, STR("\xc0")));
    assert_true(utf8_feed(&large, STR("\xf4")));
    assert_false(utf8_feed(&large, STR("\x90")));
}

static void a_text_may_not_end_inside_a_code_point(void **state) {
    (void)state;
    struct utf8 u = {0};
    assert_true(utf8_feed(&u, STR("a\xf0\x9f\x94")));
    assert_false(utf8_is_whole(&u));
    assert_true(utf8_feed(&u, STR("\x94")));
    assert_true(utf8_is_whole(&u));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_as_good_in_pieces_as_whole),
        cmocka_unit_test(a_long_ascii_text_may_hold_a_code_point_anywhere),
        cmocka_unit_test(a_fault_shows_as_soon_as_it_is_certain),
        cmocka_unit_test(a_text_may_not_end_inside_a_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
