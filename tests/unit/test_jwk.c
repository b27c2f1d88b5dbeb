/* Keys: which are taken, what each is for, and why others are refused; from PEM and from JWK.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/jwk.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/key_testing.h"

/* --- JWK -------------------------------------------------------------------------------------- */

static struct jwk *read_jwk(struct str text, const char **fault) {
    struct json_value object;
    struct json_fault json_fault;
    char *copy = malloc(text.n); /* exactly as long as ASan lets it be read */
    memcpy(copy, text.p, text.n);
    assert_true(json_scan_all((struct str){copy, text.n}, &object, &json_fault));
    struct jwk *k = jwk_from_json(object, fault);
    free(copy);
    return k;
}

#define P256_XY                                                                                    \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                       \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\"," P256_XY
#define OKP                                                                                        \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define OCT32 "\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\""
#define OCT31 "\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA\""
#define OCT48                                                                                      \
    "\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3\""
#define RSA_N                                                                                      \
    "\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw" \
    "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"      \
    "7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"  \
    "qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWy"  \
    "uXpoQ\","
#define RSA RSA_N "\"e\":\"AQAB\""

static const struct {
    const char *json;
    uint32_t algorithms; /* 0: refused, */
    const char *words;   /* with these words */
} jwks[] = {
    /* what a key is for */
    {"{" RSA "}", JWS_RSA, NULL},
    {"{" RSA ",\"alg\":\"RS256\"}", JWS_BIT(JWS_RS256), NULL},
    {"{" RSA ",\"alg\":\"PS512\",\"use\":\"sig\"}", JWS_BIT(JWS_PS512), NULL},
    {"{" EC "}", JWS_BIT(JWS_ES256), NULL},
    {"{" EC ",\"alg\":\"ES256\",\"key_ops\":[\"verify\"]}", JWS_BIT(JWS_ES256), NULL},
    {"{" OKP "}", JWS_BIT(JWS_EDDSA), NULL},
    {"{" OKP ",\"alg\":\"EdDSA\",\"x5c\":[1],\"nonsense\":{}}", JWS_BIT(JWS_EDDSA), NULL},
    {"{" OCT32 "}", JWS_BIT(JWS_HS256), NULL},
    {"{" OCT48 "}", JWS_BIT(JWS_HS256) | JWS_BIT(JWS_HS384), NULL},
    {"{" OCT48 ",\"alg\":\"HS384\",\"key_ops\":[\"sign\",\"verify\"]}", JWS_BIT(JWS_HS384), NULL},
    /* and what it is not for */
    {"{" RSA ",\"alg\":\"HS256\"}", 0, "alg that does not fit"},
    {"{" RSA ",\"alg\":\"ES256\"}", 0, "alg that does not fit"},
    {"{" RSA ",\"alg\":\"RSA-OAEP\"}", 0, "alg that does not fit"},
    {"{" RSA ",\"alg\":\"none\"}", 0, "alg that does not fit"},
    {"{" RSA ",\"alg\":null}", 0, "alg that does not fit"},
    {"{" EC ",\"alg\":\"ES384\"}", 0, "alg that does not fit"},
    {"{" OKP ",\"alg\":\"Ed448\"}", 0, "alg that does not fit"},
    {"{" OCT32 ",\"alg\":\"HS512\"}", 0, "shorter than the hash"},
    {"{" OCT48 ",\"alg\":\"HS512\"}", 0, "shorter than the hash"},
    {"{" OCT32 ",\"alg\":\"RS256\"}", 0, "alg that does not fit"},
    {"{" RSA ",\"use\":\"enc\"}", 0, "use is not sig"},
    {"{" RSA ",\"use\":[\"sig\"]}", 0, "use is not sig"},
    {"{" RSA ",\"use\":null}", 0, "use is not sig"},
    {"{" RSA ",\"key_ops\":[]}", 0, "key_ops"},
    {"{" RSA ",\"key_ops\":\"verify\"}", 0, "key_ops"},
    {"{" RSA ",\"key_ops\":[\"encrypt\"]}", 0, "key_ops"},
    {"{" RSA ",\"key_ops\":[\"verify\",\"encrypt\"]}", 0, "key_ops"},
    {"{" RSA ",\"key_ops\":[\"verify\",\"verify\"]}", 0, "key_ops"},
    {"{" RSA ",\"key_ops\":[\"verify\",1]}", 0, "key_ops"},
    {"{" RSA ",\"d\":\"AQAB\"}", 0, "private key"},
    {"{" EC ",\"d\":\"AQAB\"}", 0, "private key"},
    {"{" OKP ",\"d\":null}", 0, "private key"},
    /* weak and broken ones */
    {"{" OCT31 "}", 0, "less than 32 bytes"},
    {"{\"kty\":\"oct\",\"k\":\"\"}", 0, "k is missing"},
    {"{\"kty\":\"oct\",\"k\":\"AA==\"}", 0, "k is missing"},
    {"{\"kty\":\"oct\"}", 0, "k is missing"},
    {"{" RSA_N "\"e\":\"AQ\"}", 0, "bad exponent"}, /* 1 */
    {"{" RSA_N "\"e\":\"Ag\"}", 0, "bad exponent"}, /* 2 */
    {"{" RSA_N "\"e\":\"AA\"}", 0, "exponent"},     /* 0 */
    {"{" RSA_N "\"e\":\"AQABAAAAAAAAAA\"}", 0, "too large"},
    {"{" RSA_N "\"e\":\"AQAB=\"}", 0, "not base64url"},
    {"{" RSA_N "\"e\":65537}", 0, "not base64url"},
    {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", 0, "missing"},
    {"{\"kty\":\"RSA\",\"n\":\"w_\",\"e\":\"AQAB\"}", 0, "not base64url"},
    {"{\"kty\":\"RSA\",\"n\":\"ww\",\"e\":\"AQAB\"}", 0, "less than 2048 bits"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":"
     "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"}",
     0, "not base64url"}, /* bits left over */
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":"
     "\"y_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     0, "no sound key"}, /* off the curve */
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
     "\"y\":"
     "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
     0, "no sound key"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"_____________________________________________w\","
     "\"y\":\"_____________________________________________w\"}",
     0, "bytes as its curve has"},
    {"{\"kty\":\"EC\",\"crv\":\"P-384\"," P256_XY "}", 0, "bytes as its curve has"},
    {"{\"kty\":\"EC\",\"crv\":\"secp256k1\"," P256_XY "}", 0, "another curve"},
    {"{\"kty\":\"EC\"," P256_XY "}", 0, "another curve"},
    {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     0, "another curve"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ\"}",
     0, "32 bytes"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
     0, "small order"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
     0, "small order"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"__________________________________________8\"}",
     0, "no sound Ed25519 key"},
    /* no key */
    {"{}", 0, "no kty"},
    {"{\"kty\":\"rsa\"}", 0, "no kty"},
    {"{\"kty\":\"AKP\"}", 0, "no kty"},
    {"{\"kty\":null}", 0, "no kty"},
    {"{" OKP ",\"kty\":\"OKP\"}", 0, "different names"},
    {"{" OKP ",\"a\":1,\"\\u0061\":1}", 0, "different names"},
};

