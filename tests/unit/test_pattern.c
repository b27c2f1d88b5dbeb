/* Patterns: what they match, as Go's package regexp would, what is refused and why, and that
 * no pattern takes long or much.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/base/pattern.c"

#include "server/base/pattern_match.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <time.h>

static struct pattern *compile(const char *source) {
    const char *why = NULL;
    struct pattern *p = pattern_create(str_of(source), &why);
    if (!p)
        fail_msg("%s: %s", source, why);
    return p;
}

static void a_pattern_matches_what_it_says(void **state) {
    static const struct {
        const char *source, *text;
        bool is_match;
    } rows[] = {
        {"", "", true},
        {"", "x", true},
        {"b", "abc", true},
        {"b", "ac", false},
        {"^b", "abc", false},
        {"^abc$", "abc", true},
        {"^abc$", "abcd", false},
        {"\\Aabc\\z", "abc", true},
        {"\\Aabc\\z", "xabc", false},
        {"^$", "", true},
        {"^$", "a", false},
        {"a^b", "ab", false},
        {"^a.c$", "abc", true},
        {"^a.c$",
         "a\xc3\xbc"
         "c",
         true},
        {"^a.c$", "ac", false},
        /* alternatives */
        {"^(a|b|cd)$", "cd", true},
        {"^(a|b|cd)$", "b", true},
        {"^(a|b|cd)$", "bd", false},
        {"^a|b$", "ax", true},
        {"^a|b$", "xb", true},
        {"^a|b$", "xbx", false},
        {"^(|a)b$", "b", true},
        {"^(a|)b$", "ab", true},
        {"^(?:x(y|z))+$", "xyxz", true},
        {"^(?:x(y|z))+$", "xyx", false},
        /* repeating */
        {"^a*$", "", true},
        {"^a*$", "aaa", true},
        {"^a*$", "aab", false},
        {"^a+$", "", false},
        {"^a+$", "aa", true},
        {"^ab?c$", "ac", true},
        {"^ab?c$", "abbc", false},
        {"^a*?b+?c??$", "aabb", true},
        {"^a{2}$", "aa", true},
        {"^a{2}$", "aaa", false},
        {"^a{2,}$", "a", false},
        {"^a{2,}$", "aaaaa", true},
        {"^a{0,2}$", "", true},
        {"^a{0,2}$", "aa", true},
        {"^a{0,2}$", "aaa", false},
        {"^a{1,3}b$", "aaab", true},
        {"^a{1,3}b$", "aaaab", false},
        {"^a{0}b$", "b", true},
        {"^a{0}b$", "ab", false},
        {"^(ab|c){2,3}$", "abcab", true},
        {"^(ab|c){2,3}$", "ab", false},
        {"^(a*)*$", "aa", true},
        {"^(a*)+b$", "b", true},
        {"^(a?){3}$", "aaa", true},
        {"^(a?){3}$", "aaaa", false},
        {"^(){2,5}a$", "a", true},
        {"^a{,2}$", "a{,2}", true}, /* not of its form: text */
        {"^a{$", "a{", true},
        {"^{$", "{", true},
        {"^a{1$", "a{1", true},
        {"^a}$", "a}", true},
        /* classes */
        {"^[abc]+$", "cab", true},
        {"^[abc]+$", "cad", false},
        {"^[a-c0-9]+$", "a5c", true},
        {"^[a-c0-9]+$", "a5d", false},
        {"^[^/]+$", "abc", true},
        {"^[^/]+$", "a/c", false},
        {"^[^/]$", "\xe2\x82\xac", true},
        {"^[]a]+$", "]a", true},
        {"^[^]a]+$", "bc", true},
        {"^[^]a]+$", "]", false},
        {"^[a-]+$", "a-", true},
        {"^[-a]+$", "-", true},
        {"^[a^]+$", "^", true},
        {"^[.*]+$", ".*", true},
        {"^[.*]+$", "a", false},
        {"^[\\]\\\\]+$", "]\\", true},
        {"^[\\w-]+$", "a_9-Z", true},
        {"^[\\w-]+$", "a b", false},
        {"^[\\d.]+$", "1.2", true},
        {"^[^\\d]+$", "1", false},
        {"^[\\D1]+$", "a1", true},
        {"^[\\D1]+$", "a2", false},
        {"^[[:alpha:]_]+$", "aZ_", true},
        {"^[[:alpha:]_]+$", "a1", false},
        {"^[[:^alpha:]]+$", "12", true},
        {"^[[:^alpha:]]+$", "a", false},
        {"^[[:xdigit:]]{4}$", "09aF", true},
        {"^[\\x41-\\x{43}]+$", "ABC", true},
        {"^[\\x41-\\x{43}]+$", "D", false},
        /* short classes */
        {"^\\d{3}$", "123", true},
        {"^\\d{3}$", "12a", false},
        {"^\\D$", "a", true},
        {"^\\D$", "\xc3\xbc", true},
        {"^\\D$", "1", false},
        {"^\\w+$", "az_AZ09", true},
        {"^\\w+$", "a-b", false},
        {"^\\w+$", "\xc3\xbc", false}, /* ASCII only */
        {"^\\W$", "-", true},
        {"^\\s$", " ", true},
        {"^\\S+$", "ab", true},
        {"^\\S+$", "a b", false},
        /* escapes */
        {"^a\\.b$", "a.b", true},
        {"^a\\.b$", "axb", false},
        {"^\\$\\^\\(\\)\\[\\]\\{\\}\\|\\*\\+\\?\\\\\\/\\-\\_$", "$^()[]{}|*+?\\/-_", true},
        {"^\\x61\\x{20AC}$", "a\xe2\x82\xac", true},
        {"^\\t$", "t", false},
        {"\\bcat\\b", "a cat!", true},
        {"\\bcat\\b", "concat", false},
        {"\\Bcat", "concat", true},
        {"\\Bcat", "cat", false},
        /* other than ASCII */
        {"^\xc3\xbc{2}$", "\xc3\xbc\xc3\xbc", true}, /* a character is repeated, not a byte */
        {"^\xc3\xbc{2}$", "\xc3\xbc\xbc", false},
        {"^[\xd0\xb0-\xd1\x8f]+$", "\xd0\xb1\xd1\x83", true}, /* Cyrillic */
        {"^[\xd0\xb0-\xd1\x8f]+$", "abc", false},
        {"^.{1,3}$", "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xbc", true},
        {"^.{1,3}$", "abcd", false},
        {"^*a$", "a", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pattern *p = compile(rows[i].source);
        if (pattern_matches(p, str_of(rows[i].text)) != rows[i].is_match)
            fail_msg("%s: %s should %s", rows[i].source, rows[i].text,
                     rows[i].is_match ? "match" : "not match");
        pattern_destroy(p);
    }
}

