/* Request targets: decoded path and query.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/net/http_target.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buf out;

static void expect_path(const char *target, const char *path) {
    buf_clear(&out);
    bool is_good = http_target_path(str_of(target), &out);
    assert_int_equal(is_good, path != NULL);
    if (path)
        assert_true(str_equal(buf_str(&out), str_of(path)));
}

static void expect_query(const char *target, struct str query) {
    buf_clear(&out);
    assert_true(http_target_query(str_of(target), &out));
    assert_true(str_equal(buf_str(&out), query));
}

static void a_path_ends_at_the_question_mark_and_is_decoded(void **state) {
    (void)state;
    expect_path("/", "/");
    expect_path("/a/b?c=%41", "/a/b");
    expect_path("/%41%6a%2F%3f?x", "/Aj/?");
    expect_path("/a+b", "/a+b");
}

static void bad_escapes_and_nul_spoil_a_path(void **state) {
    (void)state;
    static const char *const targets[] = {"/%", "/%4", "/%4?1", "/%zz", "/%00", "/a%"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
        expect_path(targets[i], NULL);
}

static void pairs_of_a_query_end_with_nul(void **state) {
    (void)state;
    expect_query("/", STR(""));
    expect_query("/?", STR(""));
    expect_query("/?a=1", STR("a=1\0"));
    expect_query("/?a=1&&b=x+y&c", STR("a=1\0b=x y\0c\0"));
    expect_query("/?a=%26%3D&b=?", STR("a=&=\0b=?\0"));
    expect_query("/?a=%zz%4", STR("a=%zz%4\0"));
}

static void nul_spoils_a_query(void **state) {
    (void)state;
    buf_clear(&out);
    assert_false(http_target_query(STR("/?a=1&b=%00c"), &out));
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_ends_at_the_question_mark_and_is_decoded),
        cmocka_unit_test(bad_escapes_and_nul_spoil_a_path),
        cmocka_unit_test(pairs_of_a_query_end_with_nul),
        cmocka_unit_test(nul_spoils_a_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
