/* The JSON scanner's grammar: what it takes, what it refuses and where it says the fault is.
 *
 * Every text is scanned in a heap block of exactly its size, so that ASan sees a byte read too
 * many. jansson is the oracle of the random test. Where they legitimately differ, nothing is
 * compared: it refuses numbers that overflow (we keep their text) and "\u0000" in a name, nests
 * 2,048 deep instead of 512, and swallows a raw zero byte after a number or a word, which we always
 * refuse.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/json_scan.c"

#include "server/base/mem.h"
#include "tests/unit/json_texts.h"
#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

/* json_scan_all() of a heap copy; the value's text points into the original. */
static bool scan_copy(struct str text, struct json_value *out, struct json_fault *fault) {
    char *copy = mem_alloc(text.n);
    if (text.n)
        memcpy(copy, text.p, text.n);
    bool is_good = json_scan_all((struct str){copy, text.n}, out, fault);
    if (is_good)
        out->text.p = text.p + (out->text.p - copy);
    mem_free(copy);
    return is_good;
}

static void takes_every_good_text(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct json_value value = {0};
        struct json_fault fault = {NULL, 0};
        struct str text = {good[i].p, good[i].n};
        if (!scan_copy(text, &value, &fault))
            fail_msg("good[%zu] %.*s: %s at %zu", i, STR_ARG(text), fault.what, fault.at);
        /* The span is the text without the white space around it. */
        size_t before = 0, after = text.n;
        while (strchr(" \t\r\n", text.p[before]))
            before++;
        while (strchr(" \t\r\n", text.p[after - 1]))
            after--;
        assert_ptr_equal(value.text.p, text.p + before);
        assert_int_equal(value.text.n, after - before);
        assert_int_equal(value.kind, json_kind_of(text.p[before]));
    }
}

static void refuses_every_bad_text_and_leaves_the_value_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json_value value = {.text = {"mark", 4}};
        struct json_fault fault = {NULL, 0};
        struct str text = {bad[i].p, bad[i].n};
        if (scan_copy(text, &value, &fault))
            fail_msg("bad[%zu] %.*s is taken", i, STR_ARG(text));
        assert_string_equal(value.text.p, "mark");
        assert_non_null(fault.what);
        assert_in_range(fault.at, 0, text.n);
    }
}

static void says_what_is_wrong_and_where(void **state) {
    (void)state;
    static const struct {
        const char *text, *what;
        size_t at;
    } faults[] = {
        {"", "unexpected end", 0},
        {"  ", "unexpected end", 2},
        {"{\"a\":1", "unexpected end", 6},
        {"{\"a\":1]", "unexpected character", 6},
        {"[1,]", "unexpected character", 3},
        {"nulx", "unexpected character", 3},
        {"nul", "unexpected end", 3},
        {"{} {}", "unexpected character", 3},
        {"[1.x]", "invalid number", 3},
        {"-", "unexpected end", 1},
        {"\"ab\x01\"", "control character in a string", 3},
        {"\"ab\xff\"", "invalid UTF-8", 3},
        {"\"ab\\q\"", "invalid escape", 3},
        {"\"ab\\ud800\"", "lone surrogate", 3},
        {"\"ab", "unexpected end", 3},
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct json_value value = {0};
        struct json_fault fault = {NULL, 0};
        assert_false(scan_copy(str_of(faults[i].text), &value, &fault));
        assert_string_equal(fault.what, faults[i].what);
        assert_int_equal(fault.at, faults[i].at);
    }
}

/* `depth` levels, each an array or an object as its bit of `pattern` says, around core. */
static void nest(struct buf *b, unsigned depth, uint64_t pattern, const char *core) {
    buf_clear(b);
    for (unsigned i = 0; i < depth; i++)
        buf_add_z(b, pattern >> i % 64 & 1 ? "{\"a\":" : "[");
    buf_add_z(b, core);
    for (unsigned i = depth; i-- > 0;)
        buf_add_char(b, pattern >> i % 64 & 1 ? '}' : ']');
}

