/* Shell patterns: what matches, what does not, what is refused, and how long it takes.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/glob.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_matches_and_what_does_not(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *yes[4], *no[4];
    } rows[] = {
        {"", {""}, {"a"}},
        {"abc", {"abc"}, {"ab", "abcd", "", "abC"}},
        {"*", {"", "a", "a:b/c", "\u00e9"}, {0}},
        {"a*", {"a", "abc"}, {"", "ba"}},
        {"*a", {"a", "ba", "aaa"}, {"", "ab"}},
        {"a*b*c", {"abc", "a1b2c", "abbcbc"}, {"acb", "ab", "abcd"}},
        {"*aab", {"aab", "aaab", "aabaab"}, {"aaba"}},
        {"**", {"", "ab"}, {0}},
        {"?", {"a", "\u00e9", "\U0001f600"}, {"", "ab"}},
        {"a?c", {"abc", "a\u20acc"}, {"ac", "abbc"}},
        {"[abc]", {"a", "b", "c"}, {"d", "", "ab"}},
        {"[a-cx-z]", {"b", "z", "x"}, {"d", "w", "-"}},
        {"[!a-c]", {"d", "\u00e9", "-"}, {"a", "", "\u00e9\u00e9"}},
        {"[^a-c]x", {"dx", "\u00e9x"}, {"ax"}},
        {"[]]", {"]"}, {"a", "[]]"}},
        {"[!]]", {"a"}, {"]"}},
        {"[a-]", {"a", "-"}, {"b"}},
        {"[\\]\\-a]", {"]", "-", "a"}, {"\\"}},
        {"[*?]", {"*", "?"}, {"a"}},
        {"\\*\\?\\[\\\\\\{", {"*?[\\{"}, {"a?[\\{"}},
        {"room-[0-9]*:#?", {"room-1:#x", "room-12ab:#\u00e9"}, {"room-:#x", "room-1:#"}},
        {"\u00e9*\u00e8", {"\u00e9\u00e8", "\u00e9x\u00e8"}, {"\u00e9", "e\u00e8"}},
        {"*\xa9", {0}, {"\u00e9"}}, /* half a character matches nothing */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str pattern = str_of(rows[i].pattern);
        assert_null(glob_fault(pattern));
        for (size_t k = 0; k < 4; k++) {
            if (rows[i].yes[k] && !glob_matches(pattern, str_of(rows[i].yes[k])))
                fail_msg("%s does not match %s", rows[i].pattern, rows[i].yes[k]);
            if (rows[i].no[k] && glob_matches(pattern, str_of(rows[i].no[k])))
                fail_msg("%s matches %s", rows[i].pattern, rows[i].no[k]);
        }
    }
}

static void what_is_no_pattern_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"[",  "[a",  "a[!", "[!]", "[]",       "[a\\]",
                                      "\\", "a\\", "{a}", "x{",  "[\u00e9]", "[a-\u00e9]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (!glob_fault(str_of(bad[i])))
            fail_msg("%s is taken", bad[i]);
    assert_null(glob_fault(STR("\\{a}")));
    assert_null(glob_fault(STR("[{]")));
    assert_null(glob_fault(STR("a]b}")));
}

/* Any pattern without fault is read within its bounds; ASan watches. */
static void any_bytes_are_safe(void **state) {
    (void)state;
    static const char letters[] = "ab*?[]!-\\\xc3\xa9";
    uint32_t seed = 7;
    unsigned good = 0;
    for (int round = 0; round < 200000; round++) {
        char pattern[12], text[12];
        size_t n[2];
        for (int which = 0; which < 2; which++) {
            n[which] = (seed = seed * 1664525u + 1013904223u) >> 24 & 7;
            for (size_t i = 0; i < n[which]; i++)
                (which ? text : pattern)[i] =
                    letters[((seed = seed * 1664525u + 1013904223u) >> 20) % (sizeof(letters) - 1)];
        }
        char *copy = malloc(n[0] + n[1] + 1);
        memcpy(copy, text, n[1]);
        memcpy(copy + n[1], pattern, n[0]);
        if (!glob_fault((struct str){copy + n[1], n[0]})) {
            glob_matches((struct str){copy + n[1], n[0]}, (struct str){copy, n[1]});
            good++;
        }
        free(copy);
    }
    assert_true(good > 1000);
}

/* A back-tracking matcher would need the age of the world for this one. */
static void many_stars_do_not_take_long(void **state) {
    (void)state;
    char pattern[200], text[255];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[sizeof(pattern) - 1] = 'b';
    assert_false(
        glob_matches((struct str){pattern, sizeof(pattern)}, (struct str){text, sizeof(text)}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches_and_what_does_not),
        cmocka_unit_test(what_is_no_pattern_is_refused),
        cmocka_unit_test(any_bytes_are_safe),
        cmocka_unit_test(many_stars_do_not_take_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
