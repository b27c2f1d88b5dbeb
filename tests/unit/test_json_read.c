/* Reading scanned JSON: members, elements, strings, numbers; and writing strings and lines.
 *
 * jansson is the oracle here too: of random valid texts, each value that we slice out must be what
 * jansson has in its tree.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/json_read.c"

#include "server/base/mem.h"
#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

/* Scans a text that must be valid. */
static struct json_value scan(struct str text) {
    struct json_value value = {0};
    struct json_fault fault = {NULL, 0};
    if (!json_scan_all(text, &value, &fault))
        fail_msg("%.*s: %s at %zu", STR_ARG(text), fault.what, fault.at);
    return value;
}

static void assert_str(struct str got, const char *want) {
    if (!str_equal(got, str_of(want)))
        fail_msg("got %.*s, not %s", STR_ARG(got), want);
}

static void fields_are_found_in_any_order(void **state) {
    (void)state;
    struct str text = STR(" { \"data\" : {\"id\":9,\"a\":[1,\"]}\"]} ,\n \"x\":[{}], \"id\":7,"
                          "\"channel\":\"a\\\"b\", \"n\":null } ");
    struct json_field fields[] = {
        {.name = STR("id")}, {.name = STR("channel")}, {.name = STR("data")},
        {.name = STR("n")},  {.name = STR("missing")}, {.name = STR("i")},
    };
    struct json_fault fault = {NULL, 0};
    assert_true(json_fields(scan(text), fields, 6, &fault));
    assert_str(fields[0].value.text, "7");
    assert_int_equal(fields[0].value.kind, JSON_KIND_NUMBER);
    assert_str(fields[1].value.text, "\"a\\\"b\"");
    assert_true(fields[1].value.has_escape);
    assert_str(fields[2].value.text, "{\"id\":9,\"a\":[1,\"]}\"]}");
    assert_int_equal(fields[2].value.kind, JSON_KIND_OBJECT);
    assert_false(fields[2].value.has_newline);
    assert_int_equal(fields[3].value.kind, JSON_KIND_NULL);
    assert_int_equal(fields[4].value.kind, JSON_KIND_MISSING);
    assert_int_equal(fields[5].value.kind, JSON_KIND_MISSING);
    /* Not a copy: the very bytes. */
    assert_ptr_equal(fields[2].value.text.p, memmem(text.p, text.n, "{\"id\"", 5));
}

static void a_field_that_occurs_twice_is_refused(void **state) {
    (void)state;
    struct str texts[] = {STR(" {\"id\":1,\"id\":1}"), STR(" {\"id\":1,\"\\u0069d\":null}"),
                          STR(" {\"id\":1,\"\\u0069\\u0064\":1}")};
    for (size_t i = 0; i < 3; i++) {
        struct json_field field = {.name = STR("id")};
        struct json_fault fault = {NULL, 0};
        assert_false(json_fields(scan(texts[i]), &field, 1, &fault));
        assert_string_equal(fault.what, "member occurs twice");
        /* Where the object begins is 0. */
        assert_int_equal(fault.at, 8);
    }
}

static void what_nobody_asked_for_may_repeat(void **state) {
    (void)state;
    struct json_field field = {.name = STR("id")};
    struct json_fault fault = {NULL, 0};
    assert_true(json_fields(scan(STR("{\"x\":1,\"id\":2,\"x\":3}")), &field, 1, &fault));
    assert_str(field.value.text, "2");
    /* Old answers do not stay. */
    assert_true(json_fields(scan(STR("{ }")), &field, 1, &fault));
    assert_int_equal(field.value.kind, JSON_KIND_MISSING);
    assert_true(json_fields(scan(STR("{\"a\":1}")), NULL, 0, &fault));
}

static void an_escaped_name_is_found(void **state) {
    (void)state;
    struct json_field fields[] = {{.name = STR("caf\xc3\xa9")}, {.name = STR("")}};
    struct json_fault fault = {NULL, 0};
    assert_true(json_fields(scan(STR("{\"caf\\u00e9\":1,\"\":2}")), fields, 2, &fault));
    assert_str(fields[0].value.text, "1");
    assert_str(fields[1].value.text, "2");
}

static void each_visits_elements_and_members(void **state) {
    (void)state;
    struct json_value list =
        scan(STR(" [ 1 ,\"a,]\",[2,[3]],{\"k\":[]} , null,\n-0.5e1,true,[],{}]"));
    static const char *const want[] = {
        "1", "\"a,]\"", "[2,[3]]", "{\"k\":[]}", "null", "-0.5e1", "true", "[]", "{}",
    };
    struct json_value key = {.text = {"mark", 4}}, value = {0};
    size_t at = 0, count = 0;
    while (json_each(list, &at, NULL, &value))
        assert_str(value.text, want[count++]);
    assert_int_equal(count, 9);
    assert_false(json_each(list, &at, &key, &value));
    assert_str(key.text, "mark");

    struct json_value object = scan(STR("{ \"a\" : 1 , \"b\\n\":{} ,\"\":\"c\"\n}"));
    static const char *const pairs[] = {"\"a\"", "1", "\"b\\n\"", "{}", "\"\"", "\"c\""};
    at = 0;
    for (size_t i = 0; i < 6; i += 2) {
        assert_true(json_each(object, &at, &key, &value));
        assert_str(key.text, pairs[i]);
        assert_str(value.text, pairs[i + 1]);
    }
    assert_false(json_each(object, &at, &key, &value));
}