static void nests_512_deep_and_no_deeper(void **state) {
    (void)state;
    static const uint64_t patterns[] = {0, UINT64_MAX, 0x5555555555555555, 0xf0f0a5c3deadbeef};
    struct buf b = {0};
    struct json_value value = {0};
    struct json_fault fault = {NULL, 0};
    for (size_t i = 0; i < 4; i++) {
        nest(&b, JSON_DEPTH_MAX, patterns[i], "1");
        assert_true(scan_copy(buf_str(&b), &value, &fault));
        /* Closing any level with the other bracket is seen. */
        for (size_t at = b.n - JSON_DEPTH_MAX; at < b.n; at++) {
            b.p[at] ^= ']' ^ '}';
            assert_false(scan_copy(buf_str(&b), &value, &fault));
            assert_int_equal(fault.at, at);
            b.p[at] ^= ']' ^ '}';
        }
        nest(&b, JSON_DEPTH_MAX + 1, patterns[i], "1");
        assert_false(scan_copy(buf_str(&b), &value, &fault));
        assert_string_equal(fault.what, "nested too deep");
        nest(&b, 100000, patterns[i], "1");
        assert_false(scan_copy(buf_str(&b), &value, &fault));
    }
    /* An empty level counts too. */
    nest(&b, JSON_DEPTH_MAX - 1, 0, "{}");
    assert_true(scan_copy(buf_str(&b), &value, &fault));
    nest(&b, JSON_DEPTH_MAX, 0, "{}");
    assert_false(scan_copy(buf_str(&b), &value, &fault));
    assert_string_equal(fault.what, "nested too deep");
    buf_fini(&b);
}

static void refuses_a_text_cut_at_any_byte(void **state) {
    (void)state;
    struct str whole =
        STR("{\"id\":-12.5e+3,\"s\":\"a\\\"\\u00e9\\ud83d\\ude00\xc3\xa9\xe2\x82\xac"
            "\xf0\x9f\x98\x80 long enough for words\",\"l\":[true,false,null,[],{}]}");
    struct json_value value = {0};
    struct json_fault fault = {NULL, 0};
    assert_true(scan_copy(whole, &value, &fault));
    for (size_t n = 0; n < whole.n; n++)
        assert_false(scan_copy(str_slice(whole, 0, n), &value, &fault));
}

static void a_string_may_break_at_any_offset(void **state) {
    (void)state;
    static const char *const specials[] = {"\x01", "\xff", "\\q", "\n"};
    char text[40];
    struct json_value value = {0};
    struct json_fault fault = {NULL, 0};
    for (size_t i = 0; i < 4; i++)
        for (size_t at = 1; at < 30; at++) {
            memset(text, 'a', sizeof(text));
            text[0] = text[39] = '"';
            memcpy(text + at, specials[i], strlen(specials[i]));
            assert_false(scan_copy((struct str){text, sizeof(text)}, &value, &fault));
            assert_int_equal(fault.at, at);
        }
}

static void one_value_leaves_the_rest(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t taken, from;
        enum json_kind kind;
    } cases[] = {
        {"{\"id\":1}\n{\"id\":2}", 8, 0, JSON_KIND_OBJECT},
        {" \n[1] x", 5, 2, JSON_KIND_ARRAY},
        {"\"a\"\"b\"", 3, 0, JSON_KIND_STRING},
        {"nullx", 4, 0, JSON_KIND_NULL},
        {"01", 1, 0, JSON_KIND_NUMBER},
        {"1 ", 1, 0, JSON_KIND_NUMBER},
        {"true,", 4, 0, JSON_KIND_TRUE},
        {"false", 5, 0, JSON_KIND_FALSE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = {0};
        struct json_fault fault = {NULL, 0};
        assert_int_equal(json_scan(str_of(cases[i].text), &value, &fault), cases[i].taken);
        assert_ptr_equal(value.text.p, cases[i].text + cases[i].from);
        assert_int_equal(value.text.n, cases[i].taken - cases[i].from);
        assert_int_equal(value.kind, cases[i].kind);
    }
}

