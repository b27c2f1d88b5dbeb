/* WebSocket frames as a client reads and writes them.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/doctor/ws_frame.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

enum { MAX_BYTES = 70000 };

static void frames_of_all_lengths_are_read(void **state) {
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, MAX_BYTES};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf b = {0};
        struct ws_frame f;
        size_t n = lengths[i], small = n < 126 ? n : n <= 65535 ? 126 : 127;
        buf_add_char(&b, (char)0x81);
        buf_add_char(&b, (char)small);
        for (int shift = small == 126 ? 8 : 56; small >= 126 && shift >= 0; shift -= 8)
            buf_add_char(&b, (char)((uint64_t)n >> shift));
        size_t head_bytes = b.n;
        for (size_t k = 0; k < n; k++)
            buf_add_char(&b, (char)k);
        for (size_t k = 0; k < b.n; k += 1 + b.n / 100)
            assert_int_equal(ws_frame_read(str_slice(buf_str(&b), 0, k), MAX_BYTES, &f),
                             ANSWER_MORE);
        assert_int_equal(ws_frame_read(buf_str(&b), MAX_BYTES, &f), ANSWER_DONE);
        assert_int_equal(f.payload.n, n);
        assert_int_equal(f.size_bytes, head_bytes + n);
        assert_true(f.is_last && f.opcode == WS_TEXT);
        buf_fini(&b);
    }
}

static void what_a_server_may_not_send_is_refused(void **state) {
    static const struct str bad[] = {
        {"\xc1\x00", 2},         /* a reserved bit */
        {"\x81\x80", 2},         /* masked */
        {"\x83\x00", 2},         /* a reserved opcode */
        {"\x8b\x00", 2},         /* another one */
        {"\x09\x00", 2},         /* a ping in pieces */
        {"\x89\x7e\x00\x7e", 4}, /* a long ping */
        {"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", 10},
        {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10},
    };
    struct ws_frame f;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ws_frame_read(bad[i], MAX_BYTES, &f), ANSWER_BAD);
}

static void what_is_written_is_masked_and_the_same(void **state) {
    static const size_t lengths[] = {0, 5, 126, 66000};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf payload = {0}, b = {0};
        for (size_t k = 0; k < lengths[i]; k++)
            buf_add_char(&payload, (char)(k * 7));
        ws_frame_add(&b, WS_TEXT, buf_str(&payload));
        assert_int_equal((uint8_t)b.p[0], 0x81);
        assert_true((uint8_t)b.p[1] & 0x80);
        size_t at = b.n - payload.n;
        for (size_t k = 0; k < payload.n; k++)
            assert_int_equal((char)(b.p[at + k] ^ b.p[at - 4 + k % 4]), payload.p[k]);
        buf_fini(&payload);
        buf_fini(&b);
    }
}

/* RFC 6455 section 1.3 */
static void the_accept_of_the_rfc(void **state) {
    char accept[29];
    (void)state;
    ws_accept_of(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_all_lengths_are_read),
        cmocka_unit_test(what_a_server_may_not_send_is_refused),
        cmocka_unit_test(what_is_written_is_masked_and_the_same),
        cmocka_unit_test(the_accept_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
