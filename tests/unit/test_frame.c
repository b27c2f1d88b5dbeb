/* Frames: headers at every border of the length's form, fragments that are whole frames and rejoin
 * to the payload, close frames, and the counting of chains.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/frame.c"

#include "tests/unit/count_frees.h"
#include "tests/unit/ws_frames.h"

#include "server/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buf payload;

static int start(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    char *to = buf_reserve(&payload, N);
    for (size_t i = 0; i < N; i++)
        to[i] = (char)('a' + i * 7 % 26);
    payload.n = N;
    return 0;
}

static int stop(void **state) {
    (void)state;
    buf_fini(&payload);
    return 0;
}

static struct str first_bytes(size_t n) {
    return str_slice(buf_str(&payload), 0, n);
}

static struct str bytes_of(const struct frame *f) {
    return (struct str){f->bytes, f->size_bytes};
}

static void expect_header(size_t payload_bytes, const char *header, size_t header_bytes) {
    struct frame *f = frame_create_text(first_bytes(payload_bytes));
    assert_int_equal(f->size_bytes, header_bytes + payload_bytes);
    assert_int_equal(f->total_bytes, f->size_bytes);
    assert_null(f->next);
    assert_memory_equal(f->bytes, header, header_bytes);
    if (payload_bytes)
        assert_memory_equal(f->bytes + header_bytes, payload.p, payload_bytes);
    frame_unref(f);
}

static void the_header_has_the_shortest_length(void **state) {
    (void)state;
    expect_header(0, "\x81\x00", 2);
    expect_header(1, "\x81\x01", 2);
    expect_header(125, "\x81\x7d", 2);
    expect_header(126, "\x81\x7e\x00\x7e", 4);
    expect_header(127, "\x81\x7e\x00\x7f", 4);
    expect_header(128, "\x81\x7e\x00\x80", 4);
    expect_header(255, "\x81\x7e\x00\xff", 4);
    expect_header(256, "\x81\x7e\x01\x00", 4);
    expect_header(65535, "\x81\x7e\xff\xff", 4);
    expect_header(65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void expect_parts(size_t payload_bytes, size_t part_count) {
    struct frame *f = frame_create_text(first_bytes(payload_bytes));
    size_t seen = 0, at = 0, left_bytes = f->total_bytes;
    for (struct frame *part = f; part; part = part->next, seen++) {
        struct str rest = bytes_of(part);
        struct ws_frame w = {0};
        assert_int_equal(part->total_bytes, left_bytes);
        assert_true(ws_next(&rest, &w));
        assert_int_equal(rest.n, 0); /* a whole frame, nothing more */
        assert_int_equal(w.opcode, seen == 0 ? WS_TEXT : WS_CONTINUATION);
        assert_int_equal(w.is_final, part->next == NULL);
        assert_true(w.payload.n <= FRAME_PART_MAX_BYTES);
        assert_memory_equal(w.payload.p, payload.p + at, w.payload.n);
        at += w.payload.n;
        left_bytes -= part->size_bytes;
    }
    assert_int_equal(at, payload_bytes);
    assert_int_equal(seen, part_count);
    assert_int_equal(left_bytes, 0);
    frame_unref(f);
}

static void a_long_payload_becomes_fragments_that_rejoin(void **state) {
    (void)state;
    expect_parts(65536, 1);
    expect_parts(65537, 2);
    expect_parts(131071, 2);
    expect_parts(131072, 2);
    expect_parts(131073, 3);
    expect_parts(1 << 20, 16);
}

static void plain_bytes_stay_as_they_are(void **state) {
    (void)state;
    const size_t sizes[] = {1, 65536, 65537, 200000};
    for (size_t i = 0; i < 4; i++) {
        struct frame *f = frame_create_plain(first_bytes(sizes[i]));
        size_t at = 0;
        assert_int_equal(f->total_bytes, sizes[i]);
        for (struct frame *part = f; part; part = part->next) {
            assert_true(part->size_bytes <= FRAME_PART_MAX_BYTES);
            assert_memory_equal(part->bytes, payload.p + at, part->size_bytes);
            at += part->size_bytes;
        }
        assert_int_equal(at, sizes[i]);
        frame_unref(f);
    }
}

static void plain_may_be_nothing(void **state) {
    (void)state;
    struct frame *f = frame_create_plain(STR_NONE);
    assert_int_equal(f->size_bytes, 0);
    assert_null(f->next);
    frame_unref(f);
}

static void a_close_frame_has_code_and_reason(void **state) {
    (void)state;
    struct frame *f = frame_create_close(3501, STR("bad request"));
    assert_int_equal(f->size_bytes, 15);
    assert_int_equal(f->total_bytes, 15);
    assert_null(f->next);
    assert_memory_equal(f->bytes,
                        "\x88\x0d\x0d\xad"
                        "bad request",
                        15);
    frame_unref(f);
}

static void a_close_reason_is_cut_to_what_a_control_frame_holds(void **state) {
    (void)state;
    const size_t sizes[] = {122, 123, 124, 1000};
    for (size_t i = 0; i < 4; i++) {
        struct frame *f = frame_create_close(1009, first_bytes(sizes[i]));
        struct str rest = bytes_of(f);
        struct ws_frame w = {0};
        size_t n = sizes[i] < 123 ? sizes[i] : 123;
        assert_true(ws_next(&rest, &w));
        assert_int_equal(w.opcode, WS_CLOSE);
        assert_int_equal(w.payload.n, 2 + n);
        assert_int_equal(ws_number(w.payload, 0, 2), 1009);
        assert_memory_equal(w.payload.p + 2, payload.p, n);
        frame_unref(f);
    }
}

static void a_close_frame_needs_no_reason(void **state) {
    (void)state;
    struct frame *f = frame_create_close(1000, STR_NONE);
    assert_int_equal(f->size_bytes, 4);
    assert_memory_equal(f->bytes, "\x88\x02\x03\xe8", 4);
    frame_unref(f);
}

static void the_last_reference_frees_the_whole_chain(void **state) {
    (void)state;
    struct frame *f = frame_create_text(first_bytes(200000)); /* 4 parts */
    unsigned before = freed_count;
    assert_ptr_equal(frame_ref(f), f);
    frame_unref(f);
    assert_int_equal(freed_count, before);
    frame_unref(f);
    assert_int_equal(freed_count, before + 4);
}

static void a_part_that_is_held_outlives_those_before_it(void **state) {
    (void)state;
    struct frame *f = frame_create_text(first_bytes(200000));
    struct frame *third = frame_ref(f->next->next);
    unsigned before = freed_count;
    frame_unref(f);
    assert_int_equal(freed_count, before + 2);
    assert_int_equal(third->refs, 1);
    assert_non_null(third->next); /* and holds those behind it */
    frame_unref(third);
    assert_int_equal(freed_count, before + 4);
}

static void nothing_may_be_released(void **state) {
    (void)state;
    frame_unref(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_has_the_shortest_length),
        cmocka_unit_test(a_long_payload_becomes_fragments_that_rejoin),
        cmocka_unit_test(plain_bytes_stay_as_they_are),
        cmocka_unit_test(plain_may_be_nothing),
        cmocka_unit_test(a_close_frame_has_code_and_reason),
        cmocka_unit_test(a_close_reason_is_cut_to_what_a_control_frame_holds),
        cmocka_unit_test(a_close_frame_needs_no_reason),
        cmocka_unit_test(the_last_reference_frees_the_whole_chain),
        cmocka_unit_test(a_part_that_is_held_outlives_those_before_it),
        cmocka_unit_test(nothing_may_be_released),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