static void notes_escapes_and_newlines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool has_escape, has_newline;
    } cases[] = {
        {"\"a\"", false, false},      {"\"a\\n\"", true, false},
        {"[\"a\\n\"]", false, false}, {"\n[1]\n", false, false},
        {"[\n1]", false, true},       {"[1\r]", false, true},
        {"{\"a\":\n1}", false, true}, {"{\"a\"\n:1}", false, true},
        {"[ \t1]", false, false},     {"\r\n\"\\u0041\"", true, false},
        {"[[],\n1]", false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = {0};
        struct json_fault fault = {NULL, 0};
        assert_true(scan_copy(str_of(cases[i].text), &value, &fault));
        assert_int_equal(value.has_escape, cases[i].has_escape);
        assert_int_equal(value.has_newline, cases[i].has_newline);
    }
}

/* True when jansson takes the text; *differs where that says nothing about us, see above. */
static bool oracle_takes(struct str text, bool *differs) {
    json_error_t error;
    json_t *tree = json_loadb(text.n ? text.p : "", text.n,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    bool is_good = tree != NULL;
    json_decref(tree);
    enum json_error_code code = is_good ? json_error_unknown : json_error_code(&error);
    *differs = str_find(text, '\0') < text.n || code == json_error_numeric_overflow ||
               code == json_error_null_byte_in_key;
    return is_good;
}

static void agrees_with_jansson_on(struct str text, size_t *good_count) {
    struct json_value value = {0};
    struct json_fault fault = {"", 0};
    bool differs, is_good = scan_copy(text, &value, &fault);
    bool oracle_is_good = oracle_takes(text, &differs);
    if (!differs && is_good != oracle_is_good)
        fail_msg("we %s, jansson %s: %.*s (%s at %zu)", is_good ? "take" : "refuse",
                 oracle_is_good ? "takes" : "refuses", STR_ARG(text), fault.what, fault.at);
    assert_false(is_good && str_find(text, '\0') < text.n);
    *good_count += is_good;
}

static void agrees_with_jansson_on_random_texts(void **state) {
    (void)state;
    struct random r = {20240607};
    struct buf b = {0};
    size_t good_count = 0, count = 100000;
    for (size_t i = 0; i < count; i++) {
        buf_clear(&b);
        random_space(&r, &b);
        random_value(&r, &b, 1 + i % 5);
        random_space(&r, &b);
        for (uint32_t hits = random_below(&r, 4); hits > 0; hits--)
            random_damage(&r, &b);
        agrees_with_jansson_on(buf_str(&b), &good_count);
    }
    buf_fini(&b);
    /* Both answers were tried. */
    assert_in_range(good_count, count / 5, count * 4 / 5);
}

static void agrees_with_jansson_on_the_tables(void **state) {
    (void)state;
    size_t good_count = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        agrees_with_jansson_on((struct str){good[i].p, good[i].n}, &good_count);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        agrees_with_jansson_on((struct str){bad[i].p, bad[i].n}, &good_count);
    assert_int_equal(good_count, sizeof(good) / sizeof(good[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_good_text),
        cmocka_unit_test(refuses_every_bad_text_and_leaves_the_value_alone),
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(nests_512_deep_and_no_deeper),
        cmocka_unit_test(refuses_a_text_cut_at_any_byte),
        cmocka_unit_test(a_string_may_break_at_any_offset),
        cmocka_unit_test(one_value_leaves_the_rest),
        cmocka_unit_test(notes_escapes_and_newlines),
        cmocka_unit_test(agrees_with_jansson_on_the_tables),
        cmocka_unit_test(agrees_with_jansson_on_random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
