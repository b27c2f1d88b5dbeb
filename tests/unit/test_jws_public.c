/* Tokens signed with private keys: what RFCs and OpenSSL sign is good, the key decides which
 * algorithm it is for, and a header cannot ask for another key. Each attack with each algorithm.
 *
 * Thread: main. Owns: its keys.
 */
#include "auth/jws.c"

#include "tests/unit/jws_public_testing.h"

/* --- known answers ---------------------------------------------------------------------------- */

#define FRODO                                                                                      \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250" \
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl" \
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
#define JOE                                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define BILBO_RSA                                                                                  \
    "{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"n\":"           \
    "\"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"   \
    "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tp" \
    "e-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniU" \
    "FAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\",\"e\":\"AQAB\"}"
#define BILBO_HEADER(b64) b64 "IsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."

static const struct {
    const char *source, *jwk, *token;
} known[] = {
    {"RFC 7515 A.2",
     "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
     "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
     "7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"
     "qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWy"
     "uXpoQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiJ9." JOE
     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp"
     "5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHl"
     "b1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9Q"
     "OYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {"RFC 7515 A.3",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     "eyJhbGciOiJFUzI1NiJ9." JOE ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISl"
     "SApmWQxfKTUJqPP3-Kg6NU1Q"},
    {"RFC 7515 A.4",
     "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5"
     "EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l"
     "2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
     "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc"
     "-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnw"
     "NrmxYbSW9ERBXukOXolLzeO_Jn"},
    {"RFC 7520 4.1", BILBO_RSA,
     BILBO_HEADER("eyJhbGciOiJSUzI1Ni") FRODO
     ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xug"
     "lII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6"
     "x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQS"
     "E_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"},
    {"RFC 7520 4.2", BILBO_RSA,
     BILBO_HEADER("eyJhbGciOiJQUzM4NC") FRODO
     ".cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8T"
     "TB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqr"
     "YRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHt"
     "fa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
    {"RFC 7520 4.3",
     "{\"kty\":\"EC\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"crv\":\"P-521\","
     "\"x\":\"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5"
     "cj0Kt\",\"y\":\"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9"
     "cwlGfP-HqHZR1\"}",
     BILBO_HEADER("eyJhbGciOiJFUzUxMi") FRODO
     ".AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy"
     "3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"},
    {"RFC 8037 A.4",
     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvM"
     "g3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};

static struct jwk *read_jwk(const char *text) {
    struct json_value object;
    struct json_fault fault;
    const char *why = "";
    assert_true(json_scan_all(str_of(text), &object, &fault));
    struct jwk *k = jwk_from_json(object, &why);
    if (!k)
        fail_msg("%s", why);
    return k;
}

static void tokens_of_rfcs_are_good(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct buf token = {0};
        struct jwk *k = read_jwk(known[i].jwk);
        struct jws_keys keys = {.rsa = jwk_kind(k) == JWK_RSA ? k : NULL,
                                .ecdsa = jwk_kind(k) == JWK_EC ? k : NULL,
                                .ed25519 = jwk_kind(k) == JWK_ED25519 ? k : NULL};
        buf_add_z(&token, known[i].token);
        expect_words(&token, &keys, NULL);
        token.p[token.n / 2] ^= 1; /* in the signature, or the payload before it */
        assert_non_null(judge_keys(buf_str(&token), &keys));
        buf_fini(&token);
        jwk_destroy(k);
    }
}

static void what_openssl_signs_is_good(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_public(a) {
        for (int i = 0; i < 20; i++) { /* r and s are sometimes shorter: leading zeros */
            make_public_token(&token, a, HEADER, PAYLOAD);
            expect_for(&token, a, NULL);
        }
    }
    buf_fini(&token);
}

/* --- the key decides -------------------------------------------------------------------------- */

static void a_key_takes_its_own_algorithms_only(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_public(a) {
        make_public_token(&token, a, HEADER, PAYLOAD);
        for (int pair = 0; pair < PAIR_COUNT; pair++) {
            struct jws_keys keys = keys_with(pair);
            expect_words(&token, &keys, pair == a->pair ? NULL : ALGORITHM);
        }
        expect_words(&token, &(struct jws_keys){.hmac_secret = SECRET}, ALGORITHM);
        expect_words(&token, &(struct jws_keys){0}, "no key is configured");
    }
    buf_fini(&token);
}

/* A good signature under another algorithm's name. */
static void the_header_names_the_algorithm_it_is_signed_with(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        for_each_public(named) {
            if (named == a)
                continue;
            make_unsigned(&token, named->name, HEADER, PAYLOAD);
            buf_clear(&signature);
            add_public_signature(&signature, a, pair_of(a->pair), buf_str(&token));
            buf_add_char(&token, '.');
            add_base64url(&token, buf_str(&signature));
            expect_for(&token, a, named->pair == a->pair ? WRONG : ALGORITHM);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void a_public_key_is_no_hmac_secret(void **state) {
    (void)state;
    struct buf token = {0}, pem = {0}, der = {0};
    for_each_public(a) {
        buf_clear(&pem);
        buf_clear(&der);
        add_public_pem(&pem, pair_of(a->pair));
        pem.n--;
        unsigned char *to = (unsigned char *)buf_reserve(&der, 1000);
        der.n = (size_t)i2d_PUBKEY(pair_of(a->pair), &to);
        const struct str secrets[] = {buf_str(&pem), str_slice(buf_str(&pem), 0, pem.n - 1),
                                      buf_str(&der), STR("")};
        for_each_algorithm(h) {
            for (size_t i = 0; i < 4; i++) {
                make_unsigned(&token, h->name, HEADER, PAYLOAD);
                add_signature(&token, h, secrets[i]);
                expect_for(&token, a, ALGORITHM);
                struct jws_keys both = keys_with(a->pair);
                both.hmac_secret = SECRET;
                expect_words(&token, &both, WRONG);
            }
        }
    }
    buf_fini(&token);
    buf_fini(&pem);
    buf_fini(&der);
}

static void no_algorithm_is_none(void **state) {
    static const char *const names[] = {"none", "None", "NONE", "nOnE", "", "null", "RS256,none"};
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            make_unsigned(&token, names[i], HEADER, PAYLOAD);
            expect_for(&token, a, DOTS); /* two parts */
            buf_add_char(&token, '.');
            expect_for(&token, a, DOTS); /* an empty signature */
            sign_default(&signature, a);
            add_base64url(&token, buf_str(&signature));
            expect_for(&token, a, ALGORITHM);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

static void other_spellings_of_an_algorithm_are_none(void **state) {
    static const char *const names[] = {"rs256",  "RS1",      "ES256K", "es256", "EDDSA", "Ed25519",
                                        "EdDSA ", "HS256",    "RS256 ", "ps256", "PS1",   "ES521",
                                        "Ed448",  "RSA-OAEP", "A128KW", "dir"};
    (void)state;
    struct buf token = {0}, signature = {0};
    for_each_public(a) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            sign_default(&signature, a);
            make_unsigned(&token, names[i], HEADER, PAYLOAD);
            buf_add_char(&token, '.');
            add_base64url(&token, buf_str(&signature));
            expect_for(&token, a, ALGORITHM);
        }
    }
    buf_fini(&token);
    buf_fini(&signature);
}

/* --- keys and places in the header ------------------------------------------------------------ */

/* The attacker's own key, which signed the token, is in its header (CVE-2018-0114). */
static void keys_in_the_header_are_not_looked_at(void **state) {
    (void)state;
    struct buf token = {0}, signature = {0}, header = {0}, pem = {0};
    for_each_public(a) {
        EVP_PKEY *theirs = make_pair(a->pair);
        buf_clear(&header);
        buf_clear(&pem);
        add_public_pem(&pem, theirs);
        buf_add_z(&header, "{\"alg\":\"@\",\"jku\":\"https://127.0.0.1:1/x\",\"x5u\":\"http://"
                           "127.0.0.1:1/\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5c\":[");
        json_add_string(&header, STR("MIIB"));
        buf_add_z(&header, "]}");
        make_unsigned(&token, a->name, buf_str(&header), PAYLOAD);
        buf_clear(&signature);
        add_public_signature(&signature, a, theirs, buf_str(&token));
        buf_add_char(&token, '.');
        add_base64url(&token, buf_str(&signature));
        expect_for(&token, a, WRONG);
        EVP_PKEY_free(theirs);
        /* and signed with the right key they do no harm */
        make_public_token(&token, a, buf_str(&header), PAYLOAD);
        expect_for(&token, a, NULL);
    }
    buf_fini(&token);
    buf_fini(&signature);
    buf_fini(&header);
    buf_fini(&pem);
}

static void headers_are_judged_row_by_row(void **state) {
    static const struct {
        const char *header, *words;
    } rows[] = {
        {"{\"alg\":\"@\"}", NULL},
        {"{\"alg\":\"@\",\"typ\":\"jwt\"}", NULL},
        {"{\"alg\":\"@\",\"kid\":\"../../etc/passwd\"}", NULL}, /* one key: kid means nothing */
        {"{\"alg\":\"@\",\"kid\":{}}", NULL},
        {"{\"alg\":\"@\",\"crit\":[\"exp\"],\"exp\":1}", "not supported"},
        {"{\"alg\":\"@\",\"crit\":[]}", "not supported"},
        {"{\"alg\":\"@\",\"b64\":false,\"crit\":[\"b64\"]}", "not supported"},
        {"{\"alg\":\"@\",\"b64\":true}", "not supported"},
        {"{\"alg\":\"@\",\"zip\":\"DEF\"}", "not supported"},
        {"{\"alg\":\"@\",\"cty\":\"JWT\"}", "not supported"},
        {"{\"alg\":\"@\",\"typ\":\"at+jwt\"}", "typ"},
        {"{\"alg\":\"@\",\"typ\":1}", "typ"},
        {"{\"alg\":\"@\",\"alg\":\"@\"}", "different names"},
        {"{\"alg\":\"@\",\"\\u0061lg\":\"none\"}", "different names"},
        {"{\"alg\":\"@\",\"kid\":1,\"kid\":1}", "different names"},
        {"{\"alg\":[\"@\"]}", ALGORITHM},
        {"{\"alg\":null}", ALGORITHM},
        {"{}", ALGORITHM},
        {"[\"@\"]", "not a JSON object"},
        {"{\"alg\":\"@\"", "not a JSON object"},
        {"{\"alg\":\"@\"} {}", "not a JSON object"},
    };
    (void)state;
    struct buf token = {0};
    for_each_public(a) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            make_public_token(&token, a, str_of(rows[i].header), PAYLOAD);
            expect_for(&token, a, rows[i].words);
        }
    }
    buf_fini(&token);
}

static int run(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_rfcs_are_good),
        cmocka_unit_test(what_openssl_signs_is_good),
        cmocka_unit_test(a_key_takes_its_own_algorithms_only),
        cmocka_unit_test(the_header_names_the_algorithm_it_is_signed_with),
        cmocka_unit_test(a_public_key_is_no_hmac_secret),
        cmocka_unit_test(no_algorithm_is_none),
        cmocka_unit_test(other_spellings_of_an_algorithm_are_none),
        cmocka_unit_test(keys_in_the_header_are_not_looked_at),
        cmocka_unit_test(headers_are_judged_row_by_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return run_with_keys(run);
}