static void what_is_no_pattern_is_refused_with_the_reason(void **state) {
    static const struct {
        const char *source, *words;
    } rows[] = {
        {"(", "( is not closed"},
        {"(a", "( is not closed"},
        {"a)", ") closes nothing"},
        {")", ") closes nothing"},
        {"a|b)", ") closes nothing"},
        {"[", "[ is not closed"},
        {"[]", "[ is not closed"},
        {"[^]", "[ is not closed"},
        {"[a-", "[ is not closed"},
        {"[b-a]", "ends before it begins"},
        {"[a-\\d]", "no such meaning"},
        {"[[:foo:]]", "no such class"},
        {"[[:d:]]", "no such class"},
        {"[[:^:]]", "no such class"},
        {"*a", "nothing before it"},
        {"a|*", "nothing before it"},
        {"(+)", "nothing before it"},
        {"{2}", "nothing before it"},
        {"a**", "behind another"},
        {"a*+", "behind another"},
        {"a???", "behind another"},
        {"a{2}{3}", "behind another"},
        {"a{1001}", "at most 1000"},
        {"a{3,2}", "at most 1000"},
        {"a{0,99999999999999999999}", "at most 1000"},
        {"(a{100}){100}", "too large"},
        {"((((a{10}){10}){10}){10}){10}", "too large"},
        {"(((((x*){1000}){1000}){1000}){1000}){1000}", "too large"},
        {"(?i)a", "not supported"},
        {"(?=a)", "not supported"},
        {"(?!a)", "not supported"},
        {"(?<=a)", "not supported"},
        {"(?P<name>a)", "not supported"},
        {"\\pL", "Unicode"},
        {"[\\p{Greek}]", "Unicode"},
        {"\\1", "no such meaning"},
        {"\\Qa", "no such meaning"},
        {"\\C", "no such meaning"},
        {"\\Z", "no such meaning"},
        {"\\", "before nothing"},
        {"[\\", "before nothing"},
        {"\\\xc3\xbc", "before nothing"},
        {"\\x", "two digits"},
        {"\\x4", "two digits"},
        {"\\x{", "two digits"},
        {"\\x{}", "two digits"},
        {"\\x{110000}", "two digits"},
        {"\\x{41", "two digits"},
        {"\xff", "UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *why = NULL;
        struct pattern *p = pattern_create(str_of(rows[i].source), &why);
        if (p || !why || !strstr(why, rows[i].words))
            fail_msg("%s: %s", rows[i].source, p ? "taken" : why);
    }
}

static void groups_nest_only_so_deep(void **state) {
    char source[1001];
    const char *why = NULL;
    (void)state;
    memset(source, '(', 500);
    memset(source + 500, ')', 500);
    source[1000] = '\0';
    assert_null(pattern_create(str_of(source), &why));
    assert_non_null(strstr(why, "too many groups"));
    memset(source, '|', 999); /* many alternatives are fine */
    source[999] = '\0';
    struct pattern *p = compile(source);
    pattern_destroy(p);
    for (int i = 0; i < 500; i++)
        memcpy(source + 2 * i, "()", 2);
    p = compile(source); /* so are groups side by side */
    assert_true(pattern_matches(p, STR("a")));
    pattern_destroy(p);
}

/* Backtracking would need 2^255 steps, a table of states 2^20. */
static void no_pattern_takes_long(void **state) {
    static const char *const sources[] = {"^(a*)*b$", "^(a|a)*b$", "^.*[ab]c.{20}$",
                                          "^(a?){600}a{200}b$"};
    char text[255];
    struct timespec from, to;
    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct pattern *p = compile(sources[i]);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        assert_false(pattern_matches(p, (struct str){text, sizeof(text)}));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        int64_t us =
            (to.tv_sec - from.tv_sec) * INT64_C(1000000) + (to.tv_nsec - from.tv_nsec) / 1000;
        if (us > 500000)
            fail_msg("%s took %lld us", sources[i], (long long)us);
        pattern_destroy(p);
    }
}

static void random_sources_and_texts_end(void **state) {
    static const char bytes[] = "ab|()[]^$*+?{}1,2\\dx-.:\xc3\xbc";
    uint32_t seed = 1;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char source[16];
        const char *why = NULL;
        for (size_t i = 0; i < sizeof(source); i++) {
            seed = seed * 1664525u + 1013904223u;
            source[i] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
        }
        struct str s = {source, (seed >> 8) % sizeof(source)};
        struct pattern *p = pattern_create(s, &why);
        assert_true(p || why);
        if (p)
            pattern_matches(p, STR("ab1ba\xc3\xbc|-x{2}"));
        pattern_destroy(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_matches_what_it_says),
        cmocka_unit_test(what_is_no_pattern_is_refused_with_the_reason),
        cmocka_unit_test(groups_nest_only_so_deep),
        cmocka_unit_test(no_pattern_takes_long),
        cmocka_unit_test(random_sources_and_texts_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
