/* Ids of Server-Sent Events: what is written is found again, and nothing else is.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/protocol/sse_id.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct position position_at(uint64_t offset) {
    struct position p = {.offset = offset};
    memcpy(p.epoch, "abcdEFGH", EPOCH_BYTES);
    return p;
}

/* Gives an id with so many channels. */
static struct buf make(size_t count, size_t *fitted) {
    struct buf b = {0};
    char name[32];
    buf_add_z(&b, "id: ");
    for (*fitted = 0; *fitted < count; ++*fitted) {
        struct position p = position_at(*fitted);
        snprintf(name, sizeof(name), "channel-%zu", *fitted);
        if (!sse_id_add(&b, 4, str_of(name), &p))
            break;
    }
    return b;
}

static struct str id_of(const struct buf *b) {
    return (struct str){b->p + 4, b->n - 4};
}

static void what_is_written_is_found(void **state) {
    (void)state;
    const uint64_t offsets[] = {0, 1, 12345, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct buf b = {0};
        struct position p = position_at(offsets[i]), found = {0};
        assert_true(sse_id_add(&b, 0, STR("other"), &p));
        assert_true(sse_id_add(&b, 0, STR("a channel: é"), &p));
        assert_true(sse_id_find(buf_str(&b), STR("a channel: é"), &found));
        assert_true(found.offset == offsets[i] && position_is_same_epoch(&found, &p));
        assert_false(sse_id_find(buf_str(&b), STR("nobody"), &found));
        buf_fini(&b);
    }
}

/* It stands in headers that clients keep: it may not change with a version. */
static void the_form_is_fixed(void **state) {
    (void)state;
    struct buf b = {0};
    struct position p = position_at(42);
    assert_true(sse_id_add(&b, 0, STR("news"), &p));
    assert_true(sse_id_add(&b, 0, STR("alerts"), &p));
    buf_add_char(&b, '\0');
    assert_string_equal(b.p, "870fdaabcdEFGH42.d71858abcdEFGH42");
    buf_fini(&b);
}

static void only_what_cors_calls_safe(void **state) {
    (void)state;
    size_t fitted;
    struct buf b = make(1000, &fitted);
    assert_in_range(fitted, 40, 100);
    assert_true(b.n - 4 <= SSE_ID_MAX_BYTES);
    for (size_t i = 4; i < b.n; i++)
        assert_non_null(
            strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.", b.p[i]));
    for (size_t i = 0; i < fitted; i++) {
        char name[32];
        struct position p;
        snprintf(name, sizeof(name), "channel-%zu", i);
        assert_true(sse_id_find(id_of(&b), str_of(name), &p) && p.offset == i);
    }
    buf_fini(&b);
}

static void what_is_broken_is_not_found(void **state) {
    (void)state;
    struct buf b = {0};
    struct position p = position_at(42), found = position_at(7);
    assert_true(sse_id_add(&b, 0, STR("news"), &p));
    for (size_t n = 0; n < 6 + EPOCH_BYTES + 1; n++)
        assert_false(sse_id_find((struct str){b.p, n}, STR("news"), &found));
    for (size_t i = 0; i < b.n; i++) {
        char whole = b.p[i];
        b.p[i] = '\n';
        assert_false(sse_id_find(buf_str(&b), STR("news"), &found));
        b.p[i] = whole;
    }
    buf_add_z(&b, "99999999999999999999");
    assert_false(sse_id_find(buf_str(&b), STR("news"), &found));
    assert_true(found.offset == 7);
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_found),
        cmocka_unit_test(the_form_is_fixed),
        cmocka_unit_test(only_what_cors_calls_safe),
        cmocka_unit_test(what_is_broken_is_not_found),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
