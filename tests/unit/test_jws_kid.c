/* Tokens and sets of keys: kid names one key exactly, and no other is tried. For each algorithm.
 *
 * Thread: main. Owns: its keys.
 */
#include "auth/jws.c"

#include "tests/unit/jws_public_testing.h"

static const char *const pair_names[] = {"rsa", "p256", "p384", "p521", "ed"};

static void add_jwk_number(struct buf *out, const char *name, EVP_PKEY *pkey, const char *param,
                           int bytes) {
    BIGNUM *n = NULL;
    unsigned char raw[1024];
    assert_true(EVP_PKEY_get_bn_param(pkey, param, &n));
    int used = bytes ? bytes : BN_num_bytes(n);
    BN_bn2binpad(n, raw, used);
    buf_printf(out, ",\"%s\":\"", name);
    add_base64url(out, (struct str){(char *)raw, (size_t)used});
    buf_add_char(out, '"');
    BN_free(n);
}

/* Appends the public key as a JWK with these members at its end. */
static void add_jwk(struct buf *out, int pair, const char *more) {
    EVP_PKEY *pkey = pair_of(pair);
    static const char *const curves[] = {"", "P-256", "P-384", "P-521"};
    unsigned char raw[32];
    size_t n = sizeof(raw);
    buf_add_z(out, out->n > 0 && out->p[out->n - 1] == '}' ? ",{" : "{");
    if (pair == PAIR_RSA) {
        buf_add_z(out, "\"kty\":\"RSA\"");
        add_jwk_number(out, "n", pkey, "n", 0);
        add_jwk_number(out, "e", pkey, "e", 0);
    } else if (pair == PAIR_ED25519) {
        EVP_PKEY_get_raw_public_key(pkey, raw, &n);
        buf_add_z(out, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        add_base64url(out, (struct str){(char *)raw, n});
        buf_add_char(out, '"');
    } else {
        int half = pair == PAIR_P256 ? 32 : pair == PAIR_P384 ? 48 : 66;
        buf_printf(out, "\"kty\":\"EC\",\"crv\":\"%s\"", curves[pair]);
        add_jwk_number(out, "x", pkey, "qx", half);
        add_jwk_number(out, "y", pkey, "qy", half);
    }
    buf_printf(out, "%s}", more);
}

/* Gives a cache with the set of these keys. */
static struct jwks_cache *fix(const struct buf *keys) {
    struct buf text = {0};
    struct jwks_report r;
    buf_add_z(&text, "{\"keys\":[");
    buf_add(&text, buf_str(keys));
    buf_add_z(&text, "]}");
    struct jwks *s = jwks_parse(buf_str(&text), false, &r);
    if (!s || r.left_out)
        fail_msg("%s", s ? r.why_out : r.fault);
    buf_fini(&text);
    return jwks_cache_fixed(s);
}

/* Every pair under its name, and the secret of the HMAC tests. */
static struct jwks_cache *set_of_all(void) {
    struct buf keys = {0};
    for (int pair = 0; pair < PAIR_COUNT; pair++) {
        char more[32];
        snprintf(more, sizeof(more), ",\"kid\":\"%s\"", pair_names[pair]);
        add_jwk(&keys, pair, more);
    }
    buf_add_z(&keys, ",{\"kty\":\"oct\",\"kid\":\"hmac\",\"k\":\"");
    add_base64url(&keys, SECRET);
    buf_add_z(&keys, "\"}");
    struct jwks_cache *c = fix(&keys);
    buf_fini(&keys);
    return c;
}

static void kid_names_the_key(void **state) {
    struct jwks_cache *c = set_of_all();
    const struct jws_keys keys = {.jwks = c};
    struct buf token = {0}, header = {0};
    (void)state;
    for_each_public(a) {
        for (int pair = 0; pair < PAIR_COUNT; pair++) {
            buf_clear(&header);
            buf_printf(&header, "{\"alg\":\"@\",\"kid\":\"%s\"}", pair_names[pair]);
            make_public_token(&token, a, buf_str(&header), PAYLOAD);
            expect_words(&token, &keys, pair == a->pair ? NULL : "alg in the header is none");
        }
        make_public_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"hmac\"}"), PAYLOAD);
        expect_words(&token, &keys, "alg in the header is none");
    }
    for_each_algorithm(a) {
        make_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"hmac\"}"), PAYLOAD);
        expect_words(&token, &keys, NULL);
        make_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"rsa\"}"), PAYLOAD);
        expect_words(&token, &keys, "alg in the header is none");
    }
    jwks_cache_destroy(c);
    buf_fini(&token);
    buf_fini(&header);
}

#define UNKNOWN "no known key"
#define MISSING "kid is missing"