static void each_of_nothing_ends_at_once(void **state) {
    (void)state;
    static const char *const texts[] = {"[]", "{}", "[ ]", "{\r\n}", " [] "};
    for (size_t i = 0; i < 5; i++) {
        struct json_value key, value;
        size_t at = 0;
        struct json_value container = scan(str_of(texts[i]));
        assert_false(json_each(container, &at, &key, &value));
        assert_false(json_each(container, &at, &key, &value));
    }
}

static void newlines_are_noted_for_the_value_that_has_them(void **state) {
    (void)state;
    struct json_value value, list = scan(STR("[[1],\n[\n2],\"\\n\",[\"\\n\",\r3]]"));
    static const bool want[] = {false, true, false, true};
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_true(json_each(list, &at, NULL, &value));
        assert_int_equal(value.has_newline, want[i]);
    }
}

static void strings_are_decoded(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"\\ud83d\\ude00\\uD800\\uDC00\\uDBFF\\uDFFF\"",
         "\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"a\\u00E9b\xc3\xa9\\\\u0041\"", "a\xc3\xa9"
                                           "b\xc3\xa9\\u0041"},
    };
    struct buf scratch = {0};
    buf_add_z(&scratch, "old");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_str(json_decode(scan(str_of(cases[i][0])), &scratch), cases[i][1]);
    struct str zero = json_decode(scan(STR("\"a\\u0000b\"")), &scratch);
    assert_int_equal(zero.n, 3);
    assert_memory_equal(zero.p, "a\0b", 3);
    buf_fini(&scratch);
}

static void a_plain_string_is_borrowed(void **state) {
    (void)state;
    struct str text = STR("\"plain\"");
    struct buf scratch = {0};
    assert_ptr_equal(json_decode(scan(text), &scratch).p, text.p + 1);
    assert_null(scratch.p);
}

static void u64_takes_plain_integers_up_to_max(void **state) {
    (void)state;
    static const char *const bad[] = {"-1",
                                      "-0",
                                      "1.0",
                                      "1e2",
                                      "18446744073709551616",
                                      "\"1\"",
                                      "null",
                                      "[1]",
                                      "99999999999999999999999"};
    uint64_t v = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(json_u64(scan(str_of(bad[i])), UINT64_MAX, &v));
    assert_false(json_u64((struct json_value){0}, UINT64_MAX, &v));
    assert_false(json_u64(scan(STR("101")), 100, &v));
    assert_int_equal(v, 42);
    assert_true(json_u64(scan(STR("100")), 100, &v) && v == 100);
    assert_true(json_u64(scan(STR("0")), 0, &v) && v == 0);
    assert_true(json_u64(scan(STR("18446744073709551615")), UINT64_MAX, &v) && v == UINT64_MAX);
}

static void i64_takes_a_minus(void **state) {
    (void)state;
    static const char *const bad[] = {
        "9223372036854775808", "-9223372036854775809", "1.5", "1e1", "\"-1\"", "true"};
    int64_t v = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(json_i64(scan(str_of(bad[i])), &v));
    assert_false(json_i64((struct json_value){0}, &v));
    assert_int_equal(v, 42);
    assert_true(json_i64(scan(STR("-12")), &v) && v == -12);
    assert_true(json_i64(scan(STR("-0")), &v) && v == 0);
    assert_true(json_i64(scan(STR("9223372036854775807")), &v) && v == INT64_MAX);
    assert_true(json_i64(scan(STR("-9223372036854775808")), &v) && v == INT64_MIN);
}

static void a_string_is_written_with_the_escapes_it_needs(void **state) {
    (void)state;
    struct buf b = {0};
    json_add_string(&b, STR("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\xe2\x80\xa8"));
    assert_str(buf_str(&b),
               "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\xe2\x80\xa8\"");
    buf_clear(&b);
    json_add_string(&b, (struct str){"\0", 1});
    json_add_string(&b, STR_NONE);
    assert_str(buf_str(&b), "\"\\u0000\"\"\"");
    buf_fini(&b);
}

