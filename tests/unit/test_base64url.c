/* base64url: each byte string has one text, and there is no other good text.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/base64url.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Appends to something that is there already, which must stay. The text is a heap block of exactly
 * its size, so that ASan sees what is read behind it. */
static bool decodes(struct str text, struct buf *out) {
    char *copy = malloc(text.n ? text.n : 1);
    if (text.n)
        memcpy(copy, text.p, text.n);
    buf_clear(out);
    buf_add_z(out, "before");
    bool is_good = base64url_decode((struct str){copy, text.n}, out);
    free(copy);
    assert_memory_equal(out->p, "before", 6);
    assert_true(is_good || out->n == 6);
    buf_consume(out, 6);
    return is_good;
}

/* Good means: what comes out gives the same text again. */
static bool is_the_one_text(struct str text, struct buf *bytes, struct buf *again) {
    if (!decodes(text, bytes))
        return false;
    buf_clear(again);
    base64url_encode(buf_str(bytes), again);
    assert_true(str_equal(buf_str(again), text));
    return true;
}

static void the_examples_of_rfc_4648(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xef\xff", "--__"}};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&b);
        buf_add_z(&b, ">");
        base64url_encode(str_of(rows[i][0]), &b);
        assert_true(str_equal(str_slice(buf_str(&b), 1, b.n), str_of(rows[i][1])));
        assert_int_equal(base64url_length(strlen(rows[i][0])), strlen(rows[i][1]));
        assert_true(decodes(str_of(rows[i][1]), &b));
        assert_true(str_equal(buf_str(&b), str_of(rows[i][0])));
    }
    buf_fini(&b);
}

static void texts_are_those_of_libsodium(void **state) {
    (void)state;
    unsigned char bytes[200];
    char theirs[300];
    struct buf ours = {0}, back = {0};
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        struct str all = {(const char *)bytes, n};
        randombytes_buf(bytes, n);
        sodium_bin2base64(theirs, sizeof(theirs), bytes, n,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        buf_clear(&ours);
        base64url_encode(all, &ours);
        assert_true(str_equal(buf_str(&ours), str_of(theirs)));
        assert_int_equal(ours.n, base64url_length(n));
        assert_true(decodes(buf_str(&ours), &back));
        assert_true(str_equal(buf_str(&back), all));
    }
    buf_fini(&ours);
    buf_fini(&back);
}

static void of_all_short_texts_only_those_of_bytes_are_good(void **state) {
    (void)state;
    struct buf bytes = {0}, again = {0};
    size_t good[4] = {0};
    for (unsigned i = 0; i < 256; i++)
        good[1] += is_the_one_text((struct str){(char[]){(char)i}, 1}, &bytes, &again);
    for (unsigned i = 0; i < 65536; i++)
        good[2] +=
            is_the_one_text((struct str){(char[]){(char)(i >> 8), (char)i}, 2}, &bytes, &again);
    for (unsigned i = 0; i < 64 * 64 * 64; i++) {
        const char text[] = {letters[i >> 12], letters[i >> 6 & 63], letters[i & 63]};
        good[3] += is_the_one_text((struct str){text, 3}, &bytes, &again);
    }
    assert_int_equal(good[1], 0);
    assert_int_equal(good[2], 256);
    assert_int_equal(good[3], 65536);
    buf_fini(&bytes);
    buf_fini(&again);
}

static void only_64_characters_belong_wherever_they_are(void **state) {
    (void)state;
    struct buf bytes = {0};
    char text[12];
    for (size_t n = 2; n <= sizeof(text); n++) {
        for (size_t at = 0; at + (n % 4 != 0) < n; at++) { /* the last may have bits left over */
            size_t good = 0;
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'A', n);
                text[at] = (char)c;
                good += decodes((struct str){text, n}, &bytes);
            }
            assert_int_equal(good, n % 4 == 1 ? 0 : 64);
        }
    }
    buf_fini(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_4648),
        cmocka_unit_test(texts_are_those_of_libsodium),
        cmocka_unit_test(of_all_short_texts_only_those_of_bytes_are_good),
        cmocka_unit_test(only_64_characters_belong_wherever_they_are),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
