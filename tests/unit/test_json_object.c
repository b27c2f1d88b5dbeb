/* Objects in tokens: one JSON object, no name twice, not too many.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/json_object.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

static bool reads(struct str text, size_t members_max) {
    static const struct json_value untouched = {.kind = JSON_KIND_NUMBER};
    struct json_value out = untouched;
    bool is_good = json_object_read(text, members_max, &out);
    assert_int_equal(out.kind, is_good ? JSON_KIND_OBJECT : JSON_KIND_NUMBER);
    return is_good;
}

static void the_same_texts_as_for_jansson_are_objects(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}",
        " { } ",
        "{\"a\":1}",
        "{\"a\":1,\"b\":1}",
        "{\"a\":{\"a\":1}}",
        "{\"\":1,\"a\":2}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"\":1,\"\":1}",
        "{\"a\":1,\"\\u0061\":1}",
        "{\"\\u0061\":1,\"a\":1}",
        "{\"\\u0061\":1,\"\\u0061\":1}",
        "{\"\\u00e9\":1,\"\xc3\xa9\":1}",
        "{\"\\/\":1,\"/\":1}",
        "{\"\\u0061\":1,\"\\u0062\":1}",
        "{\"\\u0061\\u0062\":1,\"\\u0062\":1,\"\\u0061\":1,\"b\\u0061\":1,\"\\u0061b\":2}",
        "{\"a\":1,\"A\":1}",
        "{\"a\":1,\"a \":1}",
        "",
        "[]",
        "1",
        "null",
        "\"{}\"",
        "{",
        "{}}",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:1}",
        "{\"a\":1 \"b\":1}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *oracle = json_loads(texts[i], JSON_REJECT_DUPLICATES, NULL);
        bool is_object = json_is_object(oracle);
        json_decref(oracle);
        if (reads(str_of(texts[i]), 256) != is_object)
            fail_msg("jansson says %d: %s", is_object, texts[i]);
    }
}

static void large_numbers_zeros_and_repeats_inside_of_values_are_fine(void **state) {
    (void)state;
    assert_true(reads(STR("{\"a\":1e400,\"b\":123456789012345678901234567890}"), 2));
    assert_true(reads(STR("{\"a\":{\"x\":1,\"x\":2}}"), 1));
    assert_true(reads(STR("{\"a\":\"\\u0000\"}"), 1));
    assert_true(reads(STR("{\"a\\u0000\":1,\"a\":2}"), 2));
    assert_false(reads(STR("{\"a\\u0000\":1,\"a\\u0000\":2}"), 2));
}

static void members_are_counted(void **state) {
    (void)state;
    struct buf text = {0};
    for (size_t count = 0; count <= 257; count++) {
        buf_clear(&text);
        buf_add_char(&text, '{');
        for (size_t i = 0; i < count; i++)
            buf_printf(&text, "%s\"%s%zu\":%zu", i ? "," : "", i % 2 ? "" : "\\u0061", i, i);
        buf_add_char(&text, '}');
        assert_int_equal(reads(buf_str(&text), 256), count <= 256);
        assert_int_equal(reads(buf_str(&text), 3), count <= 3);
    }
    assert_true(reads(STR("{}"), 0));
    assert_false(reads(STR("{\"a\":1}"), 0));
    buf_fini(&text);
}

static void every_pair_of_many_names_is_compared(void **state) {
    (void)state;
    struct buf text = {0};
    for (size_t first = 0; first < 40; first++) {
        for (size_t second = first + 1; second < 40; second++) {
            buf_clear(&text);
            for (size_t i = 0; i < 40; i++)
                buf_printf(&text, "%c\"%s%zu\":1", i ? ',' : '{', i % 3 ? "n" : "\\u006e",
                           i == second ? first : i);
            buf_add_char(&text, '}');
            assert_false(reads(buf_str(&text), 256));
        }
    }
    buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_texts_as_for_jansson_are_objects),
        cmocka_unit_test(large_numbers_zeros_and_repeats_inside_of_values_are_fine),
        cmocka_unit_test(members_are_counted),
        cmocka_unit_test(every_pair_of_many_names_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
