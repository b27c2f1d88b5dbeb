/* The envelope of what nodes tell each other: what goes in comes out, and everything else is
 * garbage.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/cluster_envelope.c"

#include "server/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct cluster_envelope question = {
    .kind = CLUSTER_ASKS, .op = 3, .id = 77, .from = STR("node-1_A"), .body = STR("b\0dy")};

static bool is_same(const struct cluster_envelope *a, const struct cluster_envelope *b) {
    return a->kind == b->kind && a->op == b->op && a->status == b->status && a->id == b->id &&
           str_equal(a->from, b->from) && str_equal(a->body, b->body);
}

static bool survives(const struct cluster_envelope *in) {
    struct buf b = {0};
    struct cluster_envelope out;
    bool is_good = cluster_envelope_add(&b, in) && cluster_envelope_read(buf_str(&b), &out) &&
                   is_same(in, &out);
    buf_fini(&b);
    return is_good;
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    char long_uid[CLUSTER_UID_MAX];
    memset(long_uid, 'u', sizeof(long_uid));
    struct cluster_envelope e = question;
    assert_true(survives(&e));
    e.kind = CLUSTER_ANSWERS;
    e.status = 255;
    e.op = 255;
    e.id = UINT64_MAX;
    e.from = (struct str){long_uid, sizeof(long_uid)};
    assert_true(survives(&e));
    assert_true(survives(&(struct cluster_envelope){.kind = CLUSTER_TELLS, .from = STR("n")}));
}

static void a_body_that_is_too_large_is_not_sent(void **state) {
    (void)state;
    struct cluster_envelope e = question;
    struct buf b = {0};
    char *body = mem_zalloc(CLUSTER_BODY_MAX + 1);
    e.body = (struct str){body, CLUSTER_BODY_MAX};
    assert_true(survives(&e));
    e.body.n++;
    assert_false(cluster_envelope_add(&b, &e));
    assert_int_equal(b.n, 0);
    mem_free(body);
}

static bool is_garbage(struct str bytes) {
    char *copy = mem_alloc(bytes.n); /* so that reading behind it is noticed */
    struct cluster_envelope out = question;
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    bool is_read = cluster_envelope_read((struct str){copy, bytes.n}, &out);
    assert_true(is_read || is_same(&out, &question)); /* untouched */
    mem_free(copy);
    return !is_read;
}

static void what_is_cut_off_or_longer_is_garbage(void **state) {
    (void)state;
    struct buf b = {0};
    cluster_envelope_add(&b, &question);
    for (size_t n = 0; n < b.n; n++)
        assert_true(is_garbage(str_slice(buf_str(&b), 0, n)));
    assert_false(is_garbage(buf_str(&b)));
    buf_add_char(&b, 'x');
    assert_true(is_garbage(buf_str(&b)));
    buf_fini(&b);
}

/* Any flipped bit in magic, status, zero and lengths; others are read as what they say. */
static void what_is_flipped_is_garbage_or_what_it_says(void **state) {
    (void)state;
    struct buf b = {0}, again = {0};
    struct cluster_envelope out;
    cluster_envelope_add(&b, &question);
    for (size_t i = 0; i < b.n * 8; i++) {
        size_t at = i / 8;
        b.p[at] = (char)(b.p[at] ^ 1 << i % 8);
        bool is_frame = at < 4 || at == 6 || at == 7 || (at >= 16 && at < 24);
        if (is_frame)
            assert_true(is_garbage(buf_str(&b)));
        if (cluster_envelope_read(buf_str(&b), &out)) {
            buf_clear(&again);
            cluster_envelope_add(&again, &out);
            assert_true(str_equal(buf_str(&again), buf_str(&b)));
        }
        b.p[at] = (char)(b.p[at] ^ 1 << i % 8);
    }
    buf_fini(&b);
    buf_fini(&again);
}

static void what_contradicts_itself_is_garbage(void **state) {
    (void)state;
    const struct cluster_envelope rows[] = {
        {.kind = CLUSTER_ASKS, .id = 0, .from = STR("n")},              /* nobody could answer */
        {.kind = CLUSTER_ANSWERS, .id = 0, .from = STR("n")},           /* to what? */
        {.kind = CLUSTER_TELLS, .id = 1, .from = STR("n")},             /* is it a question? */
        {.kind = CLUSTER_ASKS, .id = 1, .status = 1, .from = STR("n")}, /* or an answer? */
        {.kind = CLUSTER_ASKS, .id = 1, .from = STR("")},
        {.kind = CLUSTER_ASKS, .id = 1, .from = STR("a b")},
        {.kind = CLUSTER_ASKS, .id = 1, .from = STR("a:b")},
        {.kind = CLUSTER_ASKS, .id = 1, .from = STR("\xc3\xa9")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        cluster_envelope_add(&b, &rows[i]);
        assert_true(is_garbage(buf_str(&b)));
        buf_fini(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_body_that_is_too_large_is_not_sent),
        cmocka_unit_test(what_is_cut_off_or_longer_is_garbage),
        cmocka_unit_test(what_is_flipped_is_garbage_or_what_it_says),
        cmocka_unit_test(what_contradicts_itself_is_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
