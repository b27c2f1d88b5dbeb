/* Numbers and texts in bytes: what goes in comes out, and nothing is read behind the end.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/pack.c"

#include "server/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_goes_in_comes_out(void **state) {
    (void)state;
    struct buf b = {0};
    pack_u8(&b, 0xfe);
    pack_u16(&b, 0xfedc);
    pack_u32(&b, 0xfedcba98);
    pack_u64(&b, UINT64_MAX - 1);
    pack_str(&b, STR("a text"));
    pack_str(&b, STR_NONE);
    struct unpack u = {.rest = buf_str(&b)};
    assert_int_equal(unpack_u8(&u), 0xfe);
    assert_int_equal(unpack_u16(&u), 0xfedc);
    assert_int_equal(unpack_u32(&u), 0xfedcba98);
    assert_true(unpack_u64(&u) == UINT64_MAX - 1);
    assert_true(str_equal(unpack_str(&u, 6), STR("a text")));
    assert_false(unpack_is_over(&u));
    assert_int_equal(unpack_str(&u, 0).n, 0);
    assert_true(unpack_is_over(&u));
    buf_fini(&b);
}

static void numbers_are_little_endian(void **state) {
    (void)state;
    struct buf b = {0};
    pack_u32(&b, 0x04030201);
    assert_memory_equal(b.p, "\1\2\3\4", 4);
    buf_fini(&b);
}

/* Each in a heap block of its own, so that reading behind it is noticed. */
static void what_is_cut_off_is_a_fault_that_stays(void **state) {
    (void)state;
    struct buf b = {0};
    pack_u64(&b, 7);
    pack_str(&b, STR("text"));
    for (size_t n = 0; n < b.n; n++) {
        char *copy = mem_alloc(n);
        if (n)
            memcpy(copy, b.p, n);
        struct unpack u = {.rest = {copy, n}};
        assert_int_equal(unpack_u64(&u), n < 8 ? 0 : 7);
        assert_int_equal(unpack_str(&u, 4).n, 0);
        assert_true(u.is_bad);
        assert_int_equal(unpack_u8(&u), 0);
        assert_false(unpack_is_over(&u));
        mem_free(copy);
    }
    buf_fini(&b);
}

static void a_text_that_is_too_long_is_a_fault(void **state) {
    (void)state;
    struct buf b = {0};
    pack_str(&b, STR("12345"));
    struct unpack u = {.rest = buf_str(&b)};
    assert_int_equal(unpack_str(&u, 4).n, 0);
    assert_true(u.is_bad);
    struct unpack huge = {.rest = STR("\xff\xff\xff\xff text")};
    unpack_str(&huge, SIZE_MAX);
    assert_true(huge.is_bad);
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(what_is_cut_off_is_a_fault_that_stays),
        cmocka_unit_test(a_text_that_is_too_long_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
