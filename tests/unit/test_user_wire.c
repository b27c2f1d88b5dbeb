/* What a back end does to a user, as bytes for other nodes: what goes in comes out, and what cannot
 * be done is refused.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/user_wire.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"

#define ID_1 "11111111-1111-4111-8111-111111111111"
#define ID_2 "22222222-2222-4222-8222-222222222222"

static int start(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

static const struct rules *rules(void) {
    return &bench.config->rules;
}

/* In a heap block of its own, so that reading behind it is noticed; the caller frees it. */
static bool reads(struct str bytes, char **copy, struct user_wire *out) {
    *copy = mem_alloc(bytes.n);
    if (bytes.n)
        memcpy(*copy, bytes.p, bytes.n);
    return user_wire_read((struct str){*copy, bytes.n}, rules(), out);
}

static bool is_refused(struct str bytes) {
    struct user_wire w;
    char *copy;
    bool is_read = reads(bytes, &copy, &w);
    user_wire_fini(&w);
    mem_free(copy);
    return !is_read;
}

static bool is_call_refused(const struct user_call *q) {
    struct buf b = {0};
    user_wire_add(&b, q);
    bool is_no = is_refused(buf_str(&b));
    buf_fini(&b);
    return is_no;
}

static void every_part_comes_out_as_it_went_in(void **state) {
    (void)state;
    const struct str ids[] = {STR(ID_1), STR(ID_2)};
    struct channel_options own = rules()->without_namespace;
    own.presence = true;
    own.join_leave = false;
    own.force_recovery = true;
    const struct user_call q = {.action = USER_SUBSCRIBE,
                                .user = STR("\xc3\xa9"),
                                .client = STR(ID_1),
                                .session = STR("s"),
                                .channel = STR("news"),
                                .options = &own,
                                .is_own_options = true,
                                .data = STR("{\"a\":1}"),
                                .recovers = true,
                                .since = {UINT64_MAX, "ABCDEFGH"},
                                .info = STR("[2]"),
                                .expires_at_s = INT64_C(1) << 40,
                                .is_expired = true,
                                .whitelist = ids,
                                .whitelist_count = 2,
                                .code = 4999,
                                .text = STR("why")};
    struct buf b = {0};
    struct user_wire w;
    char *copy;
    user_wire_add(&b, &q);
    assert_true(reads(buf_str(&b), &copy, &w));
    struct user_call in = q;
    struct texts was = texts_of(&in), is = texts_of(&w.call);
    for (int i = 0; i < TEXTS; i++)
        assert_true(str_equal(*was.list[i], *is.list[i]));
    assert_int_equal(w.call.action, USER_SUBSCRIBE);
    assert_true(w.call.recovers && w.call.is_expired && w.call.is_own_options);
    assert_true(w.call.since.offset == UINT64_MAX);
    assert_memory_equal(w.call.since.epoch, "ABCDEFGH", EPOCH_BYTES);
    assert_true(w.call.expires_at_s == q.expires_at_s);
    assert_int_equal(w.call.code, 4999);
    assert_int_equal(w.call.whitelist_count, 2);
    assert_true(str_equal(w.call.whitelist[1], STR(ID_2)));
    assert_true(w.call.options->presence && w.call.options->force_recovery);
    assert_false(w.call.options->join_leave);
    user_wire_fini(&w);
    mem_free(copy);
    buf_fini(&b);
}

static void options_are_those_of_the_node_unless_they_are_overridden(void **state) {
    (void)state;
    const struct channel_options foreign = {.history_size = 77};
    struct buf b = {0};
    struct user_wire w;
    user_wire_add(&b, &(struct user_call){
                          .action = USER_SUBSCRIBE, .channel = STR("news"), .options = &foreign});
    assert_true(user_wire_read(buf_str(&b), rules(), &w));
    assert_ptr_equal(w.call.options, &rules()->without_namespace);
    user_wire_fini(&w);
    buf_fini(&b);
}

static void what_is_cut_off_or_longer_is_refused(void **state) {
    (void)state;
    const struct str ids[] = {STR(ID_1)};
    const struct user_call q = {.action = USER_DISCONNECT,
                                .user = STR("ann"),
                                .code = 4000,
                                .text = STR("go"),
                                .whitelist = ids,
                                .whitelist_count = 1};
    struct buf b = {0};
    user_wire_add(&b, &q);
    for (size_t n = 0; n < b.n; n++)
        assert_true(is_refused(str_slice(buf_str(&b), 0, n)));
    assert_false(is_refused(buf_str(&b)));
    buf_add_char(&b, 'x');
    assert_true(is_refused(buf_str(&b)));
    buf_fini(&b);
}

static void flipped_bits_are_refused_or_what_they_say(void **state) {
    (void)state;
    const struct user_call q = {.action = USER_SUBSCRIBE,
                                .user = STR("ann"),
                                .channel = STR("news"),
                                .options = &rules()->without_namespace,
                                .data = STR("{}")};
    struct buf b = {0};
    user_wire_add(&b, &q);
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] = (char)(b.p[i / 8] ^ 1 << i % 8);
        is_refused(buf_str(&b));
        b.p[i / 8] = (char)(b.p[i / 8] ^ 1 << i % 8);
    }
    buf_fini(&b);
}

static void what_cannot_be_done_is_refused(void **state) {
    (void)state;
    static const struct channel_options own;
    char long_text[USER_CALL_REASON_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    const struct user_call rows[] = {
        {.action = (enum user_action)(USER_REFRESH + 1)},
        {.action = USER_DISCONNECT, .user = STR("\xff")},
        {.action = USER_DISCONNECT, .code = 2999},
        {.action = USER_DISCONNECT, .code = 5000},
        {.action = USER_DISCONNECT, .code = 4000, .text = {long_text, sizeof(long_text)}},
        {.action = USER_REFRESH, .info = STR("{")},
        {.action = USER_REFRESH, .info = STR("[\n1]")},
        {.action = USER_REFRESH, .expires_at_s = -1},
        {.action = USER_REFRESH, .expires_at_s = INT64_MAX},
        {.action = USER_SUBSCRIBE},
        {.action = USER_UNSUBSCRIBE},
        {.action = USER_DISCONNECT, .is_own_options = true, .options = &own}, /* of what? */
        {.action = USER_SUBSCRIBE, .channel = STR("no:such")},
        {.action = USER_SUBSCRIBE, .channel = STR("news"), .data = STR("x")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!is_call_refused(&rows[i]))
            fail_msg("row %zu is taken", i);
    assert_false(is_call_refused(&(struct user_call){.action = USER_REFRESH}));
}

#define WIRE_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        WIRE_TEST(every_part_comes_out_as_it_went_in),
        WIRE_TEST(options_are_those_of_the_node_unless_they_are_overridden),
        WIRE_TEST(what_is_cut_off_or_longer_is_refused),
        WIRE_TEST(flipped_bits_are_refused_or_what_they_say),
        WIRE_TEST(what_cannot_be_done_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
