/* Revocations: which tokens are refused, until when, and how many are remembered.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/revocations.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { NOW = 1000000 };

static struct revocations *r;

static int setup(void **state) {
    (void)state;
    r = revocations_create();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    revocations_destroy(r);
    return 0;
}

static bool add(enum revocation_kind kind, const char *id, int64_t issued_before_s,
                int64_t expires_at_s) {
    return revocations_add(r, &(struct revocation){kind, str_of(id), issued_before_s, expires_at_s},
                           NOW);
}

static bool is_refused(const char *user, const char *id, int64_t issued_at_s, int64_t now_s) {
    return revocations_refuse(r, &(struct token_identity){str_of(user), str_of(id), issued_at_s},
                              now_s);
}

static void tokens_are_refused_by_id_or_by_user_and_time(void **state) {
    static const struct {
        const char *user, *id;
        int64_t issued_at_s;
        bool is_refused;
    } rows[] = {
        {"a", "jti", 500, true},   {"", "jti", 0, true},  {"a", "jtI", 500, false},
        {"a", "jti2", 500, false}, {"a", "", 0, false},   {"u", "", 499, true},
        {"u", "", 500, false},     {"u", "", 501, false}, {"u", "", 0, true},
        {"u", "jti", 501, true},   {"u2", "", 0, false},  {"U", "", 0, false},
        {"jti", "u", 0, false},    {"", "", 0, false},
    };
    (void)state;
    assert_false(is_refused("u", "jti", 0, NOW));
    assert_true(add(REVOKED_TOKEN, "jti", 0, NOW + 10));
    assert_true(add(REVOKED_USER, "u", 500, NOW + 10));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(is_refused(rows[i].user, rows[i].id, rows[i].issued_at_s, NOW),
                         rows[i].is_refused);
    assert_false(revocations_refuse(NULL, &(struct token_identity){STR("u"), STR("jti"), 0}, NOW));
}

static void they_only_ever_add(void **state) {
    (void)state;
    assert_true(add(REVOKED_USER, "u", 500, NOW + 10));
    assert_true(add(REVOKED_USER, "u", 400, NOW + 20));
    assert_true(is_refused("u", "", 450, NOW + 19));
    assert_true(add(REVOKED_USER, "u", 600, NOW + 5));
    assert_true(is_refused("u", "", 599, NOW + 19));
    assert_int_equal(revocations_count(r), 1);
}

static void they_end(void **state) {
    (void)state;
    assert_true(add(REVOKED_TOKEN, "jti", 0, NOW + 10));
    assert_true(is_refused("u", "jti", 0, NOW + 9));
    assert_false(is_refused("u", "jti", 0, NOW + 10));
    assert_true(add(REVOKED_TOKEN, "over", 0, NOW));
    assert_int_equal(revocations_count(r), 1);
}

static void when_there_are_too_many_new_ones_are_refused_until_old_ones_end(void **state) {
    char id[16];
    (void)state;
    for (int i = 0; i < REVOCATIONS_MAX; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_true(add(i % 2 ? REVOKED_TOKEN : REVOKED_USER, id, 1, NOW + 10 + i));
    }
    assert_false(add(REVOKED_TOKEN, "more", 0, NOW + 100));
    assert_true(add(REVOKED_TOKEN, "1", 0, NOW + 200)); /* it is there already */
    assert_true(is_refused("0", "", 0, NOW));
    assert_true(revocations_add(r, &(struct revocation){REVOKED_TOKEN, STR("more"), 0, NOW + 100},
                                NOW + 10));
    assert_true(is_refused("", "more", 0, NOW + 50));
    assert_int_equal(revocations_count(r), REVOCATIONS_MAX);
}

static void bytes_are_read_as_they_were_written(void **state) {
    struct buf b = {0};
    struct revocation v = {REVOKED_USER, STR("alice"), 12345, 1}, read;
    (void)state;
    revocation_pack(&v, &b);
    assert_true(revocation_unpack(buf_str(&b), &read));
    assert_int_equal(read.kind, REVOKED_USER);
    assert_int_equal(read.issued_before_s, 12345);
    assert_true(str_equal(read.id, STR("alice")));
    for (size_t n = 0; n < b.n; n++)
        assert_false(revocation_unpack((struct str){b.p, n}, &read));
    buf_add_char(&b, 'x');
    assert_false(revocation_unpack(buf_str(&b), &read));
    b.n--;
    b.p[0] = 3;
    assert_false(revocation_unpack(buf_str(&b), &read));
    b.p[0] = REVOKED_TOKEN;
    b.p[8] = (char)0x80; /* a time that is no int64_t */
    assert_false(revocation_unpack(buf_str(&b), &read));
    buf_fini(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tokens_are_refused_by_id_or_by_user_and_time),
        TEST(they_only_ever_add),
        TEST(they_end),
        TEST(when_there_are_too_many_new_ones_are_refused_until_old_ones_end),
        TEST(bytes_are_read_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
