/* The signatures of private keys: only those of the right key and form are good, whatever is done
 * to them. Each attack with each algorithm it is for.
 *
 * Thread: main. Owns: its keys.
 */
#include "auth/jws.c"

#include "tests/unit/jws_public_testing.h"

#include <malloc.h>

/* --- the signature ---------------------------------------------------------------------------- */

static void a_signature_of_another_key_is_wrong(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        EVP_PKEY *theirs = make_pair(a->pair);
        make_unsigned(&token, a->name, HEADER, PAYLOAD);
        add_public_signature(&signature, a, theirs, buf_str(&token));
        buf_add_char(&token, '.');
        add_base64url(&token, buf_str(&signature));
        expect_for(&token, a, WRONG);
        buf_clear(&signature);
        EVP_PKEY_free(theirs);
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void another_payload_or_header_has_another_signature(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        sign_default(&signature, a);
        make_unsigned(&token, a->name, HEADER, STR("{\"sub\":\"mallory\"}"));
        buf_add_char(&token, '.');
        add_base64url(&token, buf_str(&signature));
        expect_for(&token, a, WRONG);
        make_unsigned(&token, a->name, STR("{\"alg\":\"@\"}"), PAYLOAD);
        buf_add_char(&token, '.');
        add_base64url(&token, buf_str(&signature));
        expect_for(&token, a, WRONG);
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void signatures_have_exactly_their_length(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0}, other = {0};
    for_each_public(a) {
        sign_default(&signature, a);
        for (size_t n = 1; n <= signature.n + 2; n++) {
            if (n == signature.n)
                continue;
            buf_clear(&other); /* cut, or with zeros behind it */
            buf_add(&other, str_slice(buf_str(&signature), 0, n));
            while (other.n < n)
                buf_add_char(&other, '\0');
            make_with(&token, a, buf_str(&other));
            expect_for(&token, a, FORM);
            buf_clear(&other); /* with zeros before it */
            while (other.n + signature.n < n)
                buf_add_char(&other, '\0');
            if (other.n == 0)
                continue;
            buf_add(&other, buf_str(&signature));
            make_with(&token, a, buf_str(&other));
            expect_for(&token, a, FORM);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
    buf_fini(&other);
}

static void bits_of_the_signature_count(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        sign_default(&signature, a);
        for (size_t bit = 0; bit < 8 * signature.n; bit += 7) {
            signature.p[bit / 8] ^= (char)(1 << bit % 8);
            make_with(&token, a, buf_str(&signature));
            expect_for(&token, a, WRONG);
            signature.p[bit / 8] ^= (char)(1 << bit % 8);
        }
        make_with(&token, a, buf_str(&signature));
        expect_for(&token, a, NULL);
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void signatures_of_one_byte_value_are_wrong(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        sign_default(&signature, a);
        for (int c = 0; c < 256; c += 51) {
            memset(signature.p, c, signature.n);
            make_with(&token, a, buf_str(&signature));
            expect_for(&token, a, WRONG);
        }
        for (size_t i = 0; i < signature.n; i += signature.n - 1) { /* the number 1, or 2^n */
            memset(signature.p, 0, signature.n);
            signature.p[i] = 1;
            make_with(&token, a, buf_str(&signature));
            expect_for(&token, a, WRONG);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

/* --- ECDSA ------------------------------------------------------------------------------------ */

static bool is_ecdsa(const struct public_algorithm *a) {
    return a->id >= JWS_ES256 && a->id <= JWS_ES512;
}

static BIGNUM *order_of(const struct public_algorithm *a) {
    EC_GROUP *g = EC_GROUP_new_by_curve_name(a->pair == PAIR_P256   ? NID_X9_62_prime256v1
                                             : a->pair == PAIR_P384 ? NID_secp384r1
                                                                    : NID_secp521r1);
    BIGNUM *n = BN_dup(EC_GROUP_get0_order(g));
    EC_GROUP_free(g);
    return n;
}

static void ecdsa_signatures_as_der_are_refused(void **state) {
    (void)state;
    struct buf token = {0}, der = {0};
    for_each_public(a) {
        if (!is_ecdsa(a))
            continue;
        make_unsigned(&token, a->name, HEADER, PAYLOAD);
        buf_clear(&der);
        add_openssl_signature(&der, a, pair_of(a->pair), buf_str(&token), 0);
        buf_add_char(&token, '.');
        add_base64url(&token, buf_str(&der));
        expect_for(&token, a, FORM);
    }
    buf_fini(&token);
    buf_fini(&der);
}

/* r, s or both are 0, the order, the order and more, or as large as can be (CVE-2022-21449). */
static void ecdsa_numbers_out_of_range_are_refused(void **state) {
    (void)state;
    struct buf token = {0}, good = {0}, bad = {0};
    for_each_public(a) {
        if (!is_ecdsa(a))
            continue;
        size_t half = half_bytes(a->id);
        BIGNUM *numbers[4] = {BN_new(), order_of(a), order_of(a), BN_new()};
        BN_zero(numbers[0]);
        BN_add_word(numbers[2], 1);
        BN_set_bit(numbers[3], (int)(8 * half));
        BN_sub_word(numbers[3], 1);
        sign_default(&good, a);
        for (int i = 0; i < 4; i++) {
            for (int which = 1; which <= 3; which++) {
                buf_clear(&bad);
                buf_add(&bad, buf_str(&good));
                if (which & 1)
                    BN_bn2binpad(numbers[i], (unsigned char *)bad.p, (int)half);
                if (which & 2)
                    BN_bn2binpad(numbers[i], (unsigned char *)bad.p + half, (int)half);
                make_with(&token, a, buf_str(&bad));
                expect_for(&token, a, WRONG);
            }
        }
        for (int i = 0; i < 4; i++)
            BN_free(numbers[i]);
    }
    buf_fini(&token);
    buf_fini(&good);
    buf_fini(&bad);
}

/* It passes, so a signature's text must never be used as an identity. */
static void ecdsa_signatures_have_a_twin(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        if (!is_ecdsa(a))
            continue;
        size_t half = half_bytes(a->id);
        BIGNUM *n = order_of(a), *s;
        sign_default(&signature, a);
        s = BN_bin2bn((unsigned char *)signature.p + half, (int)half, NULL);
        BN_sub(s, n, s);
        BN_bn2binpad(s, (unsigned char *)signature.p + half, (int)half);
        make_with(&token, a, buf_str(&signature));
        expect_for(&token, a, NULL);
        BN_free(s);
        BN_free(n);
    }
    buf_fini(&token);
    buf_fini(&signature);
}

/* --- PSS and Ed25519 -------------------------------------------------------------------------- */

static void the_salt_of_pss_is_as_long_as_the_hash(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        int right = a->is_pss ? EVP_MD_get_size(a->digest()) : 0;
        const int lengths[] = {0, 1, 20, right - 1, right, right + 1, RSA_PSS_SALTLEN_MAX};
        for (size_t i = 0; a->is_pss && i < 7; i++) {
            make_unsigned(&token, a->name, HEADER, PAYLOAD);
            buf_clear(&signature);
            add_openssl_signature(&signature, a, pair_of(a->pair), buf_str(&token), lengths[i]);
            buf_add_char(&token, '.');
            add_base64url(&token, buf_str(&signature));
            expect_for(&token, a, lengths[i] == right ? NULL : WRONG);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

/* S and S + L, the order of the group, would be the same number. */
static void ed25519_signatures_have_no_twin(void **state) {
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
                                            0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
                                            0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    (void)state;
    const struct public_algorithm *a = &public_algorithms[9];
    struct buf token = {0}, signature = {0};
    unsigned carry = 0;
    sign_default(&signature, a);
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned char)signature.p[32 + i] + order[i];
        signature.p[32 + i] = (char)carry;
        carry >>= 8;
    }
    make_with(&token, a, buf_str(&signature));
    expect_for(&token, a, WRONG);
    buf_fini(&token);
    buf_fini(&signature);
}

/* --- base64url, form and size ----------------------------------------------------------------- */

/* Behind each part, before it and in the middle, with a signature that would be good for it. */
static void each_part_must_be_strict_base64url(void **state) {
    static const struct str junk[] = {STR("="),  STR("=="), STR("+"),  STR("/"),    STR(" "),
                                      STR("\n"), STR("\t"), STR("\0"), STR("\xff"), STR("%3D")};
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
            make_unsigned(&token, a->name, HEADER, PAYLOAD);
            buf_add(&token, junk[i]);
            buf_clear(&signature);
            add_public_signature(&signature, a, pair_of(a->pair), buf_str(&token));
            buf_add_char(&token, '.');
            add_base64url(&token, buf_str(&signature));
            expect_for(&token, a, "the payload is not base64url");
            make_public_token(&token, a, HEADER, PAYLOAD);
            buf_add(&token, junk[i]);
            expect_for(&token, a, FORM);
            make_public_token(&token, a, HEADER, PAYLOAD);
            memcpy(token.p + token.n - junk[i].n, junk[i].p, junk[i].n);
            expect_for(&token, a, FORM);
            make_public_token(&token, a, HEADER, PAYLOAD);
            token.p[3] = junk[i].p[0];
            expect_for(&token, a, "the header is not base64url");
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

/* Of the last character of a signature whose length is no multiple of three. */
static void bits_left_over_must_be_zero(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        sign_default(&signature, a);
        make_with(&token, a, buf_str(&signature));
        if (signature.n % 3 == 0)
            continue;
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        size_t value = (size_t)(strchr(letters, token.p[token.n - 1]) - letters);
        token.p[token.n - 1] = letters[value | 1];
        expect_for(&token, a, FORM);
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void only_three_parts_are_a_token(void **state) {
    (void)state;
    struct buf token = {0}, copy = {0};
    for_each_public(a) {
        make_public_token(&token, a, HEADER, PAYLOAD);
        static const char *const before[] = {".", "..", "x.", ""};
        static const char *const after[] = {".", "..", ".x", ".x.y"};
        for (int i = 0; i < 4; i++) {
            set(&copy, str_of(before[i]));
            buf_add(&copy, buf_str(&token));
            buf_add_z(&copy, after[i]);
            expect_for(&copy, a, DOTS);
        }
        make_public_token(&token, a, HEADER, STR_NONE);
        expect_for(&token, a, DOTS);
        make_public_token(&token, a, STR_NONE, PAYLOAD);
        expect_for(&token, a, DOTS);
    }
    buf_fini(&token);
    buf_fini(&copy);
}

static void a_million_dots_or_bytes_are_refused_by_length(void **state) {
    (void)state;
    static char text[1000000];
    struct buf token = {0};
    for_each_public(a) {
        memset(text, '.', sizeof(text));
        set(&token, (struct str){text, sizeof(text)});
        expect_for(&token, a, "longer than 8192");
        token.n = 8192;
        expect_for(&token, a, DOTS);
        memset(text, 'x', sizeof(text));
        make_public_token(&token, a, HEADER, (struct str){text, 6200});
        expect_for(&token, a, "longer than 8192");
        buf_clear(&token);
        buf_printf(&token, "{\"alg\":\"%s\",\"kid\":\"%.*s\"}", a->name, 10000, text);
        struct buf header = token;
        token = (struct buf){0};
        make_public_token(&token, a, buf_str(&header), PAYLOAD);
        expect_for(&token, a, "longer than 8192");
        header.n = 0;
        buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%.*s\"}", a->name, 800, text);
        make_public_token(&token, a, buf_str(&header), PAYLOAD);
        expect_for(&token, a, "longer than 1024");
        buf_fini(&header);
    }
    buf_fini(&token);
}

/* --- previous secret -------------------------------------------------------------------------- */

static const char *judge_at(const struct buf *token, const struct jws_keys *keys, int64_t now_s) {
    struct buf payload = {0};
    const char *fault = NULL;
    jws_verify(buf_str(token), keys, &payload, &fault, now_s);
    buf_fini(&payload);
    return fault;
}

static void the_previous_secret_is_good_until_its_end(void **state) {
    (void)state;
    struct buf token = {0};
    struct jws_keys keys = {.hmac_secret = STR("the new secret"), .hmac_previous_secret = SECRET};
    for_each_algorithm(a) {
        make_token(&token, a, HEADER, PAYLOAD);
        keys.hmac_previous_until_s = 0;
        assert_null(judge_at(&token, &keys, 1));
        assert_null(judge_at(&token, &keys, INT64_C(1) << 40));
        keys.hmac_previous_until_s = 1000;
        assert_null(judge_at(&token, &keys, 999));
        assert_non_null(judge_at(&token, &keys, 1000));
        assert_non_null(judge_at(&token, &keys, 1001));
        make_unsigned(&token, a->name, HEADER, PAYLOAD);
        add_signature(&token, a, STR("the new secret"));
        assert_null(judge_at(&token, &keys, 1001));
        assert_null(judge_at(&token, &keys, 1));
        make_unsigned(&token, a->name, HEADER, PAYLOAD);
        add_signature(&token, a, STR(""));
        assert_non_null(judge_at(&token, &keys, 1));
        struct jws_keys only_previous = {.hmac_previous_secret = SECRET,
                                         .hmac_previous_until_s = 1000};
        make_token(&token, a, HEADER, PAYLOAD);
        assert_null(judge_at(&token, &only_previous, 999));
        assert_non_null(judge_at(&token, &only_previous, 1000));
    }
    buf_fini(&token);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void verifying_keeps_no_memory(void **state) {
    (void)state;
    struct buf good = {0}, bad = {0};
    for_each_public(a) {
        make_public_token(&good, a, HEADER, PAYLOAD);
        make_public_token(&bad, a, HEADER, PAYLOAD);
        bad.p[bad.n / 2] ^= 1;
        struct jws_keys keys = keys_with(a->pair);
        judge_keys(buf_str(&bad), &keys);
        judge_keys(buf_str(&good), &keys);
        size_t before = mallinfo2().uordblks;
        for (int i = 0; i < 200; i++) {
            assert_null(judge_keys(buf_str(&good), &keys));
            assert_non_null(judge_keys(buf_str(&bad), &keys));
        }
        /* Less than a byte each: the allocator rounds, but whatever is kept is larger. */
        assert_true(mallinfo2().uordblks < before + 400);
    }
    buf_fini(&good);
    buf_fini(&bad);
}

static int run(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_of_another_key_is_wrong),
        cmocka_unit_test(another_payload_or_header_has_another_signature),
        cmocka_unit_test(signatures_have_exactly_their_length),
        cmocka_unit_test(bits_of_the_signature_count),
        cmocka_unit_test(signatures_of_one_byte_value_are_wrong),
        cmocka_unit_test(ecdsa_signatures_as_der_are_refused),
        cmocka_unit_test(ecdsa_numbers_out_of_range_are_refused),
        cmocka_unit_test(ecdsa_signatures_have_a_twin),
        cmocka_unit_test(the_salt_of_pss_is_as_long_as_the_hash),
        cmocka_unit_test(ed25519_signatures_have_no_twin),
        cmocka_unit_test(each_part_must_be_strict_base64url),
        cmocka_unit_test(bits_left_over_must_be_zero),
        cmocka_unit_test(only_three_parts_are_a_token),
        cmocka_unit_test(a_million_dots_or_bytes_are_refused_by_length),
        cmocka_unit_test(the_previous_secret_is_good_until_its_end),
        cmocka_unit_test(verifying_keeps_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return run_with_keys(run);
}
