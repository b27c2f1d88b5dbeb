/* The envelope of messages in Redis: what goes in comes out, and everything else is garbage.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/redis_envelope.c"

#include "server/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct msg_parts publication = {.kind = MSG_PUBLICATION,
                                             .data = STR("{\"a\": [1, \"\xc3\xa9\"]}"),
                                             .tags = STR("{\"t\":\"1\"}"),
                                             .user = STR("ann"),
                                             .client = STR("c1"),
                                             .conn_info = STR("1"),
                                             .chan_info = STR("[null]")};
static const struct msg_parts join = {
    .kind = MSG_JOIN, .user = STR("ann"), .client = STR("c1"), .conn_info = STR("{}")};

static bool reads(struct buf *b, struct msg_parts *out) {
    *out = (struct msg_parts){.channel = STR("news")};
    return redis_envelope_read(buf_str(b), out);
}

/* Garbage also must not touch what it is read into. */
static bool is_garbage(struct buf *b) {
    struct msg_parts out = {.channel = STR("x"), .data = STR("y"), .kind = MSG_LEAVE};
    if (redis_envelope_read(buf_str(b), &out))
        return false;
    assert_true(str_equal(out.channel, STR("x")) && str_equal(out.data, STR("y")));
    assert_int_equal(out.kind, MSG_LEAVE);
    return true;
}

static bool survives(const struct msg_parts *in) {
    struct buf b = {0};
    struct msg_parts out;
    bool is_same = redis_envelope_add(&b, in) && b.n == redis_envelope_bytes(in) &&
                   reads(&b, &out) && out.kind == in->kind && str_equal(out.data, in->data) &&
                   str_equal(out.tags, in->tags) && str_equal(out.user, in->user) &&
                   str_equal(out.client, in->client) && str_equal(out.conn_info, in->conn_info) &&
                   str_equal(out.chan_info, in->chan_info) && str_equal(out.channel, STR("news"));
    buf_fini(&b);
    return is_same;
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    struct msg_parts leave = join;
    leave.kind = MSG_LEAVE;
    assert_true(survives(&publication));
    assert_true(survives(&join));
    assert_true(survives(&leave));
    assert_true(survives(&(struct msg_parts){.data = STR("0")})); /* from a back end */
}