static void every_string_comes_back(void **state) {
    (void)state;
    struct buf written = {0}, scratch = {0};
    char bytes[40];
    for (size_t n = 0; n < sizeof(bytes); n++)
        for (unsigned c = 0; c < 0x80; c++) {
            memset(bytes, 'x', n);
            if (n)
                bytes[c % n] = (char)c;
            buf_clear(&written);
            json_add_string(&written, (struct str){bytes, n});
            struct str back = json_decode(scan(buf_str(&written)), &scratch);
            assert_true(str_equal(back, (struct str){bytes, n}));
        }
    buf_fini(&written);
    buf_fini(&scratch);
}

static void a_line_has_no_newline_and_the_same_rest(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\r\n  \"a\": [1,\n\n 2],\r\"b\":\"\\r\\n\"\n}", "{  \"a\": [1, 2],\"b\":\"\\r\\n\"}"},
        {"[ 1,\t2 ]", "[ 1,\t2 ]"},
        {"\n\"x\"\n", "\"x\""},
        {"[\n]", "[]"},
    };
    struct buf b = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&b);
        json_add_line(&b, scan(str_of(cases[i][0])));
        assert_str(buf_str(&b), cases[i][1]);
    }
    buf_fini(&b);
}

static void assert_same(struct json_value value, const json_t *tree);

static void assert_same_list(struct json_value value, const json_t *tree) {
    struct buf scratch = {0};
    struct json_value key = {0}, inner = {0};
    size_t at = 0, count = 0;
    for (; json_each(value, &at, &key, &inner); count++) {
        if (value.kind == JSON_KIND_ARRAY) {
            assert_same(inner, json_array_get(tree, count));
            continue;
        }
        /* By name, from both sides: json_fields must find what json_each shows. */
        struct str name = json_decode(key, &scratch);
        struct json_field field = {.name = name};
        struct json_fault fault = {NULL, 0};
        assert_true(json_fields(value, &field, 1, &fault));
        assert_ptr_equal(field.value.text.p, inner.text.p);
        assert_same(inner, json_object_getn(tree, name.p, name.n));
    }
    assert_int_equal(count, value.kind == JSON_KIND_ARRAY ? json_array_size(tree)
                                                          : json_object_size(tree));
    buf_fini(&scratch);
}

static void assert_same(struct json_value value, const json_t *tree) {
    struct buf scratch = {0};
    struct json_value again = scan(value.text);
    assert_ptr_equal(again.text.p, value.text.p);
    assert_int_equal(again.text.n, value.text.n);
    assert_int_equal(again.kind, value.kind);
    assert_int_equal(again.has_escape, value.has_escape);
    assert_int_equal(again.has_newline, value.has_newline);
    assert_non_null(tree);
    if (value.kind >= JSON_KIND_ARRAY) {
        assert_same_list(value, tree);
    } else if (value.kind == JSON_KIND_STRING) {
        struct str text = json_decode(value, &scratch);
        assert_true(
            str_equal(text, (struct str){json_string_value(tree), json_string_length(tree)}));
    } else if (value.kind == JSON_KIND_NUMBER) {
        int64_t number = 0;
        assert_int_equal(json_i64(value, &number), json_is_integer(tree));
        if (json_is_integer(tree))
            assert_int_equal(number, json_integer_value(tree));
    } else {
        assert_true(json_is_null(tree) == (value.kind == JSON_KIND_NULL));
        assert_true(json_is_true(tree) == (value.kind == JSON_KIND_TRUE));
    }
    buf_fini(&scratch);
}

static void slices_what_jansson_parses(void **state) {
    (void)state;
    struct random r = {77};
    struct buf text = {0}, line = {0};
    for (size_t i = 0; i < 5000; i++) {
        buf_clear(&text);
        random_value(&r, &text, 1 + i % 5);
        struct json_value value = scan(buf_str(&text));
        json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_same(value, tree);
        /* Dropping newlines changes nothing that is said. */
        buf_clear(&line);
        json_add_line(&line, value);
        json_t *line_tree = json_loadb(line.p, line.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_true(json_equal(tree, line_tree));
        assert_false(has_newline(buf_str(&line)));
        json_decref(line_tree);
        json_decref(tree);
    }
    buf_fini(&text);
    buf_fini(&line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_in_any_order),
        cmocka_unit_test(a_field_that_occurs_twice_is_refused),
        cmocka_unit_test(what_nobody_asked_for_may_repeat),
        cmocka_unit_test(an_escaped_name_is_found),
        cmocka_unit_test(each_visits_elements_and_members),
        cmocka_unit_test(each_of_nothing_ends_at_once),
        cmocka_unit_test(newlines_are_noted_for_the_value_that_has_them),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(a_plain_string_is_borrowed),
        cmocka_unit_test(u64_takes_plain_integers_up_to_max),
        cmocka_unit_test(i64_takes_a_minus),
        cmocka_unit_test(a_string_is_written_with_the_escapes_it_needs),
        cmocka_unit_test(every_string_comes_back),
        cmocka_unit_test(a_line_has_no_newline_and_the_same_rest),
        cmocka_unit_test(slices_what_jansson_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