static void jwks_are_judged_row_by_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(jwks) / sizeof(jwks[0]); i++) {
        const char *fault = NULL;
        struct jwk *k = read_jwk(str_of(jwks[i].json), &fault);
        if (!k && (jwks[i].algorithms || !strstr(fault, jwks[i].words)))
            fail_msg("%s: %s", jwks[i].json, fault);
        if ((k ? jwk_algorithms(k) : 0) != jwks[i].algorithms)
            fail_msg("%s: taken for %x", jwks[i].json, k ? jwk_algorithms(k) : 0);
        jwk_destroy(k);
    }
}

static struct jwk *read_random_modulus(int bits, const char **fault) {
    struct buf json = {0}, bytes = {0};
    BIGNUM *n = BN_new();
    BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
    BN_bn2bin(n, (unsigned char *)buf_reserve(&bytes, 1100));
    bytes.n = (size_t)BN_num_bytes(n);
    buf_add_z(&json, "{\"kty\":\"RSA\",\"e\":\"Aw\",\"n\":\"");
    add_base64url(&json, buf_str(&bytes));
    buf_add_z(&json, "\"}");
    struct jwk *k = read_jwk(buf_str(&json), fault);
    BN_free(n);
    buf_fini(&json);
    buf_fini(&bytes);
    return k;
}

