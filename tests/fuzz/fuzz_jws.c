/* Fuzzes the signature layer with public keys. The first byte says what the rest is: "h" a header,
 * which is signed here, so that the fuzzer gets behind the signature; "s" a signature; "t" a whole
 * token. The second byte chooses the algorithm.
 *
 * What is right is computed a second time: a header with jansson, a signature with OpenSSL's own
 * functions for numbers.
 *
 * Thread: one. Owns: its keys, for the life of the process.
 */
#include "auth/jws.c"

#include <jansson.h>

#include "tests/unit/key_testing.h"

#define HEADER STR("{\"alg\":\"@\"}")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not the slow ones. */
static const struct public_algorithm *choose(uint8_t byte) {
    static const int fast[] = {0, 3, 6, 9}; /* RS256, PS256, ES256, EdDSA */
    return &public_algorithms[fast[byte % 4]];
}

static const struct jws_keys *keys_of_all(void) {
    static struct jws_keys keys;
    if (!keys.rsa) {
        keys.rsa = jwk_of_pair(pair_of(PAIR_RSA), PAIR_RSA);
        keys.ecdsa = jwk_of_pair(pair_of(PAIR_P256), PAIR_P256);
        keys.ed25519 = jwk_of_pair(pair_of(PAIR_ED25519), PAIR_ED25519);
    }
    return &keys;
}

static bool is_good(struct str token) {
    struct buf payload = {0};
    const char *fault = NULL;
    bool is_it = jws_verify(token, keys_of_all(), &payload, &fault, 0);
    assert(is_it == !fault && (is_it || payload.n == 0));
    buf_fini(&payload);
    return is_it;
}

/* --- a header --------------------------------------------------------------------------------- */

static struct str text_of(const json_t *string) {
    return (struct str){json_string_value(string), json_string_length(string)};
}

static bool is_header_good(const json_t *header, const struct public_algorithm *a) {
    const json_t *alg = json_object_get(header, "alg"), *typ = json_object_get(header, "typ");
    return json_is_object(header) && json_object_size(header) <= 32 && json_is_string(alg) &&
           str_equal(text_of(alg), str_of(a->name)) &&
           (!typ || (json_is_string(typ) && str_equal_nocase(text_of(typ), STR("JWT")))) &&
           !json_object_get(header, "crit") && !json_object_get(header, "b64") &&
           !json_object_get(header, "zip") && !json_object_get(header, "cty");
}

static void try_header(const struct public_algorithm *a, struct str header) {
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    bool has_zero = str_find(header, '\0') < header.n; /* jansson passes over one behind a number */
    json_t *oracle = has_zero ? NULL : json_loadb(header.n ? header.p : "", header.n, flags, NULL);
    struct buf token = {0}, signature = {0};
    add_base64url(&token, header);
    bool is_short = token.n <= JWS_HEADER_MAX_BYTES;
    buf_add_z(&token, ".e30");
    add_public_signature(&signature, a, pair_of(a->pair), buf_str(&token));
    buf_add_char(&token, '.');
    add_base64url(&token, buf_str(&signature));
    bool is_taken = is_good(buf_str(&token));
    if (!is_short)
        assert(!is_taken);
    else if (oracle)
        assert(is_taken == is_header_good(oracle, a));
    json_decref(oracle);
    buf_fini(&token);
    buf_fini(&signature);
}

/* --- a signature ------------------------------------------------------------------------------ */

/* The one there is: of RS256 and EdDSA, which are deterministic. */
static bool is_the_signature(const struct public_algorithm *a, struct str text, struct str given) {
    struct buf right = {0};
    add_public_signature(&right, a, pair_of(a->pair), text);
    bool is_it = str_equal(buf_str(&right), given);
    buf_fini(&right);
    return is_it;
}

static bool is_ecdsa_good(struct str text, struct str given) {
    unsigned char digest[32];
    size_t n = sizeof(digest);
    EVP_Q_digest(NULL, "SHA256", NULL, text.p, text.n, digest, &n);
    if (given.n != 64)
        return false;
    const unsigned char *raw = (const unsigned char *)given.p;
    ECDSA_SIG *s = ECDSA_SIG_new();
    ECDSA_SIG_set0(s, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    unsigned char *der = NULL;
    int der_bytes = i2d_ECDSA_SIG(s, &der);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pair_of(PAIR_P256), NULL);
    bool is_it = EVP_PKEY_verify_init(c) == 1 &&
                 EVP_PKEY_verify(c, der, (size_t)der_bytes, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(c);
    OPENSSL_free(der);
    ECDSA_SIG_free(s);
    return is_it;
}

static void try_signature(const struct public_algorithm *a, struct str given) {
    struct buf token = {0};
    make_unsigned(&token, a->name, HEADER, STR("{}"));
    size_t text_bytes = token.n;
    buf_add_char(&token, '.');
    add_base64url(&token, given);
    bool is_taken = is_good(buf_str(&token));
    struct str text = {token.p, text_bytes};
    if (a->id == JWS_ES256)
        assert(is_taken == is_ecdsa_good(text, given));
    else if (!a->is_pss)
        assert(is_taken == is_the_signature(a, text, given));
    buf_fini(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    const size_t text_bytes = size - 2;
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = malloc(text_bytes ? text_bytes : 1);
    struct str text = {copy, text_bytes};
    memcpy(copy, data + 2, text.n);
    if (data[0] == 'h')
        try_header(choose(data[1]), text);
    else if (data[0] == 's')
        try_signature(choose(data[1]), text);
    else if (is_good(text)) /* nobody knows the keys of this process */
        abort();
    free(copy);
    return 0;
}