static void the_layout_is_the_documented_one(void **state) {
    (void)state;
    struct buf b = {0};
    assert_true(redis_envelope_add(&b, &(struct msg_parts){.data = STR("12"), .user = STR("u")}));
    assert_true(str_equal(buf_str(&b), STR("CRN1P\0\0\0"
                                           "\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                           "12u")));
    buf_fini(&b);
}

static void every_truncation_and_every_added_byte_is_garbage(void **state) {
    (void)state;
    struct buf b = {0};
    redis_envelope_add(&b, &publication);
    size_t whole = b.n;
    for (b.n = 0; b.n < whole; b.n++)
        assert_true(is_garbage(&b));
    buf_add_char(&b, 'x');
    assert_true(is_garbage(&b));
    buf_fini(&b);
}

static void a_changed_byte_of_the_head_is_garbage(void **state) {
    (void)state;
    struct buf b = {0};
    struct msg_parts out;
    redis_envelope_add(&b, &publication);
    for (size_t i = 0; i < HEADER_BYTES; i++) {
        b.p[i] = (char)(b.p[i] ^ 0x80);
        assert_true(is_garbage(&b));
        b.p[i] = (char)(b.p[i] ^ 0x80);
    }
    assert_true(reads(&b, &out));
    buf_fini(&b);
}

static void lengths_that_overflow_are_garbage(void **state) {
    (void)state;
    struct buf b = {0};
    redis_envelope_add(&b, &publication);
    memset(b.p + 8, 0xff, 4);
    assert_true(is_garbage(&b));
    memset(b.p + 8, 0xff, 24);
    assert_true(is_garbage(&b));
    buf_fini(&b);
}

static void parts_that_are_not_what_they_should_be_are_garbage(void **state) {
    (void)state;
    static const struct msg_parts bad[] = {
        {.data = STR("")},
        {.data = STR("{")},
        {.data = STR("1 2")},
        {.data = STR("[1,\n2]")}, /* would break the frames of JSON clients */
        {.data = STR("\"\xff\"")},
        {.data = STR("1"), .tags = STR("[]")},
        {.data = STR("1"), .user = STR("\xff")},
        {.data = STR("1"), .client = STR("\xc3")},
        {.data = STR("1"), .conn_info = STR("x")},
        {.data = STR("1"), .chan_info = STR("{\"a\":\r\n1}")},
        {.kind = MSG_JOIN, .user = STR("u")}, /* who? */
        {.kind = MSG_LEAVE, .client = STR("c"), .data = STR("1")},
        {.kind = MSG_JOIN, .client = STR("c"), .tags = STR("{}")},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct buf b = {0};
        assert_true(redis_envelope_add(&b, &bad[i]));
        if (!is_garbage(&b))
            fail_msg("believed: bad[%zu]", i);
        buf_fini(&b);
    }
}

static void white_space_around_a_payload_is_cut_off(void **state) {
    (void)state;
    struct buf b = {0};
    struct msg_parts out;
    redis_envelope_add(&b, &(struct msg_parts){.data = STR(" \n{\"a\": 1} \r\n")});
    assert_true(reads(&b, &out));
    assert_true(str_equal(out.data, STR("{\"a\": 1}")));
    buf_fini(&b);
}

static void parts_that_are_too_large_are_not_sent(void **state) {
    (void)state;
    static char text[REDIS_ENVELOPE_TEXT_MAX + 1];
    struct buf b = {0};
    memset(text, 'x', sizeof(text));
    assert_false(redis_envelope_add(
        &b, &(struct msg_parts){.data = STR("1"), .user = {text, sizeof(text)}}));
    assert_int_equal(b.n, 0);
    assert_true(redis_envelope_add(
        &b, &(struct msg_parts){.data = STR("1"), .user = {text, sizeof(text) - 1}}));
    buf_fini(&b);
}

/* --- places ----------------------------------------------------------------------------------- */

static const char place_text[] = "CRN2\x24\0\0\0\x07\0\0\0\0\0\0\0epochABC\x01\0\0\0\x3c\0\0\0"
                                 "\x64\0\0\0rest";
static const struct str placed = {place_text, sizeof(place_text) - 1};

static void a_place_is_read_and_cut_off(void **state) {
    struct str text = placed;
    struct redis_place p;
    char tail[REDIS_PLACE_TAIL_BYTES];
    (void)state;
    assert_true(redis_place_read(&text, &p));
    assert_true(str_equal(text, STR("rest")));
    assert_int_equal(p.position.offset, 7);
    assert_memory_equal(p.position.epoch, "epochABC", EPOCH_BYTES);
    assert_int_equal(p.flags, REDIS_PLACE_DELTA);
    assert_int_equal(p.ttl_s, 60);
    assert_int_equal(p.size, 100);
    redis_place_tail(REDIS_PLACE_DELTA, 59001, 100, tail);
    assert_memory_equal(tail, place_text + 24, sizeof(tail));
}

static void what_has_no_place_is_left_as_it_is(void **state) {
    struct str text = STR("CRN1...");
    struct redis_place p = {.flags = 9};
    (void)state;
    assert_true(redis_place_read(&text, &p));
    assert_int_equal(p.position.offset, 0);
    assert_int_equal(p.flags, 0);
    assert_int_equal(text.n, 7);
}

static void what_a_later_layout_adds_to_a_place_is_skipped(void **state) {
    struct buf b = {0};
    struct redis_place p;
    (void)state;
    buf_add(&b, str_slice(placed, 0, REDIS_PLACE_BYTES));
    b.p[4] += 5;
    buf_add_z(&b, "laterCRN1");
    struct str text = buf_str(&b);
    assert_true(redis_place_read(&text, &p));
    assert_true(str_equal(text, STR("CRN1")));
    assert_int_equal(p.position.offset, 7);
    buf_fini(&b);
}

static void places_that_are_not_whole_or_not_ours_are_garbage(void **state) {
    static const struct {
        size_t at;
        char byte;
    } changes[] = {{4, 0x23}, {4, 0x29}, {7, 0x7f}, {8, 0}, {16, 0}, {23, '-'}};
    struct redis_place p;
    (void)state;
    for (size_t n = 4; n < REDIS_PLACE_BYTES; n++) {
        char *copy = mem_strndup(place_text, n); /* so that ASan sees what is read behind it */
        struct str text = {copy, n};
        assert_false(redis_place_read(&text, &p));
        mem_free(copy);
    }
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        char copy[sizeof(place_text)];
        memcpy(copy, place_text, sizeof(copy));
        copy[changes[i].at] = changes[i].byte;
        struct str text = {copy, placed.n};
        assert_false(redis_place_read(&text, &p));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(every_truncation_and_every_added_byte_is_garbage),
        cmocka_unit_test(a_changed_byte_of_the_head_is_garbage),
        cmocka_unit_test(lengths_that_overflow_are_garbage),
        cmocka_unit_test(parts_that_are_not_what_they_should_be_are_garbage),
        cmocka_unit_test(white_space_around_a_payload_is_cut_off),
        cmocka_unit_test(parts_that_are_too_large_are_not_sent),
        cmocka_unit_test(a_place_is_read_and_cut_off),
        cmocka_unit_test(what_has_no_place_is_left_as_it_is),
        cmocka_unit_test(what_a_later_layout_adds_to_a_place_is_skipped),
        cmocka_unit_test(places_that_are_not_whole_or_not_ours_are_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