static void rsa_moduli_have_2048_to_8192_bits(void **state) {
    static const struct {
        int bits;
        const char *words;
    } rows[] = {{2047, "less than 2048"}, {2048, NULL}, {8192, NULL}, {8200, "too large"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = NULL;
        struct jwk *k = NULL;
        /* most random numbers have a small factor, which no modulus may have */
        for (int tries = 0; tries < 500 && !k && (tries == 0 || !rows[i].words); tries++)
            k = read_random_modulus(rows[i].bits, &fault);
        if (rows[i].words ? k != NULL || !strstr(fault, rows[i].words) : !k)
            fail_msg("%d bits: %s", rows[i].bits, k ? "taken" : fault);
        jwk_destroy(k);
    }
}

/* --- PEM -------------------------------------------------------------------------------------- */

static void expect_pem(const char *pem, enum jwk_kind kind, const char *words) {
    const char *fault = NULL;
    struct jwk *k = jwk_from_pem(pem, kind, &fault);
    if (words ? k != NULL || !strstr(fault, words) : !k)
        fail_msg("%s: %s", pem, k ? "taken" : fault);
    jwk_destroy(k);
}

static const enum jwk_kind kinds[] = {[PAIR_RSA] = JWK_RSA,
                                      [PAIR_P256] = JWK_EC,
                                      [PAIR_P384] = JWK_EC,
                                      [PAIR_P521] = JWK_EC,
                                      [PAIR_ED25519] = JWK_ED25519};

static void pem_keys_are_for_one_kind(void **state) {
    static const uint32_t algorithms[] = {JWS_RSA, JWS_BIT(JWS_ES256), JWS_BIT(JWS_ES384),
                                          JWS_BIT(JWS_ES512), JWS_BIT(JWS_EDDSA)};
    (void)state;
    for (int pair = 0; pair < PAIR_COUNT; pair++) {
        struct buf pem = {0};
        const char *fault = "";
        add_public_pem(&pem, pair_of(pair));
        struct jwk *k = jwk_from_pem(pem.p, kinds[pair], &fault);
        assert_non_null(k);
        assert_int_equal(jwk_algorithms(k), algorithms[pair]);
        jwk_destroy(k);
        for (int kind = JWK_RSA; kind <= JWK_ED25519; kind++)
            if (kind != (int)kinds[pair])
                expect_pem(pem.p, (enum jwk_kind)kind, "is no ");
        buf_fini(&pem);
    }
}

static char *private_pem(EVP_PKEY *pkey) {
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    PEM_write_bio_PrivateKey(b, pkey, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(b, &text);
    char *copy = strndup(text, (size_t)n);
    BIO_free(b);
    return copy;
}

static void private_keys_are_refused(void **state) {
    (void)state;
    for (int pair = 0; pair < PAIR_COUNT; pair++) {
        char *pem = private_pem(pair_of(pair));
        expect_pem(pem, kinds[pair], "private key");
        free(pem);
    }
}

static void other_texts_are_no_keys(void **state) {
    (void)state;
    expect_pem("", JWK_RSA, "no public key");
    expect_pem("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", JWK_RSA, "no public key");
    expect_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", JWK_EC,
               "no public key");
    expect_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", JWK_EC,
               "no public key");
}

static void weak_and_odd_keys_are_refused(void **state) {
    static const struct {
        const char *type, *curve, *words;
        enum jwk_kind kind;
    } rows[] = {{"RSA", NULL, "less than 2048", JWK_RSA},
                {"EC", "secp256k1", "another curve", JWK_EC},
                {"EC", "P-224", "another curve", JWK_EC},
                {"X25519", NULL, "no kind that can be used", JWK_ED25519},
                {"ED448", NULL, "no kind that can be used", JWK_ED25519},
                {"RSA-PSS", NULL, "no kind that can be used", JWK_RSA}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf pem = {0};
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, rows[i].type, NULL);
        EVP_PKEY *pkey = NULL;
        EVP_PKEY_keygen_init(c);
        if (rows[i].curve)
            EVP_PKEY_CTX_set_group_name(c, rows[i].curve);
        if (!strncmp(rows[i].type, "RSA", 3))
            EVP_PKEY_CTX_set_rsa_keygen_bits(c, 1024);
        EVP_PKEY_generate(c, &pkey);
        assert_non_null(pkey);
        add_public_pem(&pem, pkey);
        expect_pem(pem.p, rows[i].kind, rows[i].words);
        EVP_PKEY_free(pkey);
        EVP_PKEY_CTX_free(c);
        buf_fini(&pem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jwks_are_judged_row_by_row),
        cmocka_unit_test(rsa_moduli_have_2048_to_8192_bits),
        cmocka_unit_test(pem_keys_are_for_one_kind),
        cmocka_unit_test(private_keys_are_refused),
        cmocka_unit_test(other_texts_are_no_keys),
        cmocka_unit_test(weak_and_odd_keys_are_refused),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
