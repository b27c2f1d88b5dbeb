/* Fuzzes the JSON scanner and the functions that read what it found, with jansson as the oracle.
 *
 * The verdict must be jansson's (test_json_scan.c says where they legitimately differ). Of a valid
 * text every value is visited, decoded and compared with jansson's tree, and the line made of it
 * must say the same. Any bytes that are UTF-8 must survive json_add_string() and json_decode().
 *
 * Dictionary: json_scan.dict. Thread: main. Owns: nothing.
 */
#include "server/base/json_scan.c"

#include "server/base/mem.h"

#include <assert.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap block of exactly n bytes, so that ASan sees what is read behind them. */
static struct str copy_of(struct str s) {
    char *p = mem_alloc(s.n);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

/* NULL with *differs when jansson's verdict says nothing about us. */
static json_t *parse(struct str text, bool *differs) {
    json_error_t error;
    json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    enum json_error_code code = tree ? json_error_unknown : json_error_code(&error);
    *differs = !tree && (code == json_error_numeric_overflow ||
                         code == json_error_null_byte_in_key || code == json_error_stack_overflow);
    return tree;
}

static void compare(struct json_value value, json_t *tree);

/* A name that occurs twice has its last value in the tree, so members are compared only when all
 * names differ: then the counts agree. */
static void compare_list(struct json_value value, json_t *tree) {
    struct buf scratch = {0};
    struct json_value key, inner;
    size_t at = 0, count = 0;
    bool is_list = value.kind == JSON_KIND_ARRAY;
    while (json_each(value, &at, &key, &inner))
        count++;
    assert(is_list ? count == json_array_size(tree) : count >= json_object_size(tree));
    bool has_twins = !is_list && count > json_object_size(tree);
    at = count = 0;
    for (; json_each(value, &at, &key, &inner); count++) {
        json_t *element = is_list ? json_array_get(tree, count) : NULL;
        if (!is_list) {
            struct json_field field = {.name = copy_of(json_decode(key, &scratch))};
            struct json_fault fault;
            bool is_single = json_fields(value, &field, 1, &fault);
            assert(is_single ? field.value.text.p == inner.text.p : has_twins);
            element = json_object_getn(tree, field.name.p, field.name.n);
            mem_free((char *)(uintptr_t)field.name.p);
            if (has_twins)
                continue;
        }
        compare(inner, element);
    }
    buf_fini(&scratch);
}

static void compare(struct json_value value, json_t *tree) {
    struct buf scratch = {0};
    int64_t number;
    uint64_t natural;
    assert(tree);
    switch (value.kind) {
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        assert(value.kind == JSON_KIND_OBJECT ? json_is_object(tree) : json_is_array(tree));
        compare_list(value, tree);
        break;
    case JSON_KIND_STRING:
        assert(str_equal(json_decode(value, &scratch),
                         (struct str){json_string_value(tree), json_string_length(tree)}));
        break;
    case JSON_KIND_NUMBER:
        assert(json_i64(value, &number) == json_is_integer(tree));
        assert(!json_is_integer(tree) || number == json_integer_value(tree));
        if (json_u64(value, UINT64_MAX, &natural) && json_is_integer(tree))
            assert(natural == (uint64_t)json_integer_value(tree));
        break;
    default:
        assert(json_is_true(tree) == (value.kind == JSON_KIND_TRUE));
        assert(json_is_null(tree) == (value.kind == JSON_KIND_NULL));
        assert(json_is_false(tree) == (value.kind == JSON_KIND_FALSE));
    }
    buf_fini(&scratch);
}

/* The line has no newline, and says what the value says. */
static void check_line(struct json_value value, json_t *tree) {
    struct buf line = {0};
    struct json_value again;
    struct json_fault fault;
    bool differs;
    json_add_line(&line, value);
    assert(str_find(buf_str(&line), '\n') == line.n && str_find(buf_str(&line), '\r') == line.n);
    assert(json_scan_all(buf_str(&line), &again, &fault));
    assert(again.kind == value.kind && !again.has_newline);
    json_t *line_tree = parse(buf_str(&line), &differs);
    assert(json_equal(tree, line_tree));
    json_decref(line_tree);
    buf_fini(&line);
}

static void check_text(struct str text) {
    struct json_value value;
    struct json_fault fault = {NULL, 0};
    bool differs, has_zero = str_find(text, '\0') < text.n;
    bool is_good = json_scan_all(text, &value, &fault);
    json_t *tree = parse(text, &differs);
    assert(is_good || (fault.what && fault.at <= text.n));
    assert(!(is_good && has_zero));
    if (!differs && !has_zero && !(fault.what && strcmp(fault.what, "nested too deep") == 0))
        assert(is_good == (tree != NULL));
    if (is_good && tree) {
        compare(value, tree);
        check_line(value, tree);
    }
    json_decref(tree);
}

/* One value after another, as commands come in a frame. */
static void check_sequence(struct str text) {
    struct json_value value;
    struct json_fault fault;
    for (size_t n; (n = json_scan(text, &value, &fault)) > 0; text = str_slice(text, n, text.n)) {
        assert(n <= text.n && value.text.p >= text.p && value.text.n > 0);
        assert(value.text.p + value.text.n == text.p + n);
        assert(value.kind == json_kind_of(value.text.p[0]));
    }
    assert(fault.what && fault.at <= text.n);
}

static void check_round_trip(struct str text) {
    struct buf written = {0}, scratch = {0};
    struct json_value value;
    struct json_fault fault;
    json_add_string(&written, text);
    bool is_good = json_scan_all(buf_str(&written), &value, &fault);
    assert(is_good == str_is_utf8(text));
    if (is_good)
        assert(str_equal(json_decode(value, &scratch), text));
    buf_fini(&written);
    buf_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = copy_of((struct str){(const char *)data, size});
    check_text(text);
    check_sequence(text);
    check_round_trip(text);
    mem_free((char *)(uintptr_t)text.p);
    return 0;
}