static void other_names_find_no_key(void **state) {
    static const struct {
        const char *kid, *words; /* the member; @ in it is the right name */
    } rows[] = {
        {"", MISSING},
        {",\"kid\":null", MISSING},
        {",\"kid\":1", MISSING},
        {",\"kid\":[\"@\"]", MISSING},
        {",\"kid\":{\"@\":1}", MISSING},
        {",\"Kid\":\"@\"", MISSING},
        {",\"kid\":\"\"", UNKNOWN},
        {",\"kid\":\"@ \"", UNKNOWN},
        {",\"kid\":\"@\\u0000\"", UNKNOWN},
        {",\"kid\":\"\\u0000@\"", UNKNOWN},
        {",\"kid\":\"../../../dev/null\"", UNKNOWN},
        {",\"kid\":\"/etc/passwd\"", UNKNOWN},
        {",\"kid\":\"' OR '1'='1\"", UNKNOWN},
        {",\"kid\":\"x' UNION SELECT 'secret\"", UNKNOWN},
        {",\"kid\":\"http://127.0.0.1/key\"", UNKNOWN},
        {",\"kid\":\"0\"", UNKNOWN},
        {",\"kid\":\"*\"", UNKNOWN},
        {",\"kid\":\"%s%n\"", UNKNOWN},
        {",\"kid\":\"@\",\"kid\":\"@\"", "different names"},
    };
    struct jwks_cache *c = set_of_all();
    const struct jws_keys keys = {.jwks = c};
    struct buf token = {0}, header = {0};
    (void)state;
    for_each_public(a) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            buf_clear(&header);
            buf_printf(&header, "{\"alg\":\"%s\"", a->name);
            for (const char *p = rows[i].kid; *p; p++) {
                if (*p == '@')
                    buf_add_z(&header, pair_names[a->pair]);
                else
                    buf_add_char(&header, *p);
            }
            buf_add_char(&header, '}');
            make_public_token(&token, a, buf_str(&header), PAYLOAD);
            expect_words(&token, &keys, rows[i].words);
        }
    }
    jwks_cache_destroy(c);
    buf_fini(&token);
    buf_fini(&header);
}

/* With a set the fixed keys are not used. */
static void a_set_is_alone(void **state) {
    struct jwks_cache *c = set_of_all();
    struct buf token = {0};
    (void)state;
    for_each_public(a) {
        struct jws_keys keys = keys_with(a->pair);
        keys.hmac_secret = SECRET;
        keys.jwks = c;
        make_public_token(&token, a, STR("{\"alg\":\"@\"}"), PAYLOAD);
        expect_words(&token, &keys, MISSING);
    }
    jwks_cache_destroy(c);
    buf_fini(&token);
}

static void alg_of_a_key_is_the_only_one(void **state) {
    struct buf token = {0}, keys_text = {0};
    (void)state;
    for_each_public(only) {
        char more[64];
        buf_clear(&keys_text);
        snprintf(more, sizeof(more), ",\"kid\":\"k\",\"alg\":\"%s\"", only->name);
        add_jwk(&keys_text, only->pair, more);
        struct jwks_cache *c = fix(&keys_text);
        for_each_public(a) {
            make_public_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"k\"}"), PAYLOAD);
            expect_words(&token, &(struct jws_keys){.jwks = c},
                         a == only ? NULL : "alg in the header is none");
        }
        jwks_cache_destroy(c);
    }
    for_each_algorithm(only) {
        buf_clear(&keys_text);
        buf_printf(&keys_text, "{\"kty\":\"oct\",\"kid\":\"k\",\"alg\":\"%s\",\"k\":\"",
                   only->name);
        add_base64url(&keys_text, SECRET);
        buf_add_z(&keys_text, "\"}");
        struct jwks_cache *c = fix(&keys_text);
        for_each_algorithm(a) {
            make_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"k\"}"), PAYLOAD);
            expect_words(&token, &(struct jws_keys){.jwks = c},
                         a == only ? NULL : "alg in the header is none");
        }
        jwks_cache_destroy(c);
    }
    buf_fini(&token);
    buf_fini(&keys_text);
}

/* Where a newer set can come, the fault says so; nothing is fetched here. */
static void a_key_that_may_come_is_awaited(void **state) {
    struct jwks_cache *c = jwks_cache_create(&(struct jwks_cache_options){
        .url = "https://127.0.0.1:1/", .refresh_ms = 1000, .retry_ms = 1000, .timeout_ms = 1000});
    const struct jws_keys keys = {.jwks = c};
    struct buf token = {0};
    (void)state;
    for_each_public(a) {
        make_public_token(&token, a, STR("{\"alg\":\"@\",\"kid\":\"k\"}"), PAYLOAD);
        assert_ptr_equal(judge_keys(buf_str(&token), &keys), jws_key_awaited);
        make_public_token(&token, a, STR("{\"alg\":\"@\"}"), PAYLOAD);
        expect_words(&token, &keys, MISSING);
    }
    jwks_cache_destroy(c);
    buf_fini(&token);
}

static int run(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kid_names_the_key),
        cmocka_unit_test(other_names_find_no_key),
        cmocka_unit_test(a_set_is_alone),
        cmocka_unit_test(alg_of_a_key_is_the_only_one),
        cmocka_unit_test(a_key_that_may_come_is_awaited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return run_with_keys(run);
}
