/* The byte buffer: what is added comes out, in order, however it grows.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/buf.c"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_holds(const struct buf *b, const char *want) {
    assert_int_equal(b->n, strlen(want));
    assert_memory_equal(b->p, want, b->n);
}

static void a_zeroed_buffer_is_empty_and_allocates_nothing(void **state) {
    (void)state;
    struct buf b = {0};
    buf_clear(&b);
    buf_consume(&b, 0);
    buf_add(&b, STR_NONE);
    buf_add_z(&b, "");
    buf_add_z(&b, NULL);
    assert_null(b.p);
    assert_int_equal(buf_str(&b).n, 0);
    buf_fini(&b);
    buf_fini(&b);
}

static void pieces_are_joined(void **state) {
    (void)state;
    struct buf b = {0};
    buf_add(&b, STR("ab"));
    buf_add_z(&b, "cd");
    buf_add_char(&b, 'e');
    buf_add_u64(&b, 0);
    buf_add_u64(&b, UINT64_MAX);
    buf_printf(&b, "<%s %d>", "x", -5);
    assert_holds(&b, "abcde018446744073709551615<x -5>");
    buf_add(&b, STR("\0"));
    assert_int_equal(b.p[b.n - 1], 0);
    buf_fini(&b);
    assert_null(b.p);
    assert_int_equal(b.cap, 0);
}

static void grows_and_keeps_what_it_has(void **state) {
    (void)state;
    struct buf b = {0};
    size_t growths = 0, cap = 0;
    for (size_t i = 0; i < 100000; i++) {
        buf_add_char(&b, (char)('a' + i % 26));
        growths += b.cap != cap;
        cap = b.cap;
    }
    /* Doubling: a reallocation per byte would be a quadratic cost. */
    assert_in_range(growths, 2, 20);
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    buf_fini(&b);
}

static void clearing_keeps_the_memory(void **state) {
    (void)state;
    struct buf b = {0};
    buf_add_z(&b, "something");
    const char *p = b.p;
    buf_clear(&b);
    buf_add_z(&b, "else");
    assert_ptr_equal(b.p, p);
    assert_holds(&b, "else");
    buf_fini(&b);
}

static void reserved_room_is_written_in_place(void **state) {
    (void)state;
    struct buf b = {0};
    buf_add_z(&b, "ab");
    memset(buf_reserve(&b, 1000), 'x', 1000);
    assert_int_equal(b.n, 2);
    assert_true(b.cap - b.n >= 1000);
    b.n += 1;
    assert_holds(&b, "abx");
    assert_non_null(buf_reserve(&b, 0));
    buf_fini(&b);
}

static void printing_needs_no_room_beforehand(void **state) {
    (void)state;
    struct buf b = {0};
    char text[3000];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t n = 0; n < 200; n++) {
        buf_fini(&b);
        buf_printf(&b, "%.*s", (int)n, text);
        assert_int_equal(b.n, n);
        assert_memory_equal(b.p, text, n);
    }
    buf_printf(&b, "%s", text);
    assert_int_equal(b.n, 199 + sizeof(text) - 1);
    buf_fini(&b);
}

static void consuming_drops_from_the_front(void **state) {
    (void)state;
    struct buf b = {0};
    buf_add_z(&b, "abcdef");
    buf_consume(&b, 2);
    assert_holds(&b, "cdef");
    buf_add_z(&b, "g");
    buf_consume(&b, 4);
    assert_holds(&b, "g");
    buf_consume(&b, 1);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_allocates_nothing),
        cmocka_unit_test(pieces_are_joined),
        cmocka_unit_test(grows_and_keeps_what_it_has),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(reserved_room_is_written_in_place),
        cmocka_unit_test(printing_needs_no_room_beforehand),
        cmocka_unit_test(consuming_drops_from_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
